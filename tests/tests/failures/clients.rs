//! Clients that are slow, that stop halfway, that do not read, and that end one direction: what they get and what the log
//! says. "Slow" is a byte in 300 ms with timeouts of 1 s, not a byte a second with a minute's: the ratio is what matters.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tandem_tests::beside::{connect, read_all, read_until, scripted};
use tandem_tests::http2::{self, flag, kind};
use tandem_tests::play::plain;
use tandem_tests::{Outcome, require};

use super::rows::Part::{self, Answer, Log};
use super::rows::{Client, Own, Row, Seen, compare};

/// Small socket buffers towards clients: what a slow one has not read is soon the proxy's to hold.
const DEFAULTS: &str = "global:tune.sndbuf.client 65536\n timeout client 1s\n timeout server 4s\n";
const DRIP: Duration = Duration::from_millis(300);
/// More than all socket buffers on the way hold.
const HUGE: usize = 48 << 20;
/// What a slow reader takes to the end: more than the buffers hold, at a pace that takes longer than `timeout client`.
const LARGE: usize = 768 << 10;

/// `/huge` and `/large` answer with so many bytes, `/late` after a while, `/silent` never; else the whole body is taken and
/// its length is told.
fn origin() -> Outcome<u16> {
    scripted(|mut stream, _| {
        loop {
            let head = read_until(&mut stream, "\r\n\r\n");
            let Some((head, body)) = head.split_once("\r\n\r\n") else {
                return;
            };
            let length = match head.split(['/', ' ']).nth(2).unwrap_or_default() {
                "huge" => HUGE,
                "large" => LARGE,
                "silent" => {
                    read_all(&mut stream);
                    return;
                }
                word => {
                    if word == "late" {
                        std::thread::sleep(DRIP);
                    }
                    let length = head
                        .lines()
                        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
                        .unwrap_or(0);
                    let mut body = body.as_bytes().to_vec();
                    let mut buffer = [0; 4096];
                    let chunked = head.contains("chunked");
                    while body.len() < length || (chunked && !body.ends_with(b"0\r\n\r\n")) {
                        match stream.read(&mut buffer) {
                            Ok(count) if count > 0 => body.extend_from_slice(&buffer[..count]),
                            _ => return,
                        }
                    }
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                    continue;
                }
            };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            let sent = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(&vec![b'x'; length]));
            if sent.is_err() {
                return;
            }
        }
    })
}

/// Writes a byte at a time until all is written or the other side has ended.
fn drip(stream: &mut TcpStream, text: &str) {
    for byte in text.as_bytes() {
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
        std::thread::sleep(DRIP);
    }
}

/// What comes until the end; whether the end came within the time that a row allows.
fn rest(stream: &mut TcpStream) -> String {
    plain(&String::from_utf8_lossy(&read_all(stream)))
}

/// Sends `first` at once and `slow` by drips, and reads the answer meanwhile.
fn dripping(first: &'static str, slow: &'static str) -> Client {
    Box::new(move |address| {
        let mut stream = connect(address)?;
        stream.write_all(first.as_bytes())?;
        let mut writing = stream.try_clone()?;
        let writer = std::thread::spawn(move || drip(&mut writing, slow));
        let got = rest(&mut stream);
        drop(stream);
        let _ = writer.join();
        Ok(Seen::one(got))
    })
}

/// Sends text, optionally ends its direction, and reads to the end.
fn sends(text: &'static str, shuts: bool, lines: usize) -> Client {
    Box::new(move |address| {
        let mut stream = connect(address)?;
        stream.write_all(text.as_bytes())?;
        if shuts {
            stream.shutdown(Shutdown::Write)?;
        }
        let text = rest(&mut stream);
        Ok(Seen { text, lines })
    })
}

/// A connection with a receive buffer as small as can be.
pub(crate) fn narrow(address: SocketAddr) -> Outcome<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(2048)?;
    socket.connect(&address.into())?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(15)))?;
    Ok(stream)
}

/// Asks and does not read a byte for longer than the timeouts.
fn never_reads(request: &'static str) -> Client {
    Box::new(move |address| {
        let mut stream = narrow(address)?;
        stream.write_all(request.as_bytes())?;
        // The time in which nothing is read is what is tested.
        std::thread::sleep(Duration::from_secs(3));
        let got = read_all(&mut stream).len();
        Ok(Seen::one(if got < HUGE { "cut" } else { "whole" }))
    })
}

/// Asks and reads slowly, to the end: 160 KB a second.
fn reads_slowly(request: &'static str) -> Client {
    Box::new(move |address| {
        let mut stream = narrow(address)?;
        stream.write_all(request.as_bytes())?;
        let mut buffer = vec![0; 16 << 10];
        let (began, mut got) = (Instant::now(), 0);
        while got < LARGE {
            match stream.read_exact(&mut buffer) {
                Ok(()) => got += buffer.len(),
                Err(_) => break,
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let slow = began.elapsed() > Duration::from_secs(2);
        stream.shutdown(Shutdown::Write)?;
        read_all(&mut stream);
        Ok(Seen::one(format!("all {} slow {slow}", got >= LARGE)))
    })
}

/// A connection of HTTP/2 on which `steps` are taken; then it is read to its end.
fn frames(
    settings: &'static [(u16, u32)],
    lines: usize,
    steps: fn(&mut http2::Client) -> Outcome,
) -> Client {
    Box::new(move |address| {
        let mut client = http2::Client::connect(address, settings)?;
        steps(&mut client)?;
        let mut seen = Vec::new();
        while let Some(frame) = client.frame() {
            match frame.kind {
                kind::HEADERS => seen.push("head".to_owned()),
                kind::RST_STREAM => seen.push(format!("reset {:?}", frame.code())),
                kind::GOAWAY => seen.push(format!("goaway {:?}", frame.code())),
                _ => {}
            }
        }
        Ok(Seen {
            text: seen.join(", "),
            lines,
        })
    })
}

struct Slow {
    name: &'static str,
    bind: &'static str,
    front: &'static str,
    back: &'static str,
    client: Client,
    own: Vec<Own>,
}

impl Slow {
    fn bind(mut self, bind: &'static str) -> Slow {
        self.bind = bind;
        self
    }

    fn back(mut self, back: &'static str) -> Slow {
        self.back = back;
        self
    }

    fn own(mut self, part: Part, ours: &'static str, why: &'static str) -> Slow {
        self.own.push(Own {
            part,
            ours,
            why,
            races: false,
        });
        self
    }

    /// Of the difference named last: haproxy may be the same as ours.
    fn races(mut self) -> Slow {
        if let Some(own) = self.own.last_mut() {
            own.races = true;
        }
        self
    }
}

fn slow(name: &'static str, front: &'static str, client: Client) -> Slow {
    let back = if front.contains("mode tcp") {
        " mode tcp\n"
    } else {
        ""
    };
    Slow {
        name,
        bind: "",
        front,
        back,
        client,
        own: Vec::new(),
    }
}

const CLIENTS_PAUSE: &str =
    "the client's body is what is waited for: its time ends it, not the server's";
const SHUT: &str = "the client broke off in its data; nothing was the last of it";
const ALERT: &str = "TLS tells what it did not understand (RFC 8446 6.2)";
const SETTINGS: &str = "a server's settings may come before the client's preface (RFC 9113 3.4)";
const RESET: &str = "a stream that was cut is told of before the connection ends";

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const TCP: &str = " mode tcp\n option tcplog\n";

#[rustfmt::skip]
fn rows() -> Vec<Slow> {
    let head = " timeout http-request 1500ms\n";
    vec![
        // Heads.
        slow("a head by drips", head, dripping("", GET)),
        slow("a head by drips, no time of its own", "", dripping("", GET)),
        slow("a head by drips behind its first line", head, dripping("GET / HTTP/1.1\r\n", "host: a\r\nx-a: b\r\n\r\n")),
        slow("empty lines by drips", head, dripping("", "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n")),
        slow("a head that stops", head, sends("GET / HTTP/1.1\r\nhos", false, 1)),
        slow("a head that stops before its end", head, sends("GET / HTTP/1.1\r\nhost: a\r\n", false, 1)),
        slow("nothing", head, sends("", false, 1)),
        slow("nothing, and only the client's time", "", sends("", false, 1)),
        slow("nothing, which is not logged", " timeout http-request 1500ms\n option dontlognull\n", sends("", false, 0)),
        slow("half a head where nothing is not logged", " timeout http-request 1500ms\n option dontlognull\n", sends("GET", false, 1)),
        slow("nothing where probes are ignored", " timeout http-request 1500ms\n option http-ignore-probes\n", sends("", false, 0)),
        slow("nothing behind a request", " timeout http-keep-alive 700ms\n", sends(GET, false, 1)),
        slow("nothing behind a request, and only a head's time", head, sends(GET, false, 1)),
        slow("the second head by drips", " timeout http-request 1500ms\n timeout http-keep-alive 700ms\n", dripping(GET, GET)),
        slow("the second head stops", " timeout http-request 1500ms\n timeout http-keep-alive 700ms\n", sends("GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HT", false, 2)),
        // Bodies.
        slow("a body by drips", head, dripping("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 8\r\n\r\n", "01234567")),
        slow("chunks by drips", head, dripping("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n")),
        slow("a body by drips, read first", " option http-buffer-request\n timeout http-request 1500ms\n", dripping("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 20\r\n\r\n", "01234567890123456789")),
        slow("a body that stops", "", sends("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n123", false, 1)).own(Answer, "408 Request Time-out", CLIENTS_PAUSE).own(Log, " 408 cD-- ", CLIENTS_PAUSE),
        slow("chunks that stop", "", sends("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\n123", false, 1)).own(Answer, "408 Request Time-out", CLIENTS_PAUSE).own(Log, " 408 cD-- ", CLIENTS_PAUSE),
        slow("a body that never comes", "", sends("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n", false, 1)).own(Answer, "408 Request Time-out", CLIENTS_PAUSE).own(Log, " 408 cD-- ", CLIENTS_PAUSE),
        slow("a body that waits for 100", "", sends("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n", false, 1)).own(Answer, "408 Request Time-out", CLIENTS_PAUSE).own(Log, " 408 cD-- ", CLIENTS_PAUSE),
        // Readers.
        slow("an answer that nobody reads", "", never_reads("GET /huge HTTP/1.1\r\nhost: a\r\n\r\n")),
        slow("an answer that is read slowly", "", reads_slowly("GET /large HTTP/1.1\r\nhost: a\r\n\r\n")),
        // A buffer of ours takes such a reader longer than this server has to answer.
        slow("an answer that is read slowly, of a server with little time", "", reads_slowly("GET /large HTTP/1.1\r\nhost: a\r\n\r\n")).back(" timeout server 500ms\n"),
        slow("bytes that nobody reads", TCP, never_reads("GET /huge HTTP/1.1\r\n\r\n")),
        slow("bytes that are read slowly", TCP, reads_slowly("GET /large HTTP/1.1\r\n\r\n")),
        // One direction ended.
        slow("it shuts behind a request", "", sends("GET /late HTTP/1.1\r\nhost: a\r\n\r\n", true, 1)),
        slow("it shuts in the first line", "", sends("GET / HT", true, 1)),
        slow("it shuts in the body", "", sends("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n123", true, 1)).own(Log, " -1 CD-- ", SHUT).races(),
        slow("it shuts in a chunk", "", sends("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\n123", true, 1)).own(Log, " -1 CD-- ", SHUT).races(),
        slow("it shuts at once", "", sends("", true, 1)),
        slow("it shuts, and the server never answers", " timeout client 3s\n", sends("GET /silent HTTP/1.1\r\nhost: a\r\n\r\n", true, 1)).back(" timeout server 1s\n"),
        slow("it shuts in a tunnel", TCP, sends("GET /late HTTP/1.1\r\n\r\n", true, 1)),
        slow("it shuts in a tunnel and gets nothing", " mode tcp\n option tcplog\n timeout client-fin 700ms\n", sends("GET /silent HTTP/1.1\r\n\r\n", true, 1)),
        slow("it shuts in a tunnel and the server says nothing", TCP, sends("GET /silent HTTP/1.1\r\n\r\n", true, 1)).back(" mode tcp\n timeout server 700ms\n"),
        // TCP.
        slow("bytes by drips", TCP, Box::new(|address| {
            let mut stream = connect(address)?;
            drip(&mut stream, "GET /\r\n\r\n");
            let got = read_until(&mut stream, "fine");
            Ok(Seen::one(got + &String::from_utf8_lossy(&read_all(&mut stream))))
        })),
        slow("a silent client", TCP, sends("", false, 1)),
        slow("a silent client, not logged", " mode tcp\n option tcplog\n option dontlognull\n", sends("", false, 0)),
        slow("content that is waited for", " mode tcp\n option tcplog\n tcp-request inspect-delay 700ms\n tcp-request content accept if { src 192.0.2.1 }\n", sends("GET", false, 1)),
        slow("a tunnel that both leave idle", " mode tcp\n option tcplog\n timeout client 2s\n", sends("GET /silent HTTP/1.1\r\n\r\n", false, 1)).back(" mode tcp\n timeout server 2s\n timeout tunnel 700ms\n"),
        // TLS.
        slow("no handshake", "", sends("", false, 1)).bind("ssl crt {dir}/pem"),
        slow("no handshake, not logged", " option dontlognull\n", sends("", false, 0)).bind("ssl crt {dir}/pem"),
        slow("a handshake that stops", head, sends("\x16\x03\x01\x02\x00\x01", false, 1)).bind("ssl crt {dir}/pem"),
        slow("a handshake by drips", head, dripping("", "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03")).bind("ssl crt {dir}/pem"),
        slow("plain text where TLS is wanted", "", sends("GET / HTTP/1.1\r\nhost: a\r\n\r\n", false, 1)).bind("ssl crt {dir}/pem").own(Answer, "\u{15}\u{3}", ALERT),
        // HTTP/2.
        slow("frames: nothing", "", sends("", false, 0)).bind("proto h2").own(Answer, "\u{4}", SETTINGS),
        slow("frames: half a preface", "", sends("PRI * HTTP", false, 0)).bind("proto h2").own(Answer, "\u{4}", SETTINGS),
        slow("frames: nothing behind the preface", "", frames(&[], 0, |_| Ok(()))).bind("proto h2"),
        slow("frames: a head that goes on and does not", "", frames(&[], 0, |client| {
            let fields = http2::block(&http2::request("GET", "/"));
            client.send(&http2::Frame::new(kind::HEADERS, flag::END_STREAM, 1, fields))
        })).bind("proto h2"),
        slow("frames: a body that stops", "", frames(&[], 1, |client| {
            client.head(1, &http2::request("POST", "/"), false)?;
            client.data(1, b"123", false)
        })).bind("proto h2").own(Answer, "head, reset Some(0), goaway Some(0)", CLIENTS_PAUSE).own(Log, " 408 cD-- ", CLIENTS_PAUSE),
        slow("frames: a window that never opens", "", frames(&[(4, 0)], 1, |client| {
            client.head(1, &http2::request("GET", "/huge"), true)
        })).bind("proto h2").own(Answer, "head, reset Some(2), goaway Some(0)", RESET),
        slow("frames: idle behind a request", " timeout http-keep-alive 700ms\n", frames(&[], 1, |client| {
            client.head(1, &http2::request("GET", "/"), true)
        })).bind("proto h2"),
    ]
}

#[test]
fn slow_and_halting_clients_get_what_they_get_from_haproxy() -> Outcome {
    require!("haproxy", "tandemd");
    let origin = origin()?;
    let rows: Vec<Row> = rows()
        .into_iter()
        .map(|slow| Row {
            name: slow.name.to_owned(),
            bind: slow.bind,
            front: slow.front.to_owned(),
            back: format!("{} server s1 127.0.0.1:{origin}\n", slow.back),
            client: slow.client,
            own: slow.own,
        })
        .collect();
    compare(&rows, DEFAULTS)
}
