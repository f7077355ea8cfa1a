//! A client's connection as a task: small while it idles, for there may be many.
//!
//! It is a future written by hand: between requests it holds a pointer to the connection and nothing else. What goes on
//! otherwise, the opening (PROXY header, TLS) or a request, is a future of its own on the heap.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{Connection, close, receive, walk};
use crate::txn::Termination;

/// What a connection does before its first request of HTTP/1, or instead of any: then none comes back.
pub type Opening = Pin<Box<dyn Future<Output = Option<Box<Connection>>>>>;

/// A client's connection until it ends.
pub struct Conversation(State);

enum State {
    /// Not polled yet.
    New(Box<Connection>),
    /// Something goes on; then HTTP/1 goes on with what comes back.
    Busy(Opening),
    /// The next request is waited for.
    Idle(Box<Connection>),
    Over,
}

impl Conversation {
    /// HTTP/1 from the first byte on.
    pub fn new(connection: Box<Connection>) -> Self {
        Self(State::New(connection))
    }

    /// HTTP/1 with what `opening` gives, if it does.
    pub fn after(opening: Opening) -> Self {
        Self(State::Busy(opening))
    }
}

impl Future for Conversation {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let connection = match &mut self.0 {
                State::Over => return Poll::Ready(()),
                State::Busy(opening) => ready!(opening.as_mut().poll(context)),
                State::New(connection) => {
                    connection.entry.set_waker(context.waker());
                    self.take()
                }
                State::Idle(connection) => {
                    let beginning = ready!(receive::poll_beginning(connection, context));
                    self.begin(beginning);
                    continue;
                }
            };
            let Some(mut connection) = connection else {
                self.0 = State::Over;
                continue;
            };
            let is_there = !connection.input.is_empty();
            if !is_there {
                receive::await_next(&mut connection);
            }
            self.0 = State::Idle(connection);
            if is_there {
                self.begin(Ok(()));
            }
        }
    }
}

impl Conversation {
    fn take(&mut self) -> Option<Box<Connection>> {
        match std::mem::replace(&mut self.0, State::Over) {
            State::New(connection) | State::Idle(connection) => Some(connection),
            State::Busy(_) | State::Over => None,
        }
    }

    /// Goes on with a request whose first bytes are there, or with the end of the wait for them.
    fn begin(&mut self, beginning: Result<(), Termination>) {
        self.0 = match self.take() {
            Some(connection) => State::Busy(Box::pin(request(connection, beginning))),
            None => State::Over,
        };
    }
}

/// One request. Gives the connection back if it goes on, and closes it if not.
async fn request(
    mut connection: Box<Connection>,
    beginning: Result<(), Termination>,
) -> Option<Box<Connection>> {
    let goes_on = walk::request(&mut connection, beginning).await;
    if connection.http2_preface {
        if connection.client.watched().is_err() {
            return None;
        }
        Box::pin(super::serve_http2(*connection)).await;
        return None;
    }
    if goes_on {
        return Some(connection);
    }
    Box::pin(close::close(&mut connection)).await;
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With more, the runtime's header of a task takes 128 bytes more.
    const MAX_TASK_BYTES: usize = 24;

    #[test]
    fn an_idle_conversation_stays_small() {
        assert!(size_of::<Conversation>() <= MAX_TASK_BYTES);
    }
}
