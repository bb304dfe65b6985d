//! A real PostgreSQL.

use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::backend::Sizes;
use super::certificates::Certificates;
use super::database::{Database, PASSWORD, Tls, give_away, run, seed_variables, unprivileged};
use super::peers::peer;
use super::process::Process;
use super::{Directory, free_port, root};

pub struct Postgres {
    pub process: Process,
    pub port: u16,
    pub certificates: Option<Certificates>,
    server: PathBuf,
    client: PathBuf,
    settings: Vec<String>,
    directory: Directory,
}

impl Database for Postgres {
    const SOURCE: &'static str = "postgres";

    type Session = PgConnection;

    async fn empty(tls: Tls, settings: &[&str]) -> Option<Self> {
        let (initdb, server, client) = (peer("initdb")?, peer("postgres")?, peer("psql")?);
        let directory = Directory::new("postgres");
        let certificates = tls.certificates(directory.path())?;
        // The administrator comes by the socket, which lies in a closed directory; by TCP he would need a password.
        let kind = if tls == Tls::Required { "hostssl" } else { "host" };
        let access = format!("local all all trust\n{kind} all all 127.0.0.1/32 scram-sha-256\n");
        directory.write("access.conf", &access);
        give_away(directory.path());
        let mut make = unprivileged(&initdb, directory.path());
        make.args(["--pgdata=data", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
        run(make.args(["--no-sync", "--no-instructions"])).unwrap_or_else(|error| panic!("initdb: {error}"));

        let port = free_port();
        let settings: Vec<_> = settings.iter().map(|&setting| setting.to_owned()).collect();
        let process = serve(&server, &directory, port, certificates.as_ref(), &settings).await;
        let postgres = Self { process, port, certificates, server, client, settings, directory };
        run(postgres.admin("postgres").args(["--command", "CREATE DATABASE linkit"])).unwrap();
        Some(postgres)
    }

    async fn start(tls: Tls) -> Option<Self> {
        let postgres = Self::empty(tls, &[]).await?;
        postgres.file("tests/databases/postgres-schema.sql", &[]);
        postgres.file("deploy/sql/postgres-role.sql", &[("password", PASSWORD.to_owned())]);
        Some(postgres)
    }

    fn url(&self) -> String {
        format!("postgres://bridge@127.0.0.1:{}/linkit", self.port)
    }

    async fn session(&self) -> PgConnection {
        let url = format!("postgres://postgres@localhost:{}/linkit?host={}", self.port, self.path().display());
        PgConnection::connect(&url).await.unwrap()
    }

    async fn execute(session: &mut PgConnection, sql: &str) {
        session.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    fn statements_of_the_bridge(&self) -> Vec<String> {
        let sql = "SELECT '.' || CASE WHEN state = 'idle' THEN '' ELSE regexp_replace(query, '\\s+', ' ', 'g') END \
                   FROM pg_stat_activity WHERE usename = 'bridge'";
        self.sql(sql).lines().map(|line| line[1..].to_owned()).collect()
    }

    fn sql(&self, sql: &str) -> String {
        run(self.admin("linkit").args(["--command", sql])).unwrap_or_else(|error| panic!("{error} in {sql}"))
    }

    fn bridge_sql(&self, tls: Tls, sql: &str) -> Result<String, String> {
        let mode = match (tls, &self.certificates) {
            (Tls::Off, _) => "sslmode=disable".to_owned(),
            (_, None) => "sslmode=require".to_owned(),
            (_, Some(made)) => format!("sslmode=verify-full sslrootcert={}", made.authority.display()),
        };
        let connection = format!("host=127.0.0.1 port={} user=bridge dbname=linkit {mode}", self.port);
        run(self.psql().env("PGPASSWORD", PASSWORD).args(["--dbname", &connection, "--command", sql]))
    }

    fn seed(&self, sizes: &Sizes, completed_earlier: u64) {
        let variables: Vec<_> =
            seed_variables(sizes, completed_earlier).map(|(name, value)| (name, value.to_string())).collect();
        self.file("tests/databases/postgres-seed.sql", &variables);
    }

    async fn stop(&mut self) {
        self.process.signal("-INT");
        self.process.ended().await;
    }

    async fn crash(&mut self) {
        self.process.signal("-QUIT");
        self.process.ended().await;
    }

    async fn again(&mut self) {
        let certificates = self.certificates.as_ref();
        self.process = serve(&self.server, &self.directory, self.port, certificates, &self.settings).await;
    }
}

impl Postgres {
    /// The directory of its data and its socket.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    fn psql(&self) -> Command {
        let mut command = Command::new(&self.client);
        command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]);
        command
    }

    fn admin(&self, database: &str) -> Command {
        let mut command = self.psql();
        command.arg("--host").arg(self.directory.path()).arg(format!("--port={}", self.port));
        command.args(["--username=postgres", "--dbname", database]);
        command
    }

    fn file(&self, name: &str, variables: &[(&str, String)]) {
        let mut command = self.admin("linkit");
        for (variable, value) in variables {
            command.arg(format!("--set={variable}={value}"));
        }
        run(command.arg("--file").arg(root().join(name))).unwrap_or_else(|error| panic!("{error}"));
    }
}

async fn serve(
    server: &Path,
    directory: &Directory,
    port: u16,
    certificates: Option<&Certificates>,
    settings: &[String],
) -> Process {
    let mut command = unprivileged(server, directory.path());
    command.args(["-D", "data", "-p", &port.to_string(), "-h", "127.0.0.1"]);
    let mut set = |name: &str, value: &str| {
        command.arg("-c").arg(format!("{name}={value}"));
    };
    let path = directory.path().display();
    set("unix_socket_directories", &path.to_string());
    set("hba_file", &format!("{path}/access.conf"));
    // Nothing here is to survive the machine, and a new table is to be filled without a log.
    for off in ["fsync", "full_page_writes"] {
        set(off, "off");
    }
    set("wal_level", "minimal");
    set("max_wal_senders", "0");
    set("max_wal_size", "4GB");
    set("maintenance_work_mem", "256MB");
    if let Some(made) = certificates {
        set("ssl", "on");
        set("ssl_cert_file", &made.certificate.display().to_string());
        set("ssl_key_file", &made.key.display().to_string());
    }
    for setting in settings {
        command.arg("-c").arg(setting);
    }
    // Killed it would leave its shared memory and its children.
    let mut process = Process::start("postgres", &mut command).ending_by("-QUIT");
    process.line("ready to accept connections").await;
    process
}
