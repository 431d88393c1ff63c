"""From lessons to rows of token ids: what TRL learns from is, byte for byte, what the served model reads.

One place renders, cuts and tokenises for imitation, preference, reinforcement and (through
:class:`~shortlist.rerankers.policies.TextPolicy`, which does the same) evaluation and serving.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shortlist.backends.chat_tokens import ChatTokens
from shortlist.data.lessons import Lesson, Target
from shortlist.errors import InvalidInput
from shortlist.reading.base import Reading
from shortlist.reading.readers import fit
from shortlist.text.answering import AnswerShort
from shortlist.text.messages import identifier
from shortlist.text.truncation import cut_slate
from shortlist.training.text.forms import completion
from shortlist.types import Messages, Slate

_READER = AnswerShort()
IGNORED = -100
"""The label of a token that is not learnt."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt: its text after the chat template, its ids, and the slate as it is shown (cut)."""

    text: str
    ids: tuple[int, ...]
    shown: Slate


@dataclass(frozen=True)
class Renderer:
    """Asks as the served reranker does: cut to the budgets by the model's tokenizer, render, template, tokenise."""

    prompt: Any
    tokens: ChatTokens

    def ask(self, slate: Slate) -> Asked:
        """The prompt for a slate."""
        shown = cut_slate(slate, self.prompt.passage_tokens, self.tokens.cut, query_tokens=self.prompt.query_tokens)
        text = self.tokens.render(self.prompt.render(shown))
        return Asked(text, tuple(self.tokens.prompt(text)), shown)

    def reply(self, asked: Asked, text: str) -> list[int]:
        """A reply's ids as they follow the prompt, and the token that ends it."""
        return [*self.tokens.label_after(asked.text, text), self.end]

    def names(self, asked: Asked) -> list[int]:
        """For each passage, the place in the prompt's ids at which its name is told whole, behind its text.

        Raises :class:`InvalidInput` for a prompt that does not name them there, and a tokenizer that does not tell places.
        """
        tokenizer = self.tokens.tokenizer
        if not getattr(self.prompt, "query_each", False) or not tokenizer.is_fast:
            raise InvalidInput("data.hints is for prompts with query_each, and for fast tokenizers")
        templated = getattr(tokenizer, "chat_template", None) is not None
        told = tokenizer(asked.text, add_special_tokens=not templated, return_offsets_mapping=True)["offset_mapping"]
        ends, at = [end for _, end in told], 0
        places = []
        for i in range(len(asked.shown)):
            name = f"\n{identifier(i)}"
            at = asked.text.index(name, at) + len(name)
            places.append(bisect.bisect_left(ends, at))
        return places

    @property
    def end(self) -> int:
        """The token that ends a reply."""
        found = self.tokens.tokenizer.eos_token_id
        if found is None:
            raise InvalidInput(
                "the tokenizer has no end-of-sequence token; text policies need one to learn when to stop"
            )
        return int(found)


# ------------------------------------------------------------------------------------------------ rows


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows for TRL, and the lessons that gave none with the reason."""

    rows: list[dict[str, Any]]
    left_out: list[str]

    def check(self, what: str) -> None:
        """Raise :class:`InvalidInput` where there are none at all."""
        if not self.rows:
            why = self.left_out[0] if self.left_out else "there are no lessons"
            raise InvalidInput(f"no lesson can be learnt from by {what}: {why}")


def imitation(renderer: Renderer, lessons: Sequence[Lesson], *, most: int | None = None, hints: bool = False) -> Rows:
    """SFT rows: ``input_ids`` (prompt and reply) and ``labels`` (the prompt ignored; with ``hints``, see :func:`hinted`)."""
    return _rows(lessons, lambda lesson: _imitated(renderer, lesson, hints=hints), most)


def preference(renderer: Renderer, lessons: Sequence[Lesson], *, most: int | None = None) -> Rows:
    """DPO rows: ``prompt_ids``, ``chosen_ids``, ``rejected_ids``; from lessons whose target has a rejected one."""
    return _rows(lessons, lambda lesson: _preferred(renderer, lesson), most)


def reinforcement(renderer: Renderer, lessons: Sequence[Lesson], *, most: int | None = None) -> Rows:
    """GRPO rows: the ``prompt`` as text, and the ``place`` of its lesson among those that have a row."""
    return _rows(lessons, lambda lesson: _prompted(renderer, lesson), most)


def _rows(lessons: Sequence[Lesson], make: Any, most: int | None) -> Rows:
    rows, left_out = [], []
    for place, lesson in enumerate(lessons):
        try:
            row = make(lesson)
        except InvalidInput as problem:
            left_out.append(f"query {lesson.slate.query.id!r}: {problem}")
            continue
        length = row.pop("length")
        if most is not None and length > most:
            left_out.append(f"query {lesson.slate.query.id!r}: its prompt has {length} tokens, more than {most}")
            continue
        rows.append({**row, "lesson": place})
    return Rows(rows, left_out)


def _imitated(renderer: Renderer, lesson: Lesson, *, hints: bool) -> dict[str, Any]:
    if lesson.target is None:
        raise InvalidInput("it has no target; shortlist data imitate makes one")
    asked = renderer.ask(lesson.slate)
    reply = renderer.reply(asked, completion(renderer.prompt, lesson.target, asked.shown))
    row = _learnt(asked.ids, reply)
    return hinted(row, renderer, asked, lesson.target) if hints else row


def hinted(row: dict[str, Any], renderer: Renderer, asked: Asked, target: Target) -> dict[str, Any]:
    """The row with more to learn: at each passage's name in the prompt, the first digit of what the target gives it.

    Where the name stands behind passage and query (``query_each``) the model has read all that it needs to know; to be told
    so there, once a passage, is far easier to learn from than a reply that has to fetch it. The prompt stays as it is, and the
    served model is asked nothing more.
    """
    labels = list(row["labels"])
    for place, level in zip(renderer.names(asked), levels(target, len(asked.shown)), strict=True):
        first, *_ = renderer.tokens.label("", str(level))
        labels[place + 1] = first  # what stands at a place is told from the one before
    return {**row, "labels": labels}


def levels(target: Target, n: int) -> list[int]:
    """What a target gives each of ``n`` passages, from 0 to 10: its scores, else 10 for its subset, else by its order.

    >>> levels(Target(order=(2, 0, 1)), 3)
    [5, 0, 10]
    """
    if target.scores is not None:
        return [round(score) for score in target.scores]
    if target.subset is not None:
        return [10 * (i in target.subset) for i in range(n)]
    rank = {place: rank for rank, place in enumerate(target.order)}
    return [round(10 - 10 * rank.get(i, n - 1) / max(1, n - 1)) for i in range(n)]


def _learnt(prompt: Sequence[int], reply: Sequence[int]) -> dict[str, Any]:
    labels = [*[IGNORED] * len(prompt), *reply]
    return {"input_ids": [*prompt, *reply], "labels": labels, "length": len(prompt)}


def _preferred(renderer: Renderer, lesson: Lesson) -> dict[str, Any]:
    if lesson.target is None or lesson.target.rejected is None:
        raise InvalidInput("it has no target with a rejected one; give one, or loss.own_pairs=true")
    asked = renderer.ask(lesson.slate)
    chosen, rejected = (
        renderer.reply(asked, completion(renderer.prompt, target, asked.shown))
        for target in (lesson.target, lesson.target.rejected)
    )
    if chosen == rejected:
        raise InvalidInput("its target and the rejected one are the same reply")
    return {"prompt_ids": list(asked.ids), "chosen_ids": chosen, "rejected_ids": rejected, "length": len(asked.ids)}


def _prompted(renderer: Renderer, lesson: Lesson) -> dict[str, Any]:
    asked = renderer.ask(lesson.slate)
    return {"prompt": asked.text, "length": len(asked.ids)}


# ------------------------------------------------------------------------------------------------ the generator's part


def answering(renderer: Renderer, lessons: Sequence[Lesson], reader: AnswerShort = _READER) -> list[dict[str, Any]]:
    """SFT rows that answer from what a subset target keeps: for a model that reranks and answers (DynamicRAG).

    The first gold answer is learnt; lessons without a subset, without passages in it, or without answers give none.
    """
    rows = []
    for place, lesson in enumerate(lessons):
        subset = lesson.target.subset if lesson.target is not None else None
        if not subset or not lesson.slate.query.answers:
            continue
        kept = tuple(lesson.slate.documents[i] for i in subset)
        slate = fit(Reading(lesson.slate.query, kept), reader, _Cutting(renderer.tokens))
        messages: Messages = reader.render(slate.query, slate.documents)
        text = renderer.tokens.render(messages)
        asked = Asked(text, tuple(renderer.tokens.prompt(text)), slate)
        row = _learnt(asked.ids, renderer.reply(asked, reader.write(lesson.slate.query.answers[0])))
        row.pop("length")
        rows.append({**row, "lesson": place})
    return rows


@dataclass(frozen=True)
class _Cutting:
    """A backend as far as cutting goes."""

    tokens: ChatTokens
    identity: str = "tokenizer"

    def cut(self, text: str, max_tokens: int, /) -> tuple[str, bool]:
        """As the tokenizer counts."""
        return self.tokens.cut(text, max_tokens)
