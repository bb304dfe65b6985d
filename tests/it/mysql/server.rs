//! A MariaDB server with its data in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use linkit_bridge::collector::mysql::{MysqlConfig, MysqlLink};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

use crate::support::peers::program;
use crate::support::process::Process;
use crate::support::{Directory, eventually, free_port};

pub const PASSWORD: &str = "hunter2-of-the-bridge";

pub struct Server {
    process: Option<Process>,
    program: PathBuf,
    arguments: Vec<String>,
    pub port: u16,
    pub directory: Directory,
}

impl Server {
    /// A server with the database `linkit` and the user `bridge`, who may read it; `None` when it is not installed.
    pub async fn start(seed: &str) -> Option<Self> {
        Self::start_with(Directory::new("mariadb"), &[], seed).await
    }

    pub async fn start_with(directory: Directory, arguments: &[String], seed: &str) -> Option<Self> {
        let (install, program) = (program("mariadb-install-db")?, program("mariadbd")?);
        let mut install = Command::new(install);
        install.args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"]);
        install.arg(format!("--datadir={}", directory.path().join("data").display()));
        let output = as_other_user(&mut install, directory.path()).stdout(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut server = Self { process: None, program, arguments: arguments.to_vec(), port: free_port(), directory };
        server.run().await;
        let user =
            format!("CREATE USER bridge IDENTIFIED BY '{PASSWORD}'; GRANT SELECT, SHOW VIEW ON linkit.* TO bridge");
        server.execute(&format!("CREATE DATABASE linkit CHARACTER SET utf8mb4; {user}; USE linkit; {seed}")).await;
        Some(server)
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("s")
    }

    /// Runs it, after it was stopped.
    pub async fn run(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(["--no-defaults", "--bind-address=127.0.0.1", "--innodb-buffer-pool-size=32M"]);
        command.arg(format!("--port={}", self.port)).arg(format!("--socket={}", self.socket().display()));
        command.arg(format!("--datadir={}", self.directory.path().join("data").display()));
        command.arg(format!("--pid-file={}", self.directory.path().join("pid").display()));
        command.args(&self.arguments);
        let mut process = Process::start("mariadbd", as_other_user(&mut command, self.directory.path()));
        process.line("ready for connections").await;
        self.process = Some(process);
    }

    pub async fn stop(&mut self) {
        self.process.take().unwrap().stop().await;
    }

    pub async fn restart(&mut self) {
        self.stop().await;
        self.run().await;
    }

    /// A session of the administrator's.
    pub async fn session(&self) -> MySqlConnection {
        MySqlConnectOptions::new().socket(self.socket()).username("root").connect().await.unwrap()
    }

    /// Runs statements as the administrator, in `linkit`.
    pub async fn execute(&self, sql: &str) {
        execute(&mut self.session().await, sql).await;
    }

    /// What the bridge's sessions are at: one text each, empty for one that waits for a statement.
    pub async fn statements_of_the_bridge(&self) -> Vec<String> {
        let sql = "SELECT CAST(COALESCE(INFO, '') AS CHAR) FROM information_schema.PROCESSLIST WHERE USER = 'bridge'";
        let rows = sqlx::query(sql).fetch_all(&mut self.session().await).await.unwrap();
        rows.iter().map(|row| row.get_unchecked(0)).collect()
    }

    /// Waits until the bridge has this many sessions, all idle.
    pub async fn only_idle(&self, sessions: usize) {
        eventually(&format!("{sessions} idle sessions"), || async {
            let statements = self.statements_of_the_bridge().await;
            (statements.len() == sessions && statements.iter().all(String::is_empty)).then_some(())
        })
        .await;
    }

    pub fn config(&self, parameters: &str) -> MysqlConfig {
        let url = format!("mysql://bridge@127.0.0.1:{}/linkit{parameters}", self.port);
        MysqlConfig { url, user: None, password: Some(PASSWORD.into()) }
    }

    pub fn link(&self) -> MysqlLink {
        MysqlLink::new(&self.config("")).unwrap()
    }
}

pub async fn execute(session: &mut MySqlConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(session).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// MariaDB does not run as root.
fn as_other_user<'a>(command: &'a mut Command, directory: &Path) -> &'a mut Command {
    if rustix::process::geteuid().is_root() {
        let owned = Command::new("chown").args(["-R", "nobody"]).arg(directory).status().unwrap();
        assert!(owned.success());
        command.arg("--user=nobody");
    }
    // A server that starts removes what looks like temporary tables from there, also another server's.
    command.arg(format!("--tmpdir={}", directory.display()));
    command
}
