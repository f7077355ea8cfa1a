//! The events' screen: the histories of all nodes in one, latest first.

use protocol::EventSeverity;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

use super::theme::Theme;
use crate::app::{App, severity_word};
use crate::words::{self, clock, printable};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let events = app.shown_events();
    let node = app
        .chosen
        .and_then(|index| app.nodes.get(index))
        .map_or("all nodes", |node| node.label.as_str());
    let mut title = format!(" Events of {node}: {} ", events.len());
    if !app.event_filter.is_empty() {
        title.push_str(&format!("| filter: {} ", app.event_filter));
    }
    let block = Block::bordered().title(title);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    let mut lines = Vec::new();
    for (index, event) in events
        .iter()
        .skip(app.scroll.min(events.len().saturating_sub(1)))
        .take(usize::from(inner.height))
    {
        let style = match event.severity {
            EventSeverity::Info => theme.dim(),
            EventSeverity::Notice => Style::new(),
            EventSeverity::Warning => theme.uneasy(),
            EventSeverity::Alert => theme.bad(),
        };
        let label = words::cut(&app.nodes[*index].label, 8);
        let reason = if event.reason.is_empty() {
            String::new()
        } else {
            format!(": {}", event.reason)
        };
        let text = printable(&format!("{} {}{reason}", event.subject, event.change));
        lines.push(Line::from(vec![
            Span::styled(format!(" {} ", clock(event.at_ms)), theme.dim()),
            Span::raw(format!("{label:<8} ")),
            Span::styled(format!("{:<7} ", severity_word(event)), style),
            Span::styled(words::cut(&text, width.saturating_sub(27)), style),
        ]));
    }
    if lines.is_empty() {
        let text = if app.event_filter.is_empty() {
            " nothing has happened yet"
        } else {
            " no event matches; Esc clears the filter"
        };
        lines.push(Line::styled(text, theme.dim()));
    }
    frame.render_widget(Paragraph::new(lines), inner);
}
