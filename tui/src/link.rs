//! The task that keeps a node's connection for the dashboard: it reconnects by itself, with bounded backoff.

use std::collections::HashMap;
use std::time::Duration;

use protocol::Event;
use protocol::client::{ClientAsk, ClientTell};
use protocol::operation::{Level, Operation};
use protocol::snapshot::Snapshot;
use tokio::sync::mpsc;

use crate::client::{Client, ClientError};
use crate::node::NodeAddress;

/// First pause before another attempt; it doubles until [`LONGEST_PAUSE`].
pub const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause before another attempt.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Interval of pushed snapshots in milliseconds.
pub const PUSH_INTERVAL_MS: u64 = 500;
/// A node that pushes nothing for so long is taken for lost.
pub const LONGEST_SILENCE: Duration = Duration::from_secs(5);
/// Requests of one node that may wait.
pub const MAX_WAITING_REQUESTS: usize = 16;

/// What a link tells the dashboard.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkEvent {
    /// The node answers.
    Connected {
        /// What we may do.
        level: Level,
    },
    /// The node does not answer; told again when the reason changes.
    Lost {
        /// Why.
        why: String,
    },
    /// A new picture.
    Snapshot(Box<Snapshot>),
    /// What happened.
    Events(Vec<Event>),
    /// The answer to a request.
    Answer {
        /// The request's token.
        token: u64,
        /// What was said, or why it was not done.
        result: Result<String, String>,
    },
}

/// A change to ask of the node.
#[derive(Clone, Debug)]
pub struct LinkRequest {
    /// Comes back in the answer.
    pub token: u64,
    /// What.
    pub operation: Operation,
}

/// Runs until the dashboard drops its ends. `index` is the node's place among the dashboard's nodes.
pub async fn keep(
    index: usize,
    address: NodeAddress,
    events: mpsc::Sender<(usize, LinkEvent)>,
    mut requests: mpsc::Receiver<LinkRequest>,
) {
    let mut pause = FIRST_PAUSE;
    let mut last_why = String::new();
    loop {
        let why = match Client::connect(&address).await {
            Ok(client) => {
                pause = FIRST_PAUSE;
                last_why.clear();
                if events
                    .send((
                        index,
                        LinkEvent::Connected {
                            level: client.level,
                        },
                    ))
                    .await
                    .is_err()
                {
                    return;
                }
                match serve(index, client, &events, &mut requests).await {
                    Some(error) => error.to_string(),
                    None => return,
                }
            }
            Err(error) => error.to_string(),
        };
        if why != last_why {
            last_why.clone_from(&why);
            if events
                .send((index, LinkEvent::Lost { why: why.clone() }))
                .await
                .is_err()
            {
                return;
            }
        }
        if !wait(index, pause, &why, &events, &mut requests).await {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Waits before the next attempt and refuses what is asked meanwhile; `false` when the dashboard ended.
async fn wait(
    index: usize,
    pause: Duration,
    why: &str,
    events: &mpsc::Sender<(usize, LinkEvent)>,
    requests: &mut mpsc::Receiver<LinkRequest>,
) -> bool {
    let end = tokio::time::sleep(pause);
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return true,
            request = requests.recv() => {
                let Some(request) = request else { return false };
                let result = Err(format!("not reachable: {why}"));
                if events.send((index, LinkEvent::Answer { token: request.token, result })).await.is_err() {
                    return false;
                }
            }
        }
    }
}

/// Serves a connection; returns why it ended, or nothing when the dashboard ended.
async fn serve(
    index: usize,
    mut client: Client,
    events: &mpsc::Sender<(usize, LinkEvent)>,
    requests: &mut mpsc::Receiver<LinkRequest>,
) -> Option<ClientError> {
    for ask in [
        ClientAsk::Snapshot,
        ClientAsk::Events { after: 0 },
        ClientAsk::Subscribe {
            interval_ms: PUSH_INTERVAL_MS,
        },
    ] {
        if let Err(error) = client.send(ask).await {
            return Some(error);
        }
    }
    let mut waiting: HashMap<u64, u64> = HashMap::new();
    let error = loop {
        tokio::select! {
            reply = tokio::time::timeout(LONGEST_SILENCE, client.next()) => {
                let reply = match reply {
                    Ok(Ok(reply)) => reply,
                    Ok(Err(error)) => break error,
                    Err(_) => break ClientError::Unreachable(format!("silent for {} s", LONGEST_SILENCE.as_secs())),
                };
                let token = waiting.remove(&reply.id);
                let told = match (reply.body, token) {
                    (ClientTell::Snapshot(snapshot), _) => LinkEvent::Snapshot(snapshot),
                    (ClientTell::Events(list), _) => LinkEvent::Events(list),
                    (ClientTell::Done(text) | ClientTell::Text(text), Some(token)) => LinkEvent::Answer { token, result: Ok(text) },
                    (ClientTell::Refused(refusal), Some(token)) => LinkEvent::Answer { token, result: Err(refusal.to_string()) },
                    // A refused subscription leaves nothing to show.
                    (ClientTell::Refused(refusal), None) => break ClientError::Refused(refusal),
                    _ => continue,
                };
                if events.send((index, told)).await.is_err() {
                    return None;
                }
            }
            request = requests.recv() => {
                let request = request?;
                match client.send(ClientAsk::Do(request.operation)).await {
                    Ok(id) => { waiting.insert(id, request.token); }
                    Err(error) => {
                        waiting.insert(0, request.token);
                        break error;
                    }
                }
            }
        }
    };
    // Nobody knows whether these were done; the dashboard's next picture tells.
    for token in waiting.into_values() {
        let result = Err(format!("no answer: {error}"));
        if events
            .send((index, LinkEvent::Answer { token, result }))
            .await
            .is_err()
        {
            return None;
        }
    }
    Some(error)
}
