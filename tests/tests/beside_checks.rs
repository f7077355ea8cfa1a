//! Every kind of check beside HAProxy: a server that passes, one that refuses, is silent, answers wrongly or goes away.
//! One program checks all of them at once; compared are the server's state, what the log says of the first change, and what
//! the server was sent.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tandem_tests::beside::{BOTH, Differences, Side, free_port, scripted};
use tandem_tests::wait::wait_for;
use tandem_tests::{Failure, Outcome, require};

const LIMIT: Duration = Duration::from_secs(20);

/// What a scripted server does with a connection, step by step; after the last it waits for the other side to go.
#[derive(Clone, Copy)]
enum Do {
    /// Waits for something to be sent.
    Read,
    Send(&'static [u8]),
    Close,
    /// Ends the connection with a reset.
    Reset,
}
use Do::{Close, Read as Wait, Reset, Send};

/// How the server of a case behaves.
#[derive(Clone, Copy)]
enum Server {
    /// Nobody listens.
    Refuses,
    Does(&'static [Do]),
}
use Server::{Does, Refuses};

/// A name, the backend's lines, the server's options, and what the server does. `{port}` is the server's port.
type Case = (&'static str, &'static str, &'static str, Server);

/// What was seen of a case.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    state: String,
    told: String,
    sent: String,
}

/// Takes away what differs from run to run.
fn plain(line: &str) -> String {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    for word in &mut words {
        if word.ends_with("ms,") {
            *word = "TIME".to_owned();
        }
    }
    // HAProxy adds the last error of any call to it, whoever made that.
    words.join(" ").replace(
        "SSL handshake failure (Connection refused)",
        "SSL handshake failure",
    )
}

/// A request without ports, times and random bytes.
fn plain_request(bytes: &[u8]) -> String {
    const HANDSHAKE: u8 = 0x16;
    if bytes.first() == Some(&HANDSHAKE) {
        return "a handshake of TLS".to_owned();
    }
    let text = String::from_utf8_lossy(bytes);
    // What follows the header may come with it or later.
    if text.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 ") {
        return "a PROXY header".to_owned();
    }
    text.split("port=").next().unwrap_or_default().to_owned()
}

fn serve(mut stream: TcpStream, steps: &[Do], sent: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    let mut first = true;
    for step in steps {
        match step {
            Do::Read => match stream.read(&mut buffer) {
                Ok(count) if count > 0 => {
                    if std::mem::take(&mut first) {
                        let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
                        if sent.is_empty() {
                            sent.extend_from_slice(&buffer[..count]);
                        }
                    }
                }
                _ => return,
            },
            Do::Send(bytes) => {
                if stream.write_all(bytes).is_err() {
                    return;
                }
            }
            Do::Close => return,
            Do::Reset => {
                let socket = socket2::SockRef::from(&stream);
                let _ = socket.set_linger(Some(Duration::ZERO));
                return;
            }
        }
    }
    while matches!(stream.read(&mut buffer), Ok(count) if count > 0) {}
}

/// Runs all cases beside each other and compares.
fn compare(global: &str, cases: &[Case]) -> Outcome {
    let mut found: Vec<Vec<Seen>> = Vec::new();
    for which in BOTH {
        let mut text = format!("{global} option log-health-checks\n timeout check 700ms\n");
        let mut sent = Vec::new();
        text.push_str("frontend f\n bind {in}\n");
        for (at, (_, lines, options, server)) in cases.iter().enumerate() {
            let got = Arc::new(Mutex::new(Vec::new()));
            sent.push(Arc::clone(&got));
            let port = match *server {
                Refuses => free_port()?,
                Does(steps) => scripted(move |stream, _| serve(stream, steps, &got))?,
            };
            let section = format!(
                "backend c{at}\n{lines}\n server s 127.0.0.1:{port} check inter 900ms rise 1 fall 2 {options}\n"
            );
            text.push_str(&section.replace("{port}", &port.to_string()));
        }
        let side = Side::start(which, &text)?;
        let mut seen = Vec::new();
        for (at, (name, ..)) in cases.iter().enumerate() {
            let place = format!("check for server c{at}/s ");
            let what = format!("{which:?} to tell of {name}");
            let told = std::cell::RefCell::new(String::new());
            wait_for(&what, LIMIT, || {
                let lines = side.lines();
                match lines.iter().find(|line| line.contains(&place)) {
                    Some(line) => {
                        *told.borrow_mut() = plain(line);
                        Ok(())
                    }
                    None => Err(side.output()),
                }
            })?;
            let sent = sent[at].lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(Seen {
                state: side.stat(&format!("c{at}"), "s", "status")?,
                told: told.into_inner(),
                sent: plain_request(&sent),
            });
        }
        found.push(seen);
    }
    let mut differences = Differences::default();
    let [theirs, ours] = found.as_slice() else {
        return Err(Failure::new("both sides must have been asked"));
    };
    for ((theirs, ours), (name, ..)) in theirs.iter().zip(ours).zip(cases) {
        // The first read may have taken only a part.
        let mut ours = ours.clone();
        if !theirs.sent.is_empty() && ours.sent.starts_with(&theirs.sent)
            || !ours.sent.is_empty() && theirs.sent.starts_with(&ours.sent)
        {
            ours.sent.clone_from(&theirs.sent);
        }
        differences.compare(name, theirs, &ours);
    }
    differences.none()
}

const OK: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX-a: b\r\nX-list: one, two\r\n\r\nhello";
const H: &str = " option httpchk";

#[test]
#[rustfmt::skip]
fn http_checks_find_what_haproxy_finds() -> Outcome {
    require!("haproxy", "tandemd");
    const ANSWERS: Server = Does(&[Wait, Send(OK)]);
    compare("", &[
        ("tcp", "", "", Does(&[])),
        ("tcp refused", "", "", Refuses),
        ("passes", H, "", ANSWERS),
        ("refuses", H, "", Refuses),
        ("is silent", H, "", Does(&[Wait])),
        ("closes", H, "", Does(&[Wait, Close])),
        ("resets", H, "", Does(&[Wait, Reset])),
        ("503", H, "", Does(&[Wait, Send(b"HTTP/1.1 503 No\r\n\r\n")])),
        ("503 without a reason", H, "", Does(&[Wait, Send(b"HTTP/1.1 503\r\n\r\n")])),
        ("no HTTP", H, "", Does(&[Wait, Send(b"hello world\r\n\r\n")])),
        ("half a head", H, "", Does(&[Wait, Send(b"HTTP/1.1 200 OK\r\nA: b\r\n"), Close])),
        ("half a head, then silence", H, "", Does(&[Wait, Send(b"HTTP/1.1 200 OK\r\nA: b\r\n")])),
        ("404", " option httpchk\n http-check disable-on-404", "", Does(&[Wait, Send(b"HTTP/1.1 404 No\r\n\r\n")])),
        ("status", " option httpchk\n http-check expect status 201,300-310", "", ANSWERS),
        ("! status", " option httpchk\n http-check expect ! status 200", "", ANSWERS),
        ("rstatus", " option httpchk\n http-check expect rstatus ^2", "", ANSWERS),
        ("rstatus other", " option httpchk\n http-check expect rstatus ^3", "", ANSWERS),
        ("string", " option httpchk\n http-check expect string ell", "", ANSWERS),
        ("string other", " option httpchk\n http-check expect string nope", "", ANSWERS),
        ("! string", " option httpchk\n http-check expect ! string ell", "", ANSWERS),
        ("! string other", " option httpchk\n http-check expect ! string nope", "", ANSWERS),
        ("rstring", " option httpchk\n http-check expect rstring ^hel", "", ANSWERS),
        ("rstring other", " option httpchk\n http-check expect rstring ^nel", "", ANSWERS),
        ("no body", " option httpchk\n http-check expect string x", "", Does(&[Wait, Send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")])),
        ("half a body", " option httpchk\n http-check expect string x", "", Does(&[Wait, Send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")])),
        ("chunks", " option httpchk\n http-check expect string hello", "", Does(&[Wait, Send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")])),
        ("hdr", " option httpchk\n http-check expect hdr name x-list value two", "", ANSWERS),
        ("hdr other", " option httpchk\n http-check expect hdr name x-list value three", "", ANSWERS),
        ("hdr by ends", " option httpchk\n http-check expect hdr name -m beg x- value -m reg tw.$", "", ANSWERS),
        ("fhdr", " option httpchk\n http-check expect fhdr name x-list value \"one, two\"", "", ANSWERS),
        ("fhdr other", " option httpchk\n http-check expect fhdr name x-list value two", "", ANSWERS),
        ("! hdr", " option httpchk\n http-check expect ! hdr name x-a", "", ANSWERS),
        ("comment", " option httpchk\n http-check expect comment \"my words\" string zork", "", ANSWERS),
        ("error-status", " option httpchk\n http-check expect error-status L4CON status 500", "", ANSWERS),
        ("ok-status", " option httpchk\n http-check expect ok-status L7OKC status 200", "", ANSWERS),
        ("tout-status", " option httpchk\n http-check expect tout-status L6TOUT status 200", "", Does(&[Wait])),
        ("on-success", " option httpchk\n http-check expect on-success \"fine %[res.hdr(x-a)] %[int(3)]\" status 200", "", ANSWERS),
        ("on-error", " option httpchk\n http-check expect on-error \"bad %[int(3)]\" status 500", "", ANSWERS),
        ("status-code", " option httpchk\n http-check expect status-code int(7) status 200", "", ANSWERS),
        ("send", " option httpchk GET /x HTTP/1.1\n http-check send hdr Host www hdr X-Y \"a%[int(4)]\" body \"hey\"", "", ANSWERS),
        ("send formats", " option httpchk\n http-check send meth POST uri-lf \"/a%[int(4)]\" ver HTTP/1.1 hdr Host h body-lf \"b%[int(3)]\"", "", ANSWERS),
        ("send before the option", " http-check send meth POST uri /b\n option httpchk GET /foo", "", ANSWERS),
        ("the connection header", " option httpchk GET / HTTP/1.1\n http-check send hdr Connection keep-alive hdr Host a", "", ANSWERS),
        ("send-state", " option httpchk\n http-check send-state", "", ANSWERS),
        ("headers behind the version", " option httpchk GET /up HTTP/1.1\\r\\nHost:\\ www\\r\\nX:\\ y", "", ANSWERS),
        ("variables", " option httpchk\n http-check set-var(check.p) int(5)\n http-check connect\n http-check send hdr X \"%[var(check.p)]\"", "", ANSWERS),
        ("two requests", " option httpchk\n http-check connect\n http-check send meth GET uri /1\n http-check expect status 200\n http-check connect port {port}\n http-check send meth GET uri /2\n http-check expect status 201", "", ANSWERS),
        ("a second port", " option httpchk\n http-check connect\n http-check send meth GET uri /1\n http-check expect status 200\n http-check connect port 1 comment boo\n http-check send meth GET uri /2\n http-check expect status 200", "", ANSWERS),
        ("connect send-proxy", " option httpchk\n http-check connect send-proxy linger\n http-check send meth GET uri /2", "", ANSWERS),
        ("check-send-proxy", H, "check-send-proxy", ANSWERS),
        ("send-proxy", H, "send-proxy", ANSWERS),
        ("send-proxy of another port", H, "send-proxy port {port}", ANSWERS),
        ("ssl to no TLS", H, "ssl verify none", ANSWERS),
        ("ssl to silence", "", "ssl verify none", Does(&[])),
        ("ssl of another port", H, "ssl verify none port {port}", ANSWERS),
        ("check-ssl", "", "check-ssl verify none", ANSWERS),
        ("another address", "", "addr 127.0.0.9", Does(&[])),
    ])
}

#[test]
#[rustfmt::skip]
fn tcp_checks_find_what_haproxy_finds() -> Outcome {
    require!("haproxy", "tandemd");
    const BAR: Server = Does(&[Send(b"bar\r\n")]);
    const BAR_CLOSES: Server = Does(&[Send(b"bar\r\n"), Close]);
    compare("", &[
        ("no rules", " option tcp-check", "", Does(&[])),
        ("no rules, refused", " option tcp-check", "", Refuses),
        ("string", " option tcp-check\n tcp-check expect string bar", "", BAR),
        ("string refused", " option tcp-check\n tcp-check expect string bar", "", Refuses),
        ("string silent", " option tcp-check\n tcp-check expect string bar", "", Does(&[])),
        ("string other", " option tcp-check\n tcp-check expect string foo", "", BAR),
        ("string other at the end", " option tcp-check\n tcp-check expect string foo", "", BAR_CLOSES),
        ("string closed", " option tcp-check\n tcp-check expect string foo", "", Does(&[Close])),
        ("min-recv", " option tcp-check\n tcp-check expect min-recv 3 string foo", "", BAR),
        ("min-recv 0", " option tcp-check\n tcp-check expect min-recv 0 string foo", "", BAR),
        ("min-recv not reached", " option tcp-check\n tcp-check expect min-recv 10 rstring ^foo", "", BAR),
        ("rstring", " option tcp-check\n tcp-check expect rstring ^b", "", BAR),
        ("rstring other", " option tcp-check\n tcp-check expect rstring ^f", "", BAR_CLOSES),
        ("! string", " option tcp-check\n tcp-check expect ! string b", "", BAR),
        ("! string other", " option tcp-check\n tcp-check expect ! string z", "", BAR),
        ("! rstring", " option tcp-check\n tcp-check expect ! rstring ^b", "", BAR),
        ("binary", " option tcp-check\n tcp-check expect binary 626172", "", BAR),
        ("binary other", " option tcp-check\n tcp-check expect binary 626173", "", BAR_CLOSES),
        ("rbinary", " option tcp-check\n tcp-check expect rbinary ^6261", "", BAR),
        ("rbinary other", " option tcp-check\n tcp-check expect rbinary ^6262", "", BAR_CLOSES),
        ("string-lf", " option tcp-check\n tcp-check expect string-lf a%[str(r)]", "", BAR),
        ("string-lf other", " option tcp-check\n tcp-check expect string-lf b%[int(4)]", "", BAR_CLOSES),
        ("binary-lf other", " option tcp-check\n tcp-check expect binary-lf 62%[int(34)]", "", BAR_CLOSES),
        ("send", " option tcp-check\n tcp-check send PING\\r\\n\n tcp-check expect string +PONG\n tcp-check send-lf \"a%[int(3)]\\r\\n\"\n tcp-check expect string OK", "", Does(&[Wait, Send(b"+PONG\r\n"), Wait, Send(b"OK\r\n")])),
        ("a later step", " option tcp-check\n tcp-check send PING\\r\\n\n tcp-check expect string +PONG\n tcp-check send INFO\\r\\n\n tcp-check comment \"the reason\"\n tcp-check expect string OK", "", Does(&[Wait, Send(b"+PONG\r\n"), Wait, Send(b"NO\r\n"), Close])),
        ("a later step in silence", " option tcp-check\n tcp-check send PING\\r\\n\n tcp-check expect string +PONG\n tcp-check send INFO\\r\\n\n tcp-check expect comment \"the reason\" string OK", "", Does(&[Wait, Send(b"+PONG\r\n"), Wait])),
        ("send-binary", " option tcp-check\n tcp-check send-binary 50494e47\n tcp-check send-binary-lf 41%[int(42)]\n tcp-check expect string +PONG", "", Does(&[Wait, Send(b"+PONG\r\n")])),
        ("send alone", " option tcp-check\n tcp-check send HELLO", "", Does(&[Wait])),
        ("connect", " option tcp-check\n tcp-check connect", "", Does(&[])),
        ("connect refused", " option tcp-check\n tcp-check connect", "", Refuses),
        ("another port", " option tcp-check\n tcp-check connect port 1 comment \"my port\"", "", Does(&[])),
        ("a second connection", " option tcp-check\n tcp-check connect\n tcp-check expect string bar\n tcp-check connect port 1", "", BAR),
        ("connect ssl", " option tcp-check\n tcp-check connect ssl", "check-ssl verify none", BAR),
        ("connect ssl in silence", " option tcp-check\n tcp-check connect ssl", "check-ssl verify none", Does(&[])),
        ("variables", " option tcp-check\n tcp-check set-var(check.port) int({port})\n tcp-check connect port var(check.port)\n tcp-check expect string bar", "", BAR),
        ("on-error", " option tcp-check\n tcp-check expect on-error \"oh %[int(3)]\" status-code int(9) string foo", "", BAR_CLOSES),
        ("on-success", " option tcp-check\n tcp-check expect on-success \"yes %[int(3)]\" status-code int(9) string bar", "", BAR),
        ("ok-status", " option tcp-check\n tcp-check expect ok-status L4OK string bar", "", BAR),
        ("error-status", " option tcp-check\n tcp-check expect error-status L7STS string foo", "", BAR_CLOSES),
        ("tout-status", " option tcp-check\n tcp-check expect tout-status L4TOUT string foo", "", Does(&[])),
    ])
}

const MYSQL: &[u8] = b"\x2a\0\0\0\x0a8.0.30\0\x01\0\0\0abcdefgh\0\xff\xf7\x08\x02\0\xff\x81\x15\0\0\0\0\0\0\0\0\0\0ij\0";
const MYSQL_FULL: &[u8] = b"\x17\0\0\0\xff\x10\x04Too many connections";

#[test]
#[rustfmt::skip]
fn checks_of_protocols_find_what_haproxy_finds() -> Outcome {
    require!("haproxy", "tandemd");
    const SMTP: &str = " option smtpchk";
    const MY: &str = " option mysql-check";
    const MY_USER: &str = " option mysql-check user ha";
    const PG: &str = " option pgsql-check user pg";
    const REDIS: &str = " option redis-check";
    const LDAP: &str = " option ldap-check";
    const HELLO: &str = " option ssl-hello-chk";
    compare("", &[
        ("hello", HELLO, "", Does(&[Wait, Send(&[0x16, 3, 0, 0, 4, 2, 0, 0, 0])])),
        ("hello alert", HELLO, "", Does(&[Wait, Send(&[0x15, 3, 0, 0, 2, 2, 40])])),
        ("hello other", HELLO, "", Does(&[Wait, Send(b"HTTP/1.1 400 bad\r\n\r\n"), Close])),
        ("hello silent", HELLO, "", Does(&[Wait])),
        ("hello refused", HELLO, "", Refuses),
        ("smtp", SMTP, "", Does(&[Send(b"220 hi\r\n"), Wait, Send(b"250 ok\r\n"), Wait, Send(b"221 bye\r\n")])),
        ("smtp EHLO", " option smtpchk EHLO me.org", "", Does(&[Send(b"220 hi\r\n"), Wait, Send(b"250-a\r\n250 ok\r\n"), Wait, Send(b"221 bye\r\n")])),
        ("smtp 421", SMTP, "", Does(&[Send(b"421 busy\r\n")])),
        ("smtp other", SMTP, "", Does(&[Send(b"HELLO THERE\r\n")])),
        ("smtp silent", SMTP, "", Does(&[])),
        ("smtp silent later", SMTP, "", Does(&[Send(b"220 hi\r\n"), Wait])),
        ("smtp refused", SMTP, "", Refuses),
        ("smtp closed", SMTP, "", Does(&[Close])),
        ("smtp bad end", SMTP, "", Does(&[Send(b"220 hi\r\n"), Wait, Send(b"250 ok\r\n"), Wait, Send(b"500 x\r\n")])),
        ("mysql", MY, "", Does(&[Send(MYSQL)])),
        ("mysql full", MY, "", Does(&[Send(MYSQL_FULL), Close])),
        ("mysql other", MY, "", Does(&[Send(b"hello, this is no database"), Close])),
        ("mysql silent", MY, "", Does(&[])),
        ("mysql refused", MY, "", Refuses),
        ("mysql closed", MY, "", Does(&[Close])),
        ("mysql user", MY_USER, "", Does(&[Send(MYSQL), Wait, Send(b"\x07\0\0\x02\0\0\0\x02\0\0\0")])),
        ("mysql old user", " option mysql-check user ha pre-41", "", Does(&[Send(MYSQL), Wait, Send(b"\x07\0\0\x02\0\0\0\x02\0\0\0")])),
        ("mysql denied", MY_USER, "", Does(&[Send(MYSQL), Wait, Send(b"\x09\0\0\x02\xff\x15\x04#28000")])),
        ("mysql silent user", MY_USER, "", Does(&[Send(MYSQL), Wait])),
        ("pgsql", PG, "", Does(&[Wait, Send(b"R\0\0\0\x08\0\0\0\0")])),
        ("pgsql md5", PG, "", Does(&[Wait, Send(b"R\0\0\0\x0c\0\0\0\x05abcd")])),
        ("pgsql error", PG, "", Does(&[Wait, Send(b"E\0\0\0\x1fSFATAL\0C28000\0Mno such user\0\0")])),
        ("pgsql silent", PG, "", Does(&[Wait])),
        ("pgsql closed", PG, "", Does(&[Wait, Close])),
        ("pgsql refused", PG, "", Refuses),
        ("redis", REDIS, "", Does(&[Wait, Send(b"+PONG\r\n")])),
        ("redis error", REDIS, "", Does(&[Wait, Send(b"-NOAUTH x\r\n"), Close])),
        ("redis silent", REDIS, "", Does(&[Wait])),
        ("redis closed", REDIS, "", Does(&[Wait, Close])),
        ("redis refused", REDIS, "", Refuses),
        ("ldap", LDAP, "", Does(&[Wait, Send(b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00")])),
        ("ldap error", LDAP, "", Does(&[Wait, Send(b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x31\x04\x00\x04\x00")])),
        ("ldap other", LDAP, "", Does(&[Wait, Send(b"hello world hello\r\n")])),
        ("ldap silent", LDAP, "", Does(&[Wait])),
        ("ldap refused", LDAP, "", Refuses),
    ])
}

#[test]
#[rustfmt::skip]
fn commands_find_what_haproxy_finds() -> Outcome {
    require!("haproxy", "tandemd");
    compare("global: external-check\nglobal: insecure-fork-wanted\n", &[
        ("true", " option external-check\n external-check command /bin/true", "", Does(&[])),
        ("false", " option external-check\n external-check command /bin/false", "", Does(&[])),
        ("an argument", " option external-check\n external-check path /bin\n external-check command /usr/bin/test", "", Does(&[])),
    ])
}
