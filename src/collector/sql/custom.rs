//! Figures of the operator's own: each is one query, whose rows are its series.
//!
//! One query is one unit of failure. It stands inside a `SELECT` of ours, so it can be nothing but a query, and brings
//! no more than is shown. It is asked each time: what it says may depend on the time, and not on the data alone.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::examine::{Suspect, examine};
use super::{Row, Source};
use crate::catalog::{CUSTOM_SERIES_MAX, CustomFigure, FigureId, Kind, Section};
use crate::clock::Clock;
use crate::collector::number::{is_decimal, whole};
use crate::collector::{Attempt, CollectError, Collector, ErrorClass, Examination, Outcome};
use crate::reading::{CustomReading, Number, Reading, Readings};

/// Most rows of a result that are looked at; what comes after them is not even counted.
const ROWS_MAX: usize = 1000;

/// Longest label, and longest text of a number.
const LABEL_CHARACTERS: u32 = 256;
const VALUE_CHARACTERS: u32 = 400;

/// A figure with the query that reads it.
#[derive(Clone, Debug)]
pub struct Query {
    /// The figure; its attributes are columns of the result.
    pub figure: Arc<CustomFigure>,
    /// One `SELECT`.
    pub sql: String,
    /// The column with the value.
    pub value_column: String,
}

/// Reads figures of the operator's own from a database.
pub struct Custom {
    source: Source,
    sections: [Section; 1],
    budget: Duration,
    figures: Vec<Asked>,
}

/// The labels of a row, in the order of the figure's attributes, and its value.
type Series = (Vec<String>, Number);

struct Asked {
    query: Query,
    /// What the last query cost; `None` before the first, or if it was over its budget.
    cost: Option<Duration>,
    is_over: bool,
    /// The label sets of the last reading: they come before others if there are too many.
    shown: HashSet<Vec<String>>,
}

impl Custom {
    /// A collector called `name`. One query may take `query_budget`; then the database cancels it and the figure
    /// fails with [`ErrorClass::Budget`].
    #[must_use]
    pub fn new(source: Source, name: &str, queries: Vec<Query>, query_budget: Duration) -> Self {
        let asked = |query| Asked { query, cost: None, is_over: false, shown: HashSet::new() };
        let figures = queries.into_iter().map(asked).collect();
        Self { source, sections: [Section::Custom(name.into())], budget: query_budget, figures }
    }

    async fn read(&mut self, clock: &dyn Clock) -> Outcome {
        if let Err(error) = self.source.link().await.version().await {
            return Outcome::failed(&self.sections, &error);
        }
        let mut outcome = Outcome::default();
        let section = &self.sections[0];
        for figure in &mut self.figures {
            match figure.read(&self.source, self.budget, section, clock).await {
                Ok(readings) => outcome.readings.push(readings),
                Err(error) => outcome.errors.push((section.clone(), error)),
            }
        }
        outcome
    }
}

impl Collector for Custom {
    fn source(&self) -> &'static str {
        self.source.dialect().source()
    }

    fn sections(&self) -> &[Section] {
        &self.sections
    }

    fn error_classes(&self) -> &'static [ErrorClass] {
        self.source.dialect().error_classes()
    }

    fn collect<'a>(&'a mut self, clock: &'a Arc<dyn Clock>) -> Attempt<'a> {
        Box::pin(self.read(clock.as_ref()))
    }

    fn examine<'a>(&'a mut self, _: &'a Arc<dyn Clock>) -> Examination<'a> {
        Box::pin(async {
            let mut findings = Vec::new();
            for figure in self.figures.iter().filter(|figure| figure.cost.is_some() || figure.is_over) {
                let suspect = Suspect {
                    thing: figure.query.thing(),
                    sql: figure.query.statement(&self.source),
                    cost: figure.cost,
                    budget: self.budget,
                    indexes: &[],
                    is_count: false,
                };
                findings.extend(examine(suspect, &self.source, &mut *self.source.link().await).await);
            }
            findings
        })
    }
}

impl Asked {
    async fn read(
        &mut self,
        source: &Source,
        budget: Duration,
        section: &Section,
        clock: &dyn Clock,
    ) -> Result<Readings, CollectError> {
        let (thing, sql) = (self.query.thing(), self.query.statement(source));
        let mut link = source.link().await;
        let at = clock.now();
        let rows = link.rows(&thing, &sql, budget).await;
        drop(link);
        self.is_over = rows.as_ref().is_err_and(|error| error.class == ErrorClass::Budget);
        let cost = clock.now().since(at);
        self.cost = rows.is_ok().then_some(cost);
        let (series, left_out) = self.series(rows?)?;
        self.shown = series.iter().map(|(labels, _)| labels.clone()).collect();
        let figure = &self.query.figure;
        let custom = series.into_iter().map(|(labels, value)| CustomReading {
            figure: Arc::clone(figure),
            attributes: figure.attributes().iter().cloned().zip(labels).collect(),
            value,
            start: None,
        });
        let mut overflow = Reading::of_series(FigureId::CollectorOverflow, "collector", section.name(), left_out);
        overflow.attributes.push(("figure", figure.name().to_owned()));
        let readings = Readings::new(section.clone(), at, vec![overflow]).of_unit(figure.name());
        Ok(Readings { custom: custom.collect(), cost, ..readings })
    }

    /// The series of a result, and how many more there are. A row whose value is null is none.
    fn series(&self, rows: Vec<Row>) -> Result<(Vec<Series>, u64), CollectError> {
        let mut all = Vec::new();
        let mut seen = HashSet::new();
        for row in rows {
            let mut cells = row.into_iter();
            let Some(value) = cells.next().flatten() else { continue };
            let value = self.query.number(&value)?;
            let labels: Vec<_> = cells.map(Option::unwrap_or_default).collect();
            if let Some(long) = labels.iter().find(|label| label.chars().count() > LABEL_CHARACTERS as usize) {
                let begin: String = long.chars().take(20).collect();
                return Err(self
                    .query
                    .error(ErrorClass::Range, &format!("the label {begin:?}… is too long; shorten it")));
            }
            if !seen.insert(labels.clone()) {
                let text = format!("two rows have the labels {labels:?}; group by them, or name more labels");
                return Err(self.query.error(ErrorClass::Other, &text));
            }
            all.push((labels, value));
        }
        if all.len() <= CUSTOM_SERIES_MAX {
            return Ok((all, 0));
        }
        let left_out = (all.len() - CUSTOM_SERIES_MAX) as u64;
        all.sort_by_key(|(labels, _)| !self.shown.contains(labels));
        all.truncate(CUSTOM_SERIES_MAX);
        Ok((all, left_out))
    }
}

impl Query {
    fn thing(&self) -> String {
        format!("figure {}", self.figure.name())
    }

    fn statement(&self, source: &Source) -> String {
        let dialect = source.dialect();
        let column = |name: &str, characters| dialect.text(&dialect.identifier(name), characters);
        let value = column(&self.value_column, VALUE_CHARACTERS);
        let labels = self.figure.attributes().iter().map(|label| column(label, LABEL_CHARACTERS + 1));
        let columns: Vec<_> = std::iter::once(value).chain(labels).collect();
        // On a line of its own, so that a comment at the query's end hides nothing of ours.
        let query = self.sql.trim().trim_end_matches(';');
        format!("SELECT {} FROM (\n{query}\n) AS figure LIMIT {}", columns.join(", "), ROWS_MAX + 1)
    }

    /// The number a database has written. Integers stay exact.
    fn number(&self, text: &str) -> Result<Number, CollectError> {
        let text = match text.trim() {
            "true" => "1",
            "false" => "0",
            text => text,
        };
        let wrong = |class, what: &str| {
            let text: String = text.chars().take(40).collect();
            self.error(class, &format!("{} holds {text:?}, which is {what}", self.value_column))
        };
        let not_finite =
            ["nan", "inf", "infinity"].contains(&text.trim_start_matches(['+', '-']).to_lowercase().as_str());
        if not_finite {
            return Err(wrong(ErrorClass::Range, "not finite; filter it out"));
        }
        if !is_decimal(text) {
            return Err(wrong(ErrorClass::Type, "no number; cast it, or name another value column"));
        }
        let (is_negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let digits = digits.strip_prefix('+').unwrap_or(digits);
        let number = match whole(digits) {
            Ok(whole) if is_negative => Number::Int(-i128::from(whole)),
            Ok(whole) => Number::Int(whole.into()),
            Err(_) => Number::Float(text.parse().map_err(|_| wrong(ErrorClass::Type, "no number"))?),
        };
        if !number.to_float().is_finite() {
            return Err(wrong(ErrorClass::Range, "too large"));
        }
        if self.figure.kind() == Kind::Counter && number.is_below(Number::Int(0)) {
            return Err(wrong(ErrorClass::Range, "negative, and a counter never is; make it a gauge"));
        }
        Ok(number)
    }

    fn error(&self, class: ErrorClass, text: &str) -> CollectError {
        CollectError::new(class, format!("{}: {text}", self.thing()))
    }
}
