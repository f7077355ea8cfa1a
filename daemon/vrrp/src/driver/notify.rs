//! Who is told of changes: notify commands one at a time and numbered, lines for the FIFOs, mails.
//!
//! The order of one change is keepalived's: the line for the FIFOs, the state's own command, `notify`, the mail. Commands
//! of one instance or group never overlap, whatever its states do meanwhile.

use std::collections::VecDeque;
use std::time::Duration;

use config::keepalived::{Notify, NotifyCommand};
use protocol::process::{FromChild, ScriptOutcome};
use protocol::vrrp::VrrpState;
use protocol::{EventKind, EventSeverity};

use super::Driver;
use super::outbox::Outbox;
use super::scripts::{ANSWER_PATIENCE, Numbers, milliseconds};
use crate::core::Moment;

/// Longest run of a notification; then it is killed and the next one has its turn.
pub(super) const NOTIFY_TIMEOUT: Duration = Duration::from_secs(60);
/// Notifications of an instance that wait for the one that runs; the oldest is dropped beyond that.
const MAX_WAITING: usize = 32;

/// The words of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Master,
    Backup,
    Fault,
    Stop,
    /// Its definition is gone, and it has `notify_deleted`.
    Deleted,
    /// Its definition is gone or begins anew: FAULT for `notify` alone, as keepalived does it.
    Gone,
    MasterRxLowerPri,
    MasterPriority,
    BackupPriority,
}

impl Told {
    /// The word for a state, if it is told at all.
    pub(super) fn of(state: VrrpState) -> Option<Self> {
        match state {
            VrrpState::Master => Some(Self::Master),
            VrrpState::Backup => Some(Self::Backup),
            VrrpState::Fault => Some(Self::Fault),
            VrrpState::Init => None,
        }
    }

    /// As keepalived writes it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Master => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault | Self::Gone => "FAULT",
            Self::Stop => "STOP",
            Self::Deleted => "DELETED",
            Self::MasterRxLowerPri => "MASTER_RX_LOWER_PRI",
            Self::MasterPriority => "MASTER_PRIORITY",
            Self::BackupPriority => "BACKUP_PRIORITY",
        }
    }

    /// The command that is its own.
    fn own(self, notify: &Notify) -> Option<&NotifyCommand> {
        match self {
            Self::Master => notify.master.as_ref(),
            Self::Backup => notify.backup.as_ref(),
            Self::Fault => notify.fault.as_ref(),
            Self::Stop => notify.stop.as_ref(),
            Self::Deleted => notify.deleted.as_ref(),
            Self::MasterRxLowerPri => notify.master_rx_lower_pri.as_ref(),
            Self::Gone | Self::MasterPriority | Self::BackupPriority => None,
        }
    }

    /// Whether it is a change of state, which `notify` hears of.
    fn is_state(self) -> bool {
        !matches!(
            self,
            Self::MasterRxLowerPri | Self::MasterPriority | Self::BackupPriority
        )
    }
}

/// Whom a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject<'a> {
    Instance(&'a str),
    /// A sync group.
    Group(&'a str),
}

impl Subject<'_> {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Instance(name) => ("INSTANCE", name),
            Self::Group(name) => ("GROUP", name),
        }
    }
}

/// A line of a FIFO (keepalived.conf(5), vrrp_notify_fifo).
fn line(subject: Subject<'_>, told: Told, priority: u8) -> String {
    let (kind, name) = subject.parts();
    format!("{kind} \"{name}\" {} {priority}\n", told.word())
}

/// A command that waits or runs.
#[derive(Clone, Debug)]
struct Notification {
    /// Number of the change, the same for all that are told of it.
    number: u64,
    told: Told,
    command: NotifyCommand,
    reason: String,
}

/// Notifications of one instance or group, one at a time, in order.
#[derive(Default)]
pub(super) struct Notifications {
    waiting: VecDeque<Notification>,
    running: Option<(u64, Moment, Notification)>,
}

impl Notifications {
    /// Queues a command; returns one that had to be dropped for it.
    fn push(&mut self, notification: Notification) -> Option<Notification> {
        let repeated = |other: &Notification| {
            !notification.told.is_state()
                && other.told == notification.told
                && other.command == notification.command
        };
        // Who is told that something still goes on need not be told twice.
        if self.waiting.iter().any(repeated) {
            return None;
        }
        self.waiting.push_back(notification);
        if self.waiting.len() > MAX_WAITING {
            self.waiting.pop_front()
        } else {
            None
        }
    }

    /// Starts the next one if none runs.
    pub(super) fn turn(&mut self, now: Moment, numbers: &mut Numbers, supervisor: &Outbox) {
        if self
            .running
            .as_ref()
            .is_some_and(|(_, until, _)| *until <= now)
        {
            self.running = None;
        }
        if self.running.is_some() {
            return;
        }
        let Some(next) = self.waiting.pop_front() else {
            return;
        };
        let id = numbers.next();
        supervisor.send(&FromChild::RunScript {
            id,
            argv: next.command.argv.clone(),
            user: next.command.user.clone(),
            timeout_ms: milliseconds(NOTIFY_TIMEOUT),
            notifies: true,
            environment: vec![
                ("TANDEM_NOTIFY_NUMBER".to_owned(), next.number.to_string()),
                (
                    "TANDEM_NOTIFY_REASON".to_owned(),
                    next.reason.replace('\0', ""),
                ),
            ],
        });
        self.running = Some((id, now + NOTIFY_TIMEOUT + ANSWER_PATIENCE, next));
    }

    /// Takes the end of run `id` if it is one of these.
    fn done(&mut self, id: u64) -> Option<Notification> {
        let ended = self.running.take_if(|(running, _, _)| *running == id);
        ended.map(|(_, _, notification)| notification)
    }

    /// Whether nothing runs or waits.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }

    /// When [`Notifications::turn`] wants to be called although nothing ended.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.running.as_ref().map(|(_, until, _)| *until)
    }
}

impl Driver {
    /// Tells of an instance that entered a state.
    pub(super) fn notify_state(&mut self, at: usize, to: VrrpState, reason: &str) {
        let Some(told) = Told::of(to) else { return };
        self.notify_instance(at, told, reason);
        let unit = &self.units[at];
        if unit.config.smtp_alert {
            let name = unit.name().to_owned();
            self.mail_state(Subject::Instance(&name), told, reason);
        }
    }

    /// Tells commands and FIFOs of something that happened to an instance.
    pub(super) fn notify_instance(&mut self, at: usize, told: Told, reason: &str) {
        let unit = &self.units[at];
        let (name, notify) = (unit.name().to_owned(), unit.config.notify.clone());
        let priority = unit.core.effective_priority();
        self.notify(Subject::Instance(&name), &notify, told, priority, reason);
    }

    /// Tells of a sync group that entered a state.
    pub(super) fn notify_group(
        &mut self,
        name: &str,
        notify: &Notify,
        mails: bool,
        to: VrrpState,
        priority: u8,
        reason: &str,
    ) {
        let Some(told) = Told::of(to) else { return };
        self.notify(Subject::Group(name), notify, told, priority, reason);
        if mails {
            self.mail_state(Subject::Group(name), told, reason);
        }
    }

    /// Tells of a sync group that ends with the daemon.
    pub(super) fn notify_group_stop(
        &mut self,
        name: &str,
        notify: &Notify,
        priority: u8,
        reason: &str,
    ) {
        self.notify(Subject::Group(name), notify, Told::Stop, priority, reason);
    }

    /// Tells the FIFOs of an instance's new priority, if they want to know.
    pub(super) fn notify_priority(&mut self, at: usize, reason: &str) {
        let unit = &self.units[at];
        let global = self.setup.config.global.notify.priority_changes;
        if !unit.config.notify.priority_changes.unwrap_or(global) {
            return;
        }
        let told = match unit.core.is_active() {
            true => Told::MasterPriority,
            false => Told::BackupPriority,
        };
        self.notify_instance(at, told, reason);
    }

    /// Writes all states to the FIFOs: `fifo_write_vrrp_states_on_reload`.
    pub(super) fn write_states(&mut self) {
        let states = self.units.iter().filter_map(|unit| {
            let told = Told::of(unit.core.shown())?;
            let subject = Subject::Instance(unit.name());
            Some(line(subject, told, unit.core.effective_priority()))
        });
        for line in states.collect::<Vec<_>>() {
            self.write_line(line);
        }
    }

    fn write_line(&self, line: String) {
        let mut fifos = self.setup.config.global.notify.fifos();
        if fifos.any(|fifo| fifo.path.is_some()) {
            self.supervisor.send(&FromChild::NotifyLine(line));
        }
    }

    fn notify(
        &mut self,
        subject: Subject<'_>,
        notify: &Notify,
        told: Told,
        priority: u8,
        reason: &str,
    ) {
        self.notified += 1;
        self.write_line(line(subject, told, priority));
        let (kind, name) = subject.parts();
        let own = told.own(notify).cloned();
        let any = notify.any.clone().filter(|_| told.is_state());
        let any = any.map(|mut command| {
            let words = [kind, name, told.word(), &priority.to_string()];
            command.argv.extend(words.map(str::to_owned));
            command
        });
        let key = format!("{kind} {name}");
        for command in own.into_iter().chain(any) {
            let notification = Notification {
                number: self.notified,
                told,
                command,
                reason: reason.to_owned(),
            };
            let queue = self.notifications.entry(key.clone()).or_default();
            if let Some(dropped) = queue.push(notification) {
                let reason = format!(
                    "{MAX_WAITING} wait already: number {}, {}",
                    dropped.number,
                    dropped.command.argv.join(" ")
                );
                let (severity, change) = (EventSeverity::Warning, "notification dropped");
                self.event(severity, EventKind::Other, name, change, &reason);
            }
        }
        let now = self.now();
        if let Some(queue) = self.notifications.get_mut(&key) {
            queue.turn(now, &mut self.numbers, &self.supervisor);
        }
    }

    /// Lets every queue go on.
    pub(super) fn turn_notifications(&mut self) {
        let now = self.now();
        for queue in self.notifications.values_mut() {
            queue.turn(now, &mut self.numbers, &self.supervisor);
        }
        self.notifications.retain(|_, queue| !queue.is_idle());
    }

    /// Takes the end of run `id`; false if it is no notification.
    pub(super) fn notification_ended(&mut self, id: u64, outcome: &ScriptOutcome) -> bool {
        let mut queues = self.notifications.iter_mut();
        let ended = queues.find_map(|(key, queue)| Some((key.clone(), queue.done(id)?)));
        let Some((key, ended)) = ended else {
            return false;
        };
        let name = key.split_once(' ').map_or("", |(_, name)| name);
        let command = ended.command.argv.join(" ");
        let (change, why) = match outcome {
            ScriptOutcome::Exited(0) => return true,
            ScriptOutcome::Exited(status) => ("failed", format!("exit status {status}")),
            ScriptOutcome::Signaled(signal) => ("failed", format!("ended by signal {signal}")),
            ScriptOutcome::TimedOut => (
                "killed",
                format!("it ran for more than {} s", NOTIFY_TIMEOUT.as_secs()),
            ),
            ScriptOutcome::Failed(why) => ("not run", why.clone()),
        };
        let change = format!("notification {change}");
        let reason = format!("number {}, {command}: {why}", ended.number);
        let severity = EventSeverity::Warning;
        self.event(severity, EventKind::Other, name, &change, &reason);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(number: u64, told: Told) -> Notification {
        Notification {
            number,
            told,
            command: NotifyCommand::default(),
            reason: String::new(),
        }
    }

    #[test]
    fn a_line_is_as_keepalived_writes_it() {
        let written = line(Subject::Instance("VI 1"), Told::Master, 100);
        assert_eq!(written, "INSTANCE \"VI 1\" MASTER 100\n");
        let written = line(Subject::Group("G"), Told::Fault, 0);
        assert_eq!(written, "GROUP \"G\" FAULT 0\n");
    }

    #[test]
    fn the_oldest_waiting_notification_is_dropped() {
        let mut queue = Notifications::default();
        for number in 0..MAX_WAITING as u64 {
            assert!(queue.push(notification(number, Told::Master)).is_none());
        }
        let dropped = queue.push(notification(99, Told::Backup));
        assert_eq!(dropped.map(|dropped| dropped.number), Some(0));
    }

    #[test]
    fn what_goes_on_is_told_once_at_a_time() {
        let mut queue = Notifications::default();
        queue.push(notification(1, Told::MasterRxLowerPri));
        queue.push(notification(2, Told::MasterRxLowerPri));
        queue.push(notification(3, Told::Master));
        queue.push(notification(4, Told::Master));
        let numbers: Vec<_> = queue.waiting.iter().map(|one| one.number).collect();
        assert_eq!(numbers, [1, 3, 4]);
    }
}
