//! A client that leaves while it is waited for something else: in a queue, for a connection, for an answer.
//!
//! Manual, `option abortonclose`: an end of the client's sending direction may be all that it means to end, so without
//! the option such a client is still served. A reset ends the exchange either way: nobody is left to read the answer.

use std::task::{Context, Poll};

use super::{Connection, Exchange};
use crate::net::{Buffer, Stream};

/// How a client left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It ended its sending direction; it may still read.
    Ended,
    /// It is gone.
    Reset,
}

/// What is known of a client's sending direction behind the request that is being served.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    /// Whether its end was seen, and does not matter.
    has_ended: bool,
}

impl Watch {
    /// Ready when the client has left. What it sends meanwhile (the next request) is kept in `input`; a full buffer ends
    /// the watching. Costs no system call while nothing comes.
    pub(super) fn poll(
        &mut self,
        client: &mut Stream,
        input: &mut Buffer,
        heeds_end: bool,
        context: &mut Context<'_>,
    ) -> Poll<Left> {
        // A stream of HTTP/2 tells by itself when its client has cut it off.
        if let Some(stream) = client.http2() {
            return stream.poll_gone(context).map(|()| Left::Reset);
        }
        while !self.has_ended && !input.is_full() {
            match client.poll_input(context, input) {
                Poll::Pending => {
                    input.release_if_empty();
                    return Poll::Pending;
                }
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(Ok(_)) if heeds_end => return Poll::Ready(Left::Ended),
                Poll::Ready(Ok(_)) => self.has_ended = true,
                Poll::Ready(Err(_)) => return Poll::Ready(Left::Reset),
            }
        }
        Poll::Pending
    }
}

/// Whether the backend's `option abortonclose` is on.
pub(super) fn heeds_end(x: &Exchange) -> bool {
    x.back.as_ref().is_some_and(|back| back.abortonclose)
}

/// Whether the client has left while nothing is wanted of it any more.
pub(super) fn poll_left(
    c: &mut Connection,
    x: &mut Exchange,
    context: &mut Context<'_>,
) -> Poll<Left> {
    if !x.request_done() {
        return Poll::Pending;
    }
    let heeds_end = heeds_end(x);
    x.watch
        .poll(&mut c.client, &mut c.input, heeds_end, context)
}

pub(super) fn count_client_abort(x: &Exchange) {
    if let (Some(back), Some(server)) = (&x.back, &x.txn.server) {
        back.backend.counters.client_aborts.increment();
        server.counters.client_aborts.increment();
    }
}
