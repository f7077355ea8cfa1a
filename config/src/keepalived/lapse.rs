//! `timer_expired_backup`: what a master does that was not scheduled for so long that another may have followed it.

use super::instance::Pending;
use super::tree::Statement;
use super::values::Complaints;
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::source::Span;

/// The highest priority that another router may have, unless it is written.
const HIGHEST_OF_OTHERS: u8 = 254;

/// `timer_expired_backup [HIGHEST_PRIORITY_OF_OTHERS]`, and `thread_timer_expired`, as release notes called it.
pub(super) fn timer_expired_backup(
    pending: &mut Pending,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    if statement.name() == "thread_timer_expired" {
        let message = "'thread_timer_expired' is another name of 'timer_expired_backup'";
        let diagnostic =
            Diagnostic::warning(DiagnosticKind::UnknownWord, statement.span(), message);
        complaints.help(diagnostic, "write 'timer_expired_backup'");
    }
    let highest = match statement.words.get(1) {
        None => HIGHEST_OF_OTHERS,
        Some(word) => match word.text.parse::<u8>() {
            Ok(priority) if priority > 0 => priority,
            _ => {
                let message = format!(
                    "'{}' is not a priority from 1 to 255: {HIGHEST_OF_OTHERS} is used",
                    word.text
                );
                complaints.warning(DiagnosticKind::InvalidValue, word.span, message);
                HIGHEST_OF_OTHERS
            }
        },
    };
    pending.timer_expired_backup = Some((highest, statement.span()));
}

/// It needs `nopreempt`: a router that preempts takes its addresses back anyway.
pub(super) fn finish(
    written: Option<(u8, Span)>,
    nopreempt: bool,
    complaints: &mut Complaints<'_>,
) -> Option<u8> {
    let (highest, span) = written?;
    if !nopreempt {
        let message = "'timer_expired_backup' does nothing without 'nopreempt'";
        complaints.warning(DiagnosticKind::Pointless, span, message);
        return None;
    }
    Some(highest)
}
