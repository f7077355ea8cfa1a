//! Checks of servers: when a server is taken out and used again, what the log says of it, and what clients notice.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tandem_tests::beside::{BOTH, Differences, Side, Which};
use tandem_tests::origin::Answer;
use tandem_tests::wait::wait_for;
use tandem_tests::{Failure, Origin, Outcome, ensure, require};

const LIMIT: Duration = Duration::from_secs(15);

/// The lines about servers and checks, without durations and addresses.
fn events(side: &Side) -> Vec<String> {
    side.lines()
        .into_iter()
        .filter(|line| line.contains("erver "))
        .map(|line| {
            let mut words: Vec<&str> = line.split(' ').collect();
            for word in &mut words {
                if word.ends_with("ms,") || word.ends_with("ms.") || word.ends_with("ms") {
                    *word = "TIME";
                }
            }
            // Ours says what is wrong with an invalid answer.
            words
                .join(" ")
                .replace(" info: \"invalid answer: no HTTP/1 status line\",", "")
        })
        .collect()
}

/// A server fails and recovers in several ways: the log tells it in the same words.
#[test]
fn changes_of_health_are_told_alike() -> Outcome {
    require!("haproxy", "tandemd");
    let mut told = Vec::new();
    for which in BOTH {
        let mut origin = Origin::on_loopback("o")?;
        let port = origin.port();
        let text = format!(
            " option log-health-checks\n timeout check 250ms\nfrontend f\n bind {{in}}\n default_backend b\nbackend b\n option httpchk GET /health\n http-check expect status 200\n server s1 127.0.0.1:{port} check inter 150ms rise 2 fall 3\n server s2 127.0.0.1:{port} check inter 150ms backup rise 2 fall 100\n"
        );
        let side = Side::start(which, &text)?;
        let wait = |status: &str| side.wait_stat("b", "s1", "status", status);
        wait("UP")?;
        // The first success is told as well.
        wait_for("the first check to be told", LIMIT, || {
            let found = side.lines();
            let told = found.iter().any(|line| line.contains("b/s1 succeeded"));
            if told {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            }
        })?;
        let steps: [(&str, Option<Answer>); 4] = [
            ("wrong status", Some(Answer::Status(503, b"no".to_vec()))),
            ("no HTTP", Some(Answer::Raw(b"hello\r\n\r\n".to_vec()))),
            ("silence", Some(Answer::Silence)),
            ("refused", None),
        ];
        let mut of_side = Vec::new();
        for (name, answer) in steps {
            side.forget();
            let (gone, resting) = match answer {
                Some(answer) => {
                    origin.set(answer);
                    (false, origin)
                }
                None => {
                    let resting = Origin::on_loopback("unused")?;
                    drop(origin);
                    (true, resting)
                }
            };
            origin = resting;
            wait("DOWN")?;
            wait_for("the end to be told", LIMIT, || {
                let found = events(&side);
                let told = found.iter().any(|line| line.contains("is DOWN"));
                if told {
                    Ok(())
                } else {
                    Err(format!("{found:?}"))
                }
            })?;
            let of_s1 = |list: Vec<String>| -> Vec<String> {
                list.into_iter()
                    .filter(|line| line.contains("b/s1 "))
                    .collect()
            };
            of_side.push((name, "down", of_s1(events(&side))));
            side.forget();
            if gone {
                origin = Origin::on_loopback_port("o", port)?;
            }
            origin.set(Answer::Name);
            wait("UP")?;
            wait_for("the recovery to be told", LIMIT, || {
                let found = events(&side);
                let told = found.iter().any(|line| line.contains("b/s1 is UP"));
                if told {
                    Ok(())
                } else {
                    Err(format!("{found:?}"))
                }
            })?;
            // A failure that was under way may stand before the first success.
            let mut up = of_s1(events(&side));
            while up.first().is_some_and(|line| line.contains("failed")) {
                up.remove(0);
            }
            of_side.push((name, "up", up));
        }
        told.push(of_side);
    }
    let mut differences = Differences::default();
    for (theirs, ours) in told[0].iter().zip(&told[1]) {
        differences.compare(&format!("{} {}", theirs.0, theirs.1), &theirs.2, &ours.2);
    }
    differences.none()
}

/// `fall` checks at `inter` take a server out, `rise` bring it back; 600 ms more are allowed on a busy machine.
#[test]
fn a_server_goes_and_returns_in_time() -> Outcome {
    require!("tandemd");
    let origin = Origin::on_loopback("o")?;
    let text = format!(
        "listen l\n bind {{in}}\n option httpchk\n server s1 127.0.0.1:{} check inter 200ms rise 3 fall 4\n",
        origin.port()
    );
    let side = Side::start(Which::Tandem, &text)?;
    // A check must have been there, so that the next is due in `inter`.
    wait_for("a check", LIMIT, || {
        if origin.requests().is_empty() {
            Err(String::new())
        } else {
            Ok(())
        }
    })?;
    let measure = |answer: Answer, status: &str, checks: u32| -> Outcome {
        origin.set(answer);
        let since = Instant::now();
        side.wait_stat("l", "s1", "status", status)?;
        let took = since.elapsed();
        let least = Duration::from_millis(200) * (checks - 1);
        let most = Duration::from_millis(200) * checks + Duration::from_millis(600);
        // 60 ms for what the program and we read late.
        ensure!(
            took + Duration::from_millis(60) >= least && took <= most,
            "{status} after {took:?}, not {least:?} to {most:?}"
        );
        Ok(())
    };
    measure(Answer::Status(500, Vec::new()), "DOWN", 4)?;
    measure(Answer::Name, "UP", 3)?;
    Ok(())
}

/// 200 connections ask all the time while one of two servers dies and returns: after the check has seen the death no request
/// fails, before it only those that the server had already taken.
#[test]
fn a_death_under_load_costs_only_what_the_server_had_taken() -> Outcome {
    require!("tandemd");
    const CLIENTS: usize = 200;
    let stays = Origin::on_loopback("stays")?;
    let dies = Origin::on_loopback("dies")?;
    let port = dies.port();
    let text = format!(
        " retries 3\n option redispatch\nlisten l\n bind {{in}}\n no log\n option httpchk\n server stays 127.0.0.1:{} check inter 200ms rise 2 fall 2\n server dies 127.0.0.1:{port} check inter 200ms rise 2 fall 2\n",
        stays.port()
    );
    let side = Side::start(Which::Tandem, &text)?;
    let (done, seen_down) = (AtomicBool::new(false), AtomicBool::new(false));
    let (good, failed_before, failed_after) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let reasons = std::sync::Mutex::new(Vec::new());
    let outcome = std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut stream = None;
                while !done.load(Ordering::Relaxed) {
                    let after = seen_down.load(Ordering::Relaxed);
                    match ask(&side, &mut stream) {
                        Ok(()) => good.fetch_add(1, Ordering::Relaxed),
                        Err(reason) => {
                            stream = None;
                            if let Ok(mut reasons) = reasons.lock() {
                                reasons.push(format!("after={after}: {reason}"));
                            }
                            if after { &failed_after } else { &failed_before }
                                .fetch_add(1, Ordering::Relaxed)
                        }
                    };
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
        }
        let run = || -> Outcome<Origin> {
            let wait_good = |more: usize| {
                let wanted = good.load(Ordering::Relaxed) + more;
                wait_for("requests to be answered", LIMIT, || {
                    let now = good.load(Ordering::Relaxed);
                    if now >= wanted {
                        Ok(())
                    } else {
                        Err(now.to_string())
                    }
                })
            };
            wait_good(CLIENTS * 2)?;
            drop(dies);
            side.wait_stat("l", "dies", "status", "DOWN")?;
            seen_down.store(true, Ordering::Relaxed);
            wait_good(CLIENTS * 4)?;
            let again = Origin::on_loopback_port("dies", port)?;
            side.wait_stat("l", "dies", "status", "UP")?;
            again.forget();
            wait_good(CLIENTS * 4)?;
            let used = again.requests().len();
            ensure!(
                used > CLIENTS,
                "only {used} requests reached the server after its return"
            );
            // It outlives the clients, whose last requests it may hold.
            Ok(again)
        };
        let outcome = run();
        done.store(true, Ordering::Relaxed);
        outcome
    });
    drop(outcome?);
    let reasons = reasons.into_inner().unwrap_or_default();
    let (before, after) = (failed_before.into_inner(), failed_after.into_inner());
    println!(
        "{} good, {before} failed before, {after} after",
        good.into_inner()
    );
    ensure!(after == 0, "{after} failed after the check: {reasons:?}");
    // Each connection had at most one request at the server that died.
    ensure!(
        before <= CLIENTS,
        "{before} failed before the check: {:?}",
        &reasons[..5]
    );
    Ok(())
}

fn ask(side: &Side, kept: &mut Option<std::net::TcpStream>) -> Outcome {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => side.connect()?,
    };
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")?;
    let mut got = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(Failure::new(format!(
                "cut after {:?}",
                String::from_utf8_lossy(&got)
            )));
        }
        got.extend_from_slice(&buffer[..count]);
        if got.ends_with(b"stays\n") || got.ends_with(b"dies\n") {
            break;
        }
    }
    ensure!(
        got.starts_with(b"HTTP/1.1 200"),
        "{:?}",
        String::from_utf8_lossy(&got)
    );
    *kept = Some(stream);
    Ok(())
}
