//! Accepting: limits, the source, TLS, and what a session is born with.

use std::future::Future;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;

use sys::tcp::Listener;
use tokio::sync::watch;

use crate::app::{App, FrontendRuntime, ListenerRuntime};
use crate::gate;
use crate::net::proxy_protocol::{Addresses, ParseError};
use crate::net::{Buffer, Fresh, ReceiveError, Stream, Timer, TlsStream, receive_proxy_header};
use crate::proxy::{self, Connection, Conversation, Presence};
use crate::rules::Entrance;
use crate::tcp;
use crate::txn::{Proxied, Session};

/// Most connections that are accepted before others have their turn.
const MAX_ACCEPTS: usize = 64;

/// A listening socket of one runtime.
pub enum Socket {
    /// TCP.
    Tcp(Listener),
    /// A unix stream socket.
    Unix(Listener),
}

impl Socket {
    /// Takes a listening socket over. Must be called within a runtime.
    pub fn new(
        descriptor: std::os::fd::OwnedFd,
        tuning: &config::haproxy::Tuning,
    ) -> std::io::Result<Self> {
        let socket = socket2::Socket::from(descriptor);
        socket.set_nonblocking(true)?;
        if socket.local_addr()?.is_unix() {
            return Ok(Self::Unix(Listener::new(socket.into())?));
        }
        // Without it small answers would wait for acknowledgements; accepted sockets inherit it.
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = tuning.client_receive_bytes {
            socket.set_recv_buffer_size(bytes as usize)?;
        }
        if let Some(bytes) = tuning.client_send_bytes {
            socket.set_send_buffer_size(bytes as usize)?;
        }
        Ok(Self::Tcp(Listener::new(socket.into())?))
    }

    fn listener(&self) -> &Listener {
        match self {
            Self::Tcp(listener) | Self::Unix(listener) => listener,
        }
    }

    /// Accepts a connection that waits.
    fn accept(&self) -> std::io::Result<(Stream, SocketAddr)> {
        let (stream, source) = self.listener().accept()?;
        let stream = match self {
            Self::Tcp(_) => Stream::Fresh(Fresh::client(stream.into())),
            Self::Unix(_) => Stream::Unix(tokio::net::UnixStream::from_std(stream.into())?),
        };
        Ok((stream, source.unwrap_or(UNKNOWN)))
    }

    fn address(&self) -> Option<SocketAddr> {
        let address = socket2::SockRef::from(self.listener()).local_addr().ok();
        address.and_then(|address| address.as_socket())
    }
}

/// The address of who has none.
const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Accepts connections until the worker drains; then the socket is closed.
pub async fn accept(
    app: Arc<App>,
    listener: Arc<ListenerRuntime>,
    socket: Socket,
    mut draining: watch::Receiver<bool>,
) {
    let front = Arc::clone(&app.frontends[listener.frontend.0 as usize]);
    // A socket of one address needs no system call to know where a client came.
    let address = socket
        .address()
        .filter(|address| !address.ip().is_unspecified());
    loop {
        tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining) => return,
            () = gate::room(&app, &front, &listener) => {}
        }
        tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining) => return,
            () = socket.listener().ready() => {}
        }
        let mut count = 0;
        while count < MAX_ACCEPTS && gate::has_room(&app, &front, &listener) {
            match socket.accept() {
                Ok((stream, source)) => enter(&app, &front, &listener, stream, source, address),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    gate::accept_failed(&app.shared, &front.frontend.name, &error).await;
                    break;
                }
            }
            count += 1;
        }
        if count == MAX_ACCEPTS {
            tokio::task::yield_now().await;
        }
    }
}

/// Begins a connection's task.
fn enter(
    app: &Arc<App>,
    front: &Arc<FrontendRuntime>,
    listener: &Arc<ListenerRuntime>,
    stream: Stream,
    source: SocketAddr,
    address: Option<SocketAddr>,
) {
    let now_us = app.shared.clock.now_us();
    let presence = Presence::enter(app, front, listener, now_us);
    if let Some((connection, entrance)) =
        begin(app, front, presence, stream, source, address, now_us)
    {
        conversation(connection, entrance).spawn();
    }
}

/// A session's beginning, before its task. `None` is a connection that the rules refuse.
fn begin(
    app: &Arc<App>,
    front: &Arc<FrontendRuntime>,
    mut presence: Presence,
    mut stream: Stream,
    source: SocketAddr,
    address: Option<SocketAddr>,
    now_us: u64,
) -> Option<(Box<Connection>, Entrance)> {
    let listener = &presence.listener;
    let shared = &app.shared;
    let mut destination = UNKNOWN;
    if let Stream::Fresh(stream) = &stream {
        let stream = stream.socket();
        destination = address
            .or_else(|| stream.local_addr().ok())
            .unwrap_or(UNKNOWN);
        if let Some(keepalive) = &listener.keepalive {
            let _ = socket2::SockRef::from(stream).set_tcp_keepalive(keepalive);
        }
    }
    let listener_name = Arc::clone(&listener.name);
    let is_unix = matches!(stream, Stream::Unix(_));
    let entry = presence.list(source, is_unix, now_us);
    let session = Session {
        id: entry.id,
        frontend: Arc::clone(&front.frontend),
        listener: listener_name,
        source,
        destination,
        accepted_wall_us: shared.clock.wall_us(),
        accepted_us: now_us,
        tls: None,
        is_http2: false,
        proxied: None,
    };
    let entrance = front
        .rules
        .tcp_connection(&session, &app.environment, now_us);
    if entrance == Entrance::Closed {
        front.frontend.counters.denied_connections.increment();
        stream.reset_on_close();
        return None;
    }
    if !has_handshake(&presence.listener, entrance) && !keeps(app, front, &session, now_us) {
        return None;
    }
    let connection = Box::new(Connection {
        app: Arc::clone(app),
        front: Arc::clone(front),
        session,
        entry,
        client: stream,
        input: Buffer::default(),
        timer: Timer::new(),
        requests: 0,
        since_us: now_us,
        private: None,
        source_text: None,
        last_server: None,
        lingers: false,
        is_gone: false,
        watched: None,
        http2_preface: false,
        presence: Some(presence),
    });
    Some((connection, entrance))
}

/// Whether a session stands only after more than its connection.
fn has_handshake(listener: &ListenerRuntime, entrance: Entrance) -> bool {
    listener.accept_proxy || entrance == Entrance::WithProxyHeader || listener.tls.is_some()
}

/// `tcp-request session`, once for a session that stands: whether it goes on.
fn keeps(app: &App, front: &FrontendRuntime, session: &Session, now_us: u64) -> bool {
    let entrance = front.rules.tcp_session(session, &app.environment, now_us);
    if entrance == Entrance::Closed {
        front.frontend.counters.denied_sessions.increment();
    }
    entrance != Entrance::Closed
}

/// A session's task.
fn conversation(connection: Box<Connection>, entrance: Entrance) -> Conversation {
    let listener = connection
        .presence
        .as_ref()
        .map(|presence| Arc::clone(&presence.listener));
    match listener {
        Some(listener)
            if has_handshake(&listener, entrance)
                || listener.http2
                || !connection.front.frontend.http =>
        {
            Conversation::after(Box::pin(open(listener, connection, entrance)))
        }
        _ => Conversation::new(connection),
    }
}

/// All that comes before HTTP/1, which goes on with the connection that this gives; other protocols are served here.
async fn open(
    listener: Arc<ListenerRuntime>,
    mut connection: Box<Connection>,
    entrance: Entrance,
) -> Option<Box<Connection>> {
    std::future::poll_fn(|context| {
        connection.entry.set_waker(context.waker());
        Poll::Ready(())
    })
    .await;
    if let Err(error) = connection.client.watched() {
        connection.app.shared.process.failed_accepts.increment();
        tracing::error!(
            "frontend {}: a connection is closed: it cannot be watched: {error}",
            connection.front.frontend.name
        );
        return None;
    }
    // Its state lives on the heap: most connections have none.
    if (listener.accept_proxy || entrance == Entrance::WithProxyHeader)
        && !Box::pin(take_proxy_header(&mut connection)).await
    {
        return None;
    }
    if let Some(acceptor) = &listener.tls {
        connection = Box::pin(handshake(connection, acceptor)).await?;
    }
    if has_handshake(&listener, entrance)
        && !keeps(
            &connection.app,
            &connection.front,
            &connection.session,
            connection.now_us(),
        )
    {
        return None;
    }
    let by_alpn = || {
        let tls = connection.session.tls.as_ref();
        tls.is_some_and(|tls| tls.alpn.as_deref() == Some("h2"))
    };
    if connection.front.frontend.http && (listener.http2 || by_alpn()) {
        Box::pin(proxy::serve_http2(*connection)).await;
        return None;
    }
    if connection.front.frontend.http {
        return Some(connection);
    }
    Box::pin(tcp::serve(connection)).await
}

/// Takes the PROXY header that must come first, within `timeout client`, and lets the session see its addresses. A
/// connection without a good one is counted, logged and closed.
async fn take_proxy_header(c: &mut Connection) -> bool {
    let outcome = {
        let entry = Arc::clone(&c.entry);
        let reading = receive_proxy_header(&c.client);
        let limited = async {
            match c.front.timeouts.client {
                Some(limit) => tokio::time::timeout(limit, reading).await.ok(),
                None => Some(reading.await),
            }
        };
        let mut limited = std::pin::pin!(limited);
        std::future::poll_fn(|context| {
            // A session that is shut down ends here too; its waker wakes this task.
            if entry.is_killed() {
                return Poll::Ready(Some(Err(ReceiveError::Closed)));
            }
            limited.as_mut().poll(context)
        })
        .await
    };
    let (reason, is_empty) = match outcome {
        Some(Ok(parsed)) => {
            let (source, destination) = (c.session.source, c.session.destination);
            if let Addresses::Tcp {
                source,
                destination,
            } = parsed.addresses
            {
                c.session.source = source;
                c.session.destination = destination;
                c.entry.set_proxied_source(source);
            }
            c.session.proxied = Some(Arc::new(Proxied {
                source,
                destination,
                authority: parsed.tlvs.authority,
                unique_id: parsed.tlvs.unique_id,
            }));
            return true;
        }
        None => ("Timeout while waiting for PROXY protocol header", true),
        Some(Err(ReceiveError::Closed | ReceiveError::Io(_))) => (
            "Connection closed while waiting for PROXY protocol header",
            true,
        ),
        Some(Err(ReceiveError::Truncated)) => ("Truncated PROXY protocol header received", false),
        Some(Err(ReceiveError::Bad(error))) => (
            match error {
                ParseError::NotAHeader => {
                    "Received something which does not look like a PROXY protocol header"
                }
                ParseError::UnknownProtocol => {
                    "Received an unhandled protocol in the PROXY protocol header"
                }
                ParseError::Invalid(_) | ParseError::Incomplete => {
                    "Received an invalid PROXY protocol header"
                }
            },
            false,
        ),
    };
    c.front.frontend.counters.request_errors.increment();
    if !(is_empty && c.front.dontlognull) {
        log_refused(&c.app, &c.front, &c.session, reason);
    }
    c.client.reset_on_close();
    false
}

/// The line about a connection that ended before it became a session.
fn log_refused(app: &App, front: &FrontendRuntime, session: &Session, reason: &str) {
    let text = format!(
        "{}:{} [{}] {}/{}: {reason}",
        session.source.ip().to_canonical(),
        session.source.port(),
        crate::log::clf_date(session.accepted_wall_us),
        front.frontend.name,
        session.listener
    );
    let sockets = &app.shared.reports.sockets;
    front
        .log
        .message(sockets, config::haproxy::LogLevel::Info, &text);
}

/// The TLS handshake, within the time of a request's head. A failed one is counted and logged.
async fn handshake(
    c: Box<Connection>,
    acceptor: &tokio_rustls::TlsAcceptor,
) -> Option<Box<Connection>> {
    let mut c = *c;
    let limit = c.front.timeouts.http_request.or(c.front.timeouts.client);
    let Stream::Tcp(stream) = c.client else {
        return None;
    };
    // The handshake's state is large and short-lived: it lives on the heap.
    let shaking = Box::pin(acceptor.accept(stream));
    let outcome = match limit {
        Some(limit) => tokio::time::timeout(limit, shaking)
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())),
        None => shaking.await,
    };
    match outcome {
        Ok(stream) => {
            let kind = stream.get_ref().1.handshake_kind();
            c.front.frontend.counters.protocols.shook_hands(kind);
            c.session.tls = Some(Arc::new(crate::tls::info(stream.get_ref().1)));
            let (socket, connection) = stream.into_inner();
            c.client = Stream::TlsServer(Box::new(TlsStream::new(socket, connection)));
            Some(Box::new(c))
        }
        Err(error) => {
            let counters = &c.front.frontend.counters;
            counters.request_errors.increment();
            counters.protocols.tls_failed.increment();
            let silent = c.front.dontlognull
                && matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::TimedOut);
            if !silent {
                let reason = if error.kind() == std::io::ErrorKind::TimedOut {
                    "Timeout during SSL handshake"
                } else {
                    "SSL handshake failure"
                };
                log_refused(&c.app, &c.front, &c.session, reason);
            }
            None
        }
    }
}
