//! `maxconn` in its three places, queues, and what the operator changes while requests run; beside haproxy.

use std::io::Write;
use std::net::TcpStream;

use tandem_tests::beside::{BOTH, Differences, Side, Which, read_all, read_until, scripted};
use tandem_tests::{Outcome, ensure, require};

/// A server that holds `/hold` until the client's side ends, and answers everything else with its name.
fn holding(name: &'static str) -> Outcome<u16> {
    scripted(move |mut stream, _| {
        loop {
            let head = read_until(&mut stream, "\r\n\r\n");
            if !head.contains("\r\n\r\n") {
                return;
            }
            if head.contains(" /hold") {
                read_all(&mut stream);
                return;
            }
            let length = name.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nx-server: {name}\r\ncontent-length: {length}\r\n\r\n{name}"
            );
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

fn hold(side: &Side) -> Outcome<TcpStream> {
    let mut stream = side.connect()?;
    stream.write_all(b"GET /hold HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
    Ok(stream)
}

/// Runs the same on both and compares what it found.
fn on_both(text: &str, run: impl Fn(&Side) -> Outcome<Vec<String>>) -> Outcome {
    let mut differences = Differences::default();
    let mut found = Vec::new();
    for which in BOTH {
        let side = Side::start(which, text)?;
        found.push(run(&side)?);
    }
    differences.compare("how many", found[0].len(), found[1].len());
    for (theirs, ours) in found[0].iter().zip(&found[1]) {
        differences.compare("found", theirs, ours);
    }
    differences.none()
}

fn status(side: &Side, path: &str) -> Outcome<String> {
    let answer = side.get(path, &[])?;
    Ok(format!(
        "{} {}",
        answer.status,
        answer.header("x-server").unwrap_or("-")
    ))
}

fn columns(side: &Side, proxy: &str, server: &str, names: &[&str]) -> Outcome<String> {
    let values = names
        .iter()
        .map(|name| Ok(format!("{name}={}", side.stat(proxy, server, name)?)))
        .collect::<Outcome<Vec<_>>>()?;
    Ok(format!("{proxy}/{server} {}", values.join(" ")))
}

#[test]
fn a_full_frontend_lets_others_wait() -> Outcome {
    require!("haproxy", "tandemd");
    let s1 = holding("s1")?;
    let text = format!(
        "frontend f\n bind {{in}}\n maxconn 2\n default_backend b\nbackend b\n server s1 127.0.0.1:{s1}\n"
    );
    on_both(&text, |side| {
        let first = hold(side)?;
        let _second = hold(side)?;
        side.wait_stat("f", "FRONTEND", "scur", "2")?;
        // A third waits in the listening socket's queue until there is a place.
        let mut third = side.connect()?;
        third.write_all(b"GET /third HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
        third.set_read_timeout(Some(std::time::Duration::from_millis(300)))?;
        let early = read_until(&mut third, "s1");
        let mut seen = vec![
            format!("early {early:?}"),
            columns(side, "f", "FRONTEND", &["scur", "smax", "slim"])?,
        ];
        third.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
        drop(first);
        let late = read_until(&mut third, "\r\n\r\ns1");
        seen.push(format!("late {}", late.starts_with("HTTP/1.1 200")));
        Ok(seen)
    })
}

#[test]
fn a_full_process_lets_others_wait() -> Outcome {
    require!("haproxy", "tandemd");
    let s1 = holding("s1")?;
    let text = format!(
        "global:maxconn 3\nfrontend f\n bind {{in}}\n default_backend b\nbackend b\n server s1 127.0.0.1:{s1}\n"
    );
    on_both(&text, |side| {
        let held = [hold(side)?, hold(side)?, hold(side)?];
        side.wait_stat("f", "FRONTEND", "scur", "3")?;
        let mut fourth = side.connect()?;
        fourth.write_all(b"GET /fourth HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
        fourth.set_read_timeout(Some(std::time::Duration::from_millis(300)))?;
        let early = read_until(&mut fourth, "s1");
        fourth.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
        drop(held);
        let late = read_until(&mut fourth, "\r\n\r\ns1");
        Ok(vec![
            format!("early {early:?}"),
            format!("late {}", late.starts_with("HTTP/1.1 200")),
        ])
    })
}

#[test]
fn a_full_server_queue_sends_elsewhere() -> Outcome {
    require!("haproxy", "tandemd");
    let (s1, s2) = (holding("s1")?, holding("s2")?);
    let text = format!(
        "frontend f\n bind {{in}}\n default_backend b\nbackend b\n timeout queue 400ms\n cookie S insert indirect nocache\n option redispatch\n server s1 127.0.0.1:{s1} cookie s1 maxconn 1 maxqueue 1\n server s2 127.0.0.1:{s2} cookie s2\n"
    );
    on_both(&text, |side| {
        let mut held = side.connect()?;
        held.write_all(b"GET /hold HTTP/1.1\r\nhost: a\r\ncookie: S=s1\r\n\r\n")?;
        side.wait_stat("b", "s1", "scur", "1")?;
        // The first of those bound to s1 stands in its queue; when its time is over it is refused or sent on.
        let mut waits = side.connect()?;
        waits.write_all(
            b"GET /waits HTTP/1.1\r\nhost: a\r\ncookie: S=s1\r\nconnection: close\r\n\r\n",
        )?;
        side.wait_stat("b", "s1", "qcur", "1")?;
        let next = side.get("/next", &["Cookie: S=s1"])?;
        let waited = String::from_utf8_lossy(&read_all(&mut waits)).into_owned();
        let mut seen = vec![
            format!("next {} {:?}", next.status, next.header("x-server")),
            format!("waited {:?}", waited.lines().next()),
            columns(side, "b", "s1", &["qmax", "qlimit", "smax", "slim"])?,
            columns(side, "b", "BACKEND", &["stot"])?,
        ];
        let log = side.wait_lines("/waits", 1)?;
        seen.push(log[0].split(' ').skip(3).take(1).collect());
        seen.push(log[0].split(' ').nth(9).unwrap_or_default()[..3].to_owned());
        Ok(seen)
    })
}

#[test]
fn the_operator_changes_servers_while_requests_run() -> Outcome {
    require!("haproxy", "tandemd");
    let (s1, s2, s3) = (holding("s1")?, holding("s2")?, holding("s3")?);
    let text = format!(
        "frontend f\n bind {{in}}\n default_backend b\nbackend b\n balance roundrobin\n cookie S insert indirect\n server s1 127.0.0.1:{s1} cookie s1\n server s2 127.0.0.1:{s2} cookie s2\n"
    );
    on_both(&text, |side| {
        let mut seen = Vec::new();
        let mut note = |what: &str, side: &Side| -> Outcome {
            let mut servers = Vec::new();
            for _ in 0..4 {
                servers.push(status(side, "/")?);
            }
            // Where the turns begin anew is not compared.
            servers.sort();
            let persistent = side.get("/", &["Cookie: S=s1"])?;
            seen.push(format!(
                "{what}: {servers:?}; with a cookie {} {:?}; {} {}",
                persistent.status,
                persistent.header("x-server"),
                side.stat("b", "s1", "status")?,
                side.stat("b", "s1", "weight")?,
            ));
            Ok(())
        };
        note("at first", side)?;
        for command in [
            "set server b/s1 state drain",
            "set server b/s1 state maint",
            "set server b/s1 state ready",
            "disable server b/s1",
            "enable server b/s1",
            "set weight b/s1 0",
            "set weight b/s1 3",
            "set server b/s1 weight 50%",
            "set weight b/s1 100%",
            "set weight b/s1 300",
            "set weight b/nobody 3",
            "get weight b/s1",
            "set server b/s1 state sideways",
            "enable server b",
            "set server b/s1 health down",
            "set server b/s1 health up",
            "shutdown sessions server b/none",
        ] {
            let answer = side.command(command)?;
            note(&format!("{command} -> {:?}", answer.trim()), side)?;
        }
        // Another address: the port of s3.
        let command = format!("set server b/s1 addr 127.0.0.1 port {s3}");
        let answer = side
            .command(&command)?
            .replace(&s3.to_string(), "P3")
            .replace(&s1.to_string(), "P1");
        note(&format!("addr -> {:?}", answer.trim()), side)?;
        Ok(seen)
    })
}

#[test]
fn sessions_of_a_server_are_shut_down() -> Outcome {
    require!("haproxy", "tandemd");
    let s1 = holding("s1")?;
    let text = format!(
        "frontend f\n bind {{in}}\n default_backend b\nbackend b\n server s1 127.0.0.1:{s1}\n"
    );
    on_both(&text, |side| {
        let mut held = [hold(side)?, hold(side)?];
        side.wait_stat("b", "s1", "scur", "2")?;
        let answer = side.command("shutdown sessions server b/s1")?;
        let mut seen = vec![format!("{:?}", answer.trim())];
        for stream in &mut held {
            let got = String::from_utf8_lossy(&read_all(stream)).into_owned();
            seen.push(format!("{:?}", got.lines().next()));
        }
        side.wait_stat("b", "s1", "scur", "0")?;
        for line in side.wait_lines("/hold", 2)? {
            let words: Vec<&str> = line.split(' ').collect();
            seen.push(format!("{} {}", words[5], words[9]));
        }
        Ok(seen)
    })
}

/// Requests that run are let finish by drain and maintenance.
#[test]
fn drain_and_maintenance_spare_what_runs() -> Outcome {
    require!("tandemd");
    let s1 = scripted(|mut stream, _| {
        while read_until(&mut stream, "\r\n\r\n").contains("\r\n\r\n") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234");
            std::thread::sleep(std::time::Duration::from_millis(600));
            if stream.write_all(b"56789").is_err() {
                return;
            }
        }
    })?;
    for state in ["drain", "maint"] {
        let side = Side::start(
            Which::Tandem,
            &format!(
                "frontend f\n bind {{in}}\n default_backend b\nbackend b\n server s1 127.0.0.1:{s1}\n"
            ),
        )?;
        let mut stream = side.connect()?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
        let mut got = read_until(&mut stream, "01234");
        side.command(&format!("set server b/s1 state {state}"))?;
        side.wait_stat(
            "b",
            "s1",
            "status",
            if state == "drain" { "DRAIN" } else { "MAINT" },
        )?;
        got.push_str(&String::from_utf8_lossy(&read_all(&mut stream)));
        ensure!(
            got.ends_with("0123456789"),
            "{state} cut a request: {got:?}"
        );
    }
    Ok(())
}
