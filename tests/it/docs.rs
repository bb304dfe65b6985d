//! What the documents show is true: their configs load, their files exist, every variable follows its key, and what is
//! made from the code is what the code makes.
//!
//! `LINKIT_BRIDGE_TEST_BLESS=1 cargo test --test it docs` writes what is made anew.

mod reference;
pub mod settings;

use std::collections::BTreeSet;

use linkit_bridge::catalog::FIGURES;
use linkit_bridge::config::{Config, VARIABLES};
use linkit_bridge::server::WebSettings;

use crate::support::bridge::command;
use crate::support::root;

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The fenced blocks of a language in a Markdown text.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_config_of_the_readme_and_the_stack_loads() {
    let readme = read("README.md");
    let ours: Vec<_> = blocks(&readme, "yaml").into_iter().filter(|block| !block.contains("scrape_configs")).collect();
    assert!(ours.len() >= 3);
    for block in ours {
        Config::parse("README.md", block, &|_| None).unwrap_or_else(|error| panic!("{error} in {block}"));
    }
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
fn the_web_configuration_of_the_document_loads_and_every_key_and_name_stands_there() {
    let document = read("docs/web-config.md");
    for block in blocks(&document, "yaml") {
        WebSettings::parse(block).unwrap_or_else(|error| panic!("{error} in {block}"));
    }
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
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "bench/README.md",
        "docs/configuration.md",
        "docs/runbooks.md",
        "docs/web-config.md",
    ] {
        let folder = root().join(document).parent().unwrap().to_owned();
        for target in read(document).split("](").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned()) {
            if !target.starts_with("http") && !target.starts_with('#') {
                assert!(folder.join(&target).exists(), "{document}: {target}");
            }
        }
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
fn every_setting_stands_in_the_readme() {
    let readme = read("README.md");
    let leaves: BTreeSet<_> = VARIABLES.iter().map(|(_, path)| path.rsplit('.').next().unwrap()).collect();
    for leaf in leaves {
        let leaf = leaf.trim_end_matches("[]");
        assert!(readme.contains(&format!("{leaf}`")), "the setting {leaf} is not in the README's table");
    }
}
