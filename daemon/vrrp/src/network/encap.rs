//! What a hop of a route has beside its gateway: realms, and the tunnel that packets go into.

use std::net::IpAddr;

use config::keepalived::{Encap, IpTunnel, NextHop};
use netlink_packet_route::route::RouteAttribute;
use rtnetlink::packet_core::DefaultNla;

/// Attributes of a route.
const RTA_FLOW: u16 = 11;
const RTA_ENCAP_TYPE: u16 = 21;
const RTA_ENCAP: u16 = 22;
/// This attribute holds others.
const NESTED: u16 = 1 << 15;
/// Kinds of tunnels (linux/lwtunnel.h).
const LWTUNNEL_MPLS: u16 = 1;
const LWTUNNEL_IP: u16 = 2;
const LWTUNNEL_ILA: u16 = 3;
const LWTUNNEL_IP6: u16 = 4;
/// What `ip` and `ip6` have, with the same numbers.
const LWTUNNEL_ID: u16 = 1;
const LWTUNNEL_DST: u16 = 2;
const LWTUNNEL_SRC: u16 = 3;
const LWTUNNEL_TTL: u16 = 4;
const LWTUNNEL_TOS: u16 = 5;
/// What `mpls` and `ila` have.
const MPLS_DST: u16 = 1;
const ILA_LOCATOR: u16 = 1;

/// The attributes of a hop. They are written as bytes: the library has names for a part of them only.
pub(super) fn attributes(hop: &NextHop) -> Vec<RouteAttribute> {
    let mut found = Vec::new();
    if let Some(realms) = hop.realms {
        found.push(other(RTA_FLOW, realms.to_ne_bytes().to_vec()));
    }
    if let Some(encap) = &hop.encap {
        let (kind, inner) = match encap {
            Encap::Mpls(labels) => (LWTUNNEL_MPLS, attribute(MPLS_DST, &stack(labels))),
            Encap::Ip(tunnel) if tunnel.ipv6 => (LWTUNNEL_IP6, outer_header(tunnel)),
            Encap::Ip(tunnel) => (LWTUNNEL_IP, outer_header(tunnel)),
            Encap::Ila(locator) => (LWTUNNEL_ILA, attribute(ILA_LOCATOR, &locator.to_be_bytes())),
        };
        found.push(other(RTA_ENCAP | NESTED, inner));
        found.push(other(RTA_ENCAP_TYPE, kind.to_ne_bytes().to_vec()));
    }
    found
}

fn other(kind: u16, value: Vec<u8>) -> RouteAttribute {
    RouteAttribute::Other(DefaultNla::new(kind, value))
}

fn outer_header(tunnel: &IpTunnel) -> Vec<u8> {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let written = [
        (LWTUNNEL_ID, tunnel.id.map(|id| id.to_be_bytes().to_vec())),
        (LWTUNNEL_DST, tunnel.destination.map(octets)),
        (LWTUNNEL_SRC, tunnel.source.map(octets)),
        (LWTUNNEL_TTL, tunnel.ttl.map(|ttl| vec![ttl])),
        (LWTUNNEL_TOS, tunnel.tos.map(|tos| vec![tos])),
    ];
    let all = written.into_iter();
    all.filter_map(|(kind, value)| Some(attribute(kind, &value?)))
        .flatten()
        .collect()
}

/// Entries of an MPLS label stack (RFC 3032 section 2.1); the last one has the bottom's bit.
fn stack(labels: &[u32]) -> Vec<u8> {
    let last = labels.len().saturating_sub(1);
    let entry =
        |(at, label): (usize, &u32)| (label << 12 | u32::from(at == last) << 8).to_be_bytes();
    labels.iter().enumerate().flat_map(entry).collect()
}

/// One netlink attribute with its padding.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    const HEADER_BYTES: usize = 4;
    const ALIGNMENT_BYTES: usize = 4;
    let length = HEADER_BYTES + value.len();
    // Values are at most a stack of labels.
    let mut bytes = u16::try_from(length)
        .unwrap_or(u16::MAX)
        .to_ne_bytes()
        .to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(length.next_multiple_of(ALIGNMENT_BYTES), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_of_labels_ends_with_its_bottom() {
        assert_eq!(stack(&[100]), [0x00, 0x06, 0x41, 0x00]);
        assert_eq!(stack(&[16, 17]), [0, 1, 0, 0, 0, 1, 0x11, 0]);
    }

    #[test]
    fn attributes_are_padded_and_their_length_is_not() {
        let bytes = attribute(LWTUNNEL_TTL, &[5]);
        assert_eq!(bytes[..2], 5_u16.to_ne_bytes());
        assert_eq!(
            bytes[2..],
            [4_u16.to_ne_bytes().as_slice(), &[5, 0, 0, 0]].concat()
        );
    }
}
