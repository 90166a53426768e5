"""Tagged JSON restores values of the standard library exactly, and stays readable."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
import time
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID, SafeUUID, uuid1, uuid4

import msgspec
import pytest

from aiocache_pe.codecs.base import MAX_DEPTH, NotExactError
from aiocache_pe.codecs.classes.registry import register
from aiocache_pe.codecs.tagged_json import TaggedJson, encode_tagged
from aiocache_pe.exceptions import CorruptRecordError
from tests.support.exactness import assert_round_trip, assert_same, choose_codec, round_trip
from tests.support.hostile import COLLIDING


def write(value: Any) -> Any:
    """Return the JSON data that a value is written as."""
    return json.loads(encode_tagged(value))


def test_a_tuple_is_restored_as_a_tuple() -> None:
    assert_round_trip((1, "a", (), [(None,)]))
    assert write({"size": (640, 480)}) == {"size": {"$tuple": [640, 480]}}


def test_sets_are_restored_as_sets() -> None:
    assert_round_trip([{1, "a", None, (2, 3)}, set(), frozenset({frozenset({b"x"})})])


def test_a_set_is_written_the_same_in_every_process() -> None:
    program = (
        "from aiocache_pe.codecs.tagged_json import encode_tagged;"
        "print(encode_tagged({'a', 'b', 'c', 'd', 1, None, (1, 'e'), frozenset({'f', 'g'})}).hex())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1


def test_keys_keep_their_type_and_their_order() -> None:
    assert_round_trip({1: "int", "1": "str", 1.5: "float", None: 0, (1, 2): 3, b"b": 4})
    assert_round_trip({True: 1, "True": 2})
    assert write({2: "b", 1: "a"}) == {"$dict": [[2, "b"], [1, "a"]]}


@pytest.mark.parametrize("key", ["$tuple", "$type", "$dict", "$", "$unknown"])
def test_a_users_dict_is_never_mistaken_for_a_tag(key: str) -> None:
    nested: Any = {"a": {key: {"$tuple": []}}}
    for value in ({key: [1, 2]}, {key: 1, "other": 2}, nested):
        assert_round_trip((value,))


@pytest.mark.parametrize("nan", ["7ff8000000000000", "fff8000000000000", "7ff8000000000001"])
def test_nan_keeps_its_bits(nan: str) -> None:
    value: float = struct.unpack(">d", bytes.fromhex(nan))[0]
    assert_round_trip({"score": value, "many": [value] * 100})


def test_two_nans_in_a_set_stay_two() -> None:
    assert len(round_trip({float("nan"), float("nan")})) == 2


@pytest.mark.parametrize(
    "value",
    [
        math.inf, -math.inf, 2**64, -(2**63) - 1, 10**500, -(10**700), 1 << 100_000,
        b"", b"\x00\xff", bytearray(b"abc"), complex(-0.0, math.nan), complex(1, -0.0), 1e400j,
        range(0), range(10, -5, -3), range(10**30),
        Decimal("1.10"), Decimal("-0"), Decimal("NaN"), Decimal("sNaN123"), Decimal("-Infinity"),
        Decimal("1E+999999"), Decimal("0E-30"), Decimal(10) ** -400, Decimal("1." + "1" * 500),
        uuid4(), uuid1(), UUID(int=0, is_safe=SafeUUID.unsafe),
        Path("/a/b"), Path(), Path("a b/\u00e9"), PurePosixPath("//x/y"),
        PureWindowsPath("C:/x", "y"), Path("bad\udcff"),
        Fraction(-3, 7), Fraction(10**40, 3),
        OrderedDict([("b", 1), ("a", 2)]), OrderedDict([((1,), {2})]),
        Counter("hello"), Counter({"a": 0, "b": -1, (1,): 2}),
        defaultdict(list, {"a": [1]}), defaultdict(None, {1: 2}), defaultdict(dict),
        deque([1, (2,)]), deque([1, 2], maxlen=3), deque(maxlen=0),
        msgspec.UNSET,
        ip_address("127.0.0.1"), ip_network("10.0.0.0/8"), ip_interface("10.1.2.3/8"),
        ip_address("::1"), ip_address("fe80::1%eth0"), ip_network("fe80::/10"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_of_the_standard_library_are_restored(value: Any) -> None:
    assert_round_trip([value])
    assert_round_trip({"deep": [{"deeper": (value, value)}]})
    if type(value) is not bytes:
        assert choose_codec(value) == "tagged"


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ud83d\ude00", "\U0001f600\udc00"])
def test_lone_surrogates_are_restored(text: str) -> None:
    assert_round_trip([text, "plain", (1,)])
    assert_round_trip({text: text, "plain": {text}})


def test_text_around_a_lone_surrogate_stays_readable() -> None:
    assert write("well, \ud800 then") == {"$str": ["well, ", 0xD800, " then"]}


def test_the_output_is_valid_json() -> None:
    value = {"when": (1, 2), "people": {"é", "b"}, "nan": float("nan")}
    assert b"NaN" not in encode_tagged(value)
    assert json.loads(encode_tagged(value))["when"] == {"$tuple": [1, 2]}


class Text(str):
    __slots__ = ()


class Pair(tuple[int, int]):
    __slots__ = ()


class Settings(dict[str, int]):
    pass


class Big(Decimal):
    pass


@pytest.mark.parametrize(
    "value",
    [Text("a"), Pair((1, 2)), Settings(a=1), Big(1), object(), len, int, defaultdict(lambda: 1)],
    ids=lambda value: type(value).__name__,
)
def test_subclasses_and_unknown_types_have_no_tag(value: Any) -> None:
    assert TaggedJson().encode(value) is None
    assert TaggedJson().encode([{"a": value}]) is None


def test_a_container_with_attributes_is_refused() -> None:
    counter = Counter("a")
    counter.note = "mine"  # type: ignore[attr-defined]
    assert TaggedJson().encode(counter) is None


def test_a_class_that_claims_the_name_of_a_module_has_no_tag() -> None:
    for module, name in (("pathlib", "Path"), ("fractions", "Fraction"), ("numpy", "ndarray")):
        impostor = type(name, (), {"__module__": module})
        assert TaggedJson().encode(impostor()) is None


def test_a_path_that_is_read_differently_is_refused() -> None:
    path = PureWindowsPath("//a/")
    if str(PureWindowsPath(str(path))) == str(path):
        pytest.skip("this version of Python reads the path exactly")
    assert TaggedJson().encode(path) is None


@pytest.mark.parametrize("copies", [1, 3])
def test_a_value_that_contains_itself_is_refused(copies: int) -> None:
    cycle: list[Any] = [()]
    cycle.extend([cycle] * copies)
    with pytest.raises(NotExactError, match="contains itself"):
        encode_tagged(cycle)


def test_a_value_of_the_greatest_depth_is_restored() -> None:
    makers: list[Any] = [
        lambda inner: {1: inner},
        lambda inner: (inner,),
        lambda inner: frozenset({inner}),
        lambda inner: deque([inner]),
        lambda inner: defaultdict(list, {1: inner}),
    ]
    for make in makers:
        value: Any = 1
        for _ in range(MAX_DEPTH):
            value = make(value)
        assert_same(TaggedJson().decode(encode_tagged(value)), value)
        with pytest.raises(NotExactError, match=f"nested more than {MAX_DEPTH} levels deep"):
            encode_tagged(make(value))


@pytest.mark.parametrize("name", COLLIDING)
def test_many_items_with_equal_hashes_are_refused(name: str) -> None:
    trace = sys.gettrace()
    sys.settrace(None)  # the measurement of coverage takes longer than the check
    try:
        began = time.thread_time()
        with pytest.raises(CorruptRecordError, match="equal hashes"):
            TaggedJson().decode(COLLIDING[name])
        assert time.thread_time() - began < 4.0  # without the check, ten seconds
    finally:
        sys.settrace(trace)


class Coarse(NamedTuple):
    """A class with a few hashes for all its instances."""

    number: int

    def __hash__(self) -> int:
        return self.number % 3


@pytest.mark.parametrize("count", [100, 2000])
def test_a_set_that_its_reader_would_refuse_is_not_written(count: int) -> None:
    register(Coarse)
    items = {Coarse(n) for n in range(count)}
    for value in (items, frozenset(items), dict.fromkeys(items)):
        if count == 100:
            assert_round_trip(value)
        else:
            with pytest.raises(NotExactError, match="equal hashes"):
                encode_tagged(value)


def test_numbers_with_quadratic_arithmetic_are_not_written_and_refused() -> None:
    large = 1 << 20_000
    for value in (Fraction(large, 3), range(0, large * 2, large)):
        with pytest.raises(NotExactError, match="bits"):
            encode_tagged(value)
    for tag in ("$fraction", "$range"):
        numbers = [{"$int": hex(large)}] * (2 if tag == "$fraction" else 3)
        with pytest.raises(CorruptRecordError, match="bits"):
            TaggedJson().decode(json.dumps({tag: numbers}).encode())
    assert_round_trip([Fraction(1 << 14_000, 3), range(5, 1 << 14_000, 7), 1 << 14_000])
