//! The statistics page as HTML: one table a proxy, no scripts, readable on a phone, light and dark.

use std::fmt::Write;

use config::haproxy::StatsPage;
use protocol::snapshot::{
    BackendStats, FrontendStats, Operational, ProxySnapshot, ServerStats, Snapshot, WorkerSnapshot,
};

/// What a page is made of.
pub(super) struct View<'a> {
    pub(super) page: &'a StatsPage,
    pub(super) snapshot: &'a Snapshot,
    pub(super) is_admin: bool,
    pub(super) only_up: bool,
    pub(super) no_refresh: bool,
    pub(super) done: Option<&'a str>,
    pub(super) description: Option<&'a str>,
}

/// The page's style; no other file is needed to see it.
const STYLE: &str = include_str!("page.css");

/// Groups of columns with their columns, as HAProxy's page has them.
const GROUPS: &[(&str, &[&str])] = &[
    ("Queue", &["Cur", "Max", "Limit"]),
    ("Session rate", &["Cur", "Max", "Limit"]),
    (
        "Sessions",
        &["Cur", "Max", "Limit", "Total", "LbTot", "Last"],
    ),
    ("Bytes", &["In", "Out"]),
    ("Denied", &["Req", "Resp"]),
    ("Errors", &["Req", "Conn", "Resp"]),
    ("Warnings", &["Retr", "Redis"]),
    (
        "Server",
        &["LastChk", "Wght", "Act", "Bck", "Chk", "Dwn", "Dwntme"],
    ),
];

/// What an operator may choose in a form.
const ACTIONS: &[(&str, &str)] = &[
    ("ready", "Set state to READY"),
    ("drain", "Set state to DRAIN"),
    ("maint", "Set state to MAINT"),
    ("dhlth", "Health: disable checks"),
    ("ehlth", "Health: enable checks"),
    ("hrunn", "Health: force UP"),
    ("hnolb", "Health: force NOLB"),
    ("hdown", "Health: force DOWN"),
    ("shutdown", "Kill sessions"),
];

/// The whole page.
pub(super) fn render(view: &View<'_>) -> String {
    let mut out = String::with_capacity(32 << 10);
    let title = if view.snapshot.node.is_empty() {
        "Statistics Report".to_owned()
    } else {
        format!("Statistics Report for {}", view.snapshot.node)
    };
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><title>{}</title><style>{STYLE}</style></head><body>\n",
        Escaped(&title)
    );
    if let Some(worker) = &view.snapshot.worker {
        header(view, worker, &mut out);
        notice(view, &mut out);
        for proxy in &worker.proxies {
            table(view, proxy, &mut out);
        }
    }
    if view.page.show_legends {
        out.push_str("<footer><p>Cur, Max: now and the most seen. LbTot: times chosen by balancing. Act, Bck: active and backup servers. Chk: failed checks. Dwn: times that it went down. Dwntme: time spent down.</p></footer>");
    }
    out.push_str("</body></html>\n");
    out
}

fn header(view: &View<'_>, worker: &WorkerSnapshot, out: &mut String) {
    let process = &worker.process;
    let _ = write!(out, "<header><div><h1>Tandem");
    if !view.page.hide_version {
        let _ = write!(out, " <small>{}</small>", Escaped(&view.snapshot.version));
    }
    if let Some(node) = &view.page.show_node {
        let node = if node.is_empty() {
            &view.snapshot.node
        } else {
            node
        };
        let _ = write!(out, " <small>on {}</small>", Escaped(node));
    }
    out.push_str("</h1>");
    if let Some(text) = &view.page.show_desc {
        let text = if text.is_empty() {
            view.description.unwrap_or("")
        } else {
            text
        };
        if !text.is_empty() {
            let _ = write!(out, "<p class=\"desc\">{}</p>", Escaped(text));
        }
    }
    out.push_str("</div><div class=\"facts\">");
    let mut fact = |name: &str, value: String| {
        let _ = write!(out, "<span><b>{name} = </b> {}</span>", Escaped(&value));
    };
    fact(
        "pid",
        format!("{} (nbthread = {})", process.pid, process.threads),
    );
    fact("uptime", uptime(process.uptime_ms / 1000));
    fact("maxconn", process.maxconn.to_string());
    fact("current conns", process.current_connections.to_string());
    fact(
        "conn rate",
        format!("{}/sec", process.connection_rate.current),
    );
    fact("total requests", process.total_requests.to_string());
    fact("idle", format!("{} %", process.idle_percent));
    out.push_str("</div><nav>");
    let uri = &view.page.uri;
    let mut link = |options: &str, text: &str| {
        let _ = write!(out, "<a href=\"{}{options}\">{text}</a>", Escaped(uri));
    };
    if view.only_up {
        link("", "Show all servers");
    } else {
        link(";up", "Hide DOWN servers");
    }
    if view.page.refresh.is_some() && !view.no_refresh {
        link(";norefresh", "Disable refresh");
    }
    link("", "Refresh now");
    link(";csv", "CSV");
    link(";json", "JSON");
    out.push_str("</nav></header>\n");
}

/// What became of a form.
fn notice(view: &View<'_>, out: &mut String) {
    let Some(code) = view.done else { return };
    let (class, text) = match code {
        "DONE" => ("good", "Action processed successfully."),
        "NONE" => ("warn", "Nothing has changed."),
        "PART" => ("warn", "Action partially processed."),
        "ERRP" => ("bad", "Action not processed: the form could not be read."),
        "EXCD" => (
            "bad",
            "Action not processed: the form is too long, select fewer servers.",
        ),
        "DENY" => ("bad", "Action denied."),
        _ => ("bad", "Unexpected result."),
    };
    let _ = writeln!(
        out,
        "<p class=\"notice {class}\" role=\"status\">{text} <a href=\"{}\">Dismiss</a></p>",
        Escaped(&view.page.uri)
    );
}

fn table(view: &View<'_>, proxy: &ProxySnapshot, out: &mut String) {
    let with_form = view.is_admin && !proxy.servers.is_empty();
    let name = Escaped(&proxy.name);
    let _ = write!(out, "<section id=\"p{}\"><h2>{name}", proxy.id);
    let _ = write!(
        out,
        " <small>{}{}</small></h2>",
        if proxy.http { "http" } else { "tcp" },
        proxy
            .backend
            .as_ref()
            .map_or(String::new(), |backend| format!(" · {}", backend.algorithm))
    );
    if with_form {
        let _ = write!(
            out,
            "<form method=\"post\" action=\"{}\"><input type=\"hidden\" name=\"b\" value=\"#{}\">",
            Escaped(&view.page.uri),
            proxy.id
        );
    }
    out.push_str("<div class=\"scroll\"><table><thead><tr>");
    if with_form {
        out.push_str("<td></td>");
    }
    out.push_str("<th class=\"name\" rowspan=\"2\" scope=\"col\">Name</th><th class=\"status\" rowspan=\"2\" scope=\"col\">Status</th>");
    for (group, columns) in GROUPS {
        let _ = write!(
            out,
            "<th class=\"group\" scope=\"colgroup\" colspan=\"{}\">{group}</th>",
            columns.len()
        );
    }
    out.push_str("</tr><tr>");
    if with_form {
        out.push_str("<td></td>");
    }
    for (_, columns) in GROUPS {
        for (index, column) in columns.iter().enumerate() {
            let class = if index == 0 { " class=\"first\"" } else { "" };
            let _ = write!(out, "<th scope=\"col\"{class}>{column}</th>");
        }
    }
    out.push_str("</tr></thead><tbody>");
    let mut table = Table { out, with_form };
    if let Some(frontend) = &proxy.frontend {
        table.frontend(frontend);
    }
    for server in &proxy.servers {
        if !view.only_up || !is_out(server) {
            table.server(server);
        }
    }
    if let Some(backend) = &proxy.backend {
        table.backend(backend);
    }
    out.push_str("</tbody></table></div>");
    if with_form {
        let _ = write!(
            out,
            "<p class=\"act\"><label>Choose the action to perform on the checked servers: <select name=\"action\" required><option value=\"\"></option>"
        );
        for (value, text) in ACTIONS {
            let _ = write!(out, "<option value=\"{value}\">{text}</option>");
        }
        out.push_str("</select></label> <button>Apply</button></p></form>");
    }
    out.push_str("</section>\n");
}

fn is_out(server: &ServerStats) -> bool {
    server.status.starts_with("DOWN") || server.status.starts_with("MAINT")
}

struct Table<'o> {
    out: &'o mut String,
    with_form: bool,
}

impl Table<'_> {
    fn start(&mut self, class: &str, name: &str, title: &str, checkbox: Option<&str>) {
        let _ = write!(self.out, "<tr class=\"{class}\">");
        if self.with_form {
            match checkbox {
                Some(server) => {
                    let _ = write!(
                        self.out,
                        "<td><input type=\"checkbox\" name=\"s\" value=\"{0}\" aria-label=\"{0}\"></td>",
                        Escaped(server)
                    );
                }
                None => self.out.push_str("<td></td>"),
            }
        }
        let _ = write!(
            self.out,
            "<th scope=\"row\" class=\"name\" title=\"{}\">{}</th>",
            Escaped(title),
            Escaped(name)
        );
    }

    fn status(&mut self, class: &str, word: &str, since: Option<u64>) {
        let _ = write!(
            self.out,
            "<td class=\"status\"><span class=\"pill {class}\">{}</span>",
            Escaped(word)
        );
        if let Some(since_ms) = since {
            let _ = write!(self.out, " <small>{}</small>", age(since_ms / 1000));
        }
        self.out.push_str("</td>");
    }

    fn group(&mut self, cells: &[String]) {
        for (index, cell) in cells.iter().enumerate() {
            let class = if index == 0 { " class=\"first\"" } else { "" };
            let _ = write!(self.out, "<td{class}>{}</td>", Escaped(cell));
        }
    }

    fn end(&mut self) {
        self.out.push_str("</tr>");
    }

    fn frontend(&mut self, stats: &FrontendStats) {
        let title = stats.listeners.join(", ");
        self.start("frontend", "Frontend", &title, None);
        let class = if stats.status == "OPEN" {
            "up"
        } else {
            "maint"
        };
        self.status(class, &stats.status, None);
        self.group(&[none(), none(), none()]);
        self.group(&[
            n(stats.session_rate.current),
            n(stats.session_rate.maximum),
            limit(stats.session_rate.limit),
        ]);
        self.group(&[
            n(stats.sessions.current),
            n(stats.sessions.maximum),
            limit(stats.session_limit),
            n(stats.sessions_total),
            none(),
            none(),
        ]);
        self.group(&[bytes(stats.bytes_in), bytes(stats.bytes_out)]);
        self.group(&[n(stats.denied_requests), n(stats.denied_responses)]);
        self.group(&[n(stats.request_errors), none(), none()]);
        self.group(&[none(), none()]);
        self.group(&[none(), none(), none(), none(), none(), none(), none()]);
        self.end();
    }

    fn server(&mut self, stats: &ServerStats) {
        let title = format!(
            "{}{}",
            stats.address,
            if stats.cookie.is_empty() {
                String::new()
            } else {
                format!(", cookie {}", stats.cookie)
            }
        );
        self.start("server", &stats.name, &title, Some(&stats.name));
        self.status(class_of(stats), &stats.status, Some(stats.last_change_ms));
        self.group(&[
            n(stats.queue.current),
            n(stats.queue.maximum),
            limit(stats.queue_limit),
        ]);
        self.group(&[
            n(stats.rate.current),
            n(stats.rate.maximum),
            limit(stats.rate.limit),
        ]);
        self.group(&[
            n(stats.sessions.current),
            n(stats.sessions.maximum),
            limit(stats.session_limit),
            n(stats.sessions_total),
            n(stats.chosen_total),
            last(stats.last_session_ms),
        ]);
        self.group(&[bytes(stats.bytes_in), bytes(stats.bytes_out)]);
        self.group(&[none(), n(stats.denied_responses)]);
        self.group(&[none(), n(stats.connection_errors), n(stats.response_errors)]);
        self.group(&[n(stats.retries), n(stats.redispatches)]);
        let check = match &stats.check {
            Some(check) => match check.code {
                Some(code) => format!("{}/{code} in {}ms", check.status, check.duration_ms),
                None => format!("{} in {}ms", check.status, check.duration_ms),
            },
            None => String::new(),
        };
        self.group(&[
            check,
            format!("{}/{}", stats.weight, stats.initial_weight),
            if stats.backup {
                "-".to_owned()
            } else {
                "Y".to_owned()
            },
            if stats.backup {
                "Y".to_owned()
            } else {
                "-".to_owned()
            },
            stats
                .check
                .as_ref()
                .map_or_else(none, |check| n(check.failures)),
            n(stats.down_transitions),
            age(stats.downtime_ms / 1000),
        ]);
        self.end();
    }

    fn backend(&mut self, stats: &BackendStats) {
        let title = if stats.cookie.is_empty() {
            stats.algorithm.clone()
        } else {
            format!("{}, cookie {}", stats.algorithm, stats.cookie)
        };
        self.start("backend", "Backend", &title, None);
        let class = if stats.status == "UP" { "up" } else { "down" };
        self.status(class, &stats.status, Some(stats.last_change_ms));
        self.group(&[n(stats.queue.current), n(stats.queue.maximum), none()]);
        self.group(&[
            n(stats.rate.current),
            n(stats.rate.maximum),
            limit(stats.rate.limit),
        ]);
        self.group(&[
            n(stats.sessions.current),
            n(stats.sessions.maximum),
            limit(stats.session_limit),
            n(stats.sessions_total),
            n(stats.chosen_total),
            last(stats.last_session_ms),
        ]);
        self.group(&[bytes(stats.bytes_in), bytes(stats.bytes_out)]);
        self.group(&[n(stats.denied_requests), n(stats.denied_responses)]);
        self.group(&[none(), n(stats.connection_errors), n(stats.response_errors)]);
        self.group(&[n(stats.retries), n(stats.redispatches)]);
        self.group(&[
            none(),
            n(stats.weight.into()),
            n(stats.active_servers.into()),
            n(stats.backup_servers.into()),
            none(),
            n(stats.down_transitions),
            age(stats.downtime_ms / 1000),
        ]);
        self.end();
    }
}

fn class_of(stats: &ServerStats) -> &'static str {
    if stats.status.starts_with("MAINT") {
        return "maint";
    }
    match stats.operational {
        Operational::Down => "down",
        Operational::GoingUp => "rising",
        _ if stats.status.starts_with("DRAIN") || stats.weight == 0 => "drain",
        Operational::GoingDown => "failing",
        Operational::NoCheck => "nocheck",
        Operational::Up => "up",
    }
}

fn none() -> String {
    String::new()
}

fn n(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

fn limit(value: u64) -> String {
    if value == 0 { "-".to_owned() } else { n(value) }
}

fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    if value < 10_000 {
        return format!("{} B", n(value));
    }
    let (mut amount, mut unit) = (value as f64, 0);
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

fn last(since_ms: Option<u64>) -> String {
    since_ms.map_or_else(|| "?".to_owned(), |since_ms| age(since_ms / 1000))
}

/// `1d3h`, `5m12s`: the two largest units.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// `0d 0h00m08s`, as HAProxy's page has it and Zabbix reads it.
fn uptime(seconds: u64) -> String {
    format!(
        "{}d {}h{:02}m{:02}s",
        seconds / 86_400,
        seconds / 3_600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Text in HTML, in and between tags.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for at in self.0.chars() {
            match at {
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '&' => formatter.write_str("&amp;")?,
                '"' => formatter.write_str("&quot;")?,
                '\'' => formatter.write_str("&#39;")?,
                other => formatter.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_write_html() {
        assert_eq!(
            Escaped("<a href=\"x\" onclick='y'>&").to_string(),
            "&lt;a href=&quot;x&quot; onclick=&#39;y&#39;&gt;&amp;"
        );
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(uptime(90_061), "1d 1h01m01s");
        assert_eq!(
            (age(59), age(61), age(90_000)),
            ("59s".to_owned(), "1m1s".to_owned(), "1d1h".to_owned())
        );
        assert_eq!(n(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(bytes(10 << 20), "10.0 MiB");
    }
}
