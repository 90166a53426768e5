"""Tables of pandas and polars, and images of Pillow: exact, readable without a secret, and keys."""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from aiocache_pe.codecs.pipeline import Pipeline
from aiocache_pe.exceptions import CorruptRecordError, SecretRequiredError, UnstableIdentityError
from aiocache_pe.keys.canonical import canonicalize

pd: Any = pytest.importorskip("pandas")
pl: Any = pytest.importorskip("polars")
image: Any = pytest.importorskip("PIL.Image")


def make_frame() -> Any:
    moments = ["2026-01-01", "2026-01-02"]
    return pd.DataFrame(
        {
            "int": [1, 2],
            "float": [1.5, float("nan")],
            "text": ["x", None],
            "category": pd.Categorical(["u", "v"], categories=["v", "u"]),
            "zoned": pd.to_datetime(moments, utc=True).tz_convert("Europe/Berlin"),
            "naive": pd.to_datetime(moments),
            "nullable": pd.array([1, None], dtype="Int64"),
            "objects": pd.array(["q", 2], dtype=object),
            "bools": [True, False],
        }
    )


def make_table() -> Any:
    return pl.DataFrame(
        {
            "int": [1, None],
            "float": [1.0, float("nan")],
            "text": ["x", None],
            "lists": [[1], []],
            "structs": [{"q": 1}, None],
            "bytes": [b"a", None],
            "moment": pl.Series([1, 2]).cast(pl.Datetime("ns", "UTC")),
            "duration": [dt.timedelta(1), None],
            "time": pl.Series([1, 2]).cast(pl.Time),
            "date": [dt.date(2026, 1, 1), None],
            "enum": pl.Series(["a", "b"], dtype=pl.Enum(["b", "a"])),
            "category": pl.Series(["a", "b"]).cast(pl.Categorical),
        }
    )


def make_image(mode: str = "RGB", color: Any = 7) -> Any:
    made = image.new(mode, (3, 2), color)
    made.info["dpi"] = (72, 72)
    return made


STORED: dict[str, Callable[[], Any]] = {
    "frame": make_frame,
    "empty frame": pd.DataFrame,
    "frame of rows": lambda: pd.DataFrame(index=["a", "b"]),
    "frame by text": lambda: make_frame().set_index("text"),
    "frame by time": lambda: make_frame().set_index("zoned"),
    "frame by category": lambda: make_frame().set_index("category"),
    "frame by two": lambda: make_frame().set_index(["int", "bools"]),
    "frame with equal names": lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]),
    "frame with numbers for names": lambda: pd.DataFrame([[1, 2]]),
    "series": lambda: pd.Series([1, 2], name="a"),
    "nameless series": lambda: pd.Series(["a", None], dtype="string"),
    "table": make_table,
    "empty table": pl.DataFrame,
    "table without rows": lambda: make_table().clear(),
    "column": lambda: pl.Series("a", [1.5, 2.5], dtype=pl.Float32),
    "image": make_image,
    "grey image": lambda: make_image("L"),
    "image with alpha": lambda: make_image("RGBA", (1, 2, 3, 4)),
    "deep image": lambda: make_image("I;16"),
    "nested": lambda: [{"frame": make_frame(), "table": make_table(), "image": make_image()}],
}
SIGNED: dict[str, Callable[[], Any]] = {
    "lists": lambda: pd.Series([pd.Period("2026")]),
    "decimal": lambda: pl.Series(["1.10"]).cast(pl.Decimal(10, 2)),
    "CMYK": lambda: make_image("CMYK"),
    "long": lambda: pl.Series(["a"] * 100_001),
}
VARIANTS: list[Callable[[], Any]] = [
    make_frame,
    lambda: make_frame().rename(columns={"int": "other"}),
    lambda: make_frame().iloc[::-1],
    lambda: make_frame().assign(int=[1.0, 2.0]),
    lambda: make_frame().assign(category=pd.Categorical(["u", "v"], ["v", "u"], ordered=True)),
    lambda: make_frame().assign(naive=pd.to_datetime(["2026-01-01", "2026-01-02"], utc=True)),
    lambda: pd.Series([1, 2]),
    lambda: pd.Series([1, 2], dtype=object),
    lambda: pd.Series(["1", "2"]),
    lambda: pd.Series([pd.NaT]),
    lambda: pd.Series([pd.NA, None], dtype=object),
    lambda: pd.Index([1, 2]),
    make_table,
    lambda: make_table().slice(0, 1),
    lambda: make_table()["int"],
    lambda: make_table()["int"].cast(pl.Int32),
    lambda: pl.Series([1]).cast(pl.Datetime("ns")),
    lambda: pl.Series([2]).cast(pl.Datetime("ns")),
    lambda: pl.Series(["a"], dtype=pl.Enum(["a", "b"])),
    lambda: pl.Series(["a"], dtype=pl.Enum(["b", "a"])),
    make_image,
    lambda: make_image(color=8),
    lambda: make_image("RGBA", (7, 7, 7, 255)),
    lambda: image.new("RGB", (3, 2), 7),
]


@pytest.mark.parametrize("name", STORED)
def test_a_table_or_image_is_restored_without_a_secret(name: str) -> None:
    value = STORED[name]()
    codec, payload = Pipeline().encode("k", value)
    assert codec == "tagged"
    json.loads(payload)
    restored = Pipeline().decode("k", codec, payload)
    assert type(restored) is type(value)
    assert canonicalize(restored) == canonicalize(value)
    if isinstance(value, pd.DataFrame):
        pd.testing.assert_frame_equal(restored, value, check_exact=True)
    elif isinstance(value, pl.DataFrame):
        assert restored.equals(value)
        assert restored.schema == value.schema


@pytest.mark.parametrize("name", SIGNED)
def test_other_tables_need_a_secret(name: str) -> None:
    with pytest.raises(SecretRequiredError, match="secret="):
        Pipeline().encode("k", SIGNED[name]())
    codec, payload = Pipeline(secret=b"secret").encode("k", SIGNED[name]())
    restored = Pipeline(secret=b"secret").decode("k", codec, payload)
    assert str(restored) == str(SIGNED[name]()) or name == "CMYK"


def test_equal_tables_have_one_key_and_others_have_another() -> None:
    texts = [canonicalize(make()) for make in VARIANTS]
    assert len(set(texts)) == len(texts)
    assert texts == [canonicalize(make()) for make in VARIANTS]
    whole = pl.Series("a", [1, 2, None])
    parts = pl.concat([whole.slice(0, 1), whole.slice(1)], rechunk=False)
    assert canonicalize(parts) == canonicalize(whole)


def test_an_image_counts_by_its_pixels_and_facts() -> None:
    buffer = io.BytesIO()
    make_image().save(buffer, "PNG")
    opened = [canonicalize(image.open(io.BytesIO(buffer.getvalue()))) for _ in range(2)]
    assert opened[0] == opened[1]
    frames = io.BytesIO()
    make_image().save(frames, "GIF", save_all=True, append_images=[make_image(color=200)])
    with pytest.raises(UnstableIdentityError, match="register_identity"):
        canonicalize(image.open(io.BytesIO(frames.getvalue())))


@pytest.mark.parametrize("value", [lambda: make_table().lazy(), lambda: pd.Series([object()])])
def test_a_table_without_identity_is_refused_with_the_ways_out(value: Any) -> None:
    with pytest.raises(UnstableIdentityError, match=r"__cache_key__\(\).*register_identity\("):
        canonicalize(value())


@pytest.mark.parametrize(
    "payload",
    [
        '{"$pandas":["DataFrame",[["range",null,0,1,1],["range",null,0,9,1],[["list","int64",[1]]]]]}',
        '{"$pandas":["Series",[["a"],["tuples",["a"],[1]],[]]]}',
        '{"$pandas":["Index",[[],["range",null,0,1,1],[]]]}',
        '{"$pandas":["Series",[["a"],["range",null,0,1,1],[["category",[9],["values","",1],false]]]]}',
        '{"$polars":["DataFrame",2,[["a","Int64",[1]]]]}',
        '{"$polars":["Series",0,[["a","Object",[1]]]]}',
        '{"$polars":["Series",0,[["a",["Datetime","h",null],[1]]]]}',
        '{"$polars":["Series",0,[["a","Int64",["x"]]]]}',
        '{"$polars":["Series",0,[]]}',
        '{"$image":["AAAA",{}]}',
        '{"$image":[1]}',
    ],
)
def test_hostile_tables_are_refused(payload: str) -> None:
    with pytest.raises(CorruptRecordError):
        Pipeline().decode("k", "tagged", payload.encode())


def test_an_image_with_more_pixels_than_its_size_allows_is_refused() -> None:
    black = image.new("L", (4_000, 4_000))
    buffer = io.BytesIO()
    black.save(buffer, "PNG")
    payload = {"$image": [base64.b64encode(buffer.getvalue()).decode(), {}]}
    with pytest.raises(CorruptRecordError, match="too many pixels"):
        Pipeline().decode("k", "tagged", json.dumps(payload).encode())
