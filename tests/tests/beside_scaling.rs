//! Servers that come and go while others serve (`add server`, `del server`): the same commands to ours and to haproxy, the same
//! answers, states and traffic; and a thousand comings and goings under load.

use std::io::Write;
use std::time::{Duration, Instant};

use tandem_tests::beside::{BOTH, Differences, Side, Which, read_all};
use tandem_tests::load::{Load, LoadOptions};
use tandem_tests::origin::Answer;
use tandem_tests::{Origin, Outcome, ensure, require};

/// Every kind of algorithm, and servers that rules, trackers and expressions point to.
fn text(one: &Origin, other: &Origin) -> String {
    let (one, other) = (one.port(), other.port());
    format!(
        "frontend f\n bind {{in}}\n http-request deny if {{ srv_is_up(asked/a) }} {{ path /never }}\n default_backend web\n\
         backend web\n balance roundrobin\n default-server weight 7\n server a 127.0.0.1:{one}\n server b 127.0.0.1:{one}\n\
         backend rr\n balance static-rr\n server a 127.0.0.1:{one}\n\
         backend map\n balance source\n server a 127.0.0.1:{one}\n\
         backend ring\n balance source\n hash-type consistent\n server a 127.0.0.1:{one}\n\
         backend least\n mode tcp\n balance leastconn\n server a 127.0.0.1:{one}\n\
         backend first\n balance first\n server a 127.0.0.1:{one}\n\
         backend none\n balance random\n\
         backend cookies\n cookie C insert indirect\n server a 127.0.0.1:{one} cookie a\n\
         backend ruled\n use-server a if {{ path /a }}\n server a 127.0.0.1:{one}\n server c 127.0.0.1:{one} track checked/a\n\
         backend checked\n server a 127.0.0.1:{other} check inter 60s\n\
         backend asked\n server a 127.0.0.1:{one}\n"
    )
}

/// One after another; `{p}` is a port that answers.
const COMMANDS: &[&str] = &[
    "experimental-mode",
    "experimental-mode on; experimental-mode",
    "expert-mode",
    "add server",
    "add server web",
    "add server web/",
    "add server nope/c 127.0.0.1:{p}",
    "add server web/c",
    "add server web/c 127.0.0.1:{p}",
    "add server web/c 127.0.0.1:{p}",
    "experimental-mode on; add server web/d 127.0.0.1:{p} weight 3 maxconn 5",
    "add server web/e 127.0.0.1:{p} id 77 disabled",
    "add server web/f 127.0.0.1:{p} enabled",
    "add server web/g name.invalid:80",
    "add server web/h 127.0.0.1:{p} check inter 100 rise 1 fall 1",
    "add server web/i 127.0.0.1:{p} agent-check agent-port 1 backup",
    "add server web/j 127.0.0.1:{p} track checked/a",
    "add server web/k 127.0.0.1:{p} ssl verify none",
    "add server web/l 127.0.0.1:{p} slowstart 10s send-proxy-v2 source 127.0.0.1",
    "add server web/m 127.0.0.1:{p} disabled check",
    "add server web/n 127.0.0.1:{p} id 77",
    "add server web/n 127.0.0.1:{p} bogus",
    "add server web/n 127.0.0.1:{p} cookie x",
    "add server web/n 127.0.0.1:{p} init-addr none",
    "add server web/n 127.0.0.1:{p} resolvers r",
    "add server web/n 127.0.0.1:{p} redir /",
    "add server web/n 127.0.0.1:{p} stick",
    "add server web/n 127.0.0.1:{p} no-check",
    "add server web/n 127.0.0.1:{p} track zz",
    "add server web/n 127.0.0.1:{p} track zz/a",
    "add server web/n 127.0.0.1:{p} track c",
    "add server web/n 127.0.0.1:{p} track a",
    "add server web/n 127.0.0.1:{p} track checked/a check",
    "add server web/n/o 127.0.0.1:{p}",
    "add server web/$ 127.0.0.1:{p}",
    "add server rr/n 127.0.0.1:{p}",
    "add server map/n 127.0.0.1:{p}",
    "add server ring/n 127.0.0.1:{p}",
    "add server least/n 127.0.0.1:{p}",
    "add server first/n 127.0.0.1:{p}",
    "add server none/n 127.0.0.1:{p}",
    "add server cookies/n 127.0.0.1:{p}",
    "enable server web/c",
    "enable server web/g",
    "enable health web/c",
    "enable health web/h",
    "enable agent web/c",
    "set server web/d weight 9",
    "set server web/d addr 127.0.0.1 port {p}",
    "disable server web/d",
    "get weight web/d",
    "set maxconn server web/d 6",
    "del server",
    "del server web",
    "del server nope/a",
    "del server web/nope",
    "del server web/a",
    "del server web/c",
    "del server web/d",
    "del server web/d",
    "enable server web/d",
    "disable server web/b",
    "del server web/b",
    "disable server checked/a",
    "del server checked/a",
    "enable server checked/a",
    "disable server ruled/a",
    "del server ruled/a",
    "disable server asked/a",
    "del server asked/a",
    "disable server rr/a",
    "del server rr/a",
    "add server web/o 127.0.0.1:{p}",
    "add server web/p 127.0.0.1:{p}",
    "add server web/q 127.0.0.1:{p}",
    "del server web/e",
    "add server web/e 127.0.0.1:{p} id 77",
    "add server web/r 127.0.0.1:{p} id 5",
];

/// Where ours says another thing, and why.
const OTHERWISE: &[(&str, &str)] = &[
    // There the other's place in a file is told, which it has not.
    (
        "add server web/n 127.0.0.1:{p} id 77",
        "'id' : custom id 77 already used by server 'e'.",
    ),
    (
        "add server web/r 127.0.0.1:{p} id 5",
        "'id' : custom id 5 already used by server 'f'.",
    ),
];

/// `show servers state` without what differs knowingly: the seconds since a change; `id` and `ssl` on the line, which ours does
/// not tell; the health of a server without checks, which haproxy counts down in maintenance for good; a check's moment. A
/// server without an address (`g`) stays in maintenance here, and checks of one in maintenance (`h`) wait there.
fn states(side: &Side) -> Outcome<Vec<String>> {
    const UNTOLD: [usize; 4] = [9, 15, 16, 20];
    const HEALTH: usize = 12;
    const STATE: usize = 13;
    const CHECK: std::ops::RangeInclusive<usize> = 10..=13;
    let text = side.command("show servers state")?;
    let lines = text.lines().skip(2).filter(|line| !line.is_empty());
    Ok(lines
        .map(|line| {
            let mut words: Vec<&str> = line.split(' ').collect();
            let is_checked = words.get(1) == Some(&"checked") || words.get(3) == Some(&"h");
            let has_no_check = words.get(STATE) == Some(&"0");
            let is_nowhere = words.get(3) == Some(&"g");
            for (at, word) in words.iter_mut().enumerate() {
                if UNTOLD.contains(&at)
                    || is_checked && CHECK.contains(&at)
                    || has_no_check && at == HEALTH
                    || is_nowhere && at > 3
                {
                    *word = "_";
                }
            }
            words.join(" ")
        })
        .collect())
}

/// Name, weight, activity, ids and address of all lines of `show stat`.
fn statistics(side: &Side) -> Outcome<Vec<String>> {
    const COLUMNS: [usize; 8] = [0, 1, 17, 18, 19, 20, 28, 73];
    let text = side.command("show stat")?;
    Ok(text
        .lines()
        .filter(|line| !line.starts_with("checked") && !line.starts_with("web,g,"))
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            COLUMNS
                .map(|at| fields.get(at).copied().unwrap_or_default())
                .join(",")
        })
        .collect())
}

#[test]
fn servers_come_and_go_as_in_haproxy() -> Outcome {
    require!("haproxy", "tandemd");
    let (one, other) = (Origin::on_loopback("one")?, Origin::on_loopback("other")?);
    let text = text(&one, &other);
    let sides = [Side::start(BOTH[0], &text)?, Side::start(BOTH[1], &text)?];
    for side in &sides {
        side.wait_stat("checked", "a", "check_status", "L4OK")?;
    }
    let mut differences = Differences::default();
    for command in COMMANDS {
        let asked = command.replace("{p}", &other.port().to_string());
        let mut said = Vec::new();
        for side in &sides {
            said.push(side.command(&asked)?.trim_end().to_owned());
        }
        match OTHERWISE.iter().find(|(other, _)| other == command) {
            Some((_, ours)) => {
                differences.compare(command, (*ours).to_owned(), said[1].clone());
                ensure!(said[0] != *ours, "{command}: both say {ours}");
            }
            None => differences.compare(command, &said[0], &said[1]),
        }
        if *command == "enable health web/h" {
            for side in &sides {
                side.wait_stat("web", "h", "check_status", "L4OK")
                    .or_else(|_| side.wait_stat("web", "h", "status", "MAINT"))?;
            }
        }
        let shown = [states(&sides[0])?, states(&sides[1])?];
        for at in 0..shown[0].len().max(shown[1].len()) {
            let line = |side: usize| shown[side].get(at).cloned().unwrap_or_default();
            differences.compare(&format!("states after {command}"), line(0), line(1));
        }
    }
    let shown = [statistics(&sides[0])?, statistics(&sides[1])?];
    for at in 0..shown[0].len().max(shown[1].len()) {
        let line = |side: usize| shown[side].get(at).cloned().unwrap_or_default();
        differences.compare("show stat", line(0), line(1));
    }
    differences.none()
}

/// Who answers so many requests, in order.
fn answers(side: &Side, count: usize) -> Outcome<Vec<String>> {
    (0..count)
        .map(|_| {
            let answer = side.get("/", &[])?;
            Ok(format!("{} {}", answer.status, answer.body.trim()))
        })
        .collect()
}

#[test]
fn traffic_reaches_who_came_and_keeps_who_is_asked() -> Outcome {
    require!("haproxy", "tandemd");
    let mut differences = Differences::default();
    let mut seen = Vec::new();
    for which in BOTH {
        let (old, new) = (Origin::on_loopback("old")?, Origin::on_loopback("new")?);
        let text = format!(
            "frontend f\n bind {{in}}\n default_backend b\nbackend b\n balance roundrobin\n server old 127.0.0.1:{}\n",
            old.port()
        );
        let side = Side::start(which, &text)?;
        let mut facts = Vec::new();
        let mut say = |command: &str| -> Outcome {
            let said = side.command(command)?.trim().to_owned();
            facts.push(format!("{command}: {said}").replace(&new.port().to_string(), "PORT"));
            Ok(())
        };
        say(&format!(
            "add server b/new 127.0.0.1:{} check inter 100 rise 1 fall 1",
            new.port()
        ))?;
        let before = answers(&side, 4)?;
        say("enable server b/new")?;
        let mut after = answers(&side, 4)?;
        after.sort();
        say("enable health b/new")?;
        side.wait_stat("b", "new", "check_status", "L4OK")?;
        // In use: a request is under way.
        new.set(Answer::Delay(Duration::from_millis(400)));
        old.set(Answer::Status(503, b"old".to_vec()));
        let mut asked = None;
        for _ in 0..2 {
            let mut stream = side.connect()?;
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
            asked = Some(stream);
            let until = Instant::now() + Duration::from_secs(2);
            let taken = |name: &str| side.stat("b", name, "stot");
            while taken("new")?.parse::<u32>().unwrap_or(0) < 3 && Instant::now() < until {
                if taken("old")?.parse::<u32>().unwrap_or(0) > 6 {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            if side.stat("b", "new", "scur")? == "1" {
                break;
            }
        }
        ensure!(
            side.stat("b", "new", "scur")? == "1",
            "nobody is at the new server"
        );
        say("del server b/new")?;
        say("disable server b/new")?;
        say("del server b/new")?;
        let served = asked
            .map(|mut stream| read_all(&mut stream))
            .unwrap_or_default();
        ensure!(
            served.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&served)
        );
        old.set(Answer::Name);
        side.wait_stat("b", "new", "scur", "0")?;
        if which == Which::Tandem {
            ensure!(
                side.command("del server b/new")?.trim() == "Server deleted.",
                "it is not deleted when nobody is there"
            );
            ensure!(
                side.command("show stat")?.matches("b,new").count() == 0,
                "still shown"
            );
            ensure!(
                side.command("enable server b/new")?.trim() == "No such server.",
                "still known"
            );
        }
        let last = answers(&side, 3)?;
        seen.push((facts, before, after, last));
    }
    let [
        (facts, before, after, last),
        (our_facts, our_before, our_after, our_last),
    ] = &seen[..]
    else {
        return Ok(());
    };
    for (one, other) in facts.iter().zip(our_facts) {
        differences.compare("answers", one, other);
    }
    differences.compare("before", before, our_before);
    differences.compare("with the new server", after, our_after);
    differences.compare("afterwards", last, our_last);
    differences.none()
}

fn resident_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

#[test]
fn a_thousand_comings_and_goings_fail_no_request() -> Outcome {
    require!("tandemd");
    const ROUNDS: usize = 1_000;
    /// What the allocator may keep of it.
    const MAX_GROWTH_KIB: u64 = 2_048;
    let (old, new) = (Origin::on_loopback("old")?, Origin::on_loopback("new")?);
    for (balance, threads) in [("roundrobin", 2), ("leastconn", 1)] {
        let text = format!(
            "global: nbthread {threads}\nfrontend f\n bind {{in}}\n default_backend b\nbackend b\n balance {balance}\n server old 127.0.0.1:{}\n",
            old.port()
        );
        let side = Side::start(Which::Tandem, &text)?;
        let load = Load::here(LoadOptions {
            pause: Duration::from_millis(1),
            ..LoadOptions::new(side.address, 4)
        });
        let worker = side.serving();
        let mut before_kib = 0;
        for round in 0..ROUNDS / 2 {
            let name = format!("b/s{}", round % 7);
            let said = side.command(&format!(
                "add server {name} 127.0.0.1:{} check inter 1s; enable server {name}; enable health {name}",
                new.port()
            ))?;
            ensure!(said.contains("New server registered."), "{round}: {said}");
            let said = side.command(&format!("disable server {name}"))?;
            ensure!(said.trim().is_empty(), "{round}: {said}");
            let until = Instant::now() + Duration::from_secs(5);
            loop {
                let said = side.command(&format!("del server {name}"))?;
                if said.trim() == "Server deleted." {
                    break;
                }
                ensure!(
                    said.contains("still has connections") && Instant::now() < until,
                    "{round}: {said}"
                );
            }
            if round == ROUNDS / 10 {
                before_kib = resident_kib(worker);
            }
        }
        let after_kib = resident_kib(worker);
        ensure!(
            side.serving() == worker,
            "another worker serves than at the beginning"
        );
        let tally = load.finish();
        let output = side.output();
        let panics: Vec<&str> = output
            .lines()
            .filter(|line| line.contains("panicked"))
            .collect();
        ensure!(panics.is_empty(), "{balance}: {panics:?}");
        ensure!(tally.failures() == 0, "{balance}: {:?}", tally.failed);
        ensure!(
            tally.completed > 100,
            "{balance}: {} requests",
            tally.completed
        );
        ensure!(
            after_kib <= before_kib + MAX_GROWTH_KIB,
            "{balance}: memory grew from {before_kib} to {after_kib} KiB"
        );
        println!(
            "{balance}, {threads} threads: {} requests, {} at the new ones, {before_kib} -> {after_kib} KiB",
            tally.completed,
            new.requests().len()
        );
        ensure!(
            !new.requests().is_empty(),
            "{balance}: nobody was sent to new servers"
        );
        new.forget();
    }
    Ok(())
}
