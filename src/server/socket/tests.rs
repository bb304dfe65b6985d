//! Real sockets and files.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};

use super::*;

struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("linkit-bridge-socket-{:x}", fastrand::u64(..)));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn unix(path: &Path, mode: u32) -> io::Result<Vec<Socket>> {
    bind(&[Address::Unix { path: path.to_owned(), mode }])
}

#[tokio::test]
async fn an_address_in_use_is_named_with_the_remedy() {
    let held = bind(&[SocketAddr::from(([127, 0, 0, 1], 0)).into()]).unwrap();
    let address = held[0].address().unwrap();
    let error = bind(&[address.into()]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let text = error.to_string();
    assert!(text.starts_with(&format!("failed to listen on {address}: ")) && text.contains("choose another"), "{text}");
}

#[tokio::test]
async fn a_unix_socket_has_its_mode_and_goes_with_its_value() {
    let directory = Directory::new();
    let path = directory.at("x.sock");
    for mode in [0o660, 0o600, 0o666] {
        let sockets = unix(&path, mode).unwrap();
        assert_eq!(sockets[0].to_string(), format!("unix:{}", path.display()));
        assert_eq!(sockets[0].address(), None);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        StdStream::connect(&path).unwrap();
        drop(sockets);
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn what_a_killed_program_left_is_replaced() {
    let directory = Directory::new();
    let path = directory.at("x.sock");
    drop(StdListener::bind(&path).unwrap());
    assert!(path.exists(), "the file outlives the standard library's socket");
    let _sockets = unix(&path, 0o660).unwrap();
    StdStream::connect(&path).unwrap();
}

#[tokio::test]
async fn what_is_in_use_or_no_socket_stays_and_is_named_with_the_remedy() {
    let directory = Directory::new();
    let path = directory.at("x.sock");
    let _held = StdListener::bind(&path).unwrap();
    let text = unix(&path, 0o660).unwrap_err().to_string();
    assert!(text.starts_with(&format!("failed to listen on unix:{}: ", path.display())), "{text}");
    assert!(text.contains("stop the program that listens on it"), "{text}");
    StdStream::connect(&path).unwrap();

    let file = directory.at("file");
    std::fs::write(&file, "kept").unwrap();
    let text = unix(&file, 0o660).unwrap_err().to_string();
    assert!(text.contains("no socket stands there; remove it or choose another path"), "{text}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");

    let text = unix(&directory.at("none/x.sock"), 0o660).unwrap_err().to_string();
    assert!(text.contains("make its directory"), "{text}");
    let text = unix(&directory.at(&"x".repeat(200)), 0o660).unwrap_err().to_string();
    assert!(text.contains("at most 107 bytes"), "{text}");
}

#[tokio::test]
async fn a_file_that_has_taken_the_place_of_ours_stays() {
    let directory = Directory::new();
    let path = directory.at("x.sock");
    let ours = unix(&path, 0o660).unwrap();
    std::fs::remove_file(&path).unwrap();
    // A file keeps the old inode from being the new one's.
    std::fs::write(directory.at("other"), "").unwrap();
    let _next = StdListener::bind(&path).unwrap();
    drop(ours);
    assert!(path.exists());
}

#[tokio::test]
async fn without_systemd_there_is_no_socket_of_it() {
    let text = inherited(None).unwrap_err().to_string();
    assert!(text.contains("systemd has passed no socket; start the .socket unit"), "{text}");
}
