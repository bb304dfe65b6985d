//! Where the page for people leads to beyond the bridge: what the operator has elsewhere.

use serde::Deserialize;

use super::WebConfig;
use crate::output::html::Links;

/// Addresses on the page for people.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinksSection {
    /// Of the dashboards, such as `https://grafana.example/d/linkit-overview`.
    pub dashboards: Option<String>,
    /// Of the documents with the runbooks, such as `https://git.example/linkit-bridge/blob/main/docs`.
    pub documents: Option<String>,
}

impl LinksSection {
    /// What of it is wrong. A link that is no address of the web could run something in the page.
    pub(super) fn problem(&self) -> Option<String> {
        let links = [("dashboards", &self.dashboards), ("documents", &self.documents)];
        let is_wrong = |link: &str| {
            !["http://", "https://"].iter().any(|scheme| link.len() > scheme.len() && link.starts_with(scheme))
                || link.contains(|c: char| c.is_whitespace() || c.is_control())
        };
        let (name, _) = links.into_iter().find(|(_, link)| link.as_deref().is_some_and(is_wrong))?;
        Some(format!("web.links.{name} must be an address that begins with http:// or https://"))
    }
}

impl WebConfig {
    /// Where the page for people leads to.
    #[must_use]
    pub fn links(&self) -> Links {
        let LinksSection { dashboards, documents } = self.links.clone().unwrap_or_default();
        Links { dashboards, documents }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn only_addresses_of_the_web_are_links() {
        let of = |link: &str| Config::parse("c", &format!("web: {{ links: {{ documents: {link:?} }} }}\n"), &|_| None);
        for link in ["https://git.example/docs", "http://127.0.0.1:3000/d/linkit-overview?a=b#c"] {
            assert_eq!(of(link).unwrap().web.links().documents.as_deref(), Some(link));
        }
        for link in ["javascript:alert(1)", "/docs", "https://", "https://a b", "docs", " http://a", "HTTP"] {
            let error = of(link).unwrap_err().to_string();
            assert!(error.contains("web.links.documents must be an address"), "{link}: {error}");
        }
    }
}
