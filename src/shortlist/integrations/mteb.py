"""MTEB: any reranker as a search model, so that whole lists are ranked, not pairs.

Needs ``mteb`` 2 or later (``pip install 'shortlist[mteb]'``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shortlist.errors import InvalidInput
from shortlist.integrations.base import Bridge, OnError, Passage, falling, framework
from shortlist.rerankers.base import Ranker, identity_of
from shortlist.retrieval.bm25 import BM25
from shortlist.types import Document, Query

with framework("mteb", "mteb"):
    from mteb.models import ModelMeta


class ShortlistSearch:
    """MTEB's ``SearchProtocol`` over any reranker.

    Reranking tasks bring their candidates, which are reranked as they come. For retrieval tasks a BM25 index over the
    task's corpus is the first stage, and its first ``depth`` are reranked; the model's name says so. Rankings are
    given whole: a cutoff changes nothing here.
    """

    def __init__(
        self,
        reranker: str | Ranker,
        *,
        depth: int = 100,
        name: str | None = None,
        on_error: OnError = "report",
        cache: Path | None = None,
    ) -> None:
        if depth < 1:
            raise InvalidInput(f"depth is {depth}; give 1 or more")
        self._bridge = Bridge(reranker, on_error=on_error, cache=cache)
        self.depth = depth
        self._name = name or f"shortlist/{_plain(self._bridge.name)}-bm25-{depth}"
        self._corpus: dict[str, Document] | None = None
        self._bm25: BM25 | None = None

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """What MTEB files the results under: the name, and a digest of all that decides a ranking as the revision."""
        identity = f"{identity_of(self._bridge.ranker) or self._bridge.name} bm25 {self.depth}"
        revision = hashlib.sha256(identity.encode()).hexdigest()[:16]
        told = {"name": self._name, "revision": revision, "model_type": ["cross-encoder"], "experiment_kwargs": None}
        return ModelMeta.create_empty(overwrites=told)

    def index(self, corpus: Any, **_task: Any) -> None:
        """Keep a task's corpus (a ``datasets.Dataset`` with id, text and maybe title)."""
        self._corpus = {row["id"]: _document(row) for row in corpus}
        self._bm25 = None

    def search(
        self, queries: Any, *, top_k: int, top_ranked: Mapping[str, Sequence[str]] | None = None, **_task: Any
    ) -> dict[str, dict[str, float]]:
        """Query id → document id → score, the best ``top_k``; scores that sort into the ranking without ties."""
        if self._corpus is None:
            raise InvalidInput("search came before index; give the corpus first")
        asked = [_query(row) for row in queries]
        found: dict[str, list[tuple[str, float | None]]] = (
            dict(self._first_stage(asked)) if top_ranked is None else _given(top_ranked)
        )
        lists = [found.get(query.id, []) for query in asked]
        slates = ([self._passage(*hit) for hit in hits] for hits in lists)
        results: dict[str, dict[str, float]] = {}
        rankings = self._bridge.rank_many(zip(asked, slates, strict=True))
        for query, hits, ranking in zip(asked, lists, rankings, strict=True):
            best = zip(ranking.order, falling(ranking), strict=True)
            results[query.id] = {hits[i][0]: score for i, score in list(best)[:top_k]}
        return results

    def _first_stage(self, asked: list[Query]) -> Iterator[tuple[str, list[tuple[str, float | None]]]]:
        assert self._corpus is not None  # noqa: S101 - indexed
        if self._bm25 is None:
            self._bm25 = BM25.build(self._corpus.values())
        for hits in self._bm25.retrieve(asked, depth=self.depth):
            yield hits.query.id, list(zip(hits.ids, hits.scores, strict=True))

    def _passage(self, document_id: str, score: float | None) -> Passage:
        assert self._corpus is not None  # noqa: S101 - indexed
        document = self._corpus.get(document_id)
        if document is None:
            raise InvalidInput(f"document {document_id!r} is among the candidates and not in the corpus")
        return Passage(document.text, score, document.title)


def _given(top_ranked: Mapping[str, Sequence[str]]) -> dict[str, list[tuple[str, float | None]]]:
    return {query_id: [(document_id, None) for document_id in ids] for query_id, ids in top_ranked.items()}


def _document(row: Mapping[str, Any]) -> Document:
    return Document(id=row["id"], text=row["text"] or "", title=row.get("title") or "")


def _query(row: Mapping[str, Any]) -> Query:
    """A query; of a conversation, its turns in one text."""
    text = row["text"]
    if not isinstance(text, str):
        text = "; ".join(turn if isinstance(turn, str) else turn["content"] for turn in text)
    return Query(id=row["id"], text=text, instruction=row.get("instruction") or "")


def _plain(name: str) -> str:
    """A name that MTEB can file results under: no slashes, blanks or colons."""
    return "".join(c if c.isalnum() or c in "-._" else "-" for c in name)
