//! linkit-bridge turns a Linkit backend's telemetry into what operators use: Prometheus by pull, OpenTelemetry by
//! push, and the documented JSON, all from one registry.
//!
//! A program that embeds the bridge builds an [`app::App`]: its own OpenTelemetry instruments belong to the meter provider
//! of the app's registry, its own `prometheus` metrics to the registry that joins the scrape page, and views of its
//! instruments, such as exponential histograms, come in when the app is built.
//!
//! The data goes one way, in the order of this list; `ARCHITECTURE.md` has the map and the invariants.

pub mod catalog;
pub mod clock;
pub mod directory;
pub mod outage;
pub mod reading;
pub mod secret;

mod yaml;

pub mod collector;
pub mod http_client;

pub mod registry;
pub mod scheduler;
pub mod state;

pub mod delivery;
pub mod output;
pub mod server;

pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
pub mod logging;
pub mod supervisor;
