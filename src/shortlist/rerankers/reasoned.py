"""Likelihoods after reasoning: the model thinks in words first, then it is read how likely each label is to follow.

ERank's score (arXiv 2509.00520): an integer that comes after reasoning, weighed by its probability. Two calls a slate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from shortlist.backends.base import Continuer, Question
from shortlist.errors import InvalidInput
from shortlist.rerankers.policies import TextPolicy, weighed
from shortlist.text.base import ReasonedPrompt
from shortlist.types import J, Slate, Status, Turn


@dataclass(frozen=True, kw_only=True)
class ReasonedLabelPolicy(TextPolicy[J]):
    """Has the model reply as :class:`TextPolicy` does, then reads the likelihoods of all labels where its label stands.

    The label in the reply gives way to what the likelihoods say. Reasoning, problems and what it took stay: a reply that
    is not in the form asked for is at best repaired, and one that never comes to a label (its reasoning was cut off) has
    no likelihoods read and stays failed. Raises :class:`InvalidInput` if the backend is no
    :class:`~shortlist.backends.base.Continuer`.
    """

    prompt: ReasonedPrompt[J]
    completer: Continuer

    def __post_init__(self) -> None:
        super().__post_init__()
        given: object = self.completer
        if not isinstance(given, Continuer):
            raise InvalidInput(
                f"the backend {getattr(given, 'identity', given)!r} cannot read likelihoods behind a reply that has begun; "
                "read its replies (read=text), or run the model in this process"
            )

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
