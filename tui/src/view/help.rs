//! The help window.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

use super::theme::Theme;
use super::{clear, middle};
use crate::app::App;
use crate::keys::HELP;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let mut lines: Vec<Line<'_>> = HELP
        .iter()
        .map(|(key, what)| {
            Line::from(vec![
                Span::styled(format!(" {key:<16}"), theme.strong()),
                Span::raw(*what),
            ])
        })
        .collect();
    if app.demo {
        lines[16] = Line::raw(" F9 K  F10 W     demo: kill the master, kill a web server");
    }
    let place = middle(area, 68, lines.len() as u16 + 2);
    clear(frame, place);
    frame.render_widget(
        Paragraph::new(lines).block(Block::bordered().title(" Help: any key closes ")),
        place,
    );
}
