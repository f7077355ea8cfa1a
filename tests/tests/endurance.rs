//! What a worker survives, and what others notice of it: its death under load, and states that come from a file. Beside
//! haproxy where it has the same.

use std::time::{Duration, Instant};

use tandem_tests::beside::{BOTH, Differences, Side, Which, free_port, scripted};
use tandem_tests::process::{Signal, send};
use tandem_tests::{Load, LoadOptions, Outcome, ensure, require, wait_until};

const LIMIT: Duration = Duration::from_secs(10);
/// Service must be back this soon after the death of a worker.
const BACK: Duration = Duration::from_millis(200);
/// What a machine with two cores that also runs other tests may add to it.
const BUSY: Duration = Duration::from_millis(400);

/// Answers every request at once.
fn answering() -> Outcome<u16> {
    scripted(|mut stream, _| {
        use std::io::Write;
        while tandem_tests::beside::read_until(&mut stream, "\r\n\r\n").contains("\r\n\r\n") {
            if stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .is_err()
            {
                return;
            }
        }
    })
}

#[test]
fn a_worker_that_is_killed_costs_the_requests_in_flight_alone() -> Outcome {
    require!("tandemd");
    const CLIENTS: u64 = 8;
    let server = answering()?;
    let side = Side::start(
        Which::Tandem,
        &format!(
            "frontend f\n bind {{in}}\n default_backend b\nbackend b\n server s1 127.0.0.1:{server} weight 7\n"
        ),
    )?;
    side.wait_stat("b", "s1", "weight", "7")?;
    side.command("set weight b/s1 3")?;
    let load = Load::here(LoadOptions::new(side.address, CLIENTS as usize));
    wait_until("the load", LIMIT, || load.completed() > 500)?;
    let asked_before: u64 = side.stat("f", "FRONTEND", "req_tot")?.parse().unwrap_or(0);
    let old = side.serving();
    send(old, Signal::SIGKILL)?;
    let killed = Instant::now();
    let at_the_kill = load.completed();
    wait_until("an answer after the death", LIMIT, || {
        side.get("/", &[]).is_ok_and(|answer| answer.status == 200)
    })?;
    let back = killed.elapsed();
    wait_until("the load to go on", LIMIT, || {
        load.completed() > at_the_kill + 500
    })?;
    let tally = load.finish();
    ensure!(side.serving() != old, "the dead worker serves");
    ensure!(
        tally.failures() <= CLIENTS,
        "more than the {CLIENTS} requests in flight failed: {:?}",
        tally.failed
    );
    ensure!(back <= BACK + BUSY, "service was away for {back:?}");
    println!("service back after {back:?}, {:?} failed", tally.failed);
    // What the operator wanted is remembered, and the counters go on.
    ensure!(
        side.stat("b", "s1", "weight")? == "3",
        "the weight is {}",
        side.stat("b", "s1", "weight")?
    );
    let asked: u64 = side.stat("f", "FRONTEND", "req_tot")?.parse().unwrap_or(0);
    ensure!(
        asked >= asked_before,
        "{asked_before} requests were counted before, {asked} now"
    );
    Ok(())
}

#[test]
fn states_of_servers_come_from_a_file_as_haproxy_takes_them() -> Outcome {
    require!("haproxy", "tandemd");
    let ports: Vec<u16> = (0..6).map(|_| free_port()).collect::<Outcome<_>>()?;
    let text = format!(
        "global:server-state-file {{dir}}/state\nglobal:server-state-base {{dir}}\n\
         frontend f\n bind {{in}}\n default_backend b\n\
         backend b\n load-server-state-from-file global\n server s1 127.0.0.1:{} weight 10\n \
         server s2 127.0.0.1:{} weight 10 check inter 60s\n server s3 127.0.0.1:{} weight 10 disabled\n \
         server s5 127.0.0.1:{} weight 10 check inter 60s\n\
         backend own\n load-server-state-from-file local\n server s1 127.0.0.1:{} weight 10\n\
         backend named\n load-server-state-from-file local\n server-state-file-name other\n server s1 127.0.0.1:{} weight 10\n",
        ports[0], ports[1], ports[2], ports[3], ports[4], ports[5]
    );
    let head = "1\n# be_id be_name srv_id srv_name srv_addr and so on\n";
    let state = format!(
        "{head}3 b 1 s1 127.0.0.9 2 1 5 10 100 1 0 2 0 0 0 0 - 2001 - 0 0 - - 0\n\
         3 b 2 s2 127.0.0.1 2 8 4 10 100 6 3 4 2 0 0 0 - {} - 0 0 - - 0\n\
         3 b 3 s3 127.0.0.1 2 0 10 10 100 1 0 1 0 0 0 0 - {} - 0 0 - - 0\n\
         3 b 4 s5 127.0.0.1 2 0 6 11 100 6 3 4 2 0 0 0 - {} - 0 0 - - 0\n",
        ports[1], ports[2], ports[3]
    );
    let local = |id: u32, backend: &str, port: u16| {
        format!(
            "{head}{id} {backend} 1 s1 127.0.0.1 2 8 {id} 10 100 1 0 2 0 0 0 0 - {port} - 0 0 - - 0\n"
        )
    };
    let mut found = Vec::new();
    for which in BOTH {
        let folder = tempfile::Builder::new().prefix("beside-").tempdir()?;
        std::fs::write(folder.path().join("state"), &state)?;
        std::fs::write(folder.path().join("own"), local(4, "own", ports[4]))?;
        std::fs::write(folder.path().join("other"), local(5, "named", ports[5]))?;
        let side = Side::start_in(which, &text, folder)?;
        side.wait_stat("own", "s1", "pxname", "own")?;
        let told = side.command("show servers state")?;
        let rows: Vec<String> = told
            .lines()
            .filter(|line| !line.starts_with('#') && line.split(' ').count() > 9)
            .map(|line| {
                // The time since the last change, what the last check found, and its count are each side's own; of the
                // check's state, whether it is configured (2) and enabled (4).
                let words: Vec<&str> = line.split(' ').collect();
                let state = words[13].parse::<u32>().unwrap_or(0) & 6;
                [&words[1..2], &words[3..9], &words[18..19]]
                    .concat()
                    .join(" ")
                    + &format!(" {state}")
            })
            .collect();
        found.push(rows);
    }
    let mut differences = Differences::default();
    differences.compare("rows", found[0].len(), found[1].len());
    for (theirs, ours) in found[0].iter().zip(&found[1]) {
        differences.compare("server", theirs, ours);
    }
    differences.none()
}

#[test]
fn a_reload_keeps_what_operators_changed() -> Outcome {
    require!("tandemd");
    let (one, other) = (answering()?, answering()?);
    let side = Side::start(
        Which::Tandem,
        &format!(
            "frontend f\n bind {{in}}\n default_backend b\nbackend b\n server s1 127.0.0.1:{one} weight 7 maxconn 50\n \
             server s2 127.0.0.1:{one} check inter 60s\n server s3 127.0.0.1:{one}\n"
        ),
    )?;
    side.wait_stat("b", "s1", "weight", "7")?;
    for _ in 0..5 {
        side.get("/", &[])?;
    }
    for change in [
        "set weight b/s1 3",
        "set maxconn server b/s1 9",
        &format!("set server b/s1 addr 127.0.0.1 port {other}"),
        "disable health b/s2",
        "set server b/s2 state drain",
        "set server b/s3 state maint",
    ] {
        side.command(change)?;
    }
    let state = || -> Outcome<Vec<String>> {
        let text = side.command("show servers state")?;
        let mut rows: Vec<String> = text
            .lines()
            .filter(|line| line.contains(" b "))
            .map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                [&words[..9], &words[10..]].concat().join(" ")
            })
            .collect();
        for server in ["s1", "s2", "s3"] {
            let columns = ["slim", "weight", "status", "stot", "hrsp_2xx"];
            for column in columns {
                rows.push(side.stat("b", server, column)?);
            }
        }
        Ok(rows)
    };
    let before = state()?;
    for _ in 0..2 {
        let answer = side.command("reload")?;
        ensure!(answer.contains("Success=1"), "reload says {answer}");
        let after = state()?;
        ensure!(before == after, "before {before:#?}\nafter {after:#?}");
    }
    ensure!(
        side.get("/", &[])?.status == 200,
        "the changed server does not answer"
    );
    Ok(())
}
