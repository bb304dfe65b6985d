//! What the documents show can be pasted: configurations load, queries parse, command lines are those of the program, and
//! what is for another program that program takes.

use std::path::Path;
use std::process::Command;

use linkit_bridge::cli;
use linkit_bridge::config::Config;
use linkit_bridge::server::WebSettings;
use serde_json::Value;

use super::markdown::{Block, Document, documents};
use crate::support::peers::peer;
use crate::support::{Directory, root};

/// Whose file a YAML block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Bridge,
    Web,
    Prometheus,
    Collector,
    Chart,
    Kubernetes,
    Grafana,
    Compose,
}

impl Owner {
    /// By the keys that no other has; what is nobody else's is the bridge's, and must load.
    fn of(block: &Value) -> Self {
        let has = |keys: &[&str]| keys.iter().any(|key| block.get(key).is_some());
        if has(&["kind"]) {
            Self::Kubernetes
        } else if has(&["services"]) {
            Self::Compose
        } else if has(&["apiVersion"]) {
            Self::Grafana
        } else if has(&["receivers", "exporters"]) {
            Self::Collector
        } else if has(&["scrape_configs", "rule_files", "alerting", "storage"]) {
            Self::Prometheus
        } else if has(&["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"]) {
            Self::Web
        } else if has(&["config", "serviceMonitor", "podMonitor", "webConfig", "networkPolicy", "prometheusRule"]) {
            Self::Chart
        } else {
            Self::Bridge
        }
    }
}

fn each_block(language: &str) -> Vec<(String, Block)> {
    let of = |document: Document| {
        let name = document.name.clone();
        document.blocks().into_iter().map(move |block| (name.clone(), block))
    };
    documents().into_iter().flat_map(of).filter(|(_, block)| block.language == language).collect()
}

fn yaml_blocks() -> Vec<(String, String, Value, Owner)> {
    let read = |(name, block): (String, Block)| {
        let value =
            serde_saphyr::from_str(&block.text).unwrap_or_else(|error| panic!("{name}: {error} in {}", block.text));
        let owner = Owner::of(&value);
        (name, block.text, value, owner)
    };
    each_block("yaml").into_iter().map(read).collect()
}

#[test]
fn every_configuration_loads() {
    let mut loaded = 0;
    for (name, text, value, owner) in yaml_blocks() {
        match owner {
            Owner::Bridge => {
                Config::parse(&name, &text, &|_| None).unwrap_or_else(|error| panic!("{name}: {error} in {text}"));
                loaded += 1;
            }
            Owner::Web => {
                WebSettings::parse(&text).unwrap_or_else(|error| panic!("{name}: {error} in {text}"));
            }
            Owner::Chart => {
                if let Some(config) = value.get("config") {
                    Config::parse(&name, &config.to_string(), &|_| None)
                        .unwrap_or_else(|error| panic!("{name}: {error} in {text}"));
                }
            }
            Owner::Compose => {
                let words = value["services"]["bridge"]["healthcheck"]["test"].as_array().unwrap().iter().skip(1);
                cli::command().try_get_matches_from(words.map(|word| word.as_str().unwrap())).unwrap();
            }
            Owner::Prometheus | Owner::Collector | Owner::Kubernetes | Owner::Grafana => {}
        }
    }
    assert!(loaded >= 20, "only {loaded} blocks were taken for the bridge's");
}

#[test]
fn every_query_parses() {
    let queries = each_block("promql");
    assert!(queries.len() >= 10);
    for (name, block) in queries {
        promql_parser::parser::parse(&block.text).unwrap_or_else(|error| panic!("{name}: {error} in {}", block.text));
    }
}

#[test]
fn every_query_of_the_map_of_fields_parses_and_names_its_series() {
    let documents = documents();
    let migrate = documents.iter().find(|document| document.name == "docs/migrate.md").unwrap();
    let rows: Vec<_> = migrate.text.lines().filter(|line| line.contains("| `.")).collect();
    assert_eq!(rows.len(), 13);
    for row in rows {
        let cells: Vec<_> = row.split(" | ").collect();
        let (series, query) = (cells[2].split('`').nth(1).unwrap(), cells[3].split('`').nth(1).unwrap());
        promql_parser::parser::parse(query).unwrap_or_else(|error| panic!("{error}: {query}"));
        assert!(query.contains(series), "{row}");
    }
}

/// The simple commands of a console block, each as its words, without what they are fed with.
fn commands(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().filter_map(|line| line.trim_start().strip_prefix("$ "));
    let mut found = Vec::new();
    for line in lines {
        let line = line.split(" # ").next().unwrap();
        for part in line.split(['|', ';', '&', '(', ')', '{', '}']) {
            let words = part.split_whitespace().take_while(|word| !word.starts_with(['<', '>']));
            let is_setting = |word: &&str| word.contains('=') && !word.starts_with(['-', '\'', '"', '/']);
            let words: Vec<_> =
                words.skip_while(is_setting).map(|word| word.trim_matches(['"', '\'']).to_owned()).collect();
            if !words.is_empty() {
                found.push(words);
            }
        }
    }
    found
}

/// The arguments for the bridge, if a command is one of its.
fn arguments(words: &[String]) -> Option<&[String]> {
    let is_bridge = |word: &String| word.rsplit('/').next() == Some("linkit-bridge");
    let after = |at: usize| words.get(at + 1..);
    match words[0].as_str() {
        "cargo" if words.get(1).is_some_and(|word| word == "run") && !words.contains(&"--example".to_owned()) => {
            words.iter().position(|word| word == "--").and_then(after)
        }
        "docker" if words.get(1).is_some_and(|word| word == "run") => words.iter().position(is_bridge).and_then(after),
        _ if is_bridge(&words[0]) => after(0),
        _ => None,
    }
}

#[test]
fn every_command_line_of_the_bridge_is_one_that_it_takes() {
    let mut tried = 0;
    for (name, block) in each_block("console") {
        for words in commands(&block.text) {
            let Some(arguments) = arguments(&words) else { continue };
            let line = [&["linkit-bridge".to_owned()], arguments].concat();
            let parsed = cli::command().try_get_matches_from(&line);
            let is_told = |error: &clap::Error| !error.use_stderr();
            assert!(parsed.as_ref().is_ok() || parsed.as_ref().is_err_and(is_told), "{name}: {line:?}: {parsed:?}");
            tried += 1;
        }
    }
    assert!(tried >= 20, "only {tried} command lines were taken for the bridge's");
}

/// Folders of the repository that commands name files of.
const FOLDERS: [&str; 10] =
    ["alerts/", "bench/", "dashboards/", "deploy/", "docs/", "examples/", "fuzz/", "tests/", ".ci/", "./dashboards/"];

#[test]
fn every_file_of_the_repository_that_a_command_names_is_there() {
    for (name, block) in each_block("console") {
        if name.starts_with("tests/") {
            continue;
        }
        for words in commands(&block.text) {
            for word in words.iter().filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder))) {
                let fixed = word.split('*').next().unwrap();
                let path =
                    if fixed == word { root().join(word) } else { root().join(fixed).parent().unwrap().to_owned() };
                assert!(path.exists(), "{name}: {word} is not there");
            }
            if let Some(at) = words.iter().position(|word| word == "--example") {
                assert!(
                    root().join("examples").join(&words[at + 1]).with_extension("rs").exists(),
                    "{name}: {words:?}"
                );
            }
        }
    }
}

#[test]
fn every_file_of_the_repository_that_the_prose_names_is_there() {
    let mut found = 0;
    for document in documents() {
        let beside = root().join(&document.name).parent().unwrap().to_owned();
        for code in document.code() {
            let is_path = |word: &&str| {
                FOLDERS.iter().chain(&["src/"]).any(|folder| word.starts_with(folder))
                    && !word.contains(['*', '{', '<'])
            };
            for path in code.split_whitespace().filter(is_path).map(|word| word.trim_end_matches([',', ';', '.'])) {
                assert!(root().join(path).exists() || beside.join(path).exists(), "{}: {path}", document.name);
                found += 1;
            }
        }
    }
    assert!(found >= 40, "only {found} paths were found");
}

#[test]
fn the_program_that_embeds_is_the_one_that_its_document_shows() {
    let example = std::fs::read_to_string(root().join("examples/embed.rs")).unwrap();
    let flat = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let blocks: Vec<_> = each_block("rust").into_iter().filter(|(name, _)| name == "docs/embedding.md").collect();
    assert!(blocks.len() >= 4);
    for (_, block) in blocks {
        assert!(flat(&example).contains(&flat(&block.text)), "not in examples/embed.rs: {}", block.text);
    }
}

fn takes(command: &mut Command, text: &str) -> Vec<u8> {
    let output = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {said} in {text}");
    output.stdout
}

/// What is another program's, judged by that program.
fn judged(owner: Owner, directory: &Directory, judge: impl Fn(&Path) -> Command) {
    let blocks: Vec<_> = yaml_blocks().into_iter().filter(|(_, _, _, of)| *of == owner).collect();
    assert!(!blocks.is_empty(), "{owner:?}");
    for (_, text, _, _) in blocks {
        let file = directory.write("example.yml", &text);
        takes(judge(&file).current_dir(directory.path()), &text);
    }
}

#[test]
fn prometheus_takes_its_examples() {
    let Some(promtool) = peer("promtool") else { return };
    judged(Owner::Prometheus, &Directory::new("docs-prometheus"), |file| {
        let mut command = Command::new(&promtool);
        command.args(["check", "config", "--syntax-only"]).arg(file);
        command
    });
}

#[test]
fn the_collector_takes_its_examples() {
    let Some(otelcol) = peer("otelcol") else { return };
    let directory = Directory::new("docs-collector");
    for name in ["server.crt", "server.key", "push.token"] {
        directory.write(name, "");
    }
    judged(Owner::Collector, &directory, |file| {
        let mut command = Command::new(&otelcol);
        command.arg("validate").arg(format!("--config={}", file.display()));
        command
    });
}

#[test]
fn helm_takes_the_examples_of_values() {
    let Some(helm) = peer("helm") else { return };
    judged(Owner::Chart, &Directory::new("docs-chart"), |file| {
        let mut command = Command::new(&helm);
        command.args(["template", "linkit"]).arg(root().join("deploy/helm/linkit-bridge"));
        command.args(["--kube-version", "1.31.0", "--values"]).arg(file);
        command
    });
}

#[test]
fn the_examples_for_kubernetes_are_valid() {
    let Some(kubeconform) = peer("kubeconform") else { return };
    let schemas = root().join("target/peers/kubernetes-schemas");
    let location = format!(
        "{}/{{{{.NormalizedKubernetesVersion}}}}{{{{.StrictSuffix}}}}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
        schemas.display()
    );
    judged(Owner::Kubernetes, &Directory::new("docs-kubernetes"), |file| {
        let mut command = Command::new(&kubeconform);
        command.args(["-strict", "-kubernetes-version", "1.25.0", "-schema-location", &location]).arg(file);
        command
    });
}
