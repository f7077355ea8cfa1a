//! A client's connection with all that lives as long as it does.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use crate::app::{App, FrontendRuntime, SessionEntry};
use crate::net::{Buffer, Stream, Timer};
use crate::server::ServerConnection;
use crate::state::{Server, Usability};
use crate::txn::{Cause, Session, Stage, Termination};

/// Why a wait ended before what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The deadline passed.
    Timeout,
    /// An operator ended the session, or the worker's time is over.
    Killed,
    /// The server's sessions are shut down.
    ServerDown,
    /// The client has cut its stream off.
    ClientGone,
}

impl Interrupt {
    /// What a shutdown of a server's sessions means: of one that is down it is `on-marked-down`, else an operator's.
    pub fn of_shutdown(server: &Server) -> Self {
        if server.usability() == Usability::Down {
            Self::ServerDown
        } else {
            Self::Killed
        }
    }

    /// The end that it means at a stage, when a passed deadline means `timeout`.
    pub fn end(self, timeout: Cause, stage: Stage) -> Termination {
        let cause = match self {
            Self::Timeout => timeout,
            Self::Killed => Cause::Killed,
            Self::ServerDown => Cause::Down,
            Self::ClientGone => Cause::Client,
        };
        Termination::new(cause, stage)
    }
}

/// A client's connection.
pub struct Connection {
    /// Everything that runs.
    pub app: Arc<App>,
    /// Its frontend.
    pub front: Arc<FrontendRuntime>,
    /// What rules and logs see of it.
    pub session: Session,
    /// Its line in the table of sessions.
    pub entry: Arc<SessionEntry>,
    /// The transport.
    pub client: Stream,
    /// What was read and not yet used.
    pub input: Buffer,
    /// The one deadline that counts now.
    pub timer: Timer,
    /// Requests so far.
    pub requests: u64,
    /// When the previous transaction ended, or the accept, in microseconds.
    pub since_us: u64,
    /// The server's connection that `http-reuse never` keeps for this client alone, with its server's number.
    pub private: Option<(usize, ServerConnection)>,
    /// The client's address as `X-Forwarded-For` has it, once it was needed.
    pub source_text: Option<Box<str>>,
    /// Whether the client may still be sending: then the close waits for it, so that a reset does not eat the answer.
    pub lingers: bool,
    /// The server of its last request, with its backend.
    pub last_server: Option<(crate::state::BackendId, crate::state::ServerId)>,
    /// Whether the client has ended the connection.
    pub is_gone: bool,
    /// The server whose sessions may be shut down, with its generation when it was chosen.
    pub watched: Option<(Arc<Server>, u64)>,
    /// Whether the client has begun to speak HTTP/2 on a connection where HTTP/1 was expected.
    pub http2_preface: bool,
}

impl Connection {
    /// Microseconds of the worker's clock.
    pub fn now_us(&self) -> u64 {
        self.app.shared.clock.now_us()
    }

    /// Whether no further request is wanted.
    pub fn is_draining(&self) -> bool {
        self.app.shared.draining.load(Relaxed)
    }

    /// Watches a server's shutdowns from now on.
    pub fn watch(&mut self, server: &Arc<Server>) {
        self.watched = Some((Arc::clone(server), server.shutdown_generation.load(Relaxed)));
    }

    /// Ready when what the session waits for is not to be waited for any longer.
    pub fn poll_interrupt(&mut self, context: &mut Context<'_>) -> Poll<Interrupt> {
        if self.entry.is_killed() {
            return Poll::Ready(Interrupt::Killed);
        }
        if let Some((server, generation)) = &self.watched
            && server.shutdown_generation.load(Relaxed) != *generation
        {
            return Poll::Ready(Interrupt::of_shutdown(server));
        }
        if let Some(stream) = self.client.http2()
            && stream.poll_gone(context).is_ready()
        {
            return Poll::Ready(Interrupt::ClientGone);
        }
        self.timer.poll(context).map(|()| Interrupt::Timeout)
    }

    /// Waits for `what`, but not beyond an interrupt.
    pub async fn wait<T>(
        &mut self,
        mut what: impl FnMut(&mut Self, &mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Interrupt> {
        poll_fn(|context| {
            if let Poll::Ready(done) = what(self, context) {
                return Poll::Ready(Ok(done));
            }
            self.poll_interrupt(context).map(Err)
        })
        .await
    }
}
