"""One line of JSON a request. What was asked, and of what, appears only where that was wished for."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from datetime import UTC, datetime
from typing import Any

LOGGER = logging.getLogger("shortlist.serving")


class JsonLines(logging.Formatter):
    """A record as one line: time, level, event, and the fields that came with it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        told |= getattr(record, "told", {})
        return json.dumps(told, default=str)


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send the server's lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(level)
    LOGGER.propagate = False


def say(event: str, **told: Any) -> None:
    """One line."""
    LOGGER.info(event, extra={"told": told})


def say_failure(event: str, problem: BaseException, **told: Any) -> None:
    """What nobody expected: kinds and places, from the cause on. Messages may quote what was asked, and stay out."""
    chain: list[str] = []
    seen: BaseException | None = problem
    while seen is not None and len(chain) < 8:
        frames = traceback.extract_tb(seen.__traceback__)[-4:]
        chain.append(f"{type(seen).__name__} at " + " < ".join(f"{f.filename}:{f.lineno}" for f in reversed(frames)))
        seen = seen.__cause__ or seen.__context__
    LOGGER.error(event, extra={"told": told | {"failure": chain}})


def say_request(state: dict[str, Any], method: str, route: str, status: int, began: float) -> None:
    """The line of a request that is over."""
    told = {name: value for name, value in state.items() if name not in {"dialect", "route"}}
    dialect = state.get("dialect")
    milliseconds = round((time.perf_counter() - began) * 1000, 3)
    more = {} if dialect is None else {"dialect": dialect.name}
    say("request", method=method, route=route, status=status, ms=milliseconds, **more, **told)
