//! Measures the scrape page, served and rendered, each beside its limit or its peers in the same run.
//!
//! The program starts itself as what it measures: a server, and a process for each library and size, so that none has
//! the memory or the warm caches of another. It knows the bridge by its public library alone. The next peer is one file
//! in `peers/` and one line in its list.

mod memory;
mod peers;
mod rendering;
mod scrape;
mod server;
mod stats;

use std::error::Error;
use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The bridge's own allocator, counted where memory is measured.
#[global_allocator]
static ALLOCATOR: memory::Counted = memory::Counted;

fn main() -> Result<ExitCode> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let holds = match *arguments {
        [] => {
            let served = scrape::run()?;
            println!();
            rendering::run()? && served
        }
        ["scrape"] => scrape::run()?,
        ["render"] => rendering::run()?,
        ["server"] => server::run().map(|()| true)?,
        ["peer", name, series] => peers::run(name, series.parse()?).map(|()| true)?,
        _ => return Err("usage: exposition [scrape|render]".into()),
    };
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The word for a requirement.
fn word(holds: bool) -> &'static str {
    if holds { "PASS" } else { "FAIL" }
}
