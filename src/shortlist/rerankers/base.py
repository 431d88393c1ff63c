"""Strategies decide, policies do, and a driver stands between them.

A strategy is a generator: it yields slates, is sent their verdicts, and returns a ranking; it calls nothing. A driver
runs many such flows at once, so that slates of different queries share one batch, or every flow goes on by itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Literal, Protocol, cast

from shortlist.errors import InvalidInput, JudgementFailed
from shortlist.rerankers.drivers import Driver, Finished, Rounds
from shortlist.types import (
    QUERY_CUT,
    Flow,
    J,
    J_co,
    J_contra,
    Ranking,
    RerankRequest,
    Rollout,
    Slate,
    Status,
    Turn,
    Usage,
    Verdict,
)


class Policy(Protocol[J_co]):
    """A prompt and a backend together: judges slates."""

    @property
    def identity(self) -> str:
        """Everything that decides a verdict: prompt fingerprint, backend identity, decoding."""

    def judge(self, slates: Sequence[Slate], /) -> Sequence[Turn[J_co]]:
        """One turn a slate, in the same order. A slate that cannot be judged has a failed verdict, not an exception."""


class Strategy(Protocol[J_contra]):
    """Which slates to ask about. The verdict it needs is part of its type: pairs that cannot work do not check."""

    def flow(self, request: RerankRequest, /) -> Flow[J_contra]:
        """The flow for one request."""


class Ranker(Protocol):
    """Anything that ranks: a reranker, a cascade, a fused one, a hosted service."""

    @property
    def name(self) -> str:
        """What tables and logs call it."""

    def rerank(self, requests: Iterable[RerankRequest], /) -> Iterator[Ranking]:
        """One ranking a request, in the same order, as they get ready; requests are read as they are needed."""


def identity_of(ranker: Ranker) -> str | None:
    """Everything that decides a ranker's rankings, as far as it tells (those made of rankers tell their parts')."""
    told = getattr(ranker, "identity", None)
    return None if told is None else str(told)


def named(function: object) -> str:
    """A function by its name, a partial one with what it was given: for identities, which a repr's address would spoil."""
    if isinstance(function, partial):
        told = [*map(repr, function.args), *(f"{key}={value!r}" for key, value in sorted(function.keywords.items()))]
        return f"{named(function.func)}({', '.join(told)})"
    return getattr(function, "__qualname__", None) or repr(function)


@dataclass(frozen=True, kw_only=True)
class Reranker(Generic[J]):
    """A policy and a strategy together.

    ``on_error``: ``"report"`` keeps going when a slate cannot be judged (its passages keep their first-stage order, and
    the ranking's status and problems say so); ``"raise"`` stops with :class:`~shortlist.errors.JudgementFailed`.
    """

    policy: Policy[J]
    strategy: Strategy[J]
    name: str = "reranker"
    driver: Driver = Rounds()
    on_error: Literal["report", "raise"] = "report"

    def __post_init__(self) -> None:
        if self.on_error not in {"report", "raise"}:
            raise InvalidInput(f"on_error is {self.on_error!r}; give 'report' or 'raise'")

    @property
    def identity(self) -> str:
        """Everything that decides a ranking."""
        return f"{self.strategy!r} {self.policy.identity}"

    def rerank(self, requests: Iterable[RerankRequest], /) -> Iterator[Ranking]:
        """One ranking a request, in order; memory holds only the requests under way."""
        return (self._account(finished) for finished in self._run(requests))

    def rollouts(self, requests: Iterable[RerankRequest], /) -> Iterator[Rollout]:
        """Like :meth:`rerank`, with every turn kept."""
        return (Rollout(self._account(finished), tuple(finished.turns)) for finished in self._run(requests))

    def _run(self, requests: Iterable[RerankRequest]) -> Iterator[Finished]:
        judge = self._judge_or_raise if self.on_error == "raise" else self.policy.judge
        flows = (cast("Flow[Any]", self.strategy.flow(request)) for request in requests)
        return self.driver.run(judge, flows)

    def _judge_or_raise(self, slates: Sequence[Slate]) -> Sequence[Turn[J]]:
        turns = self.policy.judge(slates)
        for turn in turns:
            if turn.verdict.status is Status.FAILED:
                why = turn.error or "; ".join(turn.verdict.problems) or "the reply could not be read"
                raise JudgementFailed(f"query {turn.slate.query.id!r}: {why}")
        return turns

    @staticmethod
    def _account(finished: Finished) -> Ranking:
        return account(finished.ranking, finished.turns)


MAX_PROBLEMS = 20
"""A ranking tells at most so many different problems; more of the same are counted in the last line."""


def account(ranking: Ranking, turns: Sequence[Turn[Verdict]]) -> Ranking:
    """The ranking with what its turns tell: status, problems, reasoning, usage and truncation."""
    status = Status.of_many(turn.verdict.status for turn in turns)
    if ranking.unjudged and status is not Status.FAILED:
        status = Status.PARTIAL
    if ranking.status is not Status.OK:
        status = Status.of_many((status, ranking.status))
    return dataclasses.replace(
        ranking,
        status=status,
        problems=ranking.problems + _problems(turns),
        reasoning=tuple(turn.verdict.reasoning for turn in turns if turn.verdict.reasoning) or ranking.reasoning,
        usage=ranking.usage + Usage.total(turn.usage for turn in turns),
        truncated=len({turn.slate.candidates[i].id for turn in turns for i in turn.slate.truncated}),
    )


def _problems(turns: Sequence[Turn[Verdict]]) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    for turn in turns:
        told = (*([turn.error] if turn.error else []), *turn.verdict.problems)  # the cause first
        for problem in (*told, QUERY_CUT) if turn.slate.query_truncated else told:
            seen[problem] = seen.get(problem, 0) + 1
    lines = [problem if times == 1 else f"{problem} (×{times})" for problem, times in seen.items()]
    if len(lines) > MAX_PROBLEMS:
        lines[MAX_PROBLEMS - 1 :] = [f"{len(lines) - MAX_PROBLEMS + 1} more kinds of problem"]
    return tuple(lines)
