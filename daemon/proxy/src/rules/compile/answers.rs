//! Actions that answer: pages and replies, redirects, and the challenge of `auth`.

use config::{Diagnostic, DiagnosticKind, Word};

use super::super::actions::Action;
use super::super::redirect::{Base, Redirect};
use super::super::reply::{Content, Reply};
use super::super::{is_built_in, parse_page};
use super::Compiler;
use super::table::Place;
use super::words::{Words, invalid, not_yet};
use crate::log::{LogFormat, Purpose};
use crate::sample;

/// `auth [realm R]`: 401, or 407, with a challenge (RFC 9110 11.6.1).
pub(super) fn auth(
    words: &mut Words<'_>,
    compiler: &mut Compiler<'_>,
    _: Place,
) -> Result<Action, Diagnostic> {
    let realm = if words.take("realm") {
        words.next("a realm")?.text.clone()
    } else {
        compiler.scope.proxy.name.text.clone()
    };
    let reply = |status, header: &[u8]| {
        let mut reply = Reply::page(status);
        let challenge = LogFormat::literal(challenge(&realm).as_bytes());
        reply.headers.push((header.to_vec(), challenge));
        reply
    };
    Ok(Action::Auth(Box::new([
        reply(401, b"www-authenticate"),
        reply(407, b"proxy-authenticate"),
    ])))
}

/// The value of `WWW-Authenticate`.
pub(crate) fn challenge(realm: &str) -> String {
    format!(
        "Basic realm=\"{}\"",
        realm.replace('\\', "\\\\").replace('"', "\\\"")
    )
}

/// The arguments of `deny`, `tarpit` and `return` (manual, `http-request return`).
pub(super) fn reply(
    words: &mut Words<'_>,
    compiler: &mut Compiler<'_>,
    default_status: u16,
) -> Result<Reply, Diagnostic> {
    let mut reply = Reply::page(default_status);
    let is_return = default_status == 200;
    if is_return {
        reply.content = Content::Empty;
    }
    let mut page_wanted = None;
    while !words.at_end() {
        let word = words.next("an argument")?;
        match word.text.as_str() {
            "status" | "deny_status" => {
                reply.status = words.number("a status")?;
                if !(200..=599).contains(&reply.status) {
                    return Err(invalid(
                        word,
                        "a status lies between 200 and 599".to_owned(),
                    ));
                }
                page_wanted.get_or_insert(word);
            }
            "content-type" => {
                reply.content_type = Some(words.next("a content type")?.text.clone());
            }
            "default-errorfiles" => reply.content = Content::ErrorPage,
            "errorfile" => {
                let file = words.next("a file")?;
                let page = read_file(file).and_then(|content| {
                    parse_page(&content)
                        .ok_or_else(|| invalid(file, "the file is not an HTTP answer".to_owned()))
                })?;
                reply.content = Content::Page(Box::new(page));
            }
            "file" => {
                let file = words.next("a file")?;
                reply.content = Content::Fixed(read_file(file)?.into());
            }
            "lf-file" => {
                let file = words.next("a file")?;
                let text = String::from_utf8(read_file(file)?)
                    .map_err(|_| invalid(file, "the file is not text".to_owned()))?;
                reply.content = Content::Format(LogFormat::compile(
                    &Word::new(text, file.span),
                    Purpose::Text,
                    &compiler.scope,
                )?);
            }
            "string" => {
                let text = words.next("a text")?;
                reply.content = Content::Fixed(text.text.clone().into_bytes().into());
            }
            "lf-string" => reply.content = Content::Format(words.format(compiler)?),
            "hdr" => {
                let name = words.name()?;
                let value = words.format(compiler)?;
                reply.headers.push((name, value));
            }
            "errorfiles" => return Err(not_yet(word, "argument")),
            other => {
                return Err(Diagnostic::error(
                    DiagnosticKind::UnknownWord,
                    word.span,
                    format!("unexpected argument '{other}'"),
                ));
            }
        }
    }
    let has_body = match &reply.content {
        Content::Fixed(body) => !body.is_empty(),
        Content::Format(_) => true,
        _ => false,
    };
    if has_body && reply.content_type.is_none() {
        return Err(Diagnostic::error(
            DiagnosticKind::Syntax,
            words.last,
            "an answer with a body needs 'content-type'",
        ));
    }
    if matches!(reply.content, Content::ErrorPage)
        && !is_built_in(reply.status)
        && let Some(word) = page_wanted
    {
        return Err(invalid(
            word,
            format!("there is no error page for status {}", reply.status),
        ));
    }
    Ok(reply)
}

/// Longest file of a reply in bytes.
const MAX_REPLY_FILE_BYTES: u64 = 1 << 20;

fn read_file(word: &Word) -> Result<Vec<u8>, Diagnostic> {
    let wrong = |message: String| Diagnostic::error(DiagnosticKind::File, word.span, message);
    let metadata = std::fs::metadata(&word.text)
        .map_err(|error| wrong(format!("cannot read '{}': {error}", word.text)))?;
    if metadata.len() > MAX_REPLY_FILE_BYTES {
        return Err(wrong(format!(
            "'{}' is larger than {MAX_REPLY_FILE_BYTES} bytes",
            word.text
        )));
    }
    std::fs::read(&word.text)
        .map_err(|error| wrong(format!("cannot read '{}': {error}", word.text)))
}

/// `location|prefix|scheme FORMAT [code N] [options]`.
pub(super) fn redirect(
    words: &mut Words<'_>,
    compiler: &mut Compiler<'_>,
) -> Result<Redirect, Diagnostic> {
    let mut redirect: Option<(Base, LogFormat)> = None;
    let (mut code, mut drop_query, mut append_slash, mut ignore_empty) = (302, false, false, false);
    let mut cookie = None;
    while !words.at_end() {
        let word = words.next("'location', 'prefix' or 'scheme'")?;
        let base = match word.text.as_str() {
            "location" => Some(Base::Location),
            "prefix" => Some(Base::Prefix),
            "scheme" => Some(Base::Scheme),
            _ => None,
        };
        if let Some(base) = base {
            redirect = Some((base, words.format(compiler)?));
            continue;
        }
        match word.text.as_str() {
            "code" => {
                code = words.number("a status")?;
                if !matches!(code, 301 | 302 | 303 | 307 | 308) {
                    return Err(Diagnostic::error(
                        DiagnosticKind::InvalidValue,
                        words.last,
                        format!("redirect code {code} is none of 301, 302, 303, 307, 308"),
                    ));
                }
            }
            "drop-query" => drop_query = true,
            "append-slash" => append_slash = true,
            "ignore-empty" => ignore_empty = true,
            "set-cookie" => {
                cookie = Some(format!("{}; path=/;", words.next("a cookie")?.text));
            }
            "clear-cookie" => {
                cookie = Some(format!(
                    "{}; path=/; Max-Age=0;",
                    words.next("a cookie")?.text
                ));
            }
            "keep-query" => return Err(not_yet(word, "redirect option")),
            other => {
                return Err(sample::suggest(
                    Diagnostic::error(
                        DiagnosticKind::UnknownWord,
                        word.span,
                        format!("unknown redirect option '{other}'"),
                    ),
                    other,
                    [
                        "location",
                        "prefix",
                        "scheme",
                        "code",
                        "drop-query",
                        "append-slash",
                        "set-cookie",
                        "clear-cookie",
                    ]
                    .into_iter(),
                ));
            }
        }
    }
    let Some((base, text)) = redirect else {
        return Err(Diagnostic::error(
            DiagnosticKind::Syntax,
            words.last,
            "a redirect needs 'location', 'prefix' or 'scheme'",
        ));
    };
    Ok(Redirect {
        base,
        text,
        code,
        drop_query,
        append_slash,
        ignore_empty,
        cookie,
    })
}
