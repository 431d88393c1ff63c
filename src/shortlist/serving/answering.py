"""`POST /v1/answer` and `POST /v1/search`: find, rerank, keep, read, cite."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from shortlist.reading.base import Answer, Reader, Reading
from shortlist.serving.asking import Asked, Ranked, Refused
from shortlist.serving.engine import Engine
from shortlist.serving.plans import Ask, Plan
from shortlist.serving.ranking import Outcome, Prepared, planned, shown_of
from shortlist.serving.schemas.base import (
    Asking,
    Documents,
    Extension,
    Fraction,
    Many,
    SpanWishes,
    Text,
    Told,
    Wire,
    asked_of,
    given,
    span_wishes,
    text_of,
)
from shortlist.serving.schemas.cohere import Meta
from shortlist.serving.schemas.shared import SHARED
from shortlist.serving.served import Found, SearchIndex
from shortlist.types import Status

CITED_BY = "the answer's words as they stand in the passages"
_CITATIONS = 3  # a passage


class AnswerRequest(Wire):
    """The body of ``POST /v1/answer``."""

    query: Asking
    documents: Documents | None = Field(None, description="In first-stage order; without them a corpus is searched.")
    corpus: str | None = Field(None, description="Which corpus to search, if no documents are given.")
    depth: Annotated[int, Field(ge=1, le=1000)] | None = Field(None, description="How many to find; 50 if not said.")
    model: str | None = Field(None, description="The reranker.")
    k: Literal["auto"] | Annotated[int, Field(ge=0, le=100)] | None = Field(
        None, description="How many passages to read: a number (3 if not said), or auto: as many as the reranker keeps."
    )
    compare: bool | None = Field(None, description="Also answer from the first stage's best, as many.")
    max_tokens_per_doc: Many | None = None
    relevant_spans: SpanWishes | None = None
    rerank: Extension | None = None

    def asked(self, texts: Sequence[str], scores: tuple[float, ...] | None) -> Asked:
        """As ours, with the passages given or found."""
        told = asked_of(
            self,
            self.rerank or Extension.model_validate({}),
            query=self.query,
            texts=tuple(texts),
            model=self.model,
            max_tokens=self.max_tokens_per_doc,
            return_documents=True,
            **span_wishes(self.relevant_spans),
        )
        k = self.k if self.k is not None else self.rerank.k if self.rerank else None
        most = 3 if k is None else None if k == "auto" else k
        known = told.first_stage_scores or scores
        return dataclasses.replace(told, top_n=most, keep_auto=k == "auto", first_stage_scores=known)

    def texts(self) -> list[str]:
        """The passages given."""
        return [text_of(document) for document in self.documents or ()]


class Citation(Told):
    """Where the answer stands: a half-open stretch of a passage, in code points; ``index`` as in the results."""

    index: int
    start: int
    end: int
    text: str


class AnswerResult(Told):
    """A passage that was read."""

    index: int
    relevance_score: Fraction
    document: Text


class AnswerReply(Told):
    """The reply of ``POST /v1/answer``. ``answer`` is null where the reader found none."""

    id: str
    object: str
    model: str
    reader: str
    answer: str | None
    answer_status: str
    before: dict[str, Any] | None = None
    citations: list[Citation]
    results: list[AnswerResult]
    meta: Meta


class SearchRequest(Wire):
    """The body of ``POST /v1/search``."""

    query: Asking
    corpus: str | None = Field(None, description="Which corpus; the first if not said.")
    depth: Annotated[int, Field(ge=1, le=1000)] | None = Field(None, description="How many; 50 if not said.")


class SearchResult(Told):
    """A passage that the first stage found."""

    id: str
    text: str
    title: str | None = None
    score: float


class SearchReply(Told):
    """The reply of ``POST /v1/search``."""

    object: str
    corpus: str
    results: list[SearchResult]


@dataclass(frozen=True, slots=True)
class Answered:
    """What the plan of an answer comes to; ``before`` is the answer from the first stage's best."""

    outcome: Outcome
    answer: Answer
    before: Answer | None


def answering(engine: Engine, reader: Reader, prepared: Prepared, *, compare: bool) -> Callable[[], Plan[Answered]]:
    """Makes the plan: rank, keep, read; both readings in one batch."""
    make, request = planned(engine, prepared), prepared.request

    def plan() -> Plan[Answered]:
        outcome = yield from make()
        k = shown_of(prepared.asked, outcome.ranking)
        kept = tuple(candidate.document for candidate in outcome.ranking.candidates[:k])
        readings = [Reading(request.query, kept)]
        if compare:
            readings.append(Reading(request.query, tuple(c.document for c in request.candidates[:k])))
        answers: Sequence[Answer] = yield Ask(engine.of_reader(reader), readings)
        return Answered(outcome, answers[0], answers[1] if compare else None)

    return plan


def answer_reply(ranked: Ranked, reader: str, answered: Answered) -> dict[str, Any]:
    """The reply; a reading that failed is refused, unless failures are to be reported."""
    answer = answered.answer
    if answer.status is Status.FAILED and not ranked.expired and ranked.asked.on_error != "report":
        raise Refused("backend", answer.error or "; ".join(answer.problems) or "the reader's reply could not be read")
    told = SHARED.reply(ranked)
    usage = told["usage"]
    for cost in (answer.usage, *([answered.before.usage] if answered.before else [])):
        usage = {
            "prompt_tokens": usage["prompt_tokens"] + cost.prompt_tokens,
            "total_tokens": usage["total_tokens"] + cost.tokens,
        }
    before = answered.before
    return given(
        id=ranked.id.replace("rerank-", "answer-", 1),
        object="answer",
        model=ranked.model,
        reader=reader,
        before=None if before is None else {"answer": before.text, "answer_status": before.status.value},
        citations=[citation for result in ranked.results for citation in cited(answer.text, result.index, result.text)],
        cited_by=CITED_BY,
        results=told["results"],
        usage=usage,
        meta=told["meta"],
    ) | {"answer": answer.text, "answer_status": answer.status.value}


def cited(answer: str | None, index: int, text: str) -> list[dict[str, Any]]:
    """Where the words of an answer stand in a passage, whatever case and stops are between."""
    words = re.findall(r"\w+", answer or "")
    if not words:
        return []
    pattern = re.compile(r"(?<!\w)" + r"\W{1,4}".join(map(re.escape, words)) + r"(?!\w)", re.IGNORECASE)
    found = [match for match, _ in zip(pattern.finditer(text), range(_CITATIONS), strict=False)]
    return [{"index": index, "start": m.start(), "end": m.end(), "text": m[0]} for m in found]


# ------------------------------------------------------------------------------------------------ search


def corpus_named(corpora: Sequence[SearchIndex], name: str | None) -> SearchIndex:
    """The corpus of that name; the first if none is named."""
    if not corpora:
        raise Refused("unknown_model", "this server has no corpus to search; give documents", parameter="documents")
    found = next((corpus for corpus in corpora if name in {None, corpus.name}), None)
    if found is None:
        known = ", ".join(corpus.name for corpus in corpora)
        raise Refused("unknown_model", f"no corpus {str(name)[:100]!r}; known: {known}", parameter="corpus")
    return found


def searching(engine: Engine, index: SearchIndex, query: str, depth: int) -> Callable[[], Plan[Found]]:
    """Makes the plan of a search: an index is searched by one thread."""

    def plan() -> Plan[Found]:
        found: Found
        (found,) = yield Ask(engine.of_function(index, f"search {index.name}", index.find), [(query, depth)])
        return found

    return plan


def search_reply(index: SearchIndex, found: Found) -> dict[str, Any]:
    """The reply of a search."""
    results = [
        given(id=d.id, text=d.text, title=d.title or None, score=score)
        for d, score in zip(found.documents, found.scores, strict=True)
    ]
    return {"object": "list", "corpus": index.name, "results": results}
