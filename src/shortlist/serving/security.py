"""Who may ask, and how much: API keys compared in constant time, and a limit on bodies. Plain ASGI, before any parsing."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from shortlist.errors import InvalidFile, InvalidInput
from shortlist.serving.asking import Refused

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = frozenset({"/", "/health", "/healthz", "/ready", "/openapi.json"})
"""What may be seen without a key: whether the server lives, what it can be asked, and the page (which asks for the key)."""
OPEN_PREFIX = "/playground/"


@dataclass(frozen=True)
class Keys:
    """The keys that are good, by their SHA-256; with none, everyone may ask."""

    digests: frozenset[bytes] = frozenset()

    @classmethod
    def of(cls, keys: Iterable[str]) -> Keys:
        """From the keys themselves; each is printable ASCII without blanks."""
        found = list(keys)
        for key in found:
            if not key or not key.isascii() or not key.isprintable() or " " in key:
                raise InvalidInput("an API key is empty, or holds a blank or a sign that no header can carry")
        return cls(frozenset(hashlib.sha256(key.encode()).digest() for key in found))

    @classmethod
    def read(cls, path: Path) -> Keys:
        """From a file: a key a line; blank lines and those that begin with # are passed over."""
        lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
        keys = [line for line in lines if line and not line.startswith("#")]
        if not keys:
            raise InvalidFile(path, "holds no API key; write one a line")
        return cls.of(keys)

    def __or__(self, other: Keys) -> Keys:
        return Keys(self.digests | other.digests)

    def admit(self, presented: str | None) -> bool:
        """Whether a key is good. Every key is compared, each in constant time: the time tells nothing."""
        if not self.digests:
            return True
        digest = hashlib.sha256((presented or "").encode("utf-8", "surrogatepass")).digest()
        good = False
        for known in self.digests:
            good |= hmac.compare_digest(digest, known)
        return good and presented is not None


def presented_key(headers: Mapping[bytes, bytes]) -> str | None:
    """The key of ``Authorization: Bearer`` (any case), or of ``X-API-Key``."""
    scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return headers.get(b"x-api-key", b"").decode("latin-1").strip() or None


class Gate:
    """Lets in who has a key, up to the limit of a body; refuses in the dialect's shape by ``refuse``."""

    def __init__(
        self,
        app: App,
        keys: Keys,
        max_body: int,
        refuse: Callable[[Scope, Refused], App],
        too_large: Callable[[str], Exception],
    ) -> None:
        self.app, self.keys, self.max_body, self.refuse, self.too_large = app, keys, max_body, refuse, too_large

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        refused = self._refused(scope, headers)
        if refused is not None:
            await self.refuse(scope, refused)(scope, receive, send)
            return
        await self.app(scope, self._counted(receive), send)

    def _refused(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Refused | None:
        path, method = scope["path"], scope["method"]
        is_open = path in OPEN_PATHS or path.startswith(OPEN_PREFIX) or method == "OPTIONS"
        if not is_open and not self.keys.admit(presented_key(headers)):
            return Refused("key", "no valid API key; send it as Authorization: Bearer KEY")
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self.max_body:
            return self._told()
        return None

    def _told(self) -> Refused:
        return Refused("too_large", f"the body is larger than {self.max_body} bytes, the most this server takes")

    def _counted(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.max_body:
                raise self.too_large(self._told().message)
            return message

        return counted
