//! Backends that VRRP tracks (`track_backend`): the supervisor is told how many of their servers are usable.

use std::sync::Arc;
use std::time::Duration;

use protocol::process::{FromChild, Observation};
use sys::channel::Sender;
use tokio::time::Instant;

use super::App;
use super::run::tell;
use crate::health::{check_now, lock_health, tracked_server};
use crate::state::{Backend, Server, Usability};

/// Longest that a first check is awaited before what is believed counts.
const MAX_FIRST_CHECK: Duration = Duration::from_secs(5);
/// Pause between two looks for it.
const LOOK: Duration = Duration::from_millis(20);
/// Servers of a backend whose first check comes at once; one that is usable suffices.
const MAX_AT_ONCE: usize = 64;

/// Tells of the named backends once, and then of each that changes.
pub(super) fn start(names: &[String], app: &Arc<App>, sender: &Sender) {
    let backends = app.backends.iter().map(|back| &back.backend);
    for backend in backends.filter(|backend| names.contains(&backend.name)) {
        let (app, backend) = (Arc::clone(app), Arc::clone(backend));
        tokio::task::spawn_local(watch(app, backend, sender.clone()));
    }
}

/// Whether the server counts as up before it was checked, or because a worker that died found it so.
fn is_believed(app: &App, server: &Server) -> bool {
    let tracked = tracked_server(&app.shared, server);
    let checked = tracked.as_deref().unwrap_or(server);
    let health = lock_health(checked);
    checked.config.check.is_some() && health.checks_enabled && !health.seen_well
}

/// Whether a server is up for a reason, or none is even believed to be.
fn is_known(app: &App, backend: &Backend) -> bool {
    let servers = backend.servers.now();
    let mut usable = servers
        .iter()
        .filter(|server| server.usability() == Usability::Up);
    match usable.next() {
        None => true,
        Some(first) => !is_believed(app, first) || usable.any(|server| !is_believed(app, server)),
    }
}

/// An address must not come for the sake of servers that are only believed to be up: tells of them as such, has them checked at
/// once, whatever their interval, and awaits the first result.
async fn first_checks(app: &App, backend: &Backend, sender: &Sender) -> bool {
    if is_known(app, backend) {
        return true;
    }
    let servers = backend.servers.table();
    let believed = servers.iter().filter(|server| is_believed(app, server));
    for server in believed.take(MAX_AT_ONCE) {
        check_now(&app.shared, backend, server);
    }
    if !tell_of(backend, backend.usable_servers(), false, sender).await {
        return false;
    }
    let until = Instant::now() + MAX_FIRST_CHECK;
    while Instant::now() < until && !is_known(app, backend) {
        tokio::time::sleep(LOOK).await;
    }
    true
}

async fn watch(app: Arc<App>, backend: Arc<Backend>, sender: Sender) {
    if !first_checks(&app, &backend, &sender).await {
        return;
    }
    let mut told = None;
    loop {
        let changed = backend.wake.notified();
        tokio::pin!(changed);
        // Registered before looking, so that no change between is lost.
        changed.as_mut().enable();
        let usable = backend.usable_servers();
        if told != Some(usable) {
            told = Some(usable);
            if !tell_of(&backend, usable, true, &sender).await {
                return;
            }
        }
        changed.await;
    }
}

async fn tell_of(backend: &Backend, usable: usize, known: bool, sender: &Sender) -> bool {
    let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
    let observation = Observation::Backend {
        name: backend.name.clone(),
        usable: number(usable),
        servers: number(backend.servers.now().len()),
        known,
    };
    tell(sender, &FromChild::Observed(vec![observation])).await
}
