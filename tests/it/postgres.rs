//! PostgreSQL by its own server: what its statistics and samples are worth, that it is left alone, and what happens when
//! it is slow, locked, refused, restarted or crashed.

mod server;
mod sessions;
mod sizes;
mod statements;

use std::time::Duration;

use linkit_bridge::collector::CollectError;
use linkit_bridge::collector::postgres::{PostgresDialect, PostgresLink};
use linkit_bridge::collector::sql::{Dialect, Link, Signs};

use server::Server;

/// For statements that must run out of it.
const BUDGET: Duration = Duration::from_millis(250);

/// For all others, on a machine at work.
const ENOUGH: Duration = Duration::from_secs(60);

/// A connected link of the user `bridge`.
async fn link(server: &Server) -> PostgresLink {
    let mut link = server.link("");
    link.version().await.unwrap();
    link
}

/// The one cell of a statement.
async fn cell(link: &mut PostgresLink, sql: &str) -> Option<String> {
    let rows = link.rows("test", sql, ENOUGH).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!((rows.len(), rows[0].len()), (1, 1), "{sql}");
    rows[0][0].clone()
}

async fn number(link: &mut PostgresLink, sql: &str) -> u64 {
    cell(link, sql).await.unwrap().parse().unwrap()
}

async fn signs(link: &mut PostgresLink, table: &str) -> Option<Signs> {
    let sql = PostgresDialect.signs(table).remove(0);
    let rows = link.rows("signs", &sql, ENOUGH).await.unwrap();
    assert_eq!(rows.len(), 1);
    PostgresDialect.signs_of(table, &rows[0])
}

async fn sampled(link: &mut PostgresLink, signs: &Signs) -> u64 {
    number(link, signs.sample.as_ref().unwrap()).await
}

async fn failed(link: &mut PostgresLink, sql: &str, budget: Duration) -> CollectError {
    let error = link.rows("collection skus", sql, budget).await.unwrap_err();
    assert!(error.message.starts_with("collection skus in 127.0.0.1:"), "{error}");
    assert!(PostgresDialect.error_classes().contains(&error.class));
    error
}

#[tokio::test]
async fn sizes_are_told_without_counting() {
    let Some(mut server) = Server::start().await else { return };
    sizes::never_analysed(&server).await;
    sizes::analysed_and_then_deleted_from(&server).await;
    sizes::half_empty(&server).await;
    sizes::partitioned(&server).await;
    sizes::inherited(&server).await;
    sizes::empty_and_truncated(&server).await;
    sizes::no_tables(&server).await;
    sizes::names_of_every_kind(&server).await;
    sizes::after_a_crash(&mut server).await;
}

#[tokio::test]
async fn statements_are_bounded_and_only_read() {
    let Some(server) = Server::start().await else { return };
    statements::a_slow_one_ends_on_the_server(&server).await;
    statements::none_takes_parallel_workers(&server).await;
    statements::a_dropped_one_ends_on_the_server(&server).await;
    statements::a_locked_table_is_locked(&server).await;
    statements::writes_and_second_statements_are_refused(&server).await;
    statements::mistakes_have_their_class(&server).await;
    statements::cells_are_text(&server).await;
    statements::the_advised_indexes_serve(&server).await;
}

#[tokio::test]
async fn one_session_comes_and_goes() {
    let Some(mut server) = Server::start().await else { return };
    sessions::the_version_moves_with_commits_alone(&server).await;
    sessions::there_is_one_and_it_ends_with_the_link(&server).await;
    sessions::refusals_show_no_secret(&server).await;
    sessions::a_unix_socket_does(&server).await;
    sessions::tls_is_used_where_the_server_has_it(&mut server).await;
    sessions::a_restart_is_survived(&mut server).await;
    sessions::a_stopped_server_is_unreachable(server).await;
}
