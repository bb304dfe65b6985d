"""Reads OpenMetrics with prometheus_client's strict parser, as tests/peers/pageparse does all pages with Prometheus'.

Its text parser renames counters and is no judge.

A page on stdin is a line with its Content-Type, a tab and its length in bytes, then those bytes; it is answered by a
line of JSON.
"""
import json
import math
import struct
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families


def bits(value):
    if math.isnan(value):
        return "7ff8000000000001"
    return struct.pack(">d", value).hex()


def series(body):
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            # When a series began is no series.
            if sample.name != family.name + "_created":
                yield {"labels": {"__name__": sample.name, **sample.labels}, "value": bits(sample.value)}


for line in iter(sys.stdin.buffer.readline, b""):
    content_type, length = line.decode().rstrip("\n").split("\t")
    body = sys.stdin.buffer.read(int(length))
    if not content_type.startswith("application/openmetrics-text"):
        print("{}", flush=True)
        continue
    try:
        parsed = {"series": list(series(body))}
    except Exception as error:
        parsed = {"error": repr(error), "series": []}
    print(json.dumps({"server": parsed}), flush=True)
