//! No text makes the parsers panic, and every complaint can be shown.

use proptest::prelude::*;
use tandem_config::{Input, Severity, load};

fn read_both(text: &str) {
    for start in [
        "",
        "global\n",
        "listen l\n",
        "vrrp_instance A {\n",
        "$A=1\n",
    ] {
        let loaded = load(&[Input::text("t", format!("{start}{text}"))], &|_| {
            Some("a b".to_owned())
        });
        let _ = loaded
            .diagnostics
            .render_from(&loaded.sources, Severity::Notice);
    }
}

/// Lines of words that mean something, in any order.
fn known_words() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "global",
        "defaults",
        "frontend",
        "backend",
        "listen",
        "userlist",
        "from",
        "bind",
        "server",
        "default-server",
        "option",
        "httpchk",
        "forwardfor",
        "except",
        "balance",
        "uri",
        "hdr(",
        "random(",
        "cookie",
        "insert",
        "stats",
        "auth",
        "socket",
        "log",
        "timeout",
        "client",
        "errorfile",
        "503",
        "acl",
        "use_backend",
        "if",
        "no",
        "default",
        "http-check",
        "expect",
        "!",
        "status",
        "tcp-request",
        "capture",
        "request",
        "header",
        "len",
        ".if",
        ".elif",
        ".else",
        ".endif",
        "defined(",
        ")",
        "&&",
        "||",
        "(",
        "streq(a,b)",
        "version_atleast(",
        ":80",
        "[::",
        "]:",
        "1.2.3.4:80-90",
        "fd@",
        "unix@",
        "ipv6@",
        "é",
        "\"",
        "'",
        "\\",
        "$A",
        "${A",
        "}",
        "[*]",
        "#",
        "1s",
        "99999999999d",
        "-1",
        "vrrp_instance",
        "vrrp_script",
        "global_defs",
        "{",
        "virtual_ipaddress",
        "10.0.0.1/24",
        "brd",
        "+",
        "dev",
        "weight",
        "300",
        "track_script",
        "authentication",
        "auth_type",
        "PASS",
        "auth_pass",
        "@x",
        "@^x",
        "$A=",
        "$A=$A$A",
        "${A}",
        "~SEQ(",
        "script",
        "user",
        "priority",
        "include",
        "\u{0}",
        "\u{85}",
        "\t",
        "\r",
        "ssl",
        "crt",
        "check",
    ];
    prop::collection::vec(
        (
            prop::sample::select(WORDS),
            prop::sample::select(&[" ", "\n", "", "\n "][..]),
        ),
        0..60,
    )
    .prop_map(|parts| {
        parts
            .into_iter()
            .map(|(word, end)| format!("{word}{end}"))
            .collect()
    })
}

proptest! {
    #[test]
    fn known_words_in_any_order(text in known_words()) {
        read_both(&text);
    }

    #[test]
    fn any_text(text in "(?s).{0,200}") {
        read_both(&text);
    }

    #[test]
    fn any_bytes_in_a_file(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a.cfg", "b.conf"] {
            std::fs::write(folder.path().join(name), &bytes).expect("written");
        }
        let loaded = load(&[Input::path(folder.path())], &|_| None);
        let _ = loaded.diagnostics.render_from(&loaded.sources, Severity::Notice);
    }
}

#[test]
fn variables_that_double_themselves_end() {
    let mut text = String::from("$A0=x\n");
    for n in 1..40 {
        text.push_str(&format!("$A{n}=${{A{0}}}${{A{0}}}\n", n - 1));
    }
    text.push_str("vrrp_instance ${A39} {\n}\n$B= \\\n${B} \\\n${B}\n${B}\n");
    let loaded = load(&[Input::text("t", text)], &|_| None);
    assert!(loaded.diagnostics.has_errors());
}
