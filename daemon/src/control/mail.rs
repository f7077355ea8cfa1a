//! Mail for `smtp_alert`: plain SMTP (RFC 5321) to the one configured server.

use std::time::Duration;

use config::keepalived::GlobalDefs;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

/// Longest line of an answer in bytes; RFC 5321 4.5.3.1.5 asks for 512.
const MAX_REPLY_BYTES: u64 = 4_096;
/// How long a server may take for each answer.
const REPLY_LIMIT: Duration = Duration::from_secs(30);

/// Where mail goes, from `global_defs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailSetup {
    /// Server's name or address, and port.
    pub server: (String, u16),
    /// Limit of the connect.
    pub connect_timeout: Duration,
    /// Name in HELO.
    pub helo: String,
    /// Sender.
    pub from: String,
    /// Recipients.
    pub to: Vec<String>,
    /// `router_id`, in front of each subject.
    pub router: String,
}

impl MailSetup {
    /// What the configuration says; `None` without a server or recipients.
    pub fn new(global: &GlobalDefs) -> Option<Self> {
        let server = global.smtp_server.clone()?;
        if global.notification_email.is_empty() {
            return None;
        }
        let host = crate::configuration::host_name();
        Some(Self {
            server,
            connect_timeout: global.smtp_connect_timeout,
            helo: global
                .smtp_helo_name
                .clone()
                .unwrap_or_else(|| host.clone()),
            from: global
                .notification_email_from
                .clone()
                .unwrap_or_else(|| format!("tandem@{host}")),
            to: global.notification_email.clone(),
            router: global.router_id.clone().unwrap_or(host),
        })
    }
}

/// Why mail was not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum MailError {
    /// The server cannot be reached, or goes away.
    #[error("{server}: {error}")]
    Io {
        /// The server.
        server: String,
        /// Why.
        error: std::io::Error,
    },
    /// The server says no.
    #[error("{server} answers to {command}: {reply}")]
    Refused {
        /// The server.
        server: String,
        /// What it was told.
        command: String,
        /// What it said.
        reply: String,
    },
}

/// Sends one mail to all recipients.
pub(super) async fn send(setup: &MailSetup, subject: &str, body: &str) -> Result<(), MailError> {
    let server = format!("{}:{}", setup.server.0, setup.server.1);
    let io = |error| MailError::Io {
        server: server.clone(),
        error,
    };
    let connecting = tokio::net::TcpStream::connect((setup.server.0.as_str(), setup.server.1));
    let stream = tokio::time::timeout(setup.connect_timeout, connecting)
        .await
        .map_err(|_| io(std::io::ErrorKind::TimedOut.into()))?
        .map_err(io)?;
    converse(BufReader::new(stream), setup, &server, subject, body).await
}

async fn converse(
    mut stream: BufReader<impl AsyncRead + AsyncWrite + Unpin>,
    setup: &MailSetup,
    server: &str,
    subject: &str,
    body: &str,
) -> Result<(), MailError> {
    expect(&mut stream, server, "the greeting", '2').await?;
    say(
        &mut stream,
        server,
        &format!("HELO {}", one_line(&setup.helo)),
        '2',
    )
    .await?;
    say(
        &mut stream,
        server,
        &format!("MAIL FROM:<{}>", one_line(&setup.from)),
        '2',
    )
    .await?;
    for recipient in &setup.to {
        say(
            &mut stream,
            server,
            &format!("RCPT TO:<{}>", one_line(recipient)),
            '2',
        )
        .await?;
    }
    say(&mut stream, server, "DATA", '3').await?;
    say(
        &mut stream,
        server,
        &message(setup, subject, body, std::time::SystemTime::now()),
        '2',
    )
    .await?;
    // The mail is on its way; how the goodbye goes does not matter.
    let _ = say(&mut stream, server, "QUIT", '2').await;
    Ok(())
}

async fn say(
    stream: &mut BufReader<impl AsyncRead + AsyncWrite + Unpin>,
    server: &str,
    command: &str,
    wanted: char,
) -> Result<(), MailError> {
    let io = |error| MailError::Io {
        server: server.to_owned(),
        error,
    };
    stream.write_all(command.as_bytes()).await.map_err(io)?;
    stream.write_all(b"\r\n").await.map_err(io)?;
    stream.flush().await.map_err(io)?;
    expect(stream, server, command, wanted).await
}

async fn expect(
    stream: &mut BufReader<impl AsyncRead + Unpin>,
    server: &str,
    command: &str,
    wanted: char,
) -> Result<(), MailError> {
    use tokio::io::AsyncReadExt;
    loop {
        let mut reply = String::new();
        let mut limited = (&mut *stream).take(MAX_REPLY_BYTES);
        let read = tokio::time::timeout(REPLY_LIMIT, limited.read_line(&mut reply))
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        match read {
            Ok(0) => {
                let error = std::io::ErrorKind::UnexpectedEof.into();
                return Err(MailError::Io {
                    server: server.to_owned(),
                    error,
                });
            }
            Ok(_) => {}
            Err(error) => {
                return Err(MailError::Io {
                    server: server.to_owned(),
                    error,
                });
            }
        }
        // RFC 5321 4.2.1: a hyphen behind the code says that more lines follow.
        if reply.as_bytes().get(3) == Some(&b'-') {
            continue;
        }
        if reply.starts_with(wanted) {
            return Ok(());
        }
        let command = command.lines().next().unwrap_or_default().to_owned();
        return Err(MailError::Refused {
            server: server.to_owned(),
            command,
            reply: reply.trim_end().to_owned(),
        });
    }
}

/// No text of ours may end a line of the protocol early.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

/// Headers and body up to the closing dot, lines ended by CR LF.
fn message(setup: &MailSetup, subject: &str, body: &str, now: std::time::SystemTime) -> String {
    let mut text = format!(
        "Date: {}\r\nFrom: {}\r\nTo: {}\r\nSubject: [{}] {}\r\nX-Mailer: Tandem\r\n\r\n",
        date(now),
        one_line(&setup.from),
        one_line(&setup.to.join(", ")),
        one_line(&setup.router),
        one_line(subject)
    );
    for line in body.lines() {
        // RFC 5321 4.5.2: a line that starts with a dot gets another one.
        if line.starts_with('.') {
            text.push('.');
        }
        text.push_str(line.trim_end_matches('\r'));
        text.push_str("\r\n");
    }
    text.push('.');
    text
}

/// A moment as RFC 5322 3.3 writes it, in UTC.
fn date(moment: std::time::SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = moment
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs());
    let (year, month, day) = super::views::civil_date(seconds / 86_400);
    format!(
        "{}, {day} {} {year} {:02}:{:02}:{:02} +0000",
        DAYS[(seconds / 86_400 % 7) as usize],
        MONTHS[(month - 1) as usize % 12],
        seconds / 3_600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn setup() -> MailSetup {
        MailSetup {
            server: ("127.0.0.1".to_owned(), 25),
            connect_timeout: Duration::from_secs(1),
            helo: "n1".to_owned(),
            from: "a@example.com".to_owned(),
            to: vec!["b@example.com".to_owned(), "c@example.com".to_owned()],
            router: "r1".to_owned(),
        }
    }

    #[test]
    fn a_message_has_its_headers_and_stuffed_dots() {
        let moment = UNIX_EPOCH + Duration::from_secs(1_795_399_114);
        let text = message(&setup(), "R1 is\nMASTER", "one\n.two", moment);
        assert!(
            text.starts_with("Date: Mon, 23 Nov 2026 01:58:34 +0000\r\nFrom: a@example.com\r\n"),
            "{text}"
        );
        assert!(
            text.contains("To: b@example.com, c@example.com\r\nSubject: [r1] R1 is MASTER\r\n"),
            "{text}"
        );
        assert!(text.ends_with("\r\n\r\none\r\n..two\r\n."), "{text}");
    }

    #[tokio::test]
    async fn each_recipient_is_told_and_a_refusal_names_the_command() {
        let (ours, theirs) = tokio::io::duplex(4_096);
        let server = tokio::spawn(async move {
            let mut stream = BufReader::new(theirs);
            let mut heard = Vec::new();
            stream
                .write_all(b"220-hello\r\n220 there\r\n")
                .await
                .expect("greeting");
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await.expect("line") == 0 {
                    return heard;
                }
                let reply: &[u8] = if line.contains("c@") {
                    b"550 no\r\n"
                } else {
                    b"250 ok\r\n"
                };
                heard.push(line.trim_end().to_owned());
                stream.write_all(reply).await.expect("reply");
            }
        });
        let error = converse(BufReader::new(ours), &setup(), "s:25", "x", "y")
            .await
            .expect_err("refused");
        assert_eq!(
            error.to_string(),
            "s:25 answers to RCPT TO:<c@example.com>: 550 no"
        );
        let heard = server.await.expect("server");
        assert_eq!(
            heard,
            [
                "HELO n1",
                "MAIL FROM:<a@example.com>",
                "RCPT TO:<b@example.com>",
                "RCPT TO:<c@example.com>"
            ]
        );
    }
}
