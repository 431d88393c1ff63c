"""What became of one query under one system: small, without passages, and the same on disk as in memory."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shortlist.types import Ranking, Usage

SHOWN = 5
"""How many passages of a ranking an example can show; an outcome remembers the ids of so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTotals:
    """What reading cost. ``seconds`` is wall time; ``passages`` counts a passage each time that it was read."""

    readings: int = 0
    passages: int = 0
    abstentions: int = 0
    failures: int = 0
    truncated: int = 0
    seconds: float = 0.0
    usage: Usage = Usage()

    def __add__(self, other: ReadTotals) -> ReadTotals:
        names = [f.name for f in dataclasses.fields(self)]
        return ReadTotals(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReadTotals:
        """The inverse of ``dataclasses.asdict``."""
        return cls(**{**data, "usage": Usage(**data["usage"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One query's result: ``values`` by column, and what the report tells of how it came about.

    ``wall`` are the seconds that passed while the system was waited for (its batch's, where it ranks in batches);
    ``top`` and ``scores`` are the ids and scores of the first :data:`SHOWN` passages; ``answers`` go by the k
    they were read at.
    """

    query_id: str
    values: Mapping[str, float]
    status: str
    cutoff: int | None = None
    truncated: int = 0
    wall: float = 0.0
    usage: Usage = Usage()
    top: tuple[str, ...] = ()
    scores: tuple[float | None, ...] | None = None
    read: ReadTotals | None = None
    answers: Mapping[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, ranking: Ranking, values: Mapping[str, float], wall: float, **told: Any) -> Outcome:
        """The outcome of a ranking; what the reader made of it by keyword."""
        return cls(
            query_id=ranking.query.id,
            values=values,
            status=ranking.status.value,
            cutoff=ranking.cutoff,
            truncated=ranking.truncated,
            wall=wall,
            usage=ranking.usage,
            top=tuple(candidate.id for candidate in ranking.top(SHOWN)),
            scores=None if ranking.scores is None else tuple(map(_finite, ranking.scores[:SHOWN])),
            **told,
        )

    def to_json(self) -> dict[str, Any]:
        """As plain values; NaN (a measure that does not apply to this query) is left out."""
        data = _shallow(self)
        data["values"] = {name: value for name, value in self.values.items() if not math.isnan(value)}
        data["usage"] = _shallow(self.usage)
        if self.read is not None:
            data["read"] = {**_shallow(self.read), "usage": _shallow(self.read.usage)}
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        """The inverse of :meth:`to_json`."""
        read = data["read"] and ReadTotals.from_json(data["read"])
        scores = data["scores"] and tuple(data["scores"])
        parts = {"usage": Usage(**data["usage"]), "read": read, "scores": scores, "top": tuple(data["top"])}
        return cls(**{**data, **parts})


def _finite(score: float) -> float | None:
    """JSON has no NaN, which a score is where a passage was not judged."""
    return score if math.isfinite(score) else None


def _shallow(value: Any) -> dict[str, Any]:
    """A dataclass as a dict without copies: ``dataclasses.asdict`` took longer than all the rest of an evaluation."""
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
