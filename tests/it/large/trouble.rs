//! What happens to the server: locks, views that sleep, a killed bridge, a restart, a crash. Each costs what it must.

use std::time::{Duration, Instant};

use super::{COLLECTIONS, Large, SMALL_BUDGET, Series, Shop, errors, is_counted, is_up, records};
use crate::support::bridge::Bridge;
use crate::support::database::Database;
use crate::support::eventually;
use crate::support::postgres::Postgres;

/// Far beyond the second that a lock is waited for at most.
const LONGEST_MS: u64 = 3_000;

/// The time in which an attempt ends, whatever happens: its default.
const TIMEOUT_S: &str = "5";

/// Changes something, for what has not changed is not counted again, and waits until the store has failed three times
/// more; all the while no statement outlives its budget.
async fn fails<D: Large>(shop: &Shop<D>, bridge: &Bridge, class: &str) {
    let before = errors(&bridge.series().await, class, "store");
    shop.database.sql("INSERT INTO products VALUES ('passing', 'by')");
    shop.database.sql("DELETE FROM products WHERE id = 'passing'");
    eventually(&format!("three errors of class {class}"), || async {
        let longest = shop.number(D::LONGEST);
        assert!(longest < LONGEST_MS, "a statement has run for {longest} ms");
        (errors(&bridge.series().await, class, "store") >= before + 3.0).then_some(())
    })
    .await;
}

/// That a new row is seen in another collection and in staging.
async fn others_are_fresh<D: Large>(shop: &Shop<D>, bridge: &Bridge) {
    for (table, row) in [("products", "('fresh', 'new')"), ("staging", "('fresh', 'pending', NULL)")] {
        shop.database.sql(&format!("INSERT INTO {table} VALUES {row}"));
    }
    let truth = [shop.rows("products"), shop.rows("staging WHERE status = 'pending'")].map(Some);
    eventually("the new rows", || async {
        let series = bridge.series().await;
        let pending = super::whole(&series, "linkit_staging_items{state=\"pending\"}");
        ([records(&series, "products"), pending] == truth && is_up(&series, "staging")).then_some(())
    })
    .await;
    for table in ["products", "staging"] {
        shop.database.sql(&format!("DELETE FROM {table} WHERE id = 'fresh'"));
    }
}

async fn recovers(bridge: &Bridge) {
    eventually("a store without errors", || async { is_up(&bridge.series().await, "store").then_some(()) }).await;
}

/// Attempts of the store, those that ended in time and all.
fn attempts(series: &Series) -> [f64; 2] {
    let of = |start: &str, part: &str| {
        let found = series
            .iter()
            .find(|(name, _)| name.starts_with(start) && name.contains("collector=\"store\"") && name.contains(part));
        *found.unwrap_or_else(|| panic!("no {start} in {series:?}")).1
    };
    let name = "linkit_bridge_collector_duration_seconds";
    [of(&format!("{name}_bucket"), &format!("le=\"{TIMEOUT_S}")), of(&format!("{name}_count"), "")]
}

fn all_in_time(series: &Series) {
    let [in_time, all] = attempts(series);
    assert!(in_time >= all, "{} attempts took more than {TIMEOUT_S} s", all - in_time);
}

/// However large the budget is.
pub async fn locked_tables_harm_no_other<D: Large>(shop: &Shop<D>) {
    let bridge = Bridge::start(&shop.config(", count_budget: 5s", "")).await;
    bridge.telemetry_ok().await;
    let mut holder = shop.database.session().await;
    D::execute(&mut holder, D::LOCK).await;
    fails(shop, &bridge, "locked").await;
    others_are_fresh(shop, &bridge).await;
    drop(holder);
    recovers(&bridge).await;
    all_in_time(&bridge.series().await);
}

pub async fn a_sleeping_view_harms_no_other<D: Large>(shop: &Shop<D>) {
    shop.database.sql("CREATE VIEW seen AS SELECT id FROM branches; GRANT SELECT ON seen TO bridge");
    let store = format!("{SMALL_BUDGET}, collections: [{}, seen]", COLLECTIONS.join(", "));
    let bridge = Bridge::start(&shop.config(&store, "")).await;
    let counted = || async { records(&bridge.series().await, "seen") };
    assert_eq!(eventually("a count of the view", counted).await, shop.rows("branches"));
    shop.database.sql(&format!("CREATE OR REPLACE VIEW seen AS SELECT id FROM branches WHERE {}", D::SLEEPS));
    fails(shop, &bridge, "budget").await;
    others_are_fresh(shop, &bridge).await;
    // The view itself would be tried again after a minute; what has become something else is at once.
    let kept = "CREATE TABLE seen AS SELECT id FROM branches";
    shop.database.sql(&format!("DROP VIEW seen; {kept}; GRANT SELECT ON seen TO bridge"));
    recovers(&bridge).await;
    let series = bridge.series().await;
    all_in_time(&series);
    assert!(is_counted(&series, "seen", "exact"));
}

/// A budget as long as an attempt by default is: the attempt is longer then, and brings what else there is.
pub async fn a_long_budget_voids_no_other(shop: &Shop<Postgres>) {
    let slow = format!("CREATE VIEW slow AS SELECT id FROM branches WHERE {}", Postgres::SLEEPS);
    shop.database.sql(&format!("{slow}; GRANT SELECT ON slow TO bridge"));
    let store = shop.section(", count_budget: 5s, collections: [slow, branches]");
    let bridge = Bridge::start(&format!("store: {store}\n")).await;
    let read = || async { Some(bridge.series().await).filter(|series| records(series, "branches").is_some()) };
    let series = eventually("a count beside the slow one", read).await;
    assert!(errors(&series, "budget", "store") > 0.0 && errors(&series, "timeout", "store") < 1.0);
    shop.database.sql("DROP VIEW slow");
}

/// With the longest budget there may be, and a query that computes for hours, so that the server looks at nothing else.
pub async fn a_killed_bridge_leaves_no_session<D: Large>(shop: &Shop<D>) {
    let query = "SELECT count(*) AS value FROM products a, products b, products c WHERE a.id < b.id AND b.id < c.id";
    let figure = format!("{{ name: slow, query: \"{query}\", help: Slow. }}");
    let section = shop.section(&format!(", query_budget: 20s, figures: [ {figure} ]"));
    let mut bridge = Bridge::start(&format!("custom: {{ slow: {section} }}\n")).await;
    let is_at_work = || shop.database.statements_of_the_bridge().iter().any(|at| at.contains("products c"));
    eventually("the query at work", || async { is_at_work().then_some(()) }).await;
    bridge.process.signal("-KILL");
    bridge.process.ended().await;
    let killed = Instant::now();
    eventually("the end of the session", || async {
        shop.database.statements_of_the_bridge().is_empty().then_some(())
    })
    .await;
    let left = killed.elapsed();
    assert!(left < Duration::from_secs(30), "{left:?}");
    eprintln!("{}: the session was gone {left:?} after the bridge", D::SOURCE);
}

pub async fn a_restarted_server_is_read_again<D: Large>(shop: &mut Shop<D>) {
    let bridge = Bridge::start(&shop.config(SMALL_BUDGET, "")).await;
    bridge.telemetry_ok().await;
    shop.database.stop().await;
    let down = || async {
        let series = bridge.series().await;
        (!is_up(&series, "store") && !is_up(&series, "staging")).then_some(series)
    };
    let series = eventually("both being down", down).await;
    assert!(errors(&series, "unreachable", "store") + errors(&series, "stopped", "store") > 0.0);
    assert_eq!(records(&series, "branches"), Some(super::SIZES.branches), "what was read stays");
    shop.database.again().await;
    let up = || async {
        let series = bridge.series().await;
        (is_up(&series, "store") && is_up(&series, "staging")).then_some(())
    };
    eventually("both being up", up).await;
    others_are_fresh(shop, &bridge).await;
}

/// A crash empties PostgreSQL's statistics; of a table that was never analysed the catalogue knows nothing either.
pub async fn a_crash_leaves_an_honest_estimate(shop: &mut Shop<Postgres>) {
    const ROWS: u64 = 1_500_000;
    shop.database.sql(&format!(
        "CREATE TABLE visits (id bigint, page text) WITH (autovacuum_enabled = off); GRANT SELECT ON visits TO bridge;
         INSERT INTO visits SELECT n, repeat('x', 20 + n % 80) FROM generate_series(1, {ROWS}) n"
    ));
    let store = ", count_budget: 30ms, collections: [visits]";
    let config = format!("store: {}\n", shop.section(store));
    let is_honest = |series: &Series| {
        let rows = records(series, "visits")?;
        let is_estimate = is_counted(series, "visits", "estimate");
        let percent = Postgres::TOLERANCE_PERCENT;
        assert!(!is_estimate || rows.abs_diff(ROWS) * 100 <= ROWS * percent, "{rows} are not near {ROWS}");
        (is_estimate && is_up(series, "store")).then_some(())
    };
    let before = Bridge::start(&config).await;
    let honest = async |bridge: &Bridge| {
        eventually("an estimate", || async { is_honest(&bridge.series().await) }).await;
    };
    honest(&before).await;
    shop.database.crash().await;
    let down = || async { (!is_up(&before.series().await, "store")).then_some(()) };
    eventually("the store being down", down).await;
    shop.database.again().await;
    let known = "SELECT pg_stat_get_live_tuples('visits'::regclass) + reltuples FROM pg_class WHERE relname = 'visits'";
    assert_eq!(shop.database.sql(known), "-1");
    honest(&before).await;
    honest(&Bridge::start(&config).await).await;
    shop.database.sql("DROP TABLE visits");
}
