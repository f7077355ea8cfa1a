//! The connection of a check: where it goes, PROXY header, TLS, and bytes both ways.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use config::haproxy::{Proto, SendProxy, ServerAddress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use super::http2::Http2;
use super::outcome::Outcome;
use super::plan::CheckTls;
use crate::http2::Settings;
use crate::state::Server;

/// Most bytes of an answer that a check reads.
pub(super) const MAX_CHECK_BYTES: usize = 16 << 10;
/// Bytes asked for at a time.
const READ_BYTES: usize = 4 << 10;

/// A connection of a check.
pub(super) enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    /// One of the others, with HTTP/2 on it.
    Http2(Box<Http2>),
}

/// Where a check goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Tcp(SocketAddr),
    /// The server's own socket.
    Unix,
    /// The server has no address (yet).
    Nowhere,
}

/// What a step changes of the server's own target.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Detour {
    pub(super) address: Option<IpAddr>,
    pub(super) port: Option<u16>,
}

/// Where a server's check goes: what the step says, what an operator said, what the line says.
pub(super) fn target(server: &Server, detour: Detour) -> Target {
    let check = server.config.check.as_ref();
    let (set_address, set_port) = {
        let health = super::lock_health(server);
        (health.check_address, health.check_port)
    };
    let wanted_address = detour
        .address
        .or(set_address)
        .or(check.and_then(|check| check.address));
    let wanted_port = detour
        .port
        .or(set_port)
        .or(check.and_then(|check| check.port));
    let is_unix = !matches!(server.config.address, ServerAddress::Host { .. });
    if is_unix && wanted_address.is_none() {
        return Target::Unix;
    }
    let own = server.address.load().as_deref().copied();
    let Some(address) = wanted_address.or(own.map(|own| own.ip())) else {
        return Target::Nowhere;
    };
    let port = wanted_port.unwrap_or(own.map_or(0, |own| own.port()));
    Target::Tcp(SocketAddr::new(address, port))
}

/// Connects a socket from the server's `source`.
pub(super) async fn connect_tcp(server: &Server, to: SocketAddr) -> io::Result<TcpStream> {
    if server.config.source.is_none() && server.config.tcp_user_timeout.is_none() {
        return TcpStream::connect(to).await;
    }
    crate::server::open_socket(&server.config, to, None, 0)?
        .connect(to)
        .await
}

/// How a connection is made beyond its target.
#[derive(Clone, Copy)]
pub(super) struct Wishes<'a> {
    pub(super) tls: Option<&'a CheckTls>,
    /// A PROXY header goes first, as the server's `send-proxy…` says it if it says it.
    pub(super) send_proxy: Option<Option<&'a SendProxy>>,
    /// Through the server's SOCKS proxy.
    pub(super) via_socks4: bool,
    /// Whether requests go by HTTP/2, with these settings if they do; `Auto` asks ALPN.
    pub(super) http2: (Proto, &'a Settings),
    /// Close in order.
    pub(super) linger: bool,
    /// Until when it must be connected.
    pub(super) connect_until: Instant,
    /// How long the handshake of TLS may take from then on.
    pub(super) handshake: Handshake,
}

/// When the handshake of TLS must be done.
#[derive(Clone, Copy)]
pub(super) enum Handshake {
    /// So long after the connection.
    Within(Duration),
    Until(Instant),
}

/// Opens a connection.
pub(super) async fn open(
    server: &Server,
    target: Target,
    wishes: Wishes<'_>,
) -> Result<Connection, Outcome> {
    let connection = open_stream(server, &target, wishes).await?;
    let (proto, settings) = wishes.http2;
    let is_http2 = match (proto, &connection) {
        (Proto::Http2, _) => true,
        (Proto::Auto, Connection::Tls(stream)) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        _ => false,
    };
    if !is_http2 {
        return Ok(connection);
    }
    let authority = match target {
        Target::Tcp(to) => to.to_string(),
        Target::Unix | Target::Nowhere => "localhost".to_owned(),
    };
    let opened = match connection {
        Connection::Tcp(stream) => Http2::open(stream, settings, (false, authority)).await,
        Connection::Unix(stream) => Http2::open(stream, settings, (false, authority)).await,
        Connection::Tls(stream) => Http2::open(stream, settings, (true, authority)).await,
        Connection::Http2(_) => return Ok(connection),
    };
    match opened {
        Ok(http2) => Ok(Connection::Http2(Box::new(http2))),
        Err(error) => Err(Outcome::new("SOCKERR", describe(&error))),
    }
}

async fn open_stream(
    server: &Server,
    target: &Target,
    wishes: Wishes<'_>,
) -> Result<Connection, Outcome> {
    let to = match target {
        Target::Tcp(to) => *to,
        Target::Nowhere => return Err(Outcome::new("SOCKERR", "the server has no address")),
        Target::Unix => {
            let Some(connecting) = crate::server::connect_unix(&server.config.address) else {
                return Err(Outcome::new("SOCKERR", "the server has no address"));
            };
            return match timeout_at(wishes.connect_until, connecting).await {
                Err(_) => Err(Outcome::new("L4TOUT", "")),
                Ok(Err(error)) => Err(failed(&error)),
                Ok(Ok(stream)) => Ok(Connection::Unix(stream)),
            };
        }
    };
    let proxy = server.config.socks4.filter(|_| wishes.via_socks4);
    let next = proxy.unwrap_or(to);
    let connected = timeout_at(wishes.connect_until, connect_tcp(server, next)).await;
    let mut stream = match connected {
        Err(_) => return Err(Outcome::new("L4TOUT", "")),
        Ok(Err(error)) => return Err(failed(&error)),
        Ok(Ok(stream)) => stream,
    };
    if proxy.is_some() {
        let asking = crate::server::ask_socks(&mut stream, to);
        match timeout_at(wishes.connect_until, asking).await {
            Err(_) => return Err(Outcome::new("L4TOUT", "")),
            Ok(Err(error)) => return Err(Outcome::new("SOCKERR", error.to_string())),
            Ok(Ok(())) => {}
        }
    }
    if !wishes.linger {
        // A reset at the end leaves no sockets behind in TIME_WAIT.
        let _ = stream.set_zero_linger();
    }
    if let Some(wanted) = wishes.send_proxy {
        let (local, peer) = (stream.local_addr().ok(), stream.peer_addr().ok());
        let header = crate::server::check_header(wanted, local, peer);
        if let Err(error) = stream.write_all(&header).await {
            return Err(Outcome::new("SOCKERR", describe(&error)));
        }
    }
    let Some((connector, name)) = wishes.tls else {
        return Ok(Connection::Tcp(stream));
    };
    let until = match wishes.handshake {
        Handshake::Within(limit) => Instant::now() + limit,
        Handshake::Until(until) => until,
    };
    match timeout_at(until, connector.connect(name.clone(), stream)).await {
        Err(_) => Err(Outcome::new("L6TOUT", "")),
        Ok(Err(_)) => Err(Outcome::new("L6RSP", "SSL handshake failure")),
        Ok(Ok(stream)) => Ok(Connection::Tls(Box::new(stream))),
    }
}

impl Connection {
    pub(super) fn is_tls(&self) -> bool {
        match self {
            Self::Tls(_) => true,
            Self::Http2(http2) => http2.is_secure(),
            Self::Tcp(_) | Self::Unix(_) => false,
        }
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Sends bytes, or the request that they are.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Http2(http2) => http2.send(bytes).await,
            Self::Tcp(stream) => stream.write_all(bytes).await,
            Self::Unix(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// Appends what comes next; 0 at the end. A full buffer counts as the end.
    pub(super) async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        let room = MAX_CHECK_BYTES.saturating_sub(into.len()).min(READ_BYTES);
        if room == 0 {
            return Ok(0);
        }
        let mut buffer = [0; READ_BYTES];
        let buffer = &mut buffer[..room];
        let count = match self {
            Self::Http2(http2) => return http2.read(into).await,
            Self::Tcp(stream) => stream.read(buffer).await?,
            Self::Unix(stream) => stream.read(buffer).await?,
            Self::Tls(stream) => match stream.read(buffer).await {
                // An end without TLS's own goodbye is an end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
                other => other?,
            },
        };
        into.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

/// The system's words without Rust's number behind them.
pub(super) fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// Times of a check (manual, `timeout check`): with it, connecting may take as long as the interval (and `timeout
/// connect`), and each answer as long as `timeout check`; without it, the whole may take as long as the interval.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) started: Instant,
    pub(super) interval: Duration,
    pub(super) check: Option<Duration>,
    pub(super) connect: Option<Duration>,
}

impl Limits {
    pub(super) fn connect_until(&self, now: Instant) -> Instant {
        let limit = self
            .connect
            .map_or(self.interval, |connect| connect.min(self.interval));
        match self.check {
            Some(_) => now + limit,
            None => (now + limit).min(self.started + self.interval),
        }
    }

    pub(super) fn handshake(&self) -> Handshake {
        match self.check {
            Some(limit) => Handshake::Within(limit),
            None => Handshake::Until(self.started + self.interval),
        }
    }

    pub(super) fn answer_until(&self, now: Instant) -> Instant {
        match self.check {
            Some(limit) => now + limit,
            None => self.started + self.interval,
        }
    }
}

/// What a connection says that was all of a check.
pub(super) fn told(ending: io::Result<()>) -> Outcome {
    match ending {
        Ok(()) => Outcome::new("L4OK", ""),
        Err(error) => failed(&error),
    }
}

/// What a connection says that could not be made.
pub(super) fn failed(error: &io::Error) -> Outcome {
    Outcome::new("L4CON", describe(error))
}
