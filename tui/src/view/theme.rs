//! Colours, or what stands for them where there are none.

use ratatui::style::{Color, Modifier, Style};

use crate::problems::Severity;
use crate::rows::Health;

/// How the dashboard marks things. Words say everything too; no meaning hangs on a style alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    colours: bool,
}

impl Theme {
    /// With the terminal's sixteen colours, or with bold and reverse alone (`NO_COLOR`).
    pub fn new(colours: bool) -> Self {
        Self { colours }
    }

    fn coloured(self, colour: Color, otherwise: Modifier) -> Style {
        if self.colours {
            Style::new().fg(colour)
        } else {
            Style::new().add_modifier(otherwise)
        }
    }

    /// Well.
    pub fn good(self) -> Style {
        self.coloured(Color::Green, Modifier::empty())
    }

    /// In transition, or out by somebody's wish.
    pub fn uneasy(self) -> Style {
        self.coloured(Color::Yellow, Modifier::BOLD)
    }

    /// Broken.
    pub fn bad(self) -> Style {
        self.coloured(Color::Red, Modifier::BOLD)
            .add_modifier(Modifier::BOLD)
    }

    /// What nobody may overlook.
    pub fn alarm(self) -> Style {
        if self.colours {
            Style::new()
                .fg(Color::White)
                .bg(Color::Red)
                .add_modifier(Modifier::BOLD)
        } else {
            Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED)
        }
    }

    /// Aside.
    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// Headings.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The selected line or word.
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// By severity.
    pub fn severity(self, severity: Severity) -> Style {
        match severity {
            Severity::Notice => Style::new(),
            Severity::Warning => self.uneasy(),
            Severity::Critical => self.bad(),
        }
    }

    /// By health.
    pub fn health(self, health: Health) -> Style {
        match health {
            Health::Good => self.good(),
            Health::Uneasy => self.uneasy(),
            Health::Bad => self.bad(),
        }
    }
}
