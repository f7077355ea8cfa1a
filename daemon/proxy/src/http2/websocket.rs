//! WebSockets between the versions: a change of protocol in HTTP/1 (RFC 6455) is an extended CONNECT in HTTP/2 (RFC 8441).

use aws_lc_rs::digest;

use crate::http::Head;
use crate::sample::base64;

/// What a server appends to the key before it hashes it (RFC 6455 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Adds what a handshake in HTTP/1 has more than one in HTTP/2.
pub(super) fn add_handshake(head: &mut Head) {
    head.set(b"upgrade", b"websocket");
    // The key proves to a client that the server understood; this client is us, and any will do.
    let random = std::hash::RandomState::new();
    let mut key = Vec::with_capacity(16);
    for part in 0..2u8 {
        key.extend_from_slice(&std::hash::BuildHasher::hash_one(&random, part).to_be_bytes());
    }
    head.set(b"sec-websocket-key", base64::encode(&key).as_bytes());
}

/// The answer that proves that a server understood the request's key; `None` if it has none.
pub fn websocket_accept(request: &Head) -> Option<String> {
    let key = request.header(b"sec-websocket-key")?;
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(GUID);
    Some(base64::encode(hash.finish().as_ref()))
}

/// Whether a request of HTTP/1 asks for a WebSocket.
pub fn asks_for_websocket(request: &Head) -> bool {
    request
        .header(b"upgrade")
        .is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
        && request.header(b"sec-websocket-key").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_rfc_gives_its_answer() {
        let mut head = Head::default();
        head.start_request(b"GET", b"/", 1);
        head.add(b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==");
        // RFC 6455 1.3.
        assert_eq!(
            websocket_accept(&head).as_deref(),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        add_handshake(&mut head);
        assert!(asks_for_websocket(&head));
        assert_eq!(head.headers(b"sec-websocket-key").count(), 1);
    }
}
