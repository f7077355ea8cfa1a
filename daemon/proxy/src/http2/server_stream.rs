//! A request to a server that speaks HTTP/2, as the walk sees it: a connection that carries one request, while others go
//! over the same transport.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::Reason;
use h2::client::{ResponseFuture, SendRequest};
use http::{Request, Response};

use super::body::{Receiving, Sending, broken};
use crate::http::Head;
use crate::net::Buffer;
use crate::state::Server;

/// How many streams of a server's connection are in use. One without any counts as idle in its server's figures, if it is
/// shared, for as long as it lives.
#[derive(Debug)]
pub struct StreamPlaces {
    server: Arc<Server>,
    live: Cell<usize>,
    is_kept: Cell<bool>,
    is_idle: Cell<bool>,
    is_surplus: Cell<bool>,
}

impl StreamPlaces {
    /// Of a new connection.
    pub fn new(server: &Arc<Server>) -> Rc<Self> {
        Rc::new(Self {
            server: Arc::clone(server),
            live: Cell::new(0),
            is_kept: Cell::new(false),
            is_idle: Cell::new(false),
            is_surplus: Cell::new(false),
        })
    }

    /// Streams in use.
    pub fn live(&self) -> usize {
        self.live.get()
    }

    /// Whether its server has enough unused connections without it (`pool-max-conn`): it is not used again.
    pub fn is_surplus(&self) -> bool {
        self.is_surplus.get()
    }

    /// Whether the connection is there for further requests from now on.
    pub fn set_kept(&self, is_kept: bool) {
        self.is_kept.set(is_kept);
        self.count();
    }

    fn count(&self) {
        let is_idle = self.is_kept.get() && self.live.get() == 0 && !self.is_surplus.get();
        if self.is_idle.get() == is_idle {
            return;
        }
        if !is_idle {
            self.server.counters.idle_connections.leave();
        } else if !self.server.enter_idle() {
            return self.is_surplus.set(true);
        }
        self.is_idle.set(is_idle);
    }
}

/// A place among the streams of a server's connection; it is free again when dropped.
#[derive(Debug)]
pub struct StreamPlace(Rc<StreamPlaces>);

impl StreamPlace {
    /// Takes a place.
    pub fn take(places: &Rc<StreamPlaces>) -> Self {
        places.live.set(places.live.get() + 1);
        places.count();
        Self(Rc::clone(places))
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.live.set(self.0.live.get() - 1);
        self.0.count();
    }
}

/// One stream of a server's connection.
pub struct ServerStream {
    requests: SendRequest<Bytes>,
    request: Sending,
    response: Option<ResponseFuture>,
    body: Option<Receiving>,
    refused: bool,
    is_secure: bool,
    _place: StreamPlace,
}

impl std::fmt::Debug for ServerStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServerStream({:?})", self.body)
    }
}

/// What a server said.
pub enum Said {
    /// An interim answer.
    Interim(Response<()>),
    /// The answer's head; whether it is all.
    Final(http::response::Parts, bool),
}

impl ServerStream {
    /// A stream of a connection; nothing is sent yet.
    pub fn new(requests: SendRequest<Bytes>, is_secure: bool, place: StreamPlace) -> Self {
        Self {
            requests,
            request: Sending::default(),
            response: None,
            body: None,
            refused: false,
            is_secure,
            _place: place,
        }
    }

    /// Whether the connection is TLS: then requests say `https`.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Whether the server takes WebSockets by HTTP/2 (RFC 8441).
    pub fn takes_extended_connect(&self) -> bool {
        self.requests.is_extended_connect_protocol_enabled()
    }

    /// Sends the head; `is_all` if no body follows.
    pub fn begin(&mut self, request: Request<()>, is_all: bool) -> io::Result<()> {
        match self.requests.send_request(request, is_all) {
            Ok((response, stream)) => {
                self.response = Some(response);
                self.request.begin(stream, is_all);
                Ok(())
            }
            Err(error) => {
                // Nothing of it went out.
                self.refused = true;
                Err(broken(error))
            }
        }
    }

    /// Whether the server certainly did nothing with the request (RFC 9113 8.7).
    pub fn was_refused(&self) -> bool {
        self.refused
    }

    /// The head of the answer, or of an interim one.
    pub fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Said>> {
        let Some(response) = &mut self.response else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        if let Poll::Ready(Some(Ok(interim))) = response.poll_informational(context) {
            return Poll::Ready(Ok(Said::Interim(interim)));
        }
        match ready!(Pin::new(response).poll(context)) {
            Ok(answer) => {
                self.response = None;
                let (parts, body) = answer.into_parts();
                let is_all = body.is_end_stream();
                self.body = Some(Receiving::new(body));
                Poll::Ready(Ok(Said::Final(parts, is_all)))
            }
            Err(error) => {
                // A stream beyond the last one that a GOAWAY names was not looked at either.
                self.refused = error.reason() == Some(Reason::REFUSED_STREAM)
                    || error.is_go_away()
                        && error.is_remote()
                        && error.reason() == Some(Reason::NO_ERROR);
                Poll::Ready(Err(broken(error)))
            }
        }
    }

    /// Whether the whole answer was read, and no trailers are behind it.
    pub fn is_at_end(&self) -> bool {
        self.body.as_ref().is_some_and(Receiving::is_at_end)
    }

    /// Reads data of the answer's body; 0 is its end.
    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        match &mut self.body {
            Some(body) => body.poll_read(context, buffer),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// The trailers that came behind the answer's body.
    pub fn take_trailers(&mut self, into: &mut Head) {
        if let Some(body) = &mut self.body {
            body.take_trailers(into);
        }
    }

    /// The bytes that are written next are the last, but for these trailers.
    pub fn end_with_next_write(&mut self, trailers: &Head) {
        self.request.end_with_next_write(trailers);
    }

    /// Whether the end of the request is still to be sent.
    pub fn owes_end(&self) -> bool {
        !self.request.is_ended()
    }

    /// Takes what the server's window has room for.
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.request.poll_write(context, bytes)
    }

    /// Sends the end if it did not go with the last bytes.
    pub fn poll_flush(&mut self) -> Poll<io::Result<()>> {
        Poll::Ready(self.request.flush())
    }

    /// Ends our direction.
    pub fn poll_shutdown(&mut self) -> Poll<io::Result<()>> {
        Poll::Ready(self.request.shutdown())
    }

    /// Tells the server that the answer is not wanted any more.
    pub fn reset(&mut self) {
        let is_over = self.request.is_ended() && self.is_at_end();
        if !is_over && let Some(stream) = self.request.stream() {
            stream.send_reset(Reason::CANCEL);
        }
    }
}
