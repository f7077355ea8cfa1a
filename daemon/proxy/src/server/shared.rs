//! Connections to servers that speak HTTP/2: several requests share one, and each thread has its own.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use config::haproxy::LogLevel;
use h2::Reason;
use h2::client::SendRequest;

use super::pool::{is_worn_out, unused_since_us};
use super::{ConnectError, ServerConnection};
use crate::app::Shared;
use crate::http2::{Flood, ServerStream, Settings, StreamPlace, StreamPlaces, Transport};
use crate::net::{Buffer, Stream};
use crate::state::{Server, Table};

/// Most shared connections that a thread keeps to one server.
const MAX_SHARED_PER_SERVER: usize = 1_024;

struct SharedConnection {
    requests: SendRequest<Bytes>,
    address: Option<SocketAddr>,
    is_secure: bool,
    /// Streams in use.
    places: Rc<StreamPlaces>,
    /// Whether its transport is gone.
    closed: Rc<Cell<bool>>,
    /// When a stream was last taken, in microseconds.
    used_us: u64,
    /// Streams taken after the first.
    reuses: u32,
}

thread_local! {
    static SHARED: RefCell<Vec<Vec<SharedConnection>>> = const { RefCell::new(Vec::new()) };
}

/// A stream on a connection that is there. `index` numbers servers over all backends; `max_streams` is our own bound.
pub fn take_shared(
    index: usize,
    server: &Server,
    address: Option<SocketAddr>,
    max_streams: usize,
    now_us: u64,
    context: &mut Context<'_>,
) -> Option<ServerConnection> {
    SHARED.with_borrow_mut(|all| {
        let connections = all.get_mut(index)?;
        let mut at = connections.len();
        while at > 0 {
            at -= 1;
            let connection = &mut connections[at];
            // A server that says goodbye takes no further requests, and `set server addr` makes older connections worthless.
            if connection.closed.get()
                || connection.places.is_surplus()
                || is_worn_out(server, connection.reuses)
                || connection.address != address
                || matches!(connection.requests.poll_ready(context), Poll::Ready(Err(_)))
            {
                connections.swap_remove(at);
                continue;
            }
            let limit = max_streams.min(connection.requests.current_max_send_streams());
            if connection.places.live() < limit {
                connection.used_us = now_us;
                connection.reuses = connection.reuses.saturating_add(1);
                return Some(connection.stream(true));
            }
        }
        None
    })
}

impl SharedConnection {
    fn stream(&self, reused: bool) -> ServerConnection {
        let place = StreamPlace::take(&self.places);
        let stream = ServerStream::new(self.requests.clone(), self.is_secure, place);
        ServerConnection {
            stream: Stream::Http2Server(Box::new(stream)),
            input: Buffer::default(),
            address: self.address,
            reused,
            reuses: 0,
            resets: true,
        }
    }
}

/// Makes a new connection one of HTTP/2 with a first stream. With its server's `index` other requests may use it too; with
/// `settles` it is ready once the server's settings are known.
pub async fn open_shared(
    mut connection: ServerConnection,
    index: Option<usize>,
    settings: &Settings,
    settles: bool,
    worker: &Arc<Shared>,
    server: &Arc<Server>,
) -> Result<ServerConnection, ConnectError> {
    let clock = worker.clock;
    // Its reset would cut off all requests.
    connection.resets = false;
    let address = connection.address;
    let stream = std::mem::replace(&mut connection.stream, Stream::Taken);
    let is_secure = matches!(stream, Stream::TlsClient(_));
    let counters = server.protocols.get().map(Arc::clone).unwrap_or_default();
    let (transport, watch) = Transport::to_server(stream, clock, counters);
    let (requests, mut connection) = settings
        .client_builder()
        .handshake::<_, Bytes>(transport)
        .await
        .map_err(|error| ConnectError::Io(io::Error::other(error)))?;
    let pings = settles.then(|| connection.ping_pong()).flatten();
    let closed = Rc::new(Cell::new(false));
    let is_closed = Rc::clone(&closed);
    let places = StreamPlaces::new(server);
    let (ends, worker, server) = (Rc::clone(&places), Arc::clone(worker), Arc::clone(server));
    // Ends when the transport does, or when no request and nobody who could send one is left.
    tokio::task::spawn_local(async move {
        let mut connection = pin!(connection);
        // Its requests are told why it ended.
        let flood = poll_fn(|context| {
            let polled = connection.as_mut().poll(context);
            if let Some(flood) = watch.flood() {
                return Poll::Ready(Some(flood));
            }
            polled.map(|end| {
                let error = end.err().filter(h2::Error::is_library)?;
                (error.reason() == Some(Reason::ENHANCE_YOUR_CALM)).then(|| watch.closed_for())
            })
        })
        .await;
        is_closed.set(true);
        ends.set_kept(false);
        if let Some(flood) = flood {
            report(&worker, &server, flood);
        }
    });
    if let Some(mut pings) = pings {
        // A server's settings come first of all (RFC 9113 3.4).
        let pong = pings.ping(h2::Ping::opaque()).await;
        pong.map_err(|error| ConnectError::Io(io::Error::other(error)))?;
    }
    let shared = SharedConnection {
        requests,
        address,
        is_secure,
        places,
        closed,
        used_us: clock.now_us(),
        reuses: 0,
    };
    let first = shared.stream(false);
    if let Some(index) = index {
        SHARED.with_borrow_mut(|all| {
            if all.len() <= index {
                all.resize_with(index + 1, Vec::new);
            }
            if all[index].len() < MAX_SHARED_PER_SERVER {
                shared.places.set_kept(true);
                all[index].push(shared);
            }
        });
    }
    Ok(first)
}

/// Counts and tells of a server's flood.
fn report(worker: &Shared, server: &Server, flood: Flood) {
    let Some(total) = worker.floods.count(flood, worker.clock.now_ms()) else {
        return;
    };
    let Some(backend) = worker.backend(&server.backend) else {
        return;
    };
    let text = format!(
        "{}/{}: HTTP/2 connection closed: {} ({total} so far)",
        server.backend,
        server.name,
        flood.name(),
    );
    let level = LogLevel::Warning;
    worker.reports.tell(backend.config_index, level, &text);
}

/// Lets go of connections that were unused for too long; what is on its way on them still comes to its end.
pub(super) fn drop_idle_shared(servers: &Table<Server>, now_us: u64) {
    SHARED.with_borrow_mut(|all| {
        for (index, connections) in all.iter_mut().enumerate() {
            let Some(server) = servers.get(index) else {
                *connections = Vec::new();
                continue;
            };
            let since_us = unused_since_us(server, now_us);
            connections.retain(|connection| {
                !connection.closed.get()
                    && !connection.places.is_surplus()
                    && (connection.places.live() > 0 || connection.used_us >= since_us)
            });
        }
    });
}
