//! Which certificates of clients are taken: Go's five kinds of client authentication, and the list of allowed names.
//!
//! rustls has two of the kinds. The others take a certificate whose chain nobody vouches for, though its owner has to
//! prove that the key is theirs. As in Go, a certificate that is itself among the authorities is taken, which rustls'
//! verifier would refuse for being an authority's.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::certificate::{self, Facts};

/// What is asked of clients; the kinds of Go's `tls.ClientAuthType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAuth {
    None,
    Request,
    RequireAny,
    VerifyIfGiven,
    RequireAndVerify,
}

/// `RequireClientCert` is an old name of `RequireAnyClientCert`.
const KINDS: [(&str, ClientAuth); 6] = [
    ("NoClientCert", ClientAuth::None),
    ("RequestClientCert", ClientAuth::Request),
    ("RequireAnyClientCert", ClientAuth::RequireAny),
    ("RequireClientCert", ClientAuth::RequireAny),
    ("VerifyClientCertIfGiven", ClientAuth::VerifyIfGiven),
    ("RequireAndVerifyClientCert", ClientAuth::RequireAndVerify),
];

impl ClientAuth {
    /// The kind of that name.
    pub(super) fn of(name: &str) -> Result<Self, String> {
        let found = KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        found.ok_or_else(|| {
            let known: Vec<_> = KINDS.iter().map(|(known, _)| *known).collect();
            format!("there is no such client_auth_type; known are {}", known.join(", "))
        })
    }

    pub(super) fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }
}

/// Whom chains of clients must lead to.
#[derive(Debug)]
pub(super) enum Authorities {
    /// Those of a file or a text.
    Named(Vec<CertificateDer<'static>>),
    /// Those of the system, as in Go when none are named.
    System,
}

/// Judges the certificates of clients.
#[derive(Debug)]
pub(super) struct Clients {
    is_required: bool,
    is_verified: bool,
    /// Certificates that are taken as they are.
    trusted: Vec<CertificateDer<'static>>,
    /// Judges chains; `None` if no authority is known, and then no chain is good.
    chains: Option<Arc<dyn ClientCertVerifier>>,
    /// The names of which a certificate must have one, if they matter.
    allowed: Option<Vec<String>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Clients {
    pub(super) fn new(
        kind: ClientAuth,
        authorities: Authorities,
        allowed: Option<Vec<String>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, String> {
        let is_required = matches!(kind, ClientAuth::RequireAny | ClientAuth::RequireAndVerify);
        let mut judge = Self {
            // Without a certificate none of its names can be allowed.
            is_required: is_required || allowed.is_some(),
            is_verified: kind.verifies(),
            trusted: Vec::new(),
            chains: None,
            allowed,
            algorithms,
        };
        if !judge.is_verified {
            return Ok(judge);
        }
        let mut roots = RootCertStore::empty();
        let is_named = match authorities {
            Authorities::Named(certificates) => {
                for certificate in &certificates {
                    roots.add(certificate.clone()).map_err(|error| format!("an authority cannot be used: {error}"))?;
                }
                judge.trusted = certificates;
                true
            }
            Authorities::System => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                false
            }
        };
        if !roots.is_empty() {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let chains = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            // A list of all authorities of the world helps no client to choose.
            let chains = if is_named { chains } else { chains.clear_root_hint_subjects() };
            judge.chains = Some(chains.build().map_err(|error| error.to_string())?);
        }
        Ok(judge)
    }

    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        facts: &Facts,
        now: UnixTime,
    ) -> Result<(), Error> {
        if self.trusted.iter().any(|trusted| trusted == end_entity) {
            let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            return if now < facts.not_before {
                Err(CertificateError::NotValidYet.into())
            } else if now > facts.not_after {
                Err(CertificateError::Expired.into())
            } else if facts.is_clients {
                Ok(())
            } else {
                Err(CertificateError::InvalidPurpose.into())
            };
        }
        let chains = self.chains.as_ref().ok_or(CertificateError::UnknownIssuer)?;
        chains.verify_client_cert(end_entity, intermediates, now).map(drop)
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.as_ref().map_or(&[], |chains| chains.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let facts = certificate::read(end_entity).ok_or(CertificateError::BadEncoding)?;
        if self.is_verified {
            self.verify(end_entity, intermediates, &facts, now)?;
        }
        if let Some(allowed) = &self.allowed {
            let is_allowed = |name: &certificate::Name| allowed.iter().any(|allowed| name.is(allowed));
            if !facts.names.iter().any(is_allowed) {
                return Err(CertificateError::NotValidForName.into());
            }
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
