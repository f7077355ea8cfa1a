//! Reading snapshots: which servers are usable, and the rows of the servers' table.

use protocol::ServerName;
use protocol::operation::ServerAdmin;
use protocol::snapshot::{
    AdminCause, CheckStats, Operational, ProxySnapshot, ServerStats, Snapshot,
};
use protocol::vrrp::InstanceSnapshot;

use crate::node::NodeView;

/// Whether new requests may go to a server.
pub fn usable(server: &ServerStats) -> bool {
    server.admin == ServerAdmin::Ready
        && server.weight > 0
        && matches!(
            server.operational,
            Operational::Up | Operational::GoingDown | Operational::NoCheck
        )
}

/// A backend of a snapshot by name.
pub fn backend<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a ProxySnapshot> {
    backends(snapshot).find(|proxy| proxy.name == name)
}

/// All proxies with servers or a backend side, in order of configuration.
pub fn backends(snapshot: &Snapshot) -> impl Iterator<Item = &ProxySnapshot> {
    let proxies = snapshot
        .worker
        .as_ref()
        .map_or(&[][..], |worker| &worker.proxies);
    proxies
        .iter()
        .filter(|proxy| proxy.backend.is_some() || !proxy.servers.is_empty())
}

/// A server of a snapshot by name.
pub fn server<'a>(snapshot: &'a Snapshot, name: &ServerName) -> Option<&'a ServerStats> {
    backend(snapshot, &name.backend)?
        .servers
        .iter()
        .find(|server| server.name == name.server)
}

/// An instance of a snapshot by name.
pub fn instance<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a InstanceSnapshot> {
    snapshot.vrrp.iter().find(|instance| instance.name == name)
}

/// Errors of a server that a person counts together: connects, answers, aborts by the server, 5xx.
pub fn errors(server: &ServerStats) -> u64 {
    server.connection_errors
        + server.response_errors
        + server.server_aborts
        + server.responses.class_5xx
}

/// Who put a server into drain or maintenance, in words.
pub fn cause(cause: AdminCause) -> &'static str {
    match cause {
        AdminCause::None => "",
        AdminCause::Operator => "by an operator",
        AdminCause::Configuration => "by the configuration",
        AdminCause::Resolution => "its name could not be resolved",
    }
}

/// The last check in words, and what the agent said last: `L7STS/500 3ms Internal Server Error`, `L4OK 0ms, agent up`.
/// An agent that took the server down comes first.
pub fn check(server: &ServerStats) -> String {
    let own = server.check.as_ref().map(last_check);
    let agent = server.agent.as_ref().filter(|agent| agent.enabled);
    match (own, agent.map(|agent| (last_agent(agent), agent.health))) {
        (None, None) => "no check".to_owned(),
        (Some(own), None) => own,
        (None, Some((agent, _))) => agent,
        (Some(own), Some((agent, 0))) => format!("{agent}, {own}"),
        (Some(own), Some((agent, _))) => format!("{own}, {agent}"),
    }
}

/// What an agent said last: `agent down (gone fishing)`, `agent L4CON Connection refused`.
pub fn last_agent(agent: &CheckStats) -> String {
    let said = agent.detail.strip_prefix("via agent : ");
    let text = match (said, agent.detail.as_str()) {
        (Some(said), _) => said.to_owned(),
        (None, "") => agent.status.clone(),
        (None, detail) => format!("{} {detail}", agent.status),
    };
    crate::words::printable(&format!("agent {text}"))
}

fn last_check(check: &CheckStats) -> String {
    let mut text = check.status.clone();
    if let Some(code) = check.code {
        text.push_str(&format!("/{code}"));
    }
    text.push_str(&format!(" {}ms", check.duration_ms));
    let detail = if check.detail.is_empty() {
        &check.description
    } else {
        &check.detail
    };
    // What passed says nothing new; what failed says why.
    if !detail.is_empty() && !check.status.ends_with("OK") {
        text.push(' ');
        text.push_str(detail);
    }
    crate::words::printable(&text)
}

/// How the servers' table is ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// As configured, below their backends.
    #[default]
    Configured,
    /// By backend and name.
    Name,
    /// What is down first.
    Status,
    /// Heaviest first.
    Weight,
    /// Most sessions first.
    Sessions,
    /// Highest rate first.
    Rate,
    /// Longest queue first.
    Queue,
    /// Most errors first.
    Errors,
    /// Latest change first.
    Changed,
}

impl Sort {
    /// All, in the order in which the key walks them.
    pub const ALL: [Self; 9] = [
        Self::Configured,
        Self::Name,
        Self::Status,
        Self::Weight,
        Self::Sessions,
        Self::Rate,
        Self::Queue,
        Self::Errors,
        Self::Changed,
    ];

    /// Its name on the screen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Configured => "as configured",
            Self::Name => "name",
            Self::Status => "status",
            Self::Weight => "weight",
            Self::Sessions => "sessions",
            Self::Rate => "rate",
            Self::Queue => "queue",
            Self::Errors => "errors",
            Self::Changed => "last change",
        }
    }

    /// The next one, or the one before.
    pub fn step(self, forward: bool) -> Self {
        let place = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        let step = if forward { 1 } else { Self::ALL.len() - 1 };
        Self::ALL[(place + step) % Self::ALL.len()]
    }
}

/// How well a server or backend is, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Used.
    Good,
    /// In transition, or taken out by somebody.
    Uneasy,
    /// Down.
    Bad,
}

/// How well a server is.
pub fn health(server: &ServerStats) -> Health {
    match (server.admin, server.operational) {
        (_, Operational::Down) if server.admin == ServerAdmin::Ready => Health::Bad,
        _ if server.admin_cause == AdminCause::Resolution => Health::Bad,
        (ServerAdmin::Ready, Operational::Up | Operational::NoCheck) => Health::Good,
        _ => Health::Uneasy,
    }
}

/// A line of the servers' table.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// A backend above its servers.
    Backend {
        /// Its name.
        name: String,
        /// Its algorithm.
        algorithm: String,
        /// `UP`, `DOWN`, or each node's word where they differ.
        status: String,
        /// How well it is.
        health: Health,
        /// Usable servers of all.
        usable: (usize, usize),
        /// Requests that wait.
        queue: u64,
    },
    /// A server.
    Server(Box<ServerRow>),
}

/// A server's line; figures of several nodes are added.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerRow {
    /// Which.
    pub name: ServerName,
    /// Nodes that have it, as places among the nodes.
    pub nodes: Vec<usize>,
    /// HAProxy's word; `a UP / b DOWN` where nodes differ.
    pub status: String,
    /// How well it is, the worst of the nodes.
    pub health: Health,
    /// Effective weight, of the first node.
    pub weight: u32,
    /// `backup`.
    pub backup: bool,
    /// Sessions.
    pub sessions: u64,
    /// The most sessions.
    pub sessions_max: u64,
    /// Requests a second, over the last second.
    pub rate: u64,
    /// Requests that wait for it.
    pub queue: u64,
    /// Connects, answers and transfers that failed, and answers 5xx.
    pub errors: u64,
    /// Its last check.
    pub check: String,
    /// Milliseconds since the last change of state, the latest of the nodes.
    pub last_change_ms: u64,
}

/// The rows of the chosen nodes; `chosen` is `None` for all nodes together.
pub fn rows(nodes: &[NodeView], chosen: Option<usize>, sort: Sort, filter: &str) -> Vec<Row> {
    let shown: Vec<(usize, &NodeView, &Snapshot)> = nodes
        .iter()
        .enumerate()
        .filter(|(index, _)| chosen.is_none_or(|one| one == *index))
        .filter_map(|(index, node)| Some((index, node, node.live()?)))
        .collect();
    let mut names: Vec<&str> = Vec::new();
    for (_, _, snapshot) in &shown {
        for proxy in backends(snapshot) {
            if !names.contains(&proxy.name.as_str()) {
                names.push(&proxy.name);
            }
        }
    }
    let filter = filter.to_lowercase();
    let mut rows = Vec::new();
    for name in names {
        let mut servers: Vec<ServerRow> = Vec::new();
        for (index, node, snapshot) in &shown {
            let Some(proxy) = backend(snapshot, name) else {
                continue;
            };
            for server in &proxy.servers {
                let key = ServerName {
                    backend: name.to_owned(),
                    server: server.name.clone(),
                };
                let measured = node
                    .history
                    .servers
                    .get(&key)
                    .map(|history| history.rate.latest());
                add(
                    &mut servers,
                    key,
                    *index,
                    &node.label,
                    server,
                    measured.unwrap_or(server.rate.current),
                );
            }
        }
        let matches = |row: &ServerRow| {
            filter.is_empty()
                || row.name.to_string().to_lowercase().contains(&filter)
                || row.status.to_lowercase().contains(&filter)
                || row.check.to_lowercase().contains(&filter)
        };
        let head = backend_row(name, &shown, &servers);
        servers.retain(matches);
        if sort == Sort::Configured && (!servers.is_empty() || filter.is_empty()) {
            rows.push(head);
        }
        rows.extend(servers.into_iter().map(|row| Row::Server(Box::new(row))));
    }
    if sort != Sort::Configured {
        rows.sort_by(|left, right| match (left, right) {
            (Row::Server(left), Row::Server(right)) => order(sort, left, right),
            _ => std::cmp::Ordering::Equal,
        });
    }
    rows
}

fn order(sort: Sort, left: &ServerRow, right: &ServerRow) -> std::cmp::Ordering {
    let by_name =
        || (&left.name.backend, &left.name.server).cmp(&(&right.name.backend, &right.name.server));
    let by_figure = match sort {
        Sort::Configured | Sort::Name => std::cmp::Ordering::Equal,
        Sort::Status => right.health.cmp(&left.health),
        Sort::Weight => right.weight.cmp(&left.weight),
        Sort::Sessions => right.sessions.cmp(&left.sessions),
        Sort::Rate => right.rate.cmp(&left.rate),
        Sort::Queue => right.queue.cmp(&left.queue),
        Sort::Errors => right.errors.cmp(&left.errors),
        Sort::Changed => left.last_change_ms.cmp(&right.last_change_ms),
    };
    by_figure.then_with(by_name)
}

fn add(
    rows: &mut Vec<ServerRow>,
    name: ServerName,
    index: usize,
    label: &str,
    server: &ServerStats,
    rate: u64,
) {
    let status = crate::words::printable(&server.status);
    let Some(row) = rows.iter_mut().find(|row| row.name == name) else {
        rows.push(ServerRow {
            name,
            nodes: vec![index],
            status: format!("{label} {status}"),
            health: health(server),
            weight: server.weight,
            backup: server.backup,
            sessions: server.sessions.current,
            sessions_max: server.sessions.maximum,
            rate,
            queue: server.queue.current,
            errors: errors(server),
            check: check(server),
            last_change_ms: server.last_change_ms,
        });
        return;
    };
    row.nodes.push(index);
    row.status.push_str(&format!(" / {label} {status}"));
    if health(server) > row.health {
        // The check that explains the worse state is the one to show.
        row.check = check(server);
        row.health = health(server);
    }
    row.sessions += server.sessions.current;
    row.sessions_max += server.sessions.maximum;
    row.rate += rate;
    row.queue += server.queue.current;
    row.errors += errors(server);
    row.last_change_ms = row.last_change_ms.min(server.last_change_ms);
}

/// `a UP / b UP` becomes `UP`: only a difference needs the nodes' names.
pub fn short_status(row: &ServerRow, nodes: &[NodeView]) -> String {
    let mut words = row
        .status
        .split(" / ")
        .zip(&row.nodes)
        .map(|(part, index)| {
            let label = nodes.get(*index).map_or("", |node| node.label.as_str());
            part.strip_prefix(label).unwrap_or(part).trim_start()
        });
    let Some(first) = words.next() else {
        return String::new();
    };
    if words.all(|word| word == first) {
        first.to_owned()
    } else {
        row.status.clone()
    }
}

fn backend_row(name: &str, shown: &[(usize, &NodeView, &Snapshot)], servers: &[ServerRow]) -> Row {
    let mut statuses: Vec<(String, String)> = Vec::new();
    let (mut algorithm, mut queue, mut least_usable) = (String::new(), 0, usize::MAX);
    for (_, node, snapshot) in shown {
        let Some(proxy) = backend(snapshot, name) else {
            continue;
        };
        least_usable =
            least_usable.min(proxy.servers.iter().filter(|server| usable(server)).count());
        if let Some(stats) = &proxy.backend {
            algorithm.clone_from(&stats.algorithm);
            queue += stats.queue.current;
            statuses.push((node.label.clone(), stats.status.clone()));
        }
    }
    let same = statuses.windows(2).all(|pair| pair[0].1 == pair[1].1);
    let status = match statuses.first() {
        None => String::new(),
        Some((_, status)) if same => status.clone(),
        Some(_) => statuses
            .iter()
            .map(|(label, status)| format!("{label} {status}"))
            .collect::<Vec<_>>()
            .join(" / "),
    };
    let usable_count = if least_usable == usize::MAX {
        0
    } else {
        least_usable
    };
    let health = match usable_count {
        0 if !servers.is_empty() => Health::Bad,
        number if number < servers.len() => Health::Uneasy,
        _ => Health::Good,
    };
    Row::Backend {
        name: name.to_owned(),
        algorithm,
        status,
        health,
        usable: (usable_count, servers.len()),
        queue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(status: &str, detail: &str, health: u32) -> Option<CheckStats> {
        Some(CheckStats {
            status: status.to_owned(),
            detail: detail.to_owned(),
            health,
            enabled: true,
            ..CheckStats::default()
        })
    }

    #[track_caller]
    fn told(own: Option<CheckStats>, agent: Option<CheckStats>, expected: &str) {
        let server = ServerStats {
            check: own,
            agent,
            ..ServerStats::empty()
        };
        assert_eq!(check(&server), expected);
    }

    #[test]
    fn the_agent_stands_beside_the_check_and_first_where_it_took_the_server_down() {
        told(None, None, "no check");
        told(result("L4OK", "", 4), None, "L4OK 0ms");
        let up = result("L7OK", "via agent : up", 1);
        told(result("L4OK", "", 4), up.clone(), "L4OK 0ms, agent up");
        told(None, up, "agent up");
        let down = result("L7STS", "via agent : down (no disk)", 0);
        told(
            result("L4OK", "", 4),
            down,
            "agent down (no disk), L4OK 0ms",
        );
        let gone = result("L4CON", "Connection refused", 1);
        told(None, gone, "agent L4CON Connection refused");
    }
}
