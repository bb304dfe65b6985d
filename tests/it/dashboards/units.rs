//! The units of the panels: known to Grafana, and of the dimension that the query has by the catalogue's own units.

use std::sync::LazyLock;

use linkit_bridge::catalog::{FIGURES, Kind};
use promql_parser::parser::{Expr, token};
use serde_json::Value;

use super::board::{Rule, dashboards, list, panels, place, plain, rules, text};
use crate::support::peers::peer_file;

/// Powers of seconds and of bytes; counts and shares have none of either.
type Dimension = (i8, i8);

const COUNT: Dimension = (0, 0);
const SECONDS: Dimension = (1, 0);
const BYTES: Dimension = (0, 1);
const PER_SECOND: Dimension = (-1, 0);

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(rules);

/// Every unit of Grafana's that is used, with its dimension.
const UNITS: [(&str, Dimension); 11] = [
    ("none", COUNT),
    ("short", COUNT),
    ("percentunit", COUNT),
    ("s", SECONDS),
    ("d", SECONDS),
    ("dtdurations", SECONDS),
    ("bytes", BYTES),
    ("Bps", (-1, 1)),
    ("cpm", PER_SECOND),
    ("cps", PER_SECOND),
    ("reqps", PER_SECOND),
];

/// The dimension of a series: by the catalogue, by the name of what it was recorded from, or by its own name.
fn of_series(name: &str) -> Dimension {
    if let Some(record) = RULES.iter().find(|rule| rule.is_record && rule.name == name) {
        return of(&promql_parser::parser::parse(&record.expr).unwrap()).unwrap();
    }
    let by_unit = |unit: &str| match unit {
        "s" => SECONDS,
        "By" => BYTES,
        _ => COUNT,
    };
    for figure in FIGURES {
        let own = figure.prometheus_name();
        if name == own {
            return by_unit(figure.unit);
        }
        if figure.kind == Kind::Histogram && name.starts_with(&own) {
            return if name.ends_with("_sum") { by_unit(figure.unit) } else { COUNT };
        }
    }
    let plain = name.trim_end_matches("_total");
    if name == "ALERTS_FOR_STATE" || plain.ends_with("_seconds") {
        SECONDS
    } else if plain.ends_with("_bytes") {
        BYTES
    } else {
        COUNT
    }
}

/// The dimension of an expression; none of a bare number, which has that of what it meets.
fn of(expr: &Expr) -> Result<Dimension, String> {
    dimension(expr).map(|found| found.unwrap_or(COUNT))
}

fn dimension(expr: &Expr) -> Result<Option<Dimension>, String> {
    match expr {
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(None),
        Expr::Paren(paren) => dimension(&paren.expr),
        Expr::Unary(unary) => dimension(&unary.expr),
        Expr::Subquery(subquery) => dimension(&subquery.expr),
        Expr::VectorSelector(selector) => Ok(Some(of_series(selector.name.as_deref().unwrap_or_default()))),
        Expr::MatrixSelector(matrix) => Ok(Some(of_series(matrix.vs.name.as_deref().unwrap_or_default()))),
        Expr::Aggregate(aggregate) if ["count", "group"].contains(&aggregate.op.to_string().as_str()) => {
            Ok(Some(COUNT))
        }
        Expr::Aggregate(aggregate) => dimension(&aggregate.expr),
        Expr::Call(call) => {
            let argument = |at: usize| dimension(&call.args.args[at]);
            let (seconds, bytes) = match call.func.name {
                "time" => return Ok(Some(SECONDS)),
                // The boundaries of all our histograms are seconds.
                "histogram_quantile" => return Ok(Some(SECONDS)),
                "resets" | "changes" | "absent" | "present_over_time" => return Ok(Some(COUNT)),
                "quantile_over_time" => return argument(1),
                "rate" | "irate" | "deriv" => argument(0)?.unwrap_or(COUNT),
                _ => return argument(0),
            };
            Ok(Some((seconds - 1, bytes)))
        }
        Expr::Binary(binary) => {
            let (left, right) = (dimension(&binary.lhs)?, dimension(&binary.rhs)?);
            // Nothing of whatever there is stands in for what is not there.
            if matches!(binary.lhs.as_ref(), Expr::NumberLiteral(literal) if literal.val == 0.0) {
                return Ok(None);
            }
            let (zero, op) = (|side: Option<Dimension>| side.unwrap_or(COUNT), binary.op.id());
            if op == token::T_MUL || op == token::T_DIV {
                let sign = if op == token::T_MUL { 1 } else { -1 };
                let ((s, b), (t, c)) = (zero(left), zero(right));
                return Ok(Some((s + sign * t, b + sign * c)));
            }
            if binary.op.is_comparison_operator() && binary.return_bool() {
                return Ok(Some(COUNT));
            }
            let alike = [token::T_ADD, token::T_SUB, token::T_LOR].contains(&op) || binary.op.is_comparison_operator();
            match (left, right) {
                (Some(left), Some(right)) if alike && left != right => {
                    Err(format!("{left:?} meets {right:?}: {binary}"))
                }
                _ => Ok(left.or(right)),
            }
        }
        other => Err(format!("not understood: {other}")),
    }
}

fn of_text(expr: &str) -> Result<Dimension, String> {
    of(&promql_parser::parser::parse(&plain(expr))?)
}

/// The unit of each query: that of its column in a table, else the panel's.
fn units_of(panel: &Value) -> Vec<(String, String)> {
    let default = text(&panel["fieldConfig"]["defaults"], "unit");
    let columns: Vec<_> = list(&panel["fieldConfig"], "overrides")
        .filter_map(|column| list(column, "properties").find(|property| property["id"] == "unit"))
        .map(|property| property["value"].as_str().unwrap())
        .collect();
    let unit = |at: usize| (*columns.get(at).unwrap_or(&default)).to_owned();
    list(panel, "targets").enumerate().map(|(at, target)| (text(target, "expr").to_owned(), unit(at))).collect()
}

#[test]
fn every_query_has_the_dimension_of_its_unit() {
    for dashboard in &dashboards() {
        for panel in panels(dashboard) {
            let place = place(dashboard, panel);
            for (expr, unit) in units_of(panel) {
                let (_, expected) =
                    UNITS.iter().find(|(id, _)| *id == unit).unwrap_or_else(|| panic!("{place}: {unit}"));
                assert_eq!(of_text(&expr).as_ref(), Ok(expected), "{place}: {unit} for {expr}");
                // A dimension does not tell minutes from seconds: the factor does.
                assert_eq!(unit == "cpm", expr.starts_with("60 *"), "{place}: {unit} for {expr}");
                assert_eq!(unit == "d", expr.contains("86400"), "{place}: {unit} for {expr}");
            }
        }
    }
}

#[test]
fn the_dimension_follows_the_catalogue() {
    for (expr, dimension) in [
        ("linkit_runtime_heap_allocated_bytes", BYTES),
        ("rate(linkit_runtime_memory_allocated_bytes_total[5m])", (-1, 1)),
        ("time() - linkit_bridge_push_oldest_timestamp_seconds", SECONDS),
        ("linkit_staging_items / (rate(linkit_staging_completed_total[5m]) > 0)", SECONDS),
        ("instance:linkit_runtime_gc_last_pause_seconds:p50_10m", SECONDS),
        ("rate(linkit_bridge_collector_duration_seconds_count[5m])", PER_SECOND),
    ] {
        assert_eq!(of_text(expr), Ok(dimension), "{expr}");
    }
    assert!(of_text("linkit_runtime_heap_allocated_bytes - linkit_runtime_goroutines").is_err());
    assert!(of_text("time() - linkit_store_records").is_err());
}

#[test]
fn grafana_knows_the_units() {
    // The table of Grafana's own package, in which each unit is an entry with its id.
    let Some(table) = peer_file("grafana-units.cjs") else { return };
    let table = std::fs::read_to_string(table).unwrap();
    assert!(table.matches("id: \"").count() > 200, "the table has another form");
    for (unit, _) in UNITS {
        assert!(table.contains(&format!("id: \"{unit}\"")), "Grafana does not know {unit}");
    }
}
