//! `option httpchk` and `http-check`.

use super::args::{Args, Context};
use super::model::{HttpCheck, HttpExpect, HttpExpectKind};
use super::proxy::Draft;
use crate::diagnostic::DiagnosticKind;

/// What the lines said so far; `http-check` may stand before `option httpchk`.
#[derive(Clone, Debug, Default)]
pub(super) struct CheckState {
    enabled: bool,
    check: Option<HttpCheck>,
    /// The section's own first `http-check` line, and whether it was in vain is seen at the end.
    own_rule: Option<crate::Span>,
}

impl CheckState {
    /// The check, if `option httpchk` asked for one.
    pub(super) fn finished(self) -> Option<HttpCheck> {
        let check = self.check.unwrap_or_else(default_check);
        self.enabled.then_some(check)
    }

    /// Another kind of check took its place (`option tcp-check`).
    pub(super) fn disable(&mut self) {
        self.enabled = false;
    }

    /// What was said so far was said in `defaults`.
    pub(super) fn inherited(&mut self) {
        self.own_rule = None;
    }

    /// The place of `http-check` lines that nothing asks for.
    pub(super) fn pointless_rule(&self) -> Option<crate::Span> {
        self.own_rule.filter(|_| !self.enabled)
    }

    fn check(&mut self) -> &mut HttpCheck {
        self.check.get_or_insert_with(default_check)
    }
}

fn default_check() -> HttpCheck {
    HttpCheck {
        method: "OPTIONS".to_owned(),
        uri: "/".to_owned(),
        version: "HTTP/1.0".to_owned(),
        headers: Vec::new(),
        body: String::new(),
        expect: None,
    }
}

/// `option httpchk [URI | METHOD URI [VERSION [HOST]]]`.
pub(super) fn httpchk(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    draft.check.enabled = true;
    let check = draft.check.check();
    let Some(first) = args.next_option() else {
        return Some(());
    };
    match args.next_option() {
        None => check.uri.clone_from(&first.text),
        Some(uri) => {
            check.method.clone_from(&first.text);
            check.uri.clone_from(&uri.text);
        }
    }
    if let Some(version) = args.next_option() {
        read_version(check, &version.text);
    }
    if let Some(host) = args.next_option() {
        check.headers.push(("Host".to_owned(), host.text.clone()));
    }
    args.end(cx)
}

/// A version with headers after it, the old way to write them: `HTTP/1.1\r\nHost:\ www`.
fn read_version(check: &mut HttpCheck, text: &str) {
    let mut lines = text.split("\r\n");
    check.version = lines.next().unwrap_or("HTTP/1.0").trim().to_owned();
    for line in lines {
        if let Some((name, value)) = line.split_once(':') {
            check
                .headers
                .push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
}

/// `http-check …`.
pub(super) fn http_check(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    const WORDS: [&str; 8] = [
        "comment",
        "connect",
        "disable-on-404",
        "expect",
        "send",
        "send-state",
        "set-var",
        "unset-var",
    ];
    let span = args.span();
    draft.check.own_rule.get_or_insert(span);
    let word = args.value(cx, "'send' or 'expect'")?;
    args.enter(word);
    match word.text.as_str() {
        "expect" => expect(draft, args, cx),
        "send" => send(draft, args, cx),
        "comment" => {
            args.rest();
            Some(())
        }
        "connect" | "disable-on-404" | "send-state" | "set-var" | "set-var-fmt" | "unset-var" => {
            cx.not_yet(word.span, &format!("http-check {}", word.text));
            None
        }
        _ => {
            cx.unknown(word, "after 'http-check'", WORDS);
            None
        }
    }
}

fn send(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    const WORDS: [&str; 8] = [
        "body", "body-lf", "comment", "hdr", "meth", "uri", "uri-lf", "ver",
    ];
    let check = draft.check.check();
    check.headers.clear();
    check.body.clear();
    while let Some(word) = args.next_option() {
        match word.text.as_str() {
            "meth" => check.method.clone_from(&args.value(cx, "a method")?.text),
            "uri" => check.uri.clone_from(&args.value(cx, "a URI")?.text),
            "ver" => check.version.clone_from(&args.value(cx, "a version")?.text),
            "body" => check.body.clone_from(&args.value(cx, "a body")?.text),
            "hdr" => {
                let name = args.value(cx, "a header's name")?;
                let value = args.value(cx, "a header's value")?;
                if value.text.contains("%[") {
                    cx.not_yet(value.span, "an expression in 'http-check send'");
                    return None;
                }
                check.headers.push((name.text.clone(), value.text.clone()));
            }
            "comment" => {
                args.value(cx, "a text")?;
            }
            "uri-lf" | "body-lf" => {
                cx.not_yet(word.span, &format!("http-check send {}", word.text));
                return None;
            }
            _ => {
                cx.unknown(word, "after 'http-check send'", WORDS);
                return None;
            }
        }
    }
    Some(())
}

fn expect(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    const WORDS: [&str; 8] = [
        "fhdr",
        "hdr",
        "rstatus",
        "rstring",
        "status",
        "string",
        "string-lf",
        "!",
    ];
    // Options of the report, which is our own.
    const IGNORED: [&str; 8] = [
        "comment",
        "min-recv",
        "ok-status",
        "error-status",
        "tout-status",
        "on-success",
        "on-error",
        "status-code",
    ];
    while let Some(text) = args.peek() {
        if !IGNORED.contains(&text) {
            break;
        }
        let word = args.next()?;
        args.value(cx, "an argument")?;
        let message = format!("'{}' of 'http-check expect' has no effect here", word.text);
        cx.notice(DiagnosticKind::Pointless, word.span, message);
    }
    let mut word = args.value(cx, "what is expected")?;
    let mut negated = false;
    if word.text == "!" {
        negated = true;
        word = args.value(cx, "what is expected")?;
    }
    let what = match word.text.as_str() {
        "status" => {
            let codes = args.value(cx, "codes")?;
            match ranges(&codes.text) {
                Some(ranges) => HttpExpectKind::Status(ranges),
                None => {
                    let message = format!(
                        "'http-check expect status' expects codes, found '{}'",
                        codes.text
                    );
                    cx.error(DiagnosticKind::InvalidValue, codes.span, message);
                    return None;
                }
            }
        }
        "rstatus" => {
            HttpExpectKind::StatusRegex(args.value(cx, "a regular expression")?.text.clone())
        }
        "string" => HttpExpectKind::String(args.value(cx, "a text")?.text.clone()),
        "rstring" => HttpExpectKind::Regex(args.value(cx, "a regular expression")?.text.clone()),
        "hdr" | "fhdr" | "string-lf" => {
            cx.not_yet(word.span, &format!("http-check expect {}", word.text));
            return None;
        }
        _ => {
            cx.unknown(word, "after 'http-check expect'", WORDS);
            return None;
        }
    };
    args.end(cx)?;
    let span = args.span();
    let check = draft.check.check();
    if check.expect.is_some() && draft.section != super::proxy::Section::Defaults {
        cx.notice(
            DiagnosticKind::Pointless,
            span,
            "the last 'http-check expect' is used",
        );
    }
    check.expect = Some(HttpExpect { negated, what });
    Some(())
}

fn ranges(text: &str) -> Option<Vec<(u16, u16)>> {
    let code = |text: &str| {
        text.parse::<u16>()
            .ok()
            .filter(|code| (100..=999).contains(code))
    };
    text.split(',')
        .map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some((code(first)?, code(last)?)).filter(|(first, last)| first <= last)
        })
        .collect()
}
