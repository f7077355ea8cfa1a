//! Snapshots, sessions, events and instances as lines of text.

use protocol::event::now_ms;
use protocol::operation::{ForcedHealth, GlobalRate, ServerAdmin, WeightChange};
use protocol::snapshot::{AdminCause, CheckStats, Operational, ProxySnapshot, ServerStats};
use protocol::worker::{ErrorCapture, SessionInfo};
use protocol::{Event, Operation, Snapshot};

/// Year, month (1 to 12) and day of a count of days since 1970, in the proleptic Gregorian calendar.
pub fn civil_date(days: u64) -> (u64, u64, u64) {
    // Counted from 1 March of year 0, so that the leap day is the last of its year.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// A moment in UTC: `2026-11-23T01:58:34.123Z`.
pub fn timestamp(at_ms: u64) -> String {
    let seconds = at_ms / 1_000;
    let (year, month, day) = civil_date(seconds / 86_400);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3_600 % 24,
        seconds / 60 % 60,
        seconds % 60,
        at_ms % 1_000
    )
}

/// `show backend`.
pub fn backends(snapshot: &Snapshot) -> String {
    let mut text = "# name\n".to_owned();
    for proxy in proxies(snapshot).filter(|proxy| proxy.backend.is_some()) {
        text.push_str(&proxy.name);
        text.push('\n');
    }
    text
}

/// All proxies of the worker.
pub fn proxies(snapshot: &Snapshot) -> impl Iterator<Item = &ProxySnapshot> {
    snapshot.worker.iter().flat_map(|worker| &worker.proxies)
}

/// Address and port of a server, apart; `-` and 0 where there is none.
fn address(server: &ServerStats) -> (String, String) {
    match server.address.rsplit_once(':') {
        Some((address, port)) => (address.trim_matches(['[', ']']).to_owned(), port.to_owned()),
        None if server.address.is_empty() => ("-".to_owned(), "0".to_owned()),
        None => (server.address.clone(), "0".to_owned()),
    }
}

/// `show servers state`: also the state file's format.
pub fn servers_state<'a>(proxies: impl Iterator<Item = &'a ProxySnapshot>) -> String {
    let mut text = String::from(
        "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
         srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state \
         bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr \
         srv_agent_addr srv_agent_port\n",
    );
    for proxy in proxies.filter(|proxy| proxy.backend.is_some()) {
        for server in &proxy.servers {
            text.push_str(&server_state(proxy, server));
        }
    }
    text
}

/// HAProxy's numbers for the words of a check, in the order of its management manual's state file.
fn check_number(status: &str) -> u32 {
    match status.trim_start_matches("* ") {
        "UNK" => 0,
        "INI" | "" => 1,
        "CHECKED" => 3,
        "HANA" => 4,
        "SOCKERR" => 5,
        "L4OK" => 6,
        "L4TOUT" => 7,
        "L4CON" => 8,
        "L6OK" => 9,
        "L6TOUT" => 10,
        "L6RSP" => 11,
        "L7TOUT" => 12,
        "L7RSP" => 13,
        "L7OK" => 15,
        "L7OKC" => 16,
        "L7STS" => 17,
        "PROCERR" => 18,
        "PROCTOUT" => 19,
        "PROCOK" => 20,
        _ => 1,
    }
}

/// `show resolvers`, with all the lines that HAProxy has.
pub fn resolvers(sections: &[&protocol::snapshot::ResolversStats]) -> String {
    let mut text = String::new();
    for section in sections {
        text.push_str(&format!("Resolvers section {}\n", section.name));
        for server in &section.nameservers {
            text.push_str(&format!(" nameserver {}:\n", server.name));
            for (name, value) in [
                ("sent:", server.sent),
                ("snd_error:", server.send_errors),
                ("valid:", server.valid),
                ("update:", server.updates),
                ("cname:", 0),
                ("cname_error:", 0),
                ("any_err:", server.empty),
                ("nx:", server.nx),
                ("timeout:", server.timeouts),
                ("refused:", server.refused),
                ("other:", server.other),
                ("invalid:", server.invalid),
                ("too_big:", server.too_big),
                ("truncated:", server.truncated),
                // Answers that come too late find their socket closed.
                ("outdated:", 0),
            ] {
                text.push_str(&format!("  {name:<12} {value}\n"));
            }
        }
    }
    text
}

fn server_state(proxy: &ProxySnapshot, server: &ServerStats) -> String {
    let (address, port) = address(server);
    // Bits and numbers as the management manual lists them for `show servers state`.
    let in_maintenance =
        server.admin == ServerAdmin::Maint || server.inherited == ServerAdmin::Maint;
    let agent_down = server.agent.as_ref().is_some_and(|agent| agent.health == 0);
    let operational = match server.operational {
        _ if in_maintenance || agent_down => 0,
        Operational::Down | Operational::GoingUp => 0,
        _ if server.stopping => 3,
        Operational::Up | Operational::GoingDown | Operational::NoCheck => 2,
    };
    let own = match (server.admin, server.admin_cause) {
        (ServerAdmin::Ready, _) => 0,
        (ServerAdmin::Maint, AdminCause::Configuration) => 0x05,
        (ServerAdmin::Maint, AdminCause::Resolution) => 0x20,
        (ServerAdmin::Maint, AdminCause::Operator | AdminCause::None) => 0x01,
        (ServerAdmin::Drain, _) => 0x08,
    };
    const CONFIGURED_MAINTENANCE: u32 = 0x04;
    let configured = match server.configured_disabled {
        true => CONFIGURED_MAINTENANCE,
        false => 0,
    };
    let admin = own
        | configured
        | match server.inherited {
            ServerAdmin::Ready => 0,
            ServerAdmin::Maint => 0x02,
            ServerAdmin::Drain => 0x10,
        };
    const CONFIGURED: u32 = 2;
    const ENABLED: u32 = 4;
    const PAUSED: u32 = 8;
    const IS_AGENT: u32 = 16;
    let switched = |enabled: bool| CONFIGURED | if enabled { ENABLED } else { 0 };
    let (status, result, health, state) = match &server.check {
        // As HAProxy was seen to tell of a line with `disabled` and without `check`.
        None if server.configured_disabled => (1, 0, 0, PAUSED),
        None => (1, 0, if in_maintenance { 0 } else { 2 }, 0),
        Some(check) => {
            // What the last check found, whatever became of the server since.
            let result = match check.status.trim_start_matches("* ") {
                "INI" | "" | "UNK" => 0,
                "L4OK" | "L6OK" | "L7OK" | "PROCOK" => 3,
                "L7OKC" => 4,
                _ => 2,
            };
            // Configured and enabled, in maintenance also paused.
            let (health, pause) = match in_maintenance {
                // Of a server that came at run time the checks were never begun.
                true if !check.enabled && check.status == "INI" && !server.configured_disabled => {
                    (0, 0)
                }
                true => (0, PAUSED),
                false => (check.health, 0),
            };
            let state = switched(check.enabled) | pause;
            (check_number(&check.status), result, health, state)
        }
    };
    let agent_state = server
        .agent
        .as_ref()
        .map_or(0, |agent| switched(agent.enabled) | IS_AGENT);
    let place = |check: &Option<CheckStats>| match check {
        Some(check) if check.address.is_empty() => ("-".to_owned(), check.port),
        Some(check) => (check.address.clone(), check.port),
        None => ("-".to_owned(), 0),
    };
    let (check_address, check_port) = place(&server.check);
    let (agent_address, agent_port) = place(&server.agent);
    let dash = |text: &str| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text.to_owned()
        }
    };
    let (fqdn, record) = (dash(&server.fqdn), dash(&server.srv_record));
    // The name was given after the start: by a record, or by an operator.
    let admin = admin
        | if server.srv_record.is_empty() || server.fqdn.is_empty() {
            0
        } else {
            0x40
        };
    format!(
        "{} {} {} {} {address} {operational} {admin} {} {} {} {status} {result} {health} {state} {agent_state} 0 0 {fqdn} {port} {record} 0 {check_port} {check_address} {agent_address} {agent_port}\n",
        proxy.id,
        proxy.name,
        server.id,
        server.name,
        server.user_weight,
        server.initial_weight,
        server.last_change_ms / 1_000,
    )
}

/// `show servers conn`.
pub fn servers_connections<'a>(proxies: impl Iterator<Item = &'a ProxySnapshot>) -> String {
    let mut text = String::from(
        "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb idle_lim idle_cur \
         idle_per_thr[1]\n",
    );
    for proxy in proxies.filter(|proxy| proxy.backend.is_some()) {
        for server in &proxy.servers {
            let (address, port) = address(server);
            let idle = server.idle_connections;
            text.push_str(&format!(
                "{}/{} {}/{} {address} {port} - 5000 {} {} {} 0 {idle} -1 {idle} {idle}\n",
                proxy.name,
                server.name,
                proxy.id,
                server.id,
                server.sessions.current,
                server.sessions.maximum,
                server.sessions.current,
            ));
        }
    }
    text
}

fn or_none<'a>(name: &'a str, none: &'a str) -> &'a str {
    if name.is_empty() { none } else { name }
}

/// `show sess`; with `details`, all that is known.
pub fn sessions(sessions: &[SessionInfo], details: bool) -> String {
    let mut text = String::new();
    for session in sessions {
        let SessionInfo {
            id,
            protocol,
            source,
            frontend,
            age_ms,
            idle_ms,
            requests,
            stage,
            ..
        } = session;
        text.push_str(&format!(
            "{id:#x}: proto={protocol} src={source} fe={frontend} be={} srv={} ts=00 epoch=0 age={}s calls={requests} rate=0 \
             cpu=0 lat=0 idle={}s stage={stage}\n",
            or_none(&session.backend, "<NONE>"),
            or_none(&session.server, "<none>"),
            age_ms / 1_000,
            idle_ms / 1_000,
        ));
        if details {
            text.push_str(&format!(
                "  age={age_ms}ms idle={idle_ms}ms requests={requests} waits for {stage}\n"
            ));
        }
    }
    text
}

/// `show errors`.
pub fn errors(errors: &[ErrorCapture]) -> String {
    let mut text = format!(
        "Total events captured on [{}] : {}\n",
        timestamp(now_ms()),
        errors.len()
    );
    for (number, error) in errors.iter().enumerate() {
        let (what, side) = if error.is_request {
            ("request", "frontend")
        } else {
            ("response", "backend")
        };
        text.push_str(&format!(
            "\n[{}] {side} {}: invalid {what}\n  backend {}, server {}, event #{number}, src {}\n  {}, at position {}:\n",
            timestamp(error.at_ms),
            error.proxy,
            or_none(&error.backend, "<NONE>"),
            or_none(&error.server, "<NONE>"),
            error.source,
            error.reason,
            error.position,
        ));
        let mut offset = 0;
        for line in error.bytes.split_inclusive(|byte| *byte == b'\n') {
            text.push_str(&format!("  {offset:05}  {}\n", line.escape_ascii()));
            offset += line.len();
        }
    }
    text
}

/// `show events`.
pub fn events(events: &[Event]) -> String {
    let line = |event: &Event| {
        let Event {
            sequence,
            at_ms,
            source,
            severity,
            subject,
            change,
            reason,
            ..
        } = event;
        let head =
            format!("{sequence} {} {severity:?} {source:?}", timestamp(*at_ms)).to_lowercase();
        format!(
            "{} {subject}: {change} ({})\n",
            head.replacen('t', "T", 1).replacen('z', "Z", 1),
            reason.replace('\n', " ")
        )
    };
    events.iter().map(line).collect()
}

/// ` 10.0.0.1 port 80`, as far as it is said.
fn place(address: Option<std::net::IpAddr>, port: Option<u16>) -> String {
    let address = address.map_or(String::new(), |address| format!(" {address}"));
    let port = port.map_or(String::new(), |port| format!(" port {port}"));
    format!("{address}{port}")
}

/// Subject and change of an operation, for the history.
pub fn describe_operation(operation: &Operation) -> (String, String) {
    match operation {
        Operation::ServerState { server, state } => {
            let word = match state {
                ServerAdmin::Ready => "ready",
                ServerAdmin::Drain => "drain",
                ServerAdmin::Maint => "maint",
            };
            (server.to_string(), format!("set to {word}"))
        }
        Operation::AddServer { server, words } => {
            (server.to_string(), format!("added: {}", words.join(" ")))
        }
        Operation::RemoveServer { server } => (server.to_string(), "removed".to_owned()),
        Operation::ServerWeight {
            server,
            weight: WeightChange::Absolute(weight),
        } => (server.to_string(), format!("weight set to {weight}")),
        Operation::ServerWeight {
            server,
            weight: WeightChange::Percent(weight),
        } => (server.to_string(), format!("weight set to {weight}%")),
        Operation::ServerAddress {
            server,
            address,
            port,
        } => {
            let address = address
                .map(|address| format!(" {address}"))
                .unwrap_or_default();
            let port = port.map(|port| format!(" port {port}")).unwrap_or_default();
            (server.to_string(), format!("address set to{address}{port}"))
        }
        Operation::ServerFqdn { server, fqdn } => {
            (server.to_string(), format!("name set to {fqdn}"))
        }
        Operation::ServerHealth { server, health } => {
            let word = match health {
                ForcedHealth::Up => "up",
                ForcedHealth::Stopping => "stopping",
                ForcedHealth::Down => "down",
            };
            (server.to_string(), format!("health forced to {word}"))
        }
        Operation::ServerChecks { server, enabled } => (
            server.to_string(),
            if *enabled {
                "checks enabled"
            } else {
                "checks disabled"
            }
            .to_owned(),
        ),
        Operation::ServerAgent { server, enabled } => {
            let word = if *enabled { "enabled" } else { "disabled" };
            (server.to_string(), format!("agent {word}"))
        }
        Operation::ServerAgentHealth { server, up } => {
            let word = if *up { "up" } else { "down" };
            (server.to_string(), format!("agent forced to {word}"))
        }
        Operation::ServerCheckTarget {
            server,
            address,
            port,
        } => (
            server.to_string(),
            format!("checks go to{}", place(*address, *port)),
        ),
        Operation::ServerAgentTarget {
            server,
            address,
            port,
            ..
        } => (
            server.to_string(),
            format!("agent is asked at{}", place(*address, *port)),
        ),
        Operation::ServerMaxconn { server, maxconn } => {
            (server.to_string(), format!("maxconn set to {maxconn}"))
        }
        Operation::ShutdownServerSessions { server } => {
            (server.to_string(), "sessions shut down".to_owned())
        }
        Operation::ShutdownSession { id } => (format!("session {id:#x}"), "shut down".to_owned()),
        Operation::FrontendEnabled { frontend, enabled } => (
            frontend.clone(),
            if *enabled { "enabled" } else { "disabled" }.to_owned(),
        ),
        Operation::FrontendMaxconn { frontend, maxconn } => {
            (frontend.clone(), format!("maxconn set to {maxconn}"))
        }
        Operation::GlobalMaxconn { maxconn } => {
            ("process".to_owned(), format!("maxconn set to {maxconn}"))
        }
        Operation::RateLimit { rate, limit } => {
            let word = match rate {
                GlobalRate::Connections => "connections",
                GlobalRate::Sessions => "sessions",
                GlobalRate::TlsSessions => "ssl-sessions",
            };
            (
                "process".to_owned(),
                format!("rate limit of {word} set to {limit}"),
            )
        }
        Operation::ClearCounters { all } => (
            "counters".to_owned(),
            if *all {
                "all cleared"
            } else {
                "maxima cleared"
            }
            .to_owned(),
        ),
        Operation::VrrpFailover { instance, force } => (
            instance.clone(),
            if *force {
                "failover forced"
            } else {
                "failover"
            }
            .to_owned(),
        ),
        Operation::VrrpFailback { instance } => (instance.clone(), "failback".to_owned()),
        Operation::Reload => ("configuration".to_owned(), "reload".to_owned()),
        Operation::DynamicCookies { backend, enabled } => {
            let word = if *enabled { "enabled" } else { "disabled" };
            (backend.clone(), format!("dynamic cookies {word}"))
        }
        Operation::DynamicCookieKey { backend, .. } => {
            (backend.clone(), "key of dynamic cookies set".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc() {
        assert_eq!(timestamp(1_795_399_114_666), "2026-11-23T01:58:34.666Z");
        assert_eq!(civil_date(0), (1970, 1, 1));
        assert_eq!(civil_date(19_782), (2024, 2, 29));
        assert_eq!(civil_date(19_783), (2024, 3, 1));
    }

    #[test]
    fn a_server_of_the_state_file_has_25_fields() {
        let server = ServerStats {
            name: "s".to_owned(),
            address: "[::1]:80".to_owned(),
            ..ServerStats::empty()
        };
        let line = server_state(
            &ProxySnapshot {
                name: "b".to_owned(),
                ..ProxySnapshot::default()
            },
            &server,
        );
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(
            (words.len(), words[4], words[18]),
            (25, "::1", "80"),
            "{line}"
        );
    }

    #[test]
    fn an_event_is_one_line() {
        let event = Event {
            sequence: 3,
            at_ms: 1_795_399_114_666,
            reason: "a\nb".to_owned(),
            ..Event::now(
                protocol::EventSource::Worker,
                protocol::EventSeverity::Alert,
                protocol::EventKind::ServerDown,
                "nginx/web1",
                "UP -> DOWN",
                "",
            )
        };
        assert_eq!(
            events(&[event]),
            "3 2026-11-23T01:58:34.666Z alert worker nginx/web1: UP -> DOWN (a b)\n"
        );
    }
}
