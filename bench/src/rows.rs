//! What is measured: one row of this table for each kind of work.

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
    /// The load.
    pub(crate) work: Work,
    /// The most that tandemd may cost, as a share of Debian's haproxy.
    pub(crate) bar: Option<f64>,
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

/// Who loads, and with what.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// wrk with one thread.
    Wrk {
        connections: u16,
        path: &'static str,
        headers: &'static [(&'static str, &'static str)],
        /// Sends 1 MiB with each request.
        upload: bool,
    },
    /// Our own client, a connection for each handshake.
    Handshakes { resumed: bool },
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

/// A row of small answers on kept connections; the others differ from it in what they name.
const SMALL: Row = Row {
    name: "keepalive",
    title: "small keep-alive, 64 connections",
    mode: Mode::Http,
    log: true,
    reuse: Reuse::Safe,
    tls: None,
    work: Work::Wrk {
        connections: 64,
        path: "/",
        headers: &[],
        upload: false,
    },
    bar: None,
};
const BROWSER_WORK: Work = Work::Wrk {
    connections: 64,
    path: "/browser",
    headers: BROWSER,
    upload: false,
};
const CLOSE_WORK: Work = Work::Wrk {
    connections: 64,
    path: "/",
    headers: CLOSE,
    upload: false,
};
const DOWNLOAD_WORK: Work = Work::Wrk {
    connections: 16,
    path: "/1m",
    headers: &[],
    upload: false,
};
const UPLOAD_WORK: Work = Work::Wrk {
    connections: 16,
    path: "/",
    headers: &[],
    upload: true,
};

/// All rows, in the order in which they are measured.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "browser",
        title: "browser-like headers, 64 connections",
        work: BROWSER_WORK,
        bar: Some(0.85),
        ..SMALL
    },
    SMALL,
    Row {
        name: "browser-nolog",
        title: "browser-like headers, no log",
        work: BROWSER_WORK,
        log: false,
        ..SMALL
    },
    Row {
        name: "keepalive-nolog",
        title: "small keep-alive, no log",
        log: false,
        ..SMALL
    },
    Row {
        name: "single",
        title: "one connection at a time (latency)",
        work: Work::Wrk {
            connections: 1,
            path: "/",
            headers: &[],
            upload: false,
        },
        ..SMALL
    },
    Row {
        name: "close",
        title: "a connection per request, http-reuse always",
        reuse: Reuse::Always,
        work: CLOSE_WORK,
        ..SMALL
    },
    Row {
        name: "close-safe",
        title: "a connection per request, http-reuse safe",
        work: CLOSE_WORK,
        ..SMALL
    },
    Row {
        name: "download",
        title: "1 MiB answers, 16 connections",
        work: DOWNLOAD_WORK,
        ..SMALL
    },
    Row {
        name: "upload",
        title: "1 MiB requests, 16 connections",
        work: UPLOAD_WORK,
        ..SMALL
    },
    Row {
        name: "tcp-small",
        title: "TCP relay, small messages",
        mode: Mode::Tcp,
        ..SMALL
    },
    Row {
        name: "tcp-bulk",
        title: "TCP relay, bulk in pieces of 1 MiB",
        mode: Mode::Tcp,
        work: DOWNLOAD_WORK,
        ..SMALL
    },
    Row {
        name: "tls-small",
        title: "TLS small requests, P-256",
        tls: Some(Key::P256),
        ..SMALL
    },
    Row {
        name: "tls-download",
        title: "TLS 1 MiB answers",
        tls: Some(Key::P256),
        work: DOWNLOAD_WORK,
        ..SMALL
    },
    Row {
        name: "tls-handshake-p256",
        title: "TLS full handshake and one request, P-256",
        tls: Some(Key::P256),
        reuse: Reuse::Always,
        work: Work::Handshakes { resumed: false },
        ..SMALL
    },
    Row {
        name: "tls-handshake-rsa",
        title: "TLS full handshake and one request, RSA-2048",
        tls: Some(Key::Rsa2048),
        reuse: Reuse::Always,
        work: Work::Handshakes { resumed: false },
        ..SMALL
    },
    Row {
        name: "tls-resumed",
        title: "TLS resumed handshake and one request, P-256",
        tls: Some(Key::P256),
        reuse: Reuse::Always,
        work: Work::Handshakes { resumed: true },
        ..SMALL
    },
];

/// The rows called `names`, in the table's order.
pub(crate) fn select(names: &[String]) -> Result<Vec<Row>, String> {
    if let Some(unknown) = names
        .iter()
        .find(|name| !ROWS.iter().any(|row| row.name == **name))
    {
        let known: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        return Err(format!(
            "no row '{unknown}'; there are {}",
            known.join(", ")
        ));
    }
    Ok(ROWS
        .iter()
        .filter(|row| names.iter().any(|name| name == row.name))
        .cloned()
        .collect())
}

/// Prints names and titles of all rows.
pub(crate) fn print_list() {
    for row in ROWS {
        println!("{:20} {}", row.name, row.title);
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
    }
}
