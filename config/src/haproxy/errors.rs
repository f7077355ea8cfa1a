//! `errorfile`: the answer is read when the configuration is.

use super::args::{Args, Context};
use super::model::ErrorFile;
use super::proxy::Draft;
use crate::diagnostic::DiagnosticKind;

/// Statuses that may have a page of their own.
const STATUSES: [u16; 17] = [
    200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 425, 429, 500, 501, 502, 503, 504,
];

/// Longest answer in bytes: HAProxy's must fit its buffer, and so must ours.
const MAX_BYTES: usize = 64 * 1024;

/// `errorfile CODE FILE`.
pub(super) fn errorfile(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let word = args.value(cx, "a status and a file")?;
    let Some(status) = word
        .text
        .parse()
        .ok()
        .filter(|status| STATUSES.contains(status))
    else {
        let message = format!("'errorfile' does not know status '{}'", word.text);
        let codes: Vec<String> = STATUSES.iter().map(u16::to_string).collect();
        cx.diagnostics.push(
            crate::Diagnostic::error(DiagnosticKind::InvalidValue, word.span, message)
                .with_help(format!("one of {}", codes.join(" "))),
        );
        return None;
    };
    let file = args.value(cx, "a file")?;
    args.end(cx)?;
    let path = cx.path(&file.text);
    match read(&path) {
        Ok(content) if content.len() <= MAX_BYTES => {
            draft
                .config
                .error_files
                .retain(|known| known.status != status);
            draft.config.error_files.push(ErrorFile { status, content });
            Some(())
        }
        Ok(content) => {
            let message = format!(
                "'{path}' has {} bytes, more than {MAX_BYTES}",
                content.len()
            );
            cx.error(DiagnosticKind::InvalidValue, file.span, message);
            None
        }
        Err(why) => {
            cx.error(
                DiagnosticKind::File,
                file.span,
                format!("cannot read '{path}': {why}"),
            );
            None
        }
    }
}

/// A file's bytes; a device (`/dev/null`) holds none.
fn read(path: &str) -> std::io::Result<Vec<u8>> {
    let about = std::fs::metadata(path)?;
    if about.is_file() || about.is_dir() {
        std::fs::read(path)
    } else {
        Ok(Vec::new())
    }
}
