//! The real transport against a real socket; the clock runs here, and no assertion waits for it.

use std::io::Write;
use std::net::TcpListener;

use super::*;
use crate::clock::SystemClock;
use crate::http_client::testing::{RawServer, Trap, ok};

fn delivery() -> Delivery {
    let limits = Limits { body_bytes_max: 1000, ..DeliveryConfig::default().limits };
    let config = DeliveryConfig { limits, ..DeliveryConfig::default() };
    Delivery::new(config, HttpClient::new(), Arc::new(SystemClock::new()))
}

fn put(delivery: &Delivery, server: &RawServer) {
    let headers = [("content-type", "application/x-protobuf"), ("content-length", "999"), ("x-key", "canary")]
        .into_iter()
        .map(|(name, value)| (::http::HeaderName::from_static(name), value.parse().unwrap()))
        .collect();
    let destination = Destination { uri: format!("{}/v1/metrics", server.url()).parse().unwrap(), headers };
    let accepted = SystemClock::new().now();
    delivery.put(destination, Batch { body: Bytes::from_static(b"\x1f\x8bbody"), points: 4, accepted });
}

#[tokio::test]
async fn a_batch_is_posted_as_it_is_with_the_destinations_headers() {
    let server = RawServer::answering(ok(""));
    let delivery = delivery();
    put(&delivery, &server);
    delivery.run(std::future::ready(())).await;
    assert_eq!(delivery.stats().delivered.batches, 1);
    let head = server.heads().remove(0);
    assert!(head.starts_with("POST /v1/metrics HTTP/1.1\r\n"), "{head}");
    for header in
        ["content-type: application/x-protobuf", "content-encoding: gzip", "content-length: 6", "x-key: canary"]
    {
        assert_eq!(head.matches(header).count(), 1, "{header}: {head}");
    }
    assert!(!head.contains("999"), "{head}");
}

#[tokio::test]
async fn an_endpoint_may_be_an_address_of_ipv6() {
    // Not every machine that tests has it.
    let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
    let server = RawServer::on(listener, |_, _, stream| stream.write_all(ok("").as_bytes()).is_err());
    let delivery = delivery();
    put(&delivery, &server);
    delivery.run(std::future::ready(())).await;
    assert_eq!(delivery.stats().delivered.batches, 1);
    let head = server.heads().remove(0);
    assert!(head.contains(&format!("host: [::1]:{}\r\n", server.address.port())), "{head}");
}

#[tokio::test]
async fn an_endless_answer_is_final_and_a_redirect_is_not_followed() {
    let endless = RawServer::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        while stream.write_all(&[0; 512]).is_ok() {}
        false
    });
    let trap = Trap::set();
    let location = trap.address();
    let redirect = RawServer::answering(format!(
        "HTTP/1.1 308 Permanent Redirect\r\nLocation: http://{location}/\r\nContent-Length: 0\r\n\r\n"
    ));
    for server in [endless, redirect] {
        let delivery = delivery();
        put(&delivery, &server);
        delivery.run(std::future::ready(())).await;
        let stats = delivery.stats();
        assert_eq!((stats.dropped(DropReason::Rejected).points, stats.attempts(Outcome::Rejected)), (4, 1));
        assert_eq!(server.heads().len(), 1);
    }
    assert!(trap.is_untouched());
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_keeps_the_batch() {
    let server = RawServer::start(|number, stream| number > 0 && stream.write_all(ok("").as_bytes()).is_ok());
    let delivery = delivery();
    put(&delivery, &server);
    delivery.run(std::future::ready(())).await;
    let stats = delivery.stats();
    assert_eq!((stats.queued.points, stats.attempts(Outcome::Unanswered)), (4, 1));
    delivery.run(std::future::ready(())).await;
    assert_eq!(delivery.stats().delivered.points, 4);
}
