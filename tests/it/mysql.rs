//! MySQL's link and dialect against a real MariaDB server.

mod server;

use std::time::{Duration, Instant};

use linkit_bridge::collector::ErrorClass;
use linkit_bridge::collector::mysql::{MysqlConfig, MysqlDialect, MysqlLink};
use linkit_bridge::collector::sql::{Dialect, Link, Row, Signs, StagingTable};

use crate::support::bridge::Bridge;
use crate::support::database::{PASSWORD, Tls};
use crate::support::eventually;
use server::{Server, execute};

const BUDGET: Duration = Duration::from_millis(250);
const DIALECT: MysqlDialect = MysqlDialect;

async fn rows(link: &mut MysqlLink, sql: &str) -> Vec<Row> {
    link.rows("test", sql, Duration::from_secs(5)).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

async fn row(link: &mut MysqlLink, sql: &str) -> Row {
    rows(link, sql).await.remove(0)
}

/// The class of the error, and the time until it came.
async fn refused(link: &mut MysqlLink, sql: &str) -> (ErrorClass, Duration) {
    let asked = Instant::now();
    let error = link.rows("collection test", sql, BUDGET).await.unwrap_err();
    assert!(error.message.starts_with(&format!("collection test in {}: ", link.address())), "{error}");
    assert!(!error.message.contains('\n') && !error.message.contains(PASSWORD), "{error}");
    (error.class, asked.elapsed())
}

async fn signs(link: &mut MysqlLink, table: &str) -> Option<Signs> {
    let row = row(link, &DIALECT.signs(table)[0]).await;
    let plain = self::row(link, &DIALECT.signs(table)[1]).await;
    assert_eq!(row[0], plain[0]);
    DIALECT.signs_of(table, &row)
}

#[tokio::test]
async fn signs_tell_of_every_kind_of_table() {
    let seed = "
        CREATE TABLE skus (id INT PRIMARY KEY);
        INSERT INTO skus SELECT seq FROM seq_1_to_20000;
        CREATE TABLE empty (id INT);
        CREATE TABLE parted (id INT PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 4;
        INSERT INTO parted SELECT seq FROM seq_1_to_4000;
        CREATE TABLE other (id INT) ENGINE = Aria;
        INSERT INTO other SELECT seq FROM seq_1_to_1234;
        CREATE VIEW seen AS SELECT * FROM skus;";
    let Some(server) = Server::start(seed).await else { return };
    let link = &mut server.link();
    link.version().await.unwrap();
    let rows_of = async |link: &mut MysqlLink, table: &str| signs(link, table).await.unwrap().rows.unwrap();
    let never_analysed = rows_of(link, "skus").await;
    assert!((15_000..25_000).contains(&never_analysed), "{never_analysed}");
    assert_eq!(rows_of(link, "empty").await, 0);
    assert_eq!(rows_of(link, "other").await, 1234);
    assert!((3_000..5_000).contains(&rows_of(link, "linkit.parted").await));
    assert_eq!(signs(link, "seen").await, None);
    assert!(rows(link, &DIALECT.signs("nothing")[0]).await.is_empty());

    let before = signs(link, "skus").await.unwrap();
    server.execute("ANALYZE TABLE skus; CREATE INDEX again ON skus (id)").await;
    row(link, "SELECT CAST(COUNT(*) AS CHAR) FROM skus").await;
    row(link, "SELECT CAST(COUNT(DISTINCT id) AS CHAR) FROM skus WHERE id > 7").await;
    let analysed = signs(link, "skus").await.unwrap();
    assert_eq!(analysed.flows, before.flows, "neither analysis nor reading is a flow");

    server.execute("INSERT INTO skus SELECT seq FROM seq_30001_to_30500; DELETE FROM skus WHERE id <= 200").await;
    let after = signs(link, "skus").await.unwrap();
    let [inserted, deleted] = analysed.flows.unwrap();
    assert_eq!(after.flows, Some([inserted + 500, deleted + 200]));
    assert_eq!(after.level.unwrap() - analysed.level.unwrap(), 300);
}

#[tokio::test]
async fn what_takes_too_long_is_ended_by_the_server() {
    let seed = "
        CREATE TABLE n (id INT PRIMARY KEY);
        INSERT INTO n SELECT seq FROM seq_1_to_2000;
        CREATE VIEW heavy AS SELECT a.id FROM n a, n b, n c WHERE a.id + b.id + c.id <> 0;";
    let Some(server) = Server::start(seed).await else { return };
    let link = &mut server.link();
    let first = link.version().await.unwrap();
    for sql in [DIALECT.count("heavy").as_str(), "SELECT SLEEP(30)"] {
        let (class, time) = refused(link, sql).await;
        assert_eq!(class, ErrorClass::Budget, "{sql}");
        assert!(time >= BUDGET && time < Duration::from_secs(1), "{sql}: {time:?}");
        server.only_idle(1).await;
    }
    assert_eq!(link.version().await.unwrap().opening, first.opening, "the session goes on");

    let count = DIALECT.count("heavy");
    let cut = tokio::time::timeout(BUDGET / 5, link.rows("test", &count, BUDGET)).await;
    assert!(cut.is_err(), "the future was dropped at work");
    assert!(link.rows("test", "SELECT 1", BUDGET).await.is_err(), "what the server sends next is not known");
    assert_eq!(link.version().await.unwrap().opening, first.opening + 1);
    server.only_idle(1).await;
}

/// A server that computes does not look whether its client is still there. The longest budget is in `large`'s tests.
#[tokio::test]
async fn a_killed_bridge_leaves_no_session_behind_its_budget() {
    let seed = "
        CREATE TABLE n (id INT PRIMARY KEY);
        INSERT INTO n SELECT seq FROM seq_1_to_5000;
        CREATE VIEW heavy AS SELECT a.id FROM n a, n b, n c WHERE a.id + b.id + c.id <> 0;";
    let Some(server) = Server::start(seed).await else { return };
    let source = format!("source: mysql, url: '{}', password: {PASSWORD}, query_budget: 5s", server.config("").url);
    let figure = "name: heavy, query: SELECT count(*) AS value FROM heavy, help: Heavy.";
    let mut bridge = Bridge::start(&format!("custom: {{ heavy: {{ {source}, figures: [ {{ {figure} }} ] }} }}")).await;
    eventually("a count at work", || async { server.is_busy_with("FROM heavy").then_some(()) }).await;
    bridge.process.signal("-KILL");
    bridge.process.ended().await;
    let killed = Instant::now();
    server.only_idle(0).await;
    let left = killed.elapsed();
    assert!(left < Duration::from_secs(10), "{left:?}");
    eprintln!("the session was gone {left:?} after the bridge");
}

#[tokio::test]
async fn as_many_columns_as_a_table_can_have_are_read_and_no_more() {
    let Some(server) = Server::start("").await else { return };
    let link = &mut server.link();
    link.version().await.unwrap();
    let columns = |count: usize| format!("SELECT {}", vec!["1"; count].join(","));
    assert_eq!(row(link, &columns(4096)).await.len(), 4096);
    assert_eq!(refused(link, &columns(4097)).await.0, ErrorClass::Oversized);
    assert_eq!(link.version().await.unwrap().opening, 2, "what the server sends next is not known");
}

#[tokio::test]
async fn a_held_lock_is_told_as_one() {
    let seed = "CREATE TABLE held (id INT PRIMARY KEY); CREATE TABLE free (id INT PRIMARY KEY)";
    let Some(server) = Server::start(seed).await else { return };
    let link = &mut server.link();
    link.version().await.unwrap();
    let (holder, waiter) = (&mut server.session().await, &mut server.session().await);
    execute(holder, "LOCK TABLES held WRITE").await;
    let (class, time) = refused(link, &DIALECT.count("held")).await;
    assert_eq!(class, ErrorClass::Locked);
    assert!(time < Duration::from_secs(3), "{time:?}");
    assert_eq!(row(link, &DIALECT.count("free")).await, [Some("0".to_owned())]);
    row(link, &DIALECT.signs("held")[0]).await;

    // A change of the table waits for a reader; who comes later waits for the change.
    execute(holder, "UNLOCK TABLES; BEGIN; SELECT * FROM held").await;
    let alter = execute(waiter, "SET lock_wait_timeout = 10; ALTER TABLE held ADD n INT, ALGORITHM = COPY");
    let read = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (class, time) = refused(link, &DIALECT.count("held")).await;
        execute(holder, "COMMIT").await;
        assert_eq!(class, ErrorClass::Locked);
        assert!(time < Duration::from_secs(3), "{time:?}");
    };
    tokio::join!(alter, read);
    assert_eq!(row(link, &DIALECT.count("held")).await, [Some("0".to_owned())]);
    assert_eq!(link.version().await.unwrap().opening, 1);
}

#[tokio::test]
async fn nothing_is_written() {
    let seed = "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1); GRANT ALL ON linkit.* TO bridge";
    let Some(server) = Server::start(seed).await else { return };
    let link = &mut server.link();
    link.version().await.unwrap();
    for sql in [
        "INSERT INTO t VALUES (2)",
        "UPDATE t SET id = 3",
        "DELETE FROM t",
        "TRUNCATE t",
        "CREATE TABLE u (id INT)",
        "DROP TABLE t",
        "ALTER TABLE t ADD n INT",
        "SELECT 1; DELETE FROM t",
        "DELETE FROM t RETURNING id",
    ] {
        assert_eq!(refused(link, sql).await.0, ErrorClass::Other, "{sql}");
    }
    assert_eq!(row(link, &DIALECT.count("t")).await, [Some("1".to_owned())]);
}

#[tokio::test]
async fn a_lost_connection_is_made_again_by_itself() {
    let Some(mut server) = Server::start("").await else { return };
    let link = &mut server.link();
    assert!(link.rows("test", "SELECT 1", BUDGET).await.is_err(), "nothing is connected yet");
    let first = link.version().await.unwrap();
    assert_eq!(first.opening, 1);
    server.restart().await;
    let second = link.version().await.unwrap();
    assert_eq!(second.opening, 2);
    assert!(!second.is_same(&first), "a count of the first connection is none of the second");
    let sql = "SELECT CONCAT('KILL ', ID) FROM information_schema.PROCESSLIST WHERE USER = 'bridge'";
    let kill = row(link, sql).await[0].clone().unwrap();
    server.execute(&kill).await;
    assert_eq!(link.version().await.unwrap().opening, 3);

    server.stop().await;
    assert_eq!(link.version().await.unwrap_err().class, ErrorClass::Unreachable);
    server.run().await;
    assert_eq!(link.version().await.unwrap().opening, 4);
}

#[tokio::test]
async fn there_is_one_session_and_it_goes_with_the_link() {
    let Some(server) = Server::start("CREATE TABLE t (id INT)").await else { return };
    let mut link = server.link();
    for _ in 0..3 {
        link.version().await.unwrap();
        row(&mut link, &DIALECT.count("t")).await;
    }
    server.only_idle(1).await;
    let sql = "SELECT @@autocommit, @@tx_isolation, @@tx_read_only, @@sql_mode, @@time_zone, @@lock_wait_timeout, \
               @@wait_timeout, @@max_statement_time, @@character_set_results";
    let settings: Vec<_> = row(&mut link, sql).await.into_iter().map(Option::unwrap).collect();
    let expected = ["1", "READ-COMMITTED", "1", "NO_BACKSLASH_ESCAPES", "+00:00", "1", "600", "5.000000", "utf8mb4"]
        .map(str::to_owned);
    assert_eq!(settings, expected);
    drop(link);
    server.only_idle(0).await;
}

#[tokio::test]
async fn the_version_moves_by_commits_alone() {
    let seed = "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t SELECT seq FROM seq_1_to_1000";
    let Some(server) = Server::start(seed).await else { return };
    let link = &mut server.link();
    let writer = &mut server.session().await;
    for durability in [1, 0, 2] {
        execute(writer, &format!("SET GLOBAL innodb_flush_log_at_trx_commit = {durability}")).await;
        for write in
            ["INSERT INTO t VALUES (5000)", "UPDATE t SET id = 5001 WHERE id = 5000", "DELETE FROM t WHERE id > 5000"]
        {
            execute(writer, &format!("BEGIN; {write}")).await;
            let mut seen = link.version().await.unwrap();
            row(link, &DIALECT.count("t")).await;
            row(link, "SELECT CAST(MAX(id) AS CHAR) FROM t WHERE id < 500").await;
            let read = link.version().await.unwrap();
            assert!(read.is_same(&seen), "reading moves nothing, nor does what the server does by itself");
            seen = read;
            execute(writer, "COMMIT").await;
            assert!(!link.version().await.unwrap().is_same(&seen), "{write}, written before and committed now");
        }
    }
    server.execute("CREATE TABLE u (id INT) ENGINE = MyISAM").await;
    let link = &mut server.link();
    assert_eq!(link.version().await.unwrap().data, None, "its commits would not be seen");
}

#[tokio::test]
async fn what_cannot_be_read_is_told_with_its_class() {
    let seed = "CREATE TABLE t (id INT); CREATE DATABASE hidden; CREATE TABLE hidden.t (id INT);
        CREATE TABLE gone (id INT); CREATE VIEW broken AS SELECT * FROM gone; DROP TABLE gone;
        ";
    let Some(server) = Server::start(seed).await else { return };
    let link = &mut server.link();
    link.version().await.unwrap();
    for (sql, class) in [
        (DIALECT.count("nothing"), ErrorClass::NotFound),
        (DIALECT.count("broken"), ErrorClass::NotFound),
        ("SELECT `nothing` FROM t".to_owned(), ErrorClass::NotFound),
        (DIALECT.count("hidden.t"), ErrorClass::Unauthorized),
        ("SELECT X'FF'".to_owned(), ErrorClass::Type),
        ("SELECT 1 FRMO t".to_owned(), ErrorClass::Other),
    ] {
        assert_eq!(refused(link, &sql).await.0, class, "{sql}");
    }
    assert_eq!(link.version().await.unwrap().opening, 1, "none of this ends a session");
}

#[tokio::test]
async fn a_server_that_cannot_be_had_is_told_with_its_class() {
    let seed = "CREATE DATABASE hidden; CREATE USER socket IDENTIFIED VIA unix_socket";
    let Some(mut server) = Server::start(seed).await else { return };
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port().to_string();
    let port = server.port().to_string();
    let with = |change: &dyn Fn(&mut MysqlConfig)| {
        let mut config = server.config("");
        change(&mut config);
        config
    };
    for (config, class) in [
        (with(&|config| config.password = Some("hunter2-wrong".into())), ErrorClass::Unauthorized),
        (with(&|config| config.password = None), ErrorClass::Unauthorized),
        (with(&|config| config.user = Some("unknown".to_owned())), ErrorClass::Unauthorized),
        (with(&|config| config.user = Some("socket".to_owned())), ErrorClass::Unauthorized),
        (with(&|config| config.url = config.url.replace("/linkit", "/hidden")), ErrorClass::Unauthorized),
        (with(&|config| config.url.push_str("?ssl-mode=REQUIRED")), ErrorClass::Unreachable),
        (with(&|config| config.url.push_str("?socket=/no/such")), ErrorClass::Unreachable),
        (with(&|config| config.url = config.url.replace("127.0.0.1", "no.such.host.invalid")), ErrorClass::Unreachable),
        (with(&|config| config.url = config.url.replace(&port, &silent_port)), ErrorClass::Timeout),
    ] {
        assert_eq!(failure(&config).await, class, "{config:?}");
    }
    let config = server.config("");
    server.stop().await;
    assert_eq!(failure(&config).await, ErrorClass::Unreachable);
}

async fn failure(config: &MysqlConfig) -> ErrorClass {
    let error = MysqlLink::new(config).unwrap().version().await.unwrap_err();
    assert!(!error.message.contains("hunter2") && !error.message.contains(PASSWORD), "{error}");
    error.class
}

#[tokio::test]
async fn every_cell_comes_as_text() {
    let seed = r"CREATE TABLE t (`we``ird` INT, d DECIMAL(20,4), f DOUBLE, at DATETIME(3), j JSON, b BIT(8), s VARCHAR(40), u BIGINT UNSIGNED);
        INSERT INTO t VALUES (-7, 12.5, 0.1, '2024-01-15 10:30:00.123', '[1]', 65, 'grün 🌱 \'', 18446744073709551615), (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)";
    let Some(server) = Server::start(seed).await else { return };
    let link = &mut server.link();
    link.version().await.unwrap();
    let columns = ["we`ird", "d", "f", "at", "j", "s", "u"];
    let cells: Vec<_> = columns.iter().map(|column| DIALECT.text(&DIALECT.identifier(column), 6)).collect();
    let read = rows(link, &format!("SELECT {} FROM t", cells.join(", "))).await;
    let texts: Vec<_> = read[0].iter().map(|cell| cell.as_deref().unwrap()).collect();
    assert_eq!(texts, ["-7", "12.500", "0.1", "2024-0", "[1]", "grün 🌱", "184467"]);
    assert!(read[1].iter().all(Option::is_none));
    let plain =
        row(link, "SELECT `we``ird`, d, f, at, j, b, s, u, 1 = 1, CAST(f AS FLOAT), X'41', NULL FROM t LIMIT 1").await;
    let plain: Vec<_> = plain.iter().map(|cell| cell.as_deref().unwrap_or("null")).collect();
    let expected = [
        "-7",
        "12.5000",
        "0.1",
        "2024-01-15 10:30:00.123",
        "[1]",
        "A",
        "grün 🌱 '",
        "18446744073709551615",
        "1",
        "0.1",
        "A",
        "null",
    ];
    assert_eq!(plain, expected);
    let awkward = r#"it's a \ and "more" `"#;
    assert_eq!(row(link, &format!("SELECT {}", DIALECT.literal(awkward))).await, [Some(awkward.to_owned())]);
}

#[tokio::test]
async fn the_advised_index_answers_the_pipelines_counts_alone() {
    let seed = "CREATE TABLE staging (id INT PRIMARY KEY, status VARCHAR(16), completed DATETIME(3), payload TEXT);
        INSERT INTO staging SELECT seq, IF(seq % 100 = 0, 'pending', 'completed'),
            IF(seq % 100 = 0, NULL, '2024-01-15' + INTERVAL seq SECOND), REPEAT('x', 200) FROM seq_1_to_20000";
    let Some(server) = Server::start(seed).await else { return };
    let link = &mut server.link();
    link.version().await.unwrap();
    let open = "SELECT count(*) FROM staging WHERE status = 'pending' AND status IN ('pending', 'processing')";
    let sql = format!(
        "SELECT CAST(({open}) AS CHAR), CAST(({}) AS CHAR), CAST(w.a AS CHAR), CAST(w.b AS CHAR), CAST(w.c AS CHAR) FROM \
         (SELECT count(*) AS a, count(CASE WHEN completed < '2024-01-15 01:00:00.000' THEN 1 END) AS b, max(completed) AS c \
         FROM staging WHERE status = 'completed' AND completed >= '2024-01-15 00:00:00.000' \
         AND completed < '2024-01-16 00:00:00.000') AS w",
        open.replacen("= 'pending'", "= 'processing'", 1)
    );
    let counts = row(link, &sql).await;
    let steps = rows(link, &DIALECT.explain(&sql)).await;
    assert!(steps.iter().any(|step| DIALECT.is_full_scan(step)), "{steps:?}");
    let index = DIALECT.advised_indexes(&StagingTable::default()).remove(0);
    server.execute(&format!("{index}; ANALYZE TABLE staging")).await;
    assert_eq!(row(link, &sql).await, counts);
    let steps = rows(link, &DIALECT.explain(&sql)).await;
    assert!(!steps.iter().any(|step| DIALECT.is_full_scan(step)), "{steps:?}");
    let of_the_table: Vec<_> = steps.iter().filter(|step| step[2].as_deref() == Some("staging")).collect();
    assert_eq!(of_the_table.len(), 3, "{steps:?}");
    let alone = |step: &Row| step[9].as_deref().is_some_and(|extra| extra.contains("Using index"));
    assert!(of_the_table.iter().all(|step| alone(step)), "{steps:?}");
}

#[tokio::test]
async fn tls_is_used_where_the_server_has_it() {
    let Some(server) = Server::start_with(Tls::Offered, "").await else { return };
    let authority = server.certificates().authority.display();
    let cipher = "SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'SSL_VERSION'";
    let at_localhost = |parameters: String| {
        let mut config = server.config(&parameters);
        config.url = config.url.replace("127.0.0.1", "localhost");
        MysqlLink::new(&config).unwrap()
    };
    for (parameters, protocol) in [
        (String::new(), "TLSv1.3"),
        (format!("?ssl-mode=VERIFY_IDENTITY&ssl-ca={authority}"), "TLSv1.3"),
        ("?ssl-mode=DISABLED".to_owned(), ""),
    ] {
        let mut link = at_localhost(parameters.clone());
        link.version().await.unwrap_or_else(|error| panic!("{parameters}: {error}"));
        assert_eq!(row(&mut link, cipher).await, [Some(protocol.to_owned())], "{parameters}");
    }
    let error = at_localhost("?ssl-mode=VERIFY_IDENTITY".to_owned()).version().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unreachable, "{error}");
    assert!(error.message.contains("TLS"), "{error}");
}
