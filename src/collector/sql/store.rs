//! The section store: how many records each collection has.
//!
//! One collection is one unit of failure: a table that is missing or too slow voids its own count and no other.

use std::sync::Arc;
use std::time::Duration;

use super::examine::{Suspect, examine};
use super::size::{Size, Sizer};
use super::{RECOUNT_AFTER, Source, Version};
use crate::catalog::{FigureId, Section};
use crate::clock::{Clock, Moment};
use crate::collector::{Attempt, CollectError, Collector, ErrorClass, Examination, Outcome};
use crate::reading::{Reading, Readings};

/// Counts the records of collections in a database.
pub struct Store {
    source: Source,
    budget: Duration,
    collections: Vec<Collection>,
}

struct Collection {
    name: String,
    sizer: Sizer,
    counted: Option<Counted>,
    /// When it was last counted row by row.
    last_exact: Option<Moment>,
}

#[derive(Clone, Debug)]
struct Counted {
    size: Size,
    version: Version,
    at: Moment,
    cost: Duration,
}

impl Store {
    /// A collector of `collections`, each with the name of its table or view. One count may take `count_budget`; then
    /// the database cancels it, and the collection is estimated.
    #[must_use]
    pub fn new(source: Source, collections: Vec<(String, String)>, count_budget: Duration) -> Self {
        let collection = |(name, table): (String, String)| {
            let sizer = Sizer::new(format!("collection {name}"), table, count_budget);
            Collection { name, sizer, counted: None, last_exact: None }
        };
        let collections = collections.into_iter().map(collection).collect();
        Self { source, budget: count_budget, collections }
    }

    async fn read(&mut self, clock: &dyn Clock) -> Outcome {
        let now = clock.now();
        let version = match self.source.link().await.version().await {
            Ok(version) => version,
            Err(error) => return Outcome::failed(&[Section::Store], &error),
        };
        let mut outcome = Outcome::default();
        for collection in &mut self.collections {
            match collection.read(&self.source, &version, now, clock).await {
                Ok(readings) => outcome.readings.push(readings),
                Err(error) => outcome.errors.push((Section::Store, error)),
            }
        }
        outcome
    }
}

impl Collector for Store {
    fn source(&self) -> &'static str {
        self.source.dialect().source()
    }

    fn sections(&self) -> &[Section] {
        &[Section::Store]
    }

    fn error_classes(&self) -> &'static [ErrorClass] {
        self.source.dialect().error_classes()
    }

    fn collect<'a>(&'a mut self, clock: &'a Arc<dyn Clock>) -> Attempt<'a> {
        Box::pin(self.read(clock.as_ref()))
    }

    fn examine<'a>(&'a mut self, _: &'a Arc<dyn Clock>) -> Examination<'a> {
        Box::pin(async {
            let mut link = self.source.link().await;
            let mut findings = Vec::new();
            for collection in &self.collections {
                let Some(counted) = &collection.counted else { continue };
                let suspect = Suspect {
                    thing: format!("collection {}", collection.name),
                    sql: self.source.dialect().count(collection.sizer.table()),
                    cost: counted.size.is_exact.then_some(counted.cost),
                    budget: self.budget,
                    indexes: &[],
                    is_count: true,
                };
                findings.extend(examine(suspect, &self.source, &mut *link).await);
            }
            findings
        })
    }
}

impl Collection {
    /// The records: as counted before if the data is as it was, else counted anew.
    async fn read(
        &mut self,
        source: &Source,
        version: &Version,
        now: Moment,
        clock: &dyn Clock,
    ) -> Result<Readings, CollectError> {
        if let Some(counted) = self.counted.as_ref().filter(|counted| counted.holds(version, now)) {
            return Ok(self.readings(counted, now));
        }
        let mut link = source.link().await;
        let at = clock.now();
        let size = self.sizer.ask(&mut *link, source.dialect(), at).await?;
        if size.is_exact {
            self.last_exact = Some(at);
        }
        let counted = Counted { size, version: version.clone(), at, cost: clock.now().since(at) };
        let readings = self.readings(&counted, at);
        self.counted = Some(counted);
        Ok(readings)
    }

    /// The readings of a count that is true at `taken`.
    fn readings(&self, counted: &Counted, taken: Moment) -> Readings {
        let of = |figure, value| Reading::of_series(figure, "collection", &self.name, value);
        let mut method = of(FigureId::StoreCountMethod, 1);
        let word = if counted.size.is_exact { "exact" } else { "estimate" };
        method.attributes.push(("method", word.to_owned()));
        let mut values = vec![of(FigureId::StoreRecords, counted.size.rows), method];
        values.extend(self.last_exact.map(|last| of(FigureId::StoreCountLastExact, last.wall.0)));
        Readings { cost: counted.cost, ..Readings::new(Section::Store, taken, values) }.of_unit(&self.name)
    }
}

impl Counted {
    /// Whether it still is right: an estimate's statistics may be behind the data, so it is asked for again each time.
    fn holds(&self, version: &Version, now: Moment) -> bool {
        self.size.is_exact && self.version.is_same(version) && now.since(self.at) < RECOUNT_AFTER
    }
}
