//! The databases: how they are reached, and what is written into them.

use std::path::PathBuf;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use tokio::runtime::Runtime;

use crate::Result;

/// The role that the programs read servers by, and its password.
pub(crate) const ROLE: &str = "bridge";
pub(crate) const PASSWORD: &str = "bench";

pub(crate) const COLLECTIONS: [&str; 5] = ["products", "branches", "skus", "orders", "customers"];

/// A shop in a database that runs.
#[derive(Clone, Debug)]
pub(crate) enum Shop {
    Sqlite { path: PathBuf },
    Postgres { socket: PathBuf, port: u16, process: u32 },
    MariaDb { socket: PathBuf, port: u16, process: u32 },
}

impl Shop {
    pub(crate) fn sqlite(path: PathBuf) -> Self {
        Self::Sqlite { path }
    }

    /// The server whose socket and data are in a directory.
    pub(crate) fn postgres(socket: PathBuf) -> Result<Self> {
        let text = std::fs::read_to_string(socket.join("data/postmaster.pid"))?;
        let line = |number| text.lines().nth(number).ok_or("postmaster.pid is short");
        Ok(Self::Postgres { port: line(3)?.parse()?, process: line(0)?.parse()?, socket })
    }

    /// The server whose socket and pid are in a directory.
    pub(crate) fn mariadb(directory: PathBuf) -> Result<Self> {
        let process = std::fs::read_to_string(directory.join("pid"))?.trim().parse()?;
        let socket = directory.join("socket");
        let unknown = Self::MariaDb { socket: socket.clone(), port: 0, process };
        let port = unknown.connect()?.numbers("SELECT CAST(@@port AS SIGNED)")?[0];
        Ok(Self::MariaDb { socket, port: port.try_into()?, process })
    }

    pub(crate) fn is_server(&self) -> bool {
        !matches!(self, Self::Sqlite { .. })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "SQLite of a live PocketBase",
            Self::Postgres { .. } => "PostgreSQL",
            Self::MariaDb { .. } => "MariaDB",
        }
    }

    /// As one that may write.
    pub(crate) fn connect(&self) -> Result<Connection> {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(match self {
            Self::Sqlite { path } => {
                let connection = rusqlite::Connection::open(path)?;
                connection.execute_batch("PRAGMA busy_timeout = 10000; PRAGMA synchronous = NORMAL")?;
                Connection::Sqlite(connection)
            }
            Self::Postgres { socket, port, .. } => {
                let options = PgConnectOptions::new_without_pgpass().socket(socket).port(*port);
                let runtime = runtime()?;
                let options = options.username("postgres").database("linkit");
                let connection = runtime.block_on(options.connect())?;
                Connection::Postgres(runtime, connection)
            }
            Self::MariaDb { socket, .. } => {
                let runtime = runtime()?;
                let options = MySqlConnectOptions::new().socket(socket).username("root").database("linkit");
                let connection = runtime.block_on(options.connect())?;
                Connection::MariaDb(runtime, connection)
            }
        })
    }

    /// The start of today in UTC, as the column `completed` holds it.
    pub(crate) fn today(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "strftime('%Y-%m-%d 00:00:00.000Z', 'now')",
            Self::Postgres { .. } => "date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'",
            Self::MariaDb { .. } => "utc_date()",
        }
    }

    /// A transaction of the shop at work: an order comes in, one is taken up, one is completed.
    pub(crate) fn work(&self, number: u64) -> [String; 4] {
        let item = |ago: u64| format!("work-{}", number.saturating_sub(ago));
        let (order, now) = match self {
            Self::Sqlite { .. } => {
                ("(id, number, total) VALUES ('{}', 'bench', 1)", "strftime('%Y-%m-%d %H:%M:%fZ', 'now')")
            }
            Self::Postgres { .. } => ("VALUES ('{}', 'bench', 1, 'north')", "now()"),
            Self::MariaDb { .. } => ("VALUES ('{}', 'bench', 1, 'north')", "utc_timestamp(3)"),
        };
        let order = order.replace("{}", &format!("w{number:014}"));
        [
            format!("INSERT INTO orders {order}"),
            format!("INSERT INTO staging (id, status) VALUES ('{}', 'pending')", item(0)),
            format!("UPDATE staging SET status = 'processing' WHERE id = '{}'", item(5)),
            format!("UPDATE staging SET status = 'completed', completed = {now} WHERE id = '{}'", item(10)),
        ]
    }

    /// A change that is looked for: one customer more.
    pub(crate) fn mark(number: u64) -> String {
        format!("INSERT INTO customers (id, name) VALUES ('m{number:014}', 'bench')")
    }
}

/// One connection to a database.
pub(crate) enum Connection {
    Sqlite(rusqlite::Connection),
    Postgres(Runtime, PgConnection),
    MariaDb(Runtime, MySqlConnection),
}

impl Connection {
    pub(crate) fn run(&mut self, sql: &str) -> Result<()> {
        let text = || sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Sqlite(connection) => connection.execute_batch(sql)?,
            Self::Postgres(runtime, connection) => runtime.block_on(text().execute(connection)).map(|_| ())?,
            Self::MariaDb(runtime, connection) => runtime.block_on(text().execute(connection)).map(|_| ())?,
        }
        Ok(())
    }

    /// The first column of a `SELECT` of whole numbers.
    pub(crate) fn numbers(&mut self, sql: &str) -> Result<Vec<i64>> {
        let text = || sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        Ok(match self {
            Self::Sqlite(connection) => {
                connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
            }
            Self::Postgres(runtime, connection) => {
                let rows = runtime.block_on(text().fetch_all(connection))?;
                rows.iter().map(|row| row.try_get_unchecked(0)).collect::<sqlx::Result<_>>()?
            }
            Self::MariaDb(runtime, connection) => {
                let rows = runtime.block_on(text().fetch_all(connection))?;
                rows.iter().map(|row| row.try_get_unchecked(0)).collect::<sqlx::Result<_>>()?
            }
        })
    }

    pub(crate) fn number(&mut self, sql: &str) -> Result<u64> {
        let numbers = self.numbers(sql)?;
        Ok(u64::try_from(*numbers.first().ok_or("no row")?)?)
    }
}
