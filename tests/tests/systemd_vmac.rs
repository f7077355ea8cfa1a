//! Virtual MACs inside the unit's walls: the reverse path filter of all interfaces is in their way, and may be changed; no
//! other setting of the kernel may.

use std::time::Duration;

use tandem_tests::machine::Machine;
use tandem_tests::wait::wait_for;
use tandem_tests::{Outcome, ensure, require};

const LIMIT: Duration = Duration::from_secs(20);

const KEEPALIVED: &str = "\
vrrp_instance VI_1 {
    version 3
    state BACKUP
    interface eth0
    use_vmac
    virtual_router_id 51
    priority 100
    advert_int 0.1
    virtual_ipaddress {
        10.230.137.100/32
    }
}
";

#[test]
fn virtual_macs_work_inside_of_the_unit() -> Outcome {
    require!("root", "users", "systemd-nspawn", "tandemd", "tandem");
    let machine = Machine::boot_to_install()?;
    let outcome = the_unit(&machine);
    if outcome.is_err() {
        let journal = machine.shell("journalctl --no-pager -u tandem | tail -50");
        eprintln!("{}", journal.unwrap_or_else(|failure| failure.to_string()));
    }
    outcome
}

/// `net.ipv4.conf.NAME.rp_filter`.
fn filter(machine: &Machine, name: &str) -> Outcome<String> {
    let path = format!("/proc/sys/net/ipv4/conf/{name}/rp_filter");
    Ok(machine.exec("cat", &[&path])?.trim().to_owned())
}

fn the_unit(machine: &Machine) -> Outcome {
    machine.shell(&format!(
        "rm -rf /etc/haproxy/haproxy.cfg /etc/tandem; mkdir -p /etc/keepalived; cat > /etc/keepalived/keepalived.conf <<'END'\n{KEEPALIVED}END\n\
         cd /opt/repository && packaging/install.sh '' /usr/local /opt/programs; systemctl daemon-reload"
    ))?;
    machine.shell(
        "ip link add eth0 type veth peer name peer0; ip link set eth0 up; ip link set peer0 up; ip addr add 10.230.137.1/16 dev eth0; \
         echo 0 > /proc/sys/net/ipv4/conf/eth0/rp_filter; echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter",
    )?;
    let probe = machine.output(
        "ip",
        &[
            "link", "add", "probe0", "link", "eth0", "type", "macvlan", "mode", "private",
        ],
    )?;
    if !probe.status.success() {
        println!("SKIPPED: the kernel has no macvlan");
        return Ok(());
    }
    machine.exec("ip", &["link", "delete", "probe0"])?;
    machine.exec("systemctl", &["start", "tandem"])?;
    wait_for("the address on the virtual interface", LIMIT, || {
        let found = machine.shell("ip -o addr show dev vrrp.51");
        let found = found.map_err(|error| error.to_string())?;
        match found.contains("10.230.137.100") {
            true => Ok(()),
            false => Err(found),
        }
    })?;
    let journal = machine.shell("journalctl --no-pager -u tandem")?;
    ensure!(!journal.contains("rp_filter"), "{journal}");
    ensure!(
        filter(machine, "all")? == "0" && filter(machine, "eth0")? == "1",
        "the filter of all is {}, of eth0 {}",
        filter(machine, "all")?,
        filter(machine, "eth0")?
    );
    // The same for a bare tandemd: what the unit opens is this folder alone.
    let main = machine.property("tandem", "MainPID")?;
    let write = |path: &str| {
        let line = format!("value=$(cat {path}) && echo $value > {path}");
        machine.output(
            "nsenter",
            &["--target", &main, "--mount", "--", "sh", "-c", &line],
        )
    };
    ensure!(
        write("/proc/sys/net/ipv4/conf/all/rp_filter")?
            .status
            .success(),
        "the folder is not open"
    );
    for path in [
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/net/core/somaxconn",
    ] {
        ensure!(
            !write(path)?.status.success(),
            "the daemon may write {path}"
        );
    }
    machine.exec("systemctl", &["stop", "tandem"])?;
    ensure!(
        filter(machine, "all")? == "1" && filter(machine, "eth0")? == "0",
        "the filter is not as it was: all {}, eth0 {}",
        filter(machine, "all")?,
        filter(machine, "eth0")?
    );
    let left = machine.shell("ip -o link show")?;
    ensure!(!left.contains("vrrp.51"), "{left}");
    Ok(())
}
