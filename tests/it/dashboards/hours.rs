//! What the first screen says hours after something went wrong, when most of what would tell it is long gone: its queries
//! before promtool, over series made for it and the rules as they are.

use std::process::Command;

use super::board::{dashboards, list, text};
use super::live::{Chosen, queries};
use crate::support::peers::peer;
use crate::support::{Directory, root};

/// What a panel of the overview shows at each of these times, in minutes; `None` where it shows nothing.
fn shows(series: &str, panel: &str, expected: &[(u32, Option<u32>)]) {
    let place = format!("linkit-overview: {panel}");
    let (_, _, query) = queries().into_iter().find(|(found, ..)| *found == place).unwrap();
    brings(series, &query, expected);
}

/// The same of an annotation: how many marks it sets.
fn marks(series: &str, annotation: &str, expected: &[(u32, Option<u32>)]) {
    let overview = dashboards().into_iter().find(|dashboard| dashboard["uid"] == "linkit-overview").unwrap();
    let found = list(&overview["annotations"], "list").find(|found| found["name"] == annotation).unwrap();
    brings(series, &format!("count({})", text(found, "expr")), expected);
}

fn brings(series: &str, query: &str, expected: &[(u32, Option<u32>)]) {
    let Some(promtool) = peer("promtool") else { return };
    let query = Chosen { job: ".+", instance: ".+" }.fill(query).replace('\n', "\n          ");
    let mut cases = String::new();
    for (minute, value) in expected {
        let samples =
            value.map_or_else(|| "[]".to_owned(), |value| format!("[ {{ labels: '{{}}', value: {value} }} ]"));
        cases += &format!(
            "      - expr: |\n          {query}\n        eval_time: {minute}m\n        exp_samples: {samples}\n"
        );
    }
    let rules = root().join("alerts/linkit-bridge.rules.yml");
    let directory = Directory::new("hours");
    let file = directory.write(
        "hours.test.yml",
        &format!(
            "rule_files: ['{}']\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n{series}    \
             promql_expr_test:\n{cases}",
            rules.display()
        ),
    );
    let output = Command::new(promtool).args(["test", "rules"]).arg(file).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

fn series(name: &str, values: &str) -> String {
    format!("      - {{ series: '{name}', values: '{values}' }}\n")
}

#[test]
fn a_bridge_that_has_been_down_for_hours_is_still_counted() {
    let of = |name: &str, instance: &str| format!("{name}{{job=\"linkit-bridge\", instance=\"{instance}\"}}");
    let two = [
        series(&of("up", "a:1"), "1x10 0x300"),
        series(&of("linkit_bridge_build_info", "a:1"), "1x10 stale"),
        series(&of("up", "b:1"), "1x310"),
        series(&of("linkit_bridge_build_info", "b:1"), "1x310"),
    ];
    shows(&two.concat(), "Bridges down", &[(8, Some(0)), (12, Some(1)), (50, Some(1)), (90, Some(1)), (300, Some(1))]);
}

#[test]
fn an_endpoint_that_never_took_a_batch_is_failing_as_one_that_takes_none_any_more() {
    let of = |name: &str, endpoint: &str| {
        let labels = format!("job=\"shop\", instance=\"a\", endpoint=\"{endpoint}\"");
        format!("linkit_bridge_push_{name}{{{labels}}}")
    };
    let ended = [
        series(&of("queued_batches", "ended"), "0x60"),
        series(&of("last_success_timestamp_seconds", "ended"), "0+60x20 1200x40"),
    ];
    shows(&ended.concat(), "Pushes failing", &[(8, Some(0)), (25, Some(0)), (35, Some(1))]);
    let never = series(&of("queued_batches", "never"), "0+4x60");
    shows(&(ended.concat() + &never), "Pushes failing", &[(8, Some(0)), (15, Some(1)), (35, Some(2))]);
    shows("", "Pushes failing", &[(8, None)]);
}

#[test]
fn without_any_bridge_nothing_is_said_to_be_well() {
    let gone = series("linkit_bridge_build_info{job=\"shop\", instance=\"a\"}", "1x10 stale");
    shows(&gone, "Bridges down", &[(8, Some(0)), (40, Some(1)), (200, None)]);
}

#[test]
fn what_starts_anew_and_what_fires_is_marked_when_it_does() {
    let of = |name: &str| format!("{name}{{job=\"linkit-bridge\", instance=\"a:1\"}}");
    let started = series(&of("linkit_bridge_config_last_reload_timestamp_seconds"), "60x20 1260x20");
    marks(&started, "Bridge started or reloaded", &[(10, None), (21, Some(1)), (30, None)]);
    let restarted = series(&of("linkit_runtime_memory_allocated_bytes_total"), "0+100x20 0+100x20");
    marks(&restarted, "Linkit restarted", &[(10, None), (21, Some(1)), (30, None)]);
    let down = series(&of("up"), "1x10 0x30");
    marks(&down, "Firing alerts", &[(10, None), (20, Some(1))]);
}
