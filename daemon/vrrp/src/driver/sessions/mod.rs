//! The thread that runs the BFD sessions: its sockets, its timer, and what it is asked.
//!
//! Detection times are short, and the driver may wait for the kernel's tables: so sessions have a thread of their own, which
//! there is only while sessions are configured.

mod room;

use std::time::Duration;

use config::keepalived::BfdInstance;
use protocol::EventSeverity;
use protocol::vrrp::BfdSnapshot;
use tokio::sync::{mpsc, oneshot};

/// Requests that wait for the thread.
const REQUESTS: usize = 16;
/// Longest that the last words of sessions are waited for.
const LAST_WORDS_PATIENCE: Duration = Duration::from_millis(300);
/// Memory of the thread's stack in bytes.
const STACK_BYTES: usize = 512 << 10;
/// Longest that an answer of the thread is waited for.
const ANSWER_PATIENCE: Duration = Duration::from_millis(200);

/// Asked of the thread.
enum Ask {
    /// These are the sessions from now on.
    Configure(Vec<BfdInstance>),
    /// All that is to be known.
    Show(oneshot::Sender<Vec<BfdSnapshot>>),
    /// All sessions go to AdminDown, and the thread ends.
    End(String, oneshot::Sender<()>),
}

/// Told by the thread.
pub(super) enum Told {
    /// A session's state, or the reason for it.
    State {
        /// The `bfd_instance`.
        name: String,
        /// Whether it counts as up.
        up: bool,
        /// Its state and why.
        detail: String,
        /// What is said of it when that is news: severity, change, reason.
        event: Option<(EventSeverity, String, String)>,
    },
    /// The thread is gone by a fault of ours: nobody knows anything of any session.
    Gone,
    /// Packets were refused, or could not be sent.
    Trouble {
        /// `bfd` and the `bfd_instance`, or `bfd` alone.
        subject: String,
        /// What.
        change: String,
        /// Why.
        reason: String,
        /// Whether it is about what was heard.
        refused: bool,
    },
}

/// The driver's end of the thread.
pub(super) struct Sessions {
    asks: mpsc::Sender<Ask>,
}

impl Sessions {
    /// Starts the thread; what it has to tell goes to `told`.
    pub(super) fn start(told: mpsc::Sender<Told>) -> std::io::Result<Self> {
        let (asks, inbox) = mpsc::channel(REQUESTS);
        std::thread::Builder::new()
            .name("bfd".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || room::run(inbox, told))?;
        Ok(Self { asks })
    }

    /// Takes a configuration.
    pub(super) async fn configure(&self, configs: Vec<BfdInstance>) {
        // It can only be gone if it panicked.
        let _ = self.asks.send(Ask::Configure(configs)).await;
    }

    /// All that is to be known of the sessions, in order of configuration.
    pub(super) async fn show(&self) -> Vec<BfdSnapshot> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.asks.send(Ask::Show(answer)).await.ok()?;
            answered.await.ok()
        };
        let shown = tokio::time::timeout(ANSWER_PATIENCE, asked).await;
        shown.ok().flatten().unwrap_or_default()
    }

    /// Ends all sessions and the thread.
    pub(super) async fn end(self, reason: &str) {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            let ask = Ask::End(reason.to_owned(), answer);
            if self.asks.send(ask).await.is_ok() {
                let _ = answered.await;
            }
        };
        let _ = tokio::time::timeout(LAST_WORDS_PATIENCE + ANSWER_PATIENCE, asked).await;
    }
}
