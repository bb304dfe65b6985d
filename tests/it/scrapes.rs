//! Real Prometheus servers of both lines scrape each format they can ask for, under each way to write names, and hold
//! what the documented JSON says.

use linkit_bridge::catalog::{Section, json_fields};
use linkit_bridge::output::prometheus::{Escaping, Syntax, Translation};
use serde_json::Value;

use crate::page::bridge_on_a_shop_with;
use crate::support::bridge::Bridge;
use crate::support::eventually;
use crate::support::peers::peer;
use crate::support::prometheus::Prometheus;

/// A scrape job: its name, what its config adds, and the scheme in which it then holds names with dots.
type Job = (&'static str, &'static str, Escaping);

/// The jobs of a Prometheus 3: one for each format it can ask for, and one for each scheme and rule of names.
const JOBS: [Job; 9] = [
    ("protobuf", "scrape_protocols: [PrometheusProto]", Escaping::Underscores),
    ("openmetrics-1.0.0", "scrape_protocols: [OpenMetricsText1.0.0]", Escaping::AllowUtf8),
    ("openmetrics-0.0.1", "scrape_protocols: [OpenMetricsText0.0.1]", Escaping::Underscores),
    ("text-1.0.0", "scrape_protocols: [PrometheusText1.0.0]", Escaping::AllowUtf8),
    ("text-0.0.4", "scrape_protocols: [PrometheusText0.0.4]", Escaping::Underscores),
    ("dots", "metric_name_escaping_scheme: dots", Escaping::Dots),
    ("values", "metric_name_escaping_scheme: values", Escaping::Values),
    ("underscores", "metric_name_escaping_scheme: underscores", Escaping::Underscores),
    ("legacy", "metric_name_validation_scheme: legacy", Escaping::Underscores),
];

fn config(bridge: &Bridge, jobs: &[Job]) -> String {
    let address = bridge.url.trim_start_matches("http://");
    let job = |(name, options, _): &Job| {
        format!("  - {{ job_name: '{name}', static_configs: [ {{ targets: ['{address}'] }} ], {options} }}\n")
    };
    let jobs: String = jobs.iter().map(job).collect();
    format!("global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n{jobs}")
}

/// A name as a scheme writes it; none here has characters that schemes change beside dots and underscores.
fn escaped(name: &str, escaping: Escaping) -> String {
    match escaping {
        _ if !name.contains('.') => name.to_owned(),
        Escaping::AllowUtf8 => name.to_owned(),
        Escaping::Underscores => name.replace('.', "_"),
        Escaping::Dots => name.replace('_', "__").replace('.', "_dot_"),
        Escaping::Values => format!("U__{}", name.replace('_', "__").replace('.', "_2e_")),
    }
}

/// The documented figures of the database, which holds still: as PromQL selectors, with their values in the JSON.
fn documented(json: &Value, translation: Translation, (job, _, escaping): &Job) -> Vec<(String, f64)> {
    let mut told = Vec::new();
    for section in [Section::Store, Section::Staging] {
        for (figure, field) in json_fields(&section) {
            let name = escaped(&translation.name(figure.name, figure.unit, figure.kind), *escaping);
            let series = field.series.map(|series| format!(",{}=\"{series}\"", figure.attributes[0]));
            let selector = format!("{{__name__=\"{name}\",job=\"{job}\"{}}}", series.unwrap_or_default());
            told.push((selector, json[section.name()][field.name].as_f64().unwrap()));
        }
    }
    assert_eq!(told.len(), 8);
    told
}

/// Waits until a server holds, for each job, what the bridge's JSON says.
async fn holds_the_document(prometheus: &Prometheus, bridge: &Bridge, translation: Translation, jobs: &[Job]) {
    let json = bridge.telemetry_ok().await;
    for job in jobs {
        for (selector, value) in documented(&json, translation, job) {
            let held = prometheus.value(&selector).await;
            assert!((held - value).abs() < f64::EPSILON, "{selector}: {held}, not {value}");
        }
        let target_info = format!("count({{__name__=\"target_info\",job=\"{}\"}})", job.0);
        assert!((prometheus.value(&target_info).await - 1.0).abs() < f64::EPSILON, "{}", job.0);
    }
    let down = prometheus.query("up == 0").await;
    assert!(down.is_empty(), "{down:?}");
}

/// Waits until the bridge has written the scrape page in a format.
async fn is_written(bridge: &Bridge, syntax: Syntax) {
    let format = syntax.name();
    let series = format!("linkit_bridge_output_renders_total{{format=\"{format}\",output=\"prometheus\"}}");
    let count = || async { bridge.series().await.get(&series).copied().filter(|count| *count > 0.5) };
    eventually(format, count).await;
}

#[tokio::test]
async fn prometheus_3_scrapes_every_format_it_can_ask_for() {
    let Some(program) = peer("prometheus") else { return };
    let Some((_backend, bridge)) = bridge_on_a_shop_with("", &[]).await else { return };
    let prometheus = Prometheus::start(&program, &config(&bridge, &JOBS), &[]).await;
    holds_the_document(&prometheus, &bridge, Translation::default(), &JOBS).await;
    for syntax in Syntax::ALL {
        is_written(&bridge, syntax).await;
    }
}

#[tokio::test]
async fn a7_a8_prometheus_3_holds_names_with_dots_in_the_scheme_it_asks_for() {
    let Some(program) = peer("prometheus") else { return };
    let env = [("LINKIT_BRIDGE_WEB_PAGE_TRANSLATION_STRATEGY", "NoTranslation")];
    let Some((_backend, bridge)) = bridge_on_a_shop_with("", &env).await else { return };
    let prometheus = Prometheus::start(&program, &config(&bridge, &JOBS), &[]).await;
    holds_the_document(&prometheus, &bridge, Translation::NoTranslation, &JOBS).await;
}

#[tokio::test]
async fn prometheus_2_scrapes_every_format_it_can_ask_for() {
    let Some(program) = peer("prometheus2") else { return };
    let Some((_backend, bridge)) = bridge_on_a_shop_with("", &[]).await else { return };
    // It lets nobody choose: text is what it asks for where there is nothing better.
    for (syntax, flags) in
        [(Syntax::OpenMetrics100, &[][..]), (Syntax::Protobuf, &["--enable-feature=native-histograms"])]
    {
        let jobs = [("linkit-bridge", "honor_labels: false", Escaping::Underscores)];
        let prometheus = Prometheus::start(&program, &config(&bridge, &jobs), flags).await;
        holds_the_document(&prometheus, &bridge, Translation::default(), &jobs).await;
        is_written(&bridge, syntax).await;
    }
}
