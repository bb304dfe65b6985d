//! From PostgreSQL's errors to the classes of a source's trouble, with the remedy said.

use std::io::ErrorKind;
use std::time::Duration;

use secrecy::SecretString;
use sqlx::Error;

use crate::collector::sql::wire::{ANSWER_MAX, ROWS_MAX, Trouble};
use crate::collector::{CollectError, ErrorClass};
use crate::secret::struck_out;

/// Longest part of an error that is the server's; what it complains about may be a whole statement or value.
const CAUSE_CHARACTERS: usize = 300;

/// What went wrong with `subject`, which names the thing and the address; the server may repeat the password it was told.
pub(super) fn explain(error: &Error, subject: &str, password: Option<&SecretString>) -> CollectError {
    let (class, cause, remedy) = match error {
        Error::Database(error) => {
            let (class, remedy) = classify(error.code().as_deref().unwrap_or_default());
            (class, error.message().to_owned(), remedy)
        }
        Error::Io(error) if error.kind() == ErrorKind::NotFound => {
            (ErrorClass::Unreachable, error.to_string(), "check the path of the socket or certificate in the url")
        }
        Error::Io(error) => (
            ErrorClass::Unreachable,
            error.to_string(),
            "check host and port, and that the server runs and is let through",
        ),
        Error::Tls(error) => (
            ErrorClass::Unreachable,
            error.to_string(),
            "check sslmode and sslrootcert in the url, and the certificate",
        ),
        Error::Protocol(cause) => {
            (ErrorClass::Unreachable, cause.clone(), "check that it is a PostgreSQL server that answers there")
        }
        Error::ColumnDecode { index, .. } => {
            (ErrorClass::Type, format!("column {index} is no text"), "cast it to text")
        }
        error => (ErrorClass::Other, error.to_string(), "see the cause"),
    };
    CollectError::new(class, format!("{subject}: {}; {remedy}", short(&struck_out(&cause, password))))
}

/// Why the driver has brought nothing from `subject` within `limit`.
pub(super) fn troubled(
    trouble: &Trouble<Error>,
    subject: &str,
    limit: Duration,
    password: Option<&SecretString>,
) -> CollectError {
    match trouble {
        Trouble::Driver(error) => explain(error, subject, password),
        Trouble::Late => timed_out(subject, limit),
        Trouble::Oversized => {
            let mebibytes = ANSWER_MAX >> 20;
            let message = format!(
                "{subject}: the answer has more than {mebibytes} MiB or {ROWS_MAX} rows, and was cut; ask for less, \
                 and check that it is a PostgreSQL server that answers there"
            );
            CollectError::new(ErrorClass::Oversized, message)
        }
        Trouble::Malformed(cause) => {
            explain(&Error::Protocol(format!("malformed answer ({cause})")), subject, password)
        }
    }
}

/// No answer from `subject` within `limit`.
fn timed_out(subject: &str, limit: Duration) -> CollectError {
    let message = format!("{subject}: no answer within {limit:?}; check the server's load and the network to it");
    CollectError::new(ErrorClass::Timeout, message)
}

/// The connection was lost by an earlier statement, or not made yet.
pub(super) fn not_connected(subject: &str) -> CollectError {
    CollectError::new(ErrorClass::Unreachable, format!("{subject}: not connected; the next attempt connects"))
}

/// The class of an SQLSTATE, and what to do.
fn classify(code: &str) -> (ErrorClass, &'static str) {
    use ErrorClass as Class;
    match code {
        "28P01" | "28000" => (Class::Unauthorized, "check user, password and sslmode here, and pg_hba.conf there"),
        "42501" => {
            (Class::Unauthorized, "let the bridge's user read it: GRANT USAGE ON its schema, GRANT SELECT ON the table")
        }
        "42P01" | "42703" | "3F000" => (Class::NotFound, "correct the configured name, or create it"),
        "3D000" => (Class::NotFound, "correct the database's name in the url"),
        "55P03" => (Class::Locked, "another session holds it, find the one that locks it for so long"),
        "57014" => (Class::Budget, "it took longer than its budget and was cancelled, raise the budget"),
        "22P02" | "22007" | "22008" | "42804" | "42883" | "42846" => {
            (Class::Type, "a column has another type than expected, check completed_type")
        }
        "57P01" | "57P02" | "57P03" => (Class::Stopped, "start the server, or wait until it has started"),
        "53300" => (Class::Other, "find who holds the connections, or raise max_connections or the user's limit"),
        "25006" => (Class::Other, "the bridge only reads, take what writes out of the statement"),
        // Also what poolers say of the server behind them.
        code if code.starts_with("08") => {
            (Class::Unreachable, "check the server, and the pooler if one stands between")
        }
        code if code.starts_with("XX001") || code.starts_with("XX002") || code.starts_with("58") => {
            (Class::Damaged, "see the server's log and its disk, restore a backup if the data is damaged")
        }
        _ => (Class::Other, "see the cause"),
    }
}

/// A text on one line and of bounded length.
fn short(text: &str) -> String {
    let line = text.split(|sign: char| sign.is_whitespace() || sign.is_control()).filter(|word| !word.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CAUSE_CHARACTERS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::super::PostgresDialect;
    use super::*;
    use crate::collector::sql::Dialect;

    #[test]
    fn every_kind_of_failure_has_its_class() {
        for (code, class) in [
            ("28P01", ErrorClass::Unauthorized),
            ("28000", ErrorClass::Unauthorized),
            ("42501", ErrorClass::Unauthorized),
            ("42P01", ErrorClass::NotFound),
            ("42703", ErrorClass::NotFound),
            ("3D000", ErrorClass::NotFound),
            ("3F000", ErrorClass::NotFound),
            ("55P03", ErrorClass::Locked),
            ("57014", ErrorClass::Budget),
            ("22P02", ErrorClass::Type),
            ("42804", ErrorClass::Type),
            ("42883", ErrorClass::Type),
            ("57P01", ErrorClass::Stopped),
            ("57P03", ErrorClass::Stopped),
            ("08P01", ErrorClass::Unreachable),
            ("XX001", ErrorClass::Damaged),
            ("58030", ErrorClass::Damaged),
            ("53300", ErrorClass::Other),
            ("25006", ErrorClass::Other),
            ("", ErrorClass::Other),
        ] {
            assert_eq!(classify(code).0, class, "{code}");
            assert!(PostgresDialect.error_classes().contains(&class));
        }
    }

    #[test]
    fn an_error_names_the_thing_the_cause_and_the_remedy() {
        let refused = Error::Io(ErrorKind::ConnectionRefused.into());
        let error = explain(&refused, "collection skus in db.example:5432/linkit", None);
        assert_eq!(error.class, ErrorClass::Unreachable);
        assert_eq!(
            error.message,
            "collection skus in db.example:5432/linkit: connection refused; check host and port, and that the server \
             runs and is let through"
        );
        assert!(timed_out("x", Duration::from_millis(1250)).message.contains("within 1.25s"));
    }

    #[test]
    fn a_cause_is_one_short_line() {
        assert_eq!(short("a\n\tb\r\n c\u{1b}"), "a b c");
        let cut = short(&"é".repeat(1000));
        assert_eq!((cut.chars().count(), cut.ends_with('…')), (CAUSE_CHARACTERS + 1, true));
    }
}
