//! The expvar page: what is taken of it is what a JSON library of another kind finds there, and a page of figures that
//! can be is always taken.

use linkit_bridge::catalog::FigureId;
use linkit_bridge::collector::go::{expvar, pprof};
use serde_json::{Value, json};

/// The members that are read, with their figures.
const MEMBERS: [(&str, FigureId); 4] = [
    ("Alloc", FigureId::RuntimeHeapAllocated),
    ("TotalAlloc", FigureId::RuntimeMemoryAllocated),
    ("Sys", FigureId::RuntimeMemorySys),
    ("NumGC", FigureId::RuntimeGcCycles),
];

pub fn check(input: &[u8]) {
    let parsed = expvar::parse(input);
    let value: Option<Value> = serde_json::from_slice(input).ok();
    // The other library refuses what is passed over here: a number beyond all floats, a text of half a character.
    if let (Ok(figures), Some(value)) = (&parsed, &value) {
        let memstats = &value["memstats"];
        for (name, figure) in MEMBERS {
            let taken = figures.iter().find(|(id, _)| *id == figure).and_then(|(_, taken)| *taken);
            same(&memstats[name], taken.unwrap_or_else(|| panic!("{name} has no value")));
        }
        if let Some((_, Some(pause))) = figures.iter().find(|(id, _)| *id == FigureId::RuntimeGcLastPause) {
            let pauses = memstats["PauseNs"].as_array().expect("a list of pauses");
            assert!(pauses.iter().any(|listed| is_same(listed, *pause)), "{pause} is not in the ring");
        }
    }
    if let Err(error) = &parsed {
        super::telemetry_json::is_short_line(&error.to_string());
    }
    // Written anew, no key stands twice; then only the figures themselves can be wrong.
    if let Some(anew) = value.and_then(|value| anew(&value["memstats"])) {
        assert!(expvar::parse(anew.as_bytes()).is_ok(), "{:?} {anew}", expvar::parse(anew.as_bytes()));
    }
    profile(input);
}

/// The first line of a goroutine profile is so short that it goes along.
fn profile(input: &[u8]) {
    if let Ok(figures) = pprof::parse(input) {
        let text = String::from_utf8_lossy(input);
        let line = text.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let total: f64 =
            line.trim_start_matches("goroutine profile: total ").parse().expect("a total that was taken is a number");
        assert!(matches!(&*figures, [(FigureId::RuntimeGoroutines, Some(taken))] if *taken as f64 == total));
    }
}

/// The page with its five figures alone, if they are whole, not negative, and as small as they must be.
fn anew(memstats: &Value) -> Option<String> {
    let is_figure = |value: &Value| value.as_u64().is_some_and(|value| i64::try_from(value).is_ok());
    let ring = memstats["PauseNs"].as_array().filter(|ring| ring.len() == 256 && ring.iter().all(is_figure))?;
    let mut page = json!({ "PauseNs": ring });
    for (name, _) in MEMBERS {
        page[name] = Some(&memstats[name]).filter(|value| is_figure(value))?.clone();
    }
    u32::try_from(page["NumGC"].as_u64()?).ok()?;
    Some(json!({ "memstats": page }).to_string())
}

fn same(listed: &Value, taken: u64) {
    assert!(is_same(listed, taken), "{listed} was taken for {taken}");
}

/// Whether a number of the other library is this one, as nearly as that library knows it.
pub fn is_same(listed: &Value, taken: u64) -> bool {
    match listed.as_u64() {
        Some(listed) => listed == taken,
        None => listed.as_f64().is_some_and(|listed| (listed - taken as f64).abs() <= taken as f64 * 1e-15),
    }
}
