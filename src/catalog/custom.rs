//! Custom figures: what an operator defines beside the table. Checked once, when it is made, so that it can stand on
//! every face. How a figure is read is not known here.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Kind, READ_AT_AN_INTERVAL, prometheus_name};

/// What the name of every custom figure begins with.
pub const CUSTOM_PREFIX: &str = "linkit.custom.";

/// Most label sets of a custom figure. Its collector leaves out the rest and says so by
/// [`CollectorOverflow`](super::FigureId::CollectorOverflow): past the registry's own limit they would become one
/// series that means nothing.
pub const CUSTOM_SERIES_MAX: usize = 100;

/// Longest name of an instrument (OpenTelemetry specification, metrics/api.md, "Instrument name syntax").
const NAME_BYTES_MAX: usize = 255;

/// Longest unit of an instrument (the same, "Instrument unit").
const UNIT_BYTES_MAX: usize = 63;

/// What OpenMetrics appends to the names of samples; a name that ends so is taken for one of them.
const RESERVED_SUFFIXES: [&str; 5] = ["_bucket", "_count", "_created", "_info", "_sum"];

/// Labels with a meaning of their own: of buckets, of quantiles, and of the scraped target.
const RESERVED_LABELS: [&str; 4] = ["instance", "job", "le", "quantile"];

/// A figure of the operator's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomFigure {
    name: String,
    kind: Kind,
    unit: String,
    help: String,
    attributes: Vec<String>,
}

impl CustomFigure {
    /// A gauge or counter named [`CUSTOM_PREFIX`] and `name_suffix`, dotted lower-case words such as `orders.by_state`.
    /// The `unit` is in UCUM and may be empty, `help` is one line, `attributes` are the keys that tell its series
    /// apart.
    ///
    /// # Errors
    /// When one of them cannot stand on every face; the text names the figure, the cause and the remedy.
    pub fn new(
        name_suffix: &str,
        kind: Kind,
        unit: &str,
        help: &str,
        mut attributes: Vec<String>,
    ) -> Result<Self, String> {
        attributes.sort();
        let figure = Self {
            name: format!("{CUSTOM_PREFIX}{name_suffix}"),
            kind,
            unit: unit.to_owned(),
            help: help.trim().to_owned(),
            attributes,
        };
        let flaw = figure.flaw_of_name(name_suffix).or_else(|| figure.flaw_of_attributes()).or_else(|| figure.flaw());
        flaw.map_or(Ok(figure), |flaw| Err(format!("custom figure {name_suffix:?}: {flaw}")))
    }

    fn flaw_of_name(&self, suffix: &str) -> Option<String> {
        let is_word = |word: &str| {
            word.starts_with(|first: char| first.is_ascii_lowercase())
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        if !suffix.split('.').all(is_word) {
            return Some("its name is not dotted lower-case words; write it as in orders.by_state".to_owned());
        }
        if self.name.len() > NAME_BYTES_MAX {
            return Some(format!("its name is longer than {NAME_BYTES_MAX} bytes with its prefix; shorten it"));
        }
        let page_name = self.prometheus_name();
        let stem = self.page_stem(&page_name);
        let reserved = RESERVED_SUFFIXES.iter().find(|reserved| stem.ends_with(*reserved))?;
        Some(format!("its name on the scrape page, {stem}, ends in {reserved}, which is reserved; rename it"))
    }

    fn flaw_of_attributes(&self) -> Option<String> {
        for (at, key) in self.attributes.iter().enumerate() {
            let is_name = key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !is_name {
                return Some(format!("label {key:?} is not letters, digits and underscores; rename it"));
            }
            // Within a name they would become one on the scrape page, at its start they are Prometheus' own.
            if key.contains("__") {
                return Some(format!("label {key} has two underscores in a row, which are reserved; rename it"));
            }
            if RESERVED_LABELS.contains(&key.as_str()) {
                return Some(format!("label {key} is reserved by Prometheus; rename it"));
            }
            if self.attributes.get(at + 1) == Some(key) {
                return Some(format!("label {key} is there twice; remove one"));
            }
        }
        None
    }

    fn flaw(&self) -> Option<String> {
        let is_printable = |c: char| c == ' ' || c.is_ascii_graphic();
        if self.kind == Kind::Histogram {
            Some("it is a histogram, which cannot be read; make it a gauge or a counter".to_owned())
        } else if self.help.is_empty() || self.help.contains(char::is_control) {
            Some("its help is not one line; say in one sentence what it means".to_owned())
        } else if self.unit.len() > UNIT_BYTES_MAX || !self.unit.chars().all(is_printable) {
            Some(format!("its unit is not printable ASCII of up to {UNIT_BYTES_MAX} bytes; write it in UCUM, as in By"))
        } else {
            None
        }
    }

    /// The OpenTelemetry instrument name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gauge or counter.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The unit in UCUM; its readings are in it as they are.
    #[must_use]
    pub fn unit(&self) -> &str {
        &self.unit
    }

    /// What it means, in one line.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.help
    }

    /// Attribute keys, sorted.
    #[must_use]
    pub fn attributes(&self) -> &[String] {
        &self.attributes
    }

    /// Its description as an instrument.
    #[must_use]
    pub fn description(&self) -> String {
        let stop = if self.help.ends_with(['.', '!', '?']) { "" } else { "." };
        format!("{}{stop}{READ_AT_AN_INTERVAL}", self.help)
    }

    /// The name on the scrape page, derived from name, unit and kind.
    #[must_use]
    pub fn prometheus_name(&self) -> String {
        prometheus_name(&self.name, &self.unit, self.kind)
    }

    /// The name of its family in OpenMetrics.
    fn page_stem<'a>(&self, page_name: &'a str) -> &'a str {
        page_name.strip_suffix("_total").filter(|_| self.kind == Kind::Counter).unwrap_or(page_name)
    }

    /// Every name that the figure or one of its samples has on the scrape page (OpenMetrics 1.0, "MetricFamily").
    fn page_names(&self) -> Vec<String> {
        let page_name = self.prometheus_name();
        let stem = self.page_stem(&page_name);
        let suffixes: &[&str] = if self.kind == Kind::Counter { &["", "_total", "_created"] } else { &[""] };
        suffixes.iter().map(|suffix| format!("{stem}{suffix}")).collect()
    }
}

/// Checks that no two figures would have the same name on the scrape page, where only one of them could stand.
///
/// # Errors
/// When two would; the text names both.
pub fn check_page_names(figures: &[Arc<CustomFigure>]) -> Result<(), String> {
    let mut claimed: HashMap<String, &str> = HashMap::new();
    for figure in figures {
        for name in figure.page_names() {
            if let Some(other) = claimed.get(&name) {
                let figure = figure.name();
                return Err(format!(
                    "custom figures {other} and {figure} are both {name} on the scrape page; rename one of them"
                ));
            }
            claimed.insert(name, figure.name());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(name: &str, kind: Kind, unit: &str, attributes: &[&str]) -> Result<CustomFigure, String> {
        CustomFigure::new(name, kind, unit, "Some thing", attributes.iter().map(|key| (*key).to_owned()).collect())
    }

    #[test]
    fn a_figure_has_the_prefix_sorted_attributes_and_a_derived_name() {
        let figure = figure("orders.by_state", Kind::Counter, "By", &["state", "Shop", "_x9"]).unwrap();
        assert_eq!(
            (figure.name(), figure.kind(), figure.unit()),
            ("linkit.custom.orders.by_state", Kind::Counter, "By")
        );
        assert_eq!(figure.attributes(), ["Shop", "_x9", "state"]);
        assert_eq!(figure.prometheus_name(), "linkit_custom_orders_by_state_bytes_total");
        assert_eq!(figure.description(), "Some thing. Read at an interval, not at the scrape.");
    }

    #[test]
    fn what_cannot_stand_on_every_face_is_refused_with_its_cause() {
        let long = "a".repeat(NAME_BYTES_MAX - CUSTOM_PREFIX.len() + 1);
        for name in ["", ".", "a.", ".a", "a..b", "Orders", "1st", "_a", "a.1", "a-b", "größe"] {
            let error = figure(name, Kind::Gauge, "", &[]).unwrap_err();
            assert!(error.starts_with(&format!("custom figure {name:?}: its name is not")), "{error}");
        }
        assert!(figure(&long[1..], Kind::Gauge, "", &[]).is_ok());
        let unit = "u".repeat(UNIT_BYTES_MAX);
        assert!(figure("a", Kind::Gauge, &unit, &[]).is_ok());
        for (error, cause) in [
            (figure(&long, Kind::Gauge, "", &[]), "longer than 255"),
            (figure("a", Kind::Histogram, "", &[]), "histogram"),
            (figure("a", Kind::Gauge, &format!("{unit}u"), &[]), "its unit"),
            (figure("a", Kind::Gauge, "°C", &[]), "its unit"),
            (figure("a", Kind::Gauge, "a\tb", &[]), "its unit"),
            (CustomFigure::new("a", Kind::Gauge, "", " ", Vec::new()), "its help"),
            (CustomFigure::new("a", Kind::Gauge, "", "two\nlines", Vec::new()), "its help"),
            (figure("a", Kind::Gauge, "", &["b", "c", "b"]), "label b is there twice"),
        ] {
            let error = error.unwrap_err();
            assert!(error.contains(cause), "{error}");
        }
        for key in ["", "1a", "a.b", "a-b", "é", "__a", "a__b", "le", "quantile", "job", "instance"] {
            assert!(figure("a", Kind::Gauge, "", &[key]).unwrap_err().contains("label"), "{key}");
        }
    }

    #[test]
    fn names_that_end_like_samples_of_other_kinds_are_refused() {
        for suffix in ["bucket", "count", "sum", "created", "info"] {
            for (name, kind) in [(format!("a.{suffix}"), Kind::Gauge), (format!("a_{suffix}"), Kind::Counter)] {
                let error = figure(&name, kind, "", &[]).unwrap_err();
                assert!(error.contains(&format!("linkit_custom_a_{suffix}, ends in _{suffix}")), "{error}");
            }
        }
        assert!(figure("count", Kind::Gauge, "By", &[]).is_ok());
    }

    #[test]
    fn two_that_would_be_one_on_the_page_are_found() {
        let check = |figures: [(&str, Kind, &str); 2]| {
            check_page_names(&figures.map(|(name, kind, unit)| Arc::new(figure(name, kind, unit, &[]).unwrap())))
        };
        let (gauge, counter) = (Kind::Gauge, Kind::Counter);
        for (one, other) in [
            (("a.b", gauge, ""), ("a_b", gauge, "")),
            (("a.b", gauge, ""), ("a.b", counter, "")),
            (("x_total", gauge, ""), ("x", counter, "")),
            (("x", counter, ""), ("x_total", counter, "")),
            (("x", gauge, "By"), ("x.bytes", gauge, "")),
        ] {
            let error = check([one, other]).unwrap_err();
            for (name, ..) in [one, other] {
                assert!(error.contains(&format!("linkit.custom.{name} ")), "{error}");
            }
        }
        for (one, other) in [
            (("x_total", gauge, ""), ("x", gauge, "")),
            (("x", gauge, "By"), ("x", gauge, "s")),
            (("a", counter, ""), ("b", counter, "")),
        ] {
            assert_eq!(check([one, other]), Ok(()));
        }
    }
}
