//! What a worker survives, and what others notice of it: its death under load, and states that come from a file. Beside
//! haproxy where it has the same.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tandem_tests::beside::{BOTH, Differences, Side, Which, free_port, scripted};
use tandem_tests::process::{Signal, is_alive, send};
use tandem_tests::wait::wait_for;
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

/// Answers at once, but what asks for `/held` never.
fn holding(held: Arc<AtomicU64>) -> Outcome<u16> {
    scripted(move |mut stream, _| {
        loop {
            let head = tandem_tests::beside::read_until(&mut stream, "\r\n\r\n");
            if !head.contains("\r\n\r\n") {
                return;
            }
            if head.contains("/held") {
                held.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            if stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .is_err()
            {
                return;
            }
        }
    })
}

/// How many daemons lose their worker: one that has just lost one starts the next after a pause only.
const DEATHS: usize = 3;

/// What clients see of a death, counted: exactly the requests that were held at a server fail, idle kept connections end
/// without a byte, of clients that ask without a pause each loses no more than the one that was under way, and whoever
/// connects meanwhile is neither refused nor reset, but waits in the socket's queue.
#[test]
fn a_worker_that_is_killed_costs_the_requests_in_flight_alone() -> Outcome {
    require!("tandemd");
    let mut times = (0..DEATHS)
        .map(|_| death_under_load())
        .collect::<Outcome<Vec<Duration>>>()?;
    println!("service was back after {times:?}");
    times.sort();
    ensure!(
        times[0] <= BACK && times[DEATHS - 1] <= BACK + BUSY,
        "service was away for {times:?}"
    );
    Ok(())
}

/// How long service was away.
fn death_under_load() -> Outcome<Duration> {
    const CLIENTS: u64 = 8;
    const HELD: usize = 20;
    let held = Arc::new(AtomicU64::new(0));
    let server = holding(Arc::clone(&held))?;
    let side = Side::start(
        Which::Tandem,
        &format!(
            "frontend f\n bind {{in}}\n default_backend b\nbackend b\n timeout server 60s\n server s1 127.0.0.1:{server} weight 7\n"
        ),
    )?;
    side.wait_stat("b", "s1", "weight", "7")?;
    side.command("set weight b/s1 3")?;
    let mut waiting = Vec::new();
    for _ in 0..HELD {
        let mut stream = side.connect()?;
        stream.write_all(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")?;
        waiting.push(stream);
    }
    let idle: Vec<_> = (0..HELD)
        .map(|_| {
            let mut stream = side.connect()?;
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")?;
            let answer = tandem_tests::beside::read_until(&mut stream, "ok");
            ensure!(answer.ends_with("ok"), "an idle one was told {answer}");
            Ok(stream)
        })
        .collect::<Outcome<_>>()?;
    wait_until("the held requests", LIMIT, || {
        held.load(Ordering::SeqCst) as usize == HELD
    })?;
    let kept = Load::here(LoadOptions::new(side.address, CLIENTS as usize));
    let closing = Load::here(LoadOptions {
        keep_alive: false,
        ..LoadOptions::new(side.address, CLIENTS as usize)
    });
    wait_until("the load", LIMIT, || {
        kept.completed() > 500 && closing.completed() > 100
    })?;
    let asked_before: u64 = side.stat("f", "FRONTEND", "req_tot")?.parse().unwrap_or(0);
    let old = side.serving();
    send(old, Signal::SIGKILL)?;
    let killed = Instant::now();
    // One that comes right after the death: it is not refused, and its answer tells when service is back.
    let answer = side.get("/", &[])?;
    let back = killed.elapsed();
    ensure!(
        answer.status == 200,
        "the first answer is {}",
        answer.status
    );
    let (at, at_closing) = (kept.completed(), closing.completed());
    wait_until("the load to go on", LIMIT, || {
        kept.completed() > at + 500 && closing.completed() > at_closing + 100
    })?;
    for (name, load) in [("kept", kept), ("closing", closing)] {
        let tally = load.finish();
        ensure!(
            tally.failures() <= CLIENTS,
            "{name}: more than the {CLIENTS} requests in flight failed: {:?}",
            tally.failed
        );
        ensure!(
            tally
                .failed
                .keys()
                .all(|reason| !reason.starts_with("connect")
                    && !reason.starts_with("status")
                    && !reason.contains("in time")),
            "{name}: {:?}",
            tally.failed
        );
        println!(
            "{name}: {} completed, {:?} failed",
            tally.completed, tally.failed
        );
    }
    for (name, streams) in [("held", waiting), ("idle", idle)] {
        for mut stream in streams {
            let rest = tandem_tests::beside::read_all(&mut stream);
            ensure!(
                rest.is_empty(),
                "{name}: {:?}",
                String::from_utf8_lossy(&rest)
            );
        }
    }
    ensure!(side.serving() != old, "the dead worker serves");
    // What the operator wanted is remembered, and the counters go on.
    let weight = side.stat("b", "s1", "weight")?;
    ensure!(weight == "3", "the weight is {weight}");
    let asked: u64 = side.stat("f", "FRONTEND", "req_tot")?.parse().unwrap_or(0);
    ensure!(
        asked >= asked_before,
        "{asked_before} requests were counted before, {asked} now"
    );
    // Of the dead worker's connections none is left in the figures but those of the last moment.
    side.wait_stat("f", "FRONTEND", "scur", "0")?;
    Ok(back)
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

/// HAProxy reads its file again for each worker, so what an operator sets after the file was written is lost there.
#[test]
fn a_reload_hands_over_what_is_newer_than_the_state_file() -> Outcome {
    require!("tandemd");
    let port = answering()?;
    let folder = tempfile::tempdir()?;
    let state = folder.path().join("state");
    let row = format!(
        "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
         srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state \
         bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr \
         srv_agent_addr srv_agent_port\n3 b 1 s1 127.0.0.1 2 0 3 7 1 1 0 2 0 0 0 0 - {port} - 0 0 - - 0\n"
    );
    std::fs::write(&state, row)?;
    let side = Side::start_in(
        Which::Tandem,
        &format!(
            "global:server-state-file {{dir}}/state\nfrontend f\n bind {{in}}\n default_backend b\nbackend b\n \
             load-server-state-from-file global\n server s1 127.0.0.1:{port} weight 7\n"
        ),
        folder,
    )?;
    side.wait_stat("b", "s1", "weight", "3")?;
    side.command("set weight b/s1 5")?;
    let answer = side.command("reload")?;
    ensure!(answer.contains("Success=1"), "reload says {answer}");
    side.wait_stat("b", "s1", "weight", "5")?;
    // A worker that was killed is followed by one that knows, too.
    wait_until(
        "the change to be known outside of the worker",
        LIMIT,
        || {
            let serving = side.serving();
            send(serving, Signal::SIGKILL).is_ok()
                && side.wait_stat("b", "s1", "weight", "5").is_ok()
                && side.serving() != serving
        },
    )?;
    Ok(())
}

/// HAProxy forgets them too: whoever wants an entry to last writes it into the file, and the file is the truth.
#[test]
fn a_reload_and_a_death_read_lists_and_maps_from_their_files_again() -> Outcome {
    require!("tandemd");
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("a.map"), "/a file\n")?;
    std::fs::write(folder.path().join("b.lst"), "/b\n")?;
    let side = Side::start_in(
        Which::Tandem,
        "frontend f\n bind {in}\n acl B path -f {dir}/b.lst\n http-request set-map({dir}/a.map) /r rule if { path /set }\n \
         http-request set-var(txn.b) str(yes) if B\n \
         http-request return status 200 content-type text/plain lf-string \"%[path,map({dir}/a.map,none)] %[var(txn.b)]\"\n",
        folder,
    )?;
    let seen = || -> Outcome<Vec<String>> {
        let body = |path| Ok(side.get(path, &[])?.body.trim().to_owned());
        ["/a", "/n", "/r", "/b", "/c"]
            .into_iter()
            .map(body)
            .collect()
    };
    let (map, list) = (
        side.folder().join("a.map").display().to_string(),
        side.folder().join("b.lst").display().to_string(),
    );
    let of_files = ["file", "none", "none", "none yes", "none"];
    for (what, reload) in [("a reload", true), ("a death", false)] {
        ensure!(seen()? == of_files, "before {what}: {:?}", seen()?);
        for change in [
            format!("set map {map} /a changed"),
            format!("add map {map} /n new"),
            format!("add acl {list} /c"),
            format!("del acl {list} /b"),
        ] {
            let answer = side.command(&change)?;
            ensure!(answer.trim().is_empty(), "{change}: {answer}");
        }
        side.get("/set", &[])?;
        let changed = ["changed", "new", "rule", "none", "none yes"];
        ensure!(seen()? == changed, "changed: {:?}", seen()?);
        let old = side.serving();
        if reload {
            let answer = side.command("reload")?;
            ensure!(answer.contains("Success=1"), "reload says {answer}");
            wait_until("the old worker to leave", LIMIT, || !is_alive(old))?;
        } else {
            // As the filter of system calls kills it: the log says so, and what can be done.
            send(old, Signal::SIGSYS)?;
            wait_until("the reason of its death", LIMIT, || {
                let said = side.output();
                said.contains("killed by SIGSYS") && said.contains("'insecure-no-confinement'")
            })?;
        }
        wait_for(&format!("what the files say after {what}"), LIMIT, || {
            let after = seen().map_err(|error| error.to_string())?;
            match after == of_files {
                true => Ok(()),
                false => Err(format!("{after:?}")),
            }
        })?;
    }
    Ok(())
}

/// A field of `show info`.
fn info(side: &Side, name: &str) -> Outcome<String> {
    let text = side.command("show info")?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    Ok(value.unwrap_or_default().to_owned())
}

/// HAProxy's state file knows servers alone; what else operators set is forgotten there with a reload.
#[test]
fn a_reload_keeps_limits_rates_closed_frontends_and_where_checks_go() -> Outcome {
    require!("tandemd");
    let (up, told) = (answering()?, Arc::new(Mutex::new(String::new())));
    let heard = Arc::clone(&told);
    let agent = scripted(move |mut stream, _| {
        let text = tandem_tests::beside::read_until(&mut stream, "tandem");
        *heard.lock().expect("no panic elsewhere") = text;
        let _ = std::io::Write::write_all(&mut stream, b"up\n");
    })?;
    let text = |limit: u32| {
        format!(
            "global:maxconnrate 500\nfrontend f\n bind {{in}}\n maxconn {limit}\n default_backend b\n\
             frontend g\n bind {{in2}}\n default_backend b\n\
             backend b\n server s1 127.0.0.1:{up} check inter 60s agent-check agent-port 1 agent-inter 200ms\n \
             server s2 127.0.0.1:{up} check inter 60s port {up}\n"
        )
    };
    let side = Side::start(Which::Tandem, &text(100))?;
    side.wait_stat("f", "FRONTEND", "slim", "100")?;
    let state = |server: &str, column: usize| -> Outcome<String> {
        let text = side.command("show servers state")?;
        let row = text.lines().find(|line| {
            line.contains(&format!(" b 1 {server} ")) || line.contains(&format!(" {server} 127."))
        });
        let words: Vec<&str> = row.unwrap_or_default().split(' ').collect();
        Ok(words.get(column).copied().unwrap_or_default().to_owned())
    };
    // Columns of `show servers state` (management manual 9.3): check port, check address, agent address, agent port.
    type Look<'a> = Box<dyn Fn() -> Outcome<String> + 'a>;
    let rows: Vec<(String, Look<'_>, String)> = vec![
        (
            "set maxconn frontend f 33".into(),
            Box::new(|| side.stat("f", "FRONTEND", "slim")),
            "33".into(),
        ),
        (
            "set maxconn global 777".into(),
            Box::new(|| info(&side, "Maxconn")),
            "777".into(),
        ),
        (
            "set rate-limit connections global 55".into(),
            Box::new(|| info(&side, "ConnRateLimit")),
            "55".into(),
        ),
        (
            "set rate-limit sessions global 56".into(),
            Box::new(|| info(&side, "SessRateLimit")),
            "56".into(),
        ),
        (
            "set rate-limit ssl-sessions global 57".into(),
            Box::new(|| info(&side, "SslRateLimit")),
            "57".into(),
        ),
        (
            "disable frontend g".into(),
            Box::new(|| side.stat("g", "FRONTEND", "status")),
            "MAINT".into(),
        ),
        (
            format!("set server b/s1 check-addr 127.0.0.1 port {agent}"),
            Box::new(|| state("s1", 21)),
            agent.to_string(),
        ),
        (
            String::new(),
            Box::new(|| state("s1", 22)),
            "127.0.0.1".into(),
        ),
        (
            "set server b/s1 agent-addr 127.0.0.1".into(),
            Box::new(|| state("s1", 23)),
            "127.0.0.1".into(),
        ),
        (
            format!("set server b/s1 agent-port {agent}"),
            Box::new(|| state("s1", 24)),
            agent.to_string(),
        ),
        (
            "set server b/s1 agent-send tandem".into(),
            Box::new(|| Ok(String::new())),
            String::new(),
        ),
    ];
    let mut differences = Differences::default();
    for (command, ..) in rows.iter().filter(|(command, ..)| !command.is_empty()) {
        side.command(command)?;
    }
    for round in 0..3 {
        for (command, look, wanted) in &rows {
            differences.compare(
                &format!("round {round}: {command}"),
                wanted.clone(),
                look()?,
            );
        }
        let answer = side.command("reload")?;
        ensure!(answer.contains("Success=1"), "reload says {answer}");
    }
    told.lock().expect("no panic elsewhere").clear();
    wait_until("the agent to be sent what was set", LIMIT, || {
        told.lock().is_ok_and(|told| *told == "tandem")
    })?;
    // What the file changes wins over what was set against its old text; the rest stays.
    let file = side.folder().join("side.cfg");
    let changed = std::fs::read_to_string(&file)?.replace(" maxconn 100", " maxconn 101");
    std::fs::write(&file, changed)?;
    side.command("reload")?;
    differences.compare(
        "a limit that the file changed",
        "101".to_owned(),
        side.stat("f", "FRONTEND", "slim")?,
    );
    differences.compare("another limit", "777".to_owned(), info(&side, "Maxconn")?);
    side.command("enable frontend g")?;
    side.command("reload")?;
    differences.compare(
        "an opened frontend",
        "OPEN".to_owned(),
        side.stat("g", "FRONTEND", "status")?,
    );
    differences.none()
}

/// A change between the state that a new worker starts with and its taking over was made in the old one alone.
#[test]
fn a_change_made_while_a_new_worker_starts_is_not_lost() -> Outcome {
    require!("tandemd");
    let port = answering()?;
    let side = Side::start(
        Which::Tandem,
        &format!(
            "frontend f\n bind {{in}}\n stats uri /stats\n stats admin if TRUE\n default_backend b\n\
             backend b\n server s1 127.0.0.1:{port} weight 1\n server-template t 1-500 127.0.0.1:{port}\n"
        ),
    )?;
    side.wait_stat("b", "s1", "weight", "1")?;
    let mut drained = 0;
    for round in 0..10 {
        let done = side.output().matches("configuration reloaded").count();
        send(side.pid(), Signal::SIGUSR2)?;
        let (mut weight, first) = (0, drained);
        let is_over = || side.output().matches("configuration reloaded").count() > done;
        let deadline = Instant::now() + LIMIT;
        while !is_over() && Instant::now() < deadline {
            weight = weight % 200 + 1;
            let answer = side.command(&format!("set weight b/s1 {weight}"))?;
            ensure!(answer.trim().is_empty(), "round {round}: {answer}");
            drained += 1;
            let body = format!("s=t{drained}&action=drain&b=b");
            let request = format!(
                "POST /stats HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let answer = String::from_utf8_lossy(&side.exchange(request.as_bytes())?).into_owned();
            ensure!(answer.contains("st=DONE"), "round {round}: {answer}");
        }
        ensure!(weight > 1, "round {round}: no change was made meanwhile");
        side.wait_stat("b", "s1", "weight", &weight.to_string())?;
        for server in first + 1..=drained {
            side.wait_stat("b", &format!("t{server}"), "status", "DRAIN")?;
        }
    }
    Ok(())
}

/// A new worker that could not be told in time what the old one had counted began with older figures, and the difference was
/// lost: 17,413 of 660,792 requests in a run of 1,000 reloads.
#[test]
fn counters_lose_nothing_when_a_reload_does_not_wait_for_them() -> Outcome {
    require!("tandemd");
    let port = answering()?;
    let side = Side::start(
        Which::Tandem,
        &format!(
            "frontend f\n bind {{in}}\n default_backend b\nbackend b\n server s1 127.0.0.1:{port}\n"
        ),
    )?;
    side.wait_stat("b", "s1", "weight", "1")?;
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", side.pid()))?;
    let is_control = |pid: &i32| {
        std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|name| name.trim() == "tandemd-control")
    };
    let mut children = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    let Some(control) = children.find(is_control) else {
        return Err(tandem_tests::Failure::new("no control process"));
    };
    let mut asked = 0;
    for round in 0..2 {
        for _ in 0..7 {
            side.get("/", &[])?;
            asked += 1;
        }
        send(control, Signal::SIGSTOP)?;
        send(side.pid(), Signal::SIGUSR2)?;
        wait_until("the new worker to serve", LIMIT, || {
            side.output().matches("configuration reloaded").count() > round
        })?;
        send(control, Signal::SIGCONT)?;
        ensure!(
            side.output().matches("not known in time").count() == round + 1,
            "the state was known: {}",
            side.output()
        );
        side.wait_stat("f", "FRONTEND", "req_tot", &asked.to_string())?;
        side.wait_stat("b", "s1", "stot", &asked.to_string())?;
    }
    Ok(())
}
