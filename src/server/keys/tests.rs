//! Who is let in by which headers, and when no longer.

mod timing;

use std::time::Duration;

use super::*;
use crate::catalog::FigureId;
use crate::clock::Moment;

const KEY: &str = "k-5f3c9a";

fn is_accepted(name: &'static str, value: &str) -> bool {
    let keys = [
        ApiKey::from_secret("ops", &SecretString::from(format!("{KEY}\n"))),
        ApiKey::from_secret("empty", &SecretString::from(" ")),
    ];
    let mut headers = HeaderMap::new();
    headers.insert(name, value.parse().unwrap());
    is_granted(&keys, &headers)
}

fn is_granted(keys: &[ApiKey], headers: &HeaderMap) -> bool {
    matches!(judge(keys, headers, Scope::Telemetry, Wall::default()), Verdict::Granted(_))
}

fn hex(key: &str) -> String {
    crate::secret::key::hex(&digest(key.as_bytes()))
}

#[test]
fn a_key_is_taken_bare_as_bearer_and_by_its_own_header() {
    assert!(is_accepted("authorization", KEY));
    assert!(is_accepted("authorization", "Bearer k-5f3c9a"));
    assert!(is_accepted("authorization", "bEARER   k-5f3c9a"));
    assert!(is_accepted("x-api-key", KEY));
}

#[test]
fn nothing_else_opens() {
    for value in ["", " ", "k-5f3c9", "k-5f3c9aa", "K-5F3C9A", "Bearer", "Bearer ", "Basic k-5f3c9a", "Bearer x"] {
        assert!(!is_accepted("authorization", value), "{value:?}");
        assert!(!is_accepted("x-api-key", value), "{value:?}");
    }
    assert!(!is_accepted("x-api-key", "Bearer k-5f3c9a"));
    assert!(!is_accepted("cookie", KEY));
    assert!(!is_granted(&[], &HeaderMap::from_iter([(AUTHORIZATION, KEY.parse().unwrap())])));
}

#[test]
fn a_digest_is_no_key() {
    let digest = hex(KEY);
    let keys = [ApiKey::from_sha256_hex("ops", &digest).unwrap()];
    for value in [digest.clone(), format!("sha256:{digest}"), format!("Bearer {digest}")] {
        assert!(!is_granted(&keys, &HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])), "{value}");
    }
    assert!(is_granted(&keys, &HeaderMap::from_iter([(AUTHORIZATION, KEY.parse().unwrap())])));
}

#[test]
fn a_key_that_looks_like_a_scheme_works_as_documented() {
    let keys = [ApiKey::from_secret("odd", &SecretString::from("Bearer of bad news"))];
    let headers = HeaderMap::from_iter([(AUTHORIZATION, "Bearer of bad news".parse().unwrap())]);
    assert!(is_granted(&keys, &headers));
}

#[test]
fn a_digest_reads_in_either_case_with_or_without_its_prefix() {
    let key = ApiKey::from_secret("ops", &SecretString::from(KEY));
    let digest = hex(KEY);
    for text in [digest.clone(), digest.to_uppercase(), format!("sha256:{digest}"), format!(" {digest}\n")] {
        assert_eq!(ApiKey::from_sha256_hex("ops", &text), Ok(key.clone()));
    }
    let short = &digest[2..];
    for bad in ["", "sha256:", short, &format!("{short}zz"), &format!("{short}é"), &format!("md5:{digest}")] {
        let error = ApiKey::from_sha256_hex("ops", bad).unwrap_err().to_string();
        assert!(error.contains("\"ops\"") && error.contains("64 hexadecimal"), "{error}");
    }
}

#[test]
fn debug_shows_the_name_alone() {
    let key = ApiKey::from_secret("ops", &SecretString::from(KEY));
    assert_eq!(format!("{key:?}"), "ApiKey { name: \"ops\", .. }");
}
#[test]
fn what_is_not_granted_is_told_apart_and_the_good_one_of_two_wins() {
    let keys = [
        ApiKey::from_secret("old", &SecretString::from("same")).expiring(Some(Wall::from_secs(100))),
        ApiKey::from_secret("page", &SecretString::from("page")).with_scopes(&[Scope::Metrics]),
        ApiKey::from_secret("both", &SecretString::from("both")).with_scopes(&Scope::ALL),
        ApiKey::from_secret("gone", &SecretString::from("gone")).expiring(Some(Wall::from_secs(50))),
        ApiKey::from_secret("new", &SecretString::from("same")),
    ];
    let of = |shown: &str, scope, secs| {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, shown.parse().unwrap())]);
        judge(&keys, &headers, scope, Wall::from_secs(secs))
    };
    use Scope::{Metrics, Telemetry};
    for (shown, scope, secs, expected) in [
        ("same", Telemetry, 99, Verdict::Granted(4)),
        ("same", Telemetry, 100, Verdict::Granted(4)),
        ("same", Metrics, 99, Verdict::OutOfScope),
        ("page", Metrics, 0, Verdict::Granted(1)),
        ("page", Telemetry, 0, Verdict::OutOfScope),
        ("both", Metrics, 0, Verdict::Granted(2)),
        ("both", Telemetry, 0, Verdict::Granted(2)),
        ("gone", Telemetry, 49, Verdict::Granted(3)),
        ("gone", Telemetry, 50, Verdict::Expired),
        ("gone", Metrics, 50, Verdict::Expired),
        ("none", Telemetry, 0, Verdict::Wrong),
        ("", Telemetry, 0, Verdict::Missing),
    ] {
        assert_eq!(of(shown, scope, secs), expected, "{shown} {scope:?} {secs}");
    }
}

#[test]
fn a_day_ends_at_its_first_instant_and_a_time_at_itself() {
    let of = |text: &str| Expiry::try_from(text.to_owned()).map(|expiry| expiry.0.to_rfc3339());
    assert_eq!(of("2027-01-31"), Ok("2027-01-31T00:00:00Z".to_owned()));
    assert_eq!(of("2027-01-31T18:00:00+02:00"), Ok("2027-01-31T16:00:00Z".to_owned()));
    for bad in ["", "2027-02-30", "31.01.2027", "tomorrow", "2027-01-31T18:00:00", "1960-01-01", "ä027-01-3"] {
        assert!(of(bad).unwrap_err().contains("write 2027-01-31"), "{bad}");
    }
}

#[test]
fn an_exchange_keeps_the_last_use_of_what_goes_on_and_forgets_what_went() {
    let at = |secs| Moment { wall: Wall::from_secs(secs), mono: Duration::ZERO };
    let key = |name: &str, secret: &str| ApiKey::from_secret(name, &SecretString::from(secret));
    let shown = |secret: &str| HeaderMap::from_iter([(AUTHORIZATION, secret.parse().unwrap())]);
    let keys = Keys::new(vec![key("ops", "old"), key("ci", "ci")]);
    let used = |keys: &Keys| {
        let readings = keys.readings().into_iter().filter(|reading| reading.figure == FigureId::ApiKeyLastUsed);
        readings.map(|reading| (reading.attributes[0].1.clone(), reading.value.unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(used(&keys), []);
    for secret in ["old", "ci"] {
        assert_eq!(keys.admit(&shown(secret), Scope::Telemetry, None, at(7)), Ok(()));
    }
    keys.replace(vec![key("ops", "new"), key("guest", "guest")]);
    assert_eq!(used(&keys), [("ops".to_owned(), at(7).wall.0)]);
    assert_eq!(keys.admit(&shown("old"), Scope::Telemetry, None, at(8)), Err(Refusal::Unauthorized));
    assert_eq!(keys.admit(&shown("new"), Scope::Telemetry, None, at(9)), Ok(()));
    assert_eq!(used(&keys), [("ops".to_owned(), at(9).wall.0)]);
    assert!(!format!("{keys:?}").contains("new"), "{keys:?}");
}
