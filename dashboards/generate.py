#!/usr/bin/env python3
"""Writes the dashboards of this folder: dashboards/generate.py, and --check says whether they are up to date.

The thresholds are those of alerts/linkit-bridge.rules.yml, which is their only place: `limit("LinkitX")` reads them
from the rule, so after a change there run this again. The panels stand in source/, one file a dashboard; here is what they are made with. Grafana 9
and later loads the result (classic schema 42); Python 3.9 or later is all it needs.
"""

import json
import math
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
RULES = HERE.parent / "alerts" / "linkit-bridge.rules.yml"

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# What every selector begins with; `$` and `{` of Grafana are not Python's.
TARGET = 'job=~"$job", instance=~"$instance"'
# In the names of series, `<name>` and `<name, state="x">` are selectors of the chosen jobs and instances.
SELECTOR = re.compile(r"<([a-zA-Z_:][\w:]*)((?:, [^<>]*?)?)>")


def expand(expr):
    return SELECTOR.sub(lambda found: "%s{%s%s}" % (found[1], TARGET, found[2]), expr)


# ---- the thresholds ----------------------------------------------------------


def alerts():
    """The rule of each alert: its expression as text."""
    found = re.findall(r"(?ms)^      - alert: (\w+)\n        expr: (.*?)\n        (?:for|labels):", RULES.read_text())
    return {name: re.sub(r"^\|", "", expr) for name, expr in found}


ALERTS = alerts()


def limit(alert, index=0):
    """The index-th number that an alert compares with: 16 * 1024 * 1024 worked out, of 0.9 * x the 0.9."""
    numbers = re.findall(r"(?:[<>]=?|==)\s*(-?[\d.]+(?:\s*\*\s*[\d.]+)*)", ALERTS[alert])
    value = math.prod(float(factor) for factor in numbers[index].split("*"))
    return int(value) if value == int(value) else value


def steps(*above, base="green"):
    """Threshold steps: a colour below all limits, then pairs of limit and colour."""
    return [{"color": base, "value": None}] + [{"color": color, "value": value} for value, color in above]


NONE = steps(base="blue")
ANY = steps((1, "red"))

# ---- panels ------------------------------------------------------------------


def target(query, index, instant, table):
    expr, legend = query
    return {
        "refId": "ABCDEFGHIJKLMNOP"[index],
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": expand(expr),
        "format": "table" if table else "time_series",
        "instant": instant,
        "range": not instant,
        "legendFormat": legend,
    }


def panel(kind, title, description, unit, queries, size, thresholds, instant=False, table=False, **defaults):
    """A panel without its place and id; `queries` are pairs of expression and legend."""
    return {
        "type": kind,
        "title": title,
        "description": description,
        "size": size,
        "datasource": DATASOURCE,
        "targets": [target(query, index, instant, table) for index, query in enumerate(queries)],
        "fieldConfig": {
            "defaults": {"unit": unit, **defaults, "thresholds": {"mode": "absolute", "steps": thresholds or NONE}},
            "overrides": [],
        },
    }


def more(uid, title):
    """A link from a panel to another dashboard, for the same time, jobs and instances."""
    query = "${__url_time_range}&${datasource:queryparam}&${job:queryparam}&${instance:queryparam}"
    link = {"title": title, "type": "link", "url": "/d/%s?%s" % (uid, query), "tooltip": "", "icon": "external link"}
    # The variables and the time stand in the address; that of a panel's link is all Grafana looks at.
    return [{**link, "tags": [], "asDropdown": False, "targetBlank": False, "includeVars": False, "keepTime": False}]


def mapping(**texts):
    """A value mapping; keys are `v0` for the value 0, `above` for all from 1."""
    made = []
    for key, (text, color) in texts.items():
        result = {"text": text, "color": color, "index": len(made)}
        if key == "above":
            del result["text"]
            made.append({"type": "range", "options": {"from": 1, "to": 1e12, "result": result}})
        else:
            made.append({"type": "value", "options": {key[1:]: result}})
    return made


def words(**colors):
    """A value mapping of words to colours."""
    results = {word: {"color": color, "index": at} for at, (word, color) in enumerate(colors.items())}
    return [{"type": "value", "options": results}]


def stat(title, description, unit, queries, size=(4, 4), thresholds=None, no_value="no data", link=None, **defaults):
    made = panel(
        "stat", title, description, unit, queries, size, thresholds, instant=True, noValue=no_value, **defaults
    )
    made["fieldConfig"]["defaults"]["color"] = {"mode": "thresholds"}
    made["options"] = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background" if thresholds else "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
        "wideLayout": True,
    }
    if link:
        made["links"] = link
    return made


def graph(title, description, unit, queries, size=(8, 8), thresholds=None, link=None, bars=False, **defaults):
    made = panel("timeseries", title, description, unit, queries, size, thresholds, noValue="no data", **defaults)
    made["fieldConfig"]["defaults"]["color"] = {"mode": "palette-classic"}
    made["fieldConfig"]["defaults"]["custom"] = {
        "drawStyle": "bars" if bars else "line",
        "lineWidth": 1,
        "fillOpacity": 60 if bars else 8,
        "showPoints": "never",
        "spanNulls": False,
        "axisSoftMin": 0,
        "thresholdsStyle": {"mode": "dashed" if thresholds else "off"},
    }
    made["options"] = {
        "legend": {
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
            "calcs": ["lastNotNull", "min", "max"],
            # With fifty instances the worst stands first.
            "sortBy": "Max",
            "sortDesc": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    if link:
        made["links"] = link
    return made


def worst(title, description, unit, expr, legend, size=(8, 8), thresholds=None, **defaults):
    """The ten largest, one bar each: what to look at when there are fifty instances."""
    queries = [("sort_desc(topk(10, %s))" % expr, legend)]
    made = panel(
        "bargauge", title, description, unit, queries, size, thresholds, instant=True, noValue="none", **defaults
    )
    made["fieldConfig"]["defaults"]["color"] = {"mode": "thresholds"}
    made["fieldConfig"]["defaults"].setdefault("min", 0)
    made["options"] = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "displayMode": "basic",
        "orientation": "horizontal",
        "showUnfilled": True,
        "valueMode": "color",
        "minVizWidth": 0,
        "minVizHeight": 16,
    }
    return made


def timeline(title, description, queries, mappings, size, thresholds):
    made = panel(
        "state-timeline", title, description, "none", queries, size, thresholds, mappings=mappings, noValue="no data"
    )
    made["fieldConfig"]["defaults"]["color"] = {"mode": "thresholds"}
    made["fieldConfig"]["defaults"]["custom"] = {"lineWidth": 0, "fillOpacity": 80, "spanNulls": False}
    made["options"] = {
        "mergeValues": True,
        "showValue": "auto",
        "alignValue": "left",
        "rowHeight": 0.9,
        # Of fifty lines as many at a time as can be read; Grafana before 11 shows all.
        "perPage": size[1],
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return made


def drill_down():
    """Links from the instance of a table's row to the dashboards of that instance alone."""
    query = "${__url_time_range}&${datasource:queryparam}&var-job=${__data.fields.Job}&var-instance=${__data.fields.Instance}"
    others = ("bridge", "Bridge"), ("staging", "Staging pipeline"), ("runtime", "Runtime"), ("store", "Store and capacity")
    return [{"title": title, "url": "/d/linkit-%s?%s" % (uid, query), "targetBlank": False} for uid, title in others]


def table(title, description, unit, columns, size, hide=(), names=None, link=None, no_value="none", sort=None, styles=None):
    """A table; `columns` are (title, expression, unit, threshold steps or None, mappings or None).

    With one column of values its labels are the other columns, with several the rows are joined by their labels.
    `styles` are further properties of such columns by their titles.
    """
    queries = [(expr, "") for _, expr, _, _, _ in columns]
    made = panel("table", title, description, unit, queries, size, None, instant=True, table=True, noValue=no_value)
    made["fieldConfig"]["defaults"]["color"] = {"mode": "thresholds"}
    made["fieldConfig"]["defaults"]["custom"] = {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True}
    several = len(columns) > 1
    rename = dict(names or {})
    for index, (column, _, column_unit, thresholds, mappings) in enumerate(columns):
        key = "Value #%s" % "ABCDEFGHIJKLMNOP"[index] if several else "Value"
        rename[key] = column
        properties = [{"id": "unit", "value": column_unit}]
        if thresholds:
            properties.append({"id": "thresholds", "value": {"mode": "absolute", "steps": thresholds}})
            properties.append({"id": "custom.cellOptions", "value": {"type": "color-background", "mode": "basic"}})
        if mappings:
            properties.append({"id": "mappings", "value": mappings})
        made["fieldConfig"]["overrides"].append(
            {"matcher": {"id": "byName", "options": column}, "properties": properties}
        )
    for column, properties in (styles or {}).items():
        made["fieldConfig"]["overrides"].append(
            {"matcher": {"id": "byName", "options": column}, "properties": properties}
        )
    made["transformations"] = [{"id": "merge", "options": {}}] if several else []
    made["transformations"].append(
        {
            "id": "organize",
            "options": {
                "excludeByName": {name: True for name in ("Time", "__name__", *hide)},
                "indexByName": {},
                "renameByName": rename,
            },
        }
    )
    made["options"] = {"showHeader": True, "cellHeight": "sm"}
    if sort:
        made["options"]["sortBy"] = [{"displayName": sort, "desc": True}]
    if link:
        made["links"] = link
    return made


def row(title):
    return {"type": "row", "title": title, "size": (24, 1), "collapsed": False, "panels": []}


def placed(panels):
    """Gives the panels their places, from left to right and from top to bottom, and their ids."""
    x = y = height = 0
    made = []
    for index, one in enumerate(panels):
        one = dict(one)
        width, high = one.pop("size")
        if x + width > 24:
            x, y, height = 0, y + height, 0
        one = {"id": index + 1, "gridPos": {"h": high, "w": width, "x": x, "y": y}, **one}
        x, height = x + width, max(height, high)
        made.append(one)
    return made


# ---- the whole ---------------------------------------------------------------


def query_variable(name, label, description, query):
    return {
        "type": "query",
        "name": name,
        "label": label,
        "description": description,
        "datasource": DATASOURCE,
        "query": query,
        "refresh": 2,
        "sort": 1,
        "regex": "",
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
        "hide": 0,
        "skipUrlSync": False,
    }


def text_variable(name, label, description, default):
    value = {"selected": True, "text": default, "value": default}
    return {
        "type": "textbox",
        "name": name,
        "label": label,
        "description": description,
        "query": default,
        "current": value,
        "options": [value],
        "hide": 0,
        "skipUrlSync": False,
    }


def variables(extra):
    return [
        {
            "type": "datasource",
            "name": "datasource",
            "label": "Data source",
            "description": "The Prometheus that scrapes the bridges or takes their pushes",
            "query": "prometheus",
            "refresh": 1,
            "regex": "",
            "multi": False,
            "includeAll": False,
            "current": {"selected": False, "text": "default", "value": "default"},
            "options": [],
            "hide": 0,
            "skipUrlSync": False,
        },
        query_variable(
            "job",
            "Job",
            "The scrape job of the bridges, or service.name where they push",
            "label_values(linkit_bridge_build_info, job)",
        ),
        query_variable(
            "instance",
            "Instance",
            "A bridge's address, or service.instance.id where it pushes",
            'label_values(linkit_bridge_build_info{job=~"$job"}, instance)',
        ),
        *extra,
    ]


def annotation(name, color, expr, title, text, keys):
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": color,
        # Grafana 9 reads the query here, later ones in the target.
        "expr": expand(expr),
        "target": {"refId": "Anno", "expr": expand(expr), "interval": "60s"},
        "step": "60s",
        "titleFormat": title,
        "textFormat": text,
        "tagKeys": keys,
        "useValueForTime": False,
    }


ANNOTATIONS = [
    annotation(
        "Firing alerts",
        "red",
        '<ALERTS, alertstate="firing", alertname=~"Linkit.+">',
        "{{alertname}}",
        "{{severity}} {{instance}} {{collector}} {{collection}} {{endpoint}} {{reason}}",
        "alertname,severity",
    ),
    annotation(
        "Bridge started or reloaded",
        "blue",
        "max by (job, instance) (changes(<linkit_bridge_config_last_reload_timestamp_seconds>[2m])) > 0",
        "linkit-bridge was started or took a new configuration",
        "{{instance}}",
        "job,instance",
    ),
    annotation(
        "Linkit restarted",
        "purple",
        "max by (job, instance) (resets(<linkit_runtime_memory_allocated_bytes_total>[2m])) > 0",
        "Linkit was restarted",
        "{{instance}}",
        "job,instance",
    ),
]


def dashboard(uid, title, description, panels, extra=()):
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["linkit"],
        "schemaVersion": 42,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "browser",
        "weekStart": "",
        "fiscalYearStartMonth": 0,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timepicker": {},
        "links": [
            {
                "title": "Linkit",
                "type": "dashboards",
                "tags": ["linkit"],
                "asDropdown": True,
                "icon": "external link",
                "tooltip": "The other dashboards of linkit-bridge, for the same time, jobs and instances",
                "url": "",
                "targetBlank": False,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "annotations": {"list": ANNOTATIONS},
        "templating": {"list": variables(list(extra))},
        "panels": placed(panels),
    }


def main(arguments):
    from source import bridge, overview, runtime, staging, store

    stale = []
    for made in (overview.overview(), runtime.runtime(), store.store(), staging.staging(), bridge.bridge()):
        file = HERE / (made["uid"] + ".json")
        text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
        if not file.exists() or file.read_text() != text:
            stale.append(file.name)
            if "--check" not in arguments:
                file.write_text(text)
    if "--check" in arguments and stale:
        sys.exit("not up to date, run dashboards/generate.py: " + ", ".join(stale))
    print("written: " + ", ".join(stale) if stale else "all dashboards are up to date")


if __name__ == "__main__":
    # So that the files in source/ import this very module, not a second one of the same file.
    sys.modules["generate"] = sys.modules[__name__]
    sys.dont_write_bytecode = True
    main(sys.argv[1:])
