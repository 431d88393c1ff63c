"""How many to keep: each rule is a value that takes a ranking and gives a number.

:class:`~shortlist.rerankers.compose.Keep` puts a rule behind a ranker.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from shortlist.errors import InvalidInput, UnknownName
from shortlist.text.truncation import approximate_count
from shortlist.types import Ranking


class Rule(Protocol):
    """A cutoff rule; any function of this shape is one."""

    def __call__(self, ranking: Ranking, /) -> int:
        """How many of the ranking to keep, in [0, n]."""


def _scores(ranking: Ranking, rule: object) -> tuple[float, ...]:
    if ranking.scores is None:
        raise InvalidInput(
            f"query {ranking.query.id!r}: {rule!r} needs scores, and this ranking has none; "
            "use TopK, TokenBudget or ModelSays, or a strategy that scores"
        )
    return ranking.scores


@dataclass(frozen=True, slots=True)
class TopK:
    """The first ``k``."""

    k: int

    def __post_init__(self) -> None:
        if self.k < 0:
            raise InvalidInput(f"k is {self.k}; give 0 or more")

    def __call__(self, ranking: Ranking, /) -> int:
        """k, or all if there are fewer."""
        return min(self.k, len(ranking))


@dataclass(frozen=True, slots=True)
class Threshold:
    """All from the top until the first whose score is below ``score``; in the units of the ranking's scores."""

    score: float

    def __post_init__(self) -> None:
        if math.isnan(self.score):
            raise InvalidInput("score is nan, which nothing reaches; give a number")

    def __call__(self, ranking: Ranking, /) -> int:
        """How many stand above the first low one."""
        scores = _scores(ranking, self)
        return next((i for i, score in enumerate(scores) if not score >= self.score), len(scores))


@dataclass(frozen=True, slots=True, kw_only=True)
class LargestGap:
    """Cuts where the score falls most, keeping at least ``minimum`` and at most ``maximum`` (``None``: all but one).

    Of equal gaps the earliest counts. Where no score falls at all there is no reason to cut: ``maximum`` are kept, all
    if it is ``None``.
    """

    minimum: int = 1
    maximum: int | None = None

    def __post_init__(self) -> None:
        if self.minimum < 0 or (self.maximum is not None and self.maximum < self.minimum):
            raise InvalidInput(f"minimum {self.minimum}, maximum {self.maximum}: give 0 ≤ minimum ≤ maximum")

    def __call__(self, ranking: Ranking, /) -> int:
        """Where the largest gap is."""
        scores = _scores(ranking, self)
        most = min(len(scores), len(scores) if self.maximum is None else self.maximum)
        gaps = {k: scores[k - 1] - scores[k] for k in range(max(1, self.minimum), min(most, len(scores) - 1) + 1)}
        if not gaps or max(gaps.values()) <= 0:
            return most
        return max(gaps, key=lambda k: gaps[k])


@dataclass(frozen=True, slots=True)
class TokenBudget:
    """As many from the top as fit into ``tokens`` together, titles included; ``count`` counts a text's tokens.

    The first that does not fit ends the list: a worse passage is never preferred because it is short.
    """

    tokens: int
    count: Callable[[str], int] = approximate_count

    def __post_init__(self) -> None:
        if self.tokens < 0:
            raise InvalidInput(f"tokens is {self.tokens}; give 0 or more")

    def __call__(self, ranking: Ranking, /) -> int:
        """How many fit."""
        left = self.tokens
        for kept, candidate in enumerate(ranking):
            left -= self.count(candidate.document.full_text)
            if left < 0:
                return kept
        return len(ranking)


@dataclass(frozen=True, slots=True)
class ModelSays:
    """The cutoff that the model stated; all, if it stated none. ``at_most`` bounds it."""

    at_most: int | None = None

    def __post_init__(self) -> None:
        if self.at_most is not None and self.at_most < 0:
            raise InvalidInput(f"at_most is {self.at_most}; give 0 or more, or None")

    def __call__(self, ranking: Ranking, /) -> int:
        """The ranking's own cutoff."""
        said = len(ranking) if ranking.cutoff is None else ranking.cutoff
        return said if self.at_most is None else min(said, self.at_most)


@dataclass(frozen=True, slots=True, kw_only=True)
class NullDocument:
    """All from the top that score no lower than a null document, which stands for "enough": a learnt cutoff.

    Its score is ``of_max · max + of_mean · mean + of_std · std + bias`` over the scores of the ranking itself (``std``
    of the population); passages without a score are left out of it. ``of_shares``: the ranking's scores are
    probabilities p, and log(p / (1 − p)) is meant. ``at_most`` bounds the number kept. Weights that training wrote
    (:mod:`shortlist.training`) hold for the number of candidates they were learnt with.
    """

    of_max: float = 0.0
    of_mean: float = 1.0
    of_std: float = 1.0
    bias: float = 0.0
    at_most: int | None = None
    of_shares: bool = False

    def __post_init__(self) -> None:
        weights = (self.of_max, self.of_mean, self.of_std, self.bias)
        if not all(map(math.isfinite, weights)) or (self.at_most is not None and self.at_most < 0):
            raise InvalidInput(f"weights {weights}, at_most {self.at_most}: give finite numbers, and 0 or more")

    def __call__(self, ranking: Ranking, /) -> int:
        """How many stand above the first that the null document beats; on a tie the passage stays."""
        scores = [_logit(s) if self.of_shares else s for s in _scores(ranking, self)]
        null = self.score([score for score in scores if math.isfinite(score)])
        kept = next((i for i, score in enumerate(scores) if not score >= null), len(scores))
        return kept if self.at_most is None else min(kept, self.at_most)

    def score(self, scores: Sequence[float]) -> float:
        """The null document's, among these; the bias alone, if there are none."""
        if not scores:
            return self.bias
        mean = math.fsum(scores) / len(scores)
        std = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))
        return self.of_max * max(scores) + self.of_mean * mean + self.of_std * std + self.bias

    @property
    def spec(self) -> str:
        """The rule as :func:`parse_rule` reads it."""
        most = () if self.at_most is None else (self.at_most,)
        numbers = (self.of_max, self.of_mean, self.of_std, self.bias, *most)
        return f"{'null-share' if self.of_shares else 'null'}:{','.join(map(repr, numbers))}"

    @classmethod
    def parse(cls, numbers: str, *, of_shares: bool = False) -> NullDocument:
        """From four weights, or five numbers, with commas; ``ValueError`` for anything else."""
        parts = numbers.split(",")
        if len(parts) not in {4, 5}:
            raise ValueError(numbers)
        of_max, of_mean, of_std, bias = map(float, parts[:4])
        most = int(parts[4]) if len(parts) == 5 else None
        return cls(of_max=of_max, of_mean=of_mean, of_std=of_std, bias=bias, at_most=most, of_shares=of_shares)


def _logit(share: float) -> float:
    """log(p / (1 − p)), held within what float64 tells apart from 0 and 1."""
    p = min(max(share, 1e-300), 1 - 2**-53)
    return share if math.isnan(share) else math.log(p) - math.log1p(-p)


def cut(ranking: Ranking, rule: Rule) -> Ranking:
    """The ranking with the rule's cutoff in place of its own; nothing is dropped."""
    return dataclasses.replace(ranking, cutoff=min(max(rule(ranking), 0), len(ranking)))


_NULL = "four weights (of max, mean, std, 1) and maybe the most to keep: null:0,1,1,0 or null:0,1,1,0,5"
_RULES: dict[str, tuple[Callable[[str], Rule], str]] = {
    "top": (lambda value: TopK(int(value)), "a whole number, as in top:5"),
    "threshold": (lambda value: Threshold(float(value)), "a score, as in threshold:0.5"),
    "gap": (lambda value: LargestGap(maximum=int(value) if value else None), "nothing, or the most to keep: gap:10"),
    "tokens": (lambda value: TokenBudget(int(value)), "a whole number, as in tokens:2000"),
    "null": (NullDocument.parse, _NULL),
    "null-share": (functools.partial(NullDocument.parse, of_shares=True), _NULL),
    "model": (lambda value: ModelSays(int(value) if value else None), "nothing, or the most to keep: model:10"),
}


def parse_rule(text: str) -> Rule:
    """The rule that ``top:K``, ``threshold:S``, ``gap[:K]``, ``tokens:N``, ``null:A,B,C,D[,K]`` or ``model[:K]`` means."""
    name, _, value = text.partition(":")
    if name not in _RULES:
        raise UnknownName("cutoff rule", name, _RULES)
    make, wanted = _RULES[name]
    try:
        return make(value)
    except InvalidInput:
        raise
    except ValueError:
        raise InvalidInput(f"{text!r}: after {name!r} comes {wanted}") from None
