//! The collectors, and every figure that is no tile: those of the bridge itself and of an embedding program.

use super::sections::age_word;
use super::verdict::Level;
use super::words::{Html, amount, grouped, span};
use crate::catalog::FigureId;
use crate::reading::Number;
use crate::registry::{CollectorStatus, Family, Point, PointValue, Snapshot};

/// Most series of one figure that are shown; the others are on the scrape page.
const SERIES_MAX: usize = 12;

/// Most figures of an embedding program that are shown.
const FAMILIES_MAX: usize = 100;

/// The collectors, a row each.
pub(super) fn collectors(html: &mut Html, snapshot: &Snapshot) {
    html.raw("<section aria-labelledby=\"collectors-title\"><div class=\"section-head\">");
    html.raw("<h2 id=\"collectors-title\">Collectors</h2></div><div class=\"table\"><table>");
    html.raw(
        "<caption class=\"hidden\">What reads each source, how it went last, and how old its figures are</caption>",
    );
    html.raw("<thead><tr><th scope=\"col\">Collector</th><th scope=\"col\">State</th>");
    html.raw("<th scope=\"col\">Age</th><th scope=\"col\">Errors</th></tr></thead><tbody id=\"collectors\">");
    for collector in &snapshot.collectors {
        row(html, snapshot, collector);
    }
    html.raw("</tbody></table></div></section>");
}

fn row(html: &mut Html, snapshot: &Snapshot, collector: &CollectorStatus) {
    html.raw("<tr id=\"collector-").text(collector.section.name()).raw("\"><th scope=\"row\">");
    html.text(collector.section.name());
    small(html, collector.source);
    // The state of the last attempt; how old the figures are stands beside it.
    let (level, state) = match collector.up {
        None => (Level::Unknown, "waiting"),
        Some(true) => (Level::Good, "up"),
        Some(false) => (Level::of(collector), "down"),
    };
    html.raw("</th><td data-level=\"").text(level.name()).raw("\"><span class=\"mark\" aria-hidden=\"true\"></span>");
    html.text(state);
    if let Some((class, _)) = &collector.last_error {
        small(html, class);
    }
    html.raw("</td><td>").text(age_word(collector.age));
    let read = collector.last_success.map(|success| format!("{} ago", span(snapshot.at.since(success))));
    let every = collector.interval.map(|interval| format!("every {}", span(interval)));
    let said = [read, every].into_iter().flatten().collect::<Vec<_>>().join(", ");
    small(html, &said);
    html.raw("</td><td>");
    let errors = errors(snapshot, collector);
    let sum: i128 = errors.iter().map(|(_, count)| count).sum();
    html.text(&if sum == 0 { "none".to_owned() } else { grouped(sum) });
    let classes: Vec<_> = errors.iter().map(|(class, _)| *class).collect();
    small(html, &classes.join(", "));
    html.raw("</td></tr>");
}

/// The classes of errors there were, with their numbers.
fn errors<'a>(snapshot: &'a Snapshot, collector: &CollectorStatus) -> Vec<(&'a str, i128)> {
    let family = snapshot.family(FigureId::CollectorErrors.figure().name);
    let points = family.map_or(&[][..], |family| &*family.points).iter();
    let label = |point: &'a Point, wanted: &str| {
        point.attributes.iter().find(|(key, _)| key == wanted).map_or("", |(_, value)| value.as_str())
    };
    let of = points.filter(|point| label(point, "collector") == collector.section.name());
    let counts = of.filter_map(|point| match point.value {
        PointValue::Number(Number::Int(count)) if count > 0 => Some((label(point, "class"), count)),
        _ => None,
    });
    counts.collect()
}

fn small(html: &mut Html, text: &str) {
    if !text.is_empty() {
        html.raw(" <small>").text(text).raw("</small>");
    }
}

/// Every figure that belongs to no section.
pub(super) fn others(html: &mut Html, snapshot: &Snapshot) {
    html.raw("<details><summary>The bridge's own figures</summary><div class=\"table\"><table class=\"others\">");
    html.raw("<caption class=\"hidden\">Figures of the bridge itself, and of the program it is part of</caption>");
    html.raw("<thead><tr><th scope=\"col\">Figure</th><th scope=\"col\">Value</th></tr></thead><tbody>");
    let families = || snapshot.families.iter().filter(|family| family.section.is_none());
    for family in families().take(FAMILIES_MAX) {
        html.raw("<tr><th scope=\"row\" title=\"").text(&family.help).raw("\">");
        // May be broken where its words end, and is copied whole.
        for word in family.name.split_inclusive(['.', '_']) {
            html.text(word).raw("<wbr>");
        }
        html.raw("</th><td>");
        values(html, family);
        html.raw("</td></tr>");
    }
    html.raw("</tbody></table></div>");
    let over = families().count().saturating_sub(FAMILIES_MAX);
    if over > 0 {
        html.raw("<p class=\"quiet\">").text(&over.to_string()).raw(" further figures are on the scrape page.</p>");
    }
    html.raw("</details>");
}

fn values(html: &mut Html, family: &Family) {
    // What never happened is told by its number alone, but for a figure's only series.
    let (none, some): (Vec<_>, Vec<_>) = family.points.iter().partition(|point| is_zero(point));
    let (some, none) = if family.points.len() == 1 { ([some, none].concat(), Vec::new()) } else { (some, none) };
    for point in some.iter().take(SERIES_MAX) {
        html.raw("<div>");
        if !point.attributes.is_empty() {
            let labels = point.attributes.iter().map(|(key, value)| format!("{key} {value}"));
            html.raw("<span>").text(&labels.collect::<Vec<_>>().join(", ")).raw("</span> ");
        }
        html.text(&line(family, point)).raw("</div>");
    }
    for (count, rest) in
        [(some.len().saturating_sub(SERIES_MAX), " more on the scrape page"), (none.len(), " series at 0")]
    {
        if count > 0 {
            html.raw("<div class=\"quiet\">").text(&count.to_string()).raw(rest).raw("</div>");
        }
    }
}

fn is_zero(point: &Point) -> bool {
    matches!(point.value, PointValue::Number(Number::Int(0)))
}

fn line(family: &Family, point: &Point) -> String {
    match &point.value {
        // A number that means no quantity.
        PointValue::Number(Number::Int(int)) if family.unit.is_empty() => int.to_string(),
        PointValue::Number(number) => amount(*number, &family.unit, &family.name).line(),
        PointValue::Histogram(histogram) => {
            let count = grouped(histogram.count.into());
            let mean = histogram.sum / Number::Int(histogram.count.into()).to_float();
            let mean = amount(Number::Float(mean), &family.unit, "").line();
            if histogram.count == 0 { "none".to_owned() } else { format!("{count} measured, {mean} on average") }
        }
    }
}
