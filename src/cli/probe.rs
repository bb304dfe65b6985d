//! `linkit-bridge probe`: asks a running bridge whether it is ready, for images that have no shell to ask with.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Args;
use http::Request;

use crate::http_client::{HttpClient, Limits, TlsFiles, Version};

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
}

/// Asks once.
///
/// # Errors
/// If nothing answers, or anything but 200.
pub(super) async fn probe(args: ProbeArgs) -> anyhow::Result<()> {
    let files = TlsFiles { authority: args.ca_file, identity: None };
    let client = HttpClient::with(Version::Http1, &files)?;
    let request =
        Request::get(&args.url).body(Bytes::new()).with_context(|| format!("{:?} is no address", args.url))?;
    let answer = client.send(request, &LIMITS).await?;
    let said = String::from_utf8_lossy(answer.body());
    ensure!(answer.status().is_success(), "not ready: {} {}", answer.status().as_u16(), said.trim().escape_debug());
    Ok(())
}
