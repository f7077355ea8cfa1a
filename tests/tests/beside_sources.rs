//! From where servers are connected to and by which kind of socket: source addresses, ports, interfaces, foreign
//! addresses, unix and abstract sockets, beside haproxy and with haproxy as the other end.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tandem_tests::beside::{BOTH, Differences, Side, Which, read_all, read_until, scripted};
use tandem_tests::{Outcome, ensure, require};

type Peers = Arc<Mutex<Vec<SocketAddr>>>;

/// A server that keeps its peers' addresses.
fn server() -> Outcome<(u16, Peers)> {
    let peers = Peers::default();
    let kept = Arc::clone(&peers);
    let port = scripted(move |mut stream, _| {
        if let Ok(peer) = stream.peer_addr() {
            kept.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(peer);
        }
        let mut buffer = [0; 4_096];
        if stream.read(&mut buffer).is_ok() {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    })?;
    Ok((port, peers))
}

fn seen(peers: &Peers) -> Vec<SocketAddr> {
    peers.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

#[test]
fn servers_see_the_source_that_is_configured() -> Outcome {
    require!("tandemd", "haproxy");
    let mut differences = Differences::default();
    for (backend, words) in [
        ("", "source 127.0.0.9"),
        ("", "source 127.0.0.9 interface lo"),
        ("", "source 0.0.0.0 usesrc 127.0.0.77"),
        ("", "source 0.0.0.0 usesrc clientip"),
        ("", "source 0.0.0.0 usesrc hdr_ip(X-Own)"),
        ("", "source 0.0.0.0 usesrc hdr_ip(x-own,1)"),
        ("", "source 0.0.0.0 usesrc hdr_ip(x-own,2)"),
        ("", "source 0.0.0.0 usesrc hdr_ip(x-own,-3)"),
        (" source 127.0.0.8\n", ""),
        (" source 127.0.0.8\n", "source 127.0.0.9"),
        ("", "source 127.0.0.9:31500-31507"),
    ] {
        let mut found = Vec::new();
        for which in BOTH {
            let (port, peers) = server()?;
            let side = Side::start(
                which,
                &format!(
                    "frontend f\n bind {{in}} accept-proxy\n default_backend b\nbackend b\n{backend} server s 127.0.0.1:{port} {words}\n"
                ),
            )?;
            for _ in 0..4 {
                let answer = side.exchange(
                    b"PROXY TCP4 127.0.0.66 127.0.0.1 4000 80\r\nGET / HTTP/1.0\r\nx-own: 127.0.0.31, 127.0.0.32\r\nx-bad: what\r\nX-OWN: 127.0.0.33\r\n\r\n",
                )?;
                let answer = String::from_utf8_lossy(&answer).into_owned();
                ensure!(answer.contains(" 200 "), "{which:?} {words}: {answer}");
            }
            let peers = seen(&peers);
            ensure!(peers.len() == 4, "{peers:?}");
            if words.contains("31500") {
                ensure!(
                    peers
                        .iter()
                        .all(|peer| (31_500..=31_507).contains(&peer.port())),
                    "{peers:?}"
                );
            }
            found.push(peers.iter().map(SocketAddr::ip).collect::<Vec<_>>());
        }
        let ours = found.pop();
        differences.compare(&format!("{backend}{words}"), found.pop(), ours);
    }
    differences.none()
}

/// The manual: "When the header (or occurrence) is not found, no binding is performed". HAProxy 2.6 answers 500 then.
#[test]
fn a_source_that_no_header_names_is_the_systems() -> Outcome {
    require!("tandemd");
    for words in [
        "hdr_ip(x-own,0)",
        "hdr_ip(x-own,4)",
        "hdr_ip(x-none)",
        "hdr_ip(x-bad)",
    ] {
        let (port, peers) = server()?;
        let text = format!(
            "listen l\n bind {{in}}\n server s 127.0.0.1:{port} source 0.0.0.0 usesrc {words}\n"
        );
        let side = Side::start(Which::Tandem, &text)?;
        let answer = side.get("/", &["x-own: 127.0.0.31", "x-bad: what"])?;
        ensure!(answer.status == 200, "{words}: {answer:?}");
        let peers = seen(&peers);
        let local = peers
            .iter()
            .all(|peer| peer.ip().to_string() == "127.0.0.1");
        ensure!(local && peers.len() == 1, "{words}: {peers:?}");
    }
    Ok(())
}

#[test]
fn unix_and_abstract_sockets_meet_haproxys() -> Outcome {
    require!("tandemd", "haproxy");
    for [listener, client] in [BOTH, [BOTH[1], BOTH[0]]] {
        let name = format!("tandem-test-{}-{listener:?}", std::process::id());
        let behind = Side::start(
            listener,
            &format!(
                "frontend f\n bind abns@{name}\n bind unix@{{dir}}/u\n http-request return status 200 content-type text/plain string {listener:?}\n"
            ),
        )?;
        let folder = behind.folder().display().to_string();
        let front = Side::start(
            client,
            &format!(
                "frontend f\n bind {{in}}\n use_backend a if {{ path /a }}\n default_backend u\nbackend a\n server s abns@{name} check\nbackend u\n server s unix@{folder}/u check\n"
            ),
        )?;
        for path in ["/a", "/u"] {
            let answer = front.get(path, &[])?;
            ensure!(
                answer.status == 200,
                "{client:?} to {listener:?} by {path}: {answer:?}"
            );
        }
        let address = front.stat("a", "s", "status")?;
        ensure!(address.starts_with("UP"), "{client:?}: {address}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_done_is_refused_with_its_name() -> Outcome {
    require!("tandemd");
    for (line, word) in [
        (
            "server s 127.0.0.1:80 source 0.0.0.0 usesrc hdr_ip(",
            "hdr_ip",
        ),
        ("server s 127.0.0.1:80 source unix@/x", "unix@"),
        ("server s sockpair@3", "sockpair@"),
        ("server s unix@/x ssl verify none", "unix socket"),
        (
            "server s 127.0.0.1:80 source 127.0.0.1:9-8",
            "range of ports",
        ),
    ] {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("x.cfg");
        std::fs::write(
            &file,
            format!(
                "defaults\n timeout client 1s\n timeout connect 1s\n timeout server 1s\nbackend b\n {line}\n"
            ),
        )?;
        let program = tandem_tests::requirements::our_program("tandemd").expect("it is required");
        let output = std::process::Command::new(program)
            .arg("-c")
            .arg("-f")
            .arg(&file)
            .output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.code() == Some(1) && text.contains(word),
            "{line}: {text}"
        );
    }
    Ok(())
}

/// `socks4`: what the proxy between is asked, by traffic and by checks, and what becomes of its answers.
#[test]
fn socks_proxies_are_asked_alike() -> Outcome {
    require!("haproxy", "tandemd");
    for granted in [90u8, 91] {
        let mut seen = Vec::new();
        for which in BOTH {
            let asked = Arc::new(Mutex::new(Vec::new()));
            let told = Arc::clone(&asked);
            let port = scripted(move |mut stream, _| {
                let mut request = [0; 16];
                if std::io::Read::read_exact(&mut stream, &mut request).is_err() {
                    return;
                }
                let _ = stream.write_all(&[0, granted, 0, 0, 0, 0, 0, 0]);
                let head = read_until(&mut stream, "\r\n\r\n");
                if head.is_empty() {
                    return;
                }
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                told.push((
                    request.escape_ascii().to_string(),
                    head.lines().next().unwrap_or_default().to_owned(),
                ));
            })?;
            let text = format!(
                "frontend f\n bind {{in}}\n default_backend b\nbackend b\n retries 0\n option httpchk GET /check\n server s1 192.0.2.7:8080 socks4 127.0.0.1:{port} check-via-socks4 check inter 60s fall 1\nfrontend f2\n bind {{in2}}\n default_backend b2\nbackend b2\n retries 0\n server s1 192.0.2.7:8080 socks4 127.0.0.1:{port}\n server s2 [2001:db8::1]:80 socks4 127.0.0.1:{port} backup\n"
            );
            let side = Side::start(which, &text)?;
            let status = if granted == 90 { "L7OK" } else { "SOCKERR" };
            side.wait_stat("b", "s1", "check_status", status)?;
            let mut stream = tandem_tests::beside::connect(side.second)?;
            stream.write_all(b"GET /traffic HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
            let got = String::from_utf8_lossy(&read_all(&mut stream)).into_owned();
            let line = side.wait_lines("/traffic ", 1)?.remove(0);
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let told = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let status = got.lines().next().unwrap_or_default().to_owned();
            seen.push((told, status, words[3].clone(), words[9].clone()));
        }
        ensure!(
            seen[0] == seen[1],
            "{granted}: haproxy {:?}\ntandem {:?}",
            seen[0],
            seen[1]
        );
    }
    Ok(())
}
