"""What several strategies share: making slates, following orders, and noting which passages were spoken of."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import TypeAlias

from shortlist.types import Choice, Judgement, RerankRequest, Slate, Status

Pick: TypeAlias = Choice | Judgement
"""A verdict that names a best passage."""


def slate(request: RerankRequest, places: Iterable[int]) -> Slate:
    """The candidates at these places, as one slate."""
    return Slate(request.query, tuple([request.candidates[i] for i in places]))


def reordered(places: Sequence[int], judgement: Judgement) -> list[int]:
    """The places in the judged order; as they were if the judgement failed."""
    if judgement.status is Status.FAILED:
        return list(places)
    return [places[j] for j in judgement.order]


def spoken(places: Sequence[int], verdict: Pick) -> Iterable[int]:
    """Those of a slate's places that its verdict says something of."""
    if verdict.best is None:
        return ()
    if isinstance(verdict, Choice) or not verdict.missing:
        return places
    return [place for j, place in enumerate(places) if j not in verdict.missing]


def left_out(n: int, heard: set[int]) -> tuple[int, ...]:
    """The places of n that were never spoken of."""
    return () if len(heard) == n else tuple(i for i in range(n) if i not in heard)


def parts(places: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Consecutive parts of at most ``size``, as even as they can be."""
    count = -(-len(places) // size)
    for i in range(count):
        yield places[i * len(places) // count : (i + 1) * len(places) // count]


def compare(
    request: RerankRequest, pairs: Sequence[tuple[int, int]], *, both_orders: bool, heard: set[int]
) -> Generator[Sequence[Slate], Sequence[Pick], list[float]]:
    """Ask about all pairs at once; returns the first one's share of each, in [0, 1].

    ``both_orders`` shows each pair twice, turned round the second time, and averages: a model that favours a position
    then gives ½, a tie. A pair of which nothing was said is a tie too, and adds nothing to ``heard``.
    """
    asked = [*pairs, *((second, first) for first, second in pairs)] if both_orders else list(pairs)
    verdicts = yield [slate(request, pair) for pair in asked]
    told: list[list[float]] = [[] for _ in pairs]
    for i, (pair, verdict) in enumerate(zip(asked, verdicts, strict=True)):
        if verdict.best is not None:
            heard.update(spoken(pair, verdict))
            share = verdict.shares[0] if verdict.shares is not None else float(verdict.best == 0)
            told[i % len(pairs)].append(share if i < len(pairs) else 1 - share)
    return [sum(shares) / len(shares) if shares else 0.5 for shares in told]
