//! The settings of the scrape page: the specification's for an exporter to Prometheus (OpenTelemetry specification,
//! metrics/sdk_exporters/prometheus.md, "Configuration").

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::WebConfig;
use crate::output::{PageConfig, Translation};

/// The scrape page.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PageSection {
    /// How OpenTelemetry names become names on the page; default `UnderscoreEscapingWithSuffixes`.
    pub translation_strategy: Option<Translation>,
    /// Whether the resource stands on the page, as `target_info`; default true.
    #[serde(deserialize_with = "switch")]
    pub target_info: Option<bool>,
    /// Whether each series tells its scope, in labels `otel_scope_…`; default true.
    #[serde(deserialize_with = "switch")]
    pub scope_labels: Option<bool>,
}

impl WebConfig {
    /// How the page is, with the defaults.
    #[must_use]
    pub fn page(&self) -> PageConfig {
        let (page, default) = (self.page.unwrap_or_default(), PageConfig::default());
        PageConfig {
            translation: page.translation_strategy.unwrap_or(default.translation),
            target_info: page.target_info.unwrap_or(default.target_info),
            scope_labels: page.scope_labels.unwrap_or(default.scope_labels),
        }
    }
}

/// `true` or `false`, also as the text that a variable brings.
pub(super) fn switch<'de, D: Deserializer<'de>>(value: D) -> Result<Option<bool>, D::Error> {
    value.deserialize_any(Switch).map(Some)
}

struct Switch;

impl Visitor<'_> for Switch {
    type Value = bool;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("true or false")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        Ok(value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn the_page_is_the_specifications_unless_it_is_set() {
        let of = |text: &str, env: &dyn Fn(&str) -> Option<String>| {
            Config::parse("bridge.yml", text, env).map(|config| config.web.page()).map_err(|error| error.to_string())
        };
        let none = |_: &str| None;
        assert_eq!(of("", &none), Ok(PageConfig::default()));
        let set = "web: { page: { translation_strategy: NoUTF8EscapingWithSuffixes, scope_labels: false } }\n";
        let expected = PageConfig {
            translation: Translation::NoUtf8EscapingWithSuffixes,
            scope_labels: false,
            ..PageConfig::default()
        };
        assert_eq!(of(set, &none), Ok(expected));
        let env = |name: &str| match name {
            "LINKIT_BRIDGE_WEB_PAGE_SCOPE_LABELS" => Some("true".to_owned()),
            "LINKIT_BRIDGE_WEB_PAGE_TARGET_INFO" => Some("false".to_owned()),
            _ => None,
        };
        assert_eq!(of(set, &env), Ok(PageConfig { scope_labels: true, target_info: false, ..expected }));
        for (text, part) in [
            (
                "web:\n  page:\n    scope_label: true\n",
                "bridge.yml:3: unknown key scope_label; did you mean scope_labels?",
            ),
            ("web:\n  page:\n    target_info: maybe\n", "bridge.yml:3: "),
            ("web:\n  page:\n    translation_strategy: NoTranslations\n", "did you mean NoTranslation?"),
        ] {
            let error = of(text, &none).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
