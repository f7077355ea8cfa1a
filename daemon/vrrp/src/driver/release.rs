//! `pre_release`: a command before the addresses leave on a planned loss, with a deadline.
//!
//! A failover, a stop and a reload that ends an instance wait for it while the instance goes on as master. Who is preempted
//! is no longer master and may keep the addresses for half an interval at most. A fault waits for nothing.

use std::time::Duration;

use config::keepalived::PreRelease;
use protocol::process::{FromChild, ScriptOutcome};
use protocol::vrrp::VrrpState;
use protocol::{EventKind, EventSeverity};

use super::Driver;
use super::scripts::milliseconds;
use crate::Setup;
use crate::core::group::Entered;
use crate::core::{Action, Moment};

/// What comes when the commands have ended, or their time is over.
pub(super) enum Afterwards {
    /// The process ends.
    Stop(&'static str),
    /// A configuration is taken.
    Reload(Box<Setup>),
    /// An operator's failover begins.
    Failover {
        generation: u64,
        id: u64,
        instance: String,
        force: bool,
    },
    /// A preempted instance lets its addresses go, and with it all of its sync group.
    Yield(Yielding),
}

/// Decisions of several cores, by unit.
pub(super) type Batch = Vec<(usize, Vec<Action>)>;

/// What preempted instances are to do, and what is then told of their sync group.
pub(super) struct Yielding {
    /// By name.
    batch: Vec<(String, Vec<Action>)>,
    group: Option<(String, Entered)>,
}

/// Commands that run.
pub(super) struct Release {
    running: Vec<u64>,
    until: Moment,
    after: Afterwards,
}

impl Release {
    /// One that nothing runs for.
    pub(super) fn due(after: Afterwards) -> Self {
        Self {
            running: Vec::new(),
            until: Moment::ZERO,
            after,
        }
    }
}

/// Why one of these is preempted; an operator's failover is none.
fn preempted(batch: &Batch) -> Option<String> {
    let actions = || batch.iter().flat_map(|(_, actions)| actions);
    if actions().any(|action| matches!(action, Action::FailoverEnded(_))) {
        return None;
    }
    actions().find_map(|action| match action {
        Action::Enter {
            from: VrrpState::Master,
            to: VrrpState::Backup,
            reason,
        } => Some(reason.clone()),
        _ => None,
    })
}

impl Driver {
    /// Runs the commands of those units that are master and have one. None if something runs; else what comes next is due.
    pub(super) fn release(
        &mut self,
        units: impl Iterator<Item = usize>,
        most: Option<Duration>,
        why: &str,
        after: Afterwards,
    ) -> Option<Afterwards> {
        let now = self.now();
        let mut running = Vec::new();
        let mut until = now;
        for at in units {
            let unit = &self.units[at];
            let Some(hook) = &unit.config.notify.pre_release else {
                continue;
            };
            let PreRelease { command, timeout } = hook.clone();
            let limit = most.map_or(timeout, |most| most.min(timeout));
            let id = self.numbers.next();
            self.notified += 1;
            let environment = vec![
                ("TANDEM_NOTIFY_NUMBER".to_owned(), self.notified.to_string()),
                ("TANDEM_NOTIFY_REASON".to_owned(), why.to_owned()),
            ];
            tracing::info!("{}: pre_release runs: {why}", unit.name());
            self.supervisor.send(&FromChild::RunScript {
                id,
                argv: command.argv,
                user: command.user,
                timeout_ms: milliseconds(limit),
                notifies: true,
                environment,
            });
            running.push(id);
            until = until.max(now + limit);
        }
        if running.is_empty() {
            return Some(after);
        }
        self.releases.push(Release {
            running,
            until,
            after,
        });
        None
    }

    /// The units that are master.
    pub(super) fn masters(&self) -> Vec<usize> {
        let all = 0..self.units.len();
        all.filter(|at| self.units[*at].core.is_active()).collect()
    }

    /// Takes the end of run `id`; false if it is none of these.
    pub(super) fn release_ended(&mut self, id: u64, outcome: &ScriptOutcome) -> bool {
        let mut all = self.releases.iter_mut();
        let Some(release) = all.find(|release| release.running.contains(&id)) else {
            return false;
        };
        release.running.retain(|running| *running != id);
        let why = match outcome {
            ScriptOutcome::Exited(0) => return true,
            ScriptOutcome::Exited(status) => format!("exit status {status}"),
            ScriptOutcome::Signaled(signal) => format!("ended by signal {signal}"),
            ScriptOutcome::TimedOut => "its time was over".to_owned(),
            ScriptOutcome::Failed(why) => why.clone(),
        };
        let reason = format!("{why}; the addresses leave all the same");
        let (severity, change) = (EventSeverity::Warning, "failed");
        self.event(severity, EventKind::Other, "pre_release", change, &reason);
        true
    }

    /// When the first of them is over.
    pub(super) fn release_deadline(&self) -> Option<Moment> {
        let due = |release: &Release| match release.running.is_empty() {
            true => Moment::ZERO,
            false => release.until,
        };
        self.releases.iter().map(due).min()
    }

    /// Goes on with what waited. The reason to stop, if that is it.
    pub(super) async fn run_releases(&mut self) -> Option<&'static str> {
        let now = self.now();
        let is_due = |release: &Release| release.running.is_empty() || release.until <= now;
        while let Some(at) = self.releases.iter().position(is_due) {
            let release = self.releases.remove(at);
            if !release.running.is_empty() {
                let reason = "it has not ended in its time; the addresses leave now";
                let (severity, change) = (EventSeverity::Warning, "given up");
                self.event(severity, EventKind::Other, "pre_release", change, reason);
            }
            match release.after {
                Afterwards::Stop(reason) => return Some(reason),
                Afterwards::Reload(setup) => {
                    Box::pin(self.apply(*setup, "reloaded")).await;
                    self.plan_all();
                }
                Afterwards::Failover {
                    generation,
                    id,
                    instance,
                    force,
                } => self.fail_over(generation, id, instance, force).await,
                Afterwards::Yield(Yielding { batch, group }) => {
                    let position =
                        |name: &str| self.units.iter().position(|unit| unit.name() == name);
                    let batch = batch.into_iter();
                    let batch =
                        batch.filter_map(|(name, actions)| Some((position(&name)?, actions)));
                    let batch = batch.collect();
                    self.perform_all(batch).await;
                    if let Some((name, entered)) = group {
                        self.tell_group(&name, &entered);
                    }
                }
            }
        }
        None
    }

    /// What preempted units are to do: nothing yet if a command of theirs runs first. A sync group waits as one.
    pub(super) fn yield_later(
        &mut self,
        batch: Batch,
        group: Option<Entered>,
    ) -> Option<(Batch, Option<Entered>)> {
        let Some(reason) = preempted(&batch) else {
            return Some((batch, group));
        };
        let has_hook = |at: usize| self.units[at].config.notify.pre_release.is_some();
        let Some(first) = batch.iter().map(|(at, _)| *at).find(|at| has_hook(*at)) else {
            return Some((batch, group));
        };
        let units: Vec<_> = batch.iter().map(|(at, _)| *at).collect();
        let intervals = units.iter().map(|at| self.units[*at].config.advert_int);
        let most = intervals.min().map(|interval| interval / 2);
        let group_name = self
            .group_of(first)
            .map(|group| self.groups[group].core.name().to_owned());
        let name = |(at, actions): (usize, _)| (self.units[at].name().to_owned(), actions);
        let yielding = Yielding {
            batch: batch.into_iter().map(name).collect(),
            group: group_name.zip(group),
        };
        self.release(
            units.into_iter(),
            most,
            &reason,
            Afterwards::Yield(yielding),
        );
        None
    }

    /// What a unit has put off until its command ends: it comes before anything else that the unit does.
    pub(super) fn put_off(&mut self, at: usize) -> Vec<Action> {
        let name = self.units[at].name();
        for release in &mut self.releases {
            let Afterwards::Yield(yielding) = &mut release.after else {
                continue;
            };
            if let Some(found) = yielding.batch.iter().position(|(own, _)| own == name) {
                return yielding.batch.swap_remove(found).1;
            }
        }
        Vec::new()
    }
}
