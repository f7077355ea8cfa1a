//! HTTP's keywords beside haproxy: which of a server's connections requests get, rules of a frontend that is TCP at first,
//! trailers, times of half-closed connections.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tandem_tests::beside::{
    BOTH, Differences, Side, Which, connect, free_port, read_all, read_until, scripted,
};
use tandem_tests::{Outcome, ensure, require};

/// A server that tells in each answer the number of the connection from 0 and of the request on it from 1.
fn numbering() -> Outcome<u16> {
    scripted(|mut stream, number| {
        for count in 1.. {
            let head = read_until(&mut stream, "\r\n\r\n").to_lowercase();
            if !head.contains("\r\n\r\n") {
                return;
            }
            let place = format!("c{number}r{count}");
            let answer = format!(
                "HTTP/1.1 200 OK\r\nx-place: {place}\r\ncontent-length: {}\r\n\r\n{place}",
                place.len()
            );
            if stream.write_all(answer.as_bytes()).is_err() || head.contains("connection: close") {
                return;
            }
        }
    })
}

/// A request on a client's connection that is kept; the place that the server names. A closed connection gives way to another.
fn ask(stream: &mut TcpStream) -> Outcome<String> {
    let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut head = match stream.write_all(request) {
        Ok(()) => read_until(stream, "\r\n\r\n"),
        Err(_) => String::new(),
    };
    if head.is_empty() {
        *stream = connect(stream.peer_addr()?)?;
        stream.write_all(request)?;
        head = "again: ".to_owned() + &read_until(stream, "\r\n\r\n");
    }
    let place = head
        .split_once("x-place: ")
        .and_then(|(_, rest)| rest.split("\r\n").next())
        .unwrap_or("-")
        .to_owned();
    // The body repeats it.
    if !head.ends_with(&place) {
        read_until(stream, &place);
    }
    Ok(place)
}

/// The connections of the server that a fixed order of requests of three clients gets.
fn places(front: SocketAddr) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    let mut a = connect(front)?;
    let mut b = connect(front)?;
    for turn in ["a", "a", "b", "b", "a", "b", "a"] {
        let stream = if turn == "a" { &mut a } else { &mut b };
        found.push(ask(stream)?);
    }
    drop(b);
    let mut c = connect(front)?;
    for _ in 0..3 {
        found.push(ask(&mut c)?);
    }
    found.push(ask(&mut a)?);
    drop((a, c));
    for _ in 0..2 {
        found.push(ask(&mut connect(front)?)?);
    }
    Ok(found)
}

#[test]
fn a_policy_of_reuse_opens_as_many_connections_as_with_haproxy() -> Outcome {
    require!("haproxy", "tandemd");
    let cases = [
        (" http-reuse never\n", ""),
        (" http-reuse safe\n", ""),
        (" http-reuse aggressive\n", ""),
        (" http-reuse always\n", ""),
        ("", ""),
        (" http-reuse always\n option http-server-close\n", ""),
        (" http-reuse always\n no option http-server-close\n", ""),
        (" http-reuse always\n", " pool-max-conn 0"),
        (" http-reuse safe\n", " pool-max-conn 0"),
        (" http-reuse never\n", " pool-max-conn 0"),
        (" http-reuse always\n", " pool-max-conn 1"),
        (" http-reuse always\n", " pool-max-conn -1"),
        (" http-reuse always\n", " pool-purge-delay 0"),
        (" http-reuse always\n", " max-reuse -1"),
        (" http-reuse always\n", " proto h2"),
        (" http-reuse always\n", " proto h2 max-reuse 0"),
        (" http-reuse always\n", " proto h2 max-reuse 2"),
        (" http-reuse always\n", " proto h2 pool-max-conn 0"),
    ];
    let run = |which| -> Outcome<Vec<_>> {
        let end = numbering()?;
        let mut text = format!("listen inner\n bind {{in2}} proto h2\n server s 127.0.0.1:{end}\n");
        let mut fronts = Vec::new();
        for (at, (lines, options)) in cases.iter().enumerate() {
            // One each: connections count from 0.
            let (front, server) = (free_port()?, numbering()?);
            let server = match options.contains("h2") {
                true => "{in2}".to_owned(),
                false => format!("127.0.0.1:{server}"),
            };
            fronts.push(SocketAddr::from((Ipv4Addr::LOCALHOST, front)));
            text += &format!(
                "frontend f{at}\n bind 127.0.0.1:{front}\n default_backend b{at}\nbackend b{at}\n{lines} server s {server}{options}\n"
            );
        }
        let side = Side::start(which, &text)?;
        let mut found = Vec::new();
        for (at, front) in fronts.into_iter().enumerate() {
            // With `safe` the order in which free connections are taken is each one's own, and HTTP/2 ends at `inner`.
            let place = |place: String| match cases[at] {
                (_, options) if options.contains("h2") => String::new(),
                (" http-reuse safe\n" | "", _) => {
                    format!("a first request: {}", place.ends_with("r1"))
                }
                _ => place,
            };
            let places: Vec<_> = places(front)?.into_iter().map(place).collect();
            let name = format!("b{at}");
            let opened = side.stat(&name, "s", "connect")?;
            let reused = side.stat(&name, "s", "reuse")?;
            let limit = side.stat(&name, "s", "src_ilim")?;
            found.push((places, opened, reused, limit));
        }
        Ok(found)
    };
    let (theirs, ours) = (run(Which::Haproxy)?, run(Which::Tandem)?);
    let mut differences = Differences::default();
    for (case, (theirs, ours)) in cases.iter().zip(theirs.into_iter().zip(ours)) {
        differences.compare(&format!("{case:?}"), theirs, ours);
    }
    differences.none()
}

#[test]
fn rules_of_a_tcp_frontend_count_once_its_backend_is_http() -> Outcome {
    require!("haproxy", "tandemd");
    let port = numbering()?;
    let rules = " http-request deny if { path /bad }\n http-request set-header X-F yes\n http-response set-header X-R yes\n \
        option forwardfor\n monitor-uri /mon\n stats enable\n redirect location /elsewhere if { path /redir }\n";
    let wait = " tcp-request inspect-delay 1s\n tcp-request content accept if HTTP\n";
    let switch = " tcp-request inspect-delay 1s\n tcp-request content switch-mode http if HTTP\n";
    let echo = "listen echo\n bind {in2}\n http-request return status 200 hdr X-Seen \"%[req.hdr(x-f)]/%[req.hdr(x-forwarded-for)]\"\n";
    let back = "backend h\n server s {in2}\n";
    let mut differences = Differences::default();
    for front in [
        format!("frontend f\n mode tcp\n bind {{in}}\n{rules} default_backend h\n"),
        format!("frontend f\n mode tcp\n bind {{in}}\n{switch}{rules} default_backend h\n"),
        format!(
            "listen f\n mode tcp\n bind {{in}}\n{wait}{rules} use_backend h if {{ path /bad /http }}\n server s 127.0.0.1:{port}\n"
        ),
        format!(
            "listen f\n mode tcp\n bind {{in}}\n{switch}{rules} use_backend h if {{ path /bad /http }}\n server s {{in2}}\n"
        ),
    ] {
        let mut found = Vec::new();
        for which in BOTH {
            let side = Side::start(which, &format!("{front}{back}{echo}"))?;
            let mut seen = Vec::new();
            for path in ["/good", "/bad", "/http", "/redir", "/mon", "/haproxy?stats"] {
                let mut answer = side
                    .get(path, &[])
                    .map(|answer| {
                        let header = |name| answer.header(name).map(str::to_owned);
                        format!(
                            "{} {:?} {:?} {:?}",
                            answer.status,
                            header("x-seen"),
                            header("x-r"),
                            header("location")
                        )
                    })
                    .unwrap_or_else(|_| "nothing".to_owned());
                answer.insert_str(0, &format!("{path}: "));
                seen.push(answer);
            }
            found.push(seen);
        }
        differences.compare(&front, found[0].clone(), found[1].clone());
    }
    differences.none()
}

#[test]
fn unused_connections_are_closed_after_the_purge_delay() -> Outcome {
    require!("haproxy", "tandemd");
    for which in BOTH {
        let port = numbering()?;
        let text = format!(
            "frontend f\n bind {{in}}\n default_backend b\nbackend b\n http-reuse always\n server s 127.0.0.1:{port} pool-purge-delay 500\n"
        );
        let side = Side::start(which, &text)?;
        let first = ask(&mut side.connect()?)?;
        ensure!(first == "c0r1", "{which:?}: {first}");
        side.wait_stat("b", "s", "srv_icur", "0")?;
        let next = ask(&mut side.connect()?)?;
        ensure!(next == "c1r1", "{which:?}: {next}");
    }
    Ok(())
}

#[test]
fn lines_are_written_early_where_logasap_asks_for_it() -> Outcome {
    require!("haproxy", "tandemd");
    // Answers in two halves: the second once the client has said something more, or a moment later.
    let port = scripted(|mut stream, _| {
        let head = read_until(&mut stream, "\r\n\r\n");
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234");
        if head.contains("/held") {
            read_all(&mut stream);
        }
        let _ = stream.write_all(b"56789");
    })?;
    let format = "log-format \"%U/%B/%Ta/%Tt/%Tr %ST %tsc %HU\"";
    let text = format!(
        "frontend f\n bind {{in}}\n option logasap\n {format}\n http-request deny if {{ path /deny }}\n default_backend b\nbackend b\n server s 127.0.0.1:{port}\n\
         listen t\n mode tcp\n bind {{in2}}\n option tcplog\n option logasap\n server s 127.0.0.1:{port}\n"
    );
    let mut found = Vec::new();
    for which in BOTH {
        let side = Side::start(which, &text)?;
        let mut held = side.connect()?;
        held.write_all(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")?;
        read_until(&mut held, "01234");
        // The answer is not over, and its line is there.
        let mut lines = side.wait_lines("/held", 1)?;
        let mut stream = connect(side.second)?;
        stream.write_all(b"GET /held HTTP/1.1\r\n\r\n")?;
        read_until(&mut stream, "01234");
        lines.extend(side.wait_lines(" t ", 1)?);
        drop((held, stream));
        side.get("/deny", &[])?;
        lines.extend(side.wait_lines("/deny", 1)?);
        // All that came of three connections: nothing is told twice.
        side.get("/last", &[])?;
        side.wait_lines("/last", 1)?;
        ensure!(side.lines().len() == 4, "{which:?}: {:?}", side.lines());
        found.push(lines.iter().map(|line| marks(line)).collect::<Vec<_>>());
    }
    let mut differences = Differences::default();
    differences.compare("lines", found[0].clone(), found[1].clone());
    differences.none()
}

/// A log line with one mark for each number before its letters, and without client and date.
fn marks(line: &str) -> String {
    let words = line
        .split(' ')
        .filter(|word| !word.starts_with('[') && !word.contains("127.0.0.1"));
    let mut out = String::new();
    for word in words {
        for c in word.chars() {
            match c.is_ascii_digit() {
                true if out.ends_with('n') => {}
                true => out.push('n'),
                false => out.push(c),
            }
        }
        out.push(' ');
    }
    out
}

#[test]
fn long_request_lines_are_cut_in_logs_where_haproxy_cuts_them() -> Outcome {
    require!("haproxy", "tandemd");
    let mut differences = Differences::default();
    for global in ["", "global: tune.http.logurilen 2000\n"] {
        let text = format!(
            "{global}listen f\n bind {{in}}\n no log\n log 127.0.0.1:{{log}} len 8192 local0\n http-request return status 200\n"
        );
        let mut found = Vec::new();
        for which in BOTH {
            let side = Side::start(which, &text)?;
            for length in [500, 1_100, 3_000] {
                side.forget();
                side.get(&format!("/{}", "x".repeat(length)), &[])?;
                let line = side.wait_lines(" f", 1)?;
                found.push(line[0].split('"').nth(1).unwrap_or_default().len());
            }
        }
        differences.compare(global, found[..3].to_vec(), found[3..].to_vec());
    }
    differences.none()
}

#[test]
fn http2_is_not_spoken_unasked_where_that_is_forbidden() -> Outcome {
    require!("haproxy", "tandemd");
    let text = "listen f\n bind {in}\n option disable-h2-upgrade\n http-request return status 200\n\
        listen g\n bind {in2}\n option disable-h2-upgrade\n no option disable-h2-upgrade\n http-request return status 200\n";
    for which in BOTH {
        let side = Side::start(which, text)?;
        let hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        let refused = side.exchange(hello)?;
        ensure!(
            refused.starts_with(b"HTTP/1.1 400 "),
            "{which:?}: {:?}",
            String::from_utf8_lossy(&refused)
        );
        let mut stream = connect(side.second)?;
        stream.write_all(hello)?;
        // A frame of settings (RFC 9113 6.5): its length, then type 4.
        let mut frame = [0; 4];
        stream.read_exact(&mut frame)?;
        ensure!(frame[3] == 4, "{which:?}: {frame:?}");
    }
    Ok(())
}

#[test]
fn half_closed_streams_have_their_own_time() -> Outcome {
    require!("haproxy", "tandemd");
    // `C` waits for the client's end, `S` ends its own side and reads on.
    let port = scripted(|mut stream, _| {
        let mut first = [0; 1];
        let _ = stream.read_exact(&mut first);
        if first[0] == b'S' {
            let _ = stream.write_all(b"bye");
            let _ = stream.shutdown(Shutdown::Write);
        }
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        std::thread::sleep(Duration::from_secs(4));
    })?;
    let text = format!(
        "listen t\n mode tcp\n option tcplog\n bind {{in}}\n timeout client-fin 400ms\n timeout server-fin 600ms\n server s 127.0.0.1:{port}\n\
         listen u\n mode tcp\n option tcplog\n bind {{in2}}\n timeout client 900ms\n timeout server 900ms\n server s 127.0.0.1:{port}\n"
    );
    let run = |which| -> Outcome<Vec<String>> {
        let side = Side::start(which, &text)?;
        let mut streams = Vec::new();
        for address in [side.address, side.second] {
            for first in [b"C", b"S"] {
                let mut stream = connect(address)?;
                stream.write_all(first)?;
                if first == b"C" {
                    stream.shutdown(Shutdown::Write)?;
                }
                streams.push(stream);
            }
        }
        let lines = side.wait_lines("/s ", 4)?;
        let mut found: Vec<String> = lines
            .iter()
            .map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                let total = words[4].rsplit('/').next().unwrap_or_default();
                let total: u32 = total.parse().unwrap_or(0);
                let class = match total {
                    0..=350 => "at once",
                    351..=550 => "client-fin",
                    551..=800 => "server-fin",
                    801..=1_300 => "whole",
                    _ => "long",
                };
                format!("{} {} {class}", words[2], words[6])
            })
            .collect();
        found.sort();
        Ok(found)
    };
    let mut differences = Differences::default();
    differences.compare("ends", run(Which::Haproxy)?, run(Which::Tandem)?);
    differences.none()
}

#[test]
fn trailers_pass_unless_an_option_drops_them() -> Outcome {
    require!("haproxy", "tandemd");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let port = scripted(move |mut stream, _| {
        let request = read_until(&mut stream, "\r\n0\r\n");
        let rest = match request.split_once("\r\n0\r\n") {
            Some((_, rest)) if rest.contains("\r\n") => rest.to_owned(),
            Some((_, rest)) => rest.to_owned() + &read_until(&mut stream, "\r\n"),
            None => "-".to_owned(),
        };
        if let Ok(mut notes) = notes.lock() {
            notes.push(rest.contains("x-up: 1"));
        }
        let _ = stream.write_all(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-down\r\n\r\n2\r\nhi\r\n0\r\nx-down: 1\r\n\r\n",
        );
    })?;
    let request = b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Up: 1\r\n\r\n";
    // The options are newer than Debian's haproxy.
    for (which, front, back, up, down) in [
        (Which::Haproxy, "", "", true, true),
        (Which::Tandem, "", "", true, true),
        (
            Which::Tandem,
            "",
            " option http-drop-request-trailers\n",
            false,
            true,
        ),
        (
            Which::Tandem,
            " option http-drop-response-trailers\n",
            "",
            true,
            false,
        ),
        (
            Which::Tandem,
            " option http-drop-response-trailers\n no option http-drop-response-trailers\n",
            " option http-drop-request-trailers\n no option http-drop-request-trailers\n",
            true,
            true,
        ),
    ] {
        let text = format!(
            "frontend f\n bind {{in}}\n{front} default_backend b\nbackend b\n{back} server s 127.0.0.1:{port}\n"
        );
        let answer = Side::start(which, &text)?.exchange(request)?;
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        let passed = (
            seen.lock().map(|mut notes| notes.pop()).ok().flatten(),
            answer.contains("x-down: 1\r\n"),
        );
        ensure!(
            passed == (Some(up), down) && answer.contains("\r\n0\r\n"),
            "{which:?} with {front}{back}: {passed:?} {answer}"
        );
    }
    Ok(())
}

#[test]
fn letters_of_persistence_are_those_of_haproxy() -> Outcome {
    require!("haproxy", "tandemd");
    let port = numbering()?;
    let servers = format!(
        " server s1 127.0.0.1:{port} cookie c1\n server s2 127.0.0.1:{port} cookie c2 disabled\n server s3 127.0.0.1:1 cookie c3\n"
    );
    let kinds = [
        "insert",
        "insert indirect",
        "insert indirect preserve nocache",
        "insert postonly",
        "insert maxidle 10s",
        "insert maxlife 10s",
        "insert indirect maxidle 10s maxlife 20s",
        "prefix",
        "rewrite",
    ];
    let mut text = "frontend f\n bind {in}\n log-format \"%b/%s %tsc %rc %HU\"\n".to_owned();
    for at in 0..kinds.len() {
        text += &format!(" use_backend b{at} if {{ path_beg /{at}/ }}\n");
    }
    for (at, kind) in kinds.iter().enumerate() {
        text += &format!(
            "backend b{at}\n balance static-rr\n option redispatch 1\n retries 1\n timeout connect 200ms\n cookie S {kind}\n{servers}"
        );
    }
    let cookies = [
        "",
        "x=1",
        "S=c1",
        "S=c2",
        "S=c3",
        "S=c9",
        "S=",
        "S=c1|",
        "S=c1|!!!!!",
        "S=c1|AAAAA",
        "S=c1|AAAAA|AAAAA",
        "S=c1|zzzzz",
        "S=c9|AAAAA",
        "S=c1~abc",
        "S=c9~abc",
        "S=~abc",
        "S=c1; S=c2",
    ];
    let run = |which| -> Outcome<Vec<String>> {
        let side = Side::start(which, &text)?;
        // So that turns give no server that is down.
        for at in 0..kinds.len() {
            side.command(&format!("set weight b{at}/s3 0"))?;
        }
        let mut found = Vec::new();
        for (at, kind) in kinds.iter().enumerate() {
            for (number, cookie) in cookies.iter().enumerate() {
                let path = format!("/{at}/{number}");
                let header = format!("Cookie: {cookie}");
                let headers: &[&str] = if cookie.is_empty() { &[] } else { &[&header] };
                let answer = side.get(&path, headers)?;
                let given = answer.header("set-cookie").unwrap_or("-");
                // Dates are those of now.
                let given = given.split(['|', ';']).next().unwrap_or("-");
                let line = side.wait_lines(&format!(" {path}"), 1)?;
                found.push(format!(
                    "{} {cookie}: {} {given}",
                    kind,
                    line[line.len() - 1]
                ));
            }
        }
        Ok(found)
    };
    let (theirs, ours) = (run(Which::Haproxy)?, run(Which::Tandem)?);
    let mut differences = Differences::default();
    for (theirs, ours) in theirs.into_iter().zip(ours) {
        differences.compare("letters", theirs, ours);
    }
    differences.none()
}
