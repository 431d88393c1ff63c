"""Likelihoods behind a reply's own words: the model writes first, then it is read how likely each label was to follow.

:class:`ReasonedLabelPolicy` is for a label after reasoning, ERank's score (arXiv 2509.00520): an integer, weighed by its
probability. :class:`ExpectedScorePolicy` is for the scores of a group, each where it stands in the reply.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shortlist.backends.base import Continuer, Likelihoods, Question
from shortlist.errors import InvalidInput
from shortlist.rerankers.policies import TextPolicy, weighed
from shortlist.text.base import GradedPrompt, ReasonedPrompt
from shortlist.text.likelihood import exclusive, shares_of
from shortlist.types import J, ScoredJudgement, Slate, Status, Turn, Usage


@dataclass(frozen=True, kw_only=True)
class _ContinuedPolicy(TextPolicy[J]):
    """A policy that reads likelihoods behind its replies, and so needs a model that can."""

    completer: Continuer

    def __post_init__(self) -> None:
        super().__post_init__()
        given: object = self.completer
        if not isinstance(given, Continuer):
            raise InvalidInput(
                f"the backend {getattr(given, 'identity', given)!r} cannot read likelihoods behind a reply that has begun; "
                "read its replies (read=text), or run the model in this process"
            )


@dataclass(frozen=True, kw_only=True)
class ReasonedLabelPolicy(_ContinuedPolicy[J]):
    """Has the model reply as :class:`TextPolicy` does, then reads the likelihoods of all labels where its label stands.

    The label in the reply gives way to what the likelihoods say. Reasoning, problems and what it took stay: a reply that
    is not in the form asked for is at best repaired, and one that never comes to a label (its reasoning was cut off) has
    no likelihoods read and stays failed. Raises :class:`InvalidInput` if the backend is no
    :class:`~shortlist.backends.base.Continuer`.
    """

    prompt: ReasonedPrompt[J]

    @property
    def identity(self) -> str:
        """Prompt, model, decoding, and that likelihoods are read."""
        return f"{super().identity} then labels"

    def judge(self, slates: Sequence[Slate], /) -> list[Turn[J]]:
        """One turn a slate; ``text`` is the whole reply, its label included."""
        turns = super().judge(slates)
        questions = {i: question for i, turn in enumerate(turns) if (question := self._question(turn)) is not None}
        found = weighed(self.prompt, self.completer, [turns[i].slate for i in questions], list(questions.values()))
        for i, turn in zip(questions, found, strict=True):
            turns[i] = _behind(turns[i], turn)
        return turns

    def _question(self, turn: Turn[J]) -> Question | None:
        begun = self.prompt.opening(turn.text) if turn.error is None else None
        if begun is None:
            return None
        return Question(messages=turn.messages, labels=self.prompt.labels(turn.slate), begun=begun)


def _behind(said: Turn[J], found: Turn[J]) -> Turn[J]:
    """The reply's turn with what the likelihoods say; never wholly ok where the reply was not."""
    reply, verdict = said.verdict, found.verdict
    spoilt = reply.status is not Status.OK and verdict.status is Status.OK
    verdict = dataclasses.replace(
        verdict,
        status=Status.REPAIRED if spoilt else verdict.status,
        reasoning=reply.reasoning,
        problems=(*reply.problems, *verdict.problems),
    )
    return dataclasses.replace(said, verdict=verdict, usage=said.usage + found.usage, error=found.error)


@dataclass(frozen=True, kw_only=True)
class ExpectedScorePolicy(_ContinuedPolicy[ScoredJudgement]):
    """Has the model reply as :class:`TextPolicy` does, then reads how likely each score was where every score stands.

    A passage's score is the expected one, Σ v · Pr(v), behind the scores that the reply gave before it. Integers tie, and
    ties keep the order of the candidates; expectations hardly do. A slate costs one more call a passage, behind one shared
    beginning. Where no likelihood can be read the score written stays, and is a problem told of; the reply's own problems
    stay. Raises :class:`InvalidInput` if the backend is no :class:`~shortlist.backends.base.Continuer`.
    """

    prompt: GradedPrompt

    @property
    def identity(self) -> str:
        """Prompt, model, decoding, and that scores are expected ones."""
        return f"{super().identity} then expected"

    def judge(self, slates: Sequence[Slate], /) -> list[Turn[ScoredJudgement]]:
        """One turn a slate; ``text`` is the whole reply."""
        turns = super().judge(slates)
        asked = [(i, place, question) for i, turn in enumerate(turns) for place, question in self._questions(turn)]
        start = time.perf_counter()
        found = self.completer.likelihoods([question for *_, question in asked]) if asked else []
        each = (time.perf_counter() - start) / max(1, len(asked))
        told: dict[int, list[_Read]] = {}
        for (i, place, question), result in zip(asked, found, strict=True):
            usage = result.usage if result.usage.seconds else dataclasses.replace(result.usage, seconds=each)
            told.setdefault(i, []).append(_Read(place, _expected(question, result), usage, result.error))
        return [_weighed(turn, told[i]) if i in told else turn for i, turn in enumerate(turns)]

    def _questions(self, turn: Turn[ScoredJudgement]) -> list[tuple[int, Question]]:
        if turn.error is not None or turn.verdict.status is Status.FAILED:
            return []
        labels = self.prompt.grades(turn.slate)
        return [
            (place, Question(messages=turn.messages, labels=labels, begun=begun))
            for place, begun in self.prompt.openings(turn.text, turn.slate).items()
        ]


class _Read(NamedTuple):
    """What was read where one passage's score stands."""

    place: int
    score: float | None
    usage: Usage
    error: str | None


def _expected(question: Question, result: Likelihoods) -> float | None:
    if result.error is not None:
        return None
    shares = shares_of(exclusive(question.labels, result.logprobs, result.tokens))
    if shares is None:
        return None
    return math.fsum(int(label) * share for label, share in zip(question.labels, shares, strict=True))


def _weighed(said: Turn[ScoredJudgement], found: Sequence[_Read]) -> Turn[ScoredJudgement]:
    """The reply's turn with the expected scores in place of those that it wrote."""
    scores = [None if math.isnan(score) else score for score in said.verdict.scores]
    for read in found:
        scores[read.place] = scores[read.place] if read.score is None else read.score
    lost = sum(read.score is None for read in found)
    verdict = ScoredJudgement.of(
        scores,
        status=Status.REPAIRED if lost and said.verdict.status is Status.OK else said.verdict.status,
        reasoning=said.verdict.reasoning,
        problems=(*said.verdict.problems, *((f"{lost} scores are as written: no likelihoods",) if lost else ())),
    )
    errors = [read.error for read in found if read.error is not None]
    usage = Usage.total([said.usage, *(read.usage for read in found)])
    return dataclasses.replace(said, verdict=verdict, usage=usage, error=errors[0] if errors else None)
