//! What instances track outside of the vrrp process: files and processes, which are watched here, and backends, of which
//! the worker tells. Vrrp hears of changes, and of everything when it starts or is reconfigured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use protocol::process::{Observation, Role, ToChild};
use tokio::sync::mpsc;
use vrrp::watch::{INTERVAL, Watcher};

use super::{Happening, Supervisor};

/// The thread that looks at files and processes. Files may hang (they may lie on a network): nothing waits for it.
#[derive(Default)]
pub(super) struct Watch {
    ended: Arc<AtomicBool>,
    /// What it last saw.
    seen: Vec<Observation>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// Puts observations in the place of those before.
pub(super) fn take(known: &mut Vec<Observation>, new: Vec<Observation>) {
    for observation in new {
        known.retain(|other| !other.is_of_same(&observation));
        known.push(observation);
    }
}

impl Supervisor {
    /// Watches what the current configuration tracks, and no longer what the one before did.
    pub(super) fn watch(&mut self) {
        self.watch = Watch::default();
        let Some(keepalived) = &self.configuration.keepalived else {
            return;
        };
        let mut watcher = Watcher::new(keepalived);
        if watcher.is_idle() {
            return;
        }
        for problem in watcher.write_initial_values(!self.announced) {
            tracing::warn!("{problem}");
        }
        let ended = Arc::clone(&self.watch.ended);
        let happenings = self.happenings.clone();
        let thread = std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || look_again_and_again(&mut watcher, &ended, &happenings));
        if let Err(error) = thread {
            tracing::error!("tracked files and processes are not watched: {error}");
        }
    }

    /// The thread saw changes.
    pub(super) fn watched(&mut self, ended: &Arc<AtomicBool>, observations: Vec<Observation>) {
        // One that was told to end may have spoken once more.
        if !Arc::ptr_eq(ended, &self.watch.ended) {
            return;
        }
        take(&mut self.watch.seen, observations.clone());
        self.tell_vrrp(observations);
    }

    /// A worker told of its backends; of one that does not serve yet it is kept.
    pub(super) fn backends_observed(&mut self, pid: u32, observations: Vec<Observation>) {
        let Some(child) = self.children.get_mut(&pid) else {
            return;
        };
        take(&mut child.observed, observations.clone());
        if self.worker == Some(pid) {
            self.tell_vrrp(observations);
        }
    }

    /// Tells vrrp everything: it or the worker is another one, or its configuration.
    pub(super) fn tell_all_observed(&self) {
        let worker = self.current(Role::Worker);
        let backends = worker.map_or(&[][..], |worker| &worker.observed);
        self.tell_vrrp([&self.watch.seen, backends].concat());
    }

    fn tell_vrrp(&self, observations: Vec<Observation>) {
        if let Some(vrrp) = self
            .current(Role::Vrrp)
            .filter(|_| !observations.is_empty())
        {
            vrrp.tell(&ToChild::Observed(observations));
        }
    }
}

fn look_again_and_again(
    watcher: &mut Watcher,
    ended: &Arc<AtomicBool>,
    happenings: &mpsc::Sender<Happening>,
) {
    while !ended.load(Ordering::Relaxed) {
        let observations = watcher.look();
        if !observations.is_empty() {
            let watch = Arc::clone(ended);
            let happening = Happening::Watched {
                watch,
                observations,
            };
            // The supervisor ends if nobody listens.
            if happenings.blocking_send(happening).is_err() {
                return;
            }
        }
        std::thread::sleep(INTERVAL);
    }
}
