//! The files of one web configuration: read together, known again by what is in them.
//!
//! By content, not by time or by watching: Kubernetes swaps a link two directories up, and a copy may keep its time. A pipe
//! is read once: what comes after would be taken for an empty file, or never come.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::secret::is_pipe;

/// Largest file that is read.
const BYTES_MAX: u64 = 1 << 20;

/// What the files held, or why they could not be read; secrets among it.
pub(super) struct Files {
    /// Relative paths start here.
    directory: PathBuf,
    /// Whether they were read before.
    is_again: bool,
    read: BTreeMap<PathBuf, Result<Vec<u8>, String>>,
}

impl Files {
    /// None yet, or, when they are read `again`, none any more; relative paths are taken from the directory of `file`.
    pub(super) fn beside(file: &Path, is_again: bool) -> Self {
        let directory = file.parent().unwrap_or_else(|| Path::new("")).to_owned();
        Self { directory, is_again, read: BTreeMap::new() }
    }

    /// What a file holds, as it was when it was first asked for.
    pub(super) fn get(&mut self, path: &Path) -> Result<&[u8], &str> {
        let (entry, is_again) = (self.read.entry(path.to_owned()), self.is_again);
        let read = entry.or_insert_with(|| match is_again && is_pipe(path) {
            true => Err("a pipe is read once; name a file, or restart".to_owned()),
            false => read(path),
        });
        read.as_deref().map_err(String::as_str)
    }

    /// What the file that a key names holds, and what to call it in errors.
    pub(super) fn named(&mut self, key: &str, file: &str) -> Result<(Vec<u8>, String), String> {
        let path = self.directory.join(file);
        let name = format!("{key} {}", path.display());
        match self.get(&path) {
            Ok(bytes) => Ok((bytes.to_vec(), name)),
            Err(cause) => Err(format!("{name} cannot be read: {cause}")),
        }
    }

    /// Which files were asked for, and what was in them.
    pub(super) fn seen(&self) -> Seen {
        Seen(self.read.iter().map(|(path, read)| (path.clone(), fingerprint(read))).collect())
    }
}

/// Which files were read, and what was in them, without keeping it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen(BTreeMap<PathBuf, [u8; 32]>);

impl Seen {
    /// The same files, as they are now.
    pub(super) fn again(&self) -> Self {
        let now = |(path, seen): (&PathBuf, &[u8; 32])| {
            (path.clone(), if is_pipe(path) { *seen } else { fingerprint(&read(path)) })
        };
        Self(self.0.iter().map(now).collect())
    }
}

fn fingerprint(read: &Result<Vec<u8>, String>) -> [u8; 32] {
    let (is_read, bytes) = match read {
        Ok(bytes) => (1, bytes.as_slice()),
        Err(cause) => (0, cause.as_bytes()),
    };
    Sha256::new().chain_update([is_read]).chain_update(bytes).finalize().into()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(error.to_string()),
        Ok(_) if bytes.len() as u64 > BYTES_MAX => Err("it is larger than 1 MiB".to_owned()),
        Ok(_) => Ok(bytes),
    }
}
