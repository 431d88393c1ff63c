"""Adding up outcomes: the list of queries that an evaluation is over, and one system's sums and columns."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from shortlist.errors import InvalidInput
from shortlist.evaluation.experiment import System
from shortlist.evaluation.outcome import Outcome, ReadTotals
from shortlist.types import Qrels, Usage


class Queries:
    """The queries of an evaluation, one row each: those that must be counted, then those that requests bring."""

    def __init__(self, query_ids: Iterable[str]) -> None:
        self.ids = list(dict.fromkeys(query_ids))
        self.index = {query_id: row for row, query_id in enumerate(self.ids)}
        self.requested = bytearray(len(self.ids))

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, query_id: str) -> int:
        """A query's row; a query that is new gets one."""
        row = self.index.setdefault(query_id, len(self.ids))
        if row == len(self.ids):
            self.ids.append(query_id)
            self.requested.append(0)
        return row

    def request(self, query_id: str) -> None:
        """Note that a query has a request; a query may have only one."""
        row = self.row(query_id)
        if self.requested[row]:
            raise InvalidInput(f"query {query_id!r} has two requests; each query is ranked once")
        self.requested[row] = 1

    @property
    def missing(self) -> int:
        """How many queries no request came for."""
        return self.requested.count(0)


class Tally:
    """One system's outcomes, added up as they come."""

    def __init__(self, name: str, identity: str | None, queries: Queries, columns: Sequence[str]) -> None:
        self.name, self.identity, self.queries = name, identity, queries
        self.columns = {column: array("d") for column in columns}
        self.seen = bytearray()
        self.model_seconds = array("d")
        self.statuses: Counter[str] = Counter()
        self.cutoffs: Counter[int] = Counter()
        self.truncated, self.seconds = 0, 0.0
        self.usage = Usage()
        self.reader: ReadTotals | None = None

    def __contains__(self, query_id: object) -> bool:
        row = self.queries.index.get(query_id, -1) if isinstance(query_id, str) else -1
        return 0 <= row < len(self.seen) and bool(self.seen[row])

    @property
    def ranked(self) -> int:
        """How many rankings there are so far."""
        return len(self.model_seconds)

    def add(self, outcome: Outcome) -> None:
        """Add one query's outcome."""
        row = self.queries.row(outcome.query_id)
        self._grow()
        self.seen[row] = 1
        for name, value in outcome.values.items():
            self.columns[name][row] = value
        self.statuses[outcome.status] += 1
        if outcome.cutoff is not None:
            self.cutoffs[outcome.cutoff] += 1
        self.truncated += outcome.truncated
        self.seconds += outcome.wall
        self.model_seconds.append(outcome.usage.seconds)
        self.usage += outcome.usage
        if outcome.read is not None:
            self.reader = (self.reader or ReadTotals()) + outcome.read

    def _grow(self) -> None:
        lacking = len(self.queries) - len(self.seen)
        if lacking:
            self.seen.extend(bytes(lacking))
            for column in self.columns.values():
                column.extend([math.nan] * lacking)

    def check_requested(self) -> None:
        """Raise :class:`InvalidInput` if there is an outcome, kept from an earlier run, that no request came for."""
        for row, seen in enumerate(self.seen):
            if seen and not self.queries.requested[row]:
                raise InvalidInput(f"query {self.queries.ids[row]!r} has a saved outcome, but no request came for it")

    def system(self, qrels: Qrels | None, answered: Sequence[str]) -> System:
        """The sums as a result; a query that no request came for counts 0 (in ``answered`` columns, and if judged)."""
        self._grow()
        for row, query_id in enumerate(self.queries.ids):
            if not self.queries.requested[row]:
                self._count_zero(row, judged=qrels is not None and query_id in qrels, answered=answered)
        return System(
            name=self.name,
            identity=self.identity,
            query_ids=self.queries.ids,
            columns=self.columns,
            ranked=self.ranked,
            statuses=dict(self.statuses),
            cutoffs=dict(self.cutoffs),
            truncated=self.truncated,
            seconds=self.seconds,
            latency=self._latency(),
            usage=self.usage,
            reader=self.reader,
        )

    def _count_zero(self, row: int, *, judged: bool, answered: Sequence[str]) -> None:
        for name, column in self.columns.items():
            if name in answered or judged:
                column[row] = 0.0

    def _latency(self) -> dict[str, float]:
        if not self.model_seconds:
            return {}
        p50, p95 = np.quantile(np.frombuffer(self.model_seconds), [0.5, 0.95])
        return {"p50": float(p50), "p95": float(p95)}
