//! TLS on both sides: certificates of a `bind` line chosen by SNI, and what we ask of servers.

mod certificates;
mod choice;
pub mod hello;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use config::haproxy::{BindTls, ServerTls};
use config::{Diagnostic, DiagnosticKind, Diagnostics, Span};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, Tls12Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ServerSessionMemoryCache;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;

use crate::txn::TlsInfo;
use certificates::Certificates;
use choice::Offer;

/// Where the system keeps the authorities that `ca-file @system-ca` and a missing `ca-file` mean.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Sessions that a line without tickets remembers (`tune.ssl.cachesize` of HAProxy is as large).
const REMEMBERED_SESSIONS: usize = 20_000;
/// Servers' names whose sessions a connector remembers: a connector asks for one name.
const REMEMBERED_NAMES: usize = 8;

/// The acceptor of a `bind` line: certificates loaded, versions and ALPN set. `None` when something is wrong with it.
pub fn acceptor(
    tls: &BindTls,
    span: Span,
    diagnostics: &mut Diagnostics,
) -> Option<tokio_rustls::TlsAcceptor> {
    let Offer { provider, versions } = choice::offer(&tls.choice, span, diagnostics)?;
    let certificates = Certificates::load(
        &tls.certificates,
        tls.strict_sni,
        &provider,
        span,
        diagnostics,
    )?;
    if tls.verify.as_deref().is_some_and(|verify| verify != "none") {
        diagnostics.push(Diagnostic::error(
            DiagnosticKind::NotSupportedYet,
            span,
            "certificates of clients ('verify') are not supported yet",
        ));
        return None;
    }
    let mut server = match ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
    {
        Ok(builder) => builder
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(certificates)),
        Err(error) => {
            diagnostics.push(Diagnostic::error(
                DiagnosticKind::InvalidValue,
                span,
                format!("TLS cannot be set up: {error}"),
            ));
            return None;
        }
    };
    server.alpn_protocols = tls
        .alpn
        .iter()
        .map(|protocol| protocol.clone().into_bytes())
        .collect();
    server.ignore_client_order = !tls.prefer_client_ciphers;
    if tls.no_tickets {
        server.session_storage = ServerSessionMemoryCache::new(REMEMBERED_SESSIONS);
    } else if let Ok(tickets) = aws_lc_rs::Ticketer::new() {
        server.ticketer = tickets;
    }
    Some(tokio_rustls::TlsAcceptor::from(Arc::new(server)))
}

/// How a server's TLS is spoken to: the connector and the name to ask for.
pub fn connector(
    tls: &ServerTls,
    host: &str,
    span: Span,
    diagnostics: &mut Diagnostics,
) -> Option<(tokio_rustls::TlsConnector, ServerName<'static>)> {
    let Offer { provider, versions } = choice::offer(&tls.choice, span, diagnostics)?;
    let builder = match ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
    {
        Ok(builder) => builder,
        Err(error) => {
            diagnostics.push(Diagnostic::error(
                DiagnosticKind::InvalidValue,
                span,
                format!("TLS cannot be set up: {error}"),
            ));
            return None;
        }
    };
    let name = tls
        .sni
        .as_deref()
        .or(tls.verify_host.as_deref())
        .unwrap_or(host);
    let Ok(name) = ServerName::try_from(name.to_owned()) else {
        diagnostics.push(Diagnostic::error(
            DiagnosticKind::InvalidValue,
            span,
            format!("'{name}' cannot be a server's name in TLS"),
        ));
        return None;
    };
    let mut client = if tls.verify_none {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
            .with_no_client_auth()
    } else {
        let (path, span) = tls
            .ca_file
            .as_ref()
            .filter(|word| word.text != "@system-ca")
            .map_or((SYSTEM_AUTHORITIES, span), |word| {
                (word.text.as_str(), word.span)
            });
        builder
            .with_root_certificates(authorities(Path::new(path), span, diagnostics)?)
            .with_no_client_auth()
    };
    client.enable_sni = tls.sni.is_some();
    if tls.no_reuse {
        client.resumption = Resumption::disabled();
    } else if tls.no_tickets {
        client.resumption = Resumption::in_memory_sessions(REMEMBERED_NAMES)
            .tls12_resumption(Tls12Resumption::SessionIdOnly);
    }
    client.alpn_protocols = tls
        .alpn
        .iter()
        .map(|protocol| protocol.clone().into_bytes())
        .collect();
    Some((tokio_rustls::TlsConnector::from(Arc::new(client)), name))
}

/// The authorities of a file. What a server still trusts is found again by its path: once it is confined, a worker can read
/// no file for a server that comes at run time.
fn authorities(
    path: &Path,
    span: Span,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<RootCertStore>> {
    static LOADED: Mutex<Vec<(PathBuf, Weak<RootCertStore>)>> = Mutex::new(Vec::new());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    loaded.retain(|(_, store)| store.strong_count() > 0);
    let known = loaded.iter().find(|(other, _)| other == path);
    if let Some(store) = known.and_then(|(_, store)| store.upgrade()) {
        return Some(store);
    }
    let store = Arc::new(read_authorities(path, span, diagnostics)?);
    loaded.push((path.to_owned(), Arc::downgrade(&store)));
    Some(store)
}

fn read_authorities(
    path: &Path,
    span: Span,
    diagnostics: &mut Diagnostics,
) -> Option<RootCertStore> {
    let mut store = RootCertStore::empty();
    match CertificateDer::pem_file_iter(path) {
        Ok(certificates) => {
            store.add_parsable_certificates(certificates.flatten());
        }
        Err(error) => {
            diagnostics.push(Diagnostic::error(
                DiagnosticKind::File,
                span,
                format!("cannot read '{}': {error}", path.display()),
            ));
            return None;
        }
    }
    if store.is_empty() {
        diagnostics.push(Diagnostic::error(
            DiagnosticKind::File,
            span,
            format!("no certificate in '{}'", path.display()),
        ));
        return None;
    }
    Some(store)
}

/// The same without ALPN: checks speak HTTP/1.
pub fn without_alpn(connector: &tokio_rustls::TlsConnector) -> tokio_rustls::TlsConnector {
    let mut client = ClientConfig::clone(connector.config());
    client.alpn_protocols.clear();
    tokio_rustls::TlsConnector::from(Arc::new(client))
}

/// A connector that encrypts and asks for no proof of who answers: opportunistic TLS (RFC 7435), by the library's own choice of
/// versions and ciphers. Fails only where the library has none.
pub fn opportunistic() -> Result<tokio_rustls::TlsConnector, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    Ok(tokio_rustls::TlsConnector::from(Arc::new(client)))
}

/// `verify none`: encryption without proof of who it is, as asked for.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What a finished handshake tells.
pub fn info(connection: &rustls::ServerConnection) -> TlsInfo {
    TlsInfo {
        sni: connection.server_name().map(str::to_owned),
        version: match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "",
        },
        cipher: connection
            .negotiated_cipher_suite()
            .map_or("", |suite| openssl_name(suite.suite())),
        alpn: connection
            .alpn_protocol()
            .map(|protocol| String::from_utf8_lossy(protocol).into_owned()),
        resumed: connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
    }
}

fn openssl_name(suite: rustls::CipherSuite) -> &'static str {
    use rustls::CipherSuite as S;
    match suite {
        S::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        S::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        S::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        S::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        S::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        S::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        S::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => "",
    }
}
