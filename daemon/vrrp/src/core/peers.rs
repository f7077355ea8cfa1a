//! The other routers of a group, as they were heard.

use std::net::IpAddr;

use super::{Moment, RESIGN};

/// Most routers that are remembered; the one unheard for longest is forgotten.
pub const MAX_PEERS: usize = 8;

/// Another router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// Its priority; 0 means that it resigned.
    pub priority: u8,
    /// The last priority with which it wanted to be master: not 0.
    pub claim: u8,
    /// The highest priority that it ever had: less than that, and something that it tracks fails.
    pub best: u8,
    /// When it was last heard.
    pub heard_at: Moment,
    /// Advertisements heard from it.
    pub adverts: u64,
}

/// Routers heard, most recent first.
#[derive(Debug, Default)]
pub struct Peers(Vec<Peer>);

impl Peers {
    /// Notes an advertisement.
    pub fn note(&mut self, now: Moment, address: IpAddr, priority: u8) {
        let mut peer = match self.0.iter().position(|peer| peer.address == address) {
            Some(at) => self.0.remove(at),
            None => Peer {
                address,
                priority,
                claim: priority,
                best: priority,
                heard_at: now,
                adverts: 0,
            },
        };
        peer.priority = priority;
        if priority != RESIGN {
            peer.claim = priority;
        }
        peer.best = peer.best.max(priority);
        peer.heard_at = now;
        peer.adverts += 1;
        // Mostly there is one alone.
        self.0.reserve_exact(1);
        self.0.insert(0, peer);
        self.0.truncate(MAX_PEERS);
    }

    /// The router with this address.
    pub fn find(&self, address: IpAddr) -> Option<&Peer> {
        self.iter().find(|peer| peer.address == address)
    }

    /// All of them, most recent first.
    pub fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.0.iter()
    }
}
