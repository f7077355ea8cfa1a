//! `encap` of a route: packets leave inside others (lightweight tunnels), as ip-route(8) spells it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::names::number;
use super::words::Words;
use crate::source::Word;

/// Labels of MPLS have 20 bits (RFC 3032).
const MAX_LABEL: u32 = (1 << 20) - 1;
/// Most labels of a route, as the kernel takes them.
const MAX_LABELS: usize = 30;

/// What packets of a route are wrapped into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encap {
    /// `mpls LABEL[/LABEL…]`, the outermost first.
    Mpls(Vec<u32>),
    /// `ip` and `ip6`: the key of a tunnel that is on the route's device.
    Ip(IpTunnel),
    /// `ila`: the locator that replaces the upper half of the address.
    Ila(u64),
}

/// `encap ip` and `encap ip6`: what is set in the outer header. What is not written is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpTunnel {
    /// Whether the outer header is one of IPv6.
    pub ipv6: bool,
    /// `id`.
    pub id: Option<u64>,
    /// `dst`.
    pub destination: Option<IpAddr>,
    /// `src`.
    pub source: Option<IpAddr>,
    /// `ttl` or `hoplimit`.
    pub ttl: Option<u8>,
    /// `tos`, `dsfield` or `tc`.
    pub tos: Option<u8>,
}

/// Reads what follows `encap`. Kinds that keepalived does not know are a word that nobody knows.
pub(super) fn encap(words: &mut Words<'_, '_, '_>, keyword: &Word) -> Option<Encap> {
    let Some(kind) = words.next() else {
        words.error(keyword, "'encap' expects a kind: mpls, ip, ip6 or ila");
        return None;
    };
    match kind.text.as_str() {
        "mpls" => words.value(kind, "labels: LABEL[/LABEL…]", labels),
        "ip" => Some(Encap::Ip(tunnel(words, false))),
        "ip6" => Some(Encap::Ip(tunnel(words, true))),
        "ila" => words.value(kind, "a locator: four groups of an IPv6 address", locator),
        _ => {
            words.unknown(kind, ["mpls", "ip", "ip6", "ila"]);
            None
        }
    }
}

fn tunnel(words: &mut Words<'_, '_, '_>, ipv6: bool) -> IpTunnel {
    let mut tunnel = IpTunnel {
        ipv6,
        ..IpTunnel::default()
    };
    let family = move |text: &str| {
        let address = super::values::address(text)?;
        (address.is_ipv6() == ipv6).then_some(address)
    };
    let wanted = if ipv6 {
        "an IPv6 address"
    } else {
        "an IPv4 address"
    };
    loop {
        if let Some(word) = words.take("id") {
            tunnel.id = words.value(word, "a number", |text| text.parse().ok());
        } else if let Some(word) = words.take("dst") {
            tunnel.destination = words.value(word, wanted, family);
        } else if let Some(word) = words.take("src") {
            tunnel.source = words.value(word, wanted, family);
        } else if let Some(word) = words.take("ttl").or_else(|| words.take("hoplimit")) {
            tunnel.ttl = words.octet(word);
        } else if let Some(word) = words.take("tos").or_else(|| words.take("dsfield")) {
            tunnel.tos = words.octet(word);
        } else if let Some(word) = words.take("tc") {
            tunnel.tos = words.octet(word);
        } else {
            return tunnel;
        }
    }
}

fn labels(text: &str) -> Option<Encap> {
    let labels = text.split('/').map(|label| {
        let label = number(label)?;
        (label <= MAX_LABEL).then_some(label)
    });
    let labels: Vec<_> = labels.collect::<Option<_>>()?;
    (labels.len() <= MAX_LABELS).then_some(Encap::Mpls(labels))
}

fn locator(text: &str) -> Option<Encap> {
    let groups = text.split(':').map(|group| {
        let plain = (1..=4).contains(&group.len());
        plain.then(|| u16::from_str_radix(group, 16).ok()).flatten()
    });
    let groups: Vec<_> = groups.collect::<Option<_>>()?;
    let whole = groups
        .iter()
        .fold(0, |whole, group| whole << 16 | u64::from(*group));
    (groups.len() == 4).then_some(Encap::Ila(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_locators_have_their_bounds() {
        assert_eq!(labels("100/200"), Some(Encap::Mpls(vec![100, 200])));
        assert_eq!(labels("0x10"), Some(Encap::Mpls(vec![16])));
        assert_eq!(labels("1048576"), None);
        assert_eq!(labels("100/"), None);
        assert_eq!(labels(&["5"; 31].join("/")), None);
        assert_eq!(
            locator("1:2:3:ffff"),
            Some(Encap::Ila(0x0001_0002_0003_ffff))
        );
        assert_eq!(locator("1:2:3"), None);
        assert_eq!(locator("1:2:3:10000"), None);
    }
}
