//! What others are told: the log, events, mails, answers.

use protocol::Refusal;
use protocol::event::{Event, EventKind, EventSeverity, EventSource};
use protocol::process::FromChild;
use protocol::vrrp::VrrpTell;

use super::Driver;
use super::notify::{Subject, Told};

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

    /// `smtp_alert`, in keepalived's words, with our reason below. The router's name goes in front of the subject.
    pub(super) fn mail_state(&self, subject: Subject<'_>, told: Told, reason: &str) {
        if told == Told::Fault && self.setup.config.global.notify.no_email_faults {
            return;
        }
        let word = told.word();
        let (subject, text) = match subject {
            Subject::Instance(name) if told == Told::Deleted => (
                format!("VRRP Instance {name} - Deleted"),
                "VRRP Instance is no longer owning VRRP VIPs".to_owned(),
            ),
            Subject::Instance(name) => {
                let verb = match told {
                    Told::Master => "now owning",
                    _ => "no longer owning",
                };
                let text = format!("VRRP Instance is {verb} VRRP VIPs");
                (
                    format!("VRRP Instance {name} - Entering {word} state"),
                    text,
                )
            }
            Subject::Group(name) => (
                format!("VRRP Group {name} - Entering {word} state"),
                format!("All VRRP group instances are now in {word} state"),
            ),
        };
        let body = format!("=> {text} <=\n\nReason: {reason}\n");
        self.supervisor.send(&FromChild::Mail { subject, body });
    }
}
