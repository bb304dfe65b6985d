//! `linkit-bridge probe`: asks a running bridge whether it is ready, for images that have no shell to ask with.
//!
//! Where the web configuration asks for a password or a certificate, it shows one: who probes from outside, as
//! Kubernetes does, has neither.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Args;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret as _;

use crate::http_client::{HttpClient, Limits, TlsFiles, Version};
use crate::secret;

/// A bridge that cannot say so within this time is not ready.
const LIMITS: Limits =
    Limits { connect: Duration::from_secs(2), total: Duration::from_secs(3), body_bytes_max: 64 * 1024 };

/// Arguments of `probe`.
#[derive(Debug, Args)]
pub(super) struct ProbeArgs {
    /// What to ask.
    #[arg(default_value = "http://127.0.0.1:9464/-/ready")]
    url: String,
    /// The authority (PEM) to trust at an https address in place of the system's.
    #[arg(long = "ca-file", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The name that the certificate must carry, where it is not the address's.
    #[arg(long = "server-name", value_name = "NAME", value_parser = server_name)]
    server_name: Option<ServerName<'static>>,
    /// The certificate (PEM) to show, where clients are asked for one.
    #[arg(long = "cert-file", value_name = "FILE", requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// The key (PEM) of the certificate.
    #[arg(long = "key-file", value_name = "FILE", requires = "cert_file")]
    key_file: Option<PathBuf>,
    /// A file with NAME:PASSWORD of one of the web configuration's users.
    #[arg(long = "user-file", value_name = "FILE")]
    user_file: Option<PathBuf>,
}

fn server_name(text: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(text.to_owned()).map_err(|_| "give a DNS name or an IP address, without a port".to_owned())
}

/// Asks once. Neither the config nor the environment is read: a bridge that runs must not seem dead by a variable.
pub(super) fn run(args: ProbeArgs) -> ExitCode {
    super::with_runtime(async {
        match probe(args).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => super::fail(super::EXIT_START, &problem),
        }
    })
}

/// Fails if nothing answers, or anything but 200.
async fn probe(args: ProbeArgs) -> anyhow::Result<()> {
    let ProbeArgs { url, ca_file, server_name, cert_file, key_file, user_file } = args;
    let files = TlsFiles { authority: ca_file, identity: cert_file.zip(key_file), server_name };
    let client = HttpClient::with(Version::Http1, &files)?;
    let mut request = Request::get(&url).body(Bytes::new()).with_context(|| format!("{url:?} is no address"))?;
    if let Some(file) = user_file {
        request.headers_mut().insert(AUTHORIZATION, credentials(&file)?);
    }
    let answer = client.send(request, &LIMITS).await?;
    let said = String::from_utf8_lossy(answer.body());
    ensure!(answer.status().is_success(), "not ready: {} {}", answer.status().as_u16(), said.trim().escape_debug());
    Ok(())
}

/// A user and the password as a header (RFC 7617, 2).
fn credentials(file: &Path) -> anyhow::Result<HeaderValue> {
    let user = secret::read("--user-file", file).map_err(|problem| anyhow!(problem))?;
    let user = user.expose_secret();
    ensure!(user.contains(':'), "--user-file {}: there is no NAME:PASSWORD in it; write one, alone", file.display());
    let mut header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(user)))?;
    header.set_sensitive(true);
    Ok(header)
}
