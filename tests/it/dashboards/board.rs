//! What the checks share: the dashboards as they are, their panels and queries, and the rules.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::root;

/// The files of a folder with an extension, sorted.
pub fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    assert!(!files.is_empty(), "{folder} is empty");
    files
}

/// Every dashboard of the repository.
pub fn dashboards() -> Vec<Value> {
    let read = |file: &PathBuf| serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    files("dashboards", "json").iter().map(read).collect()
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

pub fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

/// The panels of a dashboard that show something, which rows do not.
pub fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(dashboard, "panels").filter(|panel| panel["type"] != "row")
}

/// Where a panel stands, for messages.
pub fn place(dashboard: &Value, panel: &Value) -> String {
    format!("{}: {}", text(dashboard, "uid"), text(panel, "title"))
}

/// An expression as Prometheus would be asked it, with the variables that stand for no text filled in.
pub fn plain(expr: &str) -> String {
    let variables = [("$__rate_interval", "1m"), ("$__interval", "15s"), ("$__range", "1h"), ("$size", "1000000")];
    variables.iter().fold(expr.to_owned(), |expr, (name, value)| expr.replace(name, value))
}

/// The names of alerts in a text.
pub fn alerts_named(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let is_alert =
        |word: &&str| word.len() > 6 && word.starts_with("Linkit") && word.as_bytes()[6].is_ascii_uppercase();
    words.filter(is_alert).map(str::to_owned).collect()
}

pub struct Rule {
    pub place: String,
    pub name: String,
    pub expr: String,
    pub is_record: bool,
    pub document: Value,
}

/// Every recording and alert rule.
pub fn rules() -> Vec<Rule> {
    let mut rules = Vec::new();
    for file in files("alerts", "yml") {
        let document: Value = serde_saphyr::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        for rule in list(&document, "groups").flat_map(|group| list(group, "rules")) {
            let name = rule["record"].as_str().or_else(|| rule["alert"].as_str()).unwrap().to_owned();
            rules.push(Rule {
                place: format!("{}: {name}", file.display()),
                name,
                expr: rule["expr"].as_str().unwrap().to_owned(),
                is_record: rule.get("record").is_some(),
                document: rule.clone(),
            });
        }
    }
    assert!(rules.len() > 10, "the rules were not found");
    rules
}

/// The alert rules alone.
pub fn alerts() -> Vec<Rule> {
    rules().into_iter().filter(|rule| !rule.is_record).collect()
}
