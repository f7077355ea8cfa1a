//! Everybody else: while servers die, clients are slow and thousands are silent, the 99th percentile of a steady client of a
//! healthy server moves by less than twice.
//!
//! The machine is shared and noisy, and whoever disturbs takes of its cores too. So the same steady client also asks a twin:
//! the same program with the same configuration, which nobody disturbs, at the same time. The percentile must stay below twice
//! that of the calm before, or of the twin. One below [`FLOOR`] counts as unchanged; each disturbance has [`ATTEMPTS`] attempts,
//! each with a calm window of its own right before it, and must pass one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tandem_tests::beside::{Side, Which, connect, read_all, read_until, scripted};
use tandem_tests::steady::{FLOOR, RATE, Steady, Window};
use tandem_tests::{Outcome, ensure, require};

use super::clients::narrow;
use super::servers::Full;
use super::silent::raise_limit;
use super::stages::{serve, stages};

const ATTEMPTS: usize = 4;
const CALM: Duration = Duration::from_secs(3);
const DISTURBED: Duration = Duration::from_secs(5);
/// Clients that ask dying servers at a time, and the pause of each: 32 failures in 100 ms.
const DYING: usize = 16;
const PAUSE: Duration = Duration::from_millis(50);
const SLOW: usize = 200;
/// Slow clients that send their byte at a time, and the pause after them: each sends one in 100 ms, and they are not slow in
/// step, for a burst is another thing. Silent ones come likewise.
const TURN: usize = 2;
const TURN_PAUSE: Duration = Duration::from_millis(1);
const GREEDY: usize = 20;
/// Silent connections opened, [`TURN`] in each [`TURN_PAUSE`].
const SILENT: usize = 5_000;

fn steady_server() -> Outcome<u16> {
    scripted(|mut stream, _| {
        while read_until(&mut stream, "\r\n\r\n").ends_with("\r\n\r\n") {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsteady";
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    })
}

/// Runs a disturbance beside the steady client until it passes.
fn unmoved(
    name: &str,
    text: &str,
    disturb: impl Fn(SocketAddr, &AtomicBool) -> Outcome + Sync,
) -> Outcome {
    let side = Side::start(Which::Tandem, text)?;
    let twin = Side::start(Which::Tandem, text)?;
    let (steady, undisturbed) = (Steady::start(side.address), Steady::start(twin.address));
    let mut seen = Vec::new();
    for _ in 0..ATTEMPTS {
        steady.window();
        // The calm before it is what it is measured by.
        std::thread::sleep(CALM);
        let calm = steady.window();
        undisturbed.window();
        let stop = AtomicBool::new(false);
        let disturbed = std::thread::scope(|scope| -> Outcome<Window> {
            let running = scope.spawn(|| disturb(side.address, &stop));
            std::thread::sleep(DISTURBED);
            let disturbed = steady.window();
            stop.store(true, Ordering::Relaxed);
            running.join().expect("a disturbance does not panic")?;
            Ok(disturbed)
        })?;
        for window in [&calm, &disturbed] {
            ensure!(
                window.failed.is_empty(),
                "{name}: requests of others failed: {:?}",
                window.failed
            );
            ensure!(!window.times.is_empty(), "{name}: nothing was measured");
        }
        let (before, during) = (calm.percentile(0.99), disturbed.percentile(0.99));
        let beside = undisturbed.window().percentile(0.99);
        seen.push(format!(
            "{before:?} -> {during:?}, the twin {beside:?} ({} of {} requests)",
            disturbed.times.len(),
            DISTURBED.as_secs() * u64::from(RATE)
        ));
        if during < FLOOR.max(before * 2).max(beside * 2) {
            println!("{name}: {}", seen.join("; "));
            return Ok(());
        }
    }
    ensure!(
        false,
        "{name}: the 99th percentile moved: {}",
        seen.join("; ")
    );
    Ok(())
}

/// Asks again and again until told to stop.
fn again(stop: &AtomicBool, pause: Duration, ask: impl Fn() -> Outcome) -> Outcome {
    while !stop.load(Ordering::Relaxed) {
        ask()?;
        std::thread::sleep(pause);
    }
    Ok(())
}

fn one_request(to: SocketAddr, path: &str) -> Outcome {
    let mut stream = connect(to)?;
    let _ = stream.write_all(
        format!("GET /{path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes(),
    );
    read_all(&mut stream);
    Ok(())
}

#[test]
fn others_do_not_notice_servers_that_die() -> Outcome {
    require!("tandemd");
    let full = Full::start()?;
    let healthy = steady_server()?;
    let mut text = String::from(
        " timeout client 2s\n timeout server 700ms\nfrontend f\n bind {in}\n default_backend good\n",
    );
    let stages = stages();
    for number in 0..stages.len() {
        text.push_str(&format!(
            " use_backend b{number} if {{ path /b{number} }}\n"
        ));
    }
    text.push_str(&format!("backend good\n server s1 127.0.0.1:{healthy}\n"));
    for (number, stage) in stages.iter().enumerate() {
        let server = stage.server;
        let origin = scripted(move |stream, _| serve(stream, server))?;
        let back = stage
            .back
            .replace("{origin}", &format!("127.0.0.1:{origin}"))
            .replace("{healthy}", &format!("127.0.0.1:{healthy}"))
            .replace("{full}", &full.address.to_string());
        text.push_str(&format!("backend b{number}\n{back}"));
    }
    let count = stages.len();
    unmoved("dying servers", &text, |address, stop| {
        std::thread::scope(|scope| {
            for client in 0..DYING {
                scope.spawn(move || {
                    let next = std::sync::atomic::AtomicUsize::new(client);
                    again(stop, PAUSE, || {
                        let number = next.fetch_add(DYING + 1, Ordering::Relaxed) % count;
                        one_request(address, &format!("b{number}"))
                    })
                });
            }
        });
        Ok(())
    })
}

#[test]
fn others_do_not_notice_slow_clients() -> Outcome {
    require!("tandemd");
    let healthy = steady_server()?;
    let huge = scripted(|mut stream, _| {
        read_until(&mut stream, "\r\n\r\n");
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n");
        while stream.write_all(&[b'x'; 16 << 10]).is_ok() {}
    })?;
    // Waits for the whole body, however slowly it comes.
    let patient = scripted(|mut stream, _| {
        read_all(&mut stream);
    })?;
    let text = format!(
        "global:tune.sndbuf.client 65536\nglobal:tune.rcvbuf.server 65536\n timeout client 2s\n timeout http-request 2s\nfrontend f\n bind {{in}}\n use_backend huge if {{ path /huge }}\n use_backend patient if {{ path /slow }}\n default_backend good\nbackend good\n server s1 127.0.0.1:{healthy}\nbackend huge\n server s1 127.0.0.1:{huge}\nbackend patient\n server s1 127.0.0.1:{patient}\n"
    );
    unmoved("slow clients", &text, |address, stop| {
        let mut greedy = Vec::new();
        for _ in 0..GREEDY {
            let mut stream = narrow(address)?;
            stream.write_all(b"GET /huge HTTP/1.1\r\nhost: a\r\n\r\n")?;
            greedy.push(stream);
        }
        let text = "POST /slow HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n";
        let bytes = format!("{text}{}", "b".repeat(1000)).into_bytes();
        // Half of them are slow in their heads, half in their bodies.
        let open = |number: usize| -> Outcome<(TcpStream, usize)> {
            let at = if number.is_multiple_of(2) {
                0
            } else {
                text.len()
            };
            let mut stream = connect(address)?;
            let _ = stream.write_all(&bytes[..at]);
            stream.set_nonblocking(true)?;
            Ok((stream, at))
        };
        let mut slow = Vec::new();
        for number in 0..SLOW {
            slow.push(open(number)?);
            std::thread::sleep(TURN_PAUSE);
        }
        for number in (0..SLOW).cycle() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let (stream, at) = &mut slow[number];
            let sent = stream.write(&bytes[*at..=*at]).is_ok();
            *at += 1;
            // Who was told that it took too long is replaced.
            if !sent || stream.read(&mut [0; 64]).is_ok() || *at == bytes.len() {
                slow[number] = open(number)?;
            }
            if number % TURN == TURN - 1 {
                std::thread::sleep(TURN_PAUSE);
            }
        }
        Ok(())
    })
}

#[test]
fn others_do_not_notice_silent_connections() -> Outcome {
    require!("tandemd");
    let count = raise_limit()?.min(SILENT);
    let healthy = steady_server()?;
    let text = format!(
        "global:maxconn 11000\n timeout client 2s\n timeout http-request 2s\nfrontend f\n bind {{in}}\n default_backend good\nbackend good\n server s1 127.0.0.1:{healthy}\n"
    );
    // They come for 2.5 s and each is ended after 2: all of it is within the window. Who is ended goes at once.
    unmoved("silent connections", &text, |address, _stop| {
        let (come, gone) = std::sync::mpsc::channel::<TcpStream>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                gone.iter()
                    .for_each(|mut stream| drop(read_all(&mut stream)))
            });
            for number in 0..count {
                come.send(connect(address)?)
                    .expect("the other thread takes them all");
                if number % TURN == TURN - 1 {
                    std::thread::sleep(TURN_PAUSE);
                }
            }
            drop(come);
            Ok(())
        })
    })
}
