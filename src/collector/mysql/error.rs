//! From the driver's and the server's errors to the classes of a source's trouble, with the remedy said.

use std::io::ErrorKind as Io;
use std::time::Duration;

use secrecy::SecretString;
use sqlx::Error;
use sqlx::mysql::MySqlDatabaseError;

use super::columns::COLUMNS_MAX;
use crate::collector::sql::wire::{ANSWER_MAX, CELLS_MAX, ROWS_MAX};
use crate::collector::{CollectError, ErrorClass};
use crate::secret::struck_out;

/// Longest cause that is passed on, in characters: the server repeats the statement in some.
const CAUSE_CHARACTERS_MAX: usize = 300;

const ASK_ADMINISTRATOR: &str = "see the cause, and the server's error log";

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The driver or the server says so.
    Driver(Error),
    /// There was none in this time.
    Late(Duration),
    /// It is larger than it may be.
    Oversized,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Driver(error)
    }
}

impl Failure {
    /// Whether the session is over, or in a state that nobody knows.
    pub(super) fn ends_session(&self) -> bool {
        match self {
            Self::Driver(error) => ends_session(error),
            Self::Late(_) | Self::Oversized => true,
        }
    }

    /// Whether the connection turned out to be gone, so that another may be had.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Driver(_)) && self.ends_session()
    }

    /// What went wrong with `thing` at `address`; the server may repeat the password it was told.
    pub(super) fn explain(&self, thing: &str, address: &str, password: Option<&SecretString>) -> CollectError {
        let (class, cause, remedy) = match self {
            Self::Late(limit) => (
                ErrorClass::Timeout,
                format!("no answer within {limit:?}"),
                "check the network, and what keeps the server busy",
            ),
            Self::Oversized => (
                ErrorClass::Oversized,
                format!(
                    "the answer has more than {} MiB, {ROWS_MAX} rows, {CELLS_MAX} cells or {COLUMNS_MAX} columns, and was cut",
                    ANSWER_MAX >> 20
                ),
                "ask for less, and check that it is a MySQL or MariaDB server that answers there",
            ),
            Self::Driver(error) => explain_driver(error),
        };
        CollectError::new(class, format!("{thing} in {address}: {}; {remedy}", one_line(&struck_out(&cause, password))))
    }
}

/// The class of an error of the driver's or the server's.
pub(super) fn class(error: &Error) -> ErrorClass {
    explain_driver(error).0
}

/// Whether after this error the session is over, or in a state that nobody knows.
pub(super) fn ends_session(error: &Error) -> bool {
    match error {
        Error::Database(_) => matches!(class(error), ErrorClass::Unreachable | ErrorClass::Stopped),
        Error::ColumnDecode { .. } => false,
        _ => true,
    }
}

fn number(error: &dyn sqlx::error::DatabaseError) -> Option<u16> {
    error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number)
}

fn explain_driver(error: &Error) -> (ErrorClass, String, &'static str) {
    use ErrorClass as Class;
    match error {
        Error::Database(error) => {
            let (class, remedy) = number(error.as_ref()).map_or((Class::Other, ASK_ADMINISTRATOR), classify);
            (class, error.to_string(), remedy)
        }
        // What TLS has against the server's certificate comes as invalid data.
        Error::Io(error) if error.kind() == Io::InvalidData => explain_tls(error),
        Error::Tls(error) => explain_tls(error),
        Error::Io(error) => {
            let (class, remedy) = match error.kind() {
                Io::PermissionDenied => (Class::Unauthorized, "let the bridge's user open the socket"),
                Io::UnexpectedEof | Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe => {
                    (Class::Unreachable, "the server closed the connection, see its error log")
                }
                _ => (Class::Unreachable, "check host, port or socket, and that the server runs"),
            };
            (class, error.to_string(), remedy)
        }
        Error::ColumnDecode { index, source } => {
            (Class::Type, format!("column {index}, from 0: {source}"), "let it be an integer or a text in UTF-8")
        }
        // The only thing that the driver lacks while it connects: it sends this password encrypted by TLS or by RSA,
        // and RSA is not built in for it has no implementation that keeps its timing secret.
        Error::Configuration(cause) if cause.to_string().contains("RSA") => (
            Class::Unauthorized,
            "the server wants the password encrypted, by TLS or RSA, and the connection has no TLS".to_owned(),
            "use TLS (ssl-mode=REQUIRED, and a certificate at the server), or an account with mysql_native_password",
        ),
        Error::Protocol(cause) if cause.contains("authentication plugin") => (
            Class::Unauthorized,
            cause.clone(),
            "give the bridge an account with a password, of caching_sha2_password or mysql_native_password",
        ),
        Error::Protocol(cause) => {
            (Class::Unreachable, cause.clone(), "check that it is a MySQL or MariaDB server that answers there")
        }
        other => (Class::Other, other.to_string(), "check that host and port are those of a MySQL or MariaDB server"),
    }
}

fn explain_tls(error: &dyn std::fmt::Display) -> (ErrorClass, String, &'static str) {
    let remedy = "check ssl-mode and ssl-ca in the url, and the server's certificate";
    (ErrorClass::Unreachable, format!("TLS: {error}"), remedy)
}

/// The class and the remedy of one of the server's errors, by its number.
fn classify(number: u16) -> (ErrorClass, &'static str) {
    use ErrorClass as Class;
    match number {
        1045 | 1130 | 1251 | 1524 | 1698 | 1820 | 1862 | 3118 | 4151 => {
            (Class::Unauthorized, "check user, password, and the host the account is for")
        }
        1129 => (Class::Unauthorized, "let an administrator run FLUSH HOSTS"),
        1044 | 1142 | 1143 | 1227 | 1345 | 1370 => {
            (Class::Unauthorized, "GRANT SELECT on the tables, and SHOW VIEW on views, to the bridge's user")
        }
        1049 | 1051 | 1054 | 1109 | 1146 => (Class::NotFound, "correct the configured name, or create it"),
        1356 | 1449 => (Class::NotFound, "repair the view"),
        1205 | 1213 | 3572 => (Class::Locked, "another session holds it, find the one that locks it for so long"),
        1969 | 3024 => (Class::Budget, "it took longer than count_budget and was ended, raise count_budget"),
        1264 | 1292 | 1366 | 1411 | 1525 | 1690 | 3140 | 3141 => {
            (Class::Type, "check the type of the column, and what is stored in it")
        }
        126 | 127 | 134 | 144 | 145 | 1033 | 1034 | 1035 | 1194 | 1195 | 1712 | 1877 => {
            (Class::Damaged, "run CHECK TABLE, restore a backup if it fails")
        }
        1053 => (Class::Stopped, "start the server"),
        1152 | 1158..=1161 | 1184 | 1927 | 4031 => {
            (Class::Unreachable, "the server ended the session, see its error log")
        }
        1040 | 1203 | 1226 => {
            (Class::Other, "raise max_connections or the account's limits, or close other connections")
        }
        1317 => (Class::Other, "somebody ended it by KILL QUERY"),
        1290 | 1792 => (Class::Other, "the bridge only reads"),
        _ => (Class::Other, ASK_ADMINISTRATOR),
    }
}

/// A text of a stranger on one line, of bounded length.
fn one_line(text: &str) -> String {
    let mut line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let mut cut = String::new();
    let mut left = CAUSE_CHARACTERS_MAX;
    for word in line.by_ref() {
        if !cut.is_empty() {
            cut.push(' ');
        }
        cut.extend(word.chars().take(left));
        left = left.saturating_sub(word.chars().count() + 1);
        if left == 0 {
            cut.push('…');
            break;
        }
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_failure_has_its_class() {
        for (number, class) in [
            (1045, ErrorClass::Unauthorized),
            (1142, ErrorClass::Unauthorized),
            (1146, ErrorClass::NotFound),
            (1054, ErrorClass::NotFound),
            (1205, ErrorClass::Locked),
            (1969, ErrorClass::Budget),
            (3024, ErrorClass::Budget),
            (1292, ErrorClass::Type),
            (145, ErrorClass::Damaged),
            (1053, ErrorClass::Stopped),
            (1927, ErrorClass::Unreachable),
            (1040, ErrorClass::Other),
            (1064, ErrorClass::Other),
        ] {
            assert_eq!(classify(number).0, class, "{number}");
        }
        for (kind, class) in [
            (Io::ConnectionRefused, ErrorClass::Unreachable),
            (Io::UnexpectedEof, ErrorClass::Unreachable),
            (Io::NotFound, ErrorClass::Unreachable),
            (Io::PermissionDenied, ErrorClass::Unauthorized),
        ] {
            let failure = Failure::Driver(Error::Io(kind.into()));
            assert_eq!(failure.explain("database", "db:3306/linkit", None).class, class, "{kind}");
            assert!(failure.is_lost());
        }
    }

    #[test]
    fn an_error_names_the_thing_the_cause_and_the_remedy() {
        let late = Failure::Late(Duration::from_millis(1750));
        assert_eq!(
            late.explain("collection skus", "db.example:3306/linkit", None).to_string(),
            "collection skus in db.example:3306/linkit: no answer within 1.75s; check the network, and what keeps the \
             server busy"
        );
        assert!(late.ends_session() && !late.is_lost());
        let rsa = Failure::Driver(Error::Configuration("RSA auth backend disabled".into()));
        let error = rsa.explain("database", "db:3306/linkit", None);
        assert!(error.class == ErrorClass::Unauthorized && error.message.contains("use TLS"), "{error}");
    }

    #[test]
    fn a_password_that_the_server_repeats_is_struck_out() {
        let told = Failure::Driver(Error::Protocol("hunter2 is no greeting".to_owned()));
        let error = told.explain("database", "db:3306/linkit", Some(&SecretString::from("hunter2")));
        assert!(error.message.contains("*** is no greeting"), "{error}");
    }

    #[test]
    fn a_strangers_text_is_one_short_line() {
        assert_eq!(one_line("a\r\n b\t\u{0}c"), "a b c");
        assert_eq!(one_line(&"x".repeat(5000)).chars().count(), CAUSE_CHARACTERS_MAX + 1);
        assert!(one_line(&"word ".repeat(500)).chars().count() <= CAUSE_CHARACTERS_MAX + 2);
    }
}
