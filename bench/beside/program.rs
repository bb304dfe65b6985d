//! The programs that read a shop and show it on a page: the bridge, and its peer on that database.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::shop::{COLLECTIONS, PASSWORD, ROLE, Shop};
use crate::Result;

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Peer,
    Bridge,
    /// With a budget in which it counts all collections of millions of records, as the peer does.
    BridgeExact,
}

/// A program on a shop, which ends with the value.
pub(crate) struct Program {
    process: Child,
    address: SocketAddr,
    kind: Kind,
    directory: PathBuf,
}

impl Drop for Program {
    fn drop(&mut self) {
        // As an operator stops it, so that sessions are closed; but not for ever.
        let id = self.process.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Program {
    /// Starts one that polls each `interval` seconds, and waits until it shows all.
    pub(crate) fn start(shop: &Shop, kind: Kind, interval: u32) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("linkit-bridge-bench-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir(&directory)?;
        let config = directory.join("config.yml");
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        std::fs::write(&config, configuration(shop, kind, interval))?;
        let mut command = command(shop, kind, &config, address);
        let log = File::create(directory.join("log"))?;
        let process = command.stdout(log.try_clone()?).stderr(log).stdin(Stdio::null()).spawn()?;
        let program = Self { process, address, kind, directory };
        let began = Instant::now();
        while program.all().is_err() {
            if began.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(program.directory.join("log"))?;
                return Err(format!("{kind:?} on {} does not show all: {log}", shop.name()).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(program)
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its page.
    pub(crate) fn scrape(&self) -> Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        if page.starts_with("HTTP/1.1 200") { Ok(page) } else { Err("not 200".into()) }
    }

    /// How many customers its page shows.
    pub(crate) fn customers(&self) -> Result<u64> {
        value(&self.scrape()?, self.metrics()[0], "collection=\"customers\"")
    }

    /// An error unless its page shows all eight figures.
    fn all(&self) -> Result<()> {
        let page = self.scrape()?;
        let [records, items] = self.metrics();
        for collection in COLLECTIONS {
            value(&page, records, &format!("collection=\"{collection}\""))?;
        }
        for state in ["pending", "processing"] {
            value(&page, items, &format!("state=\"{state}\""))?;
        }
        if self.kind == Kind::Peer {
            value(&page, items, "state=\"completed_today\"")?;
        }
        Ok(())
    }

    /// How often it has polled, by its own account; `None` if it does not say.
    pub(crate) fn polls(&self) -> Result<Option<u64>> {
        let [metric, label] = match self.kind {
            Kind::Peer => ["queries_total", "query=\"shop_records\""],
            Kind::Bridge | Kind::BridgeExact => {
                ["linkit_bridge_collector_duration_seconds_count", "collector=\"store\""]
            }
        };
        Ok(value(&self.scrape()?, metric, label).ok())
    }

    /// The collections whose records it does not count one by one.
    pub(crate) fn estimated(&self) -> Result<Vec<&'static str>> {
        let page = self.scrape()?;
        let is_estimated = |collection: &&str| {
            page.lines().any(|line| {
                line.starts_with("linkit_store_count_method{")
                    && line.contains(&format!("collection=\"{collection}\""))
                    && line.contains("method=\"estimate\"")
            })
        };
        Ok(COLLECTIONS.into_iter().filter(is_estimated).collect())
    }

    fn metrics(&self) -> [&'static str; 2] {
        match self.kind {
            Kind::Peer => ["shop_records", "shop_items"],
            Kind::Bridge | Kind::BridgeExact => ["linkit_store_records", "linkit_staging_items"],
        }
    }
}

/// The value of a series on a page.
fn value(page: &str, metric: &str, label: &str) -> Result<u64> {
    let mut lines = page.lines().filter(|line| line.split('{').next().is_some_and(|name| name.ends_with(metric)));
    let line = lines.find(|line| line.contains(label)).ok_or_else(|| format!("no {metric} with {label}"))?;
    let value: f64 = line.rsplit(' ').next().ok_or("no value")?.parse()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    Ok(value as u64)
}

fn command(shop: &Shop, kind: Kind, config: &Path, address: SocketAddr) -> Command {
    let peer = |name| Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin").join(name));
    match (kind, shop) {
        (Kind::Peer, Shop::Sqlite { .. }) => {
            let mut command = peer("query-exporter");
            command.arg("--host").arg(address.ip().to_string()).arg("--port").arg(address.port().to_string());
            command.arg("--config").arg(config);
            command
        }
        (Kind::Peer, _) => {
            let mut command = peer("prometheus-sql-exporter");
            command.arg("-config.file").arg(config).arg(format!("-web.listen-address={address}"));
            command
        }
        _ => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_linkit-bridge"));
            command.arg("--config.file").arg(config).arg(format!("--web.listen-address={address}"));
            command
        }
    }
}

fn configuration(shop: &Shop, kind: Kind, interval: u32) -> String {
    if kind == Kind::Peer {
        return peer_configuration(shop, interval);
    }
    let source = match shop {
        Shop::Sqlite { path } => format!("source: sqlite, path: '{}'", path.display()),
        Shop::Postgres { port, .. } => {
            format!("source: postgres, url: 'postgres://{ROLE}@127.0.0.1:{port}/linkit', password: {PASSWORD}")
        }
        Shop::MariaDb { port, .. } => {
            format!("source: mysql, url: 'mysql://{ROLE}@127.0.0.1:{port}/linkit', password: {PASSWORD}")
        }
    };
    let budget = if kind == Kind::BridgeExact { ", count_budget: 2s" } else { "" };
    let section = format!("{{ {source}, interval: {interval}s{budget} }}");
    format!("store: {section}\nstaging: {section}\n")
}

/// The plain counts, in two statements: nothing that could be asked at once is asked in turns.
fn peer_configuration(shop: &Shop, interval: u32) -> String {
    let records =
        COLLECTIONS.map(|name| format!("SELECT '{name}' AS collection, count(*) AS shop_records FROM {name}"));
    let today = format!("completed' AND completed >= {}", shop.today());
    let items = [("pending", "pending'"), ("processing", "processing'"), ("completed_today", &today)].map(
        |(state, condition)| {
            format!("SELECT '{state}' AS state, count(*) AS shop_items FROM staging WHERE status = '{condition}")
        },
    );
    let statements = [
        ("shop_records", "collection", records.join(" UNION ALL ")),
        ("shop_items", "state", items.join(" UNION ALL ")),
    ];
    let each = |write: &dyn Fn(&str, &str, &str) -> String| {
        statements.iter().map(|(metric, label, sql)| write(metric, label, sql)).collect::<String>()
    };
    if let Shop::Sqlite { path } = shop {
        let metrics = each(&|metric, label, _| format!("  {metric}: {{ type: gauge, labels: [{label}] }}\n"));
        let queries = each(&|metric, _, sql| {
            format!("  {metric}: {{ interval: {interval}, databases: [shop], metrics: [{metric}], sql: \"{sql}\" }}\n")
        });
        let path = path.display();
        return format!("databases:\n  shop: {{ dsn: 'sqlite:///{path}' }}\nmetrics:\n{metrics}queries:\n{queries}");
    }
    let connection = match shop {
        Shop::MariaDb { port, .. } => format!("mysql://{ROLE}:{PASSWORD}@tcp(127.0.0.1:{port})/linkit"),
        Shop::Postgres { port, .. } => {
            format!("postgres://{ROLE}:{PASSWORD}@127.0.0.1:{port}/linkit?sslmode=disable")
        }
        Shop::Sqlite { .. } => String::new(),
    };
    let queries = each(&|metric, label, sql| {
        format!("  - {{ name: {metric}, help: x, labels: [{label}], values: [{metric}], query: \"{sql}\" }}\n")
    });
    format!("jobs:\n- name: shop\n  interval: {interval}s\n  connections: ['{connection}']\n  queries:\n{queries}")
}
