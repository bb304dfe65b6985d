//! Just enough of the text format to read values off a page that strangers' parsers have judged elsewhere.

use std::collections::BTreeMap;

/// Series as written, name and labels, with their values.
pub fn series(page: &str) -> BTreeMap<String, f64> {
    let samples = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}
