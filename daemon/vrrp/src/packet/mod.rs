//! Advertisements as bytes: written, and checked when they come in.
//!
//! Version 2 (`v2`) speaks IPv4, version 3 (`v3`) IPv4 and IPv6; `ah` is the authentication header around
//! version 2, `hmac` the trailer behind either. A packet is either a valid [`Heard`] for the instance that asked, or a [`Refused`] that changes
//! nothing but a counter.

mod ah;
mod checksum;
pub mod hmac;
mod refused;
#[cfg(test)]
mod tests;
mod v2;
mod v3;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use config::keepalived::{AuthHmac, Authentication, Version};

pub use ah::{Sequences, wrap};
pub use checksum::PseudoHeader;
pub use refused::Refused;

/// Bytes before the addresses, in both versions.
pub const HEADER_BYTES: usize = 8;
/// Shortest IPv4 header.
const IP_HEADER_BYTES: usize = 20;
/// Protocol number of VRRP.
const VRRP_PROTOCOL: u8 = 112;
/// Protocol number of the authentication header.
const AH_PROTOCOL: u8 = 51;
/// The TTL or hop limit that proves a neighbour.
pub const TTL: u8 = 255;
/// Most addresses of one advertisement.
pub const MAX_ADDRESSES: usize = 255;

/// What an instance says and wants to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The protocol's version.
    pub version: Version,
    /// Virtual router id.
    pub vrid: u8,
    /// Advertisement interval: whole seconds in version 2, centiseconds in version 3.
    pub interval: Duration,
    /// How version 2 authenticates.
    pub authentication: Option<Authentication>,
    /// Keys of the trailer.
    pub hmac: Option<Box<AuthHmac>>,
    /// The addresses, in order.
    pub addresses: Vec<IpAddr>,
    /// What the checksum of version 3 over IPv4 covers.
    pub pseudo_header: PseudoHeader,
}

/// A neighbour of an instance that speaks by unicast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnicastPeer {
    /// Its address.
    pub address: IpAddr,
    /// `min_ttl`: the least TTL or hop limit of its packets.
    pub min_ttl: u8,
    /// `max_ttl`: the greatest.
    pub max_ttl: u8,
}

/// Where an instance's advertisements go, and from where it takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To this group, from any neighbour.
    Multicast(IpAddr),
    /// To and from these alone.
    Unicast(Vec<UnicastPeer>),
}

/// A valid advertisement of another router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its sender.
    pub from: IpAddr,
    /// Its priority; 0 means that it resigns.
    pub priority: u8,
    /// The interval that it advertises.
    pub interval: Duration,
    /// The sequence number of its authentication header.
    pub sequence: Option<u32>,
    /// The sequence number of its trailer (`auth_hmac`).
    pub stamp: Option<u64>,
    /// What its checksum covers, if that is another thing than ours covers.
    pub other_checksum: Option<PseudoHeader>,
}

/// What an advertisement says, with the addresses as bytes still.
struct Said<'a> {
    priority: u8,
    interval: Duration,
    addresses: &'a [u8],
    other_checksum: Option<PseudoHeader>,
}

/// An advertisement with this priority, without IP header. The addresses of the header count into version 3's checksum.
pub fn encode(form: &Form, priority: u8, source: IpAddr, destination: IpAddr) -> Vec<u8> {
    match form.version {
        Version::V2 => v2::encode(form, priority),
        Version::V3 => v3::encode(form, priority, source, destination),
    }
}

/// A datagram as it came, told apart so far that its instance can be found.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// What follows the IP header, and the authentication header if there is one.
    pub payload: &'a [u8],
    authentication_header: Option<ah::Header<'a>>,
}

impl<'a> Datagram<'a> {
    /// Takes the header of an IPv4 datagram off, and the authentication header.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Refused> {
        let header = bytes
            .first_chunk::<IP_HEADER_BYTES>()
            .ok_or(Refused::Datagram)?;
        let header_bytes = usize::from(header[0] & 0x0f) * 4;
        let total_bytes = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] >> 4 != 4 || header_bytes < IP_HEADER_BYTES {
            return Err(Refused::Datagram);
        }
        let payload = bytes
            .get(header_bytes..total_bytes)
            .ok_or(Refused::Datagram)?;
        let (authentication_header, payload) = match header[9] {
            VRRP_PROTOCOL => (None, payload),
            AH_PROTOCOL => {
                let (found, inner) = ah::Header::read(&bytes[..header_bytes], payload)?;
                (Some(found), inner)
            }
            _ => return Err(Refused::Datagram),
        };
        Ok(Self {
            source: Ipv4Addr::new(header[12], header[13], header[14], header[15]).into(),
            destination: Ipv4Addr::new(header[16], header[17], header[18], header[19]).into(),
            ttl: header[8],
            payload,
            authentication_header,
        })
    }

    /// A datagram over IPv6, whose header the kernel keeps and tells about.
    pub fn ipv6(source: IpAddr, destination: IpAddr, hop_limit: u8, payload: &'a [u8]) -> Self {
        Self {
            source,
            destination,
            ttl: hop_limit,
            payload,
            authentication_header: None,
        }
    }

    /// The virtual router that it is about.
    pub fn vrid(&self) -> Option<u8> {
        self.payload.get(1).copied()
    }

    /// Whether it came the way that `reach` says: several instances may share a VRID if their ways differ.
    pub fn came_by(&self, reach: &Reach) -> bool {
        match reach {
            Reach::Multicast(group) => self.destination == *group,
            Reach::Unicast(peers) => {
                !self.destination.is_multicast()
                    && peers.iter().any(|peer| peer.address == self.source)
            }
        }
    }

    /// Checks everything that the RFCs and keepalived 2.2.7 check. `own` is our address. The address list of
    /// `trusted` is not compared (`skip_check_adv_addr`: the master's was when it was first heard).
    pub fn check(
        &self,
        form: &Form,
        reach: &Reach,
        own: IpAddr,
        trusted: Option<IpAddr>,
    ) -> Result<Heard, Refused> {
        if self.source == own {
            return Err(Refused::OwnAddress);
        }
        self.check_way(reach)?;
        let sequence = self.check_authentication_header(form)?;
        let version_type = *self.payload.first().ok_or(Refused::Length {
            found: 0,
            wanted: HEADER_BYTES,
        })?;
        if version_type >> 4 != form.version.number() {
            return Err(Refused::Version {
                found: version_type >> 4,
                wanted: form.version.number(),
            });
        }
        if version_type & 0x0f != 1 {
            return Err(Refused::Type(version_type & 0x0f));
        }
        let (payload, stamp) = match &form.hmac {
            None => (self.payload, None),
            Some(auth) => hmac::open(self.payload, auth, (form.version, form.vrid), self.source)?,
        };
        let plain = Self { payload, ..*self };
        let checked = match form.version {
            Version::V2 => v2::check(payload, form).map(|said| (said, v2::ADDRESS_BYTES)),
            Version::V3 => {
                v3::check(&plain, form).map(|said| (said, v3::address_bytes(self.source)))
            }
        };
        let (said, address_bytes) = checked.map_err(|refused| match refused {
            Refused::Length { found, wanted } if found == wanted + hmac::TRAILER_BYTES => {
                Refused::UnwantedTrailer
            }
            other => other,
        })?;
        if trusted != Some(self.source) {
            check_addresses(form, said.addresses.chunks_exact(address_bytes))?;
        }
        Ok(Heard {
            from: self.source,
            priority: said.priority,
            interval: said.interval,
            sequence,
            stamp,
            other_checksum: said.other_checksum,
        })
    }

    fn check_way(&self, reach: &Reach) -> Result<(), Refused> {
        match reach {
            Reach::Multicast(group) => {
                if self.destination != *group {
                    return Err(Refused::Destination(self.destination));
                }
                // RFC 3768 7.1, RFC 5798 7.1: it proves that the sender is a neighbour.
                if self.ttl != TTL {
                    return Err(Refused::Ttl(self.ttl));
                }
                if let IpAddr::V6(source) = self.source
                    && !source.is_unicast_link_local()
                {
                    return Err(Refused::NotLinkLocal(self.source));
                }
                Ok(())
            }
            // A unicast peer may live behind a router; being listed is its proof.
            Reach::Unicast(peers) => {
                if self.destination.is_multicast() {
                    return Err(Refused::Destination(self.destination));
                }
                let peer = peers
                    .iter()
                    .find(|peer| peer.address == self.source)
                    .ok_or(Refused::Stranger)?;
                if (peer.min_ttl..=peer.max_ttl).contains(&self.ttl) {
                    return Ok(());
                }
                Err(Refused::TtlRange {
                    found: self.ttl,
                    min: peer.min_ttl,
                    max: peer.max_ttl,
                })
            }
        }
    }

    /// An authentication header must be there if and only if the instance uses one; its sequence number.
    fn check_authentication_header(&self, form: &Form) -> Result<Option<u32>, Refused> {
        match (&form.authentication, &self.authentication_header) {
            (Some(Authentication::Ah(password)), Some(header)) => {
                header.check(password, self.source, self.payload)?;
                Ok(Some(header.sequence))
            }
            (Some(Authentication::Ah(_)), None) => Err(Refused::Header { found: false }),
            (None | Some(Authentication::Pass(_)), Some(_)) => Err(Refused::Header { found: true }),
            (None | Some(Authentication::Pass(_)), None) => Ok(None),
        }
    }
}

/// keepalived 2.2.7 drops an advertisement whose addresses differ; obeying it would hide the mistake.
fn check_addresses<'a>(
    form: &Form,
    said: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Result<(), Refused> {
    if said.len() != form.addresses.len() {
        return Err(Refused::AddressCount {
            found: said.len(),
            wanted: form.addresses.len(),
        });
    }
    for octets in said {
        let address = <[u8; 4]>::try_from(octets)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
            .map_err(|_| Refused::Datagram)?;
        if !form.addresses.contains(&address) {
            return Err(Refused::AddressList(address));
        }
    }
    Ok(())
}
