//! The check: reads every source once and tells what came of it: each figure with its value, how it was come by, what
//! it cost and how old it is, and what would make dear ones cheap.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::App;
use crate::catalog::FigureId;
use crate::clock::{Clock, Moment};
use crate::collector::{Finding, Outcome, Plan};
use crate::reading::{Number, Reading, Readings};

/// What a check found, for people.
pub struct Checked {
    /// The report, in lines.
    pub report: String,
    /// Whether every source was read whole.
    pub is_good: bool,
}

impl App {
    /// Reads every source once.
    pub async fn check(self) -> Checked {
        let mut checked = Checked { report: String::new(), is_good: true };
        for plan in self.sources.plans {
            checked.add(plan, &self.fixed.clock).await;
        }
        if checked.report.is_empty() {
            checked.report.push_str("no source is configured; name one for each of runtime, store and staging\n");
        }
        checked
    }
}

impl Checked {
    async fn add(&mut self, mut plan: Plan, clock: &Arc<dyn Clock>) {
        let collector = &mut plan.collector;
        let sections: Vec<_> = collector.sections().iter().map(|section| section.name().to_owned()).collect();
        let (source, began) = (collector.source(), clock.now());
        let read = tokio::time::timeout(plan.timeout, collector.collect(clock)).await;
        let now = clock.now();
        let head = format!("{} from {source}, every {:?}", sections.join(", "), plan.interval);
        let Ok(outcome) = read else {
            self.is_good = false;
            self.line(format_args!("{head}: no answer within {:?}; raise timeout or relieve the source", plan.timeout));
            return;
        };
        self.is_good &= outcome.errors.is_empty();
        self.line(format_args!("{head}: read in {:.1?}", now.since(began)));
        self.outcome(&outcome, now);
        let findings = tokio::time::timeout(plan.timeout, collector.examine(clock)).await;
        for finding in findings.unwrap_or_default() {
            self.finding(&finding);
        }
    }

    fn outcome(&mut self, outcome: &Outcome, now: Moment) {
        let rows: Vec<_> = outcome.readings.iter().flat_map(|readings| rows(readings, now)).collect();
        let width = rows.iter().map(|row| row.0.len()).max().unwrap_or(0);
        for (name, value, how) in rows {
            self.line(format_args!("  {name:width$}  {value:>14}  {how}"));
        }
        for (_, error) in &outcome.errors {
            self.line(format_args!("  FAILED ({}): {error}", error.class.name()));
        }
    }

    fn finding(&mut self, finding: &Finding) {
        self.line(format_args!("  {}: {}", finding.thing, finding.matter));
        for step in &finding.plan {
            self.line(format_args!("    plan: {step}"));
        }
        for remedy in &finding.remedies {
            self.line(format_args!("    remedy: {remedy}"));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a text cannot fail.
        let _ = writeln!(self.report, "{line}");
    }
}

/// The figures of a unit, each with its value and how it was come by.
fn rows(readings: &Readings, now: Moment) -> Vec<(String, String, String)> {
    let method = readings.values.iter().find(|reading| reading.figure == FigureId::StoreCountMethod);
    let method = method.and_then(|reading| attribute(reading, "method"));
    let mut how = method.map(str::to_owned).into_iter().collect::<Vec<_>>();
    if readings.cost > Duration::ZERO {
        how.push(format!("cost {:.1?}", readings.cost));
    }
    how.push(format!("age {:.0?}", now.since(readings.taken)));
    let how = how.join(", ");
    // How a count was made is said already, and that nothing was left out goes without saying.
    let is_shown = |reading: &&Reading| match reading.figure {
        FigureId::StoreCountMethod | FigureId::StoreCountLastExact => false,
        FigureId::CollectorOverflow => reading.value != Some(0),
        _ => true,
    };
    let row = |reading: &Reading| {
        let attributes = reading.attributes.iter().map(|(key, value)| (*key, value.as_str()));
        (name(reading.figure.figure().name, attributes), value(reading), how.clone())
    };
    let custom = readings.custom.iter().map(|reading| {
        let attributes = reading.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let value = match reading.value {
            Number::Int(int) => int.to_string(),
            Number::Float(float) => float.to_string(),
        };
        (name(reading.figure.name(), attributes), value, how.clone())
    });
    readings.values.iter().filter(is_shown).map(row).chain(custom).collect()
}

fn attribute<'a>(reading: &'a Reading, key: &str) -> Option<&'a str> {
    reading.attributes.iter().find(|(held, _)| *held == key).map(|(_, value)| value.as_str())
}

fn name<'a>(figure: &str, attributes: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let attributes: Vec<_> = attributes.map(|(key, value)| format!("{key}={value:?}")).collect();
    if attributes.is_empty() { figure.to_owned() } else { format!("{figure}{{{}}}", attributes.join(",")) }
}

fn value(reading: &Reading) -> String {
    let Some(value) = reading.value else { return "not known".to_owned() };
    if reading.figure.figure().is_seconds() {
        return format!("{:?}", Duration::from_nanos(value));
    }
    value.to_string()
}
