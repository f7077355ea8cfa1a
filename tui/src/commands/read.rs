//! Commands that change nothing: status, servers, vrrp, raw.

use std::time::Duration;

use protocol::vrrp::{Effect, VrrpState};

use super::Session;
use super::output::{Cell, Output};
use super::shape::{
    Answer, Answers, BackendShape, BfdShape, Failure, InstanceShape, NodeShape, ServerShape,
    Servers, Status, Vrrp,
};
use crate::problems::{self, Severity};
use crate::routers::{self, RouterState};
use crate::rows::{self, Health};
use crate::words::{self, count, moment, printable, span};

/// `status` looks twice, so far apart, to see rates and whether a queue grows.
const SECOND_LOOK: Duration = Duration::from_millis(1_050);

pub(super) async fn status(session: &mut Session, output: &Output) -> u8 {
    if session
        .nodes
        .iter()
        .filter_map(|node| node.live())
        .any(|snapshot| snapshot.worker.is_some())
    {
        tokio::time::sleep(SECOND_LOOK).await;
        session.refresh().await;
    }
    let problems = problems::problems(&session.nodes);
    let wrong = problems::anything_wrong(&problems);
    let code = session.status_code(wrong);
    let now_ms = protocol::event::now_ms();
    if output.json {
        output.document(&Status {
            ok: !wrong,
            at: moment(now_ms),
            nodes: session.nodes.iter().map(NodeShape::new).collect(),
            problems: &problems,
            errors: &session.failures,
        });
        return code;
    }
    let mut text = String::new();
    for router in routers::virtual_routers(&session.nodes) {
        let addresses = printable(&router.addresses.join(" "));
        let (words, health) = match router.state(&session.nodes) {
            RouterState::HeldBy(index) => (
                format!("{addresses} is on {}", session.nodes[index].label),
                Health::Good,
            ),
            RouterState::HeldElsewhere(address) => {
                (format!("{addresses} is on {address}"), Health::Good)
            }
            RouterState::SplitBrain(_) => (format!("{addresses} is on SEVERAL nodes"), Health::Bad),
            RouterState::Nobody => (format!("{addresses} is on NO node"), Health::Bad),
        };
        let states: Vec<String> = router
            .members
            .iter()
            .map(|(index, instance)| {
                format!(
                    "{} {} {}",
                    session.nodes[*index].label, instance.state, instance.effective_priority
                )
            })
            .collect();
        text.push_str(&format!(
            "{}: {}  ({})\n",
            printable(router.name),
            output.coloured(&words, health),
            states.join(", ")
        ));
    }
    for node in &session.nodes {
        match node.live() {
            None => text.push_str(&format!(
                "node {}: {}\n",
                node.label,
                output.coloured("not reachable", Health::Bad)
            )),
            Some(snapshot) => {
                let history = &node.history;
                let traffic = if snapshot.worker.is_some() {
                    format!(
                        ", {} req/s, {} err/s, {}",
                        count(history.requests.latest()),
                        count(history.errors.latest()),
                        words::plural(history.sessions.latest(), "session")
                    )
                } else {
                    String::new()
                };
                text.push_str(&format!(
                    "node {}: up {}{traffic}\n",
                    node.label,
                    span(snapshot.uptime_seconds * 1000)
                ));
            }
        }
    }
    if problems.is_empty() {
        text.push_str(&format!("{}\n", output.coloured("All clear", Health::Good)));
    } else {
        let rows: Vec<Vec<Cell>> = problems
            .iter()
            .map(|problem| {
                let health = match problem.severity {
                    Severity::Notice => Health::Good,
                    Severity::Warning => Health::Uneasy,
                    Severity::Critical => Health::Bad,
                };
                vec![
                    Cell::text(problem.severity.word()).health(health),
                    Cell::figure(
                        problem
                            .since_ms
                            .map(|since| span(now_ms.saturating_sub(since)))
                            .unwrap_or_default(),
                    ),
                    Cell::text(problem.node()),
                    Cell::text(&problem.subject),
                    Cell::text(&problem.what),
                    Cell::text(&problem.why),
                ]
            })
            .collect();
        if !wrong {
            text.push_str(&format!(
                "{}\n",
                output.coloured("All clear, with notices", Health::Good)
            ));
        }
        text.push_str(&output.table(&rows));
    }
    output.print(&text);
    code
}

pub(super) fn servers(session: &mut Session, output: &Output, only: Option<&str>) -> u8 {
    let (mut backends, mut servers) = (Vec::new(), Vec::new());
    let mut table = vec![
        ["node", "server", "status"].map(Cell::text).to_vec(),
        [
            "weight", "sess", "max", "rate", "queue", "errors", "changed",
        ]
        .map(Cell::figure)
        .to_vec(),
        vec![Cell::text("check")],
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>();
    let mut rows = vec![std::mem::take(&mut table)];
    for node in &session.nodes {
        let Some(snapshot) = node.live() else {
            continue;
        };
        for proxy in
            rows::backends(snapshot).filter(|proxy| only.is_none_or(|name| name == proxy.name))
        {
            backends.push(BackendShape::new(node, proxy));
            for server in &proxy.servers {
                servers.push(ServerShape::new(node, &proxy.name, server));
                let backup = if server.backup { " (backup)" } else { "" };
                rows.push(vec![
                    Cell::text(&node.label),
                    Cell::text(format!("{}/{}{backup}", proxy.name, server.name)),
                    Cell::text(&server.status).health(rows::health(server)),
                    Cell::figure(server.weight),
                    Cell::figure(server.sessions.current),
                    Cell::figure(server.sessions.maximum),
                    Cell::figure(server.rate.current),
                    Cell::figure(server.queue.current),
                    Cell::figure(rows::errors(server)),
                    Cell::figure(span(server.last_change_ms)),
                    Cell::text(rows::check(server)),
                ]);
            }
        }
    }
    if let Some(name) = only
        && backends.is_empty()
        && session.nodes.iter().any(|node| node.live().is_some())
    {
        session.failures.push(Failure::new(
            "failed",
            None,
            format!("no node has a backend '{name}'"),
        ));
    }
    if output.json {
        output.document(&Servers {
            backends,
            servers,
            errors: &session.failures,
        });
    } else if rows.len() > 1 {
        output.print(&output.table(&rows));
    } else if session.failures.is_empty() {
        output.print("no servers\n");
    }
    output.complain_all(&session.failures);
    session.code()
}

pub(super) fn vrrp(session: &mut Session, output: &Output, only: Option<&str>) -> u8 {
    let now_ms = protocol::event::now_ms();
    let (mut instances, mut text) = (Vec::new(), String::new());
    for node in &session.nodes {
        let Some(snapshot) = node.live() else {
            continue;
        };
        for instance in snapshot
            .vrrp
            .iter()
            .filter(|instance| only.is_none_or(|name| name == instance.name))
        {
            instances.push(InstanceShape::new(node, instance));
            let health = match instance.state {
                VrrpState::Master | VrrpState::Backup => Health::Good,
                VrrpState::Init => Health::Uneasy,
                VrrpState::Fault => Health::Bad,
            };
            let state = output.coloured(&instance.state.to_string(), health);
            text.push_str(&format!(
                "{} {}: {state} for {}, vrid {} on {}, priority {} (base {})\n",
                node.label,
                printable(&instance.name),
                span(now_ms.saturating_sub(instance.since_ms)),
                instance.vrid,
                printable(&instance.interface),
                instance.effective_priority,
                instance.base_priority
            ));
            let present = if instance.addresses_present {
                "here"
            } else {
                "not here"
            };
            text.push_str(&format!(
                "  addresses  {} ({present})\n",
                printable(&instance.addresses.join(" "))
            ));
            for share in &instance.shares {
                let effect = match share.effect {
                    Effect::Priority(number) => format!("{number:+}"),
                    Effect::Fault => "FAULT".to_owned(),
                };
                let mark = if share.healthy { "ok" } else { "FAILS" };
                text.push_str(&format!(
                    "  tracked    {} {mark} {effect}: {}\n",
                    printable(&share.item),
                    printable(&share.detail)
                ));
            }
            if let Some(master) = &instance.master {
                text.push_str(&format!(
                    "  master     {} priority {}, heard {} ms ago\n",
                    printable(&master.address),
                    master.priority,
                    master.age_ms
                ));
            }
            for peer in instance.peers_text() {
                text.push_str(&format!("  peer       {}\n", printable(&peer)));
            }
            if !instance.decided.is_empty() {
                text.push_str(&format!("  group      {}\n", printable(&instance.decided)));
            }
            if instance.held {
                text.push_str(
                    "  held       an operator gave the addresses away; 'tandem failback' ends it\n",
                );
            }
            if let Some(conflict) = instance.conflict_text() {
                let told = format!("TWO MASTERS: {}", printable(&conflict));
                text.push_str(&format!("  {}\n", output.coloured(&told, Health::Bad)));
            }
            for transition in instance.transitions.iter().rev().take(3) {
                text.push_str(&format!(
                    "  {}  {} -> {}: {}\n",
                    moment(transition.at_ms),
                    transition.from,
                    transition.to,
                    printable(&transition.reason)
                ));
            }
        }
    }
    let mut bfd = Vec::new();
    for node in &session.nodes {
        let Some(snapshot) = node.live().filter(|_| only.is_none()) else {
            continue;
        };
        for found in &snapshot.bfd {
            bfd.push(BfdShape::new(node, found, &snapshot.vrrp));
            let health = match found.up {
                true => Health::Good,
                false => Health::Bad,
            };
            let state = output.coloured(&printable(&found.state), health);
            text.push_str(&format!(
                "{} bfd {}: {state} for {}\n",
                node.label,
                printable(&found.name),
                span(now_ms.saturating_sub(found.since_ms))
            ));
            for (word, told) in found.told() {
                text.push_str(&format!("  {word:<10} {}\n", printable(&told)));
            }
        }
    }
    if let Some(name) = only
        && instances.is_empty()
        && session.nodes.iter().any(|node| node.live().is_some())
    {
        session.failures.push(Failure::new(
            "failed",
            None,
            format!("no node has a VRRP instance '{name}'"),
        ));
    }
    if output.json {
        output.document(&Vrrp {
            instances,
            bfd,
            errors: &session.failures,
        });
    } else if text.is_empty() && session.failures.is_empty() {
        output.print("no VRRP instances\n");
    } else {
        output.print(&text);
    }
    output.complain_all(&session.failures);
    session.code()
}

pub(super) async fn raw(session: &mut Session, output: &Output, command: &str) -> u8 {
    let mut answers = Vec::new();
    for index in 0..session.nodes.len() {
        let Some(client) = &mut session.clients[index] else {
            continue;
        };
        match client.text(command).await {
            Ok(text) => answers.push(Answer {
                node: session.nodes[index].label.clone(),
                text,
            }),
            Err(error) => session.fail(index, &error),
        }
    }
    if output.json {
        output.document(&Answers {
            answers,
            errors: &session.failures,
        });
    } else {
        let several = session.nodes.len() > 1;
        for answer in answers {
            let head = if several {
                format!("== {} ==\n", answer.node)
            } else {
                String::new()
            };
            let end = if answer.text.is_empty() || answer.text.ends_with('\n') {
                ""
            } else {
                "\n"
            };
            output.print(&format!("{head}{}{end}", answer.text));
        }
    }
    output.complain_all(&session.failures);
    session.code()
}
