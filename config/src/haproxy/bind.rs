//! `bind`: addresses and the options that follow them, one row for each option.

use super::account::{account_id, account_name, mode_bits};
use super::address::bind_addresses;
use super::args::{Args, Context, Unit};
use super::model::{Bind, BindAddress, BindTls, Proto};
use super::option_table::Action::{Accepted, Do, NotYet};
use super::option_table::{Action, OptionTable};
use super::proxy::Draft;
use super::tls::{TLS12, TLS13, force, max_version, min_version};
use crate::diagnostic::DiagnosticKind;
use crate::source::Word;

/// The options of one line.
struct Options {
    bind: Bind,
    /// `ssl`; TLS options without it say nothing.
    ssl: bool,
    tls: BindTls,
    /// `ecdhe`, which `curves` makes void.
    ecdhe: Option<Word>,
}

/// Of `npn`.
pub(super) const NPN: &str = "NPN gave way to ALPN: use 'alpn'";
const SOCKETS: &str = "it is for 'stats socket' in 'global'";
const THREADS: &str = "all threads accept on all sockets";

const OPTIONS: OptionTable<Options> = OptionTable {
    keyword: "bind",
    rows: ROWS,
};

/// Sorted.
#[rustfmt::skip]
const ROWS: &[(&str, Action<Options>)] = &[
    ("accept-netscaler-cip", NotYet),
    ("accept-proxy", Do(|o, _, _| { o.bind.accept_proxy = true; Some(()) })),
    ("allow-0rtt", NotYet),
    ("alpn", Do(alpn)),
    ("backlog", Do(|o, args, cx| { o.bind.backlog = Some(args.integer(cx, "a number of connections", 0..=i64::from(i32::MAX))?); Some(()) })),
    ("ca-file", Do(|o, args, cx| { o.tls.ca_file = Some(args.value(cx, "a path")?.clone()); Some(()) })),
    ("ca-ignore-err", NotYet),
    ("ca-sign-file", NotYet),
    ("ca-sign-pass", NotYet),
    ("ca-verify-file", NotYet),
    ("ciphers", Do(|o, args, cx| { o.tls.choice.ciphers = Some(args.value(cx, "a cipher list")?.clone()); Some(()) })),
    ("ciphersuites", Do(|o, args, cx| { o.tls.choice.ciphersuites = Some(args.value(cx, "cipher suites")?.clone()); Some(()) })),
    ("client-sigalgs", NotYet),
    ("crl-file", NotYet),
    ("crt", Do(|o, args, cx| { let word = args.value(cx, "a path")?.clone(); o.tls.certificates.push(word); Some(()) })),
    ("crt-ignore-err", NotYet),
    ("crt-list", NotYet),
    ("curves", Do(|o, args, cx| { o.tls.choice.curves = Some(args.value(cx, "curves")?.clone()); Some(()) })),
    ("defer-accept", Accepted(0, "a connection without data costs next to nothing")),
    ("ecdhe", Do(|o, args, cx| { o.ecdhe = Some(args.value(cx, "a curve")?.clone()); Some(()) })),
    ("expose-fd", Accepted(1, SOCKETS)),
    ("force-sslv3", NotYet),
    ("force-tlsv10", NotYet),
    ("force-tlsv11", NotYet),
    ("force-tlsv12", Do(|o, _, _| { force(&mut o.tls.choice, TLS12); Some(()) })),
    ("force-tlsv13", Do(|o, _, _| { force(&mut o.tls.choice, TLS13); Some(()) })),
    ("generate-certificates", NotYet),
    ("gid", Do(|o, args, cx| { o.bind.group = Some(account_id(args, cx)?); Some(()) })),
    ("group", Do(|o, args, cx| { o.bind.group = Some(account_name(args, cx)?); Some(()) })),
    ("id", Accepted(1, "sockets are told apart by 'name'")),
    ("interface", Do(|o, args, cx| { o.bind.interface = Some(args.value(cx, "an interface's name")?.text.clone()); Some(()) })),
    ("level", Accepted(1, SOCKETS)),
    ("maxconn", Do(|o, args, cx| { o.bind.maxconn = Some(args.integer(cx, "a number of connections", 0..=i64::from(i32::MAX))?).filter(|n| *n > 0); Some(()) })),
    ("mode", Do(|o, args, cx| { o.bind.mode = Some(mode_bits(args, cx)?); Some(()) })),
    ("mss", Do(|o, args, cx| { o.bind.mss = Some(args.integer(cx, "a number of bytes", -65_535..=65_535)?).filter(|n| *n != 0); Some(()) })),
    ("name", Do(|o, args, cx| { o.bind.name = Some(args.value(cx, "a name")?.text.clone()); Some(()) })),
    ("namespace", NotYet),
    ("nbconn", NotYet),
    ("nice", Accepted(1, "all connections have their turn")),
    ("no-alpn", Do(|o, _, _| { o.tls.alpn.clear(); Some(()) })),
    ("no-ca-names", NotYet),
    ("no-sslv3", Do(|_, _, _| Some(()))),
    ("no-tls-tickets", Do(|o, _, _| { o.tls.no_tickets = true; Some(()) })),
    ("no-tlsv10", Do(|_, _, _| Some(()))),
    ("no-tlsv11", Do(|_, _, _| Some(()))),
    ("no-tlsv12", Do(|o, _, _| { o.tls.choice.min_version = Some(TLS13.to_owned()); Some(()) })),
    ("no-tlsv13", Do(|o, _, _| { o.tls.choice.max_version = Some(TLS12.to_owned()); Some(()) })),
    ("npn", Accepted(1, NPN)),
    ("prefer-client-ciphers", Do(|o, _, _| { o.tls.prefer_client_ciphers = true; Some(()) })),
    ("process", Accepted(1, THREADS)),
    ("proto", Do(|o, args, cx| { o.bind.proto = proto(args, cx)?; Some(()) })),
    ("quic-cc-algo", NotYet),
    ("quic-force-retry", NotYet),
    ("quic-socket", NotYet),
    ("severity-output", Accepted(1, SOCKETS)),
    ("shards", Accepted(1, THREADS)),
    ("sigalgs", NotYet),
    ("ssl", Do(|o, _, _| { o.ssl = true; Some(()) })),
    ("ssl-max-ver", Do(|o, args, cx| { o.tls.choice.max_version = max_version(args, cx)?; Some(()) })),
    ("ssl-min-ver", Do(|o, args, cx| { o.tls.choice.min_version = Some(min_version(args, cx)?); Some(()) })),
    ("strict-sni", Do(|o, _, _| { o.tls.strict_sni = true; Some(()) })),
    ("tcp-ut", Do(|o, args, cx| { o.bind.tcp_user_timeout = Some(args.time(cx, Unit::Milliseconds)?).filter(|time| !time.is_zero()); Some(()) })),
    ("tfo", Do(|o, _, _| { o.bind.fast_open = true; Some(()) })),
    ("thread", Accepted(1, THREADS)),
    ("tls-ticket-keys", NotYet),
    ("tls-tickets", Do(|o, _, _| { o.tls.no_tickets = false; Some(()) })),
    ("transparent", Do(|o, _, _| { o.bind.transparent = true; Some(()) })),
    ("uid", Do(|o, args, cx| { o.bind.user = Some(account_id(args, cx)?); Some(()) })),
    ("user", Do(|o, args, cx| { o.bind.user = Some(account_name(args, cx)?); Some(()) })),
    ("v4v6", Do(|o, _, _| { o.bind.v6only = Some(false); Some(()) })),
    ("v6only", Do(|o, _, _| { o.bind.v6only = Some(true); Some(()) })),
    ("verify", Do(verify)),
];

/// `bind ADDRESSES [OPTIONS]`.
pub(super) fn bind(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    draft.bind_seen = true;
    let span = args.span();
    let word = args.value(cx, "an address and a port")?;
    let addresses = bind_addresses(word, "bind", cx);
    let mut options = Options {
        bind: plain_bind(span),
        ssl: false,
        tls: BindTls::default(),
        ecdhe: None,
    };
    while let Some(word) = args.next_option() {
        OPTIONS.read(&mut options, word, args, cx)?;
    }
    if options.ssl {
        if options.tls.certificates.is_empty() {
            let message = "'bind … ssl' needs a certificate: no 'crt' is given";
            cx.error(DiagnosticKind::InvalidValue, span, message);
            return None;
        }
        if options
            .tls
            .verify
            .as_deref()
            .is_some_and(|verify| verify != "none")
            && options.tls.ca_file.is_none()
        {
            let message = "'verify' is enabled, but no 'ca-file' says whom to trust";
            cx.error(DiagnosticKind::InvalidValue, span, message);
            return None;
        }
        let curves = &mut options.tls.choice.curves;
        *curves = curves.take().or(options.ecdhe);
        options.bind.tls = Some(options.tls);
    }
    for address in addresses? {
        draft.config.binds.push(Bind {
            address,
            ..options.bind.clone()
        });
    }
    Some(())
}

/// The address on the line of a `frontend` or `listen` itself: HAProxy's old way, which it refuses by now.
pub(super) fn bind_on_section_line(draft: &mut Draft, word: &Word, cx: &mut Context<'_>) {
    let line = [Word::new("bind", draft.config.span), word.clone()];
    if let Some(mut args) = Args::new(&line) {
        let _ = bind(draft, &mut args, cx);
    }
}

fn plain_bind(span: crate::Span) -> Bind {
    Bind {
        address: BindAddress::Fd(-1),
        name: None,
        tls: None,
        maxconn: None,
        backlog: None,
        interface: None,
        transparent: false,
        v6only: None,
        mode: None,
        user: None,
        group: None,
        accept_proxy: false,
        proto: Proto::Auto,
        mss: None,
        tcp_user_timeout: None,
        fast_open: false,
        span,
    }
}

fn alpn(options: &mut Options, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let word = args.value(cx, "protocols")?;
    options.tls.alpn = word
        .text
        .split(',')
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    Some(())
}

/// `proto`: what is spoken without asking.
pub(super) fn proto(args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<Proto> {
    let word = args.value(cx, "'h1', 'h2' or 'none'")?;
    match word.text.as_str() {
        "h1" => Some(Proto::Http1),
        "h2" => Some(Proto::Http2),
        "none" => Some(Proto::None),
        _ => {
            cx.unknown(word, "after 'proto'", ["h1", "h2", "none"]);
            None
        }
    }
}

fn verify(options: &mut Options, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let word = args.value(cx, "'none', 'optional' or 'required'")?;
    if !["none", "optional", "required"].contains(&word.text.as_str()) {
        cx.unknown(word, "after 'verify'", ["none", "optional", "required"]);
        return None;
    }
    options.tls.verify = Some(word.text.clone());
    Some(())
}

/// The options by what becomes of them, for the documentation.
pub(super) fn keyword_lists() -> super::KeywordLists {
    OPTIONS.lists("bind")
}
