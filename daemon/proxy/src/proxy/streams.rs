//! Those who serve streams of HTTP/2, one request after another: the state of a request's walk is large, and making it anew
//! for each request was measured to cost a tenth of it. A thread keeps its idle ones for any connection. They are polled by the
//! connection's task.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::multiplex::{Live, Shared};
use super::ready::{Mark, Ready};
use super::{Connection, walk};
use crate::net::{Buffer, Stream, Timer};
use crate::txn::Session;

/// Idle ones that a thread keeps.
const MAX_IDLE: usize = 512;

/// Places that a connection without streams keeps.
const MAX_KEPT_PLACES: usize = 1;

/// A stream to be served.
pub(super) struct Job {
    /// Its place among those of its connection.
    pub(super) live: Live,
    /// The stream.
    pub(super) stream: Stream,
    /// Requests before it on its connection.
    pub(super) before: u64,
}

thread_local! {
    // Boxes: one is handed from connection to connection.
    #[allow(clippy::vec_box)]
    static IDLE: RefCell<Vec<Box<Clerk>>> = const { RefCell::new(Vec::new()) };
}

/// Serves one stream at a time.
struct Clerk {
    desk: Rc<Desk>,
    work: Pin<Box<dyn Future<Output = ()>>>,
}

/// Where a clerk finds its stream with a timer, and leaves the timer when it is done.
#[derive(Default)]
struct Desk {
    job: Cell<Option<(Job, Option<Timer>)>>,
    timer: Cell<Option<Timer>>,
    is_busy: Cell<bool>,
}

impl Clerk {
    fn take() -> Box<Self> {
        IDLE.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
            let desk = Rc::<Desk>::default();
            Box::new(Self {
                // Whoever polls it bounds the turn.
                work: Box::pin(tokio::task::unconstrained(work(Rc::clone(&desk)))),
                desk,
            })
        })
    }

    fn give_back(self: Box<Self>) {
        IDLE.with_borrow_mut(|idle| {
            if idle.len() < MAX_IDLE {
                idle.push(self);
            }
        });
    }
}

/// A place for a stream of a connection. Its timer and its waker belong together.
struct Place {
    mark: Arc<Mark>,
    waker: Waker,
    timer: Option<Timer>,
    stream: u32,
    /// `None` while it is free.
    clerk: Option<Box<Clerk>>,
}

impl Place {
    fn new(ready: &Arc<Ready>, number: usize) -> Self {
        let mark = Mark::new(ready, number);
        Self {
            waker: Waker::from(Arc::clone(&mark)),
            mark,
            timer: None,
            stream: 0,
            clerk: None,
        }
    }

    /// Goes on with its stream; says whether that ended.
    fn poll(&mut self) -> bool {
        self.mark.clear();
        let Some(mut clerk) = self.clerk.take() else {
            return false;
        };
        let _ = clerk
            .work
            .as_mut()
            .poll(&mut Context::from_waker(&self.waker));
        if clerk.desk.is_busy.get() {
            self.clerk = Some(clerk);
            return false;
        }
        self.timer = clerk.desk.timer.take();
        clerk.give_back();
        true
    }
}

/// Those who serve the streams of one connection.
#[derive(Default)]
pub(super) struct Clerks {
    places: Vec<Place>,
    free: Vec<usize>,
}

impl Clerks {
    /// Whether no stream is served.
    pub(super) fn is_idle(&self) -> bool {
        self.free.len() == self.places.len()
    }

    /// Takes a stream; gives its place, which is to be polled.
    pub(super) fn start(&mut self, job: Job, ready: &Arc<Ready>) -> usize {
        let number = self.free.pop().unwrap_or_else(|| {
            if self.places.is_empty() {
                // Most connections have one stream at a time.
                self.places.reserve_exact(1);
            }
            self.places.push(Place::new(ready, self.places.len()));
            self.places.len() - 1
        });
        let place = &mut self.places[number];
        let clerk = Clerk::take();
        place.stream = job.live.stream();
        clerk.desk.job.set(Some((job, place.timer.take())));
        clerk.desk.is_busy.set(true);
        place.clerk = Some(clerk);
        number
    }

    /// Goes on with the stream of a place; says whether that ended.
    pub(super) fn poll(&mut self, number: usize) -> bool {
        let has_ended = self.places.get_mut(number).is_some_and(Place::poll);
        if has_ended {
            self.free.push(number);
            if self.places.len() > MAX_KEPT_PLACES && self.is_idle() {
                self.places.truncate(MAX_KEPT_PLACES);
                self.places.shrink_to_fit();
                self.free = (0..self.places.len()).collect();
            }
        }
        has_ended
    }

    /// Makes a stream look around; all of them if none is named.
    pub(super) fn wake(&self, stream: Option<u32>) {
        for place in &self.places {
            if place.clerk.is_some() && stream.is_none_or(|stream| stream == place.stream) {
                place.waker.wake_by_ref();
            }
        }
    }
}

/// Serves streams as they come to the desk.
async fn work(desk: Rc<Desk>) {
    loop {
        let (job, timer) = poll_fn(|_| match desk.job.take() {
            Some(job) => Poll::Ready(job),
            // Whoever brings the next one polls.
            None => Poll::Pending,
        })
        .await;
        let timer = transaction(job, timer).await;
        desk.timer.set(Some(timer));
        desk.is_busy.set(false);
    }
}

/// A stream's session in the table; it leaves it when dropped.
struct Listed<'s>(&'s Shared, u64);

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.0.app.shared.sessions.leave(self.1);
    }
}

/// One stream: the walk of its request. The place's timer goes through it.
async fn transaction(job: Job, timer: Option<Timer>) -> Timer {
    let shared = &*job.live.0;
    let app = &shared.app;
    let now_us = app.shared.clock.now_us();
    let mut timer = timer.unwrap_or_default();
    timer.set(now_us, None);
    let id = app.shared.sessions.next_id();
    let source = shared.session.source;
    let front = shared.front.frontend.id;
    let entry = app
        .shared
        .sessions
        .enter(id, front, source, false, now_us / 1_000);
    let listed = Listed(shared, id);
    poll_fn(|context| {
        entry.set_waker(context.waker());
        Poll::Ready(())
    })
    .await;
    let mut connection = Connection {
        app: Arc::clone(app),
        front: Arc::clone(&shared.front),
        session: Session {
            id,
            ..shared.session.clone()
        },
        entry,
        client: job.stream,
        input: Buffer::default(),
        timer,
        requests: job.before,
        since_us: now_us,
        private: None,
        source_text: shared.source_text.take(),
        last_server: None,
        lingers: false,
        is_gone: false,
        watched: None,
        http2_preface: false,
        presence: None,
    };
    walk::serve_stream(&mut connection).await;
    // For the next stream: it is made once for a connection of few streams at a time.
    if connection.source_text.is_some() {
        shared.source_text.replace(connection.source_text.take());
    }
    drop(listed);
    connection.timer
}
