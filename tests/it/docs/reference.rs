//! `docs/configuration.md` as the settings make it.

use std::fmt::Write;

use super::settings::{Table, joined, tables};

const HEAD: &str = "\
# Configuration

Made from the types that read it, see `tests/it/docs`. The file is YAML (`--config.file`, or the variable
`LINKIT_BRIDGE_CONFIG_FILE`); an unknown key is refused with its line and the nearest known one, and
`linkit-bridge --config.check` says whether all is well. A variable wins over the file. In variables lists are separated
by commas; maps have none. `{A,B}` stands for one variable each. `OTEL_*` variables fill what both leave out.

Durations are written `250ms`, `5s`, `1m30s`; sizes `64MiB`, `1MB`. A secret stands in its key or in the file that its
`_file` twin names, never in both. What has no default is simply not there.
";

/// The document.
pub fn configuration() -> String {
    let mut out = HEAD.to_owned();
    for table in tables().iter().filter(|table| !table.settings.is_empty()) {
        let (title, place) = place(table);
        let _ = write!(out, "\n## {title}\n\n");
        if !table.meaning.is_empty() {
            let _ = write!(out, "{}\n\n", table.meaning);
        }
        out.push_str("| key | type | default | variable | meaning |\n|---|---|---|---|---|\n");
        for setting in &table.settings {
            let cells = [
                format!("`{}`", joined(&place, &setting.key)),
                setting.kind.clone(),
                setting.default.clone().unwrap_or_else(|| "–".to_owned()),
                variables(table, &setting.key),
                setting.meaning.clone(),
            ];
            let _ = writeln!(out, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
        }
    }
    out
}

/// A table's title, and the path of its keys: where it stands in several places, what these have in common.
fn place(table: &Table) -> (String, String) {
    let [first, others @ ..] = table.paths.as_slice() else { unreachable!("a table stands somewhere") };
    if others.is_empty() {
        let title = if first.is_empty() { "The whole".to_owned() } else { format!("`{first}`") };
        return (title, first.clone());
    }
    let is_end = |end: &str| others.iter().all(|other| other.ends_with(end));
    let end = first.match_indices('.').map(|(at, _)| &first[at..]).find(|end| is_end(end)).unwrap_or_default();
    let place = format!("<section>{end}");
    let title = if end.is_empty() {
        let places: Vec<_> = table.paths.iter().map(|path| format!("`{path}`")).collect();
        format!("A section: {}", places.join(", "))
    } else {
        format!("`{place}`")
    };
    (title, place)
}

/// The variables in one word: what they share stands once.
fn variables(table: &Table, key: &str) -> String {
    let names = table.variables(key);
    if names.len() < 2 {
        return names.first().map_or_else(|| "–".to_owned(), |name| format!("`{name}`"));
    }
    let (start, end) = ("LINKIT_BRIDGE_", format!("_{}", key.to_uppercase()));
    let middle = |name: &&'static str| name.strip_prefix(start)?.strip_suffix(end.as_str());
    let middles: Option<Vec<_>> = names.iter().map(middle).collect();
    match middles {
        Some(middles) => format!("`{start}{{{}}}{end}`", middles.join(",")),
        None => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}
