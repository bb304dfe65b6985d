//! Writes families as length-delimited `io.prometheus.client.MetricFamily` messages (prometheus/client_model,
//! metrics.proto), field by field straight into the page, so that nothing is copied into messages first.

use std::collections::BTreeMap;

use prometheus::proto::Summary;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::family::{PageFamily, PageKind, Series, Value};
use super::histogram::Histogram;
use super::page::Write;
use crate::registry::NativeHistogram;

/// A page being written.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// An empty page with room for so many bytes.
    pub(super) fn new(room: usize) -> Self {
        Self(Vec::with_capacity(room))
    }

    /// The page.
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

impl Write for Writer {
    fn family(&mut self, family: &PageFamily<'_>) {
        push_family(&mut self.0, family);
    }
}

/// Appends a family. All numbers are doubles there, so integers above 2^53 are the nearest one.
fn push_family(out: &mut Vec<u8>, family: &PageFamily<'_>) {
    let start = out.len();
    push_text(out, 1, &family.name);
    let help = family.whole_help();
    if !help.is_empty() {
        push_text(out, 2, &help);
    }
    push_uint(out, 3, kind(family.kind));
    for series in &family.series {
        push_message(out, 4, |out| push_metric(out, family.kind, series));
    }
    if let Some(unit) = family.unit_word() {
        push_text(out, 5, &unit);
    }
    insert_length(out, start);
}

/// `MetricType`; there is no info, which is a gauge.
const fn kind(kind: PageKind) -> u64 {
    match kind {
        PageKind::Counter => 0,
        PageKind::Gauge | PageKind::Info => 1,
        PageKind::Summary => 2,
        PageKind::Unknown => 3,
        PageKind::Histogram => 4,
    }
}

fn push_metric(out: &mut Vec<u8>, kind: PageKind, series: &Series<'_>) {
    for (name, value) in series.labels.iter() {
        push_message(out, 1, |out| {
            push_text(out, 1, name);
            push_text(out, 2, value);
        });
    }
    match series.value {
        Value::Number(number) => {
            let field = match kind {
                PageKind::Counter => 3,
                PageKind::Unknown => 5,
                PageKind::Gauge | PageKind::Info | PageKind::Histogram | PageKind::Summary => 2,
            };
            push_message(out, field, |out| {
                push_double(out, 1, number.to_float());
                if kind == PageKind::Counter {
                    push_time(out, 3, series.start);
                }
            });
        }
        Value::Histogram(histogram) => push_message(out, 7, |out| push_histogram(out, &histogram, series.start)),
        Value::Summary(summary) => push_message(out, 4, |out| push_summary(out, summary, series.start)),
    }
}

fn push_histogram(out: &mut Vec<u8>, histogram: &Histogram<'_>, start: Option<u64>) {
    push_uint(out, 1, histogram.count);
    push_double(out, 2, histogram.sum);
    for (bound, count) in histogram.buckets.iter().chain([(f64::INFINITY, histogram.count)]) {
        push_message(out, 3, |out| {
            push_uint(out, 1, count);
            push_double(out, 2, bound);
        });
    }
    if let Some(native) = histogram.native {
        push_native(out, native);
    }
    push_time(out, 15, start);
}

/// The fields of a native histogram, beside the classic buckets of the same message: spans of neighbouring buckets, and
/// by how much each bucket's count differs from the one before it.
fn push_native(out: &mut Vec<u8>, native: &NativeHistogram) {
    push_uint(out, 5, zigzag(native.schema.into()));
    push_double(out, 6, native.zero_threshold);
    push_uint(out, 7, native.zero_count);
    push_buckets(out, (9, 10), &native.negative);
    push_buckets(out, (12, 13), &native.buckets);
}

fn push_buckets(out: &mut Vec<u8>, (span, delta): (u32, u32), buckets: &BTreeMap<i32, u64>) {
    let mut spans: Vec<(i32, u64)> = Vec::new();
    let mut next = 0;
    for bucket in buckets.keys() {
        match spans.last_mut().filter(|_| *bucket == next) {
            Some((_, length)) => *length += 1,
            None => spans.push((bucket - next, 1)),
        }
        next = bucket + 1;
    }
    for (offset, length) in spans {
        push_message(out, span, |out| {
            push_uint(out, 1, zigzag(offset.into()));
            push_uint(out, 2, length);
        });
    }
    let mut before = 0;
    for count in buckets.values() {
        push_uint(out, delta, zigzag(count.wrapping_sub(before).cast_signed()));
        before = *count;
    }
}

/// A signed integer as protobuf's `sint` types hold it.
const fn zigzag(int: i64) -> u64 {
    (int << 1 ^ int >> 63).cast_unsigned()
}

fn push_summary(out: &mut Vec<u8>, summary: &Summary, start: Option<u64>) {
    push_uint(out, 1, summary.sample_count());
    push_double(out, 2, summary.sample_sum());
    for quantile in summary.get_quantile() {
        push_message(out, 3, |out| {
            push_double(out, 1, quantile.quantile());
            push_double(out, 2, quantile.value());
        });
    }
    push_time(out, 4, start);
}

/// A `google.protobuf.Timestamp`, if there is one.
fn push_time(out: &mut Vec<u8>, field: u32, nanoseconds: Option<u64>) {
    const SECOND_NS: u64 = 1_000_000_000;
    let Some(nanoseconds) = nanoseconds else { return };
    push_message(out, field, |out| {
        push_uint(out, 1, nanoseconds / SECOND_NS);
        push_uint(out, 2, nanoseconds % SECOND_NS);
    });
}

fn push_text(out: &mut Vec<u8>, field: u32, text: &str) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn push_uint(out: &mut Vec<u8>, field: u32, uint: u64) {
    encode_key(field, WireType::Varint, out);
    encode_varint(uint, out);
}

fn push_double(out: &mut Vec<u8>, field: u32, double: f64) {
    encode_key(field, WireType::SixtyFourBit, out);
    out.extend_from_slice(&double.to_le_bytes());
}

fn push_message(out: &mut Vec<u8>, field: u32, push: impl FnOnce(&mut Vec<u8>)) {
    encode_key(field, WireType::LengthDelimited, out);
    let start = out.len();
    push(out);
    insert_length(out, start);
}

/// Puts the length of what stands from `start` on before it.
fn insert_length(out: &mut Vec<u8>, start: usize) {
    let length = (out.len() - start) as u64;
    let end = out.len();
    encode_varint(length, out);
    let bytes = out.len() - end;
    out[start..].rotate_right(bytes);
}
