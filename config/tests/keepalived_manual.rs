//! Every keyword of keepalived.conf(5) that is not of LVS, with values that are right and some that are wrong: what the
//! installed keepalived runs with is no error here, and what it does not start with is complained about.

use std::process::Command;

use tandem_config::{DiagnosticKind as Kind, Input, Loaded, Severity, load};

const TOP: &str = r#"net_namespace foo
net_namespace_ipvs foo
namespace_with_ipsets
instance foo
use_pid_dir
linkbeat_use_polling
child_wait_time 5
linkbeat_interfaces { eth0 }
linkbeat_interfaces { eth0 ETHTOOL }
interface_up_down_delays { eth0 1 2 }
static_track_group G { group { A } }
track_group G { group { A } }
include /nonexistent.conf
includer /nonexistent.conf
includem /nonexistent.conf
includew /nonexistent*
includeb /non{a,b}
includea /nonexistent
garp_group { garp_interval 0.1 gna_interval 0.1 interface eth0 }
garp_group { interfaces { eth0 eth1 } }
garp_group { garp_interval 0.1
 interface eth0
}
track_file F { file "/nonexistent/f"
 weight 2 reverse
 init_file 3 overwrite
}
vrrp_track_file F { file "/nonexistent/f"
}
vrrp_track_process P { process "sleep" 1
 param_match initial
 weight 4 reverse
 quorum 1
 quorum_max 4
 fork_delay 1.5
 terminate_delay 1
 delay 2
 full_command
}
bfd_instance B { neighbor_ip 10.9.0.2
 source_ip 10.9.0.1
 min_rx 10
 min_tx 10
 idle_tx 1000
 multiplier 5
 passive
 ttl 255
 hoplimit 64
 max_hops 5
 weight 3 reverse
 vrrp
 checker
}
bfd_instance B { neighbour_ip 10.9.0.2
}
vrrp_script S { script "/bin/true"
 interval 2
 timeout 1
 weight 4 reverse
 rise 2
 fall 2
 user root root
 init_fail
}
vrrp_sync_group G { group { A }
 track_interface { eth0 }
 track_script { }
 notify_master /bin/true root
 notify_deleted
 notify_priority_changes on
 smtp_alert on
 global_tracking
 sync_group_tracking_weight
}
local_address_group L { 1.2.3.4 }
virtual_server_group V { 1.2.3.4 80 }
virtual_server 1.2.3.4 80 { }
SSL { password x }"#;

const WRONG_TOP: &str = r#"vrrp_script T { interval 3
}
vrrp_script T { script "/bin/true"
 interval abc
}
vrrp_script T { script "/bin/true"
 interval 0
}
vrrp_script T { script "/bin/true"
 timeout abc
}
vrrp_script T { script "/bin/true"
 weight 1000
}
vrrp_script T { script "/bin/true"
 weight abc
}
vrrp_script T { script "/bin/true"
 fall 0
}
vrrp_script T { script "/bin/true"
 rise abc
}
vrrp_script T { script "/bin/true"
 user nosuch
}
vrrp_script T { script /nonexistent/x
}
track_file T { weight 3
}
track_file T { file "/nonexistent/ff"
 weight abc
}
track_file T { file "/nonexistent/ff"
 init_file abc
}
vrrp_track_process T { quorum 1
}
vrrp_track_process T { process x
 quorum abc
}
vrrp_track_process T { process x
 weight 900
}
vrrp_track_process T { process x
 delay abc
}
bfd_instance X { neighbor_ip 10.9.0.2
 source_ip fe80::1
}
bfd_instance Y { neighbor_ip foo
}
bfd_instance Y { neighbor_ip 10.9.0.2
 source_ip foo
}
bfd_instance Y { neighbor_ip 10.9.0.2
 min_rx foo
}
vrrp_sync_group G { group { A Z }
}
vrrp_sync_group G { group { Z Y }
}
vrrp_sync_group G {
}
static_ipaddress { abc }
static_ipaddress { 10.9.9.9 dev nosuch }
static_routes { abc }
static_routes { 10.8.0.0/24 dev nosuch }
static_routes { 10.8.0.0/24 dev eth0 table nosuch }
static_routes { 10.8.0.0/24 dev eth0 metric abc }
static_routes { 10.8.0.0/24 via abc }
static_rules { from abc }
static_rules { from 10.8.0.0/24 table nosuch }
static_rules { from 10.8.0.0/24 fwmark abc }
static_rules { }
garp_group { garp_interval abc
 interface eth0
}
interface_up_down_delays { eth0 abc }
vrrp_instance A { interface eth0
 virtual_router_id 9
 virtual_ipaddress { 10.9.0.9 }
}
vrrp_instance B { interface eth0
 virtual_router_id 5
 virtual_ipaddress { 10.9.0.9 }
}
vrrp_instance B { interface eth0
 virtual_ipaddress { 10.9.0.9 }
}
vrrp_instance B { virtual_router_id 9
 virtual_ipaddress { 10.9.0.9 }
}
vrrp_instance B { interface eth0
 virtual_router_id 9
}
vrrp_instance
vrrp_script
vrrp_script {
}"#;

const GLOBAL: &str = r#"tmp_config_directory /tmp
config_save_dir /nonexistent/save
process_names
process_name x
vrrp_process_name x
checker_process_name x
bfd_process_name x
startup_script "/bin/true"
startup_script_timeout 5
shutdown_script "/bin/true"
shutdown_script_timeout 5
notification_email { a@b }
notification_email_from a@b
smtp_server 127.0.0.1 25
smtp_helo_name x
smtp_connect_timeout 30
smtp_alert on
smtp_alert_vrrp on
smtp_alert_checker on
checker_log_all_failures on
no_email_faults
router_id x
vrrp_mcast_group4 224.0.0.18
vrrp_mcast_group6 ff02::12
default_interface eth0
lvs_sync_daemon eth0
lvs_timeouts tcp 5
lvs_flush
lvs_flush_on_stop VS
vrrp_garp_master_delay 10
vrrp_garp_master_repeat 1
vrrp_garp_lower_prio_delay 10
vrrp_down_timer_adverts 4
vrrp_garp_lower_prio_repeat 1
vrrp_garp_master_refresh 60
vrrp_garp_master_refresh_repeat 2
vrrp_garp_interval 0.001
vrrp_gna_interval 0.000001
vrrp_min_garp on
vrrp_min_garp
vrrp_garp_extra_if all 100
vrrp_garp_extra_if 100
vrrp_lower_prio_no_advert on
vrrp_lower_prio_no_advert
vrrp_higher_prio_send_advert
vrrp_version 3
nftables
nftables foo
nftables_priority 5
nftables_counters
nftables_ifindex
nftables_ipvs x
nftables_ipvs_priority 3
nftables_ipvs_start_fwmark 3
vrrp_iptables
vrrp_iptables INPUT
vrrp_iptables INPUT OUTPUT
vrrp_ipsets
vrrp_ipsets a b c d e
disable_local_igmp
vrrp_check_unicast_src
vrrp_skip_check_adv_addr
vrrp_strict
vrrp_notify_priority_changes on
max_auto_priority 50
max_auto_priority
max_auto_priority -1
min_auto_priority_delay 1000
vrrp_priority -10
vrrp_priority -30
checker_priority -10
bfd_priority -10
vrrp_no_swap
checker_no_swap
bfd_no_swap
vrrp_cpu_affinity 0 1
vrrp_cpu_affinity 0-1
checker_cpu_affinity 0
bfd_cpu_affinity 0
vrrp_rt_priority 50
vrrp_rt_priority 200
checker_rt_priority 50
bfd_rt_priority 50
vrrp_rlimit_rttime 10000
vrrp_rlimit_rttime 1
checker_rlimit_rttime 10000
bfd_rlimit_rttime 10000
snmp_socket udp:1.2.3.4:705
enable_snmp_vrrp
enable_snmp_keepalived
enable_snmp_checker
enable_snmp_rfc
enable_snmp_rfcv2
enable_snmp_rfcv3
enable_traps
enable_dbus
dbus_service_name org.x.y
script_user root root
enable_script_security
notify_fifo /nonexistent/fifo root root
notify_fifo_script "/bin/true" root
vrrp_notify_fifo /nonexistent/fifo1 root root
vrrp_notify_fifo_script /bin/true root
lvs_notify_fifo /nonexistent/fifo2
lvs_notify_fifo_script /bin/true
fifo_write_vrrp_states_on_reload
dynamic_interfaces
dynamic_interfaces allow_if_changes
vrrp_netlink_cmd_rcv_bufs 100000
vrrp_netlink_cmd_rcv_bufs_force on
vrrp_netlink_monitor_rcv_bufs 100000
vrrp_netlink_monitor_rcv_bufs_force on
lvs_netlink_cmd_rcv_bufs 100000
lvs_netlink_cmd_rcv_bufs_force on
lvs_netlink_monitor_rcv_bufs 100000
lvs_netlink_monitor_rcv_bufs_force on
process_monitor_rcv_bufs 100000
process_monitor_rcv_bufs_force on
vrrp_rx_bufs_policy MTU
vrrp_rx_bufs_policy ADVERT
vrrp_rx_bufs_policy 5000
vrrp_rx_bufs_policy foo
vrrp_rx_bufs_multiplier 3
rs_init_notifies
no_checker_emails
umask 022
umask 0x12
umask IRWXG|IRWXO
umask IWGRP | IWOTH
umask foo
vrrp_startup_delay 5.5
vrrp_delay_after_boot 5
log_unknown_vrids
vmac_prefix v
vmac_addr_prefix v
random_seed 5
random_seed x
reload_check_config
reload_check_config /nonexistent/log
include_check readable
include_check +match -wildcard_match
reload_time_file /nonexistent/rt
reload_repeat
reload_file
reload_file /nonexistent/rf
data_use_instance on
use_symlink_paths
lvs_id x
vrrp_version 4
vrrp_mcast_group4 10.1.1.1
vrrp_mcast_group4 abc
vrrp_mcast_group6 abc
vrrp_garp_master_delay abc
vrrp_garp_master_repeat abc
vrrp_garp_master_refresh abc
vrrp_garp_interval abc
vrrp_gna_interval abc
vrrp_garp_extra_if abc
vrrp_startup_delay abc
smtp_server
smtp_server 127.0.0.1 99999
smtp_server nosuchhost.invalid
smtp_connect_timeout abc
script_user nosuch
script_user
default_interface
default_interface nosuch
vrrp_down_timer_adverts 0
vrrp_strict maybe
vrrp_min_garp maybe
vrrp_skip_check_adv_addr maybe
router_id
notify_fifo
notify_fifo /nonexistent/x/y
vmac_prefix abcdefghijklmnopqrst
vrrp_lower_prio_no_advert maybe
fifo_write_vrrp_states_on_reload maybe
smtp_alert maybe
include_check foo"#;

const INSTANCE: &str = r#"state MASTER
vrf eth0
use_vmac
use_vmac v5
use_vmac v5 02:00:00:00:00:05
vmac_xmit_base
use_vmac_addr
use_ipvlan
use_ipvlan ipv5 10.9.0.7/24 bridge
native_ipv6
dont_track_primary
track_interface { eth1 weight 5 reverse }
track_script { S weight 4 noreverse }
mcast_src_ip 10.9.0.1
mcast_dst_ip 224.0.0.99
unicast_src_ip 10.9.0.1
track_src_ip
version 3
version 2
unicast_peer { 10.9.0.2 min_ttl 5 max_ttl 255 }
unicast_ttl 64
unicast_fault_no_peer
old_unicast_checksum never
v3_checksum_as_v2
garp_master_delay 10
garp_master_repeat 2
garp_lower_prio_delay 10
garp_lower_prio_repeat 2
garp_master_refresh 60
garp_master_refresh_repeat 2
garp_extra_if all 10
lower_prio_no_advert off
higher_prio_send_advert on
priority 255
advert_int 2
authentication { auth_type PASS
 auth_pass 1234
}
virtual_ipaddress_excluded { 10.9.0.6 dev eth1 label eth1:x scope link no_track }
virtual_ipaddress { 10.9.0.7/24 brd 10.9.0.255 dev eth0 scope global label eth0:1 peer 10.9.0.8 home }
virtual_ipaddress { 10.9.0.7/24 brd + }
virtual_ipaddress { 10.9.0.7/24 use_vmac }
promote_secondaries
virtual_routes { 10.8.0.0/24 via 10.9.0.9 dev eth0 track_group G }
accept
no_accept
nopreempt
preempt_delay 300
skip_check_adv_addr on
strict_mode off
debug 2
debug
notify_master /bin/true root root
notify_backup /bin/true
notify_fault "/bin/true a b"
notify_stop /bin/true
notify_deleted
notify /bin/true
notify_master_rx_lower_pri /bin/true
notify_priority_changes on
smtp_alert on
kernel_rx_buf_size 100000
linkbeat_use_polling
down_timer_adverts 4
timer_expired_backup 200
thread_timer_expired
check_unicast_src
lvs_sync_daemon_interface eth0
garp_interval 1
gna_interval 1
state BACKUPP
virtual_router_id 0
virtual_router_id 300
virtual_router_id abc
advert_int abc
advert_int 0
advert_int 300
advert_int
priority abc
priority 300
garp_master_delay abc
garp_master_repeat 0
garp_master_repeat abc
garp_master_refresh abc
garp_lower_prio_repeat abc
garp_lower_prio_delay abc
preempt_delay 5000
preempt_delay abc
down_timer_adverts 0
down_timer_adverts 200
higher_prio_send_advert maybe
lower_prio_no_advert maybe
smtp_alert maybe
version 4
version abc
mcast_src_ip abc
mcast_src_ip 10.9.0.77
unicast_src_ip abc
unicast_peer { abc }
unicast_peer { fe80::1 }
unicast_ttl 700
virtual_ipaddress { abc }
virtual_ipaddress { 10.9.0.7/64 }
virtual_ipaddress { 10.9.0.7 dev }
virtual_ipaddress { 10.9.0.7 scope foo }
virtual_ipaddress { 10.9.0.7 brd foo }
virtual_ipaddress { 10.9.0.7 foo }
virtual_ipaddress { 10.9.0.7 label }
virtual_ipaddress { fe80::9 }
virtual_ipaddress_excluded { abc }
authentication { auth_type FOO
 auth_pass x
}
authentication { auth_type PASS
}
authentication { auth_pass abc
}
track_interface { nosuch }
track_interface { eth0 weight 300 }
track_interface { eth0 weight abc }
track_script { S weight 300 }
track_script { S weight abc }
interface
interface nosuch
state
notify_master
notify_master /nonexistent
notify_master "/bin/true" nosuchuser
garp_extra_if abc
use_vmac foo xx
mcast_dst_ip 10.1.1.1
mcast_dst_ip abc
strict_mode maybe
skip_check_adv_addr maybe
accept
foo {
 bar
}"#;

const ROUTES: &str = r#"10.8.0.0/24 via 10.9.0.9 realms 5
10.8.0.0/24 via 10.9.0.9 realms 3/5
10.8.0.0/24 via 10.9.0.9 dev eth0 vrf blue
10.8.0.0/24 via 10.9.0.9 congctl reno
10.8.0.0/24 via 10.9.0.9 congctl lock cubic
10.8.0.0/24 via 10.9.0.9 expires 100
2001:db8:8::/64 dev eth0 expires 100
10.8.0.0/24 nhid 5
10.8.0.0/24 via 10.9.0.9 pref high
2001:db8:8::/64 dev eth0 pref high
10.8.0.0/24 via 10.9.0.9 ttl-propagate enabled
10.8.0.0/24 via 10.9.0.9 ttl-propagate
10.8.0.0/24 from 10.9.0.0/24 via 10.9.0.9
2001:db8:8::/64 from 2001:db8:9::/64 dev eth0
10.8.0.0/24 via 10.9.0.9 as to 100
10.8.0.0/24 via 10.9.0.9 as 100
10.8.0.0/24 encap mpls 100 via 10.9.0.9 dev eth0
10.8.0.0/24 encap mpls 100 ttl 5 via 10.9.0.9 dev eth0
10.8.0.0/24 encap ip id 5 dst 10.9.0.9 ttl 5 tos 4 dev eth0
10.8.0.0/24 encap ip6 id 5 dst 2001:db8::9 dev eth0
10.8.0.0/24 encap ila 1:2:3:4 dev eth0
10.8.0.0/24 encap seg6 mode encap segs 2001:db8::1,2001:db8::2 dev eth0
2001:db8:8::/64 encap seg6 mode inline segs 2001:db8::1 dev eth0
10.8.0.0/24 encap bpf xmit obj x section y dev eth0
10.8.0.0/24 nexthop via 10.9.0.9 realms 5 nexthop via 10.9.0.8 weight 2
10.8.0.0/24 nexthop via 10.9.0.9 as 5 nexthop via 10.9.0.8 weight 2
10.8.0.0/24 nexthop via 10.9.0.9 encap mpls 5 nexthop via 10.9.0.8 weight 2
10.8.0.0/24 via 10.9.0.9 features ecn add
10.8.0.0/24 via 10.9.0.9 features foo
10.8.0.0/24 via 10.9.0.9 mtu lock 1000
10.8.0.0/24 via 10.9.0.9 hoplimit 100 advmss 101 rtt 102 rttvar 103 reordering 104 window 105 cwnd 106 ssthresh lock 107 rto_min 108 initcwnd 109 initrwnd 110 quickack 1
10.8.0.0/24 via 10.9.0.9 fastopen_no_cookie 1
10.8.0.0/24 src 10.9.0.1 via 10.9.0.9 or 10.9.0.8
10.8.0.0/24 gw 10.9.0.9
multicast 224.5.0.0/24 dev eth0
nat 10.8.0.0/24 via 10.9.0.9
xresolve 10.8.0.0/24 dev eth0
throw 10.8.0.0/24
10.8.0.0/24 via inet6 fe80::1 dev eth0
10.8.0.0/24 dev eth0 scope 100
10.8.0.0/24 dev eth0 preference 7
10.8.0.0/24 dev eth0 notify
blackhole 10.8.0.0/24
default via 10.9.0.9 table 100"#;

const RULES: &str = r#"from 10.8.0.0/24 table 100 realms 5 preference 5
from 10.8.0.0/24 table 100 realms 3/5 preference 5
from 10.8.0.0/24 nat 1.2.3.4 preference 5
from 10.8.0.0/24 map-to 1.2.3.4 preference 5
from 10.8.0.0/24 map-to 0 preference 5
from 10.8.0.0/24 table 100 order 5
from 10.8.0.0/24 goto 40 preference 5
from 10.8.0.0/24 nop preference 5
from 10.8.0.0/24 reject preference 5
from 10.8.0.0/24 blackhole preference 5
from 10.8.0.0/24 type blackhole preference 5
iif eth0 oif eth1 table 5 preference 5 tos 22 fwmark 24/12
from 10.8.0.0/24 table 100 suppress_prefixlength 0 preference 5
from 10.8.0.0/24 table 100 suppress_ifgroup 5 preference 5
from 10.8.0.0/24 table 100 uidrange 10-20 preference 5
from 10.8.0.0/24 l3mdev protocol 12 ip_proto UDP sport 10-20 dport 20-30 preference 5
from 10.8.0.0/24 table 100 tun_id 10 preference 5
from 10.8.0.0/24 table 100 ipproto tcp preference 5
from all table 100 preference 5
to 10.8.0.0/24 lookup 100 priority 5
not from 10.8.0.0/24 table 100 preference 5"#;

/// What is refused, though keepalived would run with it.
const REFUSED: [&str; 2] = ["local_address_group", "virtual_server"];

/// What keepalived says it would run with, and ends with when it is started; the last one has no names of its own here.
const NOT_COMPARED: [&str; 8] = [
    "includea",
    "includeb",
    "includem",
    "includew",
    "vrrp_instance B { interface eth0\n virtual_router_id 5",
    "vrrp_instance B { interface eth0\n virtual_ipaddress",
    "vrrp_instance B { virtual_router_id 9",
    "use_vmac foo xx",
];

/// Samples: lines, or blocks with their last line.
fn samples(text: &str) -> Vec<String> {
    let (mut all, mut one, mut depth) = (Vec::new(), String::new(), 0);
    for line in text.lines() {
        one += line;
        one += "\n";
        depth += line.matches('{').count() as i32 - line.matches('}').count() as i32;
        if depth == 0 {
            all.push(std::mem::take(&mut one));
        }
    }
    assert_eq!(one, "", "all blocks are closed");
    all
}

/// Whole configurations, each with its sample.
fn texts() -> Vec<(String, String)> {
    let whole = |top: &str, global: &str, inside: &str| {
        format!(
            "global_defs {{\n dynamic_interfaces\n enable_script_security\n script_user root\n {global}\n}}\n\
             vrrp_script S {{\n script \"/bin/true\"\n}}\n{top}\nvrrp_instance A {{\n interface eth0\n \
             virtual_router_id 5\n priority 100\n virtual_ipaddress {{\n 10.9.0.5/24\n }}\n {inside}\n}}\n"
        )
    };
    let block = |name: &str, line: &str| format!("{name} {{\n{line}\n }}");
    let mut all = Vec::new();
    let top = samples(TOP).into_iter().chain(samples(WRONG_TOP));
    all.extend(top.map(|one| (whole(&one, "", ""), one)));
    all.extend(
        samples(GLOBAL)
            .into_iter()
            .map(|one| (whole("", &one, ""), one)),
    );
    all.extend(
        samples(INSTANCE)
            .into_iter()
            .map(|one| (whole("", "", &one), one)),
    );
    let routes = samples(ROUTES).into_iter();
    all.extend(routes.map(|one| (whole("", "", &block("virtual_routes", &one)), one)));
    let rules = samples(RULES).into_iter();
    all.extend(rules.map(|one| (whole("", "", &block("virtual_rules", &one)), one)));
    all
}

fn ours(text: &str) -> Loaded {
    load(&[Input::text("k.conf", text)], &|_| None)
}

/// Whether the installed keepalived would run with a text; none if it cannot be asked.
fn theirs_runs(text: &str) -> Option<bool> {
    let folder = tempfile::tempdir().ok()?;
    let path = folder.path().join("k.conf");
    std::fs::write(&path, text).ok()?;
    let done = Command::new("keepalived")
        .args(["-t", "-l", "-n", "-P", "-f"])
        .arg(&path)
        .output()
        .ok()?;
    match done.status.code()? {
        // Nothing to say; errors that it lives with; a script that is not secure.
        0 | 5 | 6 => Some(true),
        2 => Some(false),
        _ => None,
    }
}

#[test]
fn what_keepalived_runs_with_runs_here_and_what_it_ends_with_is_told() {
    let mut compared = 0;
    let mut wrong = Vec::new();
    for (text, sample) in texts() {
        if NOT_COMPARED.iter().any(|one| sample.starts_with(one)) {
            continue;
        }
        let found = ours(&text).diagnostics;
        let refused = REFUSED.iter().any(|one| sample.starts_with(one));
        if refused {
            let is_clear = |one: &tandem_config::Diagnostic| {
                one.severity == Severity::Error && one.kind == Kind::NotSupportedYet
            };
            assert!(
                found.0.iter().any(is_clear),
                "{sample} is no longer refused: {:?}",
                found.0
            );
            continue;
        }
        let Some(runs) = theirs_runs(&text) else {
            continue;
        };
        compared += 1;
        // Where it ends, a complaint is enough.
        if runs == found.has_errors() && (runs || found.0.is_empty()) {
            let complaints: Vec<_> = found.0.iter().map(|one| &one.message).collect();
            wrong.push(format!(
                "{sample}  keepalived runs: {runs}; here {complaints:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    println!("{compared} samples compared");
}
