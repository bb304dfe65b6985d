//! Dashboards and alert rules against the catalogue: every metric and label they name exists; promtool agrees with
//! the rules and their cases. Beside this file: their shape, their units, their thresholds, and both at work.

mod alerting;
mod board;
mod history;
mod hours;
mod inhibition;
mod live;
mod shape;
mod thresholds;
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use linkit_bridge::catalog::{FIGURES, Kind};
use promql_parser::label::METRIC_NAME;
use promql_parser::parser::{Expr, LabelModifier};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::Value;

use self::board::{Rule, files, plain, rules};
use crate::support::peers::{peer, program};
use crate::support::root;

/// Series that are not ours but on our page or made by Prometheus itself, with their labels.
const FOREIGN: &[(&str, &[&str])] = &[
    ("up", &[]),
    ("ALERTS", &["alertname", "alertstate", "severity"]),
    ("ALERTS_FOR_STATE", &["alertname", "severity"]),
    ("process_start_time_seconds", &[]),
    ("process_resident_memory_bytes", &[]),
    ("process_cpu_seconds_total", &[]),
    ("process_open_fds", &[]),
    ("process_max_fds", &[]),
];

/// Figures that no panel shows, with the reason.
const ON_NO_PANEL: &[(&str, &str)] = &[];

/// Labels that every series carries, and those that scraped ones carry and pushed ones do not.
const TARGET_LABELS: [&str; 4] = ["job", "instance", "otel_scope_name", "otel_scope_version"];

/// Every series name with its labels.
fn known() -> BTreeMap<String, BTreeSet<String>> {
    let mut known = BTreeMap::new();
    let mut add = |name: String, labels: &[&str]| {
        known.insert(name, labels.iter().chain(&TARGET_LABELS).map(|label| (*label).to_owned()).collect());
    };
    FOREIGN.iter().for_each(|(name, labels)| add((*name).to_owned(), labels));
    for figure in FIGURES {
        let name = figure.prometheus_name();
        if figure.kind == Kind::Histogram {
            add(format!("{name}_sum"), figure.attributes);
            add(format!("{name}_count"), figure.attributes);
            add(format!("{name}_bucket"), &[figure.attributes, &["le"]].concat());
        } else {
            add(name, figure.attributes);
        }
    }
    known
}

/// Adds the recorded series of the rule files: a record keeps the labels of what it is made of.
fn known_with_records(rules: &[Rule]) -> BTreeMap<String, BTreeSet<String>> {
    let mut known = known();
    for rule in rules.iter().filter(|rule| rule.is_record) {
        let labels = Names::of(&rule.expr, &rule.place).series.iter().flat_map(|name| known[name].clone()).collect();
        known.insert(rule.name.clone(), labels);
    }
    known
}

/// The series and labels an expression names.
#[derive(Default)]
struct Names {
    series: BTreeSet<String>,
    labels: BTreeSet<String>,
}

impl Names {
    fn of(expr: &str, place: &str) -> Self {
        let expr = plain(expr);
        let parsed = promql_parser::parser::parse(&expr).unwrap_or_else(|error| panic!("{place}: {error}: {expr}"));
        let mut names = Self::default();
        walk_expr(&mut names, &parsed).unwrap();
        names
    }

    fn group(&mut self, modifier: Option<&LabelModifier>) {
        if let Some(LabelModifier::Include(labels) | LabelModifier::Exclude(labels)) = modifier {
            self.labels.extend(labels.labels.iter().cloned());
        }
    }
}

impl ExprVisitor for Names {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Self::Error> {
        let selector = match expr {
            Expr::VectorSelector(selector) => Some(selector),
            Expr::MatrixSelector(matrix) => Some(&matrix.vs),
            Expr::Aggregate(aggregate) => {
                self.group(aggregate.modifier.as_ref());
                None
            }
            Expr::Binary(binary) => {
                self.group(binary.modifier.as_ref().and_then(|modifier| modifier.matching.as_ref()));
                None
            }
            _ => None,
        };
        if let Some(selector) = selector {
            self.series.extend(selector.name.clone());
            let matchers = selector.matchers.matchers.iter().filter(|matcher| matcher.name != METRIC_NAME);
            self.labels.extend(matchers.map(|matcher| matcher.name.clone()));
        }
        Ok(true)
    }
}

/// Fails on a series that does not exist, and on a label that none of the expression's series has.
fn check(expr: &str, place: &str, known: &BTreeMap<String, BTreeSet<String>>) -> Result<(), String> {
    let names = Names::of(expr, place);
    let mut labels = BTreeSet::new();
    for name in &names.series {
        let found = known.get(name).ok_or_else(|| format!("{place}: the catalogue has no {name}"))?;
        labels.extend(found.clone());
    }
    match names.labels.difference(&labels).next() {
        Some(label) => Err(format!("{place}: none of {:?} has a label {label}", names.series)),
        None => Ok(()),
    }
}

#[test]
fn the_check_finds_a_series_and_a_label_that_do_not_exist() {
    let known = known();
    assert!(check("linkit_runtime_goroutines{job=\"a\"}", "", &known).is_ok());
    assert!(check("linkit_runtime_gorotines", "", &known).is_err());
    assert!(check("sum by (colection) (linkit_store_records)", "", &known).is_err());
    assert!(check("linkit_store_records{state=\"x\"}", "", &known).is_err());
    assert!(check("rate(linkit_runtime_gc_cycles[5m])", "", &known).is_err());
}

#[test]
fn every_rule_names_only_what_exists() {
    let rules = rules();
    let known = known_with_records(&rules);
    for rule in &rules {
        check(&rule.expr, &rule.place, &known).unwrap();
        let templates = rule.document["annotations"].to_string();
        for label in templates.split("$labels.").skip(1) {
            let end = label.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap();
            let labels: BTreeSet<_> =
                Names::of(&rule.expr, "").series.iter().flat_map(|name| known[name].clone()).collect();
            assert!(labels.contains(&label[..end]), "{}: no label {}", rule.place, &label[..end]);
        }
    }
}

#[test]
fn every_panel_and_variable_names_only_what_exists() {
    let known = known_with_records(&rules());
    let mut checked = 0;
    for file in files("dashboards", "json") {
        let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let mut expressions = Vec::new();
        expressions_of(&dashboard, &mut expressions);
        for expr in expressions {
            let place = format!("{}: {expr}", file.display());
            match expr.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')) {
                Some(arguments) => {
                    let (expr, label) = arguments.rsplit_once(',').unwrap();
                    check(&format!("sum by ({}) ({expr})", label.trim()), &place, &known).unwrap();
                }
                None => check(&expr, &place, &known).unwrap(),
            }
            checked += 1;
        }
    }
    assert!(checked > 40, "only {checked} expressions were found");
}

/// Every `expr`, and every `query` of a query variable.
fn expressions_of(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("expr").and_then(Value::as_str).map(str::to_owned));
            if map.get("type").and_then(Value::as_str) == Some("query") {
                found.extend(map.get("query").and_then(Value::as_str).map(str::to_owned));
            }
            map.values().for_each(|value| expressions_of(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| expressions_of(value, found)),
        _ => {}
    }
}

#[test]
fn every_figure_is_on_a_panel_or_listed_with_the_reason() {
    let text: String = files("dashboards", "json").iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    for figure in FIGURES {
        let (name, listed) = (figure.prometheus_name(), ON_NO_PANEL.iter().any(|(name, _)| *name == figure.name));
        assert!(text.contains(&name) != listed, "{name}: on a panel and listed as on none, or neither");
    }
}

#[test]
fn the_dashboards_are_what_their_generator_writes() {
    let Some(python) = program("python3") else { return };
    passes(Command::new(python).args(["dashboards/generate.py", "--check"]));
}

#[test]
fn every_alert_has_a_case_that_fires_and_one_that_is_silent() {
    let mut cases: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for file in files("alerts/tests", "yml") {
        let document: Value = serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let tests = document["tests"].as_array().unwrap().iter();
        for case in tests.flat_map(|test| test["alert_rule_test"].as_array().into_iter().flatten()) {
            let (firing, silent) = cases.entry(case["alertname"].as_str().unwrap().to_owned()).or_default();
            let fires = case["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty());
            *(if fires { firing } else { silent }) += 1;
        }
    }
    for rule in rules().iter().filter(|rule| !rule.is_record) {
        let (firing, silent) = cases.get(&rule.name).copied().unwrap_or_default();
        assert!(firing > 0 && silent > 0, "{}: {firing} firing and {silent} silent cases", rule.name);
    }
}

#[test]
fn promtool_2_and_3_agree_with_the_rules_and_their_cases() {
    std::thread::scope(|scope| {
        for promtool in ["promtool2", "promtool"].into_iter().filter_map(peer) {
            scope.spawn(move || {
                passes(Command::new(&promtool).args(["check", "rules"]).args(files("alerts", "yml")));
                passes(Command::new(&promtool).args(["test", "rules"]).args(files("alerts/tests", "yml")));
            });
        }
    });
}

#[test]
fn promtool_agrees_with_the_stacks_prometheus_config() {
    let Some(promtool) = peer("promtool") else { return };
    passes(Command::new(promtool).args(["check", "config", "--syntax-only", "deploy/prometheus/prometheus.yml"]));
}

#[test]
fn the_stack_names_only_files_that_exist() {
    let text = std::fs::read_to_string(root().join("docker-compose.yml")).unwrap();
    let compose: Value = serde_saphyr::from_str(&text).unwrap();
    let services = compose["services"].as_object().unwrap();
    for service in ["bridge", "prometheus", "alertmanager", "grafana"] {
        assert!(services.contains_key(service), "{service} is missing");
    }
    let sources = services.values().flat_map(|service| service["volumes"].as_array().cloned().unwrap_or_default());
    for volume in sources {
        let source = volume.as_str().map(|text| text.split(':').next().unwrap().to_owned());
        let source = source.or_else(|| volume["source"].as_str().map(str::to_owned)).unwrap();
        if source.starts_with('.') {
            assert!(Path::new(root()).join(&source).exists(), "{source} does not exist");
        }
    }
}

fn passes(command: &mut Command) {
    let output = command.current_dir(root()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {text}");
}
