//! `linkit-bridge figures`: the catalogue as a table for people, JSON for programs, Markdown for `docs/figures.md`.
//!
//! Knows the catalogue alone: no config, no source, no output. The next form is one more [`Form`].

use std::fmt::Write;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::catalog::{FIGURES, Figure, JsonUnit, Kind};

/// Arguments of `figures`.
#[derive(Debug, Args)]
pub(super) struct FiguresArgs {
    /// How they are written.
    #[arg(long, value_name = "FORM", value_enum, default_value = "table")]
    format: Form,
}

/// How the catalogue is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Aligned columns.
    Table,
    /// A list of objects.
    Json,
    /// A document.
    Markdown,
}

/// The columns of the table, and of those of the document.
const COLUMNS: [&str; 7] = ["JSON FIELD", "OPENTELEMETRY", "PROMETHEUS", "UNIT", "KIND", "ATTRIBUTES", "MEANING"];

impl FiguresArgs {
    /// The catalogue as asked for, without a last line end.
    pub(super) fn render(&self) -> String {
        match self.format {
            Form::Table => table(),
            Form::Json => {
                let figures: Vec<_> = FIGURES.iter().map(object).collect();
                serde_json::to_string_pretty(&figures).unwrap_or_default()
            }
            Form::Markdown => markdown(),
        }
    }
}

const fn kind(figure: &Figure) -> &'static str {
    match figure.kind {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
        Kind::Histogram => "histogram",
    }
}

/// The paths of the fields of the documented JSON that it fills.
fn fields(figure: &Figure) -> impl Iterator<Item = String> {
    let section = figure.section.map_or("", |section| section.name());
    figure.json.iter().map(move |field| format!("{section}.{}", field.name))
}

fn row(figure: &Figure) -> [String; COLUMNS.len()] {
    let words = |words: Vec<String>| if words.is_empty() { "-".to_owned() } else { words.join(", ") };
    [
        words(fields(figure).collect()),
        figure.name.to_owned(),
        figure.prometheus_name(),
        if figure.unit.is_empty() { "-" } else { figure.unit }.to_owned(),
        kind(figure).to_owned(),
        words(figure.attributes.iter().map(|key| (*key).to_owned()).collect()),
        figure.help.to_owned(),
    ]
}

fn table() -> String {
    let rows: Vec<_> = std::iter::once(COLUMNS.map(str::to_owned)).chain(FIGURES.iter().map(row)).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].len()).max().unwrap_or(0);
    let widths: Vec<_> = (0..COLUMNS.len()).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out.pop();
    out
}

fn object(figure: &Figure) -> Value {
    let json: Vec<_> = figure
        .json
        .iter()
        .zip(fields(figure))
        .map(|(field, path)| {
            let unit = match field.unit {
                JsonUnit::Same => figure.unit,
                JsonUnit::Megabytes => "MB",
                JsonUnit::Nanoseconds => "ns",
            };
            json!({ "field": path, "series": field.series, "unit": unit })
        })
        .collect();
    json!({
        "name": figure.name,
        "prometheus_name": figure.prometheus_name(),
        "unit": figure.unit,
        "kind": kind(figure),
        "attributes": figure.attributes,
        "section": figure.section.map(|section| section.name()),
        "json": json,
        "daily": figure.daily,
        "help": figure.help,
    })
}

fn markdown() -> String {
    let mut out = String::from(
        "# Figures\n\n\
         Made from the catalogue by `linkit-bridge figures --format markdown`. Units are UCUM's; in the JSON megabytes are\n\
         whole and a pause is in nanoseconds. A figure without a reading is on no face.\n",
    );
    for (title, is_own) in [("Of the backend", false), ("Of the bridge itself", true)] {
        let _ = writeln!(out, "\n## {title}\n");
        let columns: Vec<_> = COLUMNS.iter().skip(usize::from(is_own)).map(|column| title_case(column)).collect();
        let _ = writeln!(out, "| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()));
        for figure in FIGURES.iter().filter(|figure| figure.section.is_none() == is_own) {
            let cells = row(figure).into_iter().enumerate().skip(usize::from(is_own));
            let cells: Vec<_> = cells.map(|(at, cell)| marked(at, &cell)).collect();
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
    }
    out.pop();
    out
}

/// A column's name in a sentence's case; what is a name or an abbreviation stays as it is.
fn title_case(column: &str) -> String {
    match column {
        "JSON FIELD" => "JSON field".to_owned(),
        "OPENTELEMETRY" => "OpenTelemetry".to_owned(),
        other => other[..1].to_owned() + &other[1..].to_lowercase(),
    }
}

/// A cell of Markdown: names as code, the meaning as text.
fn marked(at: usize, cell: &str) -> String {
    let is_text = at == COLUMNS.len() - 1 || COLUMNS[at] == "KIND";
    match cell {
        "-" => "–".to_owned(),
        text if is_text => text.replace('|', "\\|"),
        names => names.split(", ").map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(format: Form) -> String {
        FiguresArgs { format }.render()
    }

    #[test]
    fn every_form_tells_every_figure_by_both_its_names() {
        for format in [Form::Table, Form::Json, Form::Markdown] {
            let text = rendered(format);
            for figure in FIGURES {
                assert!(text.contains(figure.name) && text.contains(&figure.prometheus_name()), "{}", figure.name);
                assert!(text.contains(figure.help), "{}", figure.name);
            }
            assert!(text.contains("runtime.gc_pause_ns") && text.contains("store.customers"), "{text}");
            assert!(!text.ends_with('\n'));
        }
    }

    #[test]
    fn the_columns_of_the_table_are_aligned() {
        let text = rendered(Form::Table);
        let column = text.lines().next().unwrap().find("PROMETHEUS").unwrap();
        for line in text.lines().skip(1) {
            assert!(line[column..].starts_with("linkit_") && line[..column].ends_with("  "), "{line}");
        }
    }

    #[test]
    fn json_says_how_a_field_differs_from_its_figure() {
        let figures: Vec<Value> = serde_json::from_str(&rendered(Form::Json)).unwrap();
        let of = |name: &str| figures.iter().find(|figure| figure["name"] == name).unwrap();
        let heap = of("linkit.runtime.heap.allocated");
        assert_eq!((&heap["unit"], &heap["json"][0]["unit"]), (&json!("By"), &json!("MB")));
        assert_eq!(heap["json"][0]["field"], "runtime.alloc_mb");
        let records = of("linkit.store.records");
        assert_eq!(records["json"][2], json!({ "field": "store.skus", "series": "skus", "unit": "{record}" }));
        assert_eq!(of("linkit.bridge.collector.up")["section"], Value::Null);
    }
}
