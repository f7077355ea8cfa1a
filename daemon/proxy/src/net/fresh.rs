//! A TCP connection that the runtime does not watch. A client that closes after one answer has mostly sent its request
//! when it is accepted: it is read, answered and closed without ever being entered among what is watched, which was
//! measured to save 5 to 8 % of such a connection's cost. Whoever has to wait for one enters it ([`super::Stream::watched`]).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::TcpStream;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::app::Clock;

/// How long a client that waits for its answer may go unwatched: that it has left is noticed after it, or after twice as long.
const UNWATCHED: Duration = Duration::from_millis(10);
const UNWATCHED_US: u64 = UNWATCHED.as_micros() as u64;
/// Most clients of a thread that wait unwatched; further ones are watched at once.
const MAX_UNWATCHED: usize = 4_096;

/// Tasks that wait with an unwatched client, by the moment when they are to look again. One timer serves them all: one
/// each was measured to cost a system call for every third request.
#[derive(Default)]
struct Waiting {
    tasks: VecDeque<(u64, Option<Waker>)>,
    /// The number of the first of them.
    first: u64,
    /// The task that wakes them, while nobody waits.
    waker: Option<Waker>,
    /// Whether there is one.
    is_served: bool,
}

thread_local! {
    static WAITING: RefCell<Waiting> = RefCell::default();
}

/// Wakes this thread's tasks whose clients have gone unwatched for long enough; runs as long as its runtime.
pub async fn wake_unwatched(clock: Clock) {
    WAITING.with_borrow_mut(|waiting| waiting.is_served = true);
    loop {
        poll_fn(|context| {
            WAITING.with_borrow_mut(|waiting| {
                if !waiting.tasks.is_empty() {
                    return Poll::Ready(());
                }
                waiting.waker = Some(context.waker().clone());
                Poll::Pending
            })
        })
        .await;
        tokio::time::sleep(UNWATCHED).await;
        let now_us = clock.now_us();
        let next_due = || {
            WAITING.with_borrow_mut(|waiting| {
                let (due_us, _) = waiting.tasks.front()?;
                let (_, task) = (*due_us <= now_us).then(|| waiting.tasks.pop_front())??;
                waiting.first += 1;
                Some(task)
            })
        };
        // Woken outside of the borrow: a task's last waker takes its memory along.
        while let Some(task) = next_due() {
            task.into_iter().for_each(Waker::wake);
        }
    }
}

/// A task that is to be woken, until this is dropped.
#[derive(Debug)]
struct Appointment(u64);

impl Drop for Appointment {
    fn drop(&mut self) {
        // At the end of a thread the list may be gone first. The waker is dropped outside of the borrow.
        let task = WAITING.try_with(|waiting| {
            let mut waiting = waiting.borrow_mut();
            let place = usize::try_from(self.0.checked_sub(waiting.first)?).ok()?;
            waiting.tasks.get_mut(place)?.1.take()
        });
        drop(task);
    }
}

/// Has a task woken at a moment; `None` where nobody does that.
fn wake_at(due_us: u64, task: &Waker) -> Option<Appointment> {
    WAITING.with_borrow_mut(|waiting| {
        if !waiting.is_served || waiting.tasks.len() >= MAX_UNWATCHED {
            return None;
        }
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
        waiting.tasks.push_back((due_us, Some(task.clone())));
        Some(Appointment(waiting.first + waiting.tasks.len() as u64 - 1))
    })
}

/// A connection that nobody watches; it does not block.
#[derive(Debug)]
pub struct Fresh {
    socket: TcpStream,
    /// Whether the peer speaks first: then a read is worth a try.
    is_client: bool,
    /// When it is to be watched at the latest; 0 while nothing is waited for.
    watched_from_us: u64,
    /// Its task is woken then.
    appointment: Option<Appointment>,
    /// Whether it may idle without a task and without the runtime.
    rests: bool,
}

impl Fresh {
    /// A client's, just accepted or idle.
    pub fn client(socket: TcpStream) -> Self {
        Self {
            socket,
            is_client: true,
            watched_from_us: 0,
            appointment: None,
            rests: true,
        }
    }

    /// A server's, just connected.
    pub fn server(socket: TcpStream) -> Self {
        Self {
            socket,
            is_client: false,
            watched_from_us: 0,
            appointment: None,
            rests: false,
        }
    }

    /// Whether it is to be watched now, while something else is waited for. If not yet, `task` is woken when it is.
    pub(super) fn wants_watching(&mut self, clock: Clock, task: &Waker) -> bool {
        let now_us = clock.now_us();
        if self.watched_from_us > 0 {
            return now_us >= self.watched_from_us;
        }
        self.watched_from_us = now_us + UNWATCHED_US;
        self.appointment = wake_at(self.watched_from_us, task);
        self.appointment.is_none()
    }

    /// Reads what is there; `None` where it has to be waited for.
    pub fn read(&mut self, space: &mut [u8]) -> Option<io::Result<usize>> {
        if !self.is_client {
            return None;
        }
        now(sys::tcp::receive(&self.socket, space))
    }

    /// Writes what there is room for; `None` where it has to be waited for.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Option<io::Result<usize>> {
        now(sys::tcp::send(&self.socket, bytes))
    }

    /// Whether it may idle without a task and without the runtime.
    pub(super) fn rests(&self) -> bool {
        self.rests
    }

    /// Another idle time is behind it; `rests` says whether the next one may be like it.
    pub fn woken(&mut self, rests: bool) {
        self.rests = rests;
        self.watched_from_us = 0;
        self.appointment = None;
    }

    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The socket, for whoever watches it.
    pub fn into_socket(self) -> TcpStream {
        self.socket
    }
}

fn now(outcome: io::Result<usize>) -> Option<io::Result<usize>> {
    match outcome {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ) =>
        {
            None
        }
        outcome => Some(outcome),
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::task::Poll;

    use super::{Fresh, UNWATCHED, WAITING, wake_unwatched};
    use crate::app::Clock;
    use crate::net::{Buffer, Stream, poll_write_all};

    #[tokio::test(flavor = "current_thread")]
    async fn it_reads_and_writes_unwatched_and_is_watched_once_it_must_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("it is bound");
        let mut peer = std::net::TcpStream::connect(address).expect("it listens");
        peer.write_all(b"hello").expect("room");
        let (socket, _) = listener.accept().expect("a client");
        socket.set_nonblocking(true).expect("a socket can");
        let mut stream = Stream::Fresh(Fresh::client(socket));
        let mut input = Buffer::default();
        let count = poll_fn(|context| stream.poll_read(context, &mut input)).await;
        assert_eq!((count.ok(), input.data()), (Some(5), &b"hello"[..]));
        let mut written = 0;
        poll_fn(|context| poll_write_all(&mut stream, context, b"there", &mut written))
            .await
            .expect("room");
        assert!(matches!(stream, Stream::Fresh(_)));
        let mut seen = [0; 5];
        peer.read_exact(&mut seen).expect("it was sent");
        assert_eq!(&seen, b"there");
        input.consume(5);
        let more = tokio::task::spawn_blocking(move || peer.write_all(b"more").map(|()| peer));
        let count = poll_fn(|context| stream.poll_read(context, &mut input)).await;
        assert_eq!((count.ok(), input.data()), (Some(4), &b"more"[..]));
        drop(more.await.expect("it ran").expect("room"));
        input.consume(4);
        let end = poll_fn(|context| stream.poll_read(context, &mut input)).await;
        assert_eq!(end.ok(), Some(0));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn one_that_waits_for_something_else_is_watched_after_a_while() {
        let clock = Clock::start();
        let fresh = || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
            let address = listener.local_addr().expect("it is bound");
            let peer = std::net::TcpStream::connect(address).expect("it listens");
            (Fresh::client(listener.accept().expect("a client").0), peer)
        };
        let (mut alone, _peer) = fresh();
        assert!(
            poll_fn(|context| Poll::Ready(alone.wants_watching(clock, context.waker()))).await,
            "nobody would wake the task"
        );
        tokio::select! {
            () = wake_unwatched(clock) => {}
            () = async {
                tokio::task::yield_now().await;
                let (mut client, _peer) = fresh();
                let begun = std::time::Instant::now();
                let mut polls = 0;
                poll_fn(|context| {
                    polls += 1;
                    match client.wants_watching(clock, context.waker()) {
                        true => Poll::Ready(()),
                        false => Poll::Pending,
                    }
                })
                .await;
                assert!(begun.elapsed() >= UNWATCHED && polls > 1);
                drop(client);
                // One that ends before its time leaves no waker behind.
                let (mut early, _peer) = fresh();
                let is_due = poll_fn(|context| {
                    Poll::Ready(early.wants_watching(clock, context.waker()))
                });
                assert!(!is_due.await);
                let wakers = || {
                    WAITING.with_borrow(|waiting| {
                        let tasks = waiting.tasks.iter();
                        tasks.filter(|(_, task)| task.is_some()).count()
                    })
                };
                assert_eq!(wakers(), 1);
                drop(early);
                assert_eq!(wakers(), 0);
            } => {}
        }
    }
}
