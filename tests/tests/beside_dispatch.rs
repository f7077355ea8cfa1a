//! `dispatch` beside haproxy: where streams and requests go, and what the log and the statistics say of a server without a
//! name.

use tandem_tests::beside::{BOTH, Differences, Side, scripted};
use tandem_tests::play::{Step, classes, play};
use tandem_tests::{Outcome, require};

use Step::{Leave, Send, Until};

const COLUMNS: &[&str] = &[
    "stot", "bin", "bout", "econ", "wretr", "wredis", "status", "weight", "act", "bck", "lbtot",
    "algo",
];

/// Backends of a case, and the lines that a client sends.
struct Case {
    name: &'static str,
    mode: &'static str,
    back: &'static str,
    steps: Vec<Step>,
}

#[test]
fn a_server_without_a_name_serves_and_is_told_of_alike() -> Outcome {
    require!("haproxy", "tandemd");
    let origin = scripted(|mut stream, _| {
        let mut bytes = [0; 4096];
        while matches!(std::io::Read::read(&mut stream, &mut bytes), Ok(1..)) {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
            let _ = std::io::Write::write_all(&mut stream, answer);
        }
    })?;
    let tcp = || vec![Send("anything"), Until("hello"), Leave];
    let http = || {
        vec![Send(
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        )]
    };
    let cases = [
        Case {
            name: "a stream",
            mode: " mode tcp\n option tcplog\n",
            back: " dispatch 127.0.0.1:{port}\n",
            steps: tcp(),
        },
        Case {
            name: "a request",
            mode: "",
            back: " dispatch 127.0.0.1:{port}\n",
            steps: http(),
        },
        Case {
            name: "by name",
            mode: "",
            back: " dispatch localhost:{port}\n",
            steps: http(),
        },
        Case {
            name: "refused",
            mode: " mode tcp\n option tcplog\n",
            back: " retries 1\n timeout connect 200ms\n dispatch 127.0.0.1:1\n",
            steps: vec![],
        },
        Case {
            name: "with balance",
            mode: "",
            back: " balance leastconn\n dispatch 127.0.0.1:1\n server s1 127.0.0.1:{port}\n",
            steps: http(),
        },
    ];
    let mut differences = Differences::default();
    for case in &cases {
        let text = format!(
            "{}frontend f\n bind {{in}}\n default_backend b\nbackend b\n{}",
            case.mode,
            case.back.replace("{port}", &origin.to_string())
        );
        let done = BOTH.map(|which| -> Outcome<Vec<String>> {
            let side = Side::start(which, &text)?;
            let got = play(&side, &case.steps)?;
            let lines = side.wait_lines(" f", 1)?;
            let mut seen = vec![got.split("\r\n").next().unwrap_or_default().to_owned()];
            seen.extend(lines.iter().map(|line| classes(line, which)));
            // haproxy counts bytes of its own form of a message.
            let is_http = case.mode.is_empty();
            for column in COLUMNS
                .iter()
                .filter(|name| !is_http || !matches!(**name, "bin" | "bout"))
            {
                seen.push(format!("{column} {}", side.stat("b", "BACKEND", column)?));
            }
            let servers = side.command("show servers state b")?;
            seen.push(format!("{} servers", servers.lines().count()));
            let rows = side.command("show stat")?;
            seen.push(format!(
                "{} rows",
                rows.lines().filter(|row| row.starts_with("b,")).count()
            ));
            Ok(seen)
        });
        let [theirs, ours] = done;
        for (theirs, ours) in theirs?.into_iter().zip(ours?) {
            differences.compare(case.name, theirs, ours);
        }
    }
    differences.none()
}
