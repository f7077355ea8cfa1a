//! What is wrong, since when and why: one judgement for the dashboard's overview and for `tandem status`.

use protocol::operation::ServerAdmin;
use protocol::snapshot::{AdminCause, Operational, ProxySnapshot, Snapshot};
use protocol::vrrp::{Effect, InstanceSnapshot, VrrpState};
use serde::Serialize;

use crate::node::{NodeView, Reach};
use crate::rows::{self, usable};
use crate::words::{self, plural};

/// A new master is not called a second one before so many milliseconds: the pictures of two nodes
/// are not of the same moment.
pub const SETTLE_MS: u64 = 1_500;
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
}

/// One line of the overview.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The node, or several joined by `+`.
    pub node: String,
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
            push(&mut list, Severity::Critical, &node.label, ProblemKind::NodeUnreachable, "node", "not reachable", why, Some(*since_ms));
        }
        if let Some(snapshot) = node.live() {
            worker(node, snapshot, &mut list);
            vrrp(node, snapshot, &mut list);
            for proxy in rows::backends(snapshot) {
                backend(node, snapshot, proxy, &mut list);
            }
            errors(node, &mut list);
        }
    }
    list.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    list
}

/// Whether anything is worse than a notice.
pub fn anything_wrong(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity > Severity::Notice)
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
        node: node.to_owned(),
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
        push(list, Severity::Critical, &node.label, ProblemKind::NoWorker, "worker", "no worker runs", why, None);
    }
    if !snapshot.draining_workers.is_empty() {
        let number = snapshot.draining_workers.len() as u64;
        let what = format!("{} still drain", plural(number, "earlier worker"));
        let why = "connections of the configuration before a reload are still open";
        push(list, Severity::Notice, &node.label, ProblemKind::WorkerDraining, "worker", &what, why, None);
    }
}

fn backend(node: &NodeView, snapshot: &Snapshot, proxy: &ProxySnapshot, list: &mut Vec<Problem>) {
    for server in &proxy.servers {
        let subject = format!("{}/{}", proxy.name, server.name);
        let since = Some(snapshot.at_ms.saturating_sub(server.last_change_ms));
        let mut row = |severity, kind, what: &str, why: &str| push(list, severity, &node.label, kind, &subject, what, why, since);
        match (server.admin, server.admin_cause, server.operational) {
            (_, AdminCause::Resolution, _) => {
                let why = format!("the name '{}' could not be resolved", server.fqdn);
                row(Severity::Warning, ProblemKind::ServerUnresolved, &server.status, &why);
            }
            (ServerAdmin::Drain | ServerAdmin::Maint, cause, _) => {
                let left = if server.sessions.current > 0 {
                    format!(", {} left", plural(server.sessions.current, "session"))
                } else {
                    String::new()
                };
                let word = if server.admin == ServerAdmin::Drain { "drain" } else { "maintenance" };
                row(Severity::Notice, ProblemKind::ServerAdmin, &format!("in {word}{left}"), rows::cause(cause));
            }
            (ServerAdmin::Ready, _, Operational::Down | Operational::GoingUp) => {
                row(Severity::Warning, ProblemKind::ServerDown, &server.status, &check_words(server));
            }
            (ServerAdmin::Ready, _, Operational::GoingDown) => {
                row(Severity::Warning, ProblemKind::ServerGoingDown, "fails checks", &check_words(server));
            }
            (ServerAdmin::Ready, _, Operational::Up | Operational::NoCheck) => {}
        }
    }
    let label = &node.label;
    if !proxy.servers.is_empty() && !proxy.servers.iter().any(usable) {
        let since = proxy.backend.as_ref().map(|stats| snapshot.at_ms.saturating_sub(stats.last_change_ms));
        let what = "no usable server";
        let why = if proxy.http { "every request gets 503" } else { "every connection is closed" };
        push(list, Severity::Critical, label, ProblemKind::BackendUnusable, &proxy.name, what, why, since);
    }
    let waiting = proxy.backend.as_ref().map_or(0, |stats| stats.queue.current);
    if waiting > 0 {
        let before = node.history.backends.get(&proxy.name).and_then(|history| {
            history.queue.ago(QUEUE_SAMPLES).or_else(|| history.queue.ago(1))
        });
        let why = "all usable servers are at their maxconn";
        match before {
            Some(before) if waiting > before => {
                let what = format!("queue grows, {} wait", plural(waiting, "request"));
                push(list, Severity::Warning, label, ProblemKind::QueueGrowing, &proxy.name, &what, why, None);
            }
            _ => {
                let what = format!("{} wait", plural(waiting, "request"));
                push(list, Severity::Notice, label, ProblemKind::QueueWaiting, &proxy.name, &what, why, None);
            }
        }
    }
}

fn check_words(server: &protocol::snapshot::ServerStats) -> String {
    let Some(check) = &server.check else { return "set by an operator".to_owned() };
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
    if parts.is_empty() { check.status.clone() } else { parts.join(", ") }
}

fn errors(node: &NodeView, list: &mut Vec<Problem>) {
    let (errors, requests) = (node.history.errors.latest(), node.history.requests.latest());
    if errors > 0 && words::percent(errors, requests) >= ERROR_PERCENT {
        let what = format!("{errors} answers 5xx/s, {} % of requests", words::percent(errors, requests).min(100));
        let mut by: Vec<(&String, u64)> =
            node.history.backends.iter().map(|(name, history)| (name, history.errors.latest())).filter(|(_, rate)| *rate > 0).collect();
        by.sort_by_key(|(name, rate)| (std::cmp::Reverse(*rate), (*name).clone()));
        let why = by.iter().map(|(name, rate)| format!("{name} {rate}/s")).collect::<Vec<_>>().join(", ");
        push(list, Severity::Warning, &node.label, ProblemKind::Errors5xx, "frontends", &what, &why, None);
    }
}

fn vrrp(node: &NodeView, snapshot: &Snapshot, list: &mut Vec<Problem>) {
    let label = &node.label;
    if snapshot.vrrp_configured && !snapshot.vrrp_running {
        let why = "this node neither takes nor watches the addresses";
        push(list, Severity::Critical, label, ProblemKind::VrrpNotRunning, "vrrp", "the vrrp process does not answer", why, None);
    }
    for instance in &snapshot.vrrp {
        let since = Some(instance.since_ms);
        let name = &instance.name;
        if instance.state == VrrpState::Fault {
            let why = fault_reason(instance);
            push(list, Severity::Warning, label, ProblemKind::VrrpFault, name, "FAULT", &why, since);
        }
        if instance.state == VrrpState::Master && !instance.addresses_present {
            let what = format!("MASTER without {}", instance.addresses.join(" "));
            let why = "the addresses are not on the interface";
            push(list, Severity::Critical, label, ProblemKind::VrrpAddressMissing, name, &what, why, since);
        }
        if instance.held {
            let why = "by an operator; 'failback' ends it";
            push(list, Severity::Notice, label, ProblemKind::VrrpHeld, name, "gives its addresses away", why, since);
        }
        for share in instance.shares.iter().filter(|share| !share.healthy && share.effect != Effect::Fault) {
            let what = match share.effect {
                Effect::Priority(number) if number != 0 => format!("{} fails, priority {number:+}", share.item),
                _ => format!("{} fails", share.item),
            };
            push(list, Severity::Warning, label, ProblemKind::VrrpTracking, name, &what, &share.detail, None);
        }
    }
}

/// Why an instance is in FAULT: the tracked items that hold it there, else its last transition.
pub fn fault_reason(instance: &InstanceSnapshot) -> String {
    let items: Vec<String> = instance
        .shares
        .iter()
        .filter(|share| share.effect == Effect::Fault)
        .map(|share| if share.detail.is_empty() { share.item.clone() } else { format!("{}: {}", share.item, share.detail) })
        .collect();
    if items.is_empty() {
        return instance.transitions.last().map(|transition| transition.reason.clone()).unwrap_or_default();
    }
    items.join("; ")
}

/// A virtual router over all nodes that take part in it.
#[derive(Clone, Debug)]
pub struct VirtualRouter<'a> {
    /// The name of its first instance.
    pub name: &'a str,
    /// Virtual router id.
    pub vrid: u8,
    /// Its addresses.
    pub addresses: &'a [String],
    /// Its instances by the node's place among the nodes; live nodes only.
    pub members: Vec<(usize, &'a InstanceSnapshot)>,
}

/// How a virtual router is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouterState {
    /// This node (its place) holds the addresses.
    HeldBy(usize),
    /// A router that is not among our nodes holds them.
    HeldElsewhere(String),
    /// Several hold them.
    SplitBrain(Vec<usize>),
    /// Nobody does.
    Nobody,
}

/// Virtual routers of all live nodes; the same id and addresses on two nodes is one router.
pub fn virtual_routers(nodes: &[NodeView]) -> Vec<VirtualRouter<'_>> {
    let mut routers: Vec<VirtualRouter<'_>> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        for instance in node.live().map_or(&[][..], |snapshot| &snapshot.vrrp) {
            let same = routers.iter_mut().find(|router| {
                router.vrid == instance.vrid && router.addresses.iter().any(|address| instance.addresses.contains(address))
            });
            match same {
                Some(router) => router.members.push((index, instance)),
                None => routers.push(VirtualRouter {
                    name: &instance.name,
                    vrid: instance.vrid,
                    addresses: &instance.addresses,
                    members: vec![(index, instance)],
                }),
            }
        }
    }
    routers
}

impl VirtualRouter<'_> {
    /// Who holds the addresses.
    pub fn state(&self, nodes: &[NodeView]) -> RouterState {
        let masters: Vec<(usize, &InstanceSnapshot)> =
            self.members.iter().filter(|(_, instance)| instance.state == VrrpState::Master).copied().collect();
        let at_ms = |index: usize| nodes[index].snapshot.as_ref().map_or(0, |snapshot| snapshot.at_ms);
        let settled = masters.iter().filter(|(index, instance)| at_ms(*index).saturating_sub(instance.since_ms) >= SETTLE_MS).count();
        if masters.len() > 1 && settled > 1 || masters.iter().any(|(_, instance)| instance.conflict) {
            return RouterState::SplitBrain(masters.iter().map(|(index, _)| *index).collect());
        }
        // While an address moves, the one who took it last is right.
        if let Some((index, _)) = masters.iter().max_by_key(|(_, instance)| instance.since_ms) {
            return RouterState::HeldBy(*index);
        }
        let heard = self.members.iter().filter_map(|(_, instance)| {
            let master = instance.master.as_ref()?;
            // RFC 9568 6.1: silent for three intervals and the skew is gone.
            (master.priority > 0 && master.age_ms < 4 * instance.advert_interval_ms.max(1)).then_some((instance, master))
        });
        let ours: Vec<&str> = self.members.iter().map(|(_, instance)| instance.source.as_str()).collect();
        // A master among our own nodes says itself what it is; only a stranger is believed by hearsay.
        if let Some((_, master)) = heard.into_iter().find(|(_, master)| !ours.contains(&master.address.as_str())) {
            return RouterState::HeldElsewhere(master.address.clone());
        }
        RouterState::Nobody
    }
}

fn pairs(nodes: &[NodeView], list: &mut Vec<Problem>) {
    for router in virtual_routers(nodes) {
        let addresses = router.addresses.join(" ");
        let labels = |places: &[usize]| places.iter().map(|place| nodes[*place].label.as_str()).collect::<Vec<_>>().join("+");
        match router.state(nodes) {
            RouterState::HeldBy(_) | RouterState::HeldElsewhere(_) => {}
            RouterState::SplitBrain(masters) => {
                let since = router.members.iter().filter(|(index, _)| masters.contains(index)).map(|(_, instance)| instance.since_ms).max();
                let what = format!("SPLIT BRAIN: {addresses} is on several nodes");
                let why = if masters.len() > 1 {
                    format!("{} are MASTER at once; they do not hear each other", labels(&masters).replace('+', " and "))
                } else {
                    "another MASTER is heard on the link".to_owned()
                };
                push(list, Severity::Critical, &labels(&masters), ProblemKind::VrrpSplitBrain, router.name, &what, &why, since);
            }
            RouterState::Nobody => {
                let all: Vec<usize> = router.members.iter().map(|(index, _)| *index).collect();
                let since = router.members.iter().map(|(_, instance)| instance.since_ms).max();
                let what = format!("NOBODY holds {addresses}");
                let why = router
                    .members
                    .iter()
                    .map(|(index, instance)| match instance.state {
                        VrrpState::Fault => format!("{} FAULT ({})", nodes[*index].label, fault_reason(instance)),
                        state => format!("{} {state}", nodes[*index].label),
                    })
                    .collect::<Vec<_>>()
                    .join(", ");
                push(list, Severity::Critical, &labels(&all), ProblemKind::VrrpNobodyMaster, router.name, &what, &why, since);
            }
        }
    }
}
