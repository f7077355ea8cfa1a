//! A new connection to a server: address, source, PROXY header, TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use config::haproxy::{ServerAddress, ServerConfig};
use rustls_pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, UnixStream};

use crate::net::{Buffer, Stream};
use crate::state::Server;
use crate::txn::Session;

/// A connection to a server.
#[derive(Debug)]
pub struct ServerConnection {
    /// The transport.
    pub stream: Stream,
    /// What was read from it.
    pub input: Buffer,
    /// Where it goes; `None` for a unix socket.
    pub address: Option<SocketAddr>,
    /// Whether it served a request before.
    pub reused: bool,
    /// Whether its close is a reset, once a request was sent on it.
    pub resets: bool,
}

impl Drop for ServerConnection {
    /// The side that closes first keeps the port for a minute (RFC 9293 3.6.1, TIME-WAIT); with a connection per request
    /// the ports run out, and the search for a free one was measured to cost as much as the rest of the request. HTTP
    /// messages tell their end by themselves: nothing that counts is lost by a reset.
    fn drop(&mut self) {
        if self.resets {
            self.stream.reset_on_close();
        }
    }
}

/// How a server is reached, prepared at start.
#[derive(Clone)]
pub struct Connector {
    /// TLS with the name to ask for.
    pub tls: Option<(tokio_rustls::TlsConnector, ServerName<'static>)>,
    /// `option tcpka`, `srvtcpka`.
    pub keepalive: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It has no address (a name that was not resolved).
    #[error("the server has no address")]
    NoAddress,
    /// The system refuses, or the peer does.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The address to connect to now: with port 0 or a relative port it depends on where the client came.
pub fn address_for(server: &Server, session: &Session) -> Option<SocketAddr> {
    let mut address = **server.address.load().as_ref()?;
    if let ServerAddress::Host { port, relative, .. } = &server.config.address {
        if *relative {
            // The configured port is an offset in 16 bits, negative ones in two's complement.
            address.set_port(session.destination.port().wrapping_add(*port));
        } else if *port == 0 && address.port() == 0 {
            address.set_port(session.destination.port());
        }
    }
    Some(address)
}

/// Connects. The caller limits the time.
pub async fn connect(
    server: &Arc<Server>,
    connector: &Connector,
    session: &Session,
) -> Result<ServerConnection, ConnectError> {
    let config: &ServerConfig = &server.config;
    if let ServerAddress::Unix(path) = &config.address {
        let stream = Stream::Unix(UnixStream::connect(path).await?);
        return Ok(ServerConnection {
            stream,
            input: Buffer::default(),
            address: None,
            reused: false,
            resets: false,
        });
    }
    let address = address_for(server, session).ok_or(ConnectError::NoAddress)?;
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(source) = config
        .source
        .filter(|source| *source != IpAddr::from([0, 0, 0, 0]))
    {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.set_nodelay(true)?;
    if connector.keepalive {
        socket.set_keepalive(true)?;
    }
    let mut stream = socket.connect(address).await?;
    if config.send_proxy == Some(1) {
        stream.write_all(proxy_line(session).as_bytes()).await?;
    }
    let stream = match &connector.tls {
        None => Stream::Tcp(stream),
        Some((tls, name)) => Stream::TlsClient(Box::new(tls.connect(name.clone(), stream).await?)),
    };
    Ok(ServerConnection {
        stream,
        input: Buffer::default(),
        address: Some(address),
        reused: false,
        resets: false,
    })
}

/// The PROXY protocol's line, version 1 (specification 2.1).
fn proxy_line(session: &Session) -> String {
    match (session.source, session.destination) {
        (SocketAddr::V4(source), SocketAddr::V4(destination)) => {
            format!(
                "PROXY TCP4 {} {} {} {}\r\n",
                source.ip(),
                destination.ip(),
                source.port(),
                destination.port()
            )
        }
        (SocketAddr::V6(source), SocketAddr::V6(destination)) => {
            format!(
                "PROXY TCP6 {} {} {} {}\r\n",
                source.ip(),
                destination.ip(),
                source.port(),
                destination.port()
            )
        }
        _ => "PROXY UNKNOWN\r\n".to_owned(),
    }
}
