"""Drivers run many flows at once; they know nothing of what is judged.

:class:`Rounds` gathers what all open flows ask for into one batch (local models); :class:`Freely` lets every flow go on
by itself, with bounded concurrency (models behind a network, whose calls take uneven time).
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, Protocol, TypeAlias

from shortlist.errors import InvalidInput
from shortlist.types import Flow, Ranking, Slate, Turn, Verdict

_GRACE = 1.0  # seconds

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
            if not isinstance(end.value, Ranking):
                raise InvalidInput(
                    f"the flow {self.flow!r} ended with {end.value!r}; a strategy's flow must return a Ranking"
                ) from None
            self.wanted, self.ranking = (), end.value


class _InOrder:
    """Gives finished flows out in the order in which they were opened."""

    def __init__(self) -> None:
        self._next = 0
        self._held: dict[int, Finished] = {}

    def add(self, done: _Open) -> None:
        if done.ranking is not None:
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

    ``open_flows`` bounds how many requests are under way; ``ahead`` how many more may be held, finished, while an
    earlier one is still at work.
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
        try:
            while more or under_way:
                while more and self._room(len(under_way), len(done)):
                    more = _open_next(source, under_way, done)
                if under_way:
                    under_way = _round(judge, under_way, done)
                yield from done.ready()
        finally:
            for opened in under_way:
                opened.flow.close()

    def _room(self, under_way: int, held: int) -> bool:
        return under_way < self.open_flows and under_way + held < self.open_flows + self.ahead


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

    Slates are judged one a call, in threads; policies and backends used this way must be thread-safe (ours are). At
    most 2 × concurrency requests are under way, and ``ahead`` more held, finished, while an earlier one is at work.
    """

    concurrency: int = 16
    ahead: int = 1024

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.ahead < 0:
            raise InvalidInput(f"concurrency {self.concurrency}, ahead {self.ahead}: give at least 1 and 0")

    def run(self, judge: Judge, flows: Iterable[Flow[Any]], /) -> Iterator[Finished]:
        """Each flow's end, in order."""
        race = _Race(judge, self.concurrency, self.ahead)
        try:
            yield from race.run(flows)
        finally:
            race.stop()


class _Race:
    """The state of one free run: calls made by threads, their ends in a queue, flows advanced by this thread alone."""

    def __init__(self, judge: Judge, concurrency: int, ahead: int) -> None:
        self.judge, self.concurrency, self.ahead = judge, concurrency, ahead
        self.wanted: queue.SimpleQueue[tuple[_Open, int, Slate] | None] = queue.SimpleQueue()
        self.ended: queue.SimpleQueue[tuple[_Open, int, Sequence[Turn[Any]] | BaseException]] = queue.SimpleQueue()
        self.calls = 0  # wanted, and not yet taken from the ended
        self.under_way: dict[int, _Open] = {}
        self.done = _InOrder()
        self.threads: list[Thread] = []
        self.stopped = False

    def run(self, flows: Iterable[Flow[Any]]) -> Iterator[Finished]:
        source = enumerate(flows)
        more = True
        while more or self.calls:
            while more and self._room():
                more = self._open_next(source)
            yield from self.done.ready()
            if self.calls:
                self._take_one()
        yield from self.done.ready()

    def stop(self) -> None:
        """Make no more calls, and close the flows that are still open.

        Calls under way get a moment to end; slower ones end by themselves, unheard (their threads are daemons): nobody
        who stops a job waits for a server that hangs.
        """
        self.stopped = True
        for _ in self.threads:
            self.wanted.put(None)
        deadline = time.monotonic() + _GRACE
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        for opened in self.under_way.values():
            opened.flow.close()

    def _room(self) -> bool:
        # as many calls again wait in the queue as there are threads, so that no thread waits for this one
        under_way, ample = len(self.under_way), 2 * self.concurrency
        return self.calls < ample and under_way < ample and under_way + len(self.done) < ample + self.ahead

    def _open_next(self, source: Iterator[tuple[int, Flow[Any]]]) -> bool:
        for place, flow in source:
            opened = self.under_way[place] = _Open(place, flow)
            opened.start()
            self._go_on(opened)
            return True
        return False

    def _go_on(self, opened: _Open) -> None:
        if opened.ranking is not None:
            del self.under_way[opened.place]
            self.done.add(opened)
            return
        opened.waiting = len(opened.wanted)
        opened.answers = [None] * opened.waiting
        self.calls += opened.waiting
        for i, slate in enumerate(opened.wanted):
            self.wanted.put((opened, i, slate))
        while len(self.threads) < min(self.concurrency, self.calls):
            self.threads.append(Thread(target=self._work, name="shortlist", daemon=True))
            self.threads[-1].start()

    def _work(self) -> None:
        while (call := self.wanted.get()) is not None and not self.stopped:
            opened, i, slate = call
            try:
                self.ended.put((opened, i, self.judge([slate])))
            except BaseException as problem:  # noqa: BLE001 - raised again by the thread that waits for it
                self.ended.put((opened, i, problem))

    def _take_one(self) -> None:
        opened, i, turns = self.ended.get()
        self.calls -= 1
        if isinstance(turns, BaseException):
            raise turns
        if len(turns) != 1:
            raise InvalidInput(f"the policy gave {len(turns)} turns for 1 slate")
        opened.answers[i] = turns[0]
        opened.waiting -= 1
        if not opened.waiting:
            opened.resume([turn for turn in opened.answers if turn is not None])
            self._go_on(opened)
