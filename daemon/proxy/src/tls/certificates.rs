//! Certificate files and the choice among them by the name that a client asks for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Diagnostic, DiagnosticKind, Diagnostics, Span, Word};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The certificates of a `bind` line.
#[derive(Debug)]
pub(super) struct Certificates {
    /// Exact names and wildcards (`*.example.org`), in lower case; the first certificate of a name wins.
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
    default: Arc<CertifiedKey>,
    strict: bool,
}

impl Certificates {
    /// Loads files and directories; complains of each that cannot be used.
    pub(super) fn load(
        words: &[Word],
        strict: bool,
        provider: &CryptoProvider,
        span: Span,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let mut by_name: HashMap<String, Vec<Arc<CertifiedKey>>> = HashMap::new();
        let mut default = None;
        let before = diagnostics.0.len();
        for word in words {
            for path in files(word, diagnostics) {
                match load_file(&path, provider) {
                    Ok((key, names)) => {
                        default.get_or_insert_with(|| Arc::clone(&key));
                        for name in names {
                            by_name.entry(name).or_default().push(Arc::clone(&key));
                        }
                    }
                    Err(reason) => diagnostics.push(Diagnostic::error(
                        DiagnosticKind::File,
                        word.span,
                        format!("certificate '{}': {reason}", path.display()),
                    )),
                }
            }
        }
        if diagnostics.0.len() > before {
            return None;
        }
        let Some(default) = default else {
            diagnostics.push(Diagnostic::error(
                DiagnosticKind::File,
                span,
                "'ssl' needs a certificate: 'crt FILE'",
            ));
            return None;
        };
        Some(Self {
            by_name,
            default,
            strict,
        })
    }

    fn find(&self, name: &str) -> Option<&[Arc<CertifiedKey>]> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if let Some(keys) = self.by_name.get(&name) {
            return Some(keys);
        }
        // RFC 6125 6.4.3: a wildcard stands for the leftmost label alone.
        let (_, parent) = name.split_once('.')?;
        self.by_name.get(&format!("*.{parent}")).map(Vec::as_slice)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let Some(keys) = hello.server_name().and_then(|name| self.find(name)) else {
            return (!self.strict).then(|| Arc::clone(&self.default));
        };
        // Of several keys for a name (ECDSA beside RSA) the first that the client can verify.
        let usable = keys
            .iter()
            .find(|key| key.key.choose_scheme(hello.signature_schemes()).is_some());
        usable.or(keys.first()).cloned()
    }
}

/// The files of a `crt`: itself, or what a directory holds, in order of names.
fn files(word: &Word, diagnostics: &mut Diagnostics) -> Vec<PathBuf> {
    let path = Path::new(&word.text);
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let ignored = ["issuer", "ocsp", "sctl", "key", "dh"];
    let mut found: Vec<PathBuf> = match std::fs::read_dir(path) {
        Ok(entries) => entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                let extension = path
                    .extension()
                    .and_then(|extension| extension.to_str())
                    .unwrap_or("");
                let hidden = path
                    .file_name()
                    .and_then(|name| name.to_str())
                    .is_none_or(|name| name.starts_with('.'));
                path.is_file() && !hidden && !ignored.contains(&extension)
            })
            .collect(),
        Err(error) => {
            diagnostics.push(Diagnostic::error(
                DiagnosticKind::File,
                word.span,
                format!("cannot read '{}': {error}", word.text),
            ));
            Vec::new()
        }
    };
    found.sort();
    found
}

/// A PEM file with certificate, chain and key in any order (or the key in `FILE.key`), and the names that it is for.
fn load_file(
    path: &Path,
    provider: &CryptoProvider,
) -> Result<(Arc<CertifiedKey>, Vec<String>), String> {
    let pem = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    let mut chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("is not valid PEM: {error}"))?;
    if chain.is_empty() {
        return Err("holds no certificate".to_owned());
    }
    let key = match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(key) => key,
        Err(_) => {
            let beside = PathBuf::from(format!("{}.key", path.display()));
            PrivateKeyDer::from_pem_file(&beside).map_err(|_| {
                format!(
                    "holds no private key, and there is none in '{}'",
                    beside.display()
                )
            })?
        }
    };
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| format!("its private key cannot be used: {error}"))?;
    // The leaf is the one that the key belongs to, wherever it stands in the file.
    let leaf = key.public_key().and_then(|public| {
        chain.iter().position(|certificate| {
            X509Certificate::from_der(certificate)
                .is_ok_and(|(_, parsed)| parsed.public_key().raw == public.as_ref())
        })
    });
    match leaf {
        Some(at) => chain[..=at].rotate_right(1),
        None if key.public_key().is_some() => {
            return Err("the private key does not belong to the certificate".to_owned());
        }
        None => {}
    }
    let names = names_of(&chain[0])?;
    let certified = CertifiedKey::new(chain, key);
    Ok((Arc::new(certified), names))
}

fn names_of(certificate: &CertificateDer<'_>) -> Result<Vec<String>, String> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| format!("cannot be read: {error}"))?;
    let mut names: Vec<String> = parsed
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|extension| {
            let general = extension.value.general_names.iter();
            general
                .filter_map(|name| match name {
                    GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                    _ => None,
                })
                .collect()
        })
        .unwrap_or_default();
    for common_name in parsed.subject().iter_common_name() {
        if let Ok(name) = common_name.as_str() {
            let name = name.to_ascii_lowercase();
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    Ok(names)
}
