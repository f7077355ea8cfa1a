//! Limits of connections, rates and descriptors: who comes beyond them waits in the listening socket's queue, nobody is
//! dropped, and what is established goes on. Beside haproxy where it sets the measure.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use tandem_tests::beside::{
    BOTH, Differences, Side, Which, connect, read_all, read_until, scripted,
};
use tandem_tests::process::{Signal, send};
use tandem_tests::wait::wait_for;
use tandem_tests::{Failure, Load, LoadOptions, Outcome, certificate, ensure, require, wait_until};

const LIMIT: Duration = Duration::from_secs(20);
/// Connections at a time, and of clients that come.
const PLACES: u64 = 6;
const CLIENTS: usize = 30;
/// Connections or sessions a second.
const RATE: u64 = 40;

/// Answers each request after a short while, so that connections meet.
fn thoughtful() -> Outcome<u16> {
    scripted(|mut stream, _| {
        while read_until(&mut stream, "\r\n\r\n").contains("\r\n\r\n") {
            std::thread::sleep(Duration::from_millis(10));
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    })
}

fn start(which: Which, text: &str) -> Outcome<Side> {
    let folder = tempfile::Builder::new().prefix("limits-").tempdir()?;
    std::fs::write(
        folder.path().join("pem"),
        certificate::pem(&["example.org"])?,
    )?;
    Side::start_in(which, text, folder)
}

fn info(side: &Side, name: &str) -> Outcome<u64> {
    let text = side.command("show info")?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok());
    value.ok_or_else(|| Failure::new(format!("no {name} in {text}")))
}

/// A connection per request from more clients than there are places: all are served, and there are never more than allowed.
#[test]
fn beyond_a_limit_of_connections_everybody_waits() -> Outcome {
    require!("tandemd");
    let server = thoughtful()?;
    for (name, text) in [
        ("global", "global:maxconn 6\nfrontend f\n bind {in}\n"),
        ("frontend", "frontend f\n bind {in}\n maxconn 6\n"),
        ("listener", "frontend f\n bind {in} maxconn 6\n"),
    ] {
        let text = format!(
            " timeout connect 5s\n{text} default_backend b\nbackend b\n server s1 127.0.0.1:{server}\n"
        );
        let side = start(Which::Tandem, &text)?;
        let load = Load::here(LoadOptions {
            keep_alive: false,
            ..LoadOptions::new(side.address, CLIENTS)
        });
        wait_until("600 requests", LIMIT, || load.completed() >= 600)?;
        let tally = load.finish();
        ensure!(
            tally.failures() == 0,
            "{name}: some were dropped: {:?}",
            tally.failed
        );
        let most: u64 = side.stat("f", "FRONTEND", "smax")?.parse().unwrap_or(0);
        ensure!(
            most == PLACES,
            "{name}: {most} at a time instead of {PLACES}"
        );
        side.wait_stat("f", "FRONTEND", "scur", "0")?;
    }
    Ok(())
}

/// A listener that waits for its next connection does not take it when another has taken the last place meanwhile.
#[test]
fn a_limit_of_the_process_holds_over_all_listeners() -> Outcome {
    require!("haproxy", "tandemd");
    let server = thoughtful()?;
    let text = format!(
        "global:maxconn 3\nfrontend f\n bind {{in}}\n default_backend b\nfrontend g\n bind {{in2}}\n default_backend b\nbackend b\n server s1 127.0.0.1:{server}\n"
    );
    let mut differences = Differences::default();
    let mut found = Vec::new();
    for which in BOTH {
        let side = start(which, &text)?;
        let mut held: Vec<TcpStream> = (0..3).map(|_| side.connect()).collect::<Outcome<_>>()?;
        side.wait_stat("f", "FRONTEND", "scur", "3")?;
        let mut other = connect(side.second)?;
        other.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
        other.set_read_timeout(Some(Duration::from_millis(400)))?;
        let early = other.read(&mut [0; 1]).is_ok();
        other.set_read_timeout(Some(LIMIT))?;
        held.pop();
        let late = String::from_utf8_lossy(&read_all(&mut other)).into_owned();
        found.push((early, late.split(' ').nth(1).unwrap_or_default().to_owned()));
    }
    differences.compare("early and late", &found[0], &found[1]);
    ensure!(
        found[1] == (false, "200".to_owned()),
        "early and late: {:?}",
        found[1]
    );
    differences.none()
}

/// Rates of connections and sessions hold, and those that come faster wait.
#[test]
fn beyond_a_rate_everybody_waits() -> Outcome {
    require!("haproxy", "tandemd");
    const TIME: Duration = Duration::from_secs(3);
    let server = thoughtful()?;
    std::thread::scope(|scope| -> Outcome {
        let running: Vec<_> = [
            (
                "maxconnrate",
                "global:maxconnrate 40\nfrontend f\n bind {in}\n",
            ),
            (
                "maxsessrate",
                "global:maxsessrate 40\nfrontend f\n bind {in}\n",
            ),
            (
                "rate-limit",
                "frontend f\n bind {in}\n rate-limit sessions 40\n",
            ),
        ]
        .into_iter()
        .map(|(name, text)| {
            scope.spawn(move || -> Outcome {
                let text =
                    format!("{text} default_backend b\nbackend b\n server s1 127.0.0.1:{server}\n");
                for which in BOTH {
                    let side = start(which, &text)?;
                    let load = Load::here(LoadOptions {
                        keep_alive: false,
                        ..LoadOptions::new(side.address, 10)
                    });
                    let began = Instant::now();
                    // The time is what the rate is measured by.
                    std::thread::sleep(TIME);
                    let done = load.completed();
                    let took = began.elapsed().as_secs_f64();
                    let tally = load.finish();
                    ensure!(
                        tally.failures() == 0,
                        "{name} {which:?}: some were dropped: {:?}",
                        tally.failed
                    );
                    // A burst of one second's worth may come first.
                    let (least, most) =
                        (RATE as f64 * took * 0.6, RATE as f64 * (took + 1.0) * 1.1);
                    println!("{name} {which:?}: {done} in {took:.2} s");
                    ensure!(
                        (least..=most).contains(&(done as f64)),
                        "{name} {which:?}: {done} in {took:.2} s, not {least:.0} to {most:.0}"
                    );
                    let rate_max: u64 =
                        side.stat("f", "FRONTEND", "rate_max")?.parse().unwrap_or(0);
                    ensure!(
                        rate_max <= RATE + RATE / 5,
                        "{name} {which:?}: {rate_max} in a second"
                    );
                }
                Ok(())
            })
        })
        .collect();
        for thread in running {
            thread.join().expect("a rate does not panic")?;
        }
        Ok(())
    })
}

/// The same for TLS: connections and handshakes.
#[test]
fn beyond_a_limit_of_tls_everybody_waits() -> Outcome {
    require!("tandemd", "h2load");
    let server = thoughtful()?;
    for (name, global) in [
        ("maxsslconn", "maxsslconn 6"),
        ("maxsslrate", "maxsslrate 40"),
    ] {
        let text = format!(
            "global:{global}\nfrontend f\n bind {{in}} ssl crt {{dir}}/pem\n bind {{in2}}\n default_backend b\nbackend b\n server s1 127.0.0.1:{server}\n"
        );
        let side = start(Which::Tandem, &text)?;
        let began = Instant::now();
        let url = format!("https://{}/", side.address);
        let output = Command::new("h2load")
            .args(["--h1", "-t1", "-n160", "-c160", &url])
            .output()?;
        let took = began.elapsed().as_secs_f64();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            said.contains(" 160 succeeded, 0 failed, 0 errored"),
            "{name}: {said}"
        );
        let most: u64 = side.stat("f", "FRONTEND", "smax")?.parse().unwrap_or(0);
        println!("{name}: 160 TLS connections in {took:.2} s, at most {most} at a time");
        if name == "maxsslconn" {
            ensure!(most <= PLACES, "{most} TLS connections at a time");
        } else {
            // Four seconds' worth, the first of which may come at once.
            ensure!(took >= 2.6, "160 handshakes took {took:.2} s only");
        }
        // Who comes without TLS is no concern of it.
        let mut plain = connect(side.second)?;
        plain.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
        ensure!(
            read_all(&mut plain).starts_with(b"HTTP/1.1 200"),
            "{name}: no answer without TLS"
        );
    }
    Ok(())
}

fn ask(stream: &mut TcpStream) -> Outcome<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")?;
    Ok(read_until(stream, "\r\n\r\nok"))
}

/// When descriptors run out, accepting pauses and says so once; what is established goes on; who came waits and is served
/// once there are descriptors again.
#[test]
fn without_descriptors_accepting_pauses_and_resumes() -> Outcome {
    require!("tandemd", "prlimit");
    const SPARE: usize = 20;
    let server = thoughtful()?;
    let side = start(
        Which::Tandem,
        &format!(
            " timeout client 60s\n timeout http-request 60s\nfrontend f\n bind {{in}}\n default_backend b\nbackend b\n server s1 127.0.0.1:{server}\n"
        ),
    )?;
    let mut kept = side.connect()?;
    ensure!(
        ask(&mut kept)?.starts_with("HTTP/1.1 200"),
        "no answer at first"
    );
    let limit = side.descriptors() + SPARE;
    let worker = side.serving().to_string();
    let set = |limit: usize| -> Outcome {
        let status = Command::new("prlimit")
            .args(["--pid", &worker, &format!("--nofile={limit}:{limit}")])
            .status()?;
        ensure!(status.success(), "prlimit failed");
        Ok(())
    };
    set(limit)?;
    let idle: Vec<TcpStream> = (0..SPARE + 10)
        .map(|_| side.connect())
        .collect::<Outcome<_>>()?;
    let complaint = "frontend f cannot accept: ";
    wait_until("a word about descriptors", LIMIT, || {
        side.output().contains(complaint)
    })?;
    // Who comes now waits, and asks already.
    let mut waiting: Vec<TcpStream> = (0..10).map(|_| side.connect()).collect::<Outcome<_>>()?;
    for stream in &mut waiting {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
    }
    for _ in 0..20 {
        ensure!(
            ask(&mut kept)?.starts_with("HTTP/1.1 200"),
            "an established connection does not go on"
        );
    }
    waiting[0].set_read_timeout(Some(Duration::from_millis(300)))?;
    ensure!(
        waiting[0].read(&mut [0; 1]).is_err(),
        "there were descriptors for one more"
    );
    waiting[0].set_read_timeout(Some(LIMIT))?;
    let told = side.output().matches(complaint).count();
    ensure!(told == 1, "it was told {told} times");
    ensure!(
        side.output().contains("Too many open files"),
        "no reason in {}",
        side.output()
    );
    drop(idle);
    for (number, stream) in waiting.iter_mut().enumerate() {
        let got = String::from_utf8_lossy(&read_all(stream)).into_owned();
        ensure!(
            got.starts_with("HTTP/1.1 200"),
            "the waiting one {number} got {got:?}"
        );
    }
    ensure!(
        ask(&mut kept)?.starts_with("HTTP/1.1 200"),
        "the established connection ended"
    );
    Ok(())
}

/// `ulimit-n` is the worker's own limit, and within it connections wait.
#[test]
fn the_limit_of_descriptors_is_what_was_configured() -> Outcome {
    require!("tandemd");
    let server = thoughtful()?;
    let side = start(
        Which::Tandem,
        &format!(
            "global:ulimit-n 400\nfrontend f\n bind {{in}}\n default_backend b\nbackend b\n server s1 127.0.0.1:{server}\n"
        ),
    )?;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", side.serving()))?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap_or_default();
    ensure!(
        line.split_whitespace().nth(3) == Some("400"),
        "the worker has {line:?}"
    );
    ensure!(
        info(&side, "Ulimit-n")? == 400,
        "show info tells another one"
    );
    let load = Load::here(LoadOptions {
        keep_alive: false,
        ..LoadOptions::new(side.address, 300)
    });
    wait_until("1000 requests", LIMIT, || load.completed() >= 1000)?;
    let tally = load.finish();
    ensure!(tally.failures() == 0, "some failed: {:?}", tally.failed);
    Ok(())
}

/// `option idle-close-on-response`: idle connections outlive a soft stop until their next answer.
#[test]
fn idle_connections_are_closed_with_their_next_answer() -> Outcome {
    require!("haproxy", "tandemd");
    let server = thoughtful()?;
    let mut differences = Differences::default();
    for option in ["", " option idle-close-on-response\n"] {
        let text = format!(
            "global:hard-stop-after 10s\nfrontend f\n bind {{in}}\n timeout http-keep-alive 8s\n{option} default_backend b\nbackend b\n server s1 127.0.0.1:{server}\n"
        );
        let mut found = Vec::new();
        for which in BOTH {
            let side = start(which, &text)?;
            let mut idle = side.connect()?;
            ensure!(ask(&mut idle)?.starts_with("HTTP/1.1 200"), "no answer");
            send(side.pid(), Signal::SIGUSR1)?;
            wait_until("the listener to be gone", LIMIT, || {
                TcpStream::connect_timeout(&side.address, Duration::from_millis(200)).is_err()
            })?;
            let seen = if option.is_empty() {
                idle.set_read_timeout(Some(Duration::from_secs(3)))?;
                format!("{:?}", idle.read(&mut [0; 1]).ok())
            } else {
                let answer = ask(&mut idle)?.to_lowercase();
                format!(
                    "{} close {} end {:?}",
                    answer.starts_with("http/1.1 200"),
                    answer.contains("connection: close"),
                    read_all(&mut idle).len()
                )
            };
            found.push(seen);
        }
        differences.compare(option, &found[0], &found[1]);
    }
    differences.none()
}

/// Listeners come and go with reloads: the others do not notice, and what was established on one that went is finished.
#[test]
fn listeners_come_and_go_with_reloads_under_load() -> Outcome {
    require!("tandemd");
    let server = scripted(|mut stream, _| {
        while let head = read_until(&mut stream, "\r\n\r\n")
            && head.contains("\r\n\r\n")
        {
            if head.contains(" /long") {
                std::thread::sleep(Duration::from_millis(700));
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    })?;
    let common = format!(
        "global:hard-stop-after 20s\nfrontend f\n bind {{in}}\n default_backend b\nbackend b\n server s1 127.0.0.1:{server}\n"
    );
    let extra = "frontend g\n bind {in2}\n default_backend b\n";
    let side = start(Which::Tandem, &format!("{common}{extra}"))?;
    let file = side.folder().join("side.cfg");
    let with = std::fs::read_to_string(&file)?;
    let (without, _) = with
        .split_once("frontend g")
        .ok_or_else(|| Failure::new("no second frontend"))?;
    let loads = [
        Load::here(LoadOptions::new(side.address, 6)),
        Load::here(LoadOptions {
            keep_alive: false,
            ..LoadOptions::new(side.address, 3)
        }),
    ];
    let is_there = |address: SocketAddr| {
        TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
    };
    for round in 0..6 {
        let mut long = connect(side.second)?;
        long.write_all(b"GET /long HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
        wait_for("the long request to be counted", LIMIT, || {
            match side.stat("g", "FRONTEND", "scur") {
                Ok(count) if count != "0" => Ok(()),
                found => Err(format!("{found:?}")),
            }
        })?;
        for (text, there) in [(without, false), (with.as_str(), true)] {
            std::fs::write(&file, text)?;
            let answer = side.command("reload")?;
            ensure!(answer.contains("Success=1"), "round {round}: {answer}");
            wait_until("the listener to come or go", LIMIT, || {
                is_there(side.second) == there
            })?;
        }
        let got = String::from_utf8_lossy(&read_all(&mut long)).into_owned();
        ensure!(
            got.starts_with("HTTP/1.1 200") && got.ends_with("ok"),
            "round {round}: what was established on the listener that went got {got:?}"
        );
    }
    for load in loads {
        let tally = load.finish();
        ensure!(tally.completed > 0, "nothing was asked");
        ensure!(tally.failures() == 0, "requests failed: {:?}", tally.failed);
    }
    Ok(())
}
