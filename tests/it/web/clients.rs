//! Who gets in: passwords, keys and certificates, judged by curl and by a Prometheus that scrapes over TLS.

use super::{Curled, HASH, Server, USER, certified, tls};
use crate::support::bridge::{KEY, command};
use crate::support::certificates::{By, CLIENT, issue};
use crate::support::peers::{peer, program};
use crate::support::prometheus::Prometheus;
use crate::support::{Directory, eventually};

const WITH_CLIENT: [&str; 4] = ["--cert", "client.pem", "--key", "client.key"];

/// A server's certificates, and clients': `client`, `named` with a name of each kind, and `stranger`, whom nobody knows.
fn with_clients(name: &str) -> Option<Directory> {
    let directory = certified(name)?;
    let path = directory.path();
    issue(path, "client", By::Another("authority"), CLIENT)?;
    let names = "subjectAltName = DNS:scraper.example, email:ops@shop.example, URI:spiffe://shop/scraper, IP:10.1.2.3, IP:2001:db8::7";
    issue(path, "named", By::Another("authority"), &[CLIENT, &[names]].concat())?;
    issue(path, "stranger", By::Itself, &["basicConstraints = critical, CA:TRUE", "extendedKeyUsage = clientAuth"])?;
    Some(directory)
}

fn presenting<'a>(name: &'a str, certificate: &'a str, key: &'a str) -> Vec<&'a str> {
    if name == "nobody" { Vec::new() } else { vec!["--cert", certificate, "--key", key] }
}

#[tokio::test]
async fn each_kind_of_client_authentication_lets_in_whom_go_lets_in() {
    // Let in: nobody's certificate, a stranger's, one of the authority.
    for (kind, expected) in [
        ("NoClientCert", [true, true, true]),
        ("RequestClientCert", [true, true, true]),
        ("RequireAnyClientCert", [false, true, true]),
        ("RequireClientCert", [false, true, true]),
        ("VerifyClientCertIfGiven", [true, false, true]),
        ("RequireAndVerifyClientCert", [false, false, true]),
    ] {
        let Some(directory) = with_clients("web-clients") else { return };
        let authority = if kind == "NoClientCert" { "" } else { "  client_ca_file: authority.pem\n" };
        let web = tls(&format!("  client_auth_type: {kind}\n{authority}"));
        let server = Server::start(directory, &web).await;
        for version in ["--tlsv1.3", "--tls-max=1.2"] {
            for (name, is_let_in) in ["nobody", "stranger", "client"].into_iter().zip(expected) {
                let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
                let version = if version == "--tls-max=1.2" { ["--tls-max", "1.2"] } else { [version, "--ipv4"] };
                let arguments = [&version[..], &presenting(name, &certificate, &key)].concat();
                let Some(curled) = server.curl("/-/healthy", &arguments) else { return };
                let status = if is_let_in { 200 } else { 0 };
                assert_eq!(curled.status(), status, "{kind}, {name}, {version:?}: {}", curled.text);
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_itself_the_authority_is_taken() {
    let Some(directory) = with_clients("web-trusted") else { return };
    let web = tls("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: stranger.pem\n");
    let server = Server::start(directory, &web).await;
    let Some(curled) = server.curl("/-/healthy", &["--cert", "stranger.pem", "--key", "stranger.key"]) else { return };
    assert_eq!(curled.status(), 200, "{}", curled.text);
    let other = server.curl("/-/healthy", &WITH_CLIENT).unwrap();
    assert_eq!(other.status(), 0, "{}", other.text);
}

#[tokio::test]
async fn names_of_every_kind_can_be_allowed_and_no_others_get_in() {
    for (allowed, is_let_in) in [
        ("scraper.example", true),
        ("ops@shop.example", true),
        ("spiffe://shop/scraper", true),
        ("10.1.2.3", true),
        ("2001:db8:0::7", true),
        ("example", false),
        ("named", false),
        ("10.1.2.4", false),
    ] {
        let Some(directory) = with_clients("web-names") else { return };
        let sans = format!(
            "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: authority.pem\n  client_allowed_sans: [ other, '{allowed}' ]\n"
        );
        let server = Server::start(directory, &tls(&sans)).await;
        let Some(curled) = server.curl("/-/healthy", &["--cert", "named.pem", "--key", "named.key"]) else { return };
        assert_eq!(curled.status(), if is_let_in { 200 } else { 0 }, "{allowed}: {}", curled.text);
        assert!(is_let_in || curled.text.contains("bad certificate"), "{}", curled.text);
        let nameless = server.curl("/-/healthy", &WITH_CLIENT).unwrap();
        assert_eq!(nameless.status(), 0, "{allowed}: {}", nameless.text);
    }
}

#[tokio::test]
async fn only_the_suites_the_curves_and_the_versions_that_are_named_serve() {
    let Some(directory) = certified("web-suites") else { return };
    let named = "  cipher_suites: [ TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 ]\n  \
                 prefer_server_cipher_suites: false\n  max_version: TLS12\n  curve_preferences: [ CurveP384 ]\n";
    let server = Server::start(directory, &tls(named)).await;
    for (arguments, status) in [
        (["--ciphers", "ECDHE-RSA-AES128-GCM-SHA256"], 200),
        (["--ciphers", "ECDHE-RSA-AES256-GCM-SHA384"], 200),
        (["--ciphers", "ECDHE-RSA-CHACHA20-POLY1305"], 0),
        (["--ciphers", "ECDHE-RSA-AES256-SHA"], 0),
        (["--curves", "P-384"], 200),
        (["--curves", "X25519:P-256"], 0),
        (["--tls-max", "1.2"], 200),
        (["--tls-max", "1.1"], 0),
        (["--ipv4", "--tlsv1.3"], 0),
    ] {
        let Some(curled) = server.curl("/-/healthy", &arguments) else { return };
        assert_eq!(curled.status(), status, "{arguments:?}: {}", curled.text);
    }
}

#[tokio::test]
async fn a_password_guards_everything_and_a_key_opens_the_json_alone() {
    let Some(directory) = certified("web-passwords") else { return };
    let headers = "http_server_config: { headers: { X-Frame-Options: deny, X-XSS-Protection: 1 } }\n";
    let web = format!("{}basic_auth_users: {{ scraper: '{HASH}' }}\n{headers}", tls(""));
    let server = Server::start(directory, &web).await;
    let curl = |path: &str, arguments: &[&str]| server.curl(path, arguments);
    if curl("/", &[]).is_none() {
        return;
    }
    let curl = |path: &str, arguments: &[&str]| -> Curled { curl(path, arguments).unwrap() };
    for path in ["/metrics", "/", "/-/healthy", "/-/ready", "/api/v1/ping", "/api/v1/telemetry", "/nowhere"] {
        // An address may guess ten times a second.
        let wrong: &[&[&str]] = match path {
            "/metrics" => &[&["--user", "scraper:wrong"], &["--user", "stranger:correct horse"], &["--user", "x"]],
            _ => &[&["--user", "scraper:wrong"]],
        };
        for arguments in [&[&[][..]], wrong].concat() {
            let answer = curl(path, arguments);
            assert_eq!(answer.status(), 401, "{path} {arguments:?}: {}", answer.text);
            let text = answer.text.to_lowercase();
            assert!(text.contains("www-authenticate: basic") && text.contains("x-frame-options: deny"), "{text}");
        }
        let key =
            [&format!("Authorization: {KEY}"), &format!("X-API-Key: {KEY}")].map(String::as_str).map(str::to_owned);
        for key in key {
            let answer = curl(path, &["--header", &key]);
            // Nothing is read here, so the JSON says that it is not there.
            let expected = if path == "/api/v1/telemetry" { 503 } else { 401 };
            assert_eq!(answer.status(), expected, "{path}: {}", answer.text);
        }
    }
    for (path, status) in [("/metrics", 200), ("/-/healthy", 200), ("/nowhere", 404), ("/api/v1/telemetry", 401)] {
        let answer = curl(path, &["--user", USER]);
        assert_eq!(answer.status(), status, "{path}: {}", answer.text);
        assert!(answer.text.to_lowercase().contains("x-xss-protection: 1"), "{}", answer.text);
    }
    let both = curl("/api/v1/telemetry", &["--user", USER, "--header", &format!("X-API-Key: {KEY}")]);
    assert_eq!(both.status(), 503, "{}", both.text);
    let documented = curl("/api/v1/telemetry", &["--header", "Authorization: wrong"]);
    assert!(documented.text.contains(r#"{"code":401,"error":"Unauthorized","details":"Valid API key required"}"#));
}

#[tokio::test]
async fn a_request_too_many_is_answered_with_429() {
    let directory = Directory::new("web-rate");
    let server = Server::start(directory, "rate_limit: { interval: 1h, burst: 3 }\n").await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let answer = crate::support::http::get(&format!("http://{}/metrics", server.address), &[]).await.unwrap();
        statuses.push(answer.status.as_u16());
        assert!(answer.status != 429 || answer.headers.contains_key("retry-after"));
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
}

#[tokio::test]
async fn a_prometheus_scrapes_with_tls_a_password_and_a_clients_certificate() {
    let Some(prometheus) = peer("prometheus") else { return };
    let Some(directory) = with_clients("web-prometheus") else { return };
    let more = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: authority.pem\n  \
                client_allowed_sans: [ 'spiffe://shop/scraper' ]\n";
    let server = Server::start(directory, &format!("{}basic_auth_users: {{ scraper: '{HASH}' }}\n", tls(more))).await;
    let file = |name: &str| server.directory.path().join(name).display().to_string();
    let options = format!(
        "    scheme: https\n    basic_auth: {{ username: scraper, password: correct horse }}\n    \
         tls_config: {{ ca_file: '{}', cert_file: '{}', key_file: '{}' }}\n",
        file("authority.pem"),
        file("named.pem"),
        file("named.key")
    );
    let prometheus = Prometheus::start(&prometheus, &Prometheus::scraping(&server.address, &options), &[]).await;
    let up = || async { (prometheus.target().await.0 == "up").then_some(()) };
    eventually("a scrape over TLS", up).await;
    let left = prometheus.value("linkit_bridge_web_certificate_expiry_timestamp_seconds - time()").await;
    assert!((0.0..86_400.0).contains(&left), "{left}");
    assert_eq!(prometheus.value("linkit_bridge_web_config_last_reload_successful").await.to_bits(), 1.0_f64.to_bits());
}

#[tokio::test]
async fn a_probe_shows_a_password_and_a_clients_certificate() {
    let Some(directory) = with_clients("web-probe") else { return };
    // A certificate of the name alone, as one made for a service of a cluster.
    let of_name = ["basicConstraints = critical, CA:FALSE", "subjectAltName = DNS:bridge.shop.svc"];
    if issue(directory.path(), "cluster", By::Another("authority"), &of_name).is_none() {
        return;
    }
    directory.write("user", USER);
    directory.write("stranger.user", "scraper:wrong");
    directory.write("nobody.user", "scraper");
    let web = format!(
        "tls_server_config: {{ cert_file: cluster.pem, key_file: cluster.key, client_ca_file: authority.pem,\n  \
         client_auth_type: RequireAndVerifyClientCert }}\nbasic_auth_users: {{ scraper: '{HASH}' }}\n"
    );
    let server = Server::start(directory, &web).await;
    let url = format!("https://{}/-/healthy", server.address);
    let probe = |arguments: &[&str]| {
        let mut command = command();
        command.current_dir(server.directory.path()).args(["probe", &url, "--ca-file", "authority.pem"]);
        let output = command.args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let named = ["--server-name", "bridge.shop.svc"];
    let certified = ["--cert-file", "client.pem", "--key-file", "client.key"];
    let user = ["--user-file", "user"];
    assert_eq!(probe(&[&named[..], &certified, &user].concat()), (Some(0), String::new()));
    for (arguments, part) in [
        ([&named[..], &certified, &["--user-file", "stranger.user"]].concat(), "not ready: 401"),
        ([&named[..], &certified].concat(), "not ready: 401"),
        ([&named[..], &user].concat(), "CertificateRequired"),
        ([&certified[..], &user].concat(), "certificate"),
        ([&named[..], &certified, &["--user-file", "nobody.user"]].concat(), "NAME:PASSWORD"),
    ] {
        let (code, said) = probe(&arguments);
        assert!(code == Some(1) && said.contains(part) && said.lines().count() == 1, "{arguments:?}: {said}");
        assert!(!said.contains("horse") && !said.contains("wrong"), "{said}");
    }
    assert_eq!(probe(&["--cert-file", "client.pem"]).0, Some(2));
}

#[tokio::test]
async fn the_file_is_one_that_promtool_takes_too() {
    let Some(promtool) = peer("promtool") else { return };
    let Some(directory) = certified("web-promtool") else { return };
    let Some(_) = program("openssl") else { return };
    let web =
        format!("{}basic_auth_users: {{ scraper: '{HASH}' }}\nrate_limit: {{ interval: 1s, burst: 5 }}\n", tls(""));
    let web = directory.write("web.yml", &web);
    let checked = std::process::Command::new(promtool).args(["check", "web-config"]).arg(&web).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    super::load(&web).unwrap();
}
