//! `observe`: errors of the traffic itself take a server out, or bring its checks forward, as haproxy does.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tandem_tests::beside::{BOTH, Differences, Side, Which, free_port, read_until, scripted};
use tandem_tests::play::reset;
use tandem_tests::wait::wait_for;
use tandem_tests::{Outcome, require};

const LIMIT: Duration = Duration::from_secs(15);

/// A name, what is observed, `on-error` and further options, the limit, and the requests.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    u32,
    &'static [&'static str],
);

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("fastinter", "layer7", "on-error fastinter fastinter 300ms", 3, &["/500"; 4]),
    ("fail-check", "layer7", "fall 3 on-error fail-check", 3, &["/500"; 10]),
    ("sudden-death", "layer7", "fall 3 on-error sudden-death", 3, &["/500"; 7]),
    ("mark-down", "layer7", "fall 3 on-error mark-down", 3, &["/500"; 5]),
    ("one check is enough", "layer7", "fall 1 on-error fail-check", 2, &["/500"; 4]),
    ("one check, sudden death", "layer7", "fall 1 rise 1 on-error sudden-death", 2, &["/500"; 4]),
    ("good ones between", "layer7", "on-error mark-down", 3, &["/500", "/500", "/", "/500", "/500", "/", "/500", "/500", "/500", "/"]),
    ("not found", "layer7", "on-error mark-down", 2, &["/404"; 4]),
    ("not implemented", "layer7", "on-error mark-down", 2, &["/501"; 4]),
    ("no HTTP", "layer7", "on-error mark-down", 2, &["/bad"; 4]),
    ("resets", "layer7", "on-error mark-down", 2, &["/reset"; 4]),
    ("is silent", "layer7", "on-error mark-down", 2, &["/silent"; 3]),
    ("half a body", "layer7", "on-error mark-down", 2, &["/half"; 4]),
    ("layer 4, 500", "layer4", "on-error mark-down", 2, &["/500"; 4]),
    ("layer 4, no HTTP", "layer4", "on-error mark-down", 2, &["/bad"; 4]),
    ("layer 4, refused, fastinter", "layer4", "on-error fastinter fastinter 300ms", 3, &["/refused"; 4]),
    ("layer 4, refused, fail-check", "layer4", "fall 2 on-error fail-check", 3, &["/refused"; 7]),
    ("layer 4, refused, sudden-death", "layer4", "fall 3 on-error sudden-death", 3, &["/refused"; 7]),
    ("layer 4, refused, mark-down", "layer4", "on-error mark-down", 3, &["/refused"; 4]),
    ("layer 7, refused, mark-down", "layer7", "on-error mark-down", 3, &["/refused"; 4]),
];

/// Its port; counts its checks.
fn server(checks: Arc<AtomicUsize>) -> Outcome<u16> {
    scripted(move |mut stream, _| {
        let head = read_until(&mut stream, "\r\n\r\n");
        let path = head.split(' ').nth(1).unwrap_or_default();
        let _ = match path {
            "/500" | "/501" | "/404" => stream.write_all(
                format!("HTTP/1.1 {} X\r\ncontent-length: 0\r\n\r\n", &path[1..]).as_bytes(),
            ),
            "/check" => {
                checks.fetch_add(1, Ordering::SeqCst);
                stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 0\r\n\r\n")
            }
            "/bad" => stream.write_all(b"BLAH\r\n\r\n"),
            "/half" => stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 10\r\n\r\nabc"),
            "/reset" => return reset(stream),
            "/silent" => {
                read_until(&mut stream, "never");
                Ok(())
            }
            _ => stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 0\r\n\r\n"),
        };
    })
}

/// What became of the server after each request, and what the log says of it.
fn seen(which: Which, case: &Case) -> Outcome<(Vec<String>, Vec<String>)> {
    let (_, layer, options, limit, requests) = case;
    let checks = Arc::new(AtomicUsize::new(0));
    let server = server(Arc::clone(&checks))?;
    let own = match requests.first() {
        Some(&"/refused") => free_port()?,
        _ => server,
    };
    let side = Side::start(
        which,
        &format!(
            "frontend f\n bind {{in}}\n default_backend b\nbackend b\n timeout server 300ms\n retries 0\n option httpchk GET /check\n server s 127.0.0.1:{own} port {server} check inter 60s observe {layer} error-limit {limit} {options}\n"
        ),
    )?;
    side.wait_stat("b", "s", "check_status", "L7OK")?;
    let mut states = Vec::new();
    for path in *requests {
        let answer = side.get(path, &[])?;
        let mut state = vec![path.to_string(), answer.status.to_string()];
        for column in [
            "status",
            "check_status",
            "hanafail",
            "chkfail",
            "check_health",
        ] {
            state.push(side.stat("b", "s", column)?);
        }
        states.push(state.join(" "));
    }
    if options.contains("fastinter 300ms") {
        // The next check comes soon, and says that all is well.
        wait_for(
            &format!("the next check of {which:?}, {}", case.0),
            LIMIT,
            || {
                let count = checks.load(Ordering::SeqCst);
                if count > 1 {
                    Ok(())
                } else {
                    Err(count.to_string())
                }
            },
        )?;
    }
    if states.iter().any(|state| state.contains(" DOWN ")) {
        side.wait_lines("Server b/s is DOWN", 1)?;
    }
    let mut lines = side.lines();
    lines.retain(|line| line.starts_with("Server "));
    // Whether the request that was the last straw still counts differs from run to run.
    let lines = lines
        .iter()
        .map(|line| line.replace(". 1 sessions active", ". 0 sessions active"))
        .collect();
    Ok((states, lines))
}

#[test]
fn errors_of_the_traffic_have_the_same_consequences() -> Outcome {
    require!("haproxy", "tandemd");
    let mut differences = Differences::default();
    for group in CASES.chunks(5) {
        let results: Vec<_> = std::thread::scope(|scope| {
            let running: Vec<_> = group
                .iter()
                .map(|case| BOTH.map(|which| scope.spawn(move || seen(which, case))))
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| -> Outcome<_> {
                thread.join().expect("a case does not panic")
            };
            running
                .into_iter()
                .map(|threads| threads.map(join))
                .collect()
        });
        for (case, [theirs, ours]) in group.iter().zip(results) {
            differences.compare(case.0, theirs?, ours?);
        }
    }
    differences.none()
}
