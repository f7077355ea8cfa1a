//! Time stamps of log lines, kept per second and thread.

use std::cell::RefCell;

use super::date::Civil;
use super::local_time;

struct Kept {
    second: u64,
    local: Civil,
    offset_seconds: i64,
    /// The texts of usual lines.
    clf: Vec<u8>,
    rfc3164: Vec<u8>,
}

impl Kept {
    fn new(second: u64) -> Self {
        let offset_seconds = local_time::offset_seconds(second as i64);
        let local = Civil::of(second as i64 + offset_seconds);
        let (mut short, mut rfc3164) = (Vec::new(), Vec::new());
        clf(&local, &mut short);
        append(
            &mut rfc3164,
            format_args!(
                "{} {:2} {:02}:{:02}:{:02}",
                local.month_name(),
                local.day,
                local.hour,
                local.minute,
                local.second
            ),
        );
        Self {
            second,
            local,
            offset_seconds,
            clf: short,
            rfc3164,
        }
    }
}

thread_local! {
    static KEPT: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

fn with_kept<R>(wall_us: u64, run: impl FnOnce(&Kept) -> R) -> R {
    let second = wall_us / 1_000_000;
    KEPT.with_borrow_mut(|kept| {
        match kept {
            Some(kept) if kept.second == second => {}
            _ => *kept = None,
        }
        run(kept.get_or_insert_with(|| Kept::new(second)))
    })
}

fn with_local<R>(wall_us: u64, run: impl FnOnce(&Civil, i64) -> R) -> R {
    with_kept(wall_us, |kept| run(&kept.local, kept.offset_seconds))
}

/// `23/Nov/2026:02:16:00.123`, local time.
pub(super) fn write_clf_ms(wall_us: u64, out: &mut Vec<u8>) {
    with_kept(wall_us, |kept| out.extend_from_slice(&kept.clf));
    let ms = wall_us / 1_000 % 1_000;
    let digit = |value: u64| b'0' + (value % 10) as u8;
    out.extend_from_slice(&[b'.', digit(ms / 100), digit(ms / 10), digit(ms)]);
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
    with_kept(wall_us, |kept| out.extend_from_slice(&kept.rfc3164));
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
