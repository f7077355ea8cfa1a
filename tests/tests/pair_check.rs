//! `tandemd -c` tells what a VRRP configuration cannot do, and with `--peer` proves a pair.

use std::process::Command;

use tandem_tests::requirements::our_program;
use tandem_tests::{Failure, Outcome, ensure, require};

/// `lo` is on every host.
const NODE: &str = "\
global_defs {
    router_id lb1
}
vrrp_script chk {
    script \"/bin/true\"
    interval 2
}
vrrp_instance VI_1 {
    interface lo
    virtual_router_id 51
    priority 150
    virtual_ipaddress {
        192.168.1.100/24
    }
    track_script {
        chk weight -2
    }
}
";

/// Exit status, what was printed, and what was complained.
fn check(own: &str, peer: Option<&str>) -> Outcome<(Option<i32>, String, String)> {
    let folder = tempfile::tempdir()?;
    let (mine, theirs) = (folder.path().join("a.conf"), folder.path().join("b.conf"));
    std::fs::write(&mine, own)?;
    let program = our_program("tandemd").ok_or_else(|| Failure::new("tandemd is not built"))?;
    let mut command = Command::new(program);
    command.arg("-c").arg("-f").arg(&mine);
    if let Some(peer) = peer {
        std::fs::write(&theirs, peer)?;
        command.arg("--peer").arg(&theirs);
    }
    let output = command.output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    ))
}

#[test]
fn what_cannot_be_is_a_warning_with_its_line() -> Outcome {
    require!("tandemd");
    let (status, _, told) = check(NODE, None)?;
    ensure!(status == Some(0) && told.is_empty(), "{status:?} {told}");
    let text = NODE
        .replace("interface lo", "interface eth99")
        .replace("priority 150", "priority 1");
    let (status, _, told) = check(&text, None)?;
    ensure!(status == Some(0), "{status:?} {told}");
    for expected in [
        "interface eth99 does not exist on this host",
        "a.conf:9:5",
        "it may come later",
        "weight -2 of script chk can never change the priority: it stays 1",
        "a.conf:16:9",
    ] {
        ensure!(told.contains(expected), "'{expected}' is not in:\n{told}");
    }
    Ok(())
}

#[test]
fn a_pair_is_proved_and_its_failures_are_told() -> Outcome {
    require!("tandemd");
    let peer = NODE
        .replace("lb1", "lb2")
        .replace("priority 150", "priority 100");
    let (status, table, told) = check(NODE, Some(&peer))?;
    ensure!(status == Some(0), "{status:?} {told}");
    ensure!(
        table.contains("lb1 dies                               -   100  lb2         3.61s"),
        "{table}"
    );
    ensure!(
        table.lines().all(|line| line.chars().count() <= 80),
        "{table}"
    );
    ensure!(
        told.contains("weight -2 of script chk can never change who is master"),
        "{told}"
    );
    let (status, table, told) = check(NODE, Some(&peer.replace("51", "52")))?;
    ensure!(status == Some(1), "{status:?} {told}");
    ensure!(
        told.contains("virtual_router_id 51 here and 52 on lb2") && told.contains("b.conf:10"),
        "{told}"
    );
    ensure!(table.contains("BOTH ARE MASTER"), "{table}");
    Ok(())
}
