//! TLS towards clients and servers.

use serde::{Deserialize, Serialize};

use crate::source::Word;

/// What is offered in handshakes, by OpenSSL's names as they were written, with the defaults of `global` applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsChoice {
    /// `ssl-min-ver`, `no-tlsv12`, …: lowest version allowed, `TLSv1.2` or `TLSv1.3`.
    pub min_version: Option<String>,
    /// Highest version allowed.
    pub max_version: Option<String>,
    /// `ciphers`: a cipher list (openssl-ciphers(1)) for TLS 1.2.
    pub ciphers: Option<Word>,
    /// `ciphersuites`: names for TLS 1.3 with colons between.
    pub ciphersuites: Option<Word>,
    /// `curves`, or `ecdhe`: names with colons between.
    pub curves: Option<Word>,
}

impl TlsChoice {
    /// Takes what it does not say from another.
    pub fn or(&mut self, defaults: &Self) {
        fn fill<T: Clone>(slot: &mut Option<T>, default: &Option<T>) {
            if slot.is_none() {
                slot.clone_from(default);
            }
        }
        fill(&mut self.min_version, &defaults.min_version);
        fill(&mut self.max_version, &defaults.max_version);
        fill(&mut self.ciphers, &defaults.ciphers);
        fill(&mut self.ciphersuites, &defaults.ciphersuites);
        fill(&mut self.curves, &defaults.curves);
    }
}

/// TLS settings of a `bind` line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BindTls {
    /// `crt` files or directories, `crt-base` already applied; the first certificate is the default one.
    pub certificates: Vec<Word>,
    /// `alpn` protocols in order; empty means that none is negotiated.
    pub alpn: Vec<String>,
    /// Versions, cipher suites and curves.
    pub choice: TlsChoice,
    /// `prefer-client-ciphers`; else our order counts.
    pub prefer_client_ciphers: bool,
    /// `no-tls-tickets`: sessions are resumed by what we remember of them, not by tickets.
    pub no_tickets: bool,
    /// `strict-sni`.
    pub strict_sni: bool,
    /// `ca-file`.
    pub ca_file: Option<Word>,
    /// `verify required|optional|none`.
    pub verify: Option<String>,
}

/// TLS towards a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerTls {
    /// `verify none`; required by default.
    pub verify_none: bool,
    /// `ca-file`.
    pub ca_file: Option<Word>,
    /// `sni str(NAME)` with a constant.
    pub sni: Option<String>,
    /// `verifyhost`.
    pub verify_host: Option<String>,
    /// `alpn` protocols in order; empty means that none is negotiated.
    pub alpn: Vec<String>,
    /// Versions and cipher suites.
    pub choice: TlsChoice,
    /// `no-tls-tickets`.
    pub no_tickets: bool,
    /// `no-ssl-reuse`: each connection begins with a full handshake.
    pub no_reuse: bool,
}
