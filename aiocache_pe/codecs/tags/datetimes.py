"""Tags of JSON for dates, times and durations, with their time zones.

A moment is written as ISO 8601 without its zone. The zone is written beside it by its identity,
not only by its offset: a ``ZoneInfo`` by its name, a fixed ``timezone`` by its offset and its own
name, if it has one, and the zone of pydantic by its offset.
"""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import Any, Final, TypeVar

from aiocache_pe.codecs.base import NotExactError
from aiocache_pe.codecs.tags.builtin import (
    Decoder,
    Encoder,
    Reviver,
    Writer,
    check_list,
    check_text,
)
from aiocache_pe.exceptions import CorruptRecordError

M = TypeVar("M", datetime, time)


def _write_delta(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _read_delta(payload: Any) -> timedelta:
    return timedelta(*check_list(payload, 3))


def _write_datetime(value: datetime, writer: Writer) -> Any:
    if value.tzinfo is UTC and not value.fold:  # a short form for the most frequent zone
        return {"$datetime": value.isoformat()}
    return {"$datetime": _write_moment(value, writer)}


def _write_moment(value: datetime | time, writer: Writer) -> Any:
    naive = value.replace(tzinfo=None, fold=0).isoformat()
    if value.tzinfo is None and not value.fold:
        return naive
    return [naive, value.fold, _write_zone(value, value.tzinfo, writer)]


def _write_zone(value: Any, zone: tzinfo | None, writer: Writer) -> Any:
    if zone is None:
        return None
    kind = type(zone)
    if kind is timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]
        return {"fixed": _write_delta(offset), "name": writer.write_items(name)}
    if kind.__module__.partition(".")[0] == "zoneinfo":
        return _get_zone_name(value, zone)
    if kind is getattr(sys.modules.get("pydantic_core"), "TzInfo", None):
        return {"pydantic": _write_delta(zone.utcoffset(None) or timedelta())}
    raise NotExactError(f"a time zone is a {kind.__module__}.{kind.__qualname__}")


def _get_zone_name(value: datetime | time, zone: tzinfo) -> str:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - it is not cheap, and few need it

    name = getattr(zone, "key", None)
    if type(zone) is not ZoneInfo or not name:
        raise NotExactError("a ZoneInfo has no name")
    try:
        known = ZoneInfo(name)
    except (OSError, KeyError, ValueError):
        raise NotExactError(f"the time zone {name!r} is not known on this machine") from None
    # A zone can be read from any file and have any name.
    if value.replace(tzinfo=known).utcoffset() != value.utcoffset():
        raise NotExactError(f"a time zone has the name {name!r} and another offset")
    return str(name)


def _read_zone(payload: Any, revive: Reviver) -> tzinfo | None:
    if payload is None:
        return None
    if type(payload) is str:
        from zoneinfo import ZoneInfo  # noqa: PLC0415 - it is not cheap, and few need it

        return ZoneInfo(payload)
    if "pydantic" in payload:
        from pydantic_core import TzInfo  # noqa: PLC0415 - an optional package

        zone: tzinfo = TzInfo(_read_delta(payload["pydantic"]).total_seconds())
        return zone
    return timezone(_read_delta(payload["fixed"]), *map(revive, check_list(payload["name"])))


def _read_moment(cls: type[M], payload: Any, revive: Reviver) -> M:
    if type(payload) is str:
        return cls.fromisoformat(payload)
    naive, fold, zone = check_list(payload, 3)
    moment = cls.fromisoformat(check_text(naive))
    return moment.replace(fold=fold, tzinfo=_read_zone(zone, revive))


def _read_timezone(payload: Any, revive: Reviver) -> timezone:
    zone = _read_zone(payload, revive)
    if type(zone) is not timezone:
        raise CorruptRecordError(f"$timezone must hold a fixed time zone; got {payload!r:.80}")
    return zone


ENCODERS: Final[dict[type, Encoder]] = {
    datetime: _write_datetime,
    date: lambda value, _: {"$date": value.isoformat()},
    time: lambda value, writer: {"$time": _write_moment(value, writer)},
    timedelta: lambda value, _: {"$timedelta": _write_delta(value)},
    timezone: lambda value, writer: {"$timezone": _write_zone(None, value, writer)},
}

DECODERS: Final[dict[str, Decoder]] = {
    "$datetime": lambda payload, revive: _read_moment(datetime, payload, revive),
    "$date": lambda payload, _: date.fromisoformat(check_text(payload)),
    "$time": lambda payload, revive: _read_moment(time, payload, revive),
    "$timedelta": lambda payload, _: _read_delta(payload),
    "$timezone": _read_timezone,
}
