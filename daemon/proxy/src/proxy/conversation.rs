//! A client's connection as a task: small while it idles, for there may be many.
//!
//! It is a future written by hand: between requests it holds a pointer to the connection and nothing else. What goes on
//! otherwise, the opening (PROXY header, TLS) or a request, is a future of its own on the heap.
//!
//! A client that stays idle needs no task at all ([`parked`]). A task whose connection has ended waits for another for a while: to end it and to spawn the next was measured to cost 1 % of
//! a connection with one request.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use super::receive::Beginning;
use super::{Connection, close, parked, receive, walk};
use crate::txn::Termination;

/// What a connection does before its first request of HTTP/1, or instead of any: then none comes back.
pub type Opening = Pin<Box<dyn Future<Output = Option<Box<Connection>>>>>;

/// Most tasks of a thread that wait for another connection.
const MAX_FREE: usize = 128;

/// A task that waits for another connection, or has found one.
struct Place {
    next: Option<State>,
    task: Waker,
}

/// Tasks of a thread that wait for another connection.
#[derive(Default)]
struct Places {
    places: Vec<Option<Place>>,
    /// Those without a connection, the last to come is the first to go.
    free: Vec<u32>,
    /// Those without a task.
    unused: Vec<u32>,
}

thread_local! {
    static PLACES: RefCell<Places> = RefCell::default();
}

impl Places {
    /// A task's place; `None` where enough of them wait.
    fn take(&mut self, task: &Waker) -> Option<u32> {
        if self.free.len() >= MAX_FREE {
            return None;
        }
        let index = self.unused.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u32 - 1
        });
        self.places[index as usize] = Some(Place {
            next: None,
            task: task.clone(),
        });
        self.free.push(index);
        Some(index)
    }

    /// Gives a connection to a task that waits, and wakes it; it comes back where none does.
    fn put(&mut self, connection: State) -> Result<(), State> {
        let Some(place) = self
            .free
            .pop()
            .and_then(|index| self.places[index as usize].as_mut())
        else {
            return Err(connection);
        };
        place.next = Some(connection);
        place.task.wake_by_ref();
        Ok(())
    }

    /// The connection that was given to a task; then its place is no longer its own.
    fn leave(&mut self, index: u32) -> Option<State> {
        let place = self.places.get_mut(index as usize)?;
        let next = place.as_mut()?.next.take()?;
        *place = None;
        self.unused.push(index);
        Some(next)
    }

    /// A task that waits has ended with its runtime.
    fn forget(&mut self, index: u32) -> Option<Place> {
        self.free.retain(|free| *free != index);
        self.unused.push(index);
        self.places.get_mut(index as usize)?.take()
    }
}

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
    /// The task waits at this place for another connection.
    Free(u32),
}

impl Conversation {
    /// HTTP/1 from the first byte on.
    pub fn new(connection: Box<Connection>) -> Self {
        Self(State::New(connection))
    }

    /// Begins it in a task that waits for one, or in a new one.
    pub fn spawn(mut self) {
        let state = std::mem::replace(&mut self.0, State::Over);
        if let Err(state) = PLACES.with_borrow_mut(|places| places.put(state)) {
            tokio::task::spawn_local(Self(state));
        }
    }

    /// HTTP/1 with what `opening` gives, if it does.
    pub fn after(opening: Opening) -> Self {
        Self(State::Busy(opening))
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        if let State::Free(index) = self.0 {
            // At the end of a thread the list may be gone first.
            let place = PLACES.try_with(|places| places.borrow_mut().forget(index));
            drop(place);
        }
    }
}

impl Future for Conversation {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let connection = match &mut self.0 {
                State::Over => {
                    match PLACES.with_borrow_mut(|places| places.take(context.waker())) {
                        Some(index) => self.0 = State::Free(index),
                        None => return Poll::Ready(()),
                    }
                    return Poll::Pending;
                }
                State::Free(index) => {
                    match PLACES.with_borrow_mut(|places| places.leave(*index)) {
                        Some(next) => self.0 = next,
                        None => return Poll::Pending,
                    }
                    continue;
                }
                State::Busy(opening) => ready!(opening.as_mut().poll(context)),
                State::New(connection) => {
                    connection.entry.set_waker(context.waker());
                    self.take()
                }
                State::Idle(connection) => {
                    match ready!(receive::poll_beginning(connection, context)) {
                        Beginning::Request(beginning) => self.begin(beginning),
                        Beginning::Rest => self.rest(context),
                    }
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
            State::Busy(_) | State::Over | State::Free(_) => None,
        }
    }

    /// Parks the connection, after which the task is free. One that cannot be parked is waited for by the task.
    fn rest(&mut self, context: &Context<'_>) {
        self.0 = match self.take().map(parked::park) {
            None | Some(Ok(())) => State::Over,
            Some(Err(mut connection)) => {
                connection.entry.set_waker(context.waker());
                // A failure shows at its next use, which is now.
                let _ = connection.client.watched();
                State::Idle(connection)
            }
        };
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
    fn a_free_task_serves_the_next_connection() {
        for _ in 0..2 {
            let runtime = tokio::runtime::LocalRuntime::new().expect("a runtime");
            runtime.block_on(one_task_serves_three());
        }
        PLACES.with_borrow(|places| assert!(places.free.is_empty(), "its runtime is gone"));
    }

    async fn one_task_serves_three() {
        let (told, mut telling) = tokio::sync::mpsc::unbounded_channel();
        let mut tasks = Vec::new();
        for number in 0..3 {
            let told = told.clone();
            let opening: Opening = Box::pin(async move {
                let _ = told.send((number, tokio::task::id()));
                None
            });
            Conversation::after(opening).spawn();
            let (seen, task) = telling.recv().await.expect("it ran");
            assert_eq!(seen, number);
            tasks.push(task);
            tokio::task::yield_now().await;
        }
        assert!(tasks.iter().all(|task| *task == tasks[0]), "{tasks:?}");
        let free = PLACES.with_borrow(|places| (places.free.len(), places.places.len()));
        assert_eq!(free, (1, 1));
    }

    #[test]
    fn as_many_tasks_wait_as_may() {
        let mut places = Places::default();
        let taken = (0..MAX_FREE + 3).filter(|_| places.take(Waker::noop()).is_some());
        assert_eq!(taken.count(), MAX_FREE);
        assert!(places.put(State::Over).is_ok());
        let index = MAX_FREE as u32 - 1;
        assert!(places.leave(0).is_none());
        assert!(matches!(places.leave(index), Some(State::Over)));
        assert_eq!(places.take(Waker::noop()), Some(index));
        assert_eq!(places.take(Waker::noop()), None);
    }

    #[test]
    fn an_idle_conversation_stays_small() {
        assert!(size_of::<Conversation>() <= MAX_TASK_BYTES);
    }
}
