//! The same sizes in the backend's own PocketBase.

use rusqlite::Connection;

use super::advice::{advised, check, tells_every_figure};
use super::{COLLECTIONS, COMPLETED_EARLIER, LARGE_BUDGET, SIZES, is_counted, records, whole};
use crate::support::backend::Backend;
use crate::support::bridge::Bridge;
use crate::support::eventually;

const WITHOUT_INDEXES: &str = "DROP INDEX idx_staging_open; DROP INDEX idx_staging_completed";

/// Items completed on the days before today, as the backend itself would write them.
fn earlier(items: u64) -> String {
    format!(
        "WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {items})
         INSERT INTO staging (id, reference, status, completed, created)
         SELECT printf('old%012d', n), printf('E%07d', n), 'completed', at, at
         FROM (SELECT n, strftime('%Y-%m-%d %H:%M:%fZ', unixepoch('now', 'start of day') - n * 2, 'unixepoch') AS at
               FROM series)"
    )
}

#[tokio::test]
async fn a_large_shop_in_pocketbase_is_told_truly() {
    let Some(backend) = Backend::start(&SIZES, &[]).await else { return };
    let database = Connection::open(backend.database()).unwrap();
    database.busy_timeout(crate::support::PATIENCE).unwrap();
    database.execute_batch(&earlier(COMPLETED_EARLIER)).unwrap();
    let number = |from: &str| -> u64 {
        let sql = format!("SELECT count(*) FROM {from}");
        database.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap()
    };
    assert_eq!(COLLECTIONS.map(number).iter().sum::<u64>(), 3_000_000);
    assert_eq!(number("staging"), 1_000_000);

    let config = |more: &str| {
        let path = backend.database();
        let section = format!("{{ source: sqlite, path: '{}', interval: 200ms{more} }}", path.display());
        format!("runtime: {{ source: self }}\nstore: {section}\nstaging: {section}\n")
    };
    let bridge = Bridge::start(&config("")).await;
    let truth = || {
        let state = |state: &str| number(&format!("staging WHERE status = '{state}'"));
        let today = number("staging WHERE status = 'completed' AND completed >= strftime('%Y-%m-%d', 'now')");
        let staged = [state("pending"), state("processing"), today];
        COLLECTIONS.map(number).into_iter().chain(staged).collect::<Vec<_>>()
    };
    let told = async || {
        let truth = truth();
        let exact = || async {
            let series = bridge.series().await;
            let counts = COLLECTIONS.map(|name| records(&series, name).filter(|_| is_counted(&series, name, "exact")));
            let staged = [
                "linkit_staging_items{state=\"pending\"}",
                "linkit_staging_items{state=\"processing\"}",
                "linkit_staging_completed_today",
            ];
            let told = counts.into_iter().chain(staged.map(|name| whole(&series, name))).collect::<Option<Vec<_>>>()?;
            (told == truth).then_some(())
        };
        eventually(&format!("{truth:?} on the page"), exact).await;
    };
    told().await;
    let (json, own) = (bridge.telemetry_ok().await, backend.telemetry().await);
    assert_eq!((&json["store"], &json["staging"]), (&own["store"], &own["staging"]));
    database
        .execute_batch(
            "DELETE FROM skus WHERE id IN ('sku000000000001', 'sku000000000002');
             UPDATE staging SET status = 'completed', completed = strftime('%Y-%m-%d %H:%M:%fZ', 'now')
             WHERE id = (SELECT id FROM staging WHERE status = 'pending' LIMIT 1)",
        )
        .unwrap();
    told().await;

    database.execute_batch(WITHOUT_INDEXES).unwrap();
    let (printed, code) = check(&config(LARGE_BUDGET));
    assert_eq!(code, Some(0), "{printed}");
    tells_every_figure(&printed);
    assert!(printed.lines().any(|line| line.contains("plan: SCAN staging")), "{printed}");
    assert_eq!(advised(&printed).len(), 2, "{printed}");
    for index in advised(&printed) {
        database.execute_batch(index).unwrap();
    }
    let content = || async {
        let (printed, code) = check(&config(""));
        assert_eq!((advised(&printed), code), (vec![], Some(0)), "{printed}");
        (!printed.contains("table staging")).then_some(())
    };
    eventually("a check without a complaint", content).await;
}
