"""Process that damages and forges entries of a store, reads them and reports the results.

``python -m tests.support.processes.forge_entries DIRECTORY MUTATIONS`` prints one line of JSON.
Each mutation replaces the file of a real entry, is read, and must be a miss. A process of its
own allows to measure its memory.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import pickle
import resource
import shutil
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from aiocache_pe import CacheManager
from aiocache_pe.keys.store_keys import quote
from aiocache_pe.record import Head, pack_head, unpack
from tests.support import zstd

MIB = 1024 * 1024
BOMB = 10 * 1024 * MIB
"""Size in bytes of each bomb after decompression."""

CODECS = [
    serializer + compression + signature
    for serializer, compression, signature in itertools.product(
        ("json", "bytes", "numpy", "tagged", "pickle"), ("", "+gzip", "+zstd"), ("", "+hmac")
    )
]
PICKLES = [codec for codec in CODECS if codec.startswith("pickle")]
_STATUS = Path("/proc/self/status")
BOMBS_EVERY = 100  # mutations; a bomb takes as long as a hundred other mutations


class Text(str):
    """A class that only pickle can store."""


class Bomb:
    """A class that creates a directory when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


SMALL: dict[str, Any] = {
    "json": {"text": "a value", "numbers": [1, 2.5, None]},
    "tagged": {"pair": (1, 2), "at": datetime(2026, 1, 1, tzinfo=UTC), "keys": {1: {2}}},
    "bytes": bytes(range(256)),
    "pickle": [Text("a"), {Text("b")}],
}
LARGE: dict[str, Any] = {
    "json": ["again and again"] * 300,
    "tagged": [("again", b"and again")] * 300,
    "bytes": b"again and again" * 300,
    "pickle": [Text("again and again")] * 300,
}
BOMBED = "json, gzip"
"""The key of the entry that the bombs replace."""


async def store_values(directory: Path) -> dict[str, Any]:
    """Store values of every codec, small and compressed, and return them by key."""
    values: dict[str, Any] = {}
    for compression in (None, "gzip", "zstd"):
        some = SMALL if compression is None else LARGE
        named = {f"{name}, {compression}": value for name, value in some.items()}
        async with CacheManager(directory=directory, compression=compression) as cache:
            assert await cache.set_many(named)
        values |= named
    return values


class Forger:
    """The changes that an attacker with write access to the files can make."""

    def __init__(self, files: dict[str, Path], outside: Path, chance: Random) -> None:
        self.chance = chance
        self.files = files
        self.blobs = {key: file.read_bytes() for key, file in files.items()}
        self.marker = outside / "ran"
        self.bombs = {name: outside / name for name in BOMBS}

    def mutate(self, key: str, number: int) -> str:
        """Replace the file of an entry and return the kind of the mutation."""
        if is_bomb(number):
            name = self.chance.choice(list(self.bombs))
            shutil.copyfile(self.bombs[name], self.files[BOMBED])
            self._set_mtime(BOMBED)
            return name
        make = self.chance.choice(
            (
                flip_bit,
                truncate,
                self.swap_entry,
                self.move_payload,
                self.change_codec,
                self.inject_pickle,
            )
        )
        self.files[key].write_bytes(make(key, self.blobs[key], self.chance))
        self._set_mtime(key)
        return make.__name__

    def restore(self, key: str) -> None:
        """Restore the file of an entry."""
        self.files[key].write_bytes(self.blobs[key])
        self._set_mtime(key)

    def swap_entry(self, key: str, blob: bytes, chance: Random) -> bytes:
        """Return the entry of another key."""
        return self.blobs[chance.choice([other for other in self.blobs if other != key])]

    def move_payload(self, key: str, blob: bytes, chance: Random) -> bytes:
        """Return the signed payload of another key under this key, with correct checksums."""
        signed = [other for other in self.blobs if "pickle" in other and other != key]
        record = unpack(self.blobs[chance.choice(signed)])
        return make_record(key, record.head.codec, record.payload)

    def change_codec(self, key: str, blob: bytes, chance: Random) -> bytes:
        """Return the entry with the name of another codec, with wrong or with correct checksums."""
        record = unpack(blob)
        if chance.random() < 0.5:
            codec = chance.choice([codec for codec in CODECS if codec != record.head.codec])
            return blob.replace(b'"%b"' % record.head.codec.encode(), b'"%b"' % codec.encode(), 1)
        codec = chance.choice([codec for codec in PICKLES if codec != record.head.codec])
        return make_record(key, codec, record.payload)

    def inject_pickle(self, key: str, blob: bytes, chance: Random) -> bytes:
        """Return a pickle that runs code, under a codec that might unpickle it."""
        payload = pickle.dumps(Bomb(self.marker))
        codec = chance.choice(PICKLES)
        if "gzip" in codec:
            payload = zlib.compress(payload, wbits=31)
        if "zstd" in codec:
            payload = zstd.compress(payload)
        start = chance.choice(
            [b"", bytes(32), chance.randbytes(32), self.blobs["pickle, None"][-96:-64]]
        )
        return make_record(key, codec, start + payload)

    def _set_mtime(self, key: str) -> None:
        # The kernel's clock is too coarse: two writes could get the same time.
        moment = self.chance.randrange(10**18, 2 * 10**18)
        os.utime(self.files[key], ns=(moment, moment))


def is_bomb(number: int) -> bool:
    """Return whether the mutation of this number is a bomb."""
    return number % BOMBS_EVERY == 0


def make_record(key: str, codec: str, payload: bytes) -> bytes:
    """Return a complete record."""
    head = Head(v=1, key=f"default:{key}", codec=codec, created_at=0.0, size=len(payload))
    return pack_head(head, payload) + payload


def flip_bit(key: str, blob: bytes, chance: Random) -> bytes:
    """Return the record with one bit flipped."""
    changed = bytearray(blob)
    changed[chance.randrange(len(blob))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def truncate(key: str, blob: bytes, chance: Random) -> bytes:
    """Return the record without its end."""
    return blob[: chance.randrange(len(blob))]


def make_gzip_bomb(path: Path) -> Path:
    """Write 10 GB of zeros as gzip: copies of a block that ends on a byte boundary."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(8 * MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    count = BOMB // (8 * MIB)
    payload = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff" + block * count + b"\x03\0" + bytes(8)
    path.write_bytes(make_record(BOMBED, "json+gzip", payload))
    return path


def make_zstd_bomb(path: Path) -> Path:
    """Write 10 GB of zeros as zstd: blocks of 128 KiB that repeat one byte (RFC 8878)."""
    size = 128 * 1024
    block = struct.pack("<I", size << 3 | 1 << 1)[:3] + b"\0"
    frame = b"\x28\xb5\x2f\xfd\0" + bytes([(17 - 10) << 3]) + block * (BOMB // size)
    path.write_bytes(make_record(BOMBED, "bytes+zstd", frame + b"\x01\0\0"))
    return path


BOMBS: dict[str, Callable[[Path], Path]] = {
    "gzip_bomb": make_gzip_bomb,
    "zstd_bomb": make_zstd_bomb,
}


def measure_peak_megabytes() -> float:
    """Return the peak memory of this program; `getrusage` would include that of its parent."""
    if not _STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with _STATUS.open() as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


async def attack(directory: Path, count: int) -> dict[str, Any]:
    """Mutate and read ``count`` times, and return the results."""
    chance = Random("forger")
    values = await store_values(directory)
    quoted = {key: quote(key, upper=True) for key in values}
    files = {key: next(directory.glob(f"default/*/*-{quoted[key]}")) for key in values}
    forger = Forger(files, directory.parent, chance)
    kinds: Counter[str] = Counter()
    accepted: list[str] = []
    readers = [CacheManager(directory=directory, memory_max_bytes=n) for n in (0, 64 * MIB)]
    for cache in readers:
        assert await cache.get_many(list(values)) == values
    before = measure_peak_megabytes()
    for number in range(count):
        key = BOMBED if is_bomb(number) else chance.choice(list(values))
        cache = readers[number % 2]
        if number % 10 == 0:  # also right after the entry was in memory
            assert await cache.get(key) == values[key]
        kind = forger.mutate(key, number)
        kinds[kind] += 1
        if await cache.get(key, MISS) is not MISS:
            accepted.append(f"{number}: {kind} of {key}")
        shutil.rmtree(directory / ".damaged", ignore_errors=True)
        forger.restore(key)
    peak = measure_peak_megabytes()
    for cache in readers:
        assert await cache.get_many(list(values)) == values
    for cache in readers:
        await cache.close()
    async with CacheManager(directory=directory) as cache:
        errors = (await cache.get_stats()).errors
    return {
        "kinds": kinds,
        "accepted": accepted,
        "errors": errors,
        "executed": forger.marker.exists(),
        "before": before,
        "peak": peak,
    }


MISS = object()


def main() -> None:
    """Attack the store in the directory of the command line."""
    directory, count = Path(sys.argv[1]), int(sys.argv[2])
    child = os.fork()  # the memory for making bombs is not measured
    if not child:
        for name, make in BOMBS.items():
            make(directory.parent / name)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    sys.stdout.write(json.dumps(asyncio.run(attack(directory, count))))


if __name__ == "__main__":
    main()
