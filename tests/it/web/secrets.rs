//! What is secret in the web configuration, an inline key and the users' hashes and passwords, is told nowhere.

use std::process::Command;

use super::{HASH, Server, USER, certified};
use crate::support::Directory;
use crate::support::bridge::command;
use crate::support::peers::program;

/// What must be nowhere: a line of the key, the hash, the password, and what a client sends of it.
fn forbidden(key: &str) -> Vec<String> {
    let line = key.lines().nth(2).unwrap().to_owned();
    let password = USER.split(':').nth(1).unwrap();
    vec![line, HASH.to_owned(), password.to_owned(), "c2NyYXBlcjpjb3JyZWN0IGhvcnNl".to_owned()]
}

fn is_silent(what: &str, said: &str, forbidden: &[String]) {
    for secret in forbidden {
        assert!(!said.contains(secret.as_str()), "{what} tells {secret}: {said}");
    }
}

/// The text of a file, indented as a block in YAML.
fn block(directory: &Directory, file: &str) -> String {
    let text = std::fs::read_to_string(directory.path().join(file)).unwrap();
    text.lines().map(|line| format!("    {line}\n")).collect()
}

#[tokio::test]
async fn the_secrets_of_a_web_configuration_are_told_nowhere() {
    let Some(directory) = certified("web-secrets") else { return };
    let key = std::fs::read_to_string(directory.path().join("server.key")).unwrap();
    let forbidden = forbidden(&key);
    let (certificate, inline) = (block(&directory, "server.crt"), block(&directory, "server.key"));
    let users = format!("basic_auth_users: {{ scraper: '{HASH}' }}\n");
    let web = format!("tls_server_config:\n  cert: |\n{certificate}  key: |\n{inline}{users}");
    // Each secret made wrong in a way of its own.
    for (broken, why) in [
        (web.replace(HASH, &HASH[..HASH.len() - 3]), "a hash that is none"),
        (web.replace("PRIVATE KEY", "PUBLIC KEY"), "a key that is none"),
        (web.replace("  key: |\n", "  key:\n"), "a block without its sign"),
        (web.replace("basic_auth_users: {", "basic_auth_users ["), "a colon forgotten"),
        (web.replace("scraper: ", "scraper "), "another"),
    ] {
        let file = directory.write("broken.yml", &broken);
        let mut check = command();
        check.args(["--config.check", "--log.level=debug", "--web.config.file"]).arg(file);
        let output = check.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert_eq!(output.status.code(), Some(2), "{why}");
        is_silent(why, &String::from_utf8_lossy(&said), &forbidden);
    }
    let mut server = Server::start(directory, &web).await;
    for (path, user) in [("/metrics", USER), ("/", USER), ("/metrics", "scraper:wrong"), ("/api/v1/telemetry", USER)] {
        let Some(answer) = server.curl(path, &["--user", user]) else { return };
        assert!(answer.is_answered, "{}", answer.text);
        is_silent(path, &answer.text, &forbidden);
    }
    // A file that breaks while it runs is told of in the log.
    server.directory.write("web.yml", &web.replace(HASH, &HASH[..HASH.len() - 3]));
    server.process.line("web configuration").await;
    server.process.signal("-TERM");
    assert!(server.process.ended().await.success());
    is_silent("the log", &server.process.output(), &forbidden);
    let Some(ps) = program("ps") else { return };
    let listed = Command::new(ps).args(["-o", "args", "-A"]).output().unwrap();
    is_silent("the list of processes", &String::from_utf8_lossy(&listed.stdout), &forbidden[..2]);
}
