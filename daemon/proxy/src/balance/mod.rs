//! Choosing a server: the algorithms of `balance`, shared by all runtimes so that turns alternate strictly.
//!
//! A balancer follows its backend's generation: after a change of usability or weight it tells its chooser. A pick costs no
//! more than a logarithm of the number of servers and allocates nothing. What a full server means is decided here, waiting
//! is not (see `server`).

mod hash;
mod heap;
mod least;
mod map;
mod random;
mod ring;
mod turns;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use config::haproxy::{Balance, HashFunction, HashMethod};
use config::{Diagnostic, DiagnosticKind, Diagnostics};

use crate::sample::{Expression, Scope, View};
use crate::state::{Backend, Server, ServerId, Table, Usability, add};
use hash::Hasher;

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

/// What of a request is hashed.
#[derive(Debug)]
enum Key {
    Source,
    Uri {
        whole: bool,
        length: usize,
        depth: u32,
        path_only: bool,
    },
    UrlParam {
        name: Vec<u8>,
        check_post: bool,
    },
    Header {
        name: Vec<u8>,
        use_domain_only: bool,
    },
    Expression(Box<Expression>),
    RdpCookie(Vec<u8>),
}

/// How a server is chosen among the usable ones.
#[derive(Debug)]
enum Chooser {
    Turns(turns::Turns),
    Least(least::Least),
    /// In order of the servers' numbers; made anew when servers come or go.
    First(Vec<ServerId>),
    Random(random::Random, u32),
    Map(map::Map),
    Ring(ring::Ring),
}

impl Chooser {
    /// Whether weights are fixed at start (manual, `balance`: "this algorithm is static").
    fn is_static(&self) -> bool {
        matches!(self, Self::Map(_))
    }
}

#[derive(Debug)]
struct State {
    generation: u64,
    /// The servers at that generation.
    servers: Arc<Table<Server>>,
    /// Weights of usable servers in sixteenths, 0 for the others.
    weights: Vec<u32>,
    total: u64,
    usable: usize,
    chooser: Chooser,
    /// All were full when so many places had been given back.
    full_since: Option<u64>,
}

/// A backend's balancer.
#[derive(Debug)]
pub struct Balancer {
    key: Option<Key>,
    hasher: Hasher,
    /// `hash-balance-factor`, 0 for none.
    factor: u64,
    takes_turns: bool,
    follows_load: bool,
    allbackups: bool,
    /// Places given back so far.
    freed: AtomicU64,
    state: Mutex<State>,
}

impl Balancer {
    /// The balancer of the scope's proxy.
    pub fn new(scope: &Scope<'_>, diagnostics: &mut Diagnostics) -> Self {
        let proxy = scope.proxy;
        let key = key(scope, diagnostics);
        let consistent = proxy.hash_method == HashMethod::Consistent;
        let weights = || proxy.servers.iter().map(|server| u32::from(server.weight));
        let map = || map::Map::new(weights());
        let chooser = match &proxy.balance {
            Balance::RoundRobin => Chooser::Turns(turns::Turns::default()),
            Balance::LeastConn => Chooser::Least(least::Least::default()),
            Balance::First => Chooser::First(Vec::new()),
            Balance::Random { draws } => Chooser::Random(random::Random::default(), *draws),
            Balance::StaticRr => Chooser::Map(map()),
            Balance::Source
            | Balance::Uri { .. }
            | Balance::UrlParam { .. }
            | Balance::Header { .. }
            | Balance::Hash { .. }
            | Balance::RdpCookie { .. } => {
                if consistent {
                    Chooser::Ring(ring::Ring::default())
                } else {
                    Chooser::Map(map())
                }
            }
        };
        if key.is_some() && proxy.hash_function == HashFunction::Wt6 {
            diagnostics.push(Diagnostic::warning(
                DiagnosticKind::NotSupportedYet,
                proxy.span,
                "'hash-type … wt6' chooses other servers than HAProxy (sdbm is used): the two keep clients apart while both run",
            ));
        }
        Self {
            key,
            hasher: Hasher {
                function: proxy.hash_function,
                avalanche: proxy.hash_avalanche,
            },
            factor: u64::from(proxy.hash_balance_factor),
            takes_turns: matches!(
                proxy.balance,
                Balance::RoundRobin | Balance::StaticRr | Balance::Random { .. }
            ),
            follows_load: matches!(proxy.balance, Balance::LeastConn),
            allbackups: proxy.allbackups,
            freed: AtomicU64::new(0),
            state: Mutex::new(State {
                generation: 0,
                servers: Arc::default(),
                weights: Vec::new(),
                total: 0,
                usable: 0,
                chooser,
                full_since: None,
            }),
        }
    }

    /// Chooses for what `view` shows. `payload` is what of the request's body (or of the stream) is there. `avoid` is the
    /// server that has just failed: it is taken only if there is no other.
    pub fn pick(
        &self,
        backend: &Backend,
        view: &View<'_>,
        payload: &[u8],
        avoid: Option<ServerId>,
    ) -> Pick {
        // The hash needs no lock; it is computed before one is taken.
        let hash = self.hash(view, payload);
        let mut state = self.lock();
        self.follow(backend, &mut state);
        if state.usable == 0 {
            return Pick::Nobody;
        }
        let freed = self.freed.load(Relaxed);
        if hash.is_none() && avoid.is_none() && state.full_since == Some(freed) {
            return Pick::AllFull;
        }
        let State {
            servers,
            weights,
            total,
            chooser,
            ..
        } = &mut *state;
        let server = |id: ServerId| servers.get(id.0 as usize);
        let open = |id: ServerId| {
            Some(id) != avoid && server(id).is_some_and(|server| !is_full(backend, server))
        };
        let by_load = Bound::new(self.factor, backend, *total);
        let chosen = match (chooser, hash) {
            (Chooser::Map(map), Some(hash)) => map.by_hash(hash, avoid),
            (Chooser::Ring(ring), Some(hash)) => ring
                .by_hash(hash, |id| {
                    Some(id) != avoid && by_load.allows(weights, server(id))
                })
                .or_else(|| ring.owner(hash)),
            (Chooser::Map(map), None) => map.next(open),
            (Chooser::Ring(ring), None) => ring.next(open),
            (Chooser::Turns(turns), _) => turns.next(open),
            (Chooser::Least(least), _) => least.next(|id| {
                // Manual, `maxqueue`: it "is taken into account by leastconn", which fills queues that have a length.
                open(id) || Some(id) != avoid && server(id).is_some_and(has_place_in_queue)
            }),
            (Chooser::First(order), _) => order
                .iter()
                .copied()
                .find(|id| weights[id.0 as usize] > 0 && open(*id)),
            (Chooser::Random(random, draws), _) => random.next(
                *draws,
                |id| open(id) && by_load.allows(weights, server(id)),
                |id| server(id).map_or(u64::MAX, |server| load_of(server)),
            ),
        };
        match (chosen, avoid) {
            (Some(id), _) => Pick::Server(id),
            (None, Some(failed))
                if weights
                    .get(failed.0 as usize)
                    .is_some_and(|weight| *weight > 0)
                    && server(failed).is_some_and(|server| !is_full(backend, server)) =>
            {
                Pick::Server(failed)
            }
            (None, _) => {
                if avoid.is_none() && !backend.has_ramps() {
                    state.full_since = Some(freed);
                }
                Pick::AllFull
            }
        }
    }

    /// Lines up who is usable at the start, or after a server has left: later changes find servers in line.
    pub fn begin(&self, backend: &Backend) {
        self.follow(backend, &mut self.lock());
    }

    /// Whether a server is among those that new clients may be sent to.
    pub fn serves(&self, backend: &Backend, id: ServerId) -> bool {
        let mut state = self.lock();
        self.follow(backend, &mut state);
        state
            .weights
            .get(id.0 as usize)
            .is_some_and(|weight| *weight > 0)
    }

    /// Whether nothing of a request decides, only whose turn it is.
    pub fn takes_turns(&self) -> bool {
        self.takes_turns
    }

    /// Whether the same request leads to the same server each time.
    pub fn is_by_key(&self) -> bool {
        self.key.is_some()
    }

    /// Whether the key of a pick may stand in the request's body or the stream's first bytes.
    pub fn wants_payload(&self) -> bool {
        matches!(
            self.key,
            Some(
                Key::UrlParam {
                    check_post: true,
                    ..
                } | Key::RdpCookie(_)
            )
        )
    }

    /// A place or a queue of a server has been entered or left.
    pub fn load_changed(&self, server: &Server) {
        if self.follows_load
            && let Chooser::Least(least) = &mut self.lock().chooser
        {
            least.changed(server.id, load_of(server));
        }
    }

    /// A place has been given back.
    pub fn freed(&self, server: &Server) {
        add(&self.freed, 1);
        self.load_changed(server);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what has changed since the last pick.
    fn follow(&self, backend: &Backend, state: &mut State) {
        let generation = backend.generation();
        if state.generation == generation {
            return;
        }
        state.generation = generation;
        state.full_since = None;
        let before = std::mem::replace(&mut state.servers, backend.servers.table());
        let servers = &*state.servers;
        usable_weights(
            servers,
            self.allbackups,
            state.chooser.is_static(),
            &mut state.weights,
        );
        let weights = &state.weights;
        state.total = weights.iter().map(|weight| u64::from(*weight)).sum();
        state.usable = weights.iter().filter(|weight| **weight > 0).count();
        match &mut state.chooser {
            Chooser::Turns(turns) => turns.follow(weights, |id| {
                let server = servers.get(id.0 as usize);
                server.map_or(0, |server| server.comings_and_goings.load(Relaxed))
            }),
            Chooser::Least(least) => least.follow(weights, |id| {
                servers
                    .get(id.0 as usize)
                    .map_or(0, |server| load_of(server))
            }),
            Chooser::First(order) => {
                if !Arc::ptr_eq(&before, &state.servers) {
                    let mut numbers: Vec<_> = servers.iter().map(|one| (one.sid, one.id)).collect();
                    numbers.sort_unstable_by_key(|(number, _)| *number);
                    *order = numbers.into_iter().map(|(_, id)| id).collect();
                }
            }
            Chooser::Random(random, _) => random.follow(weights),
            Chooser::Map(map) => map.follow(weights),
            Chooser::Ring(ring) => {
                ring.follow(weights, |id| servers.get(id).map_or(0, |server| server.sid))
            }
        }
    }

    fn hash(&self, view: &View<'_>, payload: &[u8]) -> Option<u32> {
        let request = &view.txn.request;
        let key = match self.key.as_ref()? {
            Key::Source => {
                return Some(self.hasher.finish(hash::source(view.session.source.ip())));
            }
            Key::Uri {
                whole,
                length,
                depth,
                path_only,
            } => {
                let target = request.target();
                let target = if *path_only {
                    hash::from_path(target)
                } else {
                    target
                };
                hash::uri(target, *whole, *length, *depth)
            }
            Key::UrlParam { name, check_post } => {
                let in_body = || {
                    (*check_post && request.method() == b"POST")
                        .then(|| hash::url_param(payload, name))
                        .flatten()
                };
                hash::url_param(request.query(), name).or_else(in_body)?
            }
            Key::Header {
                name,
                use_domain_only,
            } => hash::header(request.header(name)?, *use_domain_only),
            Key::Expression(expression) => {
                return Some(self.hasher.sample(&expression.value(view)?));
            }
            Key::RdpCookie(name) => hash::rdp_cookie(payload, name)?,
        };
        Some(self.hasher.hash(key))
    }
}

/// The value of an RDP cookie in a stream's first bytes.
pub use hash::rdp_cookie;

fn key(scope: &Scope<'_>, diagnostics: &mut Diagnostics) -> Option<Key> {
    Some(match &scope.proxy.balance {
        Balance::Source => Key::Source,
        Balance::Uri {
            whole,
            length,
            depth,
            path_only,
        } => Key::Uri {
            whole: *whole,
            length: *length as usize,
            depth: *depth,
            path_only: *path_only,
        },
        Balance::UrlParam { name, check_post } => Key::UrlParam {
            name: name.clone().into_bytes(),
            check_post: *check_post,
        },
        Balance::Header {
            name,
            use_domain_only,
        } => Key::Header {
            name: name.clone().into_bytes(),
            use_domain_only: *use_domain_only,
        },
        Balance::Hash { expression } => match Expression::compile(expression, scope) {
            Ok(expression) => Key::Expression(Box::new(expression)),
            Err(diagnostic) => {
                diagnostics.push(diagnostic);
                return None;
            }
        },
        Balance::RdpCookie { name } => Key::RdpCookie(name.clone().into_bytes()),
        Balance::RoundRobin
        | Balance::StaticRr
        | Balance::LeastConn
        | Balance::First
        | Balance::Random { .. } => return None,
    })
}

/// `hash-balance-factor`: what load a server may have in proportion to its weight.
struct Bound {
    factor: u64,
    /// Requests at all servers, with the one that is to be placed.
    requests: u64,
    total_weight: u64,
}

impl Bound {
    fn new(factor: u64, backend: &Backend, total_weight: u64) -> Self {
        Self {
            factor,
            requests: backend.served.load(Relaxed) + 1,
            total_weight,
        }
    }

    fn allows(&self, weights: &[u32], server: Option<&std::sync::Arc<Server>>) -> bool {
        let Some(server) = server else { return false };
        if self.factor == 0 {
            return true;
        }
        let id = server.id.0 as usize;
        let before: u64 = weights.iter().take(id).copied().map(u64::from).sum();
        let own = u64::from(weights.get(id).copied().unwrap_or(0));
        // All places together, shared out along the list of servers: what one loses by rounding, the next gains. HAProxy 2.6 was
        // seen to do so, and to leave one place to each.
        let all = (self.requests * self.factor).div_ceil(100);
        let up_to = |weight: u64| all * weight / self.total_weight.max(1);
        let places = (up_to(before + own) - up_to(before)).max(1);
        server.counters.sessions.current() < places
    }
}

/// Whether a server has no place for another request, or others wait for it already.
pub fn is_full(backend: &Backend, server: &Server) -> bool {
    let limit = backend.places(server);
    limit > 0
        && (server.counters.sessions.current() >= u64::from(limit)
            || server.counters.queue.current() > 0)
}

fn has_place_in_queue(server: &std::sync::Arc<Server>) -> bool {
    server
        .config
        .maxqueue
        .is_some_and(|limit| server.counters.queue.current() < u64::from(limit))
}

fn load_of(server: &Server) -> u64 {
    server.counters.sessions.current() + server.counters.queue.current()
}

/// Weights of the servers that may be chosen: the active ones, or else the first backup, or all backups.
fn usable_weights(
    servers: &Table<Server>,
    allbackups: bool,
    is_static: bool,
    weights: &mut Vec<u32>,
) {
    weights.clear();
    weights.resize(servers.bound(), 0);
    let up = |backup: bool| {
        servers.iter().filter(move |server| {
            server.config.backup == backup && server.usability() == Usability::Up
        })
    };
    let weight = |server: &Server| {
        if is_static {
            server.user_weight.load(Relaxed)
        } else {
            server.effective_weight()
        }
    };
    let mut any = false;
    for server in up(false) {
        weights[server.id.0 as usize] = weight(server);
        any = true;
    }
    if any {
        return;
    }
    let backups = if allbackups { usize::MAX } else { 1 };
    for server in up(true).take(backups) {
        weights[server.id.0 as usize] = weight(server);
    }
}
