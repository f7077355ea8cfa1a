//! Backends that VRRP tracks (`track_backend`): the supervisor is told how many of their servers are usable.

use std::sync::Arc;

use protocol::process::{FromChild, Observation};
use sys::channel::Sender;

use super::run::tell;
use crate::state::Backend;

/// Tells of the named backends once, and then of each that changes.
pub(super) fn start(
    names: &[String],
    backends: impl Iterator<Item = Arc<Backend>>,
    sender: &Sender,
) {
    for backend in backends.filter(|backend| names.contains(&backend.name)) {
        tokio::task::spawn_local(watch(backend, sender.clone()));
    }
}

async fn watch(backend: Arc<Backend>, sender: Sender) {
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
