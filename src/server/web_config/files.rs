//! The files of one web configuration: read together, known again by what is in them.
//!
//! By content, not by time or by watching: Kubernetes swaps a link two directories up, and a copy may keep its time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Largest file that is read.
const BYTES_MAX: u64 = 1 << 20;

/// What the files held, or why they could not be read; secrets among it.
pub(super) struct Files {
    /// Relative paths start here.
    directory: PathBuf,
    read: BTreeMap<PathBuf, Result<Vec<u8>, String>>,
}

impl Files {
    /// None yet; relative paths are taken from the directory of `file`.
    pub(super) fn beside(file: &Path) -> Self {
        Self { directory: file.parent().unwrap_or_else(|| Path::new("")).to_owned(), read: BTreeMap::new() }
    }

    /// What a file holds, as it was when it was first asked for.
    pub(super) fn get(&mut self, path: &Path) -> Result<&[u8], &str> {
        let read = self.read.entry(path.to_owned()).or_insert_with(|| read(path));
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
        Seen { fingerprint: fingerprint(self.read.values()), paths: self.read.keys().cloned().collect() }
    }
}

/// Which files were read, and what was in them, without keeping it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    paths: Vec<PathBuf>,
    fingerprint: [u8; 32],
}

impl Seen {
    /// The same files, as they are now.
    pub(super) fn again(&self) -> Self {
        let read: Vec<_> = self.paths.iter().map(|path| read(path)).collect();
        Self { paths: self.paths.clone(), fingerprint: fingerprint(read.iter()) }
    }
}

fn fingerprint<'a>(files: impl Iterator<Item = &'a Result<Vec<u8>, String>>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for read in files {
        let (is_read, bytes) = match read {
            Ok(bytes) => (1_u64, bytes.as_slice()),
            Err(cause) => (0, cause.as_bytes()),
        };
        // With its length each, so that no two sets look alike.
        hash.update(is_read.to_be_bytes());
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    hash.finalize().into()
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
