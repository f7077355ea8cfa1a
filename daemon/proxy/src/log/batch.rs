//! Log lines of a thread that wait for the end of the runtime's turn.

use std::cell::RefCell;
use std::task::Waker;

use super::LogSockets;

/// Most lines that wait; then they go at once.
const MAX_LINES: usize = 64;

#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// Target and end of each line.
    lines: Vec<(usize, usize)>,
    /// Whether somebody will send them.
    gathers: bool,
    waker: Option<Waker>,
}

thread_local! {
    static BATCH: RefCell<Batch> = RefCell::default();
}

/// As long as it lives, the thread's lines are gathered.
pub(super) struct Gathering<'a> {
    pub(super) sockets: &'a LogSockets,
}

impl<'a> Gathering<'a> {
    pub(super) fn begin(sockets: &'a LogSockets) -> Self {
        BATCH.with_borrow_mut(|batch| batch.gathers = true);
        Self { sockets }
    }
}

/// Lines are sent at once from now on.
pub(super) fn end() {
    BATCH.with_borrow_mut(|batch| *batch = Batch::default());
}

/// Takes a line in; false if nobody gathers on this thread.
pub(super) fn add(index: usize, line: &[u8]) -> bool {
    BATCH.with_borrow_mut(|batch| {
        if !batch.gathers {
            return false;
        }
        if batch.lines.is_empty()
            && let Some(waker) = &batch.waker
        {
            waker.wake_by_ref();
        }
        batch.bytes.extend_from_slice(line);
        batch.lines.push((index, batch.bytes.len()));
        true
    })
}

/// Whether no more lines may wait.
pub(super) fn is_full() -> bool {
    BATCH.with_borrow(|batch| batch.lines.len() >= MAX_LINES)
}

/// Remembers the task that sends.
pub(super) fn set_waker(waker: &Waker) {
    BATCH.with_borrow_mut(|batch| match &mut batch.waker {
        Some(known) => known.clone_from(waker),
        None => batch.waker = Some(waker.clone()),
    });
}

/// Hands all lines out in order.
pub(super) fn drain(mut send: impl FnMut(usize, &[u8])) {
    BATCH.with_borrow_mut(|batch| {
        let mut start = 0;
        for (index, end) in batch.lines.drain(..) {
            send(index, &batch.bytes[start..end]);
            start = end;
        }
        batch.bytes.clear();
    });
}
