//! Clients that idle: they are kept without a task, and are answered, ended and counted as if they had one.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tandem_tests::beside::{BOTH, Differences, Side, Which, read_all, read_until, scripted};
use tandem_tests::{Origin, Outcome, ensure, require};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn text(origin: &Origin, more: &str) -> String {
    format!(
        "frontend f\n bind {{in}}\n{more} default_backend b\nbackend b\n server s1 127.0.0.1:{}\n",
        origin.port()
    )
}

/// One request on a kept connection; its answer ends with the origin's body.
fn ask(stream: &mut TcpStream, origin: &str) -> Outcome {
    stream.write_all(GET)?;
    let answer = read_until(stream, origin);
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    Ok(())
}

#[test]
fn a_client_is_answered_however_long_it_was_idle() -> Outcome {
    require!("tandemd");
    let origin = Origin::on_loopback("idle-body")?;
    let side = Side::start(Which::Tandem, &text(&origin, ""))?;
    let mut silent = side.connect()?;
    let mut stream = side.connect()?;
    // Soon, after a while, often again, and each time after a while: all ways between the runtime and the parked ones.
    for pause_ms in [0, 20, 0, 1_100, 0, 1_100, 1_100, 1_100, 5, 0] {
        std::thread::sleep(Duration::from_millis(pause_ms));
        ask(&mut stream, "idle-body")?;
    }
    // Half a head, and the rest of it later.
    stream.write_all(b"GET / HT")?;
    std::thread::sleep(Duration::from_millis(50));
    stream.write_all(b"TP/1.1\r\nHost: a\r\n\r\n")?;
    ensure!(
        read_until(&mut stream, "idle-body").starts_with("HTTP/1.1 200"),
        "no answer"
    );
    ask(&mut silent, "idle-body")?;
    let lines = side.wait_lines("f b/s1", 12)?;
    ensure!(lines.len() == 12, "{lines:?}");
    drop((silent, stream));
    side.wait_stat("f", "FRONTEND", "scur", "0")
}

#[test]
fn an_idle_client_is_ended_when_its_time_is_over() -> Outcome {
    require!("tandemd", "haproxy");
    let mut differences = Differences::default();
    let mut found = Vec::new();
    for which in BOTH {
        let origin = Origin::on_loopback("idle-body")?;
        let more =
            " timeout http-keep-alive 1400ms\n timeout http-request 700ms\n timeout client 5s\n";
        let side = Side::start(which, &text(&origin, more))?;
        let begun = Instant::now();
        let mut silent = side.connect()?;
        let answer = String::from_utf8_lossy(&read_all(&mut silent)).into_owned();
        let took = begun.elapsed();
        ensure!(took >= Duration::from_millis(690), "{which:?}: {took:?}");
        let mut kept = side.connect()?;
        ask(&mut kept, "idle-body")?;
        let begun = Instant::now();
        let rest = read_all(&mut kept);
        let took = begun.elapsed();
        ensure!(took >= Duration::from_millis(1_350), "{which:?}: {took:?}");
        found.push((answer.lines().next().unwrap_or_default().to_owned(), rest));
    }
    differences.compare("what ended clients saw", &found[0], &found[1]);
    differences.none()
}

#[test]
fn idle_clients_are_ended_by_operators_and_by_reloads() -> Outcome {
    require!("tandemd");
    let origin = Origin::on_loopback("idle-body")?;
    let side = Side::start(Which::Tandem, &text(&origin, ""))?;
    let mut kept: Vec<TcpStream> = Vec::new();
    for _ in 0..20 {
        let mut stream = side.connect()?;
        ask(&mut stream, "idle-body")?;
        kept.push(stream);
    }
    let sessions = side.command("show sess")?;
    let id = sessions
        .lines()
        .find(|line| line.contains("fe=f "))
        .and_then(|line| line.split(':').next())
        .unwrap_or_default()
        .to_owned();
    side.command(&format!("shutdown session {id}"))?;
    side.wait_stat("f", "FRONTEND", "scur", "19")?;
    let answer = side.command("reload")?;
    ensure!(answer.contains("Success=1"), "reload says {answer}");
    // Each of them still gets an answer or an orderly end, and none is left behind.
    for stream in &mut kept {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let rest = read_all(stream);
        ensure!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    }
    Ok(())
}

#[test]
fn a_client_that_leaves_while_idle_is_forgotten() -> Outcome {
    require!("tandemd");
    let port = scripted(|mut stream, _| {
        let _ = std::io::Read::read(&mut stream, &mut [0; 4_096]);
        let _ =
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    })?;
    let side = Side::start(
        Which::Tandem,
        &format!(
            "frontend f\n bind {{in}}\n default_backend b\nbackend b\n server s1 127.0.0.1:{port}\n"
        ),
    )?;
    let before = side.descriptors();
    let mut kept = Vec::new();
    for number in 0..200 {
        let mut stream = side.connect()?;
        if number % 2 == 0 {
            stream.write_all(GET)?;
            ensure!(
                read_until(&mut stream, "\r\n\r\n").contains(" 200 "),
                "no answer"
            );
        }
        kept.push(stream);
    }
    side.wait_stat("f", "FRONTEND", "scur", "200")?;
    drop(kept);
    side.wait_stat("f", "FRONTEND", "scur", "0")?;
    let after = side.descriptors();
    ensure!(after <= before + 2, "{before} descriptors, then {after}");
    Ok(())
}
