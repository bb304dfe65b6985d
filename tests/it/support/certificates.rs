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
