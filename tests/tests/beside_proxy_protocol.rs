//! PROXY headers both ways: what is accepted, refused, logged and sent, as haproxy does with the same bytes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tandem_tests::beside::{BOTH, Differences, Side, Which, read_all, read_until, scripted};
use tandem_tests::{Outcome, ensure, require};

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

const RECEIVING: &str = "frontend f
 bind {in} accept-proxy
 timeout client 700ms
 http-request return status 200 content-type text/plain lf-string \"%[src]:%[src_port] %[dst]:%[dst_port] %[fc_src] %[fc_dst] %[fc_rcvd_proxy] %[fc_pp_authority] %[fc_pp_unique_id]\"
frontend g
 bind {in2}
 tcp-request connection expect-proxy layer4 if { src 127.0.0.2 }
 option dontlognull
 http-request return status 200 content-type text/plain lf-string \"%ci %[dst] %[fc_rcvd_proxy]\"
";

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [SIGNATURE, &[0x20 | command, family], &length, body].concat()
}

fn tcp4(tlvs: &[u8]) -> Vec<u8> {
    let block = [1, 2, 3, 4, 5, 6, 7, 8, 0x04, 0x57, 0x08, 0xae];
    v2(1, 0x11, &[&block[..], tlvs].concat())
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &(value.len() as u16).to_be_bytes(), value].concat()
}

/// Headers that both treat alike.
fn headers() -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let six: Vec<u8> = (0..32).chain([0x04, 0x57, 0x08, 0xae]).collect();
    vec![
        ("TCP4", text("PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n")),
        ("TCP6", text("PROXY TCP6 ::1 2::3 1111 2222\r\n")),
        ("UNKNOWN", text("PROXY UNKNOWN\r\n")),
        ("line feed alone", text("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n")),
        ("two spaces", text("PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n")),
        (
            "space at the end",
            text("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n"),
        ),
        ("another family", text("PROXY TCP4 ::1 ::2 1 2\r\n")),
        ("lower case", text("proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n")),
        (
            "unknown protocol",
            text("PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n"),
        ),
        ("no header", Vec::new()),
        ("v2 TCP4", tcp4(b"")),
        ("v2 TCP6", v2(1, 0x21, &six)),
        ("v2 UDP4", v2(1, 0x12, &[0; 12])),
        ("v2 LOCAL", v2(0, 0, b"")),
        ("v2 LOCAL with addresses", v2(0, 0x11, &[0; 12])),
        ("v2 short", v2(1, 0x11, &[0; 8])),
        ("v2 command", v2(2, 0x11, &[0; 12])),
        (
            "v2 version",
            [SIGNATURE, &[0x11, 0x11, 0, 12], &[0; 12]].concat(),
        ),
        ("v2 family", v2(1, 0x41, &[0; 12])),
        (
            "v2 authority and ID",
            tcp4(&[tlv(2, b"example.com"), tlv(5, b"my-id"), tlv(1, b"h2")].concat()),
        ),
        ("v2 nothing", tcp4(&tlv(4, &[0; 5]))),
        ("v2 3000 bytes", tcp4(&tlv(4, &[0; 3_000]))),
        ("v2 empty authority", tcp4(&tlv(2, b""))),
        (
            "v2 SSL",
            tcp4(&tlv(0x20, b"\x01\0\0\0\0\x21\x00\x07TLSv1.3")),
        ),
    ]
}

/// Headers whose errors haproxy logs with the address that they claim.
fn bad_tlvs() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("checksum", tcp4(&tlv(3, b"abcd"))),
        ("short checksum", tcp4(&tlv(3, b"abc"))),
        ("long TLV", tcp4(b"\x02\xff\xffab")),
        ("cut TLV", tcp4(b"\x02")),
        ("long ID", tcp4(&tlv(5, &[b'u'; 129]))),
        ("long authority", tcp4(&tlv(2, &[b'u'; 256]))),
    ]
}

/// The answer's body, or how the connection ended; ports of our own connection left out.
fn ask(side: &Side, header: &[u8]) -> Outcome<String> {
    let mut stream = side.connect()?;
    let own = stream.local_addr()?.port().to_string();
    let written = stream.write_all(&[header, REQUEST].concat());
    let answer = read_all(&mut stream);
    if answer.is_empty() {
        drop(written);
        return Ok("closed".to_owned());
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    Ok(format!("{status} {body}")
        .replace(&own, "OWN")
        .replace(&side.address.port().to_string(), "PORT"))
}

/// The reason of the only line about a header, behind the listener's name.
fn reason(side: &Side) -> Outcome<String> {
    let lines = side.wait_lines("/1: ", 1)?;
    side.forget();
    let line = lines.first().cloned().unwrap_or_default();
    let (start, reason) = line.split_once("] ").unwrap_or_default();
    ensure!(start.contains(":") && start.contains(" ["), "{line}");
    Ok(reason.to_owned())
}

#[test]
fn headers_are_accepted_and_refused_as_haproxy_does() -> Outcome {
    require!("tandemd", "haproxy");
    let mut differences = Differences::default();
    let [haproxy, tandem] = BOTH.map(|which| Side::start(which, RECEIVING));
    let (haproxy, tandem) = (haproxy?, tandem?);
    for (name, header) in headers().into_iter().chain(bad_tlvs()) {
        let answers = [ask(&haproxy, &header)?, ask(&tandem, &header)?];
        if answers[0] == "closed" {
            differences.compare(&format!("{name}: log"), reason(&haproxy)?, reason(&tandem)?);
        } else {
            haproxy.wait_lines("f f/<NOSRV>", 1)?;
            tandem.wait_lines("f f/<NOSRV>", 1)?;
            haproxy.forget();
            tandem.forget();
        }
        let [theirs, ours] = answers;
        differences.compare(name, theirs, ours);
    }
    differences.none()
}

#[test]
fn a_connection_without_a_header_times_out_and_is_logged() -> Outcome {
    require!("tandemd", "haproxy");
    let mut differences = Differences::default();
    let mut found = Vec::new();
    for which in BOTH {
        let side = Side::start(which, RECEIVING)?;
        let mut silent = side.connect()?;
        ensure!(read_all(&mut silent).is_empty(), "an answer to nothing");
        let timeout = reason(&side)?;
        let ended = side.connect()?;
        ended.shutdown(std::net::Shutdown::Write)?;
        let closed = reason(&side)?;
        let mut cut = side.connect()?;
        cut.write_all(b"PROXY TC")?;
        cut.shutdown(std::net::Shutdown::Write)?;
        found.push((timeout, closed, reason(&side)?));
    }
    let ours = found.pop();
    differences.compare("reasons", found.pop(), ours);
    differences.none()
}

#[test]
fn a_header_may_come_byte_by_byte() -> Outcome {
    require!("tandemd");
    let side = Side::start(Which::Tandem, RECEIVING)?;
    for header in [
        tcp4(&tlv(2, b"example.com")),
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n".to_vec(),
    ] {
        let mut stream = side.connect()?;
        for byte in header.iter().chain(REQUEST) {
            stream.write_all(&[*byte])?;
            std::thread::yield_now();
        }
        let answer = read_until(&mut stream, "1.2.3.4:1111");
        ensure!(answer.contains("1.2.3.4:1111 5.6.7.8:2222"), "{answer}");
    }
    Ok(())
}

#[test]
fn a_rule_asks_some_clients_for_a_header() -> Outcome {
    require!("tandemd", "haproxy");
    let mut differences = Differences::default();
    let mut found = Vec::new();
    for which in BOTH {
        let side = Side::start(which, RECEIVING)?;
        let ask = |source: std::net::IpAddr, header: &[u8]| -> Outcome<String> {
            let socket = socket2::Socket::new(
                socket2::Domain::IPV4,
                socket2::Type::STREAM,
                Some(socket2::Protocol::TCP),
            )?;
            let source = std::net::SocketAddr::new(source, 0);
            socket.bind(&source.into())?;
            socket.connect(&side.second.into())?;
            let mut stream = TcpStream::from(socket);
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            let _ = stream.write_all(&[header, REQUEST].concat());
            let answer = String::from_utf8_lossy(&read_all(&mut stream)).into_owned();
            let body = answer.rsplit("\r\n\r\n").next().unwrap_or_default();
            Ok(format!(
                "{} {body}",
                answer.split(' ').nth(1).unwrap_or("closed")
            ))
        };
        let header = b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n";
        found.push([
            ask([127, 0, 0, 2].into(), header)?,
            ask([127, 0, 0, 2].into(), b"")?,
            ask([127, 0, 0, 1].into(), b"")?,
            ask([127, 0, 0, 1].into(), header)?,
        ]);
    }
    let ours = found.pop();
    differences.compare("answers", found.pop(), ours);
    differences.none()
}

type Heard = Arc<Mutex<Vec<u8>>>;

/// A server that keeps what it hears and answers each request.
fn recorder() -> Outcome<(u16, Heard)> {
    let heard = Heard::default();
    let kept = Arc::clone(&heard);
    let port = scripted(move |mut stream, _| {
        let mut buffer = [0; 4_096];
        while let Ok(count) = stream.read(&mut buffer) {
            if count == 0 {
                return;
            }
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend_from_slice(&buffer[..count]);
            let is_request = buffer[..count].ends_with(b"\r\n\r\n");
            drop(kept);
            if is_request {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        }
    })?;
    Ok((port, heard))
}

/// What was heard before the requests, and forgets it.
fn take(heard: &Heard) -> Vec<u8> {
    std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner))
}

#[test]
fn servers_are_sent_the_headers_that_haproxy_sends() -> Outcome {
    require!("tandemd", "haproxy");
    const OPTIONS: [&str; 10] = [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2-ssl",
        "send-proxy-v2-ssl-cn",
        "send-proxy send-proxy-v2",
        "proxy-v2-options crc32c",
        "send-proxy-v2 proxy-v2-options crc32c",
        "send-proxy-v2 proxy-v2-options unique-id",
        "send-proxy-v2 proxy-v2-options authority",
        "send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,authority,crc32c,unique-id",
    ];
    let mut differences = Differences::default();
    for options in OPTIONS {
        let mut found = Vec::new();
        for which in BOTH {
            let (port, heard) = recorder()?;
            let side = Side::start(
                which,
                &format!(
                    "frontend f\n bind {{in}} accept-proxy\n bind unix@{{dir}}/u\n unique-id-format uid-%[src]-%[path]\n default_backend b\nbackend b\n server s 127.0.0.1:{port} {options}\n"
                ),
            )?;
            let mut seen = Vec::new();
            for header in [
                &b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n"[..],
                b"PROXY TCP6 ::1 2::3 1111 2222\r\n",
            ] {
                let mut stream = side.connect()?;
                stream.write_all(&[header, b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"].concat())?;
                ensure!(
                    read_until(&mut stream, "\r\n\r\n").contains("200"),
                    "no answer"
                );
                seen.push(String::from_utf8_lossy(&take(&heard)).into_owned());
            }
            let mut stream = UnixStream::connect(side.folder().join("u"))?;
            stream.write_all(b"GET /a HTTP/1.0\r\n\r\n")?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            let seen_unix = String::from_utf8_lossy(&take(&heard)).into_owned();
            // The requests' own bytes are another test's matter.
            seen.push(seen_unix);
            found.push(
                seen.iter()
                    .map(|text| text.split("GET /a").next().unwrap_or_default().to_owned())
                    .collect::<Vec<_>>(),
            );
        }
        let ours = found.pop();
        differences.compare(options, found.pop(), ours);
    }
    differences.none()
}

#[test]
fn a_connection_with_a_header_serves_one_client() -> Outcome {
    require!("tandemd");
    let (port, heard) = recorder()?;
    let side = Side::start(
        Which::Tandem,
        &format!(
            "frontend f\n bind {{in}}\n default_backend b\nbackend b\n http-reuse always\n server s 127.0.0.1:{port} send-proxy\n"
        ),
    )?;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut stream = side.connect()?;
        for _ in 0..2 {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")?;
            ensure!(
                read_until(&mut stream, "\r\n\r\n").contains("200"),
                "no answer"
            );
        }
        clients.push(stream);
    }
    let heard = String::from_utf8_lossy(&take(&heard)).into_owned();
    for client in &clients {
        let port = client.local_addr()?.port();
        let line = format!(
            "PROXY TCP4 127.0.0.1 127.0.0.1 {port} {}\r\n",
            side.address.port()
        );
        ensure!(heard.matches(&line).count() == 1, "{line:?} in {heard:?}");
    }
    ensure!(heard.matches("GET / ").count() == 4, "{heard:?}");
    Ok(())
}
