//! Writes what a package carries beside the binary: manual pages, and completions for bash, zsh, fish, elvish and
//! PowerShell. It is a program of its own because in the bridge it would be 220 kB more of binary, used once.
//!
//! ```console
//! $ cargo run --example assets -- OUT_DIR
//! ```

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap_complete::{Shell, generate_to};
use linkit_bridge::cli::command;

const SHELLS: [Shell; 5] = [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell];

/// Writes all files into a directory, which is made if it is not there.
pub fn write(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for shell in SHELLS {
        generate_to(shell, &mut command(), "linkit-bridge", directory)?;
    }
    clap_mangen::generate_to(command(), directory)
}

#[allow(clippy::print_stderr, reason = "a program for people")]
fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(directory), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: cargo run --example assets -- OUT_DIR");
        return ExitCode::from(2);
    };
    match write(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("assets: {}: {error}; name a directory that can be written to", Path::new(&directory).display());
            ExitCode::FAILURE
        }
    }
}
