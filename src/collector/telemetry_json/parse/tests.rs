//! The parser against the example of the specification and every lie told in it.

use super::super::testing::{EXAMPLE, MEBI, measured};
use super::*;
use crate::catalog::FigureId;

/// What became of a section: its values, or the class of its error.
fn section(document: &Document, section: Section) -> Result<Vec<u64>, ErrorClass> {
    let (_, values) = document.sections.iter().find(|(it, _)| *it == section).unwrap();
    match values {
        Ok(values) => Ok(values.iter().map(|reading| reading.value.unwrap()).collect()),
        Err(error) => Err(error.class),
    }
}

fn syntax_error(body: &[u8]) -> String {
    let error = parse(body, &Section::DOCUMENTED, MEBI).unwrap_err();
    assert_eq!(error.class, ErrorClass::Syntax, "{error}");
    error.to_string()
}

#[test]
fn the_documents_example_is_read_in_the_catalogues_units() {
    let document = parse(EXAMPLE.as_bytes(), &Section::DOCUMENTED, MEBI).unwrap();
    assert_eq!((document.version.as_deref(), document.measured), (Some("1.0.0"), Some(measured())));
    let runtime = [42, 8, 128 * MEBI, 4096 * MEBI, 256 * MEBI, 156, 1_234_567];
    assert_eq!(section(&document, Section::Runtime), Ok(runtime.to_vec()));
    assert_eq!(section(&document, Section::Staging), Ok(vec![0, 12, 5432]));
    let store: Vec<_> =
        [("products", 15_000), ("branches", 25), ("skus", 375_000), ("orders", 50_000), ("customers", 12_000)]
            .map(|(collection, count)| Reading::of_series(FigureId::StoreRecords, "collection", collection, count))
            .into();
    assert_eq!(document.sections[1].1.as_ref().unwrap(), &store);
}

#[test]
fn a_megabyte_is_what_the_config_says() {
    let document = parse(EXAMPLE.as_bytes(), &[Section::Runtime], 1_000_000).unwrap();
    assert_eq!(section(&document, Section::Runtime).unwrap()[2], 128_000_000);
}

#[test]
fn one_lie_voids_its_section_by_class_and_path_and_no_other() {
    for (lie, class) in [
        ("-1", ErrorClass::Range),
        ("-1e3", ErrorClass::Range),
        ("9223372036854775808", ErrorClass::Range),
        ("18446744073709551615", ErrorClass::Range),
        ("1e400", ErrorClass::Range),
        ("1.5", ErrorClass::Type),
        ("1e-1", ErrorClass::Type),
        ("\"50000\"", ErrorClass::Type),
        ("true", ErrorClass::Type),
        ("false", ErrorClass::Type),
        ("null", ErrorClass::Type),
        ("[50000]", ErrorClass::Type),
        ("{\"count\": 50000}", ErrorClass::Type),
    ] {
        let body = EXAMPLE.replace("50000", lie);
        let document = parse(body.as_bytes(), &Section::DOCUMENTED, MEBI).unwrap();
        assert_eq!(section(&document, Section::Store), Err(class), "{lie}");
        assert!(section(&document, Section::Runtime).is_ok() && section(&document, Section::Staging).is_ok(), "{lie}");
        let text = document.sections[1].1.as_ref().unwrap_err().to_string();
        assert!(text.starts_with("store.orders is "), "{text}");
    }
}

#[test]
fn every_field_is_guarded() {
    for wanted in Section::DOCUMENTED {
        for (_, field) in crate::catalog::json_fields(&wanted) {
            let renamed = EXAMPLE.replace(&format!("\"{}\"", field.name), "\"other\"");
            let document = parse(renamed.as_bytes(), std::slice::from_ref(&wanted), MEBI).unwrap();
            assert_eq!(section(&document, wanted.clone()), Err(ErrorClass::Missing), "{}", field.name);
            let key = format!("\"{}\": ", field.name);
            let lie = EXAMPLE.replace(&key, &format!("{key}-1"));
            let document = parse(lie.as_bytes(), std::slice::from_ref(&wanted), MEBI).unwrap();
            assert_eq!(section(&document, wanted.clone()), Err(ErrorClass::Range), "{}", field.name);
        }
    }
}

#[test]
fn an_integer_is_accepted_however_it_is_written_and_kept_exactly() {
    for (written, value) in [
        ("12.0", 12),
        ("1e1", 10),
        ("9007199254740993", 9_007_199_254_740_993),
        ("9.223372036854775807e18", 9_223_372_036_854_775_807),
    ] {
        let document = parse(EXAMPLE.replace("50000", written).as_bytes(), &[Section::Store], MEBI).unwrap();
        assert_eq!(section(&document, Section::Store).unwrap()[3], value, "{written}");
    }
}

#[test]
fn megabytes_that_do_not_fit_as_bytes_are_out_of_range() {
    for (megabytes, fits) in [(8_796_093_022_207_u64, true), (8_796_093_022_208, false)] {
        let body = EXAMPLE.replace("4096", &megabytes.to_string());
        let document = parse(body.as_bytes(), &[Section::Runtime], MEBI).unwrap();
        assert_eq!(
            section(&document, Section::Runtime).map(|values| values[3]),
            if fits { Ok(megabytes * MEBI) } else { Err(ErrorClass::Range) }
        );
    }
}

#[test]
fn only_wanted_sections_must_be_there_and_unknown_keys_are_passed_over() {
    let body =
        r#"{"staging": {"pending": 1, "processing": 2, "completed_today": 3, "failed": null}, "queue": [{"a": -1.5}]}"#;
    let document = parse(body.as_bytes(), &[Section::Staging], MEBI).unwrap();
    assert_eq!(section(&document, Section::Staging), Ok(vec![1, 2, 3]));
    let document = parse(body.as_bytes(), &Section::DOCUMENTED, MEBI).unwrap();
    assert_eq!(section(&document, Section::Store), Err(ErrorClass::Missing));
    assert_eq!((document.version, document.measured), (None, None));
}

#[test]
fn a_section_that_is_no_object_or_says_a_key_twice_is_void_alone() {
    for (staging, class) in [
        ("null", ErrorClass::Type),
        ("[]", ErrorClass::Type),
        ("7", ErrorClass::Type),
        (r#"{"pending": 1, "processing": 2, "completed_today": 3, "pending": 1}"#, ErrorClass::Syntax),
    ] {
        let start = EXAMPLE.find("\"staging\"").unwrap();
        let body = format!("{}\"staging\": {staging}}}", &EXAMPLE[..start]);
        let document = parse(body.as_bytes(), &Section::DOCUMENTED, MEBI).unwrap();
        assert_eq!(section(&document, Section::Staging), Err(class), "{staging}");
        assert!(section(&document, Section::Store).is_ok(), "{staging}");
    }
}

#[test]
fn what_is_not_one_object_with_distinct_keys_is_a_syntax_error() {
    for body in [
        "",
        " ",
        "null",
        "7",
        "[]",
        "\"secret\"",
        "<html>",
        "{",
        "{\"store\": }",
        "{} {}",
        "{}x",
        "{'a': 1}",
        "\u{feff}{}",
    ] {
        let text = syntax_error(body.as_bytes());
        assert!(!text.contains("secret"), "{text}");
    }
    syntax_error(&EXAMPLE.as_bytes()[..200]);
    syntax_error(format!("{EXAMPLE} trailing").as_bytes());
    syntax_error(b"{\"version\": \"\xff\"}");
    assert!(syntax_error(br#"{"a": 1, "a": 1}"#).contains("a key stands twice"));
    assert!(syntax_error(br#"{"store": {}, "\u0073tore": {}}"#).contains("a key stands twice"));
    for number in ["+1", "01", "1.", ".5", "1e", "0x10", "NaN", "Infinity", "1_000"] {
        syntax_error(EXAMPLE.replace("50000", number).as_bytes());
    }
}

#[test]
fn a_depth_bomb_is_refused_wherever_it_lies() {
    for depth in [65, 100_000] {
        let bomb = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(syntax_error(bomb.as_bytes()).contains("nests too deep"));
        assert!(syntax_error(format!("{{\"unknown\": {bomb}}}").as_bytes()).contains("nests too deep"));
        assert!(syntax_error("{\"a\":".repeat(depth).as_bytes()).contains("nests too deep"));
    }
    // Brackets inside texts are none, whatever is escaped before them.
    let text = format!(r#"{{"unknown": "\\\"{}", "more": [[]]}}"#, "[".repeat(100));
    assert!(parse(text.as_bytes(), &[], MEBI).is_ok());
}

#[test]
fn an_unusable_version_or_time_is_left_out_and_harms_nothing() {
    let long = format!("\"{}\"", "9".repeat(129));
    for version in ["null", "1", &long] {
        let document = parse(EXAMPLE.replace("\"1.0.0\"", version).as_bytes(), &Section::DOCUMENTED, MEBI).unwrap();
        assert!(document.version.is_none() && section(&document, Section::Store).is_ok());
    }
    for time in ["null", "1705314600", "\"yesterday\"", "\"0001-01-01T00:00:00Z\""] {
        let document =
            parse(EXAMPLE.replace("\"2024-01-15T10:30:00Z\"", time).as_bytes(), &Section::DOCUMENTED, MEBI).unwrap();
        assert!(document.measured.is_none() && section(&document, Section::Store).is_ok(), "{time}");
    }
}

#[test]
fn a_long_number_does_not_make_a_long_message() {
    let body = EXAMPLE.replace("50000", &"9".repeat(100_000));
    let document = parse(body.as_bytes(), &[Section::Store], MEBI).unwrap();
    assert!(document.sections[0].1.as_ref().unwrap_err().to_string().len() < 200);
}
