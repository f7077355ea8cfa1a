//! Ten thousand connections that send nothing: everybody else is served, they end by the time of a request's head, and what
//! they took is given back.

use std::net::TcpStream;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tandem_tests::beside::{Side, Which, connect, read_all};
use tandem_tests::wait::wait_for;
use tandem_tests::{Load, LoadOptions, Origin, Outcome, ensure, require};

const SILENT: usize = 10_000;
/// Longer than it takes to open them all.
const HEAD_TIME: &str = "12s";
const LIMIT: Duration = Duration::from_secs(60);
/// Memory of one such connection in the worker while it is silent, and what each may have taken for its end: the allocator
/// keeps that for the next ones. That it does not grow with every storm is the soak's to show.
const EACH_BYTES: u64 = 4 * 1024;
const ENDED_BYTES: u64 = 8 * 1024;
/// Descriptors of the test itself beside its connections.
const OWN_DESCRIPTORS: u64 = 500;

/// Resident memory in KiB.
pub(crate) fn resident_kib(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    text.lines()
        .find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0)
}

/// A value of `show info`.
pub(crate) fn info(side: &Side, name: &str) -> Outcome<u64> {
    let text = side.command("show info")?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok());
    value.ok_or_else(|| tandem_tests::Failure::new(format!("no {name} in {text}")))
}

/// Takes as many descriptors as this needs, or as this process may have; programs that it starts inherit them. How many
/// silent connections fit: the proxy keeps two descriptors for each.
pub(crate) fn raise_limit() -> Outcome<usize> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = 2 * SILENT as u64 + 5_000;
    if hard < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_ok() {
        return Ok(SILENT);
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(SILENT.min((hard / 2).saturating_sub(OWN_DESCRIPTORS) as usize))
}

#[test]
fn ten_thousand_silent_connections_disturb_nobody_and_leave_nothing() -> Outcome {
    require!("tandemd");
    let count = raise_limit()?;
    let origin = Origin::on_loopback("o")?;
    let side = Side::start(
        Which::Tandem,
        &format!(
            "global:maxconn 11000\n timeout client 30s\n timeout http-request {HEAD_TIME}\nfrontend f\n bind {{in}}\n default_backend b\nbackend b\n server s1 127.0.0.1:{}\n",
            origin.port()
        ),
    )?;
    // What a first load makes it hold is no growth.
    Load::here(LoadOptions::new(side.address, 8)).finish();
    let worker = side.serving();
    let idle = |what: &str| {
        wait_for(what, LIMIT, || {
            let found = (
                side.descriptors(),
                side.stat("f", "FRONTEND", "scur")
                    .map_err(|error| error.to_string())?,
                info(&side, "CurrConns").map_err(|error| error.to_string())?,
                sessions(&side).map_err(|error| error.to_string())?,
            );
            if found.1 == "0" && found.2 == 0 && found.3 == 0 {
                Ok(found.0)
            } else {
                Err(format!("{found:?}"))
            }
        })
    };
    idle("the first load to end")?;
    // Kept connections to the server stay for some seconds, or not.
    let descriptors = side.descriptors();
    let before_kib = resident_kib(worker);
    let mut after = Vec::new();
    for round in 1..=2 {
        let refused: u64 = side.stat("f", "FRONTEND", "hrsp_4xx")?.parse().unwrap_or(0);
        let began = std::time::Instant::now();
        let silent: Vec<TcpStream> = (0..count)
            .map(|_| connect(side.address))
            .collect::<Outcome<_>>()?;
        println!("round {round}: opened in {:?}", began.elapsed());
        wait_for("all of them to be counted", LIMIT, || {
            let now = info(&side, "CurrConns").map_err(|error| error.to_string())?;
            if now >= count as u64 {
                Ok(())
            } else {
                Err(now.to_string())
            }
        })?;
        let each = resident_kib(worker).saturating_sub(before_kib) * 1024 / count as u64;
        let bound = if round == 1 { EACH_BYTES } else { ENDED_BYTES };
        let listed = sessions(&side)?;
        let load = Load::here(LoadOptions::new(side.address, 8));
        wait_for("500 requests of others", LIMIT, || match load.completed() {
            done if done >= 500 => Ok(()),
            done => Err(done.to_string()),
        })?;
        ensure!(
            info(&side, "CurrConns")? >= count as u64,
            "the silent ones ended before the others were served"
        );
        let tally = load.finish();
        ensure!(tally.failures() == 0, "others failed: {:?}", tally.failed);
        ensure!(listed >= count, "show sess lists {listed} of {count}");
        ensure!(each <= bound, "{each} bytes for each silent connection");
        println!("round {round}: {count} silent connections, {each} bytes each");
        for mut stream in silent {
            let got = String::from_utf8_lossy(&read_all(&mut stream)).into_owned();
            ensure!(
                got.starts_with("HTTP/1.1 408 "),
                "a silent connection got {got:?}"
            );
        }
        idle("nobody to be there")?;
        let counted: u64 = side.stat("f", "FRONTEND", "hrsp_4xx")?.parse().unwrap_or(0);
        ensure!(
            counted - refused == count as u64,
            "{} of {count} were counted as refused",
            counted - refused
        );
        let lines = side.wait_lines(" cR-- ", 1)?;
        ensure!(
            lines
                .iter()
                .all(|line| line.contains(" f/<NOSRV> -1/-1/-1/-1/") && line.contains(" 408 ")),
            "{:?}",
            lines.first()
        );
        side.forget();
        after.push(resident_kib(worker));
    }
    wait_for("the descriptors of before", LIMIT, || {
        match side.descriptors() {
            now if now <= descriptors => Ok(()),
            now => Err(format!("{now} of {descriptors}")),
        }
    })?;
    println!("worker: {before_kib} KiB before, {after:?} KiB after each round");
    let ended = ENDED_BYTES * count as u64 / 1024;
    ensure!(
        after.iter().all(|kib| *kib <= before_kib + ended),
        "{before_kib} KiB before, {after:?} KiB after each round"
    );
    Ok(())
}

/// How many sessions `show sess` lists, its own connection left out.
pub(crate) fn sessions(side: &Side) -> Outcome<usize> {
    let text = side.command("show sess")?;
    Ok(text.lines().filter(|line| line.contains("fe=f")).count())
}
