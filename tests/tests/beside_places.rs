//! Which place a request gets: rules about servers, persistence, queues with priorities and bounds, limits that follow the load,
//! servers that start slowly; beside haproxy.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tandem_tests::beside::{BOTH, Differences, Side, read_all, read_until, scripted};
use tandem_tests::{Origin, Outcome, ensure, require};

/// A server that holds `/hold` until the client's side ends, and answers everything else with its name. It notes targets.
fn holding(name: &'static str) -> Outcome<(u16, Arc<Mutex<Vec<String>>>)> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let port = scripted(move |mut stream, _| {
        loop {
            let head = read_until(&mut stream, "\r\n\r\n");
            let Some(target) = head.split(' ').nth(1) else {
                return;
            };
            if let Ok(mut notes) = notes.lock() {
                notes.push(target.to_owned());
            }
            if target == "/hold" {
                read_all(&mut stream);
                return;
            }
            let answer = format!(
                "HTTP/1.1 200 OK\r\nx-server: {name}\r\ncontent-length: {}\r\n\r\n{name}",
                name.len()
            );
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })?;
    Ok((port, seen))
}

fn request(path: &str, headers: &[&str]) -> String {
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{lines}\r\n")
}

/// Sends a request and leaves it on its way.
fn begin(side: &Side, path: &str, headers: &[&str]) -> Outcome<TcpStream> {
    let mut stream = side.connect()?;
    stream.write_all(request(path, headers).as_bytes())?;
    Ok(stream)
}

/// Runs the same on both and compares what it found.
fn on_both(text: &str, run: impl Fn(&Side) -> Outcome<Vec<String>>) -> Outcome {
    let mut found = Vec::new();
    for which in BOTH {
        found.push(run(&Side::start(which, text)?)?);
    }
    let mut differences = Differences::default();
    differences.compare("how many", found[0].len(), found[1].len());
    for (theirs, ours) in found[0].iter().zip(&found[1]) {
        differences.compare("found", theirs, ours);
    }
    differences.none()
}

/// Server, termination letters, retries and queues of a log line.
fn of_line(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let word = |at: usize| words.get(at).copied().unwrap_or("-");
    // client [date] frontend backend/server times status bytes captures letters connections queues
    format!(
        "{} {} {} {}",
        word(3),
        word(5),
        word(9),
        word(10).rsplit('/').next().unwrap_or("-")
    )
}

#[test]
fn rules_and_cookies_name_the_server() -> Outcome {
    require!("haproxy", "tandemd");
    let (s1, s2, s3) = (holding("s1")?.0, holding("s2")?.0, holding("s3")?.0);
    let text = format!(
        "frontend f\n bind {{in}}\n default_backend b\nbackend b\n balance static-rr\n cookie S insert indirect nocache\n \
         force-persist if {{ hdr(x-force) 1 }}\n ignore-persist if {{ path_beg /static }}\n \
         use-server s3 if {{ hdr(x-use) s3 }}\n use-server s2 if {{ hdr(x-use) s2 }}\n use-server s3 if {{ hdr(x-use) s2 }}\n \
         use-server %[req.hdr(x-name)] if {{ hdr(x-name) -m found }}\n \
         server s1 127.0.0.1:{s1} cookie c1\n server s2 127.0.0.1:{s2} cookie c2\n server s3 127.0.0.1:{s3} cookie c3 weight 0\n server s4 127.0.0.1:{s1} cookie c4\n"
    );
    on_both(&text, |side| {
        let mut found = Vec::new();
        for state in ["ready", "drain", "maint"] {
            side.command(&format!("set server b/s2 state {state}"))?;
            for headers in [
                &[][..],
                &["Cookie: S=c1"],
                &["Cookie: S=c2"],
                &["Cookie: S=c3"],
                &["Cookie: S=c9"],
                &["Cookie: S=c2", "X-Force: 1"],
                &["X-Use: s3"],
                &["X-Use: s3", "Cookie: S=c1"],
                &["X-Use: s2"],
                &["X-Use: s2", "X-Force: 1"],
                &["X-Name: s3"],
                &["X-Name: s2"],
                &["X-Name: nobody"],
            ] {
                for path in ["/page", "/static/x"] {
                    side.forget();
                    let answer = side.get(path, headers)?;
                    let line = side.wait_lines(path, 1)?;
                    found.push(format!(
                        "{state} {path} {headers:?}: {} {} {:?} {}",
                        answer.status,
                        answer.server(),
                        answer.header("set-cookie"),
                        of_line(&line[0])
                    ));
                }
            }
        }
        Ok(found)
    })
}

#[test]
fn those_who_wait_go_by_class_and_time() -> Outcome {
    require!("haproxy", "tandemd");
    let mut orders = Vec::new();
    for which in BOTH {
        let (port, seen) = holding("s1")?;
        let text = format!(
            "frontend f\n bind {{in}}\n http-request set-priority-class req.hdr(x-class)\n http-request set-priority-offset req.hdr(x-offset)\n default_backend b\n\
             backend b\n timeout queue 10s\n server s1 127.0.0.1:{port} maxconn 1\n"
        );
        let side = Side::start(which, &text)?;
        let held = begin(&side, "/hold", &[])?;
        side.wait_stat("b", "s1", "scur", "1")?;
        let mut waiting = Vec::new();
        for (number, headers) in [
            &[][..],
            &["X-Class: 5"],
            &["X-Class: -5"],
            &["X-Offset: 60000"],
            &["X-Offset: -60000"],
            &["X-Class: -5", "X-Offset: -1000"],
            &["X-Class: -9000"],
            &["X-Class: word"],
        ]
        .into_iter()
        .enumerate()
        {
            waiting.push(begin(&side, &format!("/r{number}"), headers)?);
            side.wait_stat("b", "BACKEND", "qcur", &(number + 1).to_string())?;
        }
        drop(held);
        for stream in &mut waiting {
            let answer = String::from_utf8_lossy(&read_all(stream)).into_owned();
            ensure!(answer.contains(" 200 "), "{answer}");
        }
        orders.push(seen.lock().map(|seen| seen.clone()).unwrap_or_default());
    }
    let mut differences = Differences::default();
    differences.compare("order", &orders[0], &orders[1]);
    differences.none()
}

#[test]
fn a_queue_that_is_full_sends_the_next_elsewhere() -> Outcome {
    require!("haproxy", "tandemd");
    for algorithm in [
        "roundrobin",
        "roundrobin\n option redispatch",
        "leastconn\n option redispatch",
        "url_param u\n option redispatch",
    ] {
        let (s1, s2) = (holding("s1")?.0, holding("s2")?.0);
        let text = format!(
            "frontend f\n bind {{in}}\n default_backend b\nbackend b\n balance {algorithm}\n cookie S\n timeout queue 600ms\n \
             server s1 127.0.0.1:{s1} cookie c1 maxconn 1 maxqueue 1\n server s2 127.0.0.1:{s2} cookie c2 maxconn 1 maxqueue 1\n"
        );
        on_both(&text, |side| {
            let mut found = Vec::new();
            let cookie = ["Cookie: S=c1"];
            let _held = begin(side, "/hold", &cookie)?;
            side.wait_stat("b", "s1", "scur", "1")?;
            let mut queued = begin(side, "/queued", &cookie)?;
            side.wait_stat("b", "s1", "qcur", "1")?;
            let answer = side.get("/elsewhere", &cookie)?;
            found.push(format!("{} {}", answer.status, answer.server()));
            let _second = begin(side, "/hold", &["Cookie: S=c2"])?;
            side.wait_stat("b", "s2", "scur", "1")?;
            let answer = side.get("/nowhere", &cookie)?;
            found.push(format!("{}", answer.status));
            read_all(&mut queued);
            for path in ["/elsewhere", "/nowhere", "/queued"] {
                found.push(format!("{path} {}", of_line(&side.wait_lines(path, 1)?[0])));
            }
            for name in ["s1", "s2", "BACKEND"] {
                found.push(format!("{name} wredis={}", side.stat("b", name, "wredis")?));
            }
            Ok(found)
        })?;
    }
    Ok(())
}

/// A TCP server that keeps all connections open and says a letter first.
fn keeping(letter: u8) -> Outcome<u16> {
    scripted(move |mut stream, _| {
        let _ = stream.write_all(&[letter]);
        let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
        read_all(&mut stream);
    })
}

#[test]
fn minconn_follows_the_load() -> Outcome {
    require!("haproxy", "tandemd");
    let (s1, s2) = (keeping(b'1')?, keeping(b'2')?);
    let text = format!(
        "listen b\n bind {{in}}\n mode tcp\n option tcplog\n timeout queue 20s\n fullconn 12\n \
         server s1 127.0.0.1:{s1} minconn 2 maxconn 6\n server s2 127.0.0.1:{s2} minconn 1 maxconn 4\n"
    );
    on_both(&text, |side| {
        let mut found = Vec::new();
        let mut open = Vec::new();
        for number in 1..=14 {
            open.push(side.connect()?);
            side.wait_stat("b", "BACKEND", "scur", &number.to_string())?;
            // All are either at a server or in a queue before the next comes.
            let counts = tandem_tests::wait::wait_for("places", Duration::from_secs(5), || {
                let get = |name: &str, column: &str| {
                    side.stat("b", name, column)
                        .map_err(|error| error.to_string())
                };
                let all = [
                    get("s1", "scur")?,
                    get("s2", "scur")?,
                    get("BACKEND", "qcur")?,
                ];
                let sum: usize = all
                    .iter()
                    .filter_map(|text| text.parse::<usize>().ok())
                    .sum();
                if sum == number {
                    Ok(())
                } else {
                    Err(format!("{all:?}"))
                }
            });
            counts?;
            found.push(format!(
                "{number}: {} {} {}",
                side.stat("b", "s1", "scur")?,
                side.stat("b", "s2", "scur")?,
                side.stat("b", "BACKEND", "qcur")?
            ));
        }
        Ok(found)
    })
}

#[test]
fn a_server_that_comes_back_starts_slowly() -> Outcome {
    require!("haproxy", "tandemd");
    let (s1, s2) = (holding("s1")?.0, holding("s2")?.0);
    let text = format!(
        "frontend f\n bind {{in}}\n default_backend b\nbackend b\n server s1 127.0.0.1:{s1} weight 40 slowstart 2s\n server s2 127.0.0.1:{s2} weight 1 slowstart 60s maxconn 10\n"
    );
    on_both(&text, |side| {
        let look = |name: &str| {
            Ok::<_, tandem_tests::Failure>(format!(
                "{name} {} throttle={} weight={}",
                side.stat("b", name, "status")?,
                side.stat("b", name, "throttle")?,
                side.stat("b", name, "weight")?
            ))
        };
        // The worker tells its figures a moment after the socket speaks.
        side.wait_stat("b", "BACKEND", "status", "UP")?;
        let mut found = vec![look("s1")?, look("s2")?];
        for state in ["maint", "drain"] {
            for name in ["s1", "s2"] {
                side.command(&format!("set server b/{name} state {state}"))?;
                found.push(look(name)?);
                side.command(&format!("set server b/{name} state ready"))?;
                found.push(look(name)?);
            }
        }
        side.wait_stat("b", "s1", "throttle", "")?;
        found.push(look("s1")?);
        Ok(found)
    })
}

/// A client's first packet of RDP with a cookie.
fn rdp(cookie: &str) -> Vec<u8> {
    let text = format!("Cookie: {cookie}\r\n");
    let length = 11 + text.len();
    let mut bytes = vec![
        3,
        0,
        0,
        length as u8,
        (length - 5) as u8,
        0xe0,
        0,
        0,
        0,
        0,
        0,
    ];
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

#[test]
fn rdp_cookies_choose_and_persist() -> Outcome {
    require!("haproxy", "tandemd");
    let ports = [keeping(b'1')?, keeping(b'2')?, keeping(b'3')?];
    let servers: String = ports
        .iter()
        .enumerate()
        .map(|(at, port)| format!(" server s{at} 127.0.0.1:{port}\n"))
        .collect();
    for backend in [
        "balance rdp-cookie",
        "persist rdp-cookie\n balance rdp-cookie",
        "balance rdp-cookie\n hash-type consistent",
    ] {
        let text = format!(
            "listen b\n bind {{in}}\n mode tcp\n option tcplog\n tcp-request inspect-delay 150ms\n tcp-request content accept if WAIT_END\n {backend}\n{servers}"
        );
        on_both(&text, |side| {
            let mut found = Vec::new();
            let mut cookies: Vec<String> = (0..12).map(|at| format!("mstshash=user{at}")).collect();
            for port in ports {
                let address = u32::from_le_bytes(Ipv4Addr::LOCALHOST.octets());
                cookies.push(format!("msts={address}.{}.0000", port.swap_bytes()));
            }
            cookies.push("msts=1.2.3".to_owned());
            for cookie in cookies {
                let mut stream = side.connect()?;
                stream.write_all(&rdp(&cookie))?;
                let mut letter = [0];
                stream.read_exact(&mut letter)?;
                found.push(format!(
                    "{} {}",
                    cookie.split('=').next().unwrap_or(""),
                    letter[0] as char
                ));
            }
            Ok(found)
        })?;
    }
    Ok(())
}

#[test]
fn a_forms_field_is_a_key() -> Outcome {
    require!("haproxy", "tandemd");
    let names = ["s1", "s2", "s3", "s4", "s5"];
    let mut servers = String::new();
    for name in names {
        servers.push_str(&format!(" server {name} 127.0.0.1:{}\n", holding(name)?.0));
    }
    let text = format!(
        "frontend f\n bind {{in}}\n default_backend b\nbackend b\n balance url_param user check_post\n{servers}"
    );
    on_both(&text, |side| {
        let mut found = Vec::new();
        for number in 0..20 {
            let body = match number % 4 {
                0 => format!("user=u{number}"),
                1 => format!("a=b&user=u{number}&c=d"),
                2 => format!("x=1&user=u{number}"),
                _ => "user=same&x".to_owned(),
            };
            for chunked in [false, true] {
                let head = if chunked {
                    "transfer-encoding: chunked".to_owned()
                } else {
                    format!("content-length: {}", body.len())
                };
                let mut stream = side.connect()?;
                write!(
                    stream,
                    "POST /p HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{head}\r\n\r\n"
                )?;
                // The body comes later than the head.
                side.wait_stat("f", "FRONTEND", "scur", "1")?;
                if chunked {
                    write!(stream, "{:x}\r\n{body}\r\n0\r\n\r\n", body.len())?;
                } else {
                    stream.write_all(body.as_bytes())?;
                }
                let answer = String::from_utf8_lossy(&read_all(&mut stream)).into_owned();
                found.push(format!(
                    "{body} {chunked} {}",
                    answer.rsplit('\n').next().unwrap_or("")
                ));
            }
        }
        Ok(found)
    })
}

/// Nothing listens there.
fn dead() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

#[test]
fn dead_servers_are_left_as_redispatch_says() -> Outcome {
    require!("haproxy", "tandemd");
    let (s2, dead) = (holding("s2")?.0, dead()?);
    let mut backends = String::new();
    let mut rules = String::new();
    let options = [
        "option redispatch",
        "option redispatch 1",
        "option redispatch 2",
        "option redispatch -2",
        "no option redispatch",
        "option redispatch\n force-persist if TRUE",
    ];
    for (number, option) in options.iter().enumerate() {
        rules.push_str(&format!(
            " use_backend b{number} if {{ path /b{number} }}\n"
        ));
        backends.push_str(&format!(
            "backend b{number}\n balance roundrobin\n cookie S\n timeout connect 50ms\n retries 2\n {option}\n server s1 {dead} cookie c1\n server s2 127.0.0.1:{s2} cookie c2\n"
        ));
    }
    let text = format!("frontend f\n bind {{in}}\n{rules}{backends}");
    on_both(&text, |side| {
        let mut found = Vec::new();
        for (number, option) in options.iter().enumerate() {
            for headers in [&["Cookie: S=c1"][..], &["Cookie: S=c2"], &[], &[]] {
                side.forget();
                let path = format!("/b{number}");
                let answer = side.get(&path, headers)?;
                let line = side.wait_lines(&path, 1)?;
                let retries = line[0]
                    .split(' ')
                    .nth(10)
                    .and_then(|word| word.rsplit('/').next());
                found.push(format!(
                    "{} {headers:?}: {} {} {:?}",
                    option,
                    answer.status,
                    of_line(&line[0]),
                    retries
                ));
            }
            for name in ["s1", "s2", "BACKEND"] {
                let get = |column: &str| side.stat(&format!("b{number}"), name, column);
                found.push(format!(
                    "b{number}/{name} wretr={} wredis={}",
                    get("wretr")?,
                    get("wredis")?
                ));
            }
        }
        Ok(found)
    })
}

/// `cookie … dynamic`: the same address has the same cookie in both, and finds its server again.
#[test]
fn dynamic_cookies_are_made_alike() -> Outcome {
    require!("haproxy", "tandemd");
    let origins = [Origin::on_loopback("a")?, Origin::on_loopback("b")?];
    let ports = [origins[0].port(), origins[1].port()];
    for key in ["k", "a key with 33 characters, no less"] {
        let text = format!(
            "frontend f\n bind {{in}}\n default_backend b\nbackend b\n balance roundrobin\n dynamic-cookie-key \"{key}\"\n cookie SRV insert indirect dynamic\n server s1 127.0.0.1:{}\n server s2 127.0.0.1:{}\n server s3 127.0.0.1:{} cookie own\n",
            ports[0], ports[1], ports[0]
        );
        on_both(&text, |side| {
            let mut seen = Vec::new();
            for _ in 0..3 {
                let first = side.get("/first", &[])?;
                let cookie = first.header("set-cookie").unwrap_or_default().to_owned();
                let value = cookie.split(';').next().unwrap_or_default().to_owned();
                side.wait_lines("/first ", 1)?;
                let again = side.get("/again", &[&format!("Cookie: {value}")])?;
                let line = side.wait_lines("/again ", 1)?.remove(0);
                seen.push(cookie);
                seen.push(again.header("set-cookie").unwrap_or_default().to_owned());
                seen.push(of_line(&line));
                side.forget();
            }
            for wrong in ["SRV=0123456789abcdef", "SRV=0123456789ABCDEF", "SRV="] {
                side.get("/wrong", &[&format!("Cookie: {wrong}")])?;
                seen.push(of_line(&side.wait_lines("/wrong ", 1)?.remove(0)));
                side.forget();
            }
            Ok(seen)
        })?;
    }
    Ok(())
}
