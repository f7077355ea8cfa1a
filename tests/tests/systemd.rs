//! The unit under a real systemd: installed by the installer, started, reloaded, watched, stopped.

use std::time::Duration;

use tandem_tests::machine::Machine;
use tandem_tests::wait::wait_for;
use tandem_tests::{Outcome, article, ensure, require};

const LIMIT: Duration = Duration::from_secs(20);

/// A proxy that answers by itself, and what it answers.
fn configuration(answer: &str) -> String {
    format!(
        "defaults\n  mode http\n  timeout connect 1s\n  timeout client 10s\n  timeout server 10s\n\
         frontend main\n  bind 127.0.0.1:8080\n  http-request return status 200 content-type text/plain string {answer}\n"
    )
}

fn configure(machine: &Machine, text: &str) -> Outcome {
    machine
        .shell(&format!(
            "mkdir -p /etc/haproxy; cat > /etc/haproxy/haproxy.cfg <<'END'\n{text}END\n"
        ))
        .map(drop)
}

fn wait_answer(machine: &Machine, wanted: &str) -> Outcome {
    wait_for(&format!("the answer {wanted:?}"), LIMIT, || {
        let answer = machine
            .shell("curl -s --noproxy '*' --max-time 2 http://127.0.0.1:8080/")
            .map_err(|error| error.to_string())?;
        if answer.trim() == wanted {
            Ok(())
        } else {
            Err(answer)
        }
    })
}

fn wait_state(machine: &Machine, wanted: &str) -> Outcome {
    wait_for(&format!("the unit to be {wanted}"), LIMIT, || {
        let state = machine
            .property("tandem", "ActiveState")
            .map_err(|error| error.to_string())?;
        if state == wanted { Ok(()) } else { Err(state) }
    })
}

#[test]
fn the_unit_starts_reloads_is_watched_and_stops() -> Outcome {
    require!(
        "root",
        "users",
        "systemd-nspawn",
        "curl",
        "tandemd",
        "tandem"
    );
    let machine = Machine::boot_to_install()?;
    let outcome = the_unit(&machine);
    if outcome.is_err() {
        let journal = machine.shell(
            "journalctl --no-pager -u tandem | tail -50; systemctl status --no-pager tandem",
        );
        eprintln!("{}", journal.unwrap_or_else(|failure| failure.to_string()));
    }
    outcome
}

fn the_unit(machine: &Machine) -> Outcome {
    machine.shell("rm -rf /etc/keepalived/keepalived.conf /etc/tandem/*.cfg /etc/tandem/*.conf; cd /opt/repository && packaging/install.sh '' /usr/local /opt/programs")?;
    configure(machine, &configuration("first"))?;
    machine.exec("systemctl", &["daemon-reload"])?;
    let verified =
        machine.shell("systemd-analyze verify tandem.service 2>&1 | grep -i tandem || true")?;
    ensure!(
        verified.trim().is_empty(),
        "systemd-analyze verify says: {verified}"
    );

    for manual in ["man8/tandemd.8", "man1/tandem.1"] {
        machine.shell(&format!("grep -q '^.TH' /usr/local/share/man/{manual}"))?;
    }

    machine.exec("systemctl", &["start", "tandem"])?;
    wait_state(machine, "active")?;
    wait_answer(machine, "first")?;
    let main = machine.property("tandem", "MainPID")?;
    println!("status: {}", machine.property("tandem", "StatusText")?);
    machine.exec("tandem", &["status"])?;

    configure(machine, &configuration("second"))?;
    machine.exec("systemctl", &["reload", "tandem"])?;
    wait_state(machine, "active")?;
    wait_answer(machine, "second")?;
    ensure!(
        machine.property("tandem", "MainPID")? == main,
        "a reload must not change the main process"
    );

    // A broken file: the reload is refused or says so, and what runs goes on.
    configure(machine, "frontend main\n  bidn 127.0.0.1:8080\n")?;
    let _ = machine.output("systemctl", &["reload", "tandem"])?;
    wait_state(machine, "active")?;
    wait_answer(machine, "second")?;
    let journal = machine.shell("journalctl --no-pager -u tandem")?;
    ensure!(
        journal.contains("bidn"),
        "the journal does not tell of the broken line:\n{journal}"
    );
    configure(machine, &configuration("second"))?;

    // The watchdog: a daemon that hangs is replaced.
    let watchdog_usec = machine.property("tandem", "WatchdogUSec")?;
    ensure!(
        watchdog_usec != "0" && watchdog_usec != "infinity",
        "the unit has no watchdog: {watchdog_usec}"
    );
    machine.shell(&format!("kill -STOP {main}"))?;
    wait_for(
        "the watchdog to restart the unit",
        Duration::from_secs(120),
        || {
            let now = machine
                .property("tandem", "MainPID")
                .map_err(|error| error.to_string())?;
            let state = machine
                .property("tandem", "ActiveState")
                .map_err(|error| error.to_string())?;
            if now != main && now != "0" && state == "active" {
                Ok(())
            } else {
                Err(format!("{state}, main process {now}"))
            }
        },
    )?;
    wait_answer(machine, "second")?;

    the_articles_files(machine)?;

    machine.exec("systemctl", &["stop", "tandem"])?;
    wait_state(machine, "inactive")?;
    let left = machine.shell("pgrep -a tandemd || true")?;
    ensure!(left.trim().is_empty(), "processes are left: {left}");
    ensure!(
        machine.property("tandem", "Result")? == "success",
        "the stop was not clean: {}",
        machine.property("tandem", "Result")?
    );
    Ok(())
}

/// The article's pair of files inside of the unit's walls: chroot and user, the address, a drain by `tandem`, and the death of
/// all processes at once.
fn the_articles_files(machine: &Machine) -> Outcome {
    machine.shell(
        "ip link add eth0 type veth peer name peer0; ip link set eth0 up; ip link set peer0 up; ip addr add 10.230.137.1/16 dev eth0; \
         grep -q host1 /etc/hosts || printf '127.0.0.1 host1\n127.0.0.1 host2\n' >> /etc/hosts",
    )?;
    for (path, text) in [
        ("/etc/haproxy/haproxy.cfg", article::haproxy()),
        ("/etc/keepalived/keepalived.conf", article::keepalived()),
    ] {
        machine.shell(&format!(
            "mkdir -p $(dirname {path}); cat > {path} <<'END'\n{text}END\n"
        ))?;
    }
    machine.exec("systemctl", &["restart", "tandem"])?;
    wait_address(machine, true)?;
    let worker = machine.shell("pgrep -x tandemd-worker")?;
    let worker = worker.trim();
    let user = machine.shell(&format!(
        "ps -o user= -p {worker}; readlink /proc/{worker}/root"
    ))?;
    ensure!(
        user.contains("haproxy") && user.contains("/var/lib/haproxy"),
        "the worker is {user}"
    );
    machine.exec("tandem", &["drain", "nginx/web1"])?;
    let servers = machine.exec("tandem", &["servers"])?;
    ensure!(servers.contains("DRAIN"), "no drain: {servers}");

    // Killed all at once, nobody can remove the address: the unit does, and starts it again.
    let main = machine.property("tandem", "MainPID")?;
    // Else vrrp is quick enough to see the supervisor's end and to remove it.
    machine.shell("kill -STOP $(pgrep -x tandemd-vrrp)")?;
    machine.exec("systemctl", &["kill", "--signal=KILL", "tandem"])?;
    wait_for("another main process", LIMIT, || {
        let now = machine
            .property("tandem", "MainPID")
            .map_err(|error| error.to_string())?;
        if now != main && now != "0" {
            Ok(())
        } else {
            Err(now)
        }
    })?;
    wait_address(machine, true)?;
    let journal = machine.shell("journalctl --no-pager -u tandem")?;
    ensure!(
        journal.contains("removed 10.230.137.100"),
        "the unit did not clean up:\n{journal}"
    );
    machine.exec("systemctl", &["stop", "tandem"])?;
    wait_address(machine, false)?;
    machine.exec("systemctl", &["start", "tandem"])?;
    wait_address(machine, true)?;
    a_restart_keeps_the_address(machine)
}

/// The drop-in of tandemd(8): an address that is kept is taken over, and never removed, by the unit's own cleanup either.
fn a_restart_keeps_the_address(machine: &Machine) -> Outcome {
    machine.shell(
        "mkdir -p /etc/systemd/system/tandem.service.d; \
         printf '[Service]\\nExecStart=\\nExecStart=/usr/local/sbin/tandemd -db --keep-addresses\\n' \
         > /etc/systemd/system/tandem.service.d/keep.conf; systemctl daemon-reload",
    )?;
    machine.exec("systemctl", &["restart", "tandem"])?;
    wait_address(machine, true)?;
    machine.shell("ip -o monitor address > /run/changes 2>&1 & sleep 0.2")?;
    machine.exec("systemctl", &["restart", "tandem"])?;
    wait_for("the kept address to be taken over", LIMIT, || {
        let shown = machine
            .exec("tandem", &["show", "vrrp"])
            .or_else(|_| machine.shell("journalctl --no-pager -u tandem"))
            .map_err(|error| error.to_string())?;
        let journal = machine.shell("journalctl --no-pager -u tandem");
        match journal.is_ok_and(|text| text.contains("the last daemon kept the addresses")) {
            true => Ok(()),
            false => Err(shown),
        }
    })?;
    let changes = machine.shell("cat /run/changes")?;
    let removed = |line: &str| line.starts_with("Deleted") && line.contains("10.230.137.100");
    ensure!(
        !changes.lines().any(removed),
        "the address was removed:\n{changes}"
    );
    machine.shell("rm -r /etc/systemd/system/tandem.service.d; systemctl daemon-reload")?;
    machine.exec("systemctl", &["restart", "tandem"]).map(drop)
}

fn wait_address(machine: &Machine, wanted: bool) -> Outcome {
    wait_for(&format!("the address to be there: {wanted}"), LIMIT, || {
        let found = machine
            .shell("ip -o addr show dev eth0")
            .map_err(|error| error.to_string())?;
        if found.contains("10.230.137.100") == wanted {
            Ok(())
        } else {
            Err(found)
        }
    })
}
