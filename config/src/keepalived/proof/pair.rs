//! What the texts of both nodes prove together: instances that are meant for each other, and what keeps them apart.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::super::model::{Authentication, KeepalivedConfig, Version, VrrpInstance};
use super::Host;
use super::alone::{place, pointless};
use super::election::{Candidate, OWNER, outranks};
use super::keys::compare;
use super::links::{Link, companions, crossed};
use super::table::{Company, Scenario, scenarios};
use super::tracked::{Effect, Program, numbered, tracked_by, tracks_backends};
use crate::diagnostic::{Diagnostic, DiagnosticKind, Diagnostics, Severity};
use crate::source::SourceMap;

/// One of the two nodes.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// What it is called in the table.
    pub label: &'a str,
    /// Its configuration.
    pub config: &'a KeepalivedConfig,
    /// Its text: complaints about it name its files.
    pub sources: &'a SourceMap,
    /// What is known of its host.
    pub host: Option<&'a Host>,
    /// What runs there.
    pub program: Program,
}

/// What was proved of a pair.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairProof {
    /// Complaints with places in the first node's text.
    pub own: Diagnostics,
    /// Complaints with places in the second node's text.
    pub peer: Diagnostics,
    /// The virtual routers with what happens to each in every single failure.
    pub scenarios: Vec<Scenario>,
}

impl PairProof {
    /// Whether the pair can work: no error was found on either side.
    pub fn works(&self) -> bool {
        !self.own.has_errors() && !self.peer.has_errors()
    }
}

/// Proves both nodes' configurations against each other.
pub fn prove_pair(own: Side<'_>, peer: Side<'_>) -> PairProof {
    let mut proof = PairProof::default();
    let mut taken = BTreeSet::new();
    let mut links = Vec::new();
    let partners = partners(own.config, peer.config);
    for (at, partner) in partners.iter().copied().enumerate() {
        let instance = &own.config.instances[at];
        let Some(partner) = partner else {
            proof.own.push(unmatched(instance, peer.label));
            continue;
        };
        taken.insert(partner);
        let pair = Pair {
            own: (own, instance),
            peer: (peer, &peer.config.instances[partner]),
        };
        let before = proof.own.0.len();
        pair.apart(&mut proof.own);
        let meets = !proof.own.0[before..]
            .iter()
            .any(|one| one.severity == Severity::Error);
        let candidates = pair.candidates();
        pair.election(&candidates, &mut proof);
        pair.unknown(&mut proof.peer);
        if meets {
            links.push(Link {
                at: [at, partner],
                candidates: candidates.clone(),
            });
        }
        let labels = [own.label, peer.label].map(str::to_owned);
        let others = companions(own.config, at).into_iter().filter_map(|other| {
            let partner = partners.get(other).copied().flatten()?;
            let pair = Pair {
                own: (own, own.config.instances.get(other)?),
                peer: (peer, peer.config.instances.get(partner)?),
            };
            Some(pair.candidates())
        });
        let company = Company {
            others: others.collect(),
            holds_back: [(own, at), (peer, partner)].map(|(side, at)| {
                side.program == Program::Tandem && !companions(side.config, at).is_empty()
            }),
        };
        proof
            .scenarios
            .extend(scenarios(labels, instance, candidates, company, meets));
    }
    crossed([own, peer], &links, &mut proof);
    for (at, instance) in peer.config.instances.iter().enumerate() {
        if !taken.contains(&at) {
            proof.peer.push(unmatched(instance, own.label));
        }
    }
    if taken.is_empty() {
        proof.own.push(Diagnostic {
            severity: Severity::Error,
            kind: DiagnosticKind::UnknownName,
            message: format!(
                "no vrrp_instance here belongs to one of {}: the two nodes are no pair",
                peer.label
            ),
            span: None,
            help: None,
        });
    }
    proof
}

fn unmatched(instance: &VrrpInstance, other: &str) -> Diagnostic {
    let message = format!(
        "vrrp_instance '{}' has no partner on {other}: nobody there takes over its addresses",
        instance.name.as_str()
    );
    pointless(instance.name.span, message)
        .with_help("a partner has the same virtual_router_id and the same addresses")
}

/// For each instance of the first configuration its partner in the second: the one most like it.
fn partners(own: &KeepalivedConfig, peer: &KeepalivedConfig) -> Vec<Option<usize>> {
    let mut pairs = Vec::new();
    for (at, instance) in own.instances.iter().enumerate() {
        for (other, candidate) in peer.instances.iter().enumerate() {
            let likeness = likeness(instance, candidate);
            if likeness > 0 {
                pairs.push((std::cmp::Reverse(likeness), at, other));
            }
        }
    }
    pairs.sort();
    let mut found = vec![None; own.instances.len()];
    let mut taken = BTreeSet::new();
    for (_, at, other) in pairs {
        if found[at].is_none() && taken.insert(other) {
            found[at] = Some(other);
        }
    }
    found
}

fn likeness(one: &VrrpInstance, other: &VrrpInstance) -> u32 {
    let shares = one
        .virtual_addresses
        .iter()
        .any(|entry| advertised(other).contains(&entry.address));
    let same_id =
        one.virtual_router_id == other.virtual_router_id && one.is_ipv6() == other.is_ipv6();
    let same_name = one.name.as_str() == other.name.as_str();
    let likeness = 8 * u32::from(shares) + 4 * u32::from(same_id) + 2 * u32::from(same_name);
    if likeness == 0 {
        return 0;
    }
    likeness + u32::from(one.interface == other.interface)
}

fn advertised(instance: &VrrpInstance) -> BTreeSet<IpAddr> {
    let entries = instance.virtual_addresses.iter();
    entries.map(|entry| entry.address).collect()
}

/// Two instances that are meant for each other.
struct Pair<'a> {
    own: (Side<'a>, &'a VrrpInstance),
    peer: (Side<'a>, &'a VrrpInstance),
}

impl Pair<'_> {
    /// `peer.conf:12`, where the partner says it.
    fn there(&self, keyword: &str) -> String {
        let (side, instance) = self.peer;
        let span = place(instance, keyword);
        format!("{}:{}", side.sources.name(span.file), span.line)
    }

    fn error(&self, keyword: &str, message: String) -> Diagnostic {
        let span = place(self.own.1, keyword);
        Diagnostic::error(DiagnosticKind::InvalidValue, span, message)
            .with_help(format!("the other side is {}", self.there(keyword)))
    }

    /// What makes each refuse the other's advertisements: then both are master.
    fn apart(&self, found: &mut Diagnostics) {
        let (own, peer) = (self.own.1, self.peer.1);
        let (here, there) = (self.own.0.label, self.peer.0.label);
        if own.virtual_router_id != peer.virtual_router_id {
            found.push(self.error(
                "virtual_router_id",
                format!(
                    "virtual_router_id {} here and {} on {there}: each is alone, and both are master at once",
                    own.virtual_router_id, peer.virtual_router_id
                ),
            ));
        }
        if own.version != peer.version {
            found.push(self.error(
                "version",
                format!(
                    "version {} here and {} on {there}: each refuses the other's advertisements, and both are master at once",
                    own.version.number(),
                    peer.version.number()
                ),
            ));
        }
        self.intervals(found);
        self.addresses(found);
        self.passwords(found);
        self.keys(found);
        self.reach(found);
        if own.priority == OWNER && peer.priority == OWNER {
            found.push(self.error(
                "priority",
                format!("priority 255 here and on {there}: {here} and {there} both are master from their start on"),
            ));
        }
    }

    fn intervals(&self, found: &mut Diagnostics) {
        let (own, peer) = (self.own.1, self.peer.1);
        if own.advert_int == peer.advert_int {
            return;
        }
        let there = self.peer.0.label;
        let difference = format!(
            "advert_int {} here and {} on {there}",
            seconds(own.advert_int),
            seconds(peer.advert_int)
        );
        match own.version {
            // RFC 3768 7.1: an advertisement with another interval is discarded.
            Version::V2 => found.push(self.error(
                "advert_int",
                format!("{difference}: in version 2 each refuses the other's advertisements, and both are master at once"),
            )),
            // RFC 5798 6.4.2: a backup counts with its master's interval.
            Version::V3 => found.push(
                pointless(
                    place(own, "advert_int"),
                    format!("{difference}: whoever is master decides how fast its failure is noticed"),
                )
                .with_help(format!("the other side is {}", self.there("advert_int"))),
            ),
        }
    }

    fn addresses(&self, found: &mut Diagnostics) {
        let (own, peer) = (advertised(self.own.1), advertised(self.peer.1));
        if own == peer {
            return;
        }
        let list = |one: &BTreeSet<IpAddr>, other: &BTreeSet<IpAddr>| {
            let only: Vec<String> = one.difference(other).map(IpAddr::to_string).collect();
            only.join(", ")
        };
        let (only_here, only_there) = (list(&own, &peer), list(&peer, &own));
        let there = self.peer.0.label;
        let difference = match (only_here.is_empty(), only_there.is_empty()) {
            (false, true) => format!("{only_here} is not on {there}"),
            (true, _) => format!("{only_there} of {there} is not here"),
            (false, false) => format!("{only_here} is not on {there}, {only_there} not here"),
        };
        found.push(self.error(
            "virtual_ipaddress",
            format!(
                "the lists of virtual addresses differ: {difference}. Each refuses the other's advertisements \
                 (keepalived up to 2.2 too), and both are master at once"
            ),
        ));
    }

    /// Version 3 has none.
    fn passwords(&self, found: &mut Diagnostics) {
        let (own, peer) = (self.own.1, self.peer.1);
        if own.version == Version::V3
            || peer.version == Version::V3
            || own.authentication == peer.authentication
            || own.auth_hmac.is_some()
            || peer.auth_hmac.is_some()
        {
            return;
        }
        let word = |authentication: &Option<Authentication>| match authentication {
            None => "none",
            Some(_) => "a password",
        };
        let what = match (&own.authentication, &peer.authentication) {
            (Some(_), Some(_)) => {
                "the passwords differ in their first 8 characters, or in their kind".to_owned()
            }
            (one, other) => format!(
                "authentication: {} here, {} on {}",
                word(one),
                word(other),
                self.peer.0.label
            ),
        };
        found.push(self.error(
            "authentication",
            format!("{what}: each refuses the other's advertisements, and both are master at once"),
        ));
    }

    /// Whether each believes what the other proves.
    fn keys(&self, found: &mut Diagnostics) {
        let (own, peer) = (self.own.1, self.peer.1);
        let labels = [self.own.0.label, self.peer.0.label];
        let keys = compare(own.auth_hmac.as_deref(), peer.auth_hmac.as_deref(), labels);
        for message in keys.errors {
            found.push(self.error("auth_hmac", message));
        }
        for message in keys.warnings {
            let place = place(own, "auth_hmac");
            let there = format!("the other side is {}", self.there("auth_hmac"));
            found.push(pointless(place, message).with_help(there));
        }
    }

    /// Whether what one sends reaches the other.
    fn reach(&self, found: &mut Diagnostics) {
        let (own, peer) = (self.own.1, self.peer.1);
        let there = self.peer.0.label;
        let unicast = |instance: &VrrpInstance| !instance.unicast_peers.is_empty();
        match (unicast(own), unicast(peer)) {
            (false, false) => {
                let group = |side: &Side<'_>| side.config.global.vrrp_mcast_group4;
                let (here, other) = (group(&self.own.0), group(&self.peer.0));
                if !own.is_ipv6() && here != other {
                    found.push(self.error(
                        "interface",
                        format!(
                            "vrrp_mcast_group4 {here} here and {other} on {there}: neither hears the other, and both are master at once"
                        ),
                    ));
                }
            }
            (true, true) => {
                self.named(self.own, self.peer, found);
                self.named(self.peer, self.own, found);
            }
            (one, _) => {
                let (here, other) = if one {
                    ("unicast", "multicast")
                } else {
                    ("multicast", "unicast")
                };
                found.push(self.error(
                    "unicast_peer",
                    format!("{here} here and {other} on {there}: neither hears the other, and both are master at once"),
                ));
            }
        }
    }

    /// Whether `one` lists the address from which `other` speaks.
    fn named(
        &self,
        one: (Side<'_>, &VrrpInstance),
        other: (Side<'_>, &VrrpInstance),
        found: &mut Diagnostics,
    ) {
        let sources = sources(other.0, other.1);
        if sources.is_empty()
            || one
                .1
                .unicast_peers
                .iter()
                .any(|peer| sources.contains(peer))
        {
            return;
        }
        let list =
            |addresses: &mut dyn Iterator<Item = String>| addresses.collect::<Vec<_>>().join(", ");
        found.push(self.error(
            "unicast_peer",
            format!(
                "{} speaks from {}, which is no unicast_peer of {} ({}): it is not heard there, and both are master at once",
                other.0.label,
                list(&mut sources.iter().map(IpAddr::to_string)),
                one.0.label,
                list(&mut one.1.unicast_peers.iter().map(IpAddr::to_string)),
            ),
        ));
    }

    fn candidates(&self) -> [Candidate; 2] {
        [(self.own, self.peer), (self.peer, self.own)].map(|((side, instance), (_, other))| {
            let mut sources = sources(side, instance);
            // Its partner names it.
            if sources.len() != 1 && other.unicast_peers.len() == 1 {
                sources = other.unicast_peers.clone();
            }
            let source = (sources.len() == 1).then(|| sources[0]);
            let tracked = tracked_by(side.config, instance, side.program);
            Candidate::new(instance, tracked, source).with_numbered(numbered(side.config, instance))
        })
    }

    /// What the other node's keepalived does not know.
    fn unknown(&self, found: &mut Diagnostics) {
        let (side, instance) = self.peer;
        if side.program == Program::Keepalived && tracks_backends(side.config, instance) {
            let message = format!(
                "'{}' on {}: keepalived does not know 'track_backend': the backend moves nothing there",
                instance.name.as_str(),
                side.label
            );
            let help = "track a script that asks the proxy, until both nodes run Tandem";
            found.push(pointless(instance.name.span, message).with_help(help));
        }
    }

    /// What both hear, and still is not as meant.
    fn election(&self, candidates: &[Candidate; 2], proof: &mut PairProof) {
        let (own, peer) = (self.own.1, self.peer.1);
        let (here, there) = (self.own.0.label, self.peer.0.label);
        if own.priority == peer.priority && own.priority != OWNER {
            let winner = match outranks((1, candidates[0].source), (1, candidates[1].source)) {
                Some(true) => format!("the higher address wins: that is {here}"),
                Some(false) => format!("the higher address wins: that is {there}"),
                None => "the higher address wins".to_owned(),
            };
            let span = place(own, "priority");
            proof.own.push(
                pointless(
                    span,
                    format!("priority {} here and on {there}: when both begin to speak at once, {winner}; \
                             otherwise whoever is master stays it", own.priority),
                )
                .with_help("give the node that is to be master the higher priority"),
            );
        }
        if own.nopreempt != peer.nopreempt {
            let (quiet, other, to) = if own.nopreempt {
                (here, there, &mut proof.own)
            } else {
                (there, here, &mut proof.peer)
            };
            let instance = if own.nopreempt { own } else { peer };
            to.push(pointless(
                place(instance, "nopreempt"),
                format!("'nopreempt' holds on {quiet} alone: {other} still takes the addresses back when its priority is higher"),
            ));
        }
        let both_stay = own.nopreempt && peer.nopreempt;
        self.weights(0, candidates, both_stay, &mut proof.own);
        self.weights(1, candidates, both_stay, &mut proof.peer);
        self.lonely(0, candidates, &mut proof.own);
        self.lonely(1, candidates, &mut proof.peer);
    }

    /// Weights that decide nothing, whatever else fails on either node.
    fn weights(
        &self,
        which: usize,
        candidates: &[Candidate; 2],
        both_stay: bool,
        found: &mut Diagnostics,
    ) {
        let (candidate, other) = (&candidates[which], &candidates[1 - which]);
        let (instance, label) = match which {
            0 => (self.own.1, self.peer.0.label),
            _ => (self.peer.1, self.own.0.label),
        };
        if candidate.base == OWNER || both_stay {
            return;
        }
        let Some(others) = other.reachable(None, 0) else {
            return;
        };
        for (at, item) in candidate.tracked.iter().enumerate() {
            if !item.is_weighted() {
                continue;
            }
            let reachable = |well: bool| match item.effect(well) {
                Effect::Priority(share) => candidate.reachable(Some(at), share),
                Effect::Fault => None,
            };
            let (Some(well), Some(failing)) = (reachable(true), reachable(false)) else {
                continue;
            };
            // Every priority that this node can have, with the item well or not, stands on one side of the other's.
            let all: BTreeSet<u8> = well.union(&failing).copied().collect();
            let outcomes: BTreeSet<Option<bool>> = all
                .iter()
                .flat_map(|one| {
                    others
                        .iter()
                        .map(|theirs| outranks((*one, candidate.source), (*theirs, other.source)))
                })
                .collect();
            if outcomes.len() != 1 || outcomes.contains(&None) {
                continue;
            }
            let range = |set: &BTreeSet<u8>| match (set.first(), set.last()) {
                (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
                (Some(first), _) => first.to_string(),
                (None, _) => "nothing".to_owned(),
            };
            let side = if outcomes.contains(&Some(true)) {
                "above"
            } else {
                "below"
            };
            let span = item.span.unwrap_or(instance.name.span);
            found.push(
                pointless(
                    span,
                    format!(
                        "weight {:+} of {} can never change who is master: the priority is {} here, always {side} \
                         the {} of {label}",
                        item.weight,
                        item.name,
                        range(&all),
                        range(&others)
                    ),
                )
                .with_help("a weight decides if it is greater than the difference of the priorities; without one a failure means FAULT"),
            );
        }
    }

    /// What one node tracks and the other does not.
    fn lonely(&self, which: usize, candidates: &[Candidate; 2], found: &mut Diagnostics) {
        let (instance, label) = match which {
            0 => (self.own.1, self.peer.0.label),
            _ => (self.peer.1, self.own.0.label),
        };
        for item in &candidates[which].tracked {
            let known = candidates[1 - which]
                .tracked
                .iter()
                .any(|other| other.name == item.name);
            if known || item.name.starts_with("interface ") {
                continue;
            }
            let span = item.span.unwrap_or(instance.name.span);
            found.push(pointless(
                span,
                format!(
                    "{} is tracked here and not on {label}: {label} keeps the addresses even if it fails there",
                    item.name
                ),
            ));
        }
    }
}

/// The addresses from which an instance may speak; none if neither the text nor the host tells.
fn sources(side: Side<'_>, instance: &VrrpInstance) -> Vec<IpAddr> {
    if let Some(source) = instance.source_address {
        return vec![source];
    }
    let virtual_addresses: BTreeSet<IpAddr> = side
        .config
        .instances
        .iter()
        .flat_map(super::alone::all_addresses)
        .map(|entry| entry.address)
        .collect();
    let Some(interface) = side
        .host
        .and_then(|host| host.interface(&instance.interface))
    else {
        return Vec::new();
    };
    // The first address of the family that is the interface's own (IPv6: link-local).
    interface
        .networks
        .iter()
        .map(|network| network.addr())
        .filter(|address| match address {
            IpAddr::V4(_) => !instance.is_ipv6(),
            IpAddr::V6(address) => instance.is_ipv6() && address.is_unicast_link_local(),
        })
        .find(|address| !virtual_addresses.contains(address))
        .into_iter()
        .collect()
}

/// `1 s`, `0.1 s`.
pub(super) fn seconds(duration: Duration) -> String {
    let text = format!("{:.3}", duration.as_secs_f64());
    format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
}
