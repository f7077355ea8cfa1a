//! The same rules in the installed HAProxy and here: its answers on the wire against ours.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{configuration, run, transaction};
use tandem_proxy::rules::Verdict;

const RULES: &str = "
 http-request redirect location /x code 301 drop-query if { path /r1 }
 http-request redirect prefix http://a.b append-slash if { path_beg /r2 }
 http-request redirect scheme https code 307 set-cookie A=1 if { path /r3 }
 http-request redirect location /a?b code 303 clear-cookie A if { path /r4 }
 http-request redirect prefix / drop-query if { path /r5 }
 http-request redirect scheme https code 308 if { path /r6 }
 http-request redirect location https://%[req.hdr(host)]%[path,upper] if { path /r7 }
 http-request return status 200 content-type text/plain string hello hdr X-A %[src] if { path /s1 }
 http-request return status 404 if { path /s2 }
 http-request return if { path /s3 }
 http-request return status 503 content-type text/html lf-string \"a %ci\" if { path /s4 }
 http-request return status 429 default-errorfiles if { path /s5 }
 http-request deny if { path /d1 }
 http-request deny deny_status 429 if { path /d2 }
 http-request deny status 400 content-type text/plain string no if { path /d3 }
 http-request deny deny_status 500 if { path /d4 }
 http-request auth realm \"My Realm\" if { path /a1 }
 http-request auth if { path /a2 }
 redirect scheme https if !{ ssl_fc } { path_beg /q }
";

const TARGETS: &[&str] = &[
    "/r1", "/r1?a=b", "/r2", "/r2/x?y", "/r3", "/r4", "/r5?z", "/r6?k=v", "/r7", "/s1", "/s2",
    "/s3", "/s4", "/s5", "/d1", "/d2", "/d3", "/d4", "/a1", "/a2", "/q/x?y=z",
];

/// Ends the peer with the test.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn answers_are_those_of_haproxy() {
    if Command::new("haproxy")
        .arg("-v")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        eprintln!("skipped: haproxy is not installed");
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let text = format!(
        "defaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 5s\nfrontend f\n bind 127.0.0.1:{port}\n{RULES} default_backend b\nbackend b\n"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("haproxy.cfg");
    std::fs::write(&file, &text).expect("the file");
    let peer = Command::new("haproxy")
        .args(["-db", "-f"])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("haproxy starts");
    let _peer = Peer(peer);
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "haproxy does not listen");
        std::thread::yield_now();
    }
    let config = configuration(&text);
    for target in TARGETS {
        let host = format!("www.example.com:{port}");
        let theirs = ask(port, target, &host);
        let mut txn = transaction("GET", target, &[("Host", &host)]);
        let (verdict, _) = run(&config, &mut txn);
        let Verdict::Answer(answer) = verdict else {
            panic!("{target}: no answer of our own");
        };
        let mut ours = vec![format!(
            "HTTP/1.1 {} {}",
            answer.head.status(),
            String::from_utf8_lossy(answer.head.reason())
        )];
        let mut fields: Vec<String> = answer
            .head
            .iter()
            .map(|(name, value)| {
                format!(
                    "{}: {}",
                    String::from_utf8_lossy(name).to_ascii_lowercase(),
                    String::from_utf8_lossy(value)
                )
            })
            .collect();
        fields.sort();
        ours.extend(fields);
        ours.push(String::from_utf8_lossy(&answer.body).into_owned());
        assert_eq!(ours, theirs, "{target}");
    }
}

/// HAProxy's answer: status line, sorted fields without the connection's own, body.
fn ask(port: u16, target: &str, host: &str) -> Vec<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a limit");
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.split("\r\n");
    let mut all = vec![lines.next().unwrap_or("").to_owned()];
    let mut fields: Vec<String> = lines
        .filter(|line| *line != "connection: close")
        .map(str::to_owned)
        .collect();
    fields.sort();
    all.extend(fields);
    all.push(body.to_owned());
    all
}
