//! Just enough of the text format to read values off a page that strangers' parsers have judged elsewhere.

use std::collections::BTreeMap;

/// Series as written, name and labels, with their values; without the bridge's own scope, which is the same on all.
pub fn series(page: &str) -> BTreeMap<String, f64> {
    let samples = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (without_scope(name), value.parse().unwrap())
        })
        .collect()
}

/// A line or a series without the bridge's own scope.
pub fn without_scope(series: &str) -> String {
    const SCOPE: &str =
        concat!("otel_scope_name=\"linkit-bridge\",otel_scope_version=\"", env!("CARGO_PKG_VERSION"), "\"");
    let Some((before, after)) = series.split_once(SCOPE) else { return series.to_owned() };
    match (before.strip_suffix(','), after.strip_prefix(',')) {
        (None, None) => before.trim_end_matches('{').to_owned(),
        (None, Some(after)) => format!("{before}{after}"),
        (Some(before), _) => format!("{before}{after}"),
    }
}
