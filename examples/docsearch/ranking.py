"""Ranked search: two rounds of BM25, then a score for each passage of the best documents.

The first round finds documents by the words of the query. The second round adds the most
distinctive words of these documents and finds similar documents with other words
(pseudo-relevance feedback). Each passage of the best documents is scored; the best passage is
the snippet.
"""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import bm25s
import numpy as np

from examples.docsearch.corpus import Document, Kind

FEEDBACK_DOCUMENTS = 10
FEEDBACK_WORDS = 8
FEEDBACK_WEIGHT = 0.35
READ_CLOSELY = 200
PASSAGE_WORDS = 30
SHORT = 3

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_STOP = frozenset(
    "a an and any are as at be but by can do does for from has have how i if in into is it its "
    "my no not of on one or so that the their then there these they this to use used using "
    "was what when where which will with without you your".split()
)


@dataclass(frozen=True, slots=True)
class Found:
    """One result of a query.

    Attributes:
        name: dotted name of the documented object.
        kind: module, class or function.
        line: line of its definition in the source file.
        score: quality of the match; comparable within the results of one query only.
        snippet: best passage of its docstring.
    """

    name: str
    kind: Kind
    line: int
    score: float
    snippet: str


def split_words(text: str) -> list[str]:
    """Return the words of a text or identifier: lower case, singular, without stop words."""
    found = (word.lower() for word in _WORD.findall(text))
    return [
        word[:-1] if len(word) > SHORT and word.endswith("s") and not word.endswith("ss") else word
        for word in found
        if word not in _STOP
    ]


class Index:
    """Index of documents for the search.

    Args:
        documents: the documents to search; they stay in memory.
    """

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = documents
        self._words = [split_words(f"{doc.name} {doc.text}") for doc in documents]
        self._spread = Counter(word for text in self._words for word in set(text))
        self._bm25 = bm25s.BM25()
        self._bm25.index(self._words, show_progress=False)

    def search(self, query: str, limit: int = 5) -> list[Found]:
        """Return the best documents for a query, best first."""
        asked = [word for word in dict.fromkeys(split_words(query)) if word in self._spread]
        if not asked:
            return []
        scores = self._bm25.get_scores(asked)
        if feedback := self._find_distinctive_words(
            _select_best(scores, FEEDBACK_DOCUMENTS), asked
        ):
            scores = scores + FEEDBACK_WEIGHT * self._bm25.get_scores(feedback)
        candidates = (
            self._rate(i, float(scores[i]), asked) for i in _select_best(scores, READ_CLOSELY)
        )
        return heapq.nsmallest(limit, candidates, key=lambda found: (-found.score, found.name))

    def _weigh(self, word: str) -> float:
        """Return the weight of a word; rare words weigh more."""
        return math.log(1 + len(self._documents) / self._spread[word])

    def _find_distinctive_words(self, chosen: Sequence[int], asked: Sequence[str]) -> list[str]:
        """Return words that are more frequent in the chosen documents than in others."""
        counts = Counter(word for i in chosen for word in self._words[i])
        weighed = {
            word: count * self._weigh(word)
            for word, count in counts.items()
            if word not in asked and self._spread[word] > 1
        }
        return heapq.nsmallest(FEEDBACK_WORDS, weighed, key=lambda word: (-weighed[word], word))

    def _rate(self, number: int, score: float, asked: Sequence[str]) -> Found:
        """Score the name of one document and each of its passages."""
        doc = self._documents[number]
        text = doc.text.split()
        best, snippet = 0.0, ""
        for start in range(0, max(1, len(text) - PASSAGE_WORDS // 2), PASSAGE_WORDS // 3):
            passage = " ".join(text[start : start + PASSAGE_WORDS])
            said = Counter(split_words(passage))
            weight = sum(
                self._weigh(word) * (1 + math.log(said[word])) for word in asked if said[word]
            )
            if weight > best or not snippet:
                best, snippet = weight, passage
        name = set(split_words(doc.name))
        named = sum(self._weigh(word) for word in asked if word in name)
        return Found(doc.name, doc.kind, doc.line, round(score + best + named, 6), snippet)


def _select_best(scores: np.ndarray, count: int) -> list[int]:
    """Return the indexes of the highest positive scores, highest first; ties in order."""
    order = np.argsort(-scores, kind="stable")[:count]
    return [int(i) for i in order if scores[i] > 0]
