//! The events of all nodes, in order, and then as they happen.

use protocol::Event;
use protocol::client::{ClientAsk, ClientTell};
use tokio::sync::mpsc;

use super::Session;
use super::output::Output;
use super::shape::{EventShape, Failure};
use crate::cli::{EXIT_OK, EXIT_UNREACHABLE};
use crate::client::Client;
use crate::words::{self, printable};

/// Snapshots that a follower does not need come this rarely, in milliseconds.
const FOLLOW_INTERVAL_MS: u64 = 10_000;
/// Events that may wait for a slow reader.
const MAX_WAITING: usize = 64;

fn line(output: &Output, node: &str, event: &Event) -> bool {
    if output.json {
        return output.json_line(&EventShape::new(node, event));
    }
    let reason = if event.reason.is_empty() {
        String::new()
    } else {
        format!(": {}", event.reason)
    };
    output.print(&format!(
        "{} {node} {:>5} {:<7} {}\n",
        words::moment(event.at_ms),
        event.sequence,
        crate::app::severity_word(event),
        printable(&format!("{} {}{reason}", event.subject, event.change))
    ))
}

pub(super) async fn events(mut session: Session, output: &Output, follow: bool, since: u64) -> u8 {
    let mut history: Vec<(usize, Event)> = Vec::new();
    for index in 0..session.nodes.len() {
        let Some(client) = &mut session.clients[index] else {
            continue;
        };
        // Subscribed first, so that nothing falls between history and pushes; what comes twice is left out.
        let subscribed = if follow {
            client
                .send(ClientAsk::Subscribe {
                    interval_ms: FOLLOW_INTERVAL_MS,
                })
                .await
                .map(|_| ())
        } else {
            Ok(())
        };
        let answer = match subscribed {
            Ok(()) => client.events(since).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(events) => history.extend(events.into_iter().map(|event| (index, event))),
            Err(error) => session.fail(index, &error),
        }
    }
    history.sort_by_key(|(index, event)| (event.at_ms, *index, event.sequence));
    let mut last = vec![since; session.nodes.len()];
    for (index, event) in &history {
        last[*index] = last[*index].max(event.sequence);
        if !line(output, &session.nodes[*index].label, event) {
            return EXIT_OK;
        }
    }
    if output.json && !session.failures.is_empty() {
        output.json_line(&super::shape::Failures {
            errors: &session.failures,
        });
    }
    output.complain_all(&session.failures);
    if !follow || session.clients.iter().all(Option::is_none) {
        return session.code();
    }
    let (told, mut tell) = mpsc::channel(MAX_WAITING);
    let mut tasks = tokio::task::JoinSet::new();
    for (index, client) in session.clients.into_iter().enumerate() {
        if let Some(client) = client {
            tasks.spawn(push(index, client, last[index], told.clone()));
        }
    }
    drop(told);
    while let Some((index, pushed)) = tell.recv().await {
        let label = &session.nodes[index].label;
        match pushed {
            Ok(event) => {
                if !line(output, label, &event) {
                    return EXIT_OK;
                }
            }
            Err(why) => {
                let failure = Failure::new("unreachable", Some(label.clone()), why);
                if output.json {
                    output.json_line(&super::shape::Failures {
                        errors: std::slice::from_ref(&failure),
                    });
                }
                output.complain_all(std::slice::from_ref(&failure));
            }
        }
    }
    EXIT_UNREACHABLE
}

async fn push(
    index: usize,
    mut client: Client,
    mut last: u64,
    told: mpsc::Sender<(usize, Result<Event, String>)>,
) {
    loop {
        match client.next().await {
            Ok(reply) => {
                if let ClientTell::Events(events) = reply.body {
                    for event in events
                        .into_iter()
                        .filter(|event| event.sequence > last)
                        .collect::<Vec<_>>()
                    {
                        last = event.sequence;
                        if told.send((index, Ok(event))).await.is_err() {
                            return;
                        }
                    }
                }
            }
            Err(error) => {
                // The main task may have left already; then nobody needs to know.
                let _ = told.send((index, Err(error.to_string()))).await;
                return;
            }
        }
    }
}
