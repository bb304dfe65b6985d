//! The server of these tests: autovacuum stands still, and the user `bridge` may read all and is held to nothing else.

use std::path::Path;

use linkit_bridge::collector::postgres::{PostgresConfig, PostgresLink};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::database::{Database, PASSWORD, Tls};
use crate::support::postgres::Postgres;

pub struct Server(Postgres);

impl Server {
    pub async fn start() -> Option<Self> {
        let postgres = Postgres::empty(Tls::Off, &["autovacuum=off"]).await?;
        postgres.sql(&format!("CREATE ROLE bridge LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_read_all_data"));
        Some(Self(postgres))
    }

    pub async fn restart(&mut self) {
        self.0.stop().await;
        self.0.again().await;
    }

    pub async fn crash_and_start(&mut self) {
        self.0.crash().await;
        self.0.again().await;
    }

    pub async fn stop(&mut self) {
        self.0.stop().await;
    }

    /// Tells the running server to read its settings anew.
    pub fn reload(&self) {
        self.0.process.signal("-HUP");
    }

    /// Runs statements as the owner of everything.
    pub async fn run(&self, sql: &str) {
        let mut owner = self.owner().await;
        Postgres::execute(&mut owner, sql).await;
        owner.close().await.unwrap();
    }

    /// A number, as the owner of everything.
    pub async fn ask(&self, sql: &str) -> i64 {
        let mut owner = self.owner().await;
        let number = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut owner).await;
        owner.close().await.unwrap();
        number.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Sessions of the bridge of which `condition` is true.
    pub async fn sessions(&self, condition: &str) -> i64 {
        let all = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'linkit-bridge'";
        self.ask(&format!("{all} AND {condition}")).await
    }

    pub async fn owner(&self) -> PgConnection {
        self.0.session().await
    }

    /// A link of the user `bridge`, with these parameters at the end of its url.
    pub fn link(&self, parameters: &str) -> PostgresLink {
        self.link_as(&format!("{}{parameters}", self.0.url()), PASSWORD)
    }

    pub fn link_as(&self, url: &str, password: &str) -> PostgresLink {
        let config = PostgresConfig { url: url.to_owned(), user: None, password: Some(password.into()) };
        PostgresLink::new(config).unwrap()
    }

    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The directory of its socket.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}
