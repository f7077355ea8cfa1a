//! Backends whose names requests make (`use_backend` with a format): which backend a request gets, what the log and the
//! counters say of it; beside haproxy.

use std::io::Write;

use tandem_tests::beside::{BOTH, Differences, Side, read_all};
use tandem_tests::{Origin, Outcome, require};

/// Backends that every case may name. `x` is of mode tcp, `off` is disabled, and `Bk_A` differs from `bk_a` in case.
const BACKENDS: &str = "\
backend bk_a\n http-response set-header x-backend bk_a\n server s1 {origin}\n\
backend Bk_A\n http-response set-header x-backend Bk_A\n server s1 {origin}\n\
backend b.c-d:e_1\n http-response set-header x-backend odd\n server s1 {origin}\n\
backend numbered\n id 77\n http-response set-header x-backend numbered\n server s1 {origin}\n\
backend empty\n\
backend down\n server s1 {origin} disabled\n\
backend off\n disabled\n server s1 {origin}\n\
backend x\n mode tcp\n server s1 {origin}\n\
backend fallback\n http-response set-header x-backend fallback\n server s1 {origin}\n";

/// What was asked of both: rules of the frontend, and the requests' `x-name` values.
struct Case {
    name: &'static str,
    rules: &'static str,
    asked: &'static [&'static str],
}

const NAMES: &[&str] = &[
    "bk_a",
    "Bk_A",
    "BK_A",
    "b.c-d:e_1",
    "#77",
    "77",
    "numbered",
    "empty",
    "off",
    "x",
    "nope",
    "",
    "f",
    "l",
    " bk_a ",
];

const CASES: &[Case] = &[
    Case {
        name: "the whole name, with a default",
        rules: " use_backend %[req.hdr(x-name)]\n default_backend fallback\n",
        asked: NAMES,
    },
    Case {
        name: "the whole name, without a default",
        rules: " use_backend %[req.hdr(x-name)]\n",
        asked: NAMES,
    },
    Case {
        name: "a prefix and converters",
        rules: " use_backend bk_%[req.hdr(x-name),lower,map({dir}/m.map,none)]\n default_backend fallback\n",
        asked: &["A.example", "a.example", "b.example", ""],
    },
    Case {
        name: "an unknown name ends the search",
        rules: " use_backend %[req.hdr(x-name)] if { hdr(x-name) -m found }\n use_backend bk_a\n default_backend fallback\n",
        asked: &["nope", "Bk_A", "bk_a"],
    },
    Case {
        name: "rules before and behind",
        rules: " use_backend Bk_A if { hdr(x-name) first }\n use_backend bk_%[req.hdr(x-name)] unless { hdr(x-name) last }\n use_backend numbered\n default_backend fallback\n",
        asked: &["first", "a", "last", "none"],
    },
    Case {
        name: "fixed names",
        rules: " use_backend off if { hdr(x-name) off }\n use_backend down if { hdr(x-name) down }\n use_backend empty if { hdr(x-name) empty }\n use_backend l if { hdr(x-name) l }\n",
        asked: &["off", "down", "empty", "l", "nothing"],
    },
    Case {
        name: "a variable and a logged word",
        rules: " http-request set-var(txn.be) str(bk_a)\n use_backend %[var(txn.be)] if { hdr(x-name) var }\n use_backend %HM if { hdr(x-name) method }\n default_backend fallback\n",
        asked: &["var", "method"],
    },
];

/// Backend, server and letters of a log line.
fn of_line(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let word = |at: usize| words.get(at).copied().unwrap_or("-");
    format!("{} {} {} {}", word(2), word(3), word(5), word(9))
}

#[test]
fn requests_name_the_backend_that_haproxy_finds() -> Outcome {
    require!("haproxy", "tandemd");
    let origin = Origin::on_loopback("o")?;
    let backends = BACKENDS.replace("{origin}", &format!("127.0.0.1:{}", origin.port()));
    let mut differences = Differences::default();
    for case in CASES {
        let mut found = Vec::new();
        for which in BOTH {
            let folder = tempfile::Builder::new().prefix("beside-").tempdir()?;
            std::fs::write(folder.path().join("m.map"), "a.example a\nc.example c\n")?;
            let text = format!(
                "frontend f\n bind {{in}}\n{}listen l\n bind {{in2}}\n http-response set-header x-backend l\n server s1 127.0.0.1:{}\n{backends}",
                case.rules,
                origin.port()
            );
            let side = Side::start_in(which, &text, folder)?;
            let mut seen = Vec::new();
            for name in case.asked {
                side.forget();
                let request = format!(
                    "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-name: {name}\r\n\r\n"
                );
                let mut stream = side.connect()?;
                stream.write_all(request.as_bytes())?;
                let answer = String::from_utf8_lossy(&read_all(&mut stream)).into_owned();
                let status = answer.lines().next().unwrap_or_default().to_owned();
                let backend = answer
                    .lines()
                    .find_map(|line| line.strip_prefix("x-backend: "))
                    .unwrap_or("-")
                    .to_owned();
                let line = side.wait_lines(" f ", 1)?.remove(0);
                seen.push((
                    (*name).to_owned(),
                    status,
                    format!("{backend}; {}", of_line(&line)),
                ));
            }
            for (proxy, server) in [
                ("f", "FRONTEND"),
                ("bk_a", "BACKEND"),
                ("numbered", "BACKEND"),
                ("empty", "BACKEND"),
                ("down", "BACKEND"),
                ("l", "BACKEND"),
                ("x", "BACKEND"),
                ("fallback", "BACKEND"),
            ] {
                for column in [
                    "stot", "req_tot", "hrsp_2xx", "hrsp_5xx", "dreq", "ereq", "econ", "eint",
                ] {
                    let value = side.stat(proxy, server, column)?;
                    seen.push((format!("{proxy} {column}"), value, String::new()));
                }
            }
            found.push(seen);
        }
        for (theirs, ours) in found[0].iter().zip(&found[1]) {
            differences.compare(case.name, theirs, ours);
        }
    }
    differences.none()
}

/// Streams of a tcp frontend, whose names can come from what is known of the connection, also to a backend of mode http.
#[test]
fn streams_name_the_backend_that_haproxy_finds() -> Outcome {
    require!("haproxy", "tandemd");
    let origin = Origin::on_loopback("o")?;
    let port = origin.port();
    let mut differences = Differences::default();
    for (name, rules) in [
        ("known", " use_backend t_%[int(1)]\n"),
        (
            "unknown",
            " use_backend nope_%[src]\n default_backend t_2\n",
        ),
        ("nobody", " use_backend nope_%[src]\n"),
        ("http", " use_backend %[str(h)]\n"),
        ("refused by the backend", " use_backend %[str(t_3)]\n"),
        ("a listen", " default_backend l\n"),
    ] {
        let mut found = Vec::new();
        for which in BOTH {
            let text = format!(
                "frontend f\n mode tcp\n option tcplog\n bind {{in}}\n{rules}backend t_1\n mode tcp\n server one 127.0.0.1:{port}\nbackend t_2\n mode tcp\n server two 127.0.0.1:{port}\nbackend t_3\n mode tcp\n tcp-request content reject\n server two 127.0.0.1:{port}\nlisten l\n mode tcp\n bind {{in2}}\n tcp-request content reject\n server two 127.0.0.1:{port}\nbackend h\n server web 127.0.0.1:{port}\n"
            );
            let side = Side::start(which, &text)?;
            let answer =
                side.exchange(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            let status = answer.lines().next().unwrap_or_default().to_owned();
            let line = side.wait_lines(" f ", 1)?.remove(0);
            let mut seen = vec![status, of_stream(&line)];
            for (proxy, server) in [("f", "FRONTEND"), ("t_3", "BACKEND"), ("l", "BACKEND")] {
                for column in ["stot", "dreq", "econ"] {
                    let value = side.stat(proxy, server, column)?;
                    seen.push(format!("{proxy} {column} {value}"));
                }
            }
            found.push(seen);
        }
        differences.compare(name, &found[0], &found[1]);
    }
    differences.none()
}

/// Frontend, server and everything without numbers of a line of either kind.
fn of_stream(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let is_letters = |word: &&&str| {
        word.len() >= 2 && word.bytes().all(|c| c.is_ascii_alphabetic() || c == b'-')
    };
    let letters = words.iter().skip(4).find(is_letters);
    format!("{:?} {:?} {:?}", words.get(2), words.get(3), letters)
}
