//! The page for people at `/`: one HTML file without anything from elsewhere, which reads the scrape page as everyone
//! does. It shows nothing a scrape would not.
//!
//! The file's only style and script are allowed by their digests, so that nothing injected can run.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};

use super::{App, ServerInfo, access, encoding};

const TEMPLATE: &str = include_str!("page.html");

/// The page, ready to be sent.
#[derive(Debug)]
pub(super) struct HomePage {
    body: encoding::Body,
    policy: HeaderValue,
}

impl HomePage {
    /// The page of a bridge whose scrape page is at `telemetry_path`.
    pub(super) fn new(info: &ServerInfo, telemetry_path: &str) -> Self {
        // Relative, so that the page also works behind a proxy that serves it under a path.
        let metrics = format!(".{telemetry_path}");
        let html = TEMPLATE
            .replace("{{service}}", &escape(&info.service))
            .replace("{{environment}}", &escape(&info.environment))
            .replace("{{bridge_version}}", env!("CARGO_PKG_VERSION"))
            .replace("{{metrics}}", &escape(&metrics));
        let policy = format!(
            "default-src 'none'; style-src {}; script-src {}; img-src data:; connect-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
            source(&html, "style"),
            source(&html, "script"),
        );
        // Digests are ASCII, so the alternative is never taken; it allows nothing.
        let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Self { body: encoding::Body::new(html), policy }
    }
}

/// `GET /`
pub(super) async fn home(State(app): State<App>, request: Request) -> Response {
    access::to_page(&app, &request, || page(&app, request.headers()))
}

fn page(app: &App, headers: &HeaderMap) -> Response {
    let (body, encoding) = app.home.body.for_client(headers);
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, app.home.policy.clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, encoding);
    }
    response
}

/// The policy's source for the page's one element `tag`: its digest.
fn source(html: &str, tag: &str) -> String {
    let text = html.split_once(&format!("<{tag}>")).and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
    text.map_or_else(
        || "'none'".to_owned(),
        |(text, _)| format!("'sha256-{}'", base64(&Sha256::digest(text.as_bytes()))),
    )
}

/// Base64 with padding (RFC 4648), for a digest.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = ALPHABET[(group >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// Text for elements and quoted attributes.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (text, expected) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }

    #[test]
    fn the_template_has_one_style_and_one_script_and_nothing_from_elsewhere() {
        for tag in ["<style>", "</style>", "<script>", "</script>"] {
            assert_eq!(TEMPLATE.matches(tag).count(), 1, "{tag}");
        }
        for foreign in ["http://", "https://", "<link rel=\"stylesheet", "@import", "url(", " style=\"", " onclick"] {
            let no_namespaces = TEMPLATE.replace("http://www.w3.org/", "");
            assert!(!no_namespaces.contains(foreign), "{foreign}");
        }
        let style_and_script = [source(TEMPLATE, "style"), source(TEMPLATE, "script")];
        assert!(style_and_script.iter().all(|source| source.starts_with("'sha256-")));
    }

    #[test]
    fn names_from_the_configuration_stay_text() {
        assert_eq!(escape(r#"<b a="x">&'"#), "&lt;b a=&quot;x&quot;&gt;&amp;&#39;");
    }
}
