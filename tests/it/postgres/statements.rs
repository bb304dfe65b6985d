//! One statement: what bounds it, what it may do, and what its failures are called.

use std::time::{Duration, Instant};

use linkit_bridge::collector::ErrorClass;
use linkit_bridge::collector::postgres::PostgresDialect;
use linkit_bridge::collector::sql::{Dialect, Link, StagingTable};
use sqlx::{Connection, Executor};

use super::server::Server;
use super::{BUDGET, ENOUGH, cell, failed, link};
use crate::support::eventually;

pub async fn a_slow_one_ends_on_the_server(server: &Server) {
    server.run("CREATE VIEW slow AS SELECT pg_sleep(60)::text AS asleep").await;
    let mut link = link(server).await;
    let version = link.version().await.unwrap();
    let started = Instant::now();
    let error = failed(&mut link, &PostgresDialect.count("slow"), BUDGET).await;
    assert_eq!(error.class, ErrorClass::Budget, "{error}");
    assert!(started.elapsed() >= BUDGET && started.elapsed() < BUDGET * 5, "{:?}", started.elapsed());
    assert_eq!(server.sessions("state <> 'idle'").await, 0);
    assert_eq!(link.version().await.unwrap(), version, "the session is kept");
    assert_eq!(cell(&mut link, "SELECT pg_sleep(0.4)::text || 'done'").await.unwrap(), "done", "a budget is its own");
}

pub async fn none_takes_parallel_workers(server: &Server) {
    let mut link = link(server).await;
    link.version().await.unwrap();
    let sql = "SELECT current_setting('max_parallel_workers_per_gather')";
    assert_eq!(cell(&mut link, sql).await.unwrap(), "0");
}

pub async fn a_dropped_one_ends_on_the_server(server: &Server) {
    let mut link = link(server).await;
    let opening = link.version().await.unwrap().opening;
    let slow = link.rows("test", "SELECT pg_sleep(60)::text", ENOUGH);
    assert!(tokio::time::timeout(Duration::from_millis(300), slow).await.is_err());
    assert_eq!(server.sessions("true").await, 1);
    let started = Instant::now();
    eventually("the end of the session", || async { (server.sessions("true").await == 0).then_some(()) }).await;
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert_eq!(failed(&mut link, "SELECT '1'", ENOUGH).await.class, ErrorClass::Unreachable);
    assert_eq!(link.version().await.unwrap().opening, opening + 1);
}

pub async fn a_locked_table_is_locked(server: &Server) {
    server.run("CREATE TABLE locked (id int)").await;
    let mut owner = server.owner().await;
    owner.execute("BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut link = link(server).await;
    for sql in [PostgresDialect.count("locked"), PostgresDialect.signs("locked").remove(0)] {
        let error = failed(&mut link, &sql, BUDGET * 4).await;
        assert_eq!(error.class, ErrorClass::Locked, "{error}");
    }
    owner.close().await.unwrap();
    assert_eq!(cell(&mut link, &PostgresDialect.count("locked")).await.unwrap(), "0");
}

pub async fn writes_and_second_statements_are_refused(server: &Server) {
    server.run("CREATE TABLE kept (id int); GRANT ALL ON kept TO bridge").await;
    let mut link = link(server).await;
    for sql in ["INSERT INTO kept VALUES (1)", "CREATE TABLE made (id int)", "SELECT nextval('made')::text", "COMMIT"] {
        let _ = link.rows("test", sql, ENOUGH).await;
        // One that ended the transaction cost it its session.
        link.version().await.unwrap();
        let insert = "INSERT INTO kept VALUES (2) RETURNING id::text";
        let error = failed(&mut link, insert, ENOUGH).await;
        assert!(error.message.contains("read-only") && error.message.contains("only reads"), "{error}");
    }
    assert!(link.rows("test", "SELECT lo_create(0)::text", ENOUGH).await.is_ok(), "PostgreSQL 15 lets it");
    assert_eq!(server.ask("SELECT count(*) FROM pg_largeobject_metadata").await, 0, "and it is undone");
    let error = failed(&mut link, "SELECT '1'; COMMIT; DROP TABLE kept", ENOUGH).await;
    assert!(error.message.contains("multiple commands"), "{error}");
    assert_eq!(server.ask("SELECT count(*) FROM kept").await, 0);
}

pub async fn mistakes_have_their_class(server: &Server) {
    server
        .run(
            "CREATE TABLE staging (status text, completed timestamptz, note int);
             CREATE TABLE secret (id int); ALTER ROLE bridge NOINHERIT; GRANT SELECT ON staging TO bridge",
        )
        .await;
    let mut link = link(server).await;
    for (sql, class) in [
        ("SELECT count(*)::text FROM absent", ErrorClass::NotFound),
        ("SELECT count(*)::text FROM absent.skus", ErrorClass::NotFound),
        (r#"SELECT "statsu" FROM staging"#, ErrorClass::NotFound),
        ("SELECT count(*)::text FROM secret", ErrorClass::Unauthorized),
        ("SELECT count(*)::text FROM staging WHERE note < '2024-01-15'", ErrorClass::Type),
        ("SELECT count(*)::text FROM staging WHERE status < 5", ErrorClass::Type),
        ("SELECT count(*) FROM staging", ErrorClass::Type),
        ("SELECT 1 / 0", ErrorClass::Other),
    ] {
        let error = failed(&mut link, sql, ENOUGH).await;
        assert_eq!(error.class, class, "{sql}: {error}");
        assert!(error.message.contains("; ") && !error.message.contains('\n'), "{error}");
    }
    server.run("ALTER ROLE bridge INHERIT").await;
    assert_eq!(link.version().await.unwrap().opening, 1, "none of these needs a new session");
}

pub async fn cells_are_text(server: &Server) {
    let mut link = link(server).await;
    let long = PostgresDialect.text("repeat('é', 500)", 100);
    let sql = format!(
        "SELECT {long}, NULL::text, 1.50::text, '2024-01-15 10:30+02'::timestamptz::text UNION ALL
        SELECT {}, 'b', 'c', 'd' ORDER BY 1",
        PostgresDialect.literal(r"a'\b")
    );
    let rows = link.rows("test", &sql, ENOUGH).await.unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(rows[0], [text(r"a'\b"), text("b"), text("c"), text("d")]);
    assert_eq!(rows[1], [text(&"é".repeat(100)), None, text("1.50"), text("2024-01-15 08:30:00+00")]);
    server
        .run("ALTER ROLE bridge SET standard_conforming_strings = off; ALTER ROLE bridge SET TimeZone = 'Asia/Tokyo'")
        .await;
    let mut link = super::link(server).await;
    assert_eq!(cell(&mut link, r"SELECT 'a\b'").await.unwrap(), r"a\b");
    assert_eq!(
        cell(&mut link, "SELECT '2024-01-15 00:00:00.000'::timestamptz::text").await.unwrap(),
        "2024-01-15 00:00:00+00"
    );
}

pub async fn the_advised_indexes_serve(server: &Server) {
    server
        .run(
            "INSERT INTO staging SELECT (ARRAY['pending', 'processing'])[i], NULL, i FROM generate_series(1, 2) i;
             INSERT INTO staging SELECT 'completed', '2024-01-01'::timestamptz + i * interval '10 s', i
             FROM generate_series(1, 200000) i; ANALYZE staging",
        )
        .await;
    let from = "2024-01-15 00:00:00.000";
    let open = |state: &str| {
        format!(
            r#"(SELECT count(*) FROM "staging" WHERE "status" = '{state}' AND "status" IN ('pending', 'processing'))::text"#
        )
    };
    let sql = format!(
        r#"SELECT {}, {}, w.* FROM (SELECT count(*)::text, count(CASE WHEN "completed" < '2024-01-15 12:00:00.000' THEN 1 END)::text,
        max("completed")::text FROM "staging" WHERE "status" = 'completed' AND "completed" >= '{from}'
        AND "completed" < '2024-01-16 00:00:00.000') AS w"#,
        open("pending"),
        open("processing"),
    );
    let mut link = link(server).await;
    let explain = PostgresDialect.explain(&sql);
    let full = |steps: Vec<_>| steps.iter().filter(|step| PostgresDialect.is_full_scan(step)).count();
    assert_eq!(full(link.rows("plan", &explain, ENOUGH).await.unwrap()), 3);
    for index in PostgresDialect.advised_indexes(&StagingTable::default()) {
        server.run(&index).await;
    }
    let steps = link.rows("plan", &explain, ENOUGH).await.unwrap();
    let text = steps.iter().map(|step| step[0].clone().unwrap()).collect::<Vec<_>>().join("\n");
    assert_eq!(text.matches("using staging_open_idx").count(), 2, "{text}");
    assert_eq!(text.matches("staging_completed_idx").count(), 1, "{text}");
    assert_eq!(full(steps), 0, "{text}");
    let row = link.rows("staging", &sql, ENOUGH).await.unwrap().remove(0);
    let row: Vec<_> = row.into_iter().map(Option::unwrap).collect();
    assert_eq!(row, ["1", "1", "8640", "4320", "2024-01-15 23:59:50+00"]);
}
