//! How figures and moments read: short, the same on every screen and in every command.

use std::time::Duration;

/// A span in at most two units: `0s`, `42s`, `3m10s`, `2h05m`, `4d06h`.
///
/// ```
/// assert_eq!(tandem_client::words::span(190_000), "3m10s");
/// ```
pub fn span(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// A clock's face in UTC: `07:03:09`.
pub fn clock(at_ms: u64) -> String {
    let seconds = at_ms / 1000 % 86_400;
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3_600,
        seconds % 3_600 / 60,
        seconds % 60
    )
}

/// A moment in UTC as RFC 3339: `2026-11-23T07:03:09.120Z`.
pub fn moment(at_ms: u64) -> String {
    let (year, month, day) = civil(at_ms / 86_400_000);
    format!(
        "{year:04}-{month:02}-{day:02}T{}.{:03}Z",
        clock(at_ms),
        at_ms % 1000
    )
}

/// The Gregorian date of a day counted from 1970-01-01, by counting years of 365.2425 days from March.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// A count in at most four figures and a unit: `999`, `12.3k`, `4.1M`.
pub fn count(value: u64) -> String {
    let scaled =
        |unit: u64, letter: char| format!("{}.{}{letter}", value / unit, value % unit * 10 / unit);
    match value {
        0..10_000 => value.to_string(),
        10_000..1_000_000 => scaled(1_000, 'k'),
        1_000_000..1_000_000_000 => scaled(1_000_000, 'M'),
        _ => scaled(1_000_000_000, 'G'),
    }
}

/// `1 session`, `2 sessions`.
pub fn plural(number: u64, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// The share of `part` in `whole` in per cent, rounded; 0 of 0 is 0.
pub fn percent(part: u64, whole: u64) -> u64 {
    (part.saturating_mul(100) + whole / 2)
        .checked_div(whole)
        .unwrap_or(0)
}

/// Reads a span of the command line: `60s`, `5m`, `500ms`, `2h`, or plain seconds.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let wrong = || format!("'{text}' is no span of time; expected 60s, 5m, 500ms or 2h");
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_millis(number.saturating_mul(unit_ms)))
}

/// Cuts a text to a number of characters, the last of which says that it was cut.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

/// A text in lines of at most `width`, broken between words; the lines after the first are indented.
pub fn wrap(text: &str, width: usize, indent: usize) -> Vec<String> {
    let words = text.trim_start();
    let mut line = " ".repeat(text.len() - words.len());
    let mut lines = Vec::new();
    for word in words.split(' ') {
        let started = !line.trim().is_empty();
        if started && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
        } else if started {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    // A word longer than a line is cut, not broken: it is an address or a path.
    lines.iter().map(|line| cut(line, width.max(1))).collect()
}

/// Control characters of a foreign text become spaces, so that no peer writes on our terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_in_two_units() {
        for (milliseconds, expected) in [
            (999, "0s"),
            (59_999, "59s"),
            (61_000, "1m01s"),
            (7_500_000, "2h05m"),
            (367_200_000, "4d06h"),
        ] {
            assert_eq!(span(milliseconds), expected);
        }
    }

    #[test]
    fn spans_are_read_back() {
        assert_eq!(parse_span("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(parse_span("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_span("7"), Ok(Duration::from_secs(7)));
        assert!(parse_span("s").is_err());
        assert!(parse_span("1y").is_err());
        assert!(parse_span("").is_err());
    }

    #[test]
    fn a_moment_is_a_date_of_the_gregorian_calendar() {
        assert_eq!(moment(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(moment(1_709_164_800_123), "2024-02-29T00:00:00.123Z");
        assert_eq!(moment(1_795_399_389_000), "2026-11-23T02:03:09.000Z");
    }

    #[test]
    fn texts_are_wrapped_between_words_with_an_indent() {
        assert_eq!(wrap("  one two three", 9, 4), ["  one two", "    three"]);
        assert_eq!(wrap("one", 9, 4), ["one"]);
        assert_eq!(wrap("a 0123456789", 6, 2), ["a", "  012…"]);
    }

    #[test]
    fn counts_and_shares_are_short() {
        assert_eq!(count(9_999), "9999");
        assert_eq!(count(12_345), "12.3k");
        assert_eq!(percent(1, 3), 33);
        assert_eq!(percent(1, 0), 0);
        assert_eq!(cut("Connection refused", 8), "Connect…");
        assert_eq!(printable("a\u{1b}[31mb"), "a [31mb");
    }
}
