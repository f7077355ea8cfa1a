//! What the client gets and what the log says, field by field beside haproxy: for requests that go well and for all the
//! ways in which they do not.

mod cases;
mod http1;
mod origin;

use std::io::Write;
use std::net::Shutdown;

use tandem_tests::beside::{BOTH, Differences, Side, connect, read_all};
use tandem_tests::{Outcome, ensure, require};

use cases::{Case, OWN_ANSWERS, OWN_LINES, cases, tcp_cases, upgrade_cases};
use origin::origin;
use tandem_tests::play::{Step::Send, classes, plain, play};

/// What one program did with a case: what the client got, and the lines of the log.
type Done = (String, Vec<String>);

/// How many cases run side by side: most of the time is spent waiting for timeouts.
const TOGETHER: usize = 16;

/// Plays a case on both.
fn both(one: &Case, head: &str, origin: &str) -> Outcome<[Done; 2]> {
    let text = format!(
        "{head}frontend f\n bind {{in}}\n{} default_backend b\nbackend b\n{}",
        one.front,
        one.back.replace("{origin}", origin)
    );
    let one_side = |which| -> Outcome<Done> {
        let side = Side::start(which, &text)?;
        let got = play(&side, &one.steps)?;
        let mut lines = side.wait_lines(" f", one.lines)?;
        if one.lines == 0 {
            // Nothing may come: one more request whose line would stand behind it.
            let _ = side.get("/after", &[])?;
            side.wait_lines("/after", 1)?;
            lines = side.lines();
            lines.retain(|line| !line.contains("/after"));
        }
        let lines = lines.iter().map(|line| classes(line, which)).collect();
        Ok((plain(&got), lines))
    };
    Ok([one_side(BOTH[0])?, one_side(BOTH[1])?])
}

fn note(one: &Case, done: Outcome<[Done; 2]>, differences: &mut Differences) {
    match done {
        Ok([(their_answer, their_lines), (our_answer, our_lines)]) => {
            if !OWN_ANSWERS.contains(&one.name) {
                differences.compare(&format!("{}: answer", one.name), their_answer, our_answer);
            }
            if !OWN_LINES.contains(&one.name) {
                differences.compare(&format!("{}: log", one.name), their_lines, our_lines);
            }
        }
        Err(error) => differences.note(&format!("{}: {error}", one.name)),
    }
}

fn compare(cases: &[Case], head: &str) -> Outcome {
    let origin = format!("127.0.0.1:{}", origin()?);
    let mut differences = Differences::default();
    for group in cases.chunks(TOGETHER) {
        let results: Vec<Outcome<[Done; 2]>> = std::thread::scope(|scope| {
            let running: Vec<_> = group
                .iter()
                .map(|one| scope.spawn(|| both(one, head, &origin)))
                .collect();
            running
                .into_iter()
                .map(|thread| thread.join().expect("a case does not panic"))
                .collect()
        });
        for (one, done) in group.iter().zip(results) {
            let mut first = Differences::default();
            note(one, done, &mut first);
            if first.none().is_err() {
                // A busy machine turns a short time into a long one: only what differs again, alone, is a difference.
                note(one, both(one, head, &origin), &mut differences);
            }
        }
    }
    differences.none()
}

#[test]
fn http_requests_end_and_are_logged_alike() -> Outcome {
    require!("haproxy", "tandemd");
    compare(&cases(), " timeout client 2s\n timeout server 2s\n")
}

#[test]
fn http1_behaves_alike() -> Outcome {
    require!("haproxy", "tandemd");
    compare(
        &http1::http1_cases(),
        " timeout client 2s\n timeout server 2s\n",
    )
}

#[test]
fn clients_that_leave_are_noticed_alike() -> Outcome {
    require!("haproxy", "tandemd");
    compare(
        &http1::abort_cases(),
        " option abortonclose\n timeout client 2s\n timeout server 2s\n",
    )
}

#[test]
fn tcp_connections_end_and_are_logged_alike() -> Outcome {
    require!("haproxy", "tandemd");
    compare(
        &tcp_cases(),
        " mode tcp\n option tcplog\n timeout client 2s\n timeout server 2s\n",
    )
}

#[test]
fn tcp_frontends_with_http_backends_behave_alike() -> Outcome {
    require!("haproxy", "tandemd");
    compare(
        &upgrade_cases(),
        " mode tcp\n timeout client 2s\n timeout server 2s\n",
    )
}

#[test]
fn queues_and_limits_are_logged_alike() -> Outcome {
    require!("haproxy", "tandemd");
    let origin = origin()?;
    let text = format!(
        "frontend f\n bind {{in}}\n default_backend b\nbackend b\n timeout queue 600ms\n server s1 127.0.0.1:{origin} maxconn 1\n\
         frontend patient\n bind {{in2}}\n default_backend held\nbackend held\n timeout server 6s\n timeout queue 15s\n server s1 127.0.0.1:{origin} maxconn 1\n"
    );
    let mut differences = Differences::default();
    let results = BOTH.map(|which| -> Outcome<Done> {
        let side = Side::start(which, &text)?;
        let mut first = side.connect()?;
        first.write_all(b"GET /silent HTTP/1.1\r\nhost: a\r\n\r\n")?;
        side.wait_stat("b", "s1", "scur", "1")?;
        let got = play(
            &side,
            &[Send(
                "GET /second HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            )],
        )?;
        let mut lines = side.wait_lines("/second", 1)?;
        let _ = first.shutdown(Shutdown::Both);
        side.wait_lines("/silent", 1)?;
        // Those that wait get their turn in order; the place is held until all wait.
        let mut holder = connect(side.second)?;
        holder.write_all(b"GET /silent/2 HTTP/1.1\r\nhost: a\r\n\r\n")?;
        side.wait_stat("held", "s1", "scur", "1")?;
        let mut waiting = Vec::new();
        for path in ["/3", "/4", "/5"] {
            let mut stream = connect(side.second)?;
            let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes())?;
            waiting.push(stream);
            side.wait_stat("held", "BACKEND", "qcur", &waiting.len().to_string())?;
        }
        let _ = holder.shutdown(Shutdown::Both);
        for mut stream in waiting {
            let got = String::from_utf8_lossy(&read_all(&mut stream)).into_owned();
            ensure!(got.starts_with("HTTP/1.1 200"), "{which:?} answered {got}");
        }
        for path in ["/3", "/4", "/5"] {
            lines.extend(side.wait_lines(&format!("GET {path} "), 1)?);
        }
        Ok((
            plain(&got),
            lines.iter().map(|line| classes(line, which)).collect(),
        ))
    });
    let [theirs, ours] = results;
    let ((their_answer, their_lines), (our_answer, our_lines)) = (theirs?, ours?);
    differences.compare("queue timeout: answer", their_answer, our_answer);
    differences.compare("queue: log", their_lines, our_lines);
    differences.none()
}
