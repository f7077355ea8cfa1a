//! The dashboard's model: what it knows and shows. [`update`] takes an event and returns what is to be
//! done about it; nothing here does I/O or reads a clock.

use std::collections::BTreeMap;

use crossterm::event::KeyEvent;
use protocol::ServerName;
use protocol::operation::{Operation, ServerAdmin, WeightChange};
use tui_input::Input;

use crate::link::LinkEvent;
use crate::node::{self, NodeAddress, NodeView, Reach};
use crate::plan::{self, Plan};
use crate::routers::{self, RouterState};
use crate::rows::{self, Row, ServerRow, Sort};
use crate::words;

/// Drains that are watched at once.
pub const MAX_DRAINS: usize = 16;
/// How long a finished drain stays on the screen.
pub const DRAIN_SHOWN_MS: u64 = 10_000;
/// How long a message stays in the last line.
pub const MESSAGE_SHOWN_MS: u64 = 8_000;

/// What the dashboard reacts to.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time passes; comes before every other event and at least every second.
    Tick {
        /// Milliseconds since 1970.
        now_ms: u64,
    },
    /// A key was pressed.
    Key(KeyEvent),
    /// A node's link tells something.
    Link {
        /// The node's place.
        node: usize,
        /// What.
        event: LinkEvent,
    },
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask a node for a change.
    Ask {
        /// The node's place.
        node: usize,
        /// Comes back in the answer.
        token: u64,
        /// What.
        operation: Operation,
    },
    /// Write a line to the demo's fifo.
    Demo(&'static str),
    /// Draw all anew.
    Redraw,
    /// Leave.
    Quit,
}

/// A screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Screen {
    #[default]
    Overview,
    Servers,
    Vrrp,
    Events,
}

impl Screen {
    /// All, in the order of their keys.
    pub const ALL: [Self; 4] = [Self::Overview, Self::Servers, Self::Vrrp, Self::Events];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Servers => "Servers",
            Self::Vrrp => "VRRP",
            Self::Events => "Events",
        }
    }
}

/// A change that the user thinks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A server's administrative state.
    State {
        /// Nodes, by place.
        on: Vec<usize>,
        /// Which.
        name: ServerName,
        /// Wanted.
        state: ServerAdmin,
    },
    /// A server's weight.
    Weight {
        /// Nodes, by place.
        on: Vec<usize>,
        /// Which.
        name: ServerName,
        /// Wanted; `None` while the input is no weight.
        weight: Option<WeightChange>,
    },
    /// Give an instance's addresses away.
    Failover {
        /// The node, by place.
        node: usize,
        /// Which.
        instance: String,
    },
    /// End that.
    Failback {
        /// The node, by place.
        node: usize,
        /// Which.
        instance: String,
    },
}

/// The open dialog.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// What it is about.
    pub action: Action,
    /// What was typed: a weight, or the word that confirms.
    pub input: Input,
    /// The input is a weight.
    pub weight_input: bool,
}

/// A server that drains, watched until nobody is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// The node, by place.
    pub node: usize,
    /// Which.
    pub name: ServerName,
    /// First seen, in milliseconds since 1970.
    pub started_ms: u64,
    /// The most sessions seen.
    pub most: u64,
    /// Sessions now.
    pub left: u64,
    /// When it was empty.
    pub ended_ms: Option<u64>,
}

/// A line for the user, at the bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What.
    pub text: String,
    /// Whether something failed.
    pub bad: bool,
    /// When it was said.
    pub at_ms: u64,
    /// The change that it tells the outcome of.
    pub about: Option<String>,
}

/// The model.
#[derive(Debug)]
pub struct App {
    /// All nodes.
    pub nodes: Vec<NodeView>,
    /// The moment of the last tick.
    pub now_ms: u64,
    /// The screen shown.
    pub screen: Screen,
    /// The node whose servers and events are shown; all when `None`.
    pub chosen: Option<usize>,
    /// Order of the servers.
    pub sort: Sort,
    /// Filter of the servers.
    pub server_filter: String,
    /// Filter of the events.
    pub event_filter: String,
    /// The filter that is being typed.
    pub editing: Option<Input>,
    /// The selected server.
    pub selected: Option<ServerName>,
    /// The selected virtual router.
    pub router: usize,
    /// How far problems or events are scrolled.
    pub scroll: usize,
    /// Whether the selected server's detail is open.
    pub detail: bool,
    /// Whether help is open.
    pub help: bool,
    /// The open dialog.
    pub dialog: Option<Dialog>,
    /// Servers that drain.
    pub drains: Vec<Drain>,
    /// The latest message.
    pub message: Option<Message>,
    /// Whether the demo's keys work.
    pub demo: bool,
    pending: BTreeMap<u64, String>,
    last_token: u64,
}

impl App {
    /// A dashboard that knows nothing yet.
    pub fn new(addresses: &[NodeAddress], demo: bool) -> Self {
        let mut nodes: Vec<NodeView> = addresses.iter().cloned().map(NodeView::new).collect();
        node::label_nodes(&mut nodes);
        Self {
            nodes,
            now_ms: 0,
            screen: Screen::Overview,
            chosen: None,
            sort: Sort::Configured,
            server_filter: String::new(),
            event_filter: String::new(),
            editing: None,
            selected: None,
            router: 0,
            scroll: 0,
            detail: false,
            help: false,
            dialog: None,
            drains: Vec::new(),
            message: None,
            demo,
            pending: BTreeMap::new(),
            last_token: 0,
        }
    }

    /// The rows of the servers' screen.
    pub fn server_rows(&self) -> Vec<Row> {
        rows::rows(&self.nodes, self.chosen, self.sort, &self.server_filter)
    }

    /// The selected server's row, if it is shown.
    pub fn selected_row(&self) -> Option<ServerRow> {
        let selected = self.selected.as_ref()?;
        self.server_rows().into_iter().find_map(|row| match row {
            Row::Server(row) if row.name == *selected => Some(*row),
            _ => None,
        })
    }

    /// The events of the events' screen, latest first, with their node's place.
    pub fn shown_events(&self) -> Vec<(usize, &protocol::Event)> {
        let filter = self.event_filter.to_lowercase();
        let mut list: Vec<(usize, &protocol::Event)> = self
            .nodes
            .iter()
            .enumerate()
            .filter(|(index, _)| self.chosen.is_none_or(|one| one == *index))
            .flat_map(|(index, node)| node.events.iter().map(move |event| (index, event)))
            .filter(|(index, event)| {
                filter.is_empty()
                    || [
                        event.subject.as_str(),
                        &event.change,
                        &event.reason,
                        &self.nodes[*index].label,
                        severity_word(event),
                    ]
                    .iter()
                    .any(|text| text.to_lowercase().contains(&filter))
            })
            .collect();
        list.sort_by_key(|(index, event)| {
            (
                std::cmp::Reverse(event.at_ms),
                *index,
                std::cmp::Reverse(event.sequence),
            )
        });
        list
    }

    /// What the open dialog would do, from what is known now.
    pub fn plan(&self) -> Option<Result<Plan, String>> {
        let dialog = self.dialog.as_ref()?;
        Some(match &dialog.action {
            Action::State { on, name, state } => {
                Ok(plan::server_state(&self.nodes, on, name, *state))
            }
            Action::Weight { on, name, weight } => {
                let weight = if dialog.weight_input {
                    plan::parse_weight(dialog.input.value()).ok()
                } else {
                    *weight
                };
                match weight {
                    Some(weight) => Ok(plan::server_weight(&self.nodes, on, name, weight)),
                    None => {
                        Err("0 to 256, or per cent of the configured weight as in 50%".to_owned())
                    }
                }
            }
            Action::Failover { node, instance } => Ok(plan::failover(&self.nodes, *node, instance)),
            Action::Failback { node, instance } => Ok(plan::failback(&self.nodes, *node, instance)),
        })
    }

    /// The node that a failover of the selected router would ask: the one that holds the addresses.
    pub fn failover_target(&self) -> Option<(usize, String)> {
        let routers = routers::virtual_routers(&self.nodes);
        let router = routers.get(self.router.min(routers.len().checked_sub(1)?))?;
        let place = match (self.chosen, router.state(&self.nodes)) {
            (Some(chosen), _) if router.members.iter().any(|(index, _)| *index == chosen) => chosen,
            (_, RouterState::HeldBy(index)) => index,
            (_, RouterState::SplitBrain(places)) => *places.first()?,
            _ => router.members.first()?.0,
        };
        let (_, instance) = router.members.iter().find(|(index, _)| *index == place)?;
        Some((place, instance.name.clone()))
    }

    /// The node that a failback of the selected router would ask.
    pub fn failback_target(&self) -> Option<(usize, String)> {
        let routers = routers::virtual_routers(&self.nodes);
        let router = routers.get(self.router.min(routers.len().checked_sub(1)?))?;
        plan::failback_candidate(&self.nodes, |instance| {
            instance.vrid == router.vrid
                && instance
                    .addresses
                    .iter()
                    .any(|address| router.addresses.contains(address))
        })
    }

    /// Says something in the last line.
    pub fn say(&mut self, text: impl Into<String>, bad: bool) {
        self.message = Some(Message {
            text: words::printable(&text.into()),
            bad,
            at_ms: self.now_ms,
            about: None,
        });
    }

    /// Asks for all that a plan needs.
    pub fn carry_out(&mut self, plan: Plan) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (node, operation) in plan.asks {
            self.last_token += 1;
            self.pending.insert(self.last_token, plan.title.clone());
            effects.push(Effect::Ask {
                node,
                token: self.last_token,
                operation,
            });
        }
        self.say(format!("{} …", plan.title), false);
        effects
    }
}

/// An event's severity as a word.
pub fn severity_word(event: &protocol::Event) -> &'static str {
    match event.severity {
        protocol::EventSeverity::Info => "info",
        protocol::EventSeverity::Notice => "notice",
        protocol::EventSeverity::Warning => "WARNING",
        protocol::EventSeverity::Alert => "ALERT",
    }
}

/// Takes an event into the model.
pub fn update(app: &mut App, event: Event) -> Vec<Effect> {
    match event {
        Event::Tick { now_ms } => {
            app.now_ms = now_ms;
            if app
                .message
                .as_ref()
                .is_some_and(|message| now_ms.saturating_sub(message.at_ms) > MESSAGE_SHOWN_MS)
            {
                app.message = None;
            }
            app.drains.retain(|drain| {
                drain
                    .ended_ms
                    .is_none_or(|ended| now_ms.saturating_sub(ended) <= DRAIN_SHOWN_MS)
            });
            Vec::new()
        }
        Event::Key(key) => crate::keys::press(app, key),
        Event::Link { node, event } => {
            link(app, node, event);
            Vec::new()
        }
    }
}

fn link(app: &mut App, index: usize, event: LinkEvent) {
    let now_ms = app.now_ms;
    let Some(node) = app.nodes.get_mut(index) else {
        return;
    };
    match event {
        LinkEvent::Connected { level } => {
            // It counts as reached with its first picture; until then the old one is stale.
            node.level = Some(level);
        }
        LinkEvent::Lost { why } => {
            let since_ms = match node.reach {
                Reach::Lost { since_ms, .. } => since_ms,
                Reach::Connecting | Reach::Up => now_ms,
            };
            node.reach = Reach::Lost {
                since_ms,
                why: words::printable(&why),
            };
            // Nobody knows how its drains go on.
            app.drains.retain(|drain| drain.node != index);
        }
        LinkEvent::Snapshot(snapshot) => {
            let renamed = node
                .snapshot
                .as_ref()
                .is_none_or(|before| before.node != snapshot.node);
            node.reach = Reach::Up;
            node.take(*snapshot);
            if renamed {
                node::label_nodes(&mut app.nodes);
            }
            watch_drains(app, index);
            if app.selected.is_none() {
                crate::keys::select_first(app);
            }
        }
        LinkEvent::Events(events) => node.events.add(events),
        LinkEvent::Answer { token, result } => {
            let Some(title) = app.pending.remove(&token) else {
                return;
            };
            let label = node.label.clone();
            let (outcome, bad) = match result {
                Ok(text) if text.trim().is_empty() => (format!("{label} done"), false),
                Ok(text) => (format!("{label}: {}", text.trim()), false),
                Err(why) => (format!("{label} NOT DONE: {why}"), true),
            };
            // The outcomes of all nodes stand in one line.
            let (text, bad) = match app.message.take() {
                Some(before) if before.about.as_ref() == Some(&title) => {
                    (format!("{}; {outcome}", before.text), bad || before.bad)
                }
                _ => (format!("{title}: {outcome}"), bad),
            };
            app.say(text, bad);
            if let Some(message) = &mut app.message {
                message.about = Some(title);
            }
        }
    }
}

/// Follows servers in drain: whoever started it, and until their last session ended.
fn watch_drains(app: &mut App, index: usize) {
    let now_ms = app.now_ms;
    let Some(snapshot) = app.nodes[index].live() else {
        return;
    };
    let mut seen: Vec<(ServerName, u64)> = Vec::new();
    for proxy in rows::backends(snapshot) {
        for server in proxy
            .servers
            .iter()
            .filter(|server| server.admin == ServerAdmin::Drain)
        {
            seen.push((
                ServerName {
                    backend: proxy.name.clone(),
                    server: server.name.clone(),
                },
                server.sessions.current,
            ));
        }
    }
    app.drains
        .retain(|drain| drain.node != index || seen.iter().any(|(name, _)| *name == drain.name));
    for (name, left) in seen {
        if let Some(drain) = app
            .drains
            .iter_mut()
            .find(|drain| drain.node == index && drain.name == name)
        {
            drain.left = left;
            drain.most = drain.most.max(left);
            if left == 0 && drain.ended_ms.is_none() {
                drain.ended_ms = Some(now_ms);
            }
        } else if left > 0 && app.drains.len() < MAX_DRAINS {
            app.drains.push(Drain {
                node: index,
                name,
                started_ms: now_ms,
                most: left,
                left,
                ended_ms: None,
            });
        }
    }
}
