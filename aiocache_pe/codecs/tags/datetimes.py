"""Tags for moments and durations, with their time zones.

A moment is written as ISO 8601 without its zone. The zone stands beside it as what it
is and not only as its offset: a ``ZoneInfo`` by its name, a fixed ``timezone`` by its
offset and its own name if it has one, the zone pydantic gives by its seconds.
"""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import Any, Final

from aiocache_pe.codecs.base import NotExact
from aiocache_pe.codecs.tags.builtin import Decoder, Encoder, Revive, Writer, array, text
from aiocache_pe.exceptions import CorruptRecordError


def _write_delta(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _read_delta(payload: Any) -> timedelta:
    return timedelta(*array(payload, 3))


def _write_datetime(value: datetime, writer: Writer) -> Any:
    if value.tzinfo is UTC and not value.fold:  # as most of them are
        return {"$datetime": value.isoformat()}
    return {"$datetime": _write_moment(value, writer)}


def _write_time(value: time, writer: Writer) -> Any:
    return {"$time": _write_moment(value, writer)}


def _write_moment(value: datetime | time, writer: Writer) -> Any:
    bare = value.replace(tzinfo=None, fold=0).isoformat()
    if value.tzinfo is None and not value.fold:
        return bare
    return [bare, value.fold, _write_zone(value, value.tzinfo, writer)]


def _write_zone(value: datetime | time, zone: tzinfo | None, writer: Writer) -> Any:
    if zone is None:
        return None
    kind = type(zone)
    if kind is timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]
        return {"fixed": _write_delta(offset), "name": writer.items(name)}
    if kind.__module__.partition(".")[0] == "zoneinfo":
        return _zone_name(value, zone)
    if kind is getattr(sys.modules.get("pydantic_core"), "TzInfo", None):
        return {"pydantic": _write_delta(zone.utcoffset(None) or timedelta())}
    raise NotExact(f"a time zone is a {kind.__module__}.{kind.__qualname__}")


def _zone_name(value: datetime | time, zone: tzinfo) -> str:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - it is loaded, or there were no such zone

    name = getattr(zone, "key", None)
    if type(zone) is not ZoneInfo or not name:
        raise NotExact("a ZoneInfo has no name")
    try:
        known = ZoneInfo(name)
    except (OSError, KeyError, ValueError):
        raise NotExact(f"the time zone {name!r} is not known on this machine") from None
    # A zone may be read from any file and given any name.
    if value.replace(tzinfo=known).utcoffset() != value.utcoffset():
        raise NotExact(f"a time zone is called {name!r} and is another")
    return str(name)


def _read_zone(payload: Any, revive: Revive) -> tzinfo | None:
    if payload is None:
        return None
    if type(payload) is str:
        from zoneinfo import ZoneInfo  # noqa: PLC0415 - it is not cheap, and few need it

        return ZoneInfo(payload)
    if "pydantic" in payload:
        from pydantic_core import TzInfo  # noqa: PLC0415 - an optional package

        zone: tzinfo = TzInfo(_read_delta(payload["pydantic"]).total_seconds())
        return zone
    return timezone(_read_delta(payload["fixed"]), *map(revive, array(payload["name"])))


def _read_datetime(payload: Any, revive: Revive) -> datetime:
    if type(payload) is str:
        return datetime.fromisoformat(payload)
    bare, fold, zone = array(payload, 3)
    moment = datetime.fromisoformat(text(bare))
    return moment.replace(fold=fold, tzinfo=_read_zone(zone, revive))


def _read_time(payload: Any, revive: Revive) -> time:
    if type(payload) is str:
        return time.fromisoformat(payload)
    bare, fold, zone = array(payload, 3)
    return time.fromisoformat(text(bare)).replace(fold=fold, tzinfo=_read_zone(zone, revive))


def _write_timezone(value: timezone, writer: Writer) -> Any:
    return {"$timezone": _write_zone(datetime.min, value, writer)}  # noqa: DTZ901


def _read_timezone(payload: Any, revive: Revive) -> timezone:
    zone = _read_zone(payload, revive)
    if type(zone) is not timezone:
        raise CorruptRecordError("a tag holds something else than it should")
    return zone


ENCODERS: Final[dict[type, Encoder]] = {
    datetime: _write_datetime,
    date: lambda value, _: {"$date": value.isoformat()},
    time: _write_time,
    timedelta: lambda value, _: {"$timedelta": _write_delta(value)},
    timezone: _write_timezone,
}

DECODERS: Final[dict[str, Decoder]] = {
    "$datetime": _read_datetime,
    "$date": lambda payload, _: date.fromisoformat(text(payload)),
    "$time": _read_time,
    "$timedelta": lambda payload, _: _read_delta(payload),
    "$timezone": _read_timezone,
}
