//! Every test from outside the crate, in one binary so that it is linked once; foldered as the library is.
//!
//! Tests against real peers find them in `target/peers`, where `tests/peers/install` puts them. A test whose peer is
//! absent says that it was skipped, unless `LINKIT_BRIDGE_TEST_PEERS=require` makes that a failure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "tests fail by panicking and say what they skip"
)]
#![allow(clippy::disallowed_methods, reason = "tests read the environment")]
#![allow(unreachable_pub, missing_docs, reason = "a test binary has no callers")]

mod support;

mod backend;
mod bad_input;
mod cli;
mod contract;
mod custom;
mod dashboards;
mod databases;
mod demo;
mod docs;
mod embedding;
mod faces;
mod formats;
mod fuzz;
mod go;
mod guest;
mod house;
mod isolation;
mod keys;
mod large;
mod mysql;
mod page;
mod postgres;
mod process;
mod push;
mod receivers;
mod registry;
mod reload;
mod scrapes;
mod secrets;
mod server;
mod spool;
mod stack;
mod state;
mod truth;
mod web;
