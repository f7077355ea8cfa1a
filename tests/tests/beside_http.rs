//! HTTP's keywords beside haproxy: which of a server's connections requests get, rules of a frontend that is TCP at first,
//! trailers, times of half-closed connections.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use tandem_tests::beside::{
    BOTH, Differences, Side, Which, connect, free_port, read_until, scripted,
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
            found.push((places, opened, reused));
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
