//! Users, groups and permission bits of sockets: the same words in `global`, `bind` and `stats socket`.

use super::args::{Args, Context};
use super::model::Account;
use crate::diagnostic::DiagnosticKind;

/// A name.
pub(super) fn account_name(args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<Account> {
    args.value(cx, "a name")
        .map(|word| Account::Name(word.clone()))
}

/// A number.
pub(super) fn account_id(args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<Account> {
    args.integer(cx, "a number", 0..=i64::from(u32::MAX) - 1)
        .map(Account::Id)
}

/// Permission bits in octal.
pub(super) fn mode_bits(args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<u32> {
    let word = args.value(cx, "permission bits in octal")?;
    match u32::from_str_radix(&word.text, 8) {
        Ok(bits) if bits <= 0o7777 => Some(bits),
        _ => {
            let message = format!(
                "permission bits in octal were expected, found '{}'",
                word.text
            );
            cx.error(DiagnosticKind::InvalidValue, word.span, message);
            None
        }
    }
}
