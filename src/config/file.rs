//! The file as a text. What stands in it is not known here.

use std::fs::File;
use std::io::{Error, Read};
use std::path::Path;

use super::ConfigError;

/// Most bytes a file may have: far more than any configuration, and few enough to be read whole. What is named may be a
/// device that never ends.
const BYTES_MAX: u64 = 1 << 20;

/// The whole text of a file, or of what stands in its place, such as a pipe.
pub(super) fn read(file: &Path) -> Result<String, ConfigError> {
    text(file).map_err(|error| ConfigError::Read { file: file.to_owned(), cause: error.to_string() })
}

fn text(file: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let count = File::open(file)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if count as u64 > BYTES_MAX {
        return Err(Error::other("more than 1 MiB are no configuration"));
    }
    String::from_utf8(bytes).map_err(|_| Error::other("this is no text in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_or_is_no_text_is_refused_in_one_line() {
        let error = read(Path::new("/dev/zero")).unwrap_err().to_string();
        assert_eq!(error, "/dev/zero: more than 1 MiB are no configuration; name a readable file with --config.file");
        let file = std::env::temp_dir().join(format!("linkit-bridge-config-{}", std::process::id()));
        std::fs::write(&file, b"service: { name: \xff }\n").unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("this is no text in UTF-8; "));
        std::fs::write(&file, "megabyte: 1MiB\n").unwrap();
        assert_eq!(read(&file).unwrap(), "megabyte: 1MiB\n");
        std::fs::remove_file(&file).unwrap();
    }
}
