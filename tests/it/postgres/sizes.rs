//! What is told of a table's size, against what it has.

use linkit_bridge::collector::postgres::PostgresDialect;
use linkit_bridge::collector::sql::{Dialect, Link, Signs};

use super::server::Server;
use super::{link, number, sampled, signs};
use crate::support::eventually;

/// A table of 200,000 rows, some 2,600 pages.
fn filled(table: &str) -> String {
    format!(
        "CREATE TABLE {table} (id bigint, name text);
         INSERT INTO {table} SELECT i, repeat('x', 20 + i % 80) FROM generate_series(1, 200000) i"
    )
}

#[track_caller]
fn near(estimate: u64, rows: u64, percent: u64) {
    assert!(estimate.abs_diff(rows) * 100 <= rows * percent, "{estimate} is not within {percent} % of {rows}");
}

/// The signs once the statistics of the sessions before have arrived.
async fn settled(server: &Server, table: &str, live: i64) -> Signs {
    eventually(&format!("{live} live rows in {table}"), || async {
        signs(&mut link(server).await, table).await.filter(|signs| signs.level == Some(live))
    })
    .await
}

pub async fn never_analysed(server: &Server) {
    server.run(&filled("fresh")).await;
    let signs = settled(server, "fresh", 200_000).await;
    assert_eq!(signs.rows, None);
    assert_eq!(signs.flows.unwrap()[0], 200_000);
    let mut link = link(server).await;
    let first = sampled(&mut link, &signs).await;
    near(first, 200_000, 2);
    assert_eq!(sampled(&mut link, &signs).await, first, "the same pages each time");
    assert_eq!(number(&mut link, &PostgresDialect.count("fresh")).await, 200_000);
}

pub async fn analysed_and_then_deleted_from(server: &Server) {
    server.run("ANALYZE fresh").await;
    let mut link = link(server).await;
    let analysed = signs(&mut link, "fresh").await.unwrap();
    near(analysed.rows.unwrap(), 200_000, 2);
    server.run("DELETE FROM fresh WHERE id % 5 = 0").await;
    let deleted = eventually("a delete in the statistics", || async {
        let now = signs(&mut super::link(server).await, "fresh").await.unwrap();
        (now.flows.unwrap()[1] == analysed.flows.unwrap()[1] + 40_000).then_some(now)
    })
    .await;
    near(deleted.rows.unwrap(), 160_000, 2);
    assert_eq!(deleted.level.unwrap(), analysed.level.unwrap() - 40_000);
    near(sampled(&mut link, &deleted).await, 160_000, 2);
}

/// Pages without a row are pages all the same.
pub async fn half_empty(server: &Server) {
    server.run(&format!("{}; DELETE FROM holes WHERE id BETWEEN 20000 AND 119999", filled("holes"))).await;
    let mut link = link(server).await;
    let signs = signs(&mut link, "holes").await.unwrap();
    near(sampled(&mut link, &signs).await, 100_000, 6);
}

pub async fn partitioned(server: &Server) {
    server
        .run(
            "CREATE TABLE parts (id bigint, name text) PARTITION BY RANGE (id);
             CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100001);
             CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100001) TO (300000) PARTITION BY RANGE (id);
             CREATE TABLE parts_2_1 PARTITION OF parts_2 FOR VALUES FROM (100001) TO (300000);
             CREATE TABLE parts_3 PARTITION OF parts DEFAULT;
             INSERT INTO parts SELECT i, repeat('x', 20 + i % 80) FROM generate_series(1, 200000) i",
        )
        .await;
    let before = settled(server, "parts", 200_000).await;
    assert_eq!(before.rows, None);
    let mut link = link(server).await;
    near(sampled(&mut link, &before).await, 200_000, 2);
    server.run("ANALYZE parts_1").await;
    assert_eq!(signs(&mut link, "parts").await.unwrap().rows, None, "one part is not known yet");
    server.run("ANALYZE parts_2_1").await;
    near(signs(&mut link, "parts").await.unwrap().rows.unwrap(), 200_000, 2);
    server.run("ALTER TABLE parts DETACH PARTITION parts_1").await;
    let after = signs(&mut link, "parts").await.unwrap();
    near(after.rows.unwrap(), 100_000, 2);
    assert_ne!(after.generation, before.generation, "rows went by no delete");
}

pub async fn inherited(server: &Server) {
    server
        .run(
            "CREATE TABLE base (id bigint); CREATE TABLE child () INHERITS (base);
             INSERT INTO base SELECT generate_series(1, 100); INSERT INTO child SELECT generate_series(1, 1000)",
        )
        .await;
    let signs = settled(server, "base", 1100).await;
    assert_eq!(sampled(&mut link(server).await, &signs).await, 1100);
}

pub async fn empty_and_truncated(server: &Server) {
    server.run("CREATE TABLE empty (id bigint, name text)").await;
    let mut link = link(server).await;
    let empty = signs(&mut link, "empty").await.unwrap();
    assert_eq!((empty.rows, empty.level), (Some(0), Some(0)));
    assert_eq!(sampled(&mut link, &empty).await, 0);
    server.run("INSERT INTO empty SELECT generate_series(1, 1000)").await;
    let filled = settled(server, "empty", 1000).await;
    assert_eq!(filled.rows, None);
    server.run("TRUNCATE empty").await;
    let truncated = signs(&mut link, "empty").await.unwrap();
    assert_eq!(truncated.rows, Some(0));
    assert_ne!(truncated.generation, filled.generation, "rows went by no delete");
}

pub async fn no_tables(server: &Server) {
    server
        .run(
            "CREATE VIEW seen AS SELECT * FROM fresh; CREATE MATERIALIZED VIEW kept AS SELECT * FROM fresh LIMIT 10;
             CREATE SEQUENCE counted",
        )
        .await;
    let mut link = link(server).await;
    for table in ["seen", "counted", "absent", "absent.fresh"] {
        assert_eq!(signs(&mut link, table).await, None, "{table}");
    }
    assert_eq!(number(&mut link, &PostgresDialect.count("seen")).await, 160_000);
    let kept = signs(&mut link, "kept").await.unwrap();
    assert_eq!(sampled(&mut link, &kept).await, 10);
}

pub async fn names_of_every_kind(server: &Server) {
    server
        .run(
            r#"CREATE SCHEMA "Shop's"; CREATE TABLE "Shop's"."we""ird \ 100%" (id int);
               INSERT INTO "Shop's"."we""ird \ 100%" VALUES (1), (2)"#,
        )
        .await;
    let mut link = link(server).await;
    let table = r#"Shop's.we"ird \ 100%"#;
    assert_eq!(number(&mut link, &PostgresDialect.count(table)).await, 2);
    let signs = signs(&mut link, table).await.unwrap();
    assert_eq!(sampled(&mut link, &signs).await, 2);
}

/// A crash empties the statistics; what the catalogue has, it keeps.
pub async fn after_a_crash(server: &mut Server) {
    server.run(&format!("{}; ANALYZE fresh; CHECKPOINT", filled("unknown"))).await;
    let before = settled(server, "unknown", 200_000).await;
    server.crash_and_start().await;
    let mut link = link(server).await;
    let unknown = signs(&mut link, "unknown").await.unwrap();
    assert_eq!((unknown.rows, unknown.level), (None, Some(0)));
    assert!(unknown.flows.unwrap()[0] < before.flows.unwrap()[0]);
    near(sampled(&mut link, &unknown).await, 200_000, 2);
    near(signs(&mut link, "fresh").await.unwrap().rows.unwrap(), 160_000, 2);
    server.run("INSERT INTO unknown VALUES (0)").await;
    assert_eq!(settled(server, "unknown", 1).await.rows, None, "a few since the crash are not all");
    link.version().await.unwrap();
}
