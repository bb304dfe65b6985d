//! Negotiation row by row, in the manner of the tests of prometheus/common's expfmt.

use proptest::prelude::*;

use super::*;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT_ESCAPED: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
const TEXT_100: &str = "text/plain; version=1.0.0; charset=utf-8; escaping=underscores";
const TEXT_100_UTF8: &str = "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
const OM_001: &str = "application/openmetrics-text; version=0.0.1; charset=utf-8";
const OM: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const OM_ESCAPED: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores";
const OM_UTF8: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
const PROTO: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
const PROTO_UTF8: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=allow-utf-8";

const PROMETHEUS_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
    application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
    text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
const PROMETHEUS_3_NATIVE: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
    encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
    application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
    text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
const PROMETHEUS_2: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
    q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

fn answer(lines: &[&str]) -> String {
    negotiate(lines.iter().copied()).content_type()
}

#[test]
fn a2_a9_who_does_not_choose_gets_text() {
    assert_eq!(answer(&[]), TEXT);
    for accept in ["", " ", "*/*", "*/*;q=0.1", BROWSER, "text/*", "text/plain", "text/*, application/*", "*/*, */*"] {
        assert_eq!(answer(&[accept]), TEXT, "{accept}");
    }
}

#[test]
fn a5_prometheus_itself_gets_what_it_likes_best() {
    for (accept, expected) in [(PROMETHEUS_3, OM_UTF8), (PROMETHEUS_3_NATIVE, PROTO), (PROMETHEUS_2, OM)] {
        assert_eq!(answer(&[accept]), expected, "{accept}");
    }
}

#[test]
fn a3_the_highest_q_wins_and_0_excludes() {
    for (accept, expected) in [
        ("application/openmetrics-text;version=1.0.0", OM),
        ("application/openmetrics-text", OM),
        ("application/*", OM),
        ("application/openmetrics-text;q=0.5, text/plain;q=0.4", OM),
        ("application/openmetrics-text;q=0.4, text/plain;q=0.5", TEXT),
        ("application/openmetrics-text;q=0.001, text/plain;q=0", OM),
        // More places than the RFC allows still tell one from the other.
        ("application/openmetrics-text;q=0.66667, text/plain;q=0.66666", OM),
        // Equal wishes: the one named first, but a type named outright before a wildcard.
        ("application/openmetrics-text, text/plain", OM),
        ("text/plain, application/openmetrics-text;version=1.0.0", TEXT),
        ("*/*, application/openmetrics-text", OM),
        ("text/*, application/openmetrics-text", OM),
        // The most exact range decides over a format.
        ("text/plain;q=0, */*", OM),
        ("*/*, text/plain;q=0", OM),
        ("text/*;q=0, */*;q=0.1", OM),
        ("text/plain;version=0.0.4;q=0, text/plain;q=0.9, application/openmetrics-text;q=0.1", OM),
        ("text/plain;version=0.0.4;q=0.1, text/plain;q=0.9, application/openmetrics-text;q=0.5", OM),
        ("application/openmetrics-text;q=0, */*;q=0.1", TEXT),
        ("*/*;q=0, application/openmetrics-text;q=0.1", OM),
        // Nothing acceptable is answered with text, never with 406.
        ("*/*;q=0", TEXT),
        ("text/plain;q=0", TEXT),
        ("text/plain;q=0, application/openmetrics-text;q=0.000", TEXT),
        ("text/html", TEXT),
        ("image/png, application/json;q=0.9", TEXT),
    ] {
        assert_eq!(answer(&[accept]), expected, "{accept}");
    }
}

#[test]
fn a4_d5_other_versions_and_types_are_not_acceptable() {
    for (accept, expected) in [
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("application/openmetrics-text;version=0.0.4", TEXT),
        ("application/openmetrics-text;version=1.0", TEXT),
        ("application/openmetrics-text;version=\"\"", TEXT),
        ("application/openmetrics-text;version=0.0.1", OM_001),
        ("application/openmetrics-text;version=0.0.1, application/openmetrics-text;version=1.0.0;q=0.9", OM_001),
        ("text/plain;version=1.0.0", TEXT_100),
        ("text/plain;version=1.0.0;q=0.5, text/plain;version=0.0.4;q=0.4", TEXT_100),
        ("text/plain;version=\"1.0.0\";escaping=allow-utf-8", TEXT_100_UTF8),
        (PROTOBUF, PROTO),
        ("Application/Vnd.Google.Protobuf; Encoding=Delimited; Proto=\"io.prometheus.client.MetricFamily\"", PROTO),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily", TEXT),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text", TEXT),
        ("application/vnd.google.protobuf;proto=other;encoding=delimited", TEXT),
        ("application/openmetrics-text;version=2.0.0, application/openmetrics-text;version=1.0.0;q=0.5", OM),
        ("application/openmetrics-text;version=2.0.0, text/plain;q=0.1", TEXT),
        ("text/plain;version=9, application/openmetrics-text;version=1.0.0;q=0.1", OM),
        ("*/*;version=1.0.0", OM),
        ("application/*;version=0.0.1", OM_001),
        ("application/vnd.google.protobuf", TEXT),
        ("application/openmetrics-textual", TEXT),
        ("application/openmetrics-text+zip", TEXT),
    ] {
        assert_eq!(answer(&[accept]), expected, "{accept}");
    }
    assert_eq!(answer(&[PROTOBUF, "application/openmetrics-text;version=1.0.0;q=0.1"]), PROTO);
    assert_eq!(answer(&[&format!("{PROTOBUF};q=0"), "application/*;q=0.1"]), OM);
}

#[test]
fn a6_a7_escaping_is_said_to_those_who_name_a_scheme_and_never_reflected() {
    for (accept, expected) in [
        ("text/plain;version=0.0.4;escaping=underscores", TEXT_ESCAPED),
        // The older formats cannot hold other names: the answer says what it does instead.
        ("text/plain;version=0.0.4; escaping=allow-utf-8;", TEXT_ESCAPED),
        ("text/plain;version=0.0.4; escaping=values;", "text/plain; version=0.0.4; charset=utf-8; escaping=values"),
        ("text/plain;escaping=dots", "text/plain; version=0.0.4; charset=utf-8; escaping=dots"),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=allow-utf-8",
            PROTO_UTF8,
        ),
        ("application/openmetrics-text;version=1.0.0;escaping=underscores", OM_ESCAPED),
        ("application/openmetrics-text;ESCAPING=\"Allow-UTF-8\"", OM_UTF8),
        ("application/openmetrics-text;escaping=allow-utf8", OM_UTF8),
        ("*/*;escaping=underscores", TEXT_ESCAPED),
        ("text/plain;escaping=bananas", TEXT),
        ("text/plain;escaping=", TEXT),
        ("text/plain;escaping=\"underscores\r\nSet-Cookie: a=b\"", TEXT),
        // Only the range that decides counts.
        ("application/openmetrics-text;version=1.0.0, text/plain;escaping=underscores;q=0.5", OM),
        ("text/plain;version=1.0.0;escaping=allow-utf-8", TEXT_100_UTF8),
        ("text/plain;version=1.0.0;escaping=bananas", TEXT_100),
    ] {
        assert_eq!(answer(&[accept]), expected, "{accept}");
    }
}

#[test]
fn a10_case_quotes_spaces_and_several_lines() {
    for (accept, expected) in [
        ("Application/OpenMetrics-Text; Version=1.0.0", OM),
        ("application/openmetrics-text;version=\"1.0.0\";q=\"0.5\"", OM),
        ("application/openmetrics-text;version=\"1\\.0.0\"", OM),
        ("application/openmetrics-text ; version = 1.0.0 ; Q=0.5 , text/plain;q=0.2", OM),
        ("application/openmetrics-text;q=0.5;version=1.0.0", OM),
        ("application/openmetrics-text;charset=utf-8;version=1.0.0", OM),
        ("application/openmetrics-text;x=\"a,b;c\\\"d\";version=1.0.0", OM),
        ("text/plain;x=\"y, application/openmetrics-text\"", TEXT),
    ] {
        assert_eq!(answer(&[accept]), expected, "{accept}");
    }
    assert_eq!(answer(&["text/plain;q=0.2", "application/openmetrics-text;q=0.3"]), OM);
    assert_eq!(answer(&["text/html", "", "text/plain, application/openmetrics-text"]), TEXT);
}

#[test]
fn a10_absurd_lists_are_read_to_their_end() {
    let wish = "application/openmetrics-text;q=0.5";
    for noise in ["text/html;q=0.9", "text/plain;q=0.1", "*/*;q=0.2", ";;;", "\t", "text/plain;q=x"] {
        let many = format!("{}{wish}", format!("{noise},").repeat(10_000));
        assert_eq!(answer(&[&many]), OM, "{noise}");
        let mut lines = vec![noise; 10_000];
        lines.push(wish);
        assert_eq!(answer(&lines), OM, "{noise}");
    }
    let parameters = format!("application/openmetrics-text{};version=1.0.0", ";x=y".repeat(10_000));
    assert_eq!(answer(&[&parameters]), OM);
    for accept in [
        // Of a parameter that is there twice the first counts, of a weight the last.
        "application/openmetrics-text;version=1.0.0;version=0.0.1",
        "application/openmetrics-text;q=0;q=0.7, text/plain;q=0.5",
        "text/plain;q=0.5,\tapplication/openmetrics-text\t;\tversion=1.0.0\t;\tq=0.6",
        "application/openmetrics-text;note=\"\u{fffd}é\";version=1.0.0",
    ] {
        assert_eq!(answer(&[accept]), OM, "{accept}");
    }
}

#[test]
fn garbage_is_ignored() {
    for garbage in [
        ",,;;",
        "/",
        "text",
        "*",
        "*/plain",
        "text/",
        "/plain",
        "text//plain",
        "text/pl ain",
        "\"text/plain\"",
        "text/plain;q=abc",
        "text/plain;q=",
        "text/plain;q=2",
        "text/plain;q=-1",
        "text/plain;q=NaN",
        "text/plain;q=1e0",
        "text/plain;q=\"0.1",
        "text/plain;q=0.1\"x",
        "текст/plain",
        "\u{0}\u{1}",
    ] {
        assert_eq!(answer(&[garbage]), TEXT, "{garbage}");
        let with_a_wish = format!("application/openmetrics-text;q=0.1,{garbage}");
        assert_eq!(answer(&[&with_a_wish]), OM, "{garbage}");
    }
    // A parameter that is none does not void its range.
    for accept in ["application/openmetrics-text;;version", "application/openmetrics-text;=1;v w=2;version=1.0.0"] {
        assert_eq!(answer(&[accept]), OM, "{accept}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_one_of_ours_is_answered(
        lines in proptest::collection::vec("(?s:.{0,40}|[a-z*/;,=\"\\\\ q.0-9]{0,60})", 0..4),
    ) {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let answers = Syntax::ALL.iter().flat_map(|syntax| {
            let schemes = Escaping::ALL.into_iter().map(Some).chain([None]);
            schemes.map(|escaping| Format::new(*syntax, escaping).content_type())
        });
        prop_assert!(answers.into_iter().any(|known| known == answer(&lines)));
    }

    #[test]
    fn the_order_of_ranges_with_different_q_does_not_matter(seed: u64) {
        let mut ranges: Vec<_> = PROMETHEUS_3.split(',').collect();
        for at in (1..ranges.len()).rev() {
            ranges.swap(at, (seed.rotate_left(at as u32 * 8) % (at as u64 + 1)) as usize);
        }
        prop_assert_eq!(answer(&ranges), OM_UTF8);
    }
}
