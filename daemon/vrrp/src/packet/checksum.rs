//! The Internet checksum (RFC 1071), with and without the pseudo-header that version 3 sums up as well.

use std::net::{IpAddr, Ipv4Addr};

use super::VRRP_PROTOCOL;

/// Whether the checksum of version 3 over IPv4 covers the addresses of the IP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PseudoHeader {
    /// RFC 5798, and keepalived unless it is told otherwise.
    #[default]
    Included,
    /// RFC 9568, and version 2.
    Absent,
    /// keepalived up to 1.3.6: also for unicast the sum of this group's address (`old_unicast_checksum`).
    OfGroup(Ipv4Addr),
}

/// A sum of 16-bit words that grows piece by piece; every piece but the last has an even length.
#[derive(Clone, Copy, Default)]
pub(super) struct Sum(u64);

impl Sum {
    /// The sum of the pseudo-header of IPv4 (RFC 5798 5.2.8) or IPv6 (RFC 8200 8.1).
    pub(super) fn pseudo_header(source: IpAddr, destination: IpAddr, length: usize) -> Self {
        let mut sum = Self::default();
        for address in [source, destination] {
            match address {
                IpAddr::V4(address) => sum = sum.add(&address.octets()),
                IpAddr::V6(address) => sum = sum.add(&address.octets()),
            }
        }
        // One word each in IPv4; in IPv6 the upper halves are zero.
        sum.0 += length as u64 + u64::from(VRRP_PROTOCOL);
        sum
    }

    pub(super) fn add(mut self, bytes: &[u8]) -> Self {
        for pair in bytes.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            self.0 += u64::from(u16::from_be_bytes([pair[0], low]));
        }
        self
    }

    /// The checksum: zero over bytes that hold their own.
    pub(super) fn finish(mut self) -> u16 {
        while self.0 > 0xffff {
            self.0 = (self.0 & 0xffff) + (self.0 >> 16);
        }
        !(self.0 as u16)
    }
}
