"""One model in memory for several rerankers: a backend that equals one opened before is that one."""

from __future__ import annotations

from typing import TypeVar

from shortlist.backends.base import Backend

B = TypeVar("B", bound=Backend)


class Opened:
    """The backends opened so far. Rerankers opened with the same one share those that are equal in every setting."""

    def __init__(self) -> None:
        self._known: list[Backend] = []

    def one(self, backend: B) -> B:
        """The equal one opened before, or this, which is known from now on."""
        for known in self._known:
            if type(known) is type(backend) and known == backend:
                return known
        self._known.append(backend)
        return backend
