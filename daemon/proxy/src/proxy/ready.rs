//! Which streams of an HTTP/2 connection have something to do. They are polled inside the connection's own task: a task for
//! each was measured to cost two more turns of the scheduler for each request.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What of a connection was woken. As a waker it stands for the connection's frames. It may be woken from any thread.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// Whether the task knows: it was woken, or it is at work.
    told: AtomicBool,
    connection: AtomicBool,
    any_stream: AtomicBool,
    /// Places of woken streams, in order. Each is named once, so that there are never more than streams.
    streams: Mutex<Vec<usize>>,
    task: Mutex<Option<Waker>>,
}

impl Ready {
    /// The task that is to be woken.
    pub(super) fn set_task(&self, context: &Context<'_>) {
        *lock(&self.task) = Some(context.waker().clone());
    }

    fn tell(&self) {
        if !self.told.swap(true, SeqCst)
            && let Some(task) = &*lock(&self.task)
        {
            task.wake_by_ref();
        }
    }

    /// The task begins to look around: until [`Ready::end`] it need not be woken.
    pub(super) fn begin(&self) {
        // A wake that is missed here is seen at the end.
        self.told.store(true, Relaxed);
    }

    /// Moves the woken streams to the end of a list.
    pub(super) fn take_streams(&self, streams: &mut Vec<usize>) {
        if self.any_stream.load(Acquire) && self.any_stream.swap(false, AcqRel) {
            streams.append(&mut lock(&self.streams));
        }
    }

    /// Whether the connection was woken; it is not any more.
    pub(super) fn take_connection(&self) -> bool {
        self.connection.load(Acquire) && self.connection.swap(false, AcqRel)
    }

    /// Whether nothing was woken that was not taken; then the task is woken again when something is.
    pub(super) fn end(&self) -> bool {
        // First this, then the look: who wakes does it in the other order.
        self.told.swap(false, SeqCst);
        if !self.connection.load(SeqCst) && !self.any_stream.load(SeqCst) {
            return true;
        }
        self.begin();
        false
    }
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.connection.swap(true, SeqCst) {
            self.tell();
        }
    }
}

/// A stream's waker; it is for one place of a connection, whose streams come and go.
#[derive(Debug)]
pub(super) struct Mark {
    ready: Arc<Ready>,
    place: usize,
    is_woken: AtomicBool,
}

impl Mark {
    /// For a place of a connection.
    pub(super) fn new(ready: &Arc<Ready>, place: usize) -> Arc<Self> {
        Arc::new(Self {
            ready: Arc::clone(ready),
            place,
            is_woken: AtomicBool::new(false),
        })
    }

    /// The stream is about to be polled.
    pub(super) fn clear(&self) {
        self.is_woken.swap(false, AcqRel);
    }
}

impl Wake for Mark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_woken.swap(true, AcqRel) {
            return;
        }
        let ready = &*self.ready;
        lock(&ready.streams).push(self.place);
        ready.any_stream.store(true, SeqCst);
        ready.tell();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn the_task_is_woken_once_until_it_has_looked_and_not_while_it_looks() {
        let task = Arc::<Task>::default();
        let ready = Arc::<Ready>::default();
        ready.set_task(&Context::from_waker(&Waker::from(Arc::clone(&task))));
        let marks = [Mark::new(&ready, 0), Mark::new(&ready, 7)];
        for mark in [&marks[1], &marks[0], &marks[1]] {
            mark.wake_by_ref();
        }
        ready.wake_by_ref();
        assert_eq!(task.0.load(SeqCst), 1);
        ready.begin();
        let mut woken = Vec::new();
        ready.take_streams(&mut woken);
        assert_eq!(woken, [7, 0], "in order, each once");
        assert!(ready.take_connection());
        marks[0].clear();
        marks[0].wake_by_ref();
        assert_eq!(task.0.load(SeqCst), 1, "it is at work");
        assert!(!ready.end(), "there is something new");
        ready.take_streams(&mut woken);
        assert_eq!(woken, [7, 0, 0]);
        assert!(ready.end());
        ready.wake_by_ref();
        assert_eq!(task.0.load(SeqCst), 2);
    }
}
