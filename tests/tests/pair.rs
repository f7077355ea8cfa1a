//! The article's pair on `tandemd`, and mixed with the programs it replaces in both roles: whatever befalls the master, the
//! address answers again within three advertisement intervals and the backup's skew, and ends on one node alone.

use std::time::Duration;

use tandem_tests::scenario::{
    Mishap, Pair, SETTLE, TOLERANCE, master_down_interval, requests_alternate, skew, survives,
};
use tandem_tests::{NodeKind, Outcome, Part, article, ensure, lab::VIP, require, wait_until};

use NodeKind::{Peer, Tandem};

/// How long `tandemd` may take to replace a process that died.
const REPLACE: Duration = Duration::from_secs(5);

#[test]
fn requests_to_the_address_alternate_between_the_servers() -> Outcome {
    require!("root", "users", "tandemd", "nginx");
    let pair = Pair::start(Tandem, Tandem)?;
    requests_alternate(&pair)
}

/// The article's two files to the byte, where they lie beside the project: the same pair, and a daemon that dies.
#[test]
fn the_articles_own_files_keep_the_address_up() -> Outcome {
    require!("root", "users", "tandemd", "nginx");
    let (Some(haproxy), Some(keepalived)) = (
        article::original("haproxy.cfg"),
        article::original("keepalived.conf"),
    ) else {
        println!(
            "the article's own files are not beside the project; examples/ is used by the other tests"
        );
        return Ok(());
    };
    let mut pair = Pair::start_with(Tandem, Tandem, &haproxy, &keepalived)?;
    requests_alternate(&pair)?;
    survives(&pair, Mishap::Kill(Part::Supervisor), Some("b"))?;
    pair.a.up()?;
    pair.wait_holder("a", SETTLE)?;
    requests_alternate(&pair)
}

#[test]
fn the_address_survives_a_killed_worker() -> Outcome {
    require!("root", "users", "tandemd", "nginx");
    let pair = Pair::start(Tandem, Tandem)?;
    requests_alternate(&pair)?;
    let killed = pair.a.pids(Part::Worker);
    survives(&pair, Mishap::Kill(Part::Worker), None)?;
    pair.a.wait_replaced(Part::Worker, &killed, REPLACE)?;
    // The master serves again, and as `state MASTER` ignores nopreempt it takes the address back.
    pair.wait_holder("a", SETTLE)?;
    requests_alternate(&pair)
}

#[test]
fn the_address_survives_a_killed_vrrp_process() -> Outcome {
    require!("root", "users", "tandemd", "nginx");
    let pair = Pair::start(Tandem, Tandem)?;
    let killed = pair.a.pids(Part::Vrrp);
    survives(&pair, Mishap::Kill(Part::Vrrp), None)?;
    pair.a.wait_replaced(Part::Vrrp, &killed, REPLACE)?;
    pair.wait_holder("a", SETTLE)?;
    requests_alternate(&pair)
}

#[test]
fn the_address_survives_a_killed_supervisor() -> Outcome {
    require!("root", "users", "tandemd", "nginx");
    let mut pair = Pair::start(Tandem, Tandem)?;
    // The others see it and end in order: priority 0 is sent and the address removed.
    let outage = survives(&pair, Mishap::Kill(Part::Supervisor), Some("b"))?;
    let limit = skew(tandem_tests::article::BACKUP_PRIORITY) + TOLERANCE;
    ensure!(
        outage <= limit,
        "{outage:?} instead of at most {limit:?}: the master did not resign"
    );
    pair.a.up()?;
    pair.wait_holder("a", SETTLE)?;
    Ok(())
}

#[test]
fn the_address_survives_the_death_of_the_whole_daemon() -> Outcome {
    require!("root", "users", "tandemd", "nginx");
    let mut pair = Pair::start(Tandem, Tandem)?;
    let prober = pair.probe()?;
    let mark = prober.now();
    pair.a.kill(Part::Daemon)?;
    let watch = master_down_interval() + TOLERANCE * 2;
    prober.wait_answer_after(mark + watch, watch + Duration::from_secs(10))?;
    let outage = prober
        .finish()
        .between(mark, Duration::MAX)
        .longest_outage();
    let limit = master_down_interval() + TOLERANCE;
    println!("whole daemon killed: silent for {outage:.2?} (at most {limit:.2?})");
    ensure!(
        outage <= limit,
        "the address was silent for {outage:?}, more than {limit:?}"
    );
    ensure!(
        pair.lab.who_has(VIP)?.contains(&"b".to_owned()),
        "the backup has not taken the address"
    );
    // Nobody was left to remove the address from the dead node: the next start does.
    pair.a.up()?;
    pair.wait_single_holder(SETTLE)?;
    pair.wait_holder("a", SETTLE)?;
    requests_alternate(&pair)
}

#[test]
fn the_address_survives_a_cut_link_and_comes_back() -> Outcome {
    require!("root", "users", "tandemd", "nginx");
    let pair = Pair::start(Tandem, Tandem)?;
    survives(&pair, Mishap::CutLink, Some("b"))?;
    pair.lab.restore_link("a")?;
    pair.wait_holder("a", SETTLE)?;
    requests_alternate(&pair)
}

#[test]
fn a_split_brain_heals_without_losing_clients() -> Outcome {
    require!("root", "users", "tandemd", "nginx");
    let pair = Pair::start(Tandem, Tandem)?;
    let prober = pair.probe()?;
    let mark = prober.now();
    pair.lab.isolate("a")?;
    wait_until("both nodes to hold the address", SETTLE, || {
        pair.lab
            .who_has(VIP)
            .is_ok_and(|holders| holders == ["a", "b"])
    })?;
    let split = prober.now();
    prober.wait_answer_after(split, SETTLE)?;
    pair.lab.rejoin("a")?;
    let healed = prober.now();
    pair.wait_holder("a", SETTLE)?;
    prober.wait_answer_after(prober.now() + Duration::from_secs(2), SETTLE)?;
    let report = prober.finish();
    let limit = master_down_interval() + TOLERANCE;
    let first = report.between(mark, split).longest_outage();
    ensure!(
        first <= limit,
        "the split was noticed after {first:?}, more than {limit:?}"
    );
    // keepalived's winner stays silent here and clients are lost for half a minute: ours announces itself.
    let second = report.between(healed, Duration::MAX).longest_outage();
    println!("split brain: silent for {first:.2?}, and for {second:.2?} when it healed");
    ensure!(
        second <= Duration::from_secs(2),
        "clients were lost for {second:?} after the split had healed"
    );
    Ok(())
}

#[test]
fn a_clean_stop_hands_over_in_the_skew_time_and_leaves_no_address() -> Outcome {
    require!("root", "users", "tandemd", "nginx");
    let mut pair = Pair::start(Tandem, Tandem)?;
    let prober = pair.probe()?;
    let mark = prober.now();
    pair.a.stop(Duration::from_secs(10))?;
    pair.wait_holder("b", SETTLE)?;
    prober.wait_answer_after(prober.now(), SETTLE)?;
    let outage = prober
        .finish()
        .between(mark, Duration::MAX)
        .longest_outage();
    let limit = skew(tandem_tests::article::BACKUP_PRIORITY) + TOLERANCE;
    println!("clean stop: silent for {outage:.2?} (at most {limit:.2?})");
    ensure!(
        outage <= limit,
        "{outage:?} instead of at most {limit:?}: the master did not resign"
    );
    Ok(())
}

#[test]
fn an_operator_moves_the_address_and_back() -> Outcome {
    require!("root", "users", "tandemd", "nginx");
    let pair = Pair::start(Tandem, Tandem)?;
    let prober = pair.probe()?;
    let mark = prober.now();
    pair.a.command("vrrp failover R1")?;
    pair.wait_holder("b", SETTLE)?;
    pair.a.command("vrrp failback R1")?;
    pair.wait_holder("a", SETTLE)?;
    prober.wait_answer_after(prober.now(), SETTLE)?;
    let outage = prober
        .finish()
        .between(mark, Duration::MAX)
        .longest_outage();
    println!("failover and failback by command: silent for {outage:.2?} at most");
    ensure!(
        outage <= Duration::from_secs(1) + TOLERANCE,
        "the address was silent for {outage:?}"
    );
    Ok(())
}

#[test]
fn a_tandem_master_fails_over_to_keepalived_and_back() -> Outcome {
    require!(
        "root",
        "users",
        "tandemd",
        "nginx",
        "haproxy",
        "keepalived",
        "killall"
    );
    let pair = Pair::start(Tandem, Peer)?;
    requests_alternate(&pair)?;
    survives(&pair, Mishap::Kill(Part::Worker), None)?;
    pair.wait_holder("a", SETTLE)?;
    survives(&pair, Mishap::CutLink, Some("b"))?;
    pair.lab.restore_link("a")?;
    pair.wait_holder("a", SETTLE)?;
    requests_alternate(&pair)
}

#[test]
fn a_keepalived_master_fails_over_to_tandem_and_back() -> Outcome {
    require!(
        "root",
        "users",
        "tandemd",
        "nginx",
        "haproxy",
        "keepalived",
        "killall"
    );
    let pair = Pair::start(Peer, Tandem)?;
    requests_alternate(&pair)?;
    survives(&pair, Mishap::CutLink, Some("b"))?;
    requests_alternate(&pair)?;
    pair.lab.restore_link("a")?;
    pair.wait_holder("a", SETTLE)?;
    requests_alternate(&pair)
}
