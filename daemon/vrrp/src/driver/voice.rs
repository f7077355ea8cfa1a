//! What an instance says and wants to hear, made from its definition; and what it hears.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use config::keepalived::{Authentication, Checksum, GlobalDefs, VrrpInstance};
use protocol::{EventKind, EventSeverity};
use sys::batch::Batch;
use sys::packet::Travel;

use super::Driver;
use super::authentication::Proofs;
use super::notify::Told;
use super::ports::{PortNumber, read};
use super::unit::{REPORT_SPACING, Unit};
use crate::packet::hmac::{self, Wall};
use crate::packet::{
    Datagram, Form, Heard, PseudoHeader, Reach, Refused, Sequences, TTL, UnicastPeer, encode, wrap,
};

/// What an instance says, to whom, and from whom it hears.
pub(super) struct Voice {
    /// What it says and wants to hear.
    pub(super) form: Form,
    /// Where to and from where.
    pub(super) reach: Reach,
    ttl: u8,
    sequences: Sequences,
    /// The numbers of `auth_hmac`, once there are some.
    pub(super) proofs: Option<Box<Proofs>>,
}

impl Voice {
    /// As the definition says.
    pub(super) fn new(config: &VrrpInstance, global: &GlobalDefs) -> Self {
        let pseudo_header = match config.checksum {
            Checksum::WithPseudoHeader | Checksum::NeverOldUnicast => PseudoHeader::Included,
            Checksum::WithoutPseudoHeader => PseudoHeader::Absent,
            // Without peers the group is the receiver anyway.
            Checksum::OldUnicast => PseudoHeader::OfGroup(global.vrrp_mcast_group4),
        };
        let form = Form {
            version: config.version,
            vrid: config.virtual_router_id,
            interval: config.advert_int,
            authentication: config.authentication.clone(),
            hmac: config.auth_hmac.clone(),
            addresses: config
                .virtual_addresses
                .iter()
                .map(|entry| entry.address)
                .collect(),
            pseudo_header,
        };
        // A clock that was set back is no harm: the first advertisement heard sets the number right.
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let ttl = match reach(config, global) {
            Reach::Multicast(_) => TTL,
            Reach::Unicast(_) => config.unicast_ttl,
        };
        Self {
            form,
            reach: reach(config, global),
            ttl,
            sequences: Sequences::new(u32::try_from(seconds).unwrap_or(0)),
            proofs: None,
        }
    }

    /// As another definition of the same virtual router says. What was heard and said keeps its numbers.
    pub(super) fn follow(&mut self, config: &VrrpInstance, global: &GlobalDefs) {
        let new = Self::new(config, global);
        (self.form, self.reach, self.ttl) = (new.form, new.reach, new.ttl);
    }

    /// What kind of socket it needs.
    pub(super) fn travel(&self) -> Travel {
        match (&self.form.authentication, self.is_ipv6()) {
            (_, true) => Travel::Ipv6,
            (Some(Authentication::Ah(_)), false) => Travel::Ipv4Ah,
            (None | Some(Authentication::Pass(_)), false) => Travel::Ipv4,
        }
    }

    fn is_ipv6(&self) -> bool {
        self.form.addresses.first().is_some_and(IpAddr::is_ipv6)
    }

    /// The group that its socket joins.
    pub(super) fn group(&self) -> Option<IpAddr> {
        match self.reach {
            Reach::Multicast(group) => Some(group),
            Reach::Unicast(_) => None,
        }
    }

    /// The datagrams that say `priority`: receiver, TTL, bytes.
    pub(super) fn datagrams(
        &mut self,
        source: IpAddr,
        priority: u8,
        wall: fn() -> Wall,
    ) -> Vec<(IpAddr, u8, Vec<u8>)> {
        let receivers: Vec<IpAddr> = match &self.reach {
            Reach::Multicast(group) => vec![*group],
            Reach::Unicast(peers) => peers.iter().map(|peer| peer.address).collect(),
        };
        let sequence = match self.form.authentication {
            Some(Authentication::Ah(_)) => self.sequences.take(),
            None | Some(Authentication::Pass(_)) => 0,
        };
        let stamp = self.form.hmac.as_ref();
        let stamp =
            stamp.map(|auth| (auth, self.proofs.get_or_insert_default().take(auth, wall())));
        let make = |receiver| {
            let mut plain = encode(&self.form, priority, source, receiver);
            if let Some((auth, stamp)) = stamp {
                let router = (self.form.version, self.form.vrid);
                hmac::seal(&mut plain, auth, router, source, stamp);
            }
            let bytes = match (&self.form.authentication, source, receiver) {
                (Some(Authentication::Ah(key)), IpAddr::V4(from), IpAddr::V4(to)) => {
                    wrap(key, sequence, from, to, self.ttl, &plain)
                }
                _ => plain,
            };
            (receiver, self.ttl, bytes)
        };
        receivers.into_iter().map(make).collect()
    }

    /// Checks a datagram; what is valid is new as well.
    pub(super) fn hear(
        &mut self,
        datagram: &Datagram<'_>,
        own: IpAddr,
        trusted: Option<IpAddr>,
        checksum: Checksum,
        wall: fn() -> Wall,
    ) -> Result<Heard, Refused> {
        let heard = datagram.check(&self.form, &self.reach, own, trusted)?;
        let unicast = matches!(self.reach, Reach::Unicast(_));
        match (heard.other_checksum, checksum) {
            // As keepalived: a peer that still sums up the old way would not understand us otherwise.
            (Some(old @ PseudoHeader::OfGroup(_)), Checksum::WithPseudoHeader) if unicast => {
                self.form.pseudo_header = old;
            }
            (Some(PseudoHeader::OfGroup(_)), _) => return Err(Refused::Checksum),
            // It was an old one, and is no longer.
            (Some(PseudoHeader::Included), Checksum::WithPseudoHeader) => {
                self.form.pseudo_header = PseudoHeader::Included;
            }
            (Some(PseudoHeader::Included | PseudoHeader::Absent) | None, _) => {}
        }
        if let Some(auth) = &self.form.hmac {
            self.proofs
                .get_or_insert_default()
                .accept(auth, &heard, wall())?;
        }
        if let Some(sequence) = heard.sequence {
            self.sequences.heard(sequence)?;
        }
        Ok(heard)
    }
}

/// Where an instance speaks to, and whom it hears.
pub(super) fn reach(config: &VrrpInstance, global: &GlobalDefs) -> Reach {
    if config.unicast_peers.is_empty() && !config.unicast_fault_no_peer {
        let default = if config.is_ipv6() {
            global.vrrp_mcast_group6.into()
        } else {
            global.vrrp_mcast_group4.into()
        };
        return Reach::Multicast(config.group.unwrap_or(default));
    }
    let peer = |address: &IpAddr| {
        let limits = config
            .peer_ttls
            .iter()
            .find(|limits| limits.peer == *address);
        UnicastPeer {
            address: *address,
            min_ttl: limits.map_or(0, |limits| limits.min),
            max_ttl: limits.map_or(u8::MAX, |limits| limits.max),
        }
    };
    Reach::Unicast(config.unicast_peers.iter().map(peer).collect())
}

impl Driver {
    pub(super) fn open_ports(&mut self) {
        for unit in &mut self.units {
            unit.port = None;
            let interface = unit.wire();
            let Some(found) = self.network.view.get(interface) else {
                // Of an interface that somebody else makes the instance hears anyway.
                let missing = unit.config.interface != interface;
                unit.port_error = missing.then(|| format!("{interface} does not exist"));
                continue;
            };
            let opened = self.ports.ensure(
                interface,
                found.index,
                unit.voice.travel(),
                unit.voice.group(),
            );
            unit.port = opened.as_ref().ok().copied();
            unit.port_error = opened
                .err()
                .map(|error| format!("cannot listen for advertisements: {error}"));
        }
        let used: HashSet<_> = self.units.iter().filter_map(|unit| unit.port).collect();
        self.ports.keep(|number| used.contains(&number));
    }

    /// Sends an advertisement to the group or to every peer.
    pub(super) fn advertise(&mut self, at: usize, priority: u8) {
        let (now, wall) = (self.now(), self.wall);
        let unit = &mut self.units[at];
        unit.counters.adverts_sent += 1;
        unit.counters.resignations_sent += u64::from(priority == 0);
        let (port, source) = (unit.port, unit.source);
        let mut failure = None;
        for (receiver, ttl, bytes) in unit.voice.datagrams(source, priority, wall) {
            if let Err(error) = self.ports.send(port, source, receiver, ttl, &bytes) {
                failure = Some(format!("to {receiver}: {error}"));
            }
        }
        let Some(failure) = failure else { return };
        // Who cannot be heard is not master for the others, whatever it believes.
        if unit
            .unsent_at
            .is_none_or(|last| last + REPORT_SPACING <= now)
        {
            unit.unsent_at = Some(now);
            let name = unit.name().to_owned();
            let (severity, change) = (EventSeverity::Warning, "advertisement not sent");
            self.event(severity, EventKind::Other, &name, change, &failure);
        }
    }

    /// Takes what came by a socket.
    pub(super) async fn arrived(&mut self, port: PortNumber, count: usize, batch: &mut Batch) {
        for at in 0..count {
            if let Some((about, bytes)) = batch.datagram(at) {
                self.arrived_one(port, read(about, bytes)).await;
            }
        }
    }

    async fn arrived_one(&mut self, port: PortNumber, datagram: Result<Datagram<'_>, Refused>) {
        let is_near = |unit: &Unit| unit.port == Some(port);
        let datagram = match datagram {
            Ok(datagram) => datagram,
            Err(refused) => {
                // Whom it was for cannot be told: it counts with all who listen here.
                for at in 0..self.units.len() {
                    if is_near(&self.units[at]) {
                        self.refuse(at, None, &refused);
                    }
                }
                return;
            }
        };
        let Some(vrid) = datagram.vrid() else {
            let refused = Refused::Length {
                found: datagram.payload.len(),
                wanted: crate::packet::HEADER_BYTES,
            };
            for at in 0..self.units.len() {
                if is_near(&self.units[at]) {
                    self.refuse(at, Some(datagram.source), &refused);
                }
            }
            return;
        };
        // Instances with one VRID on one interface differ in their group or their peers.
        let ours = |at: &usize| is_near(&self.units[*at]);
        let best = |at: &usize| ours(at) && datagram.came_by(&self.units[*at].voice.reach);
        let found = self
            .with_vrid(vrid)
            .find(best)
            .or_else(|| self.with_vrid(vrid).find(ours));
        // Advertisements of groups that are not ours are none of our business.
        let Some(at) = found else {
            if !self.with_vrid(vrid).any(|at| ours(&at)) {
                self.stranger(port, vrid, datagram.source);
            }
            return;
        };
        let now = self.now();
        let unit = &mut self.units[at];
        let trusted = unit
            .config
            .skip_check_adv_addr
            .then(|| unit.core.master().map(|master| master.address))
            .flatten();
        let checksum = unit.config.checksum;
        match unit
            .voice
            .hear(&datagram, unit.source, trusted, checksum, self.wall)
        {
            Ok(heard) => {
                unit.counters.adverts_received += 1;
                unit.counters.resignations_received += u64::from(heard.priority == 0);
                let actions = unit
                    .core
                    .heard(now, heard.from, heard.priority, heard.interval);
                self.stirred |= !actions.is_empty();
                self.tell_proof(at, &heard);
                self.carry(at, actions).await;
                if self.units[at].core.in_conflict(now) && heard.priority != 0 {
                    let reason = format!("{} has priority {}", heard.from, heard.priority);
                    self.stirred = true;
                    self.notify_instance(at, Told::MasterRxLowerPri, &reason);
                }
            }
            Err(refused) => self.refuse(at, Some(datagram.source), &refused),
        }
    }

    /// Counts a packet that counts for nothing. keepalived restarts its own timer here and can be silenced by it; a
    /// refused packet changes nothing.
    fn refuse(&mut self, at: usize, from: Option<IpAddr>, refused: &Refused) {
        let now = self.now();
        let unit = &mut self.units[at];
        if let Some(reason) = unit.refuse(now, from, refused) {
            let name = unit.name().to_owned();
            let (severity, change) = (EventSeverity::Warning, "advertisement refused");
            self.event(
                severity,
                EventKind::VrrpPacketRefused,
                &name,
                change,
                &reason,
            );
        }
    }
}
