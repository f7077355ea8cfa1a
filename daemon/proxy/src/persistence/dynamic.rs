//! `cookie … dynamic`: a server's cookie is a hash of the backend's key and the server's address, so that all load balancers
//! with the same key give a server the same cookie.
//!
//! The hash is XXH64, <https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>. What is hashed was found beside
//! HAProxy: the key, the address's bytes, and the port as four bytes in network order.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::state::{Backend, Server, ServerId};

/// The dynamic cookies of a backend. Whether there are any and of which key operators change at run time.
#[derive(Clone, Debug)]
pub(super) struct DynamicCookies {
    backend: Arc<Backend>,
}

impl DynamicCookies {
    pub(super) fn new(backend: &Arc<Backend>) -> Self {
        Self {
            backend: Arc::clone(backend),
        }
    }

    /// The key; none while there are no dynamic cookies.
    fn key(&self) -> Option<Arc<String>> {
        match self.backend.dynamic_cookies.load(Relaxed) {
            true => self.backend.dynamic_cookie_key.load_full(),
            false => None,
        }
    }

    /// A server's cookie for its address now; none without an address.
    pub(super) fn of(&self, server: &Server) -> Option<Vec<u8>> {
        let number = number_of(&self.key()?, server)?;
        Some(format!("{number:016x}").into_bytes())
    }

    /// The server that a cookie names. Addresses change, so each is looked at: some ten nanoseconds a server.
    pub(super) fn find(&self, cookie: &[u8]) -> Option<ServerId> {
        let is_ours = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if cookie.len() != 16 || !cookie.iter().all(is_ours) {
            return None;
        }
        let wanted = u64::from_str_radix(std::str::from_utf8(cookie).ok()?, 16).ok()?;
        let servers = self.backend.servers.now();
        // Those that have no cookie of their own.
        let mut servers = servers
            .iter()
            .filter(|server| server.config.cookie.is_none());
        let key = self.key()?;
        let found = servers.find(|server| number_of(&key, server) == Some(wanted))?;
        Some(found.id)
    }
}

fn number_of(key: &str, server: &Server) -> Option<u64> {
    let address = server.address.load().as_deref().copied()?;
    Some(number(key.as_bytes(), address))
}

fn number(key: &[u8], address: SocketAddr) -> u64 {
    let mut text = key.to_vec();
    match address.ip() {
        IpAddr::V4(ip) => text.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => text.extend_from_slice(&ip.octets()),
    }
    text.extend_from_slice(&u32::from(address.port()).to_be_bytes());
    xxh64(&text)
}

const PRIMES: [u64; 5] = [
    0x9e37_79b1_85eb_ca87,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x85eb_ca77_c2b2_ae63,
    0x27d4_eb2f_1656_67c5,
];

/// XXH64 with the seed 0.
fn xxh64(input: &[u8]) -> u64 {
    let [p1, p2, p3, p4, p5] = PRIMES;
    let round = |lane: u64, word: u64| {
        lane.wrapping_add(word.wrapping_mul(p2))
            .rotate_left(31)
            .wrapping_mul(p1)
    };
    let mut stripes = input.chunks_exact(32);
    let mut hash = if input.len() < 32 {
        p5
    } else {
        let mut lanes = [p1.wrapping_add(p2), p2, 0, p1.wrapping_neg()];
        for stripe in stripes.by_ref() {
            for (lane, word) in lanes.iter_mut().zip(stripe.chunks_exact(8)) {
                *lane = round(*lane, little(word));
            }
        }
        let turns = [1, 7, 12, 18];
        let sum = lanes.iter().zip(turns).fold(0u64, |sum, (lane, turn)| {
            sum.wrapping_add(lane.rotate_left(turn))
        });
        lanes.iter().fold(sum, |hash, lane| {
            (hash ^ round(0, *lane)).wrapping_mul(p1).wrapping_add(p4)
        })
    };
    hash = hash.wrapping_add(input.len() as u64);
    let mut words = stripes.remainder().chunks_exact(8);
    for word in words.by_ref() {
        hash = (hash ^ round(0, little(word)))
            .rotate_left(27)
            .wrapping_mul(p1)
            .wrapping_add(p4);
    }
    let mut rest = words.remainder();
    if let Some((word, after)) = rest.split_at_checked(4) {
        hash = (hash ^ little(word).wrapping_mul(p1))
            .rotate_left(23)
            .wrapping_mul(p2)
            .wrapping_add(p3);
        rest = after;
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte).wrapping_mul(p5))
            .rotate_left(11)
            .wrapping_mul(p1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(p2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(p3);
    hash ^ (hash >> 32)
}

/// Up to eight bytes as a number, the least significant first.
fn little(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_specification() {
        assert_eq!(xxh64(b""), 0xef46_db37_51d8_e999);
        assert_eq!(xxh64(b"a"), 0xd24e_c4f1_a98c_6e5b);
        assert_eq!(xxh64(b"abc"), 0x44bc_2cf5_ad77_0999);
        let longer = b"Nobody inspects the spammish repetition";
        assert_eq!(xxh64(longer), 0xfbce_a83c_8a37_8bf1);
    }

    #[test]
    fn cookies_are_those_of_haproxy() {
        for (key, address, cookie) in [
            (&b"mysecret"[..], "127.0.0.1:18080", 0x5945_c5e0_c6de_c3f2),
            (b"mysecret", "[::1]:18080", 0x3b12_92ed_0486_c47b),
            (b"other", "127.0.0.1:18080", 0x9b11_79d8_e494_5dde),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(number(key, address), cookie);
        }
    }
}
