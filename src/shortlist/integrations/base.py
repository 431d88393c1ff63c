"""What all integrations share: a ranker opened once, and each of the caller's passages told its place and scores.

Passages go by position, so that neither missing nor repeated ids of a framework matter; the caller's own objects are
copied by the integrations, never changed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import numpy as np

from shortlist.api import Shortlist
from shortlist.errors import InvalidInput, JudgementFailed, MissingExtra
from shortlist.rerankers.base import Ranker, Reranker
from shortlist.types import Candidate, Document, Query, Ranking, RerankRequest, Status

SCORE = "relevance_score"
"""Where a passage's metadata holds the reranker's score; absent if the reranker gives none."""
FIRST = "retrieval_score"
"""Where it holds the first stage's score; absent if there was none."""
STATUS = "rerank_status"
"""Where it says how the ranking came about: ok, repaired, partial, failed, or unjudged (of this passage alone)."""
UNJUDGED = "unjudged"
TOLD = (SCORE, FIRST, STATUS)

TopN: TypeAlias = int | Literal["auto"] | None
"""How many to give back: so many; ``"auto"``: as many as the reranker would keep; ``None``: all."""
OnError: TypeAlias = Literal["report", "raise"]

_log = logging.getLogger("shortlist.integrations")


@contextlib.contextmanager
def framework(package: str, extra: str) -> Iterator[None]:
    """Imports inside it that fail because ``package`` is not installed raise ``MissingExtra``."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != package.split(".", maxsplit=1)[0].replace("-", "_"):
            raise  # something else is missing: the framework's own installation is broken
        raise MissingExtra(package, extra) from error


def number(value: object) -> float | None:
    """A first-stage score as it is found in somebody's metadata: a finite number, or ``None``."""
    try:
        score = math.nan if value is None or isinstance(value, bool | str) else float(cast("float", value))
    except (TypeError, ValueError):
        return None
    return score if math.isfinite(score) else None


def first_score(metadata: Mapping[str, Any]) -> float | None:
    """The score by which a passage came, where a framework has no field for it."""
    return next((score for key in (FIRST, "score", SCORE) if (score := number(metadata.get(key))) is not None), None)


@dataclass(frozen=True, slots=True)
class Passage:
    """What a reranker needs of a passage: its text, and the first stage's score if there is one."""

    text: str
    score: float | None = None
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a passage came to stand: ``index`` is its position in the caller's list, ``rank`` counts from 1.

    ``score`` is the reranker's (higher is better), ``first`` the first stage's; ``kept``: above the cutoff.
    """

    index: int
    rank: int
    score: float | None
    first: float | None
    kept: bool
    status: str

    def told(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of a passage's metadata with what is known of it now; an earlier first-stage score stands."""
        new: dict[str, Any] = {key: value for key, value in metadata.items() if key not in {SCORE, STATUS}}
        if self.first is not None:
            new.setdefault(FIRST, self.first)
        if self.score is not None:
            new[SCORE] = self.score
        new[STATUS] = self.status
        return new


def places(ranking: Ranking, top_n: TopN = None) -> list[Place]:
    """The ranking's places, best first: ``top_n`` of them. A failed ranking has no scores."""
    scores = ranking.scores if ranking.scores and ranking.status is not Status.FAILED else (None,) * len(ranking)
    unjudged = set(ranking.unjudged) if ranking.status is not Status.FAILED else set()
    kept = len(ranking) if ranking.cutoff is None else ranking.cutoff
    return [
        Place(
            index=index,
            rank=rank,
            score=number(score),
            first=ranking.request.candidates[index].score,
            kept=rank <= kept,
            status=UNJUDGED if index in unjudged else ranking.status.value,
        )
        for rank, (index, score) in enumerate(zip(ranking.order, scores, strict=True), 1)
    ][: how_many(top_n, kept)]


def check_top_n(top_n: TopN) -> TopN:
    """The same, or an error that says what it may be."""
    if top_n is None or top_n == "auto" or (isinstance(top_n, int) and not isinstance(top_n, bool) and top_n > 0):
        return top_n
    raise InvalidInput(f"top_n is {top_n!r}; give 1 or more, 'auto' (as the reranker says) or None (all)")


def how_many(top_n: TopN, kept: int) -> int | None:
    """``top_n`` as the end of a slice, where the reranker would keep ``kept``."""
    return kept if top_n == "auto" else top_n


def falling(ranking: Ranking) -> list[float]:
    """Scores along the order that fall strictly, even as 32-bit floats: the ranking's own if they do, else n, … 2, 1.

    For those who sort by score and would break ties in their own way (trec_eval, MTEB, PyTerrier).
    """
    with np.errstate(over="ignore"):  # too large for 32 bits: infinite, which is told below
        single = np.asarray(ranking.scores or (), dtype=np.float32)
    if len(single) and np.isfinite(single).all() and (single[1:] < single[:-1]).all():
        return list(ranking.scores or ())
    return [float(n) for n in range(len(ranking), 0, -1)]


class Bridge:
    """A ranker as integrations use it: named or given, opened once, for positions instead of ids.

    ``on_error="raise"`` raises :class:`~shortlist.errors.JudgementFailed` when a passage cannot be judged;
    ``"report"`` leaves it in its first-stage place, says so in the metadata, and logs a warning.
    """

    def __init__(
        self, reranker: str | Ranker, *, on_error: OnError = "report", cache: str | os.PathLike[str] | None = None
    ) -> None:
        if on_error not in {"report", "raise"}:
            raise InvalidInput(f"on_error is {on_error!r}; give 'report' or 'raise'")
        if not isinstance(reranker, str) and not hasattr(reranker, "rerank"):
            raise InvalidInput(f"reranker is {reranker!r}; give a name, as cross-encoder:minilm-l12, or a ranker")
        if isinstance(reranker, Reranker) and on_error == "raise":
            reranker = dataclasses.replace(reranker, on_error="raise")
        path = None if cache is None else Path(cache)
        self.ranker = Shortlist(reranker, cache=path, on_error=on_error).ranker
        self.on_error = on_error

    @property
    def name(self) -> str:
        """The ranker's."""
        return self.ranker.name

    def rank(self, query: str | Query, passages: Iterable[Passage]) -> Ranking:
        """The ranking of one query."""
        (ranking,) = self.rank_many([(query, passages)])
        return ranking

    def place(self, query: str | Query, passages: Sequence[Passage], top_n: TopN = None) -> list[Place]:
        """The places of one query's passages, best first. None at all need no call."""
        check_top_n(top_n)
        return places(self.rank(query, passages), top_n) if passages else []

    def rank_many(self, asked: Iterable[tuple[str | Query, Iterable[Passage]]]) -> Iterator[Ranking]:
        """One ranking a query, in order, as they get ready; slates of different queries share batches."""
        requests = (_request(f"q{number}", query, passages) for number, (query, passages) in enumerate(asked))
        return map(self._checked, self.ranker.rerank(requests))

    def _checked(self, ranking: Ranking) -> Ranking:
        if ranking.status is Status.FAILED or ranking.unjudged:
            why = "; ".join(ranking.problems) or "no verdict spoke of them"
            told = f"{len(ranking.unjudged) or len(ranking)} of {len(ranking)} passages could not be judged: {why}"
            if self.on_error == "raise":
                raise JudgementFailed(f"query {ranking.query.id!r}: {told}")
            _log.warning("%s: query %r: %s", self.name, ranking.query.id, told)
        return ranking


def _request(query_id: str, query: str | Query, passages: Iterable[Passage]) -> RerankRequest:
    asked = query if isinstance(query, Query) else Query(text=query, id=query_id)
    return RerankRequest(
        asked,
        tuple(
            Candidate(Document(id=str(i), text=passage.text, title=passage.title), passage.score)
            for i, passage in enumerate(passages)
        ),
    )


def score_pairs(bridge: Bridge, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """The score of every (query, passage) pair; pairs of one query are ranked together.

    Raises :class:`~shortlist.errors.InvalidInput` if the reranker gives orders without scores.
    """
    by_query: dict[str, list[int]] = {}
    for i, (query, _) in enumerate(pairs):
        by_query.setdefault(query, []).append(i)
    asked = ((query, [Passage(pairs[i][1]) for i in members]) for query, members in by_query.items())
    scores = [0.0] * len(pairs)
    for members, ranking in zip(by_query.values(), bridge.rank_many(asked), strict=True):
        if ranking.scores is None:
            raise InvalidInput(f"{bridge.name!r} gives an order and no scores; use one that scores, as cross-encoder")
        for i, score in zip(ranking.order, ranking.scores, strict=True):
            scores[members[i]] = score
    return scores
