"""The contracts of strategies and rankers, with policies that follow a script instead of a model.

:func:`check_strategy` and :func:`check_reranker` return nothing, or raise
:class:`AssertionError` that says what is broken and by which input. They need no test framework.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from shortlist.rerankers.base import Ranker, Reranker
from shortlist.rerankers.drivers import Driver, Freely, Rounds
from shortlist.types import (
    Candidate,
    Choice,
    Document,
    J,
    Judgement,
    Query,
    Ranking,
    RerankRequest,
    ScoredJudgement,
    Slate,
    Status,
    Turn,
    Usage,
)

Grade = Callable[[Candidate], float]
"""How good a passage is; higher is better."""

SIZES = (0, 1, 2, 3, 7, 19, 20, 21, 45, 100)
"""List lengths that strategies and rankers are tried with."""


@dataclass(frozen=True)
class ScriptedPolicy(Generic[J]):
    """Judges each slate by a function of yours; a test double for policies, deterministic and instant."""

    verdict: Callable[[Slate], J]
    identity: str = "scripted"

    def judge(self, slates: Sequence[Slate], /) -> list[Turn[J]]:
        """One turn a slate, each counted as one call."""
        return [Turn(slate, self.verdict(slate), usage=_ONE_CALL) for slate in slates]


_ONE_CALL = Usage(calls=1)


def _by_grade(slate: Slate, grade: Grade) -> tuple[int, ...]:
    grades = [grade(candidate) for candidate in slate.candidates]
    return tuple(sorted(range(len(slate)), key=lambda i: -grades[i]))


def chooser(grade: Grade) -> ScriptedPolicy[Choice]:
    """Always names the passage of the highest grade."""
    return ScriptedPolicy(lambda slate: Choice(best=_by_grade(slate, grade)[0]), "chooser")


def orderer(grade: Grade) -> ScriptedPolicy[Judgement]:
    """Always puts a slate in the order of the grades."""
    return ScriptedPolicy(lambda slate: Judgement(order=_by_grade(slate, grade)), "orderer")


def scorer(grade: Grade) -> ScriptedPolicy[ScoredJudgement]:
    """Always scores a passage with its grade."""
    return ScriptedPolicy(lambda slate: ScoredJudgement.of([grade(c) for c in slate.candidates]), "scorer")


ORACLES: Mapping[str, Callable[[Grade], ScriptedPolicy[Any]]] = {
    "choice": chooser,
    "judgement": orderer,
    "scored": scorer,
}
"""Policies that are always right, by the kind of verdict they give."""


def silent(kind: str) -> ScriptedPolicy[Any]:
    """A policy of the kind whose every verdict failed."""
    told: dict[str, Any] = {"status": Status.FAILED, "problems": ("no reply could be read",)}

    def order(slate: Slate) -> Judgement:
        return Judgement(order=tuple(range(len(slate))), missing=tuple(range(len(slate))), **told)

    replies: dict[str, Callable[[Slate], Choice | Judgement]] = {
        "choice": lambda _: Choice(best=None, **told),
        "judgement": order,
        "scored": lambda slate: ScoredJudgement.of([None] * len(slate), **told),
    }
    return ScriptedPolicy(replies[kind], "silent")


def erratic(kind: str, seed: int = 0) -> ScriptedPolicy[Any]:
    """A policy of the kind that answers at random, partly or not at all; the same slate always gets the same answer."""

    def reply(slate: Slate) -> Choice | Judgement:
        rng = random.Random(f"{seed}/{[candidate.id for candidate in slate.candidates]}")
        if rng.random() < 0.25:
            return silent(kind).verdict(slate)  # type: ignore[no-any-return]
        if kind == "choice":
            return Choice(best=rng.randrange(len(slate)))
        return _half_judged(slate, rng, scored=kind == "scored")

    return ScriptedPolicy(reply, f"erratic {seed}")


def _half_judged(slate: Slate, rng: random.Random, *, scored: bool) -> Judgement:
    named = rng.sample(range(len(slate)), rng.randint(1, len(slate)))
    missing = tuple(i for i in range(len(slate)) if i not in named)
    problems = (f"{len(missing)} passages were left out",) if missing else ()
    if scored:
        scores = [float(rng.randint(0, 3)) if i in named else None for i in range(len(slate))]
        return ScoredJudgement.of(scores, problems=problems)
    status = Status.PARTIAL if missing else Status.OK
    cutoff = rng.choice((None, rng.randint(0, len(named))))
    return Judgement(order=(*named, *missing), missing=missing, status=status, cutoff=cutoff, problems=problems)


# ------------------------------------------------------------------------------------------------ material


def graded_request(n: int, seed: int = 0) -> tuple[RerankRequest, Grade]:
    """A request of n passages in random order, and their grades: all different, known by the documents' ids."""
    grades = list(range(n))
    random.Random(f"{seed}/{n}").shuffle(grades)
    candidates = (
        Candidate(Document(id=f"d{i}", text=f"passage {i} of grade {grade}"), float(n - i))
        for i, grade in enumerate(grades)
    )
    table = {f"d{i}": float(grade) for i, grade in enumerate(grades)}
    return RerankRequest(Query(id=f"q{n}-{seed}", text="which grade is highest"), tuple(candidates)), _Table(table)


@dataclass(frozen=True)
class _Table:
    grades: Mapping[str, float]
    sign: float = 1.0

    def __call__(self, candidate: Candidate) -> float:
        return self.sign * self.grades[candidate.id]


def _expect(holds: bool, fault: str) -> None:  # noqa: FBT001 - reads like assert
    if not holds:
        raise AssertionError(fault)


# ------------------------------------------------------------------------------------------------ strategies


def check_strategy(
    strategy: Any,
    kinds: Sequence[str] = ("choice", "judgement", "scored"),
    *,
    sizes: Sequence[int] = SIZES,
    settles: int | None = None,
) -> None:
    """Raise if a strategy breaks its contract under any of the ``kinds`` of verdict that it says it takes.

    For every size: an oracle's first ``settles`` places (``None``: all; 0: nothing is promised) come out exactly, and
    exactly reversed under the opposite oracle; with no verdict at all the first stage's order stays, visibly failed;
    erratic verdicts still give permutations with the right status and the same result every time; all requests
    together give what each gives alone, under every driver; the request is not changed.
    """
    for kind in kinds:
        for n in sizes:
            for sign in (1.0, -1.0):
                _check_oracle(strategy, kind, n, sign, settles)
            _check_silence(strategy, kind, n)
        for seed in range(3):
            _check_erratic(strategy, kind, sizes, seed)


def _rank(strategy: Any, policy: Any, requests: Sequence[RerankRequest], driver: Driver | None = None) -> list[Ranking]:
    return list(Reranker(policy=policy, strategy=strategy, driver=driver or Rounds()).rerank(requests))


def _check_oracle(strategy: Any, kind: str, n: int, sign: float, settles: int | None) -> None:
    request, table = graded_request(n)
    before = repr(request)
    grade = _Table(table.grades, sign)  # type: ignore[attr-defined]
    (ranking,) = _rank(strategy, ORACLES[kind](grade), [request])
    where = f"{strategy!r}, {n} passages, {kind} oracle"
    right = sorted(range(n), key=lambda i: -grade(request.candidates[i]))
    top = n if settles is None else settles
    _expect(list(ranking.order[:top]) == right[:top], f"{where}: wanted {right[:top]}, got {ranking.order[:top]}")
    _expect(ranking.status is Status.OK and not ranking.unjudged, f"{where}: {ranking.status}, {ranking.unjudged}")
    _expect(repr(request) == before and ranking.request is request, f"{where}: the request was changed")


def _check_silence(strategy: Any, kind: str, n: int) -> None:
    request, _ = graded_request(n)
    (ranking,) = _rank(strategy, silent(kind), [request])
    where = f"{strategy!r}, {n} passages, no verdict ({kind})"
    _expect(ranking.order == tuple(range(n)), f"{where}: the order changed to {ranking.order}")
    _expect(ranking.cutoff is None, f"{where}: the cutoff is {ranking.cutoff}")
    if ranking.usage.calls:
        _expect(ranking.status is Status.FAILED, f"{where}: the status is {ranking.status}")
        _expect(ranking.unjudged == tuple(range(n)), f"{where}: unjudged are {ranking.unjudged}")


def _check_erratic(strategy: Any, kind: str, sizes: Sequence[int], seed: int) -> None:
    requests = [graded_request(n, seed)[0] for n in sizes]
    policy = erratic(kind, seed)
    together = _rank(strategy, policy, requests)
    where = f"{strategy!r}, erratic {kind} verdicts"
    for driver in (Rounds(open_flows=1, ahead=0), Rounds(open_flows=3), Freely(3)):
        _expect(_rank(strategy, policy, requests, driver) == together, f"{where}: {driver!r} gives something else")
    for request, ranking in zip(requests, together, strict=True):
        _expect(_rank(strategy, policy, [request]) == [ranking], f"{where}: alone, {request.query.id} ends otherwise")
        _check_ranking(ranking, request, where)
        told = {Status.PARTIAL, Status.FAILED} if ranking.unjudged else set(Status)
        _expect(ranking.status in told, f"{where}: {ranking.unjudged} are unjudged, but the status is {ranking.status}")


def _check_ranking(ranking: Ranking, request: RerankRequest, where: str) -> None:
    n = len(request)
    _expect(ranking.request == request, f"{where}: a ranking of another request")
    _expect(sorted(ranking.order) == list(range(n)), f"{where}: no permutation of {n}: {ranking.order}")
    _expect(set(ranking.unjudged) <= set(range(n)), f"{where}: unjudged {ranking.unjudged} of {n}")
    _expect(ranking.cutoff is None or 0 <= ranking.cutoff <= n, f"{where}: cutoff {ranking.cutoff} of {n}")


# ------------------------------------------------------------------------------------------------ rankers


def check_reranker(ranker: Ranker, *, sizes: Sequence[int] = (0, 1, 2, 5, 20), lazy: int = 4096) -> None:
    """Raise if a ranker, of ours or anyone's, breaks its contract.

    It has a name; it gives one permutation a request, in the requests' order; several requests together rank as each
    alone; what it is given stays as it was; and it streams: it has given its first ranking before it has read ``lazy``
    requests of an endless supply, and may be left in the middle.
    """
    _expect(isinstance(ranker.name, str) and ranker.name != "", f"a ranker's name is {ranker.name!r}")
    where = f"ranker {ranker.name!r}"
    requests = [graded_request(n)[0] for n in sizes]
    before = repr(requests)
    together = list(ranker.rerank(requests))
    _expect(len(together) == len(requests), f"{where}: {len(together)} rankings for {len(requests)} requests")
    for request, ranking in zip(requests, together, strict=True):
        _check_ranking(ranking, request, where)
        (alone,) = ranker.rerank([request])
        _expect(alone.order == ranking.order, f"{where}: {request.query.id} alone is ranked otherwise than in company")
    _expect(repr(requests) == before, f"{where}: what it was given was changed")
    _expect(list(ranker.rerank([])) == [], f"{where}: rankings of no request")
    _check_streaming(ranker, lazy, where)


def _check_streaming(ranker: Ranker, lazy: int, where: str) -> None:
    read = 0

    def endless() -> Iterator[RerankRequest]:
        nonlocal read
        for read in itertools.count(1):
            _expect(read <= lazy, f"{where}: {lazy} requests were read before the first three rankings came")
            yield RerankRequest(Query(id=f"q{read}", text="any"), request.candidates)

    request = graded_request(3)[0]
    rankings = ranker.rerank(endless())
    ids = [next(rankings).query.id for _ in range(3)]
    _expect(ids == ["q1", "q2", "q3"], f"{where}: the rankings come in the order {ids}")
    close = getattr(rankings, "close", None)
    if close is not None:
        close()
