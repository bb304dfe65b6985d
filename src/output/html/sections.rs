//! The figures: a section a list of tiles, for each a figure with its unit or the word why there is none.
//!
//! Titles follow from the catalogue's names, so that a new figure needs nothing here. The lines under the figures are the
//! script's own, from what it has seen.

use super::verdict::Level;
use super::words::{Amount, Html, amount, span, spelt, title};
use crate::catalog::{CUSTOM_PREFIX, FigureId, Kind, Section, json_fields};
use crate::clock::Wall;
use crate::reading::{Age, Number};
use crate::registry::{CollectorStatus, Family, Point, PointValue, SectionStatus, Snapshot};

/// Most tiles of one section beyond the documented figures: an operator's query may bring many more series.
const FURTHER_MAX: usize = 40;

/// One figure.
struct Tile<'a> {
    /// Tells it from all others of the page.
    id: String,
    title: String,
    help: &'a str,
    shown: Shown,
    /// What is to be said of how it was read.
    note: String,
}

enum Shown {
    Value {
        number: Number,
        amount: Amount,
        unit: String,
        kind: Kind,
    },
    /// Why there is nothing.
    Nothing(&'static str),
}

/// A documented section with its figures.
pub(super) fn documented(html: &mut Html, snapshot: &Snapshot, status: &SectionStatus) {
    let section = &status.section;
    let collector = snapshot.collectors.iter().find(|collector| collector.section == *section);
    let since = status.measured.map(|measured| span(snapshot.at.since(measured)));
    head(html, section.name(), collector, since.as_deref());
    if status.has_source {
        html.raw("<dl class=\"tiles\">");
        for (figure, field) in json_fields(section) {
            let shown = match snapshot.value(figure.id, field.series) {
                Some(number) => value(number, figure.unit, figure.name, figure.kind),
                None if status.absent.contains(&field.name) => Shown::Nothing("not known"),
                None if status.missing.contains(&field.name) => Shown::Nothing("not read yet"),
                None => Shown::Nothing("expired"),
            };
            let note =
                if figure.id == FigureId::StoreRecords { counted(snapshot, field.series) } else { String::new() };
            let title = title_of(section, figure.name, field.series);
            let id = format!("{}.{}", section.name(), field.name);
            tile(html, &Tile { id, title, help: figure.help, shown, note });
        }
        further(html, snapshot, section);
        html.raw("</dl>");
    }
    html.raw("</section>");
}

/// A section of the operator's own figures.
pub(super) fn custom(html: &mut Html, snapshot: &Snapshot, collector: &CollectorStatus) {
    let since = collector.last_success.map(|success| span(snapshot.at.since(success)));
    head(html, collector.section.name(), Some(collector), since.as_deref());
    html.raw("<dl class=\"tiles\">");
    further(html, snapshot, &collector.section);
    html.raw("</dl></section>");
}

fn head(html: &mut Html, name: &str, collector: Option<&CollectorStatus>, since: Option<&str>) {
    let level = collector.map_or(Level::Unknown, Level::of);
    let is_old = collector.is_some_and(|collector| collector.age != Age::Fresh);
    html.raw("<section class=\"")
        .raw(if is_old { "figures old" } else { "figures" })
        .raw("\" id=\"section-")
        .text(name);
    html.raw("\" aria-labelledby=\"title-").text(name).raw("\"><div class=\"section-head\"><h2 id=\"title-").text(name);
    html.raw("\">").text(&title(name)).raw("</h2><p class=\"quiet\" data-level=\"").text(level.name());
    html.raw("\"><span class=\"mark\" aria-hidden=\"true\"></span>");
    if let Some(collector) = collector {
        html.text(collector.source).raw(", ").text(age_word(collector.age));
    } else {
        html.raw("no source is configured");
    }
    if let Some(since) = since {
        html.raw(", read ").text(since).raw(" ago");
    }
    html.raw("</p></div>");
}

pub(super) const fn age_word(age: Age) -> &'static str {
    match age {
        Age::Never => "never read whole",
        shown => shown.name(),
    }
}

/// What a section has beyond the documented figures.
fn further(html: &mut Html, snapshot: &Snapshot, section: &Section) {
    let mut left = FURTHER_MAX;
    let mut over = 0;
    for family in snapshot.families.iter().filter(|family| family.section.as_ref() == Some(section)) {
        for point in family.points.iter().filter(|point| !stands_elsewhere(section, family, point)) {
            let PointValue::Number(number) = point.value else { continue };
            if left == 0 {
                over += 1;
                continue;
            }
            left -= 1;
            let series: Vec<_> = point.attributes.iter().map(|(_, value)| value.as_str()).collect();
            let series = (!series.is_empty()).then(|| series.join(", "));
            let note = if family.name == FigureId::StoreRecords.figure().name {
                counted(snapshot, series.as_deref())
            } else {
                String::new()
            };
            let id = series.as_ref().map(|series| format!(".{series}")).unwrap_or_default();
            tile(
                html,
                &Tile {
                    id: format!("{}{id}", family.name.trim_start_matches("linkit.")),
                    title: title_of(section, &family.name, series.as_deref()),
                    help: &family.help,
                    shown: value(number, &family.unit, &family.name, family.kind),
                    note,
                },
            );
        }
    }
    if over > 0 {
        html.raw("<div class=\"tile\"><dt>More</dt><dd class=\"note quiet\">");
        html.text(&over.to_string()).raw(" further series are on the scrape page.</dd></div>");
    }
}

/// Whether a series is shown as a documented figure, or as what is said of one.
fn stands_elsewhere(section: &Section, family: &Family, point: &Point) -> bool {
    let [method, exact] = [FigureId::StoreCountMethod, FigureId::StoreCountLastExact].map(|id| id.figure().name);
    let series = point.attributes.first().map(|(_, value)| value.as_str());
    let is_field = json_fields(section).any(|(figure, field)| figure.name == family.name && field.series == series);
    is_field || family.name == method || family.name == exact
}

/// How the records of a collection were counted.
fn counted(snapshot: &Snapshot, collection: Option<&str>) -> String {
    let Some(collection) = collection else { return String::new() };
    let is_it = |point: &&Point| point.attributes.first().is_some_and(|(_, value)| value == collection);
    let find = |id: FigureId| snapshot.family(id.figure().name)?.points.iter().find(is_it);
    let method = find(FigureId::StoreCountMethod).and_then(|point| point.attributes.get(1));
    let exact = find(FigureId::StoreCountLastExact).and_then(|point| match point.value {
        PointValue::Number(number) => Some(number.to_float()),
        PointValue::Histogram(_) => None,
    });
    let ago = exact.map(|seconds| snapshot.at.wall.since(seconds_wall(seconds)));
    match (method.map(|(_, method)| method.as_str()), ago) {
        (None, None) => String::new(),
        (Some("exact"), _) => "exact".to_owned(),
        (method, Some(ago)) => format!("{}, exact {} ago", method.unwrap_or("counted"), span(ago)),
        (Some(method), None) => method.to_owned(),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float out of range saturates")]
fn seconds_wall(seconds: f64) -> Wall {
    Wall((seconds.max(0.0) * 1e9) as u64)
}

/// `Completed today`, `SKUs`, `Memory allocated`.
fn title_of(section: &Section, name: &str, series: Option<&str>) -> String {
    if let (Some(series), true) = (series, section.is_documented()) {
        return title(series);
    }
    let rest = name.strip_prefix(CUSTOM_PREFIX).or_else(|| name.strip_prefix("linkit.")).unwrap_or(name);
    let rest = rest.strip_prefix(section.name()).and_then(|rest| rest.strip_prefix('.')).unwrap_or(rest);
    let series = series.map(|series| format!(": {series}")).unwrap_or_default();
    format!("{}{series}", title(&spelt(rest)))
}

fn value(number: Number, unit: &str, name: &str, kind: Kind) -> Shown {
    Shown::Value { number, amount: amount(number, unit, name), unit: unit.to_owned(), kind }
}

fn tile(html: &mut Html, tile: &Tile<'_>) {
    html.raw("<div class=\"tile\"><dt title=\"").text(tile.help).raw("\">").text(&tile.title);
    html.raw("</dt><dd data-figure=\"").text(&tile.id).raw("\" class=\"value");
    let mut notes = Vec::new();
    match &tile.shown {
        Shown::Nothing(why) => {
            html.raw(" unknown\">").text(why).raw("</dd>");
        }
        Shown::Value { number, amount, unit, kind } => {
            let raw = match number {
                Number::Int(int) => int.to_string(),
                Number::Float(float) => float.to_string(),
            };
            let length = amount.digits.chars().count() + amount.unit.len();
            html.raw(if length > 11 {
                " longer"
            } else if length > 8 {
                " long"
            } else {
                ""
            });
            html.raw("\" data-raw=\"").text(&raw).raw("\"");
            // What the script must know to write such a number itself.
            html.raw(match unit.as_str() {
                "By" => " data-unit=\"By\"",
                "s" => " data-unit=\"s\"",
                _ => "",
            });
            html.raw(if *kind == Kind::Counter { " data-kind=\"counter\">" } else { ">" }).text(&amount.digits);
            if !amount.unit.is_empty() {
                html.raw(" <span class=\"unit\">").text(&amount.unit).raw("</span>");
            }
            html.raw("</dd>");
            // The title may have said it.
            let counted = if amount.counted.eq_ignore_ascii_case(&tile.title) { "" } else { &amount.counted };
            let total = if *kind == Kind::Counter { "in all" } else { "" };
            notes.push([counted, total].join(" ").trim().to_owned());
        }
    }
    notes.push(tile.note.clone());
    notes.retain(|note| !note.is_empty());
    html.raw("<dd class=\"note quiet\">").text(&notes.join(", "));
    html.raw("</dd><dd class=\"lately\" data-own></dd></div>");
}
