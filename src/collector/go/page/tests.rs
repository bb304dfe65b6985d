//! The parser against pages of its own; strangers' cases are in `tests/it/go.rs`.

use proptest::prelude::*;

use super::super::testing::page as good_page;
use super::*;

const OPENMETRICS: &str = "# HELP a help\n# TYPE a histogram\n# UNIT a \na_bucket{x=\"\\\"1\\n\",le=\"1.0\"} 0 1.5\n\
    a_bucket{x=\"\\\"1\\n\",le=\"+Inf\"} 3 1.5 # {t=\"☃\"} 4.5 1e3\na_count{x=\"\\\"1\\n\"} 3 1.5\n\
    a_sum{x=\"\\\"1\\n\"} 2 1.5\n# TYPE s stateset\ns{s=\"on\"} 1\ns{s=\"off\"} 0\n# TYPE c counter\nc_total 1\n\
    # TYPE q summary\nq{quantile=\"0.5\"} NaN\nq_count 1\nq_sum 2\n# TYPE i info\ni_info{v=\"1\"} 1\n# EOF\n";

/// What client_golang 1.23 writes with OpenMetrics switched on.
const CLASH: &str = "# HELP go_memstats_alloc_bytes Number of bytes.\n# TYPE go_memstats_alloc_bytes gauge\n\
    go_memstats_alloc_bytes 266704.0\n# HELP go_memstats_alloc_bytes Total number of bytes.\n\
    # TYPE go_memstats_alloc_bytes counter\ngo_memstats_alloc_bytes_total 366704.0\n";

fn openmetrics(text: &str) -> Result<usize, PageError> {
    parse(text.as_bytes(), Dialect::OpenMetrics).map(|page| page.len())
}

fn text(text: &str) -> Result<usize, PageError> {
    parse(text.as_bytes(), Dialect::Text).map(|page| page.len())
}

#[test]
fn a_client_golang_page_gives_its_figures_and_never_a_pause() {
    let told = figures(good_page("1.79564843958e+09", 3_000_000, 77).as_bytes(), Dialect::Text).unwrap();
    let of = |figure, value| (figure, Some(value));
    assert_eq!(
        told.figures,
        [
            of(FigureId::RuntimeGoroutines, 42),
            of(FigureId::RuntimeCpus, 6),
            of(FigureId::RuntimeHeapAllocated, 2_000_000),
            of(FigureId::RuntimeMemoryAllocated, 3_000_000),
            of(FigureId::RuntimeMemorySys, 17_000_000),
            of(FigureId::RuntimeGcCycles, 77),
        ]
    );
    assert_eq!(told.start, Some(Wall(1_795_648_439_580_000_000)));
    assert_eq!(figures(b"up 1\n", Dialect::Text).unwrap(), Told { figures: vec![], start: None });
}

#[test]
fn a_lie_on_a_page_voids_it() {
    for (from, to, class) in [
        ("go_goroutines 42", "go_goroutines 42.5", ErrorClass::Type),
        ("go_goroutines 42", "go_goroutines NaN", ErrorClass::Type),
        ("go_goroutines 42", "go_goroutines +Inf", ErrorClass::Type),
        ("go_goroutines 42", "go_goroutines -1", ErrorClass::Range),
        ("go_goroutines 42", "go_goroutines 1e300", ErrorClass::Range),
        ("go_goroutines 42", "go_goroutines many", ErrorClass::Syntax),
        ("go_goroutines 42", "go_goroutines{a=\"1\"} 1\ngo_goroutines{a=\"2\"} 2", ErrorClass::Type),
        ("process_start_time_seconds 1", "process_start_time_seconds -1", ErrorClass::Range),
        ("process_start_time_seconds 1", "process_start_time_seconds NaN #", ErrorClass::Syntax),
        ("process_start_time_seconds 1", "process_start_time_seconds 1e300 1", ErrorClass::Range),
        ("# TYPE go_goroutines gauge", "# TYPE go_goroutines gouge", ErrorClass::Syntax),
    ] {
        let page = good_page("1", 2, 3);
        assert!(page.contains(from));
        let error = figures(page.replace(from, to).as_bytes(), Dialect::Text).unwrap_err();
        assert_eq!(error.class, class, "{to}: {error}");
    }
}

#[test]
fn text_is_lenient_where_prometheus_is() {
    let lenient = "\n# a comment\n#\n# HELP\n#HELP a\n\t # TYPE a counter\n  a 1\na { b = \"1\" , } \t 2 \t 3 \n\
        a{}\t+Inf -5\n# EOF\na{b=\"}\",c=\"\\\\\"} nan";
    assert_eq!(text(lenient), Ok(4));
    assert_eq!(text(""), Ok(0));
    let page = parse(lenient.as_bytes(), Dialect::Text).unwrap();
    assert_eq!(page.values("a").collect::<Vec<_>>(), ["1", "2", "+Inf", "nan"]);
    for bad in [
        "a",
        "a 1 1.5",
        "a 1 2 3",
        "a{b=\"1\"c=\"2\"} 1",
        "a{b=\"1\",,} 1",
        "a{b=\"1\",b=\"2\"} 1",
        "a{1=\"1\"} 1",
        "a{b=\"1} 1",
        "a{b='1'} 1",
        "a{b 1",
        "a 0x1",
        "a 1_0",
        "1a 1",
        "a 1 # {} 1",
        "# TYPE a wrong\n",
        "# TYPE a\n",
        "# TYPE a gauge\n# TYPE a gauge\n",
        "a 1\n# TYPE a gauge\n",
        "<html>",
        "{}",
    ] {
        assert!(text(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_known_clash_of_client_golang_is_borne_and_no_other() {
    assert_eq!(openmetrics(&format!("{CLASH}# EOF\n")), Ok(2));
    let told = figures(format!("{CLASH}# EOF\n").as_bytes(), Dialect::OpenMetrics).unwrap();
    assert_eq!(
        told.figures,
        [(FigureId::RuntimeHeapAllocated, Some(266_704)), (FigureId::RuntimeMemoryAllocated, Some(366_704))]
    );
    assert!(openmetrics(&format!("{}# EOF\n", CLASH.replace("alloc_bytes", "other_bytes"))).is_err());
    assert!(openmetrics(&format!("{CLASH}{CLASH}# EOF\n")).is_err());
    assert!(openmetrics(&format!("{}# EOF\n", CLASH.replace("counter", "gauge"))).is_err());
}

#[test]
fn openmetrics_takes_all_types_and_tells_the_line_of_a_fault() {
    assert_eq!(openmetrics(OPENMETRICS), Ok(11));
    let error = openmetrics(&OPENMETRICS.replace("c_total 1", "c_total -1")).unwrap_err();
    assert_eq!((error.line, error.to_string().as_str()), (12, "line 12 has a count or sum that is negative"));
    // Of two points of one series without times nobody can say which is the last.
    assert!(openmetrics("a 1\na 1\n# EOF\n").is_err());
    assert!(openmetrics("").is_err());
    assert!(openmetrics("# EOF\n\n").is_err());
    assert!(openmetrics("a 1\r\n# EOF\n").is_err());
}

#[test]
fn bounds_are_held_exactly() {
    let is_oversized = |page: &str| {
        let [text, open] = [text(page), openmetrics(&format!("{page}\n# EOF\n"))];
        assert_eq!(text.is_err(), open.is_err());
        text.is_err_and(|error| error.is_oversized) && open.is_err_and(|error| error.is_oversized)
    };
    let labels = |count: usize| {
        let labels: Vec<_> = (0..count).map(|number| format!("l{number}=\"\"")).collect();
        format!("a{{{}}} 1", labels.join(","))
    };
    assert!(!is_oversized(&labels(LABELS_MAX)) && is_oversized(&labels(LABELS_MAX + 1)));
    let name = |length: usize| format!("a{{{}=\"\"}} 1", "n".repeat(length));
    assert!(!is_oversized(&name(NAME_BYTES_MAX)) && is_oversized(&name(NAME_BYTES_MAX + 1)));
    let value = |length: usize| format!("a{{b=\"{}\"}} 1", "\\n".repeat(length));
    assert!(!is_oversized(&value(LABEL_VALUE_BYTES_MAX)) && is_oversized(&value(LABEL_VALUE_BYTES_MAX + 1)));
    let samples = |count: usize| {
        let samples: Vec<_> = (0..count).map(|number| format!("a{{b=\"{number}\"}} 1")).collect();
        samples.join("\n")
    };
    assert!(!is_oversized(&samples(SAMPLES_MAX)) && is_oversized(&samples(SAMPLES_MAX + 1)));
    assert!(text(&"\n".repeat(LINES_MAX)).is_ok());
    assert!(text(&"\n".repeat(LINES_MAX + 1)).unwrap_err().is_oversized);
    assert!(text(&"#".repeat(LINE_BYTES_MAX)).is_ok());
    assert!(text(&"#".repeat(LINE_BYTES_MAX + 1)).unwrap_err().is_oversized);
}

#[test]
fn a_content_type_names_the_format() {
    for (content_type, dialect) in [
        (None, Some(Dialect::Text)),
        (Some("text/plain; version=0.0.4; charset=utf-8; escaping=underscores"), Some(Dialect::Text)),
        (Some("Application/OpenMetrics-Text; version=1.0.0"), Some(Dialect::OpenMetrics)),
        (Some("text/html"), None),
        (Some("application/vnd.google.protobuf"), None),
    ] {
        assert_eq!(Dialect::of_content_type(content_type), dialect, "{content_type:?}");
    }
}

/// A good page with bytes changed, put in and taken out.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let pages = [OPENMETRICS.to_owned(), format!("{CLASH}# EOF\n"), good_page("1.7e+09", 5, 6)];
    let edit = (
        any::<prop::sample::Index>(),
        0..3_u8,
        prop_oneof![any::<u8>(), prop::sample::select(b" \t\n\"\\{}#=,.+-eE0_aN".to_vec()),],
    );
    (prop::sample::select(pages.to_vec()), prop::collection::vec(edit, 1..8)).prop_map(|(page, edits)| {
        let mut page = page.into_bytes();
        for (index, kind, byte) in edits {
            let at = index.index(page.len());
            match kind {
                0 => page[at] = byte,
                1 => page.insert(at, byte),
                _ if page.len() > 1 => drop(page.remove(at)),
                _ => {}
            }
        }
        page
    })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for dialect in [Dialect::Text, Dialect::OpenMetrics] {
            let _ = figures(&bytes, dialect);
        }
    }

    #[test]
    fn no_change_of_a_good_page_makes_it_panic(page in mutated()) {
        for dialect in [Dialect::Text, Dialect::OpenMetrics] {
            if let Ok(page) = parse(&page, dialect) {
                prop_assert!(page.len() <= SAMPLES_MAX);
            }
            let _ = figures(&page, dialect);
        }
    }

    #[test]
    fn what_openmetrics_takes_of_plain_gauges_text_takes_with_the_same_values(values in prop::collection::vec(any::<f64>(), 1..9)) {
        let lines: Vec<_> = values.iter().enumerate().map(|(n, value)| format!("a{{b=\"{n}\"}} {value:?}")).collect();
        let page = format!("# TYPE a gauge\n{}\n# EOF\n", lines.join("\n"));
        let read = |dialect| parse(page.as_bytes(), dialect).map(|page| page.values("a").map(str::to_owned).collect::<Vec<_>>());
        prop_assert_eq!(read(Dialect::Text).unwrap(), read(Dialect::OpenMetrics).unwrap());
    }
}
