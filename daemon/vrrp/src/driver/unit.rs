//! An instance with all that belongs to it: its definition, its core, its history, its counters.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use config::keepalived::{
    GlobalDefs, InitialState, Shared, VirtualAddress, VrrpInstance, VrrpScript,
};
use protocol::event::now_ms;
use protocol::vrrp::{
    InstanceSnapshot, MAX_TRANSITIONS, PeerSeen, Share, Transition, VrrpCounters, VrrpState,
};

use crate::core::tracking::{Item, Report};
use crate::core::{Instance, Moment, Peer, Rules};
use crate::network::{Network, View};
use crate::packet::Refused;

use super::authentication::Proofs;
use super::ports::PortNumber;
use super::routes::Troubles;
use super::voice::Voice;

/// Least time between two events about refused packets of one kind, or about packets not sent.
pub(super) const REPORT_SPACING: Duration = Duration::from_secs(60);

/// Refused packets of one kind.
#[derive(Default)]
struct Refusal {
    count: u64,
    told: u64,
    told_at: Option<Moment>,
}

/// An address with its device.
pub(super) type Entry = (String, VirtualAddress);

/// Who waits for the outcome of a failover.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Which control process.
    pub(super) generation: u64,
    /// Its number for the request.
    pub(super) id: u64,
}

/// A virtual router and what belongs to it.
pub(super) struct Unit {
    /// Its definition.
    pub(super) config: VrrpInstance,
    /// The state machine.
    pub(super) core: Instance,
    /// What it says and wants to hear.
    pub(super) voice: Voice,
    /// Our address.
    pub(super) source: IpAddr,
    /// What tracking does to it.
    pub(super) shares: Shared<Vec<Share>>,
    /// Counted packets; the refused ones are counted apart.
    pub(super) counters: VrrpCounters,
    /// The request that a failover answers.
    pub(super) asked: Option<Asked>,
    /// Its addresses stay for the next daemon.
    pub(super) kept: bool,
    /// Addresses that were there before us because we own them.
    pub(super) owned: Vec<IpAddr>,
    /// When its addresses were last added.
    pub(super) added_at: Moment,
    /// Its addresses, routes and rules that could not be added.
    pub(super) troubles: Troubles,
    /// When `garp_extra_if` is due.
    pub(super) extra_at: Option<Moment>,
    /// When addresses that vanished were last put back.
    pub(super) restored_at: Option<Moment>,
    /// When it was last told that an advertisement could not be sent.
    pub(super) unsent_at: Option<Moment>,
    /// Its socket.
    pub(super) port: Option<PortNumber>,
    /// Why its socket could not be opened.
    pub(super) port_error: Option<String>,
    refusals: BTreeMap<&'static str, Refusal>,
    history: VecDeque<Transition>,
    since_ms: u64,
}

impl Unit {
    /// A unit that waits for its first verdict. It has from `before` what it has alike.
    pub(super) fn new(config: VrrpInstance, global: &GlobalDefs, before: Option<&Self>) -> Self {
        let rules = rules(&config);
        let same = before.map(|before| before.core.rules());
        let core = match same.filter(|same| ***same == rules) {
            Some(same) => Instance::new(Arc::clone(same)),
            None => Instance::new(rules),
        };
        let voice = Voice::new(&config, global);
        Self {
            config,
            core,
            voice,
            source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            shares: Shared::default(),
            counters: VrrpCounters::default(),
            asked: None,
            kept: false,
            owned: Vec::new(),
            added_at: Moment::ZERO,
            troubles: Troubles::new(),
            extra_at: None,
            restored_at: None,
            unsent_at: None,
            port: None,
            port_error: None,
            refusals: BTreeMap::new(),
            history: VecDeque::new(),
            since_ms: now_ms(),
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.config.name.as_str()
    }

    /// Takes another definition of the same virtual router; the state and the timers stay. The old definition, and the
    /// addresses until now.
    pub(super) fn follow(
        &mut self,
        now: Moment,
        config: VrrpInstance,
        global: &GlobalDefs,
    ) -> (VrrpInstance, Vec<Entry>) {
        let before = self.entries();
        self.core.follow(now, rules(&config));
        self.voice.follow(&config, global);
        (std::mem::replace(&mut self.config, config), before)
    }

    /// All its addresses with their devices, to keep.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let own = |(device, entry): (&str, &VirtualAddress)| (device.to_owned(), entry.clone());
        self.addresses().map(own).collect()
    }

    /// All its addresses with their devices.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&str, &VirtualAddress)> {
        let entries = self
            .config
            .virtual_addresses
            .iter()
            .chain(&self.config.excluded_addresses);
        entries.map(|entry| (self.device(entry), entry))
    }

    /// The interface of an address: the virtual MAC's for those of the instance's family that name no other one.
    fn device<'a>(&'a self, entry: &'a VirtualAddress) -> &'a str {
        let interface = &self.config.interface;
        if let Some(vmac) = &entry.vmac {
            return &vmac.name;
        }
        let addressing = &self.config.addressing;
        let holder = addressing.ipvlan.as_ref();
        let holder = holder.filter(|ipvlan| ipvlan.holds_addresses);
        let vmac = addressing.vmac.as_ref().map(|vmac| &vmac.name);
        let same_family = entry.address.is_ipv6() == self.config.is_ipv6();
        match (&entry.device, holder.map(|ipvlan| &ipvlan.name).or(vmac)) {
            (Some(device), _) if device != interface => device,
            (_, Some(own)) if same_family => own,
            _ => interface,
        }
    }

    /// The interface that advertisements go by: with `use_ipvlan` that one, with `use_vmac` the virtual one, unless
    /// `vmac_xmit_base` says otherwise.
    pub(super) fn wire(&self) -> &str {
        if let Some(ipvlan) = &self.config.addressing.ipvlan {
            // What has another source comes back to the interface that the source is on.
            let own = ipvlan.address.map(|(address, _)| address);
            return match self.config.source_address {
                Some(source) if Some(source) != own => &self.config.interface,
                _ => &ipvlan.name,
            };
        }
        match &self.config.addressing.vmac {
            Some(vmac) if !vmac.transmit_base => &vmac.name,
            _ => &self.config.interface,
        }
    }

    /// Its addresses that are ours to add and remove.
    pub(super) fn movable(&self) -> impl Iterator<Item = (&str, &VirtualAddress)> {
        self.addresses()
            .filter(|(_, entry)| !self.owned.contains(&entry.address))
    }

    /// Finds our address for advertisements, and says why there is none.
    pub(super) fn find_source(
        &mut self,
        view: &View,
        is_virtual: impl Fn(IpAddr) -> bool,
    ) -> Result<(), String> {
        let interface = &self.config.interface;
        let ipvlan = self.config.addressing.ipvlan.as_ref();
        let own = ipvlan.and_then(|ipvlan| Some(ipvlan.address?.0));
        if ipvlan.is_some() && own.is_none() && !self.config.is_ipv6() {
            return Err("use_ipvlan has no address of its own".to_owned());
        }
        let source = match self.config.source_address.or(own) {
            Some(source) => {
                let mut all = view.values().flat_map(|interface| &interface.addresses);
                if !all.any(|own| own.address == source) {
                    return Err(format!("the source address {source} is not on this node"));
                }
                source
            }
            None => {
                let interface = ipvlan.map_or(interface, |ipvlan| &ipvlan.name);
                let found = view.get(interface);
                let family = if self.config.is_ipv6() {
                    "link-local IPv6"
                } else {
                    "IPv4"
                };
                found
                    .and_then(|found| match self.config.is_ipv6() {
                        false => found.primary(is_virtual),
                        true => found.link_local(is_virtual),
                    })
                    .ok_or_else(|| format!("{interface} has no {family} address of its own"))?
            }
        };
        self.source = source;
        self.core.set_source(source);
        Ok(())
    }

    /// Its own interface, source address and socket: without them it cannot run.
    pub(super) fn own_item(&mut self, view: &View, is_virtual: impl Fn(IpAddr) -> bool) -> Item {
        let name = self.config.interface.clone();
        let mut own = link_report(view, &name);
        if self.config.dont_track_primary && view.contains_key(&name) {
            own = Report::Up("not tracked (dont_track_primary)".to_owned());
        }
        if let (Err(why), true) = (
            self.find_source(view, is_virtual),
            matches!(own, Report::Up(_)),
        ) {
            own = Report::Down(why);
        }
        if self.config.unicast_fault_no_peer {
            own = Report::Down("there is no unicast_peer (unicast_fault_no_peer)".to_owned());
        }
        if let (Some(why), true) = (&self.port_error, matches!(own, Report::Up(_))) {
            own = Report::Down(why.clone());
        }
        Item {
            name: format!("interface {name}"),
            report: own,
            weight: 0,
            reverse: false,
            vital: true,
        }
    }

    /// Notes a change of state.
    pub(super) fn remember(&mut self, from: VrrpState, to: VrrpState, reason: &str) {
        self.since_ms = now_ms();
        if to == VrrpState::Master {
            self.counters.became_master += 1;
        }
        if self.history.len() == MAX_TRANSITIONS {
            self.history.pop_front();
        }
        // Most instances change seldom, and there may be many.
        self.history.reserve_exact(1);
        self.history.push_back(Transition {
            at_ms: self.since_ms,
            from,
            to,
            reason: reason.to_owned(),
        });
    }

    /// Counts a refused packet; text for an event if it is time for one.
    pub(super) fn refuse(
        &mut self,
        now: Moment,
        from: Option<IpAddr>,
        refused: &Refused,
    ) -> Option<String> {
        let refusal = self.refusals.entry(refused.reason()).or_default();
        refusal.count += 1;
        if refusal.told_at.is_some_and(|at| now < at + REPORT_SPACING) {
            return None;
        }
        let silent = refusal.count - refusal.told - 1;
        refusal.told = refusal.count;
        refusal.told_at = Some(now);
        let more = if silent > 0 {
            format!(" ({silent} more since the last report)")
        } else {
            String::new()
        };
        let from = from.map_or("from somebody".to_owned(), |from| format!("from {from}"));
        Some(format!("{from}: {refused}{more}"))
    }

    /// All that is to be known about it but its BFD sessions.
    pub(super) fn snapshot(&self, now: Moment, network: &Network) -> InstanceSnapshot {
        let seen = |peer: &Peer| PeerSeen {
            address: peer.address.to_string(),
            priority: peer.priority,
            age_ms: u64::try_from(now.saturating_sub(peer.heard_at).as_millis())
                .unwrap_or(u64::MAX),
            adverts: peer.adverts,
        };
        let mut counters = self.counters.clone();
        counters.refused = self
            .refusals
            .iter()
            .map(|(reason, refusal)| ((*reason).to_owned(), refusal.count))
            .collect();
        let addresses = self
            .addresses()
            .map(|(_, entry)| format!("{}/{}", entry.address, entry.prefix_length));
        InstanceSnapshot {
            name: self.name().to_owned(),
            interface: self.config.interface.clone(),
            vrid: self.config.virtual_router_id,
            state: self.core.shown(),
            since_ms: self.since_ms,
            base_priority: self.config.priority,
            effective_priority: self.core.effective_priority(),
            shares: self.shares.to_vec(),
            advert_interval_ms: u64::try_from(self.config.advert_int.as_millis())
                .unwrap_or(u64::MAX),
            master_interval_ms: self
                .core
                .other_interval()
                .and_then(|interval| u64::try_from(interval.as_millis()).ok()),
            nopreempt: self.config.nopreempt,
            preempt_delay_ms: u64::try_from(preempt_delay(&self.config).as_millis())
                .unwrap_or(u64::MAX),
            addresses: addresses.collect(),
            addresses_present: self
                .addresses()
                .all(|(device, entry)| network.has(device, entry.address)),
            authentication: match &self.voice.proofs {
                Some(proofs) => proofs.describe(&self.voice.form),
                None => Proofs::default().describe(&self.voice.form),
            },
            source: self.source.to_string(),
            master: self.core.master().map(seen),
            peers: self.core.peers().iter().map(seen).collect(),
            held: self.core.is_held(),
            conflict: self.core.in_conflict(now),
            transitions: self.history.iter().cloned().collect(),
            bfd: Vec::new(),
            counters,
            decided: String::new(),
        }
    }
}

/// keepalived clears the delay where preemption is off, and for `state MASTER`.
/// What the state machine follows.
pub(super) fn rules(config: &VrrpInstance) -> Rules {
    Rules {
        version: config.version,
        base_priority: config.priority,
        starts_active: config.state == InitialState::Master,
        advert_interval: config.advert_int,
        nopreempt: config.nopreempt,
        preempt_delay: preempt_delay(config),
        timer_expired_backup: config.timer_expired_backup,
        down_timer_adverts: config.down_timer_adverts,
        last_word: config.higher_prio_send_advert,
        answers_lower: !config.lower_prio_no_advert,
        announce_again: config.garp_master_delay,
        announce_lower_again: config.addressing.lower_prio_delay,
        announce_refresh: config.garp_master_refresh,
    }
}

fn preempt_delay(config: &VrrpInstance) -> Duration {
    if config.nopreempt || config.state == InitialState::Master {
        return Duration::ZERO;
    }
    config.preempt_delay
}

/// Whether an interface works.
pub(super) fn link_report(view: &View, name: &str) -> Report {
    match view.get(name) {
        None => Report::Down("it does not exist".to_owned()),
        Some(interface) if !interface.up => Report::Down("it is set down".to_owned()),
        Some(interface) if !interface.running => Report::Down("it has no carrier".to_owned()),
        Some(interface) => match &interface.held {
            Some(why) => Report::Down(why.clone()),
            None => Report::Up("up".to_owned()),
        },
    }
}

/// A script's definition without places.
pub(super) fn plain_script(script: &VrrpScript) -> VrrpScript {
    let mut plain = script.clone();
    plain.name.span = config::Span::default();
    plain
}
