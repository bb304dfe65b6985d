//! `linkit-bridge key`: makes a key, or tells the SHA-256 of one, in the words of the configuration.
//!
//! A key is read from the standard input alone: arguments are seen by every user of the machine.

use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};

use super::{EXIT_START, EXIT_USAGE, fail, say};
use crate::secret::key;

/// Longest key that is read.
const KEY_BYTES_MAX: u64 = 64 * 1024;

/// Arguments of `key`.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Prints a fresh random key, its SHA-256, and the lines for the configuration and for a file of keys.
    New {
        /// Whose key it will be.
        #[arg(long, value_name = "NAME", default_value = "ops", value_parser = name)]
        name: String,
        /// Prints the key alone.
        #[arg(long, short)]
        quiet: bool,
    },
    /// Reads a key from the standard input and prints `sha256:…`.
    Hash {
        /// Whose key it is: prints the line for a file of keys, `NAME:sha256:…`.
        #[arg(long, value_name = "NAME", value_parser = name)]
        name: Option<String>,
    },
}

/// A name that can stand in a file of keys.
fn name(text: &str) -> Result<String, &'static str> {
    let is_good = !text.is_empty() && !text.contains(|c: char| c == ':' || c.is_whitespace() || c.is_control());
    if is_good && !text.starts_with('#') {
        Ok(text.to_owned())
    } else {
        Err("a name has no spaces, colons or leading #")
    }
}

/// Runs the command.
pub(super) fn run(args: &KeyArgs) -> ExitCode {
    match &args.command {
        KeyCommand::New { name, quiet } => match key::fresh() {
            Ok(fresh) => say(&describe(name, &fresh, *quiet)),
            Err(error) => return fail(EXIT_START, &anyhow::anyhow!("the system gives no random bytes: {error}")),
        },
        KeyCommand::Hash { name } => match read() {
            Ok(key) => {
                if let Some(weakness) = key::weakness(&key) {
                    let warning = format!("warning: the key is weak: {weakness}; make one with: linkit-bridge key new");
                    let _ = writeln!(std::io::stderr(), "{warning}");
                }
                let name = name.as_ref().map(|name| format!("{name}:")).unwrap_or_default();
                say(&format!("{name}sha256:{}", key::hex(&key::digest_of(&key))));
            }
            Err(problem) => return fail(EXIT_USAGE, &problem),
        },
    }
    ExitCode::SUCCESS
}

fn describe(name: &str, key: &SecretString, is_quiet: bool) -> String {
    let (text, hex) = (key.expose_secret(), key::hex(&key::digest_of(key)));
    if is_quiet {
        return text.to_owned();
    }
    format!(
        "key      {text}\nsha256   {hex}\nconfig   web: {{ api_keys: [ {{ name: {name:?}, sha256: \"{hex}\" }} ] }}\n\
         or, in web.api_keys_file\n         {name}:sha256:{hex}\n\
         Give the key to its user; the bridge needs the SHA-256 alone."
    )
}

fn read() -> anyhow::Result<SecretString> {
    let input = std::io::stdin();
    let mut text = String::new();
    if input.is_terminal() {
        let _ = write!(std::io::stderr(), "the key, which will be seen as you type it: ");
        input.read_line(&mut text).context("failed to read the key")?;
    } else {
        let read = input.take(KEY_BYTES_MAX + 1).read_to_string(&mut text);
        read.context("failed to read the key from the standard input")?;
    }
    let key = SecretString::from(text);
    let bare = key.expose_secret().trim();
    ensure!(!bare.is_empty(), "there is no key on the standard input; write: linkit-bridge key hash < FILE");
    let fits = u64::try_from(bare.len()).is_ok_and(|bytes| bytes <= KEY_BYTES_MAX);
    ensure!(fits && !bare.contains(char::is_control), "a key is one line that a header can carry; give it alone");
    Ok(key)
}
