//! A client that plays steps, and what it got in a form that can be compared.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::beside::{Side, Which, read_until};
use crate::failure::Outcome;

use Step::{Leave, Pause, Reset, Send, Shut, Until};

/// A step of a client.
pub enum Step {
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

/// Plays the steps; what the client got.
pub fn play(side: &Side, steps: &[Step]) -> Outcome<String> {
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
pub fn joined(body: &str) -> String {
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
pub fn plain(got: &str) -> String {
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
pub fn classes(line: &str, which: Which) -> String {
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
            Ok(0..=279) => "0",
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

/// Ends a connection by a reset.
pub fn reset(stream: TcpStream) {
    let socket = socket2::Socket::from(stream);
    let _ = socket.set_linger(Some(Duration::ZERO));
}
