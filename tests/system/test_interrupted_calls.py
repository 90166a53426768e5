"""Blocking calls that signals interrupt at any instruction: every later call works.

A timer sends signals at random times, and the handler raises, as Ctrl-C or the time limit of a task
queue does. The scripts run in processes of their own, because a hang ends the process. The default
run takes seconds; ``AIOCACHE_STRESS=300`` interrupts 90,000 calls of each store.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.polling import make_environment
from tests.support.scale import report, scale_size
from tests.support.servers.redis_server import Server

ROOT = Path(__file__).parents[2]
HANG_SECONDS = 60
SCRIPT = """
import faulthandler, logging, os, random, signal, sys, threading, warnings
import httpx
from aiocache_pe.integrations.httpx import CacheTransport
from aiocache_pe.sync import CacheManager, cached, cached_batch

backend, place, count, uses_cache, seed = sys.argv[1:]
settings = {"directory": place} if backend == "file" else {}
if backend == "redis":
    settings = {"redis_url": place, "fallback": None}
cache = CacheManager(backend, **settings)
rng, fired = random.Random(seed), 0
sys.unraisablehook = lambda _: None  # an interrupt in a callback of a weak reference is lost
warnings.simplefilter("ignore", RuntimeWarning)  # an interrupt drops a coroutine of a factory
logging.disable()

class TimeLimit(Exception):
    pass

class Interrupt(BaseException):
    pass

@cached(cache=cache, ttl=60)
def double(n):
    return [2 * n]

@cached(cache=cache, ttl=lambda value: 30)
def triple(n):
    return [double(n), 3 * n]

@cached(cache=cache, ttl=60)
def stream(n):
    yield [n]
    yield [n + 1]

@cached_batch(cache=cache, ttl=60)
def squares(numbers):
    return [n * n for n in numbers]

async def answer():
    return [1]

class Body(httpx.SyncByteStream):
    def __iter__(self):
        for number in range(9):
            yield b"data: %d\\n\\n" % number

class Server(httpx.BaseTransport):
    def handle_request(self, request):
        head = {"content-type": "text/event-stream"}
        return httpx.Response(200, headers=head, stream=Body())

http = CacheTransport(cache.asynchronous, transport=Server(), cacheable=lambda request: True)
URL, WHOLE = "http://server/v1/chat/completions", b"".join(Body())

def read_http(n):
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": f"{n}"}]}
    request = httpx.Request("POST", URL, json=body)
    response = http.handle_request(request)
    try:
        assert b"".join(response.stream) == WHOLE
    finally:
        response.stream.close()

def read_beside(has_ended):
    while not has_ended.is_set():
        for number in range(3):
            try:
                read_http(number)
            except InterruptedError:  # of the stream that an interrupted reader has run
                pass
            beside.append(number)

has_ended, beside = threading.Event(), []
readers = [threading.Thread(target=read_beside, args=(has_ended,), daemon=True) for _ in range(2)]

CALLS = [
    lambda n: cache.set(f"k{n}", [n]),
    lambda n: cache.get(f"k{n}"),
    lambda n: cache.delete(f"k{n}"),
    lambda n: cache.incr("count"),
    lambda n: cache.get_many([f"k{n}", f"g{n}"]),
    lambda n: cache.get_or_set(f"g{n}", lambda: [n]),
    lambda n: cache.get_or_set(f"a{n}", answer),
    lambda n: cache.delete_many([f"g{n}", f"a{n}"]),
    double, double.invalidate, triple, triple.invalidate,
    lambda n: list(stream(n)), stream.invalidate,
    lambda n: squares([n, n + 1]), lambda n: squares.invalidate([n]),
    lambda n: list(cache.keys(f"k{n}*")),
    lambda n: read_http(n % 3), lambda n: read_http(n % 3),
]

def interrupt(*_):
    global fired
    fired += 1
    if uses_cache == "True":
        cache.set("handler", fired)
        assert double(fired % 9) == [2 * (fired % 9)]
    raise (Interrupt if fired % 2 else TimeLimit)

signal.signal(signal.SIGALRM, interrupt)
for reader in readers:
    reader.start()
while fired < int(count):
    try:
        while fired < int(count):
            faulthandler.dump_traceback_later(60, exit=True)
            try:
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-6, 5e-4))
                rng.choice(CALLS)(rng.randrange(9))
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    except (Interrupt, TimeLimit):
        pass
    except InterruptedError:  # another handler has ended the stream
        pass
signal.signal(signal.SIGALRM, signal.SIG_IGN)
faulthandler.dump_traceback_later(60, exit=True)
assert cache.set("end", 1) and cache.get("end") == 1
assert double(1) == [2] and triple(1) == [[2], 3] and list(stream(1)) == [[1], [2]]
assert squares([1, 2]) == [1, 4] and cache.get_or_set("a1", answer) == [1]
has_ended.set()
for reader in readers:
    reader.join()
assert len(beside) > 3
read_http(1)
cache.close()
print("ended", len(os.listdir("/proc/self/fd")))
"""


def run_script(arguments: list[str], tmp_path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=tmp_path,
        env=make_environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


@pytest.mark.parametrize("uses_cache", [False, True])
@pytest.mark.parametrize("backend", ["memory", "file", "redis"])
def test_calls_work_after_interrupts_at_any_instruction(
    backend: str, uses_cache: bool, tmp_path: Path, redis_server: Server
) -> None:
    count = scale_size(150)
    place = redis_server.url if backend == "redis" else str(tmp_path / "cache")
    out = run_script([backend, place, str(count), str(uses_cache), "1"], tmp_path)
    assert out.startswith("ended")
    report(f"{backend}: {count} interrupts, 0 hangs, {out.split()[1]} open files at the end")
