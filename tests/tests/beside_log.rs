//! What the client gets and what the log says, field by field beside haproxy: for requests that go well and for all the
//! ways in which they do not.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use tandem_tests::beside::{BOTH, Differences, Side, Which, read_all, read_until, scripted};
use tandem_tests::{Outcome, ensure, require};

/// A step of a client.
enum Step {
    /// Sends bytes.
    Send(&'static str),
    /// Reads until the text has come.
    Until(&'static str),
    /// Lets time pass: the thing under test is a timeout, or that something has not happened yet.
    Pause(u64),
    /// Ends the sending direction.
    Shut,
    /// Resets the connection; nothing more is read.
    Reset,
    /// Closes the connection; nothing more is read.
    Leave,
}
use Step::{Leave, Pause, Reset, Send, Shut, Until};

/// A case: its name, its backend's lines (`{origin}` is a server's address), and what the client does. What remains is
/// read to the end of the connection.
struct Case {
    name: &'static str,
    front: &'static str,
    back: &'static str,
    steps: Vec<Step>,
    /// How many log lines come of it.
    lines: usize,
}

fn case(name: &'static str, front: &'static str, back: &'static str, steps: Vec<Step>) -> Case {
    Case {
        name,
        front,
        back,
        steps,
        lines: 1,
    }
}

const ONE: &str = " server s1 {origin}\n";

/// What the scripted server does is in the first word of the path after `/`.
fn origin() -> Outcome<u16> {
    scripted(|mut stream, _| {
        loop {
            let head = read_until(&mut stream, "\r\n\r\n");
            if !head.contains("\r\n\r\n") {
                return;
            }
            let word = head
                .split(['/', ' ', '?'])
                .nth(2)
                .unwrap_or_default()
                .to_owned();
            let answer: &[u8] = match word.as_str() {
                "slow" => {
                    std::thread::sleep(Duration::from_millis(400));
                    b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow"
                }
                "silent" => {
                    read_all(&mut stream);
                    return;
                }
                "close" => return,
                "reset" => {
                    reset(stream);
                    return;
                }
                "bad" => b"HTTP/1.1 2x0 OK\r\n\r\n",
                "garbage" => b"hello, this is no HTTP\r\n\r\n",
                "half-head" => b"HTTP/1.1 200 OK\r\ncontent-le",
                "half-body" | "reset-body" | "slow-body" => b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n0123456789",
                "no-length" => b"HTTP/1.1 200 OK\r\nx-a: b\r\n\r\n0123456789",
                "http10" => b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc",
                "chunked" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
                "half-chunked" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
                "304" => b"HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n",
                "204" => b"HTTP/1.1 204 No Content\r\n\r\n",
                "100" => b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
                "500" => b"HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\noops",
                "head" => b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n",
                _ => b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-type: text/plain\r\n\r\nhello",
            };
            let _ = stream.write_all(answer);
            match word.as_str() {
                "bad" | "garbage" | "half-head" | "half-body" | "no-length" | "half-chunked" => {
                    return;
                }
                "reset-body" => {
                    // The client has the first half before the reset overtakes it.
                    std::thread::sleep(Duration::from_millis(100));
                    reset(stream);
                    return;
                }
                "slow-body" => {
                    read_all(&mut stream);
                    return;
                }
                _ => {}
            }
        }
    })
}

fn reset(stream: TcpStream) {
    let socket = socket2::Socket::from(stream);
    let _ = socket.set_linger(Some(Duration::ZERO));
}

fn cases() -> Vec<Case> {
    let get = || {
        vec![Send(
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        )]
    };
    let to = |path: &'static str| vec![Send(path)];
    let mut list = vec![
        case("normal", "", ONE, get()),
        case("deny", " http-request deny\n", ONE, get()),
        case(
            "deny with a status",
            " http-request deny deny_status 429\n",
            ONE,
            get(),
        ),
        case(
            "redirect",
            " http-request redirect location /x code 302\n",
            ONE,
            get(),
        ),
        case("redirect scheme", " redirect scheme https\n", ONE, get()),
        case(
            "return",
            " http-request return status 200 content-type text/plain string \"hi you\"\n",
            ONE,
            get(),
        ),
        case("no server", "", "", get()),
        case(
            "server disabled",
            "",
            " server s1 {origin} disabled\n",
            get(),
        ),
        case(
            "refused",
            "",
            " retries 2\n timeout connect 300ms\n server s1 127.0.0.1:1\n",
            get(),
        ),
        case(
            "refused without retries",
            "",
            " retries 0\n server s1 127.0.0.1:1\n",
            get(),
        ),
        case(
            "refused and redispatched",
            "",
            " option redispatch 1\n retries 2\n timeout connect 300ms\n server s1 127.0.0.1:1\n server s2 {origin}\n",
            get(),
        ),
        case(
            "server timeout",
            "",
            " timeout server 700ms\n server s1 {origin}\n",
            to("GET /silent HTTP/1.1\r\nhost: a\r\n\r\n"),
        ),
        case(
            "server timeout in the body",
            "",
            " timeout server 700ms\n server s1 {origin}\n",
            to("GET /slow-body HTTP/1.1\r\nhost: a\r\n\r\n"),
        ),
        case(
            "request timeout",
            " timeout http-request 700ms\n",
            ONE,
            to("GET / HTTP/1.1\r\nhost: a\r\n"),
        ),
        case(
            "client timeout in the head",
            " timeout client 700ms\n",
            ONE,
            to("GET / HTTP/1.1\r\nhost: a\r\n"),
        ),
        case(
            "client timeout in the body",
            " timeout client 700ms\n",
            ONE,
            to("POST /silent HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n123"),
        ),
        case(
            "bad request",
            "",
            ONE,
            to("GET / HTTP/1.1\r\nbad header\r\n\r\n"),
        ),
        case(
            "bad version",
            "",
            ONE,
            to("GET / HTTP/1.1x\r\nhost: a\r\n\r\n"),
        ),
        case("bad start", "", ONE, to("\x01\x02\x03\r\n\r\n")),
        case(
            "two lengths",
            "",
            ONE,
            to("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"),
        ),
        case(
            "bad length",
            "",
            ONE,
            to("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\nab"),
        ),
        // Sent with the head, haproxy sees it before it has a request.
        case(
            "bad chunk",
            "",
            ONE,
            vec![
                Send("POST /silent HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"),
                Pause(300),
                Send("zz\r\n"),
            ],
        ),
        case(
            "client leaves in the head",
            "",
            ONE,
            vec![Send("GET / HTTP/1.1\r\nhos"), Leave],
        ),
        case(
            "client resets in the head",
            "",
            ONE,
            vec![Send("GET / HTTP/1.1\r\nhos"), Pause(100), Reset],
        ),
        case(
            "client shuts in the head",
            "",
            ONE,
            vec![Send("GET / HTTP/1.1\r\nhos"), Shut],
        ),
        case("client says nothing and leaves", "", ONE, vec![Leave]),
        case(
            "client shuts after the request",
            "",
            ONE,
            vec![Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n"), Shut],
        ),
        case(
            "client leaves while it waits",
            " option abortonclose\n",
            " option abortonclose\n server s1 {origin}\n",
            vec![
                Send("GET /silent HTTP/1.1\r\nhost: a\r\n\r\n"),
                Pause(300),
                Leave,
            ],
        ),
        case(
            "client leaves while it waits, unheeded",
            "",
            " timeout server 1s\n server s1 {origin}\n",
            vec![
                Send("GET /silent HTTP/1.1\r\nhost: a\r\n\r\n"),
                Pause(300),
                Leave,
            ],
        ),
        case(
            "client leaves in the body of its request",
            "",
            ONE,
            vec![
                Send("POST /silent HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n123"),
                Pause(300),
                Leave,
            ],
        ),
        case(
            "client leaves in the answer",
            "",
            ONE,
            vec![
                Send("GET /slow-body HTTP/1.1\r\nhost: a\r\n\r\n"),
                Until("6789"),
                Pause(50),
                Reset,
            ],
        ),
        case(
            "server closes at once",
            "",
            " retries 0\n server s1 {origin}\n",
            to("GET /close HTTP/1.1\r\nhost: a\r\n\r\n"),
        ),
        case(
            "server resets at once",
            "",
            " retries 0\n server s1 {origin}\n",
            to("GET /reset HTTP/1.1\r\nhost: a\r\n\r\n"),
        ),
        case(
            "server's bad answer",
            "",
            ONE,
            to("GET /bad HTTP/1.1\r\nhost: a\r\n\r\n"),
        ),
        case(
            "server's garbage",
            "",
            ONE,
            to("GET /garbage HTTP/1.1\r\nhost: a\r\n\r\n"),
        ),
        case(
            "half a head",
            "",
            ONE,
            to("GET /half-head HTTP/1.1\r\nhost: a\r\n\r\n"),
        ),
        case(
            "half a body",
            "",
            ONE,
            to("GET /half-body HTTP/1.1\r\nhost: a\r\n\r\n"),
        ),
        case(
            "reset in the body",
            "",
            ONE,
            to("GET /reset-body HTTP/1.1\r\nhost: a\r\n\r\n"),
        ),
        case(
            "half the chunks",
            "",
            ONE,
            to("GET /half-chunked HTTP/1.1\r\nhost: a\r\n\r\n"),
        ),
        case(
            "no length",
            "",
            ONE,
            to("GET /no-length HTTP/1.1\r\nhost: a\r\n\r\n"),
        ),
        case(
            "no length for HTTP/1.0",
            "",
            ONE,
            to("GET /no-length HTTP/1.0\r\n\r\n"),
        ),
        case(
            "HEAD",
            "",
            ONE,
            to("HEAD /head HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
        ),
        case(
            "304",
            "",
            ONE,
            to("GET /304 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
        ),
        case(
            "204",
            "",
            ONE,
            to("GET /204 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
        ),
        case(
            "100 then 200",
            "",
            ONE,
            to(
                "POST /100 HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nab",
            ),
        ),
        case(
            "500",
            "",
            ONE,
            to("GET /500 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
        ),
        case(
            "chunked",
            "",
            ONE,
            to("GET /chunked HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
        ),
        case(
            "chunked for HTTP/1.0",
            "",
            ONE,
            to("GET /chunked HTTP/1.0\r\n\r\n"),
        ),
        case("HTTP/1.0", "", ONE, to("GET / HTTP/1.0\r\n\r\n")),
        case(
            "HTTP/1.0 keep-alive",
            "",
            ONE,
            to("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n"),
        ),
        case(
            "server's HTTP/1.0",
            "",
            ONE,
            to("GET /http10 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
        ),
        case(
            "chunked upload",
            "",
            ONE,
            to(
                "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            ),
        ),
        case(
            "three requests",
            "",
            ONE,
            vec![
                Send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n"),
                Until("hello"),
                Send("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n"),
                Until("hello"),
                Send("GET /3 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
            ],
        ),
        case(
            "pipelined",
            "",
            ONE,
            to(
                "GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\nGET /3 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            ),
        ),
        case(
            "keep-alive timeout",
            " timeout http-keep-alive 500ms\n",
            ONE,
            to("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n"),
        ),
        case(
            "server-close",
            " option http-server-close\n",
            ONE,
            vec![
                Send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n"),
                Until("hello"),
                Send("GET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
            ],
        ),
        case(
            "httpclose",
            " option httpclose\n",
            ONE,
            to("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n"),
        ),
        case("dontlognull", " option dontlognull\n", ONE, vec![Leave]),
        case(
            "no dontlognull",
            " no option dontlognull\n",
            ONE,
            vec![Leave],
        ),
        case(
            "absolute target",
            "",
            ONE,
            to("GET http://a/abs HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
        ),
        case(
            "no host",
            "",
            ONE,
            to("GET / HTTP/1.1\r\nconnection: close\r\n\r\n"),
        ),
        case(
            "empty lines first",
            "",
            ONE,
            to("\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
        ),
        case(
            "captures",
            " capture request header user-agent len 8\n capture response header content-type len 20\n capture cookie SID len 10\n",
            ONE,
            to(
                "GET / HTTP/1.1\r\nhost: a\r\nuser-agent: averylongname\r\ncookie: SID=abc; x=y\r\nconnection: close\r\n\r\n",
            ),
        ),
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

/// Where the client gets something else from us, on purpose: a body without a length is sent in chunks, which keeps the
/// connection and shows a cut; a client of HTTP/1.0 gets no chunks; an answer says the version of the proxy; after a
/// server's broken answer the connection ends.
const OWN_ANSWERS: [&str; 6] = [
    "client timeout in the body",
    "no length",
    "chunked for HTTP/1.0",
    "server's HTTP/1.0",
    "server's bad answer",
    "server's garbage",
];

/// What we log otherwise, on purpose: a client whose body breaks off or breaks the rules is the cause (`cD`, `CR`), where
/// haproxy waits for the server's timeout (`sH`) or says `PH`.
const OWN_LINES: [&str; 2] = ["client timeout in the body", "bad chunk"];

/// Plays the steps; what the client got.
fn play(side: &Side, steps: &[Step]) -> Outcome<String> {
    let mut stream = side.connect()?;
    let mut got = String::new();
    for step in steps {
        match step {
            Send(text) => stream.write_all(text.as_bytes())?,
            Until(text) => got.push_str(&read_until(&mut stream, text)),
            Pause(time) => std::thread::sleep(Duration::from_millis(*time)),
            Shut => stream.shutdown(Shutdown::Write)?,
            Reset => {
                reset(stream);
                return Ok(got);
            }
            Leave => return Ok(got),
        }
    }
    let mut rest = Vec::new();
    let end = match stream.read_to_end(&mut rest) {
        Ok(_) => "<end>",
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => "<silence>",
        // Whether the end is a FIN or an RST is a race between the programs and the kernel.
        Err(_) => "<end>",
    };
    got.push_str(&String::from_utf8_lossy(&rest));
    Ok(got + end)
}

/// Chunks put together: how they are cut is nobody's business.
fn joined(body: &str) -> String {
    let (mut rest, mut whole) = (body, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size, 16) else {
            break;
        };
        let Some((data, next)) = after.split_at_checked(size) else {
            break;
        };
        whole.push_str(data);
        rest = next.strip_prefix("\r\n").unwrap_or(next);
        if size == 0 {
            return format!("{whole}<last chunk>{rest}");
        }
    }
    whole + rest
}

/// An answer whose headers stand in one order and one case; the text of a page of the proxy's own is not compared.
fn plain(got: &str) -> String {
    let Some((head, body)) = got.split_once("\r\n\r\n") else {
        return got.to_owned();
    };
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let own = body.contains("<html>");
    let mut headers: Vec<String> = lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            format!("{}:{value}", name.to_lowercase())
        })
        .filter(|line| !own || !line.starts_with("content-length"))
        .collect();
    headers.sort();
    let body = if own {
        "<page>".to_owned()
    } else if body.contains("HTTP/1.") {
        plain(body)
    } else {
        body.to_owned()
    };
    let body = if headers.iter().any(|line| line.contains("chunked")) {
        joined(&body)
    } else {
        body
    };
    format!("{status} {headers:?} {body}")
}

/// A log line without what differs from run to run: client's port, date, and times other than by their class.
fn classes(line: &str, which: Which) -> String {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    if let Some(address) = words.first_mut() {
        *address = address.split(':').next().unwrap_or_default().to_owned();
    }
    if let Some(date) = words.get_mut(1).filter(|word| word.starts_with('[')) {
        let shape = date
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c });
        *date = shape.filter(|c| !c.is_ascii_alphabetic()).collect();
    }
    if let Some(times) = words.get_mut(4).filter(|word| word.contains('/')) {
        let class = |time: &str| match time.trim_start_matches('+').parse::<i64>() {
            Ok(-1) => "-1",
            Ok(0..=199) => "0",
            Ok(_) => "long",
            Err(_) => "?",
        };
        *times = times.split('/').map(class).collect::<Vec<_>>().join("/");
    }
    // haproxy counts bytes of its own form of a message, we count those on the wire; and it counts none of the answer to
    // what is no request.
    let is_http = line.contains('"');
    if let Some(bytes) = words.get_mut(6).filter(|_| is_http) {
        *bytes = "n".into();
    }
    // A place at a server that is given on at once is counted by us before the line is written, by haproxy after.
    if let Some(counts) = words.get_mut(10).filter(|_| is_http) {
        let mut parts: Vec<&str> = counts.split('/').collect();
        if let Some(server) = parts.get_mut(3) {
            *server = "n";
        }
        *counts = parts.join("/");
    }
    let line = words.join(" ");
    // Bad syntax is the client's fault (`CR`, as haproxy says since 2.8), the proxy's (`PR`) for 2.6.
    if which == Which::Haproxy && line.contains(" 400 n - - PR--") {
        return line.replace(" PR--", " CR--");
    }
    line
}

fn compare(cases: &[Case], head: &str) -> Outcome {
    let origin = format!("127.0.0.1:{}", origin()?);
    let mut differences = Differences::default();
    // Cases side by side: most of the time is spent waiting for timeouts.
    let results: Vec<Outcome<[(String, Vec<String>); 2]>> = std::thread::scope(|scope| {
        let running: Vec<_> = cases
            .iter()
            .map(|one| {
                let origin = &origin;
                scope.spawn(move || {
                    let text = format!(
                        "{head}frontend f\n bind {{in}}\n{}{}backend b\n{}",
                        one.front,
                        " default_backend b\n",
                        one.back.replace("{origin}", origin)
                    );
                    let one_side = |which| -> Outcome<(String, Vec<String>)> {
                        let side = Side::start(which, &text)?;
                        let got = play(&side, &one.steps)?;
                        let mut lines = side.wait_lines(" f", one.lines)?;
                        if one.lines == 0 {
                            // Nothing may come: one more request whose line would stand behind it.
                            let _ = side.get("/after", &[])?;
                            side.wait_lines("/after", 1)?;
                            lines = side.lines();
                            lines.retain(|line| !line.contains("/after"));
                        }
                        let lines = lines.iter().map(|line| classes(line, which)).collect();
                        Ok((plain(&got), lines))
                    };
                    Ok([one_side(BOTH[0])?, one_side(BOTH[1])?])
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("a case does not panic"))
            .collect()
    });
    for (one, result) in cases.iter().zip(results) {
        match result {
            Ok([(their_answer, their_lines), (our_answer, our_lines)]) => {
                if !OWN_ANSWERS.contains(&one.name) {
                    differences.compare(&format!("{}: answer", one.name), their_answer, our_answer);
                }
                if !OWN_LINES.contains(&one.name) {
                    differences.compare(&format!("{}: log", one.name), their_lines, our_lines);
                }
            }
            Err(error) => differences.note(&format!("{}: {error}", one.name)),
        }
    }
    differences.none()
}

#[test]
fn http_requests_end_and_are_logged_alike() -> Outcome {
    require!("haproxy", "tandemd");
    compare(&cases(), " timeout client 2s\n timeout server 2s\n")
}

#[test]
fn tcp_connections_end_and_are_logged_alike() -> Outcome {
    require!("haproxy", "tandemd");
    let get = || vec![Send("GET / HTTP/1.1\r\n\r\n"), Until("hello"), Leave];
    let cases = vec![
        case("normal, the client ends", "", ONE, get()),
        case(
            "the server ends",
            "",
            ONE,
            vec![Send("GET /no-length HTTP/1.1\r\n\r\n")],
        ),
        case(
            "the client shuts",
            "",
            ONE,
            vec![Send("GET / HTTP/1.1\r\n\r\n"), Shut],
        ),
        case(
            "the client resets",
            "",
            ONE,
            vec![Send("GET / HTTP/1.1\r\n\r\n"), Until("hello"), Reset],
        ),
        case(
            "the server resets",
            "",
            ONE,
            vec![Send("GET /reset-body HTTP/1.1\r\n\r\n"), Until("6789")],
        ),
        case("nothing is sent", "", ONE, vec![Pause(100), Leave]),
        case("no server", "", "", vec![]),
        case(
            "refused",
            "",
            " retries 1\n timeout connect 300ms\n server s1 127.0.0.1:1\n",
            vec![],
        ),
        case(
            "server timeout",
            " timeout client 3s\n",
            " timeout server 700ms\n server s1 {origin}\n",
            vec![Send("GET /silent HTTP/1.1\r\n\r\n")],
        ),
        case(
            "client timeout",
            " timeout client 700ms\n",
            ONE,
            vec![Send("GET / HTTP/1.1\r\n")],
        ),
        case(
            "rejected content",
            " tcp-request content reject\n",
            ONE,
            vec![],
        ),
    ];
    compare(
        &cases,
        " mode tcp\n option tcplog\n timeout client 2s\n timeout server 2s\n",
    )
}

#[test]
fn queues_and_limits_are_logged_alike() -> Outcome {
    require!("haproxy", "tandemd");
    let origin = origin()?;
    let text = format!(
        "frontend f\n bind {{in}}\n default_backend b\nbackend b\n timeout queue 600ms\n server s1 127.0.0.1:{origin} maxconn 1\n"
    );
    let mut differences = Differences::default();
    let results = BOTH.map(|which| -> Outcome<(String, Vec<String>)> {
        let side = Side::start(which, &text)?;
        let mut first = side.connect()?;
        first.write_all(b"GET /silent HTTP/1.1\r\nhost: a\r\n\r\n")?;
        side.wait_stat("b", "s1", "scur", "1")?;
        let got = play(
            &side,
            &[Send(
                "GET /second HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            )],
        )?;
        let mut lines = side.wait_lines("/second", 1)?;
        let _ = first.shutdown(Shutdown::Both);
        // Those that wait get their turn in order.
        side.wait_lines("/silent", 1)?;
        let mut waiting = Vec::new();
        for path in ["/slow/3", "/4", "/5"] {
            let mut stream = side.connect()?;
            let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes())?;
            waiting.push(stream);
            let before = (waiting.len() - 1).to_string();
            side.wait_stat("b", "s1", "scur", "1")?;
            side.wait_stat("b", "BACKEND", "qcur", &before)?;
        }
        for mut stream in waiting {
            let got = String::from_utf8_lossy(&read_all(&mut stream)).into_owned();
            ensure!(got.starts_with("HTTP/1.1 200"), "{which:?} answered {got}");
        }
        for path in ["/slow/3", "/4", "/5"] {
            lines.extend(side.wait_lines(&format!("GET {path} "), 1)?);
        }
        Ok((
            plain(&got),
            lines.iter().map(|line| classes(line, which)).collect(),
        ))
    });
    let [theirs, ours] = results;
    let ((their_answer, their_lines), (our_answer, our_lines)) = (theirs?, ours?);
    differences.compare("queue timeout: answer", their_answer, our_answer);
    differences.compare("queue: log", their_lines, our_lines);
    differences.none()
}
