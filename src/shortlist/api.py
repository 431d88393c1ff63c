"""The short face of the library: a reranker by name, a reader by name, and one query at a time.

>>> from shortlist import Shortlist
>>> Shortlist("cross-encoder:minilm-l12").rank("capital of France", ["Rome", "Paris is it."])  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from shortlist.backends.cache import Store, cached
from shortlist.backends.open import open_llm
from shortlist.errors import InvalidInput
from shortlist.reading.base import Answer, Reader, Reading
from shortlist.reading.readers import LLMReader
from shortlist.rerankers.base import Ranker
from shortlist.rerankers.catalog import open_reranker
from shortlist.rerankers.spec import Options, llm_options, read_options
from shortlist.text.answering import AnswerShort
from shortlist.types import Candidate, Document, Query, Ranking, RerankRequest


def open_reader(name: str, *, store: Store | None = None) -> Reader:
    """The reader that a name stands for: ``MODEL[?passage_tokens=256&max_tokens=32&abstain=true&closed_book=false]``.

    The model is a catalog name, a hub id, a path, or ``openai:MODEL@URL``. ``one_line=true`` ends replies at their first
    line; with ``reuse_prefix=true`` llama.cpp computes the common beginning of prompts once.
    """
    model, _, query = name.rpartition("?") if "?" in name else (name, "", "")
    options = Options(name, read_options(query, name))
    prompt = AnswerShort(
        passage_tokens=options.whole("passage_tokens", 256),
        allow_abstain=options.flag("abstain", default=True),
        closed_book=options.flag("closed_book", default=False),
    )
    max_tokens = options.maybe_whole("max_tokens")
    one_line = options.flag("one_line", default=False)
    running = llm_options(options)
    options.done()
    if not model:
        raise InvalidInput(f"{name!r} names no model to read with; try smollm2-135m")
    llm = open_llm(model, running)
    llm = llm if store is None else cached(llm, store)
    return LLMReader(completer=llm, prompt=prompt, max_tokens=max_tokens, one_line=one_line)


class Shortlist:
    """A reranker by its name, for one query at a time or many.

    ``cache`` is a file that keeps what models said, so that nothing is asked twice. ``on_error="raise"`` raises
    :class:`~shortlist.errors.JudgementFailed` when a passage cannot be judged; ``"report"`` keeps its first-stage place
    and says so in the ranking's status.
    """

    def __init__(
        self,
        reranker: str | Ranker,
        *,
        cache: str | Path | None = None,
        on_error: Literal["report", "raise"] = "report",
    ) -> None:
        store = None if cache is None else Store(Path(cache))
        named = isinstance(reranker, str)
        self.ranker: Ranker = open_reranker(reranker, store=store, on_error=on_error) if named else reranker  # type: ignore[assignment,arg-type]

    def rank(
        self, query: str | Query, passages: Iterable[str | Document | Candidate], *, top_k: int | None = None
    ) -> Ranking:
        """The passages of one query, best first. ``top_k`` sets the ranking's cutoff; it drops nothing."""
        (ranking,) = self.ranker.rerank([RerankRequest.of(query, passages)])
        if top_k is None:
            return ranking
        from shortlist.rerankers.cutoffs import TopK, cut

        return cut(ranking, TopK(top_k))

    def rank_many(self, requests: Iterable[RerankRequest]) -> Iterator[Ranking]:
        """One ranking a request, in order, as they get ready."""
        return self.ranker.rerank(requests)


def ask(reader: Reader, query: str | Query, passages: Sequence[str | Document | Candidate]) -> Answer:
    """One answer from passages."""
    request = RerankRequest.of(query, passages)
    (answer,) = reader.read([Reading(request.query, tuple(c.document for c in request.candidates))])
    return answer
