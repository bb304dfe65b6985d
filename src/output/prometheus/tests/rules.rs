//! Rules that every page keeps, whatever stands on it, read line by line by a reader of its own
//! (prometheus/docs, exposition_formats.md; OpenMetrics 1.0).

use std::collections::BTreeSet;

use super::joining::embedded;
use super::*;
use crate::registry::NativeHistogram;

/// Families of all kinds with names and values of all kinds.
fn rich() -> Snapshot {
    let counted = |attributes: &[(&str, &str)], value| Point { start: Some(AT.0 + 5), ..point(attributes, value) };
    let native = NativeHistogram {
        schema: 0,
        zero_threshold: 1e-128,
        zero_count: 1,
        buckets: [(0, 1), (3, 2)].into(),
        negative: [(1, 1)].into(),
    };
    let spread = PointValue::Histogram(Box::new(Histogram {
        bounds: Vec::new(),
        counts: vec![5],
        sum: 1.5,
        count: 5,
        native: Some(native),
    }));
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 5e-324, 1e300].into_iter().enumerate();
    let values = values.map(|(at, value)| point(&[("at", &at.to_string())], float(value))).chain([
        point(&[("at", "}{ # \" 1 2\n\\")], int(i64::MAX.into())),
        point(&[("at.dot", "é\u{2028}"), ("at", "1e5")], int(-1)),
    ]);
    let families = vec![
        family("jobs.done", "{job}", Kind::Counter, vec![counted(&[("k", "v")], int(3)), counted(&[], float(0.5))]),
        family("größe.total", "", Kind::Counter, vec![counted(&[], int(0))]),
        Family { help: "Two\nlines \\ \" # EOF".to_owned(), ..family("heap", "By", Kind::Gauge, values.collect()) },
        family("took", "s", Kind::Histogram, vec![counted(&[("k", "v")], histogram(&[0.5, 1e6], &[1, 0, 2], 3.0))]),
        family("spread", "", Kind::Histogram, vec![point(&[], spread)]),
    ];
    let scope = Scope { name: "own \"scope\"".to_owned(), version: Some("1".to_owned()), ..Scope::default() };
    let scope = Arc::new(scope);
    let scoped = |family| Family { scope: Arc::clone(&scope), ..family };
    let resource = owned(&[("service.name", "linkit"), ("resource.only", "x")]);
    Snapshot { resource, ..snapshot(families.into_iter().map(scoped).collect()) }
}

/// The page in every text format, scheme and strategy.
fn pages() -> Vec<(Format, String)> {
    let strategies = [
        Translation::UnderscoreEscapingWithSuffixes,
        Translation::UnderscoreEscapingWithoutSuffixes,
        Translation::NoUtf8EscapingWithSuffixes,
        Translation::NoTranslation,
    ];
    let mut pages = Vec::new();
    for (syntax, escaping) in TEXTS.iter().flat_map(|syntax| Escaping::ALL.map(|escaping| (*syntax, escaping))) {
        let format = Format::new(syntax, Some(escaping));
        for translation in strategies {
            let config = PageConfig { translation, ..PageConfig::default() };
            let view = View { escaping: format.escaping, ..View::from(syntax) };
            pages.push((format, text_of(&rich(), &embedded(), &config, &view)));
        }
    }
    pages
}

/// A name at the start of a text, out of its quotes if it has them, and what follows.
fn name(text: &str) -> (&str, &str) {
    match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').unwrap(),
        None => text.split_at(text.find([' ', '{']).unwrap()),
    }
}

/// The name a sample line has and its labels as written.
fn sample(line: &str) -> (&str, &str, &str) {
    // No timestamp and no exemplar follows: the value is all that stands behind the labels.
    let (series, value) = line.rsplit_once(' ').unwrap();
    assert!(series.ends_with('}') || !series.contains([' ', '{']), "{line}");
    match series.strip_prefix('{') {
        Some(quoted) => (name(quoted).0, name(quoted).1, value),
        None => (series.split('{').next().unwrap(), series.split_once('{').map_or("", |(_, labels)| labels), value),
    }
}

/// The suffixes that samples of a type have.
fn suffixes(kind: &str, is_openmetrics: bool) -> &'static [&'static str] {
    match (kind, is_openmetrics) {
        ("counter", true) => &["_total", "_created"],
        ("info", _) => &["_info"],
        ("histogram", true) => &["_bucket", "_sum", "_count", "_created"],
        ("histogram", false) => &["_bucket", "_sum", "_count"],
        ("summary", _) => &["", "_sum", "_count"],
        _ => &[""],
    }
}

#[test]
fn b1_c1_pages_are_lines_that_end_and_openmetrics_ends_once() {
    for (format, page) in pages() {
        assert!(page.ends_with('\n') && !page.contains(['\r', '\u{feff}']), "{format:?}");
        assert!(page.lines().all(|line| !line.trim().is_empty()), "{format:?}");
        let ends = page.lines().filter(|line| *line == "# EOF").count();
        assert_eq!(
            (ends, page.ends_with("\n# EOF\n")),
            if format.syntax.is_openmetrics() { (1, true) } else { (0, false) }
        );
    }
}

#[test]
fn b2_b3_b8_c2_c3_c4_c8_each_family_is_described_once_before_all_its_samples() {
    for (format, page) in pages() {
        let is_openmetrics = format.syntax.is_openmetrics();
        let order: &[_] = if is_openmetrics { &["TYPE", "UNIT", "HELP"] } else { &["HELP", "TYPE"] };
        let (mut seen, mut family, mut kind, mut told) = (BTreeSet::new(), "", "", Vec::new());
        for line in page.lines().filter(|line| *line != "# EOF") {
            let Some(comment) = line.strip_prefix("# ") else {
                let (name, ..) = sample(line);
                let is_its = |suffix: &&str| name.strip_suffix(*suffix) == Some(family);
                assert!(suffixes(kind, is_openmetrics).iter().any(is_its), "{line} in {kind} {family}");
                told.push("sample");
                continue;
            };
            let (keyword, rest) = comment.split_once(' ').unwrap();
            let (named, text) = name(rest);
            if named != family || told.contains(&"sample") {
                assert!(seen.insert(named.to_owned()), "{named} twice: {format:?}");
                (family, kind) = (named, "");
                told.clear();
            }
            if keyword == "TYPE" {
                kind = text.trim();
            }
            assert!(order.contains(&keyword) && !told.contains(&keyword), "{line}");
            told.push(keyword);
            let at = |keyword: &&str| order.iter().position(|held| held == keyword);
            assert!(told.iter().map(at).is_sorted(), "{told:?}");
        }
        let known =
            ["counter", "gauge", "histogram", "summary", if is_openmetrics { "unknown" } else { "untyped" }, "info"];
        let kinds = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(|line| name(line).1.trim());
        let mut kinds = kinds.inspect(|kind| assert!(known.contains(kind), "{kind}"));
        assert_eq!(kinds.any(|kind| kind == "info"), is_openmetrics);
    }
}

#[test]
fn b5_c6_values_are_numbers_and_an_info_is_1() {
    for (format, page) in pages() {
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (name, _, value) = sample(line);
            assert!(
                ["NaN", "+Inf", "-Inf"].contains(&value) || value.parse::<f64>().is_ok_and(f64::is_finite),
                "{line}"
            );
            assert!(name != "target_info" || value == "1", "{format:?} {line}");
        }
    }
}

#[test]
fn b9_b10_names_outside_the_old_alphabet_stand_only_where_a_format_can_hold_them() {
    let is_old = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte));
    for (format, page) in pages() {
        let names = page.lines().filter(|line| *line != "# EOF").map(|line| match line.strip_prefix("# ") {
            Some(comment) => name(comment.split_once(' ').unwrap().1).0,
            None => sample(line).0,
        });
        let others = names.filter(|name| !is_old(name)).count();
        assert!(others == 0 || format.escaping == Escaping::AllowUtf8, "{format:?}");
        let holds_them = matches!(format.syntax, Syntax::Text100 | Syntax::OpenMetrics100);
        assert!(holds_them || (others == 0 && format.escaping != Escaping::AllowUtf8), "{format:?}");
    }
    assert!(pages().iter().any(|(_, page)| page.contains("{\"größe.total\",")));
}

#[test]
fn c11_f5_the_resource_comes_first_and_is_on_no_other_series() {
    for (format, page) in pages() {
        let first = page.lines().next().unwrap();
        assert!(first.contains("target"), "{format:?} {first}");
        assert_eq!(page.lines().filter(|line| line.contains("=\"linkit\"")).count(), 1, "{format:?}");
    }
}

#[test]
fn f4_of_a_scopes_attributes_and_a_points_the_values_are_joined_where_they_meet() {
    let scope = Scope {
        name: "shop".to_owned(),
        version: Some("2.1".to_owned()),
        schema_url: Some("urn:schema".to_owned()),
        attributes: owned(&[("tier.x", "gold"), ("tier_x", "silver"), ("name", "attribute")]),
    };
    let held = point(&[("otel_scope_tier_x", "own"), ("k", "v")], int(1));
    let family = Family { scope: Arc::new(scope), ..family("a", "", Kind::Gauge, vec![held]) };
    let page = text(&snapshot(vec![family]), &[], Syntax::Text004);
    let expected = "a{k=\"v\",otel_scope_name=\"attribute;shop\",otel_scope_schema_url=\"urn:schema\",\
        otel_scope_tier_x=\"gold;own;silver\",otel_scope_version=\"2.1\"} 1";
    assert_eq!(page.lines().last(), Some(expected));
}

#[test]
fn c10_i5_i6_i7_i11_i12_i13_i14_i16_i17_figures_have_names_of_their_own() {
    for figure in FIGURES {
        let name = figure.prometheus_name();
        assert!(name.starts_with("linkit_") && !name.contains([':', '%']) && !name.contains("__"), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'), "{name}");
        let kinds = [
            "gauge",
            "counter",
            "histogram",
            "summary",
            "percent",
            "scrape",
            "avg",
            "mean",
            "min",
            "max",
            "rate",
            "age",
        ];
        assert!(name.split('_').all(|part| !kinds.contains(&part)), "{name}");
        let taken = ["job", "instance", "region", "zone", "env", "service", "customer", "owner", "team", "type", "le"];
        assert!(figure.attributes.iter().all(|key| !taken.contains(key) && !key.starts_with('_')), "{name}");
    }
}
