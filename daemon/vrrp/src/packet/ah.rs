//! The authentication header (RFC 2402) with HMAC-MD5-96 (RFC 2403) around an advertisement of version 2.
//!
//! As keepalived 2.2.7 sends and wants it: the digest covers the IP header with type of service, fragment and
//! checksum set to zero, the TTL too by unicast, but not by multicast; the SPI is the sender's address; the sequence
//! number belongs to the whole group, so that who becomes master goes on where the last one ended.

use std::net::{IpAddr, Ipv4Addr};

use hmac::{Hmac, Mac};
use md5::Md5;

use super::{AH_PROTOCOL, IP_HEADER_BYTES, Refused, VRRP_PROTOCOL};

/// Bytes of the header: the fixed part and the digest.
const AH_BYTES: usize = 24;
/// Where the digest begins in it.
const DIGEST_AT: usize = 12;
/// Bytes of the digest that are sent.
const DIGEST_BYTES: usize = 12;
/// Its length as the header says it: 32-bit words minus two (RFC 2402 2.2).
const AH_WORDS: u8 = 4;
/// Type of service of routing protocols: internetwork control.
const TOS: u8 = 0xc0;
/// `auth_pass`, filled with zeros.
const PASSWORD_BYTES: usize = 8;

/// An authentication header as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header<'a> {
    ip: &'a [u8],
    bytes: &'a [u8; AH_BYTES],
    /// Its sequence number.
    pub(super) sequence: u32,
}

impl<'a> Header<'a> {
    /// Takes it off what followed the IP header; also what follows it.
    pub(super) fn read(ip: &'a [u8], payload: &'a [u8]) -> Result<(Self, &'a [u8]), Refused> {
        let (bytes, inner) = payload
            .split_first_chunk::<AH_BYTES>()
            .ok_or(Refused::MalformedHeader)?;
        if bytes[0] != VRRP_PROTOCOL || bytes[1] != AH_WORDS {
            return Err(Refused::MalformedHeader);
        }
        let sequence = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        let header = Self {
            ip,
            bytes,
            sequence,
        };
        Ok((header, inner))
    }

    /// Checks SPI and digest.
    pub(super) fn check(
        &self,
        password: &[u8; PASSWORD_BYTES],
        source: IpAddr,
        inner: &[u8],
    ) -> Result<(), Refused> {
        let spi = Ipv4Addr::new(self.bytes[4], self.bytes[5], self.bytes[6], self.bytes[7]);
        if IpAddr::V4(spi) != source {
            return Err(Refused::MalformedHeader);
        }
        // RFC 2402 3.3.3.1 says zero, keepalived by multicast keeps it: either is understood.
        let here = self.ip.get(8).copied().unwrap_or(0);
        let fits = [here, 0].iter().any(|ttl| {
            let mut mac = begin(password, self.ip, *ttl);
            mac.update(&self.bytes[..DIGEST_AT]);
            mac.update(&[0; DIGEST_BYTES]);
            mac.update(inner);
            mac.verify_truncated_left(&self.bytes[DIGEST_AT..]).is_ok()
        });
        if fits { Ok(()) } else { Err(Refused::Digest) }
    }
}

/// A digest over the IP header with the fields zeroed that may change on the way.
fn begin(password: &[u8; PASSWORD_BYTES], ip: &[u8], ttl: u8) -> Hmac<Md5> {
    let mut header = ip.to_vec();
    for (at, byte) in header.iter_mut().enumerate() {
        match at {
            1 | 6 | 7 | 10 | 11 => *byte = 0,
            8 => *byte = ttl,
            _ => {}
        }
    }
    let mut mac =
        Hmac::<Md5>::new_from_slice(password).expect("HMAC takes keys of any length (RFC 2104)");
    mac.update(&header);
    mac
}

/// A whole IPv4 datagram: IP header, authentication header, advertisement.
pub fn wrap(
    password: &[u8; PASSWORD_BYTES],
    sequence: u32,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    ttl: u8,
    advertisement: &[u8],
) -> Vec<u8> {
    let total = IP_HEADER_BYTES + AH_BYTES + advertisement.len();
    let mut bytes = Vec::with_capacity(total);
    bytes.extend([0x45, TOS]);
    bytes.extend((total as u16).to_be_bytes());
    // The identification counts into the digest, and the kernel would choose one in place of zero.
    bytes.extend((sequence as u16).max(1).to_be_bytes());
    bytes.extend([0, 0, ttl, AH_PROTOCOL, 0, 0]);
    bytes.extend(source.octets());
    bytes.extend(destination.octets());
    bytes.extend([VRRP_PROTOCOL, AH_WORDS, 0, 0]);
    bytes.extend(source.octets());
    bytes.extend(sequence.to_be_bytes());
    let digest_at = bytes.len();
    bytes.extend([0; DIGEST_BYTES]);
    bytes.extend(advertisement);
    let digested_ttl = if destination.is_multicast() { ttl } else { 0 };
    let mut mac = begin(password, &bytes[..IP_HEADER_BYTES], digested_ttl);
    mac.update(&bytes[IP_HEADER_BYTES..]);
    let digest = mac.finalize().into_bytes();
    bytes[digest_at..digest_at + DIGEST_BYTES].copy_from_slice(&digest[..DIGEST_BYTES]);
    bytes
}

/// The group's sequence numbers.
///
/// What is sent is above all that was sent and heard, and begins with a number that grows from start to start, such as
/// the seconds since 1970: a router that was restarted is believed at once.
#[derive(Clone, Copy, Debug)]
pub struct Sequences {
    sent: u32,
    heard: u32,
}

impl Sequences {
    /// Nothing heard or sent yet; what is sent is above `least`.
    pub fn new(least: u32) -> Self {
        Self {
            sent: least,
            heard: 0,
        }
    }

    /// The number of the next advertisement of ours.
    pub fn take(&mut self) -> u32 {
        self.sent = self.sent.max(self.heard).saturating_add(1);
        self.sent
    }

    /// Notes the number of a valid advertisement; one that was there before is refused.
    pub fn heard(&mut self, sequence: u32) -> Result<(), Refused> {
        if sequence <= self.heard {
            return Err(Refused::Replay {
                found: sequence,
                last: self.heard,
            });
        }
        self.heard = sequence;
        Ok(())
    }
}

/// Makes the digest of a whole datagram right.
#[cfg(test)]
pub(super) fn sign(password: &[u8; PASSWORD_BYTES], bytes: &mut [u8]) {
    let ttl = bytes[8];
    sign_with_ttl(password, bytes, ttl);
}

/// The same with this TTL for the digest.
#[cfg(test)]
pub(super) fn sign_with_ttl(password: &[u8; PASSWORD_BYTES], bytes: &mut [u8], ttl: u8) {
    let at = IP_HEADER_BYTES + DIGEST_AT;
    bytes[at..at + DIGEST_BYTES].fill(0);
    let mut mac = begin(password, &bytes[..IP_HEADER_BYTES], ttl);
    mac.update(&bytes[IP_HEADER_BYTES..]);
    let digest = mac.finalize().into_bytes();
    bytes[at..at + DIGEST_BYTES].copy_from_slice(&digest[..DIGEST_BYTES]);
}
