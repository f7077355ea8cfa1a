//! What `make demo` shows: the pair, its web servers and a client's traffic, and what one can do to them. The program around
//! it (`src/bin/demo.rs`) decides who presses the keys: a script, or a person before the dashboard.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::ensure;
use crate::failure::{Context, Failure, Outcome};
use crate::lab::{Lab, VIP};
use crate::node::{Node, NodeFiles, NodeKind, Part};
use crate::origin::Origin;
use crate::prober::{ProbeOptions, Prober, Report};
use crate::requirements::{our_program, users_are_mapped};
use crate::scenario::{FIRST_ANSWER, SETTLE, TOLERANCE, summary, vip};
use crate::wait::wait_for;

/// The web servers, in order.
const WEBS: [&str; 3] = ["web1", "web2", "web3"];
/// The nodes, the master first.
pub const NODES: [&str; 2] = ["a", "b"];
/// The priority of the second node.
const BACKUP_PRIORITY: u8 = 90;
/// The client's pace when nobody measures.
const TRAFFIC_INTERVAL: Duration = Duration::from_millis(10);
/// How long the client goes on at most: a working day.
const TRAFFIC_LIMIT: Duration = Duration::from_secs(8 * 3600);
/// From the death of a server to the end of the requests that may still meet it: two checks, and then some.
const CHECK_LIMIT: Duration = Duration::from_secs(3);

/// The pair at work.
pub struct Demo {
    traffic: Prober,
    nodes: Vec<Node>,
    webs: Vec<Option<Origin>>,
    lab: Lab,
    kind: NodeKind,
}

impl Demo {
    /// Builds the network, starts the web servers, the nodes and the traffic; does not wait for the address.
    pub fn start(kind: NodeKind) -> Outcome<Demo> {
        let lab = Lab::start()?;
        let webs = WEBS
            .iter()
            .map(|name| Origin::start(lab.host(name), 80).map(Some))
            .collect::<Outcome<Vec<_>>>()?;
        let nodes = NODES
            .iter()
            .map(|name| start_node(&lab, name, kind))
            .collect::<Outcome<Vec<_>>>()?;
        let options = ProbeOptions {
            interval: TRAFFIC_INTERVAL,
            timeout: Duration::from_millis(500),
            limit: TRAFFIC_LIMIT,
            ..ProbeOptions::new(vip())
        };
        let traffic = Prober::start(lab.host("client"), options)?;
        Ok(Demo {
            traffic,
            nodes,
            webs,
            lab,
            kind,
        })
    }

    /// The control sockets of both nodes, in the order of [`NODES`].
    pub fn sockets(&self) -> Vec<PathBuf> {
        self.nodes
            .iter()
            .map(|node| node.socket().path().to_owned())
            .collect()
    }

    /// A folder for what belongs to the demo and vanishes with it.
    pub fn folder(&self) -> PathBuf {
        self.lab.folder().to_owned()
    }

    /// What the programs printed.
    pub fn logs(&self) -> String {
        self.lab.logs()
    }

    /// The node that holds the address, if exactly one does.
    pub fn master(&self) -> Option<usize> {
        let holders = self.lab.who_has(VIP).ok()?;
        let [holder] = holders.as_slice() else {
            return None;
        };
        NODES.iter().position(|name| name == holder)
    }

    /// Kills the whole daemon of the master at once and returns which node that was.
    pub fn kill_master(&mut self) -> Outcome<usize> {
        let master = self.master().ok_or_else(|| {
            Failure::new("no node holds the address alone, there is no master to kill")
        })?;
        self.nodes[master].kill(Part::Daemon)?;
        Ok(master)
    }

    /// Starts a killed node again.
    pub fn revive_node(&mut self, node: usize) -> Outcome {
        self.nodes[node].up()
    }

    /// Ends a web server: its port refuses connections.
    pub fn kill_web(&mut self, web: usize) {
        self.webs[web] = None;
    }

    /// The first web server that is alive.
    pub fn first_web(&self) -> Option<usize> {
        self.webs.iter().position(Option::is_some)
    }

    /// Starts a web server again.
    pub fn revive_web(&mut self, web: usize) -> Outcome {
        self.webs[web] = Some(Origin::start(self.lab.host(WEBS[web]), 80)?);
        Ok(())
    }

    /// The address answers, and all three web servers behind it.
    pub fn address_up(&self) -> Outcome<String> {
        let first = self
            .traffic
            .wait_answer_after(Duration::ZERO, FIRST_ANSWER)?;
        self.wait_servers(&WEBS)?;
        self.wait_master(0)?;
        Ok(format!(
            "{VIP} is on node {}, first answer after {first:.1?}, all three web servers serve",
            NODES[0]
        ))
    }

    /// The master dies: the other node answers in the protocol's time.
    pub fn failover(&mut self) -> Outcome<String> {
        let mark = self.traffic.now();
        let killed = self.kill_master()?;
        // Three advertisements and the skew of the other node (RFC 3768 6.1).
        let limit = Duration::from_secs(3) + crate::scenario::skew(BACKUP_PRIORITY) + TOLERANCE;
        self.traffic.wait_answer_after(mark + limit, SETTLE)?;
        let outage = self.recent(mark).longest_outage();
        ensure!(
            outage <= limit,
            "the address was silent for {outage:.2?}, more than {limit:.2?}"
        );
        let other = NODES[1 - killed];
        ensure!(
            self.lab.who_has(VIP)?.iter().any(|name| name == other),
            "node {other} has not taken the address"
        );
        Ok(format!(
            "node {} killed, node {other} took over; silent for {outage:.2?} (at most {limit:.2?})",
            NODES[killed]
        ))
    }

    /// The dead node starts again and takes the address back.
    pub fn failback(&mut self) -> Outcome<String> {
        let mark = self.traffic.now();
        self.revive_node(0)?;
        self.wait_master(0)?;
        self.traffic.wait_answer_after(self.traffic.now(), SETTLE)?;
        let outage = self.recent(mark).longest_outage();
        ensure!(
            outage <= Duration::from_secs(2),
            "the address was silent for {outage:.2?} while it moved back"
        );
        Ok(format!(
            "node {} is back and holds the address alone; silent for {outage:.2?}",
            NODES[0]
        ))
    }

    /// A web server dies and returns.
    pub fn web_death(&mut self) -> Outcome<String> {
        let mark = self.traffic.now();
        self.kill_web(1);
        let seen = mark + CHECK_LIMIT;
        self.traffic
            .wait_answer_after(seen + Duration::from_secs(1), SETTLE)?;
        let after = self.recent(seen);
        ensure!(
            after.failures().is_empty(),
            "requests fail after the checks saw it: {}",
            summary(&after)
        );
        ensure!(
            !after.servers().contains_key(WEBS[1]),
            "the dead server answers"
        );
        let before = self.recent(mark).failures().len();
        self.revive_web(1)?;
        self.wait_servers(&WEBS)?;
        Ok(format!(
            "{} killed: {before} requests failed, none after the checks saw it; it is back in use",
            WEBS[1]
        ))
    }

    /// An operator drains a server with `tandem`, and makes it ready again.
    pub fn drain(&mut self) -> Outcome<String> {
        if self.kind == NodeKind::Peer {
            return Ok("skipped: haproxy and keepalived are not operated with tandem".into());
        }
        for socket in self.sockets() {
            operate(&socket, &["drain", "web/web1", "--wait"])?;
        }
        let drained = self.traffic.now();
        self.traffic
            .wait_answer_after(drained + Duration::from_secs(1), SETTLE)?;
        let after = self.recent(drained);
        ensure!(
            !after.servers().contains_key(WEBS[0]),
            "the drained server still gets requests: {}",
            summary(&after)
        );
        ensure!(
            after.failures().is_empty(),
            "requests failed: {}",
            summary(&after)
        );
        for socket in self.sockets() {
            operate(&socket, &["ready", "web/web1"])?;
        }
        self.wait_servers(&WEBS)?;
        Ok("web/web1 drained with `tandem drain`: no request went there, none failed; it is ready again".into())
    }

    fn recent(&self, from: Duration) -> Report {
        self.traffic.report().between(from, Duration::MAX)
    }

    fn wait_servers(&self, wanted: &[&str]) -> Outcome {
        wait_for(&format!("answers of {wanted:?}"), SETTLE, || {
            let now = self.traffic.now();
            let recent = self.recent(now.saturating_sub(Duration::from_millis(500)));
            if recent.servers().keys().eq(wanted) {
                Ok(())
            } else {
                Err(summary(&recent))
            }
        })
    }

    fn wait_master(&self, node: usize) -> Outcome {
        wait_for(
            &format!("the address on node {} alone", NODES[node]),
            SETTLE,
            || {
                if self.master() == Some(node) {
                    Ok(())
                } else {
                    Err(format!("{:?}", self.lab.who_has(VIP)))
                }
            },
        )
    }
}

/// Runs `tandem` on one node.
fn operate(socket: &std::path::Path, arguments: &[&str]) -> Outcome {
    let program = our_program("tandem").ok_or_else(|| Failure::new("tandem is not built"))?;
    let mut command = std::process::Command::new(program);
    command
        .arg("--node")
        .arg(format!("unix:{}", socket.display()))
        .args(arguments);
    let output = command.output().context("tandem")?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(
        output.status.success(),
        "tandem {arguments:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&said).trim()
    );
    Ok(())
}

fn start_node(lab: &Lab, name: &str, kind: NodeKind) -> Outcome<Node> {
    let files = NodeFiles::pair(haproxy(), keepalived(name == NODES[0]));
    match kind {
        NodeKind::Tandem => {
            Node::start_with_socket(lab, name, files, lab.folder().join(format!("{name}.sock")))
        }
        NodeKind::Peer => Node::start(lab, name, kind, files),
    }
}

fn haproxy() -> String {
    // Where root is the only user of the namespace, nobody else can be become.
    let user = if users_are_mapped() {
        "    user nobody\n    group nogroup\n"
    } else {
        ""
    };
    let mut text = format!(
        "global\n    maxconn 4000\n    chroot /var/lib/haproxy\n{user}\n\
         defaults\n    mode http\n    option http-server-close\n    option forwardfor except 127.0.0.0/8\n    option redispatch\n    \
         retries 3\n    timeout connect 2s\n    timeout client 30s\n    timeout server 30s\n    timeout check 1s\n\n\
         frontend main\n    bind :80\n    default_backend web\n\n\
         backend web\n    balance roundrobin\n"
    );
    for (number, name) in WEBS.iter().enumerate() {
        let address = SocketAddr::from(([10, 230, 150, 68 + number as u8], 80));
        text.push_str(&format!(
            "    server {name} {address} check inter 500ms rise 1 fall 2\n"
        ));
    }
    text
}

fn keepalived(master: bool) -> String {
    let (state, priority) = if master {
        ("MASTER", 100)
    } else {
        ("BACKUP", BACKUP_PRIORITY)
    };
    format!(
        "vrrp_script chk_haproxy {{\n    script \"killall -0 haproxy\"\n    interval 1\n    fall 2\n    rise 1\n}}\n\
         vrrp_instance WEB {{\n    state {state}\n    interface eth0\n    virtual_router_id 50\n    priority {priority}\n    \
         advert_int 1\n    authentication {{\n        auth_type PASS\n        auth_pass demo\n    }}\n    \
         virtual_ipaddress {{\n        {VIP}\n    }}\n    track_script {{\n        chk_haproxy\n    }}\n}}\n"
    )
}
