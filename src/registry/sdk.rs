//! The figures in the SDK's form: observable instruments built from the catalogue, for the SDK's own exporters.
//!
//! They are built when an exporter first asks and observe the families of the snapshot that is asked, so that a page
//! costs no collection. The provider is theirs alone: with instruments of others on it, a collection would observe
//! those once more.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::metrics::{AsyncInstrument, Meter, MeterProvider};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{Instrument, SdkMeterProvider, Stream};
use opentelemetry_sdk::resource::Resource;

use super::instruments::SharedReader;
use super::snapshot::{Family, Point, PointValue};
use crate::catalog::{CustomFigure, FIGURES, Figure, Kind};
use crate::reading::Number;

/// Series of a figure that there is room for from the beginning; each place costs memory at once.
const ROOM: usize = 8;

/// A snapshot in the SDK's form.
#[derive(Debug, Default)]
pub struct SdkMetrics {
    recorded: Vec<ResourceMetrics>,
    figures: Option<Arc<SdkFigures>>,
}

impl SdkMetrics {
    pub(super) const fn new(recorded: Vec<ResourceMetrics>, figures: Arc<SdkFigures>) -> Self {
        Self { recorded, figures: Some(figures) }
    }

    /// What instruments that are recorded into brought: the bridge's own durations, and what an embedding program has.
    #[must_use]
    pub fn recorded(&self) -> &[ResourceMetrics] {
        &self.recorded
    }

    /// The figures among `families`, which are the same snapshot's, each with all its series.
    ///
    /// # Errors
    /// When the SDK fails to collect them.
    pub fn figures(&self, families: &[Family]) -> Result<ResourceMetrics, String> {
        self.figures.as_ref().map_or_else(|| Ok(ResourceMetrics::default()), |figures| figures.collect(families))
    }
}

/// What builds the instruments, and then holds them.
pub(super) struct SdkFigures {
    resource: Resource,
    scope: InstrumentationScope,
    custom: Vec<Arc<CustomFigure>>,
    /// Held during a collection: the instruments show one snapshot at a time.
    built: Mutex<Option<Built>>,
}

struct Built {
    reader: SharedReader,
    shown: Shown,
    /// Series there is room for, of the figures that have more than most.
    rooms: Rooms,
    /// Ends the instruments when it is dropped.
    _provider: SdkMeterProvider,
}

type Rooms = BTreeMap<String, usize>;

/// What the instruments observe during a collection, nothing otherwise.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Arc<[Family]>>>);

impl fmt::Debug for SdkFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SdkFigures").finish_non_exhaustive()
    }
}

impl SdkFigures {
    pub(super) fn new(resource: Resource, scope: InstrumentationScope, custom: &[Arc<CustomFigure>]) -> Self {
        Self { resource, scope, custom: custom.to_vec(), built: Mutex::default() }
    }

    /// The same with other custom figures.
    pub(super) fn with_custom(&self, custom: &[Arc<CustomFigure>]) -> Self {
        Self::new(self.resource.clone(), self.scope.clone(), custom)
    }

    /// Whether it has these custom figures.
    pub(super) fn is_of(&self, custom: &[Arc<CustomFigure>]) -> bool {
        *self.custom == *custom
    }

    /// Instruments with room for the series of `families`.
    fn build(&self, families: &[Family]) -> Built {
        let reader = SharedReader::new();
        let many = families.iter().filter(|family| family.points.len() > ROOM);
        let rooms: Rooms = many.map(|family| (family.name.clone(), family.points.len().next_power_of_two())).collect();
        let held = rooms.clone();
        let provider = SdkMeterProvider::builder()
            .with_reader(reader.clone())
            .with_resource(self.resource.clone())
            .with_view(move |instrument: &Instrument| limit_series(room(&held, instrument.name())))
            .build();
        let meter = provider.meter_with_scope(self.scope.clone());
        let shown = Shown::default();
        FIGURES.iter().for_each(|figure| build_figure(&meter, figure, &shown));
        self.custom.iter().for_each(|figure| build_custom(&meter, figure, &shown));
        Built { reader, shown, rooms, _provider: provider }
    }

    fn collect(&self, families: &[Family]) -> Result<ResourceMetrics, String> {
        let is_ours = |family: &&Family| family.scope.name == self.scope.name() && family.kind != Kind::Histogram;
        let ours: Arc<[Family]> = families.iter().filter(is_ours).cloned().collect();
        let mut metrics = ResourceMetrics::default();
        let mut held = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        // New instruments remember nothing, and need not: since when a figure counts and that it is gone is not theirs to say.
        let fitting = held.take().filter(|built| built.has_room_for(&ours));
        let built = held.insert(fitting.unwrap_or_else(|| self.build(&ours)));
        built.shown.set(ours);
        let collected = built.reader.collect(&mut metrics);
        built.shown.set(Arc::default());
        collected.map(|()| metrics).map_err(|error| error.to_string())
    }
}

impl Built {
    fn has_room_for(&self, families: &[Family]) -> bool {
        families.iter().all(|family| family.points.len() <= room(&self.rooms, &family.name))
    }
}

impl Shown {
    fn set(&self, families: Arc<[Family]>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = families;
    }

    /// Gives each point of a figure to `observe`; nothing in it can wait or panic.
    fn observe(&self, name: &str, observe: impl Fn(Number, &[KeyValue])) {
        let families = Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let Ok(at) = families.binary_search_by(|family| family.name.as_str().cmp(name)) else { return };
        for Point { attributes, value, .. } in &*families[at].points {
            let PointValue::Number(number) = *value else { continue };
            let pairs: Vec<_> =
                attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
            observe(number, &pairs);
        }
    }
}

fn room(rooms: &Rooms, name: &str) -> usize {
    rooms.get(name).copied().unwrap_or(ROOM)
}

/// Above a limit the SDK folds series into one. It forgets those of a gauge a collection too late, so that what comes in
/// their place needs a place of its own.
fn limit_series(room: usize) -> Option<Stream> {
    Stream::builder().with_cardinality_limit(2 * room).build().ok()
}

/// Builds an instrument that observes what is shown of the figure of its name.
macro_rules! observe {
    ($meter:ident.$builder:ident, $figure:ident, $name:expr, $unit:expr, $shown:ident, $kind:ty, $convert:expr) => {{
        let shown = $shown.clone();
        let name = $name;
        $meter
            .$builder($name)
            .with_unit($unit)
            .with_description($figure.description())
            .with_callback(move |observer: &dyn AsyncInstrument<$kind>| {
                shown.observe(&name, |number, pairs| observer.observe($convert(number), pairs));
            })
            .build();
    }};
}

/// Builds the instrument of a figure; histograms are recorded into and stand elsewhere.
fn build_figure(meter: &Meter, figure: &'static Figure, shown: &Shown) {
    let whole = |number: Number| match number {
        Number::Int(int) => u64::try_from(int).unwrap_or_default(),
        Number::Float(_) => 0,
    };
    macro_rules! of_figure {
        ($builder:ident, $kind:ty, $convert:expr) => {
            observe!(meter.$builder, figure, figure.name, figure.unit, shown, $kind, $convert)
        };
    }
    match (figure.kind, figure.is_seconds()) {
        (Kind::Gauge, false) => of_figure!(u64_observable_gauge, u64, whole),
        (Kind::Gauge, true) => of_figure!(f64_observable_gauge, f64, Number::to_float),
        (Kind::Counter, false) => of_figure!(u64_observable_counter, u64, whole),
        (Kind::Counter, true) => of_figure!(f64_observable_counter, f64, Number::to_float),
        (Kind::Histogram, _) => {}
    }
}

/// Builds the instrument of a custom figure. It holds the nearest floats.
fn build_custom(meter: &Meter, figure: &CustomFigure, shown: &Shown) {
    macro_rules! of_figure {
        ($builder:ident) => {
            observe!(
                meter.$builder,
                figure,
                figure.name().to_owned(),
                figure.unit().to_owned(),
                shown,
                f64,
                Number::to_float
            )
        };
    }
    match figure.kind() {
        Kind::Counter => of_figure!(f64_observable_counter),
        Kind::Gauge | Kind::Histogram => of_figure!(f64_observable_gauge),
    }
}
