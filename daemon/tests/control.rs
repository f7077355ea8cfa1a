//! The control process with a worker made of a snapshot: what clients of both protocols see.

mod support;

use protocol::client::{ClientAsk, ClientTell};
use protocol::operation::ServerAdmin;
use protocol::{Level, Operation, Refusal, ServerName};
use support::Rig;

#[tokio::test]
async fn a_line_of_commands_is_answered_and_the_connection_ends() {
    let rig = Rig::start(Level::Admin).await;
    assert_eq!(rig.ask("get weight nginx/web1").await, "1 (initial 1)\n\n");
    assert_eq!(
        rig.ask("get weight nginx/web1; get weight x").await,
        "1 (initial 1)\n\nRequire 'backend/server'.\n\n"
    );
    let stat = rig.ask("show stat").await;
    assert!(stat.starts_with("# pxname,svname,qcur,"), "{stat}");
    assert!(stat.contains("\nnginx,web1,"), "{stat}");
    assert!(stat.ends_with(",\n\n"), "{stat:?}");
}

#[tokio::test]
async fn the_prompt_keeps_the_connection() {
    let rig = Rig::start(Level::Admin).await;
    let answer = rig
        .ask("prompt\nget weight x\n\nset severity-output number\nget weight x\nquit")
        .await;
    assert_eq!(
        answer,
        "\n> Require 'backend/server'.\n\n> \n> \n> [3]: Require 'backend/server'.\n\n> "
    );
}

#[tokio::test]
async fn a_change_reaches_the_worker_and_the_history() {
    let rig = Rig::start(Level::Admin).await;
    assert_eq!(rig.ask("set server nginx/web1 state drain").await, "\n");
    let server = ServerName {
        backend: "nginx".to_owned(),
        server: "web1".to_owned(),
    };
    assert_eq!(
        rig.operations(),
        [Operation::ServerState {
            server,
            state: ServerAdmin::Drain
        }]
    );
    let events = rig.ask("show events").await;
    assert!(
        events.contains("operator nginx/web1: set to drain (asked on "),
        "{events}"
    );
    assert_eq!(
        rig.ask("set server nginx/web1 addr 192.0.2.9 port 81")
            .await,
        "IP changed from '192.0.2.1' to '192.0.2.9', port changed from '80' to '81' by 'stats socket command'\n\n"
    );
}

#[tokio::test]
async fn a_lower_level_reads_and_does_not_change() {
    let rig = Rig::start(Level::User).await;
    for command in [
        "disable server nginx/web1",
        "set weight nginx/web1 3",
        "show sess",
        "show errors",
        "clear counters",
    ] {
        assert_eq!(rig.ask(command).await, "Permission denied\n\n", "{command}");
    }
    assert_eq!(rig.ask("get weight nginx/web1").await, "1 (initial 1)\n\n");
    assert!(rig.operations().is_empty());
    let rig = Rig::start(Level::Operator).await;
    assert_eq!(rig.ask("clear counters all").await, "Permission denied\n\n");
    assert_eq!(rig.ask("clear counters").await, "\n");
}

#[tokio::test]
async fn a_typed_client_is_welcomed_asks_and_changes() {
    let rig = Rig::start(Level::Admin).await;
    let mut client = rig.typed().await;
    client.hello().await;
    let ClientTell::Snapshot(snapshot) = client.ask(ClientAsk::Snapshot).await else {
        panic!("a snapshot")
    };
    assert_eq!(snapshot.worker.expect("a worker").proxies[0].name, "main");
    let unknown = Operation::VrrpFailback {
        instance: "R1".to_owned(),
    };
    let refused = client.ask(ClientAsk::Do(unknown)).await;
    assert!(
        matches!(refused, ClientTell::Refused(Refusal::NotRunning(_))),
        "{refused:?}"
    );
    assert_eq!(
        client
            .ask(ClientAsk::Text("get weight nginx/web1".to_owned()))
            .await,
        ClientTell::Text("1 (initial 1)\n".to_owned())
    );
}

#[tokio::test]
async fn a_subscriber_gets_snapshots_and_events() {
    let rig = Rig::start(Level::Admin).await;
    let mut client = rig.typed().await;
    client.hello().await;
    assert_eq!(
        client.ask(ClientAsk::Subscribe { interval_ms: 1 }).await,
        ClientTell::Done(String::new())
    );
    let (mut snapshots, mut events) = (0, 0);
    assert_eq!(rig.ask("disable server nginx/web1").await, "\n");
    while snapshots < 2 || events < 1 {
        let (id, body) = client.receive().await;
        assert_eq!(id, 0, "a push");
        match body {
            ClientTell::Snapshot(_) => snapshots += 1,
            ClientTell::Events(list) => {
                assert_eq!(list[0].subject, "nginx/web1");
                events += list.len();
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_typed_client_must_greet_in_our_version() {
    let rig = Rig::start(Level::Admin).await;
    let mut client = rig.typed().await;
    let refused = client.ask(ClientAsk::Snapshot).await;
    assert!(
        matches!(refused, ClientTell::Refused(Refusal::Invalid(_))),
        "{refused:?}"
    );
    let mut client = rig.typed().await;
    let refused = client.ask(ClientAsk::Hello { version: 99 }).await;
    let ClientTell::Refused(Refusal::Invalid(reason)) = refused else {
        panic!("refused")
    };
    assert!(reason.contains("99"), "{reason}");
}

#[tokio::test]
async fn without_a_worker_commands_say_so() {
    let rig = Rig::without_worker(Level::Admin).await;
    assert_eq!(
        rig.ask("disable server nginx/web1").await,
        "The proxy worker is not running.\n\n"
    );
    assert!(rig.ask("show info").await.contains("\nVersion: 2."));
    assert_eq!(rig.ask("show vrrp").await, "VRRP is not configured.\n\n");
}
