//! A look at every face at one instant, written as the cells of the table.

use std::collections::BTreeMap;

use linkit_bridge::catalog::{FigureId, JsonUnit, Kind, Section, json_fields};
use linkit_bridge::clock::Wall;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Text;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, number_data_point::Value};

use super::bench::Bench;
use super::said::called;
use crate::faces::{page_series, points_over_otlp};
use crate::support::bridge::KEY;
use crate::support::http::Answer;
use crate::support::page;

const SECOND_NS: u64 = 1_000_000_000;
const OPENMETRICS: (&str, &str) = ("accept", "application/openmetrics-text; version=1.0.0");

/// One series of a section, as each face calls it.
struct Series {
    otel: String,
    attribute: Option<&'static str>,
    page: String,
    unit: JsonUnit,
    kind: Kind,
}

/// The series of a section, in the order of what is said.
fn series(section: &str) -> Vec<Series> {
    let documented = Section::DOCUMENTED.into_iter().find(|documented| documented.name() == section);
    let Some(documented) = documented else {
        return [
            ("open", "linkit_custom_orders_open", Kind::Gauge),
            ("paid", "linkit_custom_orders_paid_total", Kind::Counter),
        ]
        .map(|(name, page, kind)| Series {
            otel: format!("linkit.custom.orders.{name}"),
            attribute: None,
            page: page.to_owned(),
            unit: JsonUnit::Same,
            kind,
        })
        .into();
    };
    let fields = json_fields(&documented).map(|(figure, field)| (figure, field.series, field.unit));
    let counter = (section == "staging").then(|| (FigureId::StagingCompleted.figure(), None, JsonUnit::Same));
    let series = fields.chain(counter).map(|(figure, attribute, unit)| Series {
        otel: figure.name.to_owned(),
        attribute,
        page: page_series((figure.id, attribute)),
        unit,
        kind: figure.kind,
    });
    series.collect()
}

impl Series {
    /// A figure of a face as the document would have it.
    fn documented(&self, shown: f64) -> f64 {
        match self.unit {
            JsonUnit::Same => shown,
            JsonUnit::Megabytes => shown / f64::from(1 << 20),
            JsonUnit::Nanoseconds => (shown * 1e9).round(),
        }
    }

    fn created(&self) -> String {
        self.page.replace("_total", "_created")
    }
}

/// All faces at one instant.
pub struct Look {
    text: BTreeMap<String, f64>,
    openmetrics: BTreeMap<String, f64>,
    otlp: Vec<(String, NumberDataPoint)>,
    json: Answer,
    health: Answer,
    started: Wall,
    last_read: Wall,
}

impl Look {
    /// `last_read`: when the sources were last read; the table calls it `now`.
    pub async fn at(bench: &Bench, last_read: Wall) -> Self {
        let page = async |headers: &[(&str, &str)]| {
            let answer = bench.get("/metrics", headers).await;
            assert_eq!(answer.status, 200);
            page::series(&answer.body)
        };
        let look = Self {
            text: page(&[]).await,
            openmetrics: page(&[OPENMETRICS]).await,
            otlp: points_over_otlp(&bench.snapshot()).await,
            json: bench.get("/api/v1/telemetry", &[("authorization", KEY)]).await,
            health: bench.get("/api/v1/health", &[]).await,
            started: bench.started,
            last_read,
        };
        assert!(look.openmetrics.iter().all(|(name, value)| name.contains("_created") || look.text[name] == *value));
        look
    }

    /// The cells of a section: its figures on the page, in OpenMetrics, over OTLP and in the document, then up,
    /// staleness, errors and last success of its collector, on which all faces agree.
    pub fn section(&self, section: &str) -> String {
        let series = series(section);
        let on = |page: &BTreeMap<String, f64>| {
            let shown = series.iter().map(|series| page.get(&series.page).map(|shown| series.documented(*shown)));
            called(section, &shown.collect::<Vec<_>>())
        };
        let created = series.iter().filter(|series| series.kind == Kind::Counter).filter_map(|series| {
            self.openmetrics.get(&series.page)?;
            Some(self.openmetrics.get(&series.created()).map(|seconds| wall(*seconds)))
        });
        let openmetrics = with_starts(on(&self.openmetrics), &self.labels(created));
        let cells = [
            on(&self.text),
            openmetrics,
            self.over_otlp(section, &series),
            self.in_document(section),
            self.own(section),
        ];
        format!("{section} | {}", cells.join(" | "))
    }

    fn over_otlp(&self, section: &str, series: &[Series]) -> String {
        let points: Vec<_> = series.iter().map(|series| (series, self.point(&series.otel, series.attribute))).collect();
        let shown = points.iter().map(|(series, point)| point.map(|point| series.documented(number(point))));
        let shown = called(section, &shown.collect::<Vec<_>>());
        let starts = points.iter().filter(|(series, _)| series.kind == Kind::Counter).filter_map(|(_, point)| {
            Some(Some(Wall(point.as_ref()?.start_time_unix_nano)).filter(|start| start.0 > 0))
        });
        let shown = with_starts(shown, &self.labels(starts));
        let times = points.iter().filter_map(|(_, point)| Some(Some(Wall(point.as_ref()?.time_unix_nano))));
        let times = self.labels(times);
        if times.is_empty() { shown } else { format!("{shown} @{times}") }
    }

    /// The one point of a series, if it was sent.
    fn point(&self, name: &str, attribute: Option<&str>) -> Option<&NumberDataPoint> {
        let is_it = |point: &NumberDataPoint| {
            attribute.is_none_or(|wanted| attributes(point).iter().any(|(_, held)| held == wanted))
        };
        let mut found = self.otlp.iter().filter(|(held, point)| held == name && is_it(point));
        let point = found.next().map(|(_, point)| point);
        assert!(found.next().is_none(), "{name} {attribute:?} was sent twice");
        point
    }

    fn in_document(&self, section: &str) -> String {
        let Some(fields) = self.json.json().get(section).cloned() else { return "-".to_owned() };
        let documented = Section::DOCUMENTED.into_iter().find(|documented| documented.name() == section).unwrap();
        let shown = json_fields(&documented).map(|(_, field)| Some(fields[field.name].as_u64().unwrap() as f64));
        called(section, &shown.collect::<Vec<_>>())
    }

    /// What the bridge says of the collector of a section.
    fn own(&self, section: &str) -> String {
        let figures =
            ["up", "staleness", "errors", "last_success_timestamp"].map(|figure| self.own_figure(figure, section));
        let [up, staleness, errors, success] = &figures;
        let errors: Vec<_> = errors.iter().filter(|(_, count)| *count > 0.0).collect();
        let errors: Vec<_> = errors.iter().map(|(class, count)| format!("{class}={count}")).collect();
        let success = success.iter().map(|(_, at)| Some(wall(*at)));
        let success = self.labels(success);
        let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        format!("{} {} {} {}", up[0].1, staleness[0].1, or_none(errors.join(",")), or_none(success))
    }

    /// The values of a figure of a collector by its class, if it has one, after making sure that all faces agree.
    fn own_figure(&self, figure: &str, section: &str) -> Vec<(String, f64)> {
        let name = format!("linkit.bridge.collector.{figure}");
        let sent = self.otlp.iter().filter(|(held, _)| *held == name).filter_map(|(_, point)| {
            let attributes = attributes(point);
            let is_it = attributes.get("collector").is_some_and(|collector| collector == section);
            is_it.then(|| (attributes.get("class").cloned().unwrap_or_default(), number(point)))
        });
        let sent: BTreeMap<_, _> = sent.collect();
        let stem = name.replace('.', "_");
        let label = |series: &str, label: &str| {
            Some(series.split(&format!("{label}=\"")).nth(1)?.split('"').next()?.to_owned())
        };
        for page in [&self.text, &self.openmetrics] {
            let of_page = page.iter().filter(|(series, _)| {
                series.starts_with(&stem)
                    && !series.contains("_created")
                    && label(series, "collector").as_deref() == Some(section)
            });
            let of_page: BTreeMap<_, _> =
                of_page.map(|(series, value)| (label(series, "class").unwrap_or_default(), *value)).collect();
            assert_eq!(of_page, sent, "{name} of {section}");
        }
        sent.into_iter().collect()
    }

    /// The document's status with what it says of itself, or why there is none; and the health answer.
    pub fn document(&self) -> String {
        let json = self.json.json();
        let header = |name: &str| self.json.headers.get(name).map(|value| value.to_str().unwrap());
        let document = if self.json.status == 200 {
            let measured = json["measured"].as_str().unwrap();
            // The document has whole seconds.
            let is_now = measured == self.last_read.to_rfc3339();
            let measured = if is_now { Some(self.last_read) } else { Wall::parse_rfc3339(measured) };
            let said = [("stale", header("x-telemetry-stale")), ("absent", header("x-telemetry-absent"))];
            let said = said.iter().filter_map(|(name, said)| Some(format!(", {name} {}", (*said)?)));
            format!("200, measured {}{}", self.labels([measured].into_iter()), said.collect::<String>())
        } else {
            let details = json["details"].as_str().unwrap();
            let shape = serde_json::json!({ "code": 503, "error": "Service Unavailable", "details": details });
            assert_eq!((self.json.status.as_u16(), &json), (503, &shape));
            assert_eq!((header("x-telemetry-stale"), header("retry-after")), (None, Some("15")));
            let all = Section::DOCUMENTED
                .map(|section| json_fields(&section).map(|(_, field)| field.name).collect::<Vec<_>>().join(", "));
            let details = all.iter().fold(details.to_owned(), |details, all| details.replace(all, "all"));
            format!("503, {}", details.replace(&self.started.to_rfc3339(), "0"))
        };
        let health = self.health.json()["status"].as_str().unwrap().to_owned();
        assert_eq!(self.health.status, if health == "unhealthy" { 503 } else { 200 });
        format!("{document} | {health}")
    }

    /// Times in the words of the table, one for all if they are the same.
    fn labels(&self, times: impl Iterator<Item = Option<Wall>>) -> String {
        let mut labels: Vec<_> = times.map(|time| time.map_or("?".to_owned(), |time| self.label(time))).collect();
        if labels.iter().all(|label| *label == labels[0]) {
            labels.truncate(1);
        }
        labels.join(",")
    }

    /// `now` for the last reading, `today` and `midnight` for the midnights around the start; else the seconds since.
    fn label(&self, time: Wall) -> String {
        let today = self.started.day();
        match time {
            time if time == self.last_read => "now".to_owned(),
            time if time == today.start() => "today".to_owned(),
            time if time == today.next().start() => "midnight".to_owned(),
            time if time >= self.started => ((time.0 - self.started.0) as f64 / SECOND_NS as f64).to_string(),
            time => time.to_rfc3339(),
        }
    }
}

/// Unix time on a page, to the millisecond: a float has no nanoseconds of today.
fn wall(seconds: f64) -> Wall {
    Wall((seconds * 1e3).round() as u64 * 1_000_000)
}

fn with_starts(shown: String, starts: &str) -> String {
    if starts.is_empty() { shown } else { format!("{shown} since {starts}") }
}

fn number(point: &NumberDataPoint) -> f64 {
    match point.value {
        Some(Value::AsInt(value)) => value as f64,
        Some(Value::AsDouble(value)) => value,
        None => panic!("a point without a value"),
    }
}

fn attributes(point: &NumberDataPoint) -> BTreeMap<String, String> {
    let pairs = point.attributes.iter().map(|pair| match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Text::StringValue(text)) => (pair.key.clone(), text.clone()),
        other => panic!("{} is {other:?}", pair.key),
    });
    pairs.collect()
}
