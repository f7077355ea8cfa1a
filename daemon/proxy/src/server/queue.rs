//! A server's places, and the queues before them: one for each server and one for the whole backend, first in, first out.
//!
//! A place is the server's `sessions` gauge held below its `maxconn`; whoever gives one back hands it to the one
//! who has waited longest for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::state::{Backend, Server, ServerId, Usability};

/// Most requests that wait in one backend's queues; more are refused as if they had waited too long.
const MAX_WAITING: usize = 65_536;

const WAITING: u32 = u32::MAX;
const CHOOSE_AGAIN: u32 = u32::MAX - 1;

/// The places of a backend's servers.
#[derive(Debug)]
pub struct Admission {
    backend: Arc<Backend>,
    /// Waiters in all queues, so that the usual case takes no lock.
    waiting: AtomicUsize,
    queues: Mutex<Queues>,
}

#[derive(Debug, Default)]
struct Queues {
    sequence: u64,
    backend: VecDeque<Arc<Waiter>>,
    servers: Vec<VecDeque<Arc<Waiter>>>,
}

#[derive(Debug)]
struct Waiter {
    sequence: u64,
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
    pub fn new(backend: Arc<Backend>) -> Arc<Self> {
        let servers = backend.servers.iter().map(|_| VecDeque::new()).collect();
        Arc::new(Self {
            backend,
            waiting: AtomicUsize::new(0),
            queues: Mutex::new(Queues {
                servers,
                ..Queues::default()
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place at a server, if it has one and nobody waits for it.
    pub fn try_take(self: &Arc<Self>, id: ServerId) -> Option<Slot> {
        let server = self.backend.servers.get(id.0 as usize)?;
        let maxconn = server.maxconn.load(Relaxed);
        if maxconn > 0 && server.counters.queue.current() > 0 {
            return None;
        }
        server
            .counters
            .sessions
            .try_enter(u64::from(maxconn))
            .then(|| Slot {
                admission: Arc::clone(self),
                server: Arc::clone(server),
            })
    }

    /// Waits for a place: at one server, or at any. `None` when the queue is as long as it may be.
    pub fn wait(self: &Arc<Self>, server: Option<ServerId>) -> Option<Ticket> {
        if self.waiting.load(Relaxed) >= MAX_WAITING {
            return None;
        }
        let mut queues = self.lock();
        let sequence = queues.sequence;
        queues.sequence += 1;
        let waiter = Arc::new(Waiter {
            sequence,
            granted: AtomicU32::new(WAITING),
            waker: Mutex::new(None),
        });
        let before = match server {
            Some(id) => {
                let queue = queues.servers.get_mut(id.0 as usize)?;
                queue.push_back(Arc::clone(&waiter));
                (queue.len() as u32, 0)
            }
            None => {
                queues.backend.push_back(Arc::clone(&waiter));
                (0, queues.backend.len() as u32)
            }
        };
        self.waiting.fetch_add(1, Relaxed);
        self.backend.counters.queue.enter();
        let server = server
            .and_then(|id| self.backend.servers.get(id.0 as usize))
            .cloned();
        if let Some(server) = &server {
            server.counters.queue.enter();
        }
        drop(queues);
        let ticket = Ticket {
            admission: Arc::clone(self),
            waiter,
            server,
            positions: before,
        };
        // A place may have become free before we stood in the queue.
        self.dispatch();
        Some(ticket)
    }

    /// Gives free places to those who wait; called when a place or a server becomes free.
    pub fn dispatch(self: &Arc<Self>) {
        if self.waiting.load(Relaxed) == 0 {
            return;
        }
        let mut queues = self.lock();
        let nobody = self
            .backend
            .servers
            .iter()
            .all(|server| server.usability() != Usability::Up);
        for server in &self.backend.servers {
            let index = server.id.0 as usize;
            if server.usability() == Usability::Down {
                // HAProxy redistributes the queue of a server that goes down.
                while let Some(waiter) = queues.servers[index].pop_front() {
                    self.left(Some(server));
                    waiter.settle(CHOOSE_AGAIN);
                }
                continue;
            }
            loop {
                let own = queues.servers[index].front().map(|waiter| waiter.sequence);
                let any = queues.backend.front().map(|waiter| waiter.sequence);
                let any = any.filter(|_| server.usability() == Usability::Up);
                let from_own = match (own, any) {
                    (None, None) => break,
                    (Some(own), Some(any)) => own < any,
                    (Some(_), None) => true,
                    (None, Some(_)) => false,
                };
                if !server
                    .counters
                    .sessions
                    .try_enter(u64::from(server.maxconn.load(Relaxed)))
                {
                    break;
                }
                let waiter = if from_own {
                    queues.servers[index].pop_front()
                } else {
                    queues.backend.pop_front()
                };
                self.left(from_own.then_some(server));
                if let Some(waiter) = waiter {
                    waiter.settle(server.id.0);
                }
            }
        }
        if nobody {
            while let Some(waiter) = queues.backend.pop_front() {
                self.left(None);
                waiter.settle(CHOOSE_AGAIN);
            }
        }
    }

    fn left(&self, server: Option<&Arc<Server>>) {
        self.waiting.fetch_sub(1, Relaxed);
        self.backend.counters.queue.leave();
        if let Some(server) = server {
            server.counters.queue.leave();
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
        self.admission.dispatch();
    }
}

/// A place in a queue; left when dropped.
#[derive(Debug)]
pub struct Ticket {
    admission: Arc<Admission>,
    waiter: Arc<Waiter>,
    server: Option<Arc<Server>>,
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
        let server = self.admission.backend.servers.get(outcome as usize)?;
        Some(Slot {
            admission: Arc::clone(&self.admission),
            server: Arc::clone(server),
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut queues = self.admission.lock();
        let queue = match &self.server {
            Some(server) => queues.servers.get_mut(server.id.0 as usize),
            None => Some(&mut queues.backend),
        };
        if let Some(queue) = queue
            && let Some(at) = queue
                .iter()
                .position(|waiter| Arc::ptr_eq(waiter, &self.waiter))
        {
            queue.remove(at);
            self.admission.left(self.server.as_ref());
        }
        drop(queues);
        // A place that was granted and not taken goes on to the next.
        drop(self.take(self.outcome()));
    }
}
