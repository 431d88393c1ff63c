"""The reader's prompt: a question and the kept passages in, a short answer out, or none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from shortlist.errors import InvalidInput
from shortlist.text.base import GOLDEN, PromptBase
from shortlist.text.fence import clean
from shortlist.text.messages import asked, conversation, identifier, shown
from shortlist.text.reasoning import split_reply
from shortlist.types import Document, Messages, Query, Status

_PREFIX = re.compile(r"(?:the\s)?(?:short\s)?answer(?:(?:\sis)?\s?:|\sis\b)\s?", re.IGNORECASE)
_QUOTES = '*`"“”'
_WORDS = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class AnswerShort(PromptBase):
    """Asks a question over passages; the answer is a few words.

    ``allow_abstain``: the model is told to reply ``abstention`` when the passages hold no answer; that reads as
    ``None``. ``closed_book`` says what a reader does when there are no passages at all: ask the model what it knows,
    or (the default) abstain without asking.
    """

    kind: ClassVar[str] = "answer-short"
    passage_tokens: int = 256
    allow_abstain: bool = True
    closed_book: bool = False
    abstention: str = "no answer"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _WORDS.search(self.abstention):
            raise InvalidInput(f"abstention is {self.abstention!r}; give a phrase of at least one word")

    def render(self, query: Query, documents: Sequence[Document], /) -> Messages:
        """The passages, if any, and the question; without passages the model is asked what it knows."""
        source = "the passages" if documents else "what you know"
        lines = "\n".join(f"{identifier(i)} {shown(document)}" for i, document in enumerate(documents))
        when = f"the answer is not in {source}" if documents else "you do not know the answer"
        abstain = f' If {when}, you reply "{self.abstention}".' if self.allow_abstain else ""
        return conversation(
            f"You answer questions from {source}. You reply with the answer alone: a name, a date, a number, a short phrase,"
            f" yes or no. You never write a sentence.{abstain}",
            lines,
            asked(query, "Question"),
            "Short answer (1 to 5 words):",
        )

    def parse(self, text: str, /) -> tuple[str | None, Status, tuple[str, ...]]:
        """The answer (``None``: the model abstained, or the reply is empty: failed), how it was read, what was wrong.

        Of a longer reply the first line is the answer. Total: any string is read.
        """
        reply = split_reply(text)
        if reply.answer is None:
            return None, Status.FAILED, reply.problems
        line, more = _first_line(reply.answer)
        if not line:
            return None, Status.FAILED, (*reply.problems, "the reply is empty")
        problems = (*reply.problems, *(("more than one line; the first was read",) if more else ()))
        status = Status.REPAIRED if problems else Status.OK
        if self.allow_abstain and self._abstains(line):
            return None, status, problems
        return line, status, problems

    def write(self, answer: str | None, /) -> str:
        """A well-formed reply that gives the answer."""
        return self.abstention if answer is None else answer

    def reply_tokens(self) -> int:
        """A few words."""
        return 48

    def _abstains(self, line: str) -> bool:
        """The phrase, whatever its case and stops, alone or followed by *is*, *in*, *found* and the like."""
        phrase, said = ([word.lower() for word in _WORDS.findall(part[:400])] for part in (self.abstention, line))
        more = said[len(phrase) :]
        return said[: len(phrase)] == phrase and (not more or more[0] in _GOES_ON)

    def _shown(self) -> list[Any]:
        return [list(self.render(GOLDEN.query, documents)) for documents in (GOLDEN.documents, ())]


_GOES_ON = frozenset({"is", "was", "can", "could", "in", "found", "available", "given", "provided", "from"})


def _first_line(answer: str) -> tuple[str, bool]:
    """The first line with anything on it, less "Answer:" and quotes; and whether more follows."""
    first, _, rest = clean(answer).strip().partition("\n")
    bare = _bare(first)
    if not bare and rest:  # "Answer:" stood on a line of its own
        first, _, rest = rest.strip().partition("\n")
        bare = _bare(first)
    return bare, bool(rest.strip())


def _bare(line: str) -> str:
    return _unprefixed(line.strip().strip(_QUOTES).strip()).strip(_QUOTES).strip()


def _unprefixed(line: str) -> str:
    found = _PREFIX.match(line)
    return line[found.end() :] if found else line
