//! A real MariaDB.

use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::backend::Sizes;
use super::certificates::Certificates;
use super::database::{Database, PASSWORD, Tls, give_away, run, seed_variables, unprivileged};
use super::peers::peer;
use super::process::Process;
use super::{Directory, free_port, root};

/// With the small log of the start a bulk load takes twice as long: it waits again and again for the log to be emptied.
const LOG_FOR_MANY_ROWS: &str = "SET GLOBAL innodb_log_file_size = 1 << 30";
const MANY_ROWS: u64 = 200_000;

pub struct MariaDb {
    pub process: Process,
    pub port: u16,
    pub certificates: Option<Certificates>,
    server: PathBuf,
    client: PathBuf,
    settings: Vec<String>,
    directory: Directory,
}

impl Database for MariaDb {
    const SOURCE: &'static str = "mysql";

    type Session = MySqlConnection;

    async fn empty(tls: Tls, settings: &[&str]) -> Option<Self> {
        let (install, server, client) = (peer("mariadb-install-db")?, peer("mariadbd")?, peer("mariadb")?);
        let directory = Directory::new("mariadb");
        let certificates = tls.certificates(directory.path())?;
        give_away(directory.path());
        let mut make = unprivileged(&install, directory.path());
        make.arg("--no-defaults").arg(format!("--datadir={}", directory.path().join("data").display()));
        make.arg(format!("--tmpdir={}", directory.path().display()));
        make.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
        make.args(["--innodb-flush-method=nosync", "--innodb-doublewrite=OFF"]);
        run(&mut make).unwrap_or_else(|error| panic!("mariadb-install-db: {error}"));

        let port = free_port();
        let mut settings: Vec<_> = settings.iter().map(|&setting| setting.to_owned()).collect();
        settings.extend((tls == Tls::Required).then(|| "require-secure-transport=ON".to_owned()));
        let process = serve(&server, &directory, port, certificates.as_ref(), &settings).await;
        let mariadb = Self { process, port, certificates, server, client, settings, directory };
        // The administrator has no password, but comes by the socket, which lies in a closed directory.
        let setup = "DELETE FROM mysql.global_priv WHERE user = 'root' AND host != 'localhost'; FLUSH PRIVILEGES; \
                     CREATE DATABASE linkit CHARACTER SET utf8mb4";
        run(mariadb.admin().args(["--execute", setup])).unwrap();
        Some(mariadb)
    }

    async fn start(tls: Tls) -> Option<Self> {
        let mariadb = Self::empty(tls, &[]).await?;
        mariadb.file("tests/databases/mysql-schema.sql", None);
        mariadb.file("deploy/sql/mysql-role.sql", Some(format!("SET @password = '{PASSWORD}'")));
        Some(mariadb)
    }

    fn url(&self) -> String {
        format!("mysql://bridge@127.0.0.1:{}/linkit", self.port)
    }

    async fn session(&self) -> MySqlConnection {
        let options = MySqlConnectOptions::new().socket(self.directory.path().join("socket")).username("root");
        options.database("linkit").connect().await.unwrap()
    }

    async fn execute(session: &mut MySqlConnection, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(session).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    fn statements_of_the_bridge(&self) -> Vec<String> {
        let sql = "SELECT CONCAT('.', COALESCE(INFO, '')) FROM information_schema.PROCESSLIST WHERE USER = 'bridge'";
        self.sql(sql).lines().map(|line| line[1..].to_owned()).collect()
    }

    fn sql(&self, sql: &str) -> String {
        run(self.admin().args(["--database=linkit", "--execute", sql]))
            .unwrap_or_else(|error| panic!("{error} in {sql}"))
    }

    fn bridge_sql(&self, tls: Tls, sql: &str) -> Result<String, String> {
        let mut command = self.mariadb();
        command.args(["--protocol=tcp", "--host=127.0.0.1", "--user=bridge", "--database=linkit"]);
        command.arg(format!("--port={}", self.port)).env("MYSQL_PWD", PASSWORD);
        match (tls, &self.certificates) {
            (Tls::Off, _) => command.arg("--skip-ssl"),
            (_, None) => command.args(["--ssl", "--ssl-verify-server-cert"]),
            (_, Some(made)) => {
                command.arg("--ssl-verify-server-cert").arg(format!("--ssl-ca={}", made.authority.display()))
            }
        };
        run(command.args(["--execute", sql]))
    }

    fn seed(&self, sizes: &Sizes, completed_earlier: u64) {
        let variables: Vec<_> = seed_variables(sizes, completed_earlier).collect();
        if variables.iter().map(|(_, value)| value).sum::<u64>() > MANY_ROWS {
            self.sql(LOG_FOR_MANY_ROWS);
        }
        let set: Vec<_> = variables.iter().map(|(name, value)| format!("@{name} = {value}")).collect();
        self.file("tests/databases/mysql-seed.sql", Some(format!("SET {}", set.join(", "))));
    }

    async fn stop(&mut self) {
        self.process.signal("-TERM");
        self.process.ended().await;
    }

    async fn crash(&mut self) {
        self.process.signal("-KILL");
        self.process.ended().await;
    }

    async fn again(&mut self) {
        let certificates = self.certificates.as_ref();
        self.process = serve(&self.server, &self.directory, self.port, certificates, &self.settings).await;
    }
}

impl MariaDb {
    fn mariadb(&self) -> Command {
        let mut command = Command::new(&self.client);
        command.args(["--no-defaults", "--batch", "--skip-column-names"]);
        command
    }

    fn admin(&self) -> Command {
        let mut command = self.mariadb();
        command.arg("--user=root").arg(format!("--socket={}", self.directory.path().join("socket").display()));
        command
    }

    /// Runs a file, where `first` is given after that statement.
    fn file(&self, name: &str, first: Option<String>) {
        let mut command = self.admin();
        command.args(first.map(|statement| format!("--init-command={statement}")));
        let source = format!("source {}", root().join(name).display());
        run(command.args(["--database=linkit", "--execute", &source]))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

async fn serve(
    server: &Path,
    directory: &Directory,
    port: u16,
    certificates: Option<&Certificates>,
    settings: &[String],
) -> Process {
    let path = |name: &str| directory.path().join(name).display().to_string();
    let mut command = unprivileged(server, directory.path());
    // Not even the machine's own configuration.
    command.arg("--no-defaults");
    let mut set = |name: &str, value: &str| {
        command.arg(format!("--{name}={value}"));
    };
    set("datadir", &path("data"));
    // A server that starts removes what looks like temporary tables from there, also another server's.
    set("tmpdir", &directory.path().display().to_string());
    set("socket", &path("socket"));
    set("pid-file", &path("pid"));
    set("bind-address", "127.0.0.1");
    set("port", &port.to_string());
    set("skip-name-resolve", "ON");
    set("innodb-buffer-pool-size", "1G");
    // Nothing here is to survive the machine.
    set("innodb-flush-method", "nosync");
    set("innodb-flush-log-at-trx-commit", "0");
    set("innodb-doublewrite", "OFF");
    if let Some(made) = certificates {
        set("ssl-cert", &made.certificate.display().to_string());
        set("ssl-key", &made.key.display().to_string());
    }
    for setting in settings {
        command.arg(format!("--{setting}"));
    }
    let mut process = Process::start("mariadbd", &mut command);
    process.line("ready for connections").await;
    process
}
