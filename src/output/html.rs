//! The page for people: one HTML document of a snapshot, whole without its script, which only reads it again and draws
//! lines of what it has seen.
//!
//! Pure: a snapshot in, a document out. It says what the other outputs say, in words and with units, and whether all is
//! well before anything else. All of that is decided here and not by the script, so that there is one place to judge and
//! to test it. It knows no HTTP. The next section is a file in `html/` and its line in [`render`].

mod push;
mod sections;
mod tables;
mod verdict;
mod words;

use verdict::Verdict;
use words::{Html, span, time_of_day};

use crate::clock::Moment;
use crate::registry::Snapshot;

/// The page's one style sheet, which stands in it.
pub const STYLE: &str = include_str!("html/page.css");

/// The page's one script, which stands in it.
pub const SCRIPT: &str = include_str!("html/page.js");

/// What room a page takes, so that it is written without moving.
const BYTES: usize = STYLE.len() + SCRIPT.len() + (16 << 10);

/// What the page says beside the figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The service's name.
    pub service: String,
    /// Where it runs; empty if nobody said.
    pub environment: String,
    /// The scrape page's path, from the root of the bridge.
    pub telemetry_path: String,
    /// When the bridge began to serve.
    pub started: Moment,
}

/// Where the page leads to beyond the bridge, each an http or https address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The dashboards.
    pub dashboards: Option<String>,
    /// The documents with the runbooks.
    pub documents: Option<String>,
}

/// Renders the page, with the service's version; `None` for the one its source states.
#[must_use]
pub fn render(snapshot: &Snapshot, site: &Site, links: &Links, version: Option<&str>) -> String {
    let endpoints = push::endpoints(snapshot);
    let verdict = verdict::judge(snapshot, &endpoints);
    let mut html = Html::with_capacity(BYTES);
    head(&mut html, site, &verdict);
    header(&mut html, snapshot, site, version);
    html.raw("<main>");
    state(&mut html, snapshot, &verdict);
    for status in &snapshot.sections {
        sections::documented(&mut html, snapshot, status);
    }
    for collector in snapshot.collectors.iter().filter(|collector| !collector.section.is_documented()) {
        sections::custom(&mut html, snapshot, collector);
    }
    tables::collectors(&mut html, snapshot);
    push::table(&mut html, &endpoints);
    tables::others(&mut html, snapshot);
    html.raw("</main>");
    footer(&mut html, site, links);
    html.raw("</div><script>").raw(SCRIPT).raw("</script></body></html>\n");
    html.finish()
}

fn head(html: &mut Html, site: &Site, verdict: &Verdict) {
    html.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    html.raw("<meta name=\"color-scheme\" content=\"light dark\"><meta name=\"robots\" content=\"noindex\"><title>");
    html.raw(verdict.level.flag()).text(&site.service).raw(" · linkit-bridge</title>");
    html.raw(concat!(
        "<link rel=\"icon\" href=\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E",
        "%3Cpath d='M1 12h3l2.5-8 3 10L12 7h3' fill='none' stroke='%233a7ca5' stroke-width='2'/%3E%3C/svg%3E\">",
    ));
    html.raw("<style>").raw(STYLE).raw("</style></head><body data-bridge=\"");
    html.raw(env!("CARGO_PKG_VERSION"))
        .raw("\" data-level=\"")
        .raw(verdict.level.name())
        .raw("\"><div class=\"page\">");
}

fn header(html: &mut Html, snapshot: &Snapshot, site: &Site, version: Option<&str>) {
    html.raw("<header><h1>").text(&site.service).raw("</h1><p class=\"quiet\">");
    let version = version.or(snapshot.source_version.as_deref());
    let version = version.map(|version| format!("version {version}")).unwrap_or_default();
    let bridge = concat!("linkit-bridge ", env!("CARGO_PKG_VERSION"));
    let uptime = format!("up {}", span(snapshot.at.since(site.started)));
    let parts = [&*site.environment, &version, bridge, &uptime];
    html.text(&parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · "));
    html.raw("</p></header>");
}

fn state(html: &mut Html, snapshot: &Snapshot, verdict: &Verdict) {
    html.raw(
        "<section class=\"state\" aria-labelledby=\"state-title\"><span class=\"mark\" aria-hidden=\"true\"></span>",
    );
    html.raw("<div><div role=\"status\" aria-live=\"polite\" aria-atomic=\"true\"><h2 id=\"state-title\">");
    html.text(&verdict.title).raw("</h2><p id=\"state-detail\">").text(&verdict.detail).raw("</p></div>");
    let now = snapshot.at.wall;
    html.raw("<p class=\"quiet\">As of <time id=\"as-of\" datetime=\"").text(&now.to_rfc3339()).raw("\">");
    html.text(&time_of_day(now, now)).raw("</time><span id=\"live\" data-own></span>");
    html.raw("<noscript data-own> · <a href=\"./\">read again</a></noscript></p></div></section>");
}

fn footer(html: &mut Html, site: &Site, links: &Links) {
    html.raw("<footer><nav aria-label=\"Further pages\"><ul>");
    for (address, title) in [(&links.dashboards, "Dashboards"), (&links.documents, "Documents and runbooks")] {
        if let Some(address) = address {
            html.raw("<li><a href=\"").text(address).raw("\">").raw(title).raw("</a></li>");
        }
    }
    // Relative, so that the page also works behind a proxy that serves it under a path.
    html.raw("<li><a href=\".").text(&site.telemetry_path).raw("\">Metrics for Prometheus</a></li>");
    html.raw("<li><a href=\"./api/v1/telemetry\">Telemetry as JSON</a> (with a key)</li>");
    html.raw("<li><a href=\"./api/v1/health\">Health</a></li><li><a href=\"./-/ready\">Readiness</a></li></ul></nav>");
    if links.dashboards.is_none() || links.documents.is_none() {
        html.raw(
            "<p class=\"quiet\">In the bridge's repository: Grafana's dashboards in <code>dashboards/</code>, alert ",
        );
        html.raw("rules in <code>alerts/</code>, runbooks, settings and guides in <code>docs/</code>; ");
        html.raw("<code>web.links</code> shows here where yours are.</p>");
    }
    html.raw("</footer>");
}

#[cfg(test)]
mod tests;
