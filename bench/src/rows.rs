//! What is measured: one row of this table for each kind of work.
//!
//! Bars are what tandemd may cost as a share of Debian's haproxy in the same run. A row without a bar of its own
//! has [`BAR_OF_ALL`]; under load the 99th percentile has [`BAR_OF_P99`].

use std::time::Duration;

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
            Work::WrkUnderShowStat => Metric::P99,
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

/// What a browser sends besides Host.
const BROWSER: &[(&str, &str)] = &[
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    ),
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    ),
    ("Accept-Language", "en-GB,en;q=0.7,de;q=0.3"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "https://www.example.com/catalogue/spring?page=4"),
    (
        "Cookie",
        "session=9f1c7d2e5b8a4036; theme=dark; consent=necessary.statistics; _id=GA1.2.1389.17244",
    ),
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Priority", "u=0, i"),
];
const CLOSE: &[(&str, &str)] = &[("Connection", "close")];

/// wrk's load on so many connections.
const fn wrk(
    connections: u16,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    script: Script,
) -> Work {
    Work::Wrk {
        connections,
        path,
        headers,
        script,
    }
}

/// wrk's small requests.
pub(crate) const SMALL_WORK: Work = wrk(64, "/", &[], Script::Plain);
const BROWSER_WORK: Work = wrk(64, "/browser", BROWSER, Script::Plain);
const CLOSE_WORK: Work = wrk(64, "/", CLOSE, Script::Plain);
const DOWNLOAD_WORK: Work = wrk(16, "/1m", &[], Script::Plain);
const UPLOAD_WORK: Work = wrk(16, "/", &[], Script::Upload);
const LOOKUP_WORK: Work = wrk(64, "/", &[], Script::Lookups);

/// A row of small answers on kept connections; the others differ from it in what they name.
const SMALL: Row = Row {
    name: "keepalive",
    title: "small keep-alive, 64 connections",
    mode: Mode::Http,
    log: true,
    reuse: Reuse::Safe,
    tls: None,
    h2: false,
    splice: false,
    servers: 1,
    balance: "roundrobin",
    checks: None,
    lookup: None,
    work: SMALL_WORK,
    bar: 0.75,
};
/// The same, under the bar of all rows.
const PLAIN: Row = Row {
    bar: BAR_OF_ALL,
    ..SMALL
};
/// A handshake and a request for each connection.
const HANDSHAKE: Row = Row {
    tls: Some(Key::P256),
    reuse: Reuse::Always,
    work: Work::Handshakes { resumed: false },
    ..PLAIN
};
const IDLE: Row = Row {
    work: Work::Idle { connections: 8000 },
    bar: 1.0,
    ..SMALL
};
/// Every request goes to another server.
const SERVERS: Row = Row {
    reuse: Reuse::Always,
    ..PLAIN
};
const CHECKS: Row = Row {
    checks: Some(Duration::from_secs(2)),
    work: Work::Alone,
    ..PLAIN
};
const SHOW_STAT: Row = Row {
    work: Work::ShowStat,
    ..PLAIN
};

/// A row of requests looked up in a long list.
const fn lookup(name: &'static str, title: &'static str, lookup: Lookup) -> Row {
    Row {
        name,
        title,
        lookup: Some(lookup),
        work: LOOKUP_WORK,
        ..PLAIN
    }
}

/// All rows, in the order in which they are measured.
pub(crate) const ROWS: &[Row] = &[
    SMALL,
    Row {
        name: "keepalive-nolog",
        title: "small keep-alive, no log",
        log: false,
        ..SMALL
    },
    Row {
        name: "browser",
        title: "browser-like headers, 64 connections",
        work: BROWSER_WORK,
        bar: 0.70,
        ..SMALL
    },
    Row {
        name: "browser-nolog",
        title: "browser-like headers, no log",
        work: BROWSER_WORK,
        log: false,
        bar: 0.70,
        ..SMALL
    },
    Row {
        name: "single",
        title: "one connection at a time (latency)",
        work: wrk(1, "/", &[], Script::Plain),
        ..PLAIN
    },
    Row {
        name: "close",
        title: "a connection per request, http-reuse always",
        reuse: Reuse::Always,
        work: CLOSE_WORK,
        bar: 0.90,
        ..SMALL
    },
    Row {
        name: "close-safe",
        title: "a connection per request, http-reuse safe",
        work: CLOSE_WORK,
        bar: 0.90,
        ..SMALL
    },
    Row {
        name: "download",
        title: "1 MiB answers, 16 connections",
        work: DOWNLOAD_WORK,
        bar: 0.45,
        ..SMALL
    },
    Row {
        name: "upload",
        title: "1 MiB requests, 16 connections",
        work: UPLOAD_WORK,
        bar: 0.45,
        ..SMALL
    },
    Row {
        name: "chunked-download",
        title: "answers of 64 KiB in chunks of 4 KiB",
        work: wrk(16, "/chunked", &[], Script::Plain),
        ..PLAIN
    },
    Row {
        name: "chunked-upload",
        title: "requests of 64 KiB in chunks of 4 KiB",
        work: wrk(16, "/", &[], Script::Chunked),
        ..PLAIN
    },
    Row {
        name: "tcp-small",
        title: "TCP relay, small messages",
        mode: Mode::Tcp,
        bar: 0.95,
        ..SMALL
    },
    Row {
        name: "tcp-bulk",
        title: "TCP relay, bulk in pieces of 1 MiB",
        mode: Mode::Tcp,
        work: DOWNLOAD_WORK,
        bar: 0.35,
        ..SMALL
    },
    Row {
        name: "tcp-bulk-splice",
        title: "TCP relay, bulk, option splice-auto",
        mode: Mode::Tcp,
        splice: true,
        work: DOWNLOAD_WORK,
        bar: 1.0,
        ..SMALL
    },
    Row {
        name: "tls-small",
        title: "TLS small requests, P-256",
        tls: Some(Key::P256),
        bar: 0.65,
        ..SMALL
    },
    Row {
        name: "tls-download",
        title: "TLS 1 MiB answers",
        tls: Some(Key::P256),
        work: DOWNLOAD_WORK,
        bar: 0.55,
        ..SMALL
    },
    Row {
        name: "tls-upload",
        title: "TLS 1 MiB requests",
        tls: Some(Key::P256),
        work: UPLOAD_WORK,
        bar: 0.55,
        ..SMALL
    },
    Row {
        name: "tls-handshake-p256",
        title: "TLS full handshake and one request, P-256",
        bar: 0.45,
        ..HANDSHAKE
    },
    Row {
        name: "tls-handshake-rsa",
        title: "TLS full handshake and one request, RSA-2048",
        tls: Some(Key::Rsa2048),
        bar: 0.70,
        ..HANDSHAKE
    },
    Row {
        name: "tls-resumed",
        title: "TLS resumed handshake and one request, P-256",
        work: Work::Handshakes { resumed: true },
        ..HANDSHAKE
    },
    Row {
        name: "h2-m1",
        title: "HTTP/2 over TLS, 64 connections, 1 stream each",
        tls: Some(Key::P256),
        h2: true,
        work: Work::H2load {
            connections: 64,
            streams: 1,
        },
        bar: 0.90,
        ..SMALL
    },
    Row {
        name: "h2-m100",
        title: "HTTP/2 over TLS, 8 connections, 100 streams each",
        tls: Some(Key::P256),
        h2: true,
        work: Work::H2load {
            connections: 8,
            streams: 100,
        },
        bar: 0.90,
        ..SMALL
    },
    Row {
        name: "h2c-m1",
        title: "HTTP/2 in clear text, 64 connections, 1 stream each",
        h2: true,
        work: Work::H2load {
            connections: 64,
            streams: 1,
        },
        bar: 0.90,
        ..SMALL
    },
    Row {
        name: "h2c-m100",
        title: "HTTP/2 in clear text, 8 connections, 100 streams each",
        h2: true,
        work: Work::H2load {
            connections: 8,
            streams: 100,
        },
        bar: 0.90,
        ..SMALL
    },
    Row {
        name: "idle",
        title: "8,000 idle connections, plain",
        ..IDLE
    },
    Row {
        name: "idle-tls",
        title: "8,000 idle connections, TLS",
        tls: Some(Key::P256),
        ..IDLE
    },
    Row {
        name: "idle-h2",
        title: "8,000 idle connections, HTTP/2 over TLS",
        tls: Some(Key::P256),
        h2: true,
        ..IDLE
    },
    Row {
        name: "servers-1000",
        title: "1,000 servers, roundrobin",
        servers: 1000,
        ..SERVERS
    },
    Row {
        name: "servers-5000",
        title: "5,000 servers, roundrobin",
        servers: 5000,
        ..SERVERS
    },
    Row {
        name: "servers-5000-leastconn",
        title: "5,000 servers, leastconn",
        servers: 5000,
        balance: "leastconn",
        ..SERVERS
    },
    Row {
        name: "servers-5000-random",
        title: "5,000 servers, random(2)",
        servers: 5000,
        balance: "random(2)",
        ..SERVERS
    },
    Row {
        name: "checks-1000",
        title: "1,000 servers checked every 2 s",
        servers: 1000,
        ..CHECKS
    },
    Row {
        name: "checks-5000",
        title: "5,000 servers checked every 2 s",
        servers: 5000,
        ..CHECKS
    },
    Row {
        name: "show-stat-1000",
        title: "show stat of 1,000 servers",
        servers: 1000,
        ..SHOW_STAT
    },
    Row {
        name: "show-stat-5000",
        title: "show stat of 5,000 servers",
        servers: 5000,
        ..SHOW_STAT
    },
    Row {
        name: "show-stat-load",
        title: "requests while 5,000 servers are shown 20 times a second",
        servers: 5000,
        reuse: Reuse::Always,
        work: Work::WrkUnderShowStat,
        ..PLAIN
    },
    lookup(
        "acl-str",
        "ACL of 10,000 patterns, -m str",
        Lookup::Acl("str"),
    ),
    lookup(
        "acl-beg",
        "ACL of 10,000 patterns, -m beg",
        Lookup::Acl("beg"),
    ),
    lookup(
        "acl-end",
        "ACL of 10,000 patterns, -m end",
        Lookup::Acl("end"),
    ),
    lookup(
        "acl-sub",
        "ACL of 10,000 patterns, -m sub",
        Lookup::Acl("sub"),
    ),
    lookup(
        "acl-dir",
        "ACL of 10,000 patterns, -m dir",
        Lookup::Acl("dir"),
    ),
    lookup(
        "acl-reg",
        "ACL of 10,000 patterns, -m reg",
        Lookup::Acl("reg"),
    ),
    lookup("acl-ip", "ACL of 10,000 networks", Lookup::Acl("ip")),
    lookup("map-str", "map of 10,000 entries, str", Lookup::Map("str")),
    lookup("map-beg", "map of 10,000 entries, beg", Lookup::Map("beg")),
    lookup("map-end", "map of 10,000 entries, end", Lookup::Map("end")),
    lookup("map-sub", "map of 10,000 entries, sub", Lookup::Map("sub")),
    lookup("map-reg", "map of 10,000 entries, reg", Lookup::Map("reg")),
    lookup("map-ip", "map of 10,000 networks", Lookup::Map("ip")),
    Row {
        name: "start",
        title: "start with 5,000 servers and a map of 10,000 entries",
        servers: 5000,
        lookup: Some(Lookup::Map("str")),
        work: Work::Start,
        ..PLAIN
    },
    Row {
        name: "reload",
        title: "reload of 5,000 servers and a map of 10,000 entries",
        servers: 5000,
        lookup: Some(Lookup::Map("str")),
        work: Work::Reload,
        ..PLAIN
    },
];

/// The rows called `names`, in the table's order. A name with `*` at its end means all that begin so.
pub(crate) fn select(names: &[String]) -> Result<Vec<Row>, String> {
    let is_called = |row: &Row, name: &str| match name.strip_suffix('*') {
        Some(beginning) => row.name.starts_with(beginning),
        None => row.name == name,
    };
    if let Some(unknown) = names
        .iter()
        .find(|name| !ROWS.iter().any(|row| is_called(row, name)))
    {
        let known: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        return Err(format!(
            "no row '{unknown}'; there are {}",
            known.join(", ")
        ));
    }
    Ok(ROWS
        .iter()
        .filter(|row| names.iter().any(|name| is_called(row, name)))
        .cloned()
        .collect())
}

/// Prints names, bars and titles of all rows.
pub(crate) fn print_list() {
    for row in ROWS {
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
        for row in ROWS {
            let selected = select(&[row.name.to_owned()]).expect("it is in the table");
            assert_eq!(selected.len(), 1, "{}", row.name);
        }
        assert!(select(&["no-such".to_owned()]).is_err());
        assert!(select(&["acl-*".to_owned()]).expect("there are some").len() > 3);
    }
}
