"""Measuring a policy on the dev queries, as it would serve: a sort, a cutoff, and what the reader answers then."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from shortlist.errors import UnknownName
from shortlist.metrics import sub_em
from shortlist.metrics.ranking import ndcg
from shortlist.rewards.base import Observation, Observed, ObservedReward, Observer, Prefix, PrefixReward, WeightedReward
from shortlist.rewards.environment import Lists, ReaderEnvironment
from shortlist.training.experience import Sampler, documents
from shortlist.training.guards import TrainingStopped
from shortlist.training.parallel import Processes
from shortlist.training.policy import ScorePolicy
from shortlist.types import Qrels, RerankRequest

NDCG = "ndcg@10"


@dataclass(frozen=True)
class Heard(Observed):
    """A reward whose reader's answers are remembered, for the report."""

    reward: ObservedReward
    answers: dict[tuple[str, ...], str | None] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The reward's."""
        return self.reward.name

    @property
    def bounds(self) -> tuple[float, float]:
        """The reward's."""
        return self.reward.bounds

    @property
    def observer(self) -> Observer:
        """The reward's."""
        return self.reward.observer

    def judge(self, prefix: Prefix, seen: Observation, /) -> float | None:
        """The reward's level; the answer is noted."""
        self.answers[prefix.query.id, *(document.id for document in prefix.documents)] = seen["text"]
        return self.reward.judge(prefix, seen)


@dataclass(frozen=True, slots=True)
class Measured:
    """Means over the dev queries, and what each of them came to."""

    values: Mapping[str, float]
    records: Sequence[Mapping[str, Any]]

    def score(self, name: str) -> float:
        """The value of a measure. Raises :class:`UnknownName`, and :class:`TrainingStopped` where it is NaN."""
        if name not in self.values:
            raise UnknownName("dev.measure", name, self.values)
        if math.isnan(self.values[name]):
            bare = sum(not record["golds"] for record in self.records)
            raise TrainingStopped(
                f"dev {name} has no value: none of the {len(self.records)} dev questions could be scored ({bare} of them "
                "have no gold answers). Give others, or reward.unanswerable=abstain; if the reader failed, mend it"
            )
        return self.values[name]


@dataclass(frozen=True, kw_only=True)
class Development:
    """The dev queries, and an environment of their own: choosing is not charged to the budget of learning.

    ``weights`` make the reward of the parts that the environment tells, of which there may be more.
    """

    requests: Sequence[RerankRequest]
    environment: ReaderEnvironment
    weights: Mapping[str, float]
    sampler: Sampler
    qrels: Qrels = field(default_factory=dict)
    heard: Heard | None = None
    processes: Processes = Processes()

    def measure(self, policy: ScorePolicy, on_progress: Callable[[int, int], None] | None = None) -> Measured:
        """The policy as it is now. ``reward``, its parts, ``kept``, ``failed``, and nDCG@10 where there are judgements."""
        mine = self.processes.share(self.requests)
        scored = []
        for place, request in enumerate(mine):
            scored += policy.scores([request])
            if on_progress is not None:
                on_progress(place + 1, len(mine))
        picks = [self.sampler.greedy(scores) for scores in scored]
        lists = [(request.query, documents(request, row)) for request, row in zip(mine, picks, strict=True)]
        parts = self._parts(lists)
        records = [
            self._record(request, scores, shown, told)
            for request, scores, (_, shown), told in zip(mine, scored, lists, parts, strict=True)
        ]
        everyone = self.processes.gather(records)
        return Measured(self._means(everyone), everyone)

    def _parts(self, lists: Lists) -> list[dict[str, float]]:
        """The parts of the reward of each whole list; lists of one length are asked about together."""
        told: list[dict[str, float]] = [{} for _ in lists]
        rows: dict[int, list[int]] = defaultdict(list)
        for row, (_, shown) in enumerate(lists):
            rows[len(shown)].append(row)
        for length, places in sorted(rows.items()):
            levels = self.environment.evaluate([lists[i] for i in places], [length])
            for at, place in enumerate(places):
                told[place] = {name: float(part[at, 0]) for name, part in levels.parts.items()}
        return told

    def _record(
        self, request: RerankRequest, scores: torch.Tensor, shown: Sequence[Any], parts: Mapping[str, float]
    ) -> dict[str, Any]:
        query, numbers = request.query, scores[: len(request.candidates)].tolist()
        graded = self.qrels.get(query.id)
        order = sorted(range(len(numbers)), key=lambda i: -numbers[i])
        labels = [
            float((graded or {}).get(c.id, 0) > 0 if graded else sub_em(c.document.full_text, query.answers))
            for c in request.candidates
        ]
        record: dict[str, Any] = {
            "id": query.id,
            "query": query.text,
            "golds": list(query.answers),
            "kept": [{"id": d.id, "title": d.title, "text": d.text} for d in shown],
            "reward": math.fsum(weight * parts[name] for name, weight in self.weights.items()),
            "parts": dict(parts),
            "scores": numbers,
            "labels": labels,
        }
        if graded and any(grade > 0 for grade in graded.values()):
            ranked = [graded.get(request.candidates[i].id) for i in order]
            record[NDCG] = ndcg(ranked, list(graded.values()), k=10)
        if self.heard is not None:
            ids = [document.id for document in shown]  # in the order in which they were read
            record["answer"] = self.heard.answers.get(
                (query.id, *(sorted(ids) if self.environment.key == "set" else ids))
            )
        return record

    def _means(self, records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        rewards = [record["reward"] for record in records]
        told = {"reward": _mean(rewards), "kept": _mean([len(record["kept"]) for record in records])}
        told |= {name: _mean([record["parts"][name] for record in records]) for name in records[0]["parts"]}
        told["failed"] = float(np.mean([math.isnan(reward) for reward in rewards]))
        if any(NDCG in record for record in records):
            told[NDCG] = _mean([record[NDCG] for record in records if NDCG in record])
        return told


def watched(
    parts: Sequence[tuple[PrefixReward, float]], more: Sequence[PrefixReward]
) -> tuple[WeightedReward, Heard | None]:
    """The reward of dev: all its parts, more to look at (weighted 1: only parts are read), and answers remembered."""
    known = {part.name for part, _ in parts}
    every = [*parts, *((part, 1.0) for part in more if part.name not in known)]
    heard = None
    for place, (part, weight) in enumerate(every):
        if heard is None and part.name in {"f1", "em"} and isinstance(part, ObservedReward):
            heard = Heard(part)
            every[place] = (heard, weight)
    return WeightedReward(tuple(every)), heard


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan
