"""What a reader is: questions and kept passages in, answers out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from shortlist.types import Document, Query, Status, Usage


@dataclass(frozen=True, slots=True)
class Reading:
    """A query and the passages, in order, that its answer is to be read from; maybe none."""

    query: Query
    documents: tuple[Document, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a reader answered. ``text`` is ``None`` when it abstained: the passages do not answer the question.

    ``status`` failed: there was no reply, or none that could be read; ``error`` and ``problems`` say why. A failed
    answer counts as wrong in every measure; it never leaves the denominator.
    """

    text: str | None
    reading: Reading
    status: Status = Status.OK
    problems: tuple[str, ...] = ()
    usage: Usage = Usage()
    truncated: int = 0
    error: str | None = None


class Reader(Protocol):
    """Answers from passages."""

    @property
    def identity(self) -> str:
        """Everything that decides an answer: model, prompt, decoding."""

    def read(self, readings: Iterable[Reading], /) -> Iterator[Answer]:
        """One answer a reading, in the same order; readings are taken as they are needed."""
