//! `balance` and `hash-type`.

use super::args::{Args, Context};
use super::model::{Balance, HashMethod};
use super::proxy::Draft;
use crate::diagnostic::DiagnosticKind;
use crate::source::Word;

/// Algorithms, sorted.
const ALGORITHMS: [&str; 12] = [
    "first",
    "hash",
    "hdr",
    "leastconn",
    "log-hash",
    "random",
    "rdp-cookie",
    "roundrobin",
    "source",
    "static-rr",
    "uri",
    "url_param",
];

/// `balance ALGORITHM [ARGUMENTS]`.
pub(super) fn balance(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let Some(word) = args.next_option() else {
        // HAProxy takes `balance` alone as round robin.
        draft.config.balance = Balance::RoundRobin;
        return Some(());
    };
    let (name, argument) = parenthesis(&word.text);
    draft.config.balance = match (name, argument) {
        ("roundrobin", None) => Balance::RoundRobin,
        ("static-rr", None) => Balance::StaticRr,
        ("leastconn", None) => Balance::LeastConn,
        ("first", None) => Balance::First,
        ("source", None) => Balance::Source,
        ("uri", None) => uri(args, cx)?,
        ("url_param", None) => {
            let name = args.value(cx, "a parameter's name")?.text.clone();
            let check_post = args.take("check_post");
            if check_post && args.peek().is_some_and(|text| text.parse::<u32>().is_ok()) {
                args.next();
            }
            Balance::UrlParam { name, check_post }
        }
        ("hdr", Some(header)) if !header.is_empty() => Balance::Header {
            name: header.to_ascii_lowercase(),
            use_domain_only: args.take("use_domain_only"),
        },
        ("hdr", _) => {
            cx.error(
                DiagnosticKind::InvalidValue,
                word.span,
                "'balance hdr' expects a header's name: hdr(NAME)",
            );
            return None;
        }
        ("random", argument) => Balance::Random {
            draws: draws(word, argument, cx)?,
        },
        ("rdp-cookie" | "hash" | "log-hash" | "sticky" | "log-sticky", _) => {
            cx.not_yet(word.span, &format!("balance {name}"));
            return None;
        }
        _ => {
            cx.unknown(word, "as an algorithm of 'balance'", ALGORITHMS);
            return None;
        }
    };
    args.ignore_rest(cx)
}

/// `name(argument)`; no argument where there are no parentheses.
fn parenthesis(text: &str) -> (&str, Option<&str>) {
    match text
        .split_once('(')
        .and_then(|(name, rest)| Some((name, rest.strip_suffix(')')?)))
    {
        Some((name, argument)) => (name, Some(argument)),
        None => (text, None),
    }
}

fn draws(word: &Word, argument: Option<&str>, cx: &mut Context<'_>) -> Option<u32> {
    const DEFAULT_DRAWS: u32 = 2;
    match argument.map(str::parse::<u32>) {
        None => Some(DEFAULT_DRAWS),
        Some(Ok(draws)) if draws > 0 => Some(draws),
        Some(_) => {
            cx.error(
                DiagnosticKind::InvalidValue,
                word.span,
                "'balance random' expects a number of draws above 0",
            );
            None
        }
    }
}

fn uri(args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<Balance> {
    const COUNT: i64 = i32::MAX as i64;
    let (mut whole, mut length, mut depth) = (false, 0, 0);
    while let Some(word) = args.next_option() {
        match word.text.as_str() {
            "len" => length = args.integer(cx, "a length", 1..=COUNT)?,
            "depth" => depth = args.integer(cx, "a depth", 1..=COUNT)?,
            "whole" => whole = true,
            "path-only" => {
                cx.not_yet(word.span, "balance uri path-only");
                return None;
            }
            _ => {
                cx.unknown(
                    word,
                    "as an option of 'balance uri'",
                    ["depth", "len", "path-only", "whole"],
                );
                return None;
            }
        }
    }
    Some(Balance::Uri {
        whole,
        length,
        depth,
    })
}

/// `hash-type METHOD [FUNCTION [MODIFIER]]`.
pub(super) fn hash_type(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let word = args.value(cx, "'map-based' or 'consistent'")?;
    draft.config.hash_method = match word.text.as_str() {
        "map-based" => HashMethod::MapBased,
        "consistent" => HashMethod::Consistent,
        _ => {
            cx.unknown(
                word,
                "as a method of 'hash-type'",
                ["consistent", "map-based"],
            );
            return None;
        }
    };
    for known in [
        &["sdbm", "djb2", "wt6", "crc32", "none"][..],
        &["avalanche"][..],
    ] {
        let Some(word) = args.next_option() else {
            break;
        };
        if !known.contains(&word.text.as_str()) {
            cx.unknown(word, "in 'hash-type'", known.iter().copied());
            return None;
        }
        cx.notice(
            DiagnosticKind::Pointless,
            word.span,
            "the hash function is our own; its spread is as even",
        );
    }
    args.end(cx)
}
