"""A step's shortlists: drawn, handed to the reader, and credited once they are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import torch

from shortlist.errors import BudgetSpent
from shortlist.rewards.environment import Levels, ReaderEnvironment
from shortlist.training.advantages import SlidingWhitener
from shortlist.training.experience import (
    Experience,
    Sampler,
    Shown,
    asked_alone,
    asked_lists,
    derive,
    finished_lists,
    normalised,
    with_alone,
    with_finished,
    with_k1,
    with_labels,
    with_levels,
)
from shortlist.training.guards import TrainingStopped
from shortlist.training.objectives import METHODS, Method
from shortlist.training.parallel import Processes
from shortlist.training.policy import ScorePolicy
from shortlist.training.progress import SPENT
from shortlist.training.recipe import Recipe
from shortlist.training.reference import Reference
from shortlist.training.schedule import batch_places
from shortlist.types import Qrels, RerankRequest


@dataclass(frozen=True, slots=True)
class Rolled:
    """A step's shortlists, being read."""

    batch: list[Experience]
    levels: Future[Levels] | None


@dataclass(frozen=True, kw_only=True)
class Rollouts:
    """Draws shortlists of the training queries, and finds out what their picks were worth.

    ``labels``: judgements, for the supervised objective; without them a passage that holds a gold answer is right.
    """

    recipe: Recipe
    requests: Sequence[RerankRequest]
    policy: ScorePolicy
    reference: Reference
    environment: ReaderEnvironment
    whitener: SlidingWhitener
    labels: Qrels | None = None
    processes: Processes = Processes()

    @property
    def sampler(self) -> Sampler:
        """How shortlists are drawn."""
        return Sampler(self.recipe.sampling, self.policy.stops)

    @property
    def method(self) -> Method:
        """What is minimised, and what is read for it."""
        return METHODS[self.recipe.objective]

    def roll(self, step: int) -> Rolled:
        """Draw a step's shortlists and hand them to the reader."""
        places = batch_places(step, len(self.requests), self.recipe.optimiser.queries, self.recipe.seed)
        mine = self.processes.share(list(enumerate(places)))
        requests = [self.requests[place] for _, place in mine]
        batch = []
        scored = zip(mine, requests, self.policy.scores(requests), self.reference.scores(requests), strict=True)
        for (slot, place), request, scores, reference in scored:
            if not bool(torch.isfinite(scores).all()):
                raise TrainingStopped(f"step {step}: the scores of query {request.query.id!r} are not all finite")
            picks = self.sampler.draw(scores, derive(self.recipe.seed, step, slot))
            drawn = Experience(place=place, request=request, scores_N=scores, reference_N=reference, picks_SK=picks)
            batch.append(drawn)
        return self.submitted(batch)

    def submitted(self, batch: list[Experience]) -> Rolled:
        """Hand shortlists to the reader."""
        reads, credit = self.method.reads, self.recipe.credit
        if reads == "nothing":
            return Rolled(batch, None)
        lists = [shown for one in batch for shown in self._asked(one)]
        empty = self.sampler.stop or credit.form == "marginal"
        lengths = {
            "alone": [1],
            "lists": sorted({len(shown) for _, shown in lists}),
            "prefixes": range(0 if empty else 1, self.recipe.sampling.k + 1),
        }
        return Rolled(batch, self.environment.submit(lists, lengths[reads]))

    def _asked(self, one: Experience) -> list[Shown]:
        if self.method.reads == "alone":
            return asked_alone(one)
        return (
            finished_lists(one) if self.method.reads == "lists" else asked_lists(one, self.sampler, self.recipe.credit)
        )

    def read(self, rolled: Rolled) -> tuple[Levels | None, str]:
        """Wait for the reader. A spent budget ends the run, in all processes: the reason why."""
        levels, spent = None, ""
        try:
            levels = rolled.levels.result() if rolled.levels is not None else None
        except BudgetSpent as told:
            spent = f"{SPENT}: {told}"
        return levels, next(filter(None, self.processes.everyone(spent)), "")

    def credited(self, batch: list[Experience], levels: Levels | None) -> list[Experience]:
        """What each pick was worth."""
        if levels is None:
            return [with_labels(one, self.labels) for one in batch]
        counts = [len(self._asked(one)) for one in batch]
        each = [_rows(levels, end - count, end) for end, count in zip(np.cumsum(counts).tolist(), counts, strict=True)]
        if self.method.reads != "prefixes":
            told = with_alone if self.method.reads == "alone" else with_finished
            return [told(one, some) for one, some in zip(batch, each, strict=True)]
        credit = self.recipe.credit
        batch = [with_levels(one, some, self.sampler, credit) for one, some in zip(batch, each, strict=True)]
        found = self.processes.gather([(one.advantages_SK, (one.picks_SK >= 0).numpy()) for one in batch])
        scaled = self.processes.share(normalised(found, credit, self.whitener))
        batch = [dataclasses.replace(one, advantages_SK=a) for one, a in zip(batch, scaled, strict=True)]
        beta = self.recipe.loss.beta if self.recipe.loss.kl == "k1" else 0.0
        return [with_k1(one, self.sampler, beta) for one in batch] if beta else batch


def _rows(levels: Levels, start: int, end: int) -> Levels:
    return Levels(levels.lengths, levels.totals[start:end], {n: p[start:end] for n, p in levels.parts.items()})
