//! What is said of sections and collectors: how old they are, what of them was never read, whether they are up.

use super::families::Figures;
use super::{Collected, CollectorStatus, Registry, SectionStatus, State};
use crate::catalog::{FigureId, Section, json_fields};
use crate::clock::Moment;
use crate::reading::{Age, Reading};

impl Registry {
    /// The age of the oldest thing a collector reads of a section, beyond the documented figures too.
    pub(super) fn collector_age(
        &self,
        state: &State,
        sections: &[SectionStatus; 3],
        status: &CollectorStatus,
        now: Moment,
    ) -> Age {
        let units = state.held.iter().filter(|((section, _), _)| *section == status.section);
        let oldest = units.map(|(_, unit)| Age::of(now.since(unit.readings.taken), state.ages)).max();
        let documented = sections.iter().find(|section| section.section == status.section).map(|section| section.age);
        documented.max(oldest).unwrap_or(Age::Never)
    }

    pub(super) fn section_status(&self, state: &State, section: Section, now: Moment) -> SectionStatus {
        let has_source = state.collectors.iter().any(|held| held.status.section == section);
        let mut status = SectionStatus {
            section: section.clone(),
            has_source,
            age: Age::Fresh,
            measured: None,
            absent: vec![],
            missing: vec![],
        };
        let units = state.held.range((section.clone(), String::new())..).take_while(|((held, _), _)| *held == section);
        let units: Vec<_> = units.map(|(_, unit)| &unit.readings).collect();
        for (figure, field) in json_fields(&section) {
            let is_it = |reading: &&Reading| {
                reading.figure == figure.id
                    && field.series.is_none_or(|series| reading.attributes.iter().any(|(_, value)| value == series))
            };
            let found = units.iter().find_map(|unit| unit.values.iter().find(is_it).map(|it| (it, unit.taken)));
            let Some((reading, taken)) = found else {
                status.missing.push(field.name);
                continue;
            };
            if reading.value.is_none() {
                status.absent.push(field.name);
            }
            status.age = status.age.max(Age::of(now.since(taken), state.ages));
            status.measured =
                Some(status.measured.map_or(taken, |oldest| if taken.mono < oldest.mono { taken } else { oldest }));
        }
        if !status.missing.is_empty() {
            (status.age, status.measured) = (Age::Never, None);
        }
        status
    }
}

/// The bridge's own figures about one collector; whether it is up is not known before its first attempt.
pub(super) fn add_collector_figures(
    figures: &mut Figures,
    status: &CollectorStatus,
    collected: &Collected,
    now: Moment,
) {
    let attributes = vec![("collector", status.section.name().to_owned()), ("source", status.source.to_owned())];
    let mut add = |figure, value| {
        figures.add(Reading { attributes: attributes.clone(), ..Reading::of(figure, value) }, now.wall);
    };
    add(FigureId::CollectorStaleness, status.age.as_figure());
    if let Some(up) = status.up {
        add(FigureId::CollectorUp, u64::from(up));
    }
    if let Some(success) = status.last_success {
        add(FigureId::CollectorLastSuccess, success.wall.0);
    }
    for (class, count) in &collected.errors {
        let mut attributes = attributes.clone();
        attributes.insert(0, ("class", (*class).to_owned()));
        let errors = Reading::of(FigureId::CollectorErrors, *count).starting(collected.since);
        figures.add(Reading { attributes, ..errors }, now.wall);
    }
}
