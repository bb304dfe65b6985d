//! Files that change under a running server: no handshake fails, what is broken changes nothing and shows.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use linkit_bridge::app::App;
use linkit_bridge::clock::SystemClock;
use linkit_bridge::config::Config;
use linkit_bridge::server::WebConfigFile;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{HASH, Server, certified, load, tls};
use crate::support::certificates::{By, SERVER, issue};
use crate::support::page::series;
use crate::support::{Directory, eventually};

/// A client that trusts the authority of a directory and asks for a protocol.
pub fn connector(directory: &Path, protocol: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(directory.join("authority.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// One handshake and one request: the certificate that the server presented.
async fn ask(connector: &TlsConnector, address: &str) -> io::Result<CertificateDer<'static>> {
    let stream = TcpStream::connect(address).await?;
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
    let presented = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
    stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    if answer.starts_with("HTTP/1.1 200 OK") { Ok(presented) } else { Err(io::Error::other(answer)) }
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

/// A directory with two more certificates of the server, `a` and `b`.
fn certified_twice(name: &str) -> Option<Directory> {
    let directory = certified(name)?;
    issue(directory.path(), "a", By::Another("authority"), SERVER)?;
    issue(directory.path(), "b", By::Another("authority"), SERVER)?;
    Some(directory)
}

fn take(directory: &Path, certificate: &str, key: &str) {
    std::fs::copy(directory.join(format!("{certificate}.pem")), directory.join("server.crt")).unwrap();
    std::fs::copy(directory.join(format!("{key}.key")), directory.join("server.key")).unwrap();
}

/// How often the certificate is swapped: 100 times where `LINKIT_BRIDGE_TEST_SWAPS` says so.
fn swaps() -> usize {
    std::env::var("LINKIT_BRIDGE_TEST_SWAPS").map_or(20, |swaps| swaps.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaps_under_load_cost_no_handshake() {
    let Some(directory) = certified_twice("web-swaps") else { return };
    let web = directory.write("web.yml", &tls(""));
    let config = format!("web: {{ listen: ['127.0.0.1:0'], config_file: '{}' }}\n", web.display());
    let app =
        App::new(&Config::parse("test", &config, &|_| None).unwrap(), &|_| None, Arc::new(SystemClock::new())).unwrap();
    let listeners = app.bind().unwrap();
    let address = listeners.addresses()[0].to_string();
    let file: WebConfigFile = app.web_config().unwrap().clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(app.run(listeners, async { _ = stopped.await }));

    let (done, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (done, asked, address) = (Arc::clone(&done), Arc::clone(&asked), address.clone());
            let connector = connector(directory.path(), "http/1.1");
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    ask(&connector, &address).await.unwrap_or_else(|error| panic!("a handshake failed: {error}"));
                    asked.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(60)).await;
                }
            })
        })
        .collect();
    let own = connector(directory.path(), "http/1.1");
    for swap in 0..swaps() {
        let name = ["a", "b"][swap % 2];
        take(directory.path(), name, name);
        let file = file.clone();
        tokio::task::spawn_blocking(move || file.reload()).await.unwrap().unwrap();
        let presented = ask(&own, &address).await.unwrap();
        assert_eq!(presented, certificate(&directory.path().join(format!("{name}.pem"))), "swap {swap}");
        let before = asked.load(Ordering::Relaxed);
        eventually("handshakes under the new certificate", || async {
            (asked.load(Ordering::Relaxed) >= before + 4).then_some(())
        })
        .await;
    }
    // A certificate with the key of another keeps the old one.
    take(directory.path(), "a", "b");
    let error = file.reload().unwrap_err().to_string();
    assert!(error.contains("do not go together"), "{error}");
    let last = ["b", "a"][swaps() % 2];
    assert_eq!(ask(&own, &address).await.unwrap(), certificate(&directory.path().join(format!("{last}.pem"))));
    done.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    eprintln!("{} swaps, {} handshakes, none failed", swaps(), asked.load(Ordering::Relaxed));
    stop.send(()).unwrap();
    running.await.unwrap();
}

/// The value of a figure on the scrape page.
pub fn figure(server: &Server, name: &str) -> Option<f64> {
    let page = server.curl("/metrics", &[])?;
    assert_eq!(page.status(), 200, "{}", page.text);
    let (_head, body) = page.text.split_once("\r\n\r\n")?;
    series(body).get(name).copied()
}

const SUCCESSFUL: &str = "linkit_bridge_web_config_last_reload_successful";

/// Puts a certificate and a key in place as a kubelet does: the files are links through `..data`, which is swapped for
/// another folder's link.
fn put(path: &Path, version: &str, certificate: &str, key: &str) {
    let folder = path.join(version);
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(path.join(format!("{certificate}.pem")), folder.join("tls.crt")).unwrap();
    std::fs::copy(path.join(format!("{key}.key")), folder.join("tls.key")).unwrap();
    std::os::unix::fs::symlink(version, path.join("..next")).unwrap();
    std::fs::rename(path.join("..next"), path.join("..data")).unwrap();
}

#[tokio::test]
async fn the_files_of_a_kubernetes_secret_are_followed_and_a_broken_one_is_said_once() {
    let Some(directory) = certified_twice("web-secret") else { return };
    put(directory.path(), "..1", "a", "a");
    for name in ["tls.crt", "tls.key"] {
        std::os::unix::fs::symlink(format!("..data/{name}"), directory.path().join(name)).unwrap();
    }
    let web = "tls_server_config: { cert_file: tls.crt, key_file: tls.key }\n";
    let server = Server::start(directory, web).await;
    if server.curl("/-/healthy", &[]).is_none() {
        return;
    }
    let path = server.directory.path();
    let connector = connector(path, "http/1.1");
    let presents = |name: &'static str| {
        let (expected, connector, server) = (certificate(&path.join(name)), &connector, &server);
        eventually(name, move || {
            let expected = expected.clone();
            async move { (ask(connector, &server.address).await.unwrap() == expected).then_some(()) }
        })
    };
    presents("a.pem").await;
    put(path, "..2", "b", "b");
    presents("b.pem").await;
    assert_eq!(figure(&server, SUCCESSFUL), Some(1.0));
    put(path, "..3", "a", "b");
    eventually("the failure's figure", || async { (figure(&server, SUCCESSFUL) == Some(0.0)).then_some(()) }).await;
    presents("b.pem").await;
    // Several looks later it has still been said once, and what is mended counts.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(server.process.output().matches("the web configuration was not reloaded").count(), 1);
    put(path, "..4", "a", "a");
    presents("a.pem").await;
    assert_eq!(figure(&server, SUCCESSFUL), Some(1.0));
}

#[test]
fn the_demand_for_certificates_is_not_taken_away_by_a_reload() {
    let Some(directory) = certified("web-demand") else { return };
    let asking = |kind: &str| tls(&format!("  client_auth_type: {kind}\n  client_ca_file: authority.pem\n"));
    let file = load(&directory.write("web.yml", &asking("RequireAndVerifyClientCert"))).unwrap();
    for less in [tls(""), asking("VerifyClientCertIfGiven")] {
        directory.write("web.yml", &less);
        let error = file.reload().unwrap_err().to_string();
        assert!(error.contains("RequireAndVerifyClientCert is gone") && file.is_guarded(), "{error}");
    }
    directory.write("web.yml", &format!("{}rate_limit:\n", asking("RequireAndVerifyClientCert")));
    file.reload().unwrap();
}

#[tokio::test]
async fn users_come_and_go_without_a_restart_and_tls_does_not() {
    let Some(directory) = certified("web-users") else { return };
    let with_user = |user: &str| format!("{}basic_auth_users: {{ {user}: '{HASH}' }}\n", tls(""));
    let server = Server::start(directory, &with_user("scraper")).await;
    let status = |user: &str| {
        server.curl("/-/healthy", &["--user", &format!("{user}:correct horse")]).map(|curled| curled.status())
    };
    if status("scraper").is_none() {
        return;
    }
    assert_eq!((status("scraper"), status("other")), (Some(200), Some(401)));
    server.directory.write("web.yml", &with_user("other"));
    eventually("the other user", || async { (status("other") == Some(200)).then_some(()) }).await;
    assert_eq!(status("scraper"), Some(401));
    // A file that was cut off opens nothing.
    for (cut, part) in
        [(String::new(), "TLS is switched on and off by a restart alone"), (tls(""), "basic_auth_users is gone")]
    {
        server.directory.write("web.yml", &cut);
        eventually(part, || async { server.process.output().contains(part).then_some(()) }).await;
        assert_eq!((status("other"), status("scraper")), (Some(200), Some(401)));
    }
}
