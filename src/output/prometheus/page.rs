//! The families of one page: gathered, checked against each other, in order. Which format they are written in plays no
//! part, so that every format shows the same.

use std::collections::HashMap;

use prometheus::proto::MetricFamily;

use super::family::{Origin, PageFamily, PageKind};
use super::{DropReason, Dropped, joined};
use crate::registry::Snapshot;

/// The families of one page.
#[derive(Debug, Default)]
pub(super) struct Page<'a> {
    pub(super) families: Vec<PageFamily<'a>>,
    pub(super) dropped: Vec<Dropped>,
    /// Every name a family or one of its samples can have, with the family's place.
    claimed: HashMap<String, usize>,
}

impl<'a> Page<'a> {
    /// Gathers a page: first come, first served, in the order resource, instruments by OpenTelemetry name, joined
    /// families; then sorted by name, the resource first (OpenMetrics 1.0, "Supporting target metadata").
    pub(super) fn new(snapshot: &'a Snapshot, joined: &'a [MetricFamily]) -> Self {
        let mut page = Self::default();
        if let Some(target) = PageFamily::of_resource(&snapshot.resource) {
            page.add(target);
        }
        for family in &snapshot.families {
            page.add(PageFamily::of_instrument(family));
        }
        for family in joined {
            let (family, reason) = joined::family(family);
            if let Some(reason) = reason {
                page.report(&family, reason);
            }
            page.add(family);
        }
        page.finish();
        page
    }

    /// Adds a family, or its series to one of the same name, kind, unit and origin; dropped if one of its names is
    /// taken (OpenMetrics 1.0, "MetricFamily": names and suffixes must not clash).
    fn add(&mut self, family: PageFamily<'a>) {
        if family.series.is_empty() {
            return;
        }
        if !family.has_valid_name() {
            return self.report(&family, DropReason::Name);
        }
        let stem = family.stem().to_owned();
        let names: Vec<String> = family.suffixes().iter().map(|suffix| format!("{stem}{suffix}")).collect();
        let Some(held) = names.iter().find_map(|name| self.claimed.get(name)) else {
            for name in names {
                self.claimed.insert(name, self.families.len());
            }
            self.families.push(family);
            return;
        };
        let held = &mut self.families[*held];
        if held.takes(&family) {
            held.series.extend(family.series);
        } else {
            let with = held.name.clone().into_owned();
            self.report(&family, DropReason::Clash { with });
        }
    }

    /// Leaves out series that cannot stand on a page and families without series, and sorts the rest.
    fn finish(&mut self) {
        let mut families = std::mem::take(&mut self.families);
        for family in &mut families {
            for reason in family.tidy() {
                self.report(family, reason);
            }
        }
        families.retain(|family| !family.series.is_empty());
        families.sort_by(|a, b| {
            let is_later = |family: &PageFamily<'_>| family.kind != PageKind::Info;
            is_later(a).cmp(&is_later(b)).then_with(|| a.name.cmp(&b.name))
        });
        self.families = families;
    }

    fn report(&mut self, family: &PageFamily<'_>, reason: DropReason) {
        let family = match family.origin {
            Origin::Instrument(name) => name.to_owned(),
            Origin::Resource | Origin::Joined => family.name.clone().into_owned(),
        };
        let dropped = Dropped { family, reason };
        if !self.dropped.contains(&dropped) {
            self.dropped.push(dropped);
        }
    }
}

impl PageFamily<'_> {
    /// Whether another family's series can be shown as this one's.
    fn takes(&self, other: &Self) -> bool {
        std::mem::discriminant(&self.origin) == std::mem::discriminant(&other.origin)
            && self.origin != Origin::Resource
            && (&self.name, self.kind, self.unit) == (&other.name, other.kind, other.unit)
    }
}
