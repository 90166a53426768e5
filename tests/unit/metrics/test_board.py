"""The board of Grafana and the rules of Prometheus: each metric and label in them exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aiocache_pe.metrics.base import METRICS
from tests.support.package_source import ROOT

FOLDER = ROOT / "docs" / "monitoring"
RULES = FOLDER / "prometheus-rules.yml"
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
LABELS = {
    metric.prometheus_name + suffix: {*metric.labels, *(("le",) if suffix == "_bucket" else ())}
    for metric in METRICS
    for suffix in SUFFIXES[metric.kind]
}
SELECTOR = re.compile(r"\b(cache_\w+)(?:\{([^}]*)\})?")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
GROUPING = re.compile(r"\bby \(([^)]*)\)")


def read_board() -> Any:
    return json.loads((FOLDER / "grafana-board.json").read_text())


def read_rules() -> Any:
    return pytest.importorskip("yaml").safe_load(RULES.read_text())


def iter_texts(value: Any, *names: str) -> Iterator[str]:
    """Yield the texts under some names, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in names and isinstance(inner, str):
                yield inner
            yield from iter_texts(inner, *names)
    elif isinstance(value, list):
        for inner in value:
            yield from iter_texts(inner, *names)


@pytest.mark.parametrize("read", [read_board, read_rules])
def test_each_metric_and_label_of_an_expression_exists(read: Callable[[], Any]) -> None:
    document = read()
    recorded = set(iter_texts(document, "record"))
    expressions = list(iter_texts(document, "expr"))
    assert len(expressions) > 5
    for expression in [*expressions, *iter_texts(document, "definition")]:
        plain = expression
        for name in recorded:
            plain = plain.replace(name, "")
        grouped = {label.strip() for found in GROUPING.findall(plain) for label in found.split(",")}
        for name, selectors in SELECTOR.findall(plain):
            assert name in LABELS, expression
            assert {*LABEL.findall(selectors), *grouped} <= LABELS[name], expression


def test_each_metric_is_on_the_board() -> None:
    used = {name for text in iter_texts(read_board(), "expr") for name, _ in SELECTOR.findall(text)}
    shown = {re.sub("_(bucket|sum|count)$", "", name) for name in used}
    assert {metric.prometheus_name for metric in METRICS} - shown == {"cache_size"}


def test_panels_have_titles_and_do_not_overlap() -> None:
    panels = read_board()["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert all(panel["title"] for panel in panels)
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_each_alert_has_a_summary_a_duration_and_a_severity() -> None:
    rules = [rule for group in read_rules()["groups"] for rule in group["rules"]]
    alerts = {rule["alert"]: rule for rule in rules if "alert" in rule}
    expected = {"CacheHitRatioFalls", "CacheBreakerOpen", "CacheErrors", "CacheBoundReached"}
    assert expected <= alerts.keys()
    for alert in alerts.values():
        assert alert["annotations"]["summary"]
        assert alert["labels"]["severity"] in ("info", "warning", "critical")
        assert alert["for"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool of Prometheus")
def test_promtool_accepts_the_rules() -> None:
    subprocess.run(["promtool", "check", "rules", str(RULES)], check=True, timeout=60)
