//! What a change of state does besides moving the address: scripts and mails; VRRP without a proxy; and a reload, which
//! loses neither the address nor a request.

use std::time::Duration;

use tandem_tests::process::Signal;
use tandem_tests::scenario::{Pair, SETTLE, summary};
use tandem_tests::sinks::MailSink;
use tandem_tests::wait::wait_for;
use tandem_tests::{
    Lab, Node, NodeFiles, NodeKind, Outcome, article, ensure, lab::VIP, on_both, require,
    wait_until,
};

const LIMIT: Duration = Duration::from_secs(10);
const SCRIPT: &str = "/etc/keepalived/tell.sh";
const STORY: &str = "/run/story";

/// The article's file without its script, with notifications.
fn keepalived() -> String {
    let text = article::keepalived().replace("track_script {\nchk_haproxy\n}\n", "");
    let script_block = text.find("vrrp_script").zip(text.find("vrrp_instance"));
    let text = script_block.map_or(text.clone(), |(from, to)| {
        format!("{}{}", &text[..from], &text[to..])
    });
    let lines = format!(
        "notify_master \"{SCRIPT} by-master\"\nnotify_backup \"{SCRIPT} by-backup\"\nnotify_fault \"{SCRIPT} by-fault\"\n\
         notify_stop \"{SCRIPT} by-stop\"\nnotify {SCRIPT}\nsmtp_alert\nnopreempt"
    );
    text.replace("nopreempt", &lines).replace(
        "global_defs {",
        "global_defs {\nrouter_id lab\nscript_user root\n",
    )
}

fn start(lab: &Lab, kind: NodeKind) -> Outcome<Node> {
    let script = format!("#!/bin/sh\necho \"$@\" >> {STORY}\n");
    lab.host("a").write(SCRIPT, script)?;
    lab.host("a").exec("chmod", &["755", SCRIPT])?;
    let files = NodeFiles {
        keepalived: Some(keepalived()),
        ..NodeFiles::default()
    };
    Node::start(lab, "a", kind, files)
}

fn wait_holder(lab: &Lab, holders: &[&str]) -> Outcome {
    wait_for(&format!("the address on {holders:?}"), SETTLE, || {
        let found = lab.who_has(VIP).map_err(|error| error.to_string())?;
        if found == holders {
            Ok(())
        } else {
            Err(format!("it is on {found:?}"))
        }
    })
}

fn wait_story(lab: &Lab, line: &str) -> Outcome {
    wait_for(&format!("the script to be told {line:?}"), LIMIT, || {
        let story = lab.host("a").read(STORY).unwrap_or_default();
        if story.lines().any(|told| told == line) {
            Ok(())
        } else {
            Err(story)
        }
    })
}

/// Scripts and mails tell of every state that the instance enters.
fn transitions_are_told(kind: NodeKind) -> Outcome {
    let lab = Lab::start()?;
    let mails = MailSink::start(
        lab.host("a"),
        "127.0.0.1:25".parse().expect("a written address"),
    )?;
    let mut node = start(&lab, kind)?;
    wait_holder(&lab, &["a"])?;
    wait_story(&lab, "by-master")?;
    wait_story(&lab, "INSTANCE R1 MASTER 100")?;
    let mail = mails.wait_for("MASTER", LIMIT)?;
    for part in [
        "MAIL FROM:<noreply@example.com>",
        "RCPT TO:<sysadmin@example.com>",
        "Subject: ",
        "R1",
    ] {
        ensure!(mail.contains(part), "the mail lacks {part:?}:\n{mail}");
    }
    lab.cut_link("a")?;
    wait_holder(&lab, &[])?;
    wait_story(&lab, "by-fault")?;
    wait_story(&lab, "INSTANCE R1 FAULT 100")?;
    lab.restore_link("a")?;
    wait_holder(&lab, &["a"])?;
    wait_story(&lab, "by-backup")?;
    node.stop(LIMIT)?;
    wait_holder(&lab, &[])?;
    wait_story(&lab, "by-stop")
}

/// The address is held without any proxy, and is gone after a clean stop.
fn an_address_needs_no_proxy(kind: NodeKind) -> Outcome {
    let lab = Lab::start()?;
    let mut node = start(&lab, kind)?;
    wait_holder(&lab, &["a"])?;
    lab.host("client")
        .exec("ping", &["-c", "1", "-W", "2", VIP])?;
    node.stop(LIMIT)?;
    ensure!(lab.who_has(VIP)?.is_empty(), "the address was left behind");
    Ok(())
}

on_both!(transitions_are_told, an_address_needs_no_proxy);

#[test]
fn a_reload_loses_neither_the_address_nor_a_request() -> Outcome {
    require!("root", "users", "tandemd", "nginx");
    let mut pair = Pair::start(NodeKind::Tandem, NodeKind::Tandem)?;
    wait_until("both servers to be up", LIMIT, || {
        ["web1", "web2"]
            .iter()
            .all(|server| matches!(pair.a.socket().stat("nginx", server, "status"), Ok(Some(status)) if status == "UP"))
    })?;
    let prober = pair.probe()?;
    let mark = prober.now();
    let workers = pair.a.pids(tandem_tests::Part::Worker);
    let vrrp = pair.a.pids(tandem_tests::Part::Vrrp);
    pair.a.rewrite(|files| {
        files.haproxy = files
            .haproxy
            .take()
            .map(|text| text.replace("server web2 host2:80 check\n", ""));
    })?;
    pair.a.main().signal(Signal::SIGUSR2)?;
    wait_for("answers of web1 alone", LIMIT, || {
        let now = prober.now();
        let recent = prober
            .report()
            .between(now.saturating_sub(Duration::from_millis(300)), now);
        if recent.servers().keys().eq(["web1"]) {
            Ok(())
        } else {
            Err(summary(&recent))
        }
    })?;
    wait_until("the old worker to be gone", LIMIT, || {
        let now = pair.a.pids(tandem_tests::Part::Worker);
        !now.is_empty() && now.iter().all(|pid| !workers.contains(pid))
    })?;
    ensure!(
        pair.a.pids(tandem_tests::Part::Vrrp) == vrrp,
        "the vrrp process was replaced by a reload"
    );
    ensure!(pair.lab.who_has(VIP)? == ["a"], "the address moved");

    // A broken file: nothing changes.
    pair.a.rewrite(|files| {
        files.haproxy = files
            .haproxy
            .take()
            .map(|text| text.replace("balance roundrobin", "balanec roundrobin"));
    })?;
    pair.a.main().signal(Signal::SIGUSR2)?;
    pair.a.main().wait_for_log("balanec", LIMIT)?;
    prober.wait_answer_after(prober.now() + Duration::from_millis(500), LIMIT)?;
    let report = prober.finish().between(mark, Duration::MAX);
    ensure!(
        report.failures().is_empty(),
        "requests failed: {}",
        summary(&report)
    );
    Ok(())
}
