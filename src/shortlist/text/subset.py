"""The dynamic prompt: which passages are needed to answer, in order; maybe none (DynamicRAG, arXiv 2505.07233)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from shortlist.text.base import PromptBase
from shortlist.text.language import Items, Language
from shortlist.text.messages import SCORED, asked, conversation, each_asked, identifier, listed
from shortlist.text.parsing import NOT_ASKED, UNREADABLE, failed, named, order_of, read_list, status_of, unwrap
from shortlist.text.reasoning import split_reply
from shortlist.types import Judgement, Messages, Slate

_NONE = re.compile(r"\[?none\]?", re.IGNORECASE)
_NONE_OF = re.compile(r"(?:none\b|no (?:passages?|documents?)\b)[^0-9\[\]]{0,200}", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Subset(PromptBase):
    """Asks for the passages that suffice to answer, most useful first: ``[3], [1]``, or ``None``.

    The judgement's ``cutoff`` is how many were named. The others follow in the slate's order: they were judged not to
    be needed, so they are not ``missing``.
    """

    kind: ClassVar[str] = "subset"
    passage_tokens: int = 192
    first_stage_scores: bool = False
    query_each: bool = False

    def render(self, slate: Slate, /) -> Messages:
        """The passages, then the query and the form of the reply."""
        role, hint = (
            "You choose the passages that are needed to answer a query.",
            SCORED if self.first_stage_scores else "",
        )
        form = (
            "Name the passages that together suffice to answer the query, most useful first, and stop as soon as they "
            "do. Reply with their numbers only, like this: [number], [number], or with None if no passage helps."
        )
        if self.query_each:
            return conversation(role, form, hint, each_asked(slate, scores=self.first_stage_scores))
        here = f"Here are {len(slate)} passages, each with its number in brackets."
        return conversation(role, here, listed(slate, scores=self.first_stage_scores), asked(slate.query), hint, form)

    def parse(self, text: str, slate: Slate, /) -> Judgement:
        """The passages named, and after the cutoff all others."""
        reply, n = split_reply(text), len(slate)
        chosen = None if reply.answer is None else _chosen(reply.answer)
        if chosen is None:
            return failed(n, reply, UNREADABLE)
        identifiers, problems = chosen
        positions, wrong = named(identifiers, n)
        problems = (*reply.problems, *problems, *wrong)
        if identifiers and not positions:
            return failed(n, reply._replace(problems=problems))
        return Judgement(
            order=order_of(positions, n)[0],
            cutoff=len(positions),
            status=status_of(problems, ()),
            reasoning=reply.reasoning,
            problems=problems,
        )

    def write(self, judgement: Judgement, /) -> str:
        """A well-formed reply that names the judgement's order down to its cutoff."""
        return ", ".join(identifier(i) for i in judgement.order[: judgement.cutoff]) or "None"

    def language(self, slate: Slate, /) -> Language | None:
        """Every ordered subset, or None."""
        names = tuple(identifier(i) for i in range(len(slate)))
        return Language((Items("chosen", names, ", ", least=1, most=len(names), none="None"),)) if names else None

    def reply_tokens(self, slate: Slate, /) -> int:
        """Up to eight tokens a passage."""
        return 16 + 8 * len(slate)


def _chosen(answer: str) -> tuple[list[str], tuple[str, ...]] | None:
    """The identifiers named, none of them for "None"; with what was wrong."""
    plain = unwrap(answer)
    if _NONE.fullmatch(plain):
        return [], ()
    if _NONE_OF.fullmatch(plain):
        return [], (NOT_ASKED,)
    listed = read_list(answer, ",")
    return None if listed is None else (listed.identifiers, () if listed.asked else (NOT_ASKED,))
