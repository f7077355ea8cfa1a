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
    /// A preempted instance lets its addresses go.
    Yield {
        instance: String,
        actions: Vec<Action>,
    },
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
                    self.apply(*setup, "reloaded").await;
                    self.plan_all();
                }
                Afterwards::Failover {
                    generation,
                    id,
                    instance,
                    force,
                } => self.fail_over(generation, id, instance, force).await,
                Afterwards::Yield { instance, actions } => {
                    let mut units = self.units.iter();
                    if let Some(at) = units.position(|unit| unit.name() == instance) {
                        self.perform(at, actions).await;
                    }
                }
            }
        }
        None
    }

    /// What a preempted unit is to do: nothing yet if its command runs first.
    pub(super) fn yield_later(&mut self, at: usize, actions: Vec<Action>) -> Vec<Action> {
        let preempted = actions.iter().find_map(|action| match action {
            Action::Enter {
                from: VrrpState::Master,
                to: VrrpState::Backup,
                reason,
            } => Some(reason.clone()),
            _ => None,
        });
        let is_asked = |action: &Action| matches!(action, Action::FailoverEnded(_));
        let (Some(reason), false) = (preempted, actions.iter().any(is_asked)) else {
            return actions;
        };
        let unit = &self.units[at];
        let most = unit.config.advert_int / 2;
        let after = Afterwards::Yield {
            instance: unit.name().to_owned(),
            actions,
        };
        match self.release([at].into_iter(), Some(most), &reason, after) {
            Some(Afterwards::Yield { actions, .. }) => actions,
            _ => Vec::new(),
        }
    }

    /// What a unit has put off until its command ends: it comes before anything else that the unit does.
    pub(super) fn put_off(&mut self, at: usize) -> Vec<Action> {
        let name = self.units[at].name();
        let is_its = |release: &Release| matches!(&release.after, Afterwards::Yield { instance, .. } if instance == name);
        let found = self.releases.iter().position(is_its);
        match found.map(|found| self.releases.remove(found).after) {
            Some(Afterwards::Yield { actions, .. }) => actions,
            _ => Vec::new(),
        }
    }
}
