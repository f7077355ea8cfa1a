//! What an instance says on the wire: version, interval, addresses of the packets, authentication, strictness.

use std::net::IpAddr;
use std::time::Duration;

use super::hmac::{self, AuthHmac};
use super::model::*;
use super::parser::{body, entries};
use super::tree::Statement;
use super::values::{Complaints, address, parse_seconds, switch};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::source::{Span, Word};

/// Octets of a password on the wire.
const PASSWORD_OCTETS: usize = 8;
/// Longest interval that version 3 can say.
const MAX_V3_INTERVAL: Duration = Duration::from_millis(40_950);
/// Shortest interval, and the unit of version 3.
const CENTISECOND: Duration = Duration::from_millis(10);

/// These keywords while an instance's lines are read.
pub(super) struct Advertising {
    version: Option<(Version, Span)>,
    advert_int: Option<(Duration, Span)>,
    auth_type: Option<Word>,
    auth_pass: Option<Word>,
    pub(super) hmac: Option<hmac::Pending>,
    native_ipv6: Option<Span>,
    source_address: Option<(IpAddr, Span)>,
    group: Option<(IpAddr, Span)>,
    peers: Vec<(IpAddr, Span)>,
    peer_ttls: Vec<PeerTtl>,
    unicast_ttl: u8,
    /// The first keyword that makes sense with unicast alone.
    unicast_word: Option<Word>,
    fault_no_peer: bool,
    skip_check_adv_addr: bool,
    checksum: Checksum,
    strict: bool,
}

/// What they come to.
pub(super) struct Advertised {
    pub(super) version: Version,
    pub(super) advert_int: Duration,
    pub(super) authentication: Option<Authentication>,
    pub(super) auth_hmac: Option<AuthHmac>,
    pub(super) source_address: Option<IpAddr>,
    pub(super) group: Option<IpAddr>,
    pub(super) unicast_peers: Vec<IpAddr>,
    pub(super) peer_ttls: Vec<PeerTtl>,
    pub(super) unicast_ttl: u8,
    pub(super) unicast_fault_no_peer: bool,
    pub(super) skip_check_adv_addr: bool,
    pub(super) checksum: Checksum,
    pub(super) strict: bool,
}

impl Advertising {
    /// Nothing is said but what `global_defs` says of all.
    pub(super) fn new(global: &GlobalDefs) -> Self {
        Self {
            version: None,
            advert_int: None,
            auth_type: None,
            auth_pass: None,
            hmac: None,
            native_ipv6: None,
            source_address: None,
            group: None,
            peers: Vec::new(),
            peer_ttls: Vec::new(),
            unicast_ttl: u8::MAX,
            unicast_word: None,
            fault_no_peer: false,
            skip_check_adv_addr: global.skip_check_adv_addr,
            checksum: Checksum::default(),
            strict: global.strict,
        }
    }

    /// Settles the family, and drops what is of the other one, as keepalived does.
    pub(super) fn finish(
        &self,
        global: &GlobalDefs,
        virtual_addresses: &mut Vec<VirtualAddress>,
        complaints: &mut Complaints<'_>,
    ) -> Advertised {
        let ipv6 = virtual_addresses
            .first()
            .is_some_and(|entry| entry.address.is_ipv6());
        if let Some(span) = self.native_ipv6.filter(|_| !ipv6) {
            let message = "'native_ipv6' does nothing: the virtual addresses are IPv4";
            complaints.warning(DiagnosticKind::Pointless, span, message);
        }
        let mut fits = |found: IpAddr, span: Span, what: &str| {
            if found.is_ipv6() != ipv6 {
                let family = if ipv6 { "IPv6" } else { "IPv4" };
                let message =
                    format!("{what} {found} is ignored: the first virtual address is {family}");
                let diagnostic = Diagnostic::warning(DiagnosticKind::InvalidValue, span, message);
                complaints.help(
                    diagnostic,
                    "give each family a vrrp_instance of its own, or use virtual_ipaddress_excluded",
                );
                return false;
            }
            true
        };
        virtual_addresses.retain(|entry| fits(entry.address, entry.span, "the virtual address"));
        let mut one = |found: Option<(IpAddr, Span)>, what: &str| {
            found
                .filter(|(found, span)| fits(*found, *span, what))
                .map(|(found, _)| found)
        };
        let source_address = one(self.source_address, "the source address");
        let group = one(self.group, "'mcast_dst_ip'");
        let unicast_peers: Vec<IpAddr> = self
            .peers
            .iter()
            .filter_map(|peer| one(Some(*peer), "the unicast_peer"))
            .collect();
        let fault_no_peer = self.fault_no_peer && unicast_peers.is_empty();
        if let Some(word) = self
            .unicast_word
            .as_ref()
            .filter(|_| unicast_peers.is_empty() && !fault_no_peer)
        {
            let message = format!(
                "'{}' without a 'unicast_peer': the instance speaks by multicast",
                word.text
            );
            complaints.warning(DiagnosticKind::Pointless, word.span, message);
        }
        if let Some((_, span)) = self.group.filter(|_| !unicast_peers.is_empty()) {
            let message = "'mcast_dst_ip' does nothing with 'unicast_peer'";
            complaints.warning(DiagnosticKind::Pointless, span, message);
        }
        // RFC 5798 5.2.9.
        let first = virtual_addresses.first();
        if let Some((entry, IpAddr::V6(address))) = first.map(|entry| (entry, entry.address))
            && self.strict
            && !address.is_unicast_link_local()
        {
            let message = "strict_mode: the first virtual address must be link-local";
            complaints.warning(DiagnosticKind::InvalidValue, entry.span, message);
        }
        let version = self.version(global, ipv6, complaints);
        let advert_int = self.interval(version, complaints);
        let auth_hmac = hmac::finish(self.hmac.as_ref(), advert_int, self.strict, complaints);
        Advertised {
            version,
            advert_int,
            authentication: self.authentication(version, complaints),
            auth_hmac,
            source_address,
            group,
            unicast_peers,
            peer_ttls: self.peer_ttls.clone(),
            unicast_ttl: self.unicast_ttl,
            unicast_fault_no_peer: fault_no_peer,
            skip_check_adv_addr: self.skip_check_adv_addr,
            checksum: self.checksum,
            strict: self.strict,
        }
    }

    /// IPv6 instances always speak version 3.
    fn version(&self, global: &GlobalDefs, ipv6: bool, complaints: &mut Complaints<'_>) -> Version {
        if !ipv6 {
            return self
                .version
                .map_or(global.vrrp_version, |(version, _)| version);
        }
        if let Some((Version::V2, span)) = self.version {
            let message = "version 2 has no IPv6 addresses: version 3 is used";
            complaints.warning(DiagnosticKind::InvalidValue, span, message);
        }
        Version::V3
    }

    fn interval(&self, version: Version, complaints: &mut Complaints<'_>) -> Duration {
        let Some((written, span)) = self.advert_int else {
            return Duration::from_secs(1);
        };
        let (used, unit) = match version {
            Version::V2 => {
                let whole = written.as_secs_f64().round().max(1.0) as u64;
                (Duration::from_secs(whole), "whole seconds")
            }
            Version::V3 => {
                let centiseconds = (written.as_secs_f64() * 100.0).round().max(1.0) as u32;
                let used = (CENTISECOND * centiseconds).min(MAX_V3_INTERVAL);
                (used, "hundredths of a second, up to 40.95 s")
            }
        };
        if used != written {
            let message = format!(
                "version {} counts {unit}: an advert_int of {} s is used",
                version.number(),
                used.as_secs_f64()
            );
            complaints.warning(DiagnosticKind::InvalidValue, span, message);
        }
        used
    }

    fn authentication(
        &self,
        version: Version,
        complaints: &mut Complaints<'_>,
    ) -> Option<Authentication> {
        let kind = self.auth_type.as_ref()?;
        if self.hmac.is_some() {
            let message = "'authentication' does nothing beside 'auth_hmac'";
            complaints.warning(DiagnosticKind::Pointless, kind.span, message);
            return None;
        }
        let make = match kind.text.as_str() {
            "PASS" => Authentication::Pass,
            "AH" => Authentication::Ah,
            _ => {
                let message = format!("'auth_type' expects PASS or AH, found '{}'", kind.text);
                complaints.left_out(kind.span, message);
                return None;
            }
        };
        let Some(password) = self.auth_pass.as_ref().filter(|word| !word.text.is_empty()) else {
            let message = format!(
                "'auth_type {}' without an 'auth_pass': advertisements are not authenticated",
                kind.text
            );
            complaints.warning(DiagnosticKind::Pointless, kind.span, message);
            return None;
        };
        let why = match version {
            Version::V3 => Some("version 3 has no authentication"),
            Version::V2 if self.strict => Some("strict_mode does not allow it"),
            Version::V2 => None,
        };
        if let Some(why) = why {
            let message = format!("'authentication' does nothing: {why}");
            complaints.warning(DiagnosticKind::Pointless, kind.span, message);
            return None;
        }
        let bytes = password.text.as_bytes();
        let mut octets = [0; PASSWORD_OCTETS];
        let length = bytes.len().min(PASSWORD_OCTETS);
        octets[..length].copy_from_slice(&bytes[..length]);
        if bytes.len() > PASSWORD_OCTETS {
            let used = String::from_utf8_lossy(&octets).into_owned();
            let message =
                format!("a password has at most {PASSWORD_OCTETS} characters: '{used}' is sent");
            let diagnostic =
                Diagnostic::warning(DiagnosticKind::InvalidValue, password.span, message);
            complaints.help(
                diagnostic,
                format!(
                    "write '{used}' here, which is the same on the wire; or choose another of at most \
                     {PASSWORD_OCTETS} characters on all nodes at once"
                ),
            );
        }
        Some(make(octets))
    }
}

/// `version`.
pub(super) fn version(
    target: &mut Advertising,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    if let Some(version) = super::parser::version(statement, complaints) {
        target.version = Some((version, statement.span()));
    }
}

/// `advert_int`.
pub(super) fn advert_int(
    target: &mut Advertising,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    const MAX_SECONDS: u32 = 255;
    match parse_seconds(statement.text(1), MAX_SECONDS) {
        Some(interval) if interval >= CENTISECOND => {
            target.advert_int = Some((interval, statement.span()));
        }
        _ => complaints.wrong(statement, "seconds from 0.01 to 255"),
    }
}

/// `authentication { auth_type …; auth_pass … }`.
pub(super) fn authentication(
    target: &mut Advertising,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    for line in body(statement) {
        // A block on one line has all its words in one statement.
        let mut words = line.words.iter();
        while let Some(keyword) = words.next() {
            match keyword.text.as_str() {
                "auth_type" => target.auth_type = words.next().cloned(),
                "auth_pass" => target.auth_pass = words.next().cloned(),
                _ => {
                    complaints.unknown(line, "'authentication'", ["auth_pass", "auth_type"]);
                    break;
                }
            }
        }
    }
}

/// `native_ipv6`.
pub(super) fn native_ipv6(target: &mut Advertising, statement: &Statement, _: &mut Complaints<'_>) {
    target.native_ipv6 = Some(statement.span());
}

/// `mcast_src_ip` and `unicast_src_ip`.
pub(super) fn source_address(
    target: &mut Advertising,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    if statement.name() == "unicast_src_ip" {
        note_unicast(target, statement);
    }
    match address(statement.text(1)) {
        Some(found) => target.source_address = Some((found, statement.span())),
        None => complaints.wrong(statement, "an IP address"),
    }
}

/// `mcast_dst_ip`.
pub(super) fn group(
    target: &mut Advertising,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    match address(statement.text(1)) {
        Some(found) if is_group(found) => target.group = Some((found, statement.span())),
        Some(found) => {
            let wanted = match found {
                IpAddr::V4(_) => "a multicast address",
                IpAddr::V6(_) => "a link-local multicast address (ffX2::)",
            };
            let message = format!("'{}' is ignored: {found} is not {wanted}", statement.name());
            complaints.warning(DiagnosticKind::InvalidValue, statement.span(), message);
        }
        None => complaints.wrong(statement, "a multicast address"),
    }
}

/// Multicast; over IPv6 on the link alone.
pub(super) fn is_group(address: IpAddr) -> bool {
    const SCOPE_LINK: u8 = 2;
    match address {
        IpAddr::V4(address) => address.is_multicast(),
        IpAddr::V6(address) => address.is_multicast() && address.octets()[1] & 0x0f == SCOPE_LINK,
    }
}

/// `unicast_peer { ADDRESS [min_ttl N] [max_ttl N] … }`.
pub(super) fn unicast_peer(
    target: &mut Advertising,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    note_unicast(target, statement);
    for line in body(statement) {
        let mut words = line.words.iter();
        while let Some(word) = words.next() {
            match (word.text.as_str(), address(&word.text)) {
                (name @ ("min_ttl" | "max_ttl"), _) => {
                    let value = words.next();
                    let limit = value.and_then(|value| value.text.parse::<u8>().ok());
                    let peer = target.peers.last().map(|(peer, _)| *peer);
                    match (limit, peer) {
                        (Some(limit), Some(peer)) => limit_ttl(target, peer, name, limit),
                        _ => {
                            let message = format!(
                                "'{name}' is ignored: it wants a peer before it and a number from 0 to 255 after it"
                            );
                            complaints.warning(DiagnosticKind::InvalidValue, word.span, message);
                        }
                    }
                }
                (_, Some(peer)) => {
                    if !target.peers.iter().any(|(known, _)| *known == peer) {
                        target.peers.push((peer, word.span));
                    }
                }
                (text, None) => {
                    let message = format!("'unicast_peer' expects IP addresses, found '{text}'");
                    complaints.left_out(word.span, message);
                }
            }
        }
    }
    for limits in target.peer_ttls.iter().filter(|one| one.min > one.max) {
        let message = format!(
            "min_ttl {} > max_ttl {}: all packets of {} will be refused",
            limits.min, limits.max, limits.peer
        );
        complaints.warning(DiagnosticKind::Pointless, statement.span(), message);
    }
    if entries(statement).next().is_none() {
        complaints.warning(
            DiagnosticKind::Pointless,
            statement.span(),
            "'unicast_peer' names nobody",
        );
    }
}

fn limit_ttl(target: &mut Advertising, peer: IpAddr, name: &str, limit: u8) {
    let at = target
        .peer_ttls
        .iter()
        .position(|known| known.peer == peer)
        .unwrap_or_else(|| {
            target.peer_ttls.push(PeerTtl {
                peer,
                min: 0,
                max: u8::MAX,
            });
            target.peer_ttls.len() - 1
        });
    let limits = &mut target.peer_ttls[at];
    if name == "min_ttl" {
        limits.min = limit;
    } else {
        limits.max = limit;
    }
}

/// `unicast_ttl`.
pub(super) fn unicast_ttl(
    target: &mut Advertising,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    note_unicast(target, statement);
    match statement.text(1).parse::<u8>() {
        Ok(0) => {
            let message =
                "a TTL of 0 reaches nobody by rights: 1 is used, which ends on the link as well";
            complaints.warning(DiagnosticKind::InvalidValue, statement.span(), message);
            target.unicast_ttl = 1;
        }
        Ok(ttl) => target.unicast_ttl = ttl,
        Err(_) => complaints.wrong(statement, "a number from 0 to 255"),
    }
}

/// `unicast_fault_no_peer`.
pub(super) fn fault_no_peer(
    target: &mut Advertising,
    statement: &Statement,
    _: &mut Complaints<'_>,
) {
    note_unicast(target, statement);
    target.fault_no_peer = true;
}

/// `old_unicast_checksum [never]`.
pub(super) fn old_unicast_checksum(
    target: &mut Advertising,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    note_unicast(target, statement);
    target.checksum = match statement.text(1) {
        "" => Checksum::OldUnicast,
        "never" => Checksum::NeverOldUnicast,
        other => {
            let message = format!("'old_unicast_checksum {other}' is ignored: 'never' or nothing");
            return complaints.warning(DiagnosticKind::InvalidValue, statement.span(), message);
        }
    };
}

/// `v3_checksum_as_v2`.
pub(super) fn checksum_as_v2(
    target: &mut Advertising,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    match switch(statement, complaints) {
        Some(true) => target.checksum = Checksum::WithoutPseudoHeader,
        Some(false) => target.checksum = Checksum::WithPseudoHeader,
        None => {}
    }
}

/// `skip_check_adv_addr`.
pub(super) fn skip_check_adv_addr(
    target: &mut Advertising,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    target.skip_check_adv_addr =
        switch(statement, complaints).unwrap_or(target.skip_check_adv_addr);
}

/// `strict_mode`.
pub(super) fn strict_mode(
    target: &mut Advertising,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    target.strict = switch(statement, complaints).unwrap_or(target.strict);
}

fn note_unicast(target: &mut Advertising, statement: &Statement) {
    if target.unicast_word.is_none() {
        target.unicast_word = statement.words.first().cloned();
    }
}
