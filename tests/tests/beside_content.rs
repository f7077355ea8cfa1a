//! TCP content inspection beside haproxy: where a stream goes, what the log and the counters say of it, and that its bytes
//! reach the server as they came. Streams of TLS are passed through, not spoken.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tandem_tests::beside::{BOTH, Differences, Side, scripted};
use tandem_tests::play::{Step, classes, play};
use tandem_tests::wait::wait_for;
use tandem_tests::{Outcome, require};

use Step::{Leave, Pause, Reset, Send, Shut};

/// A ClientHello whose bytes are all below 128, so that it can stand in a text: with a name, two protocols, curves and a ticket.
fn hello(name: &str) -> String {
    let text = |width: usize, text: &str| {
        let length = format!("{}{}", '\0', char::from(text.len() as u8));
        assert!(text.len() < 128);
        format!("{}{text}", &length[2 - width.min(2)..])
    };
    let extension = |kind: u8, data: &str| format!("\0{}{}", char::from(kind), text(2, data));
    let extensions = [
        extension(0, &text(2, &format!("\0{}", text(2, name)))),
        extension(
            16,
            &text(2, &format!("{}{}", text(1, "h2"), text(1, "http/1.1"))),
        ),
        extension(10, &text(2, "\0\x1d")),
        extension(35, ""),
    ]
    .concat();
    let body = format!(
        "\x03\x03{}{}{}{}{}",
        "r".repeat(32),
        text(1, ""),
        text(2, "\x13\x01"),
        text(1, "\0"),
        text(2, &extensions)
    );
    let message = format!("\x01\0{}", text(2, &body));
    format!("\x16\x03\x01{}", text(2, &message))
}

fn leak(text: &str) -> &'static str {
    String::leak(text.to_owned())
}

const WAIT: &str = " tcp-request inspect-delay 500ms\n";
const ACCEPT: &str = " tcp-request content accept if { req.ssl_hello_type 1 }\n";
const BY_NAME: &str = " use_backend other if { req.ssl_sni -i Shop.example.org }\n";

type Clients = Vec<(&'static str, Vec<Step>)>;

/// Clients of all kinds.
fn clients() -> Clients {
    let shop = leak(&hello("shop.example.org"));
    let plain = leak(&hello("www.example.org"));
    vec![
        ("a name that is routed", vec![Send(shop), Pause(50), Leave]),
        ("another name", vec![Send(plain), Pause(50), Leave]),
        (
            "in two pieces",
            vec![
                Send(&shop[..40]),
                Pause(80),
                Send(&shop[40..]),
                Pause(50),
                Leave,
            ],
        ),
        ("no TLS", vec![Send("SSH-2.0-x\r\n"), Pause(50), Leave]),
        ("half a hello", vec![Send(&shop[..50]), Pause(700), Leave]),
        ("silence", vec![Pause(700), Leave]),
        ("half a hello and its end", vec![Send(&shop[..50]), Shut]),
        (
            "half a hello and a reset",
            vec![Send(&shop[..50]), Pause(80), Reset],
        ),
        ("an end at once", vec![Shut]),
    ]
}

/// What one program did: the log lines, the figures, and what the two servers got.
#[derive(Debug, PartialEq)]
struct Done {
    lines: Vec<String>,
    figures: Vec<String>,
    arrived: Vec<Vec<u8>>,
}

fn serve(front: &str, back: &str, clients: &Clients) -> Outcome<[Done; 2]> {
    let one = |which| -> Outcome<Done> {
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let server = |mark: u8| {
            let arrived = Arc::clone(&arrived);
            scripted(move |mut stream, _| {
                let mut bytes = vec![mark];
                let _ = std::io::Read::read_to_end(&mut stream, &mut bytes);
                arrived
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(bytes);
            })
        };
        let (main, other) = (server(b'm')?, server(b'o')?);
        let text = format!(
            " mode tcp\n option tcplog\nfrontend f\n bind {{in}}\n{front} default_backend b\n\
             backend b\n{back} server s1 127.0.0.1:{main}\nbackend other\n server o1 127.0.0.1:{other}\n"
        );
        let side = Side::start(which, &text)?;
        let mut lines = Vec::new();
        for (count, (name, steps)) in clients.iter().enumerate() {
            play(&side, steps)?;
            let all = side.wait_lines(" f", count + 1)?;
            lines.push(format!("{name}: {}", classes(&all[count], which)));
        }
        let mut figures = Vec::new();
        for (proxy, server) in [
            ("f", "FRONTEND"),
            ("b", "BACKEND"),
            ("b", "s1"),
            ("other", "o1"),
        ] {
            for column in [
                "stot", "bin", "bout", "dreq", "ereq", "dcon", "cli_abrt", "econ",
            ] {
                let value = side.stat(proxy, server, column)?;
                figures.push(format!("{proxy}/{server} {column} {value}"));
            }
        }
        let of = |proxy: &str, name: &str| -> Outcome<usize> {
            Ok(side.stat(proxy, name, "stot")?.parse().unwrap_or(0))
        };
        let wanted = of("b", "s1")? + of("other", "o1")?;
        wait_for(
            "the servers' streams to end",
            Duration::from_secs(5),
            || {
                let count = arrived.lock().unwrap_or_else(PoisonError::into_inner).len();
                if count >= wanted {
                    Ok(())
                } else {
                    Err(count.to_string())
                }
            },
        )?;
        let mut arrived = arrived
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        arrived.sort();
        Ok(Done {
            lines,
            figures,
            arrived,
        })
    };
    let [theirs, ours] = std::thread::scope(|scope| {
        let one = &one;
        BOTH.map(|which| scope.spawn(move || one(which)))
            .map(|thread| thread.join().expect("a side does not panic"))
    });
    Ok([theirs?, ours?])
}

/// Some conditions, and what a client of TLS and one of HTTP get.
#[rustfmt::skip]
const CONDITIONS: &[&str] = &[
    "{ req.ssl_ver 3.3 }", "{ req.ssl_ver 3:3.2 }", "{ req.ssl_ver ge 3.2 }", "{ req_ssl_ver -m int 196611 }",
    "{ req.ssl_alpn http/1.1 }", "{ req.ssl_alpn h3 }", "{ req.ssl_ec_ext }", "{ req.ssl_st_ext 1 }",
    "{ req.payload(0,3) -m bin 160301 }", "{ payload(0,3) -m str GET }", "{ req.payload(0,0) -m sub HTTP }",
    "{ req.payload_lv(0,1,1) -m found }", "{ req.len ge 100 }", "{ req_len lt 50 }", "REQ_CONTENT", "HTTP", "!HTTP", "METH_GET",
    "{ req_ssl_sni -m end .example.org }", "{ req.ssl_sni -m found } or { path / }", "{ req_ssl_hello_type 1 } WAIT_END",
    "RDP_COOKIE", "!{ req.ssl_hello_type 1 }", "!{ req.ssl_sni -m reg ^shop }",
];

fn both(what: &str, front: &str, back: &str, clients: &Clients, differences: &mut Differences) {
    // A busy machine may make two pieces of one, and a short time long: only what differs three times is a difference.
    for is_last in [false, false, true] {
        match serve(front, back, clients) {
            Ok([theirs, ours]) if theirs == ours => return,
            Ok([theirs, ours]) if is_last => {
                for (theirs, ours) in theirs.lines.into_iter().zip(ours.lines) {
                    differences.compare(what, theirs, ours);
                }
                for (theirs, ours) in theirs.figures.into_iter().zip(ours.figures) {
                    differences.compare(what, theirs, ours);
                }
                differences.compare(what, theirs.arrived, ours.arrived);
            }
            Err(error) if is_last => differences.note(&format!("{what}: {error}")),
            _ => {}
        }
    }
}

#[test]
fn streams_are_routed_and_refused_by_their_first_bytes_alike() -> Outcome {
    require!("haproxy", "tandemd");
    let cases = [
        ("routed by name", format!("{WAIT}{ACCEPT}{BY_NAME}"), ""),
        (
            "all else refused",
            format!("{WAIT}{ACCEPT} tcp-request content reject\n{BY_NAME}"),
            "",
        ),
        (
            "refused by the backend",
            String::new(),
            " tcp-request inspect-delay 500ms\n tcp-request content reject if !{ req.ssl_hello_type 1 }\n",
        ),
        (
            "the client's time is shorter",
            format!(" timeout client 300ms\n{WAIT}{ACCEPT} tcp-request content reject\n"),
            "",
        ),
        (
            "refused in the end",
            format!("{WAIT} tcp-request content reject if WAIT_END\n"),
            "",
        ),
        (
            "refused with any data",
            format!("{WAIT} tcp-request content reject if {{ req.len gt 0 }}\n"),
            "",
        ),
        (
            "no delay",
            String::from(" tcp-request content reject if { src 127.0.0.2 }\n"),
            "",
        ),
        (
            "a server by name",
            format!("{WAIT}{ACCEPT}"),
            " server s2 127.0.0.1:1 weight 0\n use-server s2 if { req.ssl_sni -m beg nobody }\n",
        ),
    ];
    each_beside(&cases, |(what, front, back), differences| {
        let mut clients = clients();
        // Whether a client that leaves at once is gone before its server is reached is a race.
        clients.retain(|(name, _)| *what != "no delay" || !name.contains("end"));
        both(what, front, back, &clients, differences);
    })
}

/// Compares all cases at once and gathers what differs.
fn each_beside<T: Sync>(cases: &[T], compare: impl Fn(&T, &mut Differences) + Sync) -> Outcome {
    let compare = &compare;
    let results = std::thread::scope(|scope| {
        let running: Vec<_> = cases
            .iter()
            .map(|case| {
                scope.spawn(move || {
                    let mut differences = Differences::default();
                    compare(case, &mut differences);
                    differences
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("a case does not panic"))
            .collect::<Vec<_>>()
    });
    let mut differences = Differences::default();
    for result in results {
        if let Err(error) = result.none() {
            differences.note(&error.to_string());
        }
    }
    differences.none()
}

#[test]
fn conditions_on_first_bytes_hold_alike() -> Outcome {
    require!("haproxy", "tandemd");
    let some: Vec<_> = CONDITIONS.chunks(6).collect();
    each_beside(&some, |some, differences| {
        for condition in *some {
            let clients: Clients = vec![
                (
                    "TLS",
                    vec![Send(leak(&hello("shop.example.org"))), Pause(50), Leave],
                ),
                (
                    "HTTP",
                    vec![Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n"), Pause(50), Leave],
                ),
            ];
            let front = format!(
                "{} tcp-request content reject if {condition}\n",
                WAIT.replace("500", "300")
            );
            both(condition, &front, "", &clients, differences);
        }
    })
}

/// What samples yield, as captures show it in the log.
#[test]
fn samples_of_first_bytes_are_captured_alike() -> Outcome {
    require!("haproxy", "tandemd");
    let front = format!(
        "{WAIT} tcp-request content capture req.ssl_sni len 20\n tcp-request content capture req.payload(0,3) len 10\n \
         tcp-request content set-var(txn.version) req.ssl_ver\n tcp-request content set-var(txn.alpn) req.ssl_alpn\n \
         log-format \"%ci:%cp [%t] %ft %b/%s %ts %hr %[capture.req.hdr(0)] %[var(txn.version)] %[var(txn.alpn)]\"\n"
    );
    let mut clients = clients();
    // Waiting for a sample that cannot come any more is left to haproxy.
    clients.retain(|(name, _)| !name.contains("end"));
    let mut differences = Differences::default();
    both("captures", &front, "", &clients, &mut differences);
    differences.none()
}
