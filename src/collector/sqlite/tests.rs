//! The store and the pipeline as they are read from a live file.

mod custom;
mod plan;
mod staging;
mod store;
