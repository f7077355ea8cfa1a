//! The PROXY header that a server or a check begins its connection with.

use std::net::SocketAddr;

use config::haproxy::{ProxyV2Options, SendProxy};

use crate::net::proxy_protocol::{Facts, SslFacts, write_v1, write_v2};
use crate::txn::Session;

/// The header for a client's connection; empty if the server wants none. `unique_id` is what the frontend's
/// `unique-id-format` made.
pub fn proxy_header(
    wanted: Option<&SendProxy>,
    session: &Session,
    unique_id: Option<&[u8]>,
) -> Vec<u8> {
    let mut header = Vec::new();
    match wanted {
        None => {}
        Some(SendProxy::V1) => write_v1(session.addresses(), &mut header),
        Some(SendProxy::V2(options)) => {
            let tls = session.tls.as_deref();
            let ssl = wants_ssl(options).then(|| SslFacts {
                version: tls.map(|tls| tls.version.as_bytes()),
                cipher: tls
                    .filter(|_| options.ssl_cipher)
                    .map(|tls| tls.cipher.as_bytes()),
                ..SslFacts::default()
            });
            let facts = Facts {
                addresses: session.addresses(),
                alpn: tls.and_then(|tls| tls.alpn.as_deref()).map(str::as_bytes),
                authority: tls
                    .filter(|_| options.authority)
                    .and_then(|tls| tls.sni.as_deref())
                    .map(str::as_bytes),
                unique_id: unique_id.filter(|_| options.unique_id),
                ssl,
                crc32c: options.crc32c,
            };
            write_v2(&facts, &mut header);
        }
    }
    header
}

/// The header of a check's own connection from `local` to `peer` (`None` for unix sockets): version 1 tells the
/// connection's addresses, version 2 says `LOCAL`. `wanted` is the server's `send-proxy…`; without one
/// `check-send-proxy` means version 1.
pub fn check_header(
    wanted: Option<&SendProxy>,
    local: Option<SocketAddr>,
    peer: Option<SocketAddr>,
) -> Vec<u8> {
    let mut header = Vec::new();
    match wanted {
        Some(SendProxy::V2(options)) => {
            let facts = Facts {
                ssl: wants_ssl(options).then(SslFacts::default),
                crc32c: options.crc32c,
                ..Facts::default()
            };
            write_v2(&facts, &mut header);
        }
        Some(SendProxy::V1) | None => write_v1(local.zip(peer), &mut header),
    }
    header
}

fn wants_ssl(options: &ProxyV2Options) -> bool {
    options.ssl || options.cert_cn || options.ssl_cipher || options.cert_key || options.cert_sig
}
