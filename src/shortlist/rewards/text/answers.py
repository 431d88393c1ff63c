"""Rewards of what a reader answers from the passages that a reply chose, and what the choice costs: DynamicRAG's.

The reader is the environment: a :class:`ReaderDesk` asks it through the
:class:`~shortlist.rewards.environment.ReaderEnvironment`, so that a choice that comes again is not read again, in this
step, run or a later one, and all rewards of one desk share one reading. Then a *measure* compares answers with the golds,
all of a step at once.

One rule about abstaining, SQuAD 2's, as in :mod:`shortlist.rewards.answer`: an abstention is worth 1 where there is no
gold answer, else 0, and so measures are only asked about answers to answerable questions.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple, Protocol, Self

from shortlist.backends.store import Store
from shortlist.errors import InvalidInput, UnknownName
from shortlist.reading.base import Reader
from shortlist.rewards.answer import (
    AnswerObserver,
    GoldLikelihood,
    HoldsAnswer,
    ReaderReward,
    Unanswerable,
    gold_likelihood,
)
from shortlist.rewards.base import Prefix, WeightedReward
from shortlist.rewards.environment import ReaderEnvironment
from shortlist.rewards.text.base import Reply, readable
from shortlist.text.truncation import approximate_count
from shortlist.types import Choice, Document, Judgement


class Answered(NamedTuple):
    """An answer to a question that has gold answers."""

    question: str
    golds: tuple[str, ...]
    answer: str


class AnswerMeasure(Protocol):
    """Compares answers with their golds."""

    def measure(self, answered: Sequence[Answered], /) -> list[float | None]:
        """A level in [0, 1] for each; ``None``: it cannot be told."""


class Read(NamedTuple):
    """What a reader said: an answer, or an abstention (``None``); ``legible``: its reply could be read."""

    answer: str | None
    legible: bool


@dataclass(frozen=True, eq=False)
class ReaderDesk:
    """A reader's answers to chosen passages, and how likely it finds the gold answers, each distinct choice read once.

    Answers and likelihoods each have the whole of the environment's budget, and counters of their own.

    A reader whose weights change (one that shares the policy's) must change its ``identity`` with them, and needs a new
    desk each time: what was read is known by that name.
    """

    environment: ReaderEnvironment
    observer: AnswerObserver

    @classmethod
    def of(cls, reader: Reader, store: Store | None = None, **options: Any) -> Self:
        """A desk for a reader; ``store`` keeps answers between runs, ``options`` are the environment's."""
        reward = ReaderReward(reader)
        return cls(ReaderEnvironment(WeightedReward(((reward, 1.0),)), store, **options), reward.observer)

    def read(self, prefixes: Sequence[Prefix]) -> list[Read | None]:
        """The answers; ``None`` where the model did not reply.

        Raises:
            BudgetSpent: what is missing would go over the environment's budget.
            BackendError: the reader is dead.
        """
        seen = self.environment.observations(self.observer, prefixes)
        return [None if told is None else Read(told["text"], told["read"]) for told in seen]

    def likelihoods(self, prefixes: Sequence[Prefix]) -> list[float | None]:
        """How likely the reader's model finds the gold answer, as :class:`~shortlist.rewards.answer.GoldLikelihood` has it.

        Raises:
            InvalidInput: the reader tells no likelihoods.
            BackendError: the reader is dead.
        """
        gold, environment = self._gold
        seen = environment.observations(gold.observer, prefixes)
        return [None if told is None else gold.judge(prefix, told) for prefix, told in zip(prefixes, seen, strict=True)]

    @functools.cached_property
    def _gold(self) -> tuple[GoldLikelihood, ReaderEnvironment]:
        gold = gold_likelihood(self.observer.reader)
        return gold, dataclasses.replace(self.environment, reward=WeightedReward(((gold, 1.0),)))


@dataclass(frozen=True, kw_only=True)
class ChoiceReward(ABC):
    """What the passages that a reply chose are worth: in [0, 1].

    ``keep``: how many passages a reply chooses that does not say (an order, scores); ``None``: all. A reply that does not
    count is worth 0, and no reading. ``unanswerable="mask"`` leaves questions without gold answers unscored.
    """

    name: str
    keep: int | None = None
    strict: bool = True
    unanswerable: Unanswerable = "abstain"

    def __post_init__(self) -> None:
        if self.keep is not None and self.keep < 1:
            raise InvalidInput(f"keep is {self.keep}; give 1 or more, or none for all")
        if self.unanswerable not in {"abstain", "mask"}:
            raise UnknownName("rule for unanswerable questions", self.unanswerable, ("abstain", "mask"))

    @property
    def bounds(self) -> tuple[float, float]:
        """From nothing right to all."""
        return 0.0, 1.0

    def score(self, replies: Sequence[Reply], /) -> list[float | None]:
        """One level a reply."""
        levels: list[float | None] = [None] * len(replies)
        asked: list[int] = []
        for place, reply in enumerate(replies):
            if self.unanswerable == "mask" and not reply.lesson.slate.query.answers:
                continue
            if readable(reply.verdict, strict=self.strict):
                asked.append(place)
            else:
                levels[place] = 0.0
        prefixes = [Prefix(replies[i].lesson.slate.query, chosen(replies[i], self.keep)) for i in asked]
        told = self._levels(prefixes) if prefixes else []
        for place, level in zip(asked, told, strict=True):
            levels[place] = level
        return levels

    @abstractmethod
    def _levels(self, prefixes: Sequence[Prefix]) -> list[float | None]:
        """One level a choice."""


@dataclass(frozen=True, kw_only=True)
class AnswerReward(ChoiceReward):
    """How good the reader's answer from the chosen passages is, by ``measure``.

    An answer that cannot be read is worth 0; a reader or judge that did not reply leaves the reply unscored.
    """

    desk: ReaderDesk
    measure: AnswerMeasure

    def _levels(self, prefixes: Sequence[Prefix]) -> list[float | None]:
        reads = self.desk.read(prefixes)
        wanted = {i: found for i, (p, read) in enumerate(zip(prefixes, reads, strict=True)) if (found := _due(p, read))}
        distinct = list(dict.fromkeys(wanted.values()))
        told = dict(zip(distinct, self.measure.measure(distinct), strict=True)) if distinct else {}
        return [
            _clipped(told[wanted[i]]) if i in wanted else _settled(prefix, read)
            for i, (prefix, read) in enumerate(zip(prefixes, reads, strict=True))
        ]


@dataclass(frozen=True, kw_only=True)
class AnswerLikelihood(ChoiceReward):
    """How likely the reader's model finds the gold answer behind the chosen passages, as
    :class:`~shortlist.rewards.answer.GoldLikelihood` has it: it moves where F1 stays at 0.

    Raises:
        InvalidInput: the reader tells no likelihoods; it has to run here.
    """

    desk: ReaderDesk
    name: str = "likelihood"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.desk.likelihoods(())

    def _levels(self, prefixes: Sequence[Prefix]) -> list[float | None]:
        return self.desk.likelihoods(prefixes)


@dataclass(frozen=True, kw_only=True)
class AnswerHeld(ChoiceReward):
    """Whether a chosen passage holds a gold answer's words, 0 or 1; no model is asked. Without golds it cannot be told."""

    name: str = "has-answer"
    unanswerable: Unanswerable = "mask"

    def _levels(self, prefixes: Sequence[Prefix]) -> list[float | None]:
        return HoldsAnswer().score(prefixes)


def chosen(reply: Reply, keep: int | None = None) -> tuple[Document, ...]:
    """The passages of this reply's own choice, in its order; ``keep`` of them (``None``: all) where it sets no number.

    Raises:
        InvalidInput: the verdict is not one of this lesson's slate.
    """
    verdict, documents = reply.verdict, reply.lesson.slate.documents
    if isinstance(verdict, Choice) and verdict.best in range(len(documents)):
        return (documents[verdict.best],)  # type: ignore[index]  # in the range, so no None
    if not isinstance(verdict, Judgement) or sorted(verdict.order) != list(range(len(documents))):
        told = f"a slate of {len(documents)} passages has the verdict {str(verdict)[:200]}"
        raise InvalidInput(f"{told}; parse it with its own prompt")
    named = verdict.order[: len(documents) - len(verdict.missing)]
    return tuple(documents[i] for i in named[: keep if verdict.cutoff is None else verdict.cutoff])


@dataclass(frozen=True)
class ListCost:
    """``1 / (1 + length / scale)`` of the reply's own choice: 1 for no passages, falling with every one; in [0, 1].

    ``unit``: passages, or the tokens of titles and texts, of which ``scale`` count as 1 (by default 1 and 256). A reply
    that does not count is worth 0. DynamicRAG's length term, arXiv 2505.07233 (its released code gives it another list).
    """

    scale: float | None = None
    _: KW_ONLY
    unit: str = "passages"
    keep: int | None = None
    strict: bool = True
    name: str = "list-cost"

    def __post_init__(self) -> None:
        if self.unit not in _SCALES:
            raise UnknownName("unit", self.unit, _SCALES)
        if self.scale is not None and not 1e-9 <= self.scale <= 1e9:
            raise InvalidInput(f"scale is {self.scale}; give how many {self.unit} count as 1, a number above 0")

    @property
    def bounds(self) -> tuple[float, float]:
        """From a reply that does not count to an empty choice."""
        return 0.0, 1.0

    def score(self, replies: Sequence[Reply], /) -> list[float | None]:
        """One level a reply."""
        return [self._one(reply) if readable(reply.verdict, strict=self.strict) else 0.0 for reply in replies]

    def _one(self, reply: Reply) -> float:
        documents = chosen(reply, self.keep)
        length = len(documents) if self.unit == "passages" else sum(approximate_count(d.full_text) for d in documents)
        return 1 / (1 + length / (self.scale or _SCALES[self.unit]))


_SCALES: Mapping[str, float] = {"passages": 1.0, "tokens": 256.0}


def _due(prefix: Prefix, read: Read | None) -> Answered | None:
    """What a measure is asked about; ``None`` if the level is settled without."""
    golds = tuple(gold for gold in prefix.query.answers if gold.strip())
    if read is None or not read.legible or not golds or not (read.answer or "").strip():
        return None
    return Answered(prefix.query.text, golds, read.answer or "")


def _settled(prefix: Prefix, read: Read | None) -> float | None:
    if read is None:
        return None
    abstained = read.legible and not (read.answer or "").strip()
    return float(abstained and not any(gold.strip() for gold in prefix.query.answers))


def _clipped(level: float | None) -> float | None:
    return None if level is None or math.isnan(level) else min(1.0, max(0.0, level))
