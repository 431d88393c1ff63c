"""The engine: admits requests, runs their plans over shared lanes, and knows how long the queue is. No HTTP in here."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from shortlist.errors import BackendError, InvalidInput, ShortlistError
from shortlist.reading.base import Answer, Reader, Reading
from shortlist.rerankers.base import Ranker, Reranker
from shortlist.serving.jobs import Job
from shortlist.serving.lanes import Batching, Judged, Lane
from shortlist.serving.parts import concurrency_of, passage_tokens, slate_tokens
from shortlist.serving.plans import Plan
from shortlist.types import Ranking, RerankRequest, ScoredJudgement, Slate, Status, Turn

T = TypeVar("T")


class Overloaded(ShortlistError):
    """The queue is full, or longer than the request would wait. ``retry_after`` is in seconds."""

    def __init__(self, problem: str, retry_after: float) -> None:
        super().__init__(f"{problem}; try again in {math.ceil(retry_after)} s")
        self.retry_after = max(1, math.ceil(retry_after))


class Closing(ShortlistError):
    """The server takes no more requests."""


@dataclass(frozen=True, kw_only=True)
class Admission:
    """When a request is turned away: ``open_requests`` under way for its model, or a wait of more than ``max_wait``.

    A request with a deadline is turned away, too, when by the model's pace it could not be done in ``margin`` of it.
    """

    open_requests: int = 256
    max_wait: float = 60.0
    margin: float = 0.7

    def __post_init__(self) -> None:
        if self.open_requests < 1 or self.max_wait <= 0 or not 0 < self.margin <= 1:
            raise InvalidInput(f"{self}: give at least 1 request, more than 0 seconds, and a margin in (0, 1]")


_REPLYING = 0.05  # seconds of a deadline that are kept for writing the reply
_BATCHING, _SINGLY = Batching(), Batching(items=1)


class Pace:
    """How much work is open, in tokens, and how fast it is being done while there is any."""

    def __init__(self) -> None:
        self.jobs, self.tokens = 0, 0
        self.speed: float | None = (
            None  # tokens a second; the time to the first reply is not counted: it may load a model
        )
        self._begun = False
        self._lock = threading.Lock()
        self._since = self._busy = self._done = 0.0

    def enter(self, tokens: int, admit: Callable[[int, float], None]) -> None:
        """Count one more in, unless ``admit(jobs, wait)`` raises."""
        with self._lock:
            admit(self.jobs, self.wait(tokens))
            if not self.jobs:
                self._since = time.monotonic()
            self.jobs, self.tokens = self.jobs + 1, self.tokens + tokens

    def leave(self, tokens: int, share: float) -> None:
        """One is over; ``share`` of it was done."""
        with self._lock:
            now = time.monotonic()
            self.jobs, self.tokens = self.jobs - 1, self.tokens - tokens
            busy, self._since = now - self._since, now
            if not self._begun:
                self._begun = True
                return
            self._busy, self._done = self._busy + busy, self._done + tokens * share
            if self._busy >= 0.25:  # seconds: enough to tell
                speed = self._done / self._busy
                self.speed = speed if self.speed is None else (self.speed + speed) / 2
                self._busy = self._done = 0.0

    def wait(self, tokens: int) -> float:
        """Seconds until a newcomer of so many tokens would be done."""
        if not self.jobs or not self.speed:
            return 0.0
        return (self.tokens + tokens) / self.speed


class Engine:
    """Runs plans. ``watch`` hears of every batch. Workers start with the first request; :meth:`close` ends them."""

    def __init__(
        self,
        *,
        admission: Admission = Admission(),
        batching: Batching = _BATCHING,
        watch: Callable[[Judged], None] = lambda _: None,
    ) -> None:
        self.admission, self.batching, self.watch = admission, batching, watch
        self.closing = False
        self._paces: dict[str, Pace] = {}
        self._lanes: dict[int, tuple[object, Lane]] = {}  # the part is kept, so that its id stays its own
        self._jobs: set[Job[Any]] = set()
        self._lock = threading.Lock()

    # -------------------------------------------------------------------------------------------- requests

    def submit(
        self,
        make: Callable[[], Plan[T]],
        *,
        model: str,
        tokens: int = 1,
        priority: int = 0,
        deadline: float | None = None,
        watched: bool = False,
        on_progress: Callable[[], None] = lambda: None,
    ) -> Job[T]:
        """Start a plan, or raise :class:`Overloaded` or :class:`Closing`.

        ``priority``: lower goes first. ``deadline``: seconds from now; see :meth:`Job.result`. Of one priority, who
        would be done first if alone goes first: small requests pass large ones, and nobody waits for ever.
        """
        if self.closing:
            raise Closing("the server is shutting down; ask another one, or later")
        now, pace = time.monotonic(), self.pace(model)
        pace.enter(tokens, lambda jobs, wait: self._admit(jobs, wait, deadline))
        job: Job[T] = Job(
            make,
            due=(priority, now + (tokens / pace.speed if pace.speed else 0.0)),
            deadline=None if deadline is None else now + deadline - min(_REPLYING, deadline / 10),
            watched=watched,
            on_progress=on_progress,
            on_end=lambda ended: self._left(ended, pace, tokens),
        )
        with self._lock:
            self._jobs.add(job)
        job.start()
        return job

    def pace(self, model: str) -> Pace:
        """The open work of a model."""
        with self._lock:
            return self._paces.setdefault(model, Pace())

    @property
    def open_jobs(self) -> int:
        """How many requests are under way."""
        return len(self._jobs)

    def expire_all(self) -> None:
        """Answer whatever is under way with the best so far."""
        with self._lock:
            jobs = list(self._jobs)
        for job in jobs:
            job.expire()

    def close(self) -> None:
        """Take no more requests, answer those under way, and let the workers go."""
        self.closing = True
        self.expire_all()
        for _, lane in self._lanes.values():
            lane.stop()

    def rest(self, seconds: float) -> bool:
        """Once closed: whether the batches under way were done within so many seconds."""
        until = time.monotonic() + seconds
        return all(lane.rest(until) for _, lane in self._lanes.values())

    def _admit(self, jobs: int, wait: float, deadline: float | None) -> None:
        most = self.admission.open_requests
        if jobs >= most:
            raise Overloaded(f"{jobs} requests are under way, as many as are taken", max(wait / 2, 1))
        patience = self.admission.max_wait if deadline is None else min(self.admission.max_wait, deadline)
        patience *= self.admission.margin
        if wait > patience:
            raise Overloaded(f"the queue is {wait:.1f} s long, and {patience:.1f} s is the most", wait - patience)

    def _left(self, job: Job[Any], pace: Pace, tokens: int) -> None:
        with self._lock:
            self._jobs.discard(job)
        pace.leave(tokens, job.share)

    # -------------------------------------------------------------------------------------------- lanes

    def of_reranker(self, reranker: Reranker[Any], /) -> Lane:
        """The lane of a reranker's policy."""
        policy = reranker.policy
        each = passage_tokens(policy)
        return self._lane(
            policy,
            reranker.name,
            policy.judge,
            _unjudged,
            lambda slate: slate_tokens(slate, each),
            concurrency_of(policy),
        )

    def of_ranker(self, ranker: Ranker, /) -> Lane:
        """The lane of a ranker that is run whole: four requests at a time."""
        return self._lane(ranker, ranker.name, lambda asked: list(ranker.rerank(asked)), _unranked, _one, 4)

    def of_reader(self, reader: Reader, /) -> Lane:
        """The lane of a reader."""
        completer = getattr(reader, "completer", None)
        told = getattr(completer, "concurrency", None)
        return self._lane(reader, "reader", lambda asked: list(reader.read(asked)), _unread, _one, told)

    def of_function(self, owner: object, name: str, function: Callable[[Any], Any]) -> Lane:
        """A lane that calls a function item by item, in one thread: for what is not safe in several."""
        return self._lane(owner, name, lambda items: [function(item) for item in items], _no_result, _one, 1)

    def _lane(  # noqa: PLR0917 - what a lane is made of, in its order
        self,
        part: object,
        name: str,
        judge: Callable[..., Any],
        failed: Callable[[Any, str], Any],
        tokens: Callable[[Any], int],
        concurrency: int | None,
    ) -> Lane:
        with self._lock:
            known = self._lanes.get(id(part))
            if known is not None:
                return known[1]
            batching = self.batching if concurrency is None else _SINGLY
            lane = Lane(
                name, judge, failed, tokens=tokens, workers=concurrency or 1, batching=batching, watch=self.watch
            )
            self._lanes[id(part)] = part, lane
            return lane


def _one(_: object) -> int:
    return 1


def _unjudged(slate: Slate, why: str) -> Turn[ScoredJudgement]:
    """A failed verdict that any strategy can read: no order, no scores, no choice."""
    verdict = ScoredJudgement.of([None] * len(slate), status=Status.FAILED, problems=(why,))
    return Turn(slate, verdict)


def _unranked(request: RerankRequest, why: str) -> Ranking:
    everyone = range(len(request))
    return Ranking.of(request, everyone, status=Status.FAILED, unjudged=tuple(everyone), problems=(why,))


def _unread(reading: Reading, why: str) -> Answer:
    return Answer(text=None, reading=reading, status=Status.FAILED, error=why)


def _no_result(_: object, why: str) -> Any:
    raise BackendError(why)
