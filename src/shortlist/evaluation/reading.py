"""Reading at several depths: which passages of a ranking are read, and what the answers are worth."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from shortlist.errors import InvalidInput, UnknownName
from shortlist.evaluation.outcome import ReadTotals
from shortlist.metrics import exact_match, rouge_l, sub_em, token_f1
from shortlist.reading.base import Answer, Reader, Reading
from shortlist.types import Ranking, Status, Usage

ReadAt: TypeAlias = int | Literal["auto"]
"""How many passages a reader gets; ``"auto"`` is as many as the ranking's cutoff says."""

ANSWER_MEASURES: Final[Mapping[str, Callable[[str | None, Sequence[str]], float]]] = {
    "EM": exact_match,
    "F1": token_f1,
    "sub-EM": sub_em,
    "ROUGE-L": rouge_l,
}


@dataclass(frozen=True, slots=True)
class Read:
    """What a reader made of one ranking."""

    values: Mapping[str, float]
    answers: Mapping[str, str | None]
    totals: ReadTotals


@dataclass(frozen=True)
class ReadingPlan:
    """A reader, the depths to read at and the measures of its answers.

    A ranking that states no cutoff is read, at ``"auto"``, as deep as the deepest of the other depths (whole, if there
    is none). Depths that give a ranking the same passages are read once.
    """

    reader: Reader
    at: tuple[ReadAt, ...]
    measures: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in self.measures:
            if name not in ANSWER_MEASURES:
                raise UnknownName("answer measure", name, ANSWER_MEASURES)
        wrong = [k for k in self.at if k != "auto" and (not isinstance(k, int) or k < 0)]
        if wrong or not self.at or len(set(self.at)) < len(self.at):
            raise InvalidInput(f"read_at is {self.at!r}; give different numbers of passages, or 'auto'")

    @property
    def columns(self) -> tuple[str, ...]:
        """The measures' names with their depths: ``EM@3``, ``F1@auto``, …."""
        return tuple(f"{name}@{k}" for k in self.at for name in self.measures)

    def read(self, rankings: Sequence[Ranking]) -> list[Read]:
        """Read many rankings in one go; one result a ranking."""
        depths = [sorted({self._depth(ranking, k) for k in self.at}) for ranking in rankings]
        readings = [
            Reading(ranking.query, tuple(candidate.document for candidate in ranking.top(depth)))
            for ranking, wanted in zip(rankings, depths, strict=True)
            for depth in wanted
        ]
        begun = time.perf_counter()
        answers = list(self.reader.read(readings))
        share = (time.perf_counter() - begun) / max(1, len(rankings))
        if len(answers) != len(readings):
            raise InvalidInput(
                f"reader {self.reader.identity!r} gave {len(answers)} answers to {len(readings)} readings"
            )
        each = iter(answers)
        told = [{depth: next(each) for depth in wanted} for wanted in depths]
        return [self._judge(ranking, by_depth, share) for ranking, by_depth in zip(rankings, told, strict=True)]

    def _depth(self, ranking: Ranking, k: ReadAt) -> int:
        """How many passages ``k`` means for a ranking."""
        if k == "auto" and ranking.cutoff is not None:
            return ranking.cutoff
        fixed = [depth for depth in self.at if depth != "auto"]
        wanted = max(fixed, default=len(ranking)) if k == "auto" else k
        return min(wanted, len(ranking))

    def _judge(self, ranking: Ranking, answers: Mapping[int, Answer], seconds: float) -> Read:
        by_k = {k: answers[self._depth(ranking, k)] for k in self.at}
        return Read(
            {
                f"{name}@{k}": _score(name, answer, ranking.query.answers)
                for k, answer in by_k.items()
                for name in self.measures
            },
            {str(k): answer.text for k, answer in by_k.items()},
            _totals(tuple(answers.values()), seconds),
        )


def _score(name: str, answer: Answer, golds: Sequence[str]) -> float:
    """A failed answer is wrong, even where abstaining would be right."""
    return 0.0 if answer.status is Status.FAILED else ANSWER_MEASURES[name](answer.text, golds)


def _totals(answers: Sequence[Answer], seconds: float) -> ReadTotals:
    failed = sum(answer.status is Status.FAILED for answer in answers)
    return ReadTotals(
        readings=len(answers),
        passages=sum(len(answer.reading.documents) for answer in answers),
        abstentions=sum(answer.text is None and answer.status is not Status.FAILED for answer in answers),
        failures=failed,
        truncated=sum(answer.truncated for answer in answers),
        seconds=seconds,
        usage=Usage.total(answer.usage for answer in answers),
    )
