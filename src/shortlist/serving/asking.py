"""What every dialect comes down to: one request of ours, one reply of ours, one kind of refusal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shortlist.errors import BackendError, InvalidInput, MissingExtra, ModelUnavailable, ShortlistError
from shortlist.rerankers.explain import Span, SpanRequest, Why
from shortlist.rerankers.parts import Mode
from shortlist.serving.engine import Closing, Overloaded
from shortlist.types import Ranking, Usage

Reason = Literal[
    "empty",
    "too_many",
    "too_large",
    "invalid",
    "unknown_model",
    "unknown_route",
    "key",
    "overloaded",
    "closing",
    "backend",
    "deadline",
    "unavailable",
    "internal",
]

STATUS: Mapping[Reason, int] = {
    "empty": 400,
    "too_many": 413,
    "too_large": 413,
    "invalid": 422,
    "unknown_model": 404,
    "unknown_route": 404,
    "key": 401,
    "overloaded": 429,
    "closing": 503,
    "backend": 502,
    "deadline": 504,
    "unavailable": 503,
    "internal": 500,
}
"""The HTTP status of each reason; a dialect may have its own."""


def without_addresses(told: str) -> str:
    """What went wrong, without where the model's server is: that is nobody's business outside.

    >>> without_addresses("no answer from http://10.0.0.7:8000/v1/chat/completions within 5 s")
    "no answer from the model's server within 5 s"
    """
    return _ADDRESS.sub("the model's server", told)


_ADDRESS = re.compile(r"https?://[^\s'\"<>]+[^\s'\"<>.,:;)\]]")


class Refused(ShortlistError):
    """A request that gets an error for a reply.

    ``parameter`` names the field that is wrong, if one is; ``status`` overrules the reason's.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        parameter: str | None = None,
        retry_after: int | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.reason, self.parameter = reason, parameter
        self.message = without_addresses(message) if reason in {"backend", "unavailable", "deadline"} else message
        self.retry_after, self.status = retry_after, status


def refusal_of(problem: BaseException) -> Refused:
    """Any exception as a refusal; what is not ours tells nothing of itself."""
    if isinstance(problem, Refused):
        return problem
    if isinstance(problem, Overloaded):
        return Refused("overloaded", str(problem), retry_after=problem.retry_after)
    if isinstance(problem, Closing):
        return Refused("closing", str(problem), retry_after=5)
    if isinstance(problem, BackendError):
        return Refused("backend", str(problem))
    if isinstance(problem, MissingExtra | ModelUnavailable):
        return Refused("unavailable", str(problem))
    if isinstance(problem, InvalidInput):
        return Refused("invalid", str(problem))
    return Refused("internal", "an error of the server; its log has more")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A rerank request, whatever dialect it came in.

    ``texts`` in first-stage order; ``top_n`` ``None`` is all; ``max_tokens`` cuts each passage; ``cut_forbidden``: a
    passage that does not fit is an error. ``keep_auto``: reply with as many as the ranker keeps. ``deadline``: seconds.
    ``spans`` are wished for every result; ``explain`` brings those of the first few, unless ``spans_refused``.
    """

    query: str
    texts: tuple[str, ...]
    model: str | None = None
    mode: Mode | None = None
    top_n: int | None = None
    keep_auto: bool = False
    max_tokens: int | None = None
    cut_forbidden: bool = False
    return_documents: bool = False
    raw_scores: bool = False
    spans: SpanRequest | None = None
    spans_refused: bool = False
    explain: bool = False
    extended: bool = False
    priority: int = 0
    deadline: float | None = None
    on_error: Literal["report", "raise"] | None = None
    instruction: str = ""
    first_stage_scores: tuple[float, ...] | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Occluded:
    """How the spans of a reply were found, by which model's scores, and what that cost beside the ranking."""

    method: str
    scorer: str
    usage: Usage

    @property
    def told(self) -> dict[str, Any]:
        """As it stands in the reply."""
        return {"method": self.method, "scorer": self.scorer, "calls": self.usage.calls, "tokens": self.usage.tokens}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A passage in the reply. ``index`` is its place in the request, ``rank`` that in the ranking, both from 0; ``raw``
    the ranker's own score, if it gave one; ``why`` is there if an explanation was asked for.
    """

    index: int
    rank: int
    text: str
    relevance: float
    raw: float | None = None
    judged: bool = True
    spans: tuple[Span, ...] = ()
    why: Why | None = None


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """A reply, whatever dialect it goes out in. ``results`` are those asked for; ``ranking`` is the whole."""

    id: str
    model: str
    mode: Mode
    asked: Asked
    ranking: Ranking
    results: tuple[Result, ...]
    score_kind: str
    expired: bool = False
    occluded: Occluded | None = None
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def told(self) -> dict[str, Any]:
        """Everything under our own key of the reply; what there is nothing to say of is left out."""
        ranking, usage = self.ranking, self.ranking.usage
        told: dict[str, Any] = {
            "status": "partial" if self.expired and ranking.status != "failed" else ranking.status.value,
            "deadline_passed": True if self.expired else None,
            "model": self.model,
            "mode": self.mode,
            "score_kind": self.score_kind,
            "cutoff": ranking.cutoff,
            "unjudged": len(ranking.unjudged) or None,
            "skipped": len(ranking.skipped) or None,
            "truncated": ranking.truncated or None,
            "problems": [*map(without_addresses, ranking.problems)] or None,
            "reasoning": list(ranking.reasoning) if self.asked.explain and ranking.reasoning else None,
            "spans": None if self.occluded is None else self.occluded.told,
            "usage": {
                "calls": usage.calls,
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "model_seconds": round(usage.seconds, 6),
            },
            "cached": usage.cached_calls or None,
            "seconds": round(self.seconds, 6),
        }
        return {name: value for name, value in told.items() if value is not None} | dict(self.more)
