//! Time: what is due, what must be heard before a silence counts, and when the driver wants to be woken next.

use std::time::Duration;

use sys::alarm::Alarm;
use sys::batch::{BATCH, Batch};

use super::scripts::Script;
use super::{Driver, Notifications};
use crate::core::Moment;

/// A unit that waits for nothing.
const NEVER: Moment = Moment::MAX;
/// Datagrams of one socket that are heard before the first silence counts; a flood must not keep us from advertising.
const HEARD_FIRST: usize = 512;
/// Longest that a datagram waits for others while many come, and which share of the shortest interval that is at most.
const LONGEST_DOZE: Duration = Duration::from_millis(2);
const DOZE_SHARE: u32 = 50;

impl Driver {
    /// Notes when a unit wants to run, after whatever may have changed that.
    pub(super) fn plan(&mut self, at: usize) {
        if self.due.len() != self.units.len() {
            self.plan_all();
            return;
        }
        let unit = &self.units[at];
        let timers = [unit.core.deadline(), unit.extra_at];
        let due = timers.into_iter().flatten().min().unwrap_or(NEVER);
        // What is due later than it was is noticed when the alarm rings: it need not be set again for every packet.
        self.stirred |= due < self.wound;
        self.due[at] = due;
    }

    /// The units with this VRID.
    pub(super) fn with_vrid(&self, vrid: u8) -> impl Iterator<Item = usize> {
        let first = self.vrids.partition_point(|(own, _)| *own < vrid);
        let from = self.vrids[first..].iter();
        from.take_while(move |(own, _)| *own == vrid)
            .map(|(_, at)| *at)
    }

    /// Notes when all units want to run, and who they are.
    pub(super) fn plan_all(&mut self) {
        self.stirred = true;
        self.vrids.clear();
        let vrids = self.units.iter().map(|unit| unit.config.virtual_router_id);
        self.vrids
            .extend(vrids.enumerate().map(|(at, vrid)| (vrid, at)));
        self.vrids.sort_unstable();
        let intervals = self.units.iter().map(|unit| unit.config.advert_int);
        let shortest = intervals.min().unwrap_or_default();
        self.doze = (shortest / DOZE_SHARE).min(LONGEST_DOZE);
        self.due.clear();
        self.due.resize(self.units.len(), NEVER);
        for at in 0..self.units.len() {
            self.plan(at);
        }
    }

    fn deadline(&self) -> Option<Moment> {
        let delay = self.starting.then(|| self.begins_at());
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
            self.tidy_at,
            self.memory.deadline(),
            delay,
            self.announcer.deadline(),
            self.release_deadline(),
        ];
        scripts
            .chain(notifications)
            .chain(others.into_iter().flatten())
            .min()
    }

    /// Whether something may be due: else there is no need to look through all that has a time.
    pub(super) fn is_stirred(&self) -> bool {
        self.stirred || self.now() >= self.wound
    }

    /// Has the driver woken when something is due. An alarm that rings too early is left: it is set anew then, and for
    /// whoever hears a master again and again that is once in many packets.
    pub(super) fn wind(&mut self, alarm: &Alarm) {
        self.stirred = false;
        let deadline = self.deadline().unwrap_or(NEVER);
        if self.is_wound && self.wound <= deadline {
            return;
        }
        let after = (deadline != NEVER).then(|| deadline.saturating_sub(self.now()));
        match alarm.set(after) {
            Ok(()) => (self.wound, self.is_wound) = (deadline, deadline != NEVER),
            Err(error) => tracing::error!("vrrp: the timer cannot be set: {error}"),
        }
    }

    /// After `count` datagrams were heard: while many come, lets some more come. To be woken for each costs more than all
    /// that is done with it. Nothing that is due waits for it.
    pub(super) fn doze(&mut self, count: usize) {
        let now = self.now();
        let before = std::mem::replace(&mut self.heard_at, now);
        let are_many = count > 1 || now < before + self.doze;
        if are_many && !self.stirred && now + self.doze < self.wound {
            // The whole process sleeps: only thus does no datagram wake it.
            std::thread::sleep(self.doze);
        }
    }

    /// Runs whatever is due.
    pub(super) async fn run_timers(&mut self, batch: &mut Batch) {
        let began = self.now();
        if self.due.iter().any(|due| *due <= began) {
            self.run_units(began, batch).await;
        }
        self.send_announcements();
        let now = self.now();
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = None;
            self.refresh("its interface is well again").await;
            self.plan_all();
        }
        while let Some(cause) = self.watched.elapsed(now) {
            self.judge_all(&cause).await;
        }
        if self.proxy.elapsed(now) {
            self.judge_all("the proxy is dead").await;
        }
        if self.starting && now >= self.begins_at() {
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
        self.remember_due(now);
        self.tidy();
    }

    /// Runs the units that are due. Whatever waits in the sockets is heard before the first silence counts.
    async fn run_units(&mut self, began: Moment, batch: &mut Batch) {
        let mut has_heard = false;
        for at in 0..self.units.len() {
            if self.due.get(at).is_none_or(|due| *due > began) {
                continue;
            }
            if !has_heard && self.units[at].core.must_hear_first(self.now()) {
                has_heard = true;
                self.catch_up(batch).await;
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
    async fn catch_up(&mut self, batch: &mut Batch) {
        for number in 0..self.ports.count() {
            for _ in 0..HEARD_FIRST / BATCH {
                let (count, more) = self.ports.receive_waiting(number, batch);
                self.arrived(number, count, batch).await;
                if !more {
                    break;
                }
            }
        }
    }
}
