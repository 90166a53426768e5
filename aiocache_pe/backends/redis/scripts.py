"""What the server has to do in one step: small Lua scripts over one key each.

One key each, so that a Cluster can run them too. They are called by their digest; a
server that does not know one yet is sent it whole.
"""

from __future__ import annotations

from hashlib import sha1
from typing import NamedTuple


class Script(NamedTuple):
    """A script and the digest that the server knows it by."""

    source: str
    sha: str


def _script(source: str) -> Script:
    return Script(source, sha1(source.encode(), usedforsecurity=False).hexdigest())


def digest(blob: bytes | None) -> str:
    """What `SWAP` compares: the value's digest, empty when there is none."""
    return "" if blob is None else sha1(blob, usedforsecurity=False).hexdigest()


SWAP = _script("""\
local there = redis.call('GET', KEYS[1])
if (there and redis.sha1hex(there) or '') ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('UNLINK', KEYS[1])
elseif ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
""")
"""Store a value, or with an empty one nothing, if what is there has this digest.

Arguments: the digest of what is there, empty for nothing; the new value; its life in
milliseconds, empty for ever. Answers 1 when done, 0 when somebody was faster.
"""

TAKE = _script("""\
local there = redis.call('GET', KEYS[1])
if not there then return false end
local line = string.find(there, '\\n', 1, true)
local head = line and string.sub(there, 1, line - 1) or ''
if ARGV[1] ~= '' and ARGV[1] ~= head then return false end
redis.call('UNLINK', KEYS[1])
return head
""")
"""Remove a record and answer with its head; given a head, only the record that has it."""
