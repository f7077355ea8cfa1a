//! The stages at which a server dies, a line each.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use tandem_tests::beside::{read_all, read_until};
use tandem_tests::play::reset;

use super::rows::Part::{self, Answer, Log};

/// How a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// HTTP/1 in `mode http`.
    Http1,
    /// HTTP/2 in `mode http`.
    Http2,
    /// The bytes of HTTP/1 through `mode tcp`.
    Tcp,
}

/// What a server does with a connection.
#[derive(Clone, Copy)]
pub(crate) enum Server {
    /// Receives a request's head first. `/fine` is always answered.
    Asked(fn(TcpStream)),
    /// Does it at once.
    Accepted(fn(TcpStream)),
}

/// What a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Get,
    /// A body of this length, of which so much is sent.
    Post(usize, usize),
}

/// A stage.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) back: &'static str,
    pub(crate) ask: Ask,
    pub(crate) server: Server,
    pub(crate) own: Vec<(Mode, Part, &'static str, &'static str)>,
}

impl Stage {
    fn back(mut self, back: &'static str) -> Stage {
        self.back = back;
        self
    }

    fn ask(mut self, ask: Ask) -> Stage {
        self.ask = ask;
        self
    }

    /// Cut in its body, over HTTP/2.
    fn cut(self) -> Stage {
        self.own(Mode::Http2, Answer, "reset 2 then true", CUT)
    }

    /// Not answered at all, over HTTP/2.
    fn untold(self) -> Stage {
        self.own(
            Mode::Http2,
            Answer,
            "head 107 bytes whole then true",
            UNTOLD,
        )
        .own(Mode::Http2, Log, " 502 SH-- ", UNTOLD)
    }

    /// A body that its server ends with the connection, over HTTP/1.
    fn without_length(self, ours: &'static str) -> Stage {
        self.own(Mode::Http1, Answer, ours, CHUNKS)
    }

    /// In this mode this part of ours is this, for this reason.
    fn own(mut self, mode: Mode, part: Part, ours: &'static str, why: &'static str) -> Stage {
        self.own.push((mode, part, ours, why));
        self
    }
}

const CUT: &str = "2.6 ends the stream as if the body were whole; what was cut must not look whole (RFC 9113 8.1.1)";
const UNTOLD: &str = "2.6 refuses the stream, which makes clients ask again, and logs nothing; a request that a server may have seen is told of";
const CHUNKS: &str =
    "a body without a length goes out in chunks: the connection goes on, and a cut is seen";
const CLIENTS_PAUSE: &str =
    "the client's body is what is waited for: its time ends it, not the server's";
const TELLS: &str =
    "2.6 closes without an answer; the client is told, and the log says at which stage";
const BODY_LEFT: &str = "who did not take the request's body ends the connection behind the answer";
const GOOD_HEAD: &str =
    "the head was good, the body was not: what is sent instead is ended in the data (PD)";

fn asked(name: &'static str, serve: fn(TcpStream)) -> Stage {
    Stage {
        name,
        back: " retries 0\n server s1 {origin}\n",
        ask: Ask::Get,
        server: Server::Asked(serve),
        own: Vec::new(),
    }
}

fn accepted(name: &'static str, serve: fn(TcpStream)) -> Stage {
    Stage {
        server: Server::Accepted(serve),
        ..asked(name, serve)
    }
}

/// Longer than all timeouts of a row: a server that does not even read must not be seen to end.
const FOREVER: Duration = Duration::from_secs(8);
/// The client has what came before when the end overtakes it.
const SEEN: Duration = Duration::from_millis(150);

fn hold(mut stream: TcpStream) {
    read_all(&mut stream);
}

fn says(mut stream: TcpStream, text: &str) -> TcpStream {
    let _ = stream.write_all(text.as_bytes());
    stream
}

fn says_and_stalls(stream: TcpStream, text: &str) {
    hold(says(stream, text));
}

fn says_and_resets(stream: TcpStream, text: &str) {
    let stream = says(stream, text);
    std::thread::sleep(SEEN);
    reset(stream);
}

/// Waits until the request lies there, and leaves it.
fn unread(stream: &TcpStream) {
    let _ = stream.peek(&mut [0]);
}

fn unread_then_reset(stream: TcpStream) {
    unread(&stream);
    reset(stream);
}

const LENGTH: &str = "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const WHOLE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// What servers did before they died, and how the death is told behind it.
#[rustfmt::skip]
pub(crate) fn stages() -> Vec<Stage> {
    use Mode::{Http1, Http2};
    vec![
        // Stalled: accepts, never answers, or not all of it.
        accepted("stalls at once", |_stream| std::thread::sleep(FOREVER)),
        asked("stalls before the head", hold),
        asked("stalls in the status line", |s| says_and_stalls(s, "HTTP/1.1 2")),
        asked("stalls in the headers", |s| says_and_stalls(s, "HTTP/1.1 200 OK\r\ncontent-le")),
        asked("stalls behind 100", |s| says_and_stalls(s, "HTTP/1.1 100 Continue\r\n\r\n")),
        asked("stalls behind the head", |s| says_and_stalls(s, LENGTH)).cut(),
        asked("stalls in the body", |s| says_and_stalls(s, &format!("{LENGTH}0123456789"))).cut(),
        asked("stalls before the first chunk", |s| says_and_stalls(s, CHUNKED)).cut(),
        asked("stalls in a chunk", |s| says_and_stalls(s, &format!("{CHUNKED}a\r\n01234"))).cut(),
        asked("stalls before the last chunk", |s| says_and_stalls(s, &format!("{CHUNKED}5\r\n01234\r\n"))).cut(),
        asked("stalls in the trailers", |s| says_and_stalls(s, &format!("{CHUNKED}5\r\n01234\r\n0\r\nx-a"))).cut(),
        asked("stalls in a body without a length", |s| says_and_stalls(s, "HTTP/1.1 200 OK\r\n\r\n01234")).cut().without_length("01234 cut"),
        asked("stalls with the request's body unread", |_stream| std::thread::sleep(FOREVER)).ask(Ask::Post(16 << 20, 16 << 20)).own(Http1, Answer, "504 Gateway", TELLS).own(Http1, Log, " 504 sH-- ", TELLS),
        asked("stalls while the request's body is coming", hold).ask(Ask::Post(100, 10)).own(Http1, Answer, "408 Request", CLIENTS_PAUSE).own(Http1, Log, " 408 cD-- ", CLIENTS_PAUSE).own(Http2, Answer, "head 110 bytes whole then true", CLIENTS_PAUSE).own(Http2, Log, " 408 cD-- ", CLIENTS_PAUSE),
        asked("stalls, with another try allowed", hold).back(" retries 2\n option redispatch 1\n server s1 {origin}\n server s2 {healthy}\n"),
        // Reset.
        accepted("resets with the request unread", unread_then_reset).untold(),
        accepted("resets with the request unread, another try elsewhere", unread_then_reset).back(" retries 2\n option redispatch 1\n retry-on all-retryable-errors\n server s1 {origin}\n server s2 {healthy}\n"),
        asked("resets before the head", reset).untold(),
        asked("resets in the status line", |s| says_and_resets(s, "HTTP/1.1 2")).untold(),
        asked("resets in the headers", |s| says_and_resets(s, "HTTP/1.1 200 OK\r\ncontent-le")).untold(),
        asked("resets behind 100", |s| says_and_resets(s, "HTTP/1.1 100 Continue\r\n\r\n")).untold(),
        asked("resets behind the head", |s| says_and_resets(s, LENGTH)).cut(),
        asked("resets in the body", |s| says_and_resets(s, &format!("{LENGTH}0123456789"))).cut(),
        asked("resets in the chunk's size", |s| says_and_resets(s, &format!("{CHUNKED}a"))).cut(),
        asked("resets in a chunk", |s| says_and_resets(s, &format!("{CHUNKED}a\r\n01234"))).cut(),
        asked("resets before the last chunk", |s| says_and_resets(s, &format!("{CHUNKED}5\r\n01234\r\n"))).cut(),
        asked("resets in the trailers", |s| says_and_resets(s, &format!("{CHUNKED}5\r\n01234\r\n0\r\nx-a"))).cut(),
        asked("resets in a body without a length", |s| says_and_resets(s, "HTTP/1.1 200 OK\r\n\r\n01234")).cut().without_length("01234 cut"),
        asked("resets behind the answer", |s| says_and_resets(s, WHOLE)),
        asked("resets while the request's body is coming", reset).ask(Ask::Post(100, 10)).untold().own(Http1, Answer, "502 Bad Gateway", TELLS).own(Http1, Log, " 502 SH-- ", TELLS),
        // Closed.
        accepted("closes with the request unread", |s| { unread(&s); }).untold(),
        asked("closes before the head", drop).untold(),
        asked("closes before the head, another try elsewhere", drop).back(" retries 2\n option redispatch 1\n retry-on all-retryable-errors\n server s1 {origin}\n server s2 {healthy}\n"),
        asked("closes in the status line", |s| drop(says(s, "HTTP/1.1 2"))).untold(),
        asked("closes in the headers", |s| drop(says(s, "HTTP/1.1 200 OK\r\ncontent-le"))).untold(),
        asked("closes behind 100", |s| drop(says(s, "HTTP/1.1 100 Continue\r\n\r\n"))).untold(),
        asked("closes behind 103", |s| drop(says(s, "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"))).untold(),
        asked("closes behind the head", |s| drop(says(s, LENGTH))).cut(),
        asked("closes in the body", |s| drop(says(s, &format!("{LENGTH}0123456789")))).cut(),
        asked("closes in the chunk's size", |s| drop(says(s, &format!("{CHUNKED}a")))).cut(),
        asked("closes in a chunk", |s| drop(says(s, &format!("{CHUNKED}a\r\n01234")))).cut(),
        asked("closes before the last chunk", |s| drop(says(s, &format!("{CHUNKED}5\r\n01234\r\n")))).cut(),
        asked("closes in the trailers", |s| drop(says(s, &format!("{CHUNKED}5\r\n01234\r\n0\r\nx-a")))).cut(),
        asked("closes to end a body without a length", |s| drop(says(s, "HTTP/1.1 200 OK\r\n\r\n01234"))).without_length("01234<last chunk> then 200").own(Http1, Log, "/fine", CHUNKS),
        asked("closes behind the answer", |s| drop(says(s, WHOLE))),
        asked("closes while the request's body is coming", drop).ask(Ask::Post(100, 10)).untold(),
        asked("says that it will close, and stays", |s| says_and_stalls(s, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello")),
        asked("ends its direction before the head", |s| { let _ = s.shutdown(Shutdown::Write); hold(s) }).untold(),
        asked("ends its direction in the body", |s| { let s = says(s, &format!("{LENGTH}0123456789")); let _ = s.shutdown(Shutdown::Write); hold(s) }).cut(),
        // Not there.
        asked("refuses", drop).back(" retries 0\n server s1 127.0.0.1:1\n"),
        asked("refuses every try", drop).back(" retries 2\n timeout connect 200ms\n server s1 127.0.0.1:1\n"),
        asked("refuses, another is there", drop).back(" retries 2\n option redispatch 1\n timeout connect 1s\n server s1 127.0.0.1:1\n server s2 {healthy}\n"),
        asked("refuses, another is there for the last try", drop).back(" retries 2\n option redispatch\n timeout connect 1s\n server s1 127.0.0.1:1\n server s2 {healthy}\n"),
        asked("refuses, and the other refuses too", drop).back(" retries 2\n option redispatch 1\n timeout connect 200ms\n server s1 127.0.0.1:1\n server s2 127.0.0.1:1\n"),
        asked("is full", drop).back(" retries 0\n timeout connect 300ms\n server s1 {full}\n").own(Http2, Answer, "head 107 bytes whole then true", UNTOLD),
        asked("is full at every try", drop).back(" retries 2\n timeout connect 300ms\n server s1 {full}\n").own(Http2, Answer, "head 107 bytes whole then true", UNTOLD),
        asked("is full, another is there", drop).back(" retries 2\n option redispatch 1\n timeout connect 1s\n server s1 {full}\n server s2 {healthy}\n"),
        asked("is full, and the body is there already", drop).back(" retries 1\n timeout connect 300ms\n server s1 {full}\n").ask(Ask::Post(10, 10)).own(Http1, Answer, "503 Service", BODY_LEFT).own(Http2, Answer, "head 107 bytes whole then true", UNTOLD),
        // Another protocol.
        accepted("is a server of SSH", |s| says_and_stalls(s, "SSH-2.0-OpenSSH_9.2p1\r\n")),
        asked("answers as SMTP, and closes", |s| drop(says(s, "220 mail ESMTP\r\n"))),
        asked("answers with an alert of TLS", |mut s| { let _ = s.write_all(&[0x15, 3, 1, 0, 2, 2, 70]); }),
        asked("answers with noise", |mut s| { let noise: Vec<u8> = (0..200u8).map(|n| n.wrapping_mul(167) | 1).collect(); let _ = s.write_all(&noise); hold(s) }),
        asked("answers with endless noise", |s| says_and_stalls(s, &"x".repeat(1 << 20))),
        asked("answers with a head that is too large", |s| says_and_stalls(s, &format!("HTTP/1.1 200 OK\r\nx-a: {}\r\n\r\n", "a".repeat(40_000)))),
        asked("answers as HTTP/0.9", |s| drop(says(s, "<html>hello</html>"))),
        asked("answers as HTTP/2", |mut s| { let _ = s.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]); hold(s) }),
        asked("answers with two lengths", |s| says_and_stalls(s, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!")),
        asked("answers with a bad chunk", |s| says_and_stalls(s, &format!("{CHUNKED}5\r\nhello\r\nzz\r\n"))).own(Http1, Log, " 502 PD-- ", GOOD_HEAD).own(Http2, Log, " 502 PD-- ", GOOD_HEAD),
        asked("answers with more than it said", |s| says_and_stalls(s, &format!("{WHOLE} and more"))),
        asked("answers twice", |s| says_and_stalls(s, &format!("{WHOLE}{WHOLE}"))),
        // Early.
        accepted("answers before the request", |s| says_and_stalls(s, WHOLE)),
        accepted("answers before the request and ends its direction", |s| { let s = says(s, WHOLE); let _ = s.shutdown(Shutdown::Write); hold(s) }),
        asked("answers while the request's body is coming", |s| says_and_stalls(s, "HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")).ask(Ask::Post(100, 10)).own(Http2, Log, " 413 ---- ", "the answer is whole; that the rest of the body is not wanted is no abort"),
    ]
}

/// Serves one connection of a stage's server.
pub(crate) fn serve(mut stream: TcpStream, server: Server) {
    match server {
        Server::Accepted(does) => does(stream),
        Server::Asked(does) => loop {
            let head = read_until(&mut stream, "\r\n\r\n");
            if !head.contains("\r\n\r\n") {
                return;
            }
            if !head.contains(" /fine") {
                return does(stream);
            }
            if stream.write_all(WHOLE.as_bytes()).is_err() {
                return;
            }
        },
    }
}
