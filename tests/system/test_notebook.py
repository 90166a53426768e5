"""The blocking API in a notebook, in a real kernel: its event loop runs during each cell."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from traitlets.config import Config

from tests.support.polling import make_environment
from tests.support.scale import report

ROOT = Path(__file__).parents[2]
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
def sockets() -> Iterator[str]:
    """Return the prefix of the paths of the kernel's sockets, shorter than paths of pytest.

    Sockets are used because another process may take a free port before the kernel listens.
    """
    with tempfile.TemporaryDirectory(prefix="aiocache_pe-") as folder:
        yield f"{folder}/kernel"


@pytest.mark.filterwarnings("default")  # Jupyter causes warnings
def test_cells_block_and_show_their_results(
    tmp_path: Path, sockets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    notebook: Any = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    new_cell: Any = nbformat.v4.new_code_cell
    notebook.cells = [new_cell(source) for source in CELLS]
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT_SECONDS,
        startup_timeout=TIMEOUT_SECONDS,
        kernel_manager_class=ThisPython,
        config=Config(KernelManager={"transport": "ipc", "ip": sockets}),
        resources={"metadata": {"path": str(tmp_path)}},
    )
    began = time.monotonic()
    client.execute(env=make_environment() | {"PYTHONPATH": str(ROOT)})
    report(
        f"a kernel started, ran {len(CELLS)} cells and ended in {time.monotonic() - began:.1f} s"
    )
    outputs = [[dict(one) for one in cell.outputs] for cell in notebook.cells]
    results = [
        "".join(one["data"]["text/plain"] for one in cell if "data" in one) for cell in outputs
    ]
    assert results == list(CELLS.values())
    assert [one for cell in outputs for one in cell if one["output_type"] == "stream"] == []
