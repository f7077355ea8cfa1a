//! Arguments of single actions.

use config::haproxy::LogLevel;
use config::{Diagnostic, DiagnosticKind, Word};

use super::super::actions::Action;
use super::super::reply;
use super::Compiler;
use super::table::Place;
use super::words::{Words, invalid};
use crate::pattern::{Method, Patterns};

/// `expect-proxy layer4`.
pub(super) fn expect_proxy(
    words: &mut Words<'_>,
    _: &mut Compiler<'_>,
    _: Place,
) -> Result<Action, Diagnostic> {
    let word = words.next("'layer4'")?;
    if word.text != "layer4" {
        return Err(invalid(
            word,
            format!("expected 'layer4', found '{}'", word.text),
        ));
    }
    Ok(Action::ExpectProxy)
}

/// `switch-mode http [proto h1|h2]`; which version the client speaks shows in its first bytes.
pub(super) fn switch_mode(
    words: &mut Words<'_>,
    compiler: &mut Compiler<'_>,
    _: Place,
) -> Result<Action, Diagnostic> {
    let refuse = |word: &Word, message: String| {
        Diagnostic::error(DiagnosticKind::InvalidValue, word.span, message)
    };
    let mode = words.next("'http'")?;
    if mode.text != "http" {
        let message = format!("'switch-mode' expects 'http', not '{}'", mode.text);
        return Err(refuse(mode, message));
    }
    if !compiler.scope.proxy.kind.is_frontend() {
        let message = "'switch-mode' needs a proxy with frontend capability".to_owned();
        return Err(refuse(mode, message));
    }
    if words.take("proto") {
        let proto = words.next("'h1' or 'h2'")?;
        if !matches!(proto.text.as_str(), "h1" | "h2") {
            let message = format!("'proto' expects 'h1' or 'h2', not '{}'", proto.text);
            return Err(refuse(proto, message));
        }
    }
    Ok(Action::SwitchToHttp)
}

/// `wait-for-body time TIME [at-least BYTES]`.
pub(super) fn wait_for_body(
    words: &mut Words<'_>,
    _: &mut Compiler<'_>,
    _: Place,
) -> Result<Action, Diagnostic> {
    let keyword = words.next("'time'")?;
    if keyword.text != "time" {
        return Err(invalid(
            keyword,
            format!("expected 'time', found '{}'", keyword.text),
        ));
    }
    let word = words.next("a time")?;
    let within = config::haproxy::time(&word.text).map_err(|why| invalid(word, why))?;
    let at_least = if words.take("at-least") {
        let word = words.next("a number of bytes")?;
        size(&word.text).ok_or_else(|| invalid(word, format!("'{}' is not a size", word.text)))?
    } else {
        0
    };
    Ok(Action::WaitForBody(within, at_least))
}

/// A size as the manual's 2.5 has it: bytes, or with `k`, `m`, `g`.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['k', 'm', 'g']);
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    Some(u64::from(digits.parse::<u32>().ok()?) << shift)
}

/// `del-header NAME [-m METHOD]`.
pub(super) fn del_header(
    words: &mut Words<'_>,
    _: &mut Compiler<'_>,
    _: Place,
) -> Result<Action, Diagnostic> {
    let name = words.next("a header's name")?;
    let mut method = Method::Str;
    if words.take("-m") {
        let word = words.next("a match method")?;
        method = Method::parse(&word.text)
            .filter(|method| {
                matches!(
                    method,
                    Method::Str | Method::Beg | Method::End | Method::Sub | Method::Reg
                )
            })
            .ok_or_else(|| invalid(word, format!("'{}' does not fit header names", word.text)))?;
    }
    let mut patterns = Patterns::new(method, true);
    patterns
        .add(&name.text)
        .map_err(|message| invalid(name, message))?;
    Ok(Action::DelHeader(patterns))
}

pub(super) fn log_level(
    words: &mut Words<'_>,
    _: &mut Compiler<'_>,
    _: Place,
) -> Result<Action, Diagnostic> {
    let word = words.next("a level")?;
    let level = match word.text.as_str() {
        "silent" => None,
        "emerg" => Some(LogLevel::Emerg),
        "alert" => Some(LogLevel::Alert),
        "crit" => Some(LogLevel::Crit),
        "err" => Some(LogLevel::Err),
        "warning" => Some(LogLevel::Warning),
        "notice" => Some(LogLevel::Notice),
        "info" => Some(LogLevel::Info),
        "debug" => Some(LogLevel::Debug),
        other => return Err(invalid(word, format!("unknown log level '{other}'"))),
    };
    Ok(Action::SetLogLevel(level))
}

pub(super) fn set_status(
    words: &mut Words<'_>,
    _: &mut Compiler<'_>,
    _: Place,
) -> Result<Action, Diagnostic> {
    let status = words.number("a status")?;
    let reason = if words.take("reason") {
        words.next("a reason phrase")?.text.clone()
    } else {
        reply::reason(status).to_owned()
    };
    Ok(Action::SetStatus(status, reason.into_bytes()))
}
