//! `resolvers` sections, and what a server says of how its name is resolved (configuration manual, 5.3).

use std::time::Duration;

use super::address::name_server;
use super::args::{Args, Context, Unit};
use super::model::{HaproxyConfig, Hold, NameServer, ResolveConfig, ResolversConfig};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::source::Word;
use crate::suggest::did_you_mean;

/// The section that exists without being written: the system's name servers.
const DEFAULT_SECTION: &str = "default";
/// Smallest payload that must be accepted (RFC 6891 6.2.3).
const MIN_PAYLOAD_BYTES: i64 = 512;
/// Most name servers of a section.
const MAX_NAME_SERVERS: usize = 64;

/// A section without lines.
pub(super) fn empty(name: Word) -> ResolversConfig {
    ResolversConfig {
        span: name.span,
        name,
        nameservers: Vec::new(),
        payload_bytes: 512,
        retries: 3,
        timeout_resolve: Duration::from_secs(1),
        timeout_retry: Duration::from_secs(1),
        hold: Hold::default(),
    }
}

/// The words of the section, sorted.
const KEYWORDS: [&str; 6] = [
    "accepted_payload_size",
    "hold",
    "nameserver",
    "parse-resolv-conf",
    "resolve_retries",
    "timeout",
];

/// Reads one line of a `resolvers` section.
pub(super) fn line(draft: &mut ResolversConfig, words: &[Word], cx: &mut Context<'_>) {
    let Some(mut args) = Args::new(words) else {
        return;
    };
    let args = &mut args;
    let _ = match words[0].text.as_str() {
        "accepted_payload_size" => args
            .integer(cx, "a number of bytes", MIN_PAYLOAD_BYTES..=65_535)
            .map(|bytes| draft.payload_bytes = bytes),
        "hold" => hold(&mut draft.hold, args, cx),
        "nameserver" => nameserver(draft, args, cx),
        "parse-resolv-conf" => {
            draft.nameservers.push(NameServer::ResolvConf(args.span()));
            Some(())
        }
        "resolve_retries" => args
            .integer(cx, "a number of queries", 1..=i64::from(i32::MAX))
            .map(|retries| draft.retries = retries),
        "timeout" => timeout(draft, args, cx),
        _ => {
            cx.unknown(&words[0], "in section 'resolvers'", KEYWORDS);
            None
        }
    }
    .and_then(|()| args.end(cx));
}

fn hold(hold: &mut Hold, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    const STATUSES: [&str; 6] = ["nx", "obsolete", "other", "refused", "timeout", "valid"];
    let status = args.value(cx, "a status and a period")?;
    let period = match status.text.as_str() {
        "nx" => &mut hold.nx,
        "obsolete" => &mut hold.obsolete,
        "other" => &mut hold.other,
        "refused" => &mut hold.refused,
        "timeout" => &mut hold.timeout,
        "valid" => &mut hold.valid,
        _ => {
            cx.unknown(status, "after 'hold'", STATUSES);
            return None;
        }
    };
    *period = args.time(cx, Unit::Milliseconds)?;
    Some(())
}

fn nameserver(
    draft: &mut ResolversConfig,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let name = args.value(cx, "a name and an address")?.clone();
    let (address, tcp) = name_server(args.value(cx, "an address")?, cx)?;
    let taken = draft.nameservers.iter().any(
        |known| matches!(known, NameServer::Address { name: known, .. } if known.text == name.text),
    );
    if taken {
        let message = format!(
            "another name server of this section is named '{}'",
            name.text
        );
        cx.error(DiagnosticKind::Duplicate, name.span, message);
        return None;
    }
    if draft.nameservers.len() >= MAX_NAME_SERVERS {
        let message = format!("more than {MAX_NAME_SERVERS} name servers in one section");
        cx.error(DiagnosticKind::InvalidValue, name.span, message);
        return None;
    }
    if let Some(word) = args.peek() {
        cx.not_yet(args.span(), &format!("nameserver … {word}"));
        return None;
    }
    draft
        .nameservers
        .push(NameServer::Address { name, address, tcp });
    Some(())
}

fn timeout(draft: &mut ResolversConfig, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let event = args.value(cx, "'resolve' or 'retry' and a time")?;
    let timeout = match event.text.as_str() {
        "resolve" => &mut draft.timeout_resolve,
        "retry" => &mut draft.timeout_retry,
        _ => {
            cx.unknown(event, "after 'timeout'", ["resolve", "retry"]);
            return None;
        }
    };
    let span = event.span;
    let time = args.time(cx, Unit::Milliseconds)?;
    if time.is_zero() {
        let message = "'timeout' of 'resolvers' expects a time longer than 0";
        cx.error(DiagnosticKind::InvalidValue, span, message);
        return None;
    }
    *timeout = time;
    Some(())
}

/// `resolve-prefer ipv4|ipv6`.
pub(super) fn prefer(
    resolve: &mut ResolveConfig,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let word = args.value(cx, "'ipv4' or 'ipv6'")?;
    resolve.prefer_ipv4 = match word.text.as_str() {
        "ipv4" => true,
        "ipv6" => false,
        _ => {
            cx.unknown(word, "after 'resolve-prefer'", ["ipv4", "ipv6"]);
            return None;
        }
    };
    Some(())
}

/// `resolve-net NETWORK[,NETWORK]…`.
pub(super) fn networks(
    resolve: &mut ResolveConfig,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let word = args.value(cx, "networks")?;
    let mut networks = Vec::new();
    for part in word.text.split(',').filter(|part| !part.is_empty()) {
        let network = part
            .parse::<ipnet::IpNet>()
            .ok()
            .or_else(|| part.parse::<std::net::IpAddr>().ok().map(Into::into));
        match network {
            Some(network) => networks.push(network),
            None => {
                let message = format!("'resolve-net' expects networks, found '{part}'");
                cx.error(DiagnosticKind::InvalidValue, word.span, message);
                return None;
            }
        }
    }
    resolve.networks = networks;
    Some(())
}

/// `resolve-opts OPTION[,OPTION]…`.
pub(super) fn options(
    resolve: &mut ResolveConfig,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let word = args.value(cx, "options")?;
    for part in word.text.split(',').filter(|part| !part.is_empty()) {
        match part {
            "allow-dup-ip" => resolve.allow_duplicates = true,
            "prevent-dup-ip" => resolve.allow_duplicates = false,
            "ignore-weight" => resolve.ignore_weight = true,
            _ => {
                cx.unknown(
                    &Word::new(part, word.span),
                    "in 'resolve-opts'",
                    ["allow-dup-ip", "ignore-weight", "prevent-dup-ip"],
                );
                return None;
            }
        }
    }
    Some(())
}

/// Servers name sections that exist; `default` exists without being written.
pub(super) fn check_references(config: &mut HaproxyConfig, cx: &mut Context<'_>) {
    for proxy in &config.proxies {
        for server in &proxy.servers {
            let Some(wanted) = &server.resolve.resolvers else {
                continue;
            };
            if config
                .resolvers
                .iter()
                .any(|section| section.name.text == wanted.text)
            {
                continue;
            }
            if wanted.text == DEFAULT_SECTION {
                let mut section = empty(wanted.clone());
                section
                    .nameservers
                    .push(NameServer::ResolvConf(wanted.span));
                config.resolvers.push(section);
                continue;
            }
            let message = format!("no 'resolvers' section is named '{}'", wanted.text);
            let mut diagnostic =
                Diagnostic::error(DiagnosticKind::UnknownName, wanted.span, message);
            let names = config
                .resolvers
                .iter()
                .map(|section| section.name.text.as_str());
            diagnostic.help = did_you_mean(&wanted.text, names);
            cx.diagnostics.push(diagnostic);
        }
    }
}

/// The words of the section, for the documentation.
pub(super) fn keyword_lists() -> super::KeywordLists {
    super::KeywordLists {
        title: "resolvers".to_owned(),
        read: KEYWORDS.iter().map(|name| (*name).to_owned()).collect(),
        accepted: Vec::new(),
        not_yet: Vec::new(),
    }
}
