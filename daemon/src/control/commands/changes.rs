//! Words of a changing command to an [`Operation`], checked against the names that there are.

use std::net::IpAddr;

use protocol::operation::{ForcedHealth, GlobalRate, ServerAdmin, WeightChange};
use protocol::snapshot::{FrontendStats, ServerStats};
use protocol::{Operation, Refusal, ServerName, Snapshot};

use super::super::views;
use super::{Answer, Parsed, error};

/// The server that a word names, in the snapshot.
pub(super) fn server<'a>(
    word: Option<&&str>,
    snapshot: &'a Snapshot,
) -> Result<(ServerName, &'a ServerStats), Answer> {
    let name = ServerName::parse(word.copied().unwrap_or_default())?;
    if snapshot.worker.is_none() {
        return Err(Refusal::NotRunning("The proxy worker".to_owned()).into());
    }
    let backend = views::proxies(snapshot)
        .find(|proxy| proxy.backend.is_some() && proxy.name == name.backend);
    let backend = backend.ok_or(Refusal::NoSuchBackend)?;
    let server = backend
        .servers
        .iter()
        .find(|server| server.name == name.server)
        .ok_or(Refusal::NoSuchServer)?;
    Ok((name, server))
}

pub(super) fn frontend<'a>(
    word: Option<&&str>,
    snapshot: &'a Snapshot,
) -> Result<(String, &'a FrontendStats), Answer> {
    let Some(name) = word else {
        return Err(error("A frontend name is expected."));
    };
    let found = views::proxies(snapshot)
        .find(|proxy| proxy.name == **name)
        .and_then(|proxy| proxy.frontend.as_ref());
    Ok(((*name).to_owned(), found.ok_or(Refusal::NoSuchFrontend)?))
}

pub(super) fn server_state(words: &[&str], snapshot: &Snapshot, state: ServerAdmin) -> Parsed {
    let (server, _) = server(words.first(), snapshot)?;
    Ok(Operation::ServerState { server, state })
}

pub(super) fn checks(words: &[&str], snapshot: &Snapshot, enabled: bool) -> Parsed {
    let (server, stats) = server(words.first(), snapshot)?;
    if enabled && stats.check.is_none() {
        return Err(error(
            "Health check was not configured on this server, cannot enable.",
        ));
    }
    Ok(Operation::ServerChecks { server, enabled })
}

pub(super) fn weight_of(word: Option<&&str>) -> Result<WeightChange, Answer> {
    let Some(word) = word.filter(|word| !word.is_empty()) else {
        return Err(error("Require <weight> or <weight%>."));
    };
    let (digits, percent) = match word.strip_suffix('%') {
        Some(digits) => (digits, true),
        None => (*word, false),
    };
    let end = digits
        .bytes()
        .enumerate()
        .position(|(at, byte)| !byte.is_ascii_digit() && (at > 0 || !matches!(byte, b'-' | b'+')))
        .unwrap_or(digits.len());
    if !digits[..end].bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(error("Empty weight string empty or preceded by garbage"));
    }
    let Ok(number) = digits.parse::<i64>() else {
        return Err(error("Trailing garbage in weight string"));
    };
    match (u32::try_from(number), percent) {
        (Ok(number), true) => Ok(WeightChange::Percent(number)),
        (_, true) => Err(error("Relative weight must be positive.")),
        (Ok(number), false) if number <= 256 => Ok(WeightChange::Absolute(number as u16)),
        (_, false) => Err(error(
            "Absolute weight can only be between 0 and 256 inclusive.",
        )),
    }
}

pub(super) fn set_weight(words: &[&str], snapshot: &Snapshot) -> Parsed {
    let (server, _) = server(words.first(), snapshot)?;
    Ok(Operation::ServerWeight {
        server,
        weight: weight_of(words.get(1))?,
    })
}

pub(super) fn set_server(words: &[&str], snapshot: &Snapshot) -> Parsed {
    const USAGE: &str = "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | check-addr | \
                         check-port | fqdn | health | ssl | state | weight";
    let (server, stats) = server(words.first(), snapshot)?;
    let value = words.get(2).copied();
    match words.get(1).copied() {
        Some("weight") => Ok(Operation::ServerWeight {
            server,
            weight: weight_of(words.get(2))?,
        }),
        Some("state") => {
            let state = match value {
                Some("ready") => ServerAdmin::Ready,
                Some("drain") => ServerAdmin::Drain,
                Some("maint") => ServerAdmin::Maint,
                _ => {
                    return Err(error(
                        "'set server <srv> state' expects 'ready', 'drain' and 'maint'.",
                    ));
                }
            };
            Ok(Operation::ServerState { server, state })
        }
        Some("health") => {
            let health = match value {
                Some("up") => ForcedHealth::Up,
                Some("stopping") => ForcedHealth::Stopping,
                Some("down") => ForcedHealth::Down,
                _ => {
                    return Err(error(
                        "'set server <srv> health' expects 'up', 'stopping', or 'down'.",
                    ));
                }
            };
            Ok(Operation::ServerHealth { server, health })
        }
        Some("addr") => {
            let Some(value) = value else {
                return Err(error(
                    "set server <b>/<s> addr requires an address and optionally a port.",
                ));
            };
            let Ok(address) = value.parse::<IpAddr>() else {
                return Err(error(format!(
                    "Invalid addr '{value}' by 'stats socket command'"
                )));
            };
            let port = match (words.get(3), words.get(4)) {
                (Some(&"port"), Some(port)) => match port.parse() {
                    Ok(port) => Some(port),
                    Err(_) => {
                        return Err(error(format!(
                            "problem converting port '{port}' to an int by 'stats socket command'"
                        )));
                    }
                },
                _ => None,
            };
            Ok(Operation::ServerAddress {
                server,
                address: Some(address),
                port,
            })
        }
        Some("fqdn") => match value {
            Some(fqdn) if !fqdn.is_empty() => Ok(Operation::ServerFqdn {
                server,
                fqdn: fqdn.to_owned(),
            }),
            _ => Err(error("set server <b>/<s> fqdn requires a FQDN.")),
        },
        Some(
            word @ ("agent" | "agent-addr" | "agent-port" | "agent-send" | "check-addr"
            | "check-port"),
        ) => set_check(word, server, stats, &words[2..]),
        Some(word @ "ssl") => Err(error(format!(
            "'set server <srv> {word}' is not supported yet."
        ))),
        _ => Err(error(USAGE)),
    }
}

/// `set server B/S agent…`, `check-addr`, `check-port`; `words` are those behind it.
fn set_check(word: &str, server: ServerName, stats: &ServerStats, words: &[&str]) -> Parsed {
    let value = words.first().copied().filter(|value| !value.is_empty());
    let is_agent = word.starts_with("agent");
    if is_agent && stats.agent.is_none() {
        let end = match word {
            "agent-addr" | "agent-port" => "",
            _ => ".",
        };
        return Err(error(format!(
            "agent checks are not enabled on this server{end}"
        )));
    }
    if !is_agent && stats.check.is_none() {
        return Err(error("health checks are not enabled on this server"));
    }
    let read_port = |word: &str| match word.parse::<i64>() {
        Err(_) => Err(error("provided port is not an integer")),
        Ok(port) => match u16::try_from(port) {
            Ok(port) => Ok(port),
            Err(_) => Err(error("provided port is invalid")),
        },
    };
    let (address, port) = match (word, value) {
        ("agent", value) => {
            let up = match value {
                Some("up") => true,
                Some("down") => false,
                _ => return Err(error("'set server <srv> agent' expects 'up' or 'down'.")),
            };
            return Ok(Operation::ServerAgentHealth { server, up });
        }
        ("agent-send", value) => {
            return Ok(Operation::ServerAgentTarget {
                server,
                address: None,
                port: None,
                send: Some(value.unwrap_or_default().to_owned()),
            });
        }
        ("agent-port" | "check-port", None) => {
            return Err(error(format!("set server <b>/<s> {word} requires a port.")));
        }
        ("agent-port" | "check-port", Some(value)) => (None, Some(read_port(value)?)),
        (_, None) => {
            return Err(error(format!(
                "set server <b>/<s> {word} requires an address and optionally a port."
            )));
        }
        (_, Some(value)) => {
            let Ok(address) = value.parse::<IpAddr>() else {
                return Err(error(format!("invalid addr '{value}'")));
            };
            let port = match (words.get(1), words.get(2)) {
                (Some(&"port"), Some(port)) => Some(read_port(port)?),
                _ => None,
            };
            (Some(address), port)
        }
    };
    Ok(match is_agent {
        true => Operation::ServerAgentTarget {
            server,
            address,
            port,
            send: None,
        },
        false => Operation::ServerCheckTarget {
            server,
            address,
            port,
        },
    })
}

pub(super) fn agent(words: &[&str], snapshot: &Snapshot, enabled: bool) -> Parsed {
    let (server, stats) = server(words.first(), snapshot)?;
    if enabled && stats.agent.is_none() {
        return Err(error(
            "Agent was not configured on this server, cannot enable.",
        ));
    }
    Ok(Operation::ServerAgent { server, enabled })
}

/// What HAProxy says after a change that it comments on.
pub(super) fn note(operation: &Operation, snapshot: &Snapshot) -> Option<String> {
    let Operation::ServerAddress {
        server: name,
        address,
        port,
    } = operation
    else {
        return None;
    };
    let (_, stats) = server(Some(&name.to_string().as_str()), snapshot).ok()?;
    let (old_address, old_port) = stats
        .address
        .rsplit_once(':')
        .unwrap_or((&stats.address, "0"));
    let mut parts = Vec::new();
    if let Some(address) = address {
        let address = address.to_string();
        let old = old_address.trim_matches(['[', ']']);
        parts.push(match old == address {
            true => "no need to change the addr".to_owned(),
            false => format!("IP changed from '{old}' to '{address}'"),
        });
    }
    if let Some(port) = port {
        parts.push(match old_port == port.to_string() {
            true => "no need to change the port".to_owned(),
            false => format!("port changed from '{old_port}' to '{port}'"),
        });
    }
    Some(format!("{} by 'stats socket command'", parts.join(", ")))
}

pub(super) fn frontend_enabled(words: &[&str], snapshot: &Snapshot, enabled: bool) -> Parsed {
    let (frontend, stats) = frontend(words.first(), snapshot)?;
    match (stats.status.as_str(), enabled) {
        ("OPEN", true) => Err(error("All sockets are already enabled.")),
        ("MAINT", false) => Err(error("All sockets are already disabled.")),
        _ => Ok(Operation::FrontendEnabled { frontend, enabled }),
    }
}

fn backend(word: Option<&&str>, snapshot: &Snapshot) -> Result<String, Answer> {
    let Some(name) = word.filter(|name| !name.is_empty()) else {
        return Err(error("A backend name is expected."));
    };
    views::proxies(snapshot)
        .find(|proxy| proxy.name == **name && proxy.backend.is_some())
        .map(|proxy| proxy.name.clone())
        .ok_or_else(|| Refusal::NoSuchBackend.into())
}

pub(super) fn dynamic_cookies(words: &[&str], snapshot: &Snapshot, enabled: bool) -> Parsed {
    let backend = backend(words.first(), snapshot)?;
    Ok(Operation::DynamicCookies { backend, enabled })
}

pub(super) fn dynamic_cookie_key(words: &[&str], snapshot: &Snapshot) -> Parsed {
    let backend = backend(words.first(), snapshot)?;
    match words.get(1).filter(|key| !key.is_empty()) {
        Some(key) => Ok(Operation::DynamicCookieKey {
            backend,
            key: (*key).to_owned(),
        }),
        None => Err(error("String value expected.")),
    }
}

pub(super) fn frontend_maxconn(words: &[&str], snapshot: &Snapshot) -> Parsed {
    let (frontend, _) = frontend(words.first(), snapshot)?;
    match words.get(1).and_then(|word| word.parse().ok()) {
        Some(maxconn) => Ok(Operation::FrontendMaxconn { frontend, maxconn }),
        None => Err(error("Integer value expected.")),
    }
}

pub(super) fn global_maxconn(words: &[&str], snapshot: &Snapshot) -> Parsed {
    let Some(maxconn) = words.first().and_then(|word| word.parse::<u32>().ok()) else {
        return Err(error("Expects an integer value."));
    };
    let most = snapshot
        .worker
        .as_ref()
        .map_or(u64::from(u32::MAX), |worker| worker.process.hard_maxconn);
    if most > 0 && u64::from(maxconn) > most {
        return Err(error("Value out of range."));
    }
    Ok(Operation::GlobalMaxconn { maxconn })
}

pub(super) fn rate_limit(words: &[&str], _: &Snapshot) -> Parsed {
    const USAGE: &str = "'set rate-limit' only supports :\n\
        \x20  - 'connections global' to set the per-process maximum connection rate\n\
        \x20  - 'sessions global' to set the per-process maximum session rate\n\
        \x20  - 'ssl-sessions global' to set the per-process maximum SSL session rate";
    let rate = match words.first().copied() {
        Some("connections") => GlobalRate::Connections,
        Some("sessions") => GlobalRate::Sessions,
        Some("ssl-sessions") => GlobalRate::TlsSessions,
        Some("http-compression") => {
            return Err(error(
                "'set rate-limit http-compression' is not supported yet.",
            ));
        }
        _ => return Err(error(USAGE)),
    };
    if words.get(1) != Some(&"global") {
        return Err(error(USAGE));
    }
    match words.get(2).map(|word| word.parse::<u32>()) {
        Some(Ok(limit)) if limit <= i32::MAX as u32 => Ok(Operation::RateLimit { rate, limit }),
        Some(Ok(_)) => Err(error("Value out of range.")),
        _ => Err(error("Expects an integer value.")),
    }
}

pub(super) fn server_maxconn(words: &[&str], snapshot: &Snapshot) -> Parsed {
    let (server, _) = server(words.first(), snapshot)?;
    match words.get(1).map(|word| word.parse()) {
        None => Err(error("Require <maxconn>.")),
        Some(Ok(maxconn)) => Ok(Operation::ServerMaxconn { server, maxconn }),
        Some(Err(_)) => Err(error("maxconn string empty or preceded by garbage")),
    }
}

pub(super) fn clear_counters(words: &[&str], _: &Snapshot) -> Parsed {
    Ok(Operation::ClearCounters {
        all: words.first() == Some(&"all"),
    })
}

pub(super) fn add_server(words: &[&str], snapshot: &Snapshot) -> Parsed {
    Ok(Operation::AddServer {
        server: name(words.first(), snapshot)?,
        words: words
            .iter()
            .skip(1)
            .map(|word| (*word).to_owned())
            .collect(),
    })
}

pub(super) fn del_server(words: &[&str], snapshot: &Snapshot) -> Parsed {
    let server = name(words.first(), snapshot)?;
    Ok(Operation::RemoveServer { server })
}

/// A server's name, of which the worker says whether there is one.
fn name(word: Option<&&str>, snapshot: &Snapshot) -> Result<ServerName, Answer> {
    let name = ServerName::parse(word.copied().unwrap_or_default())?;
    match snapshot.worker {
        Some(_) => Ok(name),
        None => Err(Refusal::NotRunning("The proxy worker".to_owned()).into()),
    }
}

pub(super) fn session_id(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

pub(super) fn shutdown_session(words: &[&str], _: &Snapshot) -> Parsed {
    let Some(word) = words.first() else {
        return Err(error("Session pointer expected (use 'show sess')."));
    };
    let id = session_id(word).ok_or(Refusal::NoSuchSession)?;
    Ok(Operation::ShutdownSession { id })
}

pub(super) fn shutdown_sessions(words: &[&str], snapshot: &Snapshot) -> Parsed {
    let (server, _) = server(words.first(), snapshot)?;
    Ok(Operation::ShutdownServerSessions { server })
}

pub(super) fn instance(words: &[&str], snapshot: &Snapshot) -> Result<String, Answer> {
    if !snapshot.vrrp_configured {
        return Err(error("VRRP is not configured."));
    }
    let Some(name) = words.first() else {
        return Err(error("A VRRP instance is expected (use 'show vrrp')."));
    };
    if snapshot.vrrp_running && !snapshot.vrrp.iter().any(|instance| instance.name == **name) {
        return Err(Refusal::NoSuchInstance((*name).to_owned()).into());
    }
    Ok((*name).to_owned())
}

pub(super) fn failover(words: &[&str], snapshot: &Snapshot) -> Parsed {
    let force = words.get(1) == Some(&"force");
    Ok(Operation::VrrpFailover {
        instance: instance(words, snapshot)?,
        force,
    })
}

pub(super) fn failback(words: &[&str], snapshot: &Snapshot) -> Parsed {
    Ok(Operation::VrrpFailback {
        instance: instance(words, snapshot)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read_as_haproxy_reads_them() {
        assert_eq!(weight_of(Some(&"50%")), Ok(WeightChange::Percent(50)));
        assert_eq!(weight_of(Some(&"256")), Ok(WeightChange::Absolute(256)));
        let refused = |word, text: &str| assert_eq!(weight_of(word), Err(error(text)));
        refused(
            Some(&"257"),
            "Absolute weight can only be between 0 and 256 inclusive.",
        );
        refused(
            Some(&"-1"),
            "Absolute weight can only be between 0 and 256 inclusive.",
        );
        refused(None, "Require <weight> or <weight%>.");
    }
}
