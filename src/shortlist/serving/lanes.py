"""Lanes: where the slates of all open requests meet, and leave in batches.

A local model has one worker, which takes a batch, has it judged, and looks anew at who is waiting: so requests come in
between rounds, and share batches. A model behind a network has as many workers as it takes calls at a time, and each
takes one slate.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from shortlist.errors import BackendError, InvalidInput

if TYPE_CHECKING:
    from shortlist.serving.jobs import Job


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How large a batch may be.

    At most ``items`` and about ``tokens``; and no more than the model has lately done in ``round_seconds``, so that who
    comes next does not wait long for the round to end.
    """

    items: int = 256
    tokens: int = 65_536
    round_seconds: float = 0.2

    def __post_init__(self) -> None:
        if self.items < 1 or self.tokens < 1 or self.round_seconds <= 0:
            raise InvalidInput(f"{self}: give at least 1 item and 1 token, and more than 0 seconds")


_SWEEP = 64  # entries of a queue
_AT_FIRST = 4096  # tokens of a batch while nobody knows how fast the model is


class Judged(NamedTuple):
    """What a batch was: for metrics."""

    lane: str
    items: int
    tokens: int
    jobs: int
    seconds: float


class _Waiting:
    """What a job asks of a lane: its items, and how many of them have been taken."""

    __slots__ = ("items", "job", "round", "taken")

    def __init__(self, job: Job[Any], items: Sequence[Any], round_: int) -> None:
        self.job, self.items, self.round, self.taken = job, items, round_, 0

    @property
    def stale(self) -> bool:
        """Nobody waits for it any more."""
        return self.taken >= len(self.items) or self.job.round != self.round


_Batch: TypeAlias = list[tuple[_Waiting, int, int]]  # whose, which item, its tokens


class Lane:
    """One model at work.

    ``judge`` gives one result an item; ``failed(item, why)`` is the result of an item that nobody judged; ``tokens``
    estimates an item's size. Items are taken in the order of their jobs' ``due``, those of one job in theirs.
    """

    def __init__(
        self,
        name: str,
        judge: Callable[[Sequence[Any]], Sequence[Any]],
        failed: Callable[[Any, str], Any],
        *,
        tokens: Callable[[Any], int] = lambda _: 1,
        workers: int = 1,
        batching: Batching = Batching(),
        watch: Callable[[Judged], None] = lambda _: None,
    ) -> None:
        self.name, self.judge, self.failed, self.tokens = name, judge, failed, tokens
        self.workers, self.batching, self.watch = workers, batching, watch
        self.speed: float | None = (
            None  # tokens a second, a moving average; not of the first batch: it may load a model
        )
        self._begun = False
        self._queue: list[tuple[tuple[float, float], int, _Waiting]] = []
        self._count = itertools.count()
        self._wake = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._idle = self._queued = 0  # workers at rest, and items that nobody has taken
        self._stopped = False
        self._sweep_at = _SWEEP

    def put(self, job: Job[Any], items: Sequence[Any], round_: int) -> None:
        """Queue a job's items."""
        with self._wake:
            if self._stopped:
                raise BackendError("the server is closing")
            if len(self._queue) >= self._sweep_at:
                self._sweep()
            heapq.heappush(self._queue, (job.due, next(self._count), _Waiting(job, items, round_)))
            self._queued += len(items)
            self._hire()
            self._wake.notify(min(len(items), self.workers))

    def _sweep(self) -> None:
        """Let go of what nobody waits for: at the end of the queue its turn, and so its end, may never come."""
        self._queue = [entry for entry in self._queue if not entry[2].stale]
        heapq.heapify(self._queue)
        self._queued = sum(len(waiting.items) - waiting.taken for _, _, waiting in self._queue)
        self._sweep_at = max(_SWEEP, 2 * len(self._queue))

    def stop(self) -> None:
        """Take no more work; batches under way end by themselves."""
        with self._wake:
            self._stopped = True
            self._wake.notify_all()

    def rest(self, until: float) -> bool:
        """Once stopped: whether its workers were done by that time of the monotonic clock."""
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _hire(self) -> None:
        while len(self._threads) < self.workers and self._idle < self._queued:
            thread = threading.Thread(target=self._work, name=f"lane {self.name}", daemon=True)
            self._threads.append(thread)
            self._idle += 1
            thread.start()

    def _work(self) -> None:
        while batch := self._take():
            self._judge(batch)
            with self._wake:
                self._idle += 1

    def _take(self) -> _Batch:
        """The next batch, waiting for one; empty when the lane is closed."""
        with self._wake:
            while not self._stopped:
                if batch := self._fill():
                    self._idle -= 1
                    return batch
                self._wake.wait()
            return []

    def _fill(self) -> _Batch:
        batch: _Batch = []
        room, places = self._budget(), self.batching.items
        while self._queue and len(batch) < places:
            waiting = self._queue[0][2]
            if waiting.stale:
                heapq.heappop(self._queue)
                self._queued -= len(waiting.items) - waiting.taken
                continue
            tokens = self.tokens(waiting.items[waiting.taken])
            room -= tokens
            if batch and room < 0:
                break
            batch.append((waiting, waiting.taken, tokens))
            waiting.taken += 1
            self._queued -= 1
        return batch

    def _budget(self) -> float:
        wanted = _AT_FIRST if self.speed is None else self.speed * self.batching.round_seconds
        return min(self.batching.tokens, wanted)

    def _judge(self, batch: _Batch) -> None:
        parts: dict[_Waiting, list[int]] = {}
        for waiting, place, _ in batch:
            parts.setdefault(waiting, []).append(place)
        start = time.perf_counter()
        try:
            results = self._ask([waiting.items[place] for waiting, place, _ in batch])
        except BaseException as problem:  # noqa: BLE001 - told to the jobs that it befell
            self._one_by_one(parts, problem)
            return
        self._note(batch, len(parts), time.perf_counter() - start)
        left = iter(results)
        for waiting, places in parts.items():  # a job's items stand together in the batch
            waiting.job.deliver(waiting.round, {place: next(left) for place in places})

    def _one_by_one(self, parts: dict[_Waiting, list[int]], problem: BaseException) -> None:
        """A batch failed: each job is asked for alone, so that nobody is told of another's trouble."""
        for waiting, places in parts.items():
            if waiting.stale and waiting.job.round != waiting.round:
                continue
            told: BaseException = problem
            if len(parts) > 1:
                try:
                    results = self._ask([waiting.items[place] for place in places])
                except BaseException as own:  # noqa: BLE001 - told to the job
                    told = own
                else:
                    waiting.job.deliver(waiting.round, dict(zip(places, results, strict=True)))
                    continue
            waiting.job.fail(told, waiting.round)

    def _ask(self, items: list[Any]) -> Sequence[Any]:
        results = self.judge(items)
        if len(results) != len(items):
            raise InvalidInput(f"{self.name} gave {len(results)} results for {len(items)} items")
        return results

    def _note(self, batch: _Batch, jobs: int, seconds: float) -> None:
        tokens = sum(tokens for _, _, tokens in batch)
        speed = tokens / max(seconds, 1e-6)
        if self._begun:
            self.speed = speed if self.speed is None else 0.8 * self.speed + 0.2 * speed
        self._begun = True
        self.watch(Judged(self.name, len(batch), tokens, jobs, seconds))
