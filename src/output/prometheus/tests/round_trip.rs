//! What was written reads back, by a reader that shares nothing with the writer.

use proptest::prelude::*;

use super::*;

/// A sample line as read.
#[derive(Debug, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: String,
}

/// Reads an escaped text up to an unescaped quote or its end; returns what is left.
fn unescape(text: &str) -> (String, &str) {
    let (mut out, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => out.push(match chars.next() {
                Some('n') => '\n',
                Some(c @ ('\\' | '"')) => c,
                other => panic!("{other:?} escaped in {text}"),
            }),
            c => out.push(c),
        }
    }
    (out, chars.as_str())
}

fn read_sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    while let Some(pair) = rest.strip_prefix(['{', ',']) {
        let (label, quoted) = pair.split_once("=\"").unwrap();
        let (value, after) = unescape(quoted);
        labels.push((label.to_owned(), value));
        rest = after.strip_prefix('}').unwrap_or(after);
    }
    let value = rest.strip_prefix(' ').unwrap().to_owned();
    Sample { name: name.to_owned(), labels, value }
}

fn samples(page: &str) -> Vec<Sample> {
    page.split_terminator('\n').filter(|line| !line.starts_with('#')).map(read_sample).collect()
}

proptest! {
    #[test]
    fn b4_label_values_and_help_read_back(value in "[^\0]{1,30}|[\\\\\"\n{},= ]{1,12}", help in "(?s)[^\\s].{0,30}x") {
        let one = point(&[("before", "b"), ("key", &value), ("last", "l")], int(1));
        let family = Family { help: help.clone(), ..family("a.b", "", Kind::Counter, vec![one]) };
        let snapshot = snapshot(vec![family]);
        for syntax in TEXTS {
            let page = text(&snapshot, &[], syntax);
            let samples = samples(&page);
            prop_assert_eq!(samples.len(), 1);
            prop_assert_eq!(&samples[0].name, "a_b_total");
            prop_assert_eq!(&samples[0].labels, &owned(&[("before", "b"), ("key", &value), ("last", "l")]));
            let line = page.split('\n').find(|line| line.starts_with("# HELP a_b")).unwrap();
            let text = line.splitn(4, ' ').nth(3).unwrap();
            // Only OpenMetrics escapes quotes in HELP; to the text format they are ordinary.
            let text = if !syntax.is_openmetrics() { text.replace('"', "\\\"") } else { text.to_owned() };
            prop_assert_eq!(unescape(&text).0, format!("{help}. OTel name a.b."));
        }
    }

    #[test]
    fn whatever_the_instruments_every_line_is_well_formed(
        given in proptest::collection::vec(("[a-c._/-]{1,4}", 0..3_u8, "|s|By|\\{x\\}|.{1,3}", "[a._0é]{0,3}", any::<f64>()), 0..8),
    ) {
        let families = given.iter().map(|(name, kind, unit, key, value)| {
            let points = |value: PointValue| vec![point(&[(key, "v"), ("z", "v")], value)];
            match kind {
                0 => family(name, unit, Kind::Gauge, points(float(*value))),
                1 => family(name, unit, Kind::Counter, points(float(*value))),
                _ => family(name, unit, Kind::Histogram, points(histogram(&[0.5, 1.0], &[1, 0, 2], *value))),
            }
        });
        let snapshot = snapshot(families.collect());
        let text_samples = samples(&text(&snapshot, &[], Syntax::Text004));
        let page = text(&snapshot, &[], Syntax::OpenMetrics100);
        prop_assert!(page.ends_with("# EOF\n") && !page.contains("\n\n"));
        let openmetrics_samples = samples(&page);
        prop_assert!(openmetrics_samples.len() <= text_samples.len());
        let mut seen = std::collections::HashSet::new();
        for sample in &openmetrics_samples {
            prop_assert!(text_samples.contains(sample));
            prop_assert!(seen.insert(format!("{} {:?}", sample.name, sample.labels)), "{:?} twice", sample);
            prop_assert!(sample.labels.is_sorted() || sample.labels.last().is_some_and(|last| last.0 == "le"));
            prop_assert!(sample.value == "NaN" || sample.value.parse::<f64>().is_ok());
        }
    }
}
