//! One typed connection to a node's control socket.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::client::{ClientAsk, ClientReply, ClientRequest, ClientTell, PROTOCOL_VERSION};
use protocol::operation::{Level, Operation, Refusal};
use protocol::wire::{self, WireError};
use protocol::{Event, Snapshot};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::node::NodeAddress;

/// How long a connection and its greeting may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an answer may take.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a reload may take: the node checks the configuration and starts a worker.
pub const RELOAD_TIMEOUT: Duration = Duration::from_secs(70);
/// Pushes that are kept while an answer is awaited; older ones are dropped.
const MAX_WAITING_PUSHES: usize = 64;

/// Why a node could not be asked, or did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket cannot be connected to, or the connection broke.
    #[error("{0}")]
    Unreachable(String),
    /// The node answered and refused.
    #[error("{0}")]
    Refused(Refusal),
    /// The node speaks otherwise than agreed.
    #[error("not understood: {0}")]
    Protocol(String),
}

impl From<std::io::Error> for ClientError {
    fn from(error: std::io::Error) -> Self {
        // The kernel's own words, without Rust's `(os error 111)`.
        let words = error.to_string();
        Self::Unreachable(
            words
                .split(" (os error")
                .next()
                .unwrap_or(&words)
                .to_owned(),
        )
    }
}

impl From<WireError> for ClientError {
    fn from(error: WireError) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// Reads replies, frame by frame. Safe to drop and call again between the bytes of a frame.
#[derive(Debug)]
pub struct Replies {
    half: OwnedReadHalf,
    buffer: Vec<u8>,
}

impl Replies {
    /// The next reply.
    ///
    /// # Errors
    /// `Unreachable` at the end of the connection, `Protocol` for what is no reply.
    pub async fn next(&mut self) -> Result<ClientReply, ClientError> {
        loop {
            if let Some(head) = self.buffer.first_chunk::<{ wire::LENGTH_BYTES }>() {
                let length = wire::announced_length(*head, wire::MAX_FRAME_BYTES)?;
                let end = wire::LENGTH_BYTES + length;
                if self.buffer.len() >= end {
                    let reply = wire::decode(&self.buffer[wire::LENGTH_BYTES..end])?;
                    self.buffer.drain(..end);
                    return Ok(reply);
                }
            }
            if self.half.read_buf(&mut self.buffer).await? == 0 {
                return Err(ClientError::Unreachable(
                    "the node closed the connection".to_owned(),
                ));
            }
        }
    }
}

/// Sends requests.
#[derive(Debug)]
pub struct Requests {
    half: OwnedWriteHalf,
    last_id: u64,
}

impl Requests {
    /// Sends a request and returns its number.
    ///
    /// # Errors
    /// `Unreachable` when the connection broke.
    pub async fn send(&mut self, body: ClientAsk) -> Result<u64, ClientError> {
        self.last_id += 1;
        let frame = wire::frame(&ClientRequest {
            id: self.last_id,
            body,
        })?;
        self.half.write_all(&frame).await?;
        Ok(self.last_id)
    }
}

/// A connection that was greeted.
#[derive(Debug)]
pub struct Client {
    /// The node's own name.
    pub node: String,
    /// What we may do.
    pub level: Level,
    requests: Requests,
    replies: Replies,
    pushes: VecDeque<ClientTell>,
}

impl Client {
    /// Connects and greets.
    ///
    /// # Errors
    /// `Unreachable` with the system's words, `Protocol` when what listens there is no tandemd.
    pub async fn connect(address: &NodeAddress) -> Result<Self, ClientError> {
        match tokio::time::timeout(CONNECT_TIMEOUT, Self::greet(address)).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::Unreachable(format!(
                "no answer within {} s",
                CONNECT_TIMEOUT.as_secs()
            ))),
        }
    }

    async fn greet(address: &NodeAddress) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(&address.path).await?;
        let (read, mut write) = stream.into_split();
        write.write_all(&wire::CLIENT_MAGIC).await?;
        let mut client = Self {
            node: String::new(),
            level: Level::User,
            requests: Requests {
                half: write,
                last_id: 0,
            },
            replies: Replies {
                half: read,
                buffer: Vec::new(),
            },
            pushes: VecDeque::new(),
        };
        match client
            .ask(ClientAsk::Hello {
                version: PROTOCOL_VERSION,
            })
            .await?
        {
            ClientTell::Welcome {
                version,
                node,
                level,
            } if version == PROTOCOL_VERSION => {
                client.node = node;
                client.level = level;
                Ok(client)
            }
            ClientTell::Welcome { version, .. } => Err(ClientError::Protocol(format!(
                "the node speaks version {version} of the protocol, this client {PROTOCOL_VERSION}"
            ))),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks and waits for the answer; a refusal is an error.
    ///
    /// # Errors
    /// All of [`ClientError`].
    pub async fn ask(&mut self, body: ClientAsk) -> Result<ClientTell, ClientError> {
        let limit = match body {
            ClientAsk::Do(Operation::Reload) => RELOAD_TIMEOUT,
            _ => ANSWER_TIMEOUT,
        };
        let id = self.requests.send(body).await?;
        let answer = async {
            loop {
                let reply = self.replies.next().await?;
                if reply.id == id {
                    return Ok(reply.body);
                }
                if reply.id == 0 {
                    if self.pushes.len() == MAX_WAITING_PUSHES {
                        self.pushes.pop_front();
                    }
                    self.pushes.push_back(reply.body);
                }
            }
        };
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(ClientTell::Refused(refusal))) => Err(ClientError::Refused(refusal)),
            Ok(result) => result,
            Err(_) => Err(ClientError::Unreachable(format!(
                "no answer within {} s",
                limit.as_secs()
            ))),
        }
    }

    /// One picture of the node.
    ///
    /// # Errors
    /// All of [`ClientError`].
    pub async fn snapshot(&mut self) -> Result<Snapshot, ClientError> {
        match self.ask(ClientAsk::Snapshot).await? {
            ClientTell::Snapshot(snapshot) => Ok(*snapshot),
            other => Err(unexpected(&other)),
        }
    }

    /// Events after a sequence number.
    ///
    /// # Errors
    /// All of [`ClientError`].
    pub async fn events(&mut self, after: u64) -> Result<Vec<Event>, ClientError> {
        match self.ask(ClientAsk::Events { after }).await? {
            ClientTell::Events(events) => Ok(events),
            other => Err(unexpected(&other)),
        }
    }

    /// Does something; the answer's text may be empty.
    ///
    /// # Errors
    /// All of [`ClientError`].
    pub async fn operate(&mut self, operation: Operation) -> Result<String, ClientError> {
        match self.ask(ClientAsk::Do(operation)).await? {
            ClientTell::Done(text) => Ok(text),
            other => Err(unexpected(&other)),
        }
    }

    /// A command of the text socket.
    ///
    /// # Errors
    /// All of [`ClientError`].
    pub async fn text(&mut self, command: &str) -> Result<String, ClientError> {
        match self.ask(ClientAsk::Text(command.to_owned())).await? {
            ClientTell::Text(text) | ClientTell::Done(text) => Ok(text),
            other => Err(unexpected(&other)),
        }
    }

    /// The next push, or whatever the node says unasked.
    ///
    /// # Errors
    /// `Unreachable` at the end of the connection, `Protocol` for what is no reply.
    pub async fn next(&mut self) -> Result<ClientReply, ClientError> {
        if let Some(body) = self.pushes.pop_front() {
            return Ok(ClientReply { id: 0, body });
        }
        self.replies.next().await
    }

    /// Sends without waiting for the answer, which [`Client::next`] will give; returns its number.
    ///
    /// # Errors
    /// `Unreachable` when the connection broke.
    pub async fn send(&mut self, body: ClientAsk) -> Result<u64, ClientError> {
        self.requests.send(body).await
    }
}

fn unexpected(tell: &ClientTell) -> ClientError {
    let name = match tell {
        ClientTell::Welcome { .. } => "Welcome",
        ClientTell::Snapshot(_) => "Snapshot",
        ClientTell::Events(_) => "Events",
        ClientTell::Done(_) => "Done",
        ClientTell::Refused(_) => "Refused",
        ClientTell::Text(_) => "Text",
    };
    ClientError::Protocol(format!("an answer of another kind came: {name}"))
}
