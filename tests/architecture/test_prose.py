"""Language of the library and of the pages; `tests.support.prose` lists the rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.prose import (
    RULES,
    Passage,
    Rule,
    find_places,
    list_files,
    measure_rate,
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
