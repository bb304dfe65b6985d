//! Secrets and their `_file` twins: a secret is given in place or in a file, never both.

pub mod key;

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

/// Longest secret file that is read.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// The secret `key`, from its place or from the file its twin names; a line end at the file's end is not part of it.
///
/// # Errors
/// When both are given, or the file cannot be read, is empty or is too large; the text never holds the secret.
pub fn from_twins(
    key: &str,
    value: Option<&SecretString>,
    file: Option<&Path>,
) -> Result<Option<SecretString>, String> {
    if value.is_some_and(|value| value.expose_secret().trim().is_empty()) {
        return Err(format!("{key} is empty; give a secret, or leave the key out"));
    }
    match (value, file) {
        (Some(_), Some(_)) => Err(format!("{key} and {key}_file are both set; keep one of them")),
        (Some(value), None) => Ok(Some(value.clone())),
        (None, Some(file)) => read(&format!("{key}_file"), file).map(Some),
        (None, None) => Ok(None),
    }
}

/// A stranger's text with asterisks in the place of a secret that it repeats. What has less than four letters may be a
/// word of any text, and stays.
#[must_use]
pub fn struck_out(text: &str, secret: Option<&SecretString>) -> String {
    match secret.map(ExposeSecret::expose_secret).filter(|secret| secret.len() >= 4) {
        Some(secret) => text.replace(secret, "***"),
        None => text.to_owned(),
    }
}

/// The secret that `file` holds alone; `what` names it in errors.
///
/// # Errors
/// When the file cannot be read, is empty or is too large; the text never holds the secret.
pub fn read(what: &str, file: &Path) -> Result<SecretString, String> {
    let text = read_text(what, file)?;
    Ok(SecretString::from(text.expose_secret().trim_end_matches(['\r', '\n'])))
}

/// As [`read`], but the whole text of a file that may hold several.
///
/// # Errors
/// As [`read`].
pub fn read_text(what: &str, file: &Path) -> Result<SecretString, String> {
    let problem = |cause: &dyn std::fmt::Display| {
        format!("{what} {}: {cause}; give the bridge a readable file that holds the secret alone", file.display())
    };
    // What is named may be a device that never ends.
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text));
    read.map_err(|error| problem(&error))?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(problem(&"more than 64 KiB are no secret"));
    }
    if text.trim().is_empty() {
        return Err(problem(&"the file is empty"));
    }
    Ok(SecretString::from(text))
}

/// Whether a path leads to a pipe: what it brings can be read once, and who opens it again may wait for ever.
#[must_use]
pub fn is_pipe(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_no_secret() {
        for device in ["/dev/zero", "/dev/urandom"] {
            let error = read("key_file", Path::new(device)).unwrap_err();
            assert!(
                error.starts_with(&format!("key_file {device}: ")) && error.contains("; give the bridge"),
                "{error}"
            );
        }
        assert!(!is_pipe(Path::new("/dev/zero")) && !is_pipe(Path::new("/nowhere")));
    }

    #[test]
    fn what_repeats_a_secret_is_struck_out() {
        let secret = |text: &str| Some(SecretString::from(text));
        assert_eq!(struck_out("no s3cret, s3cret!", secret("s3cret").as_ref()), "no ***, ***!");
        assert_eq!(struck_out("no one is here", secret("no").as_ref()), "no one is here");
        assert_eq!(struck_out("no one", None), "no one");
    }

    #[test]
    fn a_file_gives_its_secret_without_the_line_end() {
        let path = std::env::temp_dir().join(format!("linkit-bridge-secret-{}", std::process::id()));
        std::fs::write(&path, "s3cret\n").unwrap();
        let secret = from_twins("key", None, Some(&path)).unwrap().unwrap();
        assert_eq!(secret.expose_secret(), "s3cret");
        let both = from_twins("key", Some(&secret), Some(&path)).unwrap_err();
        assert!(both.contains("both") && !both.contains("s3cret"), "{both}");
        std::fs::write(&path, "\n").unwrap();
        assert!(from_twins("key", None, Some(&path)).unwrap_err().contains("empty"));
        std::fs::remove_file(&path).unwrap();
        assert!(from_twins("key", None, Some(&path)).unwrap_err().contains("readable"));
    }
}
