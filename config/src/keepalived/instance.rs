//! `vrrp_instance`: one row for each keyword.

use std::net::IpAddr;
use std::time::Duration;

use super::addresses::addresses;
use super::addressing::{self, About, at_least_once, extra_interfaces, whole_seconds};
use super::advertisement::{self, Advertising};
use super::hmac;
use super::lapse;
use super::model::*;
use super::parser::Action::{Do, Idle, Warn};
use super::parser::{Table, block, body};
use super::places::Places;
use super::routes::routes;
use super::rules::rules;
use super::track::PendingTracks;
use super::track_groups::only_static;
use super::tree::Statement;
use super::values::{Complaints, integer, seconds, switch, text};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::source::{Span, Word};
use crate::suggest::did_you_mean;

/// An instance while its lines are read: what is missing is seen at the end.
pub(super) struct Pending {
    state: InitialState,
    interface: Option<String>,
    virtual_router_id: Option<u8>,
    priority: Option<u8>,
    advertising: Advertising,
    virtual_addresses: Vec<VirtualAddress>,
    excluded_addresses: Vec<VirtualAddress>,
    nopreempt: Option<Span>,
    preempt_delay: Option<(Duration, Span)>,
    pub(super) timer_expired_backup: Option<(u8, Span)>,
    tracks: PendingTracks,
    dont_track_primary: bool,
    track_src_ip: Option<Span>,
    down_timer_adverts: u32,
    higher_prio_send_advert: bool,
    lower_prio_no_advert: bool,
    garp_master_delay: Duration,
    garp_master_repeat: u32,
    garp_master_refresh: Duration,
    garp_master_refresh_repeat: u32,
    addressing: addressing::Pending,
    notify: Notify,
    smtp_alert: bool,
    vrf: Option<Span>,
}

impl Pending {
    /// An instance about which nothing is said but what `global_defs` says of all.
    pub(super) fn new(config: &KeepalivedConfig) -> Self {
        let global = &config.global;
        Self {
            state: InitialState::default(),
            interface: None,
            virtual_router_id: None,
            priority: None,
            advertising: Advertising::new(global),
            virtual_addresses: Vec::new(),
            excluded_addresses: Vec::new(),
            nopreempt: None,
            preempt_delay: None,
            timer_expired_backup: None,
            tracks: PendingTracks::default(),
            dont_track_primary: false,
            track_src_ip: None,
            down_timer_adverts: global.down_timer_adverts,
            higher_prio_send_advert: global.higher_prio_send_advert,
            lower_prio_no_advert: global.lower_prio_no_advert,
            garp_master_delay: global.garp_master_delay,
            garp_master_repeat: global.garp_master_repeat,
            garp_master_refresh: global.garp_master_refresh,
            garp_master_refresh_repeat: global.garp_master_refresh_repeat,
            addressing: addressing::Pending::new(global),
            notify: Notify::default(),
            smtp_alert: global.notify.mails(),
            vrf: None,
        }
    }
}

const DEFAULT_PRIORITY: u8 = 100;
/// The priority of who owns the addresses.
const OWNER_PRIORITY: u8 = 255;

const LVS: &str = "it belongs to LVS";

/// Keywords, sorted.
#[rustfmt::skip]
pub(super) const KEYWORDS: Table<Pending> = &[
    ("accept", Do(|p, statement, _| p.addressing.accept = Some((true, statement.span())))),
    ("advert_int", Do(|p, statement, complaints| advertisement::advert_int(&mut p.advertising, statement, complaints))),
    ("auth_hmac", Do(|p, statement, complaints| hmac::auth_hmac(&mut p.advertising.hmac, statement, complaints))),
    ("authentication", Do(|p, statement, complaints| advertisement::authentication(&mut p.advertising, statement, complaints))),
    ("check_unicast_src", Do(|_, _, _| {})),
    ("debug", Idle("see the daemon's own log")),
    ("dont_track_primary", Do(|p, _, _| p.dont_track_primary = true)),
    ("down_timer_adverts", Do(|p, statement, complaints| p.down_timer_adverts = down_timer_adverts(statement, complaints).unwrap_or(p.down_timer_adverts))),
    ("garp_extra_if", Do(|p, statement, complaints| p.addressing.extra_interfaces = extra_interfaces(statement, complaints))),
    ("garp_lower_prio_delay", Do(|p, statement, complaints| { p.addressing.lower_prio_delay = whole_seconds(statement, complaints); })),
    ("garp_lower_prio_repeat", Do(|p, statement, complaints| p.addressing.lower_prio_repeat = addressing::repeat(statement, complaints))),
    ("garp_master_delay", Do(|p, statement, complaints| { p.garp_master_delay = whole_seconds(statement, complaints).unwrap_or(p.garp_master_delay); })),
    ("garp_master_refresh", Do(|p, statement, complaints| { p.garp_master_refresh = whole_seconds(statement, complaints).unwrap_or(p.garp_master_refresh); })),
    ("garp_master_refresh_repeat", Do(|p, statement, complaints| { p.garp_master_refresh_repeat = at_least_once(statement, complaints).unwrap_or(p.garp_master_refresh_repeat); })),
    ("garp_master_repeat", Do(|p, statement, complaints| { p.garp_master_repeat = at_least_once(statement, complaints).unwrap_or(p.garp_master_repeat); })),
    ("higher_prio_send_advert", Do(|p, statement, complaints| { p.higher_prio_send_advert = switch(statement, complaints).unwrap_or(p.higher_prio_send_advert) })),
    ("interface", Do(|p, statement, complaints| { p.interface = text(statement, "an interface's name", complaints) })),
    ("kernel_rx_buf_size", Idle("sockets of VRRP have a receive buffer of a fixed size, larger than any advertisements need")),
    ("linkbeat_use_polling", Warn("the link's state comes by netlink")),
    ("lower_prio_no_advert", Do(|p, statement, complaints| { p.lower_prio_no_advert = switch(statement, complaints).unwrap_or(p.lower_prio_no_advert) })),
    ("lvs_sync_daemon_interface", Warn(LVS)),
    ("mcast_dst_ip", Do(|p, statement, complaints| advertisement::group(&mut p.advertising, statement, complaints))),
    ("mcast_src_ip", Do(|p, statement, complaints| advertisement::source_address(&mut p.advertising, statement, complaints))),
    ("native_ipv6", Do(|p, statement, complaints| advertisement::native_ipv6(&mut p.advertising, statement, complaints))),
    ("no_accept", Do(|p, statement, _| p.addressing.accept = Some((false, statement.span())))),
    ("nopreempt", Do(|p, statement, _| p.nopreempt = Some(statement.span()))),
    ("notify", Do(notify)),
    ("notify_backup", Do(notify)),
    ("notify_deleted", Do(notify)),
    ("notify_fault", Do(notify)),
    ("notify_master", Do(notify)),
    ("notify_master_rx_lower_pri", Do(notify)),
    ("notify_priority_changes", Do(notify)),
    ("notify_stop", Do(notify)),
    ("old_unicast_checksum", Do(|p, statement, complaints| advertisement::old_unicast_checksum(&mut p.advertising, statement, complaints))),
    ("pre_release", Do(notify)),
    ("preempt", Do(|p, _, _| p.nopreempt = None)),
    ("preempt_delay", Do(|p, statement, complaints| { const MAX_SECONDS: u32 = 1_000; if let Some(delay) = seconds(statement, MAX_SECONDS, complaints) { p.preempt_delay = Some((delay, statement.span())); } })),
    ("priority", Do(priority)),
    ("promote_secondaries", Do(|p, _, _| p.addressing.promote_secondaries = true)),
    ("skip_check_adv_addr", Do(|p, statement, complaints| advertisement::skip_check_adv_addr(&mut p.advertising, statement, complaints))),
    ("smtp_alert", Do(|p, statement, complaints| { p.smtp_alert = switch(statement, complaints).unwrap_or(p.smtp_alert) })),
    ("state", Do(state)),
    ("strict_mode", Do(|p, statement, complaints| advertisement::strict_mode(&mut p.advertising, statement, complaints))),
    ("thread_timer_expired", Do(lapse::timer_expired_backup)),
    ("timer_expired_backup", Do(lapse::timer_expired_backup)),
    ("track_backend", Do(|p, statement, complaints| p.tracks.backend(statement, complaints))),
    ("track_bfd", Do(|p, statement, complaints| p.tracks.bfd(statement, complaints))),
    ("track_file", Do(|p, statement, complaints| p.tracks.file(statement, complaints))),
    ("track_interface", Do(|p, statement, complaints| p.tracks.interface(statement, complaints))),
    ("track_process", Do(|p, statement, complaints| p.tracks.process(statement, complaints))),
    ("track_script", Do(|p, statement, complaints| p.tracks.script(statement, complaints))),
    ("track_src_ip", Do(|p, statement, _| p.track_src_ip = Some(statement.span()))),
    ("unicast_fault_no_peer", Do(|p, statement, complaints| advertisement::fault_no_peer(&mut p.advertising, statement, complaints))),
    ("unicast_peer", Do(|p, statement, complaints| advertisement::unicast_peer(&mut p.advertising, statement, complaints))),
    ("unicast_src_ip", Do(|p, statement, complaints| advertisement::source_address(&mut p.advertising, statement, complaints))),
    ("unicast_ttl", Do(|p, statement, complaints| advertisement::unicast_ttl(&mut p.advertising, statement, complaints))),
    ("use_ipvlan", Do(|p, statement, complaints| p.addressing.use_ipvlan(statement, complaints))),
    ("use_vmac", Do(|p, statement, complaints| p.addressing.use_vmac(statement, complaints))),
    ("use_vmac_addr", Do(|p, _, _| p.addressing.use_vmac_addr = true)),
    ("v3_checksum_as_v2", Do(|p, statement, complaints| advertisement::checksum_as_v2(&mut p.advertising, statement, complaints))),
    ("version", Do(|p, statement, complaints| advertisement::version(&mut p.advertising, statement, complaints))),
    ("virtual_ipaddress", Do(|p, statement, complaints| addresses(&mut p.virtual_addresses, statement, complaints))),
    ("virtual_ipaddress_excluded", Do(|p, statement, complaints| { addresses(&mut p.excluded_addresses, statement, complaints); })),
    ("virtual_router_id", Do(virtual_router_id)),
    ("virtual_routes", Do(|p, statement, complaints| routes(&mut p.addressing.routes, statement, complaints))),
    ("virtual_rules", Do(|p, statement, complaints| rules(&mut p.addressing.rules, statement, complaints))),
    ("vmac_xmit_base", Do(|p, statement, _| p.addressing.transmit_base = Some(statement.span()))),
    ("vrf", Do(|p, statement, _| p.vrf = Some(statement.span()))),
];

/// Reads a `vrrp_instance NAME { … }`; none if something it cannot be without is missing.
pub(super) fn instance(
    statement: &Statement,
    mut pending: Pending,
    config: &KeepalivedConfig,
    complaints: &mut Complaints<'_>,
) -> Option<VrrpInstance> {
    let Some(name) = statement.words.get(1).cloned() else {
        complaints.missing(statement, "a name");
        return None;
    };
    block(
        &mut pending,
        body(statement),
        KEYWORDS,
        "'vrrp_instance'",
        complaints,
    );
    let advertised =
        pending
            .advertising
            .finish(&config.global, &mut pending.virtual_addresses, complaints);
    if advertised.auth_hmac.is_some() {
        let excluded = &mut pending.excluded_addresses;
        let interface = pending.interface.as_deref().unwrap_or_default();
        hmac::make_room(
            interface,
            &mut pending.virtual_addresses,
            excluded,
            complaints,
        );
    }
    let priority = finish_priority(&mut pending, &name, advertised.strict, complaints);
    let nopreempt = finish_nopreempt(&pending, complaints);
    let preempt_delay = finish_preempt_delay(&pending, nopreempt, advertised.strict, complaints);
    let timer_expired_backup = lapse::finish(pending.timer_expired_backup, nopreempt, complaints);
    let track_src_ip =
        finish_track_src_ip(pending.track_src_ip, advertised.source_address, complaints);
    finish_interface(&pending, &name, complaints);
    let tracks = pending.tracks.finish(config, complaints);
    let mut lacks = |what: &str, missing: bool| {
        if missing {
            let message = format!("vrrp_instance '{}' has no '{what}'", name.text);
            complaints.error(DiagnosticKind::InvalidValue, name.span, message);
        }
    };
    lacks("virtual_router_id", pending.virtual_router_id.is_none());
    if pending.virtual_addresses.is_empty() {
        // As keepalived: version 3 (RFC 5798 5.2.5) and strict mode want one at least.
        let needed = match advertised.version {
            Version::V3 => Some("version 3"),
            Version::V2 if advertised.strict => Some("strict_mode"),
            Version::V2 => None,
        };
        if let Some(needed) = needed {
            let message = format!(
                "vrrp_instance '{}' is ignored: it has no virtual address, and {needed} wants one",
                name.text
            );
            complaints.warning(DiagnosticKind::InvalidValue, name.span, message);
            return None;
        }
        if pending.excluded_addresses.is_empty() {
            let message = format!("vrrp_instance '{}' has no virtual address", name.text);
            complaints.warning(DiagnosticKind::Pointless, name.span, message);
        }
    }
    let virtual_ones = pending.virtual_addresses.iter_mut();
    for entry in virtual_ones.chain(&mut pending.excluded_addresses) {
        only_static(&mut entry.track_group, complaints);
    }
    for route in &mut pending.addressing.routes {
        only_static(&mut route.track_group, complaints);
    }
    for rule in &mut pending.addressing.rules {
        only_static(&mut rule.track_group, complaints);
    }
    let about = About {
        global: &config.global,
        virtual_router_id: pending.virtual_router_id?,
        ipv6: pending
            .virtual_addresses
            .first()
            .is_some_and(|entry| entry.address.is_ipv6()),
        owner: priority == OWNER_PRIORITY,
        strict: advertised.strict,
        version: advertised.version,
        span: name.span,
        unicast: !advertised.unicast_peers.is_empty(),
    };
    let addressing = pending.addressing.finish(&about, complaints);
    Some(VrrpInstance {
        name,
        state: pending.state,
        interface: pending.interface?,
        version: advertised.version,
        virtual_router_id: pending.virtual_router_id?,
        priority,
        advert_int: advertised.advert_int,
        authentication: advertised.authentication,
        auth_hmac: advertised.auth_hmac.map(Box::new),
        virtual_addresses: pending.virtual_addresses,
        excluded_addresses: pending.excluded_addresses,
        nopreempt,
        preempt_delay,
        timer_expired_backup,
        source_address: advertised.source_address,
        group: advertised.group,
        unicast_peers: advertised.unicast_peers,
        peer_ttls: advertised.peer_ttls,
        unicast_ttl: advertised.unicast_ttl,
        unicast_fault_no_peer: advertised.unicast_fault_no_peer,
        skip_check_adv_addr: advertised.skip_check_adv_addr,
        checksum: advertised.checksum,
        strict: advertised.strict,
        tracks: tracks.into(),
        dont_track_primary: pending.dont_track_primary,
        track_src_ip,
        down_timer_adverts: pending.down_timer_adverts,
        higher_prio_send_advert: pending.higher_prio_send_advert,
        lower_prio_no_advert: pending.lower_prio_no_advert,
        garp_master_delay: pending.garp_master_delay,
        garp_master_repeat: pending.garp_master_repeat,
        garp_master_refresh: pending.garp_master_refresh,
        garp_master_refresh_repeat: pending.garp_master_refresh_repeat,
        addressing: addressing.into(),
        notify: pending.notify.into(),
        smtp_alert: pending.smtp_alert,
        places: Places::of(body(statement)),
        span: statement.span(),
    })
}

fn state(pending: &mut Pending, statement: &Statement, complaints: &mut Complaints<'_>) {
    pending.state = match statement.text(1) {
        "MASTER" => InitialState::Master,
        "BACKUP" => InitialState::Backup,
        _ => {
            let Some(word) = statement.words.get(1) else {
                return complaints.missing(statement, "MASTER or BACKUP");
            };
            let message = format!("unknown state '{}': BACKUP is used", word.text);
            let mut diagnostic =
                Diagnostic::warning(DiagnosticKind::InvalidValue, word.span, message);
            diagnostic.help = did_you_mean(&word.text, ["MASTER", "BACKUP"]);
            complaints.0.push(diagnostic);
            InitialState::Backup
        }
    };
}

fn virtual_router_id(
    pending: &mut Pending,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    match statement.text(1).parse::<u8>() {
        Ok(id) if id > 0 => pending.virtual_router_id = Some(id),
        // An instance that has none besides is refused.
        _ => complaints.wrong(statement, "a number from 1 to 255"),
    }
}

fn priority(pending: &mut Pending, statement: &Statement, complaints: &mut Complaints<'_>) {
    pending.priority = Some(match statement.text(1).parse::<u8>() {
        Ok(priority) if priority > 0 => priority,
        _ => {
            let Some(word) = statement.words.get(1) else {
                return complaints.missing(statement, "a number from 1 to 255");
            };
            let message = format!(
                "priority '{}' is not from 1 to 255: {DEFAULT_PRIORITY} is used",
                word.text
            );
            complaints.warning(DiagnosticKind::InvalidValue, word.span, message);
            DEFAULT_PRIORITY
        }
    });
}

/// As keepalived: without 'priority' a `state MASTER` means the owner; strict mode makes state and priority agree.
fn finish_priority(
    pending: &mut Pending,
    name: &Word,
    strict: bool,
    complaints: &mut Complaints<'_>,
) -> u8 {
    let priority = match (pending.priority, pending.state) {
        (Some(priority), _) => priority,
        (None, InitialState::Backup) => DEFAULT_PRIORITY,
        (None, InitialState::Master) => {
            let message = format!(
                "vrrp_instance '{}' has 'state MASTER' and no 'priority': {OWNER_PRIORITY} is used, the owner's",
                name.text
            );
            let diagnostic = Diagnostic::warning(DiagnosticKind::Pointless, name.span, message);
            complaints.help(diagnostic, "write the priority that is meant");
            OWNER_PRIORITY
        }
    };
    let by_priority = if priority == OWNER_PRIORITY {
        InitialState::Master
    } else {
        InitialState::Backup
    };
    if strict && pending.state != by_priority {
        let message = format!(
            "strict_mode wants 'state MASTER' with priority {OWNER_PRIORITY} and only then: the state follows the priority {priority}"
        );
        complaints.warning(DiagnosticKind::InvalidValue, name.span, message);
        pending.state = by_priority;
    }
    priority
}

/// As keepalived 2.2.7: whatever its manual says of unicast and VRFs, it does not start without an interface, and beside one it
/// ignores `vrf`.
fn finish_interface(pending: &Pending, name: &Word, complaints: &mut Complaints<'_>) {
    match (&pending.interface, pending.vrf) {
        (Some(_), None) => {}
        (Some(_), Some(span)) => {
            let message = "'vrf' does nothing beside 'interface'";
            let diagnostic = Diagnostic::warning(DiagnosticKind::Pointless, span, message);
            complaints.help(
                diagnostic,
                "the interface is in the VRF that the system put it in",
            );
        }
        (None, _) => {
            let message = format!("vrrp_instance '{}' has no 'interface'", name.text);
            let diagnostic = Diagnostic::error(DiagnosticKind::InvalidValue, name.span, message);
            complaints.help(
                diagnostic,
                "unicast needs one, too, as with keepalived 2.2.7: name the interface that has the source address",
            );
        }
    }
}

fn finish_nopreempt(pending: &Pending, complaints: &mut Complaints<'_>) -> bool {
    let Some(span) = pending.nopreempt else {
        return false;
    };
    if pending.state == InitialState::Master {
        let message = "'nopreempt' does nothing with 'state MASTER': this node preempts";
        let diagnostic = Diagnostic::warning(DiagnosticKind::Pointless, span, message);
        complaints.help(
            diagnostic,
            "write 'state BACKUP' on both nodes if it should not",
        );
        return false;
    }
    true
}

/// As keepalived does: the delay needs an instance that begins as BACKUP and preempts.
fn finish_preempt_delay(
    pending: &Pending,
    nopreempt: bool,
    strict: bool,
    complaints: &mut Complaints<'_>,
) -> Duration {
    let Some((delay, span)) = pending.preempt_delay else {
        return Duration::ZERO;
    };
    let why = match (pending.state, nopreempt) {
        (InitialState::Master, _) => "'state MASTER'",
        (InitialState::Backup, true) => "'nopreempt'",
        (InitialState::Backup, false) if strict => "'strict_mode'",
        (InitialState::Backup, false) => return delay,
    };
    if !delay.is_zero() {
        let message = format!("'preempt_delay' does nothing with {why}");
        complaints.warning(DiagnosticKind::Pointless, span, message);
    }
    Duration::ZERO
}

fn finish_track_src_ip(
    span: Option<Span>,
    source: Option<IpAddr>,
    complaints: &mut Complaints<'_>,
) -> bool {
    let Some(span) = span else {
        return false;
    };
    if source.is_none() {
        let message = "'track_src_ip' does nothing without 'unicast_src_ip' or 'mcast_src_ip'";
        complaints.warning(DiagnosticKind::Pointless, span, message);
    }
    true
}

/// `down_timer_adverts` and `vrrp_down_timer_adverts`.
pub(super) fn down_timer_adverts(
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) -> Option<u32> {
    integer(statement, 1..=100, complaints).and_then(|value| u32::try_from(value).ok())
}

fn notify(pending: &mut Pending, statement: &Statement, complaints: &mut Complaints<'_>) {
    super::notify::read(&mut pending.notify, statement, complaints);
}
