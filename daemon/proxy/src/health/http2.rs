//! A check's request by HTTP/2: sent as frames, its answer read back as the HTTP/1 text that rules look at.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::MAX_CHECK_BYTES;
use crate::http::Head;
use crate::http1::{BodyLength, Framing, Limits, Parsed, parse_request};
use crate::http2::{Settings, request_from_head};

/// Headers of a request that `http-check send` may have.
const MAX_FIELDS: usize = 101;

/// What moves the frames of a connection.
type Driver = Pin<Box<dyn Future<Output = Result<(), h2::Error>>>>;

/// A connection that speaks HTTP/2, for one request. Its frames move while something is waited for.
pub(super) struct Http2 {
    requests: SendRequest<Bytes>,
    connection: Option<Driver>,
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
    is_secure: bool,
    /// What a request without `Host` says: without an authority the `h2` crate can say no scheme, and a request without one
    /// is malformed (RFC 9113 8.3.1).
    authority: String,
}

impl Http2 {
    /// Says the preface on a stream, which may be TLS and goes to an authority.
    pub(super) async fn open<S>(
        stream: S,
        settings: &Settings,
        (is_secure, authority): (bool, String),
    ) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let opening = settings.client_builder().handshake::<_, Bytes>(stream);
        let (requests, connection) = opening.await.map_err(|_| broken())?;
        Ok(Self {
            requests,
            connection: Some(Box::pin(connection)),
            response: None,
            body: None,
            is_secure,
            authority,
        })
    }

    /// Whether TLS is below.
    pub(super) fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Sends a request that is written as HTTP/1 text.
    pub(super) async fn send(&mut self, text: &[u8]) -> io::Result<()> {
        let limits = Limits {
            head_bytes: MAX_CHECK_BYTES,
            fields: MAX_FIELDS,
        };
        let mut head = Head::default();
        let Ok(Parsed::Complete { length, facts }) = parse_request(text, limits, &mut head) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if head.header(b"host").is_none() {
            head.add(b"host", self.authority.as_bytes());
        }
        let body = text.get(length..).unwrap_or_default();
        let framing = match facts.body {
            BodyLength::Bytes(length) => Framing::Length(length),
            _ => Framing::Described,
        };
        let request = request_from_head(&head, framing, self.is_secure, false);
        let request = request.ok_or(io::ErrorKind::InvalidInput)?;
        poll_fn(|context| {
            self.drive(context);
            self.requests.poll_ready(context)
        })
        .await
        .map_err(|_| broken())?;
        let sent = self.requests.send_request(request, body.is_empty());
        let (response, mut stream) = sent.map_err(|_| broken())?;
        if !body.is_empty() {
            let body = Bytes::copy_from_slice(body);
            stream.send_data(body, true).map_err(|_| broken())?;
        }
        self.response = Some(response);
        Ok(())
    }

    /// Appends what comes next of the answer, its head as HTTP/1 writes it; 0 at the end.
    pub(super) async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        poll_fn(|context| self.poll_read(context, into)).await
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        into: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        self.drive(context);
        let before = into.len();
        if let Some(response) = &mut self.response {
            let answer = ready!(Pin::new(response).poll(context));
            self.response = None;
            let answer = match answer {
                Ok(answer) => answer,
                // The server has left. All else is no HTTP/2, or a stream that it did not want.
                Err(error) if error.is_io() || error.is_go_away() && error.is_remote() => {
                    return Poll::Ready(Ok(0));
                }
                Err(_) => return Poll::Ready(Err(broken())),
            };
            let (parts, body) = answer.into_parts();
            write_head(&parts, into);
            self.body = Some(body);
            return Poll::Ready(Ok(into.len() - before));
        }
        let Some(body) = &mut self.body else {
            return Poll::Ready(Ok(0));
        };
        let data = match ready!(body.poll_data(context)) {
            None | Some(Err(_)) => return Poll::Ready(Ok(0)),
            Some(Ok(data)) => data,
        };
        let _ = body.flow_control().release_capacity(data.len());
        let room = MAX_CHECK_BYTES.saturating_sub(before);
        into.extend_from_slice(&data[..data.len().min(room)]);
        if data.is_empty() {
            // An empty frame is not the end.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(data.len()))
    }

    fn drive(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && connection.as_mut().poll(context).is_ready()
        {
            // Why it ended is told by the request.
            self.connection = None;
        }
    }
}

/// An answer's head as text. What says where a body of HTTP/1 ends is left out: here the stream does.
fn write_head(parts: &http::response::Parts, into: &mut Vec<u8>) {
    into.extend_from_slice(format!("HTTP/1.1 {} \r\n", parts.status.as_u16()).as_bytes());
    for (name, value) in &parts.headers {
        if matches!(
            name.as_str(),
            "transfer-encoding" | "connection" | "upgrade"
        ) {
            continue;
        }
        into.extend_from_slice(name.as_str().as_bytes());
        into.extend_from_slice(b": ");
        into.extend_from_slice(value.as_bytes());
        into.extend_from_slice(b"\r\n");
    }
    into.extend_from_slice(b"\r\n");
}

/// HAProxy says no more of it.
fn broken() -> io::Error {
    io::Error::other("")
}
