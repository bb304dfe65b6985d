//! The bridge: custom figures, as an operator would define them.

use std::sync::Arc;

use bytes::Bytes;
use linkit_bridge::catalog::{CustomFigure, Kind, Section};
use linkit_bridge::clock::{Clock, SystemClock};
use linkit_bridge::output::prometheus::{self, Last, Lines, PageConfig, Syntax};
use linkit_bridge::reading::{Ages, CustomReading, Number, Readings};
use linkit_bridge::registry::Registry;

use super::{Family, Peer, families};
use crate::Result;

/// A registry with readings that are published anew at each refresh, as a collector does.
pub(super) struct Bridge {
    clock: Arc<SystemClock>,
    registry: Registry,
    figures: Vec<(Family, Arc<CustomFigure>)>,
    section: Section,
    /// The last page, which the server holds too.
    last: Option<(Bytes, Lines)>,
}

impl Bridge {
    pub(super) fn new(series: usize) -> Result<Self> {
        let keys = ["branch", "kind", "region"].map(ToOwned::to_owned).to_vec();
        let figure = |family: Family| -> Result<_> {
            let name = family.name().trim_start_matches("linkit_custom_").to_owned();
            Ok((family, Arc::new(CustomFigure::new(&name, Kind::Gauge, "", &family.help(), keys.clone())?)))
        };
        let figures: Vec<_> = families(series).map(figure).collect::<Result<_>>()?;
        let custom: Vec<_> = figures.iter().map(|(_, figure)| Arc::clone(figure)).collect();
        let clock = Arc::new(SystemClock::new());
        let registry = Registry::with_custom(clock.clone(), Ages::default(), &[], &custom);
        Ok(Self { clock, registry, figures, section: Section::Custom("shop".into()), last: None })
    }
}

impl Peer for Bridge {
    fn refresh(&mut self, round: u64) {
        let taken = self.clock.now();
        let unit = |(family, figure): &(Family, Arc<CustomFigure>)| {
            let series = family.labels().enumerate().map(|(at, labels)| CustomReading {
                figure: Arc::clone(figure),
                attributes: labels.map(|(key, value)| (key.to_owned(), value)).into(),
                value: Number::Float(family.value(at, round)),
                start: None,
            });
            let readings = Readings::new(self.section.clone(), taken, Vec::new()).of_unit(figure.name());
            Readings { custom: series.collect(), ..readings }
        };
        self.registry.publish(self.figures.iter().map(unit).collect());
    }

    /// Scope labels are off, for the peers have none.
    fn render(&mut self) -> Bytes {
        let config = PageConfig { scope_labels: false, ..PageConfig::default() };
        let last = self.last.as_ref().map(|(body, lines)| Last::new(body, lines)).unwrap_or_default();
        let rendered = prometheus::render_after(&last, &self.registry.current(), &[], &config, &Syntax::Text004.into());
        let body = Bytes::from(rendered.body);
        self.last = Some((body.clone(), rendered.lines));
        body
    }
}
