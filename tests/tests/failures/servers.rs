//! A server is killed, stalled, reset, closed, refused and full at every stage: what its clients get over HTTP/1, HTTP/2 and
//! TCP, and what the log says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tandem_tests::beside::{
    BOTH, Differences, Side, Which, connect, free_port, read_all, scripted,
};
use tandem_tests::play::plain;
use tandem_tests::process::{Signal, send as send_signal};
use tandem_tests::requirements::our_program;
use tandem_tests::{Failure, Outcome, ensure, http2, require, wait_until};

use super::rows::{Client, Own, Row, Seen, compare, told_by};
use super::stages::{Ask, Mode, Server, Stage, serve, stages};

const MODES: [Mode; 3] = [Mode::Http1, Mode::Http2, Mode::Tcp];
const DEFAULTS: &str = " timeout client 3s\n timeout server 1s\n\n";
/// The second request is answered by the proxy itself, so that it tells of the client's connection alone.
const FINE: &str = " http-request return status 200 if { path /fine }\n";
const LIMIT: Duration = Duration::from_secs(10);

/// A socket whose queue of connections is full: another one gets no answer.
pub(crate) struct Full {
    pub(crate) address: SocketAddr,
    _listener: Socket,
    _waiting: Vec<Socket>,
}

impl Full {
    pub(crate) fn start() -> Outcome<Full> {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        listener.listen(0)?;
        let address = listener.local_addr()?;
        let mut waiting = Vec::new();
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            let connected = socket.connect_timeout(&address, Duration::from_millis(300));
            waiting.push(socket);
            if connected.is_err() {
                break;
            }
            ensure!(waiting.len() < 100, "the queue of {address:?} never fills");
        }
        Ok(Full {
            address: address
                .as_socket()
                .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            _listener: listener,
            _waiting: waiting,
        })
    }
}

/// A server that answers everything.
fn healthy() -> Outcome<u16> {
    scripted(|stream, _| {
        serve(
            stream,
            Server::Asked(|mut stream| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nhealthy");
                read_all(&mut stream);
            }),
        )
    })
}

/// Where an answer's final head and body end, once they are there.
fn complete(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let head = head.to_ascii_lowercase();
    if head.starts_with("http/1.1 1") && !head.starts_with("http/1.1 101") {
        return complete(body.as_bytes());
    }
    if head.contains("transfer-encoding: chunked") {
        return body.ends_with("0\r\n\r\n");
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    length.is_some_and(|length: usize| body.len() >= length)
}

/// Asks over HTTP/1, and again on the same connection if it lives.
fn over_http1(address: SocketAddr, ask: Ask) -> Outcome<Seen> {
    let mut stream = connect(address)?;
    send(&stream, ask)?;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    let is_complete = loop {
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&buffer[..count]),
            _ => break false,
        }
        if complete(&bytes) {
            break true;
        }
    };
    let first = plain(&String::from_utf8_lossy(&bytes));
    if !is_complete {
        return Ok(Seen::one(format!("{first} cut")));
    }
    if ask != Ask::Get {
        // What comes next might be taken for the rest of the body.
        return Ok(Seen::one(first));
    }
    let _ = stream.write_all(b"GET /fine HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let next = String::from_utf8_lossy(&read_all(&mut stream)).into_owned();
    Ok(match next.split(' ').nth(1) {
        Some(status) => Seen {
            text: format!("{first} then {status}"),
            lines: 2,
        },
        None => Seen::one(format!("{first} then closed")),
    })
}

fn send(stream: &TcpStream, ask: Ask) -> Outcome {
    let mut out = stream.try_clone()?;
    match ask {
        Ask::Get => out.write_all(b"GET /stage HTTP/1.1\r\nhost: a\r\n\r\n")?,
        Ask::Post(length, sent) => {
            let head =
                format!("POST /stage HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
            out.write_all(&[head.as_bytes(), &vec![b'b'; sent.min(1000)]].concat())?;
            let rest = sent.saturating_sub(1000);
            // Who answers early does not read it all.
            std::thread::spawn(move || {
                let _ = out.write_all(&vec![b'b'; rest]);
            });
        }
    }
    Ok(())
}

fn over_tcp(address: SocketAddr, ask: Ask) -> Outcome<Seen> {
    let mut stream = connect(address)?;
    send(&stream, ask)?;
    let all = read_all(&mut stream);
    let text = if all.len() > 1000 {
        format!("{} bytes", all.len())
    } else {
        String::from_utf8_lossy(&all).into_owned()
    };
    Ok(Seen::one(text))
}

/// Asks over HTTP/2, and again on the same connection: the status where it is 200, the bytes, and how a stream ended.
fn over_http2(address: SocketAddr, ask: Ask) -> Outcome<Seen> {
    let mut client = http2::Client::connect(address, &[])?;
    match ask {
        Ask::Get => client.head(1, &http2::request("GET", "/stage"), true)?,
        Ask::Post(length, sent) => {
            let length = length.to_string();
            let mut fields = http2::request("POST", "/stage");
            fields.push(("content-length", &length));
            client.head(1, &fields, false)?;
            let body = vec![b'b'; sent];
            client.data(1, &body, sent.to_string() == length)?;
        }
    }
    let mut seen = Vec::new();
    loop {
        let Some(frame) = client.frame() else {
            seen.push("end".to_owned());
            return Ok(Seen::one(seen.join(" ")));
        };
        if frame.kind == http2::kind::SETTINGS && frame.flags & http2::flag::ACK == 0 {
            client.send(&http2::Frame::new(
                http2::kind::SETTINGS,
                http2::flag::ACK,
                0,
                [],
            ))?;
        }
        if frame.stream != 1 {
            continue;
        }
        match frame.kind {
            http2::kind::HEADERS if http2::has_status(&frame.payload, 200) => {
                seen.push("200".to_owned())
            }
            http2::kind::HEADERS => seen.push("head".to_owned()),
            http2::kind::DATA if frame.payload.is_empty() => {}
            http2::kind::DATA => seen.push(format!("{} bytes", frame.payload.len())),
            http2::kind::RST_STREAM => {
                seen.push(format!("reset {:?}", frame.code().unwrap_or_default()))
            }
            _ => continue,
        }
        if frame.ends_stream() {
            seen.push("whole".to_owned());
        }
        if frame.ends_stream() || frame.kind == http2::kind::RST_STREAM {
            break;
        }
    }
    client.head(3, &http2::request("GET", "/fine"), true)?;
    let next = client.answer(3);
    let next = matches!(&next, Ok((head, _)) if http2::has_status(head, 200));
    seen.push(format!("then {next}"));
    Ok(Seen {
        text: seen.join(" "),
        lines: 2,
    })
}

fn row(stage: &Stage, mode: Mode, back: &str) -> Row {
    let ask = stage.ask;
    let (front, bind, client): (&str, &str, Client) = match mode {
        Mode::Http1 => (FINE, "", Box::new(move |address| over_http1(address, ask))),
        Mode::Http2 => (
            FINE,
            "proto h2",
            Box::new(move |address| over_http2(address, ask)),
        ),
        Mode::Tcp => (
            " mode tcp\n option tcplog\n",
            "",
            Box::new(move |address| over_tcp(address, ask)),
        ),
    };
    let kind = if mode == Mode::Tcp { " mode tcp\n" } else { "" };
    let own = stage
        .own
        .iter()
        .filter(|(of, ..)| *of == mode)
        .map(|&(_, part, ours, why)| Own {
            part,
            ours,
            why,
            races: false,
        });
    Row {
        name: format!("{} ({mode:?})", stage.name),
        bind,
        front: front.to_owned(),
        back: format!("{kind}{back}"),
        client,
        own: own.collect(),
    }
}

#[test]
fn servers_die_at_every_stage() -> Outcome {
    require!("haproxy", "tandemd");
    let healthy = format!("127.0.0.1:{}", healthy()?);
    let full = Full::start()?;
    let mut rows = Vec::new();
    for stage in &stages() {
        let server = stage.server;
        let origin = scripted(move |stream, _| serve(stream, server))?;
        let back = stage
            .back
            .replace("{origin}", &format!("127.0.0.1:{origin}"))
            .replace("{healthy}", &healthy)
            .replace("{full}", &full.address.to_string());
        for mode in MODES {
            // A window's worth of a body is sent at once; a retry of another layer has no meaning for bytes.
            let is_small = !matches!(stage.ask, Ask::Post(length, _) if length > 1000);
            let is_fit = match mode {
                Mode::Http1 => true,
                Mode::Http2 => is_small,
                Mode::Tcp => !stage.back.contains("retry-on"),
            };
            if is_fit {
                rows.push(row(stage, mode, &back));
            }
        }
    }
    compare(&rows, DEFAULTS)
}

/// A server that is a process of its own, which can be stopped and killed.
struct Mortal {
    port: u16,
    child: Child,
}

impl Mortal {
    /// On a port of choice, or on any (0).
    fn start(port: u16) -> Outcome<Mortal> {
        let program = our_program("tandem-origin")
            .ok_or_else(|| Failure::new("tandem-origin is not built"))?;
        let mut child = Command::new(program)
            .args([format!("127.0.0.1:{port}"), "5".to_owned()])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut said)?;
        }
        let port = said
            .trim()
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .ok_or_else(|| Failure::new(format!("the server says {said:?}")))?;
        Ok(Mortal { port, child })
    }

    /// It lives, and does nothing: the kernel still accepts connections for it.
    fn stop(&self) -> Outcome {
        let pid = self.child.id();
        send_signal(pid as i32, Signal::SIGSTOP)?;
        wait_until("the server to be stopped", LIMIT, || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit(')')
                .next()
                .is_some_and(|rest| rest.starts_with(" T"))
        })?;
        Ok(())
    }

    /// Nothing of it is left when this returns.
    fn kill(&mut self) -> Outcome {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until bytes lie unread in one of its connections.
    fn wait_asked(&self) -> Outcome {
        let local = format!("0100007F:{:04X}", self.port);
        wait_until("a request at the stopped server", LIMIT, || {
            let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
            table.lines().any(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                // sl local remote state tx:rx
                matches!(words[..], [_, from, _, "01", queues, ..]
                    if from == local && !queues.ends_with(":00000000"))
            })
        })?;
        Ok(())
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// When a server is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killed {
    /// Idle between two requests; it stays dead.
    Idle,
    /// The same, and another server is there.
    IdleAndOther,
    /// Idle, and it is back for the next request.
    IdleAndBack,
    /// With the first request of a connection unanswered.
    InFlight,
    /// With the second request on a kept connection unanswered: such a GET may be sent again.
    InFlightKept,
    /// The same with a POST, which may not: the server may have done what it says.
    PostInFlightKept,
}

const KILLED: [Killed; 6] = [
    Killed::Idle,
    Killed::IdleAndOther,
    Killed::IdleAndBack,
    Killed::InFlight,
    Killed::InFlightKept,
    Killed::PostInFlightKept,
];

/// Where 2.6 neither answers nor logs: it closes or refuses, so that the client asks again. What ours says instead: a GET on
/// a connection that was kept is sent again (RFC 9110 9.2.2), and nobody is there any more; anything else is told of.
/// The kernel may still take a connection for a process that it ends: then that one is told of.
const UNTOLD: [(Killed, Mode, &[&str]); 5] = [
    (Killed::InFlight, Mode::Http2, &[" 502 SH-- 0 "]),
    (
        Killed::InFlightKept,
        Mode::Http1,
        &[" 503 SC-- 1 ", " 502 SH-- 0 "],
    ),
    (
        Killed::InFlightKept,
        Mode::Http2,
        &[" 503 SC-- 1 ", " 502 SH-- 0 "],
    ),
    (Killed::PostInFlightKept, Mode::Http1, &[" 502 SH-- 0 "]),
    (Killed::PostInFlightKept, Mode::Http2, &[" 502 SH-- 0 "]),
];

fn untold(killed: Killed, mode: Mode) -> Option<&'static [&'static str]> {
    UNTOLD
        .into_iter()
        .find(|(of, by, _)| (*of, *by) == (killed, mode))
        .map(|(_, _, ours)| ours)
}

/// A client's connection in any mode.
enum Asking {
    Bytes(TcpStream),
    Frames(http2::Client, u32),
}

impl Asking {
    fn start(mode: Mode, to: SocketAddr) -> Outcome<Asking> {
        Ok(match mode {
            Mode::Http2 => Asking::Frames(http2::Client::connect(to, &[])?, 1),
            _ => Asking::Bytes(connect(to)?),
        })
    }

    fn ask(&mut self, method: &str) -> Outcome {
        match self {
            Asking::Bytes(stream) => {
                let request = format!("{method} /mortal HTTP/1.1\r\nhost: a\r\n\r\n");
                Ok(stream.write_all(request.as_bytes())?)
            }
            Asking::Frames(client, stream) => {
                client.head(*stream, &http2::request(method, "/mortal"), true)
            }
        }
    }

    /// The answer in short.
    fn answer(&mut self) -> String {
        match self {
            Asking::Bytes(stream) => {
                let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
                while !complete(&bytes) {
                    match stream.read(&mut buffer) {
                        Ok(count) if count > 0 => bytes.extend_from_slice(&buffer[..count]),
                        _ => break,
                    }
                }
                plain(&String::from_utf8_lossy(&bytes))
            }
            Asking::Frames(client, stream) => {
                let answer = client.answer(*stream);
                *stream += 2;
                match answer {
                    Ok((head, _)) if http2::has_status(&head, 200) => "200".to_owned(),
                    Ok((_, body)) => format!("another status and {} bytes", body.len()),
                    Err(_) => "no answer".to_owned(),
                }
            }
        }
    }
}

/// Plays one death; the answers and the lines of the log.
fn kill(
    side: &Side,
    mortal: &mut Mortal,
    killed: Killed,
    mode: Mode,
    number: usize,
    port: u16,
) -> Outcome<String> {
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut client = Asking::start(mode, to)?;
    let mut seen = Vec::new();
    if killed != Killed::InFlight {
        client.ask("GET")?;
        seen.push(client.answer());
    }
    let in_flight = match killed {
        Killed::InFlight | Killed::InFlightKept => Some("GET"),
        Killed::PostInFlightKept => Some("POST"),
        _ => None,
    };
    if let Some(method) = in_flight {
        mortal.stop()?;
        client.ask(method)?;
        mortal.wait_asked()?;
        mortal.kill()?;
        seen.push(client.answer());
    } else {
        mortal.kill()?;
        if killed == Killed::IdleAndBack {
            *mortal = Mortal::start(mortal.port)?;
        }
        // A relay has ended with its server.
        if mode == Mode::Tcp || client.ask("GET").is_ok() {
            seen.push(client.answer());
        }
    }
    drop(client);
    let expected = match killed {
        _ if side.which == Which::Haproxy && untold(killed, mode).is_some() => 0,
        Killed::InFlight => 1,
        _ if mode == Mode::Tcp => 1,
        _ => 2,
    };
    seen.extend(
        side.wait_lines(&format!(" f{number}."), expected)?
            .iter()
            .map(|line| told_by(line, side.which).replace(&format!("b{number}/"), "b/")),
    );
    Ok(seen.join("\n  "))
}

#[test]
fn servers_are_killed_idle_and_in_flight() -> Outcome {
    require!("haproxy", "tandemd", "tandem-origin");
    let healthy = healthy()?;
    let cases: Vec<(Killed, Mode)> = KILLED
        .into_iter()
        .flat_map(|killed| MODES.map(|mode| (killed, mode)))
        .collect();
    let mut found = Vec::new();
    for which in BOTH {
        let mut text = String::from(
            " timeout client 8s\n timeout server 8s\n http-reuse always\n retries 1\n timeout connect 1s\n option redispatch 1\n",
        );
        let (mut mortals, mut ports) = (Vec::new(), Vec::new());
        for (number, (killed, mode)) in cases.iter().enumerate() {
            let (mortal, port) = (Mortal::start(0)?, free_port()?);
            let kind = if *mode == Mode::Tcp {
                " mode tcp\n option tcplog\n"
            } else {
                ""
            };
            let bind = if *mode == Mode::Http2 { "proto h2" } else { "" };
            let other = match killed {
                Killed::IdleAndOther => format!(" server s2 127.0.0.1:{healthy} backup\n"),
                _ => String::new(),
            };
            text.push_str(&format!(
                "frontend f{number}.\n bind 127.0.0.1:{port} {bind}\n{kind} default_backend b{number}\nbackend b{number}\n{} server s1 127.0.0.1:{}\n{other}",
                kind.replace(" option tcplog\n", ""),
                mortal.port
            ));
            mortals.push(mortal);
            ports.push(port);
        }
        let side = Side::start(which, &text)?;
        let mut side_found = Vec::new();
        for (number, (killed, mode)) in cases.iter().enumerate() {
            side_found.push(kill(
                &side,
                &mut mortals[number],
                *killed,
                *mode,
                number,
                ports[number],
            )?);
        }
        found.push(side_found);
    }
    let mut differences = Differences::default();
    for (number, (killed, mode)) in cases.iter().enumerate() {
        if let Some(ours) = untold(*killed, *mode) {
            if !ours.iter().any(|ours| found[1][number].contains(ours)) {
                differences.note(&format!("{killed:?} {mode:?}: {}", found[1][number]));
            }
            continue;
        }
        differences.compare(
            &format!("{killed:?} {mode:?}"),
            &found[0][number],
            &found[1][number],
        );
    }
    println!(
        "{} rows, {} differences kept from haproxy",
        cases.len(),
        UNTOLD.len()
    );
    differences.none()
}
