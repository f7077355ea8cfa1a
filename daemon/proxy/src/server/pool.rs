//! Kept connections to servers: each thread its own, last in, first out.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::task::Context;

use super::ServerConnection;
use super::shared::drop_idle_shared;
use crate::net::Stream;
use crate::state::Server;

/// Most connections that a thread keeps to one server.
pub(super) const MAX_IDLE_PER_SERVER: usize = 1_024;
/// Longest time that a connection is kept unused, in microseconds (HAProxy's `tune.pool-purge-delay` is as long).
pub(super) const IDLE_LIMIT_US: u64 = 5_000_000;
/// The same as a duration.
pub const IDLE_LIMIT: std::time::Duration = std::time::Duration::from_micros(IDLE_LIMIT_US);

struct Idle {
    connection: ServerConnection,
    since_us: u64,
}

thread_local! {
    static POOLS: RefCell<Vec<Vec<Idle>>> = const { RefCell::new(Vec::new()) };
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
    server: &Server,
    address: Option<SocketAddr>,
    proof: Proof,
    context: &mut Context<'_>,
) -> Option<ServerConnection> {
    POOLS.with_borrow_mut(|pools| {
        let pool = pools.get_mut(index)?;
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
                idle.connection.reused = true;
                return Some(idle.connection);
            }
        }
        None
    })
}

/// Keeps a connection that has nothing on its way.
pub fn put_idle(index: usize, server: &Server, mut connection: ServerConnection, now_us: u64) {
    if matches!(connection.stream, Stream::Http2Server(_)) {
        // One stream of a connection that is kept for all already.
        return;
    }
    connection.input.release_if_empty();
    POOLS.with_borrow_mut(|pools| {
        if pools.len() <= index {
            pools.resize_with(index + 1, Vec::new);
        }
        if pools[index].len() < MAX_IDLE_PER_SERVER {
            server.counters.idle_connections.enter();
            pools[index].push(Idle {
                connection,
                since_us: now_us,
            });
        }
    });
}

/// Closes what was unused for too long; `servers` are all servers in order of their index.
pub fn drop_idle(servers: &[std::sync::Arc<Server>], now_us: u64) {
    drop_idle_shared(now_us);
    POOLS.with_borrow_mut(|pools| {
        for (pool, server) in pools.iter_mut().zip(servers) {
            let keep_from = pool.partition_point(|idle| idle.since_us + IDLE_LIMIT_US < now_us);
            for _ in pool.drain(..keep_from) {
                server.counters.idle_connections.leave();
            }
        }
    });
}

/// Closes all.
pub fn drop_all_idle(servers: &[std::sync::Arc<Server>]) {
    drop_idle(servers, u64::MAX);
}
