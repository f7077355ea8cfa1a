//! A server's places, and the queues before them: one for each server and one for the whole backend.
//!
//! A place is the server's `sessions` gauge held below its limit; whoever gives one back hands it to the one who is
//! first in line: by priority class, then by the time of arrival with the priority's offset.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::balance::Balancer;
use crate::state::{Backend, Server, ServerId, Usability, add, subtract};
use crate::txn::Priority;

/// Most requests that wait in one backend's queues; more are refused as if they had waited too long.
const MAX_WAITING: usize = 65_536;

const WAITING: u32 = u32::MAX;
const CHOOSE_AGAIN: u32 = u32::MAX - 1;

/// Where a waiter stands: class, time of arrival with offset, order of arrival.
type Line = (i16, i64, u64);
type Queue = BTreeMap<Line, Arc<Waiter>>;

/// The places of a backend's servers.
#[derive(Debug)]
pub struct Admission {
    backend: Arc<Backend>,
    balancer: Arc<Balancer>,
    /// Waiters in all queues, so that the usual case takes no lock.
    waiting: AtomicUsize,
    queues: Mutex<Queues>,
}

#[derive(Debug, Default)]
struct Queues {
    sequence: u64,
    backend: Queue,
    /// By the server's index; one to which nobody ever waited may be absent.
    servers: Vec<Queue>,
}

impl Queues {
    fn of(&mut self, server: &Server) -> &mut Queue {
        let index = server.id.0 as usize;
        if self.servers.len() <= index {
            self.servers.resize_with(index + 1, Queue::new);
        }
        &mut self.servers[index]
    }
}

#[derive(Debug)]
struct Waiter {
    /// The server whose place it got, or [`WAITING`], or [`CHOOSE_AGAIN`].
    granted: AtomicU32,
    waker: Mutex<Option<Waker>>,
}

impl Waiter {
    fn settle(&self, outcome: u32) {
        self.granted.store(outcome, Relaxed);
        if let Some(waker) = self
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            waker.wake();
        }
    }
}

impl Admission {
    /// The places of a backend.
    pub fn new(backend: Arc<Backend>, balancer: Arc<Balancer>) -> Arc<Self> {
        Arc::new(Self {
            backend,
            balancer,
            waiting: AtomicUsize::new(0),
            queues: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place at a server, if it has one and nobody waits for it.
    pub fn try_take(self: &Arc<Self>, id: ServerId) -> Option<Slot> {
        let server = self.backend.server(id)?;
        let places = self.backend.places(&server);
        if places > 0 && server.counters.queue.current() > 0 {
            return None;
        }
        if !server.counters.sessions.try_enter(u64::from(places)) {
            return None;
        }
        add(&self.backend.served, 1);
        self.balancer.load_changed(&server);
        Some(Slot {
            admission: Arc::clone(self),
            server,
        })
    }

    /// Waits for a place: at one server, or at any. `None` when the queue is as long as it may be.
    pub fn wait(
        self: &Arc<Self>,
        server: Option<ServerId>,
        priority: Priority,
        now_ms: u64,
    ) -> Option<Ticket> {
        if self.waiting.load(Relaxed) >= MAX_WAITING {
            return None;
        }
        // Nobody waits for one that has just been removed: any other will do.
        let server = server.and_then(|id| self.backend.server(id));
        let mut queues = self.lock();
        let arrival = now_ms as i64 + i64::from(priority.offset_ms);
        let line = (priority.class, arrival, queues.sequence);
        queues.sequence += 1;
        let waiter = Arc::new(Waiter {
            granted: AtomicU32::new(WAITING),
            waker: Mutex::new(None),
        });
        let queue = match &server {
            Some(server) => queues.of(server),
            None => &mut queues.backend,
        };
        queue.insert(line, Arc::clone(&waiter));
        let length = queue.len() as u32;
        let positions = if server.is_some() {
            (length, 0)
        } else {
            (0, length)
        };
        self.waiting.fetch_add(1, Relaxed);
        self.backend.counters.queue.enter();
        if let Some(server) = &server {
            server.counters.queue.enter();
            self.balancer.load_changed(server);
        }
        drop(queues);
        let ticket = Ticket {
            admission: Arc::clone(self),
            waiter,
            server,
            line,
            positions,
        };
        // A place may have become free before we stood in the queue.
        match &ticket.server {
            Some(server) => self.dispatch_to(server),
            None => self.dispatch(),
        }
        Some(ticket)
    }

    /// Takes a server out of the backend if nobody is there or waits for it. Says whether that was so.
    pub fn remove(&self, server: &Server) -> bool {
        // Nobody is given a place there meanwhile.
        let _queues = self.lock();
        let counters = &server.counters;
        if counters.sessions.current() > 0 || counters.queue.current() > 0 {
            return false;
        }
        server.is_removed.store(true, Relaxed);
        self.backend.servers.remove(server.id.0 as usize).is_some()
    }

    /// Gives free places to those who wait; called when servers or their limits have changed.
    pub fn dispatch(self: &Arc<Self>) {
        if self.waiting.load(Relaxed) == 0 {
            return;
        }
        let mut queues = self.lock();
        let mut is_any_up = false;
        for server in self.backend.servers.now().iter() {
            is_any_up |= server.usability() == Usability::Up;
            self.serve(&mut queues, server);
        }
        if !is_any_up {
            while let Some((_, waiter)) = queues.backend.pop_first() {
                self.left(None);
                waiter.settle(CHOOSE_AGAIN);
            }
        }
    }

    /// Gives the free places of one server to those who wait.
    fn dispatch_to(&self, server: &Arc<Server>) {
        if self.waiting.load(Relaxed) > 0 {
            self.serve(&mut self.lock(), server);
        }
    }

    fn serve(&self, queues: &mut Queues, server: &Arc<Server>) {
        let usability = server.usability();
        if usability == Usability::Down {
            // HAProxy redistributes the queue of a server that goes down.
            while let Some((_, waiter)) = queues.of(server).pop_first() {
                self.left(Some(server));
                waiter.settle(CHOOSE_AGAIN);
            }
            return;
        }
        loop {
            let own = queues.of(server).first_key_value().map(|(line, _)| *line);
            // The backend's queue is for servers that take new clients: not for a backup while others serve.
            let any = queues
                .backend
                .first_key_value()
                .map(|(line, _)| *line)
                .filter(|_| {
                    usability == Usability::Up && self.balancer.serves(&self.backend, server.id)
                });
            let from_own = match (own, any) {
                (None, None) => return,
                (Some(own), Some(any)) => own < any,
                (own, _) => own.is_some(),
            };
            let places = u64::from(self.backend.places(server));
            if !server.counters.sessions.try_enter(places) {
                return;
            }
            let waiter = if from_own {
                queues.of(server).pop_first()
            } else {
                queues.backend.pop_first()
            };
            add(&self.backend.served, 1);
            self.left(from_own.then_some(server));
            self.balancer.load_changed(server);
            if let Some((_, waiter)) = waiter {
                waiter.settle(server.id.0);
            }
        }
    }

    fn left(&self, server: Option<&Arc<Server>>) {
        self.waiting.fetch_sub(1, Relaxed);
        self.backend.counters.queue.leave();
        if let Some(server) = server {
            server.counters.queue.leave();
            self.balancer.load_changed(server);
        }
    }
}

/// A place at a server; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    admission: Arc<Admission>,
    server: Arc<Server>,
}

impl Slot {
    /// Where.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.server.counters.sessions.leave();
        subtract(&self.admission.backend.served, 1);
        self.admission.balancer.freed(&self.server);
        self.admission.dispatch_to(&self.server);
    }
}

/// A place in a queue; left when dropped.
#[derive(Debug)]
pub struct Ticket {
    admission: Arc<Admission>,
    waiter: Arc<Waiter>,
    server: Option<Arc<Server>>,
    line: Line,
    /// Its place, the first is 1: in the server's queue, in the backend's; 0 where it does not stand.
    pub positions: (u32, u32),
}

impl Ticket {
    /// Ready when its turn has come; `None` means: choose again.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Slot>> {
        match self.outcome() {
            WAITING => {}
            outcome => return Poll::Ready(self.take(outcome)),
        }
        *self
            .waiter
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
        // It may have been settled before the waker was there.
        match self.outcome() {
            WAITING => Poll::Pending,
            outcome => Poll::Ready(self.take(outcome)),
        }
    }

    fn outcome(&self) -> u32 {
        self.waiter.granted.load(Relaxed)
    }

    fn take(&self, outcome: u32) -> Option<Slot> {
        self.waiter.granted.store(CHOOSE_AGAIN, Relaxed);
        let server = self.admission.backend.server(ServerId(outcome))?;
        Some(Slot {
            admission: Arc::clone(&self.admission),
            server,
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut queues = self.admission.lock();
        let queue = match &self.server {
            Some(server) => queues.of(server),
            None => &mut queues.backend,
        };
        if queue.remove(&self.line).is_some() {
            self.admission.left(self.server.as_ref());
        }
        drop(queues);
        // A place that was granted and not taken goes on to the next.
        drop(self.take(self.outcome()));
    }
}
