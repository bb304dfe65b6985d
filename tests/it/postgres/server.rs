//! A PostgreSQL server of the test's own, with a user `bridge` that may read.

use std::path::{Path, PathBuf};
use std::process::Command;

use linkit_bridge::collector::postgres::{PostgresConfig, PostgresLink};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::support::process::Process;
use crate::support::{Directory, eventually, free_port, peers};

pub const PASSWORD: &str = "hunter2-of-the-bridge";

pub struct Server {
    binaries: PathBuf,
    port: u16,
    /// Before the directory, so that it ends first.
    process: Option<Process>,
    directory: Directory,
}

impl Server {
    pub async fn start(name: &str) -> Option<Self> {
        let binaries = binaries()?;
        let directory = Directory::new(name);
        let mut server = Self { binaries, port: free_port(), process: None, directory };
        if is_root() {
            assert!(Command::new("chown").args(["nobody", &server.path("")]).status().unwrap().success());
        }
        let data = server.path("data");
        let made =
            server.command("initdb").args(["-D", &data, "-U", "postgres", "-A", "trust", "-N"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let access = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(Path::new(&data).join("pg_hba.conf"), access).unwrap();
        server.up().await;
        server.run(&format!("CREATE ROLE bridge LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_read_all_data")).await;
        Some(server)
    }

    /// Starts the server again, or for the first time.
    pub async fn up(&mut self) {
        let (data, sockets, port) = (self.path("data"), self.path(""), self.port.to_string());
        let mut command = self.command("postgres");
        command.args(["-D", &data, "-k", &sockets, "-p", &port, "-h", "127.0.0.1", "-c", "fsync=off"]);
        command.args(["-c", "max_connections=20", "-c", "shared_buffers=64MB", "-c", "autovacuum=off"]);
        self.process = Some(Process::start("postgres", &mut command));
        eventually("a server that answers", || async { self.connected().await.ok() }).await;
    }

    /// Ends the server: `-INT` for good, `-QUIT` as after a crash.
    pub async fn down(&mut self, signal: &str) {
        if let Some(mut process) = self.process.take() {
            process.signal(signal);
            process.ended().await;
        }
    }

    /// Tells the running server to read its settings anew.
    pub fn reload(&self) {
        self.process.as_ref().unwrap().signal("-HUP");
    }

    /// Runs statements as the owner of everything.
    pub async fn run(&self, sql: &str) {
        let mut owner = self.owner().await;
        owner.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
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
        self.connected().await.unwrap()
    }

    async fn connected(&self) -> sqlx::Result<PgConnection> {
        let (sockets, port) = (self.path(""), self.port);
        PgConnection::connect(&format!("postgres://postgres@localhost:{port}/postgres?host={sockets}")).await
    }

    /// A link of the user `bridge`, with these parameters at the end of its url.
    pub fn link(&self, parameters: &str) -> PostgresLink {
        self.link_as(&format!("postgres://bridge@127.0.0.1:{}/postgres{parameters}", self.port), PASSWORD)
    }

    pub fn link_as(&self, url: &str, password: &str) -> PostgresLink {
        let config = PostgresConfig { url: url.to_owned(), user: None, password: Some(password.into()) };
        PostgresLink::new(config).unwrap()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// One of PostgreSQL's programs. They refuse to be run by root.
    pub fn command(&self, name: &str) -> Command {
        let program = self.binaries.join(name);
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(program);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            // Its children end with it, while they would outlive it for some seconds if it were killed.
            process.signal("-QUIT");
            for _ in 0..100 {
                if !Path::new(&self.path("data/postmaster.pid")).exists() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The folder of the newest PostgreSQL here: Debian keeps them out of the path.
fn binaries() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = folders.map(|entry| entry.path().join("bin")).filter(|path| path.join("initdb").exists()).max();
    newest.or_else(|| peers::program("initdb").and_then(|path| path.parent().map(Path::to_owned)))
}
