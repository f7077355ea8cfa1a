//! What a row of the measurement is, and which are selected; the rows stand in `table`.
//!
//! Bars are what tandemd may cost as a share of Debian's haproxy in the same run. A row without a bar of its own
//! has [`BAR_OF_ALL`]; under load the 99th percentile has [`BAR_OF_P99`].

use std::time::Duration;

use crate::table;

/// No row may cost more than this.
pub(crate) const BAR_OF_ALL: f64 = 1.10;
/// p99 must not be above the reference's; the machine resolves no difference below a tenth.
pub(crate) const BAR_OF_P99: f64 = 1.10;

/// A kind of work that all contenders do.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Name for `--rows` and JSON.
    pub(crate) name: &'static str,
    /// What it is, for the reader of the table.
    pub(crate) title: &'static str,
    /// Protocol that the contenders are told.
    pub(crate) mode: Mode,
    /// Whether they log each request (or session) to the sink.
    pub(crate) log: bool,
    /// Which server connections they may share.
    pub(crate) reuse: Reuse,
    /// Certificate of the frontend, if it speaks TLS.
    pub(crate) tls: Option<Key>,
    /// Whether clients speak HTTP/2.
    pub(crate) h2: bool,
    /// `option splice-auto`.
    pub(crate) splice: bool,
    /// Servers in the backend, all at the origin's address.
    pub(crate) servers: u16,
    /// `balance` of the backend.
    pub(crate) balance: &'static str,
    /// Checks every server this often.
    pub(crate) checks: Option<Duration>,
    /// A list of [`crate::lists::ENTRIES`] entries that each request is looked up in.
    pub(crate) lookup: Option<Lookup>,
    /// The load.
    pub(crate) work: Work,
    /// The most that tandemd may cost, as a share of Debian's haproxy.
    pub(crate) bar: f64,
}

/// `mode` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    Http,
    Tcp,
}

/// `http-reuse` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reuse {
    Safe,
    Always,
}

/// Kind of a certificate's key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Key {
    P256,
    Rsa2048,
}

/// What a request is looked up in, and by which match method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Lookup {
    /// `acl … -m METHOD -f FILE`
    Acl(&'static str),
    /// `map_METHOD(FILE,none)`
    Map(&'static str),
}

/// What wrk's requests are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Script {
    /// No body.
    Plain,
    /// 1 MiB with its length.
    Upload,
    /// 64 KiB in chunks of 4 KiB.
    Chunked,
    /// Another path and client in each, see [`crate::lists`].
    Lookups,
}

/// Who loads, and with what.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// wrk with one thread.
    Wrk {
        connections: u16,
        path: &'static str,
        headers: &'static [(&'static str, &'static str)],
        script: Script,
    },
    /// h2load with one thread, so many streams at once on each connection.
    H2load { connections: u16, streams: u16 },
    /// h2load at a fixed rate: so many requests a second on each connection, whatever the answers take.
    Paced { connections: u16, rate: u16 },
    /// Our own client, a connection for each handshake.
    Handshakes { resumed: bool },
    /// So many connections that did one request each and then nothing.
    Idle { connections: u16 },
    /// Nothing from clients: what the contender does on its own.
    Alone,
    /// `show stat` over the stats socket, again and again.
    ShowStat,
    /// wrk as in the row of small requests, with `show stat` asked 20 times a second.
    WrkUnderShowStat,
    /// From the program's start to its first right answer.
    Start,
    /// From the signal to the first answer by the new configuration.
    Reload,
}

/// What a row's figure is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Metric {
    CpuPerRequest,
    CpuPerSecond,
    BytesPerConnection,
    Milliseconds,
    P99,
}

impl Metric {
    /// Its unit.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::CpuPerRequest => "µs/req",
            Self::CpuPerSecond => "cpu ms/s",
            Self::BytesPerConnection => "B/conn",
            Self::Milliseconds => "ms",
            Self::P99 => "p99 µs",
        }
    }
}

impl Row {
    /// What its figure is.
    pub(crate) fn metric(&self) -> Metric {
        match self.work {
            Work::Wrk { .. } | Work::H2load { .. } | Work::Handshakes { .. } => {
                Metric::CpuPerRequest
            }
            Work::Idle { .. } => Metric::BytesPerConnection,
            Work::Alone => Metric::CpuPerSecond,
            Work::ShowStat | Work::Start | Work::Reload => Metric::Milliseconds,
            Work::WrkUnderShowStat | Work::Paced { .. } => Metric::P99,
        }
    }

    /// Whether its 99th percentile has a bar too.
    pub(crate) fn has_latency(&self) -> bool {
        self.metric() == Metric::CpuPerRequest
    }

    /// Whether nginx does this work.
    pub(crate) fn suits_nginx(&self) -> bool {
        self.checks.is_none()
            && self.lookup.is_none()
            && !matches!(self.work, Work::ShowStat | Work::WrkUnderShowStat)
    }
}

/// All rows, in the order in which they are measured.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    table::ROWS
        .iter()
        .chain(table::ACL_ROWS)
        .chain(table::MAP_ROWS)
}

/// The rows called `names`, in the table's order. A name with `*` at its end means all that begin so.
pub(crate) fn select(names: &[String]) -> Result<Vec<Row>, String> {
    let is_called = |row: &Row, name: &str| match name.strip_suffix('*') {
        Some(beginning) => row.name.starts_with(beginning),
        None => row.name == name,
    };
    if let Some(unknown) = names
        .iter()
        .find(|name| !rows().any(|row| is_called(row, name)))
    {
        let known: Vec<&str> = rows().map(|row| row.name).collect();
        return Err(format!(
            "no row '{unknown}'; there are {}",
            known.join(", ")
        ));
    }
    Ok(rows()
        .filter(|row| names.iter().any(|name| is_called(row, name)))
        .cloned()
        .collect())
}

/// Prints names, bars and titles of all rows.
pub(crate) fn print_list() {
    for row in rows() {
        println!(
            "{:24} {:.2} {:9} {}",
            row.name,
            row.bar,
            row.metric().unit(),
            row.title
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_selectable() {
        for row in rows() {
            let selected = select(&[row.name.to_owned()]).expect("it is in the table");
            assert_eq!(selected.len(), 1, "{}", row.name);
        }
        assert!(select(&["no-such".to_owned()]).is_err());
        assert!(select(&["acl-*".to_owned()]).expect("there are some").len() > 3);
    }
}
