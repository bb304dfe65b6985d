//! A real PostgreSQL whose password is changed under a bridge that runs, and the one session it has over reloads.

use super::{Bridge, DONE};
use crate::support::backend::SMALL;
use crate::support::database::{Database, PASSWORD, Tls};
use crate::support::postgres::Postgres;
use crate::support::{Directory, eventually};

#[tokio::test]
async fn another_password_is_taken_from_its_file_and_another_interval_keeps_the_session() {
    let Some(postgres) = Postgres::start(Tls::Off).await else { return };
    postgres.seed(&SMALL, 0);
    let directory = Directory::new("reload-password");
    let file = directory.write("password", &format!("{PASSWORD}\n"));
    let config = |interval: &str| {
        let of = |interval: &str| {
            format!(
                "{{ source: postgres, url: '{}', password_file: {}, interval: {interval}, max_backoff: 500ms }}",
                postgres.url(),
                file.display()
            )
        };
        format!("store: {}\nstaging: {}\n", of(interval), of("200ms"))
    };
    let mut bridge = Bridge::start_with(directory, &config("200ms"), &[], &[]).await;
    let (records, up) = (
        "linkit_store_records{collection=\"skus\"}",
        "linkit_bridge_collector_up{collector=\"store\",source=\"postgres\"}",
    );
    let counted = Some(SMALL.skus as f64);
    bridge.has(records, counted).await;
    let sessions = || postgres.sql("SELECT pid FROM pg_stat_activity WHERE usename = 'bridge'");
    let session = sessions();
    assert_eq!(session.lines().count(), 1);
    bridge.write(&config("300ms"));
    bridge.hangup("1 of the collectors go on, 1 were stopped, 1 are started").await;
    assert_eq!(bridge.value(records).await, counted);
    bridge.has(up, Some(1.0)).await;
    assert_eq!(sessions(), session, "another session for another interval");
    postgres.sql("ALTER ROLE bridge PASSWORD 'another'");
    postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bridge'");
    bridge.has(up, Some(0.0)).await;
    bridge.process.line("class=unauthorized").await;
    bridge.directory.write("password", "another\n");
    bridge.has(up, Some(1.0)).await;
    assert_eq!(bridge.value(records).await, counted, "the same database under another password");
    eventually("one session", || async { (sessions().lines().count() == 1).then_some(()) }).await;
    bridge.hangup(DONE).await;
    assert_eq!(sessions().lines().count(), 1);
}
