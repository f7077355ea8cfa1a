//! `set-src`, `set-dst` and their ports, and servers without an address (0.0.0.0): what rules, logs, headers and servers are
//! told then; beside haproxy.

use std::io::Write;

use tandem_tests::beside::{BOTH, Differences, Side, read_until};
use tandem_tests::{Origin, Outcome, require};

/// Rules of the frontend.
const CASES: &[(&str, &str)] = &[
    ("nothing", ""),
    ("set-src", " http-request set-src req.hdr(x-a)\n"),
    ("set-src of a fetch", " http-request set-src dst\n"),
    ("set-src, ipmask", " http-request set-src src,ipmask(8)\n"),
    ("set-src of IPv6", " http-request set-src req.hdr(x-six)\n"),
    (
        "set-src that is none",
        " http-request set-src req.hdr(x-bad)\n",
    ),
    (
        "set-src that is absent",
        " http-request set-src req.hdr(x-absent)\n",
    ),
    ("set-src-port", " http-request set-src-port req.hdr(x-p)\n"),
    (
        "set-src and set-src-port",
        " http-request set-src req.hdr(x-a)\n http-request set-src-port int(77)\n",
    ),
    (
        "set-src-port and set-src",
        " http-request set-src-port int(77)\n http-request set-src req.hdr(x-a)\n",
    ),
    (
        "set-src-port too large",
        " http-request set-src-port int(70000)\n",
    ),
    (
        "set-src-port that is none",
        " http-request set-src-port req.hdr(x-bad)\n",
    ),
    ("set-dst", " http-request set-dst req.hdr(x-a)\n"),
    ("set-dst of IPv6", " http-request set-dst req.hdr(x-six)\n"),
    ("set-dst-port", " http-request set-dst-port int(81)\n"),
    (
        "all of them",
        " http-request set-dst-port int(81)\n http-request set-dst req.hdr(x-a)\n http-request set-src req.hdr(x-b)\n http-request set-src-port int(82)\n",
    ),
    (
        "by a condition of one request",
        " http-request set-src req.hdr(x-a) if { path /1 }\n",
    ),
    (
        "seen by the next rule",
        " http-request set-src req.hdr(x-a)\n http-request set-header x-seen yes if { src 10.1.2.3 }\n",
    ),
    (
        "of content",
        " tcp-request content set-src req.hdr(x-a)\n tcp-request content set-dst-port int(83)\n",
    ),
    (
        "except",
        " http-request set-src req.hdr(x-a)\n option forwardfor except 10.0.0.0/8\n",
    ),
];

/// Takes the port of the client away, which nobody chose.
fn plain(text: &str, port: u16) -> String {
    text.replace(&format!("{port}"), "PORT")
}

#[test]
fn addresses_that_rules_set_are_told_as_by_haproxy() -> Outcome {
    require!("haproxy", "tandemd");
    let origin = Origin::on_loopback("o")?;
    let mut differences = Differences::default();
    for (name, rules) in CASES {
        let mut found = Vec::new();
        for which in BOTH {
            let text = format!(
                "frontend f\n bind {{in}}\n option forwardfor\n log-format \"%ci:%cp %fi:%fp %b/%s %ST\"\n{rules} http-request set-header x-told \"%[src] %[src_port] %[dst] %[dst_port] %[fc_src] %[fc_dst] %ci %fp\"\n http-response set-header x-told \"%[src] %[dst] %[dst_port]\"\n default_backend b\nbackend b\n server s 127.0.0.1:{}\n",
                origin.port()
            );
            let side = Side::start(which, &text)?;
            let mut stream = side.connect()?;
            let port = stream.local_addr()?.port();
            let mut seen = Vec::new();
            for path in ["/1", "/2"] {
                origin.forget();
                side.forget();
                let request = format!(
                    "GET {path} HTTP/1.1\r\nhost: a\r\nx-a: 10.1.2.3\r\nx-b: 10.9.9.9\r\nx-six: 2001:db8::7\r\nx-bad: what\r\nx-p: 99\r\n\r\n"
                );
                stream.write_all(request.as_bytes())?;
                let answer = read_until(&mut stream, "o\n");
                let told = answer.lines().find(|line| line.starts_with("x-told"));
                let recorded = origin.requests();
                let at_server = recorded.first().map(|one| {
                    ["x-told", "x-forwarded-for", "x-seen"].map(|name| one.header(name))
                });
                let line = side.wait_lines(" b/", 1)?.remove(0);
                let mut text = format!("{path} {told:?} {at_server:?} {line}");
                let own = side.address.port().to_string();
                text = text.replace(&own, "OWN");
                seen.push(plain(&text, port));
            }
            found.push(seen);
        }
        differences.compare(name, &found[0], &found[1]);
    }
    differences.none()
}

/// Where a server has no address or no port, the client's destination is where it goes; a PROXY header says what was set.
#[test]
fn servers_without_an_address_are_where_the_client_wanted_to_go() -> Outcome {
    require!("haproxy", "tandemd");
    let origin = Origin::on_loopback("o")?;
    let port = origin.port();
    let mut differences = Differences::default();
    for (name, rules, server) in [
        (
            "no port",
            format!(" http-request set-dst-port int({port})\n"),
            "127.0.0.1",
        ),
        (
            "port 0",
            format!(" http-request set-dst-port int({port})\n"),
            "127.0.0.1:0",
        ),
        (
            "no address",
            format!(" http-request set-dst-port int({port})\n"),
            "0.0.0.0:0",
        ),
        (
            "a star",
            format!(" http-request set-dst-port int({port})\n"),
            "*:0",
        ),
        (
            "an address that a header says",
            format!(
                " http-request set-dst req.hdr(x-to)\n http-request set-dst-port int({port})\n"
            ),
            "0.0.0.0:0",
        ),
        (
            "nobody there",
            " http-request set-dst-port int(9)\n".to_owned(),
            "0.0.0.0:0",
        ),
        (
            "a port of its own",
            " http-request set-dst req.hdr(x-to)\n".to_owned(),
            "0.0.0.0:PORT",
        ),
        (
            "an offset",
            format!(" http-request set-dst-port int({port}),sub(5)\n"),
            "127.0.0.1:+5",
        ),
    ] {
        let mut found = Vec::new();
        for which in BOTH {
            let text = format!(
                "frontend f\n bind {{in}}\n retries 0\n{rules} default_backend b\nbackend b\n retries 0\n server s {}\n",
                server.replace("PORT", &port.to_string())
            );
            let side = Side::start(which, &text)?;
            let first = side.get("/", &["x-to: 127.0.0.1"])?;
            let second = side.get("/", &["x-to: 127.0.0.77"])?;
            let lines = side.wait_lines(" f ", 2)?;
            let letters = |line: &String| {
                line.split(' ')
                    .skip(3)
                    .take(7)
                    .enumerate()
                    .filter(|(at, _)| [0, 2, 6].contains(at))
                    .map(|(_, word)| word.to_owned())
                    .collect::<Vec<_>>()
            };
            found.push((
                first.status,
                second.status,
                lines.iter().map(letters).collect::<Vec<_>>(),
            ));
        }
        differences.compare(name, &found[0], &found[1]);
    }
    differences.none()
}
