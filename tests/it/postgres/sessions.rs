//! The one session: whom it lets in, what it sees move, and how it ends and comes back.

use linkit_bridge::collector::ErrorClass;
use linkit_bridge::collector::postgres::PostgresDialect;
use linkit_bridge::collector::sql::{Dialect, Link};

use super::server::Server;
use super::{ENOUGH, cell, link};
use crate::support::certificates::Certificates;
use crate::support::database::{PASSWORD, give_away};
use crate::support::eventually;

pub async fn the_version_moves_with_commits_alone(server: &Server) {
    server.run("CREATE TABLE skus (id int); CREATE TABLE other (id int)").await;
    let mut link = link(server).await;
    let mut last = link.version().await.unwrap();
    assert!(last.is_same(&link.version().await.unwrap()));
    for sql in ["SELECT count(*) FROM skus", "UPDATE skus SET id = 1", "VACUUM skus", "CHECKPOINT", "BEGIN; END"] {
        server.run(sql).await;
        link.rows("count", &PostgresDialect.count("skus"), ENOUGH).await.unwrap();
        assert!(link.version().await.unwrap().is_same(&last), "{sql}");
    }
    for sql in ["INSERT INTO other VALUES (1)", "UPDATE other SET id = 2", "DELETE FROM other", "TRUNCATE skus"] {
        server.run(sql).await;
        let now = link.version().await.unwrap();
        assert!(!now.is_same(&last) && now.opening == last.opening, "{sql}");
        last = now;
    }
}

pub async fn there_is_one_and_it_ends_with_the_link(server: &Server) {
    let mut first = link(server).await;
    for _ in 0..3 {
        first.version().await.unwrap();
        cell(&mut first, "SELECT '1'").await;
    }
    assert_eq!(server.sessions("true").await, 1);
    assert_eq!(server.sessions("state = 'idle' AND backend_xmin IS NULL").await, 1);
    assert_eq!(
        server
            .ask(
                "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE application_name = 'linkit-bridge'"
            )
            .await,
        0
    );
    assert_eq!(cell(&mut first, "SHOW client_connection_check_interval").await.unwrap(), "5s");
    assert_eq!(cell(&mut first, "SHOW tcp_keepalives_idle").await.unwrap(), "10");
    assert_eq!(
        cell(&mut first, "SELECT count(*)::text FROM pg_prepared_statements WHERE name <> ''").await.unwrap(),
        "0"
    );
    drop(first);
    eventually("the end of the session", || async { (server.sessions("true").await == 0).then_some(()) }).await;
}

pub async fn refusals_show_no_secret(server: &Server) {
    server.run("CREATE ROLE nobody_at_all NOLOGIN; CREATE ROLE one LOGIN PASSWORD 'one' CONNECTION LIMIT 0").await;
    let port = server.port();
    for (user, database, password, class) in [
        ("bridge", "linkit", "hunter3", ErrorClass::Unauthorized),
        ("bridge", "linkit", "", ErrorClass::Unauthorized),
        ("nobody_at_all", "linkit", "hunter3", ErrorClass::Unauthorized),
        ("bridge", "absent", PASSWORD, ErrorClass::NotFound),
        ("one", "linkit", "one", ErrorClass::Other),
    ] {
        let mut link = server.link_as(&format!("postgres://{user}@127.0.0.1:{port}/{database}"), password);
        let error = link.version().await.unwrap_err();
        assert_eq!(error.class, class, "{error}");
        assert!(error.message.starts_with(&format!("database 127.0.0.1:{port}/{database}: ")), "{error}");
        assert!(!error.message.contains("hunter") && !error.message.contains(PASSWORD), "{error}");
    }
}

pub async fn a_unix_socket_does(server: &Server) {
    let (port, sockets) = (server.port(), server.path().display());
    let mut link = server.link_as(&format!("postgres://bridge@localhost:{port}/linkit?host={sockets}"), "");
    link.version().await.unwrap();
    assert_eq!(link.address(), format!("{sockets}:{port}/linkit"));
    assert_eq!(cell(&mut link, "SELECT '1'").await.unwrap(), "1");
}

pub async fn tls_is_used_where_the_server_has_it(server: &mut Server) {
    let error = server.link("?sslmode=require").version().await.unwrap_err();
    assert!(error.class == ErrorClass::Unreachable && error.message.contains("sslmode"), "{error}");
    let encrypted = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(cell(&mut link(server).await, encrypted).await.unwrap(), "false");
    let Some(made) = Certificates::make(server.path()) else { return };
    give_away(server.path());
    for (setting, file) in [("ssl_cert_file", &made.certificate), ("ssl_key_file", &made.key)] {
        server.run(&format!("ALTER SYSTEM SET {setting} = '{}'", file.display())).await;
    }
    server.run("ALTER SYSTEM SET ssl = on").await;
    server.reload();
    eventually("a server with TLS", || async {
        let mut link = link(server).await;
        (cell(&mut link, encrypted).await.unwrap() == "true").then_some(())
    })
    .await;
    assert_eq!(cell(&mut link(server).await, encrypted).await.unwrap(), "true");
    server.link("?sslmode=require").version().await.unwrap();
    let authority = made.authority.display();
    server.link(&format!("?sslmode=verify-full&sslrootcert={authority}")).version().await.unwrap();
    let strict = server.link("?sslmode=verify-full").version().await.unwrap_err();
    assert!(strict.class == ErrorClass::Unreachable && strict.message.contains("certificate"), "{strict}");
}

pub async fn a_restart_is_survived(server: &mut Server) {
    let mut link = link(server).await;
    for crashes in [false, true] {
        let before = link.version().await.unwrap();
        if crashes {
            server.crash_and_start().await;
        } else {
            server.restart().await;
        }
        let now = link.version().await.unwrap();
        assert_eq!(now.opening, before.opening + 1, "within the same call");
        assert_eq!(cell(&mut link, "SELECT '1'").await.unwrap(), "1");
    }
    let before = link.version().await.unwrap();
    server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'linkit-bridge'").await;
    let error = link.rows("test", "SELECT '1'", ENOUGH).await.unwrap_err();
    assert!([ErrorClass::Stopped, ErrorClass::Unreachable].contains(&error.class), "{error}");
    assert_eq!(link.version().await.unwrap().opening, before.opening + 1);
}

pub async fn a_stopped_server_is_unreachable(mut server: Server) {
    let mut link = link(&server).await;
    server.stop().await;
    let error = link.version().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unreachable, "{error}");
}
