//! Outputs: each renders a snapshot in one form. They know the catalogue and the snapshot, and nothing of sources,
//! scheduling, servers or networks. The next output is one file here and one line below.

pub mod html;
pub mod otlp;
pub mod prometheus;
pub mod telemetry_json;

pub use prometheus::{PageConfig, Translation};
