//! What the cores decide, done: advertisements, notifications, answers. See `addresses` and `announce` for the rest.

use protocol::vrrp::VrrpState;
use protocol::{EventKind, EventSeverity, Refusal};

use super::Driver;
use super::notify::Told;
use crate::core::Action;

impl Driver {
    /// Performs a core's decisions in their order.
    pub(super) async fn perform(&mut self, at: usize, actions: Vec<Action>) {
        self.stirred = true;
        self.plan_tidying(&actions);
        let mut all = self.put_off(at);
        all.extend(actions);
        for action in all {
            match action {
                Action::Advertise(priority) => self.advertise(at, priority),
                Action::AddAddresses => self.add_addresses(at).await,
                Action::RemoveAddresses => self.remove_addresses(at).await,
                Action::Announce(burst) => self.announce(at, burst),
                Action::Enter { from, to, reason } => self.entered(at, from, to, &reason),
                Action::Tell {
                    severity,
                    change,
                    reason,
                } => {
                    let name = self.units[at].name().to_owned();
                    self.event(severity, EventKind::VrrpTransition, &name, &change, &reason);
                }
                Action::FailoverEnded(outcome) => self.failover_ended(at, outcome),
            }
        }
        self.plan(at);
    }

    fn entered(&mut self, at: usize, from: VrrpState, to: VrrpState, reason: &str) {
        if from == to {
            return;
        }
        let unit = &mut self.units[at];
        unit.remember(from, to, reason);
        let name = unit.name().to_owned();
        let severity = match to {
            VrrpState::Fault => EventSeverity::Alert,
            VrrpState::Master => EventSeverity::Warning,
            VrrpState::Backup | VrrpState::Init => EventSeverity::Notice,
        };
        self.event(
            severity,
            EventKind::VrrpTransition,
            &name,
            &format!("{from} -> {to}"),
            reason,
        );
        self.notify_state(at, to, reason);
    }

    fn failover_ended(&mut self, at: usize, outcome: Result<String, String>) {
        let name = self.units[at].name().to_owned();
        let asked = self.units[at].asked.take();
        let result = match outcome {
            Ok(text) => {
                self.event(
                    EventSeverity::Notice,
                    EventKind::Operation,
                    &name,
                    "failover done",
                    &text,
                );
                Ok(format!("{name}: {text}"))
            }
            Err(text) => Err(Refusal::Unsafe(format!("{name}: {text}"))),
        };
        let Some(asked) = asked else { return };
        if self
            .control
            .as_ref()
            .is_some_and(|control| control.generation == asked.generation)
        {
            self.done(asked.id, result);
        }
    }

    /// Takes an instance out of service: priority 0, no addresses; `told` is what notifications say of it.
    pub(super) async fn resign(&mut self, at: usize, told: Told, reason: &str) {
        let actions = self.units[at].core.stop(reason);
        self.perform(at, actions).await;
        self.notify_instance(at, told, reason);
    }
}
