//! What a restart must not forget: the numbers of `auth_hmac` that were heard. Without them each advertisement of the last
//! `time_window` would count once more.
//!
//! The supervisor keeps them for the next process, and in a file for the next daemon.

use std::net::IpAddr;
use std::time::Duration;

use config::keepalived::VrrpInstance;
use protocol::process::FromChild;
use protocol::wire;
use serde::{Deserialize, Serialize};

use super::Driver;
use super::unit::Unit;
use crate::core::Moment;

/// The supervisor is told this often at most: what a process heard in this time before it was killed is forgotten. Of
/// advertisements once a second each is told at once.
const SPACING: Duration = Duration::from_millis(500);
/// Virtual routers that are remembered; the oldest ones, which are configured no longer, go first.
const MAX_ROUTERS: usize = 1_024;

/// The senders that a virtual router has heard, with their last numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Router {
    interface: String,
    vrid: u8,
    ipv6: bool,
    senders: Vec<(IpAddr, u64)>,
}

impl Router {
    fn new(config: &VrrpInstance) -> Self {
        Self {
            interface: config.interface.clone(),
            vrid: config.virtual_router_id,
            ipv6: config.is_ipv6(),
            senders: Vec::new(),
        }
    }

    fn is(&self, other: &Self) -> bool {
        (&self.interface, self.vrid, self.ipv6) == (&other.interface, other.vrid, other.ipv6)
    }
}

/// All that is remembered.
#[derive(Debug, Default)]
pub(super) struct Memory {
    routers: Vec<Router>,
    told_at: Option<Moment>,
    /// When the supervisor is to be told of what was heard since.
    due: Option<Moment>,
}

impl Memory {
    /// What the process before said; nothing if that cannot be read.
    pub(super) fn new(remembered: &[u8]) -> Self {
        let routers = match remembered {
            [] => Vec::new(),
            bytes => wire::decode(bytes).unwrap_or_else(|error| {
                tracing::warn!("what auth_hmac has heard before cannot be read: {error}");
                Vec::new()
            }),
        };
        Self {
            routers,
            told_at: None,
            due: None,
        }
    }

    /// When there is something to tell.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.due
    }

    /// Gives a new unit the numbers of its virtual router.
    pub(super) fn recall(&self, unit: &mut Unit) {
        let wanted = Router::new(&unit.config);
        let known = self.routers.iter().find(|router| router.is(&wanted));
        if let Some(router) = known {
            unit.voice
                .proofs
                .get_or_insert_default()
                .recall(&router.senders);
        }
    }

    /// Takes the numbers of a unit.
    fn note(&mut self, unit: &Unit) {
        let mut router = Router::new(&unit.config);
        router.senders = unit
            .voice
            .proofs
            .iter()
            .flat_map(|proofs| proofs.heard())
            .collect();
        if router.senders.is_empty() {
            return;
        }
        self.routers.retain(|known| !known.is(&router));
        self.routers.push(router);
        let surplus = self.routers.len().saturating_sub(MAX_ROUTERS);
        self.routers.drain(..surplus);
    }
}

impl Driver {
    /// Takes the numbers of all units, before some of them go.
    pub(super) fn note_numbers(&mut self) {
        let proved = self.units.iter();
        for unit in proved.filter(|unit| unit.config.auth_hmac.is_some()) {
            self.memory.note(unit);
        }
    }

    /// Has the supervisor remember what was just heard, now or soon.
    pub(super) fn remember(&mut self, now: Moment) {
        match self.memory.told_at.map(|at| at + SPACING) {
            Some(next) if next > now => {
                self.stirred |= self.memory.due.is_none();
                self.memory.due = Some(next);
            }
            _ => self.remember_now(now),
        }
    }

    /// The same for what was heard before, if it is time.
    pub(super) fn remember_due(&mut self, now: Moment) {
        if self.memory.due.is_some_and(|due| due <= now) {
            self.remember_now(now);
        }
    }

    /// The same at once: at the end.
    pub(super) fn remember_now(&mut self, now: Moment) {
        self.memory.told_at = Some(now);
        self.memory.due = None;
        self.note_numbers();
        if self.memory.routers.is_empty() {
            return;
        }
        match wire::encode(&self.memory.routers) {
            Ok(bytes) => self.supervisor.send(&FromChild::Remember(bytes)),
            Err(error) => tracing::error!("what auth_hmac has heard cannot be told: {error}"),
        }
    }
}
