//! Commands that change something: on all nodes for servers, on the right node for VRRP.

use protocol::ServerName;
use protocol::operation::{Operation, ServerAdmin, WeightChange};
use protocol::vrrp::VrrpState;

use super::Session;
use super::output::Output;
use super::shape::{Change, Changes, Failure};
use super::wait::{Look, wait_until};
use crate::cli::Wait;
use crate::node::NodeView;
use crate::plan;
use crate::rows;
use crate::words::plural;

/// Asks these nodes and notes each outcome.
async fn ask(
    session: &mut Session,
    on: &[usize],
    operation: &Operation,
    done: &str,
) -> Vec<Change> {
    let mut results = Vec::new();
    for index in on.iter().copied() {
        let label = session.nodes[index].label.clone();
        let Some(client) = &mut session.clients[index] else {
            results.push(Change {
                node: label,
                done: false,
                message: "not reachable".to_owned(),
            });
            continue;
        };
        match client.operate(operation.clone()).await {
            Ok(text) => {
                let message = if text.trim().is_empty() {
                    done.to_owned()
                } else {
                    text.trim().to_owned()
                };
                results.push(Change {
                    node: label,
                    done: true,
                    message,
                });
            }
            Err(error) => {
                results.push(Change {
                    node: label,
                    done: false,
                    message: error.to_string(),
                });
                session.fail(index, &error);
            }
        }
    }
    results
}

fn all(session: &Session) -> Vec<usize> {
    (0..session.nodes.len()).collect()
}

/// Prints what every node did and returns the exit code.
fn finish(session: &Session, output: &Output, results: &[Change]) -> u8 {
    if output.json {
        output.document(&Changes {
            ok: session.failures.is_empty(),
            results,
            errors: &session.failures,
        });
    } else {
        for result in results.iter().filter(|result| result.done) {
            output.print(&format!(
                "{}: {}\n",
                result.node,
                crate::words::printable(&result.message)
            ));
        }
    }
    output.complain_all(&session.failures);
    session.code()
}

/// The server on each node that did what was asked.
fn on_nodes<'a>(
    nodes: &'a [NodeView],
    results: &[Change],
    name: &'a ServerName,
) -> Vec<(&'a NodeView, Option<&'a protocol::snapshot::ServerStats>)> {
    nodes
        .iter()
        .filter(|node| {
            results
                .iter()
                .any(|result| result.done && result.node == node.label)
        })
        .map(|node| {
            (
                node,
                node.live()
                    .and_then(|snapshot| rows::server(snapshot, name)),
            )
        })
        .collect()
}

pub(super) async fn drain(
    session: &mut Session,
    output: &Output,
    server: ServerName,
    wait: Wait,
) -> u8 {
    let operation = Operation::ServerState {
        server: server.clone(),
        state: ServerAdmin::Drain,
    };
    let on = all(session);
    let results = ask(session, &on, &operation, &format!("{server} drains")).await;
    if wait.wait && results.iter().any(|result| result.done) {
        let asked = results.clone();
        wait_until(session, output, wait.timeout, |nodes| {
            let parts: Vec<(String, Option<u64>)> = on_nodes(nodes, &asked, &server)
                .into_iter()
                .map(|(node, stats)| {
                    (
                        node.label.clone(),
                        stats.map(|stats| stats.sessions.current),
                    )
                })
                .collect();
            if parts.iter().all(|(_, left)| *left == Some(0)) {
                return Look::Done;
            }
            let words = parts.iter().map(|(node, left)| match left {
                Some(left) => format!("{node}: {} left", plural(*left, "session")),
                None => format!("{node}: unknown"),
            });
            Look::Waiting(format!(
                "{server}: {}",
                words.collect::<Vec<_>>().join(", ")
            ))
        })
        .await;
    }
    finish(session, output, &results)
}

pub(super) async fn ready(
    session: &mut Session,
    output: &Output,
    server: ServerName,
    wait: Wait,
) -> u8 {
    let operation = Operation::ServerState {
        server: server.clone(),
        state: ServerAdmin::Ready,
    };
    let on = all(session);
    let results = ask(session, &on, &operation, &format!("{server} is ready")).await;
    if wait.wait && results.iter().any(|result| result.done) {
        let asked = results.clone();
        wait_until(session, output, wait.timeout, |nodes| {
            let parts = on_nodes(nodes, &asked, &server);
            if parts
                .iter()
                .all(|(_, stats)| stats.is_some_and(rows::usable))
            {
                return Look::Done;
            }
            let words = parts.iter().map(|(node, stats)| match stats {
                Some(stats) => format!("{}: {}, {}", node.label, stats.status, rows::check(stats)),
                None => format!("{}: unknown", node.label),
            });
            Look::Waiting(format!(
                "{server}: {}",
                words.collect::<Vec<_>>().join("; ")
            ))
        })
        .await;
    }
    finish(session, output, &results)
}

pub(super) async fn maint(session: &mut Session, output: &Output, server: ServerName) -> u8 {
    let operation = Operation::ServerState {
        server: server.clone(),
        state: ServerAdmin::Maint,
    };
    let on = all(session);
    let results = ask(
        session,
        &on,
        &operation,
        &format!("{server} is in maintenance"),
    )
    .await;
    finish(session, output, &results)
}

pub(super) async fn weight(
    session: &mut Session,
    output: &Output,
    server: ServerName,
    weight: WeightChange,
) -> u8 {
    let operation = Operation::ServerWeight {
        server: server.clone(),
        weight,
    };
    let words = match weight {
        WeightChange::Absolute(number) => number.to_string(),
        WeightChange::Percent(number) => format!("{number} % of the configured"),
    };
    let on = all(session);
    let results = ask(
        session,
        &on,
        &operation,
        &format!("weight of {server} is {words}"),
    )
    .await;
    finish(session, output, &results)
}

pub(super) async fn reload(session: &mut Session, output: &Output) -> u8 {
    let on = all(session);
    let results = ask(session, &on, &Operation::Reload, "reloaded").await;
    finish(session, output, &results)
}

/// The nodes on which an instance is as wanted.
fn nodes_with(
    session: &Session,
    name: &str,
    wanted: impl Fn(&protocol::vrrp::InstanceSnapshot) -> bool,
) -> Vec<usize> {
    let is = |node: &NodeView| {
        node.live()
            .and_then(|snapshot| rows::instance(snapshot, name))
            .is_some_and(&wanted)
    };
    session
        .nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| is(node))
        .map(|(index, _)| index)
        .collect()
}

/// Notes why no node can be asked, and finishes.
fn nobody(session: &mut Session, output: &Output, name: &str, why: &str) -> u8 {
    let states: Vec<String> = session
        .nodes
        .iter()
        .filter_map(|node| {
            let instance = rows::instance(node.live()?, name)?;
            Some(format!("{} is {}", node.label, instance.state))
        })
        .collect();
    if !session.nodes.iter().any(|node| node.live().is_some()) {
        return finish(session, output, &[]);
    }
    let message = if states.is_empty() {
        format!("no node has a VRRP instance '{name}'")
    } else {
        format!("{why}: {}", states.join(", "))
    };
    session
        .failures
        .push(Failure::new("refused", None, message));
    finish(session, output, &[])
}

pub(super) async fn failover(
    session: &mut Session,
    output: &Output,
    name: &str,
    force: bool,
    wait: Wait,
) -> u8 {
    let masters = nodes_with(session, name, |instance| {
        instance.state == VrrpState::Master
    });
    let place = match masters[..] {
        [place] => place,
        [] => {
            return nobody(
                session,
                output,
                name,
                &format!("no node is MASTER of {name}"),
            );
        }
        _ => {
            return nobody(
                session,
                output,
                name,
                &format!("several nodes are MASTER of {name}; choose one with a single --node"),
            );
        }
    };
    if let Some(why) = plan::nobody_fit(&session.nodes, place, name).filter(|_| !force) {
        let message = format!("{why} --force gives the addresses away all the same");
        let node = session.nodes[place].label.clone();
        session
            .failures
            .push(Failure::new("refused", Some(node), message));
        return finish(session, output, &[]);
    }
    let operation = Operation::VrrpFailover {
        instance: name.to_owned(),
        force,
    };
    let results = ask(
        session,
        &[place],
        &operation,
        &format!("{name} gives its addresses away"),
    )
    .await;
    if wait.wait && results.iter().any(|result| result.done) {
        wait_until(session, output, wait.timeout, |nodes| {
            let here = nodes[place]
                .live()
                .and_then(|snapshot| rows::instance(snapshot, name));
            let left = here.is_none_or(|instance| instance.state != VrrpState::Master);
            let other = nodes.iter().enumerate().any(|(index, node)| {
                let instance = node
                    .live()
                    .and_then(|snapshot| rows::instance(snapshot, name));
                index != place
                    && instance.is_some_and(|instance| {
                        instance.state == VrrpState::Master && instance.addresses_present
                    })
            });
            let heard = here
                .and_then(|instance| instance.master.as_ref())
                .is_some_and(|master| master.priority > 0);
            // A master that this node hears since it left is the new one, among our nodes or not.
            if left && (other || heard) {
                return Look::Done;
            }
            let state = here.map_or("unknown".to_owned(), |instance| instance.state.to_string());
            Look::Waiting(format!(
                "{name}: {} is {state}, {}",
                nodes[place].label,
                if other {
                    "another is MASTER"
                } else {
                    "no other is MASTER yet"
                }
            ))
        })
        .await;
    }
    finish(session, output, &results)
}

pub(super) async fn failback(session: &mut Session, output: &Output, name: &str, wait: Wait) -> u8 {
    let Some((place, _)) =
        plan::failback_candidate(&session.nodes, |instance| instance.name == name)
    else {
        let why = format!("no node gave the addresses of {name} away or outranks their master");
        return nobody(session, output, name, &why);
    };
    let operation = Operation::VrrpFailback {
        instance: name.to_owned(),
    };
    let results = ask(
        session,
        &[place],
        &operation,
        &format!("{name} may take its addresses back"),
    )
    .await;
    if wait.wait && results.iter().any(|result| result.done) {
        wait_until(session, output, wait.timeout, |nodes| {
            let instance = nodes[place]
                .live()
                .and_then(|snapshot| rows::instance(snapshot, name));
            match instance {
                Some(instance)
                    if instance.state == VrrpState::Master && instance.addresses_present =>
                {
                    Look::Done
                }
                Some(instance) => Look::Waiting(format!(
                    "{name}: {} is {}",
                    nodes[place].label, instance.state
                )),
                None => Look::Waiting(format!("{name}: {} is not reachable", nodes[place].label)),
            }
        })
        .await;
    }
    finish(session, output, &results)
}
