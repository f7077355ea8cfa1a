//! What the worker cannot do yet is said when the configuration is checked, never passed over.

use config::{DiagnosticKind, Input, Severity};

fn complaints(text: &str) -> Vec<(Severity, DiagnosticKind, String)> {
    let loaded = config::load(&[Input::text("haproxy.cfg", text)], &|_| None);
    assert!(!loaded.diagnostics.has_errors(), "{:?}", loaded.diagnostics);
    let haproxy = loaded.haproxy.expect("sections");
    tandem_proxy::check(&haproxy, &loaded.sources)
        .0
        .into_iter()
        .map(|one| (one.severity, one.kind, one.message))
        .collect()
}

fn check(backend: &str, severity: Severity, words: &str) {
    let found = complaints(&format!(
        "defaults\n mode http\n timeout client 1s\n timeout connect 1s\n timeout server 1s\nbackend b\n{backend}\n"
    ));
    assert!(
        found.iter().any(|(level, kind, message)| {
            (*level, *kind) == (severity, DiagnosticKind::NotSupportedYet)
                && message.contains(words)
        }),
        "{backend}: {found:?}"
    );
}

#[test]
fn what_is_not_done_yet_is_named() {
    use Severity::{Error, Warning};
    check(
        " server s 127.0.0.1:80 send-proxy-v2 proxy-v2-options cert-key",
        Error,
        "cert-key",
    );
    check(
        " balance uri\n hash-type consistent wt6\n server s 127.0.0.1:80",
        Warning,
        "wt6",
    );
}

#[test]
fn a_plain_backend_gives_no_complaint() {
    let found = complaints(
        "defaults\n mode http\n timeout client 1s\n timeout connect 1s\n timeout server 1s\nbackend b\n server s 127.0.0.1:80 check\n",
    );
    assert_eq!(found, []);
}
