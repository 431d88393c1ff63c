"""A JSON endpoint over HTTP: bounded concurrency, retries with backoff, and a clear word when nobody is there.

Used by backends that talk to a server. What a reply means is theirs to say; this file knows only HTTP.
"""

from __future__ import annotations

import json
import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx2

from shortlist.errors import BackendError, InvalidInput

LONGEST_WAIT = 60.0
"""Seconds. Backoff never waits longer; a server that asks for more (Retry-After) is given up."""

_RETRIED = frozenset({408, 409, 425, 429})
_CONNECT_SECONDS = 10.0  # a host that is there accepts a connection long before a model has answered

Item = TypeVar("Item")
Result = TypeVar("Result")


class CallFailed(Exception):
    """One call came to nothing after all retries, where the next one may well succeed."""


class Stopped(Exception):
    """The batch that this call belongs to was given up; nobody waits for its result."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer: ``body`` is the parsed JSON (``None`` if it is none), ``seconds`` the time spent waiting."""

    status: int
    text: str
    body: Any = None
    retry_after: float | None = None
    seconds: float = 0.0

    @property
    def passing(self) -> bool:
        """Whether asking again may help. An exhausted quota wears the status of a rate limit, and is none."""
        return (self.status in _RETRIED or self.status >= 500) and "insufficient_quota" not in self.text


@dataclass(frozen=True, kw_only=True)
class JsonEndpoint:
    """Posts JSON to one URL. Safe to share between threads; opens no connection before the first call.

    ``timeout`` is in seconds, a call; ``backoff`` is the longest wait before the first retry, and doubles with each.
    ``key`` goes into the Authorization header and nowhere else.
    """

    url: str
    key: str | None = field(default=None, repr=False)
    concurrency: int = 16
    timeout: float = 120.0
    retries: int = 5
    backoff: float = 0.5
    _held: _Held = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.retries < 0 or not self.timeout > 0 or not self.backoff >= 0:
            given = f"concurrency {self.concurrency}, retries {self.retries}, timeout {self.timeout}"
            raise InvalidInput(f"{given}, backoff {self.backoff}: give at least 1, at least 0, above 0, at least 0")
        if self.key is not None and not (self.key.isascii() and self.key.isprintable()):
            raise InvalidInput("the API key holds a line break or a character beyond ASCII; was it pasted whole?")
        object.__setattr__(self, "_held", _Held())

    def post(self, body: Mapping[str, Any], stop: threading.Event) -> Reply:
        """The server's answer, after retries: any status that retrying did not, or could not, mend.

        Raises :class:`~shortlist.errors.BackendError` if no connection could be made, :class:`CallFailed` if the answer
        timed out or broke off each time, :class:`Stopped` once ``stop`` is set.
        """
        content = json.dumps(body, allow_nan=False).encode()
        start = time.perf_counter()
        for attempt in range(self.retries + 1):
            if stop.is_set():
                raise Stopped
            outcome = self._attempt(content)
            if isinstance(outcome, Reply) and not outcome.passing:
                break
            delay = self._delay(attempt, outcome)
            if attempt == self.retries or delay > LONGEST_WAIT:
                break
            stop.wait(delay)
        if isinstance(outcome, Reply):
            waited = time.perf_counter() - start
            return Reply(outcome.status, outcome.text, outcome.body, outcome.retry_after, waited)
        raise self._silence(outcome, attempt + 1) from outcome

    def hide(self, text: str) -> str:
        """The text without the key, should a server have echoed it."""
        return text.replace(self.key, "***") if self.key else text

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._held.close()

    def _attempt(self, content: bytes) -> Reply | httpx2.RequestError:
        try:
            response = self._held.client(self._open).post(self.url, content=content)
        except httpx2.RequestError as error:
            return error
        try:
            body = response.json()
        except (ValueError, RecursionError):
            body = None
        return Reply(response.status_code, response.text, body, _retry_after(response))

    def _open(self) -> httpx2.Client:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        return httpx2.Client(
            headers=headers,
            timeout=httpx2.Timeout(self.timeout, connect=min(self.timeout, _CONNECT_SECONDS), pool=None),
            # the pool is what bounds concurrency: a thread waits, as long as it takes, for one of so many connections
            limits=httpx2.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency),
        )

    def _delay(self, attempt: int, outcome: Reply | httpx2.RequestError) -> float:
        """Exponential with full jitter; what the server asks for, and a little more, if it asks."""
        jitter = random.uniform(0, min(LONGEST_WAIT, self.backoff * 2.0**attempt))
        asked = outcome.retry_after if isinstance(outcome, Reply) else None
        return jitter if asked is None else asked + min(jitter, 1.0)

    def _silence(self, error: httpx2.RequestError, times: int) -> Exception:
        why = self.hide(str(error)) or type(error).__name__
        tried = f"after {times} tries" if times > 1 else "at the first try"
        if isinstance(
            error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError | httpx2.UnsupportedProtocol
        ):
            hint = "Is the server running, the address right, and no firewall or proxy in between?"
            return BackendError(f"no connection to {self.url} {tried}: {why}. {hint}")
        if isinstance(error, httpx2.TimeoutException):
            return CallFailed(f"no answer from {self.url} within {self.timeout:g} s, {tried}")
        return CallFailed(f"the answer of {self.url} broke off, {tried}: {why}")


class _Held:
    """The client, once there is one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: httpx2.Client | None = None

    def client(self, make: Callable[[], httpx2.Client]) -> httpx2.Client:
        with self._lock:
            if self._client is None:
                self._client = make()
                weakref.finalize(self, self._client.close)
            return self._client

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds, from either form of the header (RFC 9110, 10.2.3); ``None`` if absent or unreadable."""
    value = response.headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.replace(".", "", 1).isdecimal():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def together(
    call: Callable[[Item, threading.Event], Result], items: Sequence[Item], *, concurrency: int
) -> list[Result]:
    """``call`` for each item in threads, results in order. The first exception stops the rest and is raised."""
    stop = threading.Event()
    if len(items) <= 1:
        return [call(item, stop) for item in items]
    pool = ThreadPoolExecutor(min(concurrency, len(items)), thread_name_prefix="shortlist-call")
    futures = [pool.submit(call, item, stop) for item in items]
    try:
        wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:
            if future.done() and (error := future.exception()) is not None:
                raise error
        return [future.result() for future in futures]
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
