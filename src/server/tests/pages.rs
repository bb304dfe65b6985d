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
async fn i22_the_page_for_people_is_self_contained_and_under_a_strict_policy() {
    let page = Bridge::new().get("/", &[]).await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    for rest in ["connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(rest), "{rest} is not in {policy}");
    }
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert!(page.text().contains("href=\"./metrics\""));
    assert!(page.text().contains("shop &lt;1&gt;") && !page.text().contains("shop <1>"));
}

#[tokio::test]
async fn the_page_for_people_is_rendered_once_a_snapshot_and_compressed_on_request() {
    let bridge = Bridge::new().filled();
    let (first, again) = (bridge.get("/", &[]).await, bridge.get("/", &[]).await);
    assert_eq!(first.body.as_ptr(), again.body.as_ptr());
    assert!(
        first.text().contains("data-figure=\"store.skus\" class=\"value\" data-raw=\"375000\""),
        "{}",
        first.text()
    );
    let zipped = bridge.get("/", &[("accept-encoding", "gzip")]).await;
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&zipped.body[..]).read_to_end(&mut text).unwrap();
    assert_eq!((zipped.header("content-encoding"), text), (Some("gzip"), first.body.to_vec()));
    bridge.clock.advance(Duration::from_secs(1));
    assert!(bridge.get("/", &[]).await.text().contains("As of <time id=\"as-of\" datetime=\"2024-01-15T10:30:01Z\">"));
    let page = bridge.get("/metrics", &[]).await;
    assert!(page.text().contains("\nlinkit_bridge_output_renders_total{format=\"html\",output=\"html\"} 1\n"));
}

#[tokio::test]
async fn nothing_of_a_request_comes_back_on_the_page() {
    let bridge = Bridge::new().filled();
    let plain = bridge.get("/", &[]).await;
    let asked = bridge.get("/?q=%3Cscript%3E&x=marker", &[("referer", "marker"), ("user-agent", "marker")]).await;
    assert_eq!(asked.body, plain.body);
}

#[tokio::test]
async fn the_scrape_page_moves_where_it_is_told() {
    let moved = Bridge::with(|config| config.telemetry_path = "/probe/metrics".to_owned());
    assert_eq!(moved.get("/probe/metrics", &[]).await.status, StatusCode::OK);
    assert_eq!(moved.get("/metrics", &[]).await.status, StatusCode::NOT_FOUND);
    assert!(moved.get("/", &[]).await.text().contains("href=\"./probe/metrics\""));
    let root = Bridge::with(|config| config.telemetry_path = "/".to_owned());
    assert!(root.get("/", &[]).await.header("content-type").is_some_and(|value| value.starts_with("text/plain")));
}

#[tokio::test]
async fn a1_every_answer_has_one_type_of_its_own_and_none_an_etag() {
    let bridge = Bridge::new().filled();
    let paths =
        ["/", "/metrics", "/metrics?collect[]=x", "/api/v1/telemetry", "/api/v1/ping", "/-/ready", "/no", "/api/no"];
    for path in paths {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::OPTIONS] {
            for headers in [&[KEY][..], &[], &[("accept", "image/png, */*;q=0"), ("accept-encoding", "br, *;q=0")]] {
                let answer = bridge.request(method.clone(), path, headers).await;
                let is_told = answer.header("content-type").is_some_and(|kind| kind.contains('/'));
                assert!(is_told && answer.header("etag").is_none(), "{method} {path}: {:?}", answer.headers);
                let allow = (answer.status == StatusCode::METHOD_NOT_ALLOWED).then_some("GET,HEAD");
                assert_eq!(answer.header("allow"), allow, "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn a10_whatever_is_asked_of_the_scrape_page_its_answer_says_what_it_depends_on_and_head_says_the_same() {
    let bridge = Bridge::new().filled();
    for path in ["/metrics", "/metrics?collect[]=store", "/metrics?collect[]=%0d%0aset-cookie:a=b"] {
        for accept in ["", "*/*", "application/openmetrics-text", "text/plain;version=1.0.0", "\"", "a/b;q=0"] {
            for encoding in ["", "gzip", "zstd", "gzip;q=0", "identity;q=0, *;q=0"] {
                let headers = [("accept", accept), ("accept-encoding", encoding)];
                let get = bridge.get(path, &headers).await;
                assert_eq!(get.header("vary"), Some("Accept, Accept-Encoding"), "{path} {headers:?}");
                let head = bridge.request(Method::HEAD, path, &headers).await;
                assert_eq!((head.status, &head.headers, head.body.len()), (get.status, &get.headers, 0), "{path}");
                assert!(!format!("{:?}", get.headers).contains("cookie") && !get.body.ends_with(b"a=b\n"), "{path}");
            }
        }
    }
}

#[tokio::test]
async fn a10_bytes_outside_ascii_void_their_own_wish_alone() {
    let bridge = Bridge::new().filled();
    for (accept, expected) in [
        (&b"application/openmetrics-text;version=1.0.0;note=\"\xff\xc3\xa9\""[..], "application/openmetrics-text"),
        (b"text/\xff, application/openmetrics-text;q=0.1", "application/openmetrics-text"),
        (b"\xff\xfe", "text/plain; version=0.0.4"),
    ] {
        let request = Request::builder().uri("/metrics").header("accept", accept).body(Body::empty()).unwrap();
        let response = bridge.router.clone().oneshot(request).await.unwrap();
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert!(response.status() == StatusCode::OK && kind.starts_with(expected), "{accept:?}: {kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a13_scrapes_at_the_same_time_share_one_rendering_and_get_the_same() {
    let bridge = Bridge::new().filled();
    let start = Arc::new(tokio::sync::Barrier::new(50));
    let scrapes = (0..50).map(|_| {
        let (router, start) = (bridge.router.clone(), Arc::clone(&start));
        tokio::spawn(async move {
            start.wait().await;
            let request = Request::builder().uri("/metrics").body(Body::empty()).unwrap();
            router.oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes()
        })
    });
    let mut pages = Vec::new();
    for scrape in scrapes.collect::<Vec<_>>() {
        pages.push(scrape.await.unwrap());
    }
    assert!(!pages[0].is_empty() && pages.iter().all(|page| page.as_ptr() == pages[0].as_ptr()));
    bridge.clock.advance(Duration::from_secs(1));
    let page = bridge.get("/metrics", &[]).await;
    let renders = "\nlinkit_bridge_output_renders_total{format=\"text-0.0.4\",output=\"prometheus\"} 1\n";
    assert!(page.text().contains(renders), "{}", page.text());
    // A figure that did not change is not dropped for it.
    assert!(page.text().contains("linkit_store_records{collection=\"orders\"} 50000\n"));
}

/// A collector of an embedding program that panics.
struct Panics(Vec<prometheus::core::Desc>);

impl prometheus::core::Collector for Panics {
    fn desc(&self) -> Vec<&prometheus::core::Desc> {
        self.0.iter().collect()
    }

    fn collect(&self) -> Vec<prometheus::proto::MetricFamily> {
        panic!("planted")
    }
}

#[tokio::test]
async fn i18_a_joined_collector_that_panics_takes_only_the_joined_families_with_it() {
    let joined = prometheus::Registry::new();
    let desc =
        prometheus::core::Desc::new("app".to_owned(), "App.".to_owned(), Vec::new(), Default::default()).unwrap();
    joined.register(Box::new(Panics(vec![desc]))).unwrap();
    let bridge = Bridge::joining(joined).filled();
    for _ in 0..2 {
        let page = bridge.get("/metrics", &[]).await;
        assert!(page.text().contains("linkit_store_records"), "{}", page.text());
        bridge.clock.advance(Duration::from_secs(1));
    }
}
