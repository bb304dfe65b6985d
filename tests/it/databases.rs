//! Real PostgreSQL and MariaDB servers, and what the documented role may do there.

use std::path::Path;

use crate::support::backend::SMALL;
use crate::support::database::{Database, Tls};
use crate::support::mariadb::MariaDb;
use crate::support::postgres::Postgres;

const TABLES: [(&str, u64); 5] = [
    ("products", SMALL.products),
    ("branches", SMALL.branches),
    ("skus", SMALL.skus),
    ("orders", SMALL.orders),
    ("customers", SMALL.customers),
];

const WRITES: [&str; 6] = [
    "INSERT INTO products (id, name) VALUES ('x', 'x')",
    "UPDATE staging SET status = 'completed'",
    "DELETE FROM orders",
    "CREATE TABLE mine (id int)",
    "DROP TABLE customers",
    "ALTER TABLE products ADD mine int",
];

fn counts(database: &impl Database, tls: Tls) {
    for (table, count) in TABLES {
        let counted = database.bridge_sql(tls, &format!("SELECT count(*) FROM {table}")).unwrap();
        assert_eq!(counted, count.to_string(), "{table}");
    }
    let states = "SELECT count(*) FROM staging GROUP BY status ORDER BY status";
    let expected = format!("{}\n{}\n{}", SMALL.completed + 9, SMALL.pending, SMALL.processing);
    assert_eq!(database.bridge_sql(tls, states).unwrap(), expected);
}

/// The role is refused by its rights, also where nothing holds it to reading.
fn reads_only(database: &impl Database) {
    database.sql("CREATE TABLE secrets (id int)");
    let foreign = database.bridge_sql(Tls::Off, "SELECT * FROM secrets").unwrap_err();
    assert!(foreign.contains("denied"), "{foreign}");
    for write in WRITES {
        let sql = format!("START TRANSACTION READ WRITE; {write}; COMMIT");
        let refused = database.bridge_sql(Tls::Off, &sql).unwrap_err();
        assert!(["denied", "must be owner"].iter().any(|part| refused.contains(part)), "{write}: {refused}");
    }
    counts(database, Tls::Off);
}

#[tokio::test]
async fn the_role_of_postgres_counts_and_cannot_write() {
    let Some(postgres) = Postgres::start(Tls::Off).await else { return };
    postgres.seed(&SMALL, 9);
    counts(&postgres, Tls::Off);
    reads_only(&postgres);
    has_no_tls(&postgres);
    for write in WRITES {
        let refused = postgres.bridge_sql(Tls::Off, write).unwrap_err();
        assert!(refused.contains("read-only transaction"), "{write}: {refused}");
    }
    let role = "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolconnlimit \
                FROM pg_roles WHERE rolname = 'bridge'";
    assert_eq!(postgres.sql(role), "f|f|f|f|f|5");
    let today = "SELECT count(*) FROM staging WHERE status = 'completed' \
                 AND completed >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AND completed <= now()";
    assert_eq!(postgres.bridge_sql(Tls::Off, today).unwrap(), SMALL.completed.to_string());
}

#[tokio::test]
async fn the_user_of_mariadb_counts_and_cannot_write() {
    let Some(mariadb) = MariaDb::start(Tls::Off).await else { return };
    mariadb.seed(&SMALL, 9);
    counts(&mariadb, Tls::Off);
    reads_only(&mariadb);
    has_no_tls(&mariadb);
    let grants = mariadb.bridge_sql(Tls::Off, "SHOW GRANTS").unwrap();
    assert!(grants.lines().next().unwrap().starts_with("GRANT USAGE ON *.* TO `bridge`@`%`"), "{grants}");
    assert!(grants.lines().skip(1).all(|grant| grant.starts_with("GRANT SELECT ON `linkit`.`")), "{grants}");
    assert_eq!(grants.lines().count(), 7);
    let today = "SELECT count(*) FROM staging WHERE status = 'completed' \
                 AND completed >= utc_date() AND completed <= utc_timestamp(3)";
    assert_eq!(mariadb.bridge_sql(Tls::Off, today).unwrap(), SMALL.completed.to_string());
}

/// That whoever insists on TLS is refused where there is none.
fn has_no_tls(database: &impl Database) {
    let refused = database.bridge_sql(Tls::Required, "SELECT 1").unwrap_err();
    assert!(refused.contains("SSL"), "{refused}");
}

/// That nobody gets in without TLS; `ask` tells a connection's cipher.
async fn tls_is_on_when_asked<D: Database>(ask: &str) {
    let Some(server) = D::start(Tls::Required).await else { return };
    let cipher = server.bridge_sql(Tls::Required, ask).unwrap();
    assert!(cipher.contains("TLS_AES"), "{cipher}");
    let refused = server.bridge_sql(Tls::Off, ask).unwrap_err();
    assert!(["no encryption", "denied"].iter().any(|part| refused.contains(part)), "{refused}");
}

#[tokio::test]
async fn postgres_speaks_tls_when_asked() {
    tls_is_on_when_asked::<Postgres>("SELECT cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()").await;
}

#[tokio::test]
async fn mariadb_speaks_tls_when_asked() {
    tls_is_on_when_asked::<MariaDb>("SHOW SESSION STATUS LIKE 'Ssl_cipher'").await;
}

async fn comes_back_and_leaves_nothing<D: Database>(data_directory: &str, id: impl Fn(&D) -> u32) {
    let Some(mut server) = D::start(Tls::Off).await else { return };
    server.seed(&SMALL, 9);
    server.stop().await;
    assert!(server.bridge_sql(Tls::Off, "SELECT 1").is_err());
    server.again().await;
    counts(&server, Tls::Off);
    let process = Path::new("/proc").join(id(&server).to_string());
    let directory = server.sql(data_directory);
    let directory = Path::new(&directory).parent().unwrap();
    assert!(process.exists() && directory.exists());
    drop(server);
    assert!(!process.exists() && !directory.exists(), "{} or {} is left", process.display(), directory.display());
}

#[tokio::test]
async fn postgres_comes_back_and_leaves_nothing() {
    comes_back_and_leaves_nothing::<Postgres>("SHOW data_directory", |server| server.process.id()).await;
}

#[tokio::test]
async fn mariadb_comes_back_and_leaves_nothing() {
    comes_back_and_leaves_nothing::<MariaDb>("SELECT @@datadir", |server| server.process.id()).await;
}
