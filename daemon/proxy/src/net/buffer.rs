//! Read buffers that a thread lends out: held while a message is on its way, given back while a connection idles.

use std::cell::{Cell, RefCell};

/// Size of an ordinary buffer in bytes (`tune.bufsize` is set by [`set_buffer_bytes`]).
pub const BUFFER_BYTES: usize = 16 << 10;
/// Size of a buffer for large transfers; more was measured to bring nothing. Two writes of TLS empty it without a rest.
pub const LARGE_BUFFER_BYTES: usize = 124 << 10;
/// Buffers of each size that a thread keeps for later.
const MAX_KEPT: usize = 256;
const MAX_KEPT_LARGE: usize = 32;

thread_local! {
    static SIZE: Cell<usize> = const { Cell::new(BUFFER_BYTES) };
    static ORDINARY: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static LARGE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Sets the size of this thread's ordinary buffers; called before the first is lent.
pub fn set_buffer_bytes(bytes: usize) {
    SIZE.set(bytes);
}

/// A piece of memory with the bytes that were read and not yet consumed. Empty ones own no memory.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// What was read and not consumed.
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }
    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.end - self.start
    }
    /// Whether there is nothing to consume.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
    /// Whether no more can be read before something is consumed.
    pub fn is_full(&self) -> bool {
        !self.bytes.is_empty() && self.len() == self.bytes.len()
    }
    /// Bytes that it can hold.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }
    /// Forgets the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }
    /// Room behind the data; takes memory from the pool if it has none, and closes the gap in front if the end is reached.
    pub fn space(&mut self) -> &mut [u8] {
        if self.bytes.is_empty() {
            let size = SIZE.get();
            self.bytes = ORDINARY
                .with_borrow_mut(Vec::pop)
                .filter(|bytes| bytes.len() == size)
                .unwrap_or_else(|| vec![0; size]);
        }
        if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..]
    }
    /// `count` bytes were put into [`Buffer::space`].
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }
    /// Exchanges the memory for a large piece, for a transfer that was seen to be large.
    pub fn enlarge(&mut self) {
        if self.bytes.len() >= LARGE_BUFFER_BYTES {
            return;
        }
        let mut large = LARGE
            .with_borrow_mut(Vec::pop)
            .unwrap_or_else(|| vec![0; LARGE_BUFFER_BYTES]);
        let length = self.len();
        large[..length].copy_from_slice(self.data());
        give_back(std::mem::replace(&mut self.bytes, large));
        self.start = 0;
        self.end = length;
    }
    /// Gives the memory back if nothing is in it.
    pub fn release_if_empty(&mut self) {
        if self.is_empty() && !self.bytes.is_empty() {
            give_back(std::mem::take(&mut self.bytes));
        }
    }
}

fn give_back(bytes: Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let (pool, limit) = if bytes.len() == LARGE_BUFFER_BYTES {
        (&LARGE, MAX_KEPT_LARGE)
    } else {
        (&ORDINARY, MAX_KEPT)
    };
    // The pool is gone while the thread ends; then the memory is freed.
    let _ = pool.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < limit {
            pool.push(bytes);
        }
    });
}

impl Drop for Buffer {
    fn drop(&mut self) {
        give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_keeps_its_data_while_it_grows_and_moves() {
        let mut buffer = Buffer::default();
        buffer.space()[..5].copy_from_slice(b"hello");
        buffer.filled(5);
        buffer.consume(2);
        buffer.enlarge();
        assert_eq!(
            (buffer.data(), buffer.capacity()),
            (&b"llo"[..], LARGE_BUFFER_BYTES)
        );
        buffer.consume(3);
        buffer.release_if_empty();
        assert_eq!(buffer.capacity(), 0);
    }
}
