"""Notebooks in a real kernel: its event loop runs during each cell."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from traitlets.config import Config

from aiocache_pe.sync import CacheManager
from tests.support.polling import make_environment
from tests.support.scale import report

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "exploration.ipynb"
TIMEOUT_SECONDS = 60  # for a cell or the start of a kernel on the slowest machine
CELLS = {
    "import threading, time, warnings; warnings.filterwarnings('error', module='aiocache_pe')\n"
    "from aiocache_pe.sync import CacheManager, cached\n"
    "import asyncio; asyncio.get_running_loop().is_running()": "True",
    "cache = CacheManager()\ncache.set('key', [1]), cache.get('key'), list(cache.keys())": (
        "(True, [1], ['key'])"
    ),
    "@cached(cache=cache)\ndef double(n):\n    return 2 * n\ndouble(21), double(21)": "(42, 42)",
    "async def later():\n    await asyncio.sleep(0.01)\n    return 'awaited'\n"
    "cache.get_or_set('later', later)": "'awaited'",
    "await cache.asynchronous.get('later')": "'awaited'",  # a cell may use await
    "cache.close()\n[one.name for one in threading.enumerate() if 'disk' in one.name]": "[]",
}


class ThisPython(KernelManager):
    """A manager of the kernel of the Python that runs the tests."""

    @property
    def kernel_spec(self) -> KernelSpec:
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="tests", language="python")


@pytest.fixture
def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let Jupyter keep its files in the directory of the test, and return the directory."""
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    return tmp_path


def run_cells(notebook: Any, directory: Path) -> list[str]:
    """Run the code cells in a kernel, and return their results."""
    # Sockets are used because another process may take a free port before the kernel listens.
    # Their paths must be shorter than those of pytest.
    with tempfile.TemporaryDirectory(prefix="aiocache_pe-") as folder:
        client = NotebookClient(
            notebook,
            timeout=TIMEOUT_SECONDS,
            startup_timeout=TIMEOUT_SECONDS,
            kernel_manager_class=ThisPython,
            config=Config(KernelManager={"transport": "ipc", "ip": f"{folder}/kernel"}),
            resources={"metadata": {"path": str(directory)}},
        )
        began = time.monotonic()
        client.execute(env=make_environment() | {"PYTHONPATH": str(ROOT)})
    results = read_results(notebook)
    report(
        f"a kernel started, ran {len(results)} cells and ended in {time.monotonic() - began:.1f} s"
    )
    return results


def read_results(notebook: Any) -> list[str]:
    """Return the results of the code cells; no cell may print."""
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert [one for cell in outputs for one in cell if one["output_type"] == "stream"] == []
    return ["".join(one["data"]["text/plain"] for one in cell if "data" in one) for cell in outputs]


@pytest.mark.filterwarnings("default")  # Jupyter causes warnings
def test_cells_block_and_show_their_results(jupyter: Path) -> None:
    notebook: Any = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    new_cell: Any = nbformat.v4.new_code_cell
    notebook.cells = [new_cell(source) for source in CELLS]
    assert run_cells(notebook, jupyter) == list(CELLS.values())


@pytest.mark.filterwarnings("default")  # Jupyter causes warnings
def test_the_example_shows_real_results_and_keeps_them_over_a_restart(jupyter: Path) -> None:
    for _ in range(2):
        notebook: Any = nbformat.read(EXAMPLE, as_version=4)  # type: ignore[no-untyped-call]
        shown = read_results(notebook)
        assert run_cells(notebook, jupyter) == shown
    with CacheManager(directory=jupyter / "data" / "cache", namespace="notebook") as cache:
        assert cache.get_stats().misses == 5  # the last cell removes one of four
