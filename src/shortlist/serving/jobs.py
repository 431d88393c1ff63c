"""Jobs: one request under way. Results come in from lanes; a deadline, a client that hangs up, or the end closes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Any, Generic, TypeVar

from shortlist.serving.plans import Ask, Plan

T = TypeVar("T")

LATE = "the deadline passed before this was judged"
UNTIL_NOW = "not judged yet"
_MISSING: Any = object()


class Job(Generic[T]):
    """A plan at work.

    ``due`` decides whose items go first: (priority, a time); smaller is sooner. ``deadline`` is on the monotonic clock.
    With ``watched`` the results are kept, for :meth:`snapshot` and :meth:`judged`, and ``on_progress`` is called, in a
    worker's thread, whenever there are more. The ``future`` has the plan's result, or what it raised.
    """

    def __init__(
        self,
        make: Callable[[], Plan[T]],
        *,
        due: tuple[float, float] = (0, 0),
        deadline: float | None = None,
        watched: bool = False,
        on_progress: Callable[[], None] = lambda: None,
        on_end: Callable[[Job[T]], None] = lambda _: None,
    ) -> None:
        self.future: Future[T] = Future()
        self.due, self.deadline, self.on_end = due, deadline, on_end
        self.round = 0  # grows with every ask, and at the end: what comes for an earlier round is not heard
        self.expired = self.cancelled = False
        self.asked = self.answered = 0
        self._make, self._plan = make, make()
        self._watched, self._progress = watched, on_progress
        self._lock = threading.RLock()
        self._ask: Ask | None = None
        self._answers: list[Any] = []
        self._waiting = 0
        self._history: list[Sequence[Any]] = []

    @property
    def done(self) -> bool:
        """Whether it has ended, however."""
        return self.future.done() or self.cancelled

    @property
    def share(self) -> float:
        """The share of what was asked so far that was answered."""
        return self.answered / self.asked if self.asked else 1.0

    def start(self) -> None:
        """Run to the first ask."""
        with self._lock:
            self._go_on(None)

    def deliver(self, round_: int, results: Mapping[int, Any]) -> None:
        """Results of the ask of a round, by place."""
        with self._lock:
            if round_ != self.round or self.done:
                return
            for place, result in results.items():
                self._answers[place] = result
            self._waiting -= len(results)
            self.answered += len(results)
            if not self._waiting:
                self._go_on(self._answers)
        self._progress()

    def fail(self, problem: BaseException, round_: int | None = None) -> None:
        """End it with an exception."""
        with self._lock:
            if self.done or round_ not in {None, self.round}:
                return
            self._plan.close()
            self._end(lambda: self.future.set_exception(problem))
        self._progress()

    def cancel(self) -> None:
        """Nobody wants the result any more: what is under way is not heard, what waits is not asked."""
        with self._lock:
            if self.done:
                return
            self.cancelled = True
            self._plan.close()
            self._end(self.future.cancel)
        self._progress()

    def expire(self) -> None:
        """End it now: what was not judged counts as failed, and the plan makes the best of the rest."""
        with self._lock:
            if self.done:
                return
            self.expired = True
            try:
                result = self._without_more(self._plan, self._ask, self._answers, LATE)
            except Exception as problem:  # noqa: BLE001 - the waiting request is told
                told = problem
                self._end(lambda: self.future.set_exception(told))
            else:
                self._end(lambda: self.future.set_result(result))
        self._progress()

    def snapshot(self) -> T:
        """What the plan would give if nothing more were judged: a copy of it is run again on the results so far."""
        with self._lock:
            if self.future.done() and not self.future.cancelled():
                return self.future.result()
            history, answers = list(self._history), list(self._answers)
        plan = self._make()
        ask: Ask | None = next(plan, None)
        for results in history:
            ask = plan.send(results)
        return self._without_more(plan, ask, answers, UNTIL_NOW)

    def judged(self) -> list[Any]:
        """All results so far, in the order of their asks; only of watched jobs."""
        with self._lock:
            now = [] if self.future.done() else [result for result in self._answers if result is not _MISSING]
            return [result for results in self._history for result in results] + now

    def result(self) -> T:
        """Wait for the end, until the deadline at most."""
        left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
        try:
            return self.future.result(left)
        except TimeoutError:
            if self.future.done():
                raise
            self.expire()
            return self.future.result()

    def _go_on(self, results: list[Any] | None) -> None:
        try:
            if results is not None and self._watched:
                self._history.append(tuple(results))
            ask = next(self._plan) if results is None else self._plan.send(results)
            self._ask, self._answers, self._waiting = ask, [_MISSING] * len(ask.items), len(ask.items)
            self.asked += len(ask.items)
            self.round += 1
            ask.lane.put(self, ask.items, self.round)
        except StopIteration as end:
            value: T = end.value
            self._end(lambda: self.future.set_result(value))
        except Exception as problem:  # noqa: BLE001 - the waiting request is told
            told = problem
            self._end(lambda: self.future.set_exception(told))

    def _end(self, settle: Callable[[], object]) -> None:
        self.round += 1
        self._answers, self._ask = [], None
        try:
            self.on_end(self)  # first: who wakes up finds the books in order
        finally:
            try:
                settle()
            except InvalidStateError:  # the waiting side gave up at this very moment
                self.cancelled = True

    @staticmethod
    def _without_more(plan: Plan[T], ask: Ask | None, answers: Sequence[Any], why: str) -> T:
        try:
            while ask is not None:
                lane, items = ask.lane, ask.items
                given = answers or [_MISSING] * len(items)
                filled = [lane.failed(i, why) if a is _MISSING else a for i, a in zip(items, given, strict=True)]
                answers, ask = (), plan.send(filled)
        except StopIteration as end:
            result: T = end.value
            return result
        raise RuntimeError("a plan that asks for nothing cannot be ended early")
