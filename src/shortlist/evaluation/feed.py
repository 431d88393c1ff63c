"""One pass over the requests: filtered, cut to depth, hashed, timed, and checked against the rankings it brings."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from shortlist.data.requests import CandidatesHash
from shortlist.errors import InvalidInput
from shortlist.rerankers.base import Ranker
from shortlist.types import Ranking, RerankRequest

T = TypeVar("T")


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of ``size`` items, the last one maybe shorter."""
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


class Feed:
    """The requests of one pass. Memory holds those under way and nothing else.

    ``wanted`` says which queries count, ``done`` which need no more ranking (they are hashed all the same), and
    ``on_query`` is told each that counts. ``seconds`` is the time that making the requests took.
    """

    def __init__(
        self,
        source: Iterable[RerankRequest],
        *,
        wanted: Callable[[str], bool],
        done: Container[str],
        depth: int | None,
        on_query: Callable[[str], None],
    ) -> None:
        self._source, self._wanted, self._done, self._depth, self._on_query = source, wanted, done, depth, on_query
        self._under_way: deque[tuple[str, int]] = deque()
        self._requests = self._run()
        self.hash = CandidatesHash()
        self.left_out = 0
        self.seconds = 0.0

    def rankings(self, ranker: Ranker) -> Iterator[tuple[Ranking, float]]:
        """Each ranking and the seconds waited for it. Raises :class:`InvalidInput` if the ranker loses a request."""
        rankings = iter(ranker.rerank(self._requests))
        while True:
            begun, feeding = time.perf_counter(), self.seconds
            ranking = next(rankings, None)
            if ranking is None:
                break
            waited = time.perf_counter() - begun - (self.seconds - feeding)
            self._check(ranker, ranking)
            yield ranking, waited
        if self._under_way or next(self._requests, None) is not None:
            raise InvalidInput(f"{ranker.name} ended without ranking query {self._under_way[0][0]!r}")

    def _check(self, ranker: Ranker, ranking: Ranking) -> None:
        expected = self._under_way.popleft() if self._under_way else None
        if expected != (ranking.query.id, len(ranking)):
            raise InvalidInput(
                f"{ranker.name} ranked query {ranking.query.id!r} with {len(ranking)} candidates where {expected} was "
                "next; a ranker gives one ranking a request, in the same order, of all its candidates"
            )

    def _run(self) -> Iterator[RerankRequest]:
        source = iter(self._source)
        while True:
            begun = time.perf_counter()
            request = next(source, None)
            counts = request is not None and self._take(request)
            self.seconds += time.perf_counter() - begun
            if request is None:
                return
            if counts and request.query.id not in self._done:
                cut = self._cut(request)
                self._under_way.append((cut.query.id, len(cut)))
                yield cut

    def _take(self, request: RerankRequest) -> bool:
        if not self._wanted(request.query.id):
            self.left_out += 1
            return False
        self.hash.update(self._cut(request))
        self._on_query(request.query.id)
        return True

    def _cut(self, request: RerankRequest) -> RerankRequest:
        return request if self._depth is None else request.head(self._depth)


def reiterable(requests: Callable[[], Iterable[T]] | Iterable[T]) -> Callable[[], Iterable[T]]:
    """A function that gives a fresh pass each time. Raises :class:`InvalidInput` for what can be read only once."""
    if callable(requests):
        return requests
    if iter(requests) is requests:
        kind = type(requests).__name__
        raise InvalidInput(f"requests is a {kind}, which can be read once; give a list, or a function that makes it")
    return lambda: requests


def length(requests: object) -> int | None:
    """How many there are, if they can tell."""
    return len(requests) if isinstance(requests, Sequence) else None
