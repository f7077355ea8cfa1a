//! `tandem-bench origin`: the server behind the contenders; one thread, one epoll, answers made beforehand.
//!
//! | path | answer |
//! |---|---|
//! | `/browser` | 512 bytes with the headers of an ordinary site |
//! | `/head`, or any path with `?head` | the request's own head, to see what a proxy made of it |
//! | `/64k`, `/1m` … | as many bytes |
//! | `/chunked` | 64 KiB in chunks of 4 KiB |
//! | anything else | 128 bytes with three headers |
//!
//! A TCP relay is measured with the same requests: to it, they are small messages and bulk. What no load generator
//! here sends (`Expect`, other codings) is refused; this is no general web server.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::rc::Rc;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// What one read may take; an upload arrives in pieces of this size.
const READ_BUFFER_BYTES: usize = 256 << 10;
/// A longer request head ends the connection.
const HEAD_MAX_BYTES: usize = 32 << 10;
/// The largest answer that a path may ask for.
const ANSWER_MAX_BYTES: usize = 64 << 20;
/// Paths whose answers are kept.
const ANSWERS_MAX: usize = 64;
/// Connections at once: three contenders may each hold one for every of 5,000 servers.
const CONNECTIONS_MAX: usize = 19_000;
/// Size and count of the chunks of `/chunked`.
pub(crate) const CHUNK_BYTES: usize = 4 << 10;
pub(crate) const CHUNKS: usize = 16;
/// A chunk's size in hexadecimal digits, extensions included, at most.
const CHUNK_LINE_MAX_BYTES: usize = 64;
/// Events taken by one wait.
const EVENTS: usize = 256;
/// The listener's number among events; connections count from 0.
const LISTENER: u64 = u64::MAX;

/// Binds a free port on loopback, says which on stdout, and serves until killed.
pub(crate) fn serve_until_killed() -> Result<(), String> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| format!("origin: {error}"))?;
    let port = listener
        .local_addr()
        .map_err(|error| format!("origin: {error}"))?
        .port();
    println!("{port}");
    Origin::new(listener)
        .and_then(Origin::serve)
        .map_err(|error| format!("origin: {error}"))
}

/// A whole answer, head and body.
type Answer = Rc<[u8]>;

struct Connection {
    stream: TcpStream,
    /// Bytes that wait for the rest of their head, or for the answer before them to leave.
    input: Vec<u8>,
    /// What of the request's body is still to come.
    body: BodyLeft,
    /// Sent when the request's body is there.
    answer: Option<Answer>,
    /// What could not be sent yet, and how far it got.
    output: Option<(Answer, usize)>,
    close_after_answer: bool,
}

/// What of a request's body is still to come.
#[derive(Debug, PartialEq)]
enum BodyLeft {
    /// So many bytes; 0 is the end of every body.
    Bytes(u64),
    /// The rest of a chunk (with the line end behind it), then further chunks.
    Chunk(u64),
    /// The line of a chunk's size.
    ChunkLine,
}

/// What a connection waits for.
#[derive(PartialEq)]
enum Wait {
    Input,
    Output,
    Nothing,
}

struct Origin {
    listener: TcpListener,
    epoll: Epoll,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    answers: HashMap<Vec<u8>, Answer>,
    buffer: Vec<u8>,
}

impl Origin {
    fn new(listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        let buffer = vec![0; READ_BUFFER_BYTES];
        Ok(Self {
            listener,
            epoll,
            connections: Vec::new(),
            free: Vec::new(),
            answers: HashMap::new(),
            buffer,
        })
    }

    fn serve(mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); EVENTS];
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in &events[..count] {
                if event.data() == LISTENER {
                    self.accept()?;
                } else {
                    self.turn(
                        event.data() as usize,
                        event.events().contains(EpollFlags::EPOLLOUT),
                    );
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            if self.connections.len() - self.free.len() >= CONNECTIONS_MAX {
                continue;
            }
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let place = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            self.epoll
                .add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, place as u64))?;
            self.connections[place] = Some(Connection {
                stream,
                input: Vec::new(),
                body: BodyLeft::Bytes(0),
                answer: None,
                output: None,
                close_after_answer: false,
            });
        }
    }

    /// Does what an event allows; an error of a connection ends that connection.
    fn turn(&mut self, place: usize, writable: bool) {
        let Some(connection) = self.connections.get_mut(place).and_then(Option::as_mut) else {
            return;
        };
        let before = if connection.output.is_some() {
            Wait::Output
        } else {
            Wait::Input
        };
        let after = if writable && connection.output.is_some() {
            connection.resume(&mut self.answers)
        } else {
            connection.read(&mut self.buffer, &mut self.answers)
        };
        let after = after.unwrap_or(Wait::Nothing);
        if after == Wait::Nothing {
            // Closing takes it out of the epoll set.
            self.connections[place] = None;
            self.free.push(place);
        } else if after != before {
            let flags = if after == Wait::Output {
                EpollFlags::EPOLLOUT
            } else {
                EpollFlags::EPOLLIN
            };
            let mut event = EpollEvent::new(flags, place as u64);
            if self
                .epoll
                .modify(connection.stream.as_fd(), &mut event)
                .is_err()
            {
                self.connections[place] = None;
                self.free.push(place);
            }
        }
    }
}

impl Connection {
    fn read(
        &mut self,
        buffer: &mut [u8],
        answers: &mut HashMap<Vec<u8>, Answer>,
    ) -> io::Result<Wait> {
        let length = match self.stream.read(buffer) {
            Ok(0) => return Ok(Wait::Nothing),
            Ok(length) => length,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(Wait::Input);
            }
            Err(error) => return Err(error),
        };
        if self.input.is_empty() {
            return self.consume(&buffer[..length], answers);
        }
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(&buffer[..length]);
        self.consume(&input, answers)
    }

    /// Sends the rest of an answer, then goes on with what was read behind its request.
    fn resume(&mut self, answers: &mut HashMap<Vec<u8>, Answer>) -> io::Result<Wait> {
        let Some((answer, sent)) = self.output.take() else {
            return Ok(Wait::Input);
        };
        match self.send(answer, sent)? {
            Wait::Input => {
                let input = std::mem::take(&mut self.input);
                self.consume(&input, answers)
            }
            other => Ok(other),
        }
    }

    /// Takes requests from `input` and answers them; keeps what is not whole.
    fn consume(
        &mut self,
        mut input: &[u8],
        answers: &mut HashMap<Vec<u8>, Answer>,
    ) -> io::Result<Wait> {
        loop {
            match self.body.consume(&mut input) {
                Some(true) => {}
                Some(false) => {
                    self.input.extend_from_slice(input);
                    return Ok(Wait::Input);
                }
                None => return Ok(Wait::Nothing),
            }
            if let Some(answer) = self.answer.take() {
                match self.send(answer, 0)? {
                    Wait::Input => {}
                    Wait::Output => {
                        self.input.extend_from_slice(input);
                        return Ok(Wait::Output);
                    }
                    Wait::Nothing => return Ok(Wait::Nothing),
                }
            }
            let Some(end) = memchr::memmem::find(input, b"\r\n\r\n") else {
                if input.len() > HEAD_MAX_BYTES {
                    return Ok(Wait::Nothing);
                }
                self.input.extend_from_slice(input);
                return Ok(Wait::Input);
            };
            let (head, rest) = input.split_at(end + 4);
            input = rest;
            let Some(request) = Request::parse(head) else {
                return Ok(Wait::Nothing);
            };
            self.body = request.body;
            self.close_after_answer = request.close;
            self.answer = Some(answer_to(request.path, head, answers));
        }
    }

    fn send(&mut self, answer: Answer, mut sent: usize) -> io::Result<Wait> {
        while sent < answer.len() {
            match self.stream.write(&answer[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.output = Some((answer, sent));
                    return Ok(Wait::Output);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(if self.close_after_answer {
            Wait::Nothing
        } else {
            Wait::Input
        })
    }
}

impl BodyLeft {
    /// Takes what `input` has of the body: whether that was its end, or `None` of what is no body.
    fn consume(&mut self, input: &mut &[u8]) -> Option<bool> {
        loop {
            match self {
                Self::Bytes(left) | Self::Chunk(left) => {
                    let taken = input
                        .len()
                        .min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= taken as u64;
                    *input = &input[taken..];
                    if *left > 0 {
                        return Some(false);
                    }
                    if matches!(self, Self::Bytes(_)) {
                        return Some(true);
                    }
                    *self = Self::ChunkLine;
                }
                Self::ChunkLine => {
                    let Some(end) = memchr::memchr(b'\n', input) else {
                        return (input.len() < CHUNK_LINE_MAX_BYTES).then_some(false);
                    };
                    let line = std::str::from_utf8(&input[..end]).ok()?;
                    let size = line.split(';').next()?.trim();
                    let size = u32::from_str_radix(size, 16).ok()?;
                    *input = &input[end + 1..];
                    // No load generator here sends trailers: behind the last chunk stands an empty line.
                    *self = match size {
                        0 => Self::Bytes(2),
                        size => Self::Chunk(u64::from(size) + 2),
                    };
                }
            }
        }
    }
}

/// What of a request's head matters here.
#[derive(Debug, PartialEq)]
struct Request<'a> {
    path: &'a [u8],
    body: BodyLeft,
    close: bool,
}

impl<'a> Request<'a> {
    /// `None` of what we do not speak.
    fn parse(head: &'a [u8]) -> Option<Self> {
        let mut lines = head.split(|byte| *byte == b'\n');
        let mut words = lines.next()?.split(|byte| *byte == b' ');
        let (_method, path) = (words.next()?, words.next()?);
        let mut request = Self {
            path,
            body: BodyLeft::Bytes(0),
            close: false,
        };
        for line in lines {
            // Only these three first letters concern us, and most lines have others.
            if !matches!(
                line.first().map(u8::to_ascii_lowercase),
                Some(b'c' | b't' | b'e')
            ) {
                continue;
            }
            let Some(colon) = memchr::memchr(b':', line) else {
                continue;
            };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                request.body = BodyLeft::Bytes(std::str::from_utf8(value).ok()?.parse().ok()?);
            } else if name.eq_ignore_ascii_case(b"connection") {
                request.close = value.eq_ignore_ascii_case(b"close");
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return None;
                }
                request.body = BodyLeft::ChunkLine;
            } else if name.eq_ignore_ascii_case(b"expect") {
                return None;
            }
        }
        Some(request)
    }
}

fn answer_to(path: &[u8], head: &[u8], answers: &mut HashMap<Vec<u8>, Answer>) -> Answer {
    if path == b"/head" || path.ends_with(b"?head") {
        return render(&[("Content-Type", "text/plain")], head);
    }
    if let Some(answer) = answers.get(path) {
        return answer.clone();
    }
    let answer = match (path, size_in(path)) {
        (b"/browser", _) => render(BROWSER_HEADERS, &[b'x'; 512]),
        (b"/chunked", _) => render_chunked(PLAIN_HEADERS),
        (_, Some(size)) => render(PLAIN_HEADERS, &vec![b'x'; size]),
        (_, None) => render(PLAIN_HEADERS, &[b'x'; 128]),
    };
    if answers.len() < ANSWERS_MAX {
        answers.insert(path.to_vec(), answer.clone());
    }
    answer
}

/// The size in a path as `/64k` or `/1m`.
fn size_in(path: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(path.strip_prefix(b"/")?).ok()?;
    let (number, unit) = match text.split_at_checked(text.len().checked_sub(1)?)? {
        (number, "k") => (number, 1 << 10),
        (number, "m") => (number, 1 << 20),
        _ => (text, 1),
    };
    let size = number.parse::<usize>().ok()?.checked_mul(unit)?;
    (size <= ANSWER_MAX_BYTES).then_some(size)
}

const PLAIN_HEADERS: &[(&str, &str)] = &[("Content-Type", "text/plain"), ("Server", "origin")];

/// With Content-Length eleven headers, as an ordinary site sends them.
const BROWSER_HEADERS: &[(&str, &str)] = &[
    ("Date", "Thu, 01 Jan 2026 00:00:00 GMT"),
    ("Server", "Apache/2.4.62 (Debian)"),
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "private, max-age=0, must-revalidate"),
    ("ETag", "\"5f3c-61c2b8f1a9e40-gzip\""),
    ("Last-Modified", "Wed, 31 Dec 2025 21:14:07 GMT"),
    ("Vary", "Accept-Encoding, Cookie"),
    (
        "Set-Cookie",
        "session=9f1c7d2e5b8a4036; Path=/; HttpOnly; SameSite=Lax",
    ),
    ("X-Content-Type-Options", "nosniff"),
    (
        "Strict-Transport-Security",
        "max-age=31536000; includeSubDomains",
    ),
];

fn render(headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut answer = String::from("HTTP/1.1 200 OK\r\n");
    for (name, value) in headers {
        answer.push_str(&format!("{name}: {value}\r\n"));
    }
    answer.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut answer = answer.into_bytes();
    answer.extend_from_slice(body);
    answer.into()
}

fn render_chunked(headers: &[(&str, &str)]) -> Answer {
    let mut answer = String::from("HTTP/1.1 200 OK\r\n");
    for (name, value) in headers {
        answer.push_str(&format!("{name}: {value}\r\n"));
    }
    answer.push_str("Transfer-Encoding: chunked\r\n\r\n");
    let mut answer = answer.into_bytes();
    answer.extend_from_slice(&chunks());
    answer.into()
}

/// [`CHUNKS`] chunks of [`CHUNK_BYTES`] and the end.
pub(crate) fn chunks() -> Vec<u8> {
    let mut text = format!("{CHUNK_BYTES:x}\r\n{}\r\n", "x".repeat(CHUNK_BYTES)).repeat(CHUNKS);
    text.push_str("0\r\n\r\n");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_paths() {
        assert_eq!(size_in(b"/1m"), Some(1 << 20));
        assert_eq!(size_in(b"/64k"), Some(64 << 10));
        assert_eq!(size_in(b"/12"), Some(12));
        assert_eq!(size_in(b"/"), None);
        assert_eq!(size_in(b"/browser"), None);
        assert_eq!(size_in(b"/99999999999999999999m"), None);
        assert_eq!(size_in(b"/65m"), None);
    }

    #[test]
    fn a_head_tells_path_length_and_end() {
        let head =
            b"POST /a HTTP/1.1\r\nHost: x\r\ncontent-length: 12\r\nConnection: close\r\n\r\n";
        let wanted = Request {
            path: b"/a",
            body: BodyLeft::Bytes(12),
            close: true,
        };
        assert_eq!(Request::parse(head), Some(wanted));
        assert_eq!(
            Request::parse(b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n"),
            None
        );
        assert_eq!(Request::parse(b"\r\n\r\n"), None);
    }

    /// Sends `sent` in the given pieces and returns what comes back until the origin closes.
    fn exchange(pieces: &[&[u8]]) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback is there");
        let address = listener.local_addr().expect("it is bound");
        // The origin serves until the test program ends.
        std::thread::spawn(move || Origin::new(listener).and_then(Origin::serve));
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_nodelay(true).expect("TCP knows it");
        stream
            .set_read_timeout(Some(std::time::Duration::from_secs(10)))
            .expect("it is not zero");
        for piece in pieces {
            stream.write_all(piece).expect("the origin reads");
        }
        let mut received = Vec::new();
        stream
            .read_to_end(&mut received)
            .expect("the origin closes");
        String::from_utf8(received).expect("answers are text")
    }

    #[test]
    fn pipelined_and_split_requests_are_answered_in_turn() {
        let received = exchange(&[
            b"GET /3 HTTP/1.1\r\n\r\nPOST /4 HTTP/1.1\r\nContent-Le",
            b"ngth: 5\r\n\r\nab",
            b"cdeGET /head HTTP/1.1\r\nX-A: b\r\nConnection: close\r\n\r\n",
        ]);
        let bodies: Vec<&str> = received.split("HTTP/1.1 200 OK\r\n").skip(1).collect();
        assert_eq!(bodies.len(), 3, "{received}");
        assert!(bodies[0].ends_with("\r\n\r\nxxx"), "{received}");
        assert!(bodies[1].ends_with("\r\n\r\nxxxx"), "{received}");
        assert!(bodies[2].contains("X-A: b\r\n"), "{received}");
    }

    #[test]
    fn chunked_requests_are_read_to_their_end_however_they_are_cut() {
        let request = b"POST /3 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\n\r\n\
            GET /4 HTTP/1.1\r\nConnection: close\r\n\r\n";
        for at in [52, 54, 58, 60, 61, 70, 82, 84, 87] {
            let received = exchange(&[&request[..at], &request[at..]]);
            assert_eq!(
                received.matches("HTTP/1.1 200").count(),
                2,
                "{at}: {received}"
            );
            assert!(received.ends_with("\r\n\r\nxxxx"), "{at}: {received}");
        }
        let received = exchange(&[b"GET /chunked HTTP/1.1\r\nConnection: close\r\n\r\n"]);
        let (_, body) = received.split_once("\r\n\r\n").expect("it has a head");
        assert_eq!(body.as_bytes(), chunks());
    }

    #[test]
    fn an_answer_larger_than_the_sockets_buffers_arrives_whole() {
        let received = exchange(&[b"GET /8m HTTP/1.1\r\nConnection: close\r\n\r\n"]);
        assert!(received.contains("Content-Length: 8388608\r\n"));
        assert_eq!(
            received.split_once("\r\n\r\n").map(|(_, body)| body.len()),
            Some(8 << 20)
        );
    }
}
