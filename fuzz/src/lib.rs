//! What the fuzz targets check, one file a target: a function of bytes that panics when a promise of the bridge is broken.
//!
//! Only the bridge's public interface is used, so that nothing is opened for the sake of fuzzing. The same checks are
//! run by `cargo test` over the kept corpus (`tests/it/fuzz.rs`), without a fuzzer. They know no fuzzer; the programs in
//! `fuzz_targets` do. The next target is a file here, a line in [`TARGETS`], and its program; see CONTRIBUTING.md.

pub mod accept;
pub mod authorization;
pub mod config;
pub mod expvar;
pub mod openmetrics_page;
pub mod otlp_answer;
pub mod page_roundtrip;
pub mod spool_file;
pub mod telemetry_json;
pub mod web_config;

mod bytes;
mod reader;
mod snapshot;

/// Checks one input.
pub type Check = fn(&[u8]);

/// Every target by the name of its program and of the folder of its corpus.
pub const TARGETS: [(&str, Check); 10] = [
    ("accept", accept::check),
    ("authorization", authorization::check),
    ("config", config::check),
    ("expvar", expvar::check),
    ("openmetrics_page", openmetrics_page::check),
    ("otlp_answer", otlp_answer::check),
    ("page_roundtrip", page_roundtrip::check),
    ("spool_file", spool_file::check),
    ("telemetry_json", telemetry_json::check),
    ("web_config", web_config::check),
];
