//! Words of TLS that `bind`, `server` and the `ssl-default-…` lines of `global` have in common: versions, and the defaults.

use super::args::{Args, Context};
use super::model::{BindTls, Global, ServerTls, TlsChoice};
use crate::diagnostic::DiagnosticKind;
use crate::source::Word;

pub(super) const TLS12: &str = "TLSv1.2";
pub(super) const TLS13: &str = "TLSv1.3";

/// A version's place in the order of versions.
fn version<'l>(args: &mut Args<'l>, cx: &mut Context<'_>) -> Option<(usize, &'l Word)> {
    const VERSIONS: [&str; 5] = ["SSLv3", "TLSv1.0", "TLSv1.1", TLS12, TLS13];
    let word = args.value(cx, "a TLS version")?;
    match VERSIONS.iter().position(|name| *name == word.text) {
        Some(found) => Some((found, word)),
        None => {
            cx.unknown(word, "as a TLS version", VERSIONS);
            None
        }
    }
}

/// `ssl-min-ver`: what is below 1.2 is never spoken, so that 1.2 is the least.
pub(super) fn min_version(args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<String> {
    let (rank, _) = version(args, cx)?;
    Some(if rank == 4 { TLS13 } else { TLS12 }.to_owned())
}

/// `ssl-max-ver`.
pub(super) fn max_version(args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<Option<String>> {
    match version(args, cx)? {
        (4, _) => Some(Some(TLS13.to_owned())),
        (3, _) => Some(Some(TLS12.to_owned())),
        (_, word) => {
            let message = format!("'{}': only TLS 1.2 and 1.3 are supported", word.text);
            cx.error(DiagnosticKind::NotSupportedYet, word.span, message);
            None
        }
    }
}

/// What `ssl-default-bind-…` says, for a line that says nothing itself.
pub(super) fn apply_bind_defaults(global: &Global, tls: &mut BindTls, cx: &mut Context<'_>) {
    let defaults = tls_defaults(global, "ssl-default-bind", cx);
    tls.choice.or(&defaults.choice);
    tls.strict_sni |= defaults.strict_sni;
    tls.no_tickets |= defaults.no_tickets;
    tls.prefer_client_ciphers |= defaults.prefer_client_ciphers;
}

/// The same with `ssl-default-server-…`.
pub(super) fn apply_server_defaults(global: &Global, tls: &mut ServerTls, cx: &mut Context<'_>) {
    let defaults = tls_defaults(global, "ssl-default-server", cx);
    tls.choice.or(&defaults.choice);
    tls.no_tickets |= defaults.no_tickets;
}

/// What the lines of `global` that begin with these words say.
fn tls_defaults(global: &Global, begin: &str, cx: &mut Context<'_>) -> BindTls {
    let words = |what: &str| {
        let words = global.ssl_defaults.get(&format!("{begin}-{what}"));
        words.map(Vec::as_slice).unwrap_or_default()
    };
    let mut defaults = BindTls::default();
    defaults.choice.ciphers = words("ciphers").first().cloned();
    defaults.choice.ciphersuites = words("ciphersuites").first().cloned();
    defaults.choice.curves = words("curves").first().cloned();
    let options = words("options");
    let keyword = Word::new(
        format!("{begin}-options"),
        options.first().map(|word| word.span).unwrap_or_default(),
    );
    let line: Vec<Word> = std::iter::once(keyword)
        .chain(options.iter().cloned())
        .collect();
    let Some(mut args) = Args::new(&line) else {
        return defaults;
    };
    let choice = &mut defaults.choice;
    while let Some(word) = args.next_option() {
        match word.text.as_str() {
            "ssl-min-ver" => choice.min_version = min_version(&mut args, cx),
            "ssl-max-ver" => choice.max_version = max_version(&mut args, cx).flatten(),
            "no-tlsv12" => choice.min_version = Some(TLS13.to_owned()),
            "no-tlsv13" => choice.max_version = Some(TLS12.to_owned()),
            "force-tlsv12" => force(choice, TLS12),
            "force-tlsv13" => force(choice, TLS13),
            "strict-sni" => defaults.strict_sni = true,
            "no-tls-tickets" => defaults.no_tickets = true,
            "prefer-client-ciphers" => defaults.prefer_client_ciphers = true,
            _ => {}
        }
    }
    defaults
}

/// `force-tlsv12` and the like: one version alone.
pub(super) fn force(choice: &mut TlsChoice, version: &str) {
    choice.min_version = Some(version.to_owned());
    choice.max_version = Some(version.to_owned());
}
