"""The pairwise prompt: two passages are shown, the better comes back (PRP, arXiv 2306.17563)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from shortlist.text.base import PromptBase
from shortlist.text.language import Language, OneOf
from shortlist.text.messages import asked, conversation, letter, lettered, listed
from shortlist.text.reasoning import split_reply
from shortlist.text.setwise import choice_from, read_choice
from shortlist.types import Choice, Messages, Slate

_PAIR = 2


@dataclass(frozen=True, kw_only=True)
class PairwiseChoice(PromptBase):
    """Asks which of two passages is the more relevant, A or B. Likelihoods give a share to each.

    Models favour a place: strategies that care ask both ways round.
    """

    kind: ClassVar[str] = "pairwise"
    slate_size: ClassVar[int | None] = _PAIR
    passage_tokens: int = 256

    def render(self, slate: Slate, /) -> Messages:
        """The query, both passages, the question."""
        self._check(slate)
        return conversation(
            "You compare two passages by how well they answer a query.",
            asked(slate.query),
            listed(slate, lettered),
            "Which passage is more relevant to the query? Answer A or B.",
        )

    def labels(self, slate: Slate, /) -> tuple[str, ...]:  # noqa: ARG002
        """A and B."""
        return (letter(0), letter(1))

    def read(self, logprobs: Sequence[float], slate: Slate, /) -> Choice:
        """The likelier, with both shares; A if they are equal."""
        return choice_from(logprobs if self._fits(slate) else (), _PAIR)

    def parse(self, text: str, slate: Slate, /) -> Choice:
        """The passage that the reply names."""
        return read_choice(split_reply(text), _PAIR if self._fits(slate) else 0)

    def write(self, choice: Choice, /) -> str:
        """A or B."""
        return "" if choice.best is None else letter(choice.best)

    def language(self, slate: Slate, /) -> Language:
        """A or B."""
        return Language((OneOf("best", self.labels(slate)),))

    def reply_tokens(self, slate: Slate, /) -> int:  # noqa: ARG002
        """A letter, and some leeway."""
        return 8
