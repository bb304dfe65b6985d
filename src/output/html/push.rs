//! The state of push, an endpoint a row: what waits and for how long, what was dropped, when it last went through.

use std::time::Duration;

use super::verdict::Level;
use super::words::{Html, amount, grouped, span};
use crate::catalog::FigureId;
use crate::reading::Number;
use crate::registry::{Point, PointValue, Snapshot};

/// A receiver that is asked every 21 to 30 s in an outage has then missed two attempts.
const BEHIND: Duration = Duration::from_secs(60);

/// No batch taken for so long is what the alert LinkitPushFailing tells of.
const SILENT: Duration = Duration::from_secs(600);

/// How an endpoint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing has been answered yet.
    Waiting,
    /// Batches go through.
    UpToDate,
    /// Batches wait for longer than a receiver that is there would let them.
    Behind,
    /// None waits and none goes through: they are refused and given up.
    Failing,
}

/// What is known of one endpoint.
#[derive(Debug)]
pub(super) struct Endpoint<'a> {
    /// As configured, never its URL.
    pub(super) name: &'a str,
    queued: Number,
    bytes: Option<Number>,
    /// How long the oldest batch has waited.
    oldest: Option<Duration>,
    delivered: Option<Number>,
    dropped: Number,
    /// How long ago a batch last went through.
    success: Option<Duration>,
}

impl Endpoint<'_> {
    /// How it does. That nothing waits is no good sign by itself: what a receiver refuses does not wait either.
    pub(super) fn state(&self) -> State {
        let has_dropped = self.dropped != Number::Int(0);
        match self.success {
            _ if self.oldest.is_some_and(|oldest| oldest > BEHIND) => State::Behind,
            // Who pushes seldom is silent too, and has lost nothing.
            Some(ago) if ago > SILENT && has_dropped => State::Failing,
            Some(_) => State::UpToDate,
            None if has_dropped => State::Failing,
            None => State::Waiting,
        }
    }
}

/// The endpoints by name.
pub(super) fn endpoints(snapshot: &Snapshot) -> Vec<Endpoint<'_>> {
    let now = snapshot.at.wall.0;
    let points = |figure: FigureId| {
        let family = snapshot.family(figure.figure().name);
        family.map_or(&[][..], |family| &*family.points)
    };
    let of =
        |figure: FigureId, name: &str| points(figure).iter().find(|point| endpoint(point) == name).and_then(number);
    let ago = |figure, name: &str| {
        let seconds = of(figure, name)?.to_float();
        let now = Duration::from_nanos(now).as_secs_f64();
        Duration::try_from_secs_f64(now - seconds).ok().or(Some(Duration::ZERO))
    };
    let queued = points(FigureId::PushQueuedBatches).iter();
    let rows = queued.filter_map(|point| {
        let name = endpoint(point);
        let drops = points(FigureId::PushDropped).iter().filter(|point| endpoint(point) == name).filter_map(number);
        Some(Endpoint {
            name,
            queued: number(point)?,
            bytes: of(FigureId::PushQueuedBytes, name),
            oldest: ago(FigureId::PushOldestTimestamp, name),
            delivered: of(FigureId::PushDelivered, name),
            dropped: Number::Int(drops.map(|number| if let Number::Int(int) = number { int } else { 0 }).sum()),
            success: ago(FigureId::PushLastSuccess, name),
        })
    });
    rows.collect()
}

fn endpoint(point: &Point) -> &str {
    point.attributes.iter().find(|(key, _)| key == "endpoint").map_or("", |(_, value)| value)
}

fn number(point: &Point) -> Option<Number> {
    if let PointValue::Number(number) = point.value { Some(number) } else { None }
}

/// The table of push; nothing if there is none.
pub(super) fn table(html: &mut Html, endpoints: &[Endpoint<'_>]) {
    if endpoints.is_empty() {
        return;
    }
    html.raw("<section id=\"push\" aria-labelledby=\"push-title\"><div class=\"section-head\">");
    html.raw("<h2 id=\"push-title\">Push</h2></div><div class=\"table\"><table>");
    html.raw("<caption class=\"hidden\">Push over OTLP: what waits for each endpoint and what was dropped</caption>");
    html.raw("<thead><tr><th scope=\"col\">Endpoint</th><th scope=\"col\">State</th>");
    html.raw("<th scope=\"col\">Batches waiting</th><th scope=\"col\">Batches dropped</th></tr></thead><tbody id=\"endpoints\">");
    for endpoint in endpoints {
        row(html, endpoint);
    }
    html.raw("</tbody></table></div></section>");
}

fn row(html: &mut Html, endpoint: &Endpoint<'_>) {
    let batches = |number| amount(number, "", "").digits;
    let (level, state) = match endpoint.state() {
        State::Waiting => (Level::Unknown, "waiting"),
        State::UpToDate => (Level::Good, "up to date"),
        State::Behind => (Level::Warn, "behind"),
        State::Failing => (Level::Warn, "failing"),
    };
    let success = endpoint.success.map(|ago| format!("last success {} ago", span(ago)));
    html.raw("<tr><th scope=\"row\">").text(endpoint.name).raw("</th><td data-level=\"").text(level.name());
    html.raw("\"><span class=\"mark\" aria-hidden=\"true\"></span>").text(state);
    small(html, success.as_deref().unwrap_or("no success yet"));
    html.raw("</td><td>").text(&batches(endpoint.queued));
    if let Some(oldest) = endpoint.oldest {
        let size = endpoint.bytes.map(|bytes| format!(", {}", amount(bytes, "By", "").line())).unwrap_or_default();
        small(html, &format!("oldest {}{size}", span(oldest)));
    }
    html.raw("</td><td data-level=\"");
    html.text(if endpoint.dropped == Number::Int(0) { "" } else { Level::Warn.name() }).raw("\">");
    html.text(&batches(endpoint.dropped));
    if let Some(Number::Int(delivered)) = endpoint.delivered {
        small(html, &format!("{} delivered", grouped(delivered)));
    }
    html.raw("</td></tr>");
}

fn small(html: &mut Html, text: &str) {
    html.raw(" <small>").text(text).raw("</small>");
}
