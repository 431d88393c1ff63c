"""Haystack: a ranker component.

Needs ``haystack-ai`` 3 or later (``pip install 'shortlist[haystack]'``).
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shortlist.errors import BackendError, InvalidInput
from shortlist.integrations.base import STATUS, Bridge, OnError, Passage, Place, TopN, check_top_n, framework, places
from shortlist.rerankers.base import Ranker
from shortlist.rerankers.cutoffs import Threshold
from shortlist.types import Ranking, Status

with framework("haystack", "haystack"):
    from haystack import Document, component, default_from_dict, default_to_dict, logging

logger = logging.getLogger(__name__)


@component
class ShortlistRanker:
    """Ranks documents, and gives back copies: the reranker's score on them, the retriever's in their ``meta``.

    ``reranker`` is a name or a ranker (only a name can be written to a pipeline's YAML). ``top_k``: so many;
    ``"auto"``: as many as the reranker would keep; ``None``: all. ``score_threshold`` ends the list at the first score
    below it, in the reranker's own units. ``raise_on_failure``: whether a passage or a whole list that cannot be judged
    is an error; if not, it keeps its first-stage place, and ``meta`` and the log say so.
    """

    def __init__(
        self,
        reranker: str | Ranker,
        *,
        top_k: int | str | None = 10,
        score_threshold: float | None = None,
        raise_on_failure: bool = False,
        cache: str | None = None,
    ) -> None:
        self.reranker = reranker
        self.top_k = check_top_n(top_k)  # type: ignore[arg-type]  # which says so if it is another string
        self.score_threshold = score_threshold
        self.raise_on_failure = raise_on_failure
        self.cache = cache
        self._bridge: Bridge | None = None

    def warm_up(self) -> None:
        """Open the ranker."""
        if self._bridge is None:
            on_error: OnError = "raise" if self.raise_on_failure else "report"
            cache = None if self.cache is None else Path(self.cache)
            self._bridge = Bridge(self.reranker, on_error=on_error, cache=cache)

    def to_dict(self) -> dict[str, Any]:
        """The component as a dictionary, for a pipeline's YAML."""
        if not isinstance(self.reranker, str):
            raise InvalidInput(f"{self.reranker!r} cannot be written down; give the reranker by its name")
        told: dict[str, Any] = default_to_dict(
            self,
            reranker=self.reranker,
            top_k=self.top_k,
            score_threshold=self.score_threshold,
            raise_on_failure=self.raise_on_failure,
            cache=self.cache,
        )
        return told

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ShortlistRanker:
        """The component from such a dictionary."""
        return default_from_dict(cls, data)  # type: ignore[no-any-return]

    @component.output_types(documents=list[Document])  # type: ignore[untyped-decorator]
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, list[Document]]:
        """Copies of the best documents, best first; of documents with one id the one with the best score counts.

        ``top_k`` takes the place of the component's own. An empty query ranks nothing: the documents come back in
        their order, with a warning.
        """
        wanted = self.top_k if top_k is None else check_top_n(top_k)
        given = _unique(documents)
        if not query.strip():
            logger.warning("The query is empty: the documents come back as they are, not ranked.")
            return {"documents": given}
        if not given:
            return {"documents": []}
        return {"documents": self._best(query, given, wanted)}

    @component.output_types(documents=list[Document])  # type: ignore[untyped-decorator]
    async def run_async(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """The same, while the event loop goes on."""
        return await asyncio.to_thread(self.run, query, documents, top_k)

    def _best(self, query: str, given: list[Document], top_k: TopN) -> list[Document]:
        self.warm_up()
        assert self._bridge is not None  # noqa: S101 - warmed up
        try:
            ranking = self._bridge.rank(query, [Passage(d.content or "", d.score) for d in given])
        except BackendError as error:
            if self.raise_on_failure:
                raise
            logger.warning("Not ranked: {error}", error=error)
            return [dataclasses.replace(d, meta={**d.meta, STATUS: Status.FAILED.value}) for d in given]
        return [_copy(given[place.index], place) for place in self._above(ranking, places(ranking, top_k))]

    def _above(self, ranking: Ranking, best: list[Place]) -> list[Place]:
        if self.score_threshold is None or ranking.status is Status.FAILED:
            return best
        return best[: Threshold(self.score_threshold)(ranking)]


def _copy(document: Document, place: Place) -> Document:
    return dataclasses.replace(document, score=place.score, meta=place.told(document.meta))


def _unique(documents: Iterable[Document]) -> list[Document]:
    """One document an id, the first with the best score, each in the place where its id came first."""
    best: dict[str, Document] = {}
    for document in documents:
        known = best.setdefault(document.id, document)
        if document.score is not None and (known.score is None or document.score > known.score):
            best[document.id] = document
    return list(best.values())
