//! Choosing a server: the algorithms of `balance`, shared by all runtimes so that turns alternate strictly.
//!
//! A balancer follows its backend's generation: after a change of usability or weight it rebuilds its candidates.
//! What a full server means is decided here, waiting is not (see `server`).

mod hash;
mod turns;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

use config::haproxy::{Balance, HashMethod, ProxyConfig};

use crate::state::{Backend, Server, ServerId, Usability};
use crate::txn::{Session, Transaction};
use turns::Candidates;

/// What balancing says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This server. If it is full, the request waits for it.
    Server(ServerId),
    /// All are full: wait for any.
    AllFull,
    /// Nobody is usable.
    Nobody,
}

/// A backend's balancer.
#[derive(Debug)]
pub struct Balancer {
    algorithm: Balance,
    consistent: bool,
    allbackups: bool,
    candidates: Mutex<Candidates>,
}

impl Balancer {
    /// The balancer of a proxy.
    pub fn new(proxy: &ProxyConfig) -> Self {
        Self {
            algorithm: proxy.balance.clone(),
            consistent: proxy.hash_method == HashMethod::Consistent,
            allbackups: proxy.allbackups,
            candidates: Mutex::new(Candidates::default()),
        }
    }

    /// Chooses. `avoid` is the server that has just failed: it is taken only if there is no other.
    pub fn pick(
        &self,
        backend: &Backend,
        session: &Session,
        txn: &Transaction,
        avoid: Option<ServerId>,
    ) -> Pick {
        // The hash needs no lock; it is computed before one is taken.
        let hash = self.hash(session, txn);
        let mut candidates = self
            .candidates
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let generation = backend.generation();
        if candidates.generation != generation {
            candidates.rebuild(
                generation,
                usable(backend, self.allbackups),
                self.needs_map(),
                self.consistent,
            );
        }
        if candidates.is_empty() {
            return Pick::Nobody;
        }
        if let Some(hash) = hash {
            return candidates
                .by_hash(hash, avoid)
                .map_or(Pick::Nobody, Pick::Server);
        }
        let open = |id: ServerId| {
            backend
                .servers
                .get(id.0 as usize)
                .is_some_and(|server| !is_full(server))
        };
        let chosen = match &self.algorithm {
            Balance::LeastConn => candidates.least_loaded(
                |id| open(id) && Some(id) != avoid,
                |id| load_of(backend, id),
            ),
            Balance::First => candidates.first(|id| open(id) && Some(id) != avoid),
            Balance::Random { draws } => {
                let draws = (*draws).max(1);
                candidates.random(
                    draws,
                    |id| open(id) && Some(id) != avoid,
                    |id| load_of(backend, id),
                )
            }
            Balance::RoundRobin => candidates.next_turn(|id| open(id) && Some(id) != avoid),
            Balance::StaticRr
            | Balance::Source
            | Balance::Uri { .. }
            | Balance::UrlParam { .. }
            | Balance::Header { .. } => candidates.next_on_map(|id| open(id) && Some(id) != avoid),
        };
        match (chosen, avoid) {
            (Some(id), _) => Pick::Server(id),
            (None, Some(failed)) if candidates.contains(failed) && open(failed) => {
                Pick::Server(failed)
            }
            (None, _) => Pick::AllFull,
        }
    }

    /// Whether nothing of a request decides, only whose turn it is.
    pub fn takes_turns(&self) -> bool {
        matches!(
            self.algorithm,
            Balance::RoundRobin | Balance::StaticRr | Balance::Random { .. }
        )
    }

    fn needs_map(&self) -> bool {
        !matches!(
            self.algorithm,
            Balance::LeastConn | Balance::First | Balance::Random { .. } | Balance::RoundRobin
        )
    }

    fn hash(&self, session: &Session, txn: &Transaction) -> Option<u32> {
        match &self.algorithm {
            Balance::Source => Some(hash::source(session.source.ip())),
            Balance::Uri {
                whole,
                length,
                depth,
            } => Some(hash::uri(
                txn.request.target(),
                *whole,
                *length as usize,
                *depth,
            )),
            Balance::UrlParam { name, .. } => hash::url_param(txn.request.query(), name.as_bytes()),
            Balance::Header {
                name,
                use_domain_only,
            } => txn
                .request
                .header(name.as_bytes())
                .map(|value| hash::header(value, *use_domain_only)),
            Balance::RoundRobin
            | Balance::StaticRr
            | Balance::LeastConn
            | Balance::First
            | Balance::Random { .. } => None,
        }
    }
}

/// Whether a server has no place for another request.
pub fn is_full(server: &Server) -> bool {
    let maxconn = server.maxconn.load(Relaxed);
    maxconn > 0 && server.counters.sessions.current() >= u64::from(maxconn)
}

fn load_of(backend: &Backend, id: ServerId) -> u64 {
    backend
        .servers
        .get(id.0 as usize)
        .map_or(u64::MAX, |server| {
            server.counters.sessions.current() + server.counters.queue.current()
        })
}

/// Usable servers with their weights: the active ones, or else the first backup, or all backups.
fn usable(backend: &Backend, allbackups: bool) -> Vec<(ServerId, u32)> {
    let up = |backup: bool| {
        backend
            .servers
            .iter()
            .filter(move |server| {
                server.config.backup == backup && server.usability() == Usability::Up
            })
            .map(|server| (server.id, server.user_weight.load(Relaxed)))
    };
    let active: Vec<_> = up(false).collect();
    if !active.is_empty() {
        return active;
    }
    if allbackups {
        up(true).collect()
    } else {
        up(true).take(1).collect()
    }
}
