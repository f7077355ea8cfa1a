//! The local time zone of log lines: a TZif file (RFC 9636), read once before the chroot takes it away.

use std::sync::OnceLock;

use super::date::{Civil, seconds_of};

static ZONE: OnceLock<Zone> = OnceLock::new();

/// Largest zone file that is read, in bytes.
const MAX_ZONE_BYTES: usize = 1 << 20;

/// Reads `TZ` or `/etc/localtime`. Later calls change nothing; without a file it is UTC.
pub fn load() {
    ZONE.get_or_init(|| read().unwrap_or_default());
}

/// Seconds to add to UTC at a moment (seconds since 1970).
pub fn offset_seconds(at: i64) -> i64 {
    ZONE.get_or_init(|| read().unwrap_or_default()).offset(at)
}

fn read() -> Option<Zone> {
    let path = match std::env::var("TZ") {
        Ok(name) if name.is_empty() => return None,
        Ok(name) => {
            let name = name.trim_start_matches(':').to_owned();
            if name.starts_with('/') {
                name
            } else {
                format!("/usr/share/zoneinfo/{name}")
            }
        }
        Err(_) => "/etc/localtime".to_owned(),
    };
    match std::fs::read(path) {
        Ok(bytes) if bytes.len() <= MAX_ZONE_BYTES => Zone::parse(&bytes),
        // A TZ that names no file may be a rule itself (`CET-1CEST,M3.5.0,M10.5.0/3`).
        _ => Some(Zone {
            transitions: Vec::new(),
            first_offset: 0,
            rule: Some(Rule::parse(&std::env::var("TZ").ok()?)?),
        }),
    }
}

/// A zone: its changes of offset, and the rule for all that comes after them.
#[derive(Debug, Default)]
struct Zone {
    /// Moment, and offset from it on.
    transitions: Vec<(i64, i64)>,
    first_offset: i64,
    rule: Option<Rule>,
}

impl Zone {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let first = Header::read(&mut reader)?;
        if first.version < 2 {
            return Self::parse_block(&mut reader, &first, 4);
        }
        reader.take(first.block_bytes(4)?)?;
        let second = Header::read(&mut reader)?;
        let mut zone = Self::parse_block(&mut reader, &second, 8)?;
        let footer = reader.0.strip_prefix(b"\n")?;
        let end = memchr::memchr(b'\n', footer)?;
        zone.rule = Rule::parse(std::str::from_utf8(&footer[..end]).ok()?);
        Some(zone)
    }

    fn parse_block(reader: &mut Reader<'_>, header: &Header, width: usize) -> Option<Self> {
        let times = reader.take(header.times.checked_mul(width)?)?;
        let kinds = reader.take(header.times)?;
        let types = reader.take(header.types.checked_mul(6)?)?;
        reader.take(header.characters)?;
        reader.take(header.leaps.checked_mul(width + 4)?)?;
        reader.take(header.standards)?;
        reader.take(header.universals)?;
        let offset = |kind: usize| {
            let bytes = types.get(kind * 6..kind * 6 + 4)?;
            Some(i64::from(i32::from_be_bytes(bytes.try_into().ok()?)))
        };
        let transitions = times
            .chunks_exact(width)
            .zip(kinds)
            .map(|(time, kind)| {
                let at = if width == 8 {
                    i64::from_be_bytes(time.try_into().ok()?)
                } else {
                    i64::from(i32::from_be_bytes(time.try_into().ok()?))
                };
                Some((at, offset(usize::from(*kind))?))
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self {
            transitions,
            first_offset: offset(0)?,
            rule: None,
        })
    }

    fn offset(&self, at: i64) -> i64 {
        let after = self.transitions.partition_point(|(from, _)| *from <= at);
        match (&self.rule, after.checked_sub(1)) {
            (Some(rule), _) if after == self.transitions.len() => rule.offset(at),
            (_, Some(index)) => self.transitions[index].1,
            (_, None) => self.first_offset,
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

/// RFC 9636 3.1: the counts of a block.
struct Header {
    version: u8,
    universals: usize,
    standards: usize,
    leaps: usize,
    times: usize,
    types: usize,
    characters: usize,
}

impl Header {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let bytes = reader.take(44)?;
        if !bytes.starts_with(b"TZif") {
            return None;
        }
        let count = |index: usize| {
            let at = 20 + index * 4;
            let number: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
            usize::try_from(u32::from_be_bytes(number)).ok()
        };
        Some(Self {
            version: bytes[4].saturating_sub(b'0'),
            universals: count(0)?,
            standards: count(1)?,
            leaps: count(2)?,
            times: count(3)?,
            types: count(4)?,
            characters: count(5)?,
        })
    }

    fn block_bytes(&self, width: usize) -> Option<usize> {
        (self.times.checked_mul(width + 1)?)
            .checked_add(self.types.checked_mul(6)?)?
            .checked_add(self.characters)?
            .checked_add(self.leaps.checked_mul(width + 4)?)?
            .checked_add(self.standards)?
            .checked_add(self.universals)
    }
}

/// A rule such as `CET-1CEST,M3.5.0,M10.5.0/3` (POSIX 8.3, `TZ`). Only the `M` form of days is written today.
#[derive(Debug, PartialEq, Eq)]
struct Rule {
    standard: i64,
    summer: Option<Summer>,
}

#[derive(Debug, PartialEq, Eq)]
struct Summer {
    offset: i64,
    start: Day,
    end: Day,
}

/// Month, week (5 is the last), weekday, seconds of local time.
#[derive(Debug, PartialEq, Eq)]
struct Day {
    month: u32,
    week: u32,
    weekday: u32,
    seconds: i64,
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let rest = skip_name(text)?;
        let (standard, rest) = parse_time(rest)?;
        let standard = -standard;
        if rest.is_empty() {
            return Some(Self {
                standard,
                summer: None,
            });
        }
        let rest = skip_name(rest)?;
        let (offset, rest) = match rest.strip_prefix(',') {
            Some(_) => (standard + 3_600, rest),
            None => {
                let (offset, rest) = parse_time(rest)?;
                (-offset, rest)
            }
        };
        let mut days = rest.strip_prefix(',')?.split(',');
        let summer = Summer {
            offset,
            start: Day::parse(days.next()?)?,
            end: Day::parse(days.next()?)?,
        };
        Some(Self {
            standard,
            summer: Some(summer),
        })
    }

    fn offset(&self, at: i64) -> i64 {
        let Some(summer) = &self.summer else {
            return self.standard;
        };
        let year = Civil::of(at + self.standard).year;
        let start = summer.start.moment(year) - self.standard;
        let end = summer.end.moment(year) - summer.offset;
        let is_summer = if start <= end {
            (start..end).contains(&at)
        } else {
            // South of the equator summer spans the turn of the year.
            !(end..start).contains(&at)
        };
        if is_summer {
            summer.offset
        } else {
            self.standard
        }
    }
}

impl Day {
    fn parse(text: &str) -> Option<Self> {
        let (date, time) = match text.split_once('/') {
            Some((date, time)) => (date, parse_time(time)?.0),
            None => (text, 7_200),
        };
        let mut numbers = date
            .strip_prefix('M')?
            .split('.')
            .map(|number| number.parse::<u32>().ok());
        let (month, week, weekday) = (numbers.next()??, numbers.next()??, numbers.next()??);
        ((1..=12).contains(&month) && (1..=5).contains(&week) && weekday <= 6).then_some(Self {
            month,
            week,
            weekday,
            seconds: time,
        })
    }

    /// Seconds since 1970 in local time.
    fn moment(&self, year: i64) -> i64 {
        let first = seconds_of(year, self.month, 1, 0, 0, 0);
        let first_weekday = Civil::of(first).weekday;
        let mut day = i64::from((self.weekday + 7 - first_weekday) % 7 + 7 * (self.week - 1));
        let length = match self.month {
            12 => 31,
            month => (seconds_of(year, month + 1, 1, 0, 0, 0) - first) / 86_400,
        };
        while day >= length {
            day -= 7;
        }
        first + day * 86_400 + self.seconds
    }
}

/// Skips `CET` or `<+0330>`.
fn skip_name(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix('<') {
        return rest.split_once('>').map(|(_, rest)| rest);
    }
    let end = text.find(|at: char| !at.is_ascii_alphabetic())?;
    (end >= 3).then(|| &text[end..])
}

/// `[+-]hh[:mm[:ss]]` in seconds, and what follows.
fn parse_time(text: &str) -> Option<(i64, &str)> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let end = rest
        .find(|at: char| !(at.is_ascii_digit() || at == ':'))
        .unwrap_or(rest.len());
    let mut total = 0;
    for (part, unit) in rest[..end].split(':').zip([3_600, 60, 1]) {
        total += part.parse::<i64>().ok().filter(|number| *number <= 167)? * unit;
    }
    Some((sign * total, &rest[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: &str, at: (i64, u32, u32, u32), expected: i64) {
        let rule = Rule::parse(rule).expect("a rule");
        let (year, month, day, hour) = at;
        assert_eq!(
            rule.offset(seconds_of(year, month, day, hour, 0, 0)),
            expected
        );
    }

    #[test]
    fn rules_give_offsets() {
        let berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
        check(berlin, (2026, 3, 29, 0), 3_600);
        check(berlin, (2026, 3, 29, 1), 7_200);
        check(berlin, (2026, 10, 25, 0), 7_200);
        check(berlin, (2026, 10, 25, 1), 3_600);
        check("<+0330>-3:30", (2026, 7, 1, 0), 12_600);
        check("AEST-10AEDT,M10.1.0,M4.1.0/3", (2026, 1, 1, 0), 39_600);
        check("AEST-10AEDT,M10.1.0,M4.1.0/3", (2026, 7, 1, 0), 36_000);
        check("EST5EDT,M3.2.0,M11.1.0", (2026, 7, 1, 0), -14_400);
    }

    #[test]
    fn zone_files_are_read() {
        let Ok(bytes) = std::fs::read("/usr/share/zoneinfo/Europe/Berlin") else {
            eprintln!("skipped: no zone files here");
            return;
        };
        let zone = Zone::parse(&bytes).expect("a zone");
        assert_eq!(zone.offset(seconds_of(2000, 1, 1, 0, 0, 0)), 3_600);
        assert_eq!(zone.offset(seconds_of(2026, 7, 1, 0, 0, 0)), 7_200);
        assert!(Zone::parse(&bytes[..40]).is_none());
    }
}
