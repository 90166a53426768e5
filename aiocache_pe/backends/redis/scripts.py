"""What the server has to do in one step: small Lua scripts.

Each is over an entry and what is noted of its use, two names of one slot, so that a Cluster
can run it too; `COUNT` takes many such pairs where there are no slots. They are called by their
digest; a server that does not know one yet is sent it whole.
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
if ARGV[2] == '' then redis.call('UNLINK', KEYS[1], KEYS[2])
elseif ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
""")
"""Store a value, or with an empty one nothing, if what is there has this digest.

Names: the entry and its usage. Arguments: the digest of what is there, empty for nothing;
the new value; its life in milliseconds, empty for ever. Answers 1 when done, 0 when somebody
was faster.
"""

TAKE = _script("""\
local there = redis.call('GET', KEYS[1])
if not there then return false end
local line = string.find(there, '\\n', 1, true)
local head = line and string.sub(there, 1, line - 1) or ''
if ARGV[1] ~= '' and ARGV[1] ~= head then return false end
redis.call('UNLINK', KEYS[1], KEYS[2])
return head
""")
"""Remove a record and answer with its head; given a head, only the record that has it.

Names: the entry and its usage.
"""

COUNT = _script("""\
local counted = {}
for n = 1, #KEYS, 2 do
  local version, usage = false, ''
  local start = redis.pcall('GETRANGE', KEYS[n], 0, 1023)
  if type(start) == 'string' and start ~= '' then
    local line = string.find(start, '\\n', 1, true)
    if not line then
      start = redis.call('GET', KEYS[n])
      line = string.find(start, '\\n', 1, true)
    end
    version = line and string.sub(start, line - 10, line - 3)
  end
  if version then
    local hits, last = ARGV[n], ARGV[n + 1]
    local of, before, when = string.match(
      redis.call('GET', KEYS[n + 1]) or '', '^(%x+) (%d+) (%S+)$')
    if of == version then
      hits = string.format('%.0f', hits + before)
      if last == '' or tonumber(when) > tonumber(last) then last = when end
    end
    if ARGV[n] ~= '0' then
      local life = redis.call('PTTL', KEYS[n])
      if life <= 0 or life > 7776000000 then life = 7776000000 end
      redis.call('SET', KEYS[n + 1], version .. ' ' .. hits .. ' ' .. last, 'PX', life)
    end
    usage = hits .. ' ' .. last
  end
  counted[#counted + 1] = usage
end
return counted
""")
"""Add to the usage of entries, and answer with what it is then.

Names and arguments by pairs: the entry and its usage; hits and the last of them in seconds
since the epoch, or 0 and nothing to change nothing.

A usage is the checksum that ends the entry's head, the hits, and the last one. So it is that
of one version: what is written in the entry's place begins at none, though nobody tells. It
expires with its entry, or when nobody has read that for 90 days.
"""
