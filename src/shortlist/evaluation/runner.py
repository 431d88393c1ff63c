"""Evaluating rankers, and a reader behind them, on one set of requests."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from shortlist.errors import InvalidInput
from shortlist.evaluation.examples import find_examples
from shortlist.evaluation.experiment import Example, Experiment, System
from shortlist.evaluation.feed import Feed, length, reiterable
from shortlist.evaluation.journal import Journal, begun_with, open_folder
from shortlist.evaluation.manifest import environment
from shortlist.evaluation.plan import Plan
from shortlist.evaluation.reading import ANSWER_MEASURES, ReadAt, ReadingPlan
from shortlist.evaluation.tally import Queries, Tally
from shortlist.metrics import Measure, parse_measure
from shortlist.reading.base import Reader
from shortlist.rerankers.base import Ranker
from shortlist.rerankers.compose import FirstStage
from shortlist.types import Qrels, RerankRequest

Requests: TypeAlias = Callable[[], Iterable[RerankRequest]] | Iterable[RerankRequest]
"""A function that gives a fresh pass over the requests (they may be made lazily), or something to read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an evaluation has come; ``total`` is unknown while a generator is read for the first time."""

    system: str
    done: int
    total: int | None


def evaluate(
    rankers: Sequence[Ranker],
    requests: Requests,
    qrels: Qrels | None = None,
    measures: Sequence[Measure | str] | None = None,
    *,
    first_stage: str = "first-stage",
    reader: Reader | None = None,
    read_at: Sequence[ReadAt] = (1, 3, 5, "auto"),
    answer_measures: Sequence[str] = tuple(ANSWER_MEASURES),
    depth: int | None = None,
    query_ids: Iterable[str] | None = None,
    focus: str | None = None,
    examples: int = 5,
    seed: int = 0,
    about: Mapping[str, Any] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    save: Path | str | None = None,
    resume: bool = False,
) -> Experiment:
    """Run every ranker over the requests and measure what comes out; the first stage itself is the first system.

    The requests are gone through once a system and never held. Every query of the qrels (of ``query_ids``, if given)
    counts: one that no request came for counts 0. Failed rankings count as they are, in first-stage order. The
    measures are nDCG@10 unless said otherwise; without qrels, only answers are measured. ``depth`` ranks only the first so many
    candidates.

    ``focus`` is the measure by which the ``examples`` largest wins and losses are chosen (default: the last depth's F1,
    or the first measure); ``seed`` is for the resampling of whoever compares; ``about`` goes into the manifest.
    With ``save``, outcomes are kept in that folder as they come, and ``resume=True`` goes on where they end.

    Raises :class:`InvalidInput` if there is nothing to measure, if two systems have one name, if a ranker loses or
    swaps requests, or if two passes over the requests differ.
    """
    reading = ReadingPlan(reader, tuple(read_at), tuple(answer_measures)) if reader is not None else None
    named = measures if measures is not None else () if qrels is None else ("nDCG@10",)
    parsed = tuple(parse_measure(m) if isinstance(m, str) else m for m in named)
    wanted = None if query_ids is None else frozenset(query_ids)
    plan = Plan(qrels, parsed, reading, depth, wanted)
    chosen = plan.focus(focus)
    systems = (FirstStage(name=first_stage), *rankers)
    names = [system.name for system in systems]
    if len(set(names)) < len(names):
        raise InvalidInput(f"two systems have one name: {names}; give each its own")
    settings = plan.settings(systems)
    again = reiterable(requests)
    with ExitStack() as stack:
        folder = Path(save if save is not None else stack.enter_context(tempfile.TemporaryDirectory()))
        open_folder(folder, settings, resume=resume or save is None)
        work = _Work(plan, folder, again, Queries(plan.counted), on_progress, length(requests))
        tallies = [work.run(place, system) for place, system in enumerate(systems)]
        results = [tally.system(qrels, plan.read_columns) for tally in tallies]
        told = find_examples(results, work.journals, again(), qrels, measure=chosen, count=examples)
    manifest = {**environment(), **settings, **work.counts(), "focus": chosen, "seed": seed, **(about or {})}
    return Experiment(manifest, tuple(map(_with_examples, results, told)))


def _with_examples(system: System, examples: tuple[Example, ...]) -> System:
    return dataclasses.replace(system, examples=examples)


@dataclass
class _Work:
    """The passes of one evaluation."""

    plan: Plan
    folder: Path
    requests: Callable[[], Iterable[RerankRequest]]
    queries: Queries
    on_progress: Callable[[Progress], None] | None
    total: int | None
    journals: list[Journal] = field(default_factory=list)
    candidates: str | None = None
    left_out: int = 0

    def run(self, place: int, ranker: Ranker) -> Tally:
        """Evaluate one system: replay what is on disk, rank the rest."""
        journal = Journal.of(self.folder, place, ranker.name)
        self.journals.append(journal)
        tally = Tally(ranker.name, getattr(ranker, "identity", None), self.queries, self.plan.columns)
        for outcome in journal.outcomes():
            tally.add(outcome)
        feed = self._feed(tally, first=place == 0)
        fresh = journal.append(self.plan.outcomes(feed.rankings(ranker)))
        for outcome in fresh:
            tally.add(outcome)
            if self.on_progress:
                self.on_progress(Progress(system=ranker.name, done=tally.ranked, total=self.total))
        self._finish(feed, tally)
        return tally

    def _feed(self, tally: Tally, *, first: bool) -> Feed:
        on_query = self.queries.request if first else lambda _query_id: None
        return Feed(self.requests(), wanted=self.plan.wants, done=tally, depth=self.plan.depth, on_query=on_query)

    def _finish(self, feed: Feed, tally: Tally) -> None:
        tally.check_requested()
        digest = feed.hash.hexdigest()
        if self.candidates is None:
            self.candidates = begun_with(self.folder, digest)
        if self.candidates != digest:
            told = f"{self.candidates} → {digest}"
            raise InvalidInput(f"the requests are not those that the evaluation was begun with ({told})")
        self.left_out, self.total = feed.left_out, feed.hash.count

    def counts(self) -> dict[str, Any]:
        """What the manifest says of the queries."""
        judged = self.plan.qrels or {}
        unjudged = sum(query_id not in judged for query_id in self.queries.ids) if self.plan.measures else 0
        return {
            "candidates": self.candidates,
            "queries": len(self.queries),
            "queries_without_request": self.queries.missing,
            "queries_without_judgement": unjudged,
            "requests_left_out": self.left_out,
        }
