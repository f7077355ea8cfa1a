//! What is wrong, since when and why: one judgement for the dashboard's overview and for `tandem status`.

use protocol::operation::ServerAdmin;
use protocol::snapshot::{AdminCause, Operational, ProxySnapshot, Snapshot};
use protocol::vrrp::{Effect, InstanceSnapshot, VrrpState};
use serde::Serialize;

use crate::node::{NodeView, Reach};
use crate::routers::{RouterState, SETTLE_MS, virtual_routers};
use crate::rows::{self, usable};
use crate::words::{self, plural};

/// Samples (of a second) over which a queue is seen to grow.
const QUEUE_SAMPLES: usize = 3;
/// Share of answers 5xx, in per cent of all requests, that is worth a line.
const ERROR_PERCENT: u64 = 1;

/// How bad it is, ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As somebody wanted it; worth knowing.
    Notice,
    /// Something is broken; the service still answers.
    Warning,
    /// The service fails, or is about to.
    Critical,
}

impl Severity {
    /// Four letters for a column.
    pub fn word(self) -> &'static str {
        match self {
            Self::Notice => "note",
            Self::Warning => "WARN",
            Self::Critical => "CRIT",
        }
    }
}

/// What sort of problem; stable names in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum ProblemKind {
    NodeUnreachable,
    NoWorker,
    WorkerDraining,
    ServerDown,
    ServerGoingDown,
    ServerUnresolved,
    ServerAdmin,
    BackendUnusable,
    QueueGrowing,
    QueueWaiting,
    Errors5xx,
    VrrpNotRunning,
    VrrpFault,
    VrrpSplitBrain,
    VrrpNobodyMaster,
    VrrpAddressMissing,
    VrrpTracking,
    VrrpHeld,
    FrontendDisabled,
}

/// One line of the overview.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The nodes, by their labels.
    pub nodes: Vec<String>,
    /// What sort.
    pub kind: ProblemKind,
    /// What it is about: `nginx/web1`, `R1`, `worker`.
    pub subject: String,
    /// What is wrong: `DOWN`.
    pub what: String,
    /// Why, as far as it is known.
    pub why: String,
    /// Since when, in milliseconds since 1970, if that is known.
    pub since_ms: Option<u64>,
}

/// Everything that is wrong on these nodes, the worst first.
pub fn problems(nodes: &[NodeView]) -> Vec<Problem> {
    let mut list = Vec::new();
    pairs(nodes, &mut list);
    for node in nodes {
        if let Reach::Lost { since_ms, why } = &node.reach {
            push(
                &mut list,
                Severity::Critical,
                &node.label,
                ProblemKind::NodeUnreachable,
                "node",
                "not reachable",
                why,
                Some(*since_ms),
            );
        }
        if let Some(snapshot) = node.live() {
            worker(node, snapshot, &mut list);
            vrrp(node, snapshot, &mut list);
            for proxy in rows::backends(snapshot) {
                backend(node, snapshot, proxy, &mut list);
            }
            frontends(node, snapshot, &mut list);
            errors(node, &mut list);
        }
    }
    let mut list = merged(list);
    list.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    list
}

/// The same problem on both nodes of a pair is one line.
fn merged(list: Vec<Problem>) -> Vec<Problem> {
    let mut merged: Vec<Problem> = Vec::with_capacity(list.len());
    for problem in list {
        let same = |known: &&mut Problem| {
            known.kind == problem.kind
                && known.severity == problem.severity
                && (&known.subject, &known.what, &known.why)
                    == (&problem.subject, &problem.what, &problem.why)
        };
        match merged.iter_mut().find(same) {
            // Two nodes that cannot be reached are two problems, whatever the reason.
            Some(known) if known.kind != ProblemKind::NodeUnreachable => {
                known.nodes.extend(problem.nodes);
                known.since_ms = known.since_ms.min(problem.since_ms);
            }
            _ => merged.push(problem),
        }
    }
    merged
}

impl Problem {
    /// The nodes in a word: `a`, `a+b`.
    pub fn node(&self) -> String {
        self.nodes.join("+")
    }
}

/// Whether anything is worse than a notice.
pub fn anything_wrong(problems: &[Problem]) -> bool {
    problems
        .iter()
        .any(|problem| problem.severity > Severity::Notice)
}

#[allow(clippy::too_many_arguments, reason = "one row, its columns in order")]
fn push(
    list: &mut Vec<Problem>,
    severity: Severity,
    node: &str,
    kind: ProblemKind,
    subject: &str,
    what: &str,
    why: &str,
    since_ms: Option<u64>,
) {
    list.push(Problem {
        severity,
        nodes: node.split('\n').map(str::to_owned).collect(),
        kind,
        subject: words::printable(subject),
        what: words::printable(what),
        why: words::printable(why),
        since_ms,
    });
}

fn worker(node: &NodeView, snapshot: &Snapshot, list: &mut Vec<Problem>) {
    if snapshot.proxy_configured && snapshot.worker.is_none() {
        let why = &snapshot.worker_detail;
        push(
            list,
            Severity::Critical,
            &node.label,
            ProblemKind::NoWorker,
            "worker",
            "no worker runs",
            why,
            None,
        );
    }
    if !snapshot.draining_workers.is_empty() {
        let number = snapshot.draining_workers.len() as u64;
        let what = format!("{} still drain", plural(number, "earlier worker"));
        let why = "connections of the configuration before a reload are still open";
        push(
            list,
            Severity::Notice,
            &node.label,
            ProblemKind::WorkerDraining,
            "worker",
            &what,
            why,
            None,
        );
    }
}

fn backend(node: &NodeView, snapshot: &Snapshot, proxy: &ProxySnapshot, list: &mut Vec<Problem>) {
    for server in &proxy.servers {
        let subject = format!("{}/{}", proxy.name, server.name);
        let since = Some(snapshot.at_ms.saturating_sub(server.last_change_ms));
        let mut row = |severity, kind, what: &str, why: &str| {
            push(
                list,
                severity,
                &node.label,
                kind,
                &subject,
                what,
                why,
                since,
            )
        };
        match (server.admin, server.admin_cause, server.operational) {
            (_, AdminCause::Resolution, _) => {
                let why = format!("the name '{}' could not be resolved", server.fqdn);
                row(
                    Severity::Warning,
                    ProblemKind::ServerUnresolved,
                    &server.status,
                    &why,
                );
            }
            (ServerAdmin::Drain | ServerAdmin::Maint, cause, _) => {
                let left = if server.sessions.current > 0 {
                    format!(", {} left", plural(server.sessions.current, "session"))
                } else {
                    String::new()
                };
                let word = if server.admin == ServerAdmin::Drain {
                    "drain"
                } else {
                    "maintenance"
                };
                row(
                    Severity::Notice,
                    ProblemKind::ServerAdmin,
                    &format!("in {word}{left}"),
                    rows::cause(cause),
                );
            }
            (ServerAdmin::Ready, _, Operational::Down | Operational::GoingUp) => {
                row(
                    Severity::Warning,
                    ProblemKind::ServerDown,
                    &server.status,
                    &check_words(server),
                );
            }
            (ServerAdmin::Ready, _, Operational::GoingDown) => {
                row(
                    Severity::Warning,
                    ProblemKind::ServerGoingDown,
                    "fails checks",
                    &check_words(server),
                );
            }
            (ServerAdmin::Ready, _, Operational::Up | Operational::NoCheck) => {}
        }
    }
    let label = &node.label;
    if !proxy.servers.is_empty() && !proxy.servers.iter().any(usable) {
        let since = proxy
            .backend
            .as_ref()
            .map(|stats| snapshot.at_ms.saturating_sub(stats.last_change_ms));
        let what = "no usable server";
        let why = if proxy.http {
            "every request gets 503"
        } else {
            "every connection is closed"
        };
        push(
            list,
            Severity::Critical,
            label,
            ProblemKind::BackendUnusable,
            &proxy.name,
            what,
            why,
            since,
        );
    }
    let waiting = proxy
        .backend
        .as_ref()
        .map_or(0, |stats| stats.queue.current);
    if waiting > 0 {
        let history = node.history.backends.get(&proxy.name);
        let before = history.and_then(|history| history.queue.ago(QUEUE_SAMPLES));
        let why = "all usable servers are at their maxconn";
        match before {
            Some(before) if waiting > before => {
                let what = format!("queue grows, {} wait", plural(waiting, "request"));
                push(
                    list,
                    Severity::Warning,
                    label,
                    ProblemKind::QueueGrowing,
                    &proxy.name,
                    &what,
                    why,
                    None,
                );
            }
            _ => {
                let what = format!("{} wait", plural(waiting, "request"));
                push(
                    list,
                    Severity::Notice,
                    label,
                    ProblemKind::QueueWaiting,
                    &proxy.name,
                    &what,
                    why,
                    None,
                );
            }
        }
    }
}

/// Frontends that were stopped or disabled.
fn frontends(node: &NodeView, snapshot: &Snapshot, list: &mut Vec<Problem>) {
    for proxy in snapshot
        .worker
        .as_ref()
        .map_or(&[][..], |worker| &worker.proxies)
    {
        let Some(frontend) = &proxy.frontend else {
            continue;
        };
        if matches!(frontend.status.as_str(), "MAINT" | "STOP") {
            let what = format!("accepts no connections ({})", frontend.status);
            let why = "disabled by an operator, or the worker ends";
            push(
                list,
                Severity::Notice,
                &node.label,
                ProblemKind::FrontendDisabled,
                &proxy.name,
                &what,
                why,
                None,
            );
        }
    }
}

fn check_words(server: &protocol::snapshot::ServerStats) -> String {
    let Some(check) = &server.check else {
        return "set by an operator".to_owned();
    };
    let mut parts: Vec<String> = Vec::new();
    if !check.description.is_empty() {
        parts.push(check.description.clone());
    }
    if let Some(code) = check.code {
        parts.push(format!("code {code}"));
    }
    if !check.detail.is_empty() {
        parts.push(check.detail.clone());
    }
    if parts.is_empty() {
        check.status.clone()
    } else {
        parts.join(", ")
    }
}

fn errors(node: &NodeView, list: &mut Vec<Problem>) {
    let (errors, requests) = (node.history.errors.latest(), node.history.requests.latest());
    if errors > 0 && words::percent(errors, requests) >= ERROR_PERCENT {
        let what = format!(
            "{errors} answers 5xx/s, {} % of requests",
            words::percent(errors, requests).min(100)
        );
        let mut by: Vec<(&String, u64)> = node
            .history
            .backends
            .iter()
            .map(|(name, history)| (name, history.errors.latest()))
            .filter(|(_, rate)| *rate > 0)
            .collect();
        by.sort_by_key(|(name, rate)| (std::cmp::Reverse(*rate), (*name).clone()));
        let why = by
            .iter()
            .map(|(name, rate)| format!("{name} {rate}/s"))
            .collect::<Vec<_>>()
            .join(", ");
        push(
            list,
            Severity::Warning,
            &node.label,
            ProblemKind::Errors5xx,
            "frontends",
            &what,
            &why,
            None,
        );
    }
}

fn vrrp(node: &NodeView, snapshot: &Snapshot, list: &mut Vec<Problem>) {
    let label = &node.label;
    if snapshot.vrrp_configured && !snapshot.vrrp_running {
        let why = "this node neither takes nor watches the addresses";
        push(
            list,
            Severity::Critical,
            label,
            ProblemKind::VrrpNotRunning,
            "vrrp",
            "the vrrp process does not answer",
            why,
            None,
        );
    }
    for instance in &snapshot.vrrp {
        let since = Some(instance.since_ms);
        let name = &instance.name;
        if instance.state == VrrpState::Fault {
            let why = fault_reason(instance);
            push(
                list,
                Severity::Warning,
                label,
                ProblemKind::VrrpFault,
                name,
                "FAULT",
                &why,
                since,
            );
        }
        let settled = snapshot.at_ms.saturating_sub(instance.since_ms) >= SETTLE_MS;
        if instance.state == VrrpState::Master && !instance.addresses_present && settled {
            let what = format!("MASTER without {}", instance.addresses.join(" "));
            let why = "the addresses are not on the interface";
            push(
                list,
                Severity::Critical,
                label,
                ProblemKind::VrrpAddressMissing,
                name,
                &what,
                why,
                since,
            );
        }
        if instance.held {
            let why = "by an operator; 'failback' ends it";
            push(
                list,
                Severity::Notice,
                label,
                ProblemKind::VrrpHeld,
                name,
                "gives its addresses away",
                why,
                since,
            );
        }
        for share in instance
            .shares
            .iter()
            .filter(|share| !share.healthy && share.effect != Effect::Fault)
        {
            let what = match share.effect {
                Effect::Priority(number) if number != 0 => {
                    format!("{} fails, priority {number:+}", share.item)
                }
                _ => format!("{} fails", share.item),
            };
            push(
                list,
                Severity::Warning,
                label,
                ProblemKind::VrrpTracking,
                name,
                &what,
                &share.detail,
                None,
            );
        }
    }
}

/// Why an instance is in FAULT: the tracked items that hold it there, else its last transition.
pub fn fault_reason(instance: &InstanceSnapshot) -> String {
    let items: Vec<String> = instance
        .shares
        .iter()
        .filter(|share| share.effect == Effect::Fault)
        .map(|share| {
            if share.detail.is_empty() {
                share.item.clone()
            } else {
                format!("{}: {}", share.item, share.detail)
            }
        })
        .collect();
    if items.is_empty() {
        return instance
            .transitions
            .last()
            .map(|transition| transition.reason.clone())
            .unwrap_or_default();
    }
    items.join("; ")
}

fn pairs(nodes: &[NodeView], list: &mut Vec<Problem>) {
    for router in virtual_routers(nodes) {
        let addresses = router.addresses.join(" ");
        let labels = |places: &[usize]| {
            places
                .iter()
                .map(|place| nodes[*place].label.as_str())
                .collect::<Vec<_>>()
                .join("\n")
        };
        match router.state(nodes) {
            RouterState::HeldBy(_) | RouterState::HeldElsewhere(_) => {}
            RouterState::SplitBrain(masters) => {
                let since = router
                    .members
                    .iter()
                    .filter(|(index, _)| masters.contains(index))
                    .map(|(_, instance)| instance.since_ms)
                    .max();
                let what = format!("SPLIT BRAIN: {addresses} is on several nodes");
                // Who hears the other knows who has to yield.
                let heard = router
                    .members
                    .iter()
                    .find_map(|(_, instance)| instance.conflict_text());
                let why = heard.unwrap_or_else(|| {
                    format!(
                        "they do not hear each other: {} are MASTER at once",
                        labels(&masters).replace('\n', " and ")
                    )
                });
                push(
                    list,
                    Severity::Critical,
                    &labels(&masters),
                    ProblemKind::VrrpSplitBrain,
                    router.name,
                    &what,
                    &why,
                    since,
                );
            }
            RouterState::Nobody => {
                let all: Vec<usize> = router.members.iter().map(|(index, _)| *index).collect();
                let since = router
                    .members
                    .iter()
                    .map(|(_, instance)| instance.since_ms)
                    .max();
                let lost: Vec<&str> = nodes
                    .iter()
                    .filter(|node| node.live().is_none())
                    .map(|node| node.label.as_str())
                    .collect();
                let what = format!(
                    "{} holds {addresses}",
                    if lost.is_empty() {
                        "NOBODY"
                    } else {
                        "NO node that answers"
                    }
                );
                let mut why = router
                    .members
                    .iter()
                    .map(|(index, instance)| match instance.state {
                        VrrpState::Fault => {
                            format!("{} FAULT ({})", nodes[*index].label, fault_reason(instance))
                        }
                        state => format!("{} {state}", nodes[*index].label),
                    })
                    .collect::<Vec<_>>()
                    .join(", ");
                if !lost.is_empty() {
                    why.push_str(&format!("; unknown: {}", lost.join(", ")));
                }
                push(
                    list,
                    Severity::Critical,
                    &labels(&all),
                    ProblemKind::VrrpNobodyMaster,
                    router.name,
                    &what,
                    &why,
                    since,
                );
            }
        }
    }
}
