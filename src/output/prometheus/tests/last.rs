//! A page after the last one is the page that would have been rendered without it.

use super::*;

/// A counter and a gauge whose series keep their layouts, a gauge that has none, and a distribution.
fn figures(values: [PointValue; 4], start: Option<u64>) -> Snapshot {
    let [first, second, third, fourth] = values;
    let counters = vec![
        Point { start, ..point(&[("k", "a b\n 1")], first) },
        Point { start, ..point(&[("k", "b"), ("l", "ä\"")], second) },
    ];
    let laid_out = |number, family| Family { layout: Some(number), ..family };
    snapshot(vec![
        laid_out(1, family("paid.orders", "By", Kind::Counter, counters)),
        laid_out(2, family("größe", "", Kind::Gauge, vec![point(&[], third.clone())])),
        laid_out(3, family("took", "s", Kind::Histogram, vec![point(&[("k", "a")], histogram(&[1.0], &[1, 2], 2.5))])),
        family("unknown", "", Kind::Gauge, vec![point(&[("k.1", "x")], third), point(&[("k.2", "x")], fourth)]),
    ])
}

#[test]
fn a_page_after_the_last_is_the_page_itself() {
    let pages = [
        figures([int(1), int(2), float(0.5), int(4)], None),
        figures([int(10), float(2.25), int(-3), int(5)], None),
        figures([int(11), float(3.25), int(-4), int(5)], Some(AT.0 - 1)),
        figures([int(12), float(4.25), int(-5), int(5)], None),
        figures([int(-1), int(3), float(f64::NAN), int(6)], None),
        figures([float(f64::NAN), int(4), int(7), int(7)], Some(AT.0)),
        figures([int(12), int(5), float(1e300), int(8)], Some(AT.0 + 1)),
        figures([int(13), int(6), float(1e300), int(9)], None),
    ];
    for syntax in Syntax::ALL {
        for escaping in Escaping::ALL {
            let view = View { escaping, ..syntax.into() };
            let config = PageConfig::default();
            let mut last = render(&pages[0], &[], &config, &view);
            for snapshot in &pages[1..] {
                let after = Last::new(&last.body, &last.lines);
                let next = render_after(&after, snapshot, &[], &config, &view);
                let expected = render(snapshot, &[], &config, &view);
                assert_eq!(String::from_utf8_lossy(&next.body), String::from_utf8_lossy(&expected.body));
                assert_eq!(next.dropped, expected.dropped);
                last = next;
            }
        }
    }
}

#[test]
fn lines_are_taken_only_where_the_layout_says_so() {
    let page = |layout| {
        let one = family("a.b", "", Kind::Gauge, vec![point(&[("k", "old")], int(1))]);
        render(&snapshot(vec![Family { layout, ..one }]), &[], &PageConfig::default(), &Syntax::Text004.into())
    };
    let other = family("a.b", "", Kind::Gauge, vec![point(&[("k", "new")], int(2))]);
    for (layout, expected) in [(Some(1), "k=\"old\""), (Some(2), "k=\"new\""), (None, "k=\"new\"")] {
        let (last, other) = (page(Some(1)), Family { layout, ..other.clone() });
        let last = Last::new(&last.body, &last.lines);
        let view = Syntax::Text004.into();
        let next = render_after(&last, &snapshot(vec![other]), &[], &PageConfig::default(), &view);
        let body = String::from_utf8(next.body).unwrap();
        assert!(body.contains(expected) && body.contains("} 2\n"), "{body}");
    }
}
