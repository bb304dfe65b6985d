//! What the tests of the parser and of the collector share.

use crate::clock::Wall;

/// The example of the specification, to the letter.
pub(super) const EXAMPLE: &str = r#"{
"version": "1.0.0",
"measured": "2024-01-15T10:30:00Z",
"runtime": {
"goroutines": 42,
"cpu_count": 8,
"alloc_mb": 128,
"total_alloc_mb": 4096,
"sys_mb": 256,
"num_gc": 156,
"gc_pause_ns": 1234567
},
"store": {
"products": 15000,
"branches": 25,
"skus": 375000,
"orders": 50000,
"customers": 12000
},
"staging": {
"pending": 0,
"processing": 12,
"completed_today": 5432
}
}"#;

/// Bytes in a megabyte of the example.
pub(super) const MEBI: u64 = 1 << 20;

/// When the example was measured.
pub(super) fn measured() -> Wall {
    Wall::parse_rfc3339("2024-01-15T10:30:00Z").unwrap()
}
