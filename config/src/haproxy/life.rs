//! Lines about a proxy's life: the rate of its sessions, and the file that tells its servers' states at the start.

use super::args::{Args, Context};
use super::model::LoadState;
use super::proxy::Draft;

/// `rate-limit sessions N`.
pub(super) fn rate_limit(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let word = args.value(cx, "'sessions'")?;
    if word.text != "sessions" {
        cx.unknown(word, "after 'rate-limit'", ["sessions"]);
        return None;
    }
    args.enter(word);
    draft.config.session_rate_limit =
        args.integer(cx, "a number of sessions a second", 0..=i64::from(i32::MAX))?;
    args.end(cx)
}

/// `load-server-state-from-file global|local|none`.
pub(super) fn load_state(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let word = args.value(cx, "'global', 'local' or 'none'")?;
    draft.config.load_state = match word.text.as_str() {
        "global" => LoadState::Global,
        "local" => LoadState::Local,
        "none" => LoadState::None,
        _ => {
            cx.unknown(
                word,
                "after 'load-server-state-from-file'",
                ["global", "local", "none"],
            );
            return None;
        }
    };
    args.end(cx)
}

/// `server-state-file-name [use-backend-name|FILE]`.
pub(super) fn state_file_name(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    draft.config.state_file = args
        .next_option()
        .filter(|word| word.text != "use-backend-name")
        .map(|word| word.text.clone());
    args.end(cx)
}
