//! The servers' screen: a table of backends and servers, and the detail of one server.

use protocol::ServerName;
use protocol::snapshot::{CheckStats, ServerStats};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

use super::theme::Theme;
use super::{clear, drain_lines, sparkline};
use crate::app::App;
use crate::node::NodeView;
use crate::rows::{self, Row, ServerRow, Sort, short_status};
use crate::words::{self, count, span};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let drains = drain_lines(app, theme, usize::from(area.width));
    let [top, bottom] = Layout::vertical([
        Constraint::Min(3),
        Constraint::Length((drains.len() as u16).min(4)),
    ])
    .areas(area);
    table(frame, top, app, theme);
    frame.render_widget(Paragraph::new(drains), bottom);
    if app.detail {
        detail(frame, area, app, theme);
    }
}

/// Widths of the first two columns; the check takes what is left.
struct Widths {
    name: usize,
    status: usize,
    check: usize,
}

/// Columns between status and check with their blanks: weight, sessions, rate, queue, errors, change.
const FIGURES: usize = 5 + 11 + 7 + 6 + 6 + 7;

impl Widths {
    fn of(width: usize) -> Self {
        let (name, status) = if width >= 110 { (20, 14) } else { (11, 9) };
        Self {
            name,
            status,
            check: width.saturating_sub(name + status + FIGURES + 3),
        }
    }
}

fn table(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let node = app
        .chosen
        .and_then(|index| app.nodes.get(index))
        .map_or("all nodes", |node| node.label.as_str());
    let mut title = format!(" Servers of {node}, {} ", app.sort.name());
    if !app.server_filter.is_empty() {
        title.push_str(&format!("| filter: {} ", app.server_filter));
    }
    // A narrow column cuts the check; the selected server's is told whole below.
    let check = app
        .selected_row()
        .map(|row| format!(" {}: {} ", row.name, row.check))
        .unwrap_or_default();
    let check = words::cut(&check, usize::from(area.width).saturating_sub(4));
    let block = Block::bordered()
        .title(title)
        .title_bottom(Span::styled(check, theme.strong()));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let widths = Widths::of(usize::from(inner.width));
    let head = format!(
        " {:<name$} {:<status$}{:>5}{:>11}{:>7}{:>6}{:>6}{:>7}  {}",
        "server",
        "status",
        "wght",
        "sess/max",
        "req/s",
        "queue",
        "errs",
        "since",
        "check",
        name = widths.name,
        status = widths.status,
    );
    let rows = app.server_rows();
    let mut lines: Vec<(bool, Line<'_>)> = Vec::with_capacity(rows.len());
    for row in &rows {
        match row {
            Row::Backend {
                name,
                algorithm,
                status,
                health,
                usable,
                queue,
            } => {
                let queue = if *queue > 0 {
                    format!(", {queue} wait")
                } else {
                    String::new()
                };
                lines.push((
                    false,
                    Line::from(vec![
                        Span::styled(format!(" {name} "), theme.strong()),
                        Span::styled(status.clone(), theme.health(*health)),
                        Span::raw(format!(
                            "  {} of {} usable, {algorithm}{queue}",
                            usable.0, usable.1
                        )),
                    ]),
                ));
            }
            Row::Server(row) => {
                let selected = app.selected.as_ref() == Some(&row.name);
                lines.push((selected, server_line(app, row, &widths, selected, theme)));
            }
        }
    }
    let height = usize::from(inner.height).saturating_sub(1);
    let selected = lines
        .iter()
        .position(|(selected, _)| *selected)
        .unwrap_or(0);
    // The selected line stays visible; with it the backend's line above where there is room.
    let skip = if lines.len() <= height {
        0
    } else {
        (selected + 2)
            .saturating_sub(height)
            .min(lines.len() - height)
    };
    let mut shown = vec![Line::styled(
        words::cut(&head, usize::from(inner.width)),
        theme.dim(),
    )];
    if rows.is_empty() {
        let text = if app.server_filter.is_empty() {
            " no server is known"
        } else {
            " no server matches; Esc clears the filter"
        };
        shown.push(Line::styled(text, theme.dim()));
    }
    shown.extend(
        lines
            .into_iter()
            .skip(skip)
            .take(height)
            .map(|(_, line)| line),
    );
    frame.render_widget(Paragraph::new(shown), inner);
}

fn server_line<'a>(
    app: &App,
    row: &ServerRow,
    widths: &Widths,
    selected: bool,
    theme: &Theme,
) -> Line<'a> {
    let name = match app.sort {
        Sort::Configured => format!(
            "{}{}",
            row.name.server,
            if row.backup { " (backup)" } else { "" }
        ),
        _ => row.name.to_string(),
    };
    let mark = if selected { '>' } else { ' ' };
    let base = if selected {
        theme.selected()
    } else {
        Style::new()
    };
    let status = short_status(row, &app.nodes);
    Line::from(vec![
        Span::styled(
            format!(
                "{mark}{:<width$} ",
                words::cut(&name, widths.name),
                width = widths.name
            ),
            base,
        ),
        Span::styled(
            format!(
                "{:<width$}",
                words::cut(&status, widths.status),
                width = widths.status
            ),
            base.patch(theme.health(row.health)),
        ),
        Span::styled(
            format!(
                "{:>5}{:>11}{:>7}{:>6}{:>6}{:>7}  {:<width$}",
                row.weight,
                format!("{}/{}", count(row.sessions), count(row.sessions_max)),
                count(row.rate),
                count(row.queue),
                count(row.errors),
                span(row.last_change_ms),
                words::cut(&row.check, widths.check),
                width = widths.check,
            ),
            base,
        ),
    ])
}

fn detail(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(row) = app.selected_row() else {
        return;
    };
    let parts: Vec<(&NodeView, &ServerStats)> = row
        .nodes
        .iter()
        .filter_map(|index| {
            let node = app.nodes.get(*index)?;
            Some((node, rows::server(node.live()?, &row.name)?))
        })
        .collect();
    let width = usize::from(area.width).saturating_sub(2);
    let mut lines = Vec::new();
    for (node, server) in &parts {
        lines.extend(detail_lines(node, server, &row.name, width, theme));
    }
    let height = (lines.len() as u16 + 2).min(area.height);
    let place = Rect {
        x: area.x,
        y: area.y + area.height - height,
        width: area.width,
        height,
    };
    clear(frame, place);
    let title = format!(" {} ", row.name);
    frame.render_widget(
        Paragraph::new(lines).block(Block::bordered().title(Span::styled(title, theme.strong()))),
        place,
    );
}

fn detail_lines<'a>(
    node: &NodeView,
    server: &ServerStats,
    name: &ServerName,
    width: usize,
    theme: &Theme,
) -> Vec<Line<'a>> {
    let history = node.history.servers.get(name);
    let rates = history
        .map(|history| history.rate.tail(width))
        .unwrap_or_default();
    let latest = rates.last().copied().unwrap_or(server.rate.current);
    let cause = match rows::cause(server.admin_cause) {
        "" => String::new(),
        words => format!(" {words}"),
    };
    let graph = width.saturating_sub(36).max(8);
    let mut lines = vec![
        Line::from(vec![
            Span::styled(format!(" {} ", node.label), theme.strong()),
            Span::styled(
                format!("{}{cause}", words::printable(&server.status)),
                theme.health(rows::health(server)),
            ),
            Span::raw(format!(
                " for {}  {}{}  weight {} (configured {})",
                span(server.last_change_ms),
                words::printable(&server.address),
                if server.fqdn.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", words::printable(&server.fqdn))
                },
                server.weight,
                server.initial_weight
            )),
        ]),
        Line::from(vec![
            Span::raw(format!(
                "   req/s {:>6} max {:>6}  ",
                count(latest),
                count(server.rate.maximum)
            )),
            Span::styled(sparkline(&rates, graph), theme.good()),
        ]),
        Line::raw(format!(
            "   times ms: queue {} connect {} response {} total {}  max {}/{}/{}/{}",
            server.times.queue_ms,
            server.times.connect_ms,
            server.times.response_ms,
            server.times.total_ms,
            server.times.queue_max_ms,
            server.times.connect_max_ms,
            server.times.response_max_ms,
            server.times.total_max_ms
        )),
        Line::raw(format!(
            "   sessions {} max {}{}  queue {}  retries {} redispatches {}  idle {}",
            server.sessions.current,
            server.sessions.maximum,
            if server.session_limit > 0 {
                format!(" of {}", server.session_limit)
            } else {
                String::new()
            },
            server.queue.current,
            server.retries,
            server.redispatches,
            server.idle_connections
        )),
        Line::raw(format!(
            "   2xx {} 3xx {} 4xx {} 5xx {}  connect errors {} answer errors {}",
            count(server.responses.class_2xx),
            count(server.responses.class_3xx),
            count(server.responses.class_4xx),
            count(server.responses.class_5xx),
            server.connection_errors,
            server.response_errors
        )),
    ];
    match &server.check {
        None => lines.push(Line::raw("   no check is configured: it is taken for well")),
        Some(check) => {
            let past = past(check);
            lines.push(Line::raw(words::cut(
                &format!(
                    "   check {}, {} {}",
                    rows::check(server),
                    words::printable(&check.description),
                    words::printable(&check.detail)
                ),
                width,
            )));
            lines.push(Line::raw(format!(
                "   checks [{past}] rise {} fall {}  failed {}, {} down {}",
                check.rise,
                check.fall,
                check.failures,
                words::plural(server.down_transitions, "time"),
                span(server.downtime_ms)
            )));
        }
    }
    if let Some(agent) = &server.agent {
        let off = if agent.enabled { "" } else { " (disabled)" };
        lines.push(Line::raw(words::cut(
            &format!(
                "   {}{off} {}ms [{}]",
                rows::last_agent(agent),
                agent.duration_ms,
                past(agent)
            ),
            width,
        )));
    }
    lines
}

/// The last results, oldest first.
fn past(check: &CheckStats) -> String {
    let history = check.history.iter();
    history.map(|good| if *good { '+' } else { 'X' }).collect()
}
