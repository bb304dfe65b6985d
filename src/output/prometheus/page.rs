//! The families of one page: gathered, checked against each other, in order. Which format they are written in plays no
//! part, so that every format shows the same; and what stands on a page is the same in every escaping scheme: names
//! that become one in some scheme are judged as one in all.

use std::collections::{HashMap, HashSet};

use prometheus::proto::MetricFamily;

use super::family::{Origin, PageFamily, PageKind};
use super::{DropReason, Dropped, Escaping, PageConfig, Selection, joined};
use crate::registry::Snapshot;

/// What writes a page.
pub(super) trait Write {
    /// Writes a family whose series are not made yet as it stood on the last page, with its new values; whether it
    /// could.
    fn again(&mut self, _family: &PageFamily<'_>) -> bool {
        false
    }

    /// Writes a family. One that still has its layout has all its points as series, in their order.
    fn family(&mut self, family: &PageFamily<'_>);
}

/// The families of one page, before they are escaped.
#[derive(Debug)]
pub(super) struct Page<'a> {
    /// Families that underscores make one, together.
    groups: Vec<Vec<PageFamily<'a>>>,
    dropped: Vec<Dropped>,
    /// Every name a family or one of its samples can have, with its group.
    claimed: HashMap<String, usize>,
}

impl<'a> Page<'a> {
    /// Gathers a page: first come, first served, in the order resource, instruments by OpenTelemetry name, joined
    /// families.
    pub(super) fn new(snapshot: &'a Snapshot, joined: &'a [MetricFamily], config: &PageConfig) -> Self {
        let most = snapshot.families.len() + joined.len() + 1;
        let (groups, claimed) = (Vec::with_capacity(most), HashMap::with_capacity(most));
        let mut page = Self { groups, claimed, dropped: Vec::new() };
        let resource = config.target_info.then_some(&*snapshot.resource);
        if let Some(target) = resource.and_then(|resource| PageFamily::of_resource(resource, config)) {
            page.add(target);
        }
        for family in &snapshot.families {
            page.add(PageFamily::of_instrument(family, snapshot, config));
        }
        for family in joined {
            let (family, reason) = joined::family(family);
            if let Some(reason) = reason {
                page.report(&family, reason);
            }
            page.add(family);
        }
        page
    }

    /// Hands the families to `write` as they are written in a scheme, those of `selection` alone: sorted by name, the
    /// resource first (OpenMetrics 1.0, "Supporting target metadata"). What could not stand on the page is answered; it
    /// is the same for every view, so those that are not shown are judged too.
    pub(super) fn write(mut self, escaping: Escaping, selection: &Selection, writer: &mut impl Write) -> Vec<Dropped> {
        self.claimed = HashMap::new();
        for mut family in self.families(escaping) {
            let is_shown = family.origin == Origin::Resource || selection.shows(family.section);
            if is_shown && writer.again(&family) {
                continue;
            }
            // A family alone was not judged yet: so the page needs the series of one at a time.
            if family.points.is_some() {
                family.make_series();
                let points = family.series.len();
                self.tidy(std::slice::from_mut(&mut family));
                family.layout = family.layout.filter(|_| family.series.len() == points);
            }
            if is_shown && !family.is_empty() {
                family.escape_labels(escaping);
                family.native_all_or_none();
                let is_as_read = family.sort();
                family.layout = family.layout.filter(|_| is_as_read);
                writer.family(&family);
            }
        }
        self.dropped.sort();
        self.dropped.dedup();
        self.dropped
    }

    /// About how many bytes the page takes, so that it rarely has to grow.
    pub(super) fn estimate(&self, estimate: impl Fn(&PageFamily<'a>) -> usize) -> usize {
        self.groups.iter().flatten().map(estimate).sum()
    }

    /// The families in the order of the page; those of one group that a scheme gives one name are one.
    fn families(&mut self, escaping: Escaping) -> Vec<PageFamily<'a>> {
        let mut families: Vec<PageFamily<'a>> = Vec::with_capacity(self.groups.len());
        for mut group in std::mem::take(&mut self.groups) {
            if group.len() > 1 || group[0].points.is_none() {
                group.iter_mut().for_each(|family| {
                    family.make_series();
                    family.layout = None;
                });
                self.tidy(&mut group);
            }
            let first = families.len();
            for mut family in group {
                family.escape_name(escaping);
                match families[first..].iter_mut().find(|held| held.name == family.name) {
                    Some(held) => {
                        held.series.extend(family.series);
                        held.layout = None;
                    }
                    None => families.push(family),
                }
            }
        }
        families.sort_by(|a, b| {
            let is_later = |family: &PageFamily<'_>| family.kind != PageKind::Info;
            is_later(a).cmp(&is_later(b)).then_with(|| a.name.cmp(&b.name))
        });
        families
    }

    /// Adds a family, beside one that it can be shown with; dropped if one of its names is taken by another (OpenMetrics
    /// 1.0, "MetricFamily": names and suffixes must not clash).
    fn add(&mut self, family: PageFamily<'a>) {
        if family.is_empty() {
            return;
        }
        let names = family.sample_names();
        if names.is_empty() {
            return self.report(&family, DropReason::Name);
        }
        let mut groups: Vec<_> = names.iter().filter_map(|name| self.claimed.get(name)).copied().collect();
        groups.sort_unstable();
        groups.dedup();
        let group = match *groups {
            [] => {
                self.groups.push(vec![family]);
                self.groups.len() - 1
            }
            [group] if self.groups[group][0].takes(&family) => {
                let first = &self.groups[group][0];
                if first.help != family.help {
                    let with = first.name.clone().into_owned();
                    self.report(&family, DropReason::Help { with });
                }
                self.groups[group].push(family);
                group
            }
            [group, ..] => {
                let with = self.groups[group][0].name.clone().into_owned();
                return self.report(&family, DropReason::Clash { with });
            }
        };
        self.claimed.extend(names.into_iter().map(|name| (name, group)));
    }

    /// Leaves out series that cannot stand on a page. Of those that come to be the same in some scheme the first stays.
    fn tidy(&mut self, group: &mut [PageFamily<'a>]) {
        for family in &mut *group {
            for reason in family.tidy() {
                self.report(family, reason);
            }
        }
        let is_plain = |family: &PageFamily<'_>| family.series.iter().all(|series| series.labels.are_plain());
        let is_unique = |family: &PageFamily<'_>| {
            family.series.is_sorted_by(|a, b| a.labels.order(&b.labels).is_lt()) && is_plain(family)
        };
        if let [family] = &*group
            && is_unique(family)
        {
            return;
        }
        let schemes: &[_] = if group.iter().all(is_plain) { &[Escaping::Underscores] } else { &Escaping::ALL };
        let mut seen = HashSet::new();
        for family in group {
            let before = family.series.len();
            family.series.retain(|series| {
                let forms = schemes.iter().map(|scheme| (*scheme, series.labels.clone().escaped(*scheme).into_pairs()));
                let forms: Vec<_> = forms.collect();
                let is_new = forms.iter().all(|form| !seen.contains(form));
                if is_new {
                    seen.extend(forms);
                }
                is_new
            });
            if family.series.len() < before {
                self.report(family, DropReason::Duplicate);
            }
        }
    }

    fn report(&mut self, family: &PageFamily<'_>, reason: DropReason) {
        let family = match family.origin {
            Origin::Instrument(name) => name.to_owned(),
            Origin::Resource | Origin::Joined => family.name.clone().into_owned(),
        };
        self.dropped.push(Dropped { family, reason });
    }
}

impl PageFamily<'_> {
    /// Whether another family's series can be shown as this one's.
    fn takes(&self, other: &Self) -> bool {
        let escaped = |family: &Self| Escaping::Underscores.metric(&family.name).into_owned();
        std::mem::discriminant(&self.origin) == std::mem::discriminant(&other.origin)
            && self.origin != Origin::Resource
            && (self.kind, self.unit) == (other.kind, other.unit)
            && escaped(self) == escaped(other)
    }
}
