//! The first screen: who holds which address, what is wrong, and the traffic.

use protocol::vrrp::VrrpState;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

use super::theme::Theme;
use super::{drain_lines, sparkline};
use crate::app::App;
use crate::node::{NodeView, Reach};
use crate::problems::{self, Problem, Severity};
use crate::routers::{self, RouterState};
use crate::words::{self, count, span};

pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    app: &App,
    problems: &[Problem],
    theme: &Theme,
) {
    let addresses = address_lines(app, theme);
    let drains = drain_lines(app, theme, usize::from(area.width));
    // Half of the screen belongs to what is wrong.
    let address_rows = (addresses.len() as u16).min(area.height / 3);
    let traffic_rows = (app.nodes.len() as u16 + 1).min(area.height / 4);
    let [top, middle, drain, bottom] = Layout::vertical([
        Constraint::Length(address_rows + 2),
        Constraint::Min(3),
        Constraint::Length((drains.len() as u16).min(3)),
        Constraint::Length(traffic_rows + 2),
    ])
    .areas(area);
    frame.render_widget(
        Paragraph::new(addresses).block(Block::bordered().title(" Addresses ")),
        top,
    );
    problem_list(frame, middle, app, problems, theme);
    frame.render_widget(Paragraph::new(drains), drain);
    traffic(frame, bottom, app, theme);
}

fn address_lines<'a>(app: &App, theme: &Theme) -> Vec<Line<'a>> {
    let routers = routers::virtual_routers(&app.nodes);
    if routers.is_empty() {
        let configured = app
            .nodes
            .iter()
            .filter_map(NodeView::live)
            .any(|snapshot| snapshot.vrrp_configured);
        let text = match (
            configured,
            app.nodes.iter().any(|node| node.live().is_some()),
        ) {
            (true, _) => " no instance is known yet",
            (false, true) => " no virtual addresses are configured",
            (false, false) => " unknown: no node answers",
        };
        return vec![Line::styled(text, theme.dim())];
    }
    let mut lines = Vec::new();
    for (number, router) in routers.iter().enumerate() {
        let addresses = words::printable(&router.addresses.join(" "));
        let (text, style) = match router.state(&app.nodes) {
            RouterState::HeldBy(index) => (
                format!("{addresses} is on {}", app.nodes[index].label),
                theme.good(),
            ),
            RouterState::HeldElsewhere(address) => {
                (format!("{addresses} is on {address}"), theme.good())
            }
            RouterState::SplitBrain(_) => (
                format!("{addresses} is on SEVERAL nodes: SPLIT BRAIN"),
                theme.alarm(),
            ),
            RouterState::Nobody => (format!("{addresses} is on NO node"), theme.alarm()),
        };
        let mark = if routers.len() > 1 && number == app.router {
            ">"
        } else {
            " "
        };
        lines.push(Line::from(vec![
            Span::raw(mark),
            Span::styled(
                format!("{} vrid {}  ", words::printable(router.name), router.vrid),
                theme.strong(),
            ),
            Span::styled(text, style.patch(theme.strong())),
        ]));
        for (index, instance) in &router.members {
            let node = &app.nodes[*index];
            let style = match instance.state {
                VrrpState::Master => theme.good(),
                VrrpState::Fault => theme.bad(),
                VrrpState::Init | VrrpState::Backup => ratatui::style::Style::new(),
            };
            let held = if instance.held {
                "  gave the addresses away"
            } else {
                ""
            };
            let reason = if instance.state == VrrpState::Fault {
                format!("  {}", problems::fault_reason(instance))
            } else {
                String::new()
            };
            lines.push(Line::from(vec![
                Span::raw(format!("   {:<10} ", words::cut(&node.label, 10))),
                Span::styled(format!("{:<7}", instance.state.to_string()), style),
                Span::raw(format!(
                    "for {:<7} priority {}{}{held}{}",
                    span(app.now_ms.saturating_sub(instance.since_ms)),
                    instance.effective_priority,
                    if instance.effective_priority == instance.base_priority {
                        String::new()
                    } else {
                        format!(" (base {})", instance.base_priority)
                    },
                    words::printable(&reason)
                )),
            ]));
        }
    }
    lines
}

fn problem_list(frame: &mut Frame<'_>, area: Rect, app: &App, problems: &[Problem], theme: &Theme) {
    let wrong = problems
        .iter()
        .filter(|problem| problem.severity > Severity::Notice)
        .count() as u64;
    let notices = problems.len() as u64 - wrong;
    let connecting = app.nodes.iter().any(|node| node.reach == Reach::Connecting);
    let title = match (wrong, notices) {
        (0, _) if connecting => " connecting … ".to_owned(),
        (0, 0) => " All clear ".to_owned(),
        (0, notices) => format!(" All clear, {} ", words::plural(notices, "notice")),
        (wrong, 0) => format!(" {} ", words::plural(wrong, "problem")),
        (wrong, notices) => format!(
            " {}, {} ",
            words::plural(wrong, "problem"),
            words::plural(notices, "notice")
        ),
    };
    let style = match problems.first().map(|problem| problem.severity) {
        Some(severity @ (Severity::Warning | Severity::Critical)) => theme.severity(severity),
        _ => theme.good(),
    };
    let block = Block::bordered().title(Span::styled(title, style.patch(theme.strong())));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    if problems.is_empty() {
        let text = if connecting {
            " no answer yet"
        } else {
            " All clear: every node answers, and nothing is wrong."
        };
        frame.render_widget(Paragraph::new(Line::styled(text, theme.good())), inner);
        return;
    }
    let width = usize::from(inner.width);
    let mut lines = Vec::new();
    for problem in problems.iter().skip(app.scroll.min(problems.len() - 1)) {
        lines.extend(problem_lines(app, problem, theme, width));
        if lines.len() >= usize::from(inner.height) {
            break;
        }
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

/// One line if all fits, else the reason below.
fn problem_lines<'a>(app: &App, problem: &Problem, theme: &Theme, width: usize) -> Vec<Line<'a>> {
    let since = problem
        .since_ms
        .map(|at| span(app.now_ms.saturating_sub(at)))
        .unwrap_or_default();
    let head = format!(
        "{} {} {}",
        words::cut(&problem.node(), 20),
        problem.subject,
        problem.what
    );
    let style = theme.severity(problem.severity);
    let first = |text: String| {
        Line::from(vec![
            Span::styled(
                format!(" {} ", problem.severity.word()),
                style.patch(theme.strong()),
            ),
            Span::styled(format!("{since:>7} "), theme.dim()),
            Span::styled(text, style),
        ])
    };
    let room = width.saturating_sub(14);
    if problem.why.is_empty() {
        return vec![first(words::cut(&head, room))];
    }
    let whole = format!("{head}: {}", problem.why);
    if whole.chars().count() <= room {
        return vec![first(whole)];
    }
    let why = format!(
        "{:15}{}",
        "",
        words::cut(&problem.why, width.saturating_sub(16))
    );
    vec![first(words::cut(&head, room)), Line::raw(why)]
}

fn traffic(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let width = usize::from(area.width).saturating_sub(2);
    // Half of what the figures leave shows requests, a quarter each shows errors and sessions.
    let graphs = width.saturating_sub(52).max(16);
    let (wide, narrow) = (graphs / 2, graphs / 4);
    let mut lines = vec![Line::styled(
        format!(
            " {:<12}{:>6} {:wide$} {:>5} {:narrow$} {:>8} {:narrow$} {:>9}",
            "node", "req/s", "", "err/s", "", "sessions", "", "uptime"
        ),
        theme.dim(),
    )];
    for node in &app.nodes {
        lines.push(match (&node.reach, node.live()) {
            (Reach::Lost { since_ms, why }, _) => Line::styled(
                format!(
                    " node {}: not reachable since {} ({}), {why}",
                    node.label,
                    words::clock(*since_ms),
                    span(app.now_ms.saturating_sub(*since_ms))
                ),
                theme.bad(),
            ),
            (_, None) => Line::styled(
                format!(
                    " node {}: connecting to {} …",
                    node.label,
                    node.address.path.display()
                ),
                theme.dim(),
            ),
            (_, Some(snapshot)) => {
                let history = &node.history;
                let errors = history.errors.latest();
                let errors_style = if errors > 0 { theme.bad() } else { theme.dim() };
                Line::from(vec![
                    Span::raw(format!(
                        " {:<12}{:>6} ",
                        words::cut(&node.label, 12),
                        count(history.requests.latest())
                    )),
                    Span::styled(sparkline(&history.requests.tail(wide), wide), theme.good()),
                    Span::styled(
                        format!(
                            " {:>5} {}",
                            count(errors),
                            sparkline(&history.errors.tail(narrow), narrow)
                        ),
                        errors_style,
                    ),
                    Span::raw(format!(
                        " {:>8} {} {:>9}",
                        count(history.sessions.latest()),
                        sparkline(&history.sessions.tail(narrow), narrow),
                        span(snapshot.uptime_seconds * 1000)
                    )),
                ])
            }
        });
    }
    frame.render_widget(
        Paragraph::new(lines).block(Block::bordered().title(" Traffic ")),
        area,
    );
}
