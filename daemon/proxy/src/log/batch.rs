//! Log lines of a thread that wait for the end of the runtime's turn.

use std::cell::RefCell;
use std::task::Waker;

use super::LogSockets;

/// Most lines that wait; then they go at once.
pub(super) const MAX_LINES: usize = 64;

/// Lines for one target, one behind the other.
#[derive(Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Lines {
    /// Each line in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.bytes[start..*end])
    }

    /// The lines as runs that can leave in one piece: lines of one length, at most `most_bytes` together, of which the
    /// last may be shorter. Each run comes with the length of its first line and the number of its lines.
    pub(super) fn runs(&self, most_bytes: usize) -> impl Iterator<Item = (&[u8], usize, usize)> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let first = next;
            let start = if first == 0 { 0 } else { self.ends[first - 1] };
            let length = self.ends.get(first)? - start;
            let mut end = start + length;
            next += 1;
            while let Some(&further) = self.ends.get(next) {
                if further - end > length || further - start > most_bytes {
                    break;
                }
                let is_last = further - end < length;
                end = further;
                next += 1;
                if is_last {
                    break;
                }
            }
            Some((&self.bytes[start..end], length, next - first))
        })
    }

    fn push(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.ends.push(self.bytes.len());
    }
}

#[derive(Default)]
struct Batch {
    /// By number of the target.
    targets: Vec<Lines>,
    /// Lines of all targets.
    count: usize,
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

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// Nobody gathers on this thread: it is to be sent now.
    No,
    /// It waits.
    Waits,
    /// It waits, and no more may.
    Full,
}

/// Takes a line in.
pub(super) fn add(index: usize, line: &[u8]) -> Added {
    BATCH.with_borrow_mut(|batch| {
        if !batch.gathers {
            return Added::No;
        }
        if batch.count == 0
            && let Some(waker) = &batch.waker
        {
            waker.wake_by_ref();
        }
        if batch.targets.len() <= index {
            batch.targets.resize_with(index + 1, Lines::default);
        }
        batch.targets[index].push(line);
        batch.count += 1;
        if batch.count < MAX_LINES {
            Added::Waits
        } else {
            Added::Full
        }
    })
}

/// Remembers the task that sends.
pub(super) fn set_waker(waker: &Waker) {
    BATCH.with_borrow_mut(|batch| match &mut batch.waker {
        Some(known) => known.clone_from(waker),
        None => batch.waker = Some(waker.clone()),
    });
}

/// Hands all lines out, those of each target in order.
pub(super) fn drain(mut send: impl FnMut(usize, &Lines)) {
    BATCH.with_borrow_mut(|batch| {
        for (index, lines) in batch.targets.iter_mut().enumerate() {
            if lines.ends.is_empty() {
                continue;
            }
            send(index, lines);
            lines.bytes.clear();
            lines.ends.clear();
        }
        batch.count = 0;
    });
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn lines_of_one_length_leave_together_and_a_shorter_one_ends_the_run() {
        let mut lines = Lines::default();
        for line in ["aaa", "bbb", "cc", "ddd", "eeee", "ffff", "gggg"] {
            lines.push(line.as_bytes());
        }
        let runs: Vec<_> = lines
            .runs(9)
            .map(|(bytes, length, count)| {
                (String::from_utf8_lossy(bytes).into_owned(), length, count)
            })
            .collect();
        let expected = [
            ("aaabbbcc", 3, 3),
            ("ddd", 3, 1),
            ("eeeeffff", 4, 2),
            ("gggg", 4, 1),
        ];
        assert_eq!(
            runs,
            expected.map(|(bytes, length, count)| (bytes.to_owned(), length, count))
        );
        assert_eq!(lines.iter().count(), 7);
        assert_eq!(lines.iter().nth(2), Some(&b"cc"[..]));
    }
}
