"""What an evaluation measures, of which queries."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from shortlist.errors import InvalidInput, UnknownName
from shortlist.evaluation.feed import chunks
from shortlist.evaluation.manifest import qrels_hash
from shortlist.evaluation.outcome import Outcome
from shortlist.evaluation.reading import Read, ReadingPlan
from shortlist.metrics import Measure
from shortlist.rerankers.base import Ranker, identity_of
from shortlist.types import Qrels, Ranking

READ_TOGETHER: Final = 64
"""So many rankings are put before the reader in one batch."""

SHORTLIST_MEASURES: Final = frozenset({"SetP", "SetR", "SetF"})
"""Measures of a set: they judge what a ranking keeps, since the whole of it is the same set for every system."""


@dataclass(frozen=True)
class Plan:
    """What is measured, of which queries."""

    qrels: Qrels | None
    measures: tuple[Measure, ...]
    reading: ReadingPlan | None
    depth: int | None
    query_ids: frozenset[str] | None

    def __post_init__(self) -> None:
        if self.measures and self.qrels is None:
            raise InvalidInput(f"measures {list(map(str, self.measures))} need judgements; give qrels")
        if not self.columns:
            raise InvalidInput("there is nothing to measure; give measures and qrels, or a reader")
        if len(set(self.columns)) < len(self.columns):
            raise InvalidInput(f"a measure comes twice: {list(self.columns)}")
        if self.depth is not None and self.depth < 1:
            raise InvalidInput(f"depth {self.depth}; give how many candidates of each query to rank, at least 1")

    @property
    def read_columns(self) -> tuple[str, ...]:
        """The measures of answers."""
        return self.reading.columns if self.reading else ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All measures, those of rankings first."""
        return (*(measure.name for measure in self.measures), *self.read_columns)

    @property
    def counted(self) -> Iterable[str]:
        """The queries that count whether or not a request comes for them."""
        return sorted(self.query_ids) if self.query_ids is not None else self.qrels or ()

    def wants(self, query_id: str) -> bool:
        """Whether a request is ranked: not if nothing of it could be measured."""
        if self.query_ids is not None:
            return query_id in self.query_ids
        return self.reading is not None or self.qrels is None or query_id in self.qrels

    def outcomes(self, rankings: Iterable[tuple[Ranking, float]]) -> Iterator[Outcome]:
        """Measure rankings as they come, reading them in batches if there is a reader."""
        if self.reading is None:
            for ranking, wall in rankings:
                yield Outcome.of(ranking, self._judged(ranking), wall)
            return
        for chunk in chunks(rankings, READ_TOGETHER):
            reads = self.reading.read([ranking for ranking, _ in chunk])
            for (ranking, wall), read in zip(chunk, reads, strict=True):
                yield self._read(ranking, wall, read)

    def focus(self, wanted: str | None) -> str:
        """The measure that examples are chosen by: the last depth's F1, or the first measure, unless one is wanted."""
        if wanted is None:
            return next((column for column in reversed(self.read_columns) if column.startswith("F1@")), self.columns[0])
        if wanted not in self.columns:
            raise UnknownName("measure", wanted, self.columns)
        return wanted

    def settings(self, systems: Sequence[Ranker]) -> dict[str, Any]:
        """What decides the numbers: it heads the saved outcomes, and must be the same to go on with them."""
        wanted = None if self.query_ids is None else "\n".join(sorted(self.query_ids))
        return {
            "systems": [{"name": system.name, "identity": identity_of(system)} for system in systems],
            "measures": [measure.name for measure in self.measures],
            "reader": None if self.reading is None else self.reading.reader.identity,
            "read_at": [] if self.reading is None else list(self.reading.at),
            "answer_measures": [] if self.reading is None else list(self.reading.measures),
            "depth": self.depth,
            "qrels": None if self.qrels is None else qrels_hash(self.qrels),
            "query_ids": None if wanted is None else hashlib.sha256(wanted.encode()).hexdigest(),
        }

    def _read(self, ranking: Ranking, wall: float, read: Read) -> Outcome:
        values = {**self._judged(ranking), **read.values}
        return Outcome.of(ranking, values, wall, read=read.totals, answers=read.answers)

    def _judged(self, ranking: Ranking) -> dict[str, float]:
        judgements = None if self.qrels is None else self.qrels.get(ranking.query.id)
        if judgements is None:
            return dict.fromkeys((measure.name for measure in self.measures), math.nan)
        grades = [judgements.get(i) for i in ranking.ids]
        return {
            measure.name: measure.formula(_seen(measure, grades, ranking.cutoff), judgements.values())
            for measure in self.measures
        }


def _seen(measure: Measure, grades: list[int | None], cutoff: int | None) -> list[int | None]:
    return grades[:cutoff] if measure.name.partition("(")[0] in SHORTLIST_MEASURES else grades
