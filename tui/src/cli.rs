//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use protocol::ServerName;
use protocol::operation::WeightChange;

use crate::node::{DEFAULT_SOCKET, NodeAddress};
use crate::{plan, words};

/// It did what was asked.
pub const EXIT_OK: u8 = 0;
/// A node refused, or it failed.
pub const EXIT_FAILED: u8 = 1;
/// The command line is wrong (clap's own code too).
pub const EXIT_USAGE: u8 = 2;
/// A node could not be reached.
pub const EXIT_UNREACHABLE: u8 = 3;
/// `--wait` ended before what was waited for.
pub const EXIT_TIMEOUT: u8 = 4;
/// `status` found something wrong.
pub const EXIT_PROBLEMS: u8 = 5;

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  refused or failed
  2  wrong usage
  3  a node could not be reached ('status': none could)
  4  --wait: not within --timeout
  5  'status' found something wrong; notices alone are no problem

Several nodes: reading commands show all of them. drain, ready, maint and weight change all of them, so
that a pair stays the same. failover asks the node that is MASTER, failback the one that gave its addresses
away, else a backup that outranks the master.";

/// Shows and steers the nodes of Tandem. Without a command: the dashboard.
#[derive(Debug, Parser)]
#[command(name = "tandem", version, about, after_help = EXIT_CODES)]
pub struct Arguments {
    /// A node: unix:/path, /path or NAME=unix:/path; may be repeated [default: /run/tandem/tandem.sock]
    #[arg(long, short, global = true, value_name = "NODE", env = "TANDEM_NODES", value_delimiter = ',', value_parser = NodeAddress::parse)]
    pub node: Vec<NodeAddress>,
    /// Print JSON, errors too; the shapes are documented and stay
    #[arg(long, global = true)]
    pub json: bool,
    /// The demo's fifo: F9 and F10 write into it
    #[arg(long, hide = true, value_name = "PATH")]
    pub demo_fifo: Option<PathBuf>,
    /// What to do
    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Arguments {
    /// The nodes asked for, or the local one.
    pub fn nodes(&self) -> Vec<NodeAddress> {
        if self.node.is_empty() {
            return vec![NodeAddress {
                name: None,
                path: PathBuf::from(DEFAULT_SOCKET),
            }];
        }
        self.node.clone()
    }
}

/// Waiting for the end of a change.
#[derive(Clone, Copy, Debug, Args)]
pub struct Wait {
    /// Wait until it is so
    #[arg(long)]
    pub wait: bool,
    /// How long to wait: 60s, 5m, 500ms
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = words::parse_span, requires = "wait")]
    pub timeout: Duration,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// What is wrong, since when and why; for people and for monitoring
    Status,
    /// Backends and servers
    Servers {
        /// This backend alone
        backend: Option<String>,
    },
    /// VRRP instances: state, priority and why, peers
    Vrrp {
        /// This instance alone
        instance: Option<String>,
    },
    /// No new requests but those of persistence; what runs may finish
    Drain {
        /// BACKEND/SERVER
        #[arg(value_parser = server_name)]
        server: ServerName,
        /// Until no session is left
        #[command(flatten)]
        wait: Wait,
    },
    /// In use again, if the checks agree
    Ready {
        /// BACKEND/SERVER
        #[arg(value_parser = server_name)]
        server: ServerName,
        /// Until it is up
        #[command(flatten)]
        wait: Wait,
    },
    /// Maintenance: no new requests at all, no checks; what runs is not cut
    Maint {
        /// BACKEND/SERVER
        #[arg(value_parser = server_name)]
        server: ServerName,
    },
    /// Another weight
    Weight {
        /// BACKEND/SERVER
        #[arg(value_parser = server_name)]
        server: ServerName,
        /// 0 to 256, or per cent of the configured weight as in 50%
        #[arg(value_parser = plan::parse_weight)]
        weight: WeightChange,
    },
    /// Give an instance's addresses to the peer, and do not take them back while it speaks
    Failover {
        /// VRRP instance
        instance: String,
        /// Even if nobody takes them: without this they come back after about a second
        #[arg(long)]
        force: bool,
        /// Until another node holds them
        #[command(flatten)]
        wait: Wait,
    },
    /// The node that gave an instance's addresses away takes them back at once, if it outranks the master
    Failback {
        /// VRRP instance
        instance: String,
        /// Until the node holds them again
        #[command(flatten)]
        wait: Wait,
    },
    /// What happened
    Events {
        /// Go on with what happens
        #[arg(long, short)]
        follow: bool,
        /// After this number alone
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        since: u64,
    },
    /// A command of the text socket: tandem raw "show stat"
    Raw {
        /// The command; several words are joined
        #[arg(required = true, trailing_var_arg = true)]
        command: Vec<String>,
    },
    /// Read the configuration anew
    Reload,
    /// Completions for a shell
    Completions {
        /// Which
        shell: clap_complete::Shell,
    },
    /// The manual page, as roff
    Man,
}

fn server_name(text: &str) -> Result<ServerName, String> {
    ServerName::parse(text).map_err(|_| format!("'{text}' is no server; expected BACKEND/SERVER"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_classic_calls_are_read() {
        let arguments = Arguments::try_parse_from([
            "tandem",
            "drain",
            "web/web1",
            "--wait",
            "--timeout",
            "5m",
            "--json",
        ])
        .expect("valid");
        let Some(Command::Drain { server, wait }) = arguments.command else {
            panic!("drain")
        };
        assert_eq!(server.to_string(), "web/web1");
        assert!(wait.wait && arguments.json);
        assert_eq!(wait.timeout, Duration::from_secs(300));
        for wrong in [
            &["tandem", "drain", "web1"][..],
            &["tandem", "weight", "w/s", "257"],
            &["tandem", "--node", "", "status"],
            &["tandem", "ready", "w/s", "--timeout", "5s"],
        ] {
            assert_eq!(
                Arguments::try_parse_from(wrong)
                    .expect_err("wrong")
                    .exit_code(),
                2,
                "{wrong:?}"
            );
        }
    }
}
