//! The checks of the fuzz targets over the corpus they keep, without a fuzzer; what a fuzzer adds is in `fuzz/run`.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::peers::peer_file;
use crate::support::root;
use targets::TARGETS;

/// Most files and bytes of a corpus: all of them are read at each run.
const FILES_MAX: usize = 100;
const BYTES_MAX: usize = 120 << 10;

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn names(folder: &str) -> BTreeSet<String> {
    let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    files(&root().join("fuzz").join(folder)).into_iter().map(stem).collect()
}

#[test]
fn every_promise_holds_for_the_kept_corpus() {
    for (name, check) in TARGETS {
        let files = files(&root().join("fuzz/corpus").join(name));
        let inputs: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        let bytes: usize = inputs.iter().map(Vec::len).sum();
        assert!(
            (1..=FILES_MAX).contains(&inputs.len()) && bytes <= BYTES_MAX,
            "{name}: {} files, {bytes} bytes",
            inputs.len()
        );
        for (file, input) in files.iter().zip(&inputs) {
            eprintln!("{}", file.display());
            check(input);
        }
    }
}

#[test]
fn every_promise_holds_for_the_cases_of_the_openmetrics_project() {
    let Some(cases) = peer_file("openmetrics") else { return };
    for case in files(&cases) {
        eprintln!("{}", case.display());
        targets::openmetrics_page::check(&fs::read(case.join("metrics")).unwrap());
    }
}

#[test]
fn every_target_has_its_program_and_its_corpus() {
    let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("corpus"), targets);
    assert_eq!(names("fuzz_targets"), targets);
    assert!(names("dictionaries").is_subset(&targets));
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    let programs = manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/"));
    assert_eq!(programs.map(|name| name.trim_end_matches(".rs\"").to_owned()).collect::<BTreeSet<_>>(), targets);
}
