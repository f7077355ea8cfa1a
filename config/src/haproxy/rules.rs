//! Lines whose words the daemon compiles with its own vocabulary: here they are only cut and kept.

use super::args::{Args, Context, Unit, parse_time};
use super::model::{AclLine, RuleLine, TrafficLog, UseBackend};
use super::proxy::Draft;
use crate::diagnostic::DiagnosticKind;
use crate::source::Word;

/// All words after the keyword, at least one.
pub(super) fn rule(args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<RuleLine> {
    let span = args.span();
    let first = args.value(cx, "an action")?.clone();
    let mut words = vec![first];
    words.extend(args.rest().iter().cloned());
    Some(RuleLine { words, span })
}

/// `acl NAME CRITERION …`.
pub(super) fn acl(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let name = args.value(cx, "a name, then a criterion")?.clone();
    if let Some(bad) = name
        .text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || "-_.:".contains(*c)))
    {
        let message = format!(
            "character '{bad}' is not permitted in acl name '{}'",
            name.text
        );
        cx.error(DiagnosticKind::InvalidValue, name.span, message);
        return None;
    }
    if name.text.eq_ignore_ascii_case("or") {
        let message = "'or' cannot name an acl: it is the disjunction in conditions";
        cx.error(DiagnosticKind::InvalidValue, name.span, message);
        return None;
    }
    let mut words = vec![args.value(cx, "a criterion after the name")?.clone()];
    words.extend(args.rest().iter().cloned());
    draft.config.acls.push(AclLine { name, words });
    Some(())
}

/// `use_backend NAME [if|unless CONDITION]`.
pub(super) fn use_backend(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let backend = args.value(cx, "the name of a backend")?.clone();
    let condition: Vec<Word> = args
        .rest()
        .iter()
        .filter(|word| !word.text.is_empty())
        .cloned()
        .collect();
    if let Some(first) = condition.first() {
        if !matches!(first.text.as_str(), "if" | "unless") {
            cx.unknown(
                first,
                "after the backend of 'use_backend'",
                ["if", "unless"],
            );
            return None;
        }
        if condition.len() == 1 {
            let message = format!("a condition should follow '{}'", first.text);
            cx.error(DiagnosticKind::InvalidValue, first.span, message);
            return None;
        }
    }
    draft
        .config
        .use_backends
        .push(UseBackend { backend, condition });
    Some(())
}

/// `tcp-request connection|content|session|inspect-delay …`.
pub(super) fn tcp_request(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    const KINDS: [&str; 4] = ["connection", "content", "inspect-delay", "session"];
    let rule = rule(args, cx)?;
    let kind = &rule.words[0];
    if !KINDS.contains(&kind.text.as_str()) {
        cx.unknown(kind, "after 'tcp-request'", KINDS);
        return None;
    }
    let accepts = draft.config.kind.is_frontend();
    if matches!(kind.text.as_str(), "connection" | "session") && !accepts {
        let message = format!(
            "'tcp-request {}' is not allowed in a section without frontend capability",
            kind.text
        );
        cx.error(DiagnosticKind::InvalidValue, kind.span, message);
        return None;
    }
    if rule.words.len() < 2 {
        let message = format!("'tcp-request {}' expects an argument", kind.text);
        cx.error(DiagnosticKind::InvalidValue, kind.span, message);
        return None;
    }
    if kind.text == "inspect-delay" {
        match parse_time(&rule.words[1].text, Unit::Milliseconds) {
            Ok(delay) => draft.config.inspect_delay = Some(delay),
            Err(why) => {
                let message = format!("'tcp-request inspect-delay' expects a time: {why}");
                cx.error(DiagnosticKind::InvalidValue, rule.words[1].span, message);
                return None;
            }
        }
    }
    if kind.text == "connection" {
        let words = rule.words[1..].to_vec();
        draft.config.tcp_request_connection.push(RuleLine {
            words,
            span: rule.span,
        });
    } else {
        draft.config.tcp_request_content.push(rule);
    }
    Some(())
}

/// `capture request|response header NAME len N`, `capture cookie NAME len N`.
pub(super) fn capture(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let rule = rule(args, cx)?;
    let text = |at: usize| {
        rule.words
            .get(at)
            .map_or("", |word: &Word| word.text.as_str())
    };
    match (text(0), text(1)) {
        // The daemon reads the rest: `capture cookie NAME len N`.
        ("cookie", name) if !name.is_empty() => {
            draft.config.captures.push(rule);
            return Some(());
        }
        ("request" | "response", "header") => {}
        _ => {
            let message =
                "'capture' expects 'request header' or 'response header', a name and 'len N'";
            cx.error(DiagnosticKind::InvalidValue, rule.words[0].span, message);
            return None;
        }
    }
    let length = text(4).parse::<u32>();
    if text(2).is_empty()
        || text(3) != "len"
        || !matches!(length, Ok(1..=65_535))
        || rule.words.len() > 5
    {
        let message = format!(
            "'capture {} header' expects a header's name and 'len N'",
            text(0)
        );
        cx.error(DiagnosticKind::InvalidValue, rule.words[0].span, message);
        return None;
    }
    draft.config.captures.push(rule);
    Some(())
}

/// `declare capture request|response len N`: a slot for `capture … id`.
pub(super) fn declare(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let rule = rule(args, cx)?;
    let words: Vec<&str> = rule.words.iter().map(|word| word.text.as_str()).collect();
    let good = matches!(words[..], ["capture", "request" | "response", "len", length]
        if matches!(length.parse::<u32>(), Ok(1..=65_535)));
    if !good {
        let message = "'declare' expects 'capture request len N' or 'capture response len N'";
        cx.error(DiagnosticKind::InvalidValue, rule.words[0].span, message);
        return None;
    }
    draft.config.captures.push(rule);
    Some(())
}

/// `log-format FORMAT`.
pub(super) fn log_format(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let word = args.value(cx, "a format")?.clone();
    args.end(cx)?;
    draft.config.traffic_log = TrafficLog::Format(word);
    Some(())
}

/// `unique-id-format FORMAT`.
pub(super) fn unique_id_format(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let word = args.value(cx, "a format")?.clone();
    args.end(cx)?;
    let header = draft.config.unique_id.take().and_then(|(_, header)| header);
    draft.config.unique_id = Some((word, header));
    Some(())
}

/// `unique-id-header NAME`.
pub(super) fn unique_id_header(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let name = args.value(cx, "a header's name")?.text.clone();
    args.end(cx)?;
    let format = draft
        .config
        .unique_id
        .take()
        .map(|(format, _)| format)
        .unwrap_or_default();
    draft.config.unique_id = Some((format, Some(name)));
    Some(())
}
