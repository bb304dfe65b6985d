//! The server of these tests, whose user `bridge` may read all of the database.

use linkit_bridge::collector::mysql::{MysqlConfig, MysqlLink};
use sqlx::mysql::MySqlConnection;

use crate::support::certificates::Certificates;
use crate::support::database::{Database, PASSWORD, Tls};
use crate::support::eventually;
use crate::support::mariadb::MariaDb;

pub struct Server(MariaDb);

impl Server {
    /// A server with what `seed` makes; `None` when it is not installed.
    pub async fn start(seed: &str) -> Option<Self> {
        Self::start_with(Tls::Off, seed).await
    }

    pub async fn start_with(tls: Tls, seed: &str) -> Option<Self> {
        let server = Self(MariaDb::empty(tls, &["innodb-buffer-pool-size=32M"]).await?);
        let user =
            format!("CREATE USER bridge IDENTIFIED BY '{PASSWORD}'; GRANT SELECT, SHOW VIEW ON linkit.* TO bridge");
        server.execute(&format!("{user}; {seed}")).await;
        Some(server)
    }

    /// Runs it, after it was stopped.
    pub async fn run(&mut self) {
        self.0.again().await;
    }

    pub async fn stop(&mut self) {
        self.0.stop().await;
    }

    pub async fn restart(&mut self) {
        self.stop().await;
        self.run().await;
    }

    /// A session of the administrator's, in `linkit`.
    pub async fn session(&self) -> MySqlConnection {
        self.0.session().await
    }

    /// Runs statements as the administrator, in `linkit`.
    pub async fn execute(&self, sql: &str) {
        execute(&mut self.session().await, sql).await;
    }

    /// Waits until the bridge has this many sessions, all idle.
    pub async fn only_idle(&self, sessions: usize) {
        eventually(&format!("{sessions} idle sessions"), || async {
            let statements = self.0.statements_of_the_bridge();
            (statements.len() == sessions && statements.iter().all(String::is_empty)).then_some(())
        })
        .await;
    }

    /// Whether a session of the bridge is at work on a statement with this in it.
    pub fn is_busy_with(&self, part: &str) -> bool {
        self.0.statements_of_the_bridge().iter().any(|statement| statement.contains(part))
    }

    pub fn config(&self, parameters: &str) -> MysqlConfig {
        MysqlConfig { url: format!("{}{parameters}", self.0.url()), user: None, password: Some(PASSWORD.into()) }
    }

    pub fn link(&self) -> MysqlLink {
        MysqlLink::new(&self.config("")).unwrap()
    }

    pub fn port(&self) -> u16 {
        self.0.port
    }

    pub fn certificates(&self) -> &Certificates {
        self.0.certificates.as_ref().unwrap()
    }
}

pub async fn execute(session: &mut MySqlConnection, sql: &str) {
    MariaDb::execute(session, sql).await;
}
