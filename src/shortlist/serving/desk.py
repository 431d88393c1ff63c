"""Between HTTP's tasks and the engine's threads: jobs are submitted, waited for, ended early, and let go."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import Request

from shortlist.errors import JudgementFailed
from shortlist.serving.answering import (
    Answered,
    AnswerRequest,
    SearchRequest,
    answer_reply,
    answering,
    corpus_named,
    search_reply,
    searching,
)
from shortlist.serving.asking import Asked, Ranked, Refused
from shortlist.serving.config import ServerConfig
from shortlist.serving.engine import Closing, Engine, Overloaded
from shortlist.serving.jobs import Job
from shortlist.serving.logs import say, say_failure
from shortlist.serving.metrics import Metrics
from shortlist.serving.plans import Plan
from shortlist.serving.ranking import Outcome, Prepared, planned, prepare, reply_of, scored
from shortlist.serving.served import Found, Offer
from shortlist.serving.wire import STATE
from shortlist.types import Usage

T = TypeVar("T")

_FEW, _SHORT = 64, 200_000  # documents, and characters: these are prepared at once, more in a thread; the loop is free


class HungUp(Refused):
    """The client has gone; nobody hears the reply."""

    def __init__(self) -> None:
        super().__init__("invalid", "the client closed the connection", status=499)


class Desk:
    """Takes requests to the engine and brings their results back."""

    def __init__(self, offer: Offer, config: ServerConfig) -> None:
        self.offer, self.config = offer, config
        self.metrics = Metrics()
        self.engine = self._new_engine()
        self.metrics.open.set_function(lambda: self.engine.open_jobs)
        self.warm = not config.warm
        self.trouble = ""

    # -------------------------------------------------------------------------------------------- what is asked

    async def rank(self, asked: Asked, request: Request) -> Ranked:
        """A ranking; raises what there is to refuse."""
        prepared, job = await self.begin(asked, request)
        outcome = await self.finished(job, request)
        return self.ranked(prepared, outcome, job, request)

    async def begin(
        self, asked: Asked, request: Request, *, watched: bool = False, on_progress: Callable[[], None] = lambda: None
    ) -> tuple[Prepared, Job[Outcome]]:
        """A request's job, under way."""

        def start() -> tuple[Prepared, Job[Outcome]]:
            prepared = prepare(asked, self.offer.models, self.config)
            self.note(request, prepared)
            make = planned(self.engine, prepared)
            return prepared, self.submit(make, prepared, watched=watched, on_progress=on_progress)

        return start() if _is_small(asked) else await asyncio.to_thread(start)

    def ranked(self, prepared: Prepared, outcome: Outcome, job: Job[Any], request: Request) -> Ranked:
        """The reply, counted and noted."""
        told = reply_of(prepared, outcome, expired=job.expired)
        self.metrics.ranked(told)
        usage: Usage = told.ranking.usage
        request.scope[STATE] |= {"ranking": told.told["status"], "tokens": usage.tokens, "calls": usage.calls}
        return told

    async def score(
        self, pairs: list[tuple[str, str]], model: str | None, priority: int, request: Request
    ) -> list[float]:
        """The raw scores of pairs."""
        served = self.offer.models.choose(model, None)
        if len(pairs) > self.config.max_documents:
            raise Refused("too_many", f"{len(pairs)} pairs; this server takes {self.config.max_documents} at a time")
        tokens = sum(16 + (len(query) + len(passage)) // 4 for query, passage in pairs)
        request.scope[STATE] |= {"model": served.name, "documents": len(pairs)}
        make = scored(self.engine, served, pairs)
        job = self._submitted(make, model=served.name, tokens=tokens, priority=priority, deadline=self.config.deadline)
        return await self.finished(job, request)

    async def answer(self, body: AnswerRequest, request: Request) -> dict[str, Any]:
        """Rerank, keep, read, cite."""
        reader = self.offer.reader
        if reader is None:
            raise Refused("unknown_model", "this server has no reader; start it with --reader MODEL")
        texts, scores = body.texts(), None
        if body.documents is None:
            found = await self.found(body.query, body.corpus, body.depth, request)
            texts, scores = [document.full_text for document in found.documents], found.scores
        asked = body.asked(texts, scores)
        prepared = await asyncio.to_thread(prepare, asked, self.offer.models, self.config)
        self.note(request, prepared)
        job: Job[Answered] = self.submit(answering(self.engine, reader, prepared, compare=bool(body.compare)), prepared)
        answered = await self.finished(job, request)
        ranked = self.ranked(prepared, answered.outcome, job, request)
        return answer_reply(ranked, self.offer.reader_name, answered)

    async def search(self, body: SearchRequest, request: Request) -> dict[str, Any]:
        """The first stage alone."""
        index = corpus_named(self.offer.corpora, body.corpus)
        return search_reply(index, await self.found(body.query, index.name, body.depth, request))

    async def found(self, query: str, corpus: str | None, depth: int | None, request: Request) -> Found:
        """What a corpus has for a query."""
        if not query.strip():
            raise Refused("empty", "the query is blank; give it some words", parameter="query")
        index = corpus_named(self.offer.corpora, corpus)
        make = searching(self.engine, index, query, min(depth or 50, self.config.max_documents))
        job = self._submitted(make, model=f"search {index.name}", deadline=self.config.deadline)
        return await self.finished(job, request)

    # -------------------------------------------------------------------------------------------- jobs

    def submit(self, make: Callable[[], Plan[T]], prepared: Prepared, **told: Any) -> Job[T]:
        """A prepared request's job, started."""
        asked = prepared.asked
        deadline = self.config.deadline if asked.deadline is None else asked.deadline
        return self._submitted(
            make,
            model=prepared.served.name,
            tokens=prepared.tokens,
            priority=asked.priority,
            deadline=deadline,
            **told,
        )

    def _submitted(self, make: Callable[[], Plan[T]], **told: Any) -> Job[T]:
        try:
            return self.engine.submit(make, **told)
        except Overloaded:
            self.metrics.rejected.labels("overloaded").inc()
            raise
        except Closing:
            self.metrics.rejected.labels("closing").inc()
            raise

    async def finished(self, job: Job[T], request: Request) -> T:
        """The result; the best so far when the deadline passes; nothing for a client that hung up."""
        future = asyncio.wrap_future(job.future)
        future.add_done_callback(_heard)
        gone = asyncio.ensure_future(hung_up(request))
        both: set[asyncio.Future[Any]] = {future, gone}
        try:
            left = None if job.deadline is None else max(0.0, job.deadline - time.monotonic())
            await asyncio.wait(both, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not future.done():
                if gone.done():
                    self.metrics.cancelled.inc()
                    raise HungUp
                await asyncio.to_thread(job.expire)
            return await future
        except JudgementFailed as problem:
            if job.expired:
                raise Refused("deadline", str(problem)) from problem
            raise
        finally:
            gone.cancel()
            if not job.done:
                await asyncio.to_thread(job.cancel)

    def note(self, request: Request, prepared: Prepared) -> None:
        """Leave for the log what it may tell."""
        asked = prepared.asked
        told: dict[str, Any] = {"model": prepared.served.name, "documents": len(asked.texts)}
        if self.config.log_texts:
            told |= {"query": asked.query, "texts": list(asked.texts)}
        request.scope[STATE] |= told

    # -------------------------------------------------------------------------------------------- begin and end

    @property
    def ready(self) -> bool:
        """Whether requests are taken, and models are loaded."""
        return self.warm and not self.trouble and not self.engine.closing

    def _new_engine(self) -> Engine:
        return Engine(admission=self.config.admission, batching=self.config.batching, watch=self.metrics.batch)

    def open(self) -> None:
        """Begin, maybe not for the first time: load the models, in a thread of their own."""
        if self.engine.closing:
            self.engine = self._new_engine()
        if not self.warm:
            threading.Thread(target=self._warm, name="warming", daemon=True).start()

    def _warm(self) -> None:
        offer = self.offer
        loads = [(served.name, served.warm) for served in offer.models.served]
        if offer.reader is not None:
            loads.append((offer.reader_name, offer.warm_reader))
        self.warm = all(self._warmed(name, load) for name, load in loads)

    def _warmed(self, name: str, load: Callable[[], None]) -> bool:
        start = time.perf_counter()
        try:
            load()
        except Exception as problem:  # noqa: BLE001 - /ready tells, and the log has more
            self.trouble = f"{name} does not load: {problem}"
            say_failure("model does not load", problem, model=name, why=str(problem))
            return False
        say("model loaded", model=name, seconds=round(time.perf_counter() - start, 3))
        return True


def _is_small(asked: Asked) -> bool:
    return len(asked.texts) <= _FEW and sum(map(len, asked.texts)) <= _SHORT


def _heard(future: asyncio.Future[Any]) -> None:
    """Look at a failure even if the client has gone: asyncio would log it, with whatever text it quotes."""
    if not future.cancelled():
        future.exception()


async def hung_up(request: Request) -> None:
    """Returns when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
