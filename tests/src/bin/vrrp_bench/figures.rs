//! Figures, their bars, and how both are told.

use std::time::Duration;

use serde_json::{Value, json};

/// A bar: what a figure must not exceed.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    /// What it demands.
    pub(crate) what: String,
    /// Whether it is kept.
    pub(crate) kept: bool,
}

/// A line of the tables.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) name: String,
    /// Named figures.
    pub(crate) figures: Vec<(&'static str, f64)>,
}

/// All that was measured.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    bars: Vec<Bar>,
}

impl Report {
    /// Adds a line and prints it.
    pub(crate) fn row(&mut self, name: impl Into<String>, figures: Vec<(&'static str, f64)>) {
        let row = Row {
            name: name.into(),
            figures,
        };
        let figures: Vec<String> = row
            .figures
            .iter()
            .map(|(name, figure)| format!("{name} {figure:.2}"))
            .collect();
        println!("{:<58} {}", row.name, figures.join("  "));
        self.rows.push(row);
    }

    /// Adds a bar and prints it.
    pub(crate) fn bar(&mut self, what: impl Into<String>, figure: f64, limit: f64) {
        let kept = figure <= limit;
        let what = format!("{}: {figure:.2} of at most {limit:.2}", what.into());
        println!("    {} {what}", if kept { "kept  " } else { "MISSED" });
        self.bars.push(Bar { what, kept });
    }

    /// Whether all bars were kept.
    pub(crate) fn is_good(&self) -> bool {
        self.bars.iter().all(|bar| bar.kept)
    }

    /// All of it.
    pub(crate) fn json(&self) -> Value {
        let row = |row: &Row| {
            let figures: serde_json::Map<String, Value> = row
                .figures
                .iter()
                .map(|(name, figure)| ((*name).to_owned(), json!(figure)))
                .collect();
            json!({"name": row.name, "figures": figures})
        };
        let bar = |bar: &Bar| json!({"bar": bar.what, "kept": bar.kept});
        json!({
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "bars": self.bars.iter().map(bar).collect::<Vec<_>>(),
        })
    }
}

/// A time in milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The figure below which this share (0 to 1) lies; 0 of none.
pub(crate) fn quantile(figures: &[f64], share: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}
