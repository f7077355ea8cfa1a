//! What the cores decide, done: advertisements, notifications, answers. See `addresses` and `announce` for the rest.

use protocol::vrrp::VrrpState;
use protocol::{EventKind, EventSeverity, Refusal};

use super::notify::Told;
use super::unit::REPORT_SPACING;
use super::{Driver, Reach};
use crate::core::Action;
use crate::packet::encode;

impl Driver {
    /// Performs a core's decisions in their order.
    pub(super) async fn perform(&mut self, at: usize, actions: Vec<Action>) {
        for action in actions {
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

    /// Sends an advertisement to the group or to every peer.
    pub(super) fn advertise(&mut self, at: usize, priority: u8) {
        let now = self.now();
        let unit = &mut self.units[at];
        let bytes = encode(&unit.form, priority);
        unit.counters.adverts_sent += 1;
        unit.counters.resignations_sent += u64::from(priority == 0);
        let receivers = match &unit.reach {
            Reach::Multicast(group) => std::slice::from_ref(group),
            Reach::Unicast(peers) => peers.as_slice(),
        };
        let mut failure = None;
        for receiver in receivers {
            let sent = self.ports.send(unit.wire(), unit.source, *receiver, &bytes);
            if let Err(error) = sent {
                failure = Some(format!("to {receiver}: {error}"));
            }
        }
        let Some(failure) = failure else { return };
        // Who cannot be heard is not master for the others, whatever it believes.
        if unit
            .unsent_at
            .is_none_or(|last| last + REPORT_SPACING <= now)
        {
            unit.unsent_at = Some(now);
            let name = unit.name().to_owned();
            let (severity, change) = (EventSeverity::Warning, "advertisement not sent");
            self.event(severity, EventKind::Other, &name, change, &failure);
        }
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
