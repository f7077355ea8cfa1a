//! Time: what is due, what must be heard before a silence counts, and when the driver wants to be woken next.

use sys::alarm::Alarm;
use tokio::sync::mpsc;

use super::ports::Arrival;
use super::scripts::Script;
use super::{Driver, INBOX_PACKETS, Notifications};
use crate::core::Moment;

/// A unit that waits for nothing.
const NEVER: Moment = Moment::MAX;

impl Driver {
    /// Notes when a unit wants to run, after whatever may have changed that.
    pub(super) fn plan(&mut self, at: usize) {
        if self.due.len() != self.units.len() {
            self.plan_all();
            return;
        }
        let unit = &self.units[at];
        let timers = [unit.core.deadline(), unit.extra_at];
        self.due[at] = timers.into_iter().flatten().min().unwrap_or(NEVER);
    }

    /// The units with this VRID.
    pub(super) fn with_vrid(&self, vrid: u8) -> impl Iterator<Item = usize> {
        let all = self.vrids.iter().enumerate();
        all.filter_map(move |(at, own)| (*own == vrid).then_some(at))
    }

    /// Notes when all units want to run, and who they are.
    pub(super) fn plan_all(&mut self) {
        self.vrids.clear();
        let vrids = self.units.iter().map(|unit| unit.config.virtual_router_id);
        self.vrids.extend(vrids);
        self.due.clear();
        self.due.resize(self.units.len(), NEVER);
        for at in 0..self.units.len() {
            self.plan(at);
        }
    }

    fn deadline(&self) -> Option<Moment> {
        let delay = self
            .starting
            .then_some(self.setup.config.global.startup_delay);
        let units = self.due.iter().copied().min();
        let scripts = self.scripts.iter().filter_map(Script::deadline);
        let notifications = self
            .notifications
            .values()
            .filter_map(Notifications::deadline);
        let others = [
            units.filter(|at| *at != NEVER),
            self.proxy.deadline(),
            self.watched.deadline(),
            self.refresh_at,
            delay,
            self.announcer.deadline(),
            self.release_deadline(),
        ];
        scripts
            .chain(notifications)
            .chain(others.into_iter().flatten())
            .min()
    }

    /// Has the driver woken when something is due.
    pub(super) fn wind(&mut self, alarm: &Alarm) {
        let deadline = self.deadline();
        if self.wound == Some(deadline) {
            return;
        }
        let after = deadline.map(|at| at.saturating_sub(self.now()));
        match alarm.set(after) {
            Ok(()) => self.wound = Some(deadline),
            Err(error) => tracing::error!("vrrp: the timer cannot be set: {error}"),
        }
    }

    /// Runs whatever is due.
    pub(super) async fn run_timers(&mut self, arrivals: &mut mpsc::Receiver<Arrival>) {
        let began = self.now();
        if self.due.iter().any(|due| *due <= began) {
            self.run_units(began, arrivals).await;
        }
        self.send_announcements();
        let now = self.now();
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = None;
            self.refresh("its interface is well again").await;
            self.plan_all();
        }
        if let Some(cause) = self.watched.elapsed(now) {
            self.judge_all(&cause).await;
        }
        if self.proxy.elapsed(now) {
            self.judge_all("the proxy is dead").await;
        }
        if self.starting && now >= self.setup.config.global.startup_delay {
            self.starting = false;
            self.judge_all("vrrp_startup_delay is over").await;
        }
        for at in 0..self.scripts.len() {
            let lost = self.scripts[at].elapsed(now, &mut self.numbers, &self.supervisor);
            if let Some(outcome) = lost {
                self.script_ended(at, &outcome).await;
            }
        }
        self.turn_notifications();
    }

    /// Runs the units that are due. Whatever waits in the sockets is heard before the first silence counts.
    async fn run_units(&mut self, began: Moment, arrivals: &mut mpsc::Receiver<Arrival>) {
        let mut has_heard = false;
        for at in 0..self.units.len() {
            if self.due.get(at).is_none_or(|due| *due > began) {
                continue;
            }
            if !has_heard && self.units[at].core.must_hear_first(self.now()) {
                has_heard = true;
                self.catch_up(arrivals).await;
            }
            let now = self.now();
            let unit = &self.units[at];
            if unit.core.deadline().is_some_and(|due| due <= now) {
                self.hold_back(at).await;
                let actions = self.units[at].core.elapsed(now);
                self.carry(at, actions).await;
            }
            if self.units[at].extra_at.is_some_and(|due| due <= now) {
                self.announce_extra(at);
            }
            self.plan(at);
        }
    }

    /// Hears what waited while we did not run. A backup that slept must not take the silence for the master's.
    async fn catch_up(&mut self, arrivals: &mut mpsc::Receiver<Arrival>) {
        for _ in 0..INBOX_PACKETS {
            match arrivals.try_recv() {
                Ok(arrival) => self.arrived(&arrival).await,
                Err(_) => break,
            }
        }
        for arrival in self.ports.waiting(INBOX_PACKETS) {
            self.arrived(&arrival).await;
        }
    }
}
