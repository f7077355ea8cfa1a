//! Medians and quartiles of a few rounds.

/// Median and quartiles of a set of figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    /// A quarter of the figures are below.
    pub(crate) lower: f64,
    /// Half of the figures are below.
    pub(crate) median: f64,
    /// Three quarters of the figures are below.
    pub(crate) upper: f64,
}

/// Summarizes `figures`, interpolating between neighbours; `None` of none.
pub(crate) fn summary(figures: impl IntoIterator<Item = f64>) -> Option<Summary> {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    let last = figures.len().checked_sub(1)?;
    let quantile = |share: f64| {
        let place = share * last as f64;
        let below = figures[place.floor() as usize];
        let above = figures[place.ceil() as usize];
        below + (above - below) * place.fract()
    };
    Some(Summary {
        lower: quantile(0.25),
        median: quantile(0.5),
        upper: quantile(0.75),
    })
}

/// The median alone; 0 of none.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    summary(figures).map_or(0.0, |summary| summary.median)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_neighbours() {
        assert_eq!(summary([]), None);
        assert_eq!(
            summary([7.0]),
            Some(Summary {
                lower: 7.0,
                median: 7.0,
                upper: 7.0
            })
        );
        let four = summary([4.0, 1.0, 3.0, 2.0]);
        assert_eq!(
            four,
            Some(Summary {
                lower: 1.75,
                median: 2.5,
                upper: 3.25
            })
        );
        let five = summary([50.0, 10.0, 40.0, 20.0, 30.0]);
        assert_eq!(
            five,
            Some(Summary {
                lower: 20.0,
                median: 30.0,
                upper: 40.0
            })
        );
    }
}
