//! Figures of the operator's own: on page and OTLP as the rows are, over the one session there is, and never a write.

use super::{Large, SMALL_BUDGET, Shop, errors};
use crate::support::bridge::Bridge;
use crate::support::eventually;
use crate::support::otelcol::{Collector, attribute, points};
use crate::support::page::without_scope;

const FIGURE: &str = "linkit_custom_shelves_fill{name=";

/// What the shelves hold on the page, by the name as it is written there.
async fn shelves(bridge: &Bridge) -> Vec<String> {
    let page = bridge.get("/metrics").await.body;
    let shelf = |line| Some(without_scope(line).strip_prefix(FIGURE)?.replace("\"} ", " "));
    page.lines().filter_map(shelf).collect()
}

pub async fn label_sets_come_and_go<D: Large>(shop: &Shop<D>) {
    let Some(collector) = Collector::start().await else { return };
    shop.database.sql(
        "CREATE TABLE shelves (name varchar(40), fill bigint); GRANT SELECT ON shelves TO bridge;
         INSERT INTO shelves VALUES ('north', 9007199254740993), ('a \"b\"', -5), ('empty', NULL)",
    );
    let figure =
        "{ name: shelves.fill, query: 'SELECT name, fill AS value FROM shelves', labels: [name], help: Fill. }";
    let custom = shop.section(&format!(", figures: [ {figure} ]"));
    let otlp = format!("otlp: {{ endpoint: '{}', interval: 200ms }}", collector.endpoint);
    let config = format!("{}custom: {{ shop: {custom} }}\n{otlp}\n", shop.config(SMALL_BUDGET, ""));
    let bridge = Bridge::start(&config).await;
    bridge.telemetry_ok().await;
    let told = async |page: &[&str], names: &[&str]| {
        let what = format!("{page:?} on the page and {names:?} over OTLP");
        eventually(&what, || async {
            let request = collector.last_request()?;
            let pushed = points(&request, "linkit.custom.shelves.fill");
            let mut pushed: Vec<_> = pushed.into_iter().filter_map(|point| attribute(point, "name")).collect();
            pushed.sort();
            (shelves(&bridge).await == page && pushed == names).then_some(())
        })
        .await;
    };
    told(&["\"a \\\"b\\\" -5", "\"north 9007199254740993"], &["a \"b\"", "north"]).await;
    shop.database.sql("UPDATE shelves SET fill = 7 WHERE name = 'empty'; DELETE FROM shelves WHERE name = 'north'");
    told(&["\"a \\\"b\\\" -5", "\"empty 7"], &["a \"b\"", "empty"]).await;
    for _ in 0..20 {
        assert_eq!(shop.database.statements_of_the_bridge().len(), 1, "store, staging and figures share a session");
    }
}

/// Also where the role may do anything.
pub async fn nothing_is_written<D: Large>(shop: &Shop<D>) {
    D::execute(&mut shop.database.session().await, D::GENEROUS).await;
    let writes = [
        ("insert", "INSERT INTO shelves VALUES ('written', 1) RETURNING fill AS value"),
        ("update", "UPDATE shelves SET fill = 99"),
        ("delete", "DELETE FROM shelves RETURNING fill AS value"),
        ("with", "WITH gone AS (DELETE FROM shelves RETURNING fill) SELECT fill AS value FROM gone"),
        ("function", "SELECT write_shelf() AS value"),
        ("second", "SELECT 1 AS value; DELETE FROM shelves"),
        ("hidden", "SELECT 1 AS value) AS figure; COMMIT; DELETE FROM shelves; SELECT * FROM (SELECT 2 AS value"),
    ];
    let figures: Vec<_> = writes
        .iter()
        .map(|(name, query)| format!("{{ name: writes.{name}, query: \"{query}\", help: A write. }}"))
        .collect();
    let section = shop.section(&format!(", figures: [ {} ]", figures.join(", ")));
    let shelves = "SELECT name, fill FROM shelves ORDER BY name";
    let before = shop.database.sql(shelves);
    let bridge = Bridge::start(&format!("custom: {{ writes: {section} }}\n")).await;
    let refused = || async { Some(bridge.series().await).filter(|series| errors(series, "other", "writes") > 20.0) };
    let series = eventually("refusals", refused).await;
    let log = bridge.process.output();
    for (name, _) in writes {
        assert!(log.contains(&format!("figure linkit.custom.writes.{name} in ")), "{name} was not refused: {log}");
    }
    assert!(!series.keys().any(|name| name.starts_with("linkit_custom_")), "{series:?}");
    drop(bridge);
    assert_eq!(shop.database.sql(shelves), before);
}
