//! From SQLite's errors to the classes of a source's trouble, with the remedy said.

use std::path::Path;

use rusqlite::{Error, ErrorCode};

use crate::collector::{CollectError, ErrorClass};

/// What went wrong with `thing` in the database at `path`.
pub(super) fn explain(error: &Error, thing: &str, path: &Path) -> CollectError {
    let cause = match error {
        Error::SqliteFailure(_, Some(text)) => text.clone(),
        Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    };
    // SQLite repeats our URI; the path is said already.
    let cause = cause.split(": file:").next().unwrap_or_default();
    let (class, remedy) = classify(error, cause);
    CollectError::new(class, format!("{thing} in {}: {cause}; {remedy}", path.display()))
}

fn classify(error: &Error, cause: &str) -> (ErrorClass, &'static str) {
    use ErrorClass as Class;
    if cause.starts_with("no such table") || cause.starts_with("no such column") {
        return (Class::NotFound, "correct the configured name, or create it");
    }
    if let Error::InvalidColumnType(..) | Error::FromSqlConversionFailure(..) = error {
        return (Class::Type, "a count must be an integer");
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => {
            (Class::Budget, "it took longer than count_budget and was cancelled, raise count_budget")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            (Class::Locked, "another connection holds it, find the one that locks it for so long")
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            (Class::Damaged, "check the path, run `PRAGMA integrity_check` on a copy, restore a backup if it fails")
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            (Class::Unauthorized, "let the bridge's user read the file and its -wal and -shm")
        }
        Some(ErrorCode::TooBig) => (Class::Oversized, "ask for less: a part of it, or its length"),
        // The files are there, but as a crash has left them; only a writer can put them in order.
        Some(ErrorCode::ReadOnly) => (Class::Stopped, "start the backend, which recovers its database"),
        _ => (Class::Other, "see the cause"),
    }
}

/// What went wrong when the file system was asked for `path`.
pub(super) fn explain_io(error: &std::io::Error, path: &Path) -> CollectError {
    use std::io::ErrorKind as Kind;
    let (class, remedy) = match error.kind() {
        Kind::NotFound | Kind::NotADirectory => (ErrorClass::NotFound, "check the path"),
        Kind::PermissionDenied => (ErrorClass::Unauthorized, "let the bridge's user enter the directory"),
        _ => (ErrorClass::Other, "see the cause"),
    };
    CollectError::new(class, format!("database {}: {error}; {remedy}", path.display()))
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn every_kind_of_failure_has_its_class() {
        for (code, class) in [
            (ffi::SQLITE_BUSY, ErrorClass::Locked),
            (ffi::SQLITE_BUSY_RECOVERY, ErrorClass::Locked),
            (ffi::SQLITE_LOCKED, ErrorClass::Locked),
            (ffi::SQLITE_PROTOCOL, ErrorClass::Locked),
            (ffi::SQLITE_CORRUPT, ErrorClass::Damaged),
            (ffi::SQLITE_NOTADB, ErrorClass::Damaged),
            (ffi::SQLITE_CANTOPEN, ErrorClass::Unauthorized),
            (ffi::SQLITE_PERM, ErrorClass::Unauthorized),
            (ffi::SQLITE_AUTH, ErrorClass::Unauthorized),
            (ffi::SQLITE_READONLY_RECOVERY, ErrorClass::Stopped),
            (ffi::SQLITE_READONLY_ROLLBACK, ErrorClass::Stopped),
            (ffi::SQLITE_INTERRUPT, ErrorClass::Budget),
            (ffi::SQLITE_TOOBIG, ErrorClass::Oversized),
            (ffi::SQLITE_IOERR, ErrorClass::Other),
        ] {
            let error = Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(explain(&error, "collection x", Path::new("/d")).class, class, "{code}");
        }
    }

    #[test]
    fn an_error_names_the_thing_the_cause_and_the_remedy() {
        let error = Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_ERROR), Some("no such column: statsu".to_owned()));
        assert_eq!(
            explain(&error, "staging", Path::new("/srv/data.db")).to_string(),
            "staging in /srv/data.db: no such column: statsu; correct the configured name, or create it"
        );
        let missing = explain_io(&std::io::ErrorKind::NotFound.into(), Path::new("/srv/data.db"));
        assert_eq!(missing.class, ErrorClass::NotFound);
        assert!(missing.message.contains("/srv/data.db"), "{missing}");
    }
}
