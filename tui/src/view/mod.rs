//! Draws the model. Nothing here changes it; every screen is a function of `&App` and an area.

mod dialog;
mod events;
mod help;
mod overview;
mod servers;
pub mod theme;
mod vrrp;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

use crate::app::{App, Screen};
use crate::node::Reach;
use crate::problems::{self, Problem, ProblemKind, Severity};
use crate::words;
use theme::Theme;

/// Smallest terminal that the screens fit in.
pub const MIN_WIDTH: u16 = 60;
/// Smallest terminal that the screens fit in.
pub const MIN_HEIGHT: u16 = 16;

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, app: &App, theme: &Theme) {
    let area = frame.area();
    if area.width < MIN_WIDTH || area.height < MIN_HEIGHT {
        let text = format!(
            "tandem needs {MIN_WIDTH}x{MIN_HEIGHT}; this terminal is {}x{}. q leaves.",
            area.width, area.height
        );
        frame.render_widget(
            Paragraph::new(text).wrap(ratatui::widgets::Wrap { trim: true }),
            area,
        );
        return;
    }
    let problems = problems::problems(&app.nodes);
    let alarms: Vec<&Problem> = problems
        .iter()
        .filter(|problem| is_alarm(problem))
        .take(2)
        .collect();
    let [head, banner, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(alarms.len() as u16),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(
        Paragraph::new(head_line(app, &problems, theme, head.width)),
        head,
    );
    let lines: Vec<Line<'_>> = alarms
        .iter()
        .map(|problem| alarm_line(problem, theme, banner.width))
        .collect();
    frame.render_widget(Paragraph::new(lines), banner);
    match app.screen {
        Screen::Overview => overview::draw(frame, body, app, &problems, theme),
        Screen::Servers => servers::draw(frame, body, app, theme),
        Screen::Vrrp => vrrp::draw(frame, body, app, theme),
        Screen::Events => events::draw(frame, body, app, theme),
    }
    frame.render_widget(Paragraph::new(foot_line(app, theme, foot.width)), foot);
    if app.help {
        help::draw(frame, area, app, theme);
    }
    if app.dialog.is_some() {
        dialog::draw(frame, area, app, theme);
    }
}

/// What is shouted on every screen.
fn is_alarm(problem: &Problem) -> bool {
    matches!(
        problem.kind,
        ProblemKind::VrrpSplitBrain
            | ProblemKind::VrrpNobodyMaster
            | ProblemKind::VrrpAddressMissing
    )
}

fn alarm_line<'a>(problem: &Problem, theme: &Theme, width: u16) -> Line<'a> {
    let text = format!(" !! {}: {}: {}", problem.subject, problem.what, problem.why);
    let width = usize::from(width);
    Line::styled(
        format!("{:<width$}", words::cut(&text, width)),
        theme.alarm(),
    )
}

fn head_line<'a>(app: &App, problems: &[Problem], theme: &Theme, width: u16) -> Line<'a> {
    let mut spans = vec![Span::styled(" tandem ", theme.strong())];
    for (number, screen) in Screen::ALL.iter().enumerate() {
        let text = format!(" {} {} ", number + 1, screen.name());
        spans.push(if *screen == app.screen {
            Span::styled(text, theme.selected())
        } else {
            Span::raw(text)
        });
    }
    let mut right: Vec<Span<'_>> = Vec::new();
    for node in &app.nodes {
        let (mark, style) = match node.reach {
            Reach::Up => ("up", theme.good()),
            Reach::Connecting => ("...", theme.dim()),
            Reach::Lost { .. } => ("LOST", theme.bad()),
        };
        right.push(Span::styled(
            format!(" {} {mark} ", words::cut(&node.label, 12)),
            style,
        ));
    }
    let worst = problems.first().map(|problem| problem.severity);
    right.push(match worst {
        Some(Severity::Critical) => Span::styled(" CRIT ", theme.alarm()),
        Some(Severity::Warning) => Span::styled(" WARN ", theme.uneasy()),
        _ => Span::styled(" OK ", theme.good()),
    });
    right.push(Span::styled(
        format!(" {}", words::clock(app.now_ms)),
        theme.dim(),
    ));
    let used = |spans: &[Span<'_>]| spans.iter().map(Span::width).sum::<usize>();
    // On a narrow terminal the clock goes first, then the nodes; what is wrong stays.
    while right.len() > 1 && used(&spans) + used(&right) > usize::from(width) {
        let surplus = if right.len() > app.nodes.len() + 1 {
            right.len() - 1
        } else {
            0
        };
        right.remove(surplus);
    }
    let gap = usize::from(width).saturating_sub(used(&spans) + used(&right));
    spans.push(Span::raw(" ".repeat(gap)));
    spans.extend(right);
    Line::from(spans)
}

fn foot_line<'a>(app: &App, theme: &Theme, width: u16) -> Line<'a> {
    if let Some(input) = &app.editing {
        return Line::from(vec![
            Span::styled(" filter: ", theme.strong()),
            Span::raw(input.value().to_owned()),
            Span::styled(" ", theme.selected()),
            Span::styled("   Enter keeps it, Esc clears it", theme.dim()),
        ]);
    }
    if let Some(message) = &app.message {
        let style = if message.bad {
            theme.bad()
        } else {
            theme.strong()
        };
        return Line::styled(
            format!(
                " {}",
                words::cut(&message.text, usize::from(width).saturating_sub(2))
            ),
            style,
        );
    }
    let mut text = match app.screen {
        Screen::Overview => " ? help  f failover  b failback  n node  Tab screen  q leave",
        Screen::Servers if app.detail => {
            " Esc closes  d drain  r ready  m maint  w weight  q leave"
        }
        Screen::Servers => {
            " ? help  d drain  r ready  m maint  w weight  Enter detail  / filter  s sort"
        }
        Screen::Vrrp => " ? help  f failover  b failback  Up/Down select  q leave",
        Screen::Events => " ? help  / filter  n node  Up/Down scroll  q leave",
    }
    .to_owned();
    if app.demo {
        text = " F9 kill the master  F10 kill a web server  (or K, W)  ? help  q leave".to_owned();
    }
    Line::styled(words::cut(&text, usize::from(width)), theme.dim())
}

/// A bar for each value, the highest over the whole height; the latest stands at the right.
pub fn sparkline(values: &[u64], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values = &values[values.len().saturating_sub(width)..];
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    let bars: String = values
        .iter()
        .map(|value| BARS[usize::try_from(value * 7 / most).unwrap_or(7).min(7)])
        .collect();
    format!("{}{bars}", " ".repeat(width.saturating_sub(values.len())))
}

/// A bar of `#` and `.` for a part of a whole, so that it reads without colour.
pub fn bar(part: u64, whole: u64, width: usize) -> String {
    let filled = (part * width as u64)
        .checked_div(whole)
        .and_then(|filled| usize::try_from(filled).ok())
        .unwrap_or(width)
        .min(width);
    format!("{}{}", "#".repeat(filled), ".".repeat(width - filled))
}

/// The middle of an area, at most so large.
fn middle(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    }
}

/// Makes room for something above the screen.
fn clear(frame: &mut Frame<'_>, area: Rect) {
    frame.render_widget(Clear, area);
}

/// The lines that tell of drains, one each.
fn drain_lines<'a>(app: &App, theme: &Theme, width: usize) -> Vec<Line<'a>> {
    app.drains
        .iter()
        .map(|drain| {
            let node = app
                .nodes
                .get(drain.node)
                .map_or("?", |node| node.label.as_str());
            let elapsed = words::span(
                drain
                    .ended_ms
                    .unwrap_or(app.now_ms)
                    .saturating_sub(drain.started_ms),
            );
            let subject = words::cut(&format!("{} on {node}", drain.name), 30);
            let tail = match drain.ended_ms {
                Some(_) => format!("empty after {elapsed}"),
                None => format!(
                    "{} of {} left, {elapsed}",
                    drain.left,
                    words::plural(drain.most, "session")
                ),
            };
            let room = width
                .saturating_sub(subject.chars().count() + tail.chars().count() + 14)
                .clamp(5, 40);
            let gauge = bar(drain.most - drain.left, drain.most, room);
            let style = if drain.ended_ms.is_some() {
                theme.good()
            } else {
                theme.uneasy()
            };
            Line::styled(format!(" draining {subject} [{gauge}] {tail}"), style)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_become_bars() {
        assert_eq!(sparkline(&[0, 7, 14], 5), "  ▁▄█");
        assert_eq!(sparkline(&[1, 2, 3, 4], 2), "▆█");
        assert_eq!(bar(3, 12, 8), "##......");
        assert_eq!(bar(0, 0, 4), "####");
    }
}
