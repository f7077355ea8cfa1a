//! The `global` section: one row for each keyword.

use super::account::{account_id, account_name, mode_bits};
use super::address::bind_addresses;
use super::args::{Args, Context, Unit};
use super::log::log_target;
use super::model::{ExternalCheckEnvironment, Global, Level, StatsSocket};
use super::parser::DefaultPath;
use super::{Fate, KeywordLists};
use crate::diagnostic::DiagnosticKind;
use crate::source::Word;

/// What a keyword does.
enum Action {
    /// It is read.
    Do(fn(&mut Global, &mut Args<'_>, &mut Context<'_>) -> Option<()>),
    /// It is accepted and changes nothing here; the text says why.
    Accepted(&'static str),
    /// It is known and not done.
    NotYet,
    /// HAProxy refuses it since a version; the text says what to write instead.
    Removed(&'static str),
}

use Action::{Accepted, Do, NotYet, Removed};

const TUNING: &str = "tuning of HAProxy's own memory and scheduling";
const SSL_TUNING: &str = "tuning of OpenSSL; rustls needs none";
const POLLING: &str = "there is one way of polling here";

/// Keywords, sorted.
#[rustfmt::skip]
const KEYWORDS: &[(&str, Action)] = &[
    ("51degrees-cache-size", NotYet),
    ("51degrees-data-file", NotYet),
    ("51degrees-property-name-list", NotYet),
    ("51degrees-property-separator", NotYet),
    ("busy-polling", Accepted(POLLING)),
    ("ca-base", Do(|g, args, cx| text(&mut g.ca_base, args, cx))),
    ("chroot", Do(|g, args, cx| path(&mut g.chroot, args, cx))),
    ("close-spread-time", Accepted(TUNING)),
    ("cluster-secret", NotYet),
    ("cpu-map", Accepted("the system places threads on cores")),
    ("crt-base", Do(|g, args, cx| text(&mut g.crt_base, args, cx))),
    ("daemon", Do(|g, args, cx| flag(&mut g.daemon, args, cx))),
    ("debug", Accepted("use the command line's -d")),
    ("default-path", Do(default_path)),
    ("description", Do(|g, args, _| sentence(&mut g.description, args))),
    ("deviceatlas-json-file", NotYet),
    ("deviceatlas-log-level", NotYet),
    ("deviceatlas-properties-cookie", NotYet),
    ("deviceatlas-separator", NotYet),
    ("expose-experimental-directives", Accepted("nothing here is hidden behind it")),
    ("external-check", Do(external_check)),
    ("fd-hard-limit", Do(|g, args, cx| { g.fd_hard_limit = Some(args.integer(cx, "a number of descriptors", 1..=i64::from(i32::MAX))?); args.end(cx) })),
    ("gid", Do(|g, args, cx| { g.group = Some(account_id(args, cx)?); args.end(cx) })),
    ("grace", Accepted("a reload hands its sockets over without a pause")),
    ("group", Do(|g, args, cx| { g.group = Some(account_name(args, cx)?); args.end(cx) })),
    ("h1-accept-payload-with-any-method", NotYet),
    ("h1-case-adjust", NotYet),
    ("h1-case-adjust-file", NotYet),
    ("h2-workaround-bogus-websocket-clients", Accepted("it works around a fault of clients of old")),
    ("hard-stop-after", Do(|g, args, cx| { g.hard_stop_after = Some(args.time(cx, Unit::Milliseconds)?); args.end(cx) })),
    ("httpclient.resolvers.disabled", Accepted("there is no HTTP client here")),
    ("httpclient.resolvers.id", Accepted("there is no HTTP client here")),
    ("httpclient.resolvers.prefer", Accepted("there is no HTTP client here")),
    ("httpclient.retries", Accepted("there is no HTTP client here")),
    ("httpclient.ssl.ca-file", Accepted("there is no HTTP client here")),
    ("httpclient.ssl.verify", Accepted("there is no HTTP client here")),
    ("httpclient.timeout.connect", Accepted("there is no HTTP client here")),
    ("insecure-fork-wanted", Accepted("commands are run by the supervisor, never by the worker")),
    ("insecure-no-confinement", Do(|g, args, cx| flag(&mut g.insecure_no_confinement, args, cx))),
    ("insecure-setuid-wanted", Accepted("the worker keeps no rights")),
    ("issuers-chain-path", NotYet),
    ("localpeer", NotYet),
    ("log", Do(|g, args, cx| { let target = log_target(args, cx)?; g.logs.push(target); Some(()) })),
    ("log-send-hostname", Do(log_send_hostname)),
    ("log-tag", Do(|g, args, cx| text(&mut g.log_tag, args, cx))),
    ("lua-load", NotYet),
    ("lua-load-per-thread", NotYet),
    ("lua-prepend-path", NotYet),
    ("master-worker", Do(master_worker)),
    ("max-spread-checks", Do(|g, args, cx| { g.max_spread_checks = Some(args.time(cx, Unit::Milliseconds)?); args.end(cx) })),
    ("maxcompcpuusage", Accepted(TUNING)),
    ("maxcomprate", Accepted(TUNING)),
    ("maxconn", Do(|g, args, cx| { g.maxconn = Some(args.integer(cx, "a number of connections", 0..=i64::from(i32::MAX))?).filter(|n| *n > 0); args.end(cx) })),
    ("maxconnrate", Do(|g, args, cx| { g.max_connection_rate = args.integer(cx, "a number of connections a second", 0..=i64::from(i32::MAX))?; args.end(cx) })),
    ("maxpipes", Do(|g, args, cx| { g.tuning.max_pipes = Some(args.integer(cx, "a number of pipes", 0..=i64::from(i32::MAX))?).filter(|n| *n > 0); args.end(cx) })),
    ("maxsessrate", Do(|g, args, cx| { g.max_session_rate = args.integer(cx, "a number of sessions a second", 0..=i64::from(i32::MAX))?; args.end(cx) })),
    ("maxsslconn", Do(|g, args, cx| { g.max_tls_connections = args.integer(cx, "a number of TLS connections", 0..=i64::from(i32::MAX))?; args.end(cx) })),
    ("maxsslrate", Do(|g, args, cx| { g.max_tls_rate = args.integer(cx, "a number of TLS sessions a second", 0..=i64::from(i32::MAX))?; args.end(cx) })),
    ("maxzlibmem", Accepted(TUNING)),
    ("mworker-max-reloads", Accepted("old workers end when they are drained")),
    ("nbproc", Removed("use 'nbthread'")),
    ("nbthread", Do(|g, args, cx| { g.nbthread = Some(args.integer(cx, "a number of threads", 1..=64)?); args.end(cx) })),
    ("no-memory-trimming", Accepted(TUNING)),
    ("node", Do(|g, args, cx| text(&mut g.node, args, cx))),
    ("noepoll", Accepted(POLLING)),
    ("noevports", Accepted(POLLING)),
    ("nogetaddrinfo", Accepted("the system's resolver is used")),
    ("nokqueue", Accepted(POLLING)),
    ("nopoll", Accepted(POLLING)),
    ("noreuseport", Accepted("a reload hands its sockets over")),
    ("nosplice", Do(|g, args, cx| flag(&mut g.tuning.nosplice, args, cx))),
    ("numa-cpu-mapping", Accepted("the system places threads on cores")),
    ("ocsp-update.maxdelay", Accepted(SSL_TUNING)),
    ("ocsp-update.mindelay", Accepted(SSL_TUNING)),
    ("pidfile", Do(|g, args, cx| path(&mut g.pidfile, args, cx))),
    ("pp2-never-send-local", NotYet),
    ("prealloc-fd", Accepted(TUNING)),
    ("presetenv", Do(presetenv)),
    ("profiling.memory", Accepted(TUNING)),
    ("profiling.tasks", Accepted(TUNING)),
    ("quick-exit", Accepted(TUNING)),
    ("quiet", Accepted("use the command line's -q")),
    ("resetenv", Do(resetenv)),
    ("server-state-base", Do(|g, args, cx| text(&mut g.server_state_base, args, cx))),
    ("server-state-file", Do(|g, args, cx| text(&mut g.server_state_file, args, cx))),
    ("set-dumpable", Accepted("whether a crash leaves a core file is systemd's to say")),
    ("set-var", NotYet),
    ("set-var-fmt", NotYet),
    ("setcap", Accepted("each process takes the rights that it needs")),
    ("setenv", Do(setenv)),
    ("spread-checks", Do(|g, args, cx| { g.spread_checks = args.integer(cx, "a percentage", 0..=50)?; args.end(cx) })),
    ("ssl-default-bind-ciphers", Do(ssl_default)),
    ("ssl-default-bind-ciphersuites", Do(ssl_default)),
    ("ssl-default-bind-curves", Do(ssl_default)),
    ("ssl-default-bind-options", Do(ssl_default)),
    ("ssl-default-server-ciphers", Do(ssl_default)),
    ("ssl-default-server-ciphersuites", Do(ssl_default)),
    ("ssl-default-server-options", Do(ssl_default)),
    ("ssl-dh-param-file", Accepted("rustls does no finite-field Diffie-Hellman")),
    ("ssl-engine", Accepted(SSL_TUNING)),
    ("ssl-load-extra-del-ext", NotYet),
    ("ssl-load-extra-files", NotYet),
    ("ssl-mode-async", Accepted(SSL_TUNING)),
    ("ssl-propquery", Accepted(SSL_TUNING)),
    ("ssl-provider", Accepted(SSL_TUNING)),
    ("ssl-provider-path", Accepted(SSL_TUNING)),
    ("ssl-security-level", Accepted(SSL_TUNING)),
    ("ssl-server-verify", Do(ssl_default)),
    ("ssl-skip-self-issued-ca", Accepted(SSL_TUNING)),
    ("stats", Do(stats)),
    ("strict-limits", Accepted("where descriptors do not suffice, connections wait, and the log tells it")),
    ("thread-group", Accepted(TUNING)),
    ("thread-groups", Accepted(TUNING)),
    ("tune.bufsize", Do(|g, args, cx| { g.bufsize = Some(args.integer(cx, "a size in bytes", 1_024..=16_777_216)?); args.end(cx) })),
    ("tune.h2.be.initial-window-size", Do(|g, args, cx| { g.http2.server_window_bytes = Some(http2_window(args, cx)?); args.end(cx) })),
    ("tune.h2.be.max-concurrent-streams", Do(|g, args, cx| { g.http2.server_streams = Some(http2_streams(args, cx)?); args.end(cx) })),
    ("tune.h2.fe.initial-window-size", Do(|g, args, cx| { g.http2.client_window_bytes = Some(http2_window(args, cx)?); args.end(cx) })),
    ("tune.h2.fe.max-concurrent-streams", Do(|g, args, cx| { g.http2.client_streams = Some(http2_streams(args, cx)?); args.end(cx) })),
    ("tune.h2.header-table-size", Do(|g, args, cx| { g.http2.header_table_bytes = Some(args.integer(cx, "a number of bytes", 0..=65_535)?); args.end(cx) })),
    ("tune.h2.initial-window-size", Do(|g, args, cx| { g.http2.window_bytes = Some(http2_window(args, cx)?); args.end(cx) })),
    ("tune.h2.max-concurrent-streams", Do(|g, args, cx| { g.http2.streams = Some(http2_streams(args, cx)?); args.end(cx) })),
    ("tune.h2.max-frame-size", Do(|g, args, cx| { g.http2.max_frame_bytes = Some(args.integer(cx, "a number of bytes", 16_384..=16_777_215)?); args.end(cx) })),
    ("tune.http.logurilen", Do(|g, args, cx| { g.logged_line_bytes = Some(args.integer(cx, "a number of bytes", 1..=65_535)?); args.end(cx) })),
    ("tune.http.maxhdr", Do(|g, args, cx| { g.max_headers = Some(args.integer(cx, "a number of headers", 1..=32_767)?); args.end(cx) })),
    ("tune.maxrewrite", Do(|g, args, cx| { g.maxrewrite = Some(args.integer(cx, "a size in bytes", 0..=16_777_216)?); args.end(cx) })),
    ("tune.pipesize", Do(|g, args, cx| bytes(&mut g.tuning.pipe_bytes, args, cx))),
    ("tune.rcvbuf.client", Do(|g, args, cx| bytes(&mut g.tuning.client_receive_bytes, args, cx))),
    ("tune.rcvbuf.server", Do(|g, args, cx| bytes(&mut g.tuning.server_receive_bytes, args, cx))),
    ("tune.sndbuf.client", Do(|g, args, cx| bytes(&mut g.tuning.client_send_bytes, args, cx))),
    ("tune.sndbuf.server", Do(|g, args, cx| bytes(&mut g.tuning.server_send_bytes, args, cx))),
    ("uid", Do(|g, args, cx| { g.user = Some(account_id(args, cx)?); args.end(cx) })),
    ("ulimit-n", Do(|g, args, cx| { g.ulimit_n = Some(args.integer(cx, "a number of descriptors", 1..=i64::from(i32::MAX))?); args.end(cx) })),
    ("unix-bind", NotYet),
    ("unsetenv", Do(unsetenv)),
    ("user", Do(|g, args, cx| { g.user = Some(account_name(args, cx)?); args.end(cx) })),
    ("wurfl-cache-size", NotYet),
    ("wurfl-data-file", NotYet),
    ("wurfl-information-list", NotYet),
    ("wurfl-information-list-separator", NotYet),
    ("zero-warning", Accepted("use the command line's -dW")),
];

/// `external-check [preserve-env]`.
fn external_check(g: &mut Global, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    g.external_check = Some(match args.next_option() {
        None => ExternalCheckEnvironment::Clean,
        Some(word) if word.text == "preserve-env" => ExternalCheckEnvironment::Preserved,
        Some(word) => {
            cx.unknown(word, "after 'external-check'", ["preserve-env"]);
            return None;
        }
    });
    args.end(cx)
}

/// `tune.*` that has no row above: tuning of HAProxy's own machinery, sorted.
const TUNE: &[&str] = &[
    "tune.buffers.limit",
    "tune.buffers.reserve",
    "tune.comp.maxlevel",
    "tune.disable-fast-forward",
    "tune.disable-zero-copy-forwarding",
    "tune.fail-alloc",
    "tune.fd.edge-triggered",
    "tune.h1.zero-copy-fwd-recv",
    "tune.h1.zero-copy-fwd-send",
    "tune.h2.be.glitches-threshold",
    "tune.h2.fe.glitches-threshold",
    "tune.h2.fe.max-total-streams",
    "tune.http.cookielen",
    "tune.idle-pool.shared",
    "tune.idletimer",
    "tune.listener.default-shards",
    "tune.listener.multi-queue",
    "tune.lua.bool-sample-conversion",
    "tune.lua.forced-yield",
    "tune.lua.maxmem",
    "tune.lua.service-timeout",
    "tune.lua.session-timeout",
    "tune.lua.task-timeout",
    "tune.max-checks-per-thread",
    "tune.maxaccept",
    "tune.maxpollevents",
    "tune.memory.hot-size",
    "tune.pattern.cache-size",
    "tune.peers.max-updates-at-once",
    "tune.pool-high-fd-ratio",
    "tune.pool-low-fd-ratio",
    "tune.quic.frontend.conn-tx-buffers.limit",
    "tune.quic.frontend.max-idle-timeout",
    "tune.quic.frontend.max-streams-bidi",
    "tune.quic.retry-threshold",
    "tune.recv_enough",
    "tune.runqueue-depth",
    "tune.sched.low-latency",
    "tune.ssl.cachesize",
    "tune.ssl.capture-buffer-size",
    "tune.ssl.capture-cipherlist-size",
    "tune.ssl.default-dh-param",
    "tune.ssl.force-private-cache",
    "tune.ssl.hard-maxrecord",
    "tune.ssl.keylog",
    "tune.ssl.lifetime",
    "tune.ssl.maxrecord",
    "tune.ssl.ocsp-update.maxdelay",
    "tune.ssl.ocsp-update.mindelay",
    "tune.ssl.ssl-ctx-cache-size",
    "tune.vars.check-max-size",
    "tune.vars.global-max-size",
    "tune.vars.proc-max-size",
    "tune.vars.reqres-max-size",
    "tune.vars.sess-max-size",
    "tune.vars.txn-max-size",
    "tune.zlib.memlevel",
    "tune.zlib.windowsize",
];

/// What `no` can stand before, sorted.
const NEGATABLE: [&str; 5] = [
    "busy-polling",
    "insecure-fork-wanted",
    "numa-cpu-mapping",
    "set-dumpable",
    "strict-limits",
];

/// Reads one line of a `global` section.
pub(super) fn line(global: &mut Global, words: &[Word], cx: &mut Context<'_>) {
    let negated = matches!(words[0].text.as_str(), "no" | "default") && words.len() > 1;
    let modifier = &words[0];
    let words = if negated { &words[1..] } else { words };
    if negated && !NEGATABLE.contains(&words[0].text.as_str()) {
        let message = format!(
            "'{}' can stand before {} only",
            modifier.text,
            NEGATABLE.join(", ")
        );
        return cx.error(DiagnosticKind::InvalidValue, modifier.span, message);
    }
    let Some(mut args) = Args::new(words) else {
        return;
    };
    let keyword = &words[0];
    if TUNE.contains(&keyword.text.as_str()) {
        let message = format!("'{}' has no effect: {TUNING}", keyword.text);
        return cx.notice(DiagnosticKind::Pointless, keyword.span, message);
    }
    let Some((_, action)) = KEYWORDS.iter().find(|(name, _)| *name == keyword.text) else {
        let known = KEYWORDS
            .iter()
            .map(|(name, _)| *name)
            .chain(TUNE.iter().copied())
            .chain(super::parser::section_names());
        return cx.unknown(keyword, "in section 'global'", known);
    };
    match action {
        Do(read) => {
            let _ = read(global, &mut args, cx);
        }
        Accepted(why) => {
            let message = format!("'{}' has no effect: {why}", keyword.text);
            cx.notice(DiagnosticKind::Pointless, keyword.span, message);
        }
        NotYet => cx.not_yet(keyword.span, &keyword.text),
        Removed(instead) => {
            let message = format!(
                "'{}' is not supported any more since HAProxy 2.5",
                keyword.text
            );
            cx.diagnostics.push(
                crate::Diagnostic::error(DiagnosticKind::UnknownWord, keyword.span, message)
                    .with_help(*instead),
            );
        }
    }
}

/// The keywords by what becomes of them, for the documentation: read, accepted without effect, not yet.
pub(super) fn keyword_lists() -> KeywordLists {
    let fate = |action: &Action| match action {
        Do(_) => Fate::Read,
        Accepted(_) => Fate::Accepted,
        NotYet => Fate::NotYet,
        Removed(_) => Fate::Removed,
    };
    let rows = KEYWORDS.iter().map(|(name, action)| (*name, fate(action)));
    let mut lists = KeywordLists::sorted_out("global", rows);
    lists
        .accepted
        .extend(TUNE.iter().map(|name| (*name).to_owned()));
    lists.accepted.sort();
    lists
}

fn flag(slot: &mut bool, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    *slot = true;
    args.end(cx)
}

/// A size in bytes; 0 leaves it to the system.
fn bytes(slot: &mut Option<u32>, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let size: u32 = args.integer(cx, "a size in bytes", 0..=i64::from(i32::MAX))?;
    *slot = Some(size).filter(|size| *size > 0);
    args.end(cx)
}

fn text(slot: &mut Option<String>, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    *slot = Some(args.value(cx, "an argument")?.text.clone());
    args.end(cx)
}

fn path(slot: &mut Option<Word>, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    *slot = Some(args.value(cx, "a path")?.clone());
    args.end(cx)
}

/// All words that are left, as one text.
fn sentence(slot: &mut Option<String>, args: &mut Args<'_>) -> Option<()> {
    let words: Vec<&str> = args.rest().iter().map(|word| word.text.as_str()).collect();
    *slot = Some(words.join(" "));
    Some(())
}

fn default_path(_: &mut Global, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    const MODES: [&str; 4] = ["config", "current", "origin", "parent"];
    let word = args.value(cx, "'current', 'config', 'parent' or 'origin'")?;
    cx.default_path = match word.text.as_str() {
        "current" => DefaultPath::Current,
        "config" => DefaultPath::Config,
        "parent" => DefaultPath::Parent,
        "origin" => DefaultPath::Origin(args.value(cx, "a directory")?.text.clone()),
        _ => {
            cx.unknown(word, "as a mode of 'default-path'", MODES);
            return None;
        }
    };
    args.end(cx)
}

fn log_send_hostname(global: &mut Global, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    global.log_send_hostname = Some(
        args.next_option()
            .map(|word| word.text.clone())
            .unwrap_or_default(),
    );
    args.end(cx)
}

fn master_worker(global: &mut Global, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    global.master_worker = true;
    if let Some(word) = args.next_option()
        && word.text != "no-exit-on-failure"
    {
        cx.unknown(word, "after 'master-worker'", ["no-exit-on-failure"]);
    }
    args.end(cx)
}

fn variable_name<'l>(args: &mut Args<'l>, cx: &mut Context<'_>) -> Option<&'l Word> {
    let word = args.value(cx, "a variable's name")?;
    if word.text.contains('=') {
        let message = format!("'{}': a variable's name cannot hold '='", args.name());
        cx.error(DiagnosticKind::InvalidValue, word.span, message);
        return None;
    }
    Some(word)
}

fn setenv(_: &mut Global, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let name = variable_name(args, cx)?;
    let value = args.value(cx, "a name and a value")?;
    cx.variables.set(&name.text, &value.text);
    args.ignore_rest(cx)
}

fn presetenv(_: &mut Global, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let name = variable_name(args, cx)?;
    let value = args.value(cx, "a name and a value")?;
    if cx.variables.value(&name.text).is_none() {
        cx.variables.set(&name.text, &value.text);
    }
    args.ignore_rest(cx)
}

fn unsetenv(_: &mut Global, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    for word in args.rest() {
        cx.variables.unset(&word.text);
    }
    Some(())
}

fn resetenv(_: &mut Global, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let names: Vec<&str> = args.rest().iter().map(|word| word.text.as_str()).collect();
    cx.variables.keep_only(&names);
    Some(())
}

/// Words of `ssl-default-bind-options` and `ssl-default-server-options`, sorted.
const TLS_SWITCHES: &[&str] = &[
    "force-sslv3",
    "force-tlsv10",
    "force-tlsv11",
    "force-tlsv12",
    "force-tlsv13",
    "no-sslv3",
    "no-tls-tickets",
    "no-tlsv10",
    "no-tlsv11",
    "no-tlsv12",
    "no-tlsv13",
    "prefer-client-ciphers",
    "ssl-max-ver",
    "ssl-min-ver",
    "strict-sni",
    "tls-tickets",
];

fn ssl_default(global: &mut Global, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let name = args.name().to_owned();
    let first = args.value(cx, "an argument")?.clone();
    let mut words = vec![first];
    words.extend(args.rest().iter().cloned());
    match name.as_str() {
        "ssl-server-verify" => match words[0].text.as_str() {
            "none" => cx.servers_unverified = true,
            "required" => cx.servers_unverified = false,
            _ => cx.unknown(&words[0], "after 'ssl-server-verify'", ["none", "required"]),
        },
        "ssl-default-bind-options" | "ssl-default-server-options" => {
            let mut rest = words.iter();
            while let Some(word) = rest.next() {
                match word.text.as_str() {
                    "ssl-min-ver" | "ssl-max-ver" => drop(rest.next()),
                    text if TLS_SWITCHES.contains(&text) => {}
                    _ => cx.unknown(
                        word,
                        &format!("after '{name}'"),
                        TLS_SWITCHES.iter().copied(),
                    ),
                }
            }
        }
        _ => {}
    }
    global.ssl_defaults.insert(name, words);
    Some(())
}

fn stats(global: &mut Global, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    const WORDS: [&str; 3] = ["maxconn", "socket", "timeout"];
    let word = args.value(cx, "'socket', 'timeout' or 'maxconn'")?;
    args.enter(word);
    match word.text.as_str() {
        "socket" => stats_socket(global, args, cx),
        "timeout" => {
            global.stats_timeout = Some(args.time(cx, Unit::Milliseconds)?);
            args.end(cx)
        }
        "maxconn" => {
            global.stats_maxconn = Some(args.integer(cx, "a number of connections", 1..=65_535)?);
            args.end(cx)
        }
        "bind-process" => {
            cx.notice(
                DiagnosticKind::Pointless,
                word.span,
                "'stats bind-process' has no effect",
            );
            Some(())
        }
        _ => {
            cx.unknown(word, "after 'stats' in section 'global'", WORDS);
            None
        }
    }
}

fn stats_socket(global: &mut Global, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    const OPTIONS: [&str; 12] = [
        "accept-proxy",
        "backlog",
        "expose-fd",
        "gid",
        "group",
        "level",
        "maxconn",
        "mode",
        "name",
        "process",
        "uid",
        "user",
    ];
    let span = args.span();
    let word = args.value(cx, "an address")?;
    let addresses = bind_addresses(word, "stats socket", cx);
    let mut socket = StatsSocket {
        address: super::model::BindAddress::Fd(-1),
        level: Level::default(),
        mode: None,
        user: None,
        group: None,
        expose_fd: false,
        span,
    };
    while let Some(word) = args.next_option() {
        match word.text.as_str() {
            "level" => {
                let word = args.value(cx, "'user', 'operator' or 'admin'")?;
                socket.level = match word.text.as_str() {
                    "user" => Level::User,
                    "operator" => Level::Operator,
                    "admin" => Level::Admin,
                    _ => {
                        cx.unknown(
                            word,
                            "as a level of 'stats socket'",
                            ["user", "operator", "admin"],
                        );
                        return None;
                    }
                };
            }
            "mode" => socket.mode = Some(mode_bits(args, cx)?),
            "user" => socket.user = Some(account_name(args, cx)?),
            "group" => socket.group = Some(account_name(args, cx)?),
            "uid" => socket.user = Some(account_id(args, cx)?),
            "gid" => socket.group = Some(account_id(args, cx)?),
            "expose-fd" => {
                args.value(cx, "'listeners'")?;
                socket.expose_fd = true;
            }
            "name" | "backlog" | "maxconn" | "nice" | "process" | "thread" | "severity-output" => {
                args.value(cx, "an argument")?;
                let message = format!("'{}' of a stats socket has no effect", word.text);
                cx.notice(DiagnosticKind::Pointless, word.span, message);
            }
            "accept-proxy" | "ssl" | "interface" | "v4v6" | "v6only" | "transparent" => {
                cx.not_yet(word.span, &format!("stats socket … {}", word.text));
                return None;
            }
            _ => cx.unknown(word, "as an option of 'stats socket'", OPTIONS),
        }
    }
    for address in addresses? {
        global.stats_sockets.push(StatsSocket {
            address,
            ..socket.clone()
        });
    }
    Some(())
}

/// Bytes that a peer may send on a stream before it hears from us (RFC 9113 6.9.2 bounds it).
fn http2_window(args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<u32> {
    args.integer(cx, "a number of bytes", 0..=i64::from(i32::MAX))
}

/// Streams at a time.
fn http2_streams(args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<u32> {
    args.integer(cx, "a number of streams", 0..=i64::from(i32::MAX))
}
