//! The real program beside shops of three million records and a million staged items, in PostgreSQL, MariaDB and
//! PocketBase: what it says is what the administrator counts, whatever happens to the server meanwhile.

mod advice;
mod custom;
mod figures;
mod pocketbase;
mod trouble;

use std::collections::BTreeMap;

use crate::support::Directory;
use crate::support::backend::Sizes;
use crate::support::database::{Database, PASSWORD, Tls};
use crate::support::mariadb::MariaDb;
use crate::support::postgres::Postgres;

const SIZES: Sizes = Sizes {
    products: 30_000,
    branches: 100,
    skus: 2_930_000,
    orders: 20_000,
    customers: 19_900,
    pending: 40,
    processing: 12,
    completed: 20_000,
};
const COMPLETED_EARLIER: u64 = 979_948;

const COLLECTIONS: [&str; 5] = ["products", "branches", "skus", "orders", "customers"];

/// Too small for the SKUs, and enough for all others on a machine that has nothing else to do.
const SMALL_BUDGET: &str = ", count_budget: 50ms";

/// Enough for all, always.
const LARGE_BUDGET: &str = ", count_budget: 5s, timeout: 30s";

/// How a database says what the scenarios need.
trait Large: Database {
    /// How far an estimate may be off.
    const TOLERANCE_PERCENT: u64;
    /// Takes a lock on the orders and the customers that nobody can read beside, until the session ends.
    const LOCK: &'static str;
    /// The present, and the beginning of today, in UTC.
    const NOW: &'static str;
    const TODAY: &'static str;
    /// What makes a statement sleep, as a condition.
    const SLEEPS: &'static str;
    /// Milliseconds that a statement of the bridge has been running for.
    const LONGEST: &'static str;
    /// Makes a function `write_shelf`, which writes with its owner's rights, and gives the role `bridge` all it wants.
    const GENEROUS: &'static str;
    /// Takes the indexes of the queue away, and how a plan says that the whole of it is read.
    const WITHOUT_INDEXES: &'static str;
    const READS_ALL: &'static str;
}

impl Large for Postgres {
    const TOLERANCE_PERCENT: u64 = 5;
    const LOCK: &'static str = "BEGIN; LOCK TABLE orders, customers IN ACCESS EXCLUSIVE MODE";
    const NOW: &'static str = "now()";
    const TODAY: &'static str = "date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'";
    const SLEEPS: &'static str = "pg_sleep(60)::text <> ''";
    const LONGEST: &'static str =
        "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - query_start) * 1000), 0)::bigint
         FROM pg_stat_activity WHERE usename = 'bridge' AND state <> 'idle'";
    const GENEROUS: &'static str = "
        CREATE OR REPLACE FUNCTION write_shelf() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS
        $$ INSERT INTO shelves VALUES ('written', 1) RETURNING fill $$;
        GRANT ALL ON ALL TABLES IN SCHEMA public TO bridge; ALTER ROLE bridge RESET ALL";
    const WITHOUT_INDEXES: &'static str = "DROP INDEX staging_open, staging_completed";
    const READS_ALL: &'static str = "Seq Scan on staging";
}

impl Large for MariaDb {
    const TOLERANCE_PERCENT: u64 = 20;
    const LOCK: &'static str = "LOCK TABLES orders WRITE, customers WRITE";
    const NOW: &'static str = "utc_timestamp(3)";
    const TODAY: &'static str = "utc_date()";
    const SLEEPS: &'static str = "SLEEP(60) <> 0";
    const LONGEST: &'static str =
        "SELECT CAST(COALESCE(MAX(TIME_MS), 0) AS INTEGER) FROM information_schema.PROCESSLIST
         WHERE USER = 'bridge' AND COMMAND <> 'Sleep'";
    const GENEROUS: &'static str = "
        CREATE OR REPLACE FUNCTION write_shelf() RETURNS BIGINT MODIFIES SQL DATA
        BEGIN INSERT INTO shelves VALUES ('written', 1); RETURN 1; END;
        GRANT ALL ON linkit.* TO bridge";
    const WITHOUT_INDEXES: &'static str = "DROP INDEX staging_status_completed ON staging";
    const READS_ALL: &'static str = "staging ALL";
}

/// A server with the shop, and the password in a file.
struct Shop<D> {
    database: D,
    directory: Directory,
}

impl<D: Large> Shop<D> {
    async fn start() -> Option<Self> {
        let database = D::start(Tls::Off).await?;
        database.seed(&SIZES, COMPLETED_EARLIER);
        let directory = Directory::new("large");
        directory.write("password", &format!("{PASSWORD}\n"));
        Some(Self { database, directory })
    }

    /// A section of a config that reads the database, with more of its keys.
    fn section(&self, more: &str) -> String {
        let (source, url, directory) = (D::SOURCE, self.database.url(), self.directory.path().display());
        let keys = "interval: 200ms, max_backoff: 1s";
        format!("{{ source: {source}, url: '{url}', password_file: '{directory}/password', {keys}{more} }}")
    }

    fn config(&self, store: &str, staging: &str) -> String {
        let (store, staging) = (self.section(store), self.section(staging));
        format!("runtime: {{ source: self }}\nstore: {store}\nstaging: {staging}\n")
    }

    /// A number of the administrator's.
    fn number(&self, sql: &str) -> u64 {
        self.database.sql(sql).parse().unwrap_or_else(|error| panic!("{error} in the answer to {sql}"))
    }

    fn rows(&self, of: &str) -> u64 {
        self.number(&format!("SELECT count(*) FROM {of}"))
    }

    fn completed_today(&self) -> u64 {
        self.rows(&format!("staging WHERE status = 'completed' AND completed >= {}", D::TODAY))
    }
}

type Series = BTreeMap<String, f64>;

/// The value of a series as a whole number.
fn whole(series: &Series, name: &str) -> Option<u64> {
    let value = *series.get(name)?;
    assert!(value >= 0.0 && value.fract() == 0.0, "{name} is {value}");
    Some(value as u64)
}

fn records(series: &Series, collection: &str) -> Option<u64> {
    whole(series, &format!("linkit_store_records{{collection=\"{collection}\"}}"))
}

fn is_counted(series: &Series, collection: &str, method: &str) -> bool {
    series.contains_key(&format!("linkit_store_count_method{{collection=\"{collection}\",method=\"{method}\"}}"))
}

fn is_up(series: &Series, collector: &str) -> bool {
    let start = format!("linkit_bridge_collector_up{{collector=\"{collector}\"");
    series.iter().any(|(name, up)| name.starts_with(&start) && *up > 0.0)
}

fn errors(series: &Series, class: &str, collector: &str) -> f64 {
    let start = format!("linkit_bridge_collector_errors_total{{class=\"{class}\",collector=\"{collector}\"");
    series.iter().find(|(name, _)| name.starts_with(&start)).map_or(0.0, |(_, count)| *count)
}

/// One server and one seed for all that is told of a database.
async fn shop_of<D: Large>() -> Option<Shop<D>> {
    let mut shop = Shop::<D>::start().await?;
    figures::what_is_counted_is_the_truth(&shop).await;
    figures::with_time_enough_all_is_exact(&shop).await;
    custom::label_sets_come_and_go(&shop).await;
    trouble::locked_tables_harm_no_other(&shop).await;
    trouble::a_sleeping_view_harms_no_other(&shop).await;
    trouble::a_killed_bridge_leaves_no_session(&shop).await;
    trouble::a_restarted_server_is_read_again(&mut shop).await;
    advice::the_advised_indexes_end_the_complaint(&shop).await;
    custom::nothing_is_written(&shop).await;
    Some(shop)
}

#[tokio::test]
async fn a_large_shop_in_postgres_is_told_truly() {
    let Some(mut shop) = shop_of::<Postgres>().await else { return };
    trouble::a_long_budget_voids_no_other(&shop).await;
    trouble::a_crash_leaves_an_honest_estimate(&mut shop).await;
    advice::a_refusal_says_why_and_no_secret(shop).await;
}

#[tokio::test]
async fn a_large_shop_in_mariadb_is_told_truly() {
    let Some(shop) = shop_of::<MariaDb>().await else { return };
    advice::a_refusal_says_why_and_no_secret(shop).await;
}
