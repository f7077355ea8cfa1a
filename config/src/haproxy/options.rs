//! `option …`: one row for each.

use super::args::{Args, Context};
use super::checks;
use super::model::{ConnectionMode, ForwardFor, HeaderNames, ProxyConfig, TrafficLog};
use super::proxy::{B, D, Draft, F, Section, Where, allowed};
use super::{Fate, KeywordLists};
use crate::diagnostic::DiagnosticKind;
use crate::source::Word;

enum Action {
    /// A switch; `no option` clears it.
    Flag(fn(&mut ProxyConfig) -> &mut bool),
    /// How connections are kept; `no option` returns to keeping both.
    Keep(ConnectionMode),
    /// A switch that changes nothing here; the text says why.
    Accepted(&'static str),
    /// It takes arguments, and cannot be negated.
    Do(fn(&mut Draft, &mut Args<'_>, &mut Context<'_>) -> Option<()>),
    NotYet,
    /// HAProxy refuses it; the text says what to write instead.
    Removed(&'static str),
}

use Action::{Accepted, Do, Flag, Keep, NotYet, Removed};

const COPYING: &str = "how bytes are moved is chosen by what is fastest";

/// Options, sorted.
#[rustfmt::skip]
const OPTIONS: &[(&str, Where, Action)] = &[
    ("abortonclose", D | B, Flag(|p| &mut p.abortonclose)),
    ("accept-invalid-http-request", D | F, Flag(|p| &mut p.accept_invalid_request)),
    ("accept-invalid-http-response", D | B, Flag(|p| &mut p.accept_invalid_response)),
    ("accept-unsafe-violations-in-http-request", D | F, NotYet),
    ("accept-unsafe-violations-in-http-response", D | B, NotYet),
    ("allbackups", D | B, Flag(|p| &mut p.allbackups)),
    ("assume-rfc6587-ntf", D | F, NotYet),
    ("checkcache", D | B, NotYet),
    ("clitcpka", D | F, Flag(|p| &mut p.client_tcp_keepalive)),
    ("contstats", D | F, Accepted("counters are always continuous")),
    ("disable-h2-upgrade", D | F, Flag(|p| &mut p.disable_h2_upgrade)),
    ("dontlog-normal", D | F, Flag(|p| &mut p.dontlog_normal)),
    ("dontlognull", D | F, Flag(|p| &mut p.dontlognull)),
    ("external-check", D | B, Do(checks::external_option)),
    ("forceclose", D | F | B, Removed("use 'option httpclose'")),
    ("forwarded", D | B, NotYet),
    ("forwardfor", D | F | B, Do(forwardfor)),
    ("h1-case-adjust-bogus-client", D | F, NotYet),
    ("h1-case-adjust-bogus-server", D | B, NotYet),
    ("http-buffer-request", D | F | B, Flag(|p| &mut p.http_buffer_request)),
    ("http-drop-request-trailers", D | B, Flag(|p| &mut p.drop_request_trailers)),
    ("http-drop-response-trailers", D | F, Flag(|p| &mut p.drop_response_trailers)),
    ("http-ignore-probes", D | F, Flag(|p| &mut p.http_ignore_probes)),
    ("http-keep-alive", D | F | B, Keep(ConnectionMode::KeepAlive)),
    ("http-no-delay", D | F | B, Accepted("heads and bodies are never held back")),
    ("http-pretend-keepalive", D | B, Accepted("a server's connection is always asked to be kept")),
    ("http-restrict-req-hdr-names", D | F | B, Do(restrict_names)),
    ("http-server-close", D | F | B, Keep(ConnectionMode::ServerClose)),
    ("http-tunnel", D | F, Removed("use 'timeout tunnel'")),
    ("http-use-htx", D | F | B, Removed("just remove it: it is the only way since HAProxy 2.1")),
    ("http-use-proxy-header", D | F, Flag(|p| &mut p.use_proxy_header)),
    ("http_proxy", D | F | B, NotYet),
    ("httpchk", D | B, Do(checks::httpchk)),
    ("httpclose", D | F | B, Keep(ConnectionMode::Close)),
    ("httplog", D | F, Do(httplog)),
    ("httpslog", D | F, Do(httpslog)),
    ("idle-close-on-response", D | F, Flag(|p| &mut p.idle_close_on_response)),
    ("independent-streams", D | F | B, Accepted("each direction has its own timeout anyway")),
    ("ldap-check", D | B, Do(checks::ldap)),
    ("log-health-checks", D | B, Flag(|p| &mut p.log_health_checks)),
    ("log-separate-errors", D | F, Flag(|p| &mut p.log_separate_errors)),
    ("logasap", D | F, Flag(|p| &mut p.logasap)),
    ("mysql-check", D | B, Do(checks::mysql)),
    ("nolinger", D | F | B, Accepted("closed connections linger as short as is safe")),
    ("originalto", D | F | B, NotYet),
    ("persist", D | B, Flag(|p| &mut p.persist)),
    ("pgsql-check", D | B, Do(checks::pgsql)),
    ("prefer-last-server", D | B, Flag(|p| &mut p.prefer_last_server)),
    ("redis-check", D | B, Do(checks::redis)),
    ("redispatch", D | B, Do(redispatch)),
    ("smtpchk", D | B, Do(checks::smtp)),
    ("socket-stats", D | F, Accepted("each socket is counted anyway")),
    ("splice-auto", D | F | B, Accepted(COPYING)),
    ("splice-request", D | F | B, Accepted(COPYING)),
    ("splice-response", D | F | B, Accepted(COPYING)),
    ("spop-check", D | B, NotYet),
    ("srvtcpka", D | B, Flag(|p| &mut p.server_tcp_keepalive)),
    ("ssl-hello-chk", D | B, Do(checks::ssl_hello)),
    ("tcp-check", D | B, Do(checks::tcp_option)),
    ("tcp-smart-accept", D | F, Accepted("the system's own way of acknowledging is used")),
    ("tcp-smart-connect", D | B, Accepted("the system's own way of acknowledging is used")),
    ("tcpka", D | F | B, Do(tcpka)),
    ("tcplog", D | F | B, Do(tcplog)),
    ("transparent", D | B, Flag(|p| &mut p.transparent)),
    ("use-small-buffers", D | B, Accepted(COPYING)),
];

fn find(word: &Word, cx: &mut Context<'_>) -> Option<&'static (&'static str, Where, Action)> {
    let row = OPTIONS.iter().find(|(name, ..)| *name == word.text);
    if row.is_none() {
        cx.unknown(word, "as an option", OPTIONS.iter().map(|(name, ..)| *name));
    }
    row
}

/// `option NAME …`.
pub(super) fn option(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let word = args.value(cx, "the name of an option")?;
    args.enter(word);
    let (name, place, action) = find(word, cx)?;
    if let NotYet = action {
        cx.not_yet(word.span, &format!("option {name}"));
        return None;
    }
    if !allowed(draft, *place, &format!("option {name}"), word.span, cx) {
        return None;
    }
    match action {
        Do(read) => read(draft, args, cx),
        Flag(slot) => {
            *slot(&mut draft.config) = true;
            args.end(cx)
        }
        Keep(mode) => {
            draft.config.connection_mode = *mode;
            args.end(cx)
        }
        Accepted(why) => {
            if !draft
                .config
                .accepted_options
                .iter()
                .any(|known| known == name)
            {
                draft.config.accepted_options.push((*name).to_owned());
            }
            cx.notice(
                DiagnosticKind::Pointless,
                word.span,
                format!("'option {name}' has no effect: {why}"),
            );
            args.end(cx)
        }
        Removed(instead) => {
            let message = format!("'option {name}' is not supported by HAProxy any more");
            cx.diagnostics.push(
                crate::Diagnostic::error(DiagnosticKind::UnknownWord, word.span, message)
                    .with_help(*instead),
            );
            None
        }
        NotYet => None,
    }
}

/// `no option NAME` and `default option NAME`.
pub(super) fn modified_option(
    draft: &mut Draft,
    modifier: &Word,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) {
    let Some(word) = args.value(cx, "the name of an option") else {
        return;
    };
    args.enter(word);
    let Some((name, place, action)) = find(word, cx) else {
        return;
    };
    match action {
        Do(_) if *name != "redispatch" => {
            let message = format!("'{}' cannot stand before 'option {name}'", modifier.text);
            return cx.error(DiagnosticKind::InvalidValue, modifier.span, message);
        }
        // An option that we do not do is off anyway.
        NotYet | Removed(_) => {}
        _ if !allowed(draft, *place, &format!("option {name}"), word.span, cx) => return,
        Flag(slot) => *slot(&mut draft.config) = false,
        Keep(mode) if draft.config.connection_mode == *mode => {
            draft.config.connection_mode = ConnectionMode::KeepAlive
        }
        Keep(_) => {}
        Accepted(_) => draft.config.accepted_options.retain(|known| known != name),
        Do(_) => draft.config.redispatch = None,
    }
    args.rest();
}

/// The options by what becomes of them, for the documentation.
pub(super) fn keyword_lists() -> KeywordLists {
    let fate = |action: &Action| match action {
        Do(_) | Flag(_) | Keep(_) => Fate::Read,
        Accepted(_) => Fate::Accepted,
        NotYet => Fate::NotYet,
        Removed(_) => Fate::Removed,
    };
    let rows = OPTIONS
        .iter()
        .map(|(name, _, action)| (*name, fate(action)));
    KeywordLists::sorted_out("option", rows)
}

fn forwardfor(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let mut found = ForwardFor {
        except: None,
        header: "X-Forwarded-For".to_owned(),
        if_none: false,
    };
    while let Some(word) = args.next_option() {
        match word.text.as_str() {
            "except" => {
                let word = args.value(cx, "a network")?;
                let network = word.text.parse::<ipnet::IpNet>().ok();
                let address = || {
                    word.text
                        .parse::<std::net::IpAddr>()
                        .ok()
                        .map(ipnet::IpNet::from)
                };
                match network.or_else(address).or_else(|| dotted_mask(&word.text)) {
                    Some(network) => found.except = Some(network),
                    None => {
                        let message = format!(
                            "'option forwardfor except' expects a network, found '{}'",
                            word.text
                        );
                        cx.error(DiagnosticKind::InvalidValue, word.span, message);
                        return None;
                    }
                }
            }
            "header" => found
                .header
                .clone_from(&args.value(cx, "a header's name")?.text),
            "if-none" => found.if_none = true,
            _ => {
                cx.unknown(
                    word,
                    "after 'option forwardfor'",
                    ["except", "header", "if-none"],
                );
                return None;
            }
        }
    }
    draft.config.forwardfor = Some(found);
    Some(())
}

/// `10.0.0.0/255.0.0.0`.
fn dotted_mask(text: &str) -> Option<ipnet::IpNet> {
    let (address, mask) = text.split_once('/')?;
    ipnet::IpNet::with_netmask(address.parse().ok()?, mask.parse().ok()?).ok()
}

fn redispatch(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    const LAST_RETRY: i32 = -1;
    draft.config.redispatch = match args.peek() {
        None => Some(LAST_RETRY),
        Some(_) => {
            let interval =
                args.integer(cx, "an interval", i64::from(i32::MIN)..=i64::from(i32::MAX))?;
            Some(interval).filter(|interval| *interval != 0)
        }
    };
    args.end(cx)
}

fn httplog(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    draft.config.traffic_log = match args.next_option() {
        None => TrafficLog::Http,
        Some(word) if word.text == "clf" => TrafficLog::HttpClf,
        Some(word) => {
            cx.unknown(word, "after 'option httplog'", ["clf"]);
            return None;
        }
    };
    args.end(cx)
}

fn httpslog(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    draft.config.traffic_log = TrafficLog::Https;
    args.end(cx)
}

fn tcplog(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    if draft.section == Section::Backend {
        let message = "'option tcplog' is ignored in a backend: frontends write the traffic log";
        cx.warning(DiagnosticKind::Pointless, args.span(), message);
        args.rest();
        return Some(());
    }
    draft.config.traffic_log = match args.next_option() {
        None => TrafficLog::Tcp,
        Some(word) if word.text == "clf" => {
            cx.not_yet(word.span, "option tcplog clf");
            return None;
        }
        Some(word) => {
            cx.unknown(word, "after 'option tcplog'", ["clf"]);
            return None;
        }
    };
    args.end(cx)
}

fn restrict_names(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let word = args.value(cx, "preserve, delete or reject")?;
    draft.config.header_names = match word.text.as_str() {
        "preserve" => HeaderNames::Preserve,
        "delete" => HeaderNames::Delete,
        "reject" => HeaderNames::Reject,
        _ => {
            cx.unknown(
                word,
                "after 'option http-restrict-req-hdr-names'",
                ["delete", "preserve", "reject"],
            );
            return None;
        }
    };
    args.end(cx)
}

/// Both sides, as far as the section has them.
fn tcpka(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let both = draft.section == Section::Defaults;
    draft.config.client_tcp_keepalive |= both || draft.config.kind.is_frontend();
    draft.config.server_tcp_keepalive |= both || draft.config.kind.is_backend();
    args.end(cx)
}
