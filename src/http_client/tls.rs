//! TLS of the client: whom it trusts and who it says it is. The provider is named, because a process-wide default would
//! be a global.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::error::innermost;

/// The files TLS is to work with, all PEM, and whom to expect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authorities to trust in the place of the system's.
    pub authority: Option<PathBuf>,
    /// Our certificate, with its chain, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate must carry in the place of the address's.
    pub server_name: Option<ServerName<'static>>,
}

impl TlsFiles {
    /// Whether there is nothing out of the ordinary.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.authority.is_none() && self.identity.is_none() && self.server_name.is_none()
    }
}

/// Why there can be no TLS. No text holds anything of a key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file holds no certificate.
    #[error("{file}: {cause}; name a file with certificates in PEM")]
    Certificate {
        /// The file.
        file: String,
        /// The cause.
        cause: String,
    },
    /// A file holds no key.
    #[error("{file}: {cause}; name a file with a private key in PEM, without a password")]
    Key {
        /// The file.
        file: String,
        /// The cause.
        cause: String,
    },
    /// The certificate is not the key's.
    #[error("{file} and {key} do not make an identity: {cause}; name a certificate and the key it was made for")]
    Identity {
        /// The certificate's file.
        file: String,
        /// The key's file.
        key: String,
        /// The cause.
        cause: String,
    },
    /// The system's authorities could not be read.
    #[error("no root certificate can be read: {0}; install those of the system, or name an authority's file")]
    Roots(String),
}

impl TlsError {
    /// The cause alone.
    pub(super) fn cause(self) -> String {
        match self {
            Self::Certificate { cause, .. } | Self::Key { cause, .. } | Self::Identity { cause, .. } => cause,
            Self::Roots(cause) => cause,
        }
    }
}

/// What `files` make of TLS. Reads them, once: a changed file needs a restart.
pub(super) fn config(files: &TlsFiles) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| TlsError::Roots(innermost(&error)))?;
    let builder = match &files.authority {
        Some(file) => builder.with_root_certificates(authorities(file)?),
        None => builder.with_native_roots().map_err(|error| TlsError::Roots(innermost(&error)))?,
    };
    let Some((file, key)) = &files.identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(file)?;
    let secret = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| TlsError::Key { file: key.display().to_string(), cause: innermost(&error) })?;
    builder.with_client_auth_cert(chain, secret).map_err(|error| TlsError::Identity {
        file: file.display().to_string(),
        key: key.display().to_string(),
        cause: innermost(&error),
    })
}

fn authorities(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| refused(file, innermost(&error)))?;
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| refused(file, innermost(&error)))?;
    if found.is_empty() {
        return Err(refused(file, "it holds none".to_owned()));
    }
    Ok(found)
}

fn refused(file: &Path, cause: String) -> TlsError {
    TlsError::Certificate { file: file.display().to_string(), cause }
}
