//! Medians, quartiles and percentiles.

/// Three quartiles of a ratio or a time.
#[derive(Clone, Copy)]
pub(crate) struct Quartiles {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Quartiles {
    /// Those of at least one value.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
        Self { low: at(0.25), median: at(0.5), high: at(0.75) }
    }
}

/// The value that 99 of 100 do not exceed.
pub(crate) fn p99(values: &mut [u64]) -> u64 {
    let at = (values.len() * 99 / 100).min(values.len() - 1);
    *values.select_nth_unstable(at).1
}
