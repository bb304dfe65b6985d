//! A certificate authority of its own and the certificates of a server and a client by it, made by openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::database::run;
use super::peers::program;

const CONFIG: &str = "\
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
[client]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = clientAuth
";

pub struct Certificates {
    /// What a client is to trust.
    pub authority: PathBuf,
    /// The server's, for 127.0.0.1 and localhost.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// A client's.
    pub client_certificate: PathBuf,
    pub client_key: PathBuf,
}

impl Certificates {
    /// Makes them in a directory; `None` when there is no openssl.
    pub fn make(directory: &Path) -> Option<Self> {
        let openssl = program("openssl")?;
        let path = |name: &str| directory.join(name);
        let config = path("openssl.cnf");
        std::fs::write(&config, CONFIG).unwrap();
        let request = |section: &str, subject: &str| {
            let mut command = Command::new(&openssl);
            command.args(["req", "-x509", "-days", "2", "-nodes", "-newkey", "ec", "-pkeyopt"]);
            command.args(["ec_paramgen_curve:prime256v1", "-extensions", section, "-subj", subject]);
            command.arg("-config").arg(&config);
            command.arg("-keyout").arg(path(&format!("{section}.key")));
            command.arg("-out").arg(path(&format!("{section}.pem")));
            command
        };
        run(&mut request("authority", "/CN=the authority of the tests")).unwrap();
        for (section, subject) in [("server", "/CN=localhost"), ("client", "/CN=a client")] {
            let mut signed = request(section, subject);
            signed.arg("-CA").arg(path("authority.pem")).arg("-CAkey").arg(path("authority.key"));
            run(&mut signed).unwrap();
        }
        Some(Self {
            authority: path("authority.pem"),
            certificate: path("server.pem"),
            key: path("server.key"),
            client_certificate: path("client.pem"),
            client_key: path("client.key"),
        })
    }
}

/// Who vouches for a certificate.
#[derive(Clone, Copy)]
pub enum By<'a> {
    Itself,
    /// The one of that name in the same directory.
    Another(&'a str),
}

/// Makes a certificate `NAME.pem` of one day with its key `NAME.key` in a directory: of RSA, because Go's names of cipher
/// suites of old are of RSA most often, with the extensions that are named. `None` when there is no openssl.
pub fn issue(directory: &Path, name: &str, by: By<'_>, extensions: &[&str]) -> Option<PathBuf> {
    let openssl = program("openssl")?;
    let path = |end: &str| directory.join(format!("{name}.{end}"));
    let config = format!("[req]\ndistinguished_name = name\n[name]\n[ext]\n{}\n", extensions.join("\n"));
    std::fs::write(path("cnf"), config).unwrap();
    let mut command = Command::new(openssl);
    command.args(["req", "-x509", "-days", "1", "-nodes", "-newkey", "rsa:2048", "-extensions", "ext"]);
    command.args(["-subj", &format!("/CN={name}"), "-config"]).arg(path("cnf"));
    command.arg("-keyout").arg(path("key")).arg("-out").arg(path("pem"));
    if let By::Another(other) = by {
        command.arg("-CA").arg(directory.join(format!("{other}.pem")));
        command.arg("-CAkey").arg(directory.join(format!("{other}.key")));
    }
    run(&mut command).unwrap();
    Some(path("pem"))
}

/// Extensions of an authority's, a server's and a client's certificate.
pub const AUTHORITY: &[&str] = &["basicConstraints = critical, CA:TRUE", "keyUsage = critical, keyCertSign"];
pub const SERVER: &[&str] = &[
    "basicConstraints = critical, CA:FALSE",
    "extendedKeyUsage = serverAuth",
    "subjectAltName = DNS:localhost, IP:127.0.0.1",
];
pub const CLIENT: &[&str] = &["basicConstraints = critical, CA:FALSE", "extendedKeyUsage = clientAuth"];
