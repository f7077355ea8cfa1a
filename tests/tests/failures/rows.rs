//! Rows that are played on both programs: each has a frontend and a backend of its own in one configuration, all are played
//! side by side, and what the client got and what the log says are compared.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tandem_tests::beside::{BOTH, Differences, Side, Which, free_port};
use tandem_tests::{Failure, Outcome, certificate};

/// How many rows are played at a time: they wait for timeouts most of their time.
const TOGETHER: usize = 16;

/// What a client saw.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// In a form that can be compared.
    pub(crate) text: String,
    /// How many log lines come of it at least.
    pub(crate) lines: usize,
}

impl Seen {
    /// What came with one log line.
    pub(crate) fn one(text: impl Into<String>) -> Seen {
        Seen {
            text: text.into(),
            lines: 1,
        }
    }
}

/// What of a row is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// What the client got.
    Answer,
    /// The lines of the log.
    Log,
}

/// Where we differ from haproxy 2.6.12 on purpose.
pub(crate) struct Own {
    pub(crate) part: Part,
    /// What ours holds.
    pub(crate) ours: &'static str,
    /// Why that is right.
    pub(crate) why: &'static str,
    /// haproxy's is decided by which of two events it sees first, so that it may be the same as ours.
    pub(crate) races: bool,
}

/// A client: it is given the address of the row's frontend.
pub(crate) type Client = Box<dyn Fn(SocketAddr) -> Outcome<Seen> + Send + Sync>;

/// A row.
pub(crate) struct Row {
    pub(crate) name: String,
    /// Words behind the address of `bind`.
    pub(crate) bind: &'static str,
    /// Lines of the frontend.
    pub(crate) front: String,
    /// Lines of the backend.
    pub(crate) back: String,
    pub(crate) client: Client,
    pub(crate) own: Vec<Own>,
}

/// What both parts were on one side.
type Done = (String, Vec<String>);

/// Plays rows on both sides, `defaults` being added to the defaults section, and compares.
pub(crate) fn compare(rows: &[Row], defaults: &str) -> Outcome {
    let [theirs, ours] = std::thread::scope(|scope| {
        let running = BOTH.map(|which| scope.spawn(move || on_side(which, rows, defaults)));
        running.map(|thread| thread.join().expect("a side does not panic"))
    });
    let mut differences = Differences::default();
    for ((row, theirs), ours) in rows.iter().zip(theirs?).zip(ours?) {
        match (theirs, ours) {
            (Ok(theirs), Ok(ours)) => {
                part(row, Part::Answer, &theirs.0, &ours.0, &mut differences);
                let (theirs, ours) = (theirs.1.join("\n"), ours.1.join("\n"));
                part(row, Part::Log, &theirs, &ours, &mut differences);
            }
            (theirs, ours) => {
                for failed in [theirs.err(), ours.err()].into_iter().flatten() {
                    differences.note(&format!("{}: {failed}", row.name));
                }
            }
        }
    }
    let differing: usize = rows.iter().map(|row| row.own.len()).sum();
    println!(
        "{} rows, {differing} differences kept from haproxy",
        rows.len()
    );
    differences.none()
}

fn part(row: &Row, part: Part, theirs: &str, ours: &str, differences: &mut Differences) {
    let what = format!("{}: {part:?}", row.name);
    match row.own.iter().find(|own| own.part == part) {
        None => differences.compare(&what, theirs, ours),
        Some(own) if !ours.contains(own.ours) => differences.note(&format!(
            "{what}: ours should hold {:?} ({}) and is {ours:?}; haproxy's is {theirs:?}",
            own.ours, own.why
        )),
        Some(own) if theirs == ours && !own.races => differences.note(&format!(
            "{what}: no longer differs, though \"{}\"",
            own.why
        )),
        Some(_) => {}
    }
}

fn on_side(which: Which, rows: &[Row], defaults: &str) -> Outcome<Vec<Outcome<Done>>> {
    let mut text = defaults.to_owned();
    let mut ports = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let port = free_port()?;
        text.push_str(&format!(
            "frontend f{number}.\n bind 127.0.0.1:{port} {}\n{} default_backend b{number}\nbackend b{number}\n{}",
            row.bind, row.front, row.back
        ));
        ports.push(port);
    }
    let folder = tempfile::Builder::new().prefix("rows-").tempdir()?;
    std::fs::write(
        folder.path().join("pem"),
        certificate::pem(&["example.org"])?,
    )?;
    let side = Side::start_in(which, &text, folder)?;
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, Outcome<Done>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..TOGETHER {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(row) = rows.get(number) else {
                        return;
                    };
                    let done = play(&side, row, number, ports[number]);
                    results
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((number, done));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(number, _)| *number);
    Ok(results.into_iter().map(|(_, done)| done).collect())
}

fn play(side: &Side, row: &Row, number: usize, port: u16) -> Outcome<Done> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let told = |error: Failure| Failure::new(format!("{:?}: {error}", side.which));
    let seen = (row.client)(address).map_err(told)?;
    let own = format!(" f{number}.");
    // Where our line is another than haproxy's, haproxy may have none.
    let is_own = row.own.iter().any(|own| own.part == Part::Log);
    let wanted = match side.which {
        Which::Haproxy if is_own => 0,
        _ => seen.lines,
    };
    let mut lines = side.wait_lines(&own, wanted).map_err(|_| {
        let mut lines = side.lines();
        lines.retain(|line| line.contains(&own));
        Failure::new(format!(
            "{:?}: not {} log lines, but {lines:?}; the client saw {:?}",
            side.which, wanted, seen.text
        ))
    })?;
    for line in &mut lines {
        *line = told_by(line, side.which)
            .replace(&format!("b{number}/"), "b/")
            .replace(&format!("f{number}."), "f");
    }
    Ok((seen.text, lines))
}

/// Of a log line: backend and server, which times ran, status or bytes, letters, tries, and what was asked.
pub(crate) fn told_by(line: &str, which: Which) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let [_, _, _, server, times, rest @ ..] = &words[..] else {
        return line.to_owned();
    };
    // About a connection that never became a session: `f/1: reason`.
    if words[2].ends_with(':') {
        return words[2..].join(" ");
    }
    let ran: Vec<&str> = times
        .trim_start_matches('+')
        .split('/')
        .map(|time| if time.starts_with('-') { "-1" } else { "n" })
        .collect();
    let ran = ran.join("/");
    let tries = |counts: &str| counts.rsplit('/').next().unwrap_or_default().to_owned();
    match rest {
        [status, _bytes, _, _, letters, counts, _, asked @ ..] if line.contains('"') => {
            let mut letters = (*letters).to_owned();
            // Bad syntax is the client's fault (`CR`, as haproxy says since 2.8), the proxy's (`PR`) for 2.6.
            if which == Which::Haproxy && *status == "400" && letters == "PR--" {
                letters = "CR--".to_owned();
            }
            format!(
                "{server} {ran} {status} {letters} {} {}",
                tries(counts),
                asked.join(" ")
            )
        }
        [bytes, letters, counts, ..] => {
            // How much of a cut transfer was on its way is decided by buffers.
            let bytes = if bytes.len() > 4 { "many" } else { bytes };
            format!("{server} {ran} {bytes} {letters} {}", tries(counts))
        }
        _ => line.to_owned(),
    }
}
