//! What is measured: one row of this table for each kind of work.

use std::time::Duration;

use crate::rows::{BAR_OF_ALL, Key, Lookup, Mode, Reuse, Row, Script, Work};

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
/// A rate that leaves every contender time: what a request takes, not how long the queue is.
const PACED: Row = Row {
    work: Work::Paced {
        connections: 64,
        rate: 150,
    },
    bar: 1.0,
    ..SMALL
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

/// The rows that are written one by one.
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
        name: "paced",
        title: "small keep-alive at 9,600 requests a second",
        ..PACED
    },
    Row {
        name: "paced-tls",
        title: "the same over TLS, P-256",
        tls: Some(Key::P256),
        ..PACED
    },
    Row {
        name: "paced-h2",
        title: "the same by HTTP/2 over TLS, one stream each",
        tls: Some(Key::P256),
        h2: true,
        ..PACED
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

/// Rows of requests looked up in a list of 10,000 entries, for each match method.
macro_rules! lookups {
    ($kind:ident, $prefix:literal, $list:literal: $($method:literal)*) => {
        &[$(Row {
            name: concat!($prefix, "-", $method),
            title: concat!($list, " of 10,000 entries, -m ", $method),
            lookup: Some(Lookup::$kind($method)),
            work: LOOKUP_WORK,
            ..PLAIN
        }),*]
    };
}

/// Lookups in an ACL.
pub(crate) const ACL_ROWS: &[Row] =
    lookups!(Acl, "acl", "ACL": "str" "beg" "end" "sub" "dir" "reg" "ip");
/// Lookups in a map.
pub(crate) const MAP_ROWS: &[Row] = lookups!(Map, "map", "map": "str" "beg" "end" "sub" "reg" "ip");
