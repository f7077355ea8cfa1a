//! `show stat` over a stats socket, timed.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::load::Load;

/// A contender that is silent for longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest table that is read.
const ANSWER_MAX_BYTES: u64 = 64 << 20;

/// Asks once; the time until the whole table was there. It must show `servers` servers.
pub(crate) fn ask(socket: &Path, servers: u16) -> io::Result<Duration> {
    let started = Instant::now();
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"show stat\n")?;
    let mut table = Vec::new();
    stream.take(ANSWER_MAX_BYTES).read_to_end(&mut table)?;
    let taken = started.elapsed();
    let shown = memchr::memmem::find_iter(&table, b"\norigin,s").count();
    if shown != usize::from(servers) {
        return Err(io::Error::other(format!(
            "show stat told of {shown} servers instead of {servers}"
        )));
    }
    Ok(taken)
}

/// Asks every `pause` until `duration` is over: how often, and how long it took.
pub(crate) fn ask_for(
    socket: &Path,
    servers: u16,
    duration: Duration,
    pause: Duration,
) -> Result<Load, String> {
    let started = Instant::now();
    let mut times = Vec::new();
    while started.elapsed() < duration {
        let taken =
            ask(socket, servers).map_err(|error| format!("{}: {error}", socket.display()))?;
        times.push(taken);
        std::thread::sleep(pause.saturating_sub(taken));
    }
    times.sort_unstable();
    let percentile = |share: f64| {
        let place = (times.len().saturating_sub(1) as f64 * share) as usize;
        times.get(place).copied().unwrap_or_default()
    };
    Ok(Load {
        requests: times.len() as u64,
        duration: started.elapsed(),
        p50: percentile(0.50),
        p99: percentile(0.99),
        ..Load::default()
    })
}
