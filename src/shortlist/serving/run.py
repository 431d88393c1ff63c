"""Running an app: uvicorn, with a shutdown that lets requests under way end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from shortlist.errors import MissingExtra

_LAST = 0.5  # seconds before the end of the grace at which what is left is answered with the best so far
_REST = 2.0  # seconds that batches get to end in after the last reply


def import_uvicorn() -> Any:
    """The package; :class:`MissingExtra` without it or without fastapi."""
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise MissingExtra(error.name or "fastapi", "serve") from error
    return uvicorn


def run(app: Any, *, host: str, port: int, drain: float = 30.0, ready: Callable[[str], None] = lambda _: None) -> bool:
    """Serve until SIGTERM or SIGINT.

    Then no new request is taken (503), those under way go on for ``drain`` seconds, and what is left is answered with
    the best ranking so far. A second signal ends at once. ``ready`` is told the address.

    Returns whether all work is over. If not, models are still busy with batches that nobody waits for: an interpreter
    that ended normally would wait for them, maybe for minutes, or be aborted by their libraries; see :func:`leave`.
    """
    uvicorn = import_uvicorn()
    desk = app.state.desk

    base: Any = uvicorn.Server

    class Server(base):  # type: ignore[misc]
        """Tells the engine of the signal at once; uvicorn itself looks ten times a second."""

        should_exit: bool
        force_exit: bool

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
            engine = desk.engine
            if not engine.closing:
                engine.closing = True
                timer = threading.Timer(max(0.0, drain - _LAST), engine.expire_all)
                timer.daemon = True
                timer.start()
            if self.should_exit:
                self.force_exit = True
            self.should_exit = True  # uvicorn's own would die of the signal after a clean end

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            for server in getattr(self, "servers", ()):
                bound_host, bound_port = server.sockets[0].getsockname()[:2]
                shown = f"[{bound_host}]" if ":" in bound_host else bound_host
                ready(f"http://{shown}:{bound_port}")
                return

    grace = max(1, round(drain + 1))
    config = uvicorn.Config(
        app, host=host, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=grace, lifespan="on"
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:  # uvloop where it is installed
        runner.run(Server(config).serve())
    rested: bool = desk.engine.rest(_REST)
    return rested


def leave() -> NoReturn:
    """End the process without waiting for its threads. Everyone has been answered, and caches are on disk."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)
