//! The documented figures: against the administrator's own counts, and as the rows come, move and go.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{COLLECTIONS, LARGE_BUDGET, Large, SMALL_BUDGET, Series, Shop, errors, is_counted, records, whole};
use crate::support::bridge::Bridge;
use crate::support::eventually;

const MANY: u64 = 100_000;

/// Pending, processing, completed today.
fn staged(series: &Series) -> Option<[u64; 3]> {
    let state = |state: &str| whole(series, &format!("linkit_staging_items{{state=\"{state}\"}}"));
    Some([state("pending")?, state("processing")?, whole(series, "linkit_staging_completed_today")?])
}

fn truly_staged<D: Large>(shop: &Shop<D>) -> [u64; 3] {
    let in_state = |state: &str| shop.rows(&format!("staging WHERE status = '{state}'"));
    [in_state("pending"), in_state("processing"), shop.completed_today()]
}

fn completed(series: &Series) -> Option<u64> {
    whole(series, "linkit_staging_completed_total")
}

async fn settled<T: PartialEq + std::fmt::Debug>(bridge: &Bridge, truth: T, of: impl Fn(&Series) -> Option<T>) {
    let what = format!("{truth:?} on the page");
    eventually(&what, || async { (of(&bridge.series().await)? == truth).then_some(()) }).await;
}

#[track_caller]
fn near(estimate: u64, rows: u64, percent: u64) {
    assert!(estimate.abs_diff(rows) * 100 <= rows * percent, "{estimate} is not within {percent} % of {rows}");
}

pub async fn what_is_counted_is_the_truth<D: Large>(shop: &Shop<D>) {
    let bridge = Bridge::start(&shop.config(SMALL_BUDGET, "")).await;
    for collection in COLLECTIONS {
        let rows = shop.rows(collection);
        let read = || async { Some(bridge.series().await).filter(|series| records(series, collection).is_some()) };
        let series = eventually(collection, read).await;
        let is_estimate = is_counted(&series, collection, "estimate");
        assert!(is_estimate != is_counted(&series, collection, "exact") && (is_estimate || collection != "skus"));
        near(records(&series, collection).unwrap(), rows, if is_estimate { D::TOLERANCE_PERCENT } else { 0 });
    }
    settled(&bridge, truly_staged(shop), staged).await;
    let series = bridge.series().await;
    assert!(!series.contains_key("linkit_store_count_last_exact_timestamp_seconds{collection=\"skus\"}"));
    the_json_says_the_same(&bridge).await;
    an_estimate_follows(shop, &bridge).await;
    items_move_on(shop, &bridge).await;
    let series = bridge.series().await;
    assert!(errors(&series, "budget", "store") + errors(&series, "timeout", "store") < 1.0);
}

async fn the_json_says_the_same(bridge: &Bridge) {
    let json = bridge.telemetry_ok().await;
    let series = bridge.series().await;
    for collection in COLLECTIONS {
        assert_eq!(json["store"][collection].as_u64(), records(&series, collection), "{collection}");
    }
    let staging = ["pending", "processing", "completed_today"].map(|field| json["staging"][field].as_u64().unwrap());
    assert_eq!(Some(staging), staged(&series));
}

/// An estimate goes up and down by what was inserted and deleted.
async fn an_estimate_follows<D: Large>(shop: &Shop<D>, bridge: &Bridge) {
    let estimate = || async { records(&bridge.series().await, "skus").unwrap() };
    let before = estimate().await;
    shop.database.sql(&format!(
        "CREATE TABLE numbers AS SELECT id FROM skus LIMIT {MANY};
         INSERT INTO skus SELECT concat('x', left(id, 14)), 'more' FROM numbers; DROP TABLE numbers"
    ));
    let more = eventually("more records", || async {
        let now = estimate().await;
        (now >= before + MANY / 2).then_some(now)
    })
    .await;
    near(more, shop.rows("skus"), D::TOLERANCE_PERCENT);
    assert!(more <= before + MANY * 3 / 2, "{before} and {MANY} are not {more}");
    shop.database.sql("DELETE FROM skus WHERE id LIKE 'x%'");
    eventually("fewer records", || async { (estimate().await <= before + MANY / 2).then_some(()) }).await;
}

async fn items_move_on<D: Large>(shop: &Shop<D>, bridge: &Bridge) {
    let total = completed(&bridge.series().await).unwrap();
    let step = async |sql: &str, by: u64| {
        shop.database.sql(sql);
        settled(bridge, truly_staged(shop), staged).await;
        settled(bridge, total + by, completed).await;
    };
    let values =
        |state: &str| (1..=5).map(|n| format!("('moving-{n}', '{state}', NULL)")).collect::<Vec<_>>().join(", ");
    step(&format!("INSERT INTO staging VALUES {}", values("pending")), 0).await;
    step("UPDATE staging SET status = 'processing' WHERE id LIKE 'moving-%'", 0).await;
    let done = format!("UPDATE staging SET status = 'completed', completed = {} WHERE id LIKE 'moving-%'", D::NOW);
    step(&done, 5).await;
    let late = format!("INSERT INTO staging VALUES ('late', 'completed', {} - INTERVAL '1' MINUTE)", D::NOW);
    step(&late, 6).await;
    step("DELETE FROM staging WHERE id LIKE 'moving-%'", 6).await;
    // What is so late is seen by whoever counts the whole day anew, as the next bridge does.
    shop.database.sql(&format!("INSERT INTO staging VALUES ('very-late', 'completed', {})", D::TODAY));
}

pub async fn with_time_enough_all_is_exact<D: Large>(shop: &Shop<D>) {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let bridge = Bridge::start(&shop.config(LARGE_BUDGET, "")).await;
    let all = |series: &Series| {
        let counts = COLLECTIONS.map(|name| records(series, name).filter(|_| is_counted(series, name, "exact")));
        counts.into_iter().collect::<Option<Vec<_>>>()
    };
    let truth = || COLLECTIONS.map(|collection| shop.rows(collection)).to_vec();
    settled(&bridge, truth(), all).await;
    settled(&bridge, truly_staged(shop), staged).await;
    settled(&bridge, shop.completed_today(), completed).await;
    let last = bridge.series().await["linkit_store_count_last_exact_timestamp_seconds{collection=\"skus\"}"];
    assert!(last >= started && last <= started + 120.0, "counted at {last}, started at {started}");
    the_json_says_the_same(&bridge).await;
    for sql in [
        "INSERT INTO skus VALUES ('x1', 'more'), ('x2', 'more'), ('x3', 'more')",
        "DELETE FROM skus WHERE id IN ('x1', 'x2')",
        "DELETE FROM skus WHERE id = 'x3'",
    ] {
        shop.database.sql(sql);
        settled(&bridge, truth(), all).await;
    }
    assert!(bridge.series().await["linkit_store_count_last_exact_timestamp_seconds{collection=\"skus\"}"] > last);
}
