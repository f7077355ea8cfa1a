//! What others are told: the log, events, mails, answers.

use protocol::Refusal;
use protocol::event::{Event, EventKind, EventSeverity, EventSource};
use protocol::process::FromChild;
use protocol::vrrp::VrrpTell;

use super::Driver;

impl Driver {
    /// Logs what happened, and tells the control process, or the supervisor while there is none.
    pub(super) fn event(
        &mut self,
        severity: EventSeverity,
        kind: EventKind,
        subject: &str,
        change: &str,
        reason: &str,
    ) {
        match severity {
            EventSeverity::Info | EventSeverity::Notice => {
                tracing::info!("{subject}: {change}: {reason}")
            }
            EventSeverity::Warning => tracing::warn!("{subject}: {change}: {reason}"),
            EventSeverity::Alert => tracing::error!("{subject}: {change}: {reason}"),
        }
        let event = Event::now(EventSource::Vrrp, severity, kind, subject, change, reason);
        if self.control.is_some() {
            self.tell(&VrrpTell::Event(event));
        } else {
            self.supervisor.send(&FromChild::Event(event));
        }
    }

    /// Tells the control process, if there is one.
    pub(super) fn tell(&self, message: &VrrpTell) {
        if let Some(control) = &self.control {
            control.outbox.send(message);
        }
    }

    /// Answers an operation.
    pub(super) fn done(&self, id: u64, result: Result<String, Refusal>) {
        self.tell(&VrrpTell::Done { id, result });
    }

    /// `smtp_alert`, in keepalived's words, with our reason below.
    pub(super) fn mail(&self, instance: &str, state: &str, owning: bool, reason: &str) {
        let router = self
            .setup
            .config
            .global
            .router_id
            .as_deref()
            .unwrap_or(&self.setup.node);
        let verb = if owning {
            "now owning"
        } else {
            "no longer owning"
        };
        self.supervisor.send(&FromChild::Mail {
            subject: format!("[{router}] VRRP Instance {instance} - Entering {state} state"),
            body: format!("=> VRRP Instance is {verb} VRRP VIPs <=\n\nReason: {reason}\n"),
        });
    }
}
