//! A client's connection with all that lives as long as it does.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use crate::app::{App, FrontendRuntime, ListenerRuntime, ServerRuntime, SessionEntry};
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
    /// An active server is up again, and this was a backup's session.
    ActiveUp,
    /// The client has cut its stream off.
    ClientGone,
}

impl Interrupt {
    /// What a shutdown of a server's sessions means: of one that is down it is `on-marked-down`, else an operator's or that
    /// of an active server that is up again.
    pub fn of_shutdown(server: &Server) -> Self {
        if server.usability() == Usability::Down {
            Self::ServerDown
        } else if server.shut_by_active.load(Relaxed) {
            Self::ActiveUp
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
            Self::ActiveUp => Cause::ActiveUp,
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
    /// The server's connection that `http-reuse never` keeps for this client alone, with its server.
    pub private: Option<Box<(Arc<ServerRuntime>, ServerConnection)>>,
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
    /// Its place in gauges and in the table of sessions; a stream of HTTP/2 has its own ways.
    pub presence: Option<Presence>,
}

/// A connection in all gauges, and from [`Presence::list`] on in the table of sessions; it leaves them when dropped.
pub struct Presence {
    app: Arc<App>,
    front: Arc<FrontendRuntime>,
    /// Where it was accepted.
    pub listener: Arc<ListenerRuntime>,
    /// Its number in the table, 0 before it is there.
    id: u64,
}

impl Presence {
    /// A connection that was just accepted, at `now_us` of the worker's clock.
    pub fn enter(
        app: &Arc<App>,
        front: &Arc<FrontendRuntime>,
        listener: &Arc<ListenerRuntime>,
        now_us: u64,
    ) -> Self {
        let now_ms = now_us / 1_000;
        let process = &app.shared.process;
        process.connections.enter();
        process.connections_total.increment();
        process.connection_rate.tick(now_ms);
        process.session_rate.tick(now_ms);
        process.tasks.enter();
        let counters = &front.frontend.counters;
        counters.sessions.enter();
        counters.sessions_total.increment();
        counters.session_rate.tick(now_ms);
        counters.connections_total.increment();
        counters.connection_rate.tick(now_ms);
        listener.connections.enter();
        if listener.tls.is_some() {
            process.tls_connections.enter();
            process.tls_total.increment();
            process.tls_rate.tick(now_ms);
        }
        Self {
            app: Arc::clone(app),
            front: Arc::clone(front),
            listener: Arc::clone(listener),
            id: 0,
        }
    }

    /// Enters the table of sessions under a new number.
    pub fn list(&mut self, source: SocketAddr, is_unix: bool, now_us: u64) -> Arc<SessionEntry> {
        let sessions = &self.app.shared.sessions;
        self.id = sessions.next_id();
        let front = self.front.frontend.id;
        sessions.enter(self.id, front, source, is_unix, now_us / 1_000)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if self.id != 0 {
            self.app.shared.sessions.leave(self.id);
        }
        self.app.shared.process.connections.leave();
        self.app.shared.process.tasks.leave();
        self.front.frontend.counters.sessions.leave();
        self.listener.connections.leave();
        if self.listener.tls.is_some() {
            self.app.shared.process.tls_connections.leave();
        }
        self.app.room.notify_waiters();
    }
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
        if let Poll::Ready(interrupt) = self.poll_word() {
            return Poll::Ready(interrupt);
        }
        if let Some(stream) = self.client.http2()
            && stream.poll_gone(context).is_ready()
        {
            return Poll::Ready(Interrupt::ClientGone);
        }
        if self.client.wants_watching(self.app.shared.clock, context) {
            // A failure shows at its next use, which is now.
            let _ = self.client.watched();
            context.waker().wake_by_ref();
        }
        self.timer.poll(context).map(|()| Interrupt::Timeout)
    }

    /// Ready when somebody else has ended the session.
    pub fn poll_word(&self) -> Poll<Interrupt> {
        if self.entry.is_killed() {
            return Poll::Ready(Interrupt::Killed);
        }
        match &self.watched {
            Some((server, generation))
                if server.shutdown_generation.load(Relaxed) != *generation =>
            {
                Poll::Ready(Interrupt::of_shutdown(server))
            }
            _ => Poll::Pending,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Most bytes of what an idle connection holds here; with thousands of them each byte counts.
    const MAX_IDLE_BYTES: usize = 360;
    /// The same of its line in the table of sessions.
    const MAX_ENTRY_BYTES: usize = 88;

    #[test]
    fn an_idle_connection_stays_small() {
        let size = size_of::<Connection>();
        assert!(size <= MAX_IDLE_BYTES, "{size}");
        let entry = size_of::<SessionEntry>();
        assert!(entry <= MAX_ENTRY_BYTES, "{entry}");
    }
}
