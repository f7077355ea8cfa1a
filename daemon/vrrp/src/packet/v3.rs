//! Version 3 (RFC 5798 and RFC 9568): IPv4 and IPv6, centiseconds, no authentication.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::checksum::{PseudoHeader, Sum};
use super::{Datagram, Form, HEADER_BYTES, MAX_ADDRESSES, Refused, Said};

/// Version 3, type 1 (advertisement).
const VERSION_AND_TYPE: u8 = 0x31;
/// The unit of the interval.
const CENTISECOND: Duration = Duration::from_millis(10);
/// The longest interval: twelve bits of centiseconds, 40.95 s.
const MAX_CENTISECONDS: u16 = 0x0fff;
/// The group whose address old keepalived summed up for unicast as well.
const DEFAULT_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// Whole centiseconds, 1 to 4095.
fn centiseconds(form: &Form) -> u16 {
    let count = form.interval.as_millis() / CENTISECOND.as_millis();
    u16::try_from(count)
        .unwrap_or(MAX_CENTISECONDS)
        .clamp(1, MAX_CENTISECONDS)
}

pub(super) fn encode(form: &Form, priority: u8, source: IpAddr, destination: IpAddr) -> Vec<u8> {
    let mut list = Vec::new();
    let mut count = 0_u8;
    let of_our_family = form
        .addresses
        .iter()
        .filter(|address| address.is_ipv6() == destination.is_ipv6());
    for address in of_our_family.take(MAX_ADDRESSES) {
        count += 1;
        match address {
            IpAddr::V4(address) => list.extend(address.octets()),
            IpAddr::V6(address) => list.extend(address.octets()),
        }
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + list.len());
    bytes.extend([VERSION_AND_TYPE, form.vrid, priority, count]);
    bytes.extend(centiseconds(form).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(list);
    let before = before(form.pseudo_header, source, destination, bytes.len());
    let sum = before.add(&bytes).finish().to_be_bytes();
    bytes[6..8].copy_from_slice(&sum);
    bytes
}

/// The sum of what the checksum covers before the payload.
fn before(kind: PseudoHeader, source: IpAddr, destination: IpAddr, length: usize) -> Sum {
    match (kind, source) {
        (PseudoHeader::Absent, IpAddr::V4(_)) => Sum::default(),
        (PseudoHeader::OfGroup(group), IpAddr::V4(_)) => {
            Sum::pseudo_header(source, group.into(), length)
        }
        // RFC 8200 8.1: over IPv6 there is no choice.
        (PseudoHeader::Included, _) | (_, IpAddr::V6(_)) => {
            Sum::pseudo_header(source, destination, length)
        }
    }
}

/// Checks what RFC 5798 7.1 and keepalived 2.2.7 check, but for the addresses.
pub(super) fn check<'a>(datagram: &Datagram<'a>, form: &Form) -> Result<Said<'a>, Refused> {
    let Datagram {
        source,
        destination,
        payload,
        ..
    } = *datagram;
    let short = Refused::Length {
        found: payload.len(),
        wanted: HEADER_BYTES,
    };
    let &[_, _, priority, count, high, low, _, _] =
        payload.first_chunk::<HEADER_BYTES>().ok_or(short)?;
    let wanted = HEADER_BYTES + address_bytes(source) * usize::from(count);
    if payload.len() != wanted {
        return Err(Refused::Length {
            found: payload.len(),
            wanted,
        });
    }
    // RFC 9568 5.2.8: peers of either kind are about, and over IPv4 all are understood.
    let kinds = [
        PseudoHeader::Included,
        PseudoHeader::Absent,
        form.pseudo_header,
        PseudoHeader::OfGroup(DEFAULT_GROUP),
    ];
    let kinds = if source.is_ipv6() {
        &kinds[..1]
    } else {
        &kinds
    };
    let fits = |kind: &PseudoHeader| {
        let sum = before(*kind, source, destination, payload.len());
        sum.add(payload).finish() == 0
    };
    let kind = *kinds
        .iter()
        .find(|kind| fits(kind))
        .ok_or(Refused::Checksum)?;
    // RFC 5798 5.2.6: the four bits before the interval are ignored.
    let interval = u16::from_be_bytes([high, low]) & MAX_CENTISECONDS;
    if interval == 0 {
        return Err(Refused::NoInterval);
    }
    Ok(Said {
        priority,
        interval: CENTISECOND * u32::from(interval),
        addresses: &payload[HEADER_BYTES..],
        other_checksum: (source.is_ipv4() && kind != form.pseudo_header).then_some(kind),
    })
}

/// Bytes of an address of this family.
pub(super) fn address_bytes(family: IpAddr) -> usize {
    match family {
        IpAddr::V4(_) => 4,
        IpAddr::V6(_) => 16,
    }
}
