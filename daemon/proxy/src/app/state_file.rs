//! `server-state-file` and its kin: states of servers as `show servers state` printed them, applied at the start of the daemon.
//! A reload hands the states over itself, which are newer than any file.
//!
//! HAProxy's management manual, `show servers state`, version 1 of the format.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use config::haproxy::{LoadState, ServerAddress};
use protocol::operation::ServerAdmin;
use protocol::snapshot::{AdminCause, Operational};

use super::Shared;
use crate::state::{CHECK_WORDS, Server};

/// The largest file that is read: some 100,000 servers.
const MAX_FILE_BYTES: u64 = 32 << 20;
/// Fields of a line that must be there; those after them came with later versions.
const NEEDED_FIELDS: usize = 19;
/// Malformed lines that are told of each file; the rest is counted.
const MAX_COMPLAINTS: usize = 10;

// Bits of `srv_admin_state` and `srv_check_state`.
const FORCED_MAINTENANCE: u8 = 0x01;
const FORCED_DRAIN: u8 = 0x08;
const CHECK_CONFIGURED: u8 = 0x02;
const CHECK_ENABLED: u8 = 0x04;

/// A server's line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    backend: String,
    server: String,
    address: String,
    /// 0 is down; 1 to 3 are kinds of being up.
    is_up: bool,
    admin: u8,
    user_weight: u32,
    initial_weight: u32,
    check_word: &'static str,
    check_health: u32,
    check_state: u8,
    fqdn: String,
    port: u16,
}

/// Applies the files that the configuration names.
pub(super) fn apply(shared: &Shared) {
    let global = &shared.config.global;
    let base = global
        .server_state_base
        .as_deref()
        .map_or_else(PathBuf::new, PathBuf::from);
    let mut files: HashMap<PathBuf, Vec<Line>> = HashMap::new();
    for backend in &shared.backends {
        let Some(proxy) = shared.config.proxies.get(backend.config_index) else {
            continue;
        };
        let path = match (proxy.load_state, &global.server_state_file) {
            (LoadState::None, _) | (LoadState::Global, None) => continue,
            (LoadState::Global, Some(file)) => base.join(file),
            (LoadState::Local, _) => base.join(proxy.state_file.as_ref().unwrap_or(&backend.name)),
        };
        let lines = files.entry(path).or_insert_with_key(|path| read(path));
        let by_name: HashMap<&str, &Line> = lines
            .iter()
            .filter(|line| line.backend == backend.name)
            .map(|line| (line.server.as_str(), line))
            .collect();
        for server in backend.servers.now().iter() {
            if let Some(line) = by_name.get(server.name.as_str()) {
                take(server, line);
            }
        }
        backend.servers_changed();
    }
}

/// The good lines of a file. What is wrong is logged: a missing file or an unknown version as a whole, other things by line.
fn read(path: &Path) -> Vec<Line> {
    let shown = path.display();
    let text = match std::fs::metadata(path).and_then(|data| {
        if data.len() > MAX_FILE_BYTES {
            return Err(std::io::Error::other("it is too large"));
        }
        std::fs::read_to_string(path)
    }) {
        Ok(text) => text,
        Err(error) => {
            tracing::warn!("state file {shown}: {error}; servers start as configured");
            return Vec::new();
        }
    };
    let (lines, complaints) = parse(&text);
    for complaint in complaints.iter().take(MAX_COMPLAINTS) {
        tracing::warn!("state file {shown}: {complaint}");
    }
    if complaints.len() > MAX_COMPLAINTS {
        let more = complaints.len() - MAX_COMPLAINTS;
        tracing::warn!("state file {shown}: {more} more lines are malformed");
    }
    lines
}

fn parse(text: &str) -> (Vec<Line>, Vec<String>) {
    let mut numbered = text.lines().enumerate();
    let version = numbered.next().map_or("", |(_, line)| line.trim());
    if version != "1" {
        let complaint = format!("version '{version}' is not 1; servers start as configured");
        return (Vec::new(), vec![complaint]);
    }
    let (mut lines, mut complaints) = (Vec::new(), Vec::new());
    for (index, text) in numbered {
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        match line(text) {
            Ok(line) => lines.push(line),
            Err(reason) => complaints.push(format!("line {} is left out: {reason}", index + 1)),
        }
    }
    (lines, complaints)
}

fn line(text: &str) -> Result<Line, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() < NEEDED_FIELDS {
        return Err(format!(
            "{} fields, at least {NEEDED_FIELDS} are needed",
            words.len()
        ));
    }
    let number = |at: usize, name: &str, most: u32| -> Result<u32, String> {
        let word = words[at];
        word.parse()
            .ok()
            .filter(|number| *number <= most)
            .ok_or_else(|| format!("{name} is '{word}', not a number up to {most}"))
    };
    let check_status = number(10, "srv_check_status", 255)?;
    number(11, "srv_check_result", 4)?;
    Ok(Line {
        backend: words[1].to_owned(),
        server: words[3].to_owned(),
        address: words[4].to_owned(),
        is_up: number(5, "srv_op_state", 3)? != 0,
        admin: number(6, "srv_admin_state", 0x7f)? as u8,
        user_weight: number(7, "srv_uweight", 256)?,
        initial_weight: number(8, "srv_iweight", 256)?,
        check_word: check_word_of(check_status),
        check_health: number(12, "srv_check_health", u32::MAX)?,
        check_state: number(13, "srv_check_state", 0x1f)? as u8,
        fqdn: words[17].to_owned(),
        port: number(18, "srv_port", u32::from(u16::MAX))? as u16,
    })
}

/// The word of a number of `srv_check_status`: those that `show servers state` prints.
fn check_word_of(number: u32) -> &'static str {
    let known = match number {
        4 => "SOCKERR",
        6 => "L4OK",
        7 => "L4TOUT",
        8 => "L4CON",
        9 => "L6OK",
        10 => "L6TOUT",
        11 => "L6RSP",
        12 => "L7TOUT",
        13 => "L7RSP",
        15 => "L7OK",
        16 => "L7OKC",
        17 => "L7STS",
        _ => "INI",
    };
    debug_assert!(CHECK_WORDS.contains(&known));
    known
}

/// What HAProxy takes of a line: a weight where the file's configured one is ours, the address of a server with a name, the
/// port, maintenance and drain that were forced, what the checks had found. Maintenance by the configuration stays its own.
fn take(server: &Server, line: &Line) {
    if line.initial_weight == u32::from(server.config.weight) {
        server.user_weight.store(line.user_weight, Relaxed);
    }
    take_address(server, line);
    let mut health = server.health.lock().unwrap_or_else(PoisonError::into_inner);
    if health.admin_cause != AdminCause::Configuration {
        if line.admin & FORCED_MAINTENANCE != 0 {
            (health.admin, health.admin_cause) = (ServerAdmin::Maint, AdminCause::Operator);
        } else if line.admin & FORCED_DRAIN != 0 {
            (health.admin, health.admin_cause) = (ServerAdmin::Drain, AdminCause::Operator);
        }
    }
    if let Some(check) = &server.config.check {
        let (rise, fall) = (check.rise.max(1), check.fall.max(1));
        if line.check_state & CHECK_CONFIGURED != 0 {
            health.checks_enabled = line.check_state & CHECK_ENABLED != 0;
            health.check_status = line.check_word;
        }
        let is_maintained = line.admin & FORCED_MAINTENANCE != 0;
        if line.is_up {
            let full = rise + fall - 1;
            health.health = line.check_health.clamp(rise, full);
            health.operational = if health.health < full {
                Operational::GoingDown
            } else {
                Operational::Up
            };
        } else if !is_maintained {
            health.health = line.check_health.min(rise - 1);
            health.operational = if health.health > 0 {
                Operational::GoingUp
            } else {
                Operational::Down
            };
        }
    }
    drop(health);
    server.publish();
}

fn take_address(server: &Server, line: &Line) {
    let Some(mut address) = server.address.load().as_deref().copied() else {
        return;
    };
    let before = address;
    let ServerAddress::Host { host, .. } = &server.config.address else {
        return;
    };
    if *host == line.fqdn
        && let Ok(ip) = line.address.parse::<IpAddr>()
    {
        address.set_ip(ip);
    }
    if line.port != 0 {
        address.set_port(line.port);
    }
    if address != before {
        server.address.store(Some(Arc::new(address)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "2 b 1 s1 10.0.0.1 2 8 5 10 100 6 3 4 6 0 0 0 - 80 - 0 0 - - 0";

    #[test]
    fn a_line_of_show_servers_state_is_read() {
        let (lines, complaints) = parse(&format!("1\n# names\n\n{GOOD}\n"));
        assert_eq!(complaints, Vec::<String>::new());
        let [line] = &lines[..] else {
            panic!("{lines:?}")
        };
        assert_eq!((line.backend.as_str(), line.server.as_str()), ("b", "s1"));
        assert!(line.is_up && line.admin == FORCED_DRAIN);
        assert_eq!((line.user_weight, line.initial_weight), (5, 10));
        assert_eq!((line.check_word, line.check_health), ("L4OK", 4));
        assert_eq!((line.fqdn.as_str(), line.port), ("-", 80));
    }

    #[test]
    fn malformed_lines_are_left_out_and_told_by_number() {
        let check = |wrong: &str, wanted: &str| {
            let (lines, complaints) = parse(&format!("1\n# names\n{wrong}\n{GOOD}\n"));
            assert_eq!(lines.len(), 1, "{wrong}");
            assert_eq!(complaints.len(), 1, "{wrong}");
            assert!(complaints[0].starts_with("line 3 "), "{complaints:?}");
            assert!(complaints[0].contains(wanted), "{complaints:?}");
        };
        check("2 b 1 s1 10.0.0.1", "5 fields");
        check(&GOOD.replace(" 2 8 5", " 9 8 5"), "srv_op_state is '9'");
        check(&GOOD.replace(" 8 5 10", " 8 x 10"), "srv_uweight is 'x'");
        check(
            &GOOD.replace(" 8 5 10", " 8 300 10"),
            "srv_uweight is '300'",
        );
        check(&GOOD.replace(" - 80 ", " - 70000 "), "srv_port is '70000'");
        let (lines, complaints) = parse(&format!("2\n{GOOD}\n"));
        assert!(lines.is_empty() && complaints[0].contains("version '2'"));
        assert!(parse("").0.is_empty());
    }
}
