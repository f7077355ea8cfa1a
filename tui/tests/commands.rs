//! The program itself against a pair of mock nodes: output, JSON and exit codes.

#[path = "support/mock.rs"]
mod mock;

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use mock::{Shared, World, lock};
use protocol::event::now_ms;
use protocol::vrrp::VrrpState;
use tandem_client::link::{self, LinkEvent, LinkRequest};
use tandem_client::node::NodeAddress;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Longest wait for something that must come.
const DEADLINE: Duration = Duration::from_secs(20);

struct Pair {
    world: Shared,
    folder: tempfile::TempDir,
    tasks: Vec<JoinHandle<()>>,
}

impl Pair {
    async fn start() -> Self {
        let mut pair = Self {
            world: World::pair(),
            folder: tempfile::tempdir().expect("a folder"),
            tasks: Vec::new(),
        };
        tokio::spawn(mock::run_clock(pair.world.clone()));
        for place in 0..2 {
            let task = pair.serve(place).await;
            pair.tasks.push(task);
        }
        pair
    }

    fn path(&self, place: usize) -> PathBuf {
        self.folder.path().join(["a.sock", "b.sock"][place])
    }

    /// Serves a node and returns once its socket accepts.
    async fn serve(&self, place: usize) -> JoinHandle<()> {
        let (world, path) = (self.world.clone(), self.path(place));
        let task = tokio::spawn(async move {
            mock::serve(world, place, &path)
                .await
                .expect("the mock serves")
        });
        let reachable = async {
            while tokio::net::UnixStream::connect(self.path(place))
                .await
                .is_err()
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, reachable)
            .await
            .expect("the mock listens");
        task
    }

    fn nodes(&self) -> String {
        format!("{},{}", self.path(0).display(), self.path(1).display())
    }

    async fn tandem_on(&self, nodes: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command
            .args(arguments)
            .env("TANDEM_NODES", nodes)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        tokio::time::timeout(DEADLINE, command.output())
            .await
            .expect("it ends")
            .expect("it starts")
    }

    async fn tandem(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.tandem_on(&self.nodes(), arguments).await;
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (
            output.status.code().expect("an exit"),
            text(output.stdout),
            text(output.stderr),
        )
    }

    async fn json(&self, arguments: &[&str]) -> (i32, serde_json::Value) {
        let (code, stdout, _) = self.tandem(&[arguments, &["--json"]].concat()).await;
        (code, serde_json::from_str(&stdout).expect("JSON"))
    }
}

#[tokio::test]
async fn bfd_sessions_are_told_beside_the_instances() {
    let pair = Pair::start().await;
    {
        let mut world = lock(&pair.world);
        let session = mock::bfd_session("gateway", true, now_ms());
        let lost = mock::bfd_session("spare", false, now_ms());
        world.nodes[0].instance().bfd = vec![session.clone()];
        world.nodes[0].snapshot.bfd = vec![session, lost];
    }
    let (code, json) = pair.json(&["vrrp"]).await;
    assert_eq!((code, json["bfd"].as_array().map(Vec::len)), (0, Some(2)));
    assert_eq!(json["bfd"][0]["tracked_by"], serde_json::json!(["R1"]));
    assert_eq!(json["bfd"][0]["refused"]["ttl"], 3);
    assert_eq!(json["bfd"][1]["state"], "Down");
    assert_eq!(json["bfd"][1]["tracked_by"], serde_json::json!([]));
    let (_, text, _) = pair.tandem(&["vrrp"]).await;
    assert!(text.contains("a bfd spare: Down for 1m"), "{text}");
    let (_, json) = pair.json(&["vrrp", "R1"]).await;
    assert_eq!(json["bfd"], serde_json::json!([]));
}

#[tokio::test]
async fn status_is_0_when_all_is_clear_and_5_with_the_problem_listed() {
    let pair = Pair::start().await;
    let (code, stdout, stderr) = pair.tandem(&["status"]).await;
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(
        stdout.contains("R1: 10.230.137.100/32 is on a  (a MASTER 100, b BACKUP 98)"),
        "{stdout}"
    );
    assert!(
        stdout.ends_with("All clear\n") && !stdout.contains('\u{1b}'),
        "{stdout}"
    );
    lock(&pair.world).nodes[0].server_down("web2", now_ms());
    let (code, stdout, _) = pair.tandem(&["status"]).await;
    assert_eq!(code, 5);
    assert!(
        stdout.contains("WARN")
            && stdout.contains("nginx/web2  DOWN  Layer4 connection problem, Connection refused"),
        "{stdout}"
    );
    let (code, json) = pair.json(&["status"]).await;
    assert_eq!((code, &json["ok"]), (5, &false.into()));
    assert_eq!(json["problems"][0]["kind"], "server_down");
    assert_eq!(json["problems"][0]["severity"], "warning");
    assert_eq!(json["problems"][0]["nodes"][0], "a");
    assert_eq!(json["nodes"][0]["vrrp"][0]["state"], "MASTER");
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_a_problem_and_no_node_at_all_is_3() {
    let pair = Pair::start().await;
    let gone = pair.folder.path().join("gone.sock");
    let some = format!("{},c={}", pair.path(0).display(), gone.display());
    let output = pair.tandem_on(&some, &["status"]).await;
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stdout).contains("node c: not reachable"));
    let none = gone.display().to_string();
    for arguments in [
        &["status"][..],
        &["servers"],
        &["vrrp"],
        &["drain", "nginx/web1"],
        &["failover", "R1"],
        &["events"],
        &["raw", "show", "stat"],
        &["reload"],
    ] {
        let output = pair.tandem_on(&none, arguments).await;
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
    }
    let output = pair.tandem_on(&none, &["servers", "--json"]).await;
    let json: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("errors are JSON too");
    assert_eq!(json["errors"][0]["kind"], "unreachable");
    assert!(output.stderr.is_empty());
}

#[tokio::test]
async fn a_drain_is_done_on_both_nodes_and_ends_without_sessions() {
    let pair = Pair::start().await;
    lock(&pair.world).nodes[0].server("web1").sessions.current = 3;
    let (code, stdout, _) = pair
        .tandem(&["drain", "nginx/web1", "--wait", "--timeout", "15s"])
        .await;
    assert_eq!(
        (code, stdout.as_str()),
        (0, "a: nginx/web1 drains\nb: nginx/web1 drains\n")
    );
    assert_eq!(
        lock(&pair.world).nodes[0].server("web1").sessions.current,
        0
    );
    let (code, json) = pair.json(&["servers", "nginx"]).await;
    assert_eq!(
        (code, json["servers"].as_array().map(Vec::len)),
        (0, Some(4))
    );
    let drained = |value: &&serde_json::Value| {
        value["admin"] == "drain" && value["admin_cause"] == "operator" && value["usable"] == false
    };
    assert_eq!(
        json["servers"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(drained)
            .count(),
        2
    );
    let (code, stdout, _) = pair.tandem(&["ready", "nginx/web1", "--wait"]).await;
    assert_eq!(
        (code, stdout.as_str()),
        (0, "a: nginx/web1 is ready\nb: nginx/web1 is ready\n")
    );
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_4() {
    let pair = Pair::start().await;
    lock(&pair.world).nodes[0].server_down("web2", now_ms());
    let (code, json) = pair
        .json(&["ready", "nginx/web2", "--wait", "--timeout", "300ms"])
        .await;
    assert_eq!(
        (code, &json["errors"][0]["kind"]),
        (4, &"timeout".into()),
        "{json}"
    );
    assert_eq!(json["results"][0]["done"], true);
    assert!(
        json["errors"][0]["message"]
            .as_str()
            .is_some_and(|text| text.contains("a: DOWN, L4CON")),
        "{json}"
    );
}

#[tokio::test]
async fn what_a_node_refuses_is_1_and_says_which() {
    let pair = Pair::start().await;
    let (code, stdout, stderr) = pair.tandem(&["weight", "nginx/web9", "50%"]).await;
    assert_eq!(
        (code, stdout.as_str(), stderr.as_str()),
        (
            1,
            "",
            "tandem: a: No such server.\ntandem: b: No such server.\n"
        )
    );
    let (code, _, stderr) = pair.tandem(&["failover", "R9"]).await;
    assert_eq!(
        (code, stderr.as_str()),
        (1, "tandem: no node has a VRRP instance 'R9'\n")
    );
    let (code, _, stderr) = pair.tandem(&["failback", "R1"]).await;
    assert_eq!(
        (code, stderr.as_str()),
        (
            1,
            "tandem: no node gave the addresses of R1 away or outranks their master: a is MASTER, b is BACKUP\n"
        )
    );
    for wrong in [
        &["drain", "web1"][..],
        &["weight", "nginx/web1", "999"],
        &["nonsense"],
    ] {
        assert_eq!(pair.tandem(wrong).await.0, 2, "{wrong:?}");
    }
    // Without a terminal there is no dashboard.
    let (code, _, stderr) = pair.tandem(&[]).await;
    assert_eq!((code, stderr.contains("needs a terminal")), (2, true));
}

#[tokio::test]
async fn a_failover_to_a_node_that_is_not_well_is_refused_with_the_reason() {
    let pair = Pair::start().await;
    {
        let mut world = lock(&pair.world);
        let peer = world.nodes[1].instance();
        peer.state = VrrpState::Fault;
        peer.shares[0].healthy = false;
    }
    let (code, _, stderr) = pair.tandem(&["failover", "R1"]).await;
    assert_ne!(code, 0);
    assert!(
        stderr.contains("b is FAULT: script chk_haproxy fails there. --force"),
        "{stderr}"
    );
    assert_eq!(
        lock(&pair.world).nodes[0].instance().state,
        VrrpState::Master
    );
}

#[tokio::test]
async fn the_link_that_decided_for_a_sync_group_is_told() {
    let pair = Pair::start().await;
    let why = "the links of sync group G elect different nodes: R1 decides";
    lock(&pair.world).nodes[0].instance().decided = why.to_owned();
    let (code, json) = pair.json(&["vrrp", "R1"]).await;
    let decided = [0, 1].map(|node| &json["instances"][node]["decided"]);
    assert_eq!((code, decided), (0, [&why.into(), &"".into()]));
    let (_, stdout, _) = pair.tandem(&["vrrp", "R1"]).await;
    let lines = stdout.lines().filter(|line| line.contains("  group  "));
    assert_eq!(lines.collect::<Vec<_>>(), [format!("  group      {why}")]);
}

#[tokio::test]
async fn failover_asks_the_master_and_failback_the_one_that_gave_away() {
    let pair = Pair::start().await;
    let (code, stdout, _) = pair.tandem(&["failover", "R1", "--wait"]).await;
    assert_eq!(
        (code, stdout.as_str()),
        (0, "a: R1 gives its addresses away\n")
    );
    assert_eq!(
        lock(&pair.world).nodes[1].instance().state,
        VrrpState::Master
    );
    let (code, json) = pair.json(&["vrrp", "R1"]).await;
    assert_eq!(
        (
            code,
            &json["instances"][0]["held"],
            &json["instances"][1]["state"]
        ),
        (0, &true.into(), &"MASTER".into())
    );
    let (code, stdout, _) = pair.tandem(&["failback", "R1", "--wait"]).await;
    assert_eq!(
        (code, stdout.as_str()),
        (0, "a: R1 may take its addresses back\n")
    );
    assert_eq!(
        lock(&pair.world).nodes[0].instance().state,
        VrrpState::Master
    );
}

#[tokio::test]
async fn events_are_merged_as_lines_and_followed() {
    let pair = Pair::start().await;
    let (code, stdout, _) = pair.tandem(&["events", "--since", "1", "--json"]).await;
    let lines: Vec<serde_json::Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is a document"))
        .collect();
    assert_eq!(
        (code, lines.len(), &lines[0]["sequence"], &lines[0]["node"]),
        (0, 2, &2.into(), &"a".into())
    );
    let mut follower = Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(["events", "--follow"])
        .env("TANDEM_NODES", pair.nodes())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(
        follower.stdout.take().expect("piped"),
    ));
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let line = tokio::time::timeout(DEADLINE, lines.next_line())
            .await
            .expect("history")
            .expect("text");
        seen.push(line.expect("not the end"));
    }
    lock(&pair.world).nodes[1].server_down("web1", now_ms());
    let line = tokio::time::timeout(DEADLINE, lines.next_line())
        .await
        .expect("a push")
        .expect("text")
        .expect("not the end");
    assert!(
        line.contains(" b ")
            && line.contains("ALERT   nginx/web1 UP -> DOWN: Layer4 connection problem"),
        "{line}"
    );
}

#[tokio::test]
async fn a_text_command_is_passed_on_and_completions_and_manual_are_made() {
    let pair = Pair::start().await;
    let output = pair
        .tandem_on(
            &pair.path(0).display().to_string(),
            &["raw", "show", "stat"],
        )
        .await;
    assert_eq!(output.stdout, b"Name: mock\nasked: show stat\n");
    let (code, stdout, _) = pair.tandem(&["raw", "show stat"]).await;
    assert_eq!(
        (
            code,
            stdout.starts_with("== a ==\nName: mock\nasked: show stat\n== b ==\n")
        ),
        (0, true)
    );
    assert!(
        pair.tandem(&["completions", "bash"])
            .await
            .1
            .contains("failback")
    );
    assert!(pair.tandem(&["man"]).await.1.contains(".TH tandem 1"));
}

#[tokio::test]
async fn a_link_reconnects_by_itself_and_says_why_it_was_lost() {
    let mut pair = Pair::start().await;
    let (told, mut tell) = mpsc::channel(64);
    let (ask, asked) = mpsc::channel(4);
    let address = NodeAddress {
        name: None,
        path: pair.path(0),
    };
    tokio::spawn(link::keep(0, address, told, asked));
    let mut until = async |wanted: fn(&LinkEvent) -> bool| {
        let found = async {
            loop {
                let (_, event) = tell.recv().await.expect("the link lives");
                if wanted(&event) {
                    return event;
                }
            }
        };
        tokio::time::timeout(DEADLINE, found)
            .await
            .expect("it is told")
    };
    until(|event| matches!(event, LinkEvent::Snapshot(_))).await;
    until(|event| matches!(event, LinkEvent::Events(events) if events.len() == 2)).await;
    pair.tasks[0].abort();
    let lost = until(|event| matches!(event, LinkEvent::Lost { .. })).await;
    assert_eq!(
        lost,
        LinkEvent::Lost {
            why: "the node closed the connection".to_owned()
        }
    );
    ask.send(LinkRequest {
        token: 7,
        operation: protocol::Operation::Reload,
    })
    .await
    .expect("the link lives");
    until(|event| {
        matches!(
            event,
            LinkEvent::Answer {
                token: 7,
                result: Err(_)
            }
        )
    })
    .await;
    pair.tasks[0] = pair.serve(0).await;
    until(|event| matches!(event, LinkEvent::Connected { .. })).await;
    until(|event| matches!(event, LinkEvent::Snapshot(_))).await;
    ask.send(LinkRequest {
        token: 8,
        operation: protocol::Operation::Reload,
    })
    .await
    .expect("the link lives");
    until(|event| matches!(event, LinkEvent::Answer { token: 8, result: Ok(text) } if text == "the new worker runs")).await;
}

#[tokio::test]
async fn what_is_no_tandemd_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("other.sock");
    let listener = tokio::net::UnixListener::bind(&path).expect("free");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = tokio::io::AsyncWriteExt::write_all(
                &mut stream,
                b"Unknown command. Please enter one of the following commands only:\n",
            )
            .await;
            drop(answer);
        }
    });
    let error = tandem_client::client::Client::connect(&NodeAddress { name: None, path })
        .await
        .expect_err("no tandemd");
    assert!(error.to_string().contains("at most"), "{error}");
}
