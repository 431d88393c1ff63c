"""Setwise prompts: a few passages are shown, the best of them comes back (Setwise, arXiv 2310.09497).

:class:`SetwiseReasoning` has the model think first (Rank-R1, arXiv 2503.06034).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from shortlist.text.base import PromptBase
from shortlist.text.language import Language, OneOf, after_reasoning
from shortlist.text.likelihood import shares_of
from shortlist.text.messages import asked, conversation, letter, lettered, listed
from shortlist.text.parsing import NOT_ASKED, position, unwrap
from shortlist.text.reasoning import Reply, split_reply, written
from shortlist.types import Choice, Messages, Slate, Status

_WHOLE = re.compile(r"(?:(?i:passage)\s{1,3})?[\[(]?([A-Za-z]{1,3})[\])]?")
_LEAD = re.compile(r"(?:(?i:passage)\s)?(?:\[([A-Z]{1,3})\](?!\s?[>,])|([A-Z]{1,3})(?=\s?[.:\n]|\)))")
_PASSAGE_LEAD = re.compile(r"(?i:passage)\s\[?([A-Z]{1,3})\]?(?=\s(?i:is|answers|best)\b)")
_SAID = re.compile(
    r"(?i:answer|choice|best|relevant)(?:\s(?i:passage|one|answer|choice))?\s?(?i::|=|\bis\b)\s?\*{0,2}"
    r"(?:(?i:passage)\s)?[\[(]?([A-Z]{1,3})(?![\w'’])(?!\s[a-z])"
)


@dataclass(frozen=True, kw_only=True)
class SetwiseChoice(PromptBase):
    """Asks which passage is the most relevant; the reply is its letter. Likelihoods give a share to each."""

    kind: ClassVar[str] = "setwise"
    passage_tokens: int = 128

    def render(self, slate: Slate, /) -> Messages:
        """The query, the passages by letter, the question."""
        return conversation(
            "You choose the passage that answers a query best.",
            asked(slate.query),
            listed(slate, lettered),
            "Which passage is the most relevant to the query? Reply with its letter only.",
        )

    def labels(self, slate: Slate, /) -> tuple[str, ...]:
        """The letters."""
        return tuple(letter(i) for i in range(len(slate)))

    def read(self, logprobs: Sequence[float], slate: Slate, /) -> Choice:
        """The likeliest, with the shares of all; the first of equals."""
        return choice_from(logprobs, len(slate))

    def parse(self, text: str, slate: Slate, /) -> Choice:
        """The passage that the reply names."""
        return read_choice(split_reply(text), len(slate))

    def write(self, choice: Choice, /) -> str:
        """The letter chosen."""
        return "" if choice.best is None else letter(choice.best)

    def language(self, slate: Slate, /) -> Language | None:
        """The letters."""
        return Language((_letters_of(slate),)) if len(slate) else None

    def reply_tokens(self, slate: Slate, /) -> int:  # noqa: ARG002
        """A letter, and some leeway."""
        return 8


@dataclass(frozen=True, kw_only=True)
class SetwiseReasoning(PromptBase):
    """Asks to weigh the passages in ``<think>`` first, then for the letter of the most relevant in ``<answer>``."""

    kind: ClassVar[str] = "setwise-reasoning"
    passage_tokens: int = 128

    def render(self, slate: Slate, /) -> Messages:
        """The query, the passages by letter, the question and the form of the reply."""
        return conversation(
            "You choose the passage that answers a query best, and you weigh each passage with care before you do.",
            asked(slate.query),
            listed(slate, lettered),
            "Which passage is the most relevant to the query? First reason inside <think> </think>, then give its letter "
            "inside <answer> </answer>, in this form:\n<think> your reasoning </think>\n<answer> letter </answer>",
        )

    def parse(self, text: str, slate: Slate, /) -> Choice:
        """The passage that the answer names; a reply whose reasoning was cut off names none."""
        return read_choice(split_reply(text).held_to_tags(), len(slate))

    def write(self, choice: Choice, /) -> str:
        """The letter chosen, after the reasoning."""
        return written(choice.reasoning, "" if choice.best is None else letter(choice.best))

    def language(self, slate: Slate, /) -> Language | None:
        """Any reasoning, then a letter."""
        return after_reasoning((_letters_of(slate),)) if len(slate) else None

    def reply_tokens(self, slate: Slate, /) -> int:  # noqa: ARG002
        """Room for 2,048 tokens of reasoning, and a letter."""
        return 2048 + 16


def _letters_of(slate: Slate) -> OneOf:
    return OneOf("best", tuple(letter(i) for i in range(len(slate))))


# ------------------------------------------------------------------------------------------------ reading


def choice_from(logprobs: Sequence[float], n: int) -> Choice:
    """The choice among ``n`` passages that log-likelihoods make; failed where none is known."""
    shares = shares_of(logprobs) if len(logprobs) == n else None
    if shares is None:
        return Choice(best=None, status=Status.FAILED, problems=("the likelihoods of the letters are not known",))
    return Choice(best=shares.index(max(shares)), shares=shares)


def read_choice(reply: Reply, n: int) -> Choice:
    """The passage that a reply names by letter, ``None`` if it names none or more than one.

    Read are: a letter alone, in brackets or after *passage*; a reply that begins with one (``B. Because …``); and
    *the answer is B*. An "A" in prose is a word.
    """
    letters, asked_for = _letters(reply.answer or "")
    places = {place for name in letters if (place := position(_column(name), n)) is not None}
    if len(places) == 1:
        problems = reply.problems if asked_for else (*reply.problems, NOT_ASKED)
        status = Status.REPAIRED if problems else Status.OK
        return Choice(best=places.pop(), status=status, reasoning=reply.reasoning, problems=problems)
    why = f"names {len(places)} passages" if places else "names no passage of the slate"
    problems = (*reply.problems, f"the reply {why}")
    return Choice(best=None, status=Status.FAILED, reasoning=reply.reasoning, problems=problems)


def _letters(answer: str) -> tuple[set[str], bool]:
    """The letters named, and whether in the form asked for: ``B`` or ``[B]``."""
    stated = answer.strip()
    plain = unwrap(stated)
    whole = _WHOLE.fullmatch(plain)
    if whole is not None:
        return {whole[1].upper()}, stated in {whole[1].upper(), f"[{whole[1].upper()}]"}
    lead = _LEAD.match(plain) or _PASSAGE_LEAD.match(plain)
    if lead is not None:
        return {lead[1] or lead[2]}, False
    return set(_SAID.findall(plain)), False


def _column(name: str) -> int:
    """A = 1 … Z = 26, AA = 27: the inverse of :func:`~shortlist.text.messages.letter`."""
    number = 0
    for sign in name:
        number = number * 26 + ord(sign) - ord("A") + 1
    return number
