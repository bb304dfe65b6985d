//! What the sources say, reading by reading, and how a list of figures that a face shows is called after it.

/// A section, the name of a reading, and its figures as the document has them. Of staging, the counter of completed
/// items, which no source says, is the last; of shop, a gauge and a counter.
const SAID: &[(&str, &str, &[i64])] = &[
    ("runtime", "first", &[7, 2, 3, 9, 12, 4, 50_000]),
    ("runtime", "second", &[8, 2, 4, 10, 13, 5, 60_000]),
    ("runtime", "restarted", &[5, 2, 1, 1, 12, 0, 0]),
    ("store", "first", &[1, 2, 3, 4, 5]),
    ("store", "second", &[2, 3, 4, 5, 6]),
    ("staging", "first", &[1, 2, 3, 3]),
    ("staging", "second", &[2, 3, 5, 5]),
    ("staging", "restarted", &[0, 0, 0, 5]),
    ("staging", "resumed", &[0, 1, 2, 7]),
    ("staging", "midnight", &[2, 3, 0, 5]),
    ("staging", "tomorrow", &[2, 3, 1, 6]),
    ("shop", "first", &[-7, 9]),
    ("shop", "second", &[-6, 10]),
    ("shop", "restarted", &[-6, 1]),
];

/// The figures of a section at the reading called `name`.
pub fn said(section: &str, name: &str) -> &'static [i64] {
    let found = SAID.iter().find(|(of, called, _)| (*of, *called) == (section, name));
    found.unwrap_or_else(|| panic!("{section} says nothing called {name}")).2
}

/// The name of the reading whose figures a face shows: all of them, or all that are in the document. `-` if it shows
/// none; else the figures themselves, `-` for each that is not there.
pub fn called(section: &str, shown: &[Option<f64>]) -> String {
    if shown.iter().all(Option::is_none) {
        return "-".to_owned();
    }
    let is_it = |figures: &[i64]| {
        let mut pairs = figures.iter().zip(shown);
        figures.len() >= shown.len() && pairs.all(|(figure, shown)| *shown == Some(*figure as f64))
    };
    if let Some((_, name, _)) = SAID.iter().find(|(of, _, figures)| *of == section && is_it(figures)) {
        return (*name).to_owned();
    }
    let figure = |shown: &Option<f64>| match *shown {
        Some(whole) if whole.fract() == 0.0 => format!("{whole:.0}"),
        Some(float) => float.to_string(),
        None => "-".to_owned(),
    };
    shown.iter().map(figure).collect::<Vec<_>>().join(" ")
}
