//! A real MariaDB.

use std::path::{Path, PathBuf};
use std::process::Command;

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
    directory: Directory,
}

impl Database for MariaDb {
    async fn start(tls: Tls) -> Option<Self> {
        let (install, server, client) = (peer("mariadb-install-db")?, peer("mariadbd")?, peer("mariadb")?);
        let directory = Directory::new("mariadb");
        let certificates = match tls {
            Tls::Off => None,
            Tls::Required => Some(Certificates::make(directory.path())?),
        };
        give_away(directory.path());
        let mut make = unprivileged(&install, directory.path());
        make.arg("--no-defaults").arg(format!("--datadir={}", directory.path().join("data").display()));
        make.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
        make.args(["--innodb-flush-method=nosync", "--innodb-doublewrite=OFF"]);
        run(&mut make).unwrap_or_else(|error| panic!("mariadb-install-db: {error}"));

        let port = free_port();
        let process = serve(&server, &directory, port, certificates.as_ref()).await;
        let mariadb = Self { process, port, certificates, server, client, directory };
        // The administrator has no password, but comes by the socket, which lies in a closed directory.
        let setup = "DELETE FROM mysql.global_priv WHERE user = 'root' AND host != 'localhost'; FLUSH PRIVILEGES; \
                     CREATE DATABASE linkit";
        run(mariadb.admin().args(["--execute", setup])).unwrap();
        mariadb.file("tests/databases/mysql-schema.sql", None);
        mariadb.file("deploy/sql/mysql-role.sql", Some(format!("SET @password = '{PASSWORD}'")));
        Some(mariadb)
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
            (Tls::Required, None) => command.args(["--ssl", "--ssl-verify-server-cert"]),
            (Tls::Required, Some(made)) => {
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

    async fn again(&mut self) {
        self.process = serve(&self.server, &self.directory, self.port, self.certificates.as_ref()).await;
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

async fn serve(server: &Path, directory: &Directory, port: u16, certificates: Option<&Certificates>) -> Process {
    let path = |name: &str| directory.path().join(name).display().to_string();
    let mut command = unprivileged(server, directory.path());
    // Not even the machine's own configuration.
    command.arg("--no-defaults");
    let mut set = |name: &str, value: &str| {
        command.arg(format!("--{name}={value}"));
    };
    set("datadir", &path("data"));
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
        set("require-secure-transport", "ON");
    }
    let mut process = Process::start("mariadbd", &mut command);
    process.line("ready for connections").await;
    process
}
