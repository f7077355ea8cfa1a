//! The scripted commands: one request, many renderers; an exit code for every outcome.

mod change;
mod events;
mod output;
mod read;
pub mod shape;
mod wait;

use clap::CommandFactory as _;

use crate::cli::{
    Arguments, Command, EXIT_FAILED, EXIT_OK, EXIT_PROBLEMS, EXIT_TIMEOUT, EXIT_UNREACHABLE,
    EXIT_USAGE,
};
use crate::client::{Client, ClientError};
use crate::dashboard;
use crate::node::{self, MAX_NODES, NodeAddress, NodeView, Reach};
use crate::words;
use output::Output;
use shape::Failure;

/// Runs the command, or the dashboard; returns the exit code.
pub async fn run(arguments: Arguments) -> u8 {
    let output = Output::new(arguments.json);
    let addresses = arguments.nodes();
    if addresses.len() > MAX_NODES {
        output.complain(&Failure::new(
            "usage",
            None,
            format!("{} nodes; at most {MAX_NODES} are watched", addresses.len()),
        ));
        return EXIT_USAGE;
    }
    let Some(command) = arguments.command else {
        return match dashboard::run(&addresses, arguments.demo_fifo).await {
            Ok(()) => EXIT_OK,
            Err(why) => {
                output.complain(&Failure::new("usage", None, why));
                EXIT_USAGE
            }
        };
    };
    match command {
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "tandem", &mut text);
            output.print(&String::from_utf8_lossy(&text));
            EXIT_OK
        }
        Command::Man => {
            let mut text = Vec::new();
            match clap_mangen::Man::new(Arguments::command()).render(&mut text) {
                Ok(()) => {
                    output.print(&String::from_utf8_lossy(&text));
                }
                Err(error) => {
                    output.complain(&Failure::new("failed", None, error.to_string()));
                    return EXIT_FAILED;
                }
            }
            EXIT_OK
        }
        command => {
            let mut session = Session::open(&addresses).await;
            match command {
                Command::Status => read::status(&mut session, &output).await,
                Command::Servers { backend } => {
                    read::servers(&mut session, &output, backend.as_deref())
                }
                Command::Vrrp { instance } => {
                    read::vrrp(&mut session, &output, instance.as_deref())
                }
                Command::Drain { server, wait } => {
                    change::drain(&mut session, &output, server, wait).await
                }
                Command::Ready { server, wait } => {
                    change::ready(&mut session, &output, server, wait).await
                }
                Command::Maint { server } => change::maint(&mut session, &output, server).await,
                Command::Weight { server, weight } => {
                    change::weight(&mut session, &output, server, weight).await
                }
                Command::Failover {
                    instance,
                    force,
                    wait,
                } => change::failover(&mut session, &output, &instance, force, wait).await,
                Command::Failback { instance, wait } => {
                    change::failback(&mut session, &output, &instance, wait).await
                }
                Command::Events { follow, since } => {
                    events::events(session, &output, follow, since).await
                }
                Command::Raw { command } => {
                    read::raw(&mut session, &output, &command.join(" ")).await
                }
                Command::Reload => change::reload(&mut session, &output).await,
                Command::Completions { .. } | Command::Man => EXIT_OK,
            }
        }
    }
}

/// Connections to all nodes, and what they said.
#[derive(Debug)]
pub(crate) struct Session {
    /// What is known of each.
    pub(crate) nodes: Vec<NodeView>,
    /// A connection to each that answers.
    pub(crate) clients: Vec<Option<Client>>,
    /// What went wrong so far.
    pub(crate) failures: Vec<Failure>,
}

impl Session {
    /// Connects to all nodes at once and takes a picture of each.
    async fn open(addresses: &[NodeAddress]) -> Self {
        let opened = futures_util::future::join_all(addresses.iter().map(|address| async {
            let mut client = Client::connect(address).await?;
            let snapshot = client.snapshot().await?;
            Ok::<_, ClientError>((client, snapshot))
        }))
        .await;
        let mut session = Self {
            nodes: addresses.iter().cloned().map(NodeView::new).collect(),
            clients: Vec::new(),
            failures: Vec::new(),
        };
        for (index, result) in opened.into_iter().enumerate() {
            match result {
                Ok((client, snapshot)) => {
                    let node = &mut session.nodes[index];
                    node.reach = Reach::Up;
                    node.level = Some(client.level);
                    node.take(snapshot);
                    session.clients.push(Some(client));
                }
                Err(error) => {
                    session.clients.push(None);
                    session.lose(index, &error);
                }
            }
        }
        node::label_nodes(&mut session.nodes);
        // The failures were told before the nodes had told their names.
        for failure in &mut session.failures {
            failure.node = failure
                .place
                .and_then(|place| session.nodes.get(place))
                .map(|node| node.label.clone());
        }
        session
    }

    /// A node that does not answer any more.
    fn lose(&mut self, index: usize, error: &ClientError) {
        let node = &mut self.nodes[index];
        let why = words::printable(&error.to_string());
        node.reach = Reach::Lost {
            since_ms: protocol::event::now_ms(),
            why: why.clone(),
        };
        self.clients[index] = None;
        let message = format!("not reachable at {}: {why}", node.address.path.display());
        self.failures.push(Failure {
            place: Some(index),
            ..Failure::new("unreachable", Some(node.label.clone()), message)
        });
    }

    /// Notes what went wrong with a node that was asked.
    pub(crate) fn fail(&mut self, index: usize, error: &ClientError) {
        match error {
            ClientError::Refused(refusal) => {
                let label = self.nodes[index].label.clone();
                self.failures.push(Failure::new(
                    "refused",
                    Some(label),
                    words::printable(&refusal.to_string()),
                ));
            }
            ClientError::Unreachable(_) | ClientError::Protocol(_) => self.lose(index, error),
        }
    }

    /// Takes a new picture of every node that answers; a lost connection is tried once more.
    pub(crate) async fn refresh(&mut self) {
        for index in 0..self.nodes.len() {
            let taken = match self.clients[index].take() {
                Some(mut client) => client.snapshot().await.map(|snapshot| (client, snapshot)),
                None => Err(ClientError::Unreachable(String::new())),
            };
            let taken = match taken {
                Ok(taken) => Ok(taken),
                Err(_) => match Client::connect(&self.nodes[index].address).await {
                    Ok(mut client) => client.snapshot().await.map(|snapshot| (client, snapshot)),
                    Err(error) => Err(error),
                },
            };
            match taken {
                Ok((client, snapshot)) => {
                    self.clients[index] = Some(client);
                    self.nodes[index].reach = Reach::Up;
                    self.nodes[index].take(snapshot);
                }
                Err(error) => {
                    let why = words::printable(&error.to_string());
                    self.nodes[index].reach = Reach::Lost {
                        since_ms: protocol::event::now_ms(),
                        why,
                    };
                }
            }
        }
    }

    /// The exit code that the failures so far ask for.
    pub(crate) fn code(&self) -> u8 {
        let any = |kind: &str| self.failures.iter().any(|failure| failure.kind == kind);
        if any("usage") {
            EXIT_USAGE
        } else if any("unreachable") {
            EXIT_UNREACHABLE
        } else if any("timeout") {
            EXIT_TIMEOUT
        } else if self.failures.is_empty() {
            EXIT_OK
        } else {
            EXIT_FAILED
        }
    }

    /// The code of `status`.
    pub(crate) fn status_code(&self, wrong: bool) -> u8 {
        if self.nodes.iter().all(|node| node.live().is_none()) {
            EXIT_UNREACHABLE
        } else if wrong {
            EXIT_PROBLEMS
        } else {
            EXIT_OK
        }
    }
}
