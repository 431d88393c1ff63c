"""How a server is to run: every setting, its default and its meaning, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from shortlist.errors import InvalidInput
from shortlist.serving.engine import Admission
from shortlist.serving.lanes import Batching
from shortlist.serving.security import Keys


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """The settings of a server.

    ``deadline`` is for requests that set none, in seconds (``None``: they wait as long as it takes). ``max_body`` is in
    bytes, ``max_documents`` a request's, ``max_query`` in characters. ``cors_origins``: none, so browsers of other
    origins may not ask. ``log_texts``: queries and passages appear in the log. ``warm``: models are loaded at the start,
    and ``/ready`` says when that is done; otherwise on their first request.
    """

    keys: Keys = Keys()
    max_body: int = 8 * 2**20
    max_documents: int = 1000
    max_query: int = 32_768
    deadline: float | None = None
    admission: Admission = Admission()
    batching: Batching = Batching()
    cors_origins: tuple[str, ...] = ()
    log_texts: bool = False
    warm: bool = False

    def __post_init__(self) -> None:
        for name in ("max_body", "max_documents", "max_query"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} is {getattr(self, name)}; give 1 or more")
        if self.deadline is not None and self.deadline <= 0:
            raise InvalidInput(f"deadline is {self.deadline}; give more than 0 seconds, or None")
