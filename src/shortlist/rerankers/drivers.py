"""Drivers run many flows at once; they know nothing of what is judged.

:class:`Rounds` gathers what all open flows ask for into one batch (local models); :class:`Freely` lets every flow go on
by itself, with bounded concurrency (models behind a network, whose calls take uneven time).
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from shortlist.errors import InvalidInput
from shortlist.types import Flow, Ranking, Slate, Turn, Verdict

Judge: TypeAlias = Callable[[Sequence[Slate]], Sequence[Turn[Any]]]


@dataclass(slots=True)
class Finished:
    """A flow that came to its end: its ranking, and the turns it took."""

    ranking: Ranking
    turns: list[Turn[Verdict]]


class Driver(Protocol):
    """Runs flows to their end."""

    def run(self, judge: Judge, flows: Iterable[Flow[Any]], /) -> Iterator[Finished]:
        """Each flow's end, in the order of the flows; flows are taken from the iterable as they are needed."""


@dataclass(slots=True)
class _Open:
    """A flow under way."""

    place: int
    flow: Flow[Any]
    turns: list[Turn[Any]] = field(default_factory=list)
    wanted: Sequence[Slate] = ()
    answers: list[Turn[Any] | None] = field(default_factory=list)
    waiting: int = 0
    ranking: Ranking | None = None

    def start(self) -> None:
        """Run to the first slates."""
        self._step(None)

    def resume(self, turns: Sequence[Turn[Any]]) -> None:
        """Send the verdicts and run to the next slates, or to the end."""
        self.turns.extend(turns)
        self._step([turn.verdict for turn in turns])

    def _step(self, verdicts: list[Any] | None) -> None:
        try:
            self.wanted = next(self.flow) if verdicts is None else self.flow.send(verdicts)
            while not self.wanted:  # a strategy may ask for nothing
                self.wanted = self.flow.send([])
        except StopIteration as end:
            self.wanted, self.ranking = (), end.value


class _InOrder:
    """Gives finished flows out in the order in which they were opened."""

    def __init__(self) -> None:
        self._next = 0
        self._held: dict[int, Finished] = {}

    def add(self, done: _Open) -> None:
        if done.ranking is None:
            raise InvalidInput(f"strategy flow {done.flow!r} ended without a ranking")
        self._held[done.place] = Finished(done.ranking, done.turns)

    def ready(self) -> Iterator[Finished]:
        while self._next in self._held:
            yield self._held.pop(self._next)
            self._next += 1

    def __len__(self) -> int:
        return len(self._held)


@dataclass(frozen=True)
class Rounds:
    """Round by round: the slates that all open flows ask for go to the policy as one batch.

    ``open_flows`` bounds how many requests are under way; ``ahead`` how many may be held, finished, while an earlier
    one is still at work.
    """

    open_flows: int = 32
    ahead: int = 256

    def __post_init__(self) -> None:
        if self.open_flows < 1 or self.ahead < 0:
            raise InvalidInput(f"open_flows {self.open_flows}, ahead {self.ahead}: give at least 1 and 0")

    def run(self, judge: Judge, flows: Iterable[Flow[Any]], /) -> Iterator[Finished]:
        """Each flow's end, in order."""
        source = enumerate(flows)
        under_way: list[_Open] = []
        done = _InOrder()
        more = True
        while more or under_way:
            while more and len(under_way) < self.open_flows and len(done) <= self.ahead:
                more = _open_next(source, under_way, done)
            if under_way:
                under_way = _round(judge, under_way, done)
            yield from done.ready()


def _open_next(source: Iterator[tuple[int, Flow[Any]]], under_way: list[_Open], done: _InOrder) -> bool:
    """Open one more flow; false when there is none."""
    for place, flow in source:
        opened = _Open(place, flow)
        opened.start()
        if opened.ranking is not None:
            done.add(opened)
        else:
            under_way.append(opened)
        return True
    return False


def _round(judge: Judge, under_way: list[_Open], done: _InOrder) -> list[_Open]:
    """Judge what all open flows want, in one batch; returns the flows that want more."""
    wanted = [slate for opened in under_way for slate in opened.wanted]
    turns = judge(wanted)
    if len(turns) != len(wanted):
        raise InvalidInput(f"the policy gave {len(turns)} turns for {len(wanted)} slates")
    start, still = 0, []
    for opened in under_way:
        end = start + len(opened.wanted)
        opened.resume(turns[start:end])
        start = end
        if opened.ranking is None:
            still.append(opened)
        else:
            done.add(opened)
    return still


@dataclass(frozen=True)
class Freely:
    """Every flow goes on as soon as its own slates are judged; at most ``concurrency`` calls are under way at a time.

    Slates are judged one a call, in threads; policies and backends used this way must be thread-safe (ours are).
    """

    concurrency: int = 16
    ahead: int = 1024

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.ahead < 0:
            raise InvalidInput(f"concurrency {self.concurrency}, ahead {self.ahead}: give at least 1 and 0")

    def run(self, judge: Judge, flows: Iterable[Flow[Any]], /) -> Iterator[Finished]:
        """Each flow's end, in order."""
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="shortlist")
        try:
            yield from _Race(judge, pool, self.concurrency, self.ahead).run(flows)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _Race:
    """The state of one free run: calls in the pool, their ends in a queue, flows advanced by this thread alone."""

    def __init__(self, judge: Judge, pool: ThreadPoolExecutor, concurrency: int, ahead: int) -> None:
        self.judge, self.pool, self.concurrency, self.ahead = judge, pool, concurrency, ahead
        self.ended: queue.SimpleQueue[tuple[_Open, int, Future[Sequence[Turn[Any]]]]] = queue.SimpleQueue()
        self.calls = 0  # submitted and not yet taken from the queue
        self.done = _InOrder()

    def run(self, flows: Iterable[Flow[Any]]) -> Iterator[Finished]:
        source = enumerate(flows)
        more = True
        while more or self.calls:
            # one call more than there are threads is queued per thread, so that no thread waits for this one
            while more and self.calls < 2 * self.concurrency and len(self.done) <= self.ahead:
                more = self._open_next(source)
            yield from self.done.ready()
            if self.calls:
                self._take_one()
        yield from self.done.ready()

    def _open_next(self, source: Iterator[tuple[int, Flow[Any]]]) -> bool:
        for place, flow in source:
            opened = _Open(place, flow)
            opened.start()
            self._go_on(opened)
            return True
        return False

    def _go_on(self, opened: _Open) -> None:
        if opened.ranking is not None:
            self.done.add(opened)
            return
        opened.waiting = len(opened.wanted)
        opened.answers = [None] * opened.waiting
        for i, slate in enumerate(opened.wanted):
            self.calls += 1
            future = self.pool.submit(self.judge, [slate])
            future.add_done_callback(lambda future, i=i: self.ended.put((opened, i, future)))  # type: ignore[misc]

    def _take_one(self) -> None:
        opened, i, future = self.ended.get()
        self.calls -= 1
        (opened.answers[i],) = future.result()
        opened.waiting -= 1
        if not opened.waiting:
            opened.resume([turn for turn in opened.answers if turn is not None])
            self._go_on(opened)
