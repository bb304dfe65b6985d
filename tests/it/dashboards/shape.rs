//! The shape of the dashboards: what Grafana would refuse or show wrongly, and what a person at three in the morning needs.
//! The checks of grafana/dashboard-linter are here without their gaps, and some it has not.

use std::collections::BTreeSet;
use std::time::Duration;

use promql_parser::label::{METRIC_NAME, MatchOp};
use promql_parser::parser::{Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::{Value, json};

use super::board::{alerts, alerts_named, dashboards, files, list, panels, place, plain, text};

/// Panels that need no plugin.
const TYPES: [&str; 6] = ["stat", "timeseries", "table", "bargauge", "state-timeline", "row"];

/// Windows of `rate` that are part of what a figure means, and so do not follow the screen.
const CALM: [&str; 1] = ["15m"];

/// What makes a rate, a rise or a number of resets of a counter.
const OF_COUNTERS: [&str; 5] = ["rate", "irate", "increase", "resets", "changes"];
/// What only makes sense of a gauge.
const OF_GAUGES: [&str; 3] = ["deriv", "delta", "predict_linear"];

/// What a link keeps: of a panel whatever is chosen, of a row of a table its job and instance.
const OF_ALL: [&str; 2] = ["${job:queryparam}", "${instance:queryparam}"];
const OF_A_ROW: [&str; 2] = ["var-job=${__data.fields.Job}", "var-instance=${__data.fields.Instance}"];

#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn unless(&mut self, holds: bool, place: &str, fault: &str) {
        if !holds {
            self.0.push(format!("{place}: {fault}"));
        }
    }
}

fn lint(dashboard: &Value, uids: &BTreeSet<&str>, alerts: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Faults::default();
    whole(dashboard, &mut faults);
    list(&dashboard["templating"], "list").for_each(|variable| check_variable(variable, &mut faults));
    let mut titles = BTreeSet::new();
    for panel in list(dashboard, "panels") {
        let place = place(dashboard, panel);
        faults.unless(TYPES.contains(&text(panel, "type")), &place, "a panel that needs a plugin");
        let is_row = panel["type"] == "row";
        faults.unless(is_row || titles.insert(text(panel, "title")), &place, "a second panel of this title");
    }
    grid(dashboard, &mut faults);
    for panel in panels(dashboard) {
        check_panel(dashboard, panel, &mut faults);
        let place = place(dashboard, panel);
        for alert in alerts_named(text(panel, "description")) {
            faults.unless(alerts.contains(&alert), &place, &format!("names {alert}, which is no alert"));
        }
        let columns = list(&panel["fieldConfig"], "overrides").flat_map(|column| list(column, "properties"));
        let of_rows = columns.filter(|property| property["id"] == "links").flat_map(|links| list(links, "value"));
        let links = list(panel, "links").map(|link| (link, OF_ALL)).chain(of_rows.map(|link| (link, OF_A_ROW)));
        for (link, kept) in links {
            let url = text(link, "url");
            let uid = url.trim_start_matches("/d/").split('?').next().unwrap();
            faults.unless(uids.contains(uid), &place, &format!("{url} leads nowhere"));
            for part in ["${__url_time_range}", "${datasource:queryparam}"].iter().chain(&kept) {
                faults.unless(url.contains(part), &place, &format!("{url} loses {part}"));
            }
        }
    }
    for annotation in list(&dashboard["annotations"], "list") {
        let place = format!("{}: annotation {}", text(dashboard, "uid"), text(annotation, "name"));
        faults.unless(annotation["datasource"]["uid"] == "${datasource}", &place, "not the chosen data source");
        faults.unless(
            annotation["expr"] == annotation["target"]["expr"],
            &place,
            "two queries, of which Grafana takes one",
        );
        check_query(text(annotation, "expr"), true, &place, &mut faults);
    }
    faults.0
}

/// What the dashboard says of itself.
fn whole(dashboard: &Value, faults: &mut Faults) {
    let place = text(dashboard, "uid");
    faults.unless(place.starts_with("linkit-"), place, "a uid without our prefix");
    faults.unless(dashboard["schemaVersion"] == 42, place, "not the last classic schema");
    faults.unless(dashboard["editable"] == false, place, "editable, though the file is the truth");
    faults.unless(dashboard["graphTooltip"] == 1, place, "no shared crosshair");
    faults.unless(dashboard["refresh"].is_string(), place, "refresh is no text");
    faults.unless(dashboard["tags"] == json!(["linkit"]), place, "not the shared tag alone");
    faults.unless(text(dashboard, "description").len() > 40, place, "no description");
    for key in ["id", "__inputs", "__requires", "__elements", "iteration", "style", "gnetId"] {
        faults.unless(dashboard.get(key).is_none(), place, &format!("{key} belongs to an export"));
    }
    faults.unless(dashboard["timepicker"].get("time_options").is_none(), place, "time_options is long gone");
    let links: Vec<_> = list(dashboard, "links").collect();
    let keeps = |link: &&&Value| {
        link["type"] == "dashboards"
            && link["tags"] == json!(["linkit"])
            && ["asDropdown", "includeVars", "keepTime"].iter().all(|key| link[*key] == true)
            && ["title", "icon", "tooltip", "url", "targetBlank"].iter().all(|key| link.get(*key).is_some())
    };
    faults.unless(links.iter().filter(keeps).count() == 1, place, "no dropdown of the other dashboards");
    faults.unless(list(&dashboard["annotations"], "list").count() >= 3, place, "no annotations of alerts and restarts");
    let variables = || list(&dashboard["templating"], "list");
    let first: Vec<_> = variables().take(3).map(|variable| (text(variable, "name"), text(variable, "type"))).collect();
    let expected = [("datasource", "datasource"), ("job", "query"), ("instance", "query")];
    faults.unless(first == expected, place, "the first variables are not data source, job and instance");
}

fn check_variable(variable: &Value, faults: &mut Faults) {
    let place = format!("variable {}", text(variable, "name"));
    faults.unless(variable["query"].is_string(), &place, "its query is no text");
    let current = &variable["current"];
    faults.unless(current.get("text").is_some() && current.get("value").is_some(), &place, "nothing is chosen");
    faults.unless(
        !text(variable, "label").is_empty() && !text(variable, "description").is_empty(),
        &place,
        "says nothing",
    );
    if variable["type"] != "query" {
        return;
    }
    faults.unless(variable["datasource"]["uid"] == "${datasource}", &place, "not the chosen data source");
    faults.unless(variable["refresh"] == 2, &place, "does not follow the time range");
    faults.unless(variable["multi"] == true && variable["includeAll"] == true, &place, "not several, not all");
    faults.unless(variable["allValue"] == ".+", &place, "All is not .+");
    faults.unless(text(variable, "query").starts_with("label_values("), &place, "not label_values");
}

/// No two panels lie on each other, none is outside the grid, no id is there twice.
fn grid(dashboard: &Value, faults: &mut Faults) {
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in list(dashboard, "panels") {
        let place = place(dashboard, panel);
        faults.unless(ids.insert(panel["id"].as_u64()), &place, "its id is there twice");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap_or(99);
        faults.unless(at("x") + at("w") <= 24 && at("w") > 0 && at("h") > 0, &place, "outside the grid");
        for (x, y) in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
            faults.unless(taken.insert((x, y)), &place, "lies on another panel");
        }
    }
}

fn check_panel(dashboard: &Value, panel: &Value, faults: &mut Faults) {
    let place = place(dashboard, panel);
    let description = text(panel, "description");
    faults.unless(description.contains("ormal"), &place, "does not say what is normal");
    faults.unless(panel["datasource"]["uid"] == "${datasource}", &place, "not the chosen data source");
    let defaults = &panel["fieldConfig"]["defaults"];
    faults.unless(!text(defaults, "unit").is_empty(), &place, "no unit");
    faults.unless(!text(defaults, "noValue").is_empty(), &place, "nothing is said where nothing is known");
    let steps: Vec<_> = list(&defaults["thresholds"], "steps").collect();
    let values: Vec<_> = steps.iter().map(|step| step["value"].as_f64()).collect();
    let rises = values.windows(2).all(|pair| pair[0].unwrap_or(f64::MIN) < pair[1].unwrap_or(f64::MIN));
    faults.unless(values.first() == Some(&None) && rises, &place, "threshold steps do not rise from null");
    // With an empty list Grafana's linter looks at no unit, and the panel maps nothing.
    faults.unless(defaults.get("mappings").is_none_or(|m| !m.as_array().unwrap().is_empty()), &place, "empty mappings");
    let (mut refs, mut any) = (BTreeSet::new(), false);
    for target in list(panel, "targets") {
        any = true;
        faults.unless(refs.insert(text(target, "refId")), &place, "two queries of one refId");
        faults.unless(target["datasource"]["uid"] == "${datasource}", &place, "not the chosen data source");
        let named = panel["type"] == "table" || panel["type"] == "stat" || text(target, "legendFormat").contains("{{");
        faults.unless(named, &place, "a line without the name of its instance");
        faults.unless(target["instant"] != target["range"], &place, "neither an instant nor a range");
        check_query(text(target, "expr"), target["instant"] == true, &place, faults);
    }
    faults.unless(any, &place, "no query");
}

/// What an expression selects: each selector, and of one with a range the function that takes it.
#[derive(Default)]
struct Selections {
    around: Vec<String>,
    found: Vec<(VectorSelector, Option<String>)>,
    longest: Duration,
    aggregations: Vec<String>,
}

impl ExprVisitor for Selections {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Self::Error> {
        match expr {
            Expr::Call(call) => self.around.push(call.func.name.to_owned()),
            Expr::Aggregate(aggregate) => self.aggregations.push(aggregate.op.to_string()),
            Expr::MatrixSelector(matrix) => {
                self.longest = self.longest.max(matrix.range);
                self.found.push((matrix.vs.clone(), self.around.last().cloned()));
            }
            Expr::VectorSelector(selector) => self.found.push((selector.clone(), None)),
            _ => {}
        }
        Ok(true)
    }

    fn post_visit(&mut self, expr: &Expr) -> Result<bool, Self::Error> {
        if let Expr::Call(_) = expr {
            self.around.pop();
        }
        Ok(true)
    }
}

fn check_query(expr: &str, is_instant: bool, place: &str, faults: &mut Faults) {
    let Ok(parsed) = promql_parser::parser::parse(&plain(expr)) else {
        faults.unless(false, place, &format!("does not parse: {expr}"));
        return;
    };
    let mut selections = Selections::default();
    walk_expr(&mut selections, &parsed).unwrap();
    for (selector, function) in &selections.found {
        let name = selector.name.as_deref().unwrap_or_default();
        for (label, value) in [("job", "$job"), ("instance", "$instance")] {
            let chosen =
                selector.matchers.matchers.iter().any(|matcher| {
                    matcher.name == label && matches!(matcher.op, MatchOp::Re(_)) && matcher.value == value
                });
            faults.unless(chosen, place, &format!("{name} without {label}=~\"{value}\""));
        }
        let named = selector.matchers.matchers.iter().all(|matcher| matcher.name != METRIC_NAME);
        faults.unless(named && !name.is_empty(), place, "a selector without a plain name");
        let is_counter = ["_total", "_bucket", "_sum", "_count"].iter().any(|suffix| name.ends_with(suffix));
        let function = function.as_deref().unwrap_or_default();
        if is_counter {
            faults.unless(OF_COUNTERS.contains(&function), place, &format!("the counter {name} as it is"));
        } else {
            let of_counter = OF_COUNTERS.contains(&function) && function != "changes";
            faults.unless(!of_counter, place, &format!("{function} of the gauge {name}"));
        }
        faults.unless(
            !is_counter || !OF_GAUGES.contains(&function),
            place,
            &format!("{function} of the counter {name}"),
        );
    }
    // Each point of a line would read a week of samples, of each series: minutes for fifty bridges.
    let is_heavy = selections.longest > Duration::from_secs(86_400) && !is_instant;
    faults.unless(!is_heavy, place, "every sample of more than a day at each point; take a subquery with a step");
    let ranks = selections.aggregations.iter().any(|op| op == "topk" || op == "bottomk");
    faults.unless(!ranks || is_instant, place, "topk over a range shows more lines than it says");
    for window in expr.split("rate(").skip(1).filter_map(|rest| rest.split('[').nth(1)) {
        let window = window.split(']').next().unwrap();
        let ok = window == "$__rate_interval" || CALM.contains(&window);
        faults.unless(ok, place, &format!("rate over {window}"));
    }
}

fn known() -> (Vec<Value>, BTreeSet<String>) {
    (dashboards(), alerts().into_iter().map(|rule| rule.name).collect())
}

#[test]
fn every_dashboard_is_as_it_should_be() {
    let (dashboards, alerts) = known();
    let uids: BTreeSet<_> = dashboards.iter().map(|dashboard| text(dashboard, "uid")).collect();
    assert_eq!(uids.len(), 5, "two dashboards of one uid, or one is missing: {uids:?}");
    let faults: Vec<_> = dashboards.iter().flat_map(|dashboard| lint(dashboard, &uids, &alerts)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    for (dashboard, file) in dashboards.iter().zip(files("dashboards", "json")) {
        assert_eq!(file.file_stem().unwrap().to_str(), dashboard["uid"].as_str(), "file and uid differ");
    }
}

#[test]
fn the_check_finds_every_planted_fault() {
    let (dashboards, alerts) = known();
    let uids: BTreeSet<_> = dashboards.iter().map(|dashboard| text(dashboard, "uid")).collect();
    let whole = &dashboards.iter().find(|dashboard| dashboard["uid"] == "linkit-overview").unwrap();
    let plant = |pointer: &str, value: Value| {
        let mut broken = (*whole).clone();
        *broken.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is not there")) = value;
        lint(&broken, &uids, &alerts)
    };
    let selector = "{job=~\"$job\", instance=~\"$instance\"}";
    let (expr, lines) = ("/panels/0/targets/0/expr", "/panels/9/targets/0/expr");
    for (pointer, value, fault) in [
        ("/schemaVersion", json!(39), "schema"),
        ("/editable", json!(true), "editable"),
        ("/links/0/keepTime", json!(false), "dropdown"),
        ("/annotations/list", json!([]), "annotations"),
        ("/templating/list/1/name", json!("jobs"), "variables"),
        ("/templating/list/1/allValue", json!(".*"), "All"),
        ("/templating/list/2/refresh", json!(1), "time range"),
        ("/templating/list/2/query", json!({ "query": "label_values(up, job)" }), "no text"),
        ("/panels/0/type", json!("piechart"), "plugin"),
        ("/panels/1/id", json!(1), "twice"),
        ("/panels/1/gridPos/x", json!(0), "lies on"),
        ("/panels/5/gridPos/w", json!(9), "outside"),
        ("/panels/0/description", json!("Bridges."), "normal"),
        ("/panels/0/description", json!("Normal. LinkitBridgeGone fires."), "no alert"),
        ("/panels/0/links/0/url", json!("/d/linkit-brigde?${job:queryparam}"), "nowhere"),
        ("/panels/6/fieldConfig/overrides/2/properties/0/value/0/url", json!("/d/linkit-bridge?"), "loses var-job"),
        ("/panels/0/fieldConfig/defaults/unit", json!(""), "no unit"),
        ("/panels/0/fieldConfig/defaults/noValue", json!(""), "nothing is said"),
        ("/panels/0/fieldConfig/defaults/mappings", json!([]), "mappings"),
        ("/panels/0/fieldConfig/defaults/thresholds/steps/0/value", json!(7), "rise"),
        ("/panels/0/targets", json!([]), "no query"),
        ("/panels/0/datasource/uid", json!("prometheus"), "data source"),
        (expr, json!("up)"), "parse"),
        (expr, json!("up{job=~\"$job\"}"), "without instance"),
        (expr, json!("up{job=\"$job\", instance=~\"$instance\"}"), "without job"),
        (expr, json!(format!("linkit_staging_completed_total{selector}")), "as it is"),
        (expr, json!(format!("rate(linkit_staging_items{selector}[$__rate_interval])")), "of the gauge"),
        (expr, json!(format!("deriv(linkit_staging_completed_total{selector}[15m])")), "counter"),
        (expr, json!(format!("rate(linkit_staging_completed_total{selector}[1m])")), "rate over"),
        (lines, json!(format!("deriv(linkit_store_records{selector}[7d])")), "more than a day"),
    ] {
        let faults = plant(pointer, value.clone());
        assert!(faults.iter().any(|found| found.contains(fault)), "{pointer} = {value}: {faults:?}");
    }
}

#[test]
fn the_overview_shows_all_that_matters_on_one_screen() {
    // A row of the grid is 38 px high: 24 of them are what a window of 1080 px leaves beneath Grafana's own bars.
    const ROWS: u64 = 24;
    let (dashboards, _) = known();
    let overview = dashboards.iter().find(|dashboard| dashboard["uid"] == "linkit-overview").unwrap();
    let mut shown = String::new();
    for panel in list(overview, "panels") {
        let place = place(overview, panel);
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("y") + at("h") <= ROWS, "{place} is below the screen");
        // First how it stands, then what is behind it.
        assert_eq!(at("y") == 0, panel["type"] == "stat", "{place}");
        list(panel, "targets").for_each(|target| shown.push_str(text(target, "expr")));
    }
    for series in [
        "up{",
        "linkit_bridge_collector_staleness{",
        "ALERTS{",
        "linkit_staging_items{",
        "linkit_store_records{",
        "linkit_runtime_goroutines{",
        "linkit_runtime_heap_allocated_bytes{",
        "linkit_bridge_push_queued_batches{",
    ] {
        assert!(shown.contains(series), "{series} is not on the first screen");
    }
}

#[test]
fn lines_of_states_are_as_many_at_a_time_as_can_be_read() {
    for dashboard in &dashboards() {
        for panel in panels(dashboard).filter(|panel| panel["type"] == "state-timeline") {
            let (lines, height) = (&panel["options"]["perPage"], &panel["gridPos"]["h"]);
            assert!(lines.as_u64().unwrap() <= height.as_u64().unwrap(), "{}", place(dashboard, panel));
        }
    }
}
