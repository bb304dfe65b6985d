//! HTTP for the tests, through the bridge's own client.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use linkit_bridge::http_client::{HttpClient, Limits};

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.body))
    }
}

/// A request; `None` when nothing answers.
pub async fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Option<Answer> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Bytes::from(body.to_owned())).unwrap();
    let response = HttpClient::new().send(request, &Limits::default()).await.ok()?;
    let (parts, body) = response.into_parts();
    Some(Answer { status: parts.status, headers: parts.headers, body: String::from_utf8_lossy(&body).into_owned() })
}

pub async fn get(url: &str, headers: &[(&str, &str)]) -> Option<Answer> {
    request("GET", url, headers, "").await
}

/// A request that must be answered with 200.
pub async fn get_ok(url: &str, headers: &[(&str, &str)]) -> Answer {
    let answer = get(url, headers).await.unwrap_or_else(|| panic!("{url} does not answer"));
    assert_eq!(answer.status, StatusCode::OK, "{url}: {}", answer.body);
    answer
}
