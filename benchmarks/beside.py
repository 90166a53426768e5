"""The README's table: a few rows of a run, a column for each library."""

from __future__ import annotations

from typing import Final, NamedTuple

from benchmarks.results import Run

COLUMNS: Final = ("aiocache_pe", "aiocache", "cashews", "diskcache", "async-lru")


class Beside(NamedTuple):
    """A row of the README.

    Attributes:
        what: what its figures are of.
        title: the row of the run they come from.
        lines: by column, the label of the line, and a word to set behind its figure.
    """

    what: str
    title: str
    lines: dict[str, tuple[str, str]]


def _disk(ours: str, note: str = " (blocking)") -> dict[str, tuple[str, str]]:
    return {
        "aiocache_pe": (ours, ""),
        "cashews": ("cashews disk", ""),
        "diskcache": ("diskcache", note),
    }


ROWS: Final = (
    Beside(
        "decorated call, hit in memory",
        "decorated call, hit in memory",
        {
            "aiocache_pe": ("ours", ""),
            "aiocache": ("aiocache", ""),
            "cashews": ("cashews", ""),
            "async-lru": ("async-lru", ""),
        },
    ),
    Beside(
        "the same over files, checked against the file",
        "decorated call, hit over files",
        _disk("ours") | {"diskcache": ("diskcache memoize", " (blocking)")},
    ),
    Beside(
        "`get` of an entry that is only on disk",
        "file get, memory tier off, pages warm",
        _disk("ours") | {"diskcache": ("diskcache.get", " (blocking)")},
    ),
    Beside("`set` of a new entry on disk", "file set, new keys", _disk("ours, one awaited")),
    Beside(  # who blocks makes one after the other, however many want to
        "64 such at once, each",
        "file set, new keys",
        {"aiocache_pe": ("ours, 64 at once", ""), "diskcache": ("diskcache", " (blocking)")},
    ),
    Beside(
        "`set_many` of 1,000, each", "file set, new keys", {"aiocache_pe": ("ours, set_many", "")}
    ),
    Beside(
        "`get` from Redis",
        "Redis get, past the memory tier",
        {name: (name, "") for name in ("aiocache", "cashews")} | {"aiocache_pe": ("ours", "")},
    ),
    Beside(
        "the same, kept in memory until Redis tells of a change",
        "Redis get, kept in memory and tracked",
        {"aiocache_pe": ("ours", ""), "cashews": ("cashews, client-side", "")},
    ),
)


def table(run: Run) -> list[str]:
    """The lines of the table, and one that says where and when it was measured.

    A figure that the run does not have is left out.
    """
    medians = {row.row.title: row.medians for row in run.rows}
    lines = [f"| us per operation | {' | '.join(COLUMNS)} |", "| --- " * (len(COLUMNS) + 1) + "|"]
    for row in ROWS:
        figures = medians.get(row.title, {})
        cells = [_cell(figures, *row.lines.get(column, ("", ""))) for column in COLUMNS]
        lines.append(f"| {row.what} | {' | '.join(cells)} |")
    where = run.environment
    place = f"{where['date'][:10]}, {where['cpus']} x {where['processor']}, {where['python']}"
    return [*lines, "", f"Measured on {place}, {where['kernel']}, {where['filesystem']}."]


def _cell(figures: dict[str, float], label: str, note: str) -> str:
    figure = figures.get(label)
    if figure is None:
        return ""
    return f"{figure:,.{1 if figure < 10 else 0}f}{note}"  # noqa: PLR2004
