//! Backends that VRRP tracks (`track_backend`): the supervisor is told how many of their servers are usable.

use std::sync::Arc;
use std::time::Duration;

use protocol::process::{FromChild, Observation};
use sys::channel::Sender;
use tokio::time::Instant;

use super::App;
use super::run::tell;
use crate::health::{checked_server, lock_health};
use crate::state::{Backend, Server, Usability};

/// Longest that a first check is awaited before what is believed is told: checks at the usual 2 s have ended twice.
const MAX_FIRST_CHECK: Duration = Duration::from_secs(5);
/// Pause between two looks for it.
const LOOK: Duration = Duration::from_millis(20);

/// Tells of the named backends once, and then of each that changes.
pub(super) fn start(names: &[String], app: &Arc<App>, sender: &Sender) {
    let backends = app.backends.iter().map(|back| &back.backend);
    for backend in backends.filter(|backend| names.contains(&backend.name)) {
        let (app, backend) = (Arc::clone(app), Arc::clone(backend));
        tokio::task::spawn_local(watch(app, backend, sender.clone()));
    }
}

/// Servers count as up before they were checked, or because a worker that died found them so: an address must not come for
/// their sake. Awaits one that is up for a reason, or that none is even believed to be.
async fn first_checks(app: &App, backend: &Backend) {
    let until = Instant::now() + MAX_FIRST_CHECK;
    let is_believed = |server: &Server| {
        let checked = checked_server(&app.shared, server);
        let health = lock_health(checked);
        checked.config.check.is_some() && health.checks_enabled && !health.seen_well
    };
    while Instant::now() < until {
        let servers = backend.servers.iter();
        let mut usable = servers.filter(|server| server.usability() == Usability::Up);
        let is_settled = match usable.next() {
            None => true,
            Some(first) => !is_believed(first) || usable.any(|server| !is_believed(server)),
        };
        if is_settled {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn watch(app: Arc<App>, backend: Arc<Backend>, sender: Sender) {
    first_checks(&app, &backend).await;
    let mut told = None;
    loop {
        let changed = backend.wake.notified();
        tokio::pin!(changed);
        // Registered before looking, so that no change between is lost.
        changed.as_mut().enable();
        let usable = backend.usable_servers();
        if told != Some(usable) {
            told = Some(usable);
            let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
            let observation = Observation::Backend {
                name: backend.name.clone(),
                usable: number(usable),
                servers: number(backend.servers.len()),
            };
            if !tell(&sender, &FromChild::Observed(vec![observation])).await {
                return;
            }
        }
        changed.await;
    }
}
