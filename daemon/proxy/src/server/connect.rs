//! A new connection to a server: address, source, PROXY header, TLS.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use config::haproxy::{HttpReuse, Proto, ServerAddress, ServerConfig, TransparentSource};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use rustls_pki_types::ServerName;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::http::Head;
use crate::net::{Buffer, Fresh, Stream, TlsStream};
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
    /// Requests that it carried after its first.
    pub reuses: u32,
    /// Whether its close is a reset, once a request was sent on it.
    pub resets: bool,
}

impl ServerConnection {
    /// It is taken for another request.
    pub fn reuse(&mut self) {
        self.reused = true;
        self.reuses = self.reuses.saturating_add(1);
    }
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
    /// `proto`.
    pub proto: Proto,
    /// `option tcpka`, `srvtcpka`.
    pub keepalive: Option<TcpKeepalive>,
    /// Counts connections through the ports of a `source` with a range.
    pub next_port: Arc<AtomicU32>,
    /// `tune.rcvbuf.server` and `tune.sndbuf.server` in bytes.
    pub buffers: [Option<u32>; 2],
}

impl Connector {
    /// Whether HTTP/2 may be spoken: then requests look for a connection that others use too.
    pub fn may_speak_http2(&self) -> bool {
        let by_alpn = || {
            let tls = self.tls.as_ref().map(|(tls, _)| tls.config());
            tls.is_some_and(|tls| tls.alpn_protocols.iter().any(|name| name == b"h2"))
        };
        self.proto == Proto::Http2 || self.proto == Proto::Auto && by_alpn()
    }

    /// Whether a new connection speaks HTTP/2.
    pub fn speaks_http2(&self, stream: &Stream) -> bool {
        self.proto == Proto::Http2 || self.proto == Proto::Auto && stream.alpn() == Some(b"h2")
    }
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

impl ConnectError {
    /// Whether there was no descriptor left, of this process or of the system (errno(3): ENFILE, EMFILE).
    pub fn lacks_descriptors(&self) -> bool {
        match self {
            Self::NoAddress => false,
            Self::Io(error) => matches!(error.raw_os_error(), Some(23 | 24)),
        }
    }
}

/// The address to connect to now: without an address (0.0.0.0, ::), with port 0 or a relative port it depends on where the
/// client came.
pub fn address_for(server: &Server, session: &Session) -> Option<SocketAddr> {
    let mut address = **server.address.load().as_ref()?;
    if address.ip().is_unspecified() {
        address.set_ip(session.destination.ip().to_canonical());
    }
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

/// Whether a server's connections belong to one client alone: by `http-reuse never`, by a PROXY header, which speaks of
/// that client, or by the client's own address as source.
pub fn is_private(reuse: HttpReuse, server: &ServerConfig) -> bool {
    reuse == HttpReuse::Never
        || server.send_proxy.is_some()
        || server.source.as_ref().is_some_and(|source| {
            matches!(
                source.transparent,
                Some(
                    TransparentSource::Client
                        | TransparentSource::ClientIp
                        | TransparentSource::Header(..)
                )
            )
        })
}

/// For whom a connection is made.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    /// The client's connection.
    pub session: &'a Session,
    /// What `usesrc hdr_ip` found in its request.
    pub named: Option<IpAddr>,
}

/// The address that `usesrc hdr_ip` finds in a request.
pub fn named_source(config: &ServerConfig, request: &Head) -> Option<IpAddr> {
    let Some(TransparentSource::Header(name, occurrence)) = &config.source.as_ref()?.transparent
    else {
        return None;
    };
    let values: Vec<&[u8]> = request
        .headers(name.as_bytes())
        .flat_map(|line| line.split(|byte| *byte == b','))
        .collect();
    let at = match usize::try_from(*occurrence) {
        Ok(from_first) => from_first.checked_sub(1)?,
        Err(_) => values
            .len()
            .checked_sub(occurrence.unsigned_abs() as usize)?,
    };
    std::str::from_utf8(values.get(at)?)
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Whether a server's connections come from where requests say: `usesrc hdr_ip`.
pub fn has_named_source(config: &ServerConfig) -> bool {
    let source = config.source.as_ref();
    source.is_some_and(|source| matches!(source.transparent, Some(TransparentSource::Header(..))))
}

/// Connects and sends `header`, a PROXY header or nothing. The caller limits the time.
pub async fn connect(
    server: &Arc<Server>,
    connector: &Connector,
    client: Client<'_>,
    header: &[u8],
) -> Result<ServerConnection, ConnectError> {
    let config: &ServerConfig = &server.config;
    if let Some(connecting) = connect_unix(&config.address) {
        let mut stream = connecting.await?;
        if !header.is_empty() {
            stream.write_all(header).await?;
        }
        return Ok(ServerConnection {
            stream: Stream::Unix(stream),
            input: Buffer::default(),
            address: None,
            reused: false,
            reuses: 0,
            resets: false,
        });
    }
    let address = address_for(server, client.session).ok_or(ConnectError::NoAddress)?;
    let mut stream = connect_tcp(config, connector, address, client).await?;
    if !header.is_empty() || connector.tls.is_some() {
        stream.watched()?;
    }
    if let Stream::Tcp(mut tcp) = stream {
        if !header.is_empty() {
            tcp.write_all(header).await?;
        }
        stream = match &connector.tls {
            None => Stream::Tcp(tcp),
            Some((tls, name)) => {
                let connected = tls.connect(name.clone(), tcp).await;
                if let Some(protocols) = server.protocols.get() {
                    match &connected {
                        Ok(stream) => protocols.shook_hands(stream.get_ref().1.handshake_kind()),
                        Err(_) => protocols.tls_failed.increment(),
                    }
                }
                let (socket, connection) = connected?.into_inner();
                Stream::TlsClient(Box::new(TlsStream::new(socket, connection)))
            }
        };
    }
    Ok(ServerConnection {
        stream,
        input: Buffer::default(),
        address: Some(address),
        reused: false,
        reuses: 0,
        resets: false,
    })
}

/// Connects to a unix socket, if the address is one. Abstract names fill the whole address, as HAProxy's do.
pub fn connect_unix(
    address: &ServerAddress,
) -> Option<impl Future<Output = io::Result<UnixStream>> + use<>> {
    let path = match address {
        ServerAddress::Unix(path) => path.clone().into_bytes(),
        ServerAddress::Abstract(name) => {
            let mut path = vec![0];
            path.extend_from_slice(name.as_bytes());
            path.resize(UNIX_ADDRESS_BYTES, 0);
            path
        }
        ServerAddress::Host { .. } => return None,
    };
    Some(UnixStream::connect(std::ffi::OsString::from_vec(path)))
}

/// Bytes of `sun_path` (unix(7)).
const UNIX_ADDRESS_BYTES: usize = 108;
/// Most ports of a range that one connection tries.
const MAX_PORT_TRIES: u32 = 64;

async fn connect_tcp(
    config: &ServerConfig,
    connector: &Connector,
    address: SocketAddr,
    client: Client<'_>,
) -> io::Result<Stream> {
    let (first, last) = config.source.as_ref().map_or((0, 0), |source| source.ports);
    let ports = u32::from(last - first) + 1;
    let mut tries = ports.min(MAX_PORT_TRIES);
    loop {
        tries -= 1;
        let port = if ports == 1 {
            first
        } else {
            first + (connector.next_port.fetch_add(1, Relaxed) % ports) as u16
        };
        let outcome = async {
            let next = config.socks4.unwrap_or(address);
            let socket = prepare_socket(config, next, Some(client), port)?;
            if let Some(keepalive) = &connector.keepalive {
                socket.set_tcp_keepalive(keepalive)?;
            }
            if let Some(bytes) = connector.buffers[0] {
                socket.set_recv_buffer_size(bytes as usize)?;
            }
            if let Some(bytes) = connector.buffers[1] {
                socket.set_send_buffer_size(bytes as usize)?;
            }
            let mut stream = begin_connect(socket, next).await?;
            if config.socks4.is_some() {
                stream.watched()?;
                if let Stream::Tcp(stream) = &mut stream {
                    super::socks::ask(stream, address).await?;
                }
            }
            Ok::<_, io::Error>(stream)
        }
        .await;
        match outcome {
            // The port is in use towards this server: another one may be free.
            Err(error)
                if tries > 0
                    && matches!(
                        error.kind(),
                        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable
                    ) => {}
            outcome => return outcome,
        }
    }
}

/// Connects; what is there at once (a server on this host) is not even waited for.
async fn begin_connect(socket: Socket, address: SocketAddr) -> io::Result<Stream> {
    match socket.connect(&address.into()) {
        Ok(()) => return Ok(Stream::Fresh(Fresh::server(socket.into()))),
        Err(error) if error.raw_os_error() == Some(Errno::EINPROGRESS as i32) => {}
        Err(error) => return Err(error),
    }
    // getpeername(2) knows a peer once the handshake is through.
    if socket.peer_addr().is_ok() {
        return Ok(Stream::Fresh(Fresh::server(socket.into())));
    }
    let stream = TcpStream::from_std(socket.into())?;
    stream.writable().await?;
    match stream.take_error()? {
        Some(error) => Err(error),
        None => Ok(Stream::Tcp(stream)),
    }
}

/// As [`prepare_socket`], for whoever lets the runtime connect.
pub fn open_socket(
    config: &ServerConfig,
    target: SocketAddr,
    client: Option<Client<'_>>,
    port: u16,
) -> io::Result<TcpSocket> {
    let socket = prepare_socket(config, target, client, port)?;
    Ok(TcpSocket::from_std_stream(socket.into()))
}

/// A socket towards a server, bound as `source` says to its address, this port (0 for any) and interface. A check has no
/// client: `usesrc` is not for it.
fn prepare_socket(
    config: &ServerConfig,
    target: SocketAddr,
    client: Option<Client<'_>>,
    port: u16,
) -> io::Result<Socket> {
    // One call: SOCK_NONBLOCK and SOCK_CLOEXEC come with the type.
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new_raw(Domain::for_address(target), kind, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    if let Some(limit) = config.tcp_user_timeout {
        socket.set_tcp_user_timeout(Some(limit))?;
    }
    let Some(source) = &config.source else {
        return Ok(socket);
    };
    if let Some(interface) = &source.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    let addresses = client.and_then(|client| client.session.addresses());
    let foreign = match (&source.transparent, addresses) {
        (Some(TransparentSource::Client), Some((address, _))) => Some(address),
        (Some(TransparentSource::ClientIp), Some((address, _))) => {
            Some(SocketAddr::new(address.ip(), 0))
        }
        (Some(TransparentSource::Address(address)), _) if client.is_some() => Some(*address),
        (Some(TransparentSource::Header(..)), _) => client
            .and_then(|client| client.named)
            .filter(|named| named.is_ipv4() == target.is_ipv4())
            .map(|named| SocketAddr::new(named, 0)),
        _ => None,
    };
    if let Some(foreign) = foreign {
        if target.is_ipv4() {
            socket.set_ip_transparent_v4(true)?;
        } else {
            socket.set_ip_transparent_v6(true)?;
        }
        let foreign = SocketAddr::new(foreign.ip().to_canonical(), foreign.port());
        socket.set_reuse_address(true)?;
        socket.bind(&foreign.into())?;
        return Ok(socket);
    }
    if source.address.is_none() && port == 0 {
        return Ok(socket);
    }
    let any = match target {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    if port == 0 {
        // The port is chosen by the connect, which knows the server: the same one can serve several of them. Kernels
        // that do not know the option choose it here.
        let _ = setsockopt(&socket, sockopt::IpBindAddressNoPort, &true);
    } else {
        // Connections that just ended do not hold the port up.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&SocketAddr::new(source.address.unwrap_or(any), port).into())?;
    Ok(socket)
}
