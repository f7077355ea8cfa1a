//! Time stamps of log lines, kept per second and thread.

use std::cell::RefCell;

use super::date::Civil;
use super::local_time;

struct Kept {
    second: u64,
    local: Civil,
    offset_seconds: i64,
}

thread_local! {
    static KEPT: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

fn with_local<R>(wall_us: u64, run: impl FnOnce(&Civil, i64) -> R) -> R {
    let second = wall_us / 1_000_000;
    KEPT.with_borrow_mut(|kept| {
        if kept.as_ref().is_none_or(|kept| kept.second != second) {
            let offset_seconds = local_time::offset_seconds(second as i64);
            *kept = Some(Kept {
                second,
                local: Civil::of(second as i64 + offset_seconds),
                offset_seconds,
            });
        }
        match kept {
            Some(kept) => run(&kept.local, kept.offset_seconds),
            None => run(&Civil::of(second as i64), 0),
        }
    })
}

/// `23/Nov/2026:02:16:00.123`, local time.
pub(super) fn write_clf_ms(wall_us: u64, out: &mut Vec<u8>) {
    with_local(wall_us, |date, _| {
        clf(date, out);
        append(out, format_args!(".{:03}", wall_us / 1_000 % 1_000));
    });
}

/// The same as text.
pub fn clf_date(wall_us: u64) -> String {
    let mut text = Vec::new();
    write_clf_ms(wall_us, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// `23/Nov/2026:02:16:00 +0000`, in GMT.
pub(super) fn write_gmt(wall_us: u64, out: &mut Vec<u8>) {
    clf(&Civil::of((wall_us / 1_000_000) as i64), out);
    out.extend_from_slice(b" +0000");
}

/// `23/Nov/2026:03:16:00 +0100`, local time, with or without milliseconds.
pub(super) fn write_local(wall_us: u64, with_ms: bool, out: &mut Vec<u8>) {
    with_local(wall_us, |date, offset| {
        clf(date, out);
        if with_ms {
            append(out, format_args!(".{:03}", wall_us / 1_000 % 1_000));
        }
        let minutes = offset.abs() / 60;
        append(
            out,
            format_args!(
                " {}{:02}{:02}",
                if offset < 0 { '-' } else { '+' },
                minutes / 60,
                minutes % 60
            ),
        );
    });
}

/// `Nov 23 02:16:00` (RFC 3164 4.1.2: a day below 10 has a leading blank).
pub(super) fn write_rfc3164(wall_us: u64, out: &mut Vec<u8>) {
    with_local(wall_us, |date, _| {
        append(
            out,
            format_args!(
                "{} {:2} {:02}:{:02}:{:02}",
                date.month_name(),
                date.day,
                date.hour,
                date.minute,
                date.second
            ),
        );
    });
}

/// `2026-11-23T02:16:00+00:00` (RFC 5424 6.2.3), with microseconds if wanted.
pub(super) fn write_iso(wall_us: u64, with_us: bool, out: &mut Vec<u8>) {
    with_local(wall_us, |date, offset| {
        append(
            out,
            format_args!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
                date.year, date.month, date.day, date.hour, date.minute, date.second
            ),
        );
        if with_us {
            append(out, format_args!(".{:06}", wall_us % 1_000_000));
        }
        let minutes = offset.abs() / 60;
        append(
            out,
            format_args!(
                "{}{:02}:{:02}",
                if offset < 0 { '-' } else { '+' },
                minutes / 60,
                minutes % 60
            ),
        );
    });
}

fn clf(date: &Civil, out: &mut Vec<u8>) {
    append(
        out,
        format_args!(
            "{:02}/{}/{:04}:{:02}:{:02}:{:02}",
            date.day,
            date.month_name(),
            date.year,
            date.hour,
            date.minute,
            date.second
        ),
    );
}

fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    use std::io::Write;
    // Writing to a vector does not fail.
    let _ = out.write_fmt(text);
}
