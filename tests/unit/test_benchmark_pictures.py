"""What `benchmarks.publish` makes of a run: pictures that are SVG, and tables for the page."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import publish
from benchmarks.environment import ROOT, describe
from benchmarks.hits import Hits, Played
from benchmarks.job import Answer
from benchmarks.results import LineResult, RowResult, Run
from benchmarks.row import Line, Row, Target

TITLE = publish.AT_A_GLANCE[0]


def run(tmp_path: Path, *, quick: bool = False) -> Run:
    """A run of one row: one that is faster than ours, one that is <slower>, one that failed."""
    figures = {"ours": (2.0, 2.5), "faster": (1.0, 1.5), "<slower>": (30.0, 31.0), "broken": ()}
    lines = tuple(Line(label, label, "call", 10) for label in figures)
    results = [
        LineResult(line, [Answer("ok", value, versions={"some": "1.0"}) for value in values])
        for line, values in zip(lines, figures.values(), strict=True)
    ]
    results[-1].answers.append(Answer("failed", detail="it broke"))
    targets = (
        Target("ours", 1.0, "faster"),
        Target("<slower>", 10, "ours", least=True),
        Target("ours", 15, how="value"),
        Target("ours", 1, "broken", how="difference"),
    )
    row = RowResult(Row("P1", TITLE, lines, targets), results)
    return Run(describe(tmp_path), 2, [row], 0.5, quick=quick)


HITS = Hits(
    [Played("web", 100, {"adaptive": 50.0, "lru": 40.0, "fifo": 30.0, "optimum": 60.0})],
    {"adaptive": 9.0, "lru": 2.0, "fifo": 1.0, "optimum": 1.0},
)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A folder with the page and the README, as they are in the documentation."""
    folder = tmp_path / "docs"
    folder.mkdir()
    for page in (ROOT / "docs" / publish.PAGE, publish.README):
        shutil.copy(page, folder)
    return folder


def words(picture: Path) -> str:
    """The text of an SVG, which is one."""
    root = ET.parse(picture).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert float(root.get("height", "0")) > 0
    return "\n".join(root.itertext())


def test_a_run_that_was_written_is_read_as_it_was(tmp_path: Path) -> None:
    before = run(tmp_path)
    before.write(tmp_path / "run.json")
    after = Run.of(tmp_path / "run.json")
    assert after.rows[0].row == before.rows[0].row
    assert after.rows[0].medians == before.rows[0].medians
    assert after.rows[0].verdicts() == before.rows[0].verdicts()
    assert after.versions == before.versions == {"some": "1.0"}
    assert after.rows[0].lines[-1].trouble == Answer("failed", detail="it broke")


def test_what_is_published_is_svg_and_a_table(
    tmp_path: Path, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path).write(tmp_path / "run.json")
    HITS.write(tmp_path / "hits.json")
    given = [f"--{name}={tmp_path / name}.json" for name in ("run", "hits")]
    given += [f"--docs={docs}", f"--readme={docs / 'README.md'}"]
    monkeypatch.setattr(sys, "argv", ["publish", *given])
    publish.main()
    publish.main()  # a second time changes the same place
    for name in ("performance", "performance-at-a-glance"):
        told = words(docs / f"{name}.svg")
        assert all(label in told for label in ("ours", "faster", "<slower>", "failed"))
        assert TITLE in told
    assert "web" in words(docs / "hit-ratios.svg")
    page = (docs / publish.PAGE).read_text()
    assert page.count(f"| P1 | {TITLE} | ours / faster <= 1 | 1.80 | short |") == 1
    assert f"| P1 | {TITLE} | <slower> / ours >= 10 | 13.56 | met |" in page
    assert f"| P1 | {TITLE} | ours - broken <= 1 |  | open |" in page
    assert page.count("| web | 100 | 50.00 | 40.00 | 30.00 | 60.00 |") == 1
    readme = (docs / "README.md").read_text()
    assert readme.count(f"| {TITLE} | 2.2 |  |  |  |  |") == 1  # what was not measured is left out


def test_a_quick_run_is_not_published(
    tmp_path: Path, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, quick=True).write(tmp_path / "run.json")
    monkeypatch.setattr(sys, "argv", ["publish", f"--run={tmp_path}/run.json", f"--docs={docs}"])
    with pytest.raises(SystemExit, match="is a quick run"):
        publish.main()
    assert not list(docs.glob("*.svg"))


def test_the_pictures_in_the_documentation_are_svg() -> None:
    for name in ("performance", "performance-at-a-glance", "hit-ratios"):
        assert words(ROOT / "docs" / f"{name}.svg")
