//! `log` lines of `global` and of the proxies.

use super::address::log_address;
use super::args::{Args, Context};
use super::model::{LogAddress, LogLevel, LogLineFormat, LogTarget};
use crate::diagnostic::DiagnosticKind;

/// A `log` line of a proxy.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum LogEntry {
    /// `log global`.
    Global,
    /// Its own target.
    Target(LogTarget),
}

/// Facilities by number.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2",
    "ftp", "ntp", "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

/// Levels by number.
const LEVELS: [(&str, LogLevel); 8] = [
    ("emerg", LogLevel::Emerg),
    ("alert", LogLevel::Alert),
    ("crit", LogLevel::Crit),
    ("err", LogLevel::Err),
    ("warning", LogLevel::Warning),
    ("notice", LogLevel::Notice),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
];

/// Formats, sorted.
const FORMATS: [(&str, LogLineFormat); 8] = [
    ("iso", LogLineFormat::Iso),
    ("local", LogLineFormat::Local),
    ("priority", LogLineFormat::Priority),
    ("raw", LogLineFormat::Raw),
    ("rfc3164", LogLineFormat::Rfc3164),
    ("rfc5424", LogLineFormat::Rfc5424),
    ("short", LogLineFormat::Short),
    ("timed", LogLineFormat::Timed),
];

/// Reads `log ADDRESS [len N] [format F] [sample …] FACILITY [MAX [MIN]]` after `log`.
pub(super) fn log_target(args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<LogTarget> {
    const DEFAULT_LENGTH: u32 = 1024;
    let word = args.value(cx, "an address, then a facility")?;
    let address = log_address(word, cx)?;
    let mut max_length = DEFAULT_LENGTH;
    let mut format = None;
    loop {
        match args.peek() {
            Some("len") => {
                args.next();
                max_length = args.integer(cx, "a length in bytes", 80..=65_535)?;
            }
            Some("format") => {
                args.next();
                let word = args.value(cx, "a format")?;
                match FORMATS.iter().find(|(name, _)| *name == word.text) {
                    Some((_, found)) => format = Some(*found),
                    None => {
                        cx.unknown(
                            word,
                            "as a format of 'log'",
                            FORMATS.iter().map(|(name, _)| *name),
                        );
                        return None;
                    }
                }
            }
            Some("sample" | "profile") => {
                let word = args.next()?;
                cx.not_yet(word.span, &format!("log {}", word.text));
                return None;
            }
            _ => break,
        }
    }
    let word = args.value(cx, "a facility")?;
    let Some(facility) = FACILITIES.iter().position(|name| *name == word.text) else {
        cx.unknown(word, "as a facility of 'log'", FACILITIES);
        return None;
    };
    let mut level = |args: &mut Args<'_>, default| match args.next_option() {
        None => Some(default),
        Some(word) => match LEVELS.iter().find(|(name, _)| *name == word.text) {
            Some((_, level)) => Some(*level),
            None => {
                cx.unknown(
                    word,
                    "as a level of 'log'",
                    LEVELS.iter().map(|(name, _)| *name),
                );
                None
            }
        },
    };
    let max_level = level(args, LogLevel::Debug)?;
    let min_level = level(args, LogLevel::Emerg)?;
    args.end(cx)?;
    let format = format.unwrap_or(match address {
        LogAddress::Stdout | LogAddress::Stderr | LogAddress::Fd(_) => LogLineFormat::Raw,
        LogAddress::Unix(_) | LogAddress::Udp { .. } => LogLineFormat::Rfc3164,
    });
    let facility = u8::try_from(facility).unwrap_or(0);
    Some(LogTarget {
        address,
        max_length,
        format,
        facility,
        max_level,
        min_level,
    })
}

/// `log` in a proxy: `global`, or a target.
pub(super) fn log_entry(args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<LogEntry> {
    if args.take("global") {
        args.end(cx)?;
        return Some(LogEntry::Global);
    }
    if args.peek().is_none() {
        let span = args.span();
        cx.error(
            DiagnosticKind::InvalidValue,
            span,
            "'log' expects 'global', or an address and a facility",
        );
        return None;
    }
    log_target(args, cx).map(LogEntry::Target)
}
