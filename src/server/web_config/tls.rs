//! TLS of the server: what the keys of `tls_server_config` and the files they name make of rustls.
//!
//! The certificate is loaded whole and compared with its key before anything is swapped. The provider is named, because a
//! process-wide default would be a global.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, SupportedCipherSuite};
use secrecy::ExposeSecret;

use super::certificate;
use super::clients::{Authorities, ClientAuth, Clients};
use super::files::Files;
use super::names::Version;
use super::settings::{TlsSettings, filled};

/// TLS, ready for handshakes.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) config: Arc<ServerConfig>,
    /// When the first of the chain's certificates expires, in seconds since the Unix epoch.
    pub(super) expires: u64,
    /// Whether nobody is let in without a certificate that somebody vouches for.
    pub(super) asks_certificates: bool,
    /// Whether whom any authority of the system vouches for is let in.
    pub(super) trusts_all: bool,
}

impl TlsSettings {
    /// Whether there is TLS: one of the keys that the toolkit asks is set.
    pub(super) fn is_on(&self) -> bool {
        let texts = [
            &self.cert,
            &self.cert_file,
            &self.key_file,
            &self.client_ca,
            &self.client_ca_file,
            &self.client_auth_type,
        ];
        let has_key = self.key.as_ref().is_some_and(|key| !key.expose_secret().is_empty());
        has_key || texts.into_iter().any(|text| filled(text.as_ref()).is_some())
    }

    /// What can be said without the files.
    pub(super) fn check(&self, is_http2: bool) -> Result<(), String> {
        if !self.is_on() {
            return Ok(());
        }
        if filled(self.cert.as_ref()).or(filled(self.cert_file.as_ref())).is_none() {
            return Err("tls_server_config lacks cert or cert_file; name the server's certificate".to_owned());
        }
        let has_key = self.key.as_ref().is_some_and(|key| !key.expose_secret().is_empty());
        if !has_key && filled(self.key_file.as_ref()).is_none() {
            return Err("tls_server_config lacks key or key_file; name the certificate's key".to_owned());
        }
        let kind = self.client_auth()?;
        if kind == ClientAuth::None && self.client_allowed_sans.is_some() {
            return Err(
                "client_allowed_sans has no effect without client_auth_type; set RequireAndVerifyClientCert".to_owned()
            );
        }
        if self.versions().is_empty() {
            return Err("min_version is above max_version; no version of TLS is left".to_owned());
        }
        let suites = self.cipher_suites.as_deref().unwrap_or_default();
        if is_http2
            && !suites.is_empty()
            && self.min_version() == Version::Tls12
            && !suites.iter().any(|suite| suite.is_http2s())
        {
            let needed = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
            return Err(format!("cipher_suites lacks what HTTP/2 needs; add {needed}, or set http2: false"));
        }
        Ok(())
    }

    pub(super) fn client_auth(&self) -> Result<ClientAuth, String> {
        filled(self.client_auth_type.as_ref()).map_or(Ok(ClientAuth::None), ClientAuth::of)
    }

    fn min_version(&self) -> Version {
        self.min_version.unwrap_or(Version::Tls12)
    }

    fn versions(&self) -> Vec<Version> {
        let range = self.min_version()..=self.max_version.unwrap_or(Version::Tls13);
        Version::ALL.into_iter().filter(|version| range.contains(version)).collect()
    }

    /// What rustls is to work with. As in Go, the suites of TLS 1.3 are no matter of choice, and the client's order counts.
    fn provider(&self) -> CryptoProvider {
        let mut provider = rustls::crypto::ring::default_provider();
        if let Some(suites) = self.cipher_suites.as_ref().filter(|suites| !suites.is_empty()) {
            provider.cipher_suites.retain(|has| {
                matches!(has, SupportedCipherSuite::Tls13(_)) || suites.iter().any(|suite| suite.0 == has.suite())
            });
        }
        if let Some(curves) = self.curve_preferences.as_ref().filter(|curves| !curves.is_empty()) {
            provider.kx_groups = curves.iter().map(|curve| curve.0).collect();
        }
        provider
    }
}

/// Makes TLS of settings that were checked, and of the files they name.
pub(super) fn build(settings: &TlsSettings, is_http2: bool, files: &mut Files) -> Result<Tls, String> {
    let provider = Arc::new(settings.provider());
    let (chain, certificate) = chain(settings, files)?;
    let mut expires = i64::MAX;
    for part in &chain {
        let facts = certificate::read(part).ok_or_else(|| format!("{certificate} holds what is no certificate"))?;
        expires = expires.min(facts.not_after);
    }
    let (key, name) = key(settings, files)?;
    let identity = CertifiedKey::from_der(chain, key, &provider).map_err(|error| {
        format!("{certificate} and {name} do not go together: {error}; name a certificate and its key")
    })?;
    let kind = settings.client_auth()?;
    let authorities = authorities(settings, kind, files)?;
    let trusts_all = kind.verifies() && matches!(authorities, Authorities::System);
    let versions: Vec<_> = settings.versions().into_iter().map(Version::supported).collect();
    let algorithms = provider.signature_verification_algorithms;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(|error| format!("no TLS can be made of cipher_suites, curve_preferences and the versions: {error}"))?;
    let builder = if kind == ClientAuth::None {
        builder.with_no_client_auth()
    } else {
        let clients = Clients::new(kind, authorities, settings.client_allowed_sans.clone(), algorithms)?;
        builder.with_client_cert_verifier(Arc::new(clients))
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    config.alpn_protocols =
        [is_http2.then_some("h2"), Some("http/1.1")].into_iter().flatten().map(Into::into).collect();
    let (config, expires) = (Arc::new(config), u64::try_from(expires).unwrap_or(0));
    Ok(Tls { config, expires, asks_certificates: kind == ClientAuth::RequireAndVerify, trusts_all })
}

/// The server's chain, and what it is called in errors. A file counts before a text, as in the toolkit.
fn chain(settings: &TlsSettings, files: &mut Files) -> Result<(Vec<CertificateDer<'static>>, String), String> {
    let (pem, name) = match filled(settings.cert_file.as_ref()) {
        Some(file) => files.named("cert_file", file)?,
        None => (settings.cert.clone().unwrap_or_default().into_bytes(), "cert".to_owned()),
    };
    Ok((certificates(&pem, &name)?, name))
}

fn key(settings: &TlsSettings, files: &mut Files) -> Result<(PrivateKeyDer<'static>, String), String> {
    let (pem, name) = match (filled(settings.key_file.as_ref()), &settings.key) {
        (Some(file), _) => files.named("key_file", file)?,
        (None, Some(key)) => (key.expose_secret().as_bytes().to_vec(), "key".to_owned()),
        (None, None) => (Vec::new(), "key".to_owned()),
    };
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|error| format!("{name} holds no private key in PEM without a password: {error}"))?;
    Ok((key, name))
}

fn authorities(settings: &TlsSettings, kind: ClientAuth, files: &mut Files) -> Result<Authorities, String> {
    let (pem, name) = match (filled(settings.client_ca_file.as_ref()), filled(settings.client_ca.as_ref())) {
        (Some(file), _) => files.named("client_ca_file", file)?,
        (None, Some(text)) => (text.as_bytes().to_vec(), "client_ca".to_owned()),
        (None, None) => return Ok(Authorities::System),
    };
    if kind == ClientAuth::None {
        return Err(format!("{name} has no effect without client_auth_type; set RequireAndVerifyClientCert"));
    }
    certificates(&pem, &name).map(Authorities::Named)
}

fn certificates(pem: &[u8], name: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = read.map_err(|error| format!("{name} is no PEM: {error}"))?;
    if found.is_empty() {
        return Err(format!("{name} holds no certificate in PEM"));
    }
    Ok(found)
}
