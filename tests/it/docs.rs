//! What the documents show is true: links lead somewhere, what can be pasted works (`examples`), every variable follows
//! its key, and what is made from the code is what the code makes.
//!
//! `LINKIT_BRIDGE_TEST_BLESS=1 cargo test --test it docs` writes what is made anew.

mod examples;
mod markdown;
mod reference;
pub mod settings;

use std::collections::BTreeSet;
use std::path::Path;

use linkit_bridge::catalog::FIGURES;
use linkit_bridge::config::{Config, VARIABLES};
use linkit_bridge::server::WebSettings;

use crate::support::bridge::command;
use crate::support::root;

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

#[test]
fn the_config_of_the_package_loads() {
    Config::load(Some(&root().join("deploy/debian/bridge.yml")), &|_| None).unwrap();
}

/// The file is what the code makes of it; when it is asked for, it is written.
fn is_made(name: &str, made: &str) {
    let file = root().join(name);
    if std::env::var("LINKIT_BRIDGE_TEST_BLESS").is_ok_and(|value| value == "1") {
        std::fs::write(&file, made).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = kept.lines().zip(made.lines()).find(|(kept, made)| kept != made);
    assert!(
        kept == made,
        "{name} is not what the code makes: {differs:?}; write it anew by: \
         LINKIT_BRIDGE_TEST_BLESS=1 cargo test --test it docs"
    );
}

#[test]
fn the_list_of_figures_is_that_of_the_catalogue() {
    let output = command().args(["figures", "--format", "markdown"]).output().unwrap();
    is_made("docs/figures.md", &String::from_utf8(output.stdout).unwrap());
}

#[test]
fn the_reference_of_the_configuration_is_that_of_its_types() {
    is_made("docs/configuration.md", &reference::configuration());
}

#[test]
fn every_variable_and_every_meaning_stands_in_the_reference() {
    let tables = settings::tables();
    let said: BTreeSet<_> = tables
        .iter()
        .flat_map(|table| table.settings.iter().flat_map(|setting| table.variables(&setting.key)))
        .collect();
    for (name, path) in VARIABLES {
        assert!(said.contains(name), "{name} sets {path}, which no type of the configuration has");
    }
    for table in &tables {
        for setting in &table.settings {
            assert!(!setting.meaning.is_empty(), "{}.{} is not documented", table.paths[0], setting.key);
        }
    }
    assert!(tables.len() >= 10 && said.len() == VARIABLES.len());
}

#[test]
fn every_key_and_name_of_the_web_configuration_stands_in_its_document() {
    let document = read("docs/web-config.md");
    // Who is refused is told which keys and names there are.
    for (part, text) in [
        ("known are ", "tls_server_config: { zzzz: 1 }\n"),
        ("known are ", "http_server_config: { headers: { zzzz: 1 } }\n"),
        ("known are ", "zzzz: 1\n"),
        ("known are ", "tls_server_config: { cert: a, key: b, client_auth_type: zzzz }\n"),
        ("taken are ", "tls_server_config: { cipher_suites: [ zzzz ] }\n"),
        ("taken are ", "tls_server_config: { curve_preferences: [ zzzz ] }\n"),
        ("taken are ", "tls_server_config: { min_version: zzzz }\n"),
    ] {
        let error = WebSettings::parse(text).unwrap_err().to_string();
        let known = error.split(part).nth(1).unwrap_or_else(|| panic!("{error}"));
        for name in known.split(", ") {
            assert!(document.contains(name), "{name} is not in docs/web-config.md");
        }
    }
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let documents = markdown::documents();
    for document in &documents {
        for link in document.links() {
            let Some((file, anchor)) = document.target(&link) else { continue };
            assert!(root().join(&file).exists(), "{}: {link} is not there", document.name);
            let Some(anchor) = anchor else { continue };
            let other = documents.iter().find(|other| Path::new(&other.name) == file);
            let other = other.unwrap_or_else(|| panic!("{}: {link} has an anchor, but is no document", document.name));
            assert!(other.anchors().contains(&anchor), "{}: {link}: no such heading", document.name);
        }
    }
}

#[test]
fn every_document_stands_in_the_index() {
    let documents = markdown::documents();
    let index = documents.iter().find(|document| document.name == "docs/README.md").unwrap().links();
    for document in documents.iter().filter_map(|document| document.name.strip_prefix("docs/")) {
        assert!(document == "README.md" || index.contains(&document.to_owned()), "{document} is not in docs/README.md");
    }
}

#[test]
fn a_variable_is_its_keys_path_in_capitals() {
    for (name, path) in VARIABLES.iter().filter(|(_, path)| !path.contains("api_keys")) {
        let expected = path.trim_end_matches("[]").replace('.', "_").to_uppercase();
        assert_eq!(*name, format!("LINKIT_BRIDGE_{expected}"));
    }
}

#[test]
fn the_readme_names_every_figure_of_the_document() {
    let readme = read("README.md");
    for figure in FIGURES.iter().filter(|figure| !figure.json.is_empty()) {
        assert!(readme.contains(&figure.prometheus_name()), "{}", figure.prometheus_name());
    }
}

#[test]
fn every_setting_with_a_variable_stands_in_the_reference_by_its_path() {
    let reference = read("docs/configuration.md");
    for (name, path) in VARIABLES {
        let path = path.trim_end_matches("[]").replace("[0]", "[]");
        let section = ["runtime", "store", "staging"].into_iter().find_map(|section| path.strip_prefix(section));
        let path = section.map_or_else(|| path.clone(), |rest| format!("<section>{rest}"));
        assert!(
            reference.contains(&format!("| `{path}` |")),
            "{name}: the setting {path} is not in docs/configuration.md"
        );
    }
}
