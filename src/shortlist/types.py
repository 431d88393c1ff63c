"""The nouns: frozen values that every floor of the house speaks in.

A request goes in (a query and its candidates), slates of passages are put before a model, the model's verdicts come
back, and a ranking goes out: always a permutation of the candidates, with a status that says how it came about.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, Literal, NamedTuple, Self, TypeAlias, TypeVar

from shortlist.errors import InvalidRequest

Run: TypeAlias = Mapping[str, Mapping[str, float]]
"""Query id → document id → score (the TREC run)."""
Qrels: TypeAlias = Mapping[str, Mapping[str, int]]
"""Query id → document id → grade (the TREC qrels)."""


class Status(StrEnum):
    """How a verdict, or the ranking made of many, came about; from best to worst."""

    OK = "ok"  # the reply was well-formed
    REPAIRED = "repaired"  # it was not, and nothing was lost in reading it
    PARTIAL = "partial"  # some passages were not judged; they keep their first-stage place
    FAILED = "failed"  # nothing could be read from it, or there was no reply

    @staticmethod
    def of_many(statuses: Iterable[Status]) -> Status:
        """The status of a whole: failed only if every part failed, partial if some part lost something."""
        seen = set(statuses)
        if not seen or seen == {Status.OK}:
            return Status.OK
        if seen == {Status.FAILED}:
            return Status.FAILED
        return Status.PARTIAL if seen & {Status.FAILED, Status.PARTIAL} else Status.REPAIRED


# ------------------------------------------------------------------------------------------------ what is ranked


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked: ``answers`` are the gold answers, if known; ``instruction`` says what counts as relevant."""

    text: str
    id: str = "q"
    answers: tuple[str, ...] = ()
    instruction: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip():
            raise InvalidRequest(f"query {self.id!r} has no text ({self.text!r}); give it some words")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A passage."""

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in (("id", self.id), ("text", self.text), ("title", self.title)):
            if not isinstance(value, str):
                raise InvalidRequest(f"the {name} of document {self.id!r} is {value!r}; give a string")

    @property
    def full_text(self) -> str:
        """Title and text as one string, the field's convention (BEIR)."""
        return f"{self.title} {self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp(Query):
    """A question that passages have joined: ``text`` has both, ``asked`` is the question alone, ``found`` the passages."""

    asked: Query
    found: tuple[Document, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that a first stage put forward. ``score`` is the first stage's, and is never overwritten."""

    document: Document
    score: float | None = None

    @property
    def id(self) -> str:
        """The document's id."""
        return self.document.id


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """A query and its candidates in first-stage order. Candidate ids are unique; there may be none at all."""

    query: Query
    candidates: tuple[Candidate, ...]

    def __post_init__(self) -> None:
        seen = {candidate.document.id for candidate in self.candidates}
        if len(seen) != len(self.candidates):
            ids = [candidate.id for candidate in self.candidates]
            twice = sorted({i for i in ids if ids.count(i) > 1})
            raise InvalidRequest(f"query {self.query.id!r}: candidate ids {twice[:5]} come more than once")

    @classmethod
    def of(cls, query: str | Query, passages: Iterable[str | Document | Candidate]) -> Self:
        """A request from whatever is at hand; a plain string becomes a document whose id is its position, from 0."""
        if isinstance(passages, str | Document | Candidate):
            raise InvalidRequest(f"passages is one {type(passages).__name__}; give a list of them")
        asked = Query(text=query) if isinstance(query, str) else query
        return cls(asked, tuple(_candidate(passage, place) for place, passage in enumerate(passages)))

    def __len__(self) -> int:
        return len(self.candidates)

    def head(self, depth: int) -> RerankRequest:
        """The same query with its first ``depth`` candidates only."""
        return self if len(self.candidates) <= depth else RerankRequest(self.query, self.candidates[:depth])


def _candidate(passage: str | Document | Candidate, place: int) -> Candidate:
    if isinstance(passage, Candidate):
        return passage
    if isinstance(passage, Document):
        return Candidate(passage)
    if isinstance(passage, str):
        return Candidate(Document(id=str(place), text=passage))
    raise InvalidRequest(f"passage {place} is a {type(passage).__name__}; give a str, a Document or a Candidate")


# ------------------------------------------------------------------------------------------------ what a model says


QUERY_CUT = "the query was cut to fit its token budget"
"""The problem that a ranking or an answer tells when the model saw less than the whole query."""


@dataclass(frozen=True, slots=True)
class Slate:
    """The passages put before the model in one call: one, a pair, a set, a window, a group.

    ``truncated`` holds the positions of passages that were cut to fit their token budget, ``query_truncated`` whether
    the query was.
    """

    query: Query
    candidates: tuple[Candidate, ...]
    truncated: tuple[int, ...] = ()
    query_truncated: bool = False

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def documents(self) -> tuple[Document, ...]:
        """The slate's documents in order."""
        return tuple(candidate.document for candidate in self.candidates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the model said of a slate, and how well it said it. The base of the three kinds below."""

    status: Status = Status.OK
    reasoning: str = ""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Verdict):
    """The best passage of a slate, by position from 0; ``None`` when the model named none.

    ``shares`` are the probabilities of each passage being chosen, where the backend can tell; they sum to 1.
    """

    best: int | None
    shares: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement(Verdict):
    """An order of the slate: ``order[0]`` is the position of the best passage; always a permutation.

    ``cutoff`` is how many of the order the model would keep, if it said so. ``missing`` are the positions that it did
    not speak of: they stand at the end of the order, in the slate's order.
    """

    order: tuple[int, ...]
    cutoff: int | None = None
    missing: tuple[int, ...] = ()

    @property
    def best(self) -> int | None:
        """The position of the best passage, ``None`` for an empty slate or a reply that could not be read."""
        return self.order[0] if self.order and self.status is not Status.FAILED else None

    @property
    def shares(self) -> None:
        """An order has no probabilities (they belong to :class:`Choice`)."""
        return


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredJudgement(Judgement):
    """A judgement whose scores can be compared across slates.

    ``scores[i]`` belongs to the passage at position ``i`` of the slate (not of the order); higher is better; NaN where
    the passage is ``missing``.
    """

    scores: tuple[float, ...]

    @classmethod
    def of(cls, scores: Sequence[float | None], *, status: Status | None = None, **told: Any) -> ScoredJudgement:
        """From scores by position, ``None`` or NaN for the passages not scored. Ties keep the slate's order.

        The status, unless given, is ok when all are scored, failed when none is, else partial.
        """
        values = tuple(math.nan if score is None else float(score) for score in scores)
        missing = tuple(i for i, value in enumerate(values) if math.isnan(value))
        order = tuple(sorted(range(len(values)), key=lambda i: math.inf if math.isnan(values[i]) else -values[i]))
        if status is None:
            lost = Status.FAILED if len(missing) == len(values) else Status.PARTIAL
            status = lost if missing else Status.OK
        return cls(order=order, scores=values, missing=missing, status=status, **told)


J = TypeVar("J", bound=Verdict)
J_co = TypeVar("J_co", bound=Verdict, covariant=True)
J_contra = TypeVar("J_contra", bound=Verdict, contravariant=True)

Flow: TypeAlias = Generator[Sequence[Slate], Sequence[J], "Ranking"]
"""A strategy at work on one request: it yields slates, is sent their verdicts, and returns a ranking."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What something cost. ``seconds`` is time spent waiting for the model, summed over calls."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_calls: int = 0
    seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_calls + other.cached_calls,
            self.seconds + other.seconds,
        )

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens

    @classmethod
    def total(cls, usages: Iterable[Usage]) -> Usage:
        """The sum of many."""
        calls = prompt = completion = cached = 0
        seconds = 0.0
        for usage in usages:
            calls += usage.calls
            prompt += usage.prompt_tokens
            completion += usage.completion_tokens
            cached += usage.cached_calls
            seconds += usage.seconds
        return cls(calls, prompt, completion, cached, seconds)


class Message(NamedTuple):
    """One turn of a conversation with a chat model."""

    role: Literal["system", "user", "assistant"]
    content: str


Messages: TypeAlias = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Turn(Generic[J_co]):
    """One call, whole: what was shown, what came back, how it was read, what it cost.

    ``messages`` is empty for models that score pairs and read no prompt. ``error`` says why there was no reply.
    """

    slate: Slate
    verdict: J_co
    messages: Messages = ()
    text: str = ""
    usage: Usage = Usage()
    error: str | None = None


# ------------------------------------------------------------------------------------------------ what comes out


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """A permutation of a request's candidates, best first.

    ``order`` holds positions in ``request.candidates``. ``scores`` run along ``order`` and are there only if they mean
    something. ``cutoff`` is how many to keep (``None``: nothing was said, keep all). No candidate is ever dropped;
    ``unjudged`` holds the positions that no verdict spoke of, although it was asked for; ``skipped`` those that a gate
    kept from the last model, which stand below what it judged. ``truncated`` counts passages that the model saw cut.
    """

    request: RerankRequest
    order: tuple[int, ...]
    scores: tuple[float, ...] | None = None
    cutoff: int | None = None
    status: Status = Status.OK
    unjudged: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
    usage: Usage = Usage()
    truncated: int = 0
    skipped: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.request.candidates)
        if len(self.order) != n or len(set(self.order)) != n or (n and not 0 <= min(self.order) <= max(self.order) < n):
            raise InvalidRequest(f"not a permutation of {n} candidates: {self.order}")
        if self.scores is not None and len(self.scores) != n:
            raise InvalidRequest(f"{len(self.scores)} scores for {n} candidates")
        if self.cutoff is not None and not 0 <= self.cutoff <= n:
            raise InvalidRequest(f"cutoff {self.cutoff} of {n} candidates")

    @classmethod
    def of(cls, request: RerankRequest, order: Iterable[int], **told: Any) -> Ranking:
        """A ranking from an order; the other fields by keyword."""
        return cls(request=request, order=tuple(order), **told)

    @classmethod
    def by_scores(cls, request: RerankRequest, scores: Sequence[float], **told: Any) -> Ranking:
        """Sorted by ``scores`` (one a candidate, higher is better); ties keep the first-stage order."""
        order = sorted(range(len(scores)), key=lambda i: -scores[i])
        return cls(request=request, order=tuple(order), scores=tuple(scores[i] for i in order), **told)

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Candidate]:
        return (self.request.candidates[i] for i in self.order)

    @property
    def query(self) -> Query:
        """The request's query."""
        return self.request.query

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All candidates, best first."""
        return tuple(self)

    @property
    def ids(self) -> tuple[str, ...]:
        """All document ids, best first."""
        return tuple(candidate.document.id for candidate in self)

    @property
    def kept(self) -> tuple[Candidate, ...]:
        """The shortlist: the candidates above the cutoff, all of them if there is none."""
        return self.candidates[: self.cutoff]

    def top(self, k: int | None) -> tuple[Candidate, ...]:
        """The first ``k``; ``None`` means as many as the cutoff says."""
        return self.kept if k is None else self.candidates[:k]


@dataclass(frozen=True, slots=True)
class Rollout:
    """A ranking and every turn that led to it."""

    ranking: Ranking
    turns: tuple[Turn[Verdict], ...]
