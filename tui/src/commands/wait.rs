//! Waiting for the end of a change, with progress on stderr when somebody looks.

use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use super::output::Output;
use super::shape::Failure;
use crate::node::NodeView;

/// How often the nodes are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What a look found.
pub(super) enum Look {
    /// It is so.
    Done,
    /// Not yet: how far it is.
    Waiting(String),
}

/// Looks until it is done or the time is over, which is noted in the session.
/// Returns whether it was done.
pub(super) async fn wait_until(
    session: &mut Session,
    output: &Output,
    timeout: Duration,
    mut look: impl FnMut(&[NodeView]) -> Look,
) -> bool {
    let end = Instant::now() + timeout;
    let mut told = String::new();
    loop {
        session.refresh().await;
        match look(&session.nodes) {
            Look::Done => return true,
            Look::Waiting(progress) => {
                if output.progress && progress != told {
                    eprintln!("{progress}");
                    told.clone_from(&progress);
                }
                if Instant::now() >= end {
                    let message = format!("not within {} s: {progress}", timeout.as_secs_f64());
                    session
                        .failures
                        .push(Failure::new("timeout", None, message));
                    return false;
                }
            }
        }
        tokio::time::sleep(LOOK.min(end.saturating_duration_since(Instant::now()))).await;
    }
}
