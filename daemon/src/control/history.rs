//! The latest events, numbered.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use protocol::Event;
use tokio::sync::broadcast;

/// Events that are kept.
pub(super) const MAX_EVENTS: usize = 1_000;
/// Events that may wait for a subscriber; one that is slower misses the oldest.
const MAX_PENDING_EVENTS: usize = 256;

/// The history of this node since the control process started.
pub struct History {
    kept: Mutex<(u64, VecDeque<Event>)>,
    news: broadcast::Sender<Event>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            news: broadcast::channel(MAX_PENDING_EVENTS).0,
        }
    }
}

impl History {
    /// Numbers an event, keeps it and tells the subscribers.
    pub fn record(&self, mut event: Event) -> Event {
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.0 += 1;
            event.sequence = kept.0;
            if kept.1.len() == MAX_EVENTS {
                kept.1.pop_front();
            }
            kept.1.push_back(event.clone());
        }
        // Nobody may be subscribed.
        let _ = self.news.send(event.clone());
        event
    }

    /// Events after a number, oldest first.
    pub fn after(&self, sequence: u64) -> Vec<Event> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.1
            .iter()
            .filter(|event| event.sequence > sequence)
            .cloned()
            .collect()
    }

    /// Events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.news.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{EventKind, EventSeverity, EventSource};

    #[test]
    fn events_are_numbered_and_the_oldest_are_forgotten() {
        let history = History::default();
        for _ in 0..MAX_EVENTS + 5 {
            history.record(Event::now(
                EventSource::Control,
                EventSeverity::Info,
                EventKind::Other,
                "a",
                "b",
                "c",
            ));
        }
        let all = history.after(0);
        assert_eq!((all.len(), all[0].sequence), (MAX_EVENTS, 6));
        assert_eq!(history.after(1_003).len(), 2);
    }
}
