"""``POST /v1/rerank/stream``: the ranking as it becomes clear, by server-sent events.

``judged``: slates that the model has spoken of since the last event, with the places of their passages in the request.
``ranking``: what the reply would be if nothing more were judged. ``done``: the reply itself. ``error``: in its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import Request

from shortlist.rerankers.explain import OCCLUDED
from shortlist.serving.asking import Asked, refusal_of, without_addresses
from shortlist.serving.desk import Desk
from shortlist.serving.jobs import Job
from shortlist.serving.logs import say_failure
from shortlist.serving.ranking import Outcome, Prepared, reply_of
from shortlist.serving.schemas.base import given
from shortlist.serving.schemas.shared import SHARED
from shortlist.serving.wire import STATE, dialect_of, render
from shortlist.types import ScoredJudgement, Turn

KEEP_ALIVE = 10.0  # seconds without an event after which a comment is sent


async def begun(desk: Desk, asked: Asked, request: Request) -> AsyncIterator[bytes]:
    """The events of a request. What is to be refused at once is raised here, before any event."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(changed.set)

    prepared, job = await desk.begin(asked, request, watched=True, on_progress=wake)
    return _events(desk, prepared, job, changed, request)


async def _events(
    desk: Desk, prepared: Prepared, job: Job[Outcome], changed: asyncio.Event, request: Request
) -> AsyncIterator[bytes]:
    told = 0
    try:
        while not job.future.done():
            if not await _wait(changed, job):
                yield b": waiting\n\n"
                continue
            turns = job.judged()
            if len(turns) > told and not job.future.done():
                yield event("judged", {"slates": slates_of(turns[told:])})
                outcome = await asyncio.to_thread(job.snapshot)
                yield event("ranking", SHARED.reply(reply_of(prepared, outcome, partial=True)))
                told = len(turns)
        outcome = job.future.result()
        if slates := slates_of(job.judged()[told:]):
            yield event("judged", {"slates": slates})
        yield event("done", SHARED.reply(desk.ranked(prepared, outcome, job, request)))
    except Exception as problem:  # noqa: BLE001 - the stream has begun: the error is an event
        yield _error(problem, request)
    finally:
        if not job.done:
            desk.metrics.cancelled.inc()
        job.cancel()


async def _wait(changed: asyncio.Event, job: Job[Any]) -> bool:
    """Wait for progress; at the deadline end the job. False: it was time for a sign of life."""
    left = math.inf if job.deadline is None else job.deadline - time.monotonic()
    try:
        await asyncio.wait_for(changed.wait(), max(0.0, min(left, KEEP_ALIVE)))
    except TimeoutError:
        if left > KEEP_ALIVE:
            return False
        await asyncio.to_thread(job.expire)
    changed.clear()
    return True


def _error(problem: Exception, request: Request) -> bytes:
    refused = refusal_of(problem)
    if refused.reason == "internal":
        say_failure("stream failed", problem, id=request.scope[STATE].get("id"))
    request.scope[STATE]["refused"] = refused.reason
    dialect = dialect_of(request.scope)
    return event("error", dialect.error(refused, dialect.status(refused), str(request.scope[STATE].get("id", ""))))


def event(name: str, value: Any) -> bytes:
    """One server-sent event."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), render(value))


def slates_of(results: Sequence[Any]) -> list[dict[str, Any]]:
    """What was judged: the passages of each slate by their places in the request, best first, and what was said."""
    return [_slate(turn) for turn in results if isinstance(turn, Turn) and not _is_variant(turn)]


def _is_variant(turn: Turn[Any]) -> bool:
    return any(candidate.document.metadata is OCCLUDED for candidate in turn.slate.candidates)


def _slate(turn: Turn[Any]) -> dict[str, Any]:
    verdict = turn.verdict
    places = [int(candidate.id) for candidate in turn.slate.candidates]
    order = getattr(verdict, "order", None)
    best = getattr(verdict, "best", None)
    scores = verdict.scores if isinstance(verdict, ScoredJudgement) else None
    return given(
        documents=places,
        order=[places[i] for i in order] if order is not None else None,
        best=places[best] if best is not None else None,
        scores=None if scores is None else [score if math.isfinite(score) else None for score in scores],
        status=verdict.status.value,
        reasoning=verdict.reasoning or None,
        problems=[*map(without_addresses, verdict.problems)] or None,
        tokens=turn.usage.tokens,
    )
