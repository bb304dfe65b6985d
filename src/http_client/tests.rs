use std::io::Write;
use std::thread::sleep;

use http::StatusCode;

use super::testing::{RawServer, Trap, nobody, ok, until_closed};
use super::*;

async fn get(url: &str, limits: &Limits) -> Result<Response<Bytes>, HttpError> {
    HttpClient::new().send(Request::get(url).body(Bytes::new()).unwrap(), limits).await
}

fn limits(total_ms: u64) -> Limits {
    Limits { total: Duration::from_millis(total_ms), body_bytes_max: 1000, ..Limits::default() }
}

#[tokio::test]
async fn an_answer_comes_back_whole_and_nothing_is_asked_that_we_cannot_read() {
    let server = RawServer::answering(ok("hello"));
    let request = Request::get(format!("{}/a?b=c", server.url())).header("accept-encoding", "gzip");
    let answer = HttpClient::new().send(request.body(Bytes::new()).unwrap(), &Limits::default()).await.unwrap();
    assert_eq!((answer.status(), answer.body().as_ref()), (StatusCode::OK, b"hello".as_slice()));
    let head = server.heads().remove(0).to_lowercase();
    assert!(
        head.starts_with("get /a?b=c http/1.1\r\n") && head.contains(&format!("host: {}", server.address)),
        "{head}"
    );
    assert!(!head.contains("accept-encoding"), "{head}");
}

#[tokio::test]
async fn a_chunked_body_is_read_to_its_limit_exactly() {
    for (length, fits) in [(0, true), (999, true), (1000, true), (1001, false), (5000, false)] {
        let chunks: String = "x"
            .repeat(length)
            .as_bytes()
            .chunks(300)
            .map(|c| format!("{:x}\r\n{}\r\n", c.len(), "x".repeat(c.len())))
            .collect();
        let server =
            RawServer::answering(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"));
        let answer = get(&server.url(), &limits(5000)).await;
        assert_eq!(answer.map(|answer| answer.body().len()).ok(), fits.then_some(length), "{length}");
    }
}

#[tokio::test]
async fn a_declared_length_above_the_limit_is_refused_before_the_body() {
    let server = RawServer::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n").unwrap();
        until_closed(stream);
        false
    });
    let error = get(&server.url(), &limits(5000)).await.unwrap_err();
    assert_eq!(error, HttpError::Oversized { host: server.address.to_string(), max: 1000 });
}

#[tokio::test]
async fn an_endless_body_is_given_up_at_the_limit() {
    let server = RawServer::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        while stream.write_all(&[b'x'; 512]).is_ok() {}
        false
    });
    let error = get(&server.url(), &limits(5000)).await.unwrap_err();
    assert_eq!(error, HttpError::Oversized { host: server.address.to_string(), max: 1000 });
}

#[tokio::test]
async fn a_drip_is_cut_by_the_deadline_of_the_whole_exchange() {
    let server = RawServer::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n").unwrap();
        while stream.write_all(b"x").is_ok() {
            sleep(Duration::from_millis(5));
        }
        false
    });
    let error = get(&server.url(), &limits(100)).await.unwrap_err();
    let after = Duration::from_millis(100);
    assert_eq!(error, HttpError::Timeout { host: server.address.to_string(), step: Step::Answer, after });
    assert!(error.to_string().contains("did not complete its answer within 100ms"), "{error}");
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_is_cut_by_its_own_limit() {
    // A listener that speaks no TLS and never answers: the handshake hangs.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let limits = Limits { connect: Duration::from_millis(100), ..Limits::default() };
    match get(&format!("https://{}", silent.local_addr().unwrap()), &limits).await.unwrap_err() {
        HttpError::Timeout { step, .. } => assert_eq!(step, Step::Connect),
        // A machine without root certificates cannot ask at all.
        error => assert!(matches!(error, HttpError::Roots { .. }), "{error}"),
    }
}

#[tokio::test]
async fn a_refused_connection_names_host_and_innermost_cause_and_no_secret() {
    let address = nobody();
    let error = get(&format!("http://user:hunter2@{address}/path?key=hunter2"), &Limits::default()).await.unwrap_err();
    let expected = HttpError::Unreachable { host: address.to_string(), cause: "connection refused".into() };
    assert_eq!(error, expected);
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[tokio::test]
async fn an_unresolved_name_is_unreachable() {
    let error = get("http://nobody.invalid/", &Limits::default()).await.unwrap_err();
    assert!(error.to_string().starts_with("nobody.invalid:80 "), "{error}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let trap = Trap::set();
    let location = trap.address();
    let server = RawServer::answering(format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{location}/\r\nContent-Length: 0\r\n\r\n"
    ));
    let answer = get(&server.url(), &Limits::default()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
    assert!(trap.is_untouched());
}

#[tokio::test]
async fn what_is_not_http_is_told_so() {
    for garbage in ["220 mail.example.org ESMTP\r\n", "HTTP/9.9 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n"]
    {
        let server = RawServer::answering(garbage);
        let error = get(&server.url(), &Limits::default()).await.unwrap_err();
        assert!(matches!(error, HttpError::Garbled { .. }), "{garbage}: {error}");
        assert!(!error.to_string().contains("ESMTP"), "{error}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_lost() {
    let server = RawServer::answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
    let error = get(&server.url(), &Limits::default()).await.unwrap_err();
    assert!(matches!(error, HttpError::Lost { .. }), "{error}");
}

#[tokio::test]
async fn a_connection_is_kept_and_a_safe_request_is_repeated_if_its_server_just_closed_it() {
    // The second request is read and the connection closed without an answer, as a server does at its idle limit.
    let server = RawServer::start(|number, stream| {
        number != 1 && stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok()
    });
    let client = HttpClient::new();
    let request = || Request::get(server.url()).body(Bytes::new()).unwrap();
    for _ in 0..2 {
        assert_eq!(client.send(request(), &Limits::default()).await.unwrap().body().as_ref(), b"ok");
    }
    assert_eq!(server.heads().len(), 3);
}

#[tokio::test]
async fn a_post_is_never_repeated() {
    let server = RawServer::start(|_, _| false);
    let request = Request::post(server.url()).body(Bytes::from_static(b"batch")).unwrap();
    let error = HttpClient::new().send(request, &Limits::default()).await.unwrap_err();
    assert!(matches!(error, HttpError::Lost { .. }), "{error}");
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn an_address_that_cannot_be_asked_is_refused() {
    for url in ["/relative", "ftp://host/", "unix:/run/socket", "http://host:80800/", "https://host:o80/"] {
        let Ok(uri) = url.parse::<Uri>() else { continue };
        let request = Request::get(uri).body(Bytes::new()).unwrap();
        assert_eq!(HttpClient::new().send(request, &Limits::default()).await.unwrap_err(), HttpError::Url, "{url}");
    }
}

#[test]
fn half_of_a_longer_time_may_pass_until_there_is_a_connection() {
    for (total, connect) in [(1, 2), (5, 2), (10, 5), (60, 30)] {
        let limits = Limits::default().within(Duration::from_secs(total));
        assert_eq!((limits.total.as_secs(), limits.connect.as_secs()), (total, connect));
    }
}

#[test]
fn a_host_is_shown_with_its_port_and_without_its_user() {
    for (uri, host) in [
        ("http://a/b?c", Some("a:80")),
        ("https://u:p@a.example/", Some("a.example:443")),
        ("http://[::1]:8090/", Some("[::1]:8090")),
        ("http://u:p@[::1]/", Some("[::1]:80")),
        ("http://a:/", Some("a:80")),
        ("http://a:65536/", None),
        ("http://u:p@a:80x/", None),
        ("ftp://a/", None),
        ("/a", None),
    ] {
        assert_eq!(host_of(&uri.parse().unwrap()).as_deref(), host, "{uri}");
    }
}
