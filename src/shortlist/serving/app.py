"""``create_app``: a server from rankers.

```python
app = create_app([open_reranker("cross-encoder:minilm-l12")])      # uvicorn.run(app), or starlette's TestClient(app)
```
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from shortlist._version import __version__
from shortlist.errors import ShortlistError
from shortlist.reading.base import Reader
from shortlist.rerankers.base import Ranker
from shortlist.serving.asking import Refused, refusal_of
from shortlist.serving.config import ServerConfig
from shortlist.serving.desk import Desk
from shortlist.serving.logs import say_failure, say_request
from shortlist.serving.page import add_page
from shortlist.serving.routes import about_router, more_router, rerank_router
from shortlist.serving.security import App, Gate, Message, Receive, Scope, Send
from shortlist.serving.served import Models, Offer, SearchIndex, Served
from shortlist.serving.wire import STATE, dialect_of, of_http, of_validation, refusal

DEFAULTS = ServerConfig()


def create_app(
    rankers: Iterable[Ranker | Served],
    *,
    aliases: Mapping[str, str] | None = None,
    reader: Reader | None = None,
    reader_name: str = "reader",
    corpora: Sequence[SearchIndex] = (),
    config: ServerConfig = DEFAULTS,
    playground: bool = False,
    report: Path | None = None,
) -> FastAPI:
    """The application. ``app.state.desk`` holds the engine and the metrics; leaving its lifespan ends the workers.

    ``playground`` shows the page; ``report``, a training run's folder or its report, is shown in it.
    """
    offer = Offer(models=Models.of(rankers, aliases), reader=reader, reader_name=reader_name, corpora=tuple(corpora))
    desk = Desk(offer, config)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        desk.open()
        yield
        desk.engine.close()

    app = FastAPI(
        title="Shortlist",
        version=__version__,
        summary="Any reranker, behind every rerank API.",
        lifespan=lifespan,
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
    )
    app.state.desk = desk
    for router in (rerank_router(desk), more_router(desk), about_router(desk)):
        app.include_router(router)
    if playground:
        add_page(app, report)
    _handle_errors(app)
    _wrap(app, desk)
    return app


def _wrap(app: FastAPI, desk: Desk) -> None:
    """The layers around the routes; the last one added is the outermost."""
    config = desk.config
    app.add_middleware(
        Gate,
        keys=config.keys,
        max_body=config.max_body,
        refuse=refusal,
        too_large=lambda told: HTTPException(413, told),
    )
    if config.cors_origins:
        origins = list(config.cors_origins)
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=["*"])
    app.add_middleware(_Front, desk=desk)


def _handle_errors(app: FastAPI) -> None:
    async def ours(request: Request, problem: Exception) -> Response:
        return refusal(request.scope, refusal_of(problem))

    async def validation(request: Request, problem: Exception) -> Response:
        assert isinstance(problem, RequestValidationError)  # noqa: S101 - what it is registered for
        if isinstance(problem.body, dict) and "documents" in problem.body and dialect_of(request.scope).name == "tei":
            from shortlist.serving.schemas.vllm import VLLM

            request.scope[STATE]["dialect"] = VLLM
        return refusal(request.scope, of_validation(problem))

    async def http(request: Request, problem: Exception) -> Response:
        assert isinstance(problem, HTTPException)  # noqa: S101 - what it is registered for
        return refusal(request.scope, of_http(problem), problem.headers)

    app.add_exception_handler(ShortlistError, ours)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(HTTPException, http)


class _Front:
    """The outermost layer: gives each request an id, counts and logs its reply, and answers what nobody caught."""

    def __init__(self, app: App, desk: Desk) -> None:
        self.app, self.desk = app, desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, state = time.perf_counter(), {"id": f"req-{uuid.uuid4().hex}"}
        scope[STATE] = state
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", state["id"].encode())]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except Exception as problem:  # noqa: BLE001 - the client is told, and the log has it
            say_failure("request failed", problem, id=state["id"])
            if not status:
                told = Refused("internal", "an error of the server; its log has more, under this id")
                await refusal(scope, told)(scope, receive, noting)
        finally:
            self._count(scope, status, began)

    def _count(self, scope: Scope, status: int, began: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        self.desk.metrics.requests.labels(route, str(status)).inc()
        self.desk.metrics.seconds.labels(route).observe(time.perf_counter() - began)
        say_request(scope[STATE], scope["method"], route, status, began)
