//! Tidying up: memory that only a start or a change needed is given back, and what is used from then on stays in
//! memory. Two processes of a pair would else hold megabytes of code that they ran once.

use std::time::Duration;

use super::Driver;
use crate::core::Action;

/// Quiet time before it.
const QUIET: Duration = Duration::from_secs(1);

impl Driver {
    /// Tidies up some time after these decisions; advertisements alone leave nothing behind.
    pub(super) fn plan_tidying(&mut self, actions: &[Action]) {
        let is_change = |action: &Action| !matches!(action, Action::Advertise(_));
        if actions.iter().any(is_change) {
            self.tidy_later();
        }
    }

    /// Tidies up when nothing has changed for a while. Questions do not count: they come every second.
    pub(super) fn tidy_later(&mut self) {
        self.tidy_at = Some(self.now() + QUIET);
        self.stirred = true;
    }

    /// Gives memory back if it is time, and locks what is used again.
    pub(super) fn tidy(&mut self) {
        let now = self.now();
        if self.tidy_at.take_if(|at| *at <= now).is_none() {
            return;
        }
        sys::realtime::unlock_memory();
        sys::memory::give_back();
        if let Err(error) = sys::realtime::lock_memory() {
            tracing::debug!("vrrp: memory is not locked: {error}");
        }
    }
}
