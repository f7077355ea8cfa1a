//! Scenarios on the article's own pair, the same for every kind of node: what `tandemd` must do, its peers show first.

use std::net::SocketAddr;
use std::time::Duration;

use crate::article;
use crate::ensure;
use crate::failure::Outcome;
use crate::http;
use crate::lab::{Lab, VIP};
use crate::nginx::Nginx;
use crate::node::{Node, NodeFiles, NodeKind, Part};
use crate::prober::{ProbeOptions, Prober, Report};
use crate::wait::wait_for;

/// What a busy machine with two cores may add to a time of the protocol.
pub const TOLERANCE: Duration = Duration::from_millis(400);
/// How long a pair may take until its address answers for the first time.
pub const FIRST_ANSWER: Duration = Duration::from_secs(15);
/// How long the two nodes may take to agree on one holder of the address.
pub const SETTLE: Duration = Duration::from_secs(15);

/// The virtual address's web port.
pub fn vip() -> SocketAddr {
    SocketAddr::new(VIP.parse().expect("the address is written correctly"), 80)
}

/// The skew time of a priority (RFC 3768 6.1).
pub fn skew(priority: u8) -> Duration {
    Duration::from_secs(1) * (256 - u32::from(priority)) / 256
}

/// The longest time for which the protocol lets the address be silent: three advertisements and the backup's skew.
pub fn master_down_interval() -> Duration {
    Duration::from_secs(3 * article::ADVERT_INT_SECONDS) + skew(article::BACKUP_PRIORITY)
}

/// What befalls the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// SIGKILL of a part of it.
    Kill(Part),
    /// Its cable is pulled.
    CutLink,
    /// The switch stops forwarding to it, its carrier stays.
    Isolate,
}

/// The pair of the article in its lab: nodes a (master) and b (backup), web1 and web2 behind them.
pub struct Pair {
    /// The web servers, first so that they outlive nothing they need.
    pub webs: Vec<Nginx>,
    /// The first node, `state MASTER`, priority 100.
    pub a: Node,
    /// The second node, `state BACKUP`, priority 99.
    pub b: Node,
    /// The network.
    pub lab: Lab,
}

impl Pair {
    /// Starts the pair of `examples/` on two nodes, and waits until the first one holds the address.
    pub fn start(a: NodeKind, b: NodeKind) -> Outcome<Pair> {
        Pair::start_with(a, b, article::haproxy(), article::keepalived())
    }

    /// The same with other files; the second node differs in state and priority alone.
    pub fn start_with(a: NodeKind, b: NodeKind, haproxy: &str, keepalived: &str) -> Outcome<Pair> {
        let lab = Lab::start()?;
        let webs = vec![Nginx::start(&lab, "web1")?, Nginx::start(&lab, "web2")?];
        let a = Node::start(&lab, "a", a, NodeFiles::pair(haproxy, keepalived))?;
        let second = article::on_the_second_node(keepalived);
        let b = Node::start(&lab, "b", b, NodeFiles::pair(haproxy, second))?;
        let pair = Pair { webs, a, b, lab };
        pair.wait_holder("a", FIRST_ANSWER)?;
        Ok(pair)
    }

    /// Waits until one node alone holds the address.
    pub fn wait_holder(&self, node: &str, limit: Duration) -> Outcome<Duration> {
        let began = std::time::Instant::now();
        wait_for(&format!("{VIP} on {node} alone"), limit, || {
            let holders = self.lab.who_has(VIP).map_err(|error| error.to_string())?;
            if holders == [node] {
                Ok(began.elapsed())
            } else {
                Err(format!("it is on {holders:?}"))
            }
        })
    }

    /// Waits until the address is on exactly one node, and says which.
    pub fn wait_single_holder(&self, limit: Duration) -> Outcome<String> {
        wait_for(&format!("{VIP} on one node alone"), limit, || {
            let holders = self.lab.who_has(VIP).map_err(|error| error.to_string())?;
            match holders.as_slice() {
                [one] => Ok(one.clone()),
                several => Err(format!("it is on {several:?}")),
            }
        })
    }

    /// A prober on the address that has had its first answer.
    pub fn probe(&self) -> Outcome<Prober> {
        let prober = Prober::start(self.lab.host("client"), ProbeOptions::new(vip()))?;
        prober.wait_answer_after(Duration::ZERO, FIRST_ANSWER)?;
        Ok(prober)
    }

    /// Lets something befall node a.
    pub fn befall(&self, mishap: Mishap) -> Outcome<Vec<i32>> {
        match mishap {
            Mishap::Kill(part) => self.a.kill(part),
            Mishap::CutLink => self.lab.cut_link("a").map(|()| Vec::new()),
            Mishap::Isolate => self.lab.isolate("a").map(|()| Vec::new()),
        }
    }
}

/// Requests to the virtual address are answered by web1 and web2 in turn.
pub fn requests_alternate(pair: &Pair) -> Outcome {
    let client = pair.lab.host("client");
    // The servers are in turn once both checks have passed.
    wait_for("answers of both servers", Duration::from_secs(10), || {
        let two = [
            http::get(client, vip(), "/", &[]),
            http::get(client, vip(), "/", &[]),
        ];
        let mut servers: Vec<String> = two
            .into_iter()
            .flatten()
            .map(|answer| answer.server().to_owned())
            .collect();
        servers.sort();
        if servers == ["web1", "web2"] {
            Ok(())
        } else {
            Err(format!("{servers:?}"))
        }
    })?;
    let mut servers = Vec::new();
    for _ in 0..20 {
        let answer = http::get(client, vip(), "/", &[])?;
        ensure!(
            answer.status == 200,
            "status {} instead of 200",
            answer.status
        );
        servers.push(answer.server().to_owned());
    }
    let alternate = servers.windows(2).all(|two| two[0] != two[1]);
    ensure!(alternate, "the servers do not alternate: {servers:?}");
    Ok(())
}

/// A mishap of the master: the address answers again in the protocol's time and stays answered. Returns the outage.
///
/// `holder`: the node that must hold the address alone afterwards; without it, any one of the two.
pub fn survives(pair: &Pair, mishap: Mishap, holder: Option<&str>) -> Outcome<Duration> {
    let prober = pair.probe()?;
    let mark = prober.now();
    pair.befall(mishap)?;
    // Whatever happens, it happens within the protocol's time; watch for that long and then some.
    let watch = master_down_interval() + TOLERANCE * 2;
    prober.wait_answer_after(mark + watch, watch + Duration::from_secs(10))?;
    match holder {
        Some(node) => pair.wait_holder(node, SETTLE).map(drop)?,
        None => pair.wait_single_holder(SETTLE).map(drop)?,
    }
    let report = prober.finish();
    let outage = report
        .between(
            mark.saturating_sub(Duration::from_millis(200)),
            Duration::MAX,
        )
        .longest_outage();
    let limit = master_down_interval() + TOLERANCE;
    println!(
        "{mishap:?} of the master: silent for {outage:.2?} (at most {limit:.2?}); {}",
        summary(&report)
    );
    ensure!(
        outage <= limit,
        "the address was silent for {outage:?}, more than {limit:?}"
    );
    Ok(outage)
}

/// One line about what a prober saw.
pub fn summary(report: &Report) -> String {
    let mut reasons = std::collections::BTreeMap::<String, usize>::new();
    for sample in report.failures() {
        let reason = match &sample.outcome {
            Ok((status, _)) => format!("status {status}"),
            Err(reason) => reason.clone(),
        };
        *reasons.entry(reason).or_default() += 1;
    }
    format!(
        "{} requests, answers {:?}, failures {reasons:?}",
        report.samples.len(),
        report.servers()
    )
}

/// The address of node a, where no virtual address is wanted.
pub const NODE: &str = "10.230.137.1";

/// Node a's web port.
pub fn node_address() -> SocketAddr {
    SocketAddr::new(NODE.parse().expect("the address is written correctly"), 80)
}

/// One node with the three web servers behind it.
pub struct Single {
    /// web1, web2 and web3, in this order.
    pub webs: Vec<Nginx>,
    /// The node, on host a.
    pub node: Node,
    /// The network.
    pub lab: Lab,
}

impl Single {
    /// Starts a configuration on node a.
    pub fn start(kind: NodeKind, files: NodeFiles) -> Outcome<Single> {
        let lab = Lab::start()?;
        let webs = ["web1", "web2", "web3"]
            .into_iter()
            .map(|name| Nginx::start(&lab, name))
            .collect::<Outcome<Vec<_>>>()?;
        let node = Node::start(&lab, "a", kind, files)?;
        Ok(Single { webs, node, lab })
    }

    /// Asks with curl, from the client's address of this number (1 to 4).
    pub fn ask(&self, from: u8, arguments: &[&str]) -> Outcome<http::Answer> {
        let interface = format!("10.230.200.{from}");
        http::curl(
            self.lab.host("client"),
            &[&["--interface", &interface], arguments].concat(),
        )
    }

    /// One plain request to node a.
    pub fn get(&self, path: &str) -> Outcome<http::Answer> {
        http::get(self.lab.host("client"), node_address(), path, &[])
    }
}

/// Writes the tests of a file twice: on `tandemd`, and on haproxy as the reference (what fails there is a mistake of the test).
#[macro_export]
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod tandem {
            use tandem_tests::{NodeKind, Outcome, require};
            $(#[test]
            fn $name() -> Outcome {
                require!("root", "users", "tandemd", "nginx", "curl");
                super::$name(NodeKind::Tandem)
            })+
        }
        mod peer {
            use tandem_tests::{NodeKind, Outcome, require};
            $(#[test]
            fn $name() -> Outcome {
                require!("root", "users", "haproxy", "nginx", "curl");
                super::$name(NodeKind::Peer)
            })+
        }
    };
}
