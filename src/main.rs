//! The program: arguments and environment in, exit code out; all else is in the library.

use std::process::ExitCode;

/// jemalloc, because it is the one allocator that can say how much was ever allocated.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    linkit_bridge::cli::run(std::env::args_os(), std::env::vars_os())
}
