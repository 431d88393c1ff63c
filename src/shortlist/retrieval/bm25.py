"""BM25, Lucene's variant, by bm25s: built from a stream of documents, saved and loaded as memory-mapped arrays."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from shortlist.errors import InvalidFile, InvalidInput
from shortlist.retrieval.base import Hits
from shortlist.types import Document, Query

_WORD = re.compile(r"\w+")
_STOP_WORDS = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this "
    "to was will with"
)
_LUCENE_STOP_WORDS = frozenset(_STOP_WORDS.split(" "))


@dataclass(frozen=True)
class Analyzer:
    """Text to terms: runs of word characters in lower case, without Lucene's stop words, Porter-stemmed.

    ``language`` is a Snowball stemmer's name (``porter``, ``english``, ``german``, …), or empty for no stemming; the stop
    words apply to English only.
    """

    language: str = "porter"
    stop_words: bool = True
    _stems: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def terms(self, text: str) -> list[str]:
        """The terms of a text, in order, repeats included."""
        return [stem for word in _WORD.findall(text.lower()) if (stem := self._stem(word))]

    def _stem(self, word: str) -> str:
        known = self._stems.get(word)
        if known is None:
            known = "" if self.stop_words and word in _LUCENE_STOP_WORDS else self._stemmed(word)
            if len(self._stems) < 1_000_000:  # a corpus has a long tail of words seen once
                self._stems[word] = known
        return known

    def _stemmed(self, word: str) -> str:
        if not self.language:
            return word
        import Stemmer

        if self.language not in Stemmer.algorithms():
            raise InvalidInput(f"no stemmer for {self.language!r}; give one of {', '.join(Stemmer.algorithms())}")
        return str(_stemmer(self.language).stemWord(word))


_STEMMERS: dict[str, Any] = {}


def _stemmer(language: str) -> Any:
    import Stemmer

    if language not in _STEMMERS:
        _STEMMERS[language] = Stemmer.Stemmer(language, 0)
    return _STEMMERS[language]


def top_k(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """The rows of the ``k`` highest scores, best first; ties by row, the same on every machine."""
    if k < len(scores):
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = np.flatnonzero(scores > threshold)
        level = np.flatnonzero(scores == threshold)[: k - len(above)]
        rows = np.concatenate([above, level])
    else:
        rows = np.arange(len(scores))
    return rows[np.lexsort((rows, -scores[rows]))]


@dataclass(frozen=True)
class BM25:
    """A BM25 index over title and text (``k1`` and ``b`` as in published Lucene runs).

    ``retrieve`` gives documents that share a term with the query only: a query without any gets no hits.
    """

    ids: Sequence[str]
    index: Any = field(repr=False)
    vocabulary: dict[str, int] = field(repr=False)
    analyzer: Analyzer = Analyzer()
    name: str = "bm25"

    @classmethod
    def build(
        cls, documents: Iterable[Document], *, k1: float = 0.9, b: float = 0.4, analyzer: Analyzer | None = None
    ) -> Self:
        """Index a stream of documents; holds their terms, not their texts."""
        import bm25s

        if k1 < 0 or not 0 <= b <= 1:
            raise InvalidInput(f"k1 {k1} must be 0 or more, b {b} within 0 and 1")
        analyzer = analyzer or Analyzer()
        ids: list[str] = []
        terms: list[array[int]] = []
        vocabulary: dict[str, int] = {}
        for document in documents:
            ids.append(document.id)
            terms.append(
                array("i", [vocabulary.setdefault(t, len(vocabulary)) for t in analyzer.terms(document.full_text)])
            )
        if not ids:
            raise InvalidInput("there is no document to index")
        index = bm25s.BM25(method="lucene", k1=k1, b=b, corpus=None)
        vocabulary.setdefault("", len(vocabulary))
        index.index((terms, vocabulary), create_empty_token=False, show_progress=False)
        return cls(ids, index, vocabulary, analyzer)

    def retrieve(self, queries: Iterable[Query], /, *, depth: int = 100) -> Iterator[Hits]:
        """The best ``depth`` documents of each query; documents with no term of the query are not hits."""
        if depth < 1:
            raise InvalidInput(f"depth is {depth}; give 1 or more")
        return (self._hits(query, depth) for query in queries)

    def _hits(self, query: Query, depth: int) -> Hits:
        terms = [self.vocabulary[t] for t in self.analyzer.terms(query.text) if t in self.vocabulary]
        if not terms:
            return Hits(query, (), ())
        scores = self.index.get_scores_from_ids(terms)
        rows = [int(row) for row in top_k(scores, min(depth, len(self.ids))) if scores[row] > 0]
        return Hits(query, tuple(self.ids[row] for row in rows), tuple(float(scores[row]) for row in rows))

    def save(self, folder: Path) -> None:
        """Write the index as arrays and JSON."""
        self.index.save(folder, show_progress=False)
        write_ids(folder, self.ids)
        about = {"kind": "bm25", "language": self.analyzer.language, "stop_words": self.analyzer.stop_words}
        (folder / "vocabulary.json").write_text(json.dumps(self.vocabulary, ensure_ascii=False), encoding="utf-8")
        (folder / "index.json").write_text(json.dumps(about, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The index that :meth:`save` wrote, its arrays memory-mapped."""
        import bm25s

        about = read_about(folder, "bm25")
        index = bm25s.BM25.load(folder, mmap=True, load_vocab=False, verbosity=0, show_progress=False)
        vocabulary = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        return cls(read_ids(folder), index, vocabulary, Analyzer(about["language"], about["stop_words"]))


def read_about(folder: Path, kind: str) -> dict[str, Any]:
    """What ``index.json`` says, checked to be of the right kind."""
    path = folder / "index.json"
    if not path.is_file():
        raise InvalidFile(folder, "no index here (no index.json); make one with: shortlist index --data DIR --output …")
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise InvalidFile(path, f"not JSON ({problem}); build the index again") from None
    if about.get("kind") != kind:
        raise InvalidFile(path, f"an index of kind {about.get('kind')!r}, not {kind!r}")
    return about


def write_ids(folder: Path, ids: Sequence[str]) -> None:
    """Document ids, a JSON string a line, in row order."""
    with (folder / "ids.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(i, ensure_ascii=False) + "\n" for i in ids)


def read_ids(folder: Path) -> list[str]:
    """The ids that :func:`write_ids` wrote."""
    with (folder / "ids.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
