//! Where the server is and who asks: the settings, and the address made of them. Knows no connection.

use std::str::FromStr;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::SecretString;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::collector::sql::wire::Place;

const APPLICATION_NAME: &str = "linkit-bridge";

/// What a url may say besides host, port, user and database. Others would be ignored, and shown in the log by sqlx.
const PARAMETERS: &[&str] = &[
    "dbname",
    "host",
    "hostaddr",
    "options",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

const SSL_MODES: &[&str] = &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// How a server is reached.
#[derive(Clone)]
pub struct PostgresConfig {
    /// `postgres://user@host:port/database?sslmode=…`; `?host=/run/postgresql` for a Unix socket. Without `sslmode` the
    /// connection is encrypted if the server can, without a look at its certificate; `verify-full` demands a good one.
    /// What it leaves out comes from the `PG…` variables and the password file that all of PostgreSQL's programs read.
    pub url: String,
    /// The user, before the one in the url.
    pub user: Option<String>,
    /// The password; none where the server asks for none.
    pub password: Option<SecretString>,
}

/// The server's options as sqlx wants them, still without the password, and the address to show.
///
/// # Errors
/// When the url is not one, or holds a password. Nothing of the url is repeated: a mistake in it may make any part of
/// it a part of a password.
pub(super) fn options(url: &str, user: Option<&str>) -> Result<(PgConnectOptions, String), String> {
    check(url)?;
    let url = match user {
        // As a part of the url, so that the password file is asked for this user.
        Some(user) => {
            let separator = if url.contains('?') { '&' } else { '?' };
            format!("{url}{separator}user={}", utf8_percent_encode(user, NON_ALPHANUMERIC))
        }
        None => url.to_owned(),
    };
    let options = PgConnectOptions::from_str(&url).map_err(|error| match error {
        sqlx::Error::Configuration(cause) => format!("url: {cause}; write it as postgres://user@host:5432/database"),
        _ => "url: it cannot be understood; write it as postgres://user@host:5432/database".to_owned(),
    })?;
    // The brackets of an IPv6 address are the url's, and no resolver knows them.
    let host = options.get_host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let options = options
        .host(&host)
        .application_name(APPLICATION_NAME)
        // Poolers refuse parameters at the start that they do not know, and this is one.
        .extra_float_digits(None)
        .statement_cache_capacity(0)
        .disable_statement_logging();
    let address = address(&options);
    Ok((options, address))
}

fn check(url: &str) -> Result<(), String> {
    let rest = url
        .strip_prefix("postgres://")
        .or_else(|| url.strip_prefix("postgresql://"))
        .ok_or("url: it does not begin with postgres://; write it as postgres://user@host:5432/database")?;
    if url.contains(|sign: char| sign.is_ascii_control() || sign == ' ' || sign == '#') {
        return Err("url: it has a space, a # or a control character; write them percent-encoded".to_owned());
    }
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let query = tail.split_once('?').map_or("", |(_, query)| query);
    let pairs: Vec<_> = query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
    if user.contains(':') || tail.contains('@') || pairs.iter().any(|(name, _)| name.contains("passw")) {
        return Err(
            "url: it holds a password, and urls are shown in logs; take it out and use password, password_file \
                    or the variable for it (an @ that is none of a password is written %40)"
                .to_owned(),
        );
    }
    for (name, value) in &pairs {
        if !PARAMETERS.contains(&name.as_str()) && !name.starts_with("options[") {
            return Err(format!("url: it has an unknown parameter; known are {}", PARAMETERS.join(", ")));
        }
        if ["sslmode", "ssl-mode"].contains(&name.as_str()) && !SSL_MODES.contains(&value.as_str()) {
            return Err(format!("url: its sslmode is unknown; known are {}", SSL_MODES.join(", ")));
        }
    }
    Ok(())
}

/// A parameter's name and value as the url's parser reads them.
fn pair(pair: &str) -> (String, String) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    (decoded(name), decoded(value))
}

/// Where that is.
pub(super) fn place(options: &PgConnectOptions) -> Place {
    let directory = options.get_socket().map(|directory| directory.display().to_string());
    let host = options.get_host();
    match directory.or_else(|| host.starts_with('/').then(|| host.to_owned())) {
        Some(directory) => Place::Unix((directory + &socket_suffix(options)).into()),
        None => Place::Tcp(host.to_owned(), options.get_port()),
    }
}

/// What the driver appends to a directory for the socket in it.
pub(super) fn socket_suffix(options: &PgConnectOptions) -> String {
    format!("/.s.PGSQL.{}", options.get_port())
}

fn address(options: &PgConnectOptions) -> String {
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None if options.get_host().contains(':') => format!("[{}]", options.get_host()),
        None => options.get_host().to_owned(),
    };
    // Without a name the database is the one named as the user, and that is not shown.
    let database = options.get_database().map(|name| format!("/{name}")).unwrap_or_default();
    format!("{host}:{}{database}", options.get_port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(url: &str) -> String {
        options(url, None).unwrap_err()
    }

    #[test]
    fn the_address_has_neither_user_nor_password() {
        for (url, address) in [
            ("postgres://bridge@db.example/linkit", "db.example:5432/linkit"),
            ("postgresql://db.example:6432/linkit?sslmode=require", "db.example:6432/linkit"),
            ("postgres://bridge@[::1]:5433/linkit", "[::1]:5433/linkit"),
            ("postgres://bridge@localhost/linkit?host=/run/pg", "/run/pg:5432/linkit"),
            ("postgres://bridge@db.example", "db.example:5432"),
        ] {
            assert_eq!(options(url, None).unwrap().1, address, "{url}");
        }
    }

    #[test]
    fn the_user_beside_the_url_goes_first() {
        for url in ["postgres://bridge@db.example/linkit", "postgres://db.example/linkit?sslmode=prefer"] {
            assert_eq!(options(url, Some("ré@d/er")).unwrap().0.get_username(), "ré@d/er");
        }
        assert_eq!(options("postgres://bridge@db.example", None).unwrap().0.get_username(), "bridge");
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_not_repeated() {
        for url in [
            "postgres://bridge:hunter2@db.example/linkit",
            "postgres://bridge:@db.example/linkit",
            "postgres://bridge:hun@ter2@db.example/linkit",
            "postgres://bridge:1/hunter2@db.example/linkit",
            "postgres://bridge:1?hunter2@db.example/linkit",
            "postgres://db.example/linkit?password=hunter2",
            "postgres://db.example/linkit?sslmode=prefer&p%61ssword=hunter2",
            "postgres://db.example/linkit?sslpassword=hunter2",
        ] {
            let text = error(url);
            assert!(text.contains("password_file") && !text.contains("hunter2"), "{url}: {text}");
        }
    }

    #[test]
    fn a_url_that_is_none_is_refused_and_not_repeated() {
        for (url, part) in [
            ("mysql://hunter2@db.example/linkit", "postgres://"),
            ("hunter2", "postgres://"),
            ("postgres://db.example/linkit?pass\nword=hunter2", "percent-encoded"),
            ("postgres://bridge:hunter2#@db.example/linkit", "percent-encoded"),
            ("postgres://hunter2:port/linkit", "port"),
            ("postgres://db.example/linkit?sslmode=hunter", "sslmode"),
            ("postgres://db.example/linkit?hunter2=1", "unknown parameter"),
            ("postgres://db.example/linkit?statement-cache-capacity=9", "unknown parameter"),
        ] {
            let text = error(url);
            assert!(text.starts_with("url: ") && text.contains(part) && !text.contains("hunter2"), "{url}: {text}");
        }
    }
}
