//! The house itself: which module may know which, how long files and functions may get, and that nothing is left over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::support::root;

/// Which module may import which: the table of ARCHITECTURE.md. The way of the data is from top to bottom.
const EDGES: &[(&str, &[&str])] = &[
    ("catalog", &[]),
    ("clock", &[]),
    ("directory", &[]),
    ("outage", &[]),
    ("supervisor", &[]),
    ("secret", &[]),
    ("yaml", &[]),
    ("http_client", &[]),
    ("logging", &["clock"]),
    ("reading", &["catalog", "clock"]),
    ("collector", &["catalog", "clock", "reading", "http_client", "secret", "yaml"]),
    ("registry", &["catalog", "clock", "reading"]),
    ("scheduler", &["catalog", "clock", "collector", "outage", "reading", "registry"]),
    ("state", &["catalog", "clock", "collector", "directory", "reading"]),
    ("output", &["catalog", "clock", "reading", "registry"]),
    ("server", &["catalog", "clock", "output", "reading", "registry", "secret", "yaml"]),
    ("config", &["collector", "output", "reading", "server", "yaml"]),
    ("demo", &["clock", "collector", "config", "secret"]),
    ("delivery", &["clock", "directory", "http_client", "outage"]),
    (
        "app",
        &[
            "catalog",
            "clock",
            "collector",
            "config",
            "delivery",
            "directory",
            "http_client",
            "output",
            "reading",
            "registry",
            "scheduler",
            "secret",
            "server",
            "state",
            "supervisor",
        ],
    ),
    ("cli", &["app", "catalog", "clock", "config", "demo", "http_client", "logging", "secret", "supervisor"]),
    ("main", &["cli"]),
];

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Every source file below `folder`, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

/// The top-level module a file belongs to.
fn module(path: &Path) -> String {
    let part = path.components().nth(1).unwrap().as_os_str().to_string_lossy().into_owned();
    part.trim_end_matches(".rs").to_owned()
}

/// Whether a file holds nothing but unit tests or what they share.
fn is_test(path: &str) -> bool {
    path.contains("/tests") || path.contains("/testing")
}

/// The text without its unit tests, comments and documentation.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The modules of the crate that a text names.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for prefix in ["crate::", "linkit_bridge::"] {
        for rest in text.split(prefix).skip(1) {
            let names = match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap().split(',').collect(),
                None => vec![rest],
            };
            for name in names {
                let name: String = name.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                found.insert(name);
            }
        }
    }
    found
}

#[test]
fn data_goes_one_way() {
    let edges: BTreeMap<_, _> = EDGES.iter().copied().collect();
    for (path, text) in sources("src") {
        let module = module(&path);
        if module == "lib" || is_test(&path.display().to_string()) {
            continue;
        }
        let allowed = edges.get(module.as_str()).unwrap_or_else(|| panic!("{module} is not in the table of edges"));
        for import in imports(&code(&text)) {
            assert!(
                import == module || allowed.contains(&import.as_str()),
                "{}: {module} must not know {import}",
                path.display()
            );
        }
    }
}

#[test]
fn the_table_of_edges_has_no_cycle() {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for (module, allowed) in EDGES {
        for import in *allowed {
            assert!(done.contains(import), "{module} → {import} goes back up the table");
        }
        done.insert(module);
    }
}

#[test]
fn the_edge_test_sees_every_way_to_import() {
    let text = "use crate::a::B;\nuse crate::{c, d::E};\nfn f() { crate::g::h() }";
    assert_eq!(imports(text).into_iter().collect::<Vec<_>>(), ["a", "c", "d", "g"]);
}

#[test]
fn only_one_file_may_be_unsafe_and_none_names_a_metrics_library_without_need() {
    for (path, text) in sources("src") {
        let path = path.display().to_string();
        if is_test(&path) {
            continue;
        }
        let code = code(&text);
        assert!(
            !code.contains("unsafe") || path == "src/collector/self_runtime/allocator.rs",
            "{path} has unsafe code"
        );
        let may = ["registry", "output", "delivery", "server", "app"].contains(&module(Path::new(&path)).as_str());
        assert!(may || !code.contains("opentelemetry"), "{path} names opentelemetry");
        assert!(may || !code.contains("prometheus::"), "{path} names the prometheus crate");
        let reads_env = code.contains("std::env::var");
        assert!(!reads_env || path == "src/main.rs", "{path} reads the environment");
    }
}

#[test]
fn files_and_functions_stay_short_and_files_say_what_they_are() {
    for (path, text) in sources("src") {
        let path = path.display().to_string();
        assert!(is_test(&path) || text.starts_with("//!"), "{path} does not say what it is");
        let lines = text.lines().count();
        assert!(lines <= FILE_LINES_MAX, "{path} has {lines} lines");
        for (line, length) in functions(&text) {
            assert!(length <= FUNCTION_LINES_MAX, "{path}:{line}: a function of {length} lines");
        }
    }
}

/// Each function's first line, from 1, and its length; a function ends at the brace that stands as far in as it does.
fn functions(text: &str) -> Vec<(usize, usize)> {
    let (mut open, mut found): (Vec<(usize, usize)>, _) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let (indent, code) = (line.len() - line.trim_start().len(), line.trim());
        let words: Vec<_> = code.split([' ', '(', '<']).take(6).collect();
        let is_head = words.iter().position(|word| *word == "fn").is_some_and(|at| {
            words[..at].iter().all(|word| ["pub", "const", "async", "unsafe", "super)", "crate)"].contains(word))
        });
        if is_head && !code.ends_with([';', '}']) {
            open.push((number, indent));
        }
        if code == "}" && open.last().is_some_and(|(_, outer)| *outer == indent) {
            let (from, _) = open.pop().unwrap();
            found.push((from + 1, number - from + 1));
        }
    }
    found
}

#[test]
fn functions_are_measured_with_long_heads_and_others_within() {
    let text = "impl A {\n    pub(super) async fn a(\n        b: C,\n    ) -> D {\n        fn e() {\n            f\n        }\n    }\n}\n";
    assert_eq!(functions(text), [(5, 3), (2, 7)]);
}

#[test]
fn nothing_is_left_over() {
    let words = ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!(", "dbg!("];
    for folder in ["src", "tests", "bench", "fuzz/src"] {
        for (path, text) in sources(folder) {
            if path.ends_with("house.rs") {
                continue;
            }
            for (number, line) in text.lines().enumerate() {
                let found = words.iter().find(|word| line.contains(**word));
                assert!(found.is_none(), "{}:{}: {}", path.display(), number + 1, found.unwrap());
                assert!(line.trim_end() == line, "{}:{}: trailing space", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn the_architecture_document_is_short_and_names_every_module() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert!(text.lines().count() < 120, "ARCHITECTURE.md has {} lines", text.lines().count());
    for (module, _) in EDGES {
        assert!(text.contains(&format!("{module}.rs")), "ARCHITECTURE.md does not name {module}.rs");
    }
}
