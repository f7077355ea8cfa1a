//! A [`Snapshot`] as HAProxy's tools read it: CSV, typed and JSON of `show stat` and `show info`.

use serde_json::{Value as Json, json};

use crate::snapshot::Snapshot;
use crate::stat_fields::{FIELDS, Field, Kind, MODULE_FIELDS, Row, Value, all_fields};

/// Which lines of `show stat` are wanted.
#[derive(Clone, Copy, Debug)]
pub struct StatFilter<'a> {
    /// Only this proxy's.
    pub proxy: Option<&'a str>,
    /// Only this proxy's, by number; -1 for all.
    pub proxy_id: i64,
    /// Sum of 1 (frontends), 2 (backends), 4 (servers); -1 for all.
    pub types: i64,
    /// Only this server's; -1 for all.
    pub server_id: i64,
    /// Only what is up.
    pub up: bool,
    /// Without servers in maintenance.
    pub no_maint: bool,
}

impl Default for StatFilter<'_> {
    fn default() -> Self {
        Self {
            proxy: None,
            proxy_id: -1,
            types: -1,
            server_id: -1,
            up: false,
            no_maint: false,
        }
    }
}

impl StatFilter<'_> {
    fn takes(&self, row: &Row<'_>) -> bool {
        let proxy = row.proxy();
        let by_proxy = self.proxy.is_none_or(|name| name == proxy.name)
            && (self.proxy_id < 0 || self.proxy_id == i64::from(proxy.id));
        let by_type = self.types < 0 || self.types & i64::from(row.type_bit()) != 0;
        let by_server = self.server_id < 0 || self.server_id == i64::from(row.server_id());
        let by_state = match row {
            Row::Server(_, server) => {
                let is_up = server.status.starts_with("UP")
                    || server.status == "no check"
                    || server.status == "DRAIN";
                let in_maintenance = server.status.starts_with("MAINT");
                (!self.up || is_up) && (!self.no_maint || !in_maintenance)
            }
            Row::Backend(_, backend) => !self.up || backend.status == "UP",
            Row::Frontend(..) => true,
        };
        by_proxy && by_type && by_server && by_state
    }
}

fn rows<'a>(snapshot: &'a Snapshot, filter: StatFilter<'a>) -> impl Iterator<Item = Row<'a>> {
    let proxies = snapshot
        .worker
        .iter()
        .flat_map(|worker| worker.proxies.iter());
    proxies
        .flat_map(Row::of)
        .filter(move |row| filter.takes(row))
}

/// A value in CSV: quoted as RFC 4180 says where it must be.
fn csv(value: &Value) -> String {
    let text = value.to_string();
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// `show stat`.
pub fn stat_csv(snapshot: &Snapshot, filter: StatFilter<'_>) -> String {
    let mut out = String::from("# ");
    for field in FIELDS {
        out.push_str(field.name);
        out.push(',');
    }
    // The mark after which HAProxy's modules append their columns.
    out.push_str("-,");
    for field in MODULE_FIELDS {
        out.push_str(field.name);
        out.push(',');
    }
    out.push('\n');
    let mut write = |fields: &[Field], row: &Row<'_>, end| {
        for field in fields {
            if let Some(value) = field.value(row) {
                out.push_str(&csv(&value));
            }
            out.push(',');
        }
        out.push_str(end);
    };
    for row in rows(snapshot, filter) {
        write(FIELDS, &row, "-,");
        write(MODULE_FIELDS, &row, "\n");
    }
    out
}

/// A line break in a value would end the line of a typed form.
fn one_line(value: &Value) -> String {
    value.to_string().replace(['\n', '\r'], " ")
}

/// `show stat typed`, with descriptions behind the values if asked for.
pub fn stat_typed(snapshot: &Snapshot, filter: StatFilter<'_>, described: bool) -> String {
    let mut out = String::new();
    for row in rows(snapshot, filter) {
        for (position, field, value) in present(&row) {
            out.push_str(&format!(
                "{}.{}.{}.{position}.{}.1:{}:{}:{}",
                row.letter(),
                row.proxy().id,
                row.server_id(),
                field.name,
                field.tags,
                field.kind.as_str(),
                one_line(&value)
            ));
            if described {
                out.push_str(&format!(":\"{}\"", field.description));
            }
            out.push('\n');
        }
    }
    out
}

fn present<'a>(row: &'a Row<'_>) -> impl Iterator<Item = (usize, &'static Field, Value)> + 'a {
    all_fields()
        .enumerate()
        .filter_map(move |(position, field)| Some((position, field, field.value(row)?)))
}

/// `show stat desc`: which columns there are.
pub fn stat_described() -> String {
    all_fields()
        .enumerate()
        .map(|(position, field)| format!("{position}.{}:\"{}\"\n", field.name, field.description))
        .collect()
}

/// The words for the letters of a tag.
fn tags(tags: &str) -> Json {
    let mut letters = tags.chars();
    let origin = match letters.next() {
        Some('S') => "Status",
        Some('K') => "Key",
        Some('C') => "Config",
        Some('P') => "Product",
        _ => "Metric",
    };
    let nature = match letters.next() {
        Some('A') => "Age",
        Some('a') => "Avg",
        Some('C') => "Counter",
        Some('D') => "Duration",
        Some('L') => "Limit",
        Some('M') => "Max",
        Some('m') => "Min",
        Some('N') => "Name",
        Some('O') => "Output",
        Some('R') => "Rate",
        Some('T') => "Time",
        _ => "Gauge",
    };
    let scope = match letters.next() {
        Some('C') => "Cluster",
        Some('S') => "Service",
        Some('s') => "System",
        _ => "Process",
    };
    json!({ "origin": origin, "nature": nature, "scope": scope })
}

fn typed_json(kind: Kind, value: &Value) -> Json {
    match value {
        Value::Number(number) => json!({ "type": kind.as_str(), "value": number }),
        Value::Signed(number) => json!({ "type": kind.as_str(), "value": number }),
        Value::Text(text) => json!({ "type": "str", "value": text }),
    }
}

/// `show stat json`: a list of lines, each a list of values.
pub fn stat_json(snapshot: &Snapshot, filter: StatFilter<'_>) -> String {
    let lines: Vec<Json> = rows(snapshot, filter)
        .map(|row| {
            present(&row)
                .map(|(position, field, value)| {
                    json!({
                        "objType": row.word(),
                        "proxyId": row.proxy().id,
                        "id": row.server_id(),
                        "field": { "pos": position, "name": field.name },
                        "processNum": 1,
                        "tags": tags(field.tags),
                        "value": typed_json(field.kind, &value),
                    })
                })
                .collect()
        })
        .collect();
    format!("{}\n", Json::Array(lines))
}

/// One line of `show info`.
pub struct InfoField {
    /// Its name.
    pub name: &'static str,
    /// Origin, nature and scope.
    pub tags: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What it tells.
    pub description: &'static str,
    value: fn(&Info<'_>) -> Value,
}

/// What the lines of `show info` are made of.
pub struct Info<'a> {
    /// The node.
    pub snapshot: &'a Snapshot,
    /// The version that tools compare.
    pub version: &'a str,
    /// Date of the release.
    pub release_date: &'a str,
}

impl Info<'_> {
    fn process(&self) -> crate::snapshot::ProcessInfo {
        self.snapshot
            .worker
            .as_ref()
            .map(|worker| worker.process.clone())
            .unwrap_or_default()
    }

    fn uptime_seconds(&self) -> u64 {
        match &self.snapshot.worker {
            Some(worker) => worker.process.uptime_ms / 1_000,
            None => self.snapshot.uptime_seconds,
        }
    }
}

fn number(number: impl Into<u64>) -> Value {
    Value::Number(number.into())
}

fn zero(_: &Info<'_>) -> Value {
    Value::Number(0)
}

fn one(_: &Info<'_>) -> Value {
    Value::Number(1)
}

fn words(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn uptime(info: &Info<'_>) -> Value {
    let seconds = info.uptime_seconds();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    Value::Text(format!("{days}d {hours}h{minutes:02}m{:02}s", seconds % 60))
}

fn pid(info: &Info<'_>) -> Value {
    match info.process().pid {
        0 => number(info.snapshot.supervisor_pid),
        pid => number(pid),
    }
}

fn listeners(info: &Info<'_>) -> Value {
    let proxies = info
        .snapshot
        .worker
        .iter()
        .flat_map(|worker| &worker.proxies);
    number(
        proxies
            .filter_map(|proxy| proxy.frontend.as_ref())
            .map(|frontend| frontend.listeners.len() as u64)
            .sum::<u64>(),
    )
}

macro_rules! info_fields {
    ($( $name:literal $tags:literal $kind:ident $description:literal: $value:expr; )*) => {
        /// All lines of `show info` by position.
        pub static INFO_FIELDS: &[InfoField] = &[$(InfoField {
            name: $name, tags: $tags, kind: Kind::$kind, description: $description, value: $value,
        },)*];
    };
}

#[rustfmt::skip]
info_fields! {
    // Tools look for this name; the version says who answers.
    "Name" "POS" Str "product that is compatible": |_| words("HAProxy");
    "Version" "POS" Str "compatible version, then our own": |i| words(i.version);
    "Release_date" "POS" Str "date of the release": |i| words(i.release_date);
    "Nbthread" "CGS" U32 "runtimes of the worker": |i| number(i.process().threads);
    "Nbproc" "CGS" U32 "workers": one;
    "Process_num" "KGP" U32 "number of the worker": one;
    "Pid" "SGP" U32 "process id of the worker": pid;
    "Uptime" "MDP" Str "time since the worker started": uptime;
    "Uptime_sec" "MDP" U32 "the same in seconds": |i| number(i.uptime_seconds());
    "Memmax_MB" "CLP" U32 "limit of memory, 0 for none": zero;
    "PoolAlloc_MB" "MGP" U32 "resident memory in megabytes": |i| number(i.process().memory_bytes >> 20);
    "PoolUsed_MB" "MGP" U32 "resident memory in megabytes": |i| number(i.process().memory_bytes >> 20);
    "PoolFailed" "MCP" U32 "failed allocations": zero;
    "Ulimit-n" "CLP" U32 "limit of descriptors": |i| number(i.process().ulimit_n);
    "Maxsock" "CLP" U32 "limit of descriptors": |i| number(i.process().ulimit_n);
    "Maxconn" "CLP" U32 "limit of connections": |i| number(i.process().maxconn);
    "Hard_maxconn" "CLP" U32 "limit of connections that descriptors allow": |i| number(i.process().hard_maxconn);
    "CurrConns" "MGP" U32 "connections": |i| number(i.process().current_connections);
    "CumConns" "MCP" U32 "connections since the start": |i| number(i.process().total_connections);
    "CumReq" "MCP" U32 "requests since the start": |i| number(i.process().total_requests);
    "MaxSslConns" "MMP" U32 "limit of TLS connections, 0 for none": zero;
    "CurrSslConns" "MGP" U32 "TLS connections": |i| number(i.process().current_tls_connections);
    "CumSslConns" "MCP" U32 "TLS connections since the start": |i| number(i.process().total_tls_connections);
    "Maxpipes" "CLP" U32 "limit of pipes": zero;
    "PipesUsed" "MGP" U32 "pipes in use": zero;
    "PipesFree" "MGP" U32 "pipes kept": zero;
    "ConnRate" "MRP" U32 "connections in the last second": |i| number(i.process().connection_rate.current);
    "ConnRateLimit" "CLP" U32 "limit of connections a second": |i| number(i.process().connection_rate.limit);
    "MaxConnRate" "MMP" U32 "most connections a second": |i| number(i.process().connection_rate.maximum);
    "SessRate" "MRP" U32 "sessions in the last second": |i| number(i.process().session_rate.current);
    "SessRateLimit" "CLP" U32 "limit of sessions a second": |i| number(i.process().session_rate.limit);
    "MaxSessRate" "MRP" U32 "most sessions a second": |i| number(i.process().session_rate.maximum);
    "SslRate" "MRP" U32 "TLS handshakes in the last second": |i| number(i.process().tls_rate.current);
    "SslRateLimit" "CLP" U32 "limit of TLS handshakes a second": |i| number(i.process().tls_rate.limit);
    "MaxSslRate" "MMP" U32 "most TLS handshakes a second": |i| number(i.process().tls_rate.maximum);
    "SslFrontendKeyRate" "MGP" U32 "key computations towards clients a second": zero;
    "SslFrontendMaxKeyRate" "MMP" U32 "most of them": zero;
    "SslFrontendSessionReuse_pct" "MGP" U32 "resumed TLS sessions in per cent": zero;
    "SslBackendKeyRate" "MRP" U32 "key computations towards servers a second": zero;
    "SslBackendMaxKeyRate" "MMP" U32 "most of them": zero;
    "SslCacheLookups" "MCP" U32 "lookups of TLS sessions": zero;
    "SslCacheMisses" "MCP" U32 "lookups that found none": zero;
    "CompressBpsIn" "MRP" U32 "bytes a second into compression": zero;
    "CompressBpsOut" "MRP" U32 "bytes a second out of compression": zero;
    "CompressBpsRateLim" "CLP" U32 "limit of these": zero;
    "Tasks" "MGP" U32 "tasks alive": |i| number(i.process().tasks);
    "Run_queue" "MGP" U32 "tasks that wait to run": zero;
    "Idle_pct" "MaP" U32 "idle share of the runtimes in per cent": |i| number(i.process().idle_percent);
    "node" "COS" Str "name of the node": |i| words(&i.snapshot.node);
    "Stopping" "MGP" U32 "1 while the worker drains": |i| number(u32::from(i.process().stopping));
    "Jobs" "MGP" U32 "connections and listeners": |i| match (listeners(i), i.process().current_connections) { (Value::Number(listeners), now) => number(listeners + now), (other, _) => other };
    "Unstoppable Jobs" "MGP" U32 "jobs that do not end with a graceful stop": zero;
    "Listeners" "MGP" U32 "listening sockets": listeners;
    "ActivePeers" "MGP" U32 "peers sections in use": zero;
    "ConnectedPeers" "MGP" U32 "connected peers": zero;
    "DroppedLogs" "MGP" U32 "log lines that could not be sent": |i| number(i.process().dropped_logs);
    "BusyPolling" "MGP" U32 "1 with busy polling": zero;
    "FailedResolutions" "MGP" U32 "names that could not be resolved": zero;
    "TotalBytesOut" "MGP" U64 "bytes sent to clients": |i| number(i.process().total_bytes_out);
    "TotalSplicdedBytesOut" "MGP" U64 "bytes sent without copying": zero;
    "BytesOutRate" "MRP" U64 "bytes sent in the last second": zero;
    "DebugCommandsIssued" "MGP" U32 "debug commands": zero;
    "CumRecvLogs" "MCP" U32 "log lines received": zero;
    "Build info" "POS" Str "our version": |i| words(i.version);
    "Memmax_bytes" "CLP" U32 "limit of memory, 0 for none": zero;
    "PoolAlloc_bytes" "MGP" U64 "resident memory": |i| number(i.process().memory_bytes);
    "PoolUsed_bytes" "MGP" U64 "resident memory": |i| number(i.process().memory_bytes);
    "Start_time_sec" "MDP" U32 "when the worker started, in seconds since 1970": |i| number((i.snapshot.at_ms / 1_000).saturating_sub(i.uptime_seconds()));
    "Tainted" "SGP" Str "always 0": |_| words("0");
    "H2FloodResets" "MCP" U64 "HTTP/2 connections closed because of too many streams opened and reset; ours": |i| number(i.process().http2_floods[0]);
    "H2FloodEndlessHeads" "MCP" U64 "HTTP/2 connections closed because of too many frames of one head; ours": |i| number(i.process().http2_floods[1]);
    "H2FloodEmptyData" "MCP" U64 "HTTP/2 connections closed because of too many data frames without data; ours": |i| number(i.process().http2_floods[2]);
    "H2FloodRefusedHeads" "MCP" U64 "HTTP/2 connections closed because of too many heads that had to be refused; ours": |i| number(i.process().http2_floods[3]);
    "H2FloodSettings" "MCP" U64 "HTTP/2 connections closed because of too many SETTINGS frames; ours": |i| number(i.process().http2_floods[4]);
    "H2FloodPings" "MCP" U64 "HTTP/2 connections closed because of too many PING frames; ours": |i| number(i.process().http2_floods[5]);
    "H2FloodWindows" "MCP" U64 "HTTP/2 connections closed because of too many WINDOW_UPDATE frames; ours": |i| number(i.process().http2_floods[6]);
    "H2FloodOther" "MCP" U64 "HTTP/2 connections closed because of too many PRIORITY and unknown frames; ours": |i| number(i.process().http2_floods[7]);
}

/// `show info`.
pub fn info_text(info: &Info<'_>, described: bool) -> String {
    INFO_FIELDS
        .iter()
        .map(|field| {
            let value = one_line(&(field.value)(info));
            match described {
                true => format!("{}: {value}:\"{}\"\n", field.name, field.description),
                false => format!("{}: {value}\n", field.name),
            }
        })
        .collect()
}

/// `show info typed`.
pub fn info_typed(info: &Info<'_>, described: bool) -> String {
    let mut out = String::new();
    for (position, field) in INFO_FIELDS.iter().enumerate() {
        let value = one_line(&(field.value)(info));
        out.push_str(&format!(
            "{position}.{}.1:{}:{}:{value}",
            field.name,
            field.tags,
            field.kind.as_str()
        ));
        if described {
            out.push_str(&format!(":\"{}\"", field.description));
        }
        out.push('\n');
    }
    out
}

/// `show info json`.
pub fn info_json(info: &Info<'_>) -> String {
    let lines: Vec<Json> = INFO_FIELDS
        .iter()
        .enumerate()
        .map(|(position, field)| {
            json!({
                "field": { "pos": position, "name": field.name },
                "processNum": 1,
                "tags": tags(field.tags),
                "value": typed_json(field.kind, &(field.value)(info)),
            })
        })
        .collect();
    format!("{}\n", Json::Array(lines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests_support;

    #[test]
    fn each_csv_line_has_as_many_columns_as_the_header() {
        let snapshot = tests_support::snapshot();
        let text = stat_csv(&snapshot, StatFilter::default());
        let counts: Vec<usize> = text.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(counts, [144, 144, 144, 144, 144], "{text}");
        assert!(text.starts_with("# pxname,svname,"));
        assert!(
            text.lines()
                .nth(2)
                .expect("a server")
                .starts_with("web,web1,0,0,")
        );
    }

    #[test]
    fn filters_choose_by_proxy_type_server_and_state() {
        let snapshot = tests_support::snapshot();
        let check = |filter: StatFilter<'_>, expected: usize| {
            assert_eq!(
                stat_csv(&snapshot, filter).lines().count() - 1,
                expected,
                "{filter:?}"
            );
        };
        let all = StatFilter::default();
        check(all, 4);
        check(StatFilter { types: 4, ..all }, 2);
        check(
            StatFilter {
                types: 4,
                server_id: 2,
                ..all
            },
            1,
        );
        check(
            StatFilter {
                proxy: Some("no"),
                ..all
            },
            0,
        );
        check(
            StatFilter {
                no_maint: true,
                ..all
            },
            3,
        );
        check(StatFilter { up: true, ..all }, 3);
    }

    #[test]
    fn typed_lines_and_json_carry_the_same_values() {
        let snapshot = tests_support::snapshot();
        let typed = stat_typed(&snapshot, StatFilter::default(), false);
        assert!(typed.contains("F.3.0.0.pxname.1:KNS:str:web\n"), "{typed}");
        assert!(typed.contains("S.3.1.17.status.1:SGP:str:UP\n"), "{typed}");
        let json: Json =
            serde_json::from_str(&stat_json(&snapshot, StatFilter::default())).expect("JSON");
        assert_eq!(json[1][1]["value"]["value"], "web1");
        assert_eq!(json[1][1]["objType"], "Server");
    }

    #[test]
    fn a_value_with_a_comma_is_quoted() {
        assert_eq!(csv(&Value::Text("a, \"b\"".to_owned())), "\"a, \"\"b\"\"\"");
    }

    #[test]
    fn what_hatop_reads_is_there() {
        let snapshot = tests_support::snapshot();
        let info = Info {
            snapshot: &snapshot,
            version: "2.6.12-x",
            release_date: "2026/01/01",
        };
        let text = info_text(&info, false);
        for name in
            "Name Version Release_date Nbproc Process_num Pid Uptime Uptime_sec Maxconn CurrConns Maxpipes PipesUsed Tasks Run_queue node"
                .split(' ')
        {
            assert!(text.lines().any(|line| line.starts_with(&format!("{name}: "))), "{name} in {text}");
        }
        assert!(text.contains("Uptime: 0d 0h01m05s\n"), "{text}");
    }
}
