//! The client's side of SMTP on a stream: commands, and answers of bounded size that come in bounded time.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use super::MailSetup;
use super::message::one_line;

/// Longest line of an answer in bytes; RFC 5321 4.5.3.1.5 asks for 512.
pub(super) const MAX_REPLY_LINE_BYTES: u64 = 4_096;
/// Lines of one answer; an answer to EHLO has one for each extension.
pub(super) const MAX_REPLY_LINES: usize = 128;
/// Characters of an answer that are told.
const MAX_TOLD_CHARS: usize = 512;
/// How long a server may take for each command and its answer.
pub(super) const REPLY_LIMIT: Duration = Duration::from_secs(30);
/// RFC 5321 3.8: the server ends the connection, whatever was asked.
const CLOSING: &str = "421";

/// Why mail was not sent.
#[derive(Debug, thiserror::Error)]
pub(in crate::control) enum MailError {
    /// The server cannot be reached, or goes away.
    #[error("{server}: {error}")]
    Io {
        /// The server.
        server: String,
        /// Why.
        error: std::io::Error,
    },
    /// Each answer came in time, and all together did not.
    #[error("{server}: the mail has not gone within {limit:?}")]
    Late {
        /// The server.
        server: String,
        /// What it had.
        limit: Duration,
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
    /// The server takes mail for none of the recipients.
    #[error("{server} refuses all recipients: {recipients}")]
    NoRecipient {
        /// The server.
        server: String,
        /// Recipients, with its words.
        recipients: String,
    },
}

/// What an answer means, from its first digit (RFC 5321 4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// 2yz.
    Done,
    /// 3yz: go on.
    More,
    /// 5yz: no, now and later.
    Never,
    /// 4yz, and what is not an answer of SMTP.
    Other,
}

/// An answer: its lines without their ends and without control characters, at least one.
#[derive(Debug)]
pub(super) struct Reply(Vec<String>);

impl Reply {
    fn last(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// What it means.
    pub(super) fn class(&self) -> Class {
        match self.last().as_bytes() {
            [b'2', b'0'..=b'9', b'0'..=b'9', ..] => Class::Done,
            [b'3', b'0'..=b'9', b'0'..=b'9', ..] => Class::More,
            [b'5', b'0'..=b'9', b'0'..=b'9', ..] => Class::Never,
            _ => Class::Other,
        }
    }

    /// Whether an answer to EHLO names an extension (RFC 5321 4.1.1.1: from its second line on, in any case).
    pub(super) fn offers(&self, extension: &str) -> bool {
        self.0
            .iter()
            .skip(1)
            .filter_map(|line| line.get(4..)?.split_ascii_whitespace().next())
            .any(|keyword| keyword.eq_ignore_ascii_case(extension))
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        self.0.join(" ").chars().take(MAX_TOLD_CHARS).collect()
    }
}

/// A conversation with a server.
pub(super) struct Dialogue<'a, S> {
    stream: BufReader<S>,
    server: &'a str,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Dialogue<'a, S> {
    /// A conversation on a new stream.
    pub(super) fn new(stream: S, server: &'a str) -> Self {
        Self {
            stream: BufReader::new(stream),
            server,
        }
    }

    /// The stream, and how many bytes were read from it and are lost with this call.
    pub(super) fn into_stream(self) -> (S, usize) {
        let lost_bytes = self.stream.buffer().len();
        (self.stream.into_inner(), lost_bytes)
    }

    /// Awaits the server's first words.
    pub(super) async fn greeting(&mut self) -> Result<(), MailError> {
        let reply = self.within_limit("").await?;
        self.demand("the greeting", reply, Class::Done)?;
        Ok(())
    }

    /// EHLO, and HELO where that is refused (RFC 5321 3.2).
    pub(super) async fn hello(&mut self, name: &str) -> Result<Reply, MailError> {
        let name = one_line(name);
        let ehlo = format!("EHLO {name}");
        let reply = self.say(&ehlo).await?;
        if reply.class() == Class::Never {
            return self.ask(&format!("HELO {name}"), Class::Done).await;
        }
        self.demand(&ehlo, reply, Class::Done)
    }

    /// The mail itself and the goodbye. Returns the refused recipients, each with the server's words.
    pub(super) async fn mail(
        &mut self,
        setup: &MailSetup,
        text: &str,
    ) -> Result<Vec<String>, MailError> {
        let from = format!("MAIL FROM:<{}>", one_line(&setup.from));
        self.ask(&from, Class::Done).await?;
        let mut refused = Vec::new();
        for recipient in &setup.to {
            let recipient = one_line(recipient);
            let command = format!("RCPT TO:<{recipient}>");
            let reply = self.say(&command).await?;
            if reply.last().starts_with(CLOSING) {
                self.demand(&command, reply, Class::Done)?;
            } else if reply.class() != Class::Done {
                // RFC 5321 3.3: the others may still be taken.
                refused.push(format!("{recipient}: {}", reply.text()));
            }
        }
        if refused.len() == setup.to.len() {
            let _ = self.say("QUIT").await;
            return Err(MailError::NoRecipient {
                server: self.server.to_owned(),
                recipients: super::list(&refused),
            });
        }
        self.ask("DATA", Class::More).await?;
        let reply = self.say(text).await?;
        self.demand("the mail", reply, Class::Done)?;
        // The mail is on its way; how the goodbye goes does not matter.
        let _ = self.say("QUIT").await;
        Ok(refused)
    }

    async fn ask(&mut self, command: &str, wanted: Class) -> Result<Reply, MailError> {
        let reply = self.say(command).await?;
        self.demand(command, reply, wanted)
    }

    /// Says a line, and returns the answer.
    pub(super) async fn say(&mut self, command: &str) -> Result<Reply, MailError> {
        self.within_limit(&format!("{command}\r\n")).await
    }

    fn demand(&self, command: &str, reply: Reply, wanted: Class) -> Result<Reply, MailError> {
        if reply.class() == wanted {
            return Ok(reply);
        }
        Err(MailError::Refused {
            server: self.server.to_owned(),
            command: command.to_owned(),
            reply: reply.text(),
        })
    }

    async fn within_limit(&mut self, words: &str) -> Result<Reply, MailError> {
        tokio::time::timeout(REPLY_LIMIT, self.exchange(words))
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(|error| MailError::Io {
                server: self.server.to_owned(),
                error,
            })
    }

    async fn exchange(&mut self, words: &str) -> std::io::Result<Reply> {
        if !words.is_empty() {
            self.stream.write_all(words.as_bytes()).await?;
            self.stream.flush().await?;
        }
        let mut lines = Vec::new();
        while lines.len() < MAX_REPLY_LINES {
            let line = self.line().await?;
            // RFC 5321 4.2.1: a hyphen behind the code says that more lines follow.
            let is_last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if is_last {
                return Ok(Reply(lines));
            }
        }
        Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            format!("an answer has more than {MAX_REPLY_LINES} lines"),
        ))
    }

    async fn line(&mut self) -> std::io::Result<String> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(MAX_REPLY_LINE_BYTES);
        limited.read_until(b'\n', &mut line).await?;
        if line.last() == Some(&b'\n') {
            // What the server says goes to logs and events: it must not end their lines either.
            return Ok(one_line(String::from_utf8_lossy(&line).trim_end()));
        }
        Err(match limited.limit() {
            0 => std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                format!("an answer has a line of more than {MAX_REPLY_LINE_BYTES} bytes"),
            ),
            _ => std::io::ErrorKind::UnexpectedEof.into(),
        })
    }
}
