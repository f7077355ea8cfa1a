//! Conditions, actions and choices of backends: text of a configuration in, edits and verdicts out.

mod common;

use common::{complaints, configuration, run, transaction};
use config::DiagnosticKind;
use tandem_proxy::rules::Verdict;

const HEAD: &str = "frontend f\n mode http\n bind 127.0.0.1:8080\n";
const BACKENDS: &str = "backend one\n mode http\nbackend two\n mode http\n server s 127.0.0.1:80\n";

/// The condition `text` on a fixed request.
#[track_caller]
fn check_condition(text: &str, expected: bool) {
    let config = configuration(&format!(
        "{HEAD} acl img path_beg /img /static\n acl host hdr_beg(host) -i WWW.\n use_backend two if {text}\n default_backend one\n{BACKENDS}"
    ));
    let mut txn = transaction(
        "GET",
        "/img/a.png?x=1&y=b",
        &[
            ("Host", "www.example.com:8080"),
            ("X-List", "a, b,c"),
            ("Cookie", "A=1; B=2"),
        ],
    );
    let (_, backend) = run(&config, &mut txn);
    assert_eq!(backend.as_deref() == Some("two"), expected, "{text}");
}

#[test]
fn conditions_hold_as_the_manual_says() {
    for (text, expected) in [
        ("img", true),
        ("!img", false),
        ("! img", false),
        ("img host", true),
        ("img !host or { path_end .png }", true),
        ("!img || host", true),
        ("{ path_beg /other } or { path_sub a.p }", true),
        ("{ hdr(x-list) b }", true),
        ("{ hdr(x-list) d }", false),
        ("{ hdr_cnt(x-list) 3 }", true),
        ("{ req.fhdr(x-list) a }", false),
        ("{ hdr_dom(host) example }", true),
        ("{ hdr_end(host) :8080 }", true),
        ("{ hdr_reg(host) ^www\\.[a-z]+\\.com }", true),
        ("{ path_dir img }", true),
        ("{ url_param(x) 1 }", true),
        ("{ urlp(y) -m beg b }", true),
        ("{ url_beg /img/a.png? }", true),
        ("{ query -m sub y=b }", true),
        ("{ method POST PUT }", false),
        ("METH_GET", true),
        ("LOCALHOST", true),
        ("FALSE or TRUE", true),
        ("{ src 127.0.0.0/8 10.0.0.0/8 }", true),
        ("{ src_port gt 30000 }", true),
        ("{ dst_port 80 443 }", true),
        ("{ ssl_fc }", false),
        ("!{ ssl_fc }", true),
        ("{ cook(B) 2 }", true),
        ("{ cook_cnt(C) 0 }", true),
        ("{ nbsrv(two) ge 1 }", true),
        ("{ nbsrv(one) eq 0 }", true),
        ("{ srv_is_up(two/s) }", true),
        ("{ path,lower,length 10 }", true),
        ("{ req.hdr(host),field(1,:) -m end .com }", true),
        ("{ hdr(x-missing) -m found }", false),
        ("{ req.ver 1.1 }", true),
        ("WAIT_END", true),
    ] {
        check_condition(text, expected);
    }
}

/// A line of rules on a request; what the server gets to see.
#[track_caller]
fn check_edit(rule: &str, expected_target: &str, expected_field: Option<(&str, &str)>) {
    let config = configuration(&format!("{HEAD} {rule}\n default_backend one\n{BACKENDS}"));
    let mut txn = transaction(
        "GET",
        "/a/b?q=1",
        &[("Host", "h"), ("X-A", "one"), ("X-A", "two")],
    );
    let (verdict, _) = run(&config, &mut txn);
    assert!(matches!(verdict, Verdict::Continue), "{rule}");
    assert_eq!(txn.request.target(), expected_target.as_bytes(), "{rule}");
    if let Some((name, value)) = expected_field {
        let found: Vec<_> = txn.request.headers(name.as_bytes()).collect();
        assert_eq!(found.join(&b"|"[..]), value.as_bytes(), "{rule}");
    }
}

#[test]
fn requests_are_edited() {
    let same = "/a/b?q=1";
    check_edit(
        "http-request set-header X-A new",
        same,
        Some(("x-a", "new")),
    );
    check_edit(
        "http-request add-header X-A %[src]:%cp",
        same,
        Some(("x-a", "one|two|127.0.0.1:40000")),
    );
    check_edit("http-request del-header x-a", same, Some(("x-a", "")));
    check_edit(
        "http-request del-header ^x- -m reg",
        same,
        Some(("x-a", "")),
    );
    check_edit(
        "http-request replace-header X-A ^(o.*) <\\1>",
        same,
        Some(("x-a", "<one>|two")),
    );
    check_edit(
        "http-request set-header X-B \"%[path,upper] %[url_param(q)]\"",
        same,
        Some(("x-b", "/A/B 1")),
    );
    check_edit("http-request set-path /x%[path]", "/x/a/b?q=1", None);
    check_edit("http-request replace-path /a/(.*) /\\1", "/b?q=1", None);
    check_edit("http-request set-query %[query]&z=2", "/a/b?q=1&z=2", None);
    check_edit("http-request set-uri /whole", "/whole", None);
    check_edit(
        "http-request set-var(txn.a) path\n http-request set-header X-B %[var(txn.a)] if { var(txn.a) -m found }",
        same,
        Some(("x-b", "/a/b")),
    );
}

#[test]
fn a_value_cannot_write_another_header() {
    let config = configuration(&format!(
        "{HEAD} http-request set-header X-B %[url_param(v),url_dec]\n{BACKENDS}"
    ));
    let mut txn = transaction("GET", "/?v=a%0d%0aX-Evil:%201", &[]);
    let _ = run(&config, &mut txn);
    assert_eq!(txn.request.header(b"x-b"), Some(&b"a  X-Evil: 1"[..]));
}

#[track_caller]
fn check_complaint(line: &str, kind: DiagnosticKind, help: Option<&str>) {
    let found = complaints(&format!("{HEAD} {line}\n{BACKENDS}"));
    let first = found
        .first()
        .unwrap_or_else(|| panic!("nothing is wrong with: {line}"));
    assert_eq!(first.kind, kind, "{line}: {}", first.message);
    assert!(first.span.is_some_and(|span| span.line >= 4), "{line}");
    if let Some(help) = help {
        assert_eq!(first.help.as_deref(), Some(help), "{line}");
    }
}

#[test]
fn complaints_name_the_word_and_tell_unknown_from_not_yet() {
    use DiagnosticKind::*;
    check_complaint(
        "http-request set-heder X y",
        UnknownWord,
        Some("did you mean 'set-header'?"),
    );
    check_complaint("http-request track-sc0 src", NotSupportedYet, None);
    check_complaint(
        "http-request deny if { pth /x }",
        UnknownWord,
        Some("did you mean 'path'?"),
    );
    check_complaint(
        "http-request deny if { sc_conn_rate(0) gt 1 }",
        NotSupportedYet,
        None,
    );
    check_complaint(
        "http-request deny if { path,lowr x }",
        UnknownWord,
        Some("did you mean 'lower'?"),
    );
    check_complaint(
        "http-request deny if { path,table_idle(x) 5 }",
        NotSupportedYet,
        None,
    );
    check_complaint("http-request deny if nosuch", UnknownName, None);
    check_complaint("http-request deny if { path_reg ( }", InvalidValue, None);
    check_complaint(
        "http-request deny if { src 1.2.3.4/99 }",
        InvalidValue,
        None,
    );
    check_complaint("http-request deny if { path /x", Syntax, None);
    check_complaint(
        "http-request redirect locaton /x",
        UnknownWord,
        Some("did you mean 'location'?"),
    );
    check_complaint("http-request set-header X", Syntax, None);
    check_complaint("http-request set-header X %[src", Syntax, None);
}
