//! Where the server is and who asks: the configured address, judged before anything is connected. Knows no connection.

use secrecy::{ExposeSecret, SecretString};
use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

use crate::collector::sql::wire::Place;

/// The parameters an address may have. One that is misspelt must not pass: the driver would ignore it, and with it
/// what it demands of TLS.
const PARAMETERS: &[&str] = &["ssl-mode", "ssl-ca", "ssl-cert", "ssl-key", "socket"];

/// What operators set for this source.
#[derive(Clone, Debug)]
pub struct MysqlConfig {
    /// `mysql://user@host:3306/database`, or `mariadb://…`. Parameters: `ssl-mode` (`DISABLED`, `PREFERRED`, `REQUIRED`,
    /// `VERIFY_CA`, `VERIFY_IDENTITY`), `ssl-ca`, `ssl-cert`, `ssl-key` (files), `socket` (a Unix socket).
    pub url: String,
    /// The user, where the url names none or another.
    pub user: Option<String>,
    /// The user's password; it must not stand in the url.
    pub password: Option<SecretString>,
}

/// A server's database, ready to be connected to. It holds the password, so it is never shown.
pub(super) struct Target {
    /// How to connect.
    pub(super) options: MySqlConnectOptions,
    /// Where that is.
    pub(super) place: Place,
    /// Where that is, for errors.
    pub(super) address: String,
    /// What no error may repeat.
    pub(super) password: Option<SecretString>,
}

impl Target {
    /// The target of a config.
    ///
    /// # Errors
    /// What is wrong with the config, and the remedy; no part of the url that could hold a secret.
    pub(super) fn new(config: &MysqlConfig) -> Result<Self, String> {
        let url = config.url.trim();
        let user_in_url = check(url)?;
        let options: MySqlConnectOptions =
            url.parse().map_err(|_| "url is not understood; write mysql://user@host:3306/database".to_owned())?;
        let user = config.user.as_deref().map(str::trim);
        let named = match user {
            Some("") => return Err("user is empty; name one, or leave the key out".to_owned()),
            Some(user) => options.username(user),
            None if user_in_url => options,
            None => return Err("url names no user; write mysql://user@host:3306/database, or set user".to_owned()),
        };
        check_tls(url, named.get_ssl_mode())?;
        let address = address(&named)?;
        // An address of IPv6 stands in brackets in a url, and without them everywhere else.
        let host = named.get_host().trim_matches(['[', ']']).to_owned();
        let mut options = named
            .host(&host)
            .charset("utf8mb4")
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .disable_statement_logging();
        if let Some(password) = &config.password {
            options = options.password(password.expose_secret());
        }
        let place = match options.get_socket() {
            Some(socket) => Place::Unix(socket.clone()),
            None => Place::Tcp(host, options.get_port()),
        };
        Ok(Self { options, place, address, password: config.password.clone() })
    }

    /// Whether the driver asks for TLS where it is offered.
    pub(super) fn wants_tls(&self) -> bool {
        !matches!(self.options.get_ssl_mode(), MySqlSslMode::Disabled)
    }
}

/// Refuses what the driver would accept; tells whether the url names a user.
fn check(url: &str) -> Result<bool, String> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    if !["mysql", "mariadb"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return Err("url is not one of MySQL or MariaDB; write mysql://user@host:3306/database".to_owned());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if user.contains(':') {
        return Err(
            "url holds a password, and urls are shown in logs; put it into password, password_file or a variable"
                .to_owned(),
        );
    }
    if host.is_empty() {
        return Err("url names no host; write mysql://user@host:3306/database, for a Unix socket with the host \
                    localhost and ?socket=/path"
            .to_owned());
    }
    let query = rest.split('#').next().and_then(|rest| rest.split_once('?')).map_or("", |(_, query)| query);
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let key = parameter.split('=').next().unwrap_or_default();
        if !PARAMETERS.contains(&key) {
            return Err(format!("url has a parameter that is not known; known are {}", PARAMETERS.join(", ")));
        }
    }
    Ok(!user.is_empty())
}

/// A certificate authority that the driver would not look at.
fn check_tls(url: &str, mode: MySqlSslMode) -> Result<(), String> {
    let is_verified = matches!(mode, MySqlSslMode::VerifyCa | MySqlSslMode::VerifyIdentity);
    if url.contains("ssl-ca=") && !is_verified {
        return Err(
            "url has ssl-ca, but its ssl-mode verifies nothing; set ssl-mode=VERIFY_CA or VERIFY_IDENTITY".to_owned()
        );
    }
    Ok(())
}

/// The place as errors say it.
fn address(options: &MySqlConnectOptions) -> Result<String, String> {
    let Some(database) = options.get_database() else {
        return Err("url names no database; write mysql://user@host:3306/database".to_owned());
    };
    match options.get_socket() {
        Some(socket) => Ok(format!("{}/{database}", socket.display())),
        None => Ok(format!("{}:{}/{database}", options.get_host(), options.get_port())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<Target, String> {
        Target::new(&MysqlConfig { url: url.to_owned(), user: None, password: None })
    }

    fn refused(url: &str, part: &str) {
        let error = target(url).err().unwrap_or_else(|| panic!("{url} was accepted"));
        assert!(error.contains(part) && error.contains("; "), "{url}: {error}");
        assert!(!error.contains("hunter2"), "{url}: {error}");
    }

    #[test]
    fn an_address_is_host_port_and_database() {
        for (url, address) in [
            ("mysql://bridge@db.example/linkit", "db.example:3306/linkit"),
            ("mariadb://bridge@db.example:3307/linkit?ssl-mode=REQUIRED", "db.example:3307/linkit"),
            ("mysql://bridge@[::1]:3306/linkit", "[::1]:3306/linkit"),
            ("mysql://bridge@localhost/linkit?socket=/run/mysqld/mysqld.sock", "/run/mysqld/mysqld.sock/linkit"),
            ("mysql://bridge@localhost/linkit?socket=%2Frun%2Fs", "/run/s/linkit"),
        ] {
            assert_eq!(target(url).unwrap_or_else(|error| panic!("{url}: {error}")).address, address);
        }
        assert_eq!(target("mysql://bridge@[::1]/linkit").unwrap().options.get_host(), "::1");
    }

    #[test]
    fn what_could_not_work_or_would_show_a_secret_is_refused() {
        refused("mysql://bridge:hunter2@db/linkit", "password_file");
        refused("mysql://bridge:@db/linkit", "password_file");
        refused("mysql://bridge:hun/hunter2@db/linkit", "not understood");
        refused("mysql://bridge@db/linkit?password=hunter2", "not known");
        refused("mysql://bridge@db", "no database");
        refused("mysql://bridge@db/", "no database");
        refused("mysql://bridge@/linkit", "no host");
        refused("mysql:///linkit?socket=/run/s", "no host");
        refused("mysql://db/linkit", "no user");
        refused("postgres://bridge@db/linkit", "MariaDB");
        refused("bridge@db/linkit", "MariaDB");
        refused("mysql://bridge@db:port/linkit", "not understood");
    }

    #[test]
    fn nothing_that_was_meant_to_verify_is_ignored() {
        refused("mysql://bridge@db/linkit?sslmod=REQUIRED", "not known");
        refused("mysql://bridge@db/linkit?ssl-mode=SAFE", "not understood");
        refused("mysql://bridge@db/linkit?ssl-ca=/ca.pem", "VERIFY_CA");
        assert!(target("mysql://bridge@db/linkit?ssl-ca=/ca.pem&ssl-mode=VERIFY_IDENTITY").is_ok());
    }

    #[test]
    fn the_user_beside_the_url_goes_before_the_one_in_it() {
        let config = |user: &str| MysqlConfig {
            url: "mysql://a@db/linkit".to_owned(),
            user: Some(user.to_owned()),
            password: Some("hunter2".into()),
        };
        assert_eq!(Target::new(&config("b")).unwrap().options.get_username(), "b");
        assert!(Target::new(&config(" ")).is_err());
        assert!(!format!("{:?}", config("b")).contains("hunter2"));
    }
}
