//! A client's HTTP/2 connection: its streams become transactions, each of which takes the same walk as a request of HTTP/1.
//! Its task reads and writes frames, goes on with the streams that were woken, and ends the connection: idle, drained,
//! killed or flooded.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use config::haproxy::LogLevel;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};

use super::Connection;
use super::ready::Ready;
use super::streams::{Clerks, Job};
use crate::app::{App, FrontendRuntime, SessionEntry, SessionStage};
use crate::http2::{ClientStream, Flood, Transport, Watch, Wire};
use crate::net::{Stream, Timer};
use crate::txn::{Cause, Session, Stage, Termination, Transaction};

/// How long a connection that we end may take to read why.
const LINGER: Duration = Duration::from_secs(2);
/// Once so many streams were polled, and after so many rounds, other connections have their turn.
const MAX_TURN: usize = 128;
/// With fewer streams at a time, a connection lets others go first between its steps: all read what clients ask, then all send
/// that to servers, all read what these answer, then all send it to clients. Without it a peer falls asleep between what it
/// gets from one connection and from the next, and waking it was measured to cost up to a fifth of a request.
const MANY: usize = 8;
const MAX_ROUNDS: usize = 8;

/// What all streams of a connection share.
pub(super) struct Shared {
    pub(super) app: Arc<App>,
    pub(super) front: Arc<FrontendRuntime>,
    pub(super) session: Session,
    /// The client's address as `X-Forwarded-For` has it, once a stream has written it.
    pub(super) source_text: RefCell<Option<Box<str>>>,
    /// Streams that are served.
    streams: RefCell<Vec<u32>>,
    watch: Rc<Watch>,
}

/// A stream among the live ones; it leaves them when dropped.
pub(super) struct Live(pub(super) Rc<Shared>, u32);

impl Live {
    /// The stream's number.
    pub(super) fn stream(&self) -> u32 {
        self.1
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let mut streams = self.0.streams.borrow_mut();
        if let Some(at) = streams.iter().position(|stream| *stream == self.1) {
            streams.swap_remove(at);
        }
        self.0.watch.finished();
    }
}

/// How the connection is to go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// No further requests are wanted; the client was told.
    Draining,
    /// The last words are on their way.
    Closing,
}

/// A connection's driver.
struct Driver {
    /// `None` once it is over; its streams come to their ends.
    connection: Option<h2::server::Connection<Transport, Bytes>>,
    ready: Arc<Ready>,
    clerks: Clerks,
    /// Streams that are polled next.
    woken: Vec<usize>,
    /// Whether the connection is polled in the next turn, to send what the streams said in this one.
    sends_next: bool,
    /// [`Watch::cuts`] as the streams know them.
    cuts: u64,
    /// Gone with the connection.
    wire: Option<Rc<Wire>>,
    shared: Rc<Shared>,
    entry: Arc<SessionEntry>,
    timer: Timer,
    phase: Phase,
    /// When the last stream ended, or the connection began.
    idle_since_us: u64,
    /// Bytes written when the timer was set while answers were on their way.
    written: u64,
    requests: u64,
}

/// Serves a client's connection that speaks HTTP/2. What was read of it is in its buffer, the preface first. What only its
/// beginning needs is on the heap and gone while the connection lasts.
pub fn serve(mut c: Connection) -> impl Future<Output = ()> {
    let presence = c.presence.take();
    let beginning = Box::pin(begin(c));
    async move {
        // It is counted and listed to its end, not only while it begins.
        let _presence = presence;
        if let Some((mut driver, waker)) = beginning.await {
            poll_fn(|task| driver.turn(task, &waker)).await;
        }
    }
}

/// Until both sides know each other's settings, or have given up; the driver's waker is with it.
async fn begin(c: Connection) -> Option<(Box<Driver>, Waker)> {
    let Connection {
        app,
        front,
        mut session,
        entry,
        client,
        input,
        ..
    } = c;
    // The connection's timer wakes its task; this one is to wake the frames.
    let mut timer = Timer::new();
    let clock = app.shared.clock;
    session.is_http2 = true;
    let counters = Arc::clone(&front.frontend.counters.protocols);
    let (transport, watch) = Transport::new(client, input, clock, counters);
    let wire = transport.wire();
    entry.set_stage(SessionStage::Request);
    let now_us = clock.now_us();
    timer.set(
        now_us,
        front.timeouts.http_request.or(front.timeouts.client),
    );
    let ready = Arc::<Ready>::default();
    // The connection's own waker; in a turn of its task it need not be woken.
    let waker = Waker::from(Arc::clone(&ready));
    let mut handshake = Box::pin(app.http2.server_builder().handshake::<_, Bytes>(transport));
    let connection = poll_fn(|task| {
        ready.begin();
        ready.set_task(task);
        let mut context = Context::from_waker(&waker);
        loop {
            ready.take_connection();
            if let Poll::Ready(done) = handshake.as_mut().poll(&mut context) {
                return Poll::Ready(done.ok());
            }
            if entry.is_killed() || timer.poll(&mut context).is_ready() {
                return Poll::Ready(None);
            }
            if ready.end() {
                return Poll::Pending;
            }
        }
    })
    .await;
    drop(handshake);
    let Some(connection) = connection else {
        front.frontend.counters.request_errors.increment();
        return None;
    };
    front.frontend.counters.http2_sessions_total.increment();
    let shared = Rc::new(Shared {
        app,
        front,
        session,
        source_text: RefCell::default(),
        streams: RefCell::default(),
        watch,
    });
    wire.defer();
    entry.set_waker(&waker);
    let mut driver = Box::new(Driver {
        connection: Some(connection),
        ready,
        clerks: Clerks::default(),
        woken: Vec::new(),
        sends_next: false,
        cuts: 0,
        wire: Some(wire),
        shared,
        entry,
        timer,
        phase: Phase::Open,
        idle_since_us: now_us,
        written: 0,
        requests: 0,
    });
    driver.set_idle_timer();
    // What came with the preface is looked at in any case.
    driver.sends_next = true;
    Some((driver, waker))
}

impl Driver {
    /// A turn of the connection's task. Ready when the connection is over and its streams are, too.
    fn turn(&mut self, task: &mut Context<'_>, waker: &Waker) -> Poll<()> {
        self.ready.begin();
        let mut polled = 0;
        let mut is_late = std::mem::take(&mut self.sends_next);
        for _ in 0..MAX_ROUNDS {
            self.ready.take_streams(&mut self.woken);
            let mut has_ended = false;
            let count = self.woken.len();
            for place in self.woken.drain(..) {
                has_ended |= self.clerks.poll(place);
            }
            polled += count;
            let is_wanted = self.ready.take_connection() || has_ended || is_late;
            if is_wanted && self.connection.is_some() {
                if (1..MANY).contains(&count) && !is_late {
                    self.sends_next = true;
                    break;
                }
                if self.poll(&mut Context::from_waker(waker)).is_ready() {
                    (self.connection, self.wire) = (None, None);
                    self.shared.watch.ended();
                }
                self.pass_on_cuts();
            }
            if self.connection.is_none() && self.clerks.is_idle() {
                return Poll::Ready(());
            }
            if self.woken.is_empty() && self.ready.end() {
                return Poll::Pending;
            }
            if (1..MANY).contains(&self.woken.len()) || polled > MAX_TURN {
                break;
            }
            is_late = true;
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }

    /// Streams that were cut off look around.
    fn pass_on_cuts(&mut self) {
        let watch = &self.shared.watch;
        if watch.cuts() == self.cuts {
            return;
        }
        self.cuts = watch.cuts();
        match watch.take_cut() {
            Some(streams) => streams
                .into_iter()
                .for_each(|id| self.clerks.wake(Some(id))),
            None => self.clerks.wake(None),
        }
    }

    /// Ready when the connection is over.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let cuts = self.shared.watch.cuts();
        loop {
            let Some(connection) = &mut self.connection else {
                return Poll::Ready(());
            };
            if self.entry.is_killed() {
                return Poll::Ready(());
            }
            if self.phase == Phase::Open && self.shared.app.shared.draining.load(Relaxed) {
                // RFC 9113 6.8: two GOAWAY frames, so that no request on its way is lost.
                connection.graceful_shutdown();
                self.phase = Phase::Draining;
            }
            let accepted = connection.poll_accept(context);
            if let Some(flood) = self.shared.watch.flood()
                && self.phase != Phase::Closing
            {
                self.refuse(flood);
                continue;
            }
            match accepted {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.start(request, respond, cuts);
                    // The transport had no more to read when this one was given out.
                    if self.requests >= self.shared.watch.heads() {
                        break;
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.ended(&error);
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        // Frames of one turn leave together.
        let wire = self.wire.as_ref();
        if let Some(Poll::Ready(Err(_))) = wire.map(|wire| wire.poll_send(context)) {
            return Poll::Ready(());
        }
        for stream in self.shared.watch.take_refused() {
            // One whose body broke the rules is in its walk, and has its own end.
            if !self.shared.streams.borrow().contains(&stream) {
                self.log_refused();
            }
        }
        self.poll_timer(context)
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.phase != Phase::Closing {
            if !self.shared.streams.borrow().is_empty() {
                self.timer.set(0, None);
                self.idle_since_us = 0;
            } else if self.has_streams() {
                // Answers are complete on our side and wait for the client to take them.
                let written = self.shared.watch.written();
                if self.idle_since_us == 0 || written != self.written {
                    self.written = written;
                    self.idle_since_us = self.shared.app.shared.clock.now_us();
                    self.timer
                        .set(self.idle_since_us, self.shared.front.timeouts.client);
                }
            } else if self.idle_since_us == 0 || self.written != 0 {
                self.written = 0;
                self.idle_since_us = self.shared.app.shared.clock.now_us();
                self.set_idle_timer();
            }
        }
        if self.timer.poll(context).is_pending() {
            return Poll::Pending;
        }
        if self.phase == Phase::Closing {
            return Poll::Ready(());
        }
        self.close(Reason::NO_ERROR);
        self.poll(context)
    }

    fn has_streams(&self) -> bool {
        let connection = self.connection.as_ref();
        connection.is_some_and(|connection| connection.has_streams())
    }

    /// An idle connection's time: as long as a client of HTTP/1 may take for its next request.
    fn set_idle_timer(&mut self) {
        let timeouts = &self.shared.front.timeouts;
        let whole_head = timeouts.http_request.or(timeouts.client);
        let (stage, limit) = if self.requests == 0 {
            (SessionStage::Request, whole_head)
        } else {
            (
                SessionStage::KeepAlive,
                timeouts.http_keep_alive.or(whole_head),
            )
        };
        self.entry.set_stage(stage);
        self.timer.set(self.idle_since_us, limit);
    }

    fn close(&mut self, reason: Reason) {
        if let Some(connection) = &mut self.connection {
            connection.abrupt_shutdown(reason);
        }
        self.phase = Phase::Closing;
        self.shared.watch.ended();
        self.timer
            .set(self.shared.app.shared.clock.now_us(), Some(LINGER));
    }

    fn refuse(&mut self, flood: Flood) {
        self.report(flood);
        self.close(Reason::ENHANCE_YOUR_CALM);
    }

    /// The connection broke: by the peer's frames, or below them.
    fn ended(&mut self, error: &h2::Error) {
        if !error.is_library() {
            return;
        }
        self.log_refused();
        if error.reason() == Some(Reason::ENHANCE_YOUR_CALM) {
            self.report(self.shared.watch.closed_for());
        }
    }

    /// A request whose head broke the rules: it was refused below us and reaches no walk, but it is counted and logged.
    fn log_refused(&self) {
        let Shared {
            app,
            front,
            session,
            ..
        } = &*self.shared;
        front.frontend.counters.request_errors.increment();
        front.frontend.counters.requests_total.increment();
        front.frontend.counters.http2_requests_total.increment();
        let now_us = app.shared.clock.now_us();
        let mut txn = Transaction {
            termination: Termination::new(Cause::Proxy, Stage::Request),
            ..Transaction::default()
        };
        txn.timings.start_us = now_us;
        txn.timings.end_us = now_us;
        super::log_transaction(app, front, session, &txn);
    }

    fn report(&self, flood: Flood) {
        let Shared {
            app,
            front,
            session,
            ..
        } = &*self.shared;
        let total = app.shared.floods.count(flood, app.shared.clock.now_ms());
        if let Some(total) = total {
            let text = format!(
                "{} {}/{}: HTTP/2 connection closed: {} ({total} so far)",
                session.source,
                front.frontend.name,
                session.listener,
                flood.name(),
            );
            front
                .log
                .message(&app.shared.reports.sockets, LogLevel::Warning, &text);
        }
    }

    /// Begins to serve a stream that was whole when [`Watch::cuts`] was `cuts`.
    fn start(
        &mut self,
        request: http::Request<RecvStream>,
        respond: SendResponse<Bytes>,
        cuts: u64,
    ) {
        let shared = Rc::clone(&self.shared);
        let id = respond.stream_id().as_u32();
        shared.streams.borrow_mut().push(id);
        let watch = Rc::clone(&shared.watch);
        let live = Live(shared, id);
        self.entry.set_stage(SessionStage::Data);
        let stream = Stream::Http2(Box::new(ClientStream::new(request, respond, watch, cuts)));
        let before = self.requests;
        self.requests += 1;
        self.entry.set_requests(self.requests);
        let job = Job {
            live,
            stream,
            before,
        };
        self.woken.push(self.clerks.start(job, &self.ready));
    }
}
