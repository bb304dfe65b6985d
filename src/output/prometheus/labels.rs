//! Labels: the attributes of an instrument or the label pairs of a joined family, as a page can hold them.
//!
//! The usual case borrows; a vector is made only where a name has to change. Label names always rise strictly, so
//! that two series are the same exactly when their labels compare equal.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use prometheus::proto::LabelPair;

use super::escaping::{Escaping, is_plain_label};
use crate::catalog::Translation;
use crate::registry::Scope;

/// The labels of one series.
#[derive(Clone, Debug)]
pub(super) enum Labels<'a> {
    /// Attributes that are labels as they stand in every scheme, and those of their scope, which come before the
    /// attribute at `split`.
    Attributes { attributes: &'a [(String, String)], scope: ScopeLabels<'a>, split: usize },
    /// Label pairs that are labels as they stand.
    Pairs(&'a [LabelPair]),
    /// Anything that had to be changed or put in order.
    Made(Vec<Pair<'a>>),
}

/// A label's name and value.
pub(super) type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The labels that tell a scope, made once for all series of a family; empty where they are not shown.
#[derive(Clone, Debug)]
pub(super) struct ScopeLabels<'a> {
    /// As they are made from the scope, for series whose attributes have to be changed.
    pairs: Rc<[Pair<'a>]>,
    /// Whether they can stand among labels as they are: names rising and plain, no value empty.
    stand: bool,
}

impl<'a> ScopeLabels<'a> {
    /// Those of a scope (OpenTelemetry specification, compatibility/prometheus_and_openmetrics.md, "Instrumentation
    /// Scope").
    pub(super) fn of(scope: Option<&'a Scope>, translation: Translation) -> Self {
        let mut pairs: Vec<Pair<'a>> = scope.into_iter().flat_map(scope_pairs).collect();
        pairs.sort();
        let is_name = |name: &str| is_plain_label(name) && (!translation.escapes() || is_made_name(name));
        let stand = pairs.iter().all(|(name, value)| is_name(name) && !value.is_empty())
            && pairs.is_sorted_by(|a, b| a.0 < b.0);
        Self { pairs: pairs.into(), stand }
    }
}

impl<'a> Labels<'a> {
    /// Attributes and their scope as labels, by the OpenTelemetry specification
    /// (compatibility/prometheus_and_openmetrics.md, "Metric Attributes").
    ///
    /// An empty value means the same as no label, to Prometheus and in OpenMetrics; it is left out.
    pub(super) fn of_attributes(
        attributes: &'a [(String, String)],
        scope: &ScopeLabels<'a>,
        translation: Translation,
    ) -> Self {
        let as_they_stand = scope.stand
            && attributes.iter().all(|(key, value)| {
                is_made_name(key)
                    && !value.is_empty()
                    && is_readable(value)
                    && (scope.pairs.is_empty() || !key.starts_with(SCOPE))
            })
            && attributes.is_sorted_by(|a, b| a.0 < b.0);
        if as_they_stand {
            let split =
                if scope.pairs.is_empty() { 0 } else { attributes.partition_point(|(key, _)| key.as_str() < SCOPE) };
            return Self::Attributes { attributes, scope: scope.clone(), split };
        }
        let mut pairs: Vec<Pair<'a>> = attributes.iter().map(|(key, value)| (readable(key), readable(value))).collect();
        pairs.extend(scope.pairs.iter().cloned());
        renamed(pairs, |key| if translation.escapes() { made_name(key) } else { or_underscore(key) })
    }

    /// The labels of a joined family, as they are; `None` if a name is empty, reserved or there twice.
    pub(super) fn of_pairs(pairs: &'a [LabelPair]) -> Option<Self> {
        if pairs.iter().any(|pair| pair.name().is_empty() || pair.name().starts_with("__")) {
            return None;
        }
        let as_they_stand =
            pairs.iter().all(|pair| !pair.value().is_empty() && is_readable(pair.name()) && is_readable(pair.value()));
        if as_they_stand && pairs.is_sorted_by(|a, b| a.name() < b.name()) {
            return Some(Self::Pairs(pairs));
        }
        let mut made: Vec<_> = pairs.iter().map(|pair| (readable(pair.name()), readable(pair.value()))).collect();
        made.sort();
        let is_unique = made.windows(2).all(|two| two[0].0 != two[1].0);
        made.retain(|(_, value)| !value.is_empty());
        is_unique.then_some(Self::Made(made))
    }

    /// Whether they are the same in every escaping scheme.
    pub(super) fn are_plain(&self) -> bool {
        self.stand() || self.iter().all(|(name, _)| is_plain_label(name))
    }

    /// Whether they are known to need neither escaping nor quotes.
    pub(super) const fn stand(&self) -> bool {
        matches!(self, Self::Attributes { .. })
    }

    /// The same labels in a scheme.
    pub(super) fn escaped(self, escaping: Escaping) -> Self {
        if self.are_plain() {
            return self;
        }
        renamed(self.into_pairs(), |name| escaping.label(name))
    }

    /// Names and values, names rising, also to tell series apart by.
    pub(super) fn into_pairs(self) -> Vec<Pair<'a>> {
        match self {
            Self::Attributes { attributes, scope, split } => {
                let own = |(name, value): &'a (String, String)| (Cow::from(name), Cow::from(value));
                let (before, after) = attributes.split_at(split);
                before.iter().map(own).chain(scope.pairs.iter().cloned()).chain(after.iter().map(own)).collect()
            }
            Self::Pairs(pairs) => pairs.iter().map(|pair| (Cow::from(pair.name()), Cow::from(pair.value()))).collect(),
            Self::Made(made) => made,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Attributes { attributes, scope, .. } => attributes.len() + scope.pairs.len(),
            Self::Pairs(pairs) => pairs.len(),
            Self::Made(made) => made.len(),
        }
    }

    /// Names and values, names rising.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        fn text((name, value): &(String, String)) -> (&str, &str) {
            (name, value)
        }
        (0..self.len()).map(|at| match self {
            Self::Attributes { attributes, scope, split } => match at.checked_sub(*split) {
                Some(at) if at < scope.pairs.len() => (scope.pairs[at].0.as_ref(), scope.pairs[at].1.as_ref()),
                Some(_) => text(&attributes[at - scope.pairs.len()]),
                None => text(&attributes[at]),
            },
            Self::Pairs(pairs) => (pairs[at].name(), pairs[at].value()),
            Self::Made(made) => (made[at].0.as_ref(), made[at].1.as_ref()),
        })
    }

    /// Whether a label of this name is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.iter().any(|(held, _)| held == name)
    }

    /// The order of series on a page.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

/// What the names of the labels that tell a scope begin with.
const SCOPE: &str = "otel_scope_";

/// The labels that tell a series' scope.
fn scope_pairs(scope: &Scope) -> impl Iterator<Item = Pair<'_>> {
    let told = [
        ("otel_scope_name", Some(scope.name.as_str())),
        ("otel_scope_version", scope.version.as_deref()),
        ("otel_scope_schema_url", scope.schema_url.as_deref()),
    ];
    let told = told.into_iter().filter_map(|(key, value)| Some((Cow::Borrowed(key), readable(value?))));
    let attributes = scope.attributes.iter();
    told.chain(attributes.map(|(key, value)| (Cow::Owned(format!("{SCOPE}{}", readable(key))), readable(value))))
}

/// Labels under other names: of those that come to be called the same the values are joined with `;` in the order of
/// the names they had.
fn renamed<'a>(mut pairs: Vec<Pair<'a>>, name: impl Fn(&str) -> Cow<'_, str>) -> Labels<'a> {
    pairs.sort();
    let rename = |(held_name, value): Pair<'a>| match name(&held_name) {
        Cow::Borrowed(same) if same == held_name => (held_name, value),
        other => (Cow::Owned(other.into_owned()), value),
    };
    let mut made: Vec<Pair<'a>> = pairs.into_iter().map(rename).collect();
    // Stable, so that the values of one name stay in the order of the names they had.
    made.sort_by(|a, b| a.0.cmp(&b.0));
    made.dedup_by(|next, first| {
        let is_same = next.0 == first.0;
        if is_same {
            let joined = first.1.to_mut();
            joined.push(';');
            joined.push_str(&next.1);
        }
        is_same
    });
    made.retain(|(_, value)| !value.is_empty());
    Labels::Made(made)
}

/// A text without the one character at which the parser of Prometheus stops reading.
pub(super) fn readable(text: &str) -> Cow<'_, str> {
    if is_readable(text) { Cow::Borrowed(text) } else { Cow::Owned(text.replace('\0', "\u{fffd}")) }
}

fn is_readable(text: &str) -> bool {
    !text.contains('\0')
}

/// Whether a metric may have this name: `[a-zA-Z_:][a-zA-Z0-9_:]*` (exposition_formats.md, text 0.0.4).
pub(super) fn is_metric_name(name: &str) -> bool {
    const PARTS: [bool; 256] = {
        let (mut parts, mut byte) = ([false; 256], 0);
        while byte < parts.len() {
            let is_letter = (byte as u8).is_ascii_alphanumeric();
            parts[byte] = is_letter || byte == b'_' as usize || byte == b':' as usize;
            byte += 1;
        }
        parts
    };
    name.bytes().all(|byte| PARTS[usize::from(byte)])
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// Whether a label may have this name: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub(super) fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':')
}

/// A key as a label name of any characters, which must have one.
const fn or_underscore(key: &str) -> Cow<'_, str> {
    Cow::Borrowed(if key.is_empty() { "_" } else { key })
}

/// Whether [`made_name`] would leave this key alone.
fn is_made_name(key: &str) -> bool {
    let mut before = b'0';
    let is_part = |byte: u8| {
        let is_doubled = byte == b'_' && before == b'_';
        before = byte;
        byte.is_ascii_alphanumeric() || (byte == b'_' && !is_doubled)
    };
    key.bytes().all(is_part) && key.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// The label name of an attribute key: each run of other characters becomes one `_`; a leading digit gets `key_` in
/// front, as the Prometheus project's own translator writes it.
fn made_name(key: &str) -> Cow<'_, str> {
    if is_made_name(key) {
        return Cow::Borrowed(key);
    }
    let mut name = String::with_capacity(key.len() + 4);
    if key.starts_with(|first: char| first.is_ascii_digit()) {
        name.push_str("key_");
    }
    for c in key.chars() {
        let c = if c.is_ascii_alphanumeric() { c } else { '_' };
        if c != '_' || !name.ends_with('_') {
            name.push(c);
        }
    }
    if name.is_empty() {
        name.push('_');
    }
    Cow::Owned(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn none<'a>() -> ScopeLabels<'a> {
        ScopeLabels::of(None, Translation::default())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<LabelPair> {
        let pair = |(name, value): &(&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        pairs.iter().map(pair).collect()
    }

    fn shown(labels: &Labels<'_>) -> String {
        labels.iter().map(|(name, value)| format!("{name}={value} ")).collect()
    }

    #[test]
    fn f1_keys_become_label_names() {
        for (key, name) in [
            ("collection", "collection"),
            ("service.name", "service_name"),
            ("a..b--c", "a_b_c"),
            ("a__b", "a_b"),
            ("__name__", "_name_"),
            ("1st", "key_1st"),
            ("ключ", "_"),
            ("größe", "gr_e"),
            ("a:b", "a_b"),
            ("", "_"),
        ] {
            assert_eq!(made_name(key), name, "{key}");
            assert!(is_label_name(&made_name(key)), "{key}");
        }
    }

    #[test]
    fn f4_values_of_colliding_keys_are_joined_in_the_order_of_the_keys() {
        for given in [[("a_b", "3"), ("a.b", "2"), ("a-b", "1")], [("a-b", "1"), ("a.b", "2"), ("a_b", "3")]] {
            assert_eq!(
                shown(&Labels::of_attributes(&attributes(&given), &none(), Translation::default())),
                "a_b=1;2;3 "
            );
        }
    }

    #[test]
    fn ordinary_labels_are_borrowed() {
        let given = attributes(&[("a", "1"), ("b", "2")]);
        assert!(matches!(Labels::of_attributes(&given, &none(), Translation::default()), Labels::Attributes { .. }));
        let given = pairs(&[("a", "1"), ("b", "2")]);
        assert!(matches!(Labels::of_pairs(&given), Some(Labels::Pairs(_))));
    }

    #[test]
    fn labels_are_put_in_order_and_empty_values_left_out() {
        let given = attributes(&[("b", "2"), ("c", ""), ("a", "1")]);
        assert_eq!(shown(&Labels::of_attributes(&given, &none(), Translation::default())), "a=1 b=2 ");
        let given = pairs(&[("b", "2"), ("c", ""), ("a", "1")]);
        assert_eq!(shown(&Labels::of_pairs(&given).unwrap()), "a=1 b=2 ");
    }

    #[test]
    fn joined_labels_are_taken_as_they_are_or_not_at_all() {
        for bad in ["", "__name__", "__a.b"] {
            assert!(Labels::of_pairs(&pairs(&[(bad, "1")])).is_none(), "{bad}");
        }
        assert!(Labels::of_pairs(&pairs(&[("a", "1"), ("a", "2")])).is_none());
        assert!(Labels::of_pairs(&pairs(&[("a", "1"), ("a", "")])).is_none());
    }
}
