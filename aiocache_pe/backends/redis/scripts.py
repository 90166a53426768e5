"""Lua scripts for the steps that the server must do atomically.

Each script works on an entry and the names that belong to it. They are in one slot, so that a
Cluster can run it. While the slot moves, some of them may be on another node: then the scripts are
run in parts (`split_scripts`). `ADD_USAGE` accepts many such pairs where there are no slots. A
script is called by its digest, and is sent whole to a server that does not know it yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from typing import NamedTuple

from aiocache_pe.record import CODECS, VERSION, Head, Savings

ScriptCall = tuple[Sequence[bytes], Sequence[bytes | str]]
"""The names and the arguments of a script call; all names are in one slot."""


class Script(NamedTuple):
    """A script and the digest by which the server knows it."""

    source: str
    sha: str


def _make_script(source: str) -> Script:
    return Script(source, compute_digest(source.encode()))


def compute_digest(value: bytes | None) -> str:
    """Return the digest that `COMPARE_AND_SET` compares; empty for no value."""
    return "" if value is None else sha1(value, usedforsecurity=False).hexdigest()


_SUPERSEDE = """\
redis.call('UNLINK', {lease})
redis.call('SET', {generation}, {token}, 'PX', 86400000)
"""
# The removal comes first: after it, a server without free memory accepts the new token.


def _supersede(first: int, token: int) -> str:
    """Return the lines that raise a generation and free a lease.

    Args:
        first: number of the generation's name in `KEYS`; the lease is the next one.
        token: number of the new token in `ARGV`.
    """
    names = {"generation": f"KEYS[{first}]", "lease": f"KEYS[{first + 1}]"}
    return _SUPERSEDE.format(token=f"ARGV[{token}]", **names)


_FIND_UNKNOWN = """\
local function find_unknown(name)
  local start = redis.pcall('GETRANGE', name, 0, 1023)
  if type(start) == 'table' and not string.find(start.err, 'WRONGTYPE') then error(start.err) end
  if type(start) ~= 'string' or start == '' then return '' end
  local codecs = {{{codecs}}}
  local fields = {{{fields}}}
  local line = string.match(start, '^([^\\n]*)\\n')
  if not line then return start end
  local version = tonumber(string.match(line, '^{{"v":(%d+)'))
  if not version or version > {version} then return start end
  if not codecs[string.match(line, '"codec":"([^"]*)"') or ''] then return start end
  for field in string.gmatch(line, '[,{{]"([^"\\\\]*)":') do
    if not fields[field] then return start end
  end
  return ''
end
""".format(
    version=VERSION,
    codecs=",".join(f"['{codec}']=true" for codec in sorted(CODECS)),
    fields=",".join(
        f"['{name}']=true"
        for name in (*Head.__struct_fields__, *Savings.__struct_fields__, "crc32")
    ),
)
# The beginning of an entry whose head this release may not know, to be parsed by the client. It is
# empty for an entry that the release knows. The names of tags look like unknown fields.

WRITE = _make_script(
    _FIND_UNKNOWN
    + """\
local start = find_unknown(KEYS[1])
local answer
if ARGV[2] == '' then answer = redis.pcall('SET', KEYS[1], ARGV[1])
else answer = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
if answer.err then redis.call('UNLINK', KEYS[1]) end
"""
    + _supersede(2, 3)
    + "if answer.err or start == '' then return answer end return {start}"
)
"""Store an entry and raise its generation.

A server without free memory refuses the value. Then it removes the entry, because a miss is better
than the replaced value.

Names: the entry, its generation and its lease. Arguments: the value; its lifetime in milliseconds,
empty for no limit; the new token of the generation. Answer: that of ``SET``, or a list with the
beginning of the replaced entry, if a later release may have written that.
"""

WRITE_COMPUTED = _make_script(
    _FIND_UNKNOWN
    + """\
local token = redis.call('GET', KEYS[2])
if token and token ~= ARGV[3] then return 0 end
local number = KEYS[3] and redis.call('GET', KEYS[3])
if number and number ~= ARGV[4] then return redis.call('GET', KEYS[4]) or '' end
local start = find_unknown(KEYS[1])
if start ~= '' and start ~= ARGV[5] then return {start} end
if ARGV[2] == '' then redis.call('SET', KEYS[1], ARGV[1])
else redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return 1
"""
)
"""Store a computed entry if its generation was not raised.

Names: the entry and its generation; outside a Cluster the two names of its invalidations, too.
Arguments: the value; its lifetime as for `WRITE`; the token and the number that the computation
took; the beginning of an entry that may be replaced. Answer: 1; 0 if the generation was raised; the
list of invalidations as text if there was another one; a list with the beginning of the present
entry, if a later release may have written that. A token or a number that the server has lost is
taken as not raised.
"""

TAKE_LEASE = _make_script("""\
local held = redis.call('GET', KEYS[1])
if held then
  if string.match(held, ' (.*)') == ARGV[2] then return 0 end
  redis.call('SET', KEYS[2], ARGV[4], 'PX', 86400000)
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
return 1
""")
"""Acquire a lease that has no holder, or the holder of which has another version.

In the second case the generation is raised, because a tag was deleted since the holder began.

Names: the lease and the generation. Arguments: the token of the holder; the version of the tags;
the lifetime in milliseconds; the new token of the generation. Answer: 1, or 0 if another caller
holds the lease.
"""

RENEW_LEASE = _make_script("""\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
""")
"""Let a lease live longer.

Name: the lease. Arguments: the token of the holder; the lifetime in milliseconds. Answer: 1, or 0
if another caller holds the lease, or none.
"""

RELEASE_LEASE = _make_script("""\
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('UNLINK', KEYS[1]) end
return 1
""")
"""Release a lease, unless another caller holds it.

Name: the lease. Argument: the token of the holder.
"""

INVALIDATE = _make_script("""\
local list = redis.call('GET', KEYS[2]) or ''
redis.call('UNLINK', KEYS[2])
list = list .. ARGV[2]
if #list > 65536 then list = string.sub(list, string.find(list, '\\n', 32768, true) + 1) end
redis.call('SET', KEYS[2], list, 'PX', 86400000)
redis.call('SET', KEYS[1], ARGV[1], 'PX', 86400000)
return 1
""")
"""Add an invalidation to the list of an area.

Names: the number of the last invalidation, and the list. Arguments: the new number, and the line.
"""

_COMPARE_AND_SET = (
    """\
local there = redis.call('GET', KEYS[1])
if (there and redis.sha1hex(there) or '') ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('UNLINK', KEYS[1], KEYS[2])
elseif ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
if ARGV[4] ~= '' then
"""
    + _supersede(3, 4)
    + "end return 1"
)
COMPARE_AND_SET = _make_script(_COMPARE_AND_SET)
"""Replace an entry's value, or remove the entry, if the present value has a given digest.

Names: the entry, its access statistics, its generation and its lease. Arguments: the digest of the
present value, empty for none; the new value, empty to remove the entry; its lifetime in
milliseconds, empty for no limit; the new token of the generation, empty to keep it. Answer: 1, or 0
if the value has changed.
"""

UPDATE_UNCHANGED = _make_script(
    """\
local life = redis.call('PTTL', KEYS[3])
if life >= 0 and 86400000 - life <= tonumber(ARGV[5]) then
  local token = redis.call('GET', KEYS[3])
  if string.sub(token, 1, #ARGV[6]) ~= ARGV[6] then return -1 end
end
if KEYS[5] and (redis.call('GET', KEYS[5]) or '') ~= ARGV[7] then return 0 end
"""
    + _COMPARE_AND_SET
)
"""Run `COMPARE_AND_SET` unless the generation was raised lately.

The lifetime that is left to a token shows its age. Names: those of `COMPARE_AND_SET`, and outside
of a Cluster the number of the last invalidation. Arguments: those of `COMPARE_AND_SET`; the
greatest age of a change, in milliseconds; the beginning of tokens that do not count; the number
that was read. Answer: that of `COMPARE_AND_SET`, 0 also for another number; -1 for a younger token.
"""

DELETE_AND_GET_HEAD = _make_script(
    """\
local there = redis.call('GET', KEYS[1])
local line = there and string.find(there, '\\n', 1, true)
local head = there and (line and string.sub(there, 1, line - 1) or '')
if ARGV[1] ~= '' and ARGV[1] ~= head then return false end
if there then redis.call('UNLINK', KEYS[1], KEYS[2]) end
if ARGV[2] ~= '' then
"""
    + _supersede(3, 2)
    + "end return head"
)
"""Remove an entry and answer with its head.

Names: those of `COMPARE_AND_SET`. Arguments: the head that the entry must have, empty for any; the
new token of the generation, empty to keep it.
"""

BEGIN_CHANGE = _make_script("""\
local count = string.match(redis.call('GET', KEYS[1]) or '', '^!(%d+)$') or 0
redis.call('SET', KEYS[1], '!' .. (count + 1), 'PX', 86400000)
return 1
""")
"""Mark a generation: changes are in progress, so that no computation stores its result.

Name: the generation. Its value is an exclamation mark and the number of changes in progress.
"""

END_CHANGE = _make_script("""\
local count = (string.match(redis.call('GET', KEYS[1]) or '', '^!(%d+)$') or 0) - 1
redis.call('SET', KEYS[1], count > 0 and '!' .. count or ARGV[1], 'PX', 86400000)
return 1
""")
"""Raise a generation after the last change in progress.

Name: the generation. Argument: its new token.
"""

ADD_LINE = _make_script("""\
local list = (redis.call('GET', KEYS[1]) or '') .. ARGV[1]
if #list > 65536 then list = string.sub(list, string.find(list, '\\n', 32768, true) + 1) end
redis.call('SET', KEYS[1], list, 'PX', 86400000)
return 1
""")
"""Add a line to the list of the invalidations of an area.

Name: the list. Argument: the line.
"""

ADD_USAGE = _make_script("""\
local counted = {}
for n = 1, #KEYS, 2 do
  local version, usage = false, ''
  local start = redis.pcall('GETRANGE', KEYS[n], 0, 1023)
  if type(start) == 'table' and not string.find(start.err, 'WRONGTYPE') then return start end
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
"""Add hits to the access statistics of entries, and answer with the sums.

Names by pairs: an entry and its access statistics. Arguments by pairs: the hits to add and the last
access in seconds since the epoch; 0 and an empty text to change nothing. Answer for each pair: the
hits and the last access, or an empty text for no entry.

The statistics are a string of their own, because a change of the entry would invalidate the copies
of all its readers. The script reads the first bytes of the entry. So the server, which decides
about eviction when its memory is full, learns of hits in the memory tier.

They consist of the checksum at the end of the entry's head, the hits, and the last
access. They belong to one version of the entry: a new version begins without hits, although no
writer removes them. They expire with the entry, or 90 days after the last hit.
"""
