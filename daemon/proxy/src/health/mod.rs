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

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::app::Shared;
use crate::state::{Backend, BackendId, Health, Server, ServerId};

pub(crate) use change::{announce_backend, servers_left, shut_sessions};
pub use external::Commands;
pub(crate) use observe::{Sight, see};
pub use outcome::Outcome;
pub use plan::{CheckTls, Checks, Plan, compile};
pub use schedule::start;
pub(crate) use state::{
    effective_admin, is_down, is_stopped, server_word, status_word, tracked_server,
};

/// A server's state, locked. A panic elsewhere leaves it whole: each change is one assignment.
pub(crate) fn lock_health(server: &Server) -> MutexGuard<'_, Health> {
    server.health.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The servers that track this one.
pub(crate) fn trackers(server: &Server) -> MutexGuard<'_, Vec<Hurry>> {
    let trackers = server.trackers.lock();
    trackers.unwrap_or_else(PoisonError::into_inner)
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
    /// Servers that came at run time and are not in the schedule yet.
    newcomers: Mutex<Vec<(BackendId, Arc<Server>)>>,
    servers_changed: AtomicBool,
    wake: tokio::sync::Notify,
}

/// What the schedule is to do besides what is due.
struct Wishes {
    /// Servers that are suspected.
    hurried: Vec<(Hurry, Pace)>,
    /// Servers have come or left.
    servers_changed: bool,
}

/// Suspected servers that wait for their turn; more are looked at by their own time.
const MAX_SUSPECTS: usize = 4_096;

impl HealthDoor {
    /// What the schedule is to do since the last call. Cancel-safe.
    async fn wishes(&self) -> Wishes {
        loop {
            let wishes = Wishes {
                hurried: std::mem::take(&mut *self.suspects()),
                servers_changed: self.servers_changed.swap(false, Relaxed),
            };
            if wishes.servers_changed || !wishes.hurried.is_empty() {
                return wishes;
            }
            self.wake.notified().await;
        }
    }

    /// A server has come at run time.
    pub fn server_came(&self, backend: BackendId, server: &Arc<Server>) {
        self.newcomers().push((backend, Arc::clone(server)));
        self.servers_changed();
    }

    /// A server has left: what is removed is checked no more.
    pub fn server_left(&self, server: &Arc<Server>) {
        self.newcomers()
            .retain(|(_, other)| !Arc::ptr_eq(other, server));
        self.servers_changed();
    }

    fn servers_changed(&self) {
        self.servers_changed.store(true, Relaxed);
        self.wake.notify_one();
    }

    fn take_newcomers(&self) -> Vec<(BackendId, Arc<Server>)> {
        std::mem::take(&mut *self.newcomers())
    }

    fn newcomers(&self) -> MutexGuard<'_, Vec<(BackendId, Arc<Server>)>> {
        let newcomers = self.newcomers.lock();
        newcomers.unwrap_or_else(PoisonError::into_inner)
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
    let mut tracking = Vec::new();
    for backend in &shared.backends {
        for server in backend.servers.now().iter() {
            let place = (backend.id, server.id);
            places.insert((backend.name.clone(), server.name.clone()), place);
            if server.config.track.is_some() {
                tracking.push((backend, Arc::clone(server)));
            }
        }
    }
    for (backend, server) in &tracking {
        let tracked = server.config.track.as_ref().and_then(|track| {
            let proxy = config.proxies.get(backend.config_index)?;
            let (proxy, server) = config.tracked(proxy, track)?;
            places.get(&(proxy.name.text.clone(), server.name.text.clone()))
        });
        if let Some(tracked) = tracked {
            link(shared, (backend, server), *tracked);
        }
    }
    // Chains are whole now.
    for (_, server) in &tracking {
        follow_leader(shared, server);
    }
}

/// A server begins to track another one.
pub(crate) fn link(shared: &Shared, (backend, server): (&Backend, &Server), tracked: Hurry) {
    let Some((_, leader)) = state::server_at(shared, tracked) else {
        return;
    };
    // Once in its life.
    let _ = server.tracked.set(tracked);
    trackers(&leader).push((backend.id, server.id));
}

/// A server that has left tracks nobody.
pub(crate) fn unlink(shared: &Shared, (backend, server): (&Backend, &Server)) {
    let leader = server
        .tracked
        .get()
        .and_then(|place| state::server_at(shared, *place));
    if let Some((_, leader)) = leader {
        trackers(&leader).retain(|place| *place != (backend.id, server.id));
    }
}

/// Gives a server that tracks another one its state.
pub(crate) fn follow_leader(shared: &Shared, server: &Server) {
    let Some(leader) = tracked_server(shared, server) else {
        return;
    };
    let leader = lock_health(&leader).clone();
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
