"""Language of the library and of the pages; `tests.support.prose` lists the rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.prose import (
    GLOSSARY,
    PYTHON,
    RULES,
    Passage,
    Rule,
    find_places,
    list_files,
    measure_rate,
    read_glossary,
    read_names,
    read_passages,
)


@pytest.mark.parametrize(
    ("rule", "suffix"),
    [
        pytest.param(rule, suffix, id=f"{rule.name}, {suffix}")
        for rule in RULES
        for suffix in rule.limits
    ],
)
def test_the_prose_keeps_the_limits_of_the_rules(rule: Rule, suffix: str) -> None:
    passages = [passage for path in list_files(suffix) for passage in read_passages(path)]
    rate, limit = measure_rate(rule, passages), rule.limits[suffix]
    places = map(str, find_places(rule, passages))
    assert rate <= limit, "\n".join([f"{rule.name}: {rate:.2f}, at most {limit}", *places])


def test_names_in_the_code_are_words_of_the_glossary() -> None:
    replaced = read_glossary(GLOSSARY.read_text(encoding="utf-8"))
    names = {name for path in list_files(PYTHON) for name in read_names(path)}
    spaced = {re.sub(r"_|(?<=[a-z])(?=[A-Z])", " ", name).lower() for name in names}
    assert len(names) > 1_000
    assert {found[0] for name in spaced if (found := replaced.search(name))} <= {
        "timeout"  # as in names of the standard library
    }


def test_the_glossary_lists_the_words_that_it_replaces() -> None:
    head = "| term | meaning | not |\n| --- | --- | --- |\n"
    replaced = read_glossary(f"{head}| evict | remove `x` | `purge`, `kick out` |\n")
    assert replaced.findall("It purges; x is kicked out, kick out, Purged") == [
        "purges",
        "kick out",
        "Purged",
    ]


def test_the_rules_find_what_they_are_for(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "def compute():\n"
        '    """The value.\n'
        "\n"
        "    Who waits is told.\n"
        '    """\n'
        "    return 1  # nobody computes it anew; who does?\n"
    )
    found = {
        (place.rule, place.line)
        for rule in RULES
        for place in find_places(rule, read_passages(module))
    }
    assert found == {
        ("docstring without a verb at its begin", 2),
        ("headless clause", 4),
        ("dated expression", 4),
        ("person for a program", 6),
        ("dated expression", 6),
    }


def test_code_blocks_of_pages_are_not_prose(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Text.\n```python\nwho = 1\n```\nWhat expires is removed.\n")
    [passage] = read_passages(page)
    assert [place.line for rule in RULES for place in find_places(rule, [passage])] == [5]
    assert measure_rate(RULES[0], [Passage(page, 1, "who is " * 500)]) == 500
