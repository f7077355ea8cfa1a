//! The window that says what an action will cost, and asks.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

use super::theme::Theme;
use super::{clear, middle};
use crate::app::{Action, App};
use crate::words;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let (Some(dialog), Some(plan)) = (&app.dialog, app.plan()) else {
        return;
    };
    let mut lines: Vec<Line<'_>> = Vec::new();
    let width = area.width.saturating_sub(4).min(76);
    let inner = usize::from(width.saturating_sub(2)).max(1);
    let title = match (&dialog.action, &plan) {
        (_, Ok(plan)) => plan.title.clone(),
        (Action::Weight { name, .. }, Err(_)) => format!("Weight of {name}"),
        (_, Err(_)) => String::new(),
    };
    let input = |label: String| {
        Line::from(vec![
            Span::styled(format!(" {label}: "), theme.strong()),
            Span::raw(dialog.input.value().to_owned()),
            Span::styled(" ", theme.selected()),
        ])
    };
    if dialog.weight_input {
        lines.push(input("new weight".to_owned()));
        lines.push(Line::raw(""));
    }
    match &plan {
        Err(expected) => lines.push(Line::raw(format!(" {expected}"))),
        Ok(plan) => {
            for line in &plan.lines {
                let style = if line.loud {
                    theme.bad()
                } else {
                    ratatui::style::Style::new()
                };
                let mark = if line.loud { "!!" } else { "  " };
                for text in words::wrap(&format!(" {mark} {}", line.text), inner, 4) {
                    lines.push(Line::styled(text, style));
                }
            }
        }
    }
    lines.push(Line::raw(""));
    match &plan {
        Ok(plan) if plan.asks.is_empty() => {
            lines.push(Line::styled(" Esc: leave it", theme.strong()))
        }
        Ok(plan) => match &plan.must_type {
            Some(word) if !dialog.weight_input => {
                lines.push(input(format!("type {word} to confirm")));
                lines.push(Line::styled(
                    " Enter: do it    Esc: leave it",
                    theme.strong(),
                ));
            }
            _ if dialog.weight_input => lines.push(Line::styled(
                " Enter: do it    Esc: leave it",
                theme.strong(),
            )),
            _ => lines.push(Line::styled(
                " y or Enter: do it    n or Esc: leave it",
                theme.strong(),
            )),
        },
        Err(_) => lines.push(Line::styled(" Esc: leave it", theme.strong())),
    }
    // What is asked must be seen: where the terminal is too low, sentences give way.
    let most = usize::from(area.height).saturating_sub(2);
    while lines.len() > most && lines.len() > 4 {
        lines.remove(lines.len() - 4);
    }
    let place = middle(area, width, lines.len() as u16 + 2);
    clear(frame, place);
    let block = Block::bordered()
        .border_style(theme.strong())
        .title(Span::styled(format!(" {title} "), theme.strong()));
    frame.render_widget(Paragraph::new(lines).block(block), place);
}
