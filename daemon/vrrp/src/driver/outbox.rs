//! Messages out of the process, in order, without ever waiting for who reads them.

use std::time::Duration;

use protocol::wire::WireError;
use serde::Serialize;
use sys::channel::Sender;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Messages that wait for a reader; further ones are lost, and said to be lost.
const QUEUE_MESSAGES: usize = 1024;
/// Longest that the last messages are waited for at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// One direction of a channel.
pub(super) struct Outbox {
    name: &'static str,
    queue: mpsc::Sender<Vec<u8>>,
    task: JoinHandle<()>,
}

impl Outbox {
    /// Starts the task that writes to `sender`; it ends when the other end or the outbox is gone.
    pub(super) fn new(name: &'static str, sender: Sender) -> Self {
        let (queue, mut messages) = mpsc::channel::<Vec<u8>>(QUEUE_MESSAGES);
        let task = tokio::spawn(async move {
            while let Some(bytes) = messages.recv().await {
                if sender.send(&bytes, &[]).await.is_err() {
                    return;
                }
            }
        });
        Self { name, queue, task }
    }

    /// Sends a message later; a stuck or vanished reader loses it.
    pub(super) fn send<T: Serialize>(&self, message: &T) {
        self.pass(protocol::wire::encode(message));
    }

    /// The same of a message that ends with a list, empty in `message`, and of its entries, which are made one by one.
    pub(super) fn send_list<T: Serialize, E: Serialize>(
        &self,
        message: &T,
        entries: impl ExactSizeIterator<Item = E>,
    ) {
        self.pass(protocol::wire::encode_with_list(message, entries));
    }

    fn pass(&self, encoded: Result<Vec<u8>, WireError>) {
        match encoded {
            Ok(bytes) => {
                if self.queue.try_send(bytes).is_err() {
                    tracing::debug!("{}: message lost: it does not read", self.name);
                }
            }
            Err(error) => tracing::error!("{}: message lost: {error}", self.name),
        }
    }

    /// Waits a moment for what was sent to be read, and ends.
    pub(super) async fn flush(self) {
        drop(self.queue);
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, self.task).await;
    }
}
