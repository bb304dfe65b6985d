//! The scrape page and the page for people, and what serving them leaves in the figures.

use std::io::Read as _;

use super::*;

#[tokio::test]
async fn the_scrape_page_is_negotiated_and_compressed_on_request() {
    let bridge = Bridge::new().filled();
    let plain = bridge.get("/metrics", &[]).await;
    assert!(plain.text().contains("linkit_store_records{collection=\"orders\"} 50000\n"));
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(plain.header("vary"), Some("Accept, Accept-Encoding"));
    assert_eq!(plain.header("content-encoding"), None);
    let open = bridge.get("/metrics", &[("accept", "application/openmetrics-text")]).await;
    assert!(open.header("content-type").is_some_and(|value| value.starts_with("application/openmetrics-text")));
    let gzip = bridge.get("/metrics", &[("accept-encoding", "deflate, gzip;q=0.8")]).await;
    assert_eq!(gzip.header("content-encoding"), Some("gzip"));
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&gzip.body[..]).read_to_end(&mut text).unwrap();
    assert_eq!(text, plain.body);
    let refused = bridge.get("/metrics", &[("accept-encoding", "gzip;q=0")]).await;
    assert_eq!(refused.header("content-encoding"), None);
}

#[tokio::test]
async fn every_format_is_served_with_one_type_of_its_own() {
    let bridge = Bridge::new().filled();
    for (accept, expected) in [
        (
            "text/plain;version=1.0.0;escaping=allow-utf-8",
            "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
        ),
        ("application/openmetrics-text;version=0.0.1", "application/openmetrics-text; version=0.0.1; charset=utf-8"),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,*/*;q=0.1",
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
        ),
        ("text/html;escaping=\"x\"", "text/plain; version=0.0.4; charset=utf-8"),
    ] {
        let answer = bridge.get("/metrics", &[("accept", accept)]).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, Some(expected)));
        let head = bridge.request(Method::HEAD, "/metrics", &[("accept", accept)]).await;
        assert_eq!((head.header("content-type"), head.body.len()), (Some(expected), 0));
    }
}

#[tokio::test]
async fn a_section_may_be_asked_for_by_name() {
    let bridge = Bridge::new().filled();
    for query in ["collect[]=store", "collect%5B%5D=store&collect[]=%73tore", "x=y&collect[]=store&z"] {
        let page = bridge.get(&format!("/metrics?{query}"), &[]).await;
        assert!(page.text().contains("\nlinkit_store_records{collection=\"orders\"} 50000\n"), "{}", page.text());
        assert!(!page.text().contains("linkit_staging") && !page.text().contains("linkit_bridge"), "{}", page.text());
    }
    for query in ["collect[]=%3Cb%3E", "collect[]=", "collect[]=store&collect[]=stoer"] {
        let refused = bridge.get(&format!("/metrics?{query}"), &[]).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert_eq!(refused.text(), "collect[]: no such section; known are runtime, store, staging, bridge, other\n");
        assert_eq!(refused.header("content-type"), Some("text/plain; charset=utf-8"));
    }
    assert_eq!(bridge.get("/metrics?other=1&&=", &[]).await.body, bridge.get("/metrics", &[]).await.body);
}

#[tokio::test]
async fn a12_no_timeout_of_a_scraper_changes_the_page() {
    let bridge = Bridge::new().filled();
    let page = bridge.get("/metrics", &[]).await;
    for timeout in ["10", "0.001", "0", "-1", "NaN", "", "soon", "1e309"] {
        let answer = bridge.get("/metrics", &[("x-prometheus-scrape-timeout-seconds", timeout)]).await;
        assert_eq!((answer.status, answer.body), (StatusCode::OK, page.body.clone()), "{timeout}");
    }
}

#[tokio::test]
async fn a_rendering_serves_until_something_is_published() {
    let bridge = Bridge::new().filled();
    for (path, headers) in
        [("/metrics", vec![]), ("/metrics", vec![("accept-encoding", "gzip")]), ("/api/v1/telemetry", vec![KEY])]
    {
        let first = bridge.get(path, &headers).await;
        let second = bridge.get(path, &headers).await;
        assert_eq!(first.body.as_ptr(), second.body.as_ptr(), "{path} was rendered twice");
        read(&bridge.registry, bridge.clock.now(), &[Section::Store]);
        let third = bridge.get(path, &headers).await;
        assert_ne!(first.body.as_ptr(), third.body.as_ptr(), "{path} was not rendered anew");
    }
}

#[tokio::test]
async fn requests_and_renderings_are_figures_of_the_bridge() {
    let bridge = Bridge::new().filled();
    let bytes = bridge.get("/metrics", &[]).await.body.len();
    bridge.get("/metrics", &[]).await;
    bridge.get("/api/v1/telemetry", &[KEY]).await;
    bridge.get("/api/v1/telemetry", &[]).await;
    bridge.get("/no/such/path", &[]).await;
    bridge.request(Method::from_bytes(b"BREW").unwrap(), "/metrics", &[]).await;
    bridge.clock.advance(Duration::from_secs(1));
    let page = bridge.get("/metrics", &[]).await;
    let http = |labels| format!("linkit_bridge_http_request_duration_seconds_count{{{labels}}}");
    let output = |figure, labels| format!("linkit_bridge_output_{figure}_total{{{labels}}}");
    let text = "format=\"text-0.0.4\",output=\"prometheus\"";
    let json = "format=\"json\",output=\"telemetry_json\"";
    for (series, value) in [
        (http("code=\"200\",method=\"GET\",route=\"/metrics\""), 2),
        (http("code=\"401\",method=\"GET\",route=\"/api/v1/telemetry\""), 1),
        (http("code=\"404\",method=\"GET\",route=\"other\""), 1),
        (http("code=\"405\",method=\"other\",route=\"/metrics\""), 1),
        (output("renders", text), 1),
        (output("bytes", text), bytes),
        (output("renders", json), 1),
    ] {
        assert!(page.text().contains(&format!("\n{series} {value}\n")), "{series} {value} is not in\n{}", page.text());
    }
}

#[tokio::test]
async fn the_page_for_people_is_self_contained_and_under_a_strict_policy() {
    let page = Bridge::new().get("/", &[]).await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert!(page.text().contains("data-metrics=\"./metrics\""));
    assert!(page.text().contains("shop &lt;1&gt;") && !page.text().contains("{{"));
}

#[tokio::test]
async fn the_scrape_page_moves_where_it_is_told() {
    let moved = Bridge::with(|config| config.telemetry_path = "/probe/metrics".to_owned());
    assert_eq!(moved.get("/probe/metrics", &[]).await.status, StatusCode::OK);
    assert_eq!(moved.get("/metrics", &[]).await.status, StatusCode::NOT_FOUND);
    assert!(moved.get("/", &[]).await.text().contains("data-metrics=\"./probe/metrics\""));
    let root = Bridge::with(|config| config.telemetry_path = "/".to_owned());
    assert!(root.get("/", &[]).await.header("content-type").is_some_and(|value| value.starts_with("text/plain")));
}
