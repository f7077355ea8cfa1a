//! The line of `add server`: a server that comes while others run (management manual, 9.3).

use std::path::Path;

use super::args::{Args, Context};
use super::model::{Balance, HaproxyConfig, HashMethod, ProxyConfig, ServerConfig};
use super::parser::{DefaultPath, Variables};
use super::proxy::{Draft, Section};
use super::server::{self, ServerOptions};
use super::{address, finish};
use crate::diagnostic::{Diagnostics, Severity};
use crate::source::{Span, Word};

/// Options that a server may have that comes at run time (management manual, `add server`); HAProxy 2.6 was seen to take
/// these. Sorted.
#[rustfmt::skip]
const ACCEPTED: &[&str] = &[
    "addr", "agent-addr", "agent-check", "agent-inter", "agent-port", "agent-send", "allow-0rtt", "alpn", "backup", "ca-file", "check",
    "check-alpn", "check-proto", "check-send-proxy", "check-sni", "check-ssl", "check-via-socks4", "ciphers", "ciphersuites", "crl-file", "crt",
    "curves", "disabled", "downinter", "enabled", "error-limit", "fall", "fastinter", "force-sslv3", "force-tlsv10", "force-tlsv11",
    "force-tlsv12", "force-tlsv13", "id", "inter", "maxconn", "maxqueue", "minconn", "no-backup", "no-send-proxy", "no-send-proxy-v2",
    "no-ssl-reuse", "no-sslv3", "no-tfo", "no-tls-tickets", "no-tlsv10", "no-tlsv11", "no-tlsv12", "no-tlsv13", "npn", "observe", "on-error",
    "on-marked-down", "on-marked-up", "pool-low-conn", "pool-max-conn", "pool-purge-delay", "port", "proto", "proxy-v2-options", "rise",
    "send-proxy", "send-proxy-v2", "send-proxy-v2-ssl", "send-proxy-v2-ssl-cn", "slowstart", "sni", "source", "ssl", "ssl-max-ver",
    "ssl-min-ver", "tfo", "tls-tickets", "track", "verify", "verifyhost", "weight", "ws",
];

/// A server that comes at run time.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamicServer {
    /// Its line. The `id` in it is 0 if none is written: then the lowest free one is its.
    pub config: ServerConfig,
    /// `enabled` stands on the line: it does not begin in maintenance.
    pub enabled: bool,
}

/// Reads what follows `add server BACKEND/`: the server's `name`, and the `words` of its address and options. Nothing of
/// `default-server` counts. Names of other servers and numbers are left to the caller.
///
/// # Errors
/// What is wrong, in HAProxy's words where they are short.
pub fn dynamic_server(
    config: &HaproxyConfig,
    backend: &ProxyConfig,
    name: &str,
    words: &[String],
) -> Result<DynamicServer, String> {
    if !is_dynamic(backend) {
        let text = "Backend must use a dynamic load balancing to support dynamic servers.";
        return Err(text.to_owned());
    }
    if let Some(bad) = server::bad_character(name) {
        return Err(format!(
            "character '{bad}' is not permitted in server name '{name}'."
        ));
    }
    let nowhere = Span::default();
    let line: Vec<Word> = std::iter::once("server")
        .chain(words.iter().map(String::as_str))
        .map(|text| Word::new(text, nowhere))
        .collect();
    let mut cx = Context {
        diagnostics: Diagnostics::default(),
        variables: Variables::none(),
        default_path: DefaultPath::Current,
        servers_unverified: config.global.servers_unverified,
        file_name: String::new(),
    };
    let read = read(&line, name, &mut cx);
    let wrong = cx
        .diagnostics
        .0
        .iter()
        .find(|one| one.severity == Severity::Error);
    match (read, wrong) {
        (Ok(Some(mut server)), None) => {
            let base = |word: &mut Word, base: Option<&String>| {
                if let Some(base) = base.filter(|_| !word.text.starts_with('@')) {
                    word.text = Path::new(base).join(&word.text).display().to_string();
                }
            };
            finish::server_defaults(&mut server.config, &config.global, &base, &mut cx);
            Ok(server)
        }
        (Err(text), _) => Err(text),
        (Ok(_), wrong) => Err(wrong.map_or_else(String::new, |one| match &one.help {
            Some(help) => format!("{}: {help}.", one.message),
            None => format!("{}.", one.message),
        })),
    }
}

/// Whether servers may come and go: the algorithm's weights are not fixed at start.
fn is_dynamic(backend: &ProxyConfig) -> bool {
    match backend.balance {
        Balance::RoundRobin | Balance::LeastConn | Balance::First | Balance::Random { .. } => true,
        Balance::StaticRr => false,
        Balance::Source
        | Balance::Uri { .. }
        | Balance::UrlParam { .. }
        | Balance::Header { .. }
        | Balance::Hash { .. }
        | Balance::RdpCookie { .. } => backend.hash_method == HashMethod::Consistent,
    }
}

/// `Ok(None)` if a complaint says what is wrong.
fn read(line: &[Word], name: &str, cx: &mut Context<'_>) -> Result<Option<DynamicServer>, String> {
    let Some(mut args) = Args::new(line) else {
        return Ok(None);
    };
    let Some(address_word) = args.next().filter(|word| !word.text.is_empty()) else {
        let text = "'server' expects <name> and <addr>[:<port>] as arguments.";
        return Err(text.to_owned());
    };
    let address = address::server_address(address_word, "server", cx);
    let mut options = ServerOptions::default();
    let mut enabled = false;
    while let Some(word) = args.next_option() {
        let text = word.text.as_str();
        if !ACCEPTED.contains(&text) {
            return Err(match server::is_option(text) {
                true => format!("'{text}' option is not accepted for dynamic server"),
                false => format!("unknown keyword '{text}'."),
            });
        }
        match text {
            "enabled" => enabled = true,
            "disabled" => enabled = false,
            _ => {}
        }
        if server::read_option(&mut options, word, &mut args, cx).is_none() {
            return Ok(None);
        }
    }
    if options.tracks_and_checks() {
        return Err("unable to enable checks and tracking at the same time!".to_owned());
    }
    let id = options.id;
    let mut draft = Draft::new(
        Section::Backend,
        super::ProxyKind::Backend,
        Word::default(),
        Span::default(),
    );
    let found = (address_word, address);
    let name = Word::new(name, Span::default());
    let server = server::assemble(&mut draft, name, Span::default(), found, options, cx);
    Ok(server.map(|config| DynamicServer {
        config: ServerConfig {
            id: id.unwrap_or(0),
            ..config
        },
        enabled,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(balance: Balance, line: &str) -> Result<DynamicServer, String> {
        let mut draft = Draft::new(
            Section::Backend,
            super::super::ProxyKind::Backend,
            Word::new("b", Span::default()),
            Span::default(),
        );
        draft.config.balance = balance;
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        dynamic_server(&HaproxyConfig::default(), &draft.config, "s", &words)
    }

    #[test]
    fn the_options_are_sorted_and_known() {
        for pair in ACCEPTED.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
        }
        for word in ACCEPTED {
            assert!(server::is_option(word), "{word}");
        }
    }

    #[test]
    fn a_line_is_read_as_haproxy_reads_it() {
        let server = read(
            Balance::RoundRobin,
            "10.0.0.1:80 id 7 weight 20 maxconn 5 check inter 1s",
        );
        let server = server.expect("a good line");
        assert_eq!((server.config.id, server.config.weight), (7, 20));
        assert_eq!(server.config.maxconn, Some(5));
        assert!(server.config.check.is_some() && !server.enabled);
        assert!(read(Balance::First, "10.0.0.1:80 enabled").is_ok_and(|server| server.enabled));
    }

    /// Texts of haproxy 2.6.12.
    #[test]
    fn what_is_refused_is_refused_in_haproxys_words() {
        let check = |balance, line, expected: &str| {
            assert_eq!(read(balance, line).err().as_deref(), Some(expected));
        };
        let usual = Balance::RoundRobin;
        check(
            Balance::StaticRr,
            "10.0.0.1:80",
            "Backend must use a dynamic load balancing to support dynamic servers.",
        );
        check(
            Balance::Source,
            "10.0.0.1:80",
            "Backend must use a dynamic load balancing to support dynamic servers.",
        );
        check(
            usual.clone(),
            "",
            "'server' expects <name> and <addr>[:<port>] as arguments.",
        );
        check(
            usual.clone(),
            "10.0.0.1:80 cookie x",
            "'cookie' option is not accepted for dynamic server",
        );
        check(
            usual.clone(),
            "10.0.0.1:80 bogus",
            "unknown keyword 'bogus'.",
        );
        assert!(read(usual.clone(), "10.0.0.1:80 weight 999").is_err());
        assert!(read(usual.clone(), "10.0.0.1:80 weight").is_err());
        assert!(read(usual, "10.0.0.1:99999").is_err());
    }
}
