//! What clients and operators choose: escaping schemes, translation strategies, switches, sections.

use prometheus::proto::{Metric, MetricType};

use super::joining::{joined, label};
use super::*;
use crate::registry::AttemptReport;

/// Families with names of all kinds.
fn utf8() -> Snapshot {
    let named = vec![
        family("größe.total", "", Kind::Counter, vec![Point { start: Some(AT.0), ..point(&[("k.1", "ä\"")], int(3)) }]),
        family("took.time", "s", Kind::Histogram, vec![point(&[], histogram(&[0.5], &[1, 2], 3.0))]),
        family("plain_name", "", Kind::Gauge, vec![point(&[("k", "v")], int(1)), point(&[("a:b", "v")], int(2))]),
    ];
    Snapshot { resource: owned(&[("service.name", "linkit")]), ..snapshot(named) }
}

fn untranslated(escaping: Escaping, syntax: Syntax) -> String {
    let config = PageConfig { translation: Translation::NoTranslation, ..PageConfig::default() };
    text_of(&utf8(), &[], &config, &View { escaping, ..syntax.into() })
}

#[test]
fn a8_names_are_quoted_where_the_client_allows_utf8() {
    insta::assert_snapshot!(untranslated(Escaping::AllowUtf8, Syntax::OpenMetrics100), @r#"
    # TYPE target info
    # HELP target Target metadata.
    target_info{"service.name"="linkit"} 1
    # TYPE "größe.total" unknown
    # HELP "größe.total" About größe.total. OTel name größe.total.
    {"größe.total","k.1"="ä\""} 3
    # TYPE plain_name gauge
    # HELP plain_name About plain_name. OTel name plain_name.
    plain_name{"a:b"="v"} 2
    plain_name{k="v"} 1
    # TYPE "took.time" histogram
    # HELP "took.time" About took.time. OTel name took.time.
    {"took.time_bucket",le="0.5"} 1
    {"took.time_bucket",le="+Inf"} 3
    {"took.time_sum"} 3.0
    {"took.time_count"} 3
    # EOF
    "#);
}

#[test]
fn each_scheme_has_its_names() {
    let samples = |escaping| {
        let page = untranslated(escaping, Syntax::Text004);
        page.lines().filter(|line| !line.starts_with('#')).map(ToOwned::to_owned).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(samples(Escaping::Underscores), @r#"
    target_info{service_name="linkit"} 1
    gr__e_total{k_1="ä\""} 3
    plain_name{a_b="v"} 2
    plain_name{k="v"} 1
    took_time_bucket{le="0.5"} 1
    took_time_bucket{le="+Inf"} 3
    took_time_sum 3.0
    took_time_count 3
    "#);
    insta::assert_snapshot!(samples(Escaping::Dots), @r#"
    target_info{service_dot_name="linkit"} 1
    gr____e_dot_total{k_dot_1="ä\""} 3
    plain_name{a__b="v"} 2
    plain_name{k="v"} 1
    took_dot_time_bucket{le="0.5"} 1
    took_dot_time_bucket{le="+Inf"} 3
    took_dot_time_sum 3.0
    took_dot_time_count 3
    "#);
    insta::assert_snapshot!(samples(Escaping::Values), @r#"
    target_info{U__service_2e_name="linkit"} 1
    U__gr_f6__df_e_2e_total{U__k_2e_1="ä\""} 3
    U__took_2e_time_bucket{le="0.5"} 1
    U__took_2e_time_bucket{le="+Inf"} 3
    U__took_2e_time_sum 3.0
    U__took_2e_time_count 3
    plain_name{U__a_3a_b="v"} 2
    plain_name{k="v"} 1
    "#);
}

#[test]
fn f8_each_strategy_is_a_page() {
    let names = |translation| {
        let config = PageConfig { translation, ..PageConfig::default() };
        let view = View { escaping: Escaping::AllowUtf8, ..Syntax::OpenMetrics100.into() };
        let page = text_of(&utf8(), &[], &config, &view);
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    for (translation, expected) in [
        (
            Translation::UnderscoreEscapingWithSuffixes,
            ["target info", "gr_e counter", "plain_name gauge", "took_time_seconds histogram"],
        ),
        (
            Translation::UnderscoreEscapingWithoutSuffixes,
            ["target info", "gr_e counter", "plain_name gauge", "took_time histogram"],
        ),
        (
            Translation::NoUtf8EscapingWithSuffixes,
            ["target info", "\"größe\" counter", "plain_name gauge", "\"took.time_seconds\" histogram"],
        ),
        (
            Translation::NoTranslation,
            ["target info", "\"größe.total\" unknown", "plain_name gauge", "\"took.time\" histogram"],
        ),
    ] {
        assert_eq!(names(translation), expected, "{translation:?}");
    }
}

#[test]
fn f4_f5_the_resource_and_scopes_are_on_the_page_unless_switched_off() {
    let scope = Scope {
        name: "shop".to_owned(),
        version: Some("1.2".to_owned()),
        schema_url: None,
        attributes: owned(&[("team.name", "a"), ("empty", "")]),
    };
    let one = family("a", "", Kind::Gauge, vec![point(&[("otel_scope_name", "own"), ("k", "v")], int(1))]);
    let snapshot = Snapshot {
        resource: owned(&[("service.name", "linkit")]),
        ..snapshot(vec![Family { scope: Arc::new(scope), ..one }])
    };
    let last = |config: &PageConfig| {
        let page = text_of(&snapshot, &[], config, &Syntax::Text004.into());
        (page.contains("target_info"), page.lines().last().unwrap().to_owned())
    };
    let on = "a{k=\"v\",otel_scope_name=\"own;shop\",otel_scope_team_name=\"a\",otel_scope_version=\"1.2\"} 1";
    assert_eq!(last(&PageConfig::default()), (true, on.to_owned()));
    let off = PageConfig { target_info: false, scope_labels: false, ..PageConfig::default() };
    assert_eq!(last(&off), (false, "a{k=\"v\",otel_scope_name=\"own\"} 1".to_owned()));
}

#[test]
fn a7_what_collides_in_one_scheme_is_resolved_the_same_in_all() {
    let gauge = |name: &str, attributes: &[(&str, &str)]| Family {
        help: "About.".to_owned(),
        ..family(name, "", Kind::Gauge, vec![point(attributes, int(1))])
    };
    let config = PageConfig { translation: Translation::NoTranslation, ..PageConfig::default() };
    for (families, samples) in [
        // One family with underscores, and one series of it too many.
        (vec![gauge("a.b", &[]), gauge("a_b", &[])], 1),
        (vec![gauge("a.b", &[]), gauge("a_b", &[("k", "v")])], 2),
        // The names of two in dots, and in values.
        (vec![gauge("a.b", &[]), gauge("a_dot_b", &[])], 1),
        (vec![gauge("a.b", &[]), gauge("U__a_2e_b", &[])], 1),
        // Labels of one series, and of two.
        (vec![gauge("a", &[("k.1", "v"), ("k_1", "w")])], 1),
        (
            vec![Family {
                points: [point(&[("k.1", "v")], int(1)), point(&[("U__k_2e_1", "v")], int(2))].into(),
                ..gauge("a", &[])
            }],
            1,
        ),
    ] {
        let snapshot = snapshot(families);
        for escaping in Escaping::ALL {
            let page = text_of(&snapshot, &[], &config, &View { escaping, ..Syntax::Text100.into() });
            assert_eq!(page.lines().filter(|line| !line.starts_with('#')).count(), samples, "{escaping:?} {page}");
        }
    }
}

#[test]
fn joined_families_are_escaped_by_the_same_rules() {
    let metric = Metric::from_label(vec![label("k.1", "v")]);
    let families = [joined("a.b", MetricType::GAUGE, vec![metric])];
    let last = |escaping| {
        let view = View { escaping, ..Syntax::Text100.into() };
        let page = text_of(&snapshot(Vec::new()), &families, &PageConfig::default(), &view);
        page.lines().last().unwrap().to_owned()
    };
    assert_eq!(last(Escaping::Underscores), "a_b{k_1=\"v\"} 0.0");
    assert_eq!(last(Escaping::AllowUtf8), "{\"a.b\",\"k.1\"=\"v\"} 0.0");
}

#[test]
fn a_selection_shows_its_sections_and_the_resource() {
    let registry = registry();
    registry.attach("sqlite", &[Section::Custom("shop".into())], &[]);
    let snapshot = registry.current();
    let families = [joined("app_jobs", MetricType::GAUGE, vec![Metric::default()])];
    let names = |sections: &[&str]| {
        let selection = Selection::of(sections.iter().map(|name| (*name).to_owned()), &snapshot).unwrap();
        let page = text_of(&snapshot, &families, &PageConfig::default(), &View { selection, ..Syntax::Text004.into() });
        let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        types.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names(&["store"]), ["target_info", "linkit_store_records"]);
    assert_eq!(names(&["other", "store", "other"]), ["target_info", "app_jobs", "linkit_store_records"]);
    assert_eq!(names(&["bridge"]), ["target_info", "linkit_bridge_collector_staleness"]);
    assert_eq!(names(&["shop"]), ["target_info"]);
    assert_eq!(names(&[]).len(), 8);
    let unknown = Selection::of(["stoer".to_owned()], &snapshot).unwrap_err().to_string();
    assert_eq!(unknown, "no such section; known are runtime, store, staging, shop, bridge, other");
}

#[test]
fn i19_help_says_the_interval_where_it_is_known() {
    let registry = registry();
    registry.read_every(&[Section::Store], std::time::Duration::from_secs(15));
    let page = text(&registry.current(), &[], Syntax::Text004);
    assert!(
        page.contains("collection of the store. Read every 15s, not at the scrape. OTel name linkit.store.records.")
    );
    assert!(page.contains("collection cycles. Read at an interval, not at the scrape. OTel name"), "{page}");
    registry.report(&AttemptReport { section: Section::Store, took: std::time::Duration::ZERO, errors: &[] });
    assert!(text(&registry.current(), &[], Syntax::Text004).contains("Read every 15s"));
}
