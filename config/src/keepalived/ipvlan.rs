//! `use_ipvlan`: an interface of an instance's own that shares the Ethernet address of the one below.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::addressing::About;
use super::values::Complaints;
use super::words::MAX_INTERFACE_NAME_BYTES;
use crate::diagnostic::DiagnosticKind;
use crate::source::Word;

/// `use_ipvlan [NAME] [ADDRESS] [bridge|private|vepa]`: advertisements leave by it; the virtual addresses are on the
/// interface below, unless `use_vmac` is there too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipvlan {
    /// The interface's name; `vmac_prefix`, a dot and the virtual router's number by default.
    pub name: String,
    /// The address that advertisements leave with, and its prefix length, 32 (128) by default. Without one those of IPv6
    /// leave with the interface's link-local address; an instance of IPv4 stays in FAULT.
    pub address: Option<(IpAddr, u8)>,
    /// Who hears whom above the same interface.
    pub mode: IpvlanMode,
    /// `use_vmac` beside it: the virtual addresses are on it, too.
    pub holds_addresses: bool,
}

/// How ipvlans above one interface see each other. It is one for all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpvlanMode {
    /// They hear each other.
    #[default]
    Bridge,
    /// They do not.
    Private,
    /// They hear each other by way of the switch.
    Vepa,
}

/// `use_ipvlan`'s words, each of which may be missing.
pub(super) fn read(
    words: &[Word],
    about: &About<'_>,
    complaints: &mut Complaints<'_>,
) -> Option<Ipvlan> {
    let prefix = &about.global.announcing.vmac_prefix;
    let mut found = Ipvlan {
        name: format!("{prefix}.{}", about.virtual_router_id),
        address: None,
        mode: IpvlanMode::default(),
        holds_addresses: false,
    };
    let mut named = None;
    for word in words.iter().skip(1) {
        if let Some(address) = address(&word.text) {
            if address.0.is_ipv6() == about.ipv6 {
                found.address = Some(address);
            } else {
                let message = format!(
                    "the address {} of 'use_ipvlan' is ignored: the virtual addresses are of the other family",
                    address.0
                );
                complaints.warning(DiagnosticKind::InvalidValue, word.span, message);
            }
            continue;
        }
        match word.text.as_str() {
            "bridge" => found.mode = IpvlanMode::Bridge,
            "private" => found.mode = IpvlanMode::Private,
            "vepa" => found.mode = IpvlanMode::Vepa,
            name if named.is_none() => named = Some(name.to_owned()),
            name => {
                let message = format!("'use_ipvlan' has a name already: '{name}' is ignored");
                complaints.warning(DiagnosticKind::InvalidValue, word.span, message);
            }
        }
    }
    found.name = named.unwrap_or(found.name);
    let first = words.first()?;
    if found.name.is_empty() || found.name.len() >= MAX_INTERFACE_NAME_BYTES {
        let message = format!(
            "an interface's name has up to {} bytes: '{}'",
            MAX_INTERFACE_NAME_BYTES - 1,
            found.name
        );
        complaints.error(DiagnosticKind::InvalidValue, first.span, message);
        return None;
    }
    if found.address.is_none() && !about.ipv6 {
        let message = "'use_ipvlan' of an IPv4 instance needs an address of its own: the instance stays in FAULT";
        complaints.warning(DiagnosticKind::InvalidValue, first.span, message);
    }
    Some(found)
}

/// An address, perhaps with a prefix length.
fn address(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv6() { 128 } else { 32 };
    let prefix = match prefix {
        "" if !text.contains('/') => bits,
        written => written.parse().ok().filter(|length| *length <= bits)?,
    };
    Some((address, prefix))
}
