//! Who is told of changes: commands, FIFOs and mail, of instances, of sync groups, and of all.

use std::sync::LazyLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rare::Usual;
use super::tree::Statement;
use super::values::{Complaints, command_words, parse_seconds, switch};
use crate::diagnostic::DiagnosticKind;

/// How long the address waits for `pre_release` where no other time is written.
pub(super) const PRE_RELEASE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest that the address may wait for `pre_release`: the end of the daemon has its own limit.
pub(super) const MAX_PRE_RELEASE_SECONDS: u32 = 4;

/// A command line, split into words, run without a shell, with the user and group that stand behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyCommand {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// User, and group if it is not the user's; `script_user` where none is written.
    pub user: Option<(String, Option<String>)>,
}

/// `pre_release` (ours): run before the addresses leave on a planned loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreRelease {
    /// What is run.
    pub command: NotifyCommand,
    /// Longest that the addresses wait for its end.
    pub timeout: Duration,
}

/// What is run and written when the state changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// `notify_master`.
    pub master: Option<NotifyCommand>,
    /// `notify_backup`.
    pub backup: Option<NotifyCommand>,
    /// `notify_fault`.
    pub fault: Option<NotifyCommand>,
    /// `notify_stop`.
    pub stop: Option<NotifyCommand>,
    /// The command of `notify_deleted`.
    pub deleted: Option<NotifyCommand>,
    /// `notify_deleted`, with a command or without: a deleted instance says DELETED, not FAULT.
    pub says_deleted: bool,
    /// `notify_master_rx_lower_pri`.
    pub master_rx_lower_pri: Option<NotifyCommand>,
    /// `notify`: run with `INSTANCE name STATE priority` appended.
    pub any: Option<NotifyCommand>,
    /// `notify_priority_changes`: also changes of priority go to the FIFOs. The global switch where none is written.
    pub priority_changes: Option<bool>,
    /// `pre_release`.
    pub pre_release: Option<PreRelease>,
}

impl Usual for Notify {
    fn usual() -> &'static Self {
        static USUAL: LazyLock<Notify> = LazyLock::new(Notify::default);
        &USUAL
    }
}

/// `notify_fifo` or `vrrp_notify_fifo`, with its script.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyFifo {
    /// The FIFO's path; none if only a script is written.
    pub path: Option<String>,
    /// Its owner, and group if it is not the owner's.
    pub user: Option<(String, Option<String>)>,
    /// Started with the FIFO's path as last argument, to read it.
    pub script: Option<NotifyCommand>,
}

/// Notifications of `global_defs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlobalNotify {
    /// `notify_fifo` and `notify_fifo_script`.
    pub fifo: NotifyFifo,
    /// `vrrp_notify_fifo` and `vrrp_notify_fifo_script`.
    pub vrrp_fifo: NotifyFifo,
    /// `fifo_write_vrrp_states_on_reload`.
    pub states_on_reload: bool,
    /// `vrrp_notify_priority_changes`.
    pub priority_changes: bool,
    /// `smtp_alert`: mails of all that do not say otherwise.
    pub smtp_alert: Option<bool>,
    /// `smtp_alert_vrrp`: the same for VRRP alone, stronger than `smtp_alert`.
    pub smtp_alert_vrrp: Option<bool>,
    /// `no_email_faults`: no mails of FAULT.
    pub no_email_faults: bool,
}

impl GlobalNotify {
    /// Whether an instance that says nothing of mail sends it.
    pub fn mails(&self) -> bool {
        self.smtp_alert_vrrp.or(self.smtp_alert).unwrap_or(false)
    }

    /// The FIFOs that VRRP's notifications go to.
    pub fn fifos(&self) -> impl Iterator<Item = &NotifyFifo> {
        [&self.fifo, &self.vrrp_fifo].into_iter()
    }
}

/// Reads one of the keywords `notify*` and `pre_release` of an instance or a group.
pub(super) fn read(notify: &mut Notify, statement: &Statement, complaints: &mut Complaints<'_>) {
    let place = match statement.name() {
        "notify" => &mut notify.any,
        "notify_backup" => &mut notify.backup,
        "notify_deleted" => {
            notify.says_deleted = true;
            if statement.words.len() == 1 {
                return;
            }
            &mut notify.deleted
        }
        "notify_fault" => &mut notify.fault,
        "notify_master" => &mut notify.master,
        "notify_master_rx_lower_pri" => &mut notify.master_rx_lower_pri,
        "notify_priority_changes" => {
            let wanted = switch(statement, complaints);
            notify.priority_changes = wanted.or(notify.priority_changes);
            return;
        }
        "notify_stop" => &mut notify.stop,
        "pre_release" => {
            notify.pre_release = pre_release(statement, complaints);
            return;
        }
        _ => return,
    };
    *place = command(statement, complaints);
}

/// Reads a keyword of `global_defs`.
pub(super) fn read_global(
    global: &mut GlobalNotify,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    match statement.name() {
        "fifo_write_vrrp_states_on_reload" => global.states_on_reload = true,
        "no_email_faults" => global.no_email_faults = true,
        "notify_fifo" => fifo(&mut global.fifo, statement, complaints),
        "notify_fifo_script" => global.fifo.script = command(statement, complaints),
        "smtp_alert" => global.smtp_alert = switch(statement, complaints).or(global.smtp_alert),
        "smtp_alert_vrrp" => {
            global.smtp_alert_vrrp = switch(statement, complaints).or(global.smtp_alert_vrrp);
        }
        "vrrp_notify_fifo" => fifo(&mut global.vrrp_fifo, statement, complaints),
        "vrrp_notify_fifo_script" => global.vrrp_fifo.script = command(statement, complaints),
        "vrrp_notify_priority_changes" => {
            let wanted = switch(statement, complaints);
            global.priority_changes = wanted.unwrap_or(global.priority_changes);
        }
        _ => return,
    }
    if global.fifo.path.is_some() && global.fifo.path == global.vrrp_fifo.path {
        let message =
            "'notify_fifo' and 'vrrp_notify_fifo' name the same FIFO: this one is ignored";
        complaints.warning(DiagnosticKind::Duplicate, statement.span(), message);
        match statement.name() {
            "notify_fifo" => global.fifo.path = None,
            _ => global.vrrp_fifo.path = None,
        }
    }
}

fn fifo(fifo: &mut NotifyFifo, statement: &Statement, complaints: &mut Complaints<'_>) {
    let Some(path) = statement.words.get(1).map(|word| word.text.clone()) else {
        return complaints.lacking(statement, "the path of a FIFO");
    };
    if !path.starts_with('/') {
        return complaints.wrong(statement, "an absolute path");
    }
    fifo.path = Some(path);
    fifo.user = user(statement, 2, usize::MAX);
}

/// The words of a user and a group at a place of a line that ends before `end`.
fn user(statement: &Statement, at: usize, end: usize) -> Option<(String, Option<String>)> {
    let word = |at: usize| {
        let word = statement.words.get(at).filter(|_| at < end);
        word.map(|word| word.text.clone())
    };
    word(at).map(|user| (user, word(at + 1)))
}

/// A command line: quoted it is split, unquoted it is the first word; a user and a group may follow.
pub(super) fn command(
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) -> Option<NotifyCommand> {
    command_before(statement, usize::MAX, complaints)
}

fn command_before(
    statement: &Statement,
    end: usize,
    complaints: &mut Complaints<'_>,
) -> Option<NotifyCommand> {
    let argv = statement.words.get(1).map(|word| command_words(&word.text));
    let Some(argv) = argv.filter(|argv| !argv.is_empty()) else {
        complaints.missing(statement, "a command");
        return None;
    };
    let user = user(statement, 2, end);
    Some(NotifyCommand { argv, user })
}

/// `pre_release COMMAND [USER [GROUP]] [timeout SECONDS]`.
fn pre_release(statement: &Statement, complaints: &mut Complaints<'_>) -> Option<PreRelease> {
    let words = statement.words.iter().skip(2);
    let end = words.take_while(|word| word.text != "timeout").count() + 2;
    let timeout = match statement.words.get(end) {
        None => PRE_RELEASE_TIMEOUT,
        Some(word) => {
            let found = parse_seconds(statement.text(end + 1), MAX_PRE_RELEASE_SECONDS);
            let Some(timeout) = found.filter(|timeout| !timeout.is_zero()) else {
                let message = format!(
                    "'timeout' of 'pre_release' expects seconds above 0, at most {MAX_PRE_RELEASE_SECONDS}"
                );
                complaints.left_out(word.span, message);
                return None;
            };
            timeout
        }
    };
    let command = command_before(statement, end, complaints)?;
    Some(PreRelease { command, timeout })
}
