//! A server of HTTP/1 behind the proxy.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tandem_tests::Outcome;
use tandem_tests::beside::scripted;
use tandem_tests::http2::websocket_accept;

/// What a server got: heads and bodies as they came.
pub(crate) type Record = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A server of HTTP/1 that answers by path and remembers what it got.
pub(crate) fn origin() -> Outcome<(u16, Record)> {
    let record = Record::default();
    let kept = Arc::clone(&record);
    let port = scripted(move |mut stream, _| {
        let mut read = Vec::new();
        while let Some((head, body)) = receive(&mut stream, &mut read) {
            kept.lock()
                .expect("no panic holds it")
                .push((head.clone(), body.clone()));
            if answer(&mut stream, &head, &body).is_none() {
                return;
            }
        }
    })?;
    Ok((port, record))
}

/// A request: its head, and its body without framing.
fn receive(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let more = |stream: &mut TcpStream, read: &mut Vec<u8>| -> Option<()> {
        let mut buffer = [0; 65_536];
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        read.extend(&buffer[..count]);
        Some(())
    };
    let end = loop {
        if let Some(at) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, read)?;
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    read.drain(..end);
    let field = |name: &str| {
        let line = head.lines().find(|line| line.starts_with(name))?;
        Some(line[name.len()..].trim().to_owned())
    };
    if let Some(length) = field("content-length:").and_then(|text| text.parse().ok()) {
        while read.len() < length {
            more(stream, read)?;
        }
        return Some((head, read.drain(..length).collect()));
    }
    let mut body = Vec::new();
    if field("transfer-encoding:").is_some() {
        loop {
            let end = loop {
                if let Some(at) = read.windows(2).position(|bytes| bytes == b"\r\n") {
                    break at;
                }
                more(stream, read)?;
            };
            let size = usize::from_str_radix(std::str::from_utf8(&read[..end]).ok()?, 16).ok()?;
            if size == 0 {
                while !read.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                    more(stream, read)?;
                }
                let at = read.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
                let trailers: Vec<u8> = read.drain(..at).collect();
                let trailers = String::from_utf8_lossy(&trailers[3..]).trim().to_owned();
                return Some((
                    if trailers.is_empty() {
                        head
                    } else {
                        format!("{head}{trailers}")
                    },
                    body,
                ));
            }
            while read.len() < end + 2 + size + 2 {
                more(stream, read)?;
            }
            body.extend_from_slice(&read[end + 2..end + 2 + size]);
            read.drain(..end + 2 + size + 2);
        }
    }
    Some((head, body))
}

fn answer(stream: &mut TcpStream, head: &str, body: &[u8]) -> Option<()> {
    let path = head.split(' ').nth(1)?;
    let ok = |length: usize| {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nx-o: 1\r\n\r\n").into_bytes()
    };
    let mut out = match path {
        "/echo" => [ok(body.len()), body.to_vec()].concat(),
        "/big" => [ok(1 << 20), vec![b'b'; 1 << 20]].concat(),
        "/chunked" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n".to_vec(),
        "/trailers" => {
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-end\r\n\r\n3\r\nabc\r\n0\r\nx-end: 7\r\n\r\n".to_vec()
        }
        "/close" => b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end".to_vec(),
        "/hints" => [&b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"[..], &ok(2), b"hi"].concat(),
        "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/304" => b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\netag: \"a\"\r\n\r\n".to_vec(),
        "/cut" => b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_vec(),
        "/silent" => {
            // Until the proxy hangs up.
            let _ = stream.read(&mut [0]);
            return None;
        }
        "/slow" => {
            std::thread::sleep(Duration::from_millis(500));
            [&ok(2)[..], b"hi"].concat()
        }
        "/socket" => {
            let lower = head.to_lowercase();
            let at = lower.find("sec-websocket-key: ")? + "sec-websocket-key: ".len();
            let key = head[at..].lines().next()?;
            let switch = format!(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {}\r\n\r\n",
                websocket_accept(key.trim())
            );
            stream.write_all(switch.as_bytes()).ok()?;
            let mut buffer = [0; 1_024];
            loop {
                let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
                stream.write_all(&buffer[..count]).ok()?;
            }
        }
        _ => [&ok(2)[..], b"hi"].concat(),
    };
    if head.starts_with("HEAD ") {
        let end = out.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
        out.truncate(end);
    }
    stream.write_all(&out).ok()?;
    (path != "/close" && path != "/cut").then_some(())
}
