//! `balance` and `hash-type`.

use super::args::{Args, Context};
use super::model::{Balance, HashFunction, HashMethod, PersistKind, PersistRule, UseServer};
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
    draft.balance_seen = true;
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
        ("hash", None) => Balance::Hash {
            expression: args.value(cx, "a sample expression")?.clone(),
        },
        ("rdp-cookie", None) => Balance::RdpCookie {
            name: "mstshash".to_owned(),
        },
        ("rdp-cookie", Some(name)) if !name.is_empty() => Balance::RdpCookie {
            name: name.to_owned(),
        },
        ("rdp-cookie", _) => {
            cx.error(
                DiagnosticKind::InvalidValue,
                word.span,
                "'balance rdp-cookie' expects a cookie's name: rdp-cookie(NAME)",
            );
            return None;
        }
        ("log-hash" | "sticky" | "log-sticky", _) => {
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
    let (mut whole, mut length, mut depth, mut path_only) = (false, 0, 0, false);
    while let Some(word) = args.next_option() {
        match word.text.as_str() {
            "len" => length = args.integer(cx, "a length", 1..=COUNT)?,
            "depth" => depth = args.integer(cx, "a depth", 1..=COUNT)?,
            "whole" => whole = true,
            "path-only" => path_only = true,
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
        path_only,
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
    // The manual: "consistent hash uses sdbm and avalanche if no hash function is specified".
    draft.config.hash_function = HashFunction::Sdbm;
    draft.config.hash_avalanche = draft.config.hash_method == HashMethod::Consistent;
    if let Some(word) = args.next_option() {
        draft.config.hash_avalanche = false;
        draft.config.hash_function = match word.text.as_str() {
            "sdbm" => HashFunction::Sdbm,
            "djb2" => HashFunction::Djb2,
            "wt6" => HashFunction::Wt6,
            "crc32" => HashFunction::Crc32,
            "none" => HashFunction::None,
            _ => {
                cx.unknown(
                    word,
                    "as a function of 'hash-type'",
                    ["sdbm", "djb2", "wt6", "crc32", "none"],
                );
                return None;
            }
        };
    }
    if let Some(word) = args.next_option() {
        if word.text != "avalanche" {
            cx.unknown(word, "as a modifier of 'hash-type'", ["avalanche"]);
            return None;
        }
        draft.config.hash_avalanche = true;
    }
    args.end(cx)
}

/// `hash-balance-factor FACTOR`: 0, or more than 100 per cent.
pub(super) fn hash_balance_factor(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let span = args.span();
    let factor = args.integer(cx, "a percentage", 0..=i64::from(i32::MAX))?;
    if (1..=100).contains(&factor) {
        cx.error(
            DiagnosticKind::InvalidValue,
            span,
            "'hash-balance-factor' expects 0, or a percentage above 100",
        );
        return None;
    }
    draft.config.hash_balance_factor = factor;
    args.end(cx)
}

/// `use-server NAME if|unless CONDITION`.
pub(super) fn use_server(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let server = args.value(cx, "the name of a server")?.clone();
    let condition = condition(args, cx)?;
    draft
        .config
        .use_servers
        .push(UseServer { server, condition });
    Some(())
}

/// `force-persist if|unless CONDITION`.
pub(super) fn force_persist(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    persist_rule(PersistKind::Force, draft, args, cx)
}

/// `ignore-persist if|unless CONDITION`.
pub(super) fn ignore_persist(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    persist_rule(PersistKind::Ignore, draft, args, cx)
}

fn persist_rule(
    kind: PersistKind,
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let condition = condition(args, cx)?;
    draft
        .config
        .persist_rules
        .push(PersistRule { kind, condition });
    Some(())
}

/// `if …` or `unless …`, which must be there.
fn condition(args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<Vec<Word>> {
    let first = args.value(cx, "'if' or 'unless' with a condition")?.clone();
    if !matches!(first.text.as_str(), "if" | "unless") {
        cx.unknown(&first, "before a condition", ["if", "unless"]);
        return None;
    }
    let mut words = vec![first];
    words.extend(
        args.rest()
            .iter()
            .filter(|word| !word.text.is_empty())
            .cloned(),
    );
    if words.len() == 1 {
        let message = format!("a condition should follow '{}'", words[0].text);
        cx.error(DiagnosticKind::InvalidValue, words[0].span, message);
        return None;
    }
    Some(words)
}

/// `persist rdp-cookie [(NAME)]`.
pub(super) fn persist(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let word = args.value(cx, "'rdp-cookie'")?;
    draft.config.persist_rdp_cookie = match parenthesis(&word.text) {
        ("rdp-cookie", None) => Some("msts".to_owned()),
        ("rdp-cookie", Some(name)) if !name.is_empty() => Some(name.to_owned()),
        _ => {
            cx.unknown(word, "after 'persist'", ["rdp-cookie"]);
            return None;
        }
    };
    args.end(cx)
}
