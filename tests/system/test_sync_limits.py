"""The blocking API with running loops, threads, forks, interpreter exits and Ctrl-C.

Each case is a script in a process of its own. It must end by itself, without output on its
standard error; every warning is an error.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.polling import make_environment
from tests.support.scale import scale_size

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 60  # for a script on the slowest machine; a hang takes longer
WARNINGS = (
    "-W",
    "error",
    "-W",
    "ignore:This process:DeprecationWarning",
)  # some scripts fork on purpose
SCRIPT_HEAD = """
import asyncio, atexit, multiprocessing, os, sys, threading, time
from aiocache_pe import CacheManager as AsyncManager, DeadlockError
from aiocache_pe.sync import CacheManager, cached

def threads():
    return sorted(one.name for one in threading.enumerate() if one.name.startswith("aiocache_pe"))

def say(line):  # one write, because two threads may print
    os.write(1, line.encode() + b"\\n")

def end_without_new_threads():  # as Python 3.12 does
    def refuse(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")
    threading._register_atexit(lambda: setattr(threading.Thread, "start", refuse))
"""


def make_command(tmp_path: Path, source: str) -> list[str]:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT_HEAD + textwrap.dedent(source))
    return [sys.executable, *WARNINGS, str(path)]


def run_script(tmp_path: Path, source: str) -> str:
    """Run a script to its end, and return its output."""
    done = subprocess.run(
        make_command(tmp_path, source),
        cwd=tmp_path,
        env=make_environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def test_calls_work_inside_a_running_loop(tmp_path: Path) -> None:
    out = run_script(
        tmp_path,
        """
        cache = CacheManager()

        @cached(cache=cache)
        def double(n):
            return 2 * n

        async def later():
            return "awaited"

        async def main():
            cache.set("key", [1])
            answers = [cache.get("key"), cache.get_or_set("new", later), double(1), double(1)]
            asyncio.get_running_loop().call_soon(lambda: answers.append(cache.incr("n")))
            await asyncio.sleep(0)
            return answers, list(cache.keys("n*"))

        print(asyncio.run(main()))
        """,
    )
    assert out.startswith("([[1], 'awaited', 2, 2, 1], [")


def test_an_async_factory_that_makes_blocking_calls_gets_their_results(tmp_path: Path) -> None:
    out = run_script(
        tmp_path,
        """
        cache = CacheManager()

        async def inner():
            return cache.get_or_set("innermost", lambda: [cache.incr("calls")])

        async def factory():  # runs in a loop that the call cannot wait for
            return cache.set("key", 1), cache.get_or_set("inner", inner)

        print(cache.get_or_set("answer", factory), cache.get("key"), cache.get("calls"))
        """,
    )
    assert out == "(True, [1]) 1 1\n"


def test_endless_blocking_calls_inside_each_other_raise_in_the_end(tmp_path: Path) -> None:
    out = run_script(
        tmp_path,
        """
        cache = CacheManager("memory")

        async def factory():
            return cache.get_or_set("answer", factory)

        try:
            cache.get_or_set("answer", factory)
        except (DeadlockError, RecursionError) as error:
            print(type(error).__name__)
        print(cache.set("key", 1))
        """,
    )
    assert out == "DeadlockError\nTrue\n"


def test_a_log_handler_may_use_the_cache(tmp_path: Path) -> None:
    out = run_script(
        tmp_path,
        """
        import logging
        cache = CacheManager()

        class CountingHandler(logging.Handler):
            def emit(self, record):
                if record.name in ("asyncio", "aiocache_pe", "script"):
                    cache.incr(record.levelname)

        logging.basicConfig(level=logging.DEBUG, handlers=[CountingHandler()])

        @cached(cache=cache, ttl=lambda value: 0)  # logs a warning in the library's thread
        def count(n):
            logging.getLogger("script").info("computing")
            return n

        @atexit.register
        def last():
            logging.getLogger("script").error("at exit")
            os.write(1, f"{cache.get('INFO')} {cache.get('WARNING')} {cache.get('ERROR')}".encode())

        print(count(1), count(2), flush=True)
        """,
    )
    assert out == "1 2\n2 1 1"


@pytest.mark.parametrize("backend", ["memory", "file"])
def test_finalizers_may_use_the_cache_while_any_code_runs(tmp_path: Path, backend: str) -> None:
    out = run_script(
        tmp_path,
        f"""
        import faulthandler, gc, logging
        faulthandler.dump_traceback_later(50, exit=True)
        logging.disable()  # a change in the middle of a change of the memory store is refused
        cache, ended = CacheManager({backend!r}), []

        class Cyclic:
            def __init__(self):
                self.me = self
            def __del__(self):
                try:
                    ended.append((cache.set("k", 1), cache.get("k"), double(2)))
                except DeadlockError:  # in a thread that holds a lock of the store
                    ended.append(None)

        @cached(cache=cache)
        def double(n):
            return 2 * n

        gc.set_threshold(50)
        for number in range(30):
            Cyclic()
            cache.set(f"key {{number % 7}}", [number])
            cache.delete(f"key {{number % 5}}")
            double.invalidate(2)
        gc.set_threshold(700)
        assert cache.get("k") == 1
        print(len(ended) > 10, sum(one is None for one in ended) < len(ended) / 2)
        """,
    )
    assert out == "True True\n"


def test_a_signal_handler_may_call_the_function_that_it_interrupts(tmp_path: Path) -> None:
    out = run_script(
        tmp_path,
        """
        import signal
        cache, results = CacheManager("memory"), []

        @cached(cache=cache)
        def slow(n):
            if not results:
                results.append("begun")
                signal.raise_signal(signal.SIGUSR1)
            return 2 * n

        def handle(*_):
            results.append(slow(1))

        signal.signal(signal.SIGUSR1, handle)
        print(slow(1), results)
        """,
    )
    assert out == "2 ['begun', 2]\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("live", [True, False])
def test_calls_work_in_processes_of_multiprocessing(
    tmp_path: Path, method: str, live: bool
) -> None:
    out = run_script(
        tmp_path,
        f"""
        cache = CacheManager()

        @cached(cache=cache)
        def double(n):
            return 2 * n

        def work(n):
            cache.incr("calls")
            return double(n), cache.get("parent")

        if __name__ == "__main__":
            if {live}:
                cache.set("parent", "was here")
            with multiprocessing.get_context({method!r}).Pool(2) as pool:
                print(pool.map(work, range(4)))
                pool.close()
                pool.join()
            print(cache.get("calls"))
        """,
    )
    parent = "was here" if live else None
    assert out == f"{[(2 * n, parent) for n in range(4)]}\n4\n"


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)"])
def test_calls_work_in_a_forked_child(tmp_path: Path, live: bool, end: str) -> None:
    out = run_script(
        tmp_path,
        f"""
        import signal
        cache = CacheManager()
        if {live}:
            cache.set("key", "of the parent")
        for number in range({scale_size(4)}):
            child = os.fork()
            if not child:
                signal.alarm(20)  # it ends a child that hangs
                assert cache.get("key", "of the parent") == "of the parent"
                assert cache.set("of the child", number)
                assert cache.get("of the child") == number
                {end}
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert cache.get("of the child") == number
        print("ended")
        """,
    )
    assert out == "ended\n"


@pytest.mark.parametrize("used_before", [True, False])
@pytest.mark.parametrize("threads_begin", [True, False])
def test_atexit_handlers_can_store_and_read(
    tmp_path: Path, used_before: bool, threads_begin: bool
) -> None:
    source = f"""
        cache = CacheManager()
        if not {threads_begin}:
            end_without_new_threads()

        @cached(cache=cache)
        def double(n):
            return 2 * n

        @cached(cache=cache)
        def quadruple(n):
            return 2 * double(n)

        @cached(cache=cache)
        def count(n):
            yield from range(n)

        if {used_before}:
            double(1), cache.set("key", 1)

        @atexit.register
        def last():
            cache.incr("ends")
            print(cache.get("ends"), cache.set("bye", [1]), cache.get("bye"))
            print(double(1), quadruple(1), quadruple(1), list(count(2)), list(count(2)))
            print(sorted(key for key in cache.keys() if ":" not in key)[:2])
            if {used_before}:
                cache.close()
        """
    for number in (1, 2):
        assert run_script(tmp_path, source) == (
            f"{number} True [1]\n2 4 4 [0, 1] [0, 1]\n['bye', 'ends']\n"
        )


def test_daemon_threads_end_with_the_script(tmp_path: Path) -> None:
    out = run_script(
        tmp_path,
        """
        cache = CacheManager()
        used = threading.Event()

        def work():
            number = 0
            while True:
                number += 1
                cache.set(f"key {number % 10}", number)
                cache.get("key 1")
                used.set()

        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
        used.wait()
        print("end")
        """,
    )
    assert out == "end\n"


def test_a_closed_cache_leaves_only_the_portal_thread_and_stop_ends_it(
    tmp_path: Path,
) -> None:
    out = run_script(
        tmp_path,
        """
        from aiocache_pe.runtime.portal import portal
        with CacheManager() as cache:
            cache.set("key", 1)
        print([name for name in threads() if "disk" in name])
        portal.stop()
        print(threads())
        with cache:
            print(cache.get("key"))
        """,
    )
    assert out == "[]\n[]\n1\n"


FACTORIES = {
    "a plain function": """
        @cached(cache=cache)
        def slow():
            say("begun")
            wait()
        call = slow
    """,
    "a plain factory": """
        def factory():
            say("begun")
            wait()
        call = lambda: cache.get_or_set("key", factory)
    """,
    "an async factory": """
        async def factory():
            say("begun")
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                say("cancelled")
                raise
        call = lambda: cache.get_or_set("key", factory)
    """,
}


@pytest.mark.parametrize("kind", FACTORIES)
def test_ctrl_c_ends_a_slow_call_and_later_calls_work(tmp_path: Path, kind: str) -> None:
    source = f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
cache = CacheManager()
def wait():
    while True:
        time.sleep(0.01)  # a signal just before a sleep does not end that one
{textwrap.dedent(FACTORIES[kind])}
try:
    call()
except KeyboardInterrupt:
    say("interrupted")
print(cache.get_or_set("key", lambda: "works again"), cache.set("other", 1), flush=True)
"""
    with subprocess.Popen(
        make_command(tmp_path, source),
        cwd=tmp_path,
        env=make_environment() | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=TIMEOUT_SECONDS)
        finally:
            process.kill()
    lines = ["cancelled"] * (kind == "an async factory") + ["interrupted", "works again True"]
    assert (sorted(out.splitlines()), err, process.returncode) == (lines, "", 0)


def test_a_child_forked_during_the_start_of_the_loop_works(tmp_path: Path) -> None:
    out = run_script(
        tmp_path,
        """
        cache = CacheManager("memory")
        thread = threading.Thread(target=cache.set, args=("k", 1))
        thread.start()
        pid = os.fork()
        if not pid:
            os._exit(cache.get("other", 7))
        thread.join()
        print(cache.get("k"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """,
    )
    assert out == "1 7\n"


def test_many_threads_share_one_computation(tmp_path: Path) -> None:
    out = run_script(
        tmp_path,
        f"""
        from concurrent.futures import ThreadPoolExecutor
        cache, calls, go = CacheManager(), [], threading.Event()

        def factory():
            calls.append(1)
            go.wait(20)
            return [len(calls)]

        with ThreadPoolExecutor({scale_size(32)}) as pool:
            futures = [
                pool.submit(cache.get_or_set, "key", factory) for _ in range({scale_size(32)})
            ]
            while not calls:
                time.sleep(0.002)
            go.set()
            results = [future.result(20) for future in futures]
        assert results == [[1]] * {scale_size(32)}
        print(len(calls), len({{id(result) for result in results}}) == {scale_size(32)})
        """,
    )
    assert out == "1 True\n"


@pytest.mark.parametrize("backend", ["memory", "file"])
def test_calls_work_while_a_handler_interrupts_a_change_in_memory(
    tmp_path: Path, backend: str
) -> None:
    out = run_script(
        tmp_path,
        f"""
        import faulthandler, logging
        from aiocache_pe.runtime import short_locks
        faulthandler.dump_traceback_later(50, exit=True)
        logging.disable()
        short_locks._MAX_SECONDS = 0.01
        cache = CacheManager({backend!r})
        engine = cache.asynchronous.loader.namespace.engine
        cache.set("k", (1, 2))
        with engine.tier.lock:  # as a signal handler between two instructions of a change
            print(cache.get("k"), cache.set("l", [1]), cache.get("l"), cache.delete("l"))
            print(cache.get_many(["k", "l"]), cache.get_or_set("m", lambda: 1), cache.incr("n"))
        if {backend!r} == "memory":
            with engine.backend._entries.lock:
                print(cache.get("k"), cache.set("k", 2), cache.get("k"), cache.delete("k"))
        print(cache.set("k", 3), cache.get("k"))
        """,
    )
    lines = ["(1, 2) True [1] True", "{'k': (1, 2)} 1 1"]
    lines += ["(1, 2) False (1, 2) False"] if backend == "memory" else []
    assert out.splitlines() == [*lines, "True 3"]
