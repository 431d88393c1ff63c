"""Test doubles, public on purpose: backends whose replies are a function of yours, deterministic and instant.

Use them to test your own strategies and prompts without a model, as our own tests do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from shortlist.backends.base import Ask, Completion, Likelihoods, Pair, PairScore, Question
from shortlist.types import Usage


def _count(text: str) -> int:
    return len(text.split())


@dataclass(frozen=True)
class ScriptedCompleter:
    """Completes with whatever ``reply`` makes of an ask: a text, or a whole completion (an error, say).

    ``latency`` gives the seconds each call takes, for tests of concurrency; ``concurrency``, if set, asks for the
    driver that lets every flow go on by itself. ``asked`` records every ask.
    """

    reply: Callable[[Ask], str | Completion]
    identity: str = "scripted"
    latency: Callable[[Ask], float] | None = None
    concurrency: int | None = None
    asked: list[Ask] = field(default_factory=list, repr=False)

    def complete(self, asks: Sequence[Ask], /) -> list[Completion]:
        """One completion an ask."""
        return [self._complete(ask) for ask in asks]

    def _complete(self, ask: Ask) -> Completion:
        self.asked.append(ask)
        if self.latency is not None:
            time.sleep(self.latency(ask))
        reply = self.reply(ask)
        if isinstance(reply, Completion):
            return reply
        prompt = sum(_count(message.content) for message in ask.messages)
        return Completion(text=reply, usage=Usage(calls=1, prompt_tokens=prompt, completion_tokens=_count(reply)))


@dataclass(frozen=True)
class ScriptedScorer:
    """Tells the log-likelihoods that ``logprobs`` gives for a question, one a label."""

    logprobs: Callable[[Question], Sequence[float]]
    identity: str = "scripted-scorer"

    def likelihoods(self, questions: Sequence[Question], /) -> list[Likelihoods]:
        """One result a question."""
        return [
            Likelihoods(logprobs=tuple(self.logprobs(question)), tokens=tuple(map(_count, question.labels)))
            for question in questions
        ]


@dataclass(frozen=True)
class ScriptedContinuer(ScriptedCompleter):
    """Completes as :class:`ScriptedCompleter` does, and tells log-likelihoods, behind a begun reply as well."""

    continues: ClassVar[Literal[True]] = True

    logprobs: Callable[[Question], Sequence[float]] = field(kw_only=True)

    def likelihoods(self, questions: Sequence[Question], /) -> list[Likelihoods]:
        """One result a question."""
        return ScriptedScorer(self.logprobs).likelihoods(questions)


@dataclass(frozen=True)
class ScriptedPairScorer:
    """Scores pairs with ``score``."""

    score: Callable[[Pair], float]
    identity: str = "scripted-pairs"

    def score_pairs(self, pairs: Sequence[Pair], /) -> list[PairScore]:
        """One score a pair."""
        return [PairScore(score=float(self.score(pair))) for pair in pairs]
