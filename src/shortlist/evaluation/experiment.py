"""The result of an evaluation: systems, their values query by query, and where it all came from.

The values stand in compact arrays, one a measure, so that 100,000 queries take megabytes and not gigabytes.
"""

from __future__ import annotations

import dataclasses
import json
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shortlist.data.files import write_lines
from shortlist.errors import InvalidFile, InvalidInput, UnknownName
from shortlist.evaluation.outcome import ReadTotals
from shortlist.types import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A passage of an example; ``place`` is its rank in the first stage, from 1; ``grade`` is ``None`` if unjudged."""

    id: str
    title: str
    text: str
    score: float | None
    place: int
    grade: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of an example: the first passages, how many were kept (``None``: all), the answer and its worth."""

    value: float
    passages: tuple[Shown, ...]
    kept: int | None = None
    answer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A query with what it looked like before (first stage) and after (the system)."""

    query_id: str
    query: str
    answers: tuple[str, ...]
    before: Side
    after: Side

    @property
    def delta(self) -> float:
        """What the system gained on this query."""
        return self.after.value - self.before.value

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Example:
        """The inverse of ``dataclasses.asdict``."""
        sides = {
            name: Side(**{**data[name], "passages": tuple(Shown(**shown) for shown in data[name]["passages"])})
            for name in ("before", "after")
        }
        return cls(**{**data, **sides, "answers": tuple(data["answers"])})


@dataclass(frozen=True, kw_only=True, eq=False)
class System:
    """One system's results. ``columns[measure]`` runs along ``query_ids``; NaN where a measure does not apply.

    ``ranked`` counts rankings, ``statuses`` and ``cutoffs`` how they came out (no cutoff: all kept). ``seconds`` is
    the wall time of ranking; ``latency`` are quantiles (``p50``, ``p95``) of the model's seconds a query.
    """

    name: str
    query_ids: Sequence[str]
    columns: Mapping[str, array[float]]
    identity: str | None = None
    ranked: int = 0
    statuses: Mapping[str, int] = field(default_factory=dict)
    cutoffs: Mapping[int, int] = field(default_factory=dict)
    truncated: int = 0
    seconds: float = 0.0
    latency: Mapping[str, float] = field(default_factory=dict)
    usage: Usage = Usage()
    reader: ReadTotals | None = None
    examples: tuple[Example, ...] = ()

    @property
    def failures(self) -> int:
        """Rankings in which something was lost: status failed or partial."""
        return self.statuses.get("failed", 0) + self.statuses.get("partial", 0)

    @property
    def format_failure_rate(self) -> float:
        """The share of rankings with some reply that was not well-formed, repaired ones included."""
        return (self.ranked - self.statuses.get("ok", 0)) / self.ranked if self.ranked else 0.0

    @cached_property
    def measures(self) -> dict[str, float]:
        """The means, over the queries that a measure applies to."""
        values = {name: self.values(name) for name in self.columns}
        told = {name: column[~np.isnan(column)] for name, column in values.items()}
        return {name: math.fsum(column) / len(column) for name, column in told.items() if len(column)}

    def values(self, measure: str) -> NDArray[np.float64]:
        """One measure, query by query (a view, not a copy)."""
        if measure not in self.columns:
            raise UnknownName("measure", measure, self.columns)
        return np.frombuffer(self.columns[measure], dtype=np.float64) if self.columns[measure] else np.empty(0)

    def rows(self) -> Iterator[tuple[str, dict[str, float]]]:
        """Query id and the measures that apply to it, query by query."""
        for row, query_id in enumerate(self.query_ids):
            yield query_id, {name: col[row] for name, col in self.columns.items() if not math.isnan(col[row])}

    @property
    def per_query(self) -> dict[str, dict[str, float]]:
        """All of :meth:`rows` at once."""
        return dict(self.rows())

    def per_ranking(self, total: float) -> float:
        """A cost a ranking: ``system.per_ranking(system.usage.calls)``."""
        return total / self.ranked if self.ranked else 0.0

    def summary(self) -> dict[str, Any]:
        """All but the values query by query, as plain values."""
        return {
            "name": self.name,
            "measures": self.measures,
            "identity": self.identity,
            "ranked": self.ranked,
            "calls": self.usage.calls,
            "cached_calls": self.usage.cached_calls,
            "tokens": self.usage.tokens,
            "prompt_tokens": self.usage.prompt_tokens,
            "completion_tokens": self.usage.completion_tokens,
            "seconds": self.seconds,
            "model_seconds": self.usage.seconds,
            "latency": dict(self.latency),
            "failures": self.failures,
            "format_failure_rate": self.format_failure_rate,
            "statuses": dict(self.statuses),
            "cutoffs": {str(k): n for k, n in sorted(self.cutoffs.items())},
            "truncated": self.truncated,
            "reader": None if self.reader is None else dataclasses.asdict(self.reader),
            "examples": [dataclasses.asdict(example) for example in self.examples],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], query_ids: Sequence[str]) -> Self:
        """The inverse of what :meth:`Experiment.write` writes of a system."""
        rows = [data["per_query"].get(query_id, {}) for query_id in query_ids]
        names = dict.fromkeys(name for row in rows for name in row)
        ordered = sorted(names, key=list(data["measures"]).index)
        usage = (data["calls"], data["prompt_tokens"], data["completion_tokens"], data["cached_calls"])
        plain = ("name", "identity", "ranked", "statuses", "truncated", "seconds", "latency")
        return cls(
            query_ids=query_ids,
            columns={name: array("d", (row.get(name, math.nan) for row in rows)) for name in ordered},
            cutoffs={int(k): n for k, n in data["cutoffs"].items()},
            usage=Usage(*usage, data["model_seconds"]),
            reader=data["reader"] and ReadTotals.from_json(data["reader"]),
            examples=tuple(map(Example.from_json, data["examples"])),
            **{name: data[name] for name in plain},
        )


@dataclass(frozen=True, eq=False)
class Experiment:
    """Systems on the same queries, the first stage first, and the manifest that says how they were made."""

    manifest: Mapping[str, Any]
    systems: tuple[System, ...]

    def __post_init__(self) -> None:
        names = [system.name for system in self.systems]
        if not names or len(set(names)) < len(names):
            raise InvalidInput(f"an experiment has systems with different names; got {names}")

    @property
    def first(self) -> System:
        """The first stage, which all others are compared with unless said otherwise."""
        return self.systems[0]

    @property
    def query_ids(self) -> Sequence[str]:
        """All queries, those without a request included."""
        return self.first.query_ids

    @property
    def columns(self) -> tuple[str, ...]:
        """The measures, those of rankings before those of answers."""
        return tuple(self.first.columns)

    def system(self, name: str) -> System:
        """The system of that name; raises :class:`UnknownName`."""
        for system in self.systems:
            if system.name == name:
                return system
        raise UnknownName("system", name, [system.name for system in self.systems])

    def write(self, path: Path | str, **tables: Sequence[Mapping[str, Any]]) -> None:
        """Write ``{"manifest": …, "systems": […]}`` as JSON, atomically and without building it in memory.

        Further tables stand there, too, under their names: ``comparisons=…`` (see
        :func:`~shortlist.evaluation.compare`), ``settings=…`` of a :class:`~shortlist.evaluation.Scaling`.
        """
        write_lines(path, self._lines(tables))

    def _lines(self, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
        yield f'{{"manifest": {_dump(self.manifest)}, "systems": ['
        for place, system in enumerate(self.systems):
            yield ("," if place else "") + _dump(system.summary())[:-1] + ', "per_query": {'
            for row, (query_id, values) in enumerate(system.rows()):
                yield f"{',' if row else ''}{_dump(query_id)}: {_dump(values)}"
            yield "}}"
        yield "]" + "".join(f', "{name}": {_dump(list(rows))}' for name, rows in tables.items() if rows) + "}"

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Read what :meth:`write` wrote. Raises :class:`InvalidFile`."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            query_ids = tuple(data["systems"][0]["per_query"])
            return cls(data["manifest"], tuple(System.from_json(system, query_ids) for system in data["systems"]))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise InvalidFile(path, f"not a saved experiment ({type(error).__name__}: {error})") from error


def _dump(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
