//! Advertisements of VRRP version 2 (RFC 3768) as bytes: written, and checked when they come in.
//!
//! A packet is either a valid [`Heard`] for the instance that asked, or a [`Refused`] that changes nothing
//! but a counter.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Bytes before the addresses.
const HEADER_BYTES: usize = 8;
/// Bytes of the authentication data at the end.
const AUTHENTICATION_BYTES: usize = 8;
/// Shortest IPv4 header.
const IP_HEADER_BYTES: usize = 20;
/// Version 2, type 1 (advertisement).
const VERSION_AND_TYPE: u8 = 0x21;
const NO_AUTHENTICATION: u8 = 0;
const SIMPLE_PASSWORD: u8 = 1;
/// The TTL that proves a neighbour.
const TTL: u8 = 255;
/// Most addresses of one advertisement.
pub const MAX_ADDRESSES: usize = 255;
/// Longest datagram read, in bytes; a full advertisement has 20 + 8 + 4 * 255 + 8.
pub const MAX_DATAGRAM_BYTES: usize = 2048;

/// What an instance says and wants to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// Virtual router id.
    pub vrid: u8,
    /// Advertisement interval in whole seconds.
    pub interval_s: u8,
    /// The password's octets, zero-filled.
    pub password: Option<[u8; AUTHENTICATION_BYTES]>,
    /// The addresses, in order.
    pub addresses: Vec<IpAddr>,
}

/// Where an instance's advertisements go, and from where it takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To this group, from any neighbour.
    Multicast(IpAddr),
    /// To and from these alone.
    Unicast(Vec<IpAddr>),
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
}

/// Why a packet counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not IPv4 with protocol 112, or cut short.
    #[error("not a whole IPv4 datagram of protocol 112")]
    Datagram,
    /// Our own address as source.
    #[error("it carries our own source address")]
    OwnAddress,
    /// A sender that is not in `unicast_peer`.
    #[error("its sender is not a unicast_peer")]
    Stranger,
    /// Sent to another address than this instance listens on.
    #[error("it was sent to {0}")]
    Destination(IpAddr),
    /// Came from beyond a router.
    #[error("TTL {0}, wanted 255")]
    Ttl(u8),
    /// Not version 2.
    #[error("VRRP version {0}, wanted 2")]
    Version(u8),
    /// Not an advertisement.
    #[error("type {0}, wanted 1 (advertisement)")]
    Type(u8),
    /// Longer or shorter than its address count says.
    #[error("{found} bytes, wanted {wanted} for its address count")]
    Length {
        /// Bytes there.
        found: usize,
        /// Bytes that the count calls for.
        wanted: usize,
    },
    /// Damaged.
    #[error("wrong checksum")]
    Checksum,
    /// Another authentication type than ours.
    #[error("authentication type {found}, wanted {wanted}")]
    AuthenticationType {
        /// In the packet.
        found: u8,
        /// Ours.
        wanted: u8,
    },
    /// Another password.
    #[error("wrong password")]
    Password,
    /// Another advertisement interval.
    #[error("advertisement interval {found} s, ours is {wanted} s")]
    Interval {
        /// In the packet.
        found: u8,
        /// Ours.
        wanted: u8,
    },
    /// Another number of addresses.
    #[error("{found} addresses, we have {wanted}")]
    AddressCount {
        /// In the packet.
        found: usize,
        /// Ours.
        wanted: usize,
    },
    /// An address that we do not have.
    #[error("address {0} is not one of ours")]
    AddressList(IpAddr),
}

impl Refused {
    /// The counter's name.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Datagram => "datagram",
            Self::OwnAddress => "own-address",
            Self::Stranger => "stranger",
            Self::Destination(_) => "destination",
            Self::Ttl(_) => "ttl",
            Self::Version(_) => "version",
            Self::Type(_) => "type",
            Self::Length { .. } => "length",
            Self::Checksum => "checksum",
            Self::AuthenticationType { .. } | Self::Password => "authentication",
            Self::Interval { .. } => "interval",
            Self::AddressCount { .. } => "address-count",
            Self::AddressList(_) => "address-list",
        }
    }
}

/// The Internet checksum (RFC 1071); version 2 has no pseudo-header.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An advertisement with this priority, without IP header.
pub fn encode(form: &Form, priority: u8) -> Vec<u8> {
    let addresses = &form.addresses[..form.addresses.len().min(MAX_ADDRESSES)];
    let mut bytes = Vec::with_capacity(HEADER_BYTES + 4 * addresses.len() + AUTHENTICATION_BYTES);
    let authentication = if form.password.is_some() {
        SIMPLE_PASSWORD
    } else {
        NO_AUTHENTICATION
    };
    bytes.extend([
        VERSION_AND_TYPE,
        form.vrid,
        priority,
        addresses.len() as u8,
        authentication,
        form.interval_s,
        0,
        0,
    ]);
    for address in addresses {
        // Version 2 carries IPv4 alone.
        if let IpAddr::V4(address) = address {
            bytes.extend(address.octets());
        }
    }
    bytes.extend(form.password.unwrap_or_default());
    let sum = checksum(&bytes).to_be_bytes();
    bytes[6..8].copy_from_slice(&sum);
    bytes
}

/// A datagram as it came, told apart so far that its instance can be found.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// TTL.
    pub ttl: u8,
    /// What follows the IP header.
    pub payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Takes the IP header off.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Refused> {
        let header = bytes
            .first_chunk::<IP_HEADER_BYTES>()
            .ok_or(Refused::Datagram)?;
        let header_bytes = usize::from(header[0] & 0x0f) * 4;
        let total_bytes = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] >> 4 != 4 || header[9] != 112 || header_bytes < IP_HEADER_BYTES {
            return Err(Refused::Datagram);
        }
        let payload = bytes
            .get(header_bytes..total_bytes)
            .ok_or(Refused::Datagram)?;
        Ok(Self {
            source: Ipv4Addr::new(header[12], header[13], header[14], header[15]).into(),
            destination: Ipv4Addr::new(header[16], header[17], header[18], header[19]).into(),
            ttl: header[8],
            payload,
        })
    }

    /// The virtual router that it is about.
    pub fn vrid(&self) -> Option<u8> {
        self.payload.get(1).copied()
    }

    /// Checks everything that RFC 3768 7.1 and keepalived 2.2.7 check.
    pub fn check(&self, form: &Form, reach: &Reach, own: IpAddr) -> Result<Heard, Refused> {
        if self.source == own {
            return Err(Refused::OwnAddress);
        }
        match reach {
            Reach::Multicast(group) => {
                if self.destination != *group {
                    return Err(Refused::Destination(self.destination));
                }
                if self.ttl != TTL {
                    return Err(Refused::Ttl(self.ttl));
                }
            }
            // A unicast peer may live behind a router; being listed is its proof.
            Reach::Unicast(peers) => {
                if self.destination.is_multicast() {
                    return Err(Refused::Destination(self.destination));
                }
                if !peers.contains(&self.source) {
                    return Err(Refused::Stranger);
                }
            }
        }
        let short = Refused::Length {
            found: self.payload.len(),
            wanted: HEADER_BYTES + AUTHENTICATION_BYTES,
        };
        let &[
            version_type,
            _,
            priority,
            count,
            authentication,
            interval,
            _,
            _,
        ] = self.payload.first_chunk::<HEADER_BYTES>().ok_or(short)?;
        if version_type >> 4 != 2 {
            return Err(Refused::Version(version_type >> 4));
        }
        if version_type & 0x0f != 1 {
            return Err(Refused::Type(version_type & 0x0f));
        }
        let count = usize::from(count);
        let wanted = HEADER_BYTES + 4 * count + AUTHENTICATION_BYTES;
        if self.payload.len() != wanted {
            return Err(Refused::Length {
                found: self.payload.len(),
                wanted,
            });
        }
        // Over bytes that hold their own checksum the sum is all ones.
        if checksum(self.payload) != 0 {
            return Err(Refused::Checksum);
        }
        let ours = if form.password.is_some() {
            SIMPLE_PASSWORD
        } else {
            NO_AUTHENTICATION
        };
        if authentication != ours {
            return Err(Refused::AuthenticationType {
                found: authentication,
                wanted: ours,
            });
        }
        let (addresses, data) = self.payload[HEADER_BYTES..].split_at(4 * count);
        if form.password.is_some_and(|password| password != data) {
            return Err(Refused::Password);
        }
        if interval != form.interval_s {
            return Err(Refused::Interval {
                found: interval,
                wanted: form.interval_s,
            });
        }
        // keepalived 2.2.7 drops an advertisement whose addresses differ; obeying it would hide the mistake.
        if count != form.addresses.len() {
            return Err(Refused::AddressCount {
                found: count,
                wanted: form.addresses.len(),
            });
        }
        for octets in addresses.chunks_exact(4) {
            let address = IpAddr::from([octets[0], octets[1], octets[2], octets[3]]);
            if !form.addresses.contains(&address) {
                return Err(Refused::AddressList(address));
            }
        }
        Ok(Heard {
            from: self.source,
            priority,
            interval: Duration::from_secs(interval.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 230, 137, 1));
    const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 230, 137, 2));
    const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18));
    /// What keepalived 2.2.7 sent for this form with priority 100, IP header included.
    const KEEPALIVED: [u8; 48] = [
        0x45, 0xc0, 0x00, 0x30, 0x00, 0x01, 0x00, 0x00, 0xff, 0x70, 0x46, 0xa3, 0x0a, 0xe6, 0x89,
        0x01, 0xe0, 0x00, 0x00, 0x12, 0x21, 0x32, 0x64, 0x03, 0x01, 0x01, 0x61, 0xad, 0x0a, 0xe6,
        0x89, 0x64, 0x0a, 0xe6, 0x89, 0x65, 0x0a, 0xe6, 0x89, 0x66, 0x70, 0x61, 0x73, 0x73, 0x77,
        0x64, 0x00, 0x00,
    ];

    fn form() -> Form {
        let address = |last| IpAddr::from([10, 230, 137, last]);
        Form {
            vrid: 50,
            interval_s: 1,
            password: Some(*b"passwd\0\0"),
            addresses: vec![address(100), address(101), address(102)],
        }
    }

    fn check(bytes: &[u8]) -> Result<Heard, Refused> {
        Datagram::read(bytes)?.check(&form(), &Reach::Multicast(GROUP), OWN)
    }

    /// keepalived's packet, changed, with its checksum made right again.
    fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Result<Heard, Refused> {
        let mut bytes = KEEPALIVED.to_vec();
        change(&mut bytes);
        let total = (bytes.len() as u16).to_be_bytes();
        bytes[2..4].copy_from_slice(&total);
        bytes[26..28].fill(0);
        let sum = checksum(&bytes[20..]).to_be_bytes();
        bytes[26..28].copy_from_slice(&sum);
        check(&bytes)
    }

    #[test]
    fn keepalived_is_understood_and_written_alike() {
        assert_eq!(
            check(&KEEPALIVED),
            Ok(Heard {
                from: PEER,
                priority: 100,
                interval: Duration::from_secs(1),
            })
        );
        assert_eq!(encode(&form(), 100), &KEEPALIVED[20..]);
    }

    #[test]
    fn each_wrong_field_is_refused_by_its_name() {
        let mut damaged = KEEPALIVED;
        damaged[26] ^= 1;
        assert_eq!(check(&damaged), Err(Refused::Checksum));
        assert_eq!(changed(|bytes| bytes[8] = 254), Err(Refused::Ttl(254)));
        assert_eq!(changed(|bytes| bytes[9] = 17), Err(Refused::Datagram));
        assert_eq!(changed(|bytes| bytes[0] = 0x65), Err(Refused::Datagram));
        assert_eq!(changed(|bytes| bytes[15] = 2), Err(Refused::OwnAddress));
        let to = IpAddr::from([224, 0, 0, 19]);
        assert_eq!(
            changed(|bytes| bytes[19] = 19),
            Err(Refused::Destination(to))
        );
        assert_eq!(changed(|bytes| bytes[20] = 0x31), Err(Refused::Version(3)));
        assert_eq!(changed(|bytes| bytes[20] = 0x22), Err(Refused::Type(2)));
        assert_eq!(
            changed(|bytes| bytes[24] = 0),
            Err(Refused::AuthenticationType {
                found: 0,
                wanted: 1
            })
        );
        assert_eq!(
            changed(|bytes| bytes[24] = 2),
            Err(Refused::AuthenticationType {
                found: 2,
                wanted: 1
            })
        );
        assert_eq!(changed(|bytes| bytes[45] = b'x'), Err(Refused::Password));
        assert_eq!(
            changed(|bytes| bytes[25] = 2),
            Err(Refused::Interval {
                found: 2,
                wanted: 1
            })
        );
        assert_eq!(
            changed(|bytes| bytes[23] = 2),
            Err(Refused::Length {
                found: 28,
                wanted: 24
            })
        );
        assert_eq!(
            changed(|bytes| bytes.push(0)),
            Err(Refused::Length {
                found: 29,
                wanted: 28
            })
        );
        let fewer = changed(|bytes| {
            bytes[23] = 2;
            bytes.drain(36..40);
        });
        assert_eq!(
            fewer,
            Err(Refused::AddressCount {
                found: 2,
                wanted: 3
            })
        );
        let other = IpAddr::from([10, 230, 137, 7]);
        assert_eq!(
            changed(|bytes| bytes[31] = 7),
            Err(Refused::AddressList(other))
        );
    }

    #[test]
    fn a_packet_cut_at_any_byte_is_refused() {
        for length in 0..KEEPALIVED.len() {
            assert_eq!(
                check(&KEEPALIVED[..length]),
                Err(Refused::Datagram),
                "{length} bytes"
            );
            if length >= 28 {
                let cut = changed(|bytes| bytes.truncate(length));
                assert!(
                    matches!(cut, Err(Refused::Length { .. })),
                    "{length} bytes: {cut:?}"
                );
            }
        }
    }

    #[test]
    fn a_unicast_instance_hears_listed_peers_alone() {
        let mut bytes = KEEPALIVED;
        bytes[16..20].copy_from_slice(&[10, 230, 137, 2]);
        bytes[8] = 63;
        let datagram = Datagram::read(&bytes).expect("whole");
        assert!(
            datagram
                .check(&form(), &Reach::Unicast(vec![PEER]), OWN)
                .is_ok()
        );
        assert_eq!(
            datagram.check(&form(), &Reach::Unicast(vec![]), OWN),
            Err(Refused::Stranger)
        );
        let multicast = Datagram::read(&KEEPALIVED).expect("whole");
        assert_eq!(
            multicast.check(&form(), &Reach::Unicast(vec![PEER]), OWN),
            Err(Refused::Destination(GROUP))
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1200)) {
            let _ = check(&bytes);
        }

        #[test]
        fn no_change_of_bytes_makes_it_panic(at in 0_usize..48, value: u8) {
            let mut bytes = KEEPALIVED;
            bytes[at] = value;
            let _ = check(&bytes);
        }
    }
}
