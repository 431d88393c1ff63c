"""Rerankers behind the faces of two libraries that programs already call; needs neither of them.

:class:`Reranker` is called as in ``rerankers`` (AnswerDotAI), :class:`CrossEncoder` as in ``sentence-transformers``:
change the import, and give one of our names. Nothing is dropped by a cutoff here; ``ranking`` has it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from shortlist.errors import InvalidInput
from shortlist.integrations.base import Bridge, OnError, Passage, places, score_pairs
from shortlist.rerankers.base import Ranker
from shortlist.types import Ranking

PathLike = str | os.PathLike[str]


# ------------------------------------------------------------------------------------------------ rerankers


@dataclass(frozen=True, slots=True)
class Document:
    """A passage as ``rerankers`` has it."""

    text: str
    doc_id: str | int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    document_type: str = "text"


@dataclass(frozen=True, slots=True)
class Result:
    """A passage with its score (``None``: the reranker gives an order alone) and its rank from 1.

    What it lacks itself is looked for in the document and its metadata.
    """

    document: Document
    score: float | None
    rank: int

    def __getattr__(self, name: str) -> Any:
        if name in {"text", "doc_id", "metadata", "document_type"}:
            return getattr(self.document, name)
        if not name.startswith("__") and name in self.document.metadata:
            return self.document.metadata[name]
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")


@dataclass(frozen=True, slots=True)
class RankedResults:
    """All results, best first. ``ranking`` is ours: cutoff, status, problems, reasoning, usage."""

    results: list[Result]
    query: str
    has_scores: bool
    ranking: Ranking

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: int) -> Result:
        return self.results[index]

    def results_count(self) -> int:
        """How many there are."""
        return len(self.results)

    def top_k(self, k: int) -> list[Result]:
        """The best ``k``."""
        return self.results[: max(0, k)]

    def get_result_by_docid(self, doc_id: str | int) -> Result | None:
        """The result of a document."""
        return next((result for result in self.results if result.document.doc_id == doc_id), None)

    def get_score_by_docid(self, doc_id: str | int) -> float | None:
        """The score of a document."""
        result = self.get_result_by_docid(doc_id)
        return None if result is None else result.score


class Reranker:
    """Called as ``rerankers.Reranker``: ``Reranker(NAME).rank(query, docs, doc_ids, metadata)``."""

    def __init__(self, reranker: str | Ranker, *, on_error: OnError = "report", cache: PathLike | None = None) -> None:
        self._bridge = Bridge(reranker, on_error=on_error, cache=cache)

    def rank(
        self,
        query: str,
        docs: str | Any | Sequence[str | Any],
        doc_ids: Sequence[str | int] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
    ) -> RankedResults:
        """All documents, best first. ``docs`` are strings or documents (anything with ``text``); ids count from 0."""
        given = [docs] if isinstance(docs, str) or hasattr(docs, "text") else list(docs)
        documents = [_document(doc, i, doc_ids, metadata) for i, doc in enumerate(given)]
        for name, values in (("doc_ids", doc_ids), ("metadata", metadata)):
            if values is not None and len(values) != len(documents):
                raise InvalidInput(f"{len(values)} {name} for {len(documents)} docs; give as many")
        ranking = self._bridge.rank(query, [Passage(document.text) for document in documents])
        results = [Result(documents[place.index], place.score, place.rank) for place in places(ranking)]
        scored = any(result.score is not None for result in results)
        return RankedResults(results=results, query=query, has_scores=scored, ranking=ranking)

    async def rank_async(
        self,
        query: str,
        docs: str | Any | Sequence[str | Any],
        doc_ids: Sequence[str | int] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
    ) -> RankedResults:
        """The same, while the event loop goes on."""
        return await asyncio.to_thread(self.rank, query, docs, doc_ids, metadata)

    def score(self, query: str, doc: str) -> float:
        """The score of one document."""
        (score,) = score_pairs(self._bridge, [(query, doc)])
        return score

    def as_langchain_compressor(self, k: int = 10) -> Any:
        """The same reranker for LangChain, giving ``k`` documents."""
        from shortlist.integrations.langchain import ShortlistRerank

        return ShortlistRerank(self._bridge.ranker, top_n=k, on_error=self._bridge.on_error)


def _document(
    doc: Any, place: int, doc_ids: Sequence[str | int] | None, metadata: Sequence[Mapping[str, Any]] | None
) -> Document:
    """A document of ours from a string or one of theirs (whose own id and metadata stand, unless others are given)."""
    text = doc if isinstance(doc, str) else getattr(doc, "text", None)
    if not isinstance(text, str):
        raise InvalidInput(f"document {place} is {doc!r}; give a string, or a document with a text")
    own_id, own_metadata = getattr(doc, "doc_id", None), getattr(doc, "metadata", None)
    doc_id = doc_ids[place] if doc_ids is not None and place < len(doc_ids) else own_id
    told = metadata[place] if metadata is not None and place < len(metadata) else own_metadata
    return Document(text, place if doc_id is None else doc_id, dict(told or {}))


# ------------------------------------------------------------------------------------------------ sentence-transformers


class CrossEncoder:
    """Called as ``sentence_transformers.CrossEncoder``: ``predict(pairs)`` and ``rank(query, documents)``.

    Scores are the reranker's own (of cross-encoders: raw logits, no sigmoid). ``batch_size`` and ``show_progress_bar``
    are taken and change nothing.
    """

    def __init__(self, reranker: str | Ranker, *, on_error: OnError = "report", cache: PathLike | None = None) -> None:
        self._bridge = Bridge(reranker, on_error=on_error, cache=cache)

    def predict(
        self,
        inputs: Sequence[Sequence[str]] | tuple[str, str],
        *,
        batch_size: int = 32,  # noqa: ARG002 - theirs
        show_progress_bar: bool | None = None,  # noqa: ARG002 - theirs
    ) -> npt.NDArray[np.float32] | np.float32:
        """One float32 score a (query, passage) pair; for one pair that is not in a list, one score."""
        single = len(inputs) == 2 and all(isinstance(part, str) for part in inputs)
        pairs = [inputs] if single else list(inputs)
        for i, pair in enumerate(pairs):
            if isinstance(pair, str) or len(pair) != 2:
                raise InvalidInput(f"pair {i} is {pair!r}; give (query, passage)")
        asked = [(str(query), str(passage)) for query, passage in pairs]
        scores = np.asarray(score_pairs(self._bridge, asked), dtype=np.float32)
        return np.float32(scores[0]) if single else scores

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,  # noqa: FBT001, FBT002 - theirs
        *,
        batch_size: int = 32,  # noqa: ARG002 - theirs
        show_progress_bar: bool | None = None,  # noqa: ARG002 - theirs
    ) -> list[dict[str, Any]]:
        """``[{"corpus_id", "score", "text"?}]``, best first, the first ``top_k``.

        A reranker that gives an order alone has n, … 2, 1 for scores, as a list needs some.
        """
        if top_k is not None and top_k < 1:
            raise InvalidInput(f"top_k is {top_k}; give 1 or more, or None")
        best = places(self._bridge.rank(query, [Passage(text) for text in documents]), top_k)
        return [
            {
                "corpus_id": place.index,
                "score": float(len(documents) + 1 - place.rank if place.score is None else place.score),
                **({"text": documents[place.index]} if return_documents else {}),
            }
            for place in best
        ]
