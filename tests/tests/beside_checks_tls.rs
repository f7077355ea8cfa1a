//! Checks by HTTP/2 and by TLS beside HAProxy: what the server saw (a third haproxy tells), the check's word, code and
//! description, and what is said of servers that speak HTTP/2 wrongly.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use tandem_tests::beside::{BOTH, Differences, Side, Which, free_port, scripted};
use tandem_tests::http2::{Frame, block, flag, kind};
use tandem_tests::wait::wait_for;
use tandem_tests::{Failure, Outcome, certificate, require};

const LIMIT: Duration = Duration::from_secs(20);

/// A name, the backend's lines, and the server's port (by a word in braces) with its options. `{case}` is a path of the case.
type Case = (&'static str, &'static str, &'static str);

const GET: &str = " option httpchk GET {case}";
const VHOST: &str = " option httpchk\n http-check send meth GET uri {case} ver HTTP/1.1 hdr Host www.example.org hdr X-Own 1";

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("plain h2", GET, "{h2} check-proto h2"),
    ("plain h2, host", VHOST, "{h2} check-proto h2"),
    ("plain h2 of the server's proto", VHOST, "{h2} proto h2"),
    ("plain h2 that the check denies", VHOST, "{h1} proto h2 check-proto h1"),
    ("h2 to a server of h1", VHOST, "{h1} check-proto h2"),
    ("h1 to a server of h2", VHOST, "{h2}"),
    ("another status", " option httpchk GET {case}/503", "{h2} check-proto h2"),
    ("404 disables", " option httpchk GET {case}/404\n http-check disable-on-404", "{h2} check-proto h2"),
    ("POST with a body", " option httpchk\n http-check send meth POST uri {case} ver HTTP/1.1 hdr Host a hdr Content-Type text/plain body hello", "{h2} check-proto h2"),
    ("HEAD", " option httpchk HEAD {case}", "{h2} check-proto h2"),
    ("OPTIONS", " option httpchk OPTIONS {case}", "{h2} check-proto h2"),
    ("HTTP/2.0 as version", " option httpchk GET {case} HTTP/2.0", "{h2} check-proto h2"),
    ("expect string", " option httpchk GET {case}\n http-check expect string hello", "{h2} check-proto h2"),
    ("expect another string", " option httpchk GET {case}\n http-check expect string jello", "{h2} check-proto h2"),
    ("expect hdr", " option httpchk GET {case}\n http-check expect hdr name x-seen value yes", "{h2} check-proto h2"),
    ("send-state", " option httpchk GET {case}\n http-check send-state", "{h2} check-proto h2"),
    ("connect proto h2", " option httpchk\n http-check connect proto h2\n http-check send meth GET uri {case} ver HTTP/1.1 hdr Host b", "{h2}"),
    ("connect without default", " option httpchk\n http-check connect\n http-check send meth GET uri {case} ver HTTP/1.1 hdr Host b", "{h2} check-proto h2"),
    ("connect default", " option httpchk\n http-check connect default\n http-check send meth GET uri {case} ver HTTP/1.1 hdr Host b", "{h2} check-proto h2"),
    ("connect without default, proto", " option httpchk\n http-check connect\n http-check send meth GET uri {case} ver HTTP/1.1 hdr Host b", "{h2} proto h2"),
    ("send-proxy before h2", GET, "{h2proxy} check-proto h2 check-send-proxy"),
    ("tls", VHOST, "{tls} ssl verify none"),
    ("tls, check-ssl", VHOST, "{tls} check-ssl verify none"),
    ("tls, sni", VHOST, "{tls} ssl verify none check-sni check.example.org"),
    ("tls, the traffic's sni", VHOST, "{tls} ssl verify none sni str(traffic.example.org)"),
    ("tls, alpn of the server", VHOST, "{tls} ssl verify none alpn h2,http/1.1"),
    ("tls, alpn h1 of the server", VHOST, "{tls} ssl verify none alpn http/1.1"),
    ("tls, check-alpn", VHOST, "{tls} ssl verify none check-alpn h2"),
    ("tls, check-alpn h1", VHOST, "{tls} ssl verify none alpn h2 check-alpn http/1.1"),
    ("tls, check-alpn that nobody has", VHOST, "{tls1} ssl verify none check-alpn h2"),
    ("tls, check-proto h1 with alpn", VHOST, "{tls} ssl verify none alpn h2,http/1.1 check-proto h1"),
    ("tls, another port", VHOST, "{h2} ssl verify none alpn h2 port {tls} check-ssl"),
    ("tls, connect ssl alpn sni", " option httpchk\n http-check connect ssl alpn h2 sni step.example.org\n http-check send meth GET uri {case} ver HTTP/1.1 hdr Host b", "{tls} check-ssl verify none"),
    ("tls, connect ssl", " option httpchk\n http-check connect ssl\n http-check send meth GET uri {case} ver HTTP/1.1 hdr Host b", "{tls} ssl alpn h2 verify none check-sni own.example.org"),
    ("tls, connect default", " option httpchk\n http-check connect default\n http-check send meth GET uri {case} ver HTTP/1.1 hdr Host b", "{tls} ssl alpn h2 verify none check-sni own.example.org"),
    ("tls, tcp only", "", "{tls} ssl alpn h2 verify none"),
    ("tls, tcp-check with h2", " option tcp-check\n tcp-check connect ssl alpn h2", "{tls} check-ssl verify none"),
    ("tls, not trusted", VHOST, "{tls} ssl ca-file @system-ca alpn h2"),
    ("silent", GET, "{silent} check-proto h2"),
    ("closes", GET, "{closes} check-proto h2"),
    ("junk", GET, "{junk} check-proto h2"),
    ("goes away", GET, "{goaway} check-proto h2"),
    ("resets the stream", GET, "{reset} check-proto h2"),
    ("refuses the stream", GET, "{refused} check-proto h2"),
    ("head and no end", GET, "{half} check-proto h2"),
    ("head and no end, a body wanted", " option httpchk GET {case}\n http-check expect string hello", "{half} check-proto h2"),
    ("head and a reset, a body wanted", " option httpchk GET {case}\n http-check expect string hello", "{halfreset} check-proto h2"),
    ("refused", GET, "{nobody} check-proto h2"),
];

/// Where HAProxy offers `h2` by the server's `alpn`, and then speaks HTTP/1: its check fails. Ours speaks what was agreed on, or
/// does not offer what `check-proto h1` denies.
const OWN: [&str; 5] = [
    "tls, alpn of the server",
    "tls, another port",
    "tls, check-proto h1 with alpn",
    "tls, connect default",
    "tls, connect ssl",
];

/// A server that says its settings, then these frames once a request has come, and no more.
fn odd(frames: Vec<Vec<u8>>, closes: bool) -> Outcome<u16> {
    scripted(move |mut stream: TcpStream, _| {
        let settings = Frame::new(kind::SETTINGS, 0, 0, []).bytes();
        if stream.write_all(&settings).is_err() || !wait_for_request(&mut stream) {
            return;
        }
        for frame in &frames {
            if stream.write_all(frame).is_err() {
                return;
            }
        }
        if !closes {
            tandem_tests::beside::read_all(&mut stream);
        }
    })
}

/// Reads until a HEADERS frame has come.
fn wait_for_request(stream: &mut TcpStream) -> bool {
    use std::io::Read;
    let mut all = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let mut at = tandem_tests::http2::PREFACE.len();
        while let Some(head) = all.get(at..at + 9) {
            let head: &[u8] = head;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            if head[3] == kind::HEADERS {
                return true;
            }
            at += 9 + length;
        }
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => all.extend_from_slice(&buffer[..count]),
            _ => return false,
        }
    }
}

/// The ports that cases name, and the haproxy behind most of them.
struct Servers {
    ports: Vec<(&'static str, u16)>,
    seen: Side,
}

impl Servers {
    fn start() -> Outcome<Self> {
        let names = ["h1", "h2", "h2proxy", "tls", "tls1"];
        let mut ports = Vec::new();
        let folder = tempfile::Builder::new().prefix("beside-").tempdir()?;
        std::fs::write(
            folder.path().join("c.pem"),
            certificate::pem(&["example.org"])?,
        )?;
        let mut text = String::new();
        for name in names {
            let port = free_port()?;
            ports.push((name, port));
            let options = match name {
                "h1" => "",
                "h2" => "proto h2",
                "h2proxy" => "accept-proxy proto h2",
                "tls" => "ssl crt {dir}/c.pem alpn h2,http/1.1",
                _ => "ssl crt {dir}/c.pem alpn http/1.1",
            };
            text.push_str(&format!(
                "frontend {name}\n bind 127.0.0.1:{port} {options}\n log-format \"seen %f %HM %HU %HV sni=%[ssl_fc_sni] alpn=%[ssl_fc_alpn] head=%[var(txn.h)] body=%[var(txn.b)]\"\n \
                 option http-buffer-request\n http-request set-var(txn.h) req.hdrs,url_enc\n http-request set-var(txn.b) req.body\n http-request return status 503 if {{ path_end /503 }}\n http-request return status 404 if {{ path_end /404 }}\n http-request return status 200 content-type text/plain string hello hdr x-seen yes\n"
            ));
        }
        let answer = |flags: u8| {
            let status = block(&[(":status", "200")]);
            Frame::new(kind::HEADERS, flags, 1, status).bytes()
        };
        let failed =
            |kind: u8, stream: u32, payload: &[u8]| Frame::new(kind, 0, stream, payload).bytes();
        ports.push(("silent", odd(vec![], false)?));
        ports.push(("closes", odd(vec![], true)?));
        ports.push((
            "junk",
            odd(vec![b"HTTP/1.1 200 OK\r\n\r\n".to_vec()], false)?,
        ));
        let goaway = failed(kind::GOAWAY, 0, &[0, 0, 0, 0, 0, 0, 0, 0]);
        ports.push(("goaway", odd(vec![goaway], true)?));
        ports.push((
            "reset",
            odd(vec![failed(kind::RST_STREAM, 1, &[0, 0, 0, 2])], false)?,
        ));
        ports.push((
            "refused",
            odd(vec![failed(kind::RST_STREAM, 1, &[0, 0, 0, 7])], false)?,
        ));
        ports.push(("half", odd(vec![answer(flag::END_HEADERS)], false)?));
        let half_reset = vec![
            answer(flag::END_HEADERS),
            failed(kind::RST_STREAM, 1, &[0, 0, 0, 2]),
        ];
        ports.push(("halfreset", odd(half_reset, false)?));
        ports.push(("nobody", free_port()?));
        let seen = Side::start_in(Which::Haproxy, &text, folder)?;
        Ok(Self { ports, seen })
    }

    fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, port) in &self.ports {
            text = text.replace(&format!("port {{{name}}}"), &format!("port {port}"));
            text = text.replace(&format!("{{{name}}}"), &format!("127.0.0.1:{port}"));
        }
        text
    }
}

/// Without durations, and without what only one of both says of broken TLS.
fn plain(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.ends_with("ms,") {
        true => "TIME,",
        false => word,
    });
    let text = words.collect::<Vec<_>>().join(" ");
    let text = match text.find("SSL handshake failure (") {
        Some(at) => format!(
            "{}SSL handshake failure\"{}",
            &text[..at],
            &text[text.rfind('"').unwrap_or(at) + 1..]
        ),
        None => text,
    };
    // The state that is told has the server's port and the time since.
    match text.find("x-haproxy-server-state") {
        Some(at) => text[..at + 30].to_owned(),
        None => text,
    }
}

/// What a server saw. HAProxy's checks by HTTP/2 say `host` and no `:authority`; ours say `:authority` (RFC 9113 8.3.1), which
/// makes the target absolute, and where they go if no rule says a host.
fn request(line: &str) -> String {
    let mut line = plain(line);
    for scheme in [" http://", " https://"] {
        if let Some(at) = line.find(scheme) {
            let host = at + scheme.len();
            let path = line[host..]
                .find('/')
                .map_or(line.len(), |path| host + path);
            line.replace_range(at + 1..path, "");
        }
    }
    if let Some(at) = line.find("host%3A%20127.0.0.1")
        && let Some(end) = line[at..].find("%0D%0A")
    {
        line.replace_range(at..at + end + "%0D%0A".len(), "");
    }
    line
}

#[test]
fn checks_by_http2_and_tls_find_what_haproxy_finds() -> Outcome {
    require!("haproxy", "tandemd");
    let servers = Servers::start()?;
    let mut found = Vec::new();
    for which in BOTH {
        servers.seen.forget();
        let mut text =
            " option log-health-checks\n timeout check 700ms\nfrontend f\n bind {in}\n".to_owned();
        for (at, (_, lines, options)) in CASES.iter().enumerate() {
            let options = match options.split_once(' ') {
                Some((server, rest)) => format!("{server} check inter 900ms rise 1 fall 2 {rest}"),
                None => format!("{options} check inter 900ms rise 1 fall 2"),
            };
            let section = format!("backend c{at}\n{lines}\n server s {options}\n");
            text.push_str(&servers.fill(&section).replace("{case}", &format!("/c{at}")));
        }
        let side = Side::start(which, &text)?;
        let mut of_side = Vec::new();
        for (at, (name, _, options)) in CASES.iter().enumerate() {
            let place = format!("check for server c{at}/s ");
            let told = std::cell::RefCell::new(String::new());
            wait_for(&format!("{which:?} to tell of {name}"), LIMIT, || {
                let lines = side.lines();
                let line = lines.iter().find(|line| line.contains(&place));
                *told.borrow_mut() = plain(line.ok_or_else(|| side.output())?);
                Ok(())
            })?;
            let told = told.into_inner();
            let path = format!(" /c{at}");
            let find = || {
                let seen = servers.seen.lines();
                let mut seen = seen.iter().map(|line| request(line));
                seen.find(|line| {
                    let rest = line.find(&path).map(|at| &line[at + path.len()..]);
                    rest.is_some_and(|rest| rest.starts_with([' ', '/']))
                })
            };
            // A server of these that has answered has a line, sooner or later.
            let is_theirs = !options.starts_with("{half");
            let seen = std::cell::RefCell::new(String::new());
            if told.contains("code: ") && is_theirs {
                wait_for(&format!("what the server saw of {name}"), LIMIT, || {
                    *seen.borrow_mut() = find().ok_or("no line")?;
                    Ok(())
                })?;
            }
            of_side.push((told, seen.into_inner()));
        }
        found.push(of_side);
    }
    let mut differences = Differences::default();
    let [theirs, ours] = found.as_slice() else {
        return Err(Failure::new("both sides must have been asked"));
    };
    for ((theirs, ours), (name, ..)) in theirs.iter().zip(ours).zip(CASES) {
        if OWN.contains(name) {
            let [failed, passed] = [theirs, ours].map(|seen| seen.0.contains("succeeded"));
            differences.compare(name, (false, true), (failed, passed));
        } else {
            differences.compare(name, theirs, ours);
        }
    }
    differences.none()
}
