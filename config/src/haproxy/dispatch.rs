//! `dispatch` and `option transparent`: a server without a name for all that no `server` line takes.

use super::args::{Args, Context};
use super::proxy::Draft;
use super::server;
use crate::diagnostic::DiagnosticKind;
use crate::source::Word;

/// Where the client wanted to go.
const ITS_OWN_DESTINATION: &str = "0.0.0.0";

/// `dispatch ADDRESS:PORT`.
pub(super) fn dispatch(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let address = args.value(cx, "an address and a port")?;
    let port = address.text.rsplit_once(':').map_or("", |(_, port)| port);
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = format!("'dispatch' expects ADDRESS:PORT, found '{}'", address.text);
        cx.error(DiagnosticKind::InvalidValue, address.span, message);
        return None;
    }
    draft.dispatch = Some(address.clone());
    Some(())
}

/// `transparent`, the old form of `option transparent`.
pub(super) fn transparent(draft: &mut Draft, _: &mut Args<'_>, _: &mut Context<'_>) -> Option<()> {
    draft.config.transparent = true;
    Some(())
}

/// Makes the server that the words of a whole section mean.
pub(super) fn settle(draft: &mut Draft, cx: &mut Context<'_>) {
    if !draft.config.kind.is_backend() || draft.dispatch.is_none() && !draft.config.transparent {
        return;
    }
    let word = match draft.dispatch {
        Some(_) => "dispatch",
        None => "option transparent",
    };
    let address = draft
        .dispatch
        .take()
        .unwrap_or_else(|| Word::new(ITS_OWN_DESTINATION, draft.config.span));
    if draft.balance_seen {
        let message = format!(
            "'{word}' of backend '{}' is ignored: 'balance' chooses among its servers",
            draft.config.name.text
        );
        cx.warning(DiagnosticKind::Pointless, address.span, message);
        return;
    }
    if !draft.config.servers.is_empty() {
        cx.not_yet(address.span, &format!("{word}' beside 'server"));
        return;
    }
    // What is wrong with it has been said.
    let _ = server::nameless(draft, &address, cx);
}
