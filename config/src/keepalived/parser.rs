//! The top level and `global_defs`.

use std::net::IpAddr;

use super::addresses::addresses;
use super::addressing::{
    self, at_least_once, extra_interfaces, garp_group, interface_delays, interval, whole_seconds,
};
use super::advertisement::is_group;
use super::instance::{self, Pending, down_timer_adverts};
use super::model::{GlobalDefs, KeepalivedConfig, Version};
use super::notify;
use super::reader::Reader;
use super::routes::routes;
use super::rules::{give_preferences, rules};
use super::tree::{Statement, tree};
use super::values::{Complaints, address, ipv4, seconds, switch, text};
use super::vmacs::assign;
use super::{bfd, dbus, life, script, sync_group, track_groups, watched};
use crate::diagnostic::{Diagnostic, DiagnosticKind, Diagnostics, Severity};
use crate::source::{FileId, SourceMap};

/// What becomes of a keyword.
pub(super) enum Action<T> {
    /// It is read.
    Do(fn(&mut T, &Statement, &mut Complaints<'_>)),
    /// It changes nothing here, as what it is for is so anyway: a notice tells why.
    Idle(&'static str),
    /// It is not done; running without it is harmless to the addresses.
    Warn(&'static str),
    /// It is not done; running without it would do another thing than meant.
    Refuse,
}

use Action::{Do, Idle, Refuse, Warn};

/// Rows of a table: keyword and what becomes of it.
pub(super) type Table<T> = &'static [(&'static str, Action<T>)];

/// Reads the lines of a block by a table.
pub(super) fn block<T>(
    target: &mut T,
    statements: &[Statement],
    table: Table<T>,
    place: &str,
    complaints: &mut Complaints<'_>,
) {
    for statement in statements {
        let name = statement.name();
        match table.iter().find(|(known, _)| *known == name) {
            Some((_, Do(read))) => read(target, statement, complaints),
            Some((_, Idle(why))) => {
                let message = format!("'{name}' changes nothing: {why}");
                let mut notice =
                    Diagnostic::warning(DiagnosticKind::Pointless, statement.span(), message);
                notice.severity = Severity::Notice;
                complaints.0.push(notice);
            }
            Some((_, Warn(why))) => {
                let message = format!("'{name}' is not supported yet and is ignored: {why}");
                complaints.warning(DiagnosticKind::NotSupportedYet, statement.span(), message);
            }
            Some((_, Refuse)) => {
                let message = format!("'{name}' is not supported yet");
                complaints.error(DiagnosticKind::NotSupportedYet, statement.span(), message);
            }
            None => complaints.unknown(statement, place, table.iter().map(|(known, _)| *known)),
        }
    }
}

/// Reads the files in order as one configuration.
pub(crate) fn parse(
    sources: &mut SourceMap,
    files: &[FileId],
    environment: &dyn Fn(&str) -> Option<String>,
    config_id: &str,
) -> (KeepalivedConfig, Diagnostics) {
    let mut reader = Reader::new(sources, environment, config_id);
    for file in files {
        reader.file(*file, 0);
    }
    let Reader {
        mut diagnostics,
        lines,
        ..
    } = reader;
    let statements = tree(&lines, &mut diagnostics);
    super::hmac::mask(&statements, sources);
    let mut text = Text::default();
    let mut complaints = Complaints(&mut diagnostics);
    block(
        &mut text,
        &statements,
        TOP,
        "the top level",
        &mut complaints,
    );
    let config = text.finish(&mut complaints);
    (config, diagnostics)
}

/// Words that may begin a statement at the top level, `include` among them.
pub(crate) fn top_level_words() -> impl Iterator<Item = &'static str> {
    TOP.iter().map(|(name, _)| *name).chain([
        "include", "includea", "includeb", "includem", "includer", "includew",
    ])
}

/// The blocks as they come; instances need the scripts and the global settings of the whole text.
#[derive(Default)]
pub(super) struct Text {
    pub(super) config: KeepalivedConfig,
    instances: Vec<Statement>,
    sync_groups: Vec<Statement>,
    track_groups: Vec<Statement>,
}

const LVS: &str = "it belongs to LVS";
const LINKBEAT: &str = "the link's state comes by netlink";

/// Top-level blocks and keywords, sorted.
#[rustfmt::skip]
const TOP: Table<Text> = &[
    ("SSL", Warn("it belongs to the checks of LVS")),
    ("bfd_instance", Do(bfd::read)),
    ("child_wait_time", Idle("processes are waited for as long as what they do may last")),
    ("garp_group", Do(|text, statement, complaints| garp_group(&mut text.config.garp_groups, statement, complaints))),
    ("global_defs", Do(|text, statement, complaints| { text.config.global.places.add(body(statement)); block(&mut text.config.global, body(statement), GLOBAL, "'global_defs'", complaints, ); })),
    ("instance", Idle("daemons are told apart by their sockets (--socket) and pidfiles (-p)")),
    ("interface_up_down_delays", Do(|text, statement, complaints| { interface_delays(&mut text.config.interface_delays, statement, complaints); })),
    ("linkbeat_interfaces", Warn(LINKBEAT)),
    ("linkbeat_use_polling", Warn(LINKBEAT)),
    ("local_address_group", Refuse),
    ("namespace_with_ipsets", Idle("no ipsets are used")),
    ("net_namespace", Do(net_namespace)),
    ("net_namespace_ipvs", Warn(LVS)),
    ("static_ipaddress", Do(|text, statement, complaints| addresses(&mut text.config.statics.addresses, statement, complaints))),
    ("static_routes", Do(|text, statement, complaints| routes(&mut text.config.statics.routes, statement, complaints))),
    ("static_rules", Do(|text, statement, complaints| rules(&mut text.config.statics.rules, statement, complaints))),
    ("static_track_group", Do(|text, statement, _| text.track_groups.push(statement.clone()))),
    ("track_file", Do(watched::read_file)),
    ("track_group", Do(|text, statement, _| text.track_groups.push(statement.clone()))),
    ("use_pid_dir", Idle("the pidfile is where -p or 'pidfile' say")),
    ("virtual_server", Refuse),
    ("virtual_server_group", Refuse),
    ("vrrp_instance", Do(|text, statement, _| text.instances.push(statement.clone()))),
    ("vrrp_script", Do(read_script)),
    ("vrrp_sync_group", Do(|text, statement, _| text.sync_groups.push(statement.clone()))),
    ("vrrp_track_file", Do(watched::read_file)),
    ("vrrp_track_process", Do(watched::read_process)),
];

fn net_namespace(text: &mut Text, statement: &Statement, complaints: &mut Complaints<'_>) {
    match statement.words.get(1) {
        None => complaints.missing(statement, "a name"),
        Some(name) if name.text.is_empty() || name.text.contains('/') || name.text == ".." => {
            complaints.wrong(statement, "the name of a network namespace");
        }
        Some(name) => text.config.net_namespace = Some(name.clone()),
    }
}

const TUNING: &str = "tuning of keepalived's own processes";
const MONITORING: &str = "watch the daemon by its own sockets";
const FILTER: &str =
    "nftables is used, whose table 'nftables' names, as keepalived does where there is no iptables";
const SESSIONS: &str =
    "sessions run on a real-time thread of the vrrp process, for which the words vrrp_… count";
const NAMES: &str = "the processes have names of their own, by which they know each other";

/// Keywords of `global_defs`, sorted.
#[rustfmt::skip]
const GLOBAL: Table<GlobalDefs> = &[
    ("bfd_cpu_affinity", Warn(SESSIONS)),
    ("bfd_no_swap", Warn(SESSIONS)),
    ("bfd_priority", Warn(SESSIONS)),
    ("bfd_process_name", Warn(NAMES)),
    ("bfd_rlimit_rttime", Warn(SESSIONS)),
    ("bfd_rt_priority", Warn(SESSIONS)),
    ("checker_cpu_affinity", Warn(LVS)),
    ("checker_log_all_failures", Warn(LVS)),
    ("checker_no_swap", Warn(LVS)),
    ("checker_priority", Warn(LVS)),
    ("checker_process_name", Warn(NAMES)),
    ("checker_rlimit_rttime", Warn(LVS)),
    ("checker_rt_priority", Warn(LVS)),
    ("config_save_dir", Warn(MONITORING)),
    ("data_use_instance", Warn(MONITORING)),
    ("dbus_no_interface_name", Do(dbus)),
    ("dbus_service_name", Do(dbus)),
    ("default_interface", Do(|g, statement, complaints| match statement.text(1) { "" => complaints.lacking(statement, "an interface's name"), name => g.default_interface = name.to_owned(), })),
    ("disable_local_igmp", Do(life::read)),
    ("dynamic_interfaces", Do(|_, _, _| {})),
    ("enable_dbus", Do(dbus)),
    ("enable_script_security", Do(|g, _, _| g.enable_script_security = true)),
    ("enable_snmp_checker", Warn(MONITORING)),
    ("enable_snmp_keepalived", Warn(MONITORING)),
    ("enable_snmp_rfc", Warn(MONITORING)),
    ("enable_snmp_rfcv2", Warn(MONITORING)),
    ("enable_snmp_rfcv3", Warn(MONITORING)),
    ("enable_snmp_vrrp", Warn(MONITORING)),
    ("enable_traps", Warn(MONITORING)),
    ("fifo_write_vrrp_states_on_reload", Do(notify)),
    ("include_check", Do(|_, _, _| {})),
    ("log_unknown_vrids", Do(life::read)),
    ("lvs_flush", Warn(LVS)),
    ("lvs_flush_on_stop", Warn(LVS)),
    ("lvs_flush_onstop", Warn(LVS)),
    ("lvs_id", Do(router_id)),
    ("lvs_netlink_cmd_rcv_bufs", Warn(LVS)),
    ("lvs_netlink_cmd_rcv_bufs_force", Warn(LVS)),
    ("lvs_netlink_monitor_rcv_bufs", Warn(LVS)),
    ("lvs_netlink_monitor_rcv_bufs_force", Warn(LVS)),
    ("lvs_notify_fifo", Warn(LVS)),
    ("lvs_notify_fifo_script", Warn(LVS)),
    ("lvs_sync_daemon", Warn(LVS)),
    ("lvs_timeouts", Warn(LVS)),
    ("max_auto_priority", Idle("the process is real-time from its start on")),
    ("min_auto_priority_delay", Idle("the process is real-time from its start on")),
    ("nftables", Do(life::read)),
    ("nftables_counters", Do(life::read)),
    ("nftables_ifindex", Idle("sets of link-local addresses have the interface's number")),
    ("nftables_ipvs", Warn(LVS)),
    ("nftables_ipvs_priority", Warn(LVS)),
    ("nftables_ipvs_start_fwmark", Warn(LVS)),
    ("nftables_priority", Do(life::read)),
    ("no_checker_emails", Warn(LVS)),
    ("no_email_faults", Do(notify)),
    ("notification_email", Do(notification_email)),
    ("notification_email_from", Do(|g, statement, complaints| { g.notification_email_from = text(statement, "an address", complaints).or(g.notification_email_from.take()); })),
    ("notify_fifo", Do(notify)),
    ("notify_fifo_script", Do(notify)),
    ("process_monitor_rcv_bufs", Idle("processes are looked for in /proc")),
    ("process_monitor_rcv_bufs_force", Idle("processes are looked for in /proc")),
    ("process_name", Warn(NAMES)),
    ("process_names", Idle("the processes have names of their own")),
    ("random_seed", Do(|_, _, _| {})),
    ("reload_check_config", Idle("a reload always checks the configuration first")),
    ("reload_file", Warn(MONITORING)),
    ("reload_repeat", Warn(MONITORING)),
    ("reload_time_file", Warn(MONITORING)),
    ("router_id", Do(router_id)),
    ("rs_init_notifies", Warn(LVS)),
    ("script_user", Do(|g, statement, complaints| match (statement.text(1), statement.text(2)) { ("", _) => complaints.lacking(statement, "a user and perhaps a group"), (user, "") => g.script_user = Some((user.to_owned(), None)), (user, group) => g.script_user = Some((user.to_owned(), Some(group.to_owned()))), })),
    ("shutdown_script", Do(life::read)),
    ("shutdown_script_timeout", Do(life::read)),
    ("smtp_alert", Do(notify)),
    ("smtp_alert_checker", Warn(LVS)),
    ("smtp_alert_vrrp", Do(notify)),
    ("smtp_connect_timeout", Do(|g, statement, complaints| { const MAX_SECONDS: u32 = 86_400; g.smtp_connect_timeout = seconds(statement, MAX_SECONDS, complaints).unwrap_or(g.smtp_connect_timeout); })),
    ("smtp_helo_name", Do(|g, statement, complaints| { g.smtp_helo_name = text(statement, "a name", complaints).or(g.smtp_helo_name.take()); })),
    ("smtp_server", Do(smtp_server)),
    ("snmp_socket", Warn(MONITORING)),
    ("startup_script", Do(life::read)),
    ("startup_script_timeout", Do(life::read)),
    ("tmp_config_directory", Idle("all processes are given the configuration that the first one has read")),
    ("umask", Do(life::read)),
    ("use_symlink_paths", Warn(TUNING)),
    ("vmac_addr_prefix", Do(|g, statement, complaints| { g.announcing.vmac_addr_prefix = text(statement, "the beginning of a name", complaints); })),
    ("vmac_prefix", Do(|g, statement, complaints| { g.announcing.vmac_prefix = text(statement, "the beginning of a name", complaints).unwrap_or(std::mem::take(&mut g.announcing.vmac_prefix)); })),
    ("vrrp_check_unicast_src", Do(|_, _, _| {})),
    ("vrrp_cpu_affinity", Do(life::read)),
    ("vrrp_delay_after_boot", Do(|g, statement, complaints| { g.delay_after_boot = seconds(statement, MAX_STARTUP_SECONDS, complaints).unwrap_or(g.delay_after_boot); })),
    ("vrrp_down_timer_adverts", Do(|g, statement, complaints| g.down_timer_adverts = down_timer_adverts(statement, complaints).unwrap_or(g.down_timer_adverts))),
    ("vrrp_garp_extra_if", Do(|g, statement, complaints| g.announcing.extra_interfaces = extra_interfaces(statement, complaints))),
    ("vrrp_garp_interval", Do(|g, statement, complaints| g.announcing.garp_interval = interval(statement, complaints))),
    ("vrrp_garp_lower_prio_delay", Do(|g, statement, complaints| { g.announcing.lower_prio_delay = whole_seconds(statement, complaints); })),
    ("vrrp_garp_lower_prio_repeat", Do(|g, statement, complaints| g.announcing.lower_prio_repeat = addressing::repeat(statement, complaints))),
    ("vrrp_garp_master_delay", Do(|g, statement, complaints| { g.garp_master_delay = whole_seconds(statement, complaints).unwrap_or(g.garp_master_delay); })),
    ("vrrp_garp_master_refresh", Do(|g, statement, complaints| { g.garp_master_refresh = whole_seconds(statement, complaints).unwrap_or(g.garp_master_refresh); })),
    ("vrrp_garp_master_refresh_repeat", Do(|g, statement, complaints| { g.garp_master_refresh_repeat = at_least_once(statement, complaints).unwrap_or(g.garp_master_refresh_repeat); })),
    ("vrrp_garp_master_repeat", Do(|g, statement, complaints| { g.garp_master_repeat = at_least_once(statement, complaints).unwrap_or(g.garp_master_repeat); })),
    ("vrrp_gna_interval", Do(|g, statement, complaints| g.announcing.gna_interval = interval(statement, complaints))),
    ("vrrp_higher_prio_send_advert", Do(|g, statement, complaints| { g.higher_prio_send_advert = switch(statement, complaints).unwrap_or(g.higher_prio_send_advert) })),
    ("vrrp_ipsets", Warn(FILTER)),
    ("vrrp_iptables", Warn(FILTER)),
    ("vrrp_lower_prio_no_advert", Do(|g, statement, complaints| { g.lower_prio_no_advert = switch(statement, complaints).unwrap_or(g.lower_prio_no_advert) })),
    ("vrrp_mcast_group4", Do(|g, statement, complaints| { let group = ipv4(statement, complaints); match group.filter(|group| group.is_multicast()) { Some(group) => g.vrrp_mcast_group4 = group, None if group.is_some() => complaints.wrong(statement, "a multicast address"), None => {} } })),
    ("vrrp_mcast_group6", Do(group6)),
    ("vrrp_min_garp", Do(addressing::min_garp)),
    ("vrrp_netlink_cmd_rcv_bufs", Idle("the kernel's tables are read again after an overrun")),
    ("vrrp_netlink_cmd_rcv_bufs_force", Idle("the kernel's tables are read again after an overrun")),
    ("vrrp_netlink_monitor_rcv_bufs", Idle("the kernel's tables are read again after an overrun")),
    ("vrrp_netlink_monitor_rcv_bufs_force", Idle("the kernel's tables are read again after an overrun")),
    ("vrrp_no_swap", Idle("the process is locked into memory anyway")),
    ("vrrp_notify_fifo", Do(notify)),
    ("vrrp_notify_fifo_script", Do(notify)),
    ("vrrp_notify_priority_changes", Do(notify)),
    ("vrrp_priority", Do(life::read)),
    ("vrrp_process_name", Warn(NAMES)),
    ("vrrp_rlimit_rttime", Do(life::read)),
    ("vrrp_rt_priority", Do(life::read)),
    ("vrrp_rx_bufs_multiplier", Idle("sockets of VRRP have a receive buffer of a fixed size, larger than any advertisements need")),
    ("vrrp_rx_bufs_policy", Idle("sockets of VRRP have a receive buffer of a fixed size, larger than any advertisements need")),
    ("vrrp_skip_check_adv_addr", Do(|g, statement, complaints| g.skip_check_adv_addr = switch(statement, complaints).unwrap_or(g.skip_check_adv_addr))),
    ("vrrp_startup_delay", Do(|g, statement, complaints| { g.startup_delay = seconds(statement, MAX_STARTUP_SECONDS, complaints).unwrap_or(g.startup_delay); })),
    ("vrrp_strict", Do(|g, statement, complaints| g.strict = switch(statement, complaints).unwrap_or(g.strict))),
    ("vrrp_version", Do(|g, statement, complaints| g.vrrp_version = version(statement, complaints).unwrap_or(g.vrrp_version))),
];

/// Longest delay of the start in seconds.
const MAX_STARTUP_SECONDS: u32 = 1_000_000;
/// Longest delay between bursts in seconds.
pub(super) const MAX_GARP_SECONDS: u32 = 86_400;

/// The lines of a block.
pub(super) fn body(statement: &Statement) -> &[Statement] {
    statement.block.as_deref().unwrap_or_default()
}

/// All words of a block, lines and blanks alike separating them.
pub(super) fn entries(statement: &Statement) -> impl Iterator<Item = &crate::Word> {
    body(statement).iter().flat_map(|line| line.words.iter())
}

/// `vrrp_version` and `version`.
pub(super) fn version(statement: &Statement, complaints: &mut Complaints<'_>) -> Option<Version> {
    match statement.text(1) {
        "2" => Some(Version::V2),
        "3" => Some(Version::V3),
        _ => {
            complaints.wrong(statement, "2 or 3");
            None
        }
    }
}

fn group6(global: &mut GlobalDefs, statement: &Statement, complaints: &mut Complaints<'_>) {
    match address(statement.text(1)) {
        Some(IpAddr::V6(group)) if is_group(group.into()) => global.vrrp_mcast_group6 = group,
        _ => complaints.wrong(statement, "a link-local multicast address (ffX2::)"),
    }
}

fn dbus(global: &mut GlobalDefs, statement: &Statement, complaints: &mut Complaints<'_>) {
    dbus::read(&mut global.dbus, statement, complaints);
}

fn router_id(global: &mut GlobalDefs, statement: &Statement, complaints: &mut Complaints<'_>) {
    match statement.words.get(1) {
        Some(name) => global.router_id = Some(name.text.clone()),
        None => complaints.lacking(statement, "a name"),
    }
}

fn notify(global: &mut GlobalDefs, statement: &Statement, complaints: &mut Complaints<'_>) {
    notify::read_global(&mut global.notify, statement, complaints);
}

fn notification_email(global: &mut GlobalDefs, statement: &Statement, _: &mut Complaints<'_>) {
    global
        .notification_email
        .extend(entries(statement).map(|word| word.text.clone()));
    // Without a block the address may stand on the line itself.
    let inline = statement.words.iter().skip(1).map(|word| word.text.clone());
    global.notification_email.extend(inline);
}

fn smtp_server(global: &mut GlobalDefs, statement: &Statement, complaints: &mut Complaints<'_>) {
    const SMTP_PORT: u16 = 25;
    let Some(host) = text(statement, "a host and perhaps a port", complaints) else {
        return;
    };
    let port = match statement.words.get(2) {
        None => SMTP_PORT,
        Some(word) => match word.text.parse() {
            Ok(port) if port > 0 => port,
            _ => {
                let message = format!("'smtp_server' expects a port, found '{}'", word.text);
                return complaints.left_out(word.span, message);
            }
        },
    };
    global.smtp_server = Some((host, port));
}

fn read_script(text: &mut Text, statement: &Statement, complaints: &mut Complaints<'_>) {
    let Some(script) = script::script(statement, complaints) else {
        return;
    };
    if text
        .config
        .scripts
        .iter()
        .any(|known| known.name.text == script.name.text)
    {
        let message = format!(
            "vrrp_script '{}' is already defined; this one is ignored",
            script.name.text
        );
        return complaints.warning(DiagnosticKind::Duplicate, script.name.span, message);
    }
    text.config.scripts.push(script);
}

impl Text {
    fn finish(mut self, complaints: &mut Complaints<'_>) -> KeepalivedConfig {
        for entry in &mut self.config.statics.addresses {
            let device = &self.config.global.default_interface;
            entry.device.get_or_insert_with(|| device.clone());
        }
        for statement in &self.instances {
            let pending = Pending::new(&self.config);
            let Some(instance) = instance::instance(statement, pending, &self.config, complaints)
            else {
                continue;
            };
            if let Some(known) = self
                .config
                .instances
                .iter()
                .find(|known| known.name.text == instance.name.text)
            {
                let message = format!(
                    "vrrp_instance '{}' is already defined at line {}; this one is ignored",
                    instance.name.text, known.span.line
                );
                complaints.warning(DiagnosticKind::Duplicate, instance.name.span, message);
                continue;
            }
            let same = self.config.instances.iter().find(|known| {
                known.interface == instance.interface
                    && known.virtual_router_id == instance.virtual_router_id
                    && known.is_ipv6() == instance.is_ipv6()
                    && known.group == instance.group
                    && (known.unicast_peers.is_empty() && instance.unicast_peers.is_empty()
                        || known
                            .unicast_peers
                            .iter()
                            .any(|peer| instance.unicast_peers.contains(peer)))
            });
            if let Some(same) = same {
                let message = format!(
                    "virtual_router_id {} is already that of '{}' on interface {}: their advertisements cannot be told apart",
                    instance.virtual_router_id, same.name.text, instance.interface
                );
                complaints.help(
                    Diagnostic::error(DiagnosticKind::Duplicate, instance.name.span, message),
                    "give each instance on an interface a virtual_router_id of its own",
                );
            }
            self.config.instances.push(instance);
        }
        assign(&mut self.config.instances, &self.config.global.announcing);
        let statics = &mut self.config.statics;
        track_groups::finish(
            &self.track_groups,
            statics,
            &self.config.instances,
            complaints,
        );
        let instances = self.config.instances.iter_mut();
        let of_instances = instances.flat_map(|instance| &mut instance.addressing.rules);
        give_preferences(self.config.statics.rules.iter_mut().chain(of_instances));
        for statement in &self.sync_groups {
            let group = sync_group::sync_group(statement, &mut self.config, complaints);
            self.config.sync_groups.extend(group);
        }
        self.config
    }
}

/// The keywords by what becomes of them, for the documentation.
pub fn keyword_lists() -> Vec<KeywordLists> {
    vec![
        lists("top level", TOP),
        lists("global_defs", GLOBAL),
        lists("bfd_instance", bfd::KEYWORDS),
        lists("track_file", watched::FILE_KEYWORDS),
        lists("vrrp_instance", instance::KEYWORDS),
        lists("vrrp_sync_group", sync_group::KEYWORDS),
        lists("vrrp_track_process", watched::PROCESS_KEYWORDS),
    ]
}

/// The words of one table by what becomes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeywordLists {
    /// Where the words stand.
    pub title: String,
    /// They do what keepalived's manual says.
    pub read: Vec<&'static str>,
    /// They are ignored with a warning.
    pub ignored: Vec<&'static str>,
    /// They are refused with "not supported yet".
    pub refused: Vec<&'static str>,
}

fn lists<T>(title: &str, table: Table<T>) -> KeywordLists {
    let names = |wanted: fn(&Action<T>) -> bool| {
        table
            .iter()
            .filter(|(_, action)| wanted(action))
            .map(|(name, _)| *name)
            .collect()
    };
    KeywordLists {
        title: title.to_owned(),
        read: names(|action| matches!(action, Do(_) | Idle(_))),
        ignored: names(|action| matches!(action, Warn(_))),
        refused: names(|action| matches!(action, Refuse)),
    }
}
