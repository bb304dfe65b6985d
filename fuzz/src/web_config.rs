//! The web configuration: whatever stands in the file, it is read or refused in one line, the same each time; no secret
//! stands in that line or in what the settings print of themselves; and what stands in place of files is no certificate
//! that a server takes, however it is bent.
//!
//! An input is the text of a file. One that begins as a certificate in DER does is put into a file as its certificate.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use linkit_bridge::clock::SystemClock;
use linkit_bridge::server::{WebConfigFile, WebSettings};

/// Stands for every secret.
const SECRET: &str = "hunter2";

/// What people write before a secret.
const BEFORE: [&str; 7] = ["key: ", "key:", "key ", "key: '", "key: [", "alice: ", "alice "];

/// Begins a certificate in DER: a sequence whose length takes two octets, as that of all but the smallest.
const DER: [u8; 2] = [0x30, 0x82];

pub fn check(input: &[u8]) {
    if input.starts_with(&DER) {
        return loaded(&certified(input));
    }
    let text = String::from_utf8_lossy(input);
    let (settings, again) = (WebSettings::parse(&text), WebSettings::parse(&text));
    match (settings, again) {
        (Ok(settings), Ok(_)) => {
            // Within a text in quotes or in a block it is a part of that text, which may be told.
            let is_value = ["key: hunter2", "alice: hunter2"].iter().any(|value| text.contains(value));
            let is_text = text.contains(['\'', '"', '|', '>']);
            let is_secret = is_value && !is_text && text.matches(SECRET).count() == 1 && stands_before(&text);
            assert!(!is_secret || !format!("{settings:?}").contains(SECRET), "{settings:?}");
            // Where files of the machine would be read, nothing is loaded.
            if !text.contains("file") {
                loaded(&text);
            }
        }
        (Err(error), Err(again)) => {
            assert_eq!(error, again);
            let error = error.to_string();
            assert!(!error.contains(char::is_control), "more than one line of text: {error:?}");
            assert!(!stands_before(&text) || !error.contains(SECRET), "{error}");
        }
        _ => panic!("a file is good at one time and bad at another"),
    }
}

/// Loads a text as a file.
fn loaded(text: &str) {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    let file = FILE.get_or_init(|| std::env::temp_dir().join(format!("linkit-bridge-fuzz-{}.yml", std::process::id())));
    std::fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let loaded = WebConfigFile::load(file, Arc::new(SystemClock::new()));
    let _ = std::fs::remove_file(file);
    match loaded {
        Ok(loaded) => assert!((2..=3).contains(&loaded.readings().len())),
        Err(error) => {
            let error = error.to_string();
            assert!(!error.contains(char::is_control), "more than one line of text: {error:?}");
            assert!(!stands_before(text) || !error.contains(SECRET), "{error}");
        }
    }
}

/// A file whose certificate is this one.
fn certified(der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut pem = String::new();
    for part in der.chunks(3) {
        let bits = part.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - part.len()));
        for digit in 0..4 {
            let digit = if digit <= part.len() { DIGITS[bits >> (18 - 6 * digit) & 63] } else { b'=' };
            pem.push(char::from(digit));
        }
    }
    format!(
        "tls_server_config:\n  key: none\n  cert: |\n    -----BEGIN CERTIFICATE-----\n    {pem}\n    -----END CERTIFICATE-----\n"
    )
}

/// Whether each secret stands where people write one, as a word of its own.
fn stands_before(text: &str) -> bool {
    let is_start = |rest: &str| rest.is_empty() || rest.ends_with([' ', '\n', '{', ',']);
    text.match_indices(SECRET)
        .all(|(at, _)| BEFORE.iter().filter_map(|words| text[..at].strip_suffix(words)).any(is_start))
}
