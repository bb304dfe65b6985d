//! The exporter-toolkit's web configuration file, from outside: the toolkit's own cases, and real clients.

mod cases;
mod clients;
mod http2;
mod passwords;
mod reload;
mod secrets;

use std::path::Path;
use std::process::{Command, Output};

use linkit_bridge::server::WebConfigFile;

use crate::support::Directory;
use crate::support::bridge::{KEY, command};
use crate::support::certificates::{AUTHORITY, By, SERVER, issue};
use crate::support::peers::program;
use crate::support::process::Process;

/// bcrypt of `correct horse`, at the least cost there is.
pub const HASH: &str = "$2b$04$fKdYiTD3pJ9YcFLmvrSmnO64L5ay0wUpVLSGxHr7mpwS3sS.60lW2";
pub const USER: &str = "scraper:correct horse";

/// A directory with an authority, `authority.pem`, and a server's certificate by it, `server.crt` and `server.key`, as
/// the toolkit calls them; `None` when there is no openssl.
pub fn certified(name: &str) -> Option<Directory> {
    let directory = Directory::new(name);
    issue(directory.path(), "authority", By::Itself, AUTHORITY)?;
    let certificate = issue(directory.path(), "server", By::Another("authority"), SERVER)?;
    std::fs::rename(certificate, directory.path().join("server.crt")).unwrap();
    Some(directory)
}

/// The keys that serve TLS with the certificate of [`certified`], with more under `tls_server_config`.
pub fn tls(more: &str) -> String {
    format!("tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n{more}")
}

/// The bridge with a web configuration.
pub struct Server {
    pub process: Process,
    pub address: String,
    pub directory: Directory,
}

impl Server {
    /// Starts it in a directory with the text of the web configuration.
    pub async fn start(directory: Directory, web: &str) -> Self {
        let web = directory.write("web.yml", web);
        let config = format!("web: {{ listen: ['127.0.0.1:0'], api_keys: [ {{ name: test, key: {KEY} }} ] }}\n");
        let config = directory.write("bridge.yml", &config);
        let mut bridge = command();
        bridge.arg("--config.file").arg(config).arg("--web.config.file").arg(web).arg("--log.level=debug");
        let mut process = Process::start("the bridge", &mut bridge);
        let line = process.line("msg=listening").await;
        let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
        Self { address: address.trim_matches('"').to_owned(), process, directory }
    }

    /// curl of a path over TLS, trusting the authority, with further arguments; `None` when there is no curl.
    pub fn curl(&self, path: &str, arguments: &[&str]) -> Option<Curled> {
        let authority = self.directory.path().join("authority.pem");
        let mut curl = Command::new(program("curl")?);
        curl.args(["--silent", "--show-error", "--include", "--max-time", "20", "--cacert"]).arg(authority);
        curl.current_dir(self.directory.path()).args(arguments).arg(format!("https://{}{path}", self.address));
        Some(Curled::of(&curl.output().unwrap()))
    }
}

/// What curl got.
pub struct Curled {
    pub is_answered: bool,
    /// The head and the body, or what went wrong.
    pub text: String,
}

impl Curled {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let is_answered = output.status.success();
        Self { is_answered, text: text(if is_answered { &output.stdout } else { &output.stderr }) }
    }

    /// The status; 0 without an answer.
    pub fn status(&self) -> u16 {
        let status = self.text.split(' ').nth(1).filter(|_| self.is_answered);
        status.and_then(|status| status.trim().parse().ok()).unwrap_or(0)
    }
}

/// What loading a file says.
pub fn load(path: &Path) -> Result<WebConfigFile, String> {
    let clock = std::sync::Arc::new(linkit_bridge::clock::SystemClock::new());
    WebConfigFile::load(path, clock).map_err(|error| error.to_string())
}
