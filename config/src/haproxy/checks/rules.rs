//! The rules `http-check` and `tcp-check`: `connect`, `send`, `expect` and variables.

use super::super::address::plain_address;
use super::super::args::{Args, Context};
use super::super::bind;
use super::super::model::{
    CheckAction, CheckConnect, CheckData, CheckExpect, CheckStep, ExpectKind, HttpSend,
    MatchMethod, Proto, TextMatch,
};
use super::{CheckState, Language};
use crate::diagnostic::DiagnosticKind;
use crate::source::Word;

const HTTP_RULES: [&str; 9] = [
    "comment",
    "connect",
    "disable-on-404",
    "expect",
    "send",
    "send-state",
    "set-var",
    "set-var-fmt",
    "unset-var",
];
const TCP_RULES: [&str; 10] = [
    "comment",
    "connect",
    "expect",
    "send",
    "send-binary",
    "send-binary-lf",
    "send-lf",
    "set-var",
    "set-var-fmt",
    "unset-var",
];

/// Reads one rule.
pub(super) fn rule(
    state: &mut CheckState,
    language: Language,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let span = args.span();
    let keyword = language.keyword();
    let word = args.value(cx, "'connect', 'send' or 'expect'")?;
    args.enter(word);
    let mut comment = None;
    let (name, variable) = split_variable(&word.text);
    let action = match (language, name) {
        (Language::Http, "disable-on-404") => {
            state.rules(language).begin_own(span);
            state.disable_on_404 = true;
            return args.end(cx);
        }
        (Language::Http, "send-state") => {
            state.rules(language).begin_own(span);
            state.send_state = true;
            return args.end(cx);
        }
        (_, "comment") => {
            comment = Some(args.value(cx, "a text")?.text.clone());
            args.end(cx)?;
            CheckAction::Comment
        }
        (_, "connect") => CheckAction::Connect(connect(language, args, cx, &mut comment)?),
        (_, "expect") => CheckAction::Expect(expect(language, args, cx, &mut comment)?),
        (Language::Http, "send") => CheckAction::HttpSend(http_send(args, cx, &mut comment)?),
        (Language::Tcp, "send" | "send-lf" | "send-binary" | "send-binary-lf") => {
            let kind = name
                .replacen("send", "string", 1)
                .replacen("string-binary", "binary", 1);
            let data = data(&kind, args, cx)?;
            if args.take("comment") {
                comment = Some(args.value(cx, "a text")?.text.clone());
            }
            args.end(cx)?;
            CheckAction::Send(data)
        }
        (_, "set-var") => {
            let value = args.value(cx, "an expression")?.clone();
            args.end(cx)?;
            CheckAction::SetVar(variable_name(variable, word, cx)?, value)
        }
        (_, "set-var-fmt") => {
            let value = args.value(cx, "a format")?.clone();
            args.end(cx)?;
            CheckAction::SetVarFormat(variable_name(variable, word, cx)?, value)
        }
        (_, "unset-var") => {
            args.end(cx)?;
            CheckAction::UnsetVar(variable_name(variable, word, cx)?)
        }
        (Language::Http, _) => {
            cx.unknown(word, "after 'http-check'", HTTP_RULES);
            return None;
        }
        (Language::Tcp, _) => {
            cx.unknown(word, "after 'tcp-check'", TCP_RULES);
            return None;
        }
    };
    let rules = state.rules(language);
    rules.begin_own(span);
    if let Some(why) = misplaced(language, &rules.steps, &action) {
        let step = rules.steps.len() + 1;
        let message = format!("'{keyword} {name}' cannot stand at step {step}: {why}");
        cx.error(DiagnosticKind::InvalidValue, span, message);
        return None;
    }
    if comment.is_none()
        && let Some(CheckStep {
            action: CheckAction::Comment,
            comment: before,
            ..
        }) = rules.steps.last()
    {
        comment.clone_from(before);
    }
    rules.steps.push(CheckStep {
        action,
        comment,
        span,
    });
    Some(())
}

/// `set-var(check.port)`: the keyword and what stands in its parentheses.
fn split_variable(text: &str) -> (&str, Option<&str>) {
    match text.split_once('(') {
        Some((name, rest)) => (name, Some(rest.strip_suffix(')').unwrap_or(rest))),
        None => (text, None),
    }
}

fn variable_name(found: Option<&str>, word: &Word, cx: &mut Context<'_>) -> Option<String> {
    let name = found.unwrap_or_default();
    if name.contains(',') {
        cx.not_yet(word.span, "a condition in 'set-var'");
        return None;
    }
    let scope = name.split('.').next().unwrap_or_default();
    match scope {
        "check" => Some(name.to_owned()),
        "sess" | "proc" => {
            cx.not_yet(word.span, &format!("scope '{scope}' of a check's variable"));
            None
        }
        _ => {
            let message = format!("'{}' does not name a variable 'check.NAME'", word.text);
            cx.error(DiagnosticKind::InvalidValue, word.span, message);
            None
        }
    }
}

/// Why a rule may not follow those before it, as HAProxy has it.
fn misplaced(language: Language, before: &[CheckStep], new: &CheckAction) -> Option<&'static str> {
    let is_real = |step: &&CheckStep| {
        matches!(
            step.action,
            CheckAction::Connect(_)
                | CheckAction::Send(_)
                | CheckAction::HttpSend(_)
                | CheckAction::Expect(_)
        )
    };
    let first = before.iter().find(is_real).map(|step| &step.action);
    let last = before.iter().rfind(is_real).map(|step| &step.action);
    match (language, new, first, last) {
        (_, CheckAction::Connect(_), Some(first), _)
            if !matches!(first, CheckAction::Connect(_)) =>
        {
            Some("where there is a 'connect', the first step must be one")
        }
        (Language::Http, CheckAction::HttpSend(_), _, Some(last))
            if !matches!(last, CheckAction::Connect(_)) =>
        {
            Some("a 'connect' must stand before each further 'send'")
        }
        (Language::Http, CheckAction::Expect(_), _, Some(CheckAction::Connect(_))) => {
            Some("a 'send' must stand between 'connect' and 'expect'")
        }
        _ => None,
    }
}

fn connect(
    language: Language,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
    comment: &mut Option<String>,
) -> Option<CheckConnect> {
    const WORDS: [&str; 11] = [
        "addr",
        "alpn",
        "comment",
        "default",
        "linger",
        "port",
        "proto",
        "send-proxy",
        "sni",
        "ssl",
        "via-socks4",
    ];
    let mut connect = CheckConnect::default();
    while let Some(word) = args.next_option() {
        match word.text.as_str() {
            "default" => connect.default = true,
            "port" => {
                let port = args.value(cx, "a port")?;
                let number = port.text.parse::<u32>();
                if number.is_ok_and(|number| !(1..=65_535).contains(&number)) {
                    let message = format!("'{}' is no port from 1 to 65535", port.text);
                    cx.error(DiagnosticKind::InvalidValue, port.span, message);
                    return None;
                }
                connect.port = Some(port.clone());
            }
            "addr" => {
                let address = args.value(cx, "an address")?;
                connect.address = Some(plain_address(address, "addr", cx)?);
            }
            "send-proxy" => connect.send_proxy = true,
            "ssl" => connect.tls = true,
            "sni" => connect.sni = Some(args.value(cx, "a name")?.text.clone()),
            "alpn" => {
                let protocols = args.value(cx, "protocols")?;
                connect.alpn = protocols.text.split(',').map(str::to_owned).collect();
            }
            "linger" => connect.linger = true,
            "comment" => *comment = Some(args.value(cx, "a text")?.text.clone()),
            "proto" => {
                let span = args.span();
                connect.proto = bind::proto(args, cx)?;
                if (connect.proto == Proto::None) != (language == Language::Tcp) {
                    let message = format!(
                        "'proto' of '{} connect' does not fit its kind of checks",
                        language.keyword()
                    );
                    cx.error(DiagnosticKind::InvalidValue, span, message);
                    return None;
                }
            }
            "via-socks4" => connect.via_socks4 = true,
            _ => {
                cx.unknown(word, "after 'connect'", WORDS);
                return None;
            }
        }
    }
    Some(connect)
}

/// What `string`, `string-lf`, `binary` or `binary-lf` names.
fn data(kind: &str, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<CheckData> {
    let word = args.value(cx, "what to send or to find")?;
    Some(match kind {
        "string-lf" => CheckData::Format(word.clone()),
        "binary-lf" => CheckData::BinaryFormat(word.clone()),
        "binary" => match from_hexadecimal(&word.text) {
            Some(bytes) => CheckData::Binary(bytes),
            None => {
                let message = format!(
                    "'{}' is not an even number of hexadecimal digits",
                    word.text
                );
                cx.error(DiagnosticKind::InvalidValue, word.span, message);
                return None;
            }
        },
        _ => CheckData::Text(word.text.clone()),
    })
}

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}

fn http_send(
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
    comment: &mut Option<String>,
) -> Option<HttpSend> {
    const WORDS: [&str; 8] = [
        "body", "body-lf", "comment", "hdr", "meth", "uri", "uri-lf", "ver",
    ];
    let mut send = HttpSend::default();
    while let Some(word) = args.next_option() {
        match word.text.as_str() {
            "meth" => send.method = Some(args.value(cx, "a method")?.text.clone()),
            "uri" => send.uri = Some(data("string", args, cx)?),
            "uri-lf" => send.uri = Some(data("string-lf", args, cx)?),
            "ver" => send.version = Some(args.value(cx, "a version")?.text.clone()),
            "body" => send.body = Some(data("string", args, cx)?),
            "body-lf" => send.body = Some(data("string-lf", args, cx)?),
            "hdr" => {
                let name = args.value(cx, "a header's name")?.text.clone();
                let value = args.value(cx, "a header's value")?.clone();
                send.without_connection |= name.eq_ignore_ascii_case("connection");
                // Framing is made anew, and a check's connection always ends with it.
                let ours = ["connection", "content-length", "transfer-encoding"];
                if !ours.iter().any(|own| name.eq_ignore_ascii_case(own)) {
                    send.headers.push((name, value));
                }
            }
            "comment" => *comment = Some(args.value(cx, "a text")?.text.clone()),
            _ => {
                cx.unknown(word, "after 'http-check send'", WORDS);
                return None;
            }
        }
    }
    Some(send)
}

fn expect(
    language: Language,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
    comment: &mut Option<String>,
) -> Option<CheckExpect> {
    const OK: [&str; 4] = ["L4OK", "L6OK", "L7OK", "L7OKC"];
    const ERROR: [&str; 5] = ["L4CON", "L6RSP", "L7OKC", "L7RSP", "L7STS"];
    const TIMEOUT: [&str; 3] = ["L4TOUT", "L6TOUT", "L7TOUT"];
    let mut found = CheckExpect {
        negated: false,
        what: ExpectKind::Status(Vec::new()),
        min_recv: None,
        ok_status: None,
        error_status: None,
        timeout_status: None,
        on_success: None,
        on_error: None,
        status_code: None,
    };
    let mut what = None;
    while let Some(word) = args.next_option() {
        args.enter(word);
        match word.text.as_str() {
            "comment" => *comment = Some(args.value(cx, "a text")?.text.clone()),
            "min-recv" => {
                let least: i64 = args.integer(cx, "a number of bytes", -1..=i64::from(i32::MAX))?;
                found.min_recv = u32::try_from(least).ok();
            }
            "ok-status" => found.ok_status = Some(status(&OK, args, cx)?),
            "error-status" => found.error_status = Some(status(&ERROR, args, cx)?),
            "tout-status" => found.timeout_status = Some(status(&TIMEOUT, args, cx)?),
            "on-success" => found.on_success = Some(args.value(cx, "a format")?.clone()),
            "on-error" => found.on_error = Some(args.value(cx, "a format")?.clone()),
            "status-code" => found.status_code = Some(args.value(cx, "an expression")?.clone()),
            "!" => found.negated = !found.negated,
            text if text.starts_with('!') && what.is_none() => {
                found.negated = !found.negated;
                what = Some(kind(language, &text[1..], word, args, cx)?);
            }
            text if what.is_none() => what = Some(kind(language, text, word, args, cx)?),
            _ => {
                let message = format!("'{}' is one word too many in 'expect'", word.text);
                cx.error(DiagnosticKind::InvalidValue, word.span, message);
                return None;
            }
        }
    }
    let Some(what) = what else {
        cx.error(
            DiagnosticKind::InvalidValue,
            args.span(),
            "'expect' does not say what is expected",
        );
        return None;
    };
    found.what = what;
    Some(found)
}

fn status(known: &[&'static str], args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<String> {
    let word = args.value(cx, "a status")?;
    if !known.contains(&word.text.as_str()) {
        cx.unknown(word, "as a status of a check", known.iter().copied());
        return None;
    }
    Some(word.text.clone())
}

fn kind(
    language: Language,
    text: &str,
    word: &Word,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<ExpectKind> {
    const HTTP: [&str; 8] = [
        "fhdr",
        "hdr",
        "rstatus",
        "rstring",
        "status",
        "string",
        "string-lf",
        "!",
    ];
    const TCP: [&str; 7] = [
        "binary",
        "binary-lf",
        "rbinary",
        "rstring",
        "string",
        "string-lf",
        "!",
    ];
    let found = match (language, text) {
        (_, "string" | "string-lf") => ExpectKind::Contains(data(text, args, cx)?),
        (Language::Tcp, "binary" | "binary-lf") => ExpectKind::Contains(data(text, args, cx)?),
        (_, "rstring") => ExpectKind::Regex(args.value(cx, "a regular expression")?.clone()),
        (Language::Tcp, "rbinary") => {
            ExpectKind::BinaryRegex(args.value(cx, "a regular expression")?.clone())
        }
        (Language::Http, "rstatus") => {
            ExpectKind::StatusRegex(args.value(cx, "a regular expression")?.clone())
        }
        (Language::Http, "status") => {
            let codes = args.value(cx, "codes")?;
            let Some(ranges) = ranges(&codes.text) else {
                let message = format!(
                    "'http-check expect status' expects codes, found '{}'",
                    codes.text
                );
                cx.error(DiagnosticKind::InvalidValue, codes.span, message);
                return None;
            };
            ExpectKind::Status(ranges)
        }
        (Language::Http, "hdr" | "fhdr") => {
            let name = text_match("name", args, cx)?;
            let value = match args.peek() {
                Some("value" | "value-lf") => Some(text_match("value", args, cx)?),
                _ => None,
            };
            ExpectKind::Header {
                full: text == "fhdr",
                name,
                value,
            }
        }
        (Language::Http, _) => {
            cx.unknown(word, "after 'http-check expect'", HTTP);
            return None;
        }
        (Language::Tcp, _) => {
            cx.unknown(word, "after 'tcp-check expect'", TCP);
            return None;
        }
    };
    Some(found)
}

/// `name|name-lf|value|value-lf [-m METHOD] TEXT`.
fn text_match(what: &str, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<TextMatch> {
    let word = args.value(cx, "'name'")?;
    let format = word.text.strip_suffix("-lf") == Some(what);
    if !format && word.text != what {
        cx.unknown(word, "in 'expect hdr'", [what]);
        return None;
    }
    let mut method = MatchMethod::Exact;
    if args.take("-m") {
        let word = args.value(cx, "a way to match")?;
        method = match word.text.as_str() {
            "str" => MatchMethod::Exact,
            "beg" => MatchMethod::Prefix,
            "end" => MatchMethod::Suffix,
            "sub" => MatchMethod::Substring,
            "reg" => MatchMethod::Regex,
            _ => {
                cx.unknown(word, "after '-m'", ["beg", "end", "reg", "str", "sub"]);
                return None;
            }
        };
        if format && method == MatchMethod::Regex {
            let message = "a format cannot be a regular expression";
            cx.error(DiagnosticKind::InvalidValue, word.span, message);
            return None;
        }
    }
    let text = args.value(cx, "a text")?.clone();
    Some(TextMatch {
        method,
        text,
        format,
    })
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
