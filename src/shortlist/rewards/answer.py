"""Rewards of answers: what a reader answers from a prefix, how likely it finds the gold answer, whether it is there.

One rule about abstaining, SQuAD 2's: on a question that has gold answers an abstention is worth 0; a question without
any is unanswerable, an abstention is worth 1 and any answer 0. (With ``unanswerable="mask"`` such questions cannot be
scored at all.)
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Final, Literal, TypeAlias

from shortlist.backends.base import Likelihoods, Question, Scorer
from shortlist.errors import InvalidInput, UnknownName
from shortlist.metrics import exact_match, sub_em, token_f1
from shortlist.reading.base import Answer, Reader
from shortlist.reading.readers import LLMReader, fit
from shortlist.rewards.base import Ledger, Observation, Observed, Prefix
from shortlist.text.answering import AnswerShort
from shortlist.types import Status

Unanswerable: TypeAlias = Literal["abstain", "mask"]
_RULES: Final = ("abstain", "mask")


def _mean(prediction: str | None, golds: Sequence[str]) -> float:
    return (exact_match(prediction, golds) + token_f1(prediction, golds)) / 2


MEASURES: Final[Mapping[str, Callable[[str | None, Sequence[str]], float]]] = {
    "f1": token_f1,
    "em": exact_match,
    "mean": _mean,
}
"""How an answer is measured against the golds; ``mean`` is the mean of the other two."""


@dataclass(frozen=True)
class AnswerObserver:
    """Has a reader answer. Sees ``{"text": the answer or None, "read": whether it could be read}``."""

    reader: Reader
    ledger: Ledger = field(default_factory=Ledger, init=False, repr=False, compare=False)

    @property
    def identity(self) -> str:
        """The reader's."""
        return f"answer {self.reader.identity}"

    def observe(self, prefixes: Sequence[Prefix], /) -> list[Observation]:
        """The answers; ``None`` where the model did not reply."""
        answers = list(self.reader.read(prefixes))
        if len(answers) != len(prefixes):
            raise InvalidInput(
                f"reader {self.reader.identity!r} gave {len(answers)} answers to {len(prefixes)} readings"
            )
        return [self._seen(answer) for answer in answers]

    def _seen(self, answer: Answer) -> Observation:
        self.ledger.add(answer.usage, answer.error)
        if answer.error is not None:
            return None
        return {"text": answer.text, "read": answer.status is not Status.FAILED}


@dataclass(frozen=True)
class _OfAnswer(Observed):
    """A reward of the reader's answer, in [0, 1]."""

    reader: Reader

    @property
    def bounds(self) -> tuple[float, float]:
        """From bad to good."""
        return 0.0, 1.0

    @functools.cached_property
    def observer(self) -> AnswerObserver:
        """The reader."""
        return AnswerObserver(self.reader)


@dataclass(frozen=True)
class ReaderReward(_OfAnswer):
    """How good the reader's answer from a prefix is, against the gold answers: in [0, 1].

    ``measure``: ``f1``, ``em`` or their ``mean``. A reply that cannot be read is a bad answer, worth 0; a model that did
    not reply leaves the prefix unscored.
    """

    measure: str = "f1"
    _: KW_ONLY
    unanswerable: Unanswerable = "abstain"
    name: str = ""

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise UnknownName("answer measure", self.measure, MEASURES)
        _check_rule(self.unanswerable)
        object.__setattr__(self, "name", self.name or self.measure)

    def judge(self, prefix: Prefix, seen: Observation, /) -> float | None:
        """The measure of the answer."""
        if not prefix.query.answers and self.unanswerable == "mask":
            return None
        return MEASURES[self.measure](seen["text"], prefix.query.answers) if seen["read"] else 0.0


@dataclass(frozen=True)
class ReplyRead(_OfAnswer):
    """Whether the reader's reply could be read, 0 or 1: its share is the reader's format rate, a number to watch."""

    name: str = "format"

    def judge(self, prefix: Prefix, seen: Observation, /) -> float | None:  # noqa: ARG002 - a reward's signature
        """Whether it could."""
        return float(seen["read"])


@dataclass(frozen=True)
class LikelihoodObserver:
    """Has a model tell how likely it finds given replies. Sees the mean log-probability a token of each."""

    scorer: Scorer
    prompt: AnswerShort
    max_golds: int
    ledger: Ledger = field(default_factory=Ledger, init=False, repr=False, compare=False)

    @property
    def identity(self) -> str:
        """Model, prompt, and how many golds are asked about."""
        return f"likelihood {self.scorer.identity} {self.prompt.fingerprint[:16]} {self.max_golds}"

    def observe(self, prefixes: Sequence[Prefix], /) -> list[Observation]:
        """A list of numbers a prefix, one a gold answer; empty where the model is not asked, for want of passages."""
        asked = [i for i, prefix in enumerate(prefixes) if prefix.documents or self.prompt.closed_book]
        told = self.scorer.likelihoods([self._question(prefixes[i]) for i in asked]) if asked else []
        seen: list[Observation] = [[] for _ in prefixes]
        for i, likelihoods in zip(asked, told, strict=True):
            self.ledger.add(likelihoods.usage, likelihoods.error)
            seen[i] = None if likelihoods.error is not None else _per_token(likelihoods)
        return seen

    def _question(self, prefix: Prefix) -> Question:
        shown = fit(prefix, self.prompt, self.scorer)
        golds = dict.fromkeys(gold for gold in prefix.query.answers if gold.strip())
        labels = tuple(golds)[: self.max_golds] or (self.prompt.abstention,)
        return Question(messages=self.prompt.render(shown.query, shown.documents), labels=labels)


@dataclass(frozen=True)
class GoldLikelihood(Observed):
    """How likely a model finds the gold answer, given a prefix: ``exp(mean log-probability of its tokens)``, in [0, 1].

    That is the geometric mean of the probabilities of the answer's tokens, of the best of the first ``max_golds`` gold
    answers: a level that moves where F1 stays at 0 (RePlug, Atlas). Of an unanswerable question the "gold" is the
    prompt's abstention. Without passages a reader abstains, and so the gold has likelihood 0 (the abstention 1), unless
    the prompt is ``closed_book``. With the reader's own model and prompt it scores what the reader would be shown.
    """

    scorer: Scorer
    prompt: AnswerShort = AnswerShort()
    _: KW_ONLY
    unanswerable: Unanswerable = "abstain"
    max_golds: int = 4
    name: str = "likelihood"

    def __post_init__(self) -> None:
        _check_rule(self.unanswerable)
        if self.max_golds < 1:
            raise InvalidInput(f"max_golds is {self.max_golds}; give 1 or more")
        if not getattr(self.scorer, "whole_labels", True):
            raise InvalidInput(
                f"{self.scorer.identity} shows only what it would say itself, and not how likely a gold answer is; leave"
                " the likelihood out (rrpo: reward.likelihood=0 reward.f1=1), or take a reader that runs here"
            )

    @property
    def bounds(self) -> tuple[float, float]:
        """From impossible to certain."""
        return 0.0, 1.0

    @functools.cached_property
    def observer(self) -> LikelihoodObserver:
        """The scorer."""
        return LikelihoodObserver(self.scorer, self.prompt, self.max_golds)

    def judge(self, prefix: Prefix, seen: Observation, /) -> float | None:
        """The likelihood of the best gold answer."""
        answerable = bool(prefix.query.answers)
        if not answerable and (self.unanswerable == "mask" or not self.prompt.allow_abstain):
            return None
        if not seen:
            return 0.0 if answerable else 1.0
        return min(1.0, math.exp(max(seen)))


def gold_likelihood(reader: Reader, *, unanswerable: Unanswerable = "abstain") -> GoldLikelihood:
    """How likely a reader's own model finds the gold answer behind the prompt that it reads by.

    Raises:
        InvalidInput: the reader tells no likelihoods, or only those of its own replies.
    """
    if not isinstance(reader, LLMReader) or not isinstance(reader.completer, Scorer):
        raise InvalidInput(
            f"the reader {reader.identity} does not tell likelihoods; leave the likelihood out of the reward, or take another"
        )
    return GoldLikelihood(reader.completer, reader.prompt, unanswerable=unanswerable)


@dataclass(frozen=True)
class HoldsAnswer:
    """Whether a passage of the prefix holds a gold answer's words, 0 or 1: no model is asked (DPR's answer recall).

    A question without answers cannot be scored.
    """

    name: str = "has_answer"

    @property
    def bounds(self) -> tuple[float, float]:
        """From no passage to one or more."""
        return 0.0, 1.0

    def score(self, prefixes: Sequence[Prefix], /) -> list[float | None]:
        """Whether each prefix does."""
        return [self._held(prefix) if prefix.query.answers else None for prefix in prefixes]

    def _held(self, prefix: Prefix) -> float:
        return max((sub_em(d.full_text, prefix.query.answers) for d in prefix.documents), default=0.0)


def _per_token(likelihoods: Likelihoods) -> list[float]:
    """Mean log-probabilities; what is impossible becomes a number that JSON has a form for."""
    each = zip(likelihoods.logprobs, likelihoods.tokens, strict=True)
    return [max(_IMPOSSIBLE, logprob / max(1, tokens)) for logprob, tokens in each]


_IMPOSSIBLE: Final = -1e6


def _check_rule(rule: str) -> None:
    if rule not in _RULES:
        raise UnknownName("rule for unanswerable questions", rule, _RULES)
