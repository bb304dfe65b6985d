//! Escaping schemes: what becomes of names with characters outside `[a-zA-Z0-9_:]` (prometheus/docs,
//! escaping_schemes.md). Pure functions of one name; what happens when two become the same is `page.rs`'.
//!
//! As in the Prometheus project's own encoder (prometheus/common, `EscapeMetricFamily`), a name that needs no escaping
//! stays as it is in every scheme, and what that encoder writes is written where the document says otherwise: two
//! underscores for a character of `dots`, lower-case digits in `values`.

use std::borrow::Cow;

use super::labels::{is_label_name, is_metric_name};

/// What Prometheus' own labels begin with, such as `__name__`, which holds the metric's name.
const RESERVED: &str = "__";

/// A scheme.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Escaping {
    /// Each such character becomes `_`; the default.
    #[default]
    Underscores,
    /// A dot becomes `_dot_`, `_` and any other such character `__`.
    Dots,
    /// `U__`, then each such character as its code point, `_2e_`, and `_` as `__`: the one that can be undone.
    Values,
    /// None: names are written as they are, in quotes where a format needs them.
    AllowUtf8,
}

impl Escaping {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Underscores, Self::Dots, Self::Values, Self::AllowUtf8];

    /// Its name in headers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
            Self::AllowUtf8 => "allow-utf-8",
        }
    }

    /// The scheme of this name, in whatever case; `allow-utf8` too, as the document on negotiation spells it.
    pub(super) fn named(name: &str) -> Option<Self> {
        let is_it = |scheme: &Self| scheme.name().eq_ignore_ascii_case(name);
        let alias = || name.eq_ignore_ascii_case("allow-utf8").then_some(Self::AllowUtf8);
        Self::ALL.into_iter().find(is_it).or_else(alias)
    }

    /// The name of a family in this scheme.
    pub(super) fn metric(self, name: &str) -> Cow<'_, str> {
        if self == Self::AllowUtf8 || is_metric_name(name) { Cow::Borrowed(name) } else { self.escape(name, true) }
    }

    /// The name of a label in this scheme. Colons are none of its characters; and none may come to be one of Prometheus'
    /// own, which parsers refuse or take for the metric's name: it begins with one `_`.
    pub(super) fn label(self, name: &str) -> Cow<'_, str> {
        let is_left = self == Self::AllowUtf8 || is_label_name(name);
        let escaped = if is_left { Cow::Borrowed(name) } else { self.escape(name, false) };
        if escaped.starts_with(RESERVED) {
            return Cow::Owned(format!("_{}", escaped.trim_start_matches('_')));
        }
        escaped
    }

    fn escape(self, name: &str, allows_colons: bool) -> Cow<'_, str> {
        let mut out = String::with_capacity(name.len() + 8);
        if self == Self::Values {
            out.push_str("U__");
        }
        for (at, c) in name.char_indices() {
            let is_legal = c.is_ascii_alphabetic() || (c.is_ascii_digit() && at > 0) || (c == ':' && allows_colons);
            match self {
                _ if is_legal => out.push(c),
                Self::Underscores | Self::AllowUtf8 => out.push('_'),
                Self::Dots => out.push_str(if c == '.' { "_dot_" } else { "__" }),
                Self::Values if c == '_' => out.push_str("__"),
                Self::Values => out.push_str(&format!("_{:x}_", u32::from(c))),
            }
        }
        Cow::Owned(out)
    }
}

/// Whether a label's name is the same in every scheme.
pub(super) fn is_plain_label(name: &str) -> bool {
    is_label_name(name) && !name.starts_with(RESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a7_names_are_escaped_as_prometheus_itself_does() {
        // From prometheus/common, TestEscapeName, but for legacy names, which its encoder leaves alone.
        for (name, underscores, dots, values) in [
            ("", "", "", "U__"),
            (
                "mysystem.prod.west.cpu.load",
                "mysystem_prod_west_cpu_load",
                "mysystem_dot_prod_dot_west_dot_cpu_dot_load",
                "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load",
            ),
            (
                "mysystem.prod.west.cpu.load_total",
                "mysystem_prod_west_cpu_load_total",
                "mysystem_dot_prod_dot_west_dot_cpu_dot_load__total",
                "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load__total",
            ),
            ("http.status:sum", "http_status:sum", "http_dot_status:sum", "U__http_2e_status:sum"),
            ("label with 😱", "label_with__", "label__with____", "U__label_20_with_20__1f631_"),
            ("花火", "__", "____", "U___82b1__706b_"),
            ("1st", "_st", "__st", "U___31_st"),
            ("no:escaping_required", "no:escaping_required", "no:escaping_required", "no:escaping_required"),
        ] {
            let of = |scheme: Escaping| scheme.metric(name).into_owned();
            assert_eq!(
                [of(Escaping::Underscores), of(Escaping::Dots), of(Escaping::Values)],
                [underscores, dots, values]
            );
            assert_eq!(of(Escaping::AllowUtf8), name);
        }
    }

    #[test]
    fn labels_have_no_colons_and_never_become_those_of_prometheus() {
        for (scheme, name, expected) in [
            (Escaping::Underscores, "a:b", "a_b"),
            (Escaping::Values, "a:b", "U__a_3a_b"),
            (Escaping::AllowUtf8, "a:b", "a:b"),
            (Escaping::Underscores, "..name..", "_name__"),
            (Escaping::Dots, "-name-", "_name__"),
            (Escaping::Dots, "花火", "_"),
            (Escaping::AllowUtf8, "__name__", "_name__"),
            (Escaping::Values, "__name__", "_name__"),
        ] {
            assert_eq!(scheme.label(name), expected, "{scheme:?} {name}");
        }
    }

    #[test]
    fn schemes_are_found_by_name() {
        for scheme in Escaping::ALL {
            assert_eq!(Escaping::named(&scheme.name().to_uppercase()), Some(scheme));
        }
        assert_eq!(Escaping::named("allow-utf8"), Some(Escaping::AllowUtf8));
        assert_eq!(Escaping::named("none"), None);
    }
}
