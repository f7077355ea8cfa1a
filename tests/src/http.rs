//! Clients for single requests: bytes as they are, or curl where TLS, cookies or source addresses are wanted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::failure::{Context, Failure, Outcome};
use crate::host::Host;

/// How long one exchange may take.
const LIMIT: Duration = Duration::from_secs(15);

/// An answer, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in order of appearance.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// Takes an answer apart; nothing if it is none.
    pub fn parse(bytes: &[u8]) -> Option<Answer> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Answer {
            status,
            headers,
            body: body.to_owned(),
        })
    }

    /// The first header of that lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    /// The server that answered: its name is the body of `/`.
    pub fn server(&self) -> &str {
        self.header("x-server").unwrap_or_else(|| self.body.trim())
    }
}

/// Sends bytes from a host and returns all that comes back until the end of the connection (or of patience).
pub fn raw(host: &Host, to: SocketAddr, bytes: &[u8]) -> Outcome<Vec<u8>> {
    let bytes = bytes.to_vec();
    host.in_network(move || {
        let mut stream = TcpStream::connect_timeout(&to, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        // A server that has refused the request may close before it has read all of it.
        let written = stream.write_all(&bytes);
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if answer.is_empty() => Err(written.err().unwrap_or(error)),
            _ => Ok(answer),
        }
    })?
    .context(format!("asking {to}"))
}

/// One GET from a host, over its own connection.
pub fn get(host: &Host, to: SocketAddr, path: &str, headers: &[&str]) -> Outcome<Answer> {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n");
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    let bytes = raw(host, to, request.as_bytes())?;
    Answer::parse(&bytes).ok_or_else(|| {
        Failure::new(format!(
            "{to}{path} gave no HTTP answer: {:?}",
            String::from_utf8_lossy(&bytes)
        ))
    })
}

/// Runs curl in a host; the arguments end with the address. Certificates are not verified.
pub fn curl(host: &Host, arguments: &[&str]) -> Outcome<Answer> {
    let fixed = [
        "--silent",
        "--show-error",
        "--insecure",
        "--include",
        "--max-time",
        "10",
        "--noproxy",
        "*",
        "--http1.1",
    ];
    let output = host.exec("curl", &[&fixed, arguments].concat())?;
    Answer::parse(output.as_bytes())
        .ok_or_else(|| Failure::new(format!("curl gave no HTTP answer: {output:?}")))
}
