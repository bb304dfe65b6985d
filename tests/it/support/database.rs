//! What the real database servers of the tests have in common.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::backend::Sizes;
use super::certificates::Certificates;

/// The password of the role `bridge`.
pub const PASSWORD: &str = "database-password-0123456789";

/// The user and the group nobody, on every Linux.
const NOBODY: u32 = 65534;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    Off,
    /// Whoever comes by TCP may use it.
    Offered,
    /// Whoever comes by TCP must use it.
    Required,
}

impl Tls {
    /// The server's certificates in a directory, if it speaks TLS; outside `None` when there is no openssl.
    pub fn certificates(self, directory: &Path) -> Option<Option<Certificates>> {
        if self == Self::Off { Some(None) } else { Certificates::make(directory).map(Some) }
    }
}

/// A server on a free port of loopback with a database `linkit`. It ends with the value.
pub trait Database: Sized {
    /// The kind of source, as the bridge's config calls it.
    const SOURCE: &'static str;

    /// A connection of the administrator's.
    type Session;

    /// Starts one with nothing in its database, and with settings of its own (`name=value`); `None` when a peer is
    /// absent.
    async fn empty(tls: Tls, settings: &[&str]) -> Option<Self>;

    /// Starts one with an empty shop and the role of `deploy/sql`; `None` when a peer is absent.
    async fn start(tls: Tls) -> Option<Self>;

    /// Where the role `bridge` finds the database.
    fn url(&self) -> String;

    /// A connection of the administrator's to the database.
    async fn session(&self) -> Self::Session;

    /// Runs statements in a session.
    async fn execute(session: &mut Self::Session, sql: &str);

    /// What the sessions of the role `bridge` are at: one text each, empty for one that waits for a statement.
    fn statements_of_the_bridge(&self) -> Vec<String>;

    /// What its administrator is answered: a line a row, without heads.
    fn sql(&self, sql: &str) -> String;

    /// What the role `bridge` is answered over TCP, or why not. With TLS the server's certificate is verified.
    fn bridge_sql(&self, tls: Tls, sql: &str) -> Result<String, String>;

    /// Fills the empty tables, in half a minute with millions of rows. `completed_earlier` rows of the queue were
    /// completed before today.
    fn seed(&self, sizes: &Sizes, completed_earlier: u64);

    /// Shuts the server down and waits until it is.
    async fn stop(&mut self);

    /// Ends it as if the machine had lost its power, but for what was written.
    async fn crash(&mut self);

    /// Serves the same data on the same port after `stop` or `crash`.
    async fn again(&mut self);
}

/// The variables of the files that seed.
pub fn seed_variables(sizes: &Sizes, completed_earlier: u64) -> impl Iterator<Item = (&'static str, u64)> {
    sizes.named().into_iter().chain([("completed_earlier", completed_earlier)])
}

/// A command that runs as nobody if the tests run as root, which no database server wants to be.
pub fn unprivileged(program: &Path, directory: &Path) -> Command {
    // By its real path, since the checkout may lie where only root may look.
    let mut command = Command::new(program.canonicalize().unwrap());
    command.current_dir(directory).env("TMPDIR", directory);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Gives a directory and the files in it to whom `unprivileged` commands run as, and closes it to others.
pub fn give_away(directory: &Path) {
    std::fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    if rustix::process::geteuid().is_root() {
        for entry in std::fs::read_dir(directory).unwrap() {
            chown(entry.unwrap().path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        chown(directory, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// Runs a program to its end: what it wrote, or what it complained of.
pub fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
