//! Where keys come from, what is wrong with that, and how they are exchanged; the clock is injected, the files are real.

use http::HeaderMap;

use super::*;
use crate::clock::{ManualClock, Wall};
use crate::config::Config;

/// A directory of files that goes with the value.
struct Files(PathBuf);

impl Files {
    fn new() -> Self {
        let unique = format!("linkit-bridge-keys-{}-{:x}", std::process::id(), fastrand::u64(..));
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn read_with(web: &str, credentials: Option<&Path>) -> Result<KeySources, String> {
    let config = Config::parse("c", &format!("web: {{ {web} }}\n"), &|_| None).unwrap();
    KeySources::read(&config.web, credentials).map_err(|error| error.to_string())
}

fn read(web: &str) -> Result<KeySources, String> {
    read_with(web, None)
}

fn hex(key: &str) -> String {
    key::hex(&key::digest(key.as_bytes()))
}

fn of(name: &str, key: &str) -> ApiKey {
    ApiKey::from_secret(name, &SecretString::from(key))
}

#[test]
fn every_place_for_a_key_gives_the_same_key() {
    let files = Files::new();
    let key_file = files.write("key", "k-1\n");
    let digest_file = files.write("digest", &format!("sha256:{}\n", hex("k-1")));
    let list = files.write("list", &format!("# list\na:sha256:{}\n", hex("k-1")));
    for web in [
        "api_keys: [ { name: a, key: k-1 } ]".to_owned(),
        format!("api_keys: [ {{ name: a, key_file: {key_file} }} ]"),
        format!("api_keys: [ {{ name: a, sha256: {} }} ]", hex("k-1")),
        format!("api_keys: [ {{ name: a, sha256_file: {digest_file} }} ]"),
        "api_keys: [ { name: a, credential: key } ]".to_owned(),
        format!("api_keys_file: {list}"),
    ] {
        assert_eq!(read_with(&web, Some(&files.0)).unwrap().keys(), [of("a", "k-1")], "{web}");
    }
    let options = "api_keys: [ { name: a, key: k-1, expires: 2027-01-31, scopes: [metrics] } ]";
    let expected = of("a", "k-1").with_scopes(&[crate::server::Scope::Metrics]);
    let expected = expected.expiring(Wall::parse_rfc3339("2027-01-31T00:00:00Z"));
    assert_eq!(read(options).unwrap().keys(), [expected]);
}

#[test]
fn what_is_no_key_is_refused_by_name_and_never_quoted() {
    let files = Files::new();
    let two = files.write("two", "hunter2\nhunter2\n");
    let empty = files.write("empty", "\n");
    let list = files.write("list", &format!("a:sha256:{}\n", hex("hunter2")));
    for (web, part) in [
        ("api_keys: [ { name: a } ]".to_owned(), "key \"a\": nothing is set; give key, key_file"),
        ("api_keys: [ { name: a, key: hunter2, credential: c } ]".to_owned(), "key and credential are both set"),
        (format!("api_keys: [ {{ name: a, key: hunter2, sha256: {} }} ]", hex("x")), "key and sha256 are both set"),
        (
            format!("api_keys: [ {{ name: a, sha256: {}, sha256_file: f }} ]", hex("x")),
            "sha256 and sha256_file are both",
        ),
        (format!("api_keys: [ {{ name: a, key_file: {two} }} ]"), "the key holds more than one line"),
        (format!("api_keys: [ {{ name: a, key_file: {empty} }} ]"), "the file is empty"),
        (format!("api_keys: [ {{ name: a, sha256_file: {two} }} ]"), "64 hexadecimal digits"),
        ("api_keys: [ { name: a, credential: absent } ]".to_owned(), "absent"),
        ("api_keys: [ { name: a, credential: ../two } ]".to_owned(), "not a path"),
        (format!("api_keys_file: {two}"), "two: line 1: it must begin with NAME:sha256:HEX"),
        (format!("api_keys_file: {empty}"), "the file is empty"),
        ("api_keys_file: /nowhere/keys".to_owned(), "web.api_keys_file /nowhere/keys: "),
        (format!("api_keys: [ {{ name: a, key: k }} ], api_keys_file: {list}"), "\"a\" stands in web.api_keys too"),
    ] {
        let error = read_with(&web, Some(&files.0)).err().unwrap();
        assert!(error.contains(part) && !error.contains("hunter2") && !error.contains('\n'), "{web}: {error}");
    }
    let error = read("api_keys: [ { name: a, credential: key } ]").err().unwrap();
    assert!(error.contains("there is no CREDENTIALS_DIRECTORY; set LoadCredential="), "{error}");
}

/// A running bridge's keys, and a look at which are taken.
struct Running {
    files: KeyFiles,
    server: crate::server::Server,
}

impl Running {
    fn new(sources: KeySources) -> Self {
        use crate::registry::Registry;
        let clock = Arc::new(ManualClock::at(Wall::from_secs(1_705_314_600)));
        let registry = Arc::new(Registry::new(clock.clone(), crate::reading::Ages::default(), &[]));
        let config = crate::server::ServerConfig { keys: sources.keys(), ..crate::server::ServerConfig::default() };
        let info =
            crate::server::ServerInfo { service: String::new(), environment: String::new(), clock: clock.clone() };
        let server = crate::server::Server::new(config, registry, prometheus::Registry::new(), info).unwrap();
        Self { files: KeyFiles::new(server.keys(), sources, clock), server }
    }

    async fn takes(&self, key: &str) -> bool {
        use tower::ServiceExt as _;
        let mut request = http::Request::get("/api/v1/telemetry").body(axum::body::Body::empty()).unwrap();
        *request.headers_mut() = HeaderMap::from_iter([(http::header::AUTHORIZATION, key.parse().unwrap())]);
        let answer = self.server.router().oneshot(request).await.unwrap();
        // Nothing was read, so that who is let in is told so.
        assert!(answer.status() == 401 || answer.status() == 503, "{}", answer.status());
        answer.status() == 503
    }

    fn problems(&self) -> Vec<bool> {
        self.files.sources().1.0.iter().map(|source| source.problem.is_some()).collect()
    }
}

#[tokio::test]
async fn files_are_read_anew_each_by_itself_and_a_broken_one_keeps_what_it_had() {
    let files = Files::new();
    let ops = files.write("ops", "ops-1");
    let list = files.write("list", &format!("ci:sha256:{}\n", hex("ci-1")));
    let web = format!("api_keys: [ {{ name: ops, key_file: {ops} }} ], api_keys_file: {list}");
    let running = Running::new(read(&web).unwrap());
    assert!(running.takes("ops-1").await && running.takes("ci-1").await);
    // Overlap: the old and the new one together.
    files.write("list", &format!("ci:sha256:{}\nci-next:sha256:{}\n", hex("ci-1"), hex("ci-2")));
    running.files.read_again();
    assert!(running.takes("ci-1").await && running.takes("ci-2").await);
    for broken in ["", "nonsense\n", "# none\n", &format!("ops:sha256:{}\n", hex("x"))] {
        files.write("list", broken);
        files.write("ops", "ops-2");
        running.files.read_again();
        assert_eq!(running.problems(), [false, true], "{broken}");
        assert!(running.takes("ci-1").await && running.takes("ci-2").await, "{broken}");
        assert!(running.takes("ops-2").await && !running.takes("ops-1").await, "{broken}");
    }
    std::fs::remove_file(&ops).unwrap();
    files.write("list", &format!("ci:sha256:{}\n", hex("ci-2")));
    running.files.read_again();
    assert_eq!(running.problems(), [true, false]);
    assert!(running.takes("ops-2").await && running.takes("ci-2").await && !running.takes("ci-1").await);
}

#[tokio::test]
async fn a_link_that_is_exchanged_as_kubernetes_does_is_seen() {
    let files = Files::new();
    for (version, key) in [("v1", "one"), ("v2", "two")] {
        std::fs::create_dir(files.0.join(version)).unwrap();
        files.write(&format!("{version}/key"), key);
    }
    let link = |version: &str| {
        std::os::unix::fs::symlink(version, files.0.join("..new")).unwrap();
        std::fs::rename(files.0.join("..new"), files.0.join("..data")).unwrap();
    };
    link("v1");
    let path = files.0.join("..data/key");
    let running = Running::new(read(&format!("api_keys: [ {{ name: a, key_file: {} }} ]", path.display())).unwrap());
    assert!(running.takes("one").await);
    link("v2");
    running.files.read_again();
    assert!(running.takes("two").await && !running.takes("one").await);
}

#[tokio::test]
async fn a_reload_takes_other_keys_or_none_of_them() {
    let files = Files::new();
    let path = files.write("key", "file-1");
    let running = Running::new(read(&format!("api_keys: [ {{ name: a, key_file: {path} }} ]")).unwrap());
    let reload = |web: &str| {
        let config = Config::parse("c", &format!("web: {{ {web} }}\n"), &|_| None).unwrap();
        KeySources::read(&config.web, None).map(|read| running.files.turn_to(read))
    };
    assert!(reload("api_keys: [ { name: b, key: new }, { name: c, key_file: /nowhere } ]").is_err());
    assert!(running.takes("file-1").await && !running.takes("new").await);
    reload("api_keys: [ { name: b, key: new } ]").unwrap();
    files.write("key", "file-2");
    running.files.read_again();
    assert!(running.takes("new").await && !running.takes("file-1").await && !running.takes("file-2").await);
}
