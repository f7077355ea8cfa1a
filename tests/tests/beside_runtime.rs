//! Commands that change servers and cookies at run time, beside haproxy: the same answers, the same effects.

use tandem_tests::beside::{BOTH, Differences, Side, Which};
use tandem_tests::{Origin, Outcome, ensure, require};

/// Asked in this order on one daemon each; the answers are compared.
const COMMANDS: &[&str] = &[
    "get weight b/s1",
    "set weight b/s1 5",
    "get weight b/s1",
    "set weight b/s1 50%",
    "get weight b/s1",
    "set weight b/s1 200%",
    "get weight b/s1",
    "set weight b/s1 257",
    "set weight b/s1 -1",
    "set weight b/s1 -1%",
    "set weight b/s1 99999%",
    "get weight b/s1",
    "set weight b/s1 x%",
    "set weight b/s1 %",
    "set weight b/s1 +4",
    "get weight b/s1",
    "set weight b/s1 x",
    "set weight b/s1 5x",
    "set weight b/s1",
    "set weight b/nope 1",
    "set weight nope/s1 1",
    "set weight b 1",
    "set weight",
    "get weight b/nope",
    "get weight nope/s1",
    "get weight",
    "set weight r/s1 5",
    "set weight r/s1 50%",
    "set weight r/s1 0%",
    "get weight r/s1",
    "set weight r/s1 100%",
    "get weight r/s1",
    "set weight h/s1 0",
    "set weight h/s1 3",
    "set weight h/s1 100%",
    "set server b/s1 weight 7",
    "get weight b/s1",
    "set server b/s1 weight",
    "set server b/s1 weight 257",
    "set server b/s1 state",
    "set server b/s1 state nope",
    "set server b/s1 state drain",
    "set server b/s1 state maint",
    "set server b/s1 state ready",
    "set server b/s1 health",
    "set server b/s1 health nope",
    "set server b/s1 health down",
    "set server b/s1 health up",
    "set server b/s1 addr",
    "set server b/s1 addr nope",
    "set server b/s1 addr 127.0.0.1",
    "set server b/s1 addr 127.0.0.2",
    "set server b/s1 addr 127.0.0.2 port 81",
    "set server b/s1 addr 127.0.0.3 port 82",
    "set server b/s1 addr 127.0.0.3 port x",
    "set server b/s2 addr 127.0.0.3 port 70000",
    "set server b/s1 addr ::1 port 82",
    "set server b/s1 addr ::1 port 82",
    "set server b/s1 addr ::1",
    "set server b/s1 fqdn",
    "set server b/s1 fqdn a.example",
    "set server b/s1 agent",
    "set server b/s1 agent up",
    "set server b/s1 agent-addr 127.0.0.1",
    "set server b/s1 agent-port 1",
    "set server b/s1 agent-send x",
    "set server b/s1 check-port 1",
    "set server b/s1 check-addr 127.0.0.1",
    "set server b/a1 agent",
    "set server b/a1 agent up",
    "set server b/a1 agent down",
    "set server b/a1 agent up",
    "set server b/a1 agent-addr",
    "set server b/a1 agent-addr nope",
    "set server b/a1 agent-addr 127.0.0.1",
    "set server b/a1 agent-addr 127.0.0.1 port 2",
    "set server b/a1 agent-port",
    "set server b/a1 agent-port x",
    "set server b/a1 agent-port 70000",
    "set server b/a1 agent-port 2",
    "set server b/a1 agent-send",
    "set server b/a1 agent-send hello",
    "set server b/a1 check-port",
    "set server b/a1 check-port x",
    "set server b/a1 check-port 70000",
    "set server b/a1 check-port 3",
    "set server b/a1 check-addr",
    "set server b/a1 check-addr nope",
    "set server b/a1 check-addr 127.0.0.1 port 3",
    "set server b/nope state ready",
    "set server nope/s1 state ready",
    "set server b",
    "set server",
    "disable agent b/s1",
    "disable agent b/a1",
    "enable agent b/s1",
    "enable agent b/a1",
    "disable health b/s1",
    "disable health b/a1",
    "enable health b/s1",
    "enable health b/a1",
    "disable server b/nope",
    "disable server b/s1",
    "enable server b/s1",
    "set maxconn server b/s1 5",
    "set maxconn server b/s1 x",
    "set maxconn server b/nope 5",
    "set maxconn server b/s1",
    "enable dynamic-cookie backend",
    "enable dynamic-cookie backend nope",
    "enable dynamic-cookie backend f",
    "disable dynamic-cookie backend",
    "disable dynamic-cookie backend nope",
    "set dynamic-cookie-key backend",
    "set dynamic-cookie-key backend d",
    "set dynamic-cookie-key backend nope x",
    "operator; enable dynamic-cookie backend d",
    "operator; disable dynamic-cookie backend d",
    "operator; set dynamic-cookie-key backend d x",
    "user; set server b/s1 state ready",
    "operator; add server b/x 127.0.0.1:1",
    "operator; del server b/s1",
];

/// Where ours says another thing, and why.
const OTHERWISE: &[(&str, &str)] = &[
    // HAProxy has changed the address by then: here a port that is none changes nothing.
    (
        "set server b/s1 addr 127.0.0.3 port x",
        "problem converting port 'x' to an int by 'stats socket command'",
    ),
    // There it becomes 4464, the number's lower 16 bits.
    (
        "set server b/s2 addr 127.0.0.3 port 70000",
        "problem converting port '70000' to an int by 'stats socket command'",
    ),
];

fn text(origin: &Origin) -> String {
    let port = origin.port();
    format!(
        "frontend f\n bind {{in}}\n use_backend keyless if {{ hdr(x-case) keyless }}\n \
         use_backend plain if {{ hdr(x-case) plain }}\n default_backend d\n\
         backend b\n server s1 127.0.0.1:{port} weight 10\n server s2 127.0.0.1:{port}\n \
         server a1 127.0.0.1:{port} check inter 60s agent-check agent-port 1 agent-inter 60s\n\
         backend r\n balance static-rr\n server s1 127.0.0.1:{port} weight 10\n\
         backend h\n balance uri\n server s1 127.0.0.1:{port} weight 10\n\
         backend d\n cookie C insert dynamic\n dynamic-cookie-key secret\n server s1 127.0.0.1:{port}\n \
         server own 127.0.0.1:{port} cookie own\n\
         backend keyless\n cookie C insert dynamic\n server s1 127.0.0.1:{port}\n\
         backend plain\n cookie C insert\n server s1 127.0.0.1:{port}\n"
    )
}

#[test]
fn commands_are_answered_as_haproxy_answers() -> Outcome {
    require!("haproxy", "tandemd");
    let origin = Origin::on_loopback("o")?;
    let text = text(&origin);
    let sides = [Side::start(BOTH[0], &text)?, Side::start(BOTH[1], &text)?];
    let mut differences = Differences::default();
    for command in COMMANDS {
        let said: Vec<String> = sides
            .iter()
            .map(|side| side.command(command))
            .collect::<Outcome<_>>()?;
        match OTHERWISE.iter().find(|(other, _)| other == command) {
            Some((_, ours)) => {
                differences.compare(command, (*ours).to_owned(), said[1].trim().to_owned());
                ensure!(said[0].trim() != *ours, "{command}: both say {ours}");
            }
            // HAProxy ends some of its messages with one line end, others with two.
            None => {
                differences.compare(command, said[0].trim_end(), said[1].trim_end());
            }
        }
    }
    differences.none()
}

/// What dynamic cookies give after each command: the cookie set by each server, and the server that a cookie names.
#[test]
fn dynamic_cookies_follow_commands() -> Outcome {
    require!("haproxy", "tandemd");
    let origin = Origin::on_loopback("o")?;
    let text = text(&origin);
    let sides = [Side::start(BOTH[0], &text)?, Side::start(BOTH[1], &text)?];
    let mut differences = Differences::default();
    let look = |side: &Side, backend: &str, sent: Option<&str>| -> Outcome<Vec<String>> {
        let case = format!("X-Case: {backend}");
        let cookie = sent.map(|sent| format!("Cookie: {sent}"));
        let mut headers = vec![case.as_str()];
        headers.extend(cookie.as_deref());
        // Both servers of a backend have a turn.
        (0..2)
            .map(|_| {
                let answer = side.get("/", &headers)?;
                Ok(answer.header("set-cookie").unwrap_or_default().to_owned())
            })
            .collect()
    };
    let other = Origin::on_loopback("other")?;
    let moved = format!("set server plain/s1 addr 127.0.0.1 port {}", other.port());
    let mut last = vec![String::new(); 2];
    for (backend, command) in [
        ("d", "get weight d/s1"),
        ("d", "disable dynamic-cookie backend d"),
        ("d", "disable dynamic-cookie backend d"),
        ("d", "enable dynamic-cookie backend d"),
        ("d", "set dynamic-cookie-key backend d other"),
        ("d", "set dynamic-cookie-key backend d secret word"),
        ("keyless", "enable dynamic-cookie backend keyless"),
        ("keyless", "set dynamic-cookie-key backend keyless k"),
        ("plain", "set dynamic-cookie-key backend plain k"),
        ("plain", "enable dynamic-cookie backend plain"),
        ("plain", &moved),
        ("plain", "disable dynamic-cookie backend plain"),
    ] {
        let mut seen = Vec::new();
        for (side, last) in sides.iter().zip(&mut last) {
            let answer = side.command(command)?;
            let fresh = look(side, backend, None)?;
            // A cookie that was good before the command, and one that is good now.
            let before = look(side, backend, Some(last))?;
            *last = fresh[0].split(';').next().unwrap_or_default().to_owned();
            let now = look(side, backend, Some(last))?;
            side.wait_lines("/ HTTP/1.1", 6)?;
            let letters: Vec<String> = side
                .lines()
                .iter()
                .filter_map(|line| {
                    line.split(' ')
                        .find(|word| word.starts_with("--") && word.len() == 4)
                })
                .map(str::to_owned)
                .collect();
            side.forget();
            seen.push((answer, fresh, before, now, letters));
        }
        differences.compare(command, &seen[0], &seen[1]);
    }
    differences.none()
}

/// HAProxy takes what has no effect in a backend without a cookie, and forgets both settings at a reload.
#[test]
fn dynamic_cookies_are_refused_without_a_cookie_and_outlive_a_reload() -> Outcome {
    require!("tandemd");
    let origin = Origin::on_loopback("o")?;
    let side = Side::start(Which::Tandem, &text(&origin))?;
    for command in [
        "enable dynamic-cookie backend b",
        "disable dynamic-cookie backend b",
        "set dynamic-cookie-key backend b x",
    ] {
        let answer = side.command(command)?;
        ensure!(
            answer.contains("has no 'cookie' line"),
            "{command}: {answer}"
        );
    }
    let cookie = || -> Outcome<String> {
        let answer = side.get("/", &["X-Case: plain"])?;
        Ok(answer.header("set-cookie").unwrap_or_default().to_owned())
    };
    side.command("set dynamic-cookie-key backend plain key-of-mine")?;
    side.command("enable dynamic-cookie backend plain")?;
    let before = cookie()?;
    ensure!(before.len() > 18, "no cookie of an address: {before}");
    let events = side.command("show events")?;
    ensure!(
        events.contains("plain: dynamic cookies enabled") && !events.contains("key-of-mine"),
        "{events}"
    );
    for _ in 0..2 {
        let answer = side.command("reload")?;
        ensure!(answer.contains("Success=1"), "reload says {answer}");
        ensure!(cookie()? == before, "{} after {before}", cookie()?);
    }
    Ok(())
}
