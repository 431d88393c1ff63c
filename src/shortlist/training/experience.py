"""From scores to advantages, query by query: what is drawn, what has to be read for it, what each pick was worth."""
# ruff: noqa: N802, N815  (names carry their shape)

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from shortlist.metrics import sub_em
from shortlist.rewards.environment import Levels
from shortlist.training import advantages as adv
from shortlist.training import plackett_luce as pl
from shortlist.training.recipe import CreditRecipe, SamplingRecipe
from shortlist.types import Document, Qrels, Query, RerankRequest

Tensor: TypeAlias = torch.Tensor
Floats: TypeAlias = NDArray[np.float64]
Shown: TypeAlias = tuple[Query, tuple[Document, ...]]


@dataclass(frozen=True, slots=True)
class Sampler:
    """The Plackett–Luce policy that scores and a temperature make."""

    sampling: SamplingRecipe
    stop: bool

    def logits(self, scores_N: Tensor) -> Tensor:
        """Scores as logits, differentiably."""
        shape = self.sampling
        return pl.logits(scores_N, shape.temperature, standardise=shape.standardise, stop=self.stop)

    def k(self, scores_N: Tensor) -> int:
        """The most picks there can be."""
        return min(self.sampling.k, len(scores_N) - self.stop)

    def draw(self, scores_N: Tensor, seed: int) -> Tensor:
        """Sampled picks (S, K)."""
        generator = torch.Generator().manual_seed(seed)
        logits_N, k = self.logits(scores_N), self.k(scores_N)
        return pl.draw(logits_N, k, self.sampling.samples, generator, stop=self.stop)

    def greedy(self, scores_N: Tensor, k: int | None = None) -> Tensor:
        """The picks that serving makes (K,)."""
        most = min(k, len(scores_N) - self.stop) if k else self.k(scores_N)
        if most == 0:  # no candidates, as a dev query may have
            return torch.zeros(0, dtype=torch.int64)
        return pl.greedy(scores_N, most, stop=self.stop)


def derive(*parts: object) -> int:
    """A seed of 63 bits from whatever names a place: no generator's state has to be kept."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8]) >> 1


def documents(request: RerankRequest, picks_K: Tensor) -> tuple[Document, ...]:
    """The documents of a row of picks; the null document and what follows it are none."""
    count = len(request.candidates)
    return tuple(request.candidates[i].document for i in picks_K.tolist() if 0 <= i < count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """One query of a step: the scores that drew and the reference's, the picks, and, once read, what they were worth.

    ``scores_N`` and ``reference_N`` have a last column more if the policy stops. ``levels_SK`` are those of the sampled
    lists, a finished list keeping its own; ``alone_N`` those of single passages (NaN where not asked). ``advantages_SK``
    are NaN where a pick cannot be credited.
    """

    place: int
    request: RerankRequest
    scores_N: Tensor
    reference_N: Tensor
    picks_SK: Tensor
    levels_SK: Floats | None = None
    parts_SK: Mapping[str, Floats] | None = None
    alone_N: Floats | None = None
    labels_N: Floats | None = None
    advantages_SK: Floats | None = None

    @property
    def lengths_S(self) -> Floats:
        """How many passages each sample keeps."""
        return np.asarray(pl.lengths(self.picks_SK, len(self.request.candidates)).numpy())

    @property
    def last_S(self) -> Floats:
        """The level of each finished list."""
        assert self.levels_SK is not None  # noqa: S101 - read by now
        return self.levels_SK[:, -1]


# ------------------------------------------------------------------------------------------------ what is read


_GREEDY = ("reference", "mixed", "current")


def lists_a_query(sampling: SamplingRecipe, credit: CreditRecipe) -> int:
    """How many lists :func:`asked_lists` gives."""
    return sampling.samples + (credit.baseline in _GREEDY)


def asked_lists(one: Experience, sampler: Sampler, credit: CreditRecipe) -> list[Shown]:
    """The sampled lists, then the greedy one that the baseline compares them with, if it does."""
    if credit.baseline not in _GREEDY:
        return finished_lists(one)
    greedy = sampler.greedy(one.scores_N if credit.baseline == "current" else one.reference_N)
    return [*finished_lists(one), (one.request.query, documents(one.request, greedy))]


def finished_lists(one: Experience) -> list[Shown]:
    """The sampled lists."""
    return [(one.request.query, documents(one.request, row)) for row in one.picks_SK]


def asked_alone(one: Experience) -> list[Shown]:
    """Every passage that was sampled, by itself."""
    return [(one.request.query, (one.request.candidates[i].document,)) for i in _sampled(one)]


def _sampled(one: Experience) -> list[int]:
    return [i for i in sorted(set(one.picks_SK.flatten().tolist())) if 0 <= i < len(one.request.candidates)]


def with_alone(one: Experience, levels: Levels) -> Experience:
    """With what single passages were worth."""
    alone_N = np.full(len(one.request.candidates), np.nan)
    alone_N[_sampled(one)] = levels.totals[:, 0]
    return replace(one, alone_N=alone_N)


def with_labels(one: Experience, qrels: Qrels | None) -> Experience:
    """With 1 for passages that hold a gold answer (that are judged relevant, given qrels) and 0 for the others."""
    query = one.request.query
    graded = (qrels or {}).get(query.id, {})
    labels = [
        float(graded.get(c.id, 0) > 0) if qrels is not None else sub_em(c.document.full_text, query.answers)
        for c in one.request.candidates
    ]
    return replace(one, labels_N=np.array(labels))


# ------------------------------------------------------------------------------------------------ what it was worth


def with_levels(one: Experience, levels: Levels, sampler: Sampler, told: CreditRecipe) -> Experience:
    """With levels, and the advantages that follow from them (not normalised yet)."""
    samples, steps = one.picks_SK.shape
    before = levels.totals[:, 0] if levels.lengths[0] == 0 else np.zeros(len(levels.totals))
    first = int(levels.lengths[0] == 0)
    whole = levels.totals[:, first : first + steps]
    kept = [*one.lengths_S.tolist(), *(len(shown) for _, shown in asked_lists(one, sampler, told)[samples:])]
    carried = np.stack(
        [adv.carry(row[None], [length], before=float(b))[0] for row, length, b in zip(whole, kept, before, strict=True)]
    )
    credited = credit(told, carried[:samples], carried[samples:], before[:samples], before[samples:])
    parts = {name: _last(part[:samples], one.lengths_S, first) for name, part in levels.parts.items()}
    return replace(one, levels_SK=carried[:samples], parts_SK=parts, advantages_SK=credited)


def with_finished(one: Experience, levels: Levels) -> Experience:
    """With the levels of the finished lists alone, told at each of their picks: for objectives that credit none."""
    column, rows = {length: i for i, length in enumerate(levels.lengths)}, np.arange(len(one.picks_SK))
    columns = [column[length] for length in one.lengths_S.tolist()]
    levels_SK = np.repeat(levels.totals[rows, columns][:, None], one.picks_SK.shape[1], axis=1)
    parts = {name: part[rows, columns] for name, part in levels.parts.items()}
    return replace(one, levels_SK=levels_SK, parts_SK=parts, advantages_SK=levels_SK)


def _last(part: Floats, lengths_S: Floats, first: int) -> Floats:
    """The level of each finished list; of an empty one only if the empty prefix was asked about."""
    places = lengths_S - 1 + first
    return np.where(places >= 0, part[np.arange(len(part)), np.maximum(places, 0)], np.nan)


def credit(
    recipe: CreditRecipe,
    levels_SK: Floats,
    greedy_GK: Floats,
    before_S: Floats,
    before_G: Floats,
) -> Floats:
    """The advantages of a recipe; ``greedy_GK`` has one row, the greedy list of the baseline, or none."""
    if recipe.form == "marginal":
        levels_SK = adv.marginal(levels_SK, before_S)
        greedy_GK = adv.marginal(greedy_GK, before_G) if len(greedy_GK) else greedy_GK
    baselines: dict[str, Callable[[], Floats]] = {
        "none": adv.none,
        "reference": lambda: adv.reference_greedy(greedy_GK[0]),
        "current": lambda: adv.current_greedy(greedy_GK[0]),
        "leave_one_out": lambda: adv.leave_one_out(levels_SK),
        "group_mean": lambda: adv.group_mean(levels_SK),
        "mixed": lambda: adv.mixed(adv.leave_one_out(levels_SK), adv.reference_greedy(greedy_GK[0]), recipe.share),
    }
    baseline = baselines[recipe.baseline]()
    forms: dict[str, Callable[[], Floats]] = {
        "prefix": lambda: adv.prefix(levels_SK, baseline),
        "to_go": lambda: adv.to_go(levels_SK, baseline, recipe.eta),
        "marginal": lambda: adv.to_go(levels_SK, baseline, recipe.eta),
        "terminal": lambda: adv.terminal(levels_SK, baseline),
        "gae_terminal": lambda: adv.terminal_gae(levels_SK, baseline, recipe.gamma, recipe.lam),
        "gae_literal": lambda: adv.literal_gae(levels_SK, baseline, recipe.gamma, recipe.lam),
    }
    return forms[recipe.form]()


def normalised(
    batch: Sequence[tuple[Floats | None, Floats]], recipe: CreditRecipe, whitener: adv.SlidingWhitener
) -> list[Floats]:
    """The advantages of a whole step, over all processes; each comes with where a pick was made (1) or not (0)."""
    found = [
        np.where(picked > 0, np.asarray(advantages_SK, dtype=np.float64), np.nan) for advantages_SK, picked in batch
    ]
    if recipe.normalise == "group":
        return [adv.group_z_score(advantages_SK) for advantages_SK in found]
    if recipe.normalise == "window" and found:
        flat = whitener(np.concatenate([a.ravel() for a in found]))
        ends = np.cumsum([a.size for a in found])[:-1]
        return [part.reshape(a.shape) for part, a in zip(np.split(flat, ends), found, strict=True)]
    return found


def with_k1(one: Experience, sampler: Sampler, beta: float) -> Experience:
    """With the divergence from the reference taken off: ``A_t - beta * sum_{j>=t} (log pi - log pi_ref)`` (k1)."""
    logp_SK = pl.step_log_probs(sampler.logits(one.scores_N), one.picks_SK)
    reference_SK = pl.step_log_probs(sampler.logits(one.reference_N), one.picks_SK)
    ahead_SK = (logp_SK - reference_SK).flip(-1).cumsum(-1).flip(-1).numpy().astype(np.float64)
    assert one.advantages_SK is not None  # noqa: S101 - credited by now
    return replace(one, advantages_SK=one.advantages_SK - beta * ahead_SK)
