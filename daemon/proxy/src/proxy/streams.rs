//! The tasks that serve streams of HTTP/2, one request after another: a task is large, and making one for each request was
//! measured to cost a tenth of it. A thread keeps its idle ones for any connection.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use super::multiplex::{Live, Shared};
use super::{Connection, walk};
use crate::net::{Buffer, Stream, Timer};
use crate::txn::Session;

/// Idle tasks that a thread keeps.
const MAX_IDLE: usize = 512;

/// A stream to be served.
pub(super) struct Job {
    /// Its place among those of its connection.
    pub(super) live: Live,
    /// The stream.
    pub(super) stream: Stream,
    /// Requests before it on its connection.
    pub(super) before: u64,
}

/// Where an idle task gets its next stream.
#[derive(Default)]
struct Desk {
    job: Cell<Option<Job>>,
    waker: RefCell<Option<Waker>>,
}

thread_local! {
    static IDLE: RefCell<Vec<Rc<Desk>>> = const { RefCell::new(Vec::new()) };
}

/// Gives a stream to an idle task, or to a new one.
pub(super) fn assign(job: Job) {
    let idle = IDLE.with_borrow_mut(Vec::pop);
    let is_new = idle.is_none();
    let desk = idle.unwrap_or_default();
    desk.job.set(Some(job));
    if is_new {
        tokio::task::spawn_local(work(desk));
    } else if let Some(waker) = desk.waker.borrow().as_ref() {
        waker.wake_by_ref();
    }
}

/// Serves streams until there are idle tasks enough.
async fn work(desk: Rc<Desk>) {
    let mut timer = None;
    loop {
        let job = poll_fn(|context| match desk.job.take() {
            Some(job) => Poll::Ready(job),
            None => {
                desk.waker
                    .borrow_mut()
                    .get_or_insert_with(|| context.waker().clone());
                Poll::Pending
            }
        })
        .await;
        timer = Some(transaction(job, timer).await);
        let is_kept = IDLE.with_borrow_mut(|idle| {
            let is_kept = idle.len() < MAX_IDLE;
            if is_kept {
                idle.push(Rc::clone(&desk));
            }
            is_kept
        });
        if !is_kept {
            return;
        }
    }
}

/// A stream's session in the table; it leaves it when dropped.
struct Listed<'s>(&'s Shared, u64);

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.0.app.shared.sessions.leave(self.1);
    }
}

/// One stream: the walk of its request. The task's timer goes through it.
async fn transaction(job: Job, timer: Option<Timer>) -> Timer {
    let shared = &*job.live.0;
    let app = &shared.app;
    let clock = app.shared.clock;
    let now_us = clock.now_us();
    let mut timer = timer.unwrap_or_else(|| Timer::new(clock));
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
    };
    walk::serve_stream(&mut connection).await;
    // For the next stream: it is made once for a connection of few streams at a time.
    if connection.source_text.is_some() {
        shared.source_text.replace(connection.source_text.take());
    }
    drop(listed);
    connection.timer
}
