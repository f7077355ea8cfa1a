//! Words of `global_defs` about the daemon's own life: what runs before and after it, and how the kernel treats its
//! vrrp process.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::GlobalDefs;
use super::notify::{NotifyCommand, command};
use super::rare::Usual;
use super::tree::Statement;
use super::values::Complaints;
use crate::diagnostic::DiagnosticKind;

/// Time of a startup or shutdown script where none is configured.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest and shortest, in seconds.
const SCRIPT_SECONDS: std::ops::RangeInclusive<u64> = 1..=1_000;
/// `sched_get_priority_max(SCHED_RR)`.
const MAX_REALTIME: u8 = 99;
/// Most processors that can be named.
const MAX_CPUS: u16 = 1_024;
/// What may be written into `umask` beside a number: permissions by their names in sys/stat.h.
#[rustfmt::skip]
const PERMISSIONS: [(&str, u32); 12] = [
    ("IRGRP", 0o040), ("IROTH", 0o004), ("IRUSR", 0o400), ("IRWXG", 0o070), ("IRWXO", 0o007), ("IRWXU", 0o700),
    ("IWGRP", 0o020), ("IWOTH", 0o002), ("IWUSR", 0o200), ("IXGRP", 0o010), ("IXOTH", 0o001), ("IXUSR", 0o100),
];

/// `startup_script` or `shutdown_script`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifeScript {
    /// The command; none if nothing runs.
    pub command: Option<NotifyCommand>,
    /// `startup_script_timeout` and `shutdown_script_timeout`, 10 s by default: then it is killed.
    pub timeout: Duration,
}

/// How the kernel treats the vrrp process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduling {
    /// `vrrp_priority`, -20 to 19. A positive one takes the real-time scheduling away that the process has otherwise.
    pub nice: Option<i8>,
    /// `vrrp_rt_priority`, 1 to 99.
    pub realtime: Option<u8>,
    /// `vrrp_rlimit_rttime`: microseconds that it may compute without sleeping.
    pub realtime_limit_us: Option<u64>,
    /// `vrrp_cpu_affinity`; empty means all.
    pub cpus: Vec<u16>,
}

/// The daemon's own life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// `startup_script`: once, before other processes start.
    pub startup: LifeScript,
    /// `shutdown_script`: once, after all other processes have ended.
    pub shutdown: LifeScript,
    /// How the vrrp process is scheduled.
    pub scheduling: Scheduling,
    /// `umask`: permissions that files which the daemon makes do not have.
    pub umask: Option<u32>,
    /// `disable_local_igmp`: the kernel reports no memberships of 224.0.0.0/24.
    pub disable_local_igmp: bool,
    /// `log_unknown_vrids`.
    pub log_unknown_vrids: bool,
    /// `nftables` and its kin.
    pub filter: FilterTable,
}

/// The packet filter's table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterTable {
    /// `nftables NAME`; a name of our own where `nftables` is not written, `keepalived` where it has no name.
    pub name: Option<String>,
    /// `nftables_priority`, -1 by default.
    pub priority: i32,
    /// `nftables_counters`.
    pub counters: bool,
}

const NO_SCRIPT: LifeScript = LifeScript {
    command: None,
    timeout: SCRIPT_TIMEOUT,
};

impl Usual for Life {
    fn usual() -> &'static Self {
        static USUAL: Life = Life {
            startup: NO_SCRIPT,
            shutdown: NO_SCRIPT,
            scheduling: Scheduling {
                nice: None,
                realtime: None,
                realtime_limit_us: None,
                cpus: Vec::new(),
            },
            umask: None,
            disable_local_igmp: false,
            log_unknown_vrids: false,
            filter: FilterTable {
                name: None,
                priority: -1,
                counters: false,
            },
        };
        &USUAL
    }
}

/// Reads one of the keywords.
pub(super) fn read(
    global: &mut GlobalDefs,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    let mut life = (*global.life).clone();
    let scheduling = &mut life.scheduling;
    match statement.name() {
        "disable_local_igmp" => life.disable_local_igmp = true,
        "log_unknown_vrids" => life.log_unknown_vrids = true,
        "nftables" => filter_name(&mut life.filter, statement, complaints),
        "nftables_counters" => life.filter.counters = true,
        "nftables_priority" => {
            let found = number(statement, i32::MIN..=i32::MAX, complaints);
            life.filter.priority = found.unwrap_or(life.filter.priority);
        }
        "shutdown_script" => script(&mut life.shutdown, statement, complaints),
        "shutdown_script_timeout" => timeout(&mut life.shutdown, statement, complaints),
        "startup_script" => script(&mut life.startup, statement, complaints),
        "startup_script_timeout" => timeout(&mut life.startup, statement, complaints),
        "umask" => life.umask = umask(statement, complaints).or(life.umask),
        "vrrp_cpu_affinity" => cpus(&mut scheduling.cpus, statement, complaints),
        "vrrp_priority" => {
            scheduling.nice = number(statement, -20..=19, complaints).or(scheduling.nice);
        }
        "vrrp_rlimit_rttime" => {
            let found = number(statement, 2..=u64::MAX, complaints);
            scheduling.realtime_limit_us = found.or(scheduling.realtime_limit_us);
        }
        "vrrp_rt_priority" => {
            let found: Option<u32> = number(statement, 1..=u32::MAX, complaints);
            if let Some(priority) = found {
                let most = u32::from(MAX_REALTIME);
                if priority > most {
                    let message = format!("'vrrp_rt_priority' is {most} at most: {most} is used");
                    let span = statement.span();
                    complaints.warning(DiagnosticKind::InvalidValue, span, message);
                }
                let priority = u8::try_from(priority.min(most)).unwrap_or(MAX_REALTIME);
                scheduling.realtime = Some(priority);
            }
        }
        _ => {}
    }
    global.life = life.into();
}

/// A whole number within a range; what was before stays otherwise.
fn number<T: std::str::FromStr + PartialOrd + std::fmt::Display>(
    statement: &Statement,
    range: std::ops::RangeInclusive<T>,
    complaints: &mut Complaints<'_>,
) -> Option<T> {
    let found = statement.text(1).parse().ok();
    let found = found.filter(|value| range.contains(value));
    if found.is_none() {
        let wanted = format!("a number from {} to {}", range.start(), range.end());
        complaints.wrong(statement, &wanted);
    }
    found
}

fn script(script: &mut LifeScript, statement: &Statement, complaints: &mut Complaints<'_>) {
    if script.command.is_some() {
        let message = format!(
            "'{}' is already written: this one is ignored",
            statement.name()
        );
        return complaints.warning(DiagnosticKind::Duplicate, statement.span(), message);
    }
    script.command = command(statement, complaints);
}

fn timeout(script: &mut LifeScript, statement: &Statement, complaints: &mut Complaints<'_>) {
    if let Some(seconds) = number(statement, SCRIPT_SECONDS, complaints) {
        script.timeout = Duration::from_secs(seconds);
    }
}

fn cpus(list: &mut Vec<u16>, statement: &Statement, complaints: &mut Complaints<'_>) {
    if statement.words.len() == 1 {
        return complaints.missing(statement, "numbers of processors");
    }
    for word in statement.words.iter().skip(1) {
        match word.text.parse() {
            Ok(cpu) if cpu < MAX_CPUS && !list.contains(&cpu) => list.push(cpu),
            Ok(cpu) if cpu < MAX_CPUS => {}
            _ => complaints.left_out(
                word.span,
                format!(
                    "'{}' expects numbers of processors, found '{}'",
                    statement.name(),
                    word.text
                ),
            ),
        }
    }
}

/// A number (decimal, `0x…`, `0…`) or names of permissions with `|` between them.
fn umask(statement: &Statement, complaints: &mut Complaints<'_>) -> Option<u32> {
    let words: String = statement
        .words
        .iter()
        .skip(1)
        .map(|word| word.text.as_str())
        .collect();
    if words.is_empty() {
        complaints.lacking(statement, "a number or permissions");
        return None;
    }
    let number = match (words.strip_prefix("0x"), words.strip_prefix('0')) {
        (Some(digits), _) => u32::from_str_radix(digits, 16).ok(),
        (None, Some(digits)) if !digits.is_empty() => u32::from_str_radix(digits, 8).ok(),
        _ => words.parse().ok(),
    };
    let permission = |name: &str| {
        let mut all = PERMISSIONS.iter();
        Some(all.find(|(known, _)| *known == name)?.1)
    };
    let named = || {
        let all = words.split('|').map(permission);
        all.collect::<Option<Vec<_>>>()
            .map(|all| all.iter().fold(0, |all, one| all | one))
    };
    let found = number.or_else(named).filter(|mask| *mask <= 0o777);
    if found.is_none() {
        complaints.wrong(
            statement,
            "a number up to 0777, or permissions such as IWGRP|IWOTH",
        );
    }
    found
}

fn filter_name(filter: &mut FilterTable, statement: &Statement, complaints: &mut Complaints<'_>) {
    /// NFT_NAME_MAXLEN of the kernel is more; nft(8) shows names of this size well.
    const MAX_NAME_BYTES: usize = 128;
    const DEFAULT: &str = "keepalived";
    let name = match statement.words.get(1) {
        None => DEFAULT,
        Some(word) => word.text.as_str(),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !starts_well || !name.chars().all(plain) || name.len() > MAX_NAME_BYTES {
        return complaints.wrong(
            statement,
            "a table's name: a letter, then letters, digits, '_', '-', '.' and '/'",
        );
    }
    filter.name = Some(name.to_owned());
}

#[cfg(test)]
mod tests {
    use crate::{Input, load};

    fn life(lines: &str) -> (super::Life, usize) {
        let loaded = load(
            &[Input::text(
                "k.conf",
                format!("global_defs {{\n{lines}\n}}\n"),
            )],
            &|_| None,
        );
        let warnings = loaded
            .diagnostics
            .0
            .iter()
            .filter(|one| one.severity > crate::Severity::Notice)
            .count();
        assert!(!loaded.diagnostics.has_errors(), "{lines}");
        let config = loaded.keepalived.expect("a configuration");
        ((*config.global.life).clone(), warnings)
    }

    #[test]
    fn scripts_of_the_daemons_life_are_read() {
        let (found, 0) = life(
            "startup_script \"/bin/up a 'b c'\" root\nstartup_script_timeout 3\nshutdown_script /bin/down",
        ) else {
            panic!("a warning");
        };
        let startup = found.startup.command.expect("a script");
        assert_eq!(startup.argv, ["/bin/up", "a", "b c"]);
        assert_eq!(startup.user, Some(("root".to_owned(), None)));
        assert_eq!(found.startup.timeout.as_secs(), 3);
        assert_eq!(found.shutdown.timeout.as_secs(), 10);
        let (found, 3) = life(
            "startup_script /a\nstartup_script /b\nstartup_script_timeout 0\nshutdown_script_timeout 1001",
        ) else {
            panic!("other warnings");
        };
        assert_eq!(found.startup.command.expect("the first").argv, ["/a"]);
        assert_eq!(found.startup.timeout.as_secs(), 10);
    }

    #[test]
    fn scheduling_is_read_and_what_cannot_be_is_left_out() {
        let (found, 0) = life(
            "vrrp_priority -10\nvrrp_rt_priority 50\nvrrp_rlimit_rttime 20000\nvrrp_cpu_affinity 0 3 0",
        ) else {
            panic!("a warning");
        };
        let scheduling = found.scheduling;
        assert_eq!(
            (scheduling.nice, scheduling.realtime),
            (Some(-10), Some(50))
        );
        assert_eq!(scheduling.realtime_limit_us, Some(20_000));
        assert_eq!(scheduling.cpus, [0, 3]);
        let (found, 4) = life(
            "vrrp_priority -30\nvrrp_rt_priority 200\nvrrp_rlimit_rttime 1\nvrrp_cpu_affinity 1 0-1",
        ) else {
            panic!("other warnings");
        };
        let scheduling = found.scheduling;
        assert_eq!((scheduling.nice, scheduling.realtime), (None, Some(99)));
        assert_eq!(
            (scheduling.realtime_limit_us, scheduling.cpus),
            (None, vec![1])
        );
    }

    #[test]
    fn a_umask_is_a_number_or_names() {
        for (written, expected) in [
            ("022", Some(0o022)),
            ("18", Some(18)),
            ("0x12", Some(0x12)),
            ("0", Some(0)),
            ("IWGRP | IWOTH", Some(0o022)),
            ("IRWXG|IRWXO", Some(0o077)),
            ("foo", None),
            ("01000", None),
        ] {
            let (found, warnings) = life(&format!("umask {written}"));
            assert_eq!(
                (found.umask, warnings == 0),
                (expected, expected.is_some()),
                "{written}"
            );
        }
    }

    #[test]
    fn the_filters_table_has_a_name_and_a_priority() {
        let (found, 0) =
            life("nftables\nnftables_priority -5\nnftables_counters\nnftables_ifindex")
        else {
            panic!("a warning");
        };
        assert_eq!(found.filter.name.as_deref(), Some("keepalived"));
        assert_eq!((found.filter.priority, found.filter.counters), (-5, true));
        assert_eq!(life("nftables lb-1").0.filter.name.as_deref(), Some("lb-1"));
        assert_eq!(life("nftables 1").1, 1);
    }
}
