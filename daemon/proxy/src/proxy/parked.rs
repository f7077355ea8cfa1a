//! Idle clients of HTTP/1 that no task waits for and the runtime does not watch: a connection and a place in a list.
//!
//! With thousands of idle clients the runtime's records and tasks are half of what each costs. All that are parked by a thread
//! are watched together, by an epoll descriptor of their own ([`sys::watch`]); one that sends, ends, is killed or has
//! waited for too long gets a task again. A client is parked before it is watched for the first time, and when it has been idle for a
//! while; one that came back soon is left to the runtime, which is cheaper for those that ask often.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use sys::watch::Watch;
use tokio::sync::Notify;

use super::{Connection, Conversation};

/// A client that comes back within this time is not parked again until it has been idle for long.
const SOON_US: u64 = 1_000_000;

/// Parked connections that somebody called, each at most once.
#[derive(Default)]
struct Calls {
    places: Mutex<Vec<u64>>,
    called: Notify,
}

impl Calls {
    fn places(&self) -> MutexGuard<'_, Vec<u64>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls a parked connection: its timer has it, and whoever may end its session.
struct Call {
    place: u64,
    is_called: AtomicBool,
    calls: Arc<Calls>,
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_called.swap(true, Ordering::Relaxed) {
            self.calls.places().push(self.place);
            self.calls.called.notify_one();
        }
    }
}

/// The parked connections of a thread; there are at most as many as there may be connections.
struct Lot {
    watch: Rc<Watch>,
    calls: Arc<Calls>,
    places: Vec<Option<Box<Connection>>>,
    unused: Vec<u64>,
}

thread_local! {
    static LOT: RefCell<Option<Lot>> = const { RefCell::new(None) };
}

/// Leaves an idle connection without a task. It comes back where that cannot be, or where there is something to do already.
pub(super) fn park(mut connection: Box<Connection>) -> Result<(), Box<Connection>> {
    if connection.client.unwatched().is_err() {
        return Err(connection);
    }
    let outcome = LOT.with_borrow_mut(|lot| match lot {
        Some(lot) => lot.take(connection),
        None => Err(connection),
    });
    outcome.map_err(|mut connection| {
        connection.timer.disarm();
        connection
    })
}

impl Lot {
    fn take(&mut self, mut connection: Box<Connection>) -> Result<(), Box<Connection>> {
        let place = self.unused.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u64 - 1
        });
        let waker = Waker::from(Arc::new(Call {
            place,
            is_called: AtomicBool::new(false),
            calls: Arc::clone(&self.calls),
        }));
        connection.entry.set_waker(&waker);
        connection.timer.disarm();
        let timer = connection.timer.poll(&mut Context::from_waker(&waker));
        let is_due = timer.is_ready() || connection.timer.deadline_us() <= connection.now_us();
        let watched = match connection.client.resting() {
            Some(fresh) => self.watch.add_readable(fresh.socket(), place).is_ok(),
            None => false,
        };
        // What was said before the waker was set is seen here.
        let is_called = connection.is_draining() || connection.poll_word().is_ready();
        if is_due || is_called || !watched {
            self.unused.push(place);
            if let Some(fresh) = connection.client.resting() {
                self.watch.remove(fresh.socket());
            }
            return Err(connection);
        }
        self.places[place as usize] = Some(connection);
        Ok(())
    }

    fn give(&mut self, place: u64) -> Option<Box<Connection>> {
        let mut connection = self.places.get_mut(place as usize)?.take()?;
        self.unused.push(place);
        connection.timer.disarm();
        let soon = connection.now_us() < connection.since_us.saturating_add(SOON_US);
        if let Some(fresh) = connection.client.resting() {
            self.watch.remove(fresh.socket());
            fresh.woken(!soon);
        }
        Some(connection)
    }
}

/// Ends the lot with its runtime.
struct Closing;

impl Drop for Closing {
    fn drop(&mut self) {
        // Dropped outside of the borrow. At the end of a thread it may be gone already.
        let lot = LOT.try_with(|lot| lot.borrow_mut().take());
        drop(lot);
    }
}

/// Gives a task to each parked connection of the calling thread for which there is something to do; it never ends. Without it
/// none is parked.
pub async fn drive() {
    let Ok(watch) = Watch::new() else {
        // Out of descriptors: each idle client keeps its task.
        return;
    };
    let watch = Rc::new(watch);
    let calls = Arc::new(Calls::default());
    LOT.set(Some(Lot {
        watch: Rc::clone(&watch),
        calls: Arc::clone(&calls),
        places: Vec::new(),
        unused: Vec::new(),
    }));
    let _closing = Closing;
    let mut ready = Vec::new();
    loop {
        tokio::select! {
            () = watch.ready(&mut ready) => {}
            () = calls.called.notified() => ready.append(&mut calls.places()),
        }
        for place in ready.drain(..) {
            let connection = LOT.with_borrow_mut(|lot| lot.as_mut()?.give(place));
            if let Some(connection) = connection {
                Conversation::new(connection).spawn();
            }
        }
    }
}
