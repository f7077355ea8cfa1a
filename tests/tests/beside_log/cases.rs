//! The cases: a table, a line each.

use Step::{Leave, Pause, Reset, Send, Shut, Until};
use tandem_tests::play::Step;

/// A case: its name, its backend's lines (`{origin}` is a server's address), and what the client does. What remains is
/// read to the end of the connection.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) front: &'static str,
    pub(crate) back: &'static str,
    pub(crate) steps: Vec<Step>,
    /// How many log lines come of it.
    pub(crate) lines: usize,
}

impl Case {
    /// The same with another number of log lines.
    pub(crate) fn lines(mut self, lines: usize) -> Case {
        self.lines = lines;
        self
    }
}

pub(crate) fn case(
    name: &'static str,
    front: &'static str,
    back: &'static str,
    steps: Vec<Step>,
) -> Case {
    Case {
        name,
        front,
        back,
        steps,
        lines: 1,
    }
}

pub(crate) const ONE: &str = " server s1 {origin}\n";

#[rustfmt::skip]
pub(crate) fn cases() -> Vec<Case> {
    let get = || {
        vec![Send(
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        )]
    };
    let to = |path: &'static str| vec![Send(path)];
    let mut list = vec![
        case("normal", "", ONE, get()),
        case("deny", " http-request deny\n", ONE, get()),
        case("deny with a status", " http-request deny deny_status 429\n", ONE, get()),
        case("redirect", " http-request redirect location /x code 302\n", ONE, get()),
        case("redirect scheme", " redirect scheme https\n", ONE, get()),
        case("return", " http-request return status 200 content-type text/plain string \"hi you\"\n", ONE, get()),
        case("no server", "", "", get()),
        case("server disabled", "", " server s1 {origin} disabled\n", get()),
        case("refused", "", " retries 2\n timeout connect 300ms\n server s1 127.0.0.1:1\n", get()),
        case("refused without retries", "", " retries 0\n server s1 127.0.0.1:1\n", get()),
        case("refused and redispatched", "", " option redispatch 1\n retries 2\n timeout connect 300ms\n server s1 127.0.0.1:1\n server s2 {origin}\n", get()),
        case("server timeout", "", " timeout server 700ms\n server s1 {origin}\n", to("GET /silent HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("server timeout in the body", "", " timeout server 700ms\n server s1 {origin}\n", to("GET /slow-body HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("request timeout", " timeout http-request 700ms\n", ONE, to("GET / HTTP/1.1\r\nhost: a\r\n")),
        case("client timeout in the head", " timeout client 700ms\n", ONE, to("GET / HTTP/1.1\r\nhost: a\r\n")),
        case("client timeout in the body", " timeout client 700ms\n", ONE, to("POST /silent HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n123")),
        case("bad request", "", ONE, to("GET / HTTP/1.1\r\nbad header\r\n\r\n")),
        case("bad version", "", ONE, to("GET / HTTP/1.1x\r\nhost: a\r\n\r\n")),
        case("bad start", "", ONE, to("\x01\x02\x03\r\n\r\n")),
        case("two lengths", "", ONE, to("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab")),
        case("bad length", "", ONE, to("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\nab")),
        // Sent with the head, haproxy sees it before it has a request.
        case("bad chunk", "", ONE, vec![Send("POST /silent HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"), Pause(300), Send("zz\r\n")]),
        case("client leaves in the head", "", ONE, vec![Send("GET / HTTP/1.1\r\nhos"), Leave]),
        case("client resets in the head", "", ONE, vec![Send("GET / HTTP/1.1\r\nhos"), Pause(100), Reset]),
        case("client shuts in the head", "", ONE, vec![Send("GET / HTTP/1.1\r\nhos"), Shut]),
        case("client says nothing and leaves", "", ONE, vec![Leave]),
        case("client shuts after the request", "", ONE, vec![Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n"), Shut]),
        case("client leaves while it waits", " option abortonclose\n", " option abortonclose\n server s1 {origin}\n", vec![Send("GET /silent HTTP/1.1\r\nhost: a\r\n\r\n"), Pause(300), Leave]),
        case("client leaves while it waits, unheeded", "", " timeout server 1s\n server s1 {origin}\n", vec![Send("GET /silent HTTP/1.1\r\nhost: a\r\n\r\n"), Pause(300), Leave]),
        case("client leaves in the body of its request", "", ONE, vec![Send("POST /silent HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n123"), Pause(300), Leave]),
        case("client leaves in the answer", "", ONE, vec![Send("GET /slow-body HTTP/1.1\r\nhost: a\r\n\r\n"), Until("6789"), Pause(50), Reset]),
        case("server closes at once", "", " retries 0\n server s1 {origin}\n", to("GET /close HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("server resets at once", "", " retries 0\n server s1 {origin}\n", to("GET /reset HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("server's bad answer", "", ONE, to("GET /bad HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("server's garbage", "", ONE, to("GET /garbage HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("half a head", "", ONE, to("GET /half-head HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("half a body", "", ONE, to("GET /half-body HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("reset in the body", "", ONE, to("GET /reset-body HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("half the chunks", "", ONE, to("GET /half-chunked HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("no length", "", ONE, to("GET /no-length HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("no length for HTTP/1.0", "", ONE, to("GET /no-length HTTP/1.0\r\n\r\n")),
        case("HEAD", "", ONE, to("HEAD /head HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("304", "", ONE, to("GET /304 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("204", "", ONE, to("GET /204 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("100 then 200", "", ONE, to( "POST /100 HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nab", )),
        case("500", "", ONE, to("GET /500 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("chunked", "", ONE, to("GET /chunked HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("chunked for HTTP/1.0", "", ONE, to("GET /chunked HTTP/1.0\r\n\r\n")),
        case("HTTP/1.0", "", ONE, to("GET / HTTP/1.0\r\n\r\n")),
        case("HTTP/1.0 keep-alive", "", ONE, to("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n")),
        case("server's HTTP/1.0", "", ONE, to("GET /http10 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("chunked upload", "", ONE, to( "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", )),
        case("three requests", "", ONE, vec![Send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n"), Until("hello"), Send("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n"), Until("hello"), Send("GET /3 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")]),
        case("pipelined", "", ONE, to( "GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\nGET /3 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", )),
        case("keep-alive timeout", " timeout http-keep-alive 500ms\n", ONE, to("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("server-close", " option http-server-close\n", ONE, vec![Send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n"), Until("hello"), Send("GET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")]),
        case("httpclose", " option httpclose\n", ONE, to("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n")),
        case("dontlognull", " option dontlognull\n", ONE, vec![Leave]),
        case("no dontlognull", " no option dontlognull\n", ONE, vec![Leave]),
        case("absolute target", "", ONE, to("GET http://a/abs HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("no host", "", ONE, to("GET / HTTP/1.1\r\nconnection: close\r\n\r\n")),
        case("empty lines first", "", ONE, to("\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")),
        case("captures", " capture request header user-agent len 8\n capture response header content-type len 20\n capture cookie SID len 10\n", ONE, to( "GET / HTTP/1.1\r\nhost: a\r\nuser-agent: averylongname\r\ncookie: SID=abc; x=y\r\nconnection: close\r\n\r\n", )),
    ];
    for one in &mut list {
        one.lines = match one.name {
            "three requests" | "pipelined" => 3,
            "server-close" | "HTTP/1.0 keep-alive" => 2,
            "dontlognull" => 0,
            _ => 1,
        };
    }
    list
}

/// The same for `mode tcp`.
#[rustfmt::skip]
pub(crate) fn tcp_cases() -> Vec<Case> {
    let get = || vec![Send("GET / HTTP/1.1\r\n\r\n"), Until("hello"), Leave];
    vec![
        case("normal, the client ends", "", ONE, get()),
        case("the server ends", "", ONE, vec![Send("GET /no-length HTTP/1.1\r\n\r\n")]),
        case("the client shuts", "", ONE, vec![Send("GET / HTTP/1.1\r\n\r\n"), Shut]),
        case("the client resets", "", ONE, vec![Send("GET / HTTP/1.1\r\n\r\n"), Until("hello"), Reset]),
        case("the server resets", "", ONE, vec![Send("GET /reset-body HTTP/1.1\r\n\r\n"), Until("6789")]),
        case("nothing is sent", "", ONE, vec![Pause(100), Leave]),
        case("no server", "", "", vec![]),
        case("refused", "", " retries 1\n timeout connect 300ms\n server s1 127.0.0.1:1\n", vec![]),
        case("server timeout", " timeout client 3s\n", " timeout server 700ms\n server s1 {origin}\n", vec![Send("GET /silent HTTP/1.1\r\n\r\n")]),
        case("client timeout", " timeout client 700ms\n", ONE, vec![Send("GET / HTTP/1.1\r\n")]),
        case("rejected content", " tcp-request content reject\n", ONE, vec![]),
    ]
}

/// The first of a tcp frontend's requests is seen as what it is, and so are the next.
#[rustfmt::skip]
pub(crate) fn upgrade_cases() -> Vec<Case> {
    const HTTP: &str = " mode http\n option forwardfor\n server s1 {origin}\nbackend raw\n server s1 {origin}\n";
    const SWITCH: &str = " tcp-request inspect-delay 1s\n tcp-request content switch-mode http if HTTP\n";
    const GET: &str = "GET /1 HTTP/1.1\r\nhost: a\r\n\r\n";
    const LAST: &str = "GET /slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let front = |lines: &str| -> &'static str {
        String::leak(format!(" log-format \"%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %ts %ac/%fc/%bc/%sc/%rc %sq/%bq\"\n{lines}"))
    };
    vec![
        case("two requests", front(""), HTTP, vec![Send(GET), Until("hello"), Send(LAST)]).lines(2),
        case("pipelined requests", front(""), HTTP, vec![Send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")]).lines(2),
        case("what is no request", front(""), HTTP, vec![Send("rubbish\r\n\r\n")]),
        case("a client that says nothing", front(" timeout client 700ms\n"), HTTP, vec![]),
        case("switched by a rule", front(SWITCH), HTTP, vec![Send(GET), Until("hello"), Send(LAST)]).lines(2),
        case("rules of a switched request", front(&format!("{SWITCH} http-request deny if {{ path /slow }}\n http-request set-header x-a 1\n")), HTTP, vec![Send("GET /fields HTTP/1.1\r\nhost: a\r\n\r\n"), Until("x-a: 1"), Send(LAST)]).lines(2),
        case("unswitched", front(&format!("{SWITCH} use_backend raw unless HTTP\n")), HTTP, vec![Send("rubbish\r\n\r\n"), Until("hello"), Leave]),
        case("the rest of a split head is waited for", front(&format!("{SWITCH} use_backend raw unless HTTP\n")), HTTP, vec![Send("GET /1 HT"), Pause(100), Send("TP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")]),
        case("to a tcp backend at first", front(&format!("{SWITCH} use_backend raw if {{ path /raw }}\n")), HTTP, vec![Send("GET /raw HTTP/1.1\r\nhost: a\r\n\r\n")]),
        case("to a tcp backend later", front(&format!("{SWITCH} use_backend raw if {{ path /raw }}\n")), HTTP, vec![Send(GET), Until("hello"), Send("GET /raw HTTP/1.1\r\nhost: a\r\n\r\n")]).lines(2),
        case("by the path", front(" tcp-request inspect-delay 1s\n tcp-request content accept if HTTP\n use_backend b if { path /1 }\n use_backend raw\n"), HTTP, vec![Send("GET /1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")]),
        case("by another path", front(" tcp-request inspect-delay 1s\n tcp-request content accept if HTTP\n use_backend b if { path /1 }\n use_backend raw\n"), HTTP, vec![Send("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n"), Until("hello"), Leave]),
        case("the path is not waited for without a rule that looks at it", front(" tcp-request inspect-delay 1s\n use_backend b if { path /1 }\n use_backend raw\n"), HTTP, vec![Pause(100), Send(GET), Until("hello"), Leave]),
        case("a rule on content refuses", front(" tcp-request inspect-delay 1s\n tcp-request content reject if { path /1 }\n"), HTTP, vec![Send(GET)]),
    ]
}

/// Where the client gets something else from us, on purpose: a body without a length is sent in chunks, which keeps the
/// connection and shows a cut; a client of HTTP/1.0 gets no chunks; an answer says the version of the proxy; after a
/// server's broken answer the connection ends; an answer to CONNECT has no length (RFC 9110 9.3.6);
/// and a name that a client could take for one that decides framing never passes.
pub(crate) const OWN_ANSWERS: [&str; 9] = [
    "an odd length of a server is never accepted",
    "CONNECT",
    "switched unasked",
    "client timeout in the body",
    "no length",
    "chunked for HTTP/1.0",
    "server's HTTP/1.0",
    "server's bad answer",
    "server's garbage",
];

/// What we log otherwise, on purpose: a client whose body breaks off or breaks the rules is the cause (`cD`, `CR`), where
/// haproxy waits for the server's timeout (`sH`) or says `PH`. A client that resets its connection is noticed at once, and
/// `abortonclose` in the backend is enough while an answer is awaited. Who leaves while its body is read has no backend yet.
/// A request that `tcp-request content` refuses is told with its line and its time, where haproxy has none yet.
/// One that cannot go to its tcp backend is not counted there any more when its line is written.
pub(crate) const OWN_LINES: [&str; 12] = [
    "to a tcp backend at first",
    "to a tcp backend later",
    "what is no request",
    "a client that says nothing",
    "content refused by the frontend",
    "content refused by the backend",
    "an odd length of a server is never accepted",
    "the body is read first, and the client leaves",
    "client timeout in the body",
    "bad chunk",
    "client leaves while it waits",
    "client leaves in the answer",
];
