//! Health checks: when they run, what they speak, and what their results change.
//!
//! `schedule` begins them, `script` runs the steps of a `plan` (`connection`, `http`, `expect`, `protocols`), `agent` and
//! `external` are the other two kinds; `observe` watches the traffic; `change` and `admin` take results and wishes in.
//! HAProxy's manual, `check`, `option httpchk`, `http-check`, `tcp-check`, `agent-check`, `observe`, `track`.

pub(crate) mod admin;
pub(crate) mod agent;
mod change;
mod connection;
mod dial;
mod expect;
mod external;
mod http;
mod http2;
mod observe;
mod outcome;
mod plan;
mod protocols;
mod schedule;
mod script;
mod state;

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::app::Shared;
use crate::state::{Backend, BackendId, Health, Server, ServerId};

pub(crate) use change::{announce_backend, servers_left, shut_sessions};
pub use external::Commands;
pub(crate) use observe::{Sight, see};
pub use outcome::Outcome;
pub use plan::{CheckTls, Checks, Plan, compile};
pub use schedule::start;
pub(crate) use state::{
    checked_server, effective_admin, is_down, is_stopped, server_word, status_word,
};

/// A server's state, locked. A panic elsewhere leaves it whole: each change is one assignment.
pub(crate) fn lock_health(server: &Server) -> MutexGuard<'_, Health> {
    server.health.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_up(server: &Server) -> bool {
    state::is_up(server)
}

/// A server whose check is to come soon.
pub(super) type Hurry = (BackendId, ServerId);

/// How soon its check is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// After `fastinter`.
    Fast,
    /// At once.
    Now,
}

/// What the other rooms and the supervisor reach of the checks.
#[derive(Debug, Default)]
pub struct HealthDoor {
    /// Commands of external checks.
    pub commands: Commands,
    suspects: Mutex<Vec<(Hurry, Pace)>>,
    wake: tokio::sync::Notify,
}

/// Suspected servers that wait for their turn; more are looked at by their own time.
const MAX_SUSPECTS: usize = 4_096;

impl HealthDoor {
    /// Servers that are suspected, or to be known, since the last call. Cancel-safe.
    async fn hurried(&self) -> Vec<(Hurry, Pace)> {
        loop {
            let suspects = std::mem::take(&mut *self.suspects());
            if !suspects.is_empty() {
                return suspects;
            }
            self.wake.notified().await;
        }
    }

    fn suspects(&self) -> MutexGuard<'_, Vec<(Hurry, Pace)>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets a server's next check come soon.
fn hurry(shared: &Shared, backend: &Backend, server: &Server) {
    hasten(shared, (backend.id, server.id), Pace::Fast);
}

/// Lets the next check of a server, or of the one that it tracks, come now.
pub(crate) fn check_now(shared: &Shared, backend: &Backend, server: &Server) {
    let own = (backend.id, server.id);
    let checked = server.tracked.get().copied().unwrap_or(own);
    hasten(shared, checked, Pace::Now);
}

fn hasten(shared: &Shared, server: Hurry, pace: Pace) {
    let mut suspects = shared.health.suspects();
    if suspects.len() < MAX_SUSPECTS {
        suspects.push((server, pace));
    }
    drop(suspects);
    shared.health.wake.notify_one();
}

/// Connects servers with those that track them, and gives them the state of the tracked server.
pub fn link_trackers(shared: &Shared) {
    use std::collections::HashMap;
    let config = &shared.config;
    let mut places = HashMap::new();
    for backend in &shared.backends {
        for server in &backend.servers {
            places.insert(
                (backend.name.as_str(), server.name.as_str()),
                (backend.id, server.id),
            );
        }
    }
    let mut trackers: HashMap<Hurry, Vec<Hurry>> = HashMap::new();
    for backend in &shared.backends {
        let Some(proxy) = config.proxies.get(backend.config_index) else {
            continue;
        };
        for server in &backend.servers {
            let tracked = server.config.track.as_ref().and_then(|track| {
                let (proxy, server) = config.tracked(proxy, track)?;
                places.get(&(proxy.name.text.as_str(), server.name.text.as_str()))
            });
            if let Some(tracked) = tracked {
                // Set once, here.
                let _ = server.tracked.set(*tracked);
                trackers
                    .entry(*tracked)
                    .or_default()
                    .push((backend.id, server.id));
            }
        }
    }
    for (tracked, list) in trackers {
        if let Some((_, server)) = state::server_at(shared, tracked) {
            let _ = server.trackers.set(list);
        }
    }
    for backend in &shared.backends {
        for server in backend
            .servers
            .iter()
            .filter(|server| server.tracked.get().is_some())
        {
            let leader = lock_health(checked_server(shared, server)).clone();
            let mut health = lock_health(server);
            health.operational = match is_down(&leader) {
                true => protocol::snapshot::Operational::Down,
                false => protocol::snapshot::Operational::Up,
            };
            health.stopping = leader.stopping;
            health.inherited = effective_admin(&leader);
            drop(health);
            server.publish();
        }
    }
}
