//! Kept connections to servers: each thread its own, last in, first out.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::task::Context;

use super::ServerConnection;
use super::shared::drop_idle_shared;
use crate::net::Stream;
use crate::state::{Server, Table};

/// Most connections that a thread keeps to one server.
pub(super) const MAX_IDLE_PER_SERVER: usize = 1_024;

struct Idle {
    connection: ServerConnection,
    since_us: u64,
}

/// The connections to one server. Its place in the list may have been another's before.
#[derive(Default)]
struct Pool {
    owner: Weak<Server>,
    idle: Vec<Idle>,
}

impl Pool {
    /// The pool of a server; what an earlier owner of the place has left is closed.
    fn of<'p>(pools: &'p mut Vec<Self>, index: usize, server: &Arc<Server>) -> &'p mut Vec<Idle> {
        if pools.len() <= index {
            pools.resize_with(index + 1, Self::default);
        }
        pools[index].belongs_to(server)
    }

    fn belongs_to(&mut self, server: &Arc<Server>) -> &mut Vec<Idle> {
        if self.owner.as_ptr() != Arc::as_ptr(server) {
            *self = Self {
                owner: Arc::downgrade(server),
                idle: Vec::new(),
            };
        }
        &mut self.idle
    }
}

thread_local! {
    static POOLS: RefCell<Vec<Pool>> = const { RefCell::new(Vec::new()) };
}

/// Which kept connections will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Any.
    None,
    /// One that was used again before: its server keeps what it promises (`http-reuse aggressive`).
    Reused,
}

/// The connection of a server that was used last and is still alive. `index` numbers servers over all backends.
pub fn take_idle(
    index: usize,
    server: &Arc<Server>,
    address: Option<SocketAddr>,
    proof: Proof,
    context: &mut Context<'_>,
) -> Option<ServerConnection> {
    POOLS.with_borrow_mut(|pools| {
        let pool = Pool::of(pools, index, server);
        let next = |pool: &mut Vec<Idle>| match proof {
            Proof::None => pool.pop(),
            Proof::Reused => {
                let at = pool.iter().rposition(|idle| idle.connection.reused)?;
                Some(pool.remove(at))
            }
        };
        while let Some(mut idle) = next(pool) {
            server.counters.idle_connections.leave();
            // `set server addr` makes older connections worthless.
            if idle.connection.address == address && idle.connection.stream.is_quiet(context) {
                idle.connection.reuse();
                return Some(idle.connection);
            }
        }
        None
    })
}

/// Keeps a connection that has nothing on its way, unless its server has enough (`pool-max-conn`) or it is worn out
/// (`max-reuse`).
pub fn put_idle(index: usize, server: &Arc<Server>, mut connection: ServerConnection, now_us: u64) {
    if matches!(connection.stream, Stream::Http2Server(_)) {
        // One stream of a connection that is kept for all already.
        return;
    }
    if is_worn_out(server, connection.reuses) {
        return;
    }
    connection.input.release_if_empty();
    POOLS.with_borrow_mut(|pools| {
        let pool = Pool::of(pools, index, server);
        if pool.len() < MAX_IDLE_PER_SERVER && server.enter_idle() {
            pool.push(Idle {
                connection,
                since_us: now_us,
            });
        }
    });
}

/// Whether a connection has carried as many requests as `max-reuse` allows. HAProxy counts those of HTTP/2 alone; the manual
/// speaks of all.
pub fn is_worn_out(server: &Server, reuses: u32) -> bool {
    let limit = server.config.pool.max_reuse;
    server.is_removed.load(Relaxed) || limit.is_some_and(|limit| reuses >= limit)
}

/// What is unused since before this moment is closed (`pool-purge-delay`).
pub(super) fn unused_since_us(server: &Server, now_us: u64) -> u64 {
    now_us.saturating_sub(server.config.pool.purge_delay.as_micros() as u64)
}

/// Closes what was unused for too long; `servers` are all servers in order of their index. HAProxy closes the half of what
/// it did not need, again and again; here the longest unused go, which are those that were not needed.
pub fn drop_idle(servers: &Table<Server>, now_us: u64) {
    drop_idle_shared(servers, now_us);
    POOLS.with_borrow_mut(|pools| {
        for (index, pool) in pools.iter_mut().enumerate() {
            // A server that was removed needs none.
            let Some(server) = servers.get(index) else {
                *pool = Pool::default();
                continue;
            };
            let pool = pool.belongs_to(server);
            let since_us = unused_since_us(server, now_us);
            let keep_from = pool.partition_point(|idle| idle.since_us < since_us);
            for _ in pool.drain(..keep_from) {
                server.counters.idle_connections.leave();
            }
        }
    });
}

/// Closes all.
pub fn drop_all_idle(servers: &Table<Server>) {
    drop_idle(servers, u64::MAX);
}
