//! The options of a server: one row for each, and the functions that read their arguments.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::address::plain_address;
use super::super::args::{Args, Context, Unit};
use super::super::bind::{NPN, proto};
use super::super::model::{InitAddr, InitState, Observe, OnError};
use super::super::option_table::Action::{Accepted, Do, NotYet};
use super::super::option_table::{Action, OptionTable};
use super::super::tls::{TLS12, TLS13, force, max_version, min_version};
use super::super::{KeywordLists, resolvers, source};
use super::ServerOptions;
use crate::diagnostic::DiagnosticKind;
use crate::source::Word;

const COUNT: i64 = i32::MAX as i64;

const OPTIONS: OptionTable<ServerOptions> = OptionTable {
    keyword: "server",
    rows: ROWS,
};

/// Sorted.
#[rustfmt::skip]
const ROWS: &[(&str, Action<ServerOptions>)] = &[
    ("addr", Do(check_address)),
    ("agent-addr", Do(|o, args, cx| { o.agent_config.address = Some(args.value(cx, "an address")?.text.clone()); Some(()) })),
    ("agent-check", Do(|o, _, _| { o.agent = true; Some(()) })),
    ("agent-inter", Do(|o, args, cx| { o.agent_config.inter = interval(args, cx)?; Some(()) })),
    ("agent-port", Do(|o, args, cx| { o.agent_port = Some(args.integer(cx, "a port", 1..=65_535)?); Some(()) })),
    ("agent-send", Do(|o, args, cx| { o.agent_config.send.clone_from(&args.value(cx, "a text")?.text); Some(()) })),
    ("allow-0rtt", NotYet),
    ("alpn", Do(|o, args, cx| { o.tls.alpn = protocols(args, cx)?; Some(()) })),
    ("backup", Do(|o, _, _| { o.backup = true; Some(()) })),
    ("ca-file", Do(|o, args, cx| { o.tls.ca_file = Some(args.value(cx, "a path")?.clone()); Some(()) })),
    ("check", Do(|o, _, _| { o.check = true; Some(()) })),
    ("check-alpn", Do(|o, args, cx| { o.check_config.alpn = args.value(cx, "protocols")?.text.split(',').map(str::to_owned).collect(); Some(()) })),
    ("check-proto", Do(|o, args, cx| { o.check_config.proto = proto(args, cx)?; Some(()) })),
    ("check-send-proxy", Do(|o, _, _| { o.proxy_header.checks = true; Some(()) })),
    ("check-sni", Do(|o, args, cx| { o.check_sni = Some(args.value(cx, "a name")?.text.clone()); Some(()) })),
    ("check-ssl", Do(|o, _, _| { o.check_config.tls = true; Some(()) })),
    ("check-via-socks4", Do(|o, _, _| { o.check_config.via_socks4 = true; Some(()) })),
    ("ciphers", Do(|o, args, cx| { o.tls.choice.ciphers = Some(args.value(cx, "a cipher list")?.clone()); Some(()) })),
    ("ciphersuites", Do(|o, args, cx| { o.tls.choice.ciphersuites = Some(args.value(cx, "cipher suites")?.clone()); Some(()) })),
    ("client-sigalgs", NotYet),
    ("cookie", Do(|o, args, cx| { o.cookie = Some(args.value(cx, "a value")?.text.clone()); Some(()) })),
    ("crl-file", NotYet),
    ("crt", NotYet),
    ("curves", Do(|o, args, cx| { o.tls.choice.curves = Some(args.value(cx, "curves")?.clone()); Some(()) })),
    ("disabled", Do(|o, _, _| { o.disabled = true; Some(()) })),
    ("downinter", Do(|o, args, cx| { o.check_config.downinter = Some(interval(args, cx)?); Some(()) })),
    ("enabled", Do(|o, _, _| { o.disabled = false; Some(()) })),
    ("error-limit", Do(|o, args, cx| { o.check_config.error_limit = args.integer(cx, "a number of errors", 1..=COUNT)?; Some(()) })),
    ("fall", Do(|o, args, cx| { o.check_config.fall = args.integer(cx, "a number of checks", 1..=COUNT)?; Some(()) })),
    ("fastinter", Do(|o, args, cx| { o.check_config.fastinter = Some(interval(args, cx)?); Some(()) })),
    ("force-sslv3", NotYet),
    ("force-tlsv10", NotYet),
    ("force-tlsv11", NotYet),
    ("force-tlsv12", Do(|o, _, _| { force(&mut o.tls.choice, TLS12); Some(()) })),
    ("force-tlsv13", Do(|o, _, _| { force(&mut o.tls.choice, TLS13); Some(()) })),
    ("guid", NotYet),
    ("hash-key", NotYet),
    ("id", Do(|o, args, cx| { o.id = Some(args.integer(cx, "a number", 1..=COUNT)?); Some(()) })),
    ("idle-ping", NotYet),
    ("init-addr", Do(init_addr)),
    ("init-state", Do(init_state)),
    ("inter", Do(|o, args, cx| { o.check_config.inter = interval(args, cx)?; Some(()) })),
    ("log-bufsize", NotYet),
    ("log-proto", NotYet),
    ("max-reuse", Do(|o, args, cx| { o.pool.max_reuse = or_unlimited(args, cx, "a number of requests")?; Some(()) })),
    ("maxconn", Do(|o, args, cx| { o.maxconn = Some(args.integer(cx, "a number of connections", 0..=COUNT)?).filter(|n| *n > 0); Some(()) })),
    ("maxqueue", Do(|o, args, cx| { o.maxqueue = Some(args.integer(cx, "a number of connections", 0..=COUNT)?).filter(|n| *n > 0); Some(()) })),
    ("minconn", Do(|o, args, cx| { o.minconn = Some(args.integer(cx, "a number of connections", 0..=COUNT)?).filter(|n| *n > 0); Some(()) })),
    ("namespace", NotYet),
    ("no-agent-check", Do(|o, _, _| { o.agent = false; Some(()) })),
    ("no-backup", Do(|o, _, _| { o.backup = false; Some(()) })),
    ("no-check", Do(|o, _, _| { o.check = false; Some(()) })),
    ("no-check-send-proxy", Do(|o, _, _| { o.proxy_header.checks = false; Some(()) })),
    ("no-check-ssl", Do(|o, _, _| { o.check_config.tls = false; Some(()) })),
    ("no-send-proxy", Do(|o, _, _| { o.proxy_header.v1 = false; Some(()) })),
    ("no-send-proxy-v2", Do(|o, _, _| { o.proxy_header.v2 = false; Some(()) })),
    ("no-send-proxy-v2-ssl", Do(|o, _, _| { o.proxy_header.v2 = false; o.proxy_header.options.ssl = false; Some(()) })),
    ("no-send-proxy-v2-ssl-cn", Do(|o, _, _| { o.proxy_header.v2 = false; o.proxy_header.options.ssl = false; o.proxy_header.options.cert_cn = false; Some(()) })),
    ("no-ssl", Do(|o, _, _| { o.ssl = false; Some(()) })),
    ("no-ssl-reuse", Do(|o, _, _| { o.tls.no_reuse = true; Some(()) })),
    ("no-sslv3", Do(|_, _, _| Some(()))),
    ("no-tfo", Do(|_, _, _| Some(()))),
    ("no-tls-tickets", Do(|o, _, _| { o.tls.no_tickets = true; Some(()) })),
    ("no-tlsv10", Do(|_, _, _| Some(()))),
    ("no-tlsv11", Do(|_, _, _| Some(()))),
    ("no-tlsv12", Do(|o, _, _| { o.tls.choice.min_version = Some(TLS13.to_owned()); Some(()) })),
    ("no-tlsv13", Do(|o, _, _| { o.tls.choice.max_version = Some(TLS12.to_owned()); Some(()) })),
    ("no-verifyhost", Do(|o, _, _| { o.tls.verify_host = None; Some(()) })),
    ("non-stick", Accepted(0, "there are no 'stick' rules")),
    ("npn", Accepted(1, NPN)),
    ("observe", Do(observe)),
    ("on-error", Do(on_error)),
    ("on-marked-down", Do(on_marked_down)),
    ("on-marked-up", Do(on_marked_up)),
    ("pool-low-conn", Accepted(1, "no thread takes another one's connections")),
    ("pool-max-conn", Do(|o, args, cx| { o.pool.max_idle = or_unlimited(args, cx, "a number of connections")?; Some(()) })),
    ("pool-purge-delay", Do(|o, args, cx| { o.pool.purge_delay = args.time(cx, Unit::Milliseconds)?; Some(()) })),
    ("port", Do(|o, args, cx| { o.check_config.port = Some(args.integer(cx, "a port", 1..=65_535)?); Some(()) })),
    ("proto", Do(|o, args, cx| { o.proto = proto(args, cx)?; Some(()) })),
    ("proxy-v2-options", Do(proxy_v2_options)),
    ("redir", NotYet),
    ("resolve-net", Do(|o, args, cx| resolvers::networks(&mut o.resolve, args, cx))),
    ("resolve-opts", Do(|o, args, cx| resolvers::options(&mut o.resolve, args, cx))),
    ("resolve-prefer", Do(|o, args, cx| resolvers::prefer(&mut o.resolve, args, cx))),
    ("resolvers", Do(|o, args, cx| { o.resolve.resolvers = Some(args.value(cx, "the name of a 'resolvers' section")?.clone()); Some(()) })),
    ("rise", Do(|o, args, cx| { o.check_config.rise = args.integer(cx, "a number of checks", 1..=COUNT)?; Some(()) })),
    ("send-proxy", Do(|o, _, _| { o.proxy_header.v1 = true; Some(()) })),
    ("send-proxy-v2", Do(|o, _, _| { o.proxy_header.v2 = true; Some(()) })),
    ("send-proxy-v2-ssl", Do(|o, _, _| { o.proxy_header.v2 = true; o.proxy_header.options.ssl = true; Some(()) })),
    ("send-proxy-v2-ssl-cn", Do(|o, _, _| { o.proxy_header.v2 = true; o.proxy_header.options.ssl = true; o.proxy_header.options.cert_cn = true; Some(()) })),
    ("shard", NotYet),
    ("sigalgs", NotYet),
    ("slowstart", Do(|o, args, cx| { o.slowstart = Some(args.time(cx, Unit::Milliseconds)?).filter(|time| !time.is_zero()); Some(()) })),
    ("sni", Do(sni)),
    ("socks4", Do(socks4)),
    ("source", Do(|o, args, cx| { o.source = Some(source::source(args, cx)?); Some(()) })),
    ("ssl", Do(|o, _, _| { o.ssl = true; Some(()) })),
    ("ssl-max-ver", Do(|o, args, cx| { o.tls.choice.max_version = max_version(args, cx)?; Some(()) })),
    ("ssl-min-ver", Do(|o, args, cx| { o.tls.choice.min_version = Some(min_version(args, cx)?); Some(()) })),
    ("ssl-reuse", Do(|o, _, _| { o.tls.no_reuse = false; Some(()) })),
    ("stick", Accepted(0, "there are no 'stick' rules")),
    ("strict-maxconn", NotYet),
    ("tcp-ut", Do(|o, args, cx| { o.tcp_user_timeout = Some(args.time(cx, Unit::Milliseconds)?).filter(|time| !time.is_zero()); Some(()) })),
    ("tfo", Accepted(0, "connections to servers begin in the ordinary way")),
    ("tls-tickets", Do(|o, _, _| { o.tls.no_tickets = false; Some(()) })),
    ("track", Do(|o, args, cx| { o.track = Some(args.value(cx, "a server")?.clone()); Some(()) })),
    ("verify", Do(verify)),
    ("verifyhost", Do(|o, args, cx| { o.tls.verify_host = Some(args.value(cx, "a host name")?.text.clone()); Some(()) })),
    ("weight", Do(|o, args, cx| { o.weight = args.integer(cx, "a weight", 0..=256)?; Some(()) })),
    ("ws", NotYet),
];

pub(super) fn read_options(
    options: &mut ServerOptions,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    while let Some(word) = args.next_option() {
        read_option(options, word, args, cx)?;
    }
    Some(())
}

/// Whether a word is an option of a server, done here or not.
pub(in crate::haproxy) fn is_option(word: &str) -> bool {
    OPTIONS.knows(word)
}

/// One option with its arguments.
pub(in crate::haproxy) fn read_option(
    options: &mut ServerOptions,
    word: &Word,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    if word.text.starts_with("set-proxy-v2-tlv-fmt(") {
        cx.not_yet(word.span, "server … set-proxy-v2-tlv-fmt");
        return None;
    }
    OPTIONS.read(options, word, args, cx)
}

fn socks4(options: &mut ServerOptions, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let word = args.value(cx, "an address and a port")?;
    let (address, port) = plain_address(word, "socks4", cx)?;
    if port == 0 {
        let message = format!("'socks4' expects a port behind the address '{}'", word.text);
        cx.error(DiagnosticKind::InvalidValue, word.span, message);
        return None;
    }
    options.socks4 = Some(SocketAddr::new(address, port));
    Some(())
}

/// `alpn`: names with commas between.
fn protocols(args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<Vec<String>> {
    let word = args.value(cx, "protocols")?;
    let names = word.text.split(',').map(str::trim);
    Some(
        names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
    )
}

fn interval(args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<Duration> {
    let span = args.span();
    let time = args.time(cx, Unit::Milliseconds)?;
    if time < Duration::from_millis(1) {
        let message = format!(
            "'{}': an interval of at least 1 ms was expected",
            args.name()
        );
        cx.error(DiagnosticKind::InvalidValue, span, message);
        return None;
    }
    Some(time)
}

/// A number, or -1 for no limit.
fn or_unlimited(args: &mut Args<'_>, cx: &mut Context<'_>, what: &str) -> Option<Option<u32>> {
    let number: i32 = args.integer(cx, what, -1..=COUNT)?;
    Some(u32::try_from(number).ok())
}

/// `addr ADDRESS[:PORT]`: a port that `port` does not say is taken from here.
fn check_address(
    options: &mut ServerOptions,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let word = args.value(cx, "an address")?;
    let (address, port) = plain_address(word, "addr", cx)?;
    options.check_config.address = Some(address);
    options.check_config.port = options
        .check_config
        .port
        .or(Some(port).filter(|port| *port != 0));
    Some(())
}

/// `proxy-v2-options OPTION[,OPTION]…`.
fn proxy_v2_options(
    options: &mut ServerOptions,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    const NAMES: [&str; 8] = [
        "authority",
        "cert-cn",
        "cert-key",
        "cert-sig",
        "crc32c",
        "ssl",
        "ssl-cipher",
        "unique-id",
    ];
    let word = args.value(cx, "options")?;
    let wanted = &mut options.proxy_header.options;
    for part in word.text.split(',').filter(|part| !part.is_empty()) {
        match part {
            "authority" => wanted.authority = true,
            "cert-cn" => wanted.cert_cn = true,
            "cert-key" => wanted.cert_key = true,
            "cert-sig" => wanted.cert_sig = true,
            "crc32c" => wanted.crc32c = true,
            "ssl" => wanted.ssl = true,
            "ssl-cipher" => wanted.ssl_cipher = true,
            "unique-id" => wanted.unique_id = true,
            _ => {
                let part = Word::new(part, word.span);
                cx.unknown(&part, "in 'proxy-v2-options'", NAMES);
                return None;
            }
        }
    }
    Some(())
}

fn verify(options: &mut ServerOptions, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let word = args.value(cx, "'none' or 'required'")?;
    options.verify_written = true;
    options.tls.verify_none = match word.text.as_str() {
        "none" => true,
        "required" => false,
        _ => {
            cx.unknown(word, "after 'verify'", ["none", "required"]);
            return None;
        }
    };
    Some(())
}

fn sni(options: &mut ServerOptions, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let word = args.value(cx, "an expression")?;
    match word
        .text
        .strip_prefix("str(")
        .and_then(|text| text.strip_suffix(')'))
    {
        Some(name) => {
            options.tls.sni = Some(name.to_owned());
            Some(())
        }
        None => {
            cx.not_yet(word.span, &format!("sni {}", word.text));
            None
        }
    }
}

fn on_marked_down(
    options: &mut ServerOptions,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let word = args.value(cx, "'shutdown-sessions'")?;
    if word.text != "shutdown-sessions" {
        cx.unknown(word, "after 'on-marked-down'", ["shutdown-sessions"]);
        return None;
    }
    options.shutdown_sessions_on_down = true;
    Some(())
}

fn on_marked_up(
    options: &mut ServerOptions,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let word = args.value(cx, "'shutdown-backup-sessions'")?;
    if word.text != "shutdown-backup-sessions" {
        cx.unknown(word, "after 'on-marked-up'", ["shutdown-backup-sessions"]);
        return None;
    }
    options.shutdown_backups_on_up = true;
    Some(())
}

/// One of several words.
fn one_of<T: Copy>(
    choices: &[(&'static str, T)],
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<T> {
    let name = args.name().to_owned();
    let word = args.value(cx, "a word")?;
    let found = choices.iter().find(|(choice, _)| *choice == word.text);
    if found.is_none() {
        let words = choices.iter().map(|(choice, _)| *choice);
        cx.unknown(word, &format!("after '{name}'"), words);
    }
    found.map(|(_, value)| *value)
}

fn observe(options: &mut ServerOptions, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let choices = [
        ("none", None),
        ("layer4", Some(Observe::Layer4)),
        ("layer7", Some(Observe::Layer7)),
    ];
    options.check_config.observe = one_of(&choices, args, cx)?;
    Some(())
}

fn on_error(options: &mut ServerOptions, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let choices = [
        ("fastinter", OnError::FastInter),
        ("fail-check", OnError::FailCheck),
        ("sudden-death", OnError::SuddenDeath),
        ("mark-down", OnError::MarkDown),
    ];
    options.check_config.on_error = one_of(&choices, args, cx)?;
    Some(())
}

fn init_state(
    options: &mut ServerOptions,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let choices = [
        ("fully-up", InitState::FullyUp),
        ("up", InitState::Up),
        ("down", InitState::Down),
        ("fully-down", InitState::FullyDown),
        ("none", InitState::Up),
    ];
    options.check_config.init_state = one_of(&choices, args, cx)?;
    Some(())
}

fn init_addr(options: &mut ServerOptions, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let word = args.value(cx, "methods")?;
    let mut methods = Vec::new();
    for part in word.text.split(',').filter(|part| !part.is_empty()) {
        methods.push(match part {
            "last" => InitAddr::Last,
            "libc" => InitAddr::Libc,
            "none" => InitAddr::None,
            address => match address.parse() {
                Ok(address) => InitAddr::Ip(address),
                Err(_) => {
                    cx.unknown(word, "as a method of 'init-addr'", ["last", "libc", "none"]);
                    return None;
                }
            },
        });
    }
    options.init_addr = methods;
    Some(())
}

/// The options by what becomes of them, for the documentation.
pub(in crate::haproxy) fn keyword_lists() -> KeywordLists {
    OPTIONS.lists("server, default-server")
}
