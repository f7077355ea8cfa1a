//! For every single failure: what each node's priority becomes, who is master then, how soon, and whether the addresses
//! come back by themselves when the failure is over.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::model::{Version, VrrpInstance};
use super::election::{Candidate, OWNER, Standing, outranks};
use super::tracked::{NUMBER_NOTICED, Numbered, Tracked};

/// Who holds the addresses. Nodes are counted 0 (the first file) and 1 (the second).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// One node.
    Node(usize),
    /// Both at once.
    Both,
    /// No node.
    Nobody,
}

/// What happens when the failure is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// Nothing has moved.
    NothingMoved,
    /// The addresses go back within this time.
    Within(Duration),
    /// They stay where they are until somebody moves them.
    Stays,
}

/// How a node stands in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It takes part with this priority.
    Priority(u8),
    /// It is in FAULT.
    Fault,
    /// It is off.
    Gone,
}

/// A failure and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What fails.
    pub failure: String,
    /// Each node then.
    pub nodes: [Shown; 2],
    /// Who holds the addresses then.
    pub holder: Holder,
    /// Longest until that is so; none if nothing moves.
    pub within: Option<Duration>,
    /// What happens when the failure is over.
    pub back: Return,
}

/// A virtual router, and what happens to it in every single failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name on the first node.
    pub name: String,
    /// Virtual router id.
    pub virtual_router_id: u8,
    /// Version of its advertisements.
    pub version: Version,
    /// Their interval on the first node.
    pub interval: Duration,
    /// Its addresses on the first node.
    pub addresses: Vec<String>,
    /// What the nodes are called.
    pub labels: [String; 2],
    /// Each node while all is well.
    pub well: [Shown; 2],
    /// Who is master while all is well; `Both` if the nodes do not understand each other.
    pub holder: Holder,
    /// Why it is that one, where the priorities alone do not say it.
    pub because: String,
    /// The failures.
    pub rows: Vec<Row>,
}

/// The sync groups of an instance, as the table sees them.
pub(super) struct Company {
    /// The other members, on both nodes.
    pub(super) others: Vec<[Candidate; 2]>,
    /// Whether a node's group keeps a member a backup while another one obeys its master, as this daemon does.
    pub(super) holds_back: [bool; 2],
}

/// A single failure.
enum Failure<'a> {
    Dies(usize),
    Link(usize),
    Item(usize, &'a Tracked),
    /// The same thing fails on both nodes.
    Shared(&'a Tracked),
    Path,
}

/// The tables of a virtual router: one for each node that may be master while all is well.
pub(super) fn scenarios(
    labels: [String; 2],
    instance: &VrrpInstance,
    candidates: [Candidate; 2],
    company: Company,
    meets: bool,
) -> Vec<Scenario> {
    let scenario = |holder, because: &str, rows| Scenario {
        name: instance.name.as_str().to_owned(),
        virtual_router_id: instance.virtual_router_id,
        version: instance.version,
        interval: instance.advert_int,
        addresses: instance
            .virtual_addresses
            .iter()
            .map(|entry| format!("{}/{}", entry.address, entry.prefix_length))
            .collect(),
        labels: labels.clone(),
        well: [0, 1].map(|node| shown(candidates[node].well())),
        holder,
        because: because.to_owned(),
        rows,
    };
    if !meets {
        let because = "they do not hear each other: see the errors";
        return vec![scenario(Holder::Both, because, Vec::new())];
    }
    let pair = Pair {
        nodes: &candidates,
        labels: &labels,
        company: &company,
        tracks_link: !instance.dont_track_primary,
    };
    let (masters, because) = pair.masters();
    masters
        .into_iter()
        .map(|master| scenario(Holder::Node(master), because, pair.rows(master)))
        .collect()
}

fn shown(standing: Standing) -> Shown {
    match standing {
        Standing::Runs(priority) => Shown::Priority(priority),
        Standing::Fault => Shown::Fault,
    }
}

/// A backup obeys an equal priority; it preempts a lower one.
fn preempts(backup: &Candidate, priority: u8, lowered: u8) -> bool {
    priority > lowered && (!backup.nopreempt || priority == OWNER)
}

struct Pair<'a> {
    nodes: &'a [Candidate; 2],
    labels: &'a [String; 2],
    company: &'a Company,
    tracks_link: bool,
}

impl Pair<'_> {
    fn well(&self, node: usize) -> u8 {
        match self.nodes[node].well() {
            Standing::Runs(priority) => priority,
            // `weight 0 reverse`: well means FAULT. Nobody writes it so; it takes no part.
            Standing::Fault => 0,
        }
    }

    fn prefers(&self, one: usize, priorities: [u8; 2]) -> Option<bool> {
        let other = 1 - one;
        outranks(
            (priorities[one], self.nodes[one].source),
            (priorities[other], self.nodes[other].source),
        )
    }

    /// Who may be master while all is well for long, and why where the priorities alone do not decide.
    fn masters(&self) -> (Vec<usize>, &'static str) {
        let priorities = [self.well(0), self.well(1)];
        let first = usize::from(priorities[1] > priorities[0]);
        if priorities[0] == priorities[1] {
            return (
                vec![0, 1],
                "priorities are equal: whoever is master stays it",
            );
        }
        if self.nodes[first].nopreempt && priorities[first] != OWNER {
            return (
                vec![first, 1 - first],
                "'nopreempt': whoever is master stays it",
            );
        }
        (vec![first], "")
    }

    fn rows(&self, master: usize) -> Vec<Row> {
        let backup = 1 - master;
        let mut rows = Vec::new();
        for node in [master, backup] {
            rows.push(self.row(master, &Failure::Dies(node)));
            rows.push(self.row(master, &Failure::Link(node)));
            for item in &self.nodes[node].tracked {
                rows.push(self.row(master, &Failure::Item(node, item)));
            }
            for file in &self.nodes[node].numbered {
                self.numbers(master, node, file, &mut rows);
            }
        }
        let names: BTreeSet<&str> = self.nodes[backup]
            .tracked
            .iter()
            .map(|item| item.name.as_str())
            .collect();
        for item in &self.nodes[master].tracked {
            if names.contains(item.name.as_str()) {
                rows.push(self.row(master, &Failure::Shared(item)));
            }
        }
        rows.push(self.row(master, &Failure::Path));
        rows
    }

    fn row(&self, master: usize, failure: &Failure<'_>) -> Row {
        let label = |node: usize| self.labels[node].as_str();
        match failure {
            Failure::Dies(node) => {
                self.silent(master, *node, format!("{} dies", label(*node)), Shown::Gone)
            }
            Failure::Link(node) => {
                let text = format!("{} loses its link", label(*node));
                if self.tracks_link {
                    return self.silent(master, *node, text, Shown::Fault);
                }
                // It does not notice, and goes on as master without anybody who hears it.
                let mut row = self.silent(master, *node, text, shown(self.nodes[*node].well()));
                if *node == master {
                    row.holder = Holder::Both;
                }
                row
            }
            Failure::Item(node, item) => {
                let text = format!("{} fails on {}", item.name, label(*node));
                let standing = |which: usize| {
                    self.nodes[which].standing(&|other| which == *node && other.name == item.name)
                };
                let company = self.preempts_beside(master, &|which, other| {
                    which == *node && other.thing() == item.thing()
                });
                let standings = [standing(0), standing(1)];
                self.weighed(master, text, standings, item.noticed, company)
            }
            Failure::Shared(item) => {
                let text = format!("{} fails on both", item.name);
                let standing =
                    |which: usize| self.nodes[which].standing(&|other| other.name == item.name);
                let company =
                    self.preempts_beside(master, &|_, other| other.thing() == item.thing());
                let standings = [standing(0), standing(1)];
                self.weighed(master, text, standings, item.noticed, company)
            }
            Failure::Path => self.path(master),
        }
    }

    /// A node that says nothing more, not even that it resigns.
    fn silent(&self, master: usize, node: usize, failure: String, as_what: Shown) -> Row {
        let other = 1 - node;
        let mut nodes = [0, 1].map(|which| shown(self.nodes[which].well()));
        nodes[node] = as_what;
        let moves = node == master;
        let down = self.nodes[other].master_down(self.well(other), self.nodes[node].interval);
        Row {
            failure,
            nodes,
            holder: Holder::Node(other),
            within: moves.then_some(down),
            back: if moves {
                self.back(master, [self.well(0), self.well(1)], Duration::ZERO)
            } else {
                Return::NothingMoved
            },
        }
    }

    /// Tracked items have failed: who is master then?
    fn weighed(
        &self,
        master: usize,
        failure: String,
        standings: [Standing; 2],
        noticed: Duration,
        company: Vec<bool>,
    ) -> Row {
        let backup = 1 - master;
        let interval = self.nodes[master].interval;
        let stays = (Holder::Node(master), None, Return::NothingMoved);
        let priorities = [self.well(0), self.well(1)];
        let (holder, within, back) = match (standings[master], standings[backup]) {
            (Standing::Fault, Standing::Fault) => (
                Holder::Nobody,
                Some(noticed),
                // Whoever is well first speaks when nobody else does.
                Return::Within(
                    self.nodes[master].master_down(priorities[master], interval) + noticed,
                ),
            ),
            // It resigns with priority 0: the other waits its skew time.
            (Standing::Fault, Standing::Runs(priority)) => (
                Holder::Node(backup),
                Some(noticed + self.nodes[backup].skew(priority, interval)),
                self.back(master, priorities, noticed),
            ),
            (Standing::Runs(_), Standing::Fault) => stays,
            (Standing::Runs(lowered), Standing::Runs(priority)) => {
                let own = preempts(&self.nodes[backup], priority, lowered);
                // A sync group moves as one: where it holds a member back, when all of them want to; else when any does.
                let moves = match self.company.holds_back[backup] {
                    true => own && company.iter().all(|other| *other),
                    false => own || company.iter().any(|other| *other),
                };
                if moves {
                    let down = self.nodes[backup].master_down(priority, interval)
                        + self.nodes[backup].preempt_delay;
                    (
                        Holder::Node(backup),
                        Some(noticed + down),
                        self.back(master, priorities, noticed),
                    )
                } else {
                    stays
                }
            }
        };
        Row {
            failure,
            nodes: standings.map(shown),
            holder,
            within,
            back,
        }
    }

    /// Of each other member of the sync group, whether the backup preempts while these items fail.
    fn preempts_beside(
        &self,
        master: usize,
        failed: &dyn Fn(usize, &Tracked) -> bool,
    ) -> Vec<bool> {
        let backup = 1 - master;
        let others = self.company.others.iter();
        let preempting = others.map(|nodes| {
            let standing = |which: usize| nodes[which].standing(&|item| failed(which, item));
            match (standing(master), standing(backup)) {
                (Standing::Runs(lowered), Standing::Runs(priority)) => {
                    preempts(&nodes[backup], priority, lowered)
                }
                // A member in FAULT takes its whole group along: that is another row.
                _ => false,
            }
        });
        preempting.collect()
    }

    /// Rows of a file with a weight: the first number that moves the address, and the first that means FAULT.
    fn numbers(&self, master: usize, node: usize, file: &Numbered, rows: &mut Vec<Row>) {
        /// Beyond it a share means FAULT (keepalived.conf(5), "track files").
        const MOST: i64 = 253;
        let row = |number: i64| {
            let mut standings = [0, 1].map(|which| self.nodes[which].well());
            standings[node] = self.nodes[node].with_number(file, number);
            let end = match number < 0 {
                true => "or less",
                false => "or more",
            };
            let text = format!("{} {number} {end} on {}", file.name, self.labels[node]);
            // What a sync group tracks weighs on all members alike.
            let company = self.company.others.iter().map(|nodes| {
                let of = |which: usize| {
                    let known = nodes[which]
                        .numbered
                        .iter()
                        .find(|one| one.name == file.name);
                    match known {
                        Some(known) if which == node => nodes[which].with_number(known, number),
                        _ => nodes[which].well(),
                    }
                };
                match (of(master), of(1 - master)) {
                    (Standing::Runs(lowered), Standing::Runs(priority)) => {
                        preempts(&nodes[1 - master], priority, lowered)
                    }
                    _ => false,
                }
            });
            let company = company.collect();
            self.weighed(master, text, standings, NUMBER_NOTICED, company)
        };
        let sign = file.factor.signum();
        // The master falls, the backup rises.
        let direction = if node == master { -sign } else { sign };
        let last = MOST / file.factor.abs() + 1;
        let mut moving = (1..=last).map(|size| row(direction * size));
        rows.extend(moving.find(|row| row.holder != Holder::Node(master)));
        let fault = row(-sign * last);
        if rows.last().is_none_or(|row| row.failure != fault.failure) {
            rows.push(fault);
        }
    }

    /// What the old master does when it is well again, and the other is master.
    fn back(&self, master: usize, priorities: [u8; 2], noticed: Duration) -> Return {
        let node = &self.nodes[master];
        let other = &self.nodes[1 - master];
        let higher = priorities[master] > priorities[1 - master];
        if node.base == OWNER {
            return Return::Within(noticed);
        }
        if node.nopreempt || !higher {
            return Return::Stays;
        }
        let down = node.master_down(priorities[master], other.interval);
        Return::Within(noticed + node.preempt_delay + down)
    }

    /// Both live and neither hears the other.
    fn path(&self, master: usize) -> Row {
        let backup = 1 - master;
        let priorities = [self.well(0), self.well(1)];
        let down = self.nodes[backup].master_down(priorities[backup], self.nodes[master].interval);
        // When they hear each other again the lower one yields to the next advertisement.
        let healed = match self.prefers(master, priorities) {
            Some(true) => Return::Within(self.nodes[master].interval),
            _ => Return::Stays,
        };
        Row {
            failure: "the path between them".to_owned(),
            nodes: [0, 1].map(|node| shown(self.nodes[node].well())),
            holder: Holder::Both,
            within: Some(down),
            back: healed,
        }
    }
}

/// The tables as text, 80 columns wide.
pub fn render(scenarios: &[Scenario]) -> String {
    let mut out = String::new();
    for scenario in scenarios {
        if !out.is_empty() {
            out.push('\n');
        }
        scenario.render(&mut out);
    }
    if scenarios.iter().any(|scenario| !scenario.rows.is_empty()) {
        out.push_str(
            "\nTimes are the longest by the protocol, with the time to notice a failed item.\n\
             back: how soon the addresses return once the failure is over; stays: they do\n\
             not, until somebody moves them.\n",
        );
    }
    out
}

/// Width of the column that names the failure.
const FAILURE_WIDTH: usize = 34;
/// Longest that a node's name is shown.
const LABEL_WIDTH: usize = 9;

impl Scenario {
    fn render(&self, out: &mut String) {
        let [one, other] = [0, 1].map(|node| cut(&self.labels[node], 7));
        out.push_str(&format!(
            "{}: vrid {}, version {}, every {}, {}\n",
            self.name,
            self.virtual_router_id,
            self.version.number(),
            super::pair::seconds(self.interval),
            self.addresses.join(" "),
        ));
        let well = match self.holder {
            Holder::Node(node) => format!("{} is master", self.labels[node]),
            Holder::Both => "BOTH ARE MASTER".to_owned(),
            Holder::Nobody => "nobody is master".to_owned(),
        };
        let because = match self.because.as_str() {
            "" => String::new(),
            text => format!(" ({text})"),
        };
        out.push_str(&format!(
            "All is well: {} {}, {} {}: {well}{because}\n",
            self.labels[0],
            self.well[0].text(),
            self.labels[1],
            self.well[1].text(),
        ));
        if self.rows.is_empty() {
            return;
        }
        out.push_str(&format!(
            "  {:<FAILURE_WIDTH$} {one:>5} {other:>5}  {:<LABEL_WIDTH$} {:>7} {:>7}\n",
            "what fails", "master", "within", "back"
        ));
        for row in &self.rows {
            let master = match row.holder {
                Holder::Node(node) => cut(&self.labels[node], LABEL_WIDTH),
                Holder::Both => "BOTH".to_owned(),
                Holder::Nobody => "NOBODY".to_owned(),
            };
            let back = match row.back {
                Return::NothingMoved => "-".to_owned(),
                Return::Within(time) => brief(time),
                Return::Stays => "stays".to_owned(),
            };
            out.push_str(&format!(
                "  {:<FAILURE_WIDTH$} {:>width$} {:>other_width$}  {master:<LABEL_WIDTH$} {:>7} {back:>7}\n",
                cut(&row.failure, FAILURE_WIDTH),
                row.nodes[0].text(),
                row.nodes[1].text(),
                row.within.map_or("-".to_owned(), brief),
                width = one.chars().count().max(5),
                other_width = other.chars().count().max(5),
            ));
        }
    }
}

impl Shown {
    fn text(self) -> String {
        match self {
            Self::Priority(priority) => priority.to_string(),
            Self::Fault => "FAULT".to_owned(),
            Self::Gone => "-".to_owned(),
        }
    }
}

/// `3.61s`, `381ms`.
fn brief(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{}ms", time.as_millis())
    } else if time < Duration::from_secs(100) {
        format!("{:.2}s", time.as_secs_f64())
    } else {
        format!("{}s", time.as_secs())
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}~")
}
