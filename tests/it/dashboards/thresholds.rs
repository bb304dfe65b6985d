//! The rules are the one place of the thresholds: panels draw what the alerts they name compare with. And every alert
//! says what to do: a severity, a summary, a dashboard, a runbook.

use std::collections::BTreeSet;

use promql_parser::parser::{Expr, token};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::Value;

use super::board::{Rule, alerts, alerts_named, dashboards, list, panels, place, text};
use crate::support::root;

/// Limits that no line can show, with the reason.
const UNDRAWN: [(&str, f64, &str); 3] = [
    ("LinkitPipelineStalled", 1.0, "a level of processing means something only together with a queue that grows"),
    ("LinkitStoreCountDropped", 100.0, "it leaves out small collections, and so does the panel's query"),
    ("LinkitKeyExpiring", -86400.0, "it ends the alert a day after the expiry"),
];

const SECONDS_OF_A_DAY: f64 = 86400.0;

/// The number an expression without series stands for, or the factor of one that multiplies a series.
fn number(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::NumberLiteral(literal) => Some(literal.val),
        Expr::Paren(paren) => number(&paren.expr),
        Expr::Unary(unary) => number(&unary.expr).map(|value| -value),
        Expr::Binary(binary) if binary.op.id() == token::T_MUL => {
            let (left, right) = (number(&binary.lhs), number(&binary.rhs));
            left.map(|left| left * right.unwrap_or(1.0))
        }
        _ => None,
    }
}

/// The numbers an expression compares with.
#[derive(Default)]
struct Limits(Vec<f64>);

impl ExprVisitor for Limits {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Self::Error> {
        if let Expr::Binary(binary) = expr
            && binary.op.is_comparison_operator()
        {
            self.0.extend(number(&binary.rhs));
        }
        Ok(true)
    }
}

fn limits(rule: &Rule) -> Vec<f64> {
    let parsed = promql_parser::parser::parse(&rule.expr).unwrap_or_else(|error| panic!("{}: {error}", rule.place));
    let mut limits = Limits::default();
    walk_expr(&mut limits, &parsed).unwrap();
    limits.0
}

/// The threshold steps of a panel and of its columns, in the unit of the rules.
fn drawn(panel: &Value) -> Vec<f64> {
    let defaults = &panel["fieldConfig"]["defaults"];
    let scale = if defaults["unit"] == "d" { SECONDS_OF_A_DAY } else { 1.0 };
    let columns = list(&panel["fieldConfig"], "overrides").flat_map(|column| list(column, "properties"));
    let columns = columns.filter(|property| property["id"] == "thresholds").map(|property| &property["value"]);
    let steps =
        std::iter::once(&defaults["thresholds"]).chain(columns).flat_map(|thresholds| list(thresholds, "steps"));
    steps.filter_map(|step| step["value"].as_f64()).map(|value| value * scale).collect()
}

fn is_same(left: f64, right: f64) -> bool {
    (left - right).abs() <= 1e-9 * left.abs().max(right.abs())
}

/// Whether the steps only tell apart states: of a count of bad things, of a mapped value.
fn shows_states(panel: &Value) -> bool {
    let counts = list(panel, "targets").all(|target| text(target, "expr").starts_with("count("));
    counts || panel["type"] == "state-timeline" || panel["type"] == "table"
}

#[test]
fn every_line_of_a_panel_is_a_limit_of_an_alert_it_names() {
    let alerts = alerts();
    for dashboard in &dashboards() {
        for panel in panels(dashboard) {
            let named = alerts_named(text(panel, "description"));
            let limits: Vec<_> = alerts.iter().filter(|rule| named.contains(&rule.name)).flat_map(limits).collect();
            for step in drawn(panel) {
                let is_state = shows_states(panel) && [1.0, 2.0, 3.0].contains(&step);
                let is_limit = limits.iter().any(|limit| is_same(*limit, step));
                assert!(is_state || is_limit, "{}: {step} is no limit of {named:?}", place(dashboard, panel));
            }
        }
    }
}

#[test]
fn every_alert_is_named_on_a_panel_that_draws_its_limits() {
    let dashboards = dashboards();
    for rule in &alerts() {
        let naming: Vec<_> = dashboards
            .iter()
            .flat_map(panels)
            .filter(|panel| alerts_named(text(panel, "description")).contains(&rule.name))
            .collect();
        assert!(!naming.is_empty(), "no panel names {}", rule.name);
        for limit in limits(rule).into_iter().filter(|limit| !is_same(*limit, 0.0)) {
            let lines = naming.iter().filter(|panel| !shows_states(panel)).flat_map(|panel| drawn(panel));
            let is_drawn = lines.into_iter().any(|step| is_same(step, limit));
            let listed = UNDRAWN.iter().any(|(name, value, _)| rule.name == *name && is_same(*value, limit));
            assert!(is_drawn != listed, "{}: {limit} is drawn nowhere, or drawn and listed as undrawn", rule.name);
        }
    }
}

#[test]
fn limits_are_read_from_products_and_factors() {
    let rule = |expr: &str| Rule {
        place: String::new(),
        name: String::new(),
        expr: expr.to_owned(),
        is_record: false,
        document: Value::Null,
    };
    assert_eq!(
        limits(&rule("a > 16 * 1024 * 1024 and b < 0.9 * c and d == 0 or e > -86400")),
        [16_777_216.0, 0.9, 0.0, -86400.0]
    );
}

#[test]
fn the_bridges_page_calls_a_push_failing_when_the_alert_does() {
    let source = std::fs::read_to_string(root().join("src/output/html/push.rs")).unwrap();
    let seconds =
        source.split("SILENT: Duration = Duration::from_secs(").nth(1).and_then(|rest| rest.split(')').next());
    let alert = alerts().into_iter().find(|rule| rule.name == "LinkitPushFailing").unwrap();
    assert!(is_same(limits(&alert)[0], seconds.unwrap().parse().unwrap()), "{seconds:?}");
}

#[test]
fn every_alert_says_how_grave_it_is_what_it_means_and_where_to_look() {
    let uids: BTreeSet<String> = dashboards().iter().map(|dashboard| text(dashboard, "uid").to_owned()).collect();
    let mut names = BTreeSet::new();
    for Rule { place, name, document, .. } in &alerts() {
        assert!(names.insert(name.clone()), "{place} is there twice");
        assert!(["critical", "warning", "info"].contains(&text(&document["labels"], "severity")), "{place}: severity");
        assert!(document["for"].is_string(), "{place}: a spike fires it");
        assert!(document["keep_firing_for"].is_string(), "{place}: a gap in the data ends it");
        let annotations = &document["annotations"];
        for key in ["summary", "description"] {
            let said = text(annotations, key);
            assert!(said.ends_with('.') && !said.contains("  "), "{place}: {key}: {said}");
        }
        let dashboard = text(annotations, "dashboard_url");
        let (uid, query) = dashboard.strip_prefix("/d/").unwrap().split_once('?').unwrap_or((&dashboard[3..], ""));
        assert!(uids.contains(uid), "{place}: {dashboard} leads nowhere");
        let instance = "var-job={{ $labels.job }}&var-instance={{ $labels.instance }}";
        assert!(query == instance || name == "LinkitTargetAbsent", "{place}: {dashboard} loses job or instance");
        assert_eq!(text(annotations, "runbook_url"), format!("/docs/runbooks.md#{}", name.to_lowercase()), "{place}");
    }
}

#[test]
fn every_alert_has_its_runbook_and_every_runbook_its_alert() {
    let text = std::fs::read_to_string(root().join("docs/runbooks.md")).unwrap();
    let sections: Vec<_> = text.split("\n## ").skip(1).map(|section| section.split_once('\n').unwrap()).collect();
    let written: BTreeSet<_> = sections.iter().map(|(name, _)| (*name).to_owned()).collect();
    let alerts: BTreeSet<_> = alerts().into_iter().map(|rule| rule.name).collect();
    assert_eq!(written, alerts);
    for (name, section) in &sections {
        for part in ["**Means:**", "**Look", "**Ignore:**"] {
            assert!(section.contains(part), "{name} has no {part}");
        }
        assert!(
            section.contains("**Fix:**") || section.contains("and fix:**") || section.contains("remedy |"),
            "{name}: no fix"
        );
    }
    for anchor in text.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert!(alerts.iter().any(|name| name.to_lowercase() == anchor), "#{anchor} leads nowhere");
    }
    for query in text.split("```promql\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        super::check(query, "docs/runbooks.md", &super::known_with_records(&super::rules())).unwrap();
    }
}
