"""Policies: a prompt and a backend together, judging slates.

:class:`TextPolicy` reads replies, :class:`LabelPolicy` reads the likelihoods of fixed replies, :class:`PairPolicy`
reads the scores of a cross-encoder. Each cuts passages to their budget first, and reports the cut. Likelihoods behind a
reply's reasoning are read by :mod:`~shortlist.rerankers.reasoned`.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

from shortlist.backends.base import (
    Ask,
    Backend,
    Completer,
    Completion,
    Cuts,
    Pair,
    PairScore,
    PairScorer,
    Question,
    Scorer,
)
from shortlist.errors import InvalidInput
from shortlist.text.base import LabelPrompt, Prompt, PromptBase
from shortlist.text.likelihood import exclusive
from shortlist.text.truncation import Cut, approximate_cut, cut_slate
from shortlist.types import Document, FollowUp, J, Message, Messages, Query, ScoredJudgement, Slate, Status, Turn, Usage


def _fitted(slates: Sequence[Slate], prompt: Prompt[J] | LabelPrompt[J], backend: Backend) -> list[Slate]:
    """The slates with passages and queries within the prompt's budgets, by the backend's own tokenizer if it shows it."""
    cut: Cut = backend.cut if isinstance(backend, Cuts) else approximate_cut
    query_tokens = getattr(prompt, "query_tokens", PromptBase.query_tokens)
    return [cut_slate(slate, prompt.passage_tokens, cut, query_tokens=query_tokens) for slate in slates]


def _fingerprint(prompt: object) -> str:
    return prompt.fingerprint[:16] if isinstance(prompt, PromptBase) else repr(prompt)


def _shared(usage: Usage, seconds: float, among: int) -> Usage:
    """A backend that does not time its calls has the batch's time shared out evenly."""
    return usage if usage.seconds else dataclasses.replace(usage, seconds=seconds / among)


@dataclass(frozen=True, kw_only=True)
class TextPolicy(Generic[J]):
    """Asks a completer and reads the reply.

    ``max_tokens`` overrides what the prompt allows a reply. ``retries``: how often to ask again, saying what was wrong,
    when a reply cannot be read at all. A reply cut short before its end (``finish == "length"``) that cannot be read is
    asked once for its final answer alone, when ``force_answer`` is set: reasoning models starve otherwise.
    ``constrain``: hold replies to the prompt's language (or its JSON schema, if it tells nothing else), so that every
    whole one is well-formed; a prompt that tells neither is an error.
    """

    prompt: Prompt[J]
    completer: Completer
    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    retries: int = 0
    force_answer: bool = True
    constrain: bool = False

    def __post_init__(self) -> None:
        if self.retries < 0 or self.temperature < 0 or (self.max_tokens is not None and self.max_tokens < 1):
            raise InvalidInput("retries and temperature must be 0 or more, max_tokens 1 or more")
        if self.constrain and not (hasattr(self.prompt, "language") or hasattr(self.prompt, "schema")):
            raise InvalidInput(f"{type(self.prompt).__name__} tells no language of replies to hold a model to")

    @property
    def identity(self) -> str:
        """Prompt, model and decoding."""
        decoding = f"{self.max_tokens}/{self.temperature}/{self.top_p}/{self.seed}/{self.retries}/{self.force_answer}"
        return f"{_fingerprint(self.prompt)} {self.completer.identity} {decoding}/{self.constrain}"

    def judge(self, slates: Sequence[Slate], /) -> list[Turn[J]]:
        """One turn a slate."""
        shown = _fitted(slates, self.prompt, self.completer)
        asks = [self._ask(slate, self.prompt.render(slate)) for slate in shown]
        completions = self._complete(asks)
        turns = [self._read(s, a.messages, c) for s, a, c in zip(shown, asks, completions, strict=True)]
        for attempt in range(self.retries + 1):
            turns = self._again(turns, asks, completions, forced=attempt == 0)
        return turns

    def _complete(self, asks: Sequence[Ask]) -> list[Completion]:
        start = time.perf_counter()
        completions = self.completer.complete(asks) if asks else []
        seconds = time.perf_counter() - start
        return [dataclasses.replace(c, usage=_shared(c.usage, seconds, len(asks))) for c in completions]

    def _ask(self, slate: Slate, messages: Messages) -> Ask:
        language = getattr(self.prompt, "language", None) if self.constrain else None
        schema = getattr(self.prompt, "schema", None) if self.constrain and language is None else None
        return Ask(
            messages=messages,
            max_tokens=self.max_tokens or self.prompt.reply_tokens(slate),
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            schema=schema(slate) if schema is not None else None,
            language=language(slate) if language is not None else None,
        )

    def _read(self, slate: Slate, messages: Messages, completion: Completion) -> Turn[J]:
        text = completion.text
        if completion.reasoning and "</think>" not in text:
            text = f"<think>{completion.reasoning}</think>{text}"
        verdict = self.prompt.parse(text, slate)
        return Turn(slate, verdict, messages, text, completion.usage, completion.error)

    def _again(
        self, turns: list[Turn[J]], asks: Sequence[Ask], completions: list[Completion], *, forced: bool
    ) -> list[Turn[J]]:
        """Ask the failed ones again: once for the final answer of a reply cut short, else saying what was wrong."""
        again: list[tuple[int, Ask]] = []
        for i, (turn, ask, completion) in enumerate(zip(turns, asks, completions, strict=True)):
            if turn.verdict.status is not Status.FAILED or turn.error is not None:
                continue
            starved = forced and completion.finish == "length"
            if (starved and self.force_answer) or (not forced and self.retries):
                again.append((i, self._once_more(turn, ask, starved=starved)))
        if not again:
            return turns
        turns = list(turns)
        for (i, ask), completion in zip(again, self._complete([ask for _, ask in again]), strict=True):
            before = turns[i]
            completions[i] = completion
            after = self._read(before.slate, ask.messages, completion)
            verdict = _second(before.verdict, after.verdict)
            turns[i] = dataclasses.replace(after, verdict=verdict, usage=before.usage + after.usage)
        return turns

    def _once_more(self, turn: Turn[J], ask: Ask, *, starved: bool) -> Ask:
        wrong = "; ".join(turn.verdict.problems) or "it could not be read"
        words = (
            "Stop here. Give only the final answer now, in the required format."
            if starved
            else f"That reply cannot be used ({wrong}). Answer again, in the required format only."
        )
        said = Message("assistant", turn.text or "…")
        return dataclasses.replace(ask, messages=(*ask.messages, said, Message("user", words)))


def _second(before: J, after: J) -> J:
    """The verdict of the second asking: never wholly ok, and with the first one's thoughts if it has none."""
    note = f"asked again: {'; '.join(before.problems) or 'the reply could not be read'}"
    return dataclasses.replace(
        after,
        status=Status.REPAIRED if after.status is Status.OK else after.status,
        reasoning=after.reasoning or before.reasoning,
        problems=(*after.problems, note),
    )


@dataclass(frozen=True, kw_only=True)
class LabelPolicy(Generic[J]):
    """Asks a scorer how likely each of the prompt's fixed replies is: one pass, no parsing."""

    prompt: LabelPrompt[J]
    scorer: Scorer

    @property
    def identity(self) -> str:
        """Prompt and model."""
        return f"{_fingerprint(self.prompt)} {self.scorer.identity}"

    def judge(self, slates: Sequence[Slate], /) -> list[Turn[J]]:
        """One turn a slate."""
        shown = _fitted(slates, self.prompt, self.scorer)
        questions = [Question(messages=self.prompt.render(s), labels=self.prompt.labels(s)) for s in shown]
        return weighed(self.prompt, self.scorer, shown, questions)


def weighed(
    prompt: LabelPrompt[J], scorer: Scorer, slates: Sequence[Slate], questions: Sequence[Question]
) -> list[Turn[J]]:
    """One turn a question about its slate: what the prompt reads from the likelihoods of the labels."""
    start = time.perf_counter()
    results = scorer.likelihoods(questions) if questions else []
    seconds = time.perf_counter() - start
    return [
        Turn(
            slate,
            prompt.read(exclusive(question.labels, result.logprobs, result.tokens), slate),
            question.messages,
            question.begun,
            _shared(result.usage, seconds, len(questions)),
            result.error,
        )
        for slate, question, result in zip(slates, questions, results, strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class PairPolicy:
    """Scores each passage of a slate against the query with a cross-encoder; the scores are raw logits.

    The encoder itself cuts what is longer than it takes, the passage only; that is reported.
    """

    scorer: PairScorer

    @property
    def identity(self) -> str:
        """The model."""
        return self.scorer.identity

    def judge(self, slates: Sequence[Slate], /) -> list[Turn[ScoredJudgement]]:
        """One turn a slate."""
        pairs = [pair_of(slate.query, c.document) for slate in slates for c in slate.candidates]
        if not pairs:
            return [Turn(slate, ScoredJudgement.of(())) for slate in slates]
        start = time.perf_counter()
        results = self.scorer.score_pairs(pairs)
        each = (time.perf_counter() - start) / len(pairs)
        if len(results) != len(pairs):
            raise InvalidInput(f"the scorer {self.identity!r} gave {len(results)} scores for {len(pairs)} pairs")
        left = iter(results)
        return [_scored(slate, [next(left) for _ in slate.candidates], each * len(slate)) for slate in slates]


@dataclass(frozen=True, slots=True)
class HopPolicy:
    """One cross-encoder for the question alone, another, trained for it, for what follows on what was found."""

    first: PairPolicy
    later: PairPolicy

    @property
    def identity(self) -> str:
        """Both models."""
        return f"{self.first.identity} then {self.later.identity}"

    def judge(self, slates: Sequence[Slate], /) -> list[Turn[ScoredJudgement]]:
        """One turn a slate."""
        later = [isinstance(slate.query, FollowUp) for slate in slates]
        turns = {
            follows: iter(
                policy.judge([slate for slate, is_later in zip(slates, later, strict=True) if is_later is follows])
            )
            for follows, policy in ((False, self.first), (True, self.later))
        }
        return [next(turns[follows]) for follows in later]


def _scored(slate: Slate, results: Sequence[PairScore], seconds: float) -> Turn[ScoredJudgement]:
    """A slate's turn. A passage that could not be scored, or whose score is no number, is missing from the verdict."""
    errors = [result.error for result in results if result.error is not None]
    scores = [r.score if r.error is None and math.isfinite(r.score) else None for r in results]
    lost = scores.count(None)
    verdict = ScoredJudgement.of(scores, problems=(f"{lost} of {len(slate)} passages got no score",) if lost else ())
    truncated = tuple(i for i, result in enumerate(results) if result.truncated)
    seen = Slate(slate.query, slate.candidates, truncated) if truncated else slate
    usage = _shared(Usage.total(result.usage for result in results), seconds, 1)
    return Turn(seen, verdict, (), "", usage, errors[0] if errors else None)


def pair_of(query: Query, document: Document) -> Pair:
    """What a cross-encoder reads: the query after its instruction, if it has one, and the passage after its title."""
    asked = f"{query.instruction} {query.text}" if query.instruction else query.text
    return Pair(asked, document.full_text)
