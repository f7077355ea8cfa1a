//! What an action will cost, told from the snapshots before anybody confirms it.

use protocol::ServerName;
use protocol::operation::{Operation, ServerAdmin, WeightChange};
use protocol::snapshot::{ProxySnapshot, ServerStats};
use protocol::vrrp::{InstanceSnapshot, VrrpState};

use crate::node::NodeView;
use crate::rows::{self, usable};
use crate::words::{percent, plural};

/// A change that awaits its confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// `Drain nginx/web1 on a, b`.
    pub title: String,
    /// What it will do, in sentences; the loud ones warn.
    pub lines: Vec<PlanLine>,
    /// A word that must be typed, where the harm is great.
    pub must_type: Option<String>,
    /// What to ask of which node, by its place.
    pub asks: Vec<(usize, Operation)>,
}

/// A sentence of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanLine {
    /// The sentence.
    pub text: String,
    /// Whether it warns.
    pub loud: bool,
}

impl Plan {
    fn new(title: String) -> Self {
        Self {
            title,
            lines: Vec::new(),
            must_type: None,
            asks: Vec::new(),
        }
    }

    fn say(&mut self, text: impl Into<String>) {
        self.lines.push(PlanLine {
            text: text.into(),
            loud: false,
        });
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.lines.push(PlanLine {
            text: text.into(),
            loud: true,
        });
    }
}

fn label(nodes: &[NodeView], index: usize) -> &str {
    nodes.get(index).map_or("?", |node| node.label.as_str())
}

/// The plan of a new administrative state on these nodes.
pub fn server_state(
    nodes: &[NodeView],
    on: &[usize],
    name: &ServerName,
    state: ServerAdmin,
) -> Plan {
    let verb = match state {
        ServerAdmin::Ready => "Make ready",
        ServerAdmin::Drain => "Drain",
        ServerAdmin::Maint => "Put into maintenance",
    };
    let mut plan = Plan::new(title(nodes, on, verb, name));
    for (index, proxy, server) in found(nodes, on, name) {
        let node = label(nodes, index).to_owned();
        plan.asks.push((
            index,
            Operation::ServerState {
                server: name.clone(),
                state,
            },
        ));
        match state {
            ServerAdmin::Ready => ready(&mut plan, &node, server),
            ServerAdmin::Drain | ServerAdmin::Maint => {
                share(&mut plan, nodes, index, &node, proxy, server);
                leaves(&mut plan, &node, proxy, server);
            }
        }
    }
    match state {
        ServerAdmin::Ready => {}
        ServerAdmin::Drain => {
            plan.say("New requests go to other servers, except clients that persistence holds here; what runs may finish.");
        }
        ServerAdmin::Maint => {
            plan.say(
                "New requests go to other servers, those of persistence too; its checks stop.",
            );
            plan.say("Sessions in progress are not cut; they go on until they end.");
        }
    }
    missing(&mut plan, nodes, on, name);
    plan
}

/// The plan of a new weight on these nodes.
pub fn server_weight(
    nodes: &[NodeView],
    on: &[usize],
    name: &ServerName,
    weight: WeightChange,
) -> Plan {
    let mut plan = Plan::new(title(nodes, on, "Weight of", name));
    for (index, proxy, server) in found(nodes, on, name) {
        let node = label(nodes, index).to_owned();
        plan.asks.push((
            index,
            Operation::ServerWeight {
                server: name.clone(),
                weight,
            },
        ));
        let new = match weight {
            WeightChange::Absolute(number) => u64::from(number),
            // Below a configured weight of 1 nothing but 0 is smaller.
            WeightChange::Percent(number) => (u64::from(server.initial_weight) * u64::from(number))
                .div_ceil(100)
                .min(256),
        };
        let others: u64 = proxy
            .servers
            .iter()
            .filter(|other| {
                other.name != server.name && usable(other) && other.backup == server.backup
            })
            .map(|other| u64::from(other.weight))
            .sum();
        if new == 0 {
            plan.say(format!("{node}: weight {} -> 0: no new requests but those of persistence, as when draining.", server.weight));
            leaves(&mut plan, &node, proxy, server);
        } else {
            let before = percent(u64::from(server.weight), u64::from(server.weight) + others);
            plan.say(format!(
                "{node}: weight {} -> {new}, its share of {} from about {before} % to {} %.",
                server.weight,
                proxy.name,
                percent(new, new + others)
            ));
        }
    }
    missing(&mut plan, nodes, on, name);
    plan
}

fn title(nodes: &[NodeView], on: &[usize], verb: &str, name: &ServerName) -> String {
    let labels: Vec<&str> = on.iter().map(|index| label(nodes, *index)).collect();
    format!("{verb} {name} on {}", labels.join(", "))
}

fn found<'a>(
    nodes: &'a [NodeView],
    on: &'a [usize],
    name: &'a ServerName,
) -> impl Iterator<Item = (usize, &'a ProxySnapshot, &'a ServerStats)> {
    on.iter().filter_map(|index| {
        let proxy = rows::backend(nodes.get(*index)?.live()?, &name.backend)?;
        Some((
            *index,
            proxy,
            proxy
                .servers
                .iter()
                .find(|server| server.name == name.server)?,
        ))
    })
}

fn missing(plan: &mut Plan, nodes: &[NodeView], on: &[usize], name: &ServerName) {
    for index in on {
        if plan.asks.iter().any(|(asked, _)| asked == index) {
            continue;
        }
        let why = if nodes.get(*index).is_some_and(|node| node.live().is_some()) {
            "has no such server"
        } else {
            "is not reachable"
        };
        plan.warn(format!(
            "{} {why}: nothing is done for {name} there.",
            label(nodes, *index)
        ));
    }
}

fn ready(plan: &mut Plan, node: &str, server: &ServerStats) {
    if server.admin == ServerAdmin::Ready {
        plan.say(format!("{node}: it is ready already."));
    } else if server.check.is_some() {
        plan.say(format!(
            "{node}: it takes new requests as soon as its checks agree."
        ));
    } else {
        plan.warn(format!(
            "{node}: it has no check and takes new requests at once."
        ));
    }
}

fn share(
    plan: &mut Plan,
    nodes: &[NodeView],
    index: usize,
    node: &str,
    proxy: &ProxySnapshot,
    server: &ServerStats,
) {
    let history = &nodes[index].history.servers;
    let rate = |other: &ServerStats| {
        let key = ServerName {
            backend: proxy.name.clone(),
            server: other.name.clone(),
        };
        history
            .get(&key)
            .map_or(other.rate.current, |measured| measured.rate.latest())
    };
    let all: u64 = proxy.servers.iter().map(rate).sum();
    let own = rate(server);
    let unit = if proxy.http { "req/s" } else { "sessions/s" };
    plan.say(format!(
        "{node}: {} serves {} and {own} {unit} ({} % of backend {}).",
        server.name,
        plural(server.sessions.current, "session"),
        percent(own, all),
        proxy.name
    ));
    if server.queue.current > 0 {
        plan.warn(format!(
            "{node}: {} wait for it and move to other servers.",
            plural(server.queue.current, "request")
        ));
    }
}

/// What stays when a server leaves.
fn leaves(plan: &mut Plan, node: &str, proxy: &ProxySnapshot, server: &ServerStats) {
    let all = proxy.servers.len();
    let stay: Vec<&ServerStats> = proxy
        .servers
        .iter()
        .filter(|other| other.name != server.name && usable(other))
        .collect();
    let active = stay.iter().filter(|other| !other.backup).count();
    if stay.is_empty() {
        if usable(server) {
            let harm = if proxy.http {
                format!("all requests of {} will get 503", proxy.name)
            } else {
                format!("all connections of {} will be closed", proxy.name)
            };
            plan.warn(format!("{node}: LAST usable server: {harm}!"));
            plan.must_type = Some(server.name.clone());
        } else {
            plan.warn(format!(
                "{node}: it is not usable now, and neither is any other server of {}.",
                proxy.name
            ));
        }
    } else if active == 0 && !server.backup {
        plan.warn(format!(
            "{node}: no active server stays; {} of {} take over.",
            plural(stay.len() as u64, "backup server"),
            proxy.name
        ));
    } else {
        plan.say(format!(
            "{node}: {} of {all} servers {} usable.",
            stay.len(),
            if stay.len() == 1 { "stays" } else { "stay" }
        ));
    }
}

/// The node that may take an instance's addresses back: the one that gave them away, else a backup that
/// outranks the master that it hears (as `nopreempt` leaves behind).
pub fn failback_candidate(
    nodes: &[NodeView],
    is_it: impl Fn(&InstanceSnapshot) -> bool,
) -> Option<(usize, String)> {
    let candidates = nodes.iter().enumerate().filter_map(|(index, node)| {
        let instance = node.live()?.vrrp.iter().find(|instance| is_it(instance))?;
        let master = instance.master.as_ref().map_or(0, |master| master.priority);
        let outranks = instance.state == VrrpState::Backup
            && master > 0
            && instance.effective_priority > master;
        (instance.held || outranks).then(|| {
            (
                instance.held,
                instance.effective_priority,
                index,
                instance.name.clone(),
            )
        })
    });
    candidates
        .max_by_key(|(held, priority, _, _)| (*held, *priority))
        .map(|(_, _, index, name)| (index, name))
}

/// A peer that was heard within this many advertisement intervals is there.
const PEER_INTERVALS: u64 = 4;

/// Whether somebody would take the addresses over: heard of late, or another of our nodes stands ready.
fn somebody(nodes: &[NodeView], index: usize, instance: &InstanceSnapshot) -> Option<String> {
    let other = nodes.iter().enumerate().find_map(|(other, node)| {
        let peer = node.live()?.vrrp.iter().find(|peer| {
            peer.vrid == instance.vrid
                && peer
                    .addresses
                    .iter()
                    .any(|address| instance.addresses.contains(address))
        })?;
        (other != index && peer.state == VrrpState::Backup && !peer.held)
            .then(|| node.label.clone())
    });
    other.or_else(|| {
        let limit = PEER_INTERVALS * instance.advert_interval_ms.max(1);
        instance
            .peers
            .iter()
            .find(|peer| peer.priority > 0 && peer.age_ms < limit)
            .map(|peer| peer.address.clone())
    })
}

/// Why no other node that answers is fit to take over; nothing if one is, or if none answers: then the node itself asks.
pub fn nobody_fit(nodes: &[NodeView], index: usize, name: &str) -> Option<String> {
    let instance = rows::instance(nodes.get(index)?.live()?, name)?;
    let others = partners(nodes, index, instance).count();
    let unwell = unwell(nodes, index, instance);
    (others > 0 && unwell.len() == others).then(|| unwell.join(" "))
}

/// The same virtual router on the other nodes that answer.
fn partners<'a>(
    nodes: &'a [NodeView],
    index: usize,
    instance: &'a InstanceSnapshot,
) -> impl Iterator<Item = (&'a NodeView, &'a InstanceSnapshot)> {
    let others = nodes
        .iter()
        .enumerate()
        .filter(move |(other, _)| *other != index);
    others.filter_map(|(_, node)| {
        let peer = node.live()?.vrrp.iter().find(|peer| {
            peer.vrid == instance.vrid
                && peer
                    .addresses
                    .iter()
                    .any(|address| instance.addresses.contains(address))
        })?;
        Some((node, peer))
    })
}

/// Why others of our nodes are not fit to take over.
fn unwell(nodes: &[NodeView], index: usize, instance: &InstanceSnapshot) -> Vec<String> {
    partners(nodes, index, instance)
        .filter_map(|(node, peer)| {
            let bad: Vec<&str> = peer
                .shares
                .iter()
                .filter(|share| !share.healthy)
                .map(|share| share.item.as_str())
                .collect();
            match (peer.state, bad.is_empty()) {
                (VrrpState::Backup | VrrpState::Master, true) => None,
                (state, true) => Some(format!("{} is {state}.", node.label)),
                (state, false) => Some(format!(
                    "{} is {state}: {} fails there.",
                    node.label,
                    bad.join(", ")
                )),
            }
        })
        .collect()
}

/// The plan of giving an instance's addresses away, on the node that holds them.
pub fn failover(nodes: &[NodeView], index: usize, name: &str) -> Plan {
    let node = label(nodes, index).to_owned();
    let mut plan = Plan::new(format!("Failover of {name} away from {node}"));
    let Some(instance) = nodes
        .get(index)
        .and_then(|view| view.live())
        .and_then(|snapshot| rows::instance(snapshot, name))
    else {
        plan.warn(format!(
            "{node} is not reachable or has no instance {name}."
        ));
        return plan;
    };
    let addresses = instance.addresses.join(" ");
    if instance.state != VrrpState::Master {
        plan.warn(format!(
            "{node} is {}, not MASTER: it has nothing to give away.",
            instance.state
        ));
        return plan;
    }
    let taker = somebody(nodes, index, instance);
    match &taker {
        Some(taker) => {
            plan.say(format!(
                "{addresses} moves from {node} to {taker} within about a second; {node} answers until {taker} does."
            ));
        }
        None => {
            plan.warn(format!(
                "Nobody is known to take {addresses}! {node} asks and goes on answering: if no other node speaks up \
                 within about a second, nothing moves."
            ));
        }
    }
    for why in unwell(nodes, index, instance) {
        plan.warn(why);
    }
    let connections = nodes[index]
        .live()
        .and_then(|snapshot| snapshot.worker.as_ref())
        .map_or(0, |worker| worker.process.current_connections);
    plan.say(format!(
        "Current connections to the address break ({} on {node}).",
        plural(connections, "connection")
    ));
    plan.say(format!(
        "{node} does not take it back while the other speaks, until 'failback'."
    ));
    plan.asks.push((
        index,
        Operation::VrrpFailover {
            instance: name.to_owned(),
            force: false,
        },
    ));
    plan
}

/// The plan of ending a failover.
pub fn failback(nodes: &[NodeView], index: usize, name: &str) -> Plan {
    let node = label(nodes, index).to_owned();
    let mut plan = Plan::new(format!("Failback of {name} on {node}"));
    let Some(instance) = nodes
        .get(index)
        .and_then(|view| view.live())
        .and_then(|snapshot| rows::instance(snapshot, name))
    else {
        plan.warn(format!(
            "{node} is not reachable or has no instance {name}."
        ));
        return plan;
    };
    let addresses = instance.addresses.join(" ");
    let own = instance.effective_priority;
    match &instance.master {
        _ if instance.state == VrrpState::Master => plan.say(format!(
            "{node} holds {addresses} already: nothing changes."
        )),
        _ if instance.state != VrrpState::Backup => {
            plan.warn(format!(
                "{node} is {} and cannot take {addresses}: it will refuse.",
                instance.state
            ));
        }
        Some(master) if master.priority > own => {
            plan.warn(format!(
                "{node} has priority {own} against {}: it would lose, and will refuse.",
                master.priority
            ));
            plan.say("A failover of the other node moves the addresses.");
        }
        master => {
            let against = master
                .as_ref()
                .map_or("nobody".to_owned(), |master| master.priority.to_string());
            plan.say(format!(
                "{node} has priority {own} against {against}: {addresses} moves back to {node} at once, in spite of \
                 nopreempt and preempt_delay."
            ));
            plan.say("Current connections to the address break.");
        }
    }
    plan.asks.push((
        index,
        Operation::VrrpFailback {
            instance: name.to_owned(),
        },
    ));
    plan
}

/// Reads a weight: `0` to `256`, or `50%` of the configured weight.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse_weight(text: &str) -> Result<WeightChange, String> {
    let wrong = || {
        format!(
            "'{text}' is no weight; expected 0 to 256, or per cent of the configured weight as in 50%"
        )
    };
    match text.strip_suffix('%') {
        Some(number) => number
            .parse()
            .map(WeightChange::Percent)
            .map_err(|_| wrong()),
        None => match text.parse::<u16>() {
            Ok(number) if number <= 256 => Ok(WeightChange::Absolute(number)),
            _ => Err(wrong()),
        },
    }
}
