"""Listwise prompts: a whole slate is shown, an order of it comes back.

:class:`Listwise` asks for the order at once (RankGPT, arXiv 2304.09542); :class:`ListwiseReasoning` has the model think
first (REARANK, arXiv 2505.20046). Both can show first-stage scores (InsertRank, arXiv 2506.14086).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from shortlist.text.base import PromptBase
from shortlist.text.language import Items, Language, after_reasoning
from shortlist.text.messages import SCORED, asked, conversation, each_asked, identifier, listed
from shortlist.text.parsing import read_ranking
from shortlist.text.reasoning import split_reply, written
from shortlist.types import Judgement, Messages, Slate

_FORM = "[number] > [number] > [number]"  # small models copy any real or empty identifiers that stand here


@dataclass(frozen=True, kw_only=True)
class Listwise(PromptBase):
    """Asks for the whole order, best first: ``[2] > [1] > [3]``; no reasoning (a model may think all the same).

    ``query_each`` says what is wanted first, then each passage with the query and its number behind it, as in
    :func:`~shortlist.text.messages.each_asked`.
    """

    kind: ClassVar[str] = "listwise"
    passage_tokens: int = 128
    first_stage_scores: bool = False
    query_each: bool = False

    def render(self, slate: Slate, /) -> Messages:
        """The query, the passages, the query again, and the form of the reply."""
        role, hint = "You rank passages by how well they answer a query.", SCORED if self.first_stage_scores else ""
        form = (
            f"Rank all {len(slate)} passages by relevance to the query, most relevant first. Reply with the {len(slate)} "
            f"numbers only, each once, joined like this: {_FORM}"
        )
        if self.query_each:
            return conversation(role, form, hint, each_asked(slate, scores=self.first_stage_scores))
        passages = listed(slate, scores=self.first_stage_scores)
        here = f"Here are {len(slate)} passages, each with its number in brackets."
        return conversation(role, asked(slate.query), here, passages, asked(slate.query), hint, form)

    def parse(self, text: str, slate: Slate, /) -> Judgement:
        """The order that the reply states; passages it leaves out come last, in the slate's order, as ``missing``."""
        return read_ranking(split_reply(text), len(slate))

    def write(self, judgement: Judgement, /) -> str:
        """A well-formed reply that says what the judgement says."""
        return ranking_text(judgement)

    def language(self, slate: Slate, /) -> Language | None:
        """Every order of the whole slate."""
        return Language((_orders(len(slate)),)) if len(slate) else None

    def reply_tokens(self, slate: Slate, /) -> int:
        """Up to eight tokens a passage: brackets, digits, a sign."""
        return 16 + 8 * len(slate)


@dataclass(frozen=True, kw_only=True)
class ListwiseReasoning(PromptBase):
    """Asks to weigh each passage in ``<think>`` first, then for the order in ``<answer>``.

    ``query_each`` says what is wanted first, as :class:`Listwise` does.
    """

    kind: ClassVar[str] = "listwise-reasoning"
    passage_tokens: int = 128
    first_stage_scores: bool = False
    query_each: bool = False

    def render(self, slate: Slate, /) -> Messages:
        """The query, the passages, the query again, and the form of the reply."""
        role = (
            "You are a research librarian who ranks passages for a reader's query. You weigh each passage with care "
            "before you settle on an order."
        )
        form = (
            "First reason inside <think> </think>: say of every passage what it gives the query, and compare them. "
            f"Then give the order of all {len(slate)} passages inside <answer> </answer>, most relevant first, each "
            f"number once, in this form:\n<think> your reasoning </think>\n<answer> {_FORM} </answer>"
        )
        hint = SCORED if self.first_stage_scores else ""
        if self.query_each:
            return conversation(role, form, hint, each_asked(slate, scores=self.first_stage_scores))
        here = f"Here are {len(slate)} passages, each with its number in brackets."
        passages = listed(slate, scores=self.first_stage_scores)
        return conversation(role, asked(slate.query), here, passages, hint, asked(slate.query), form)

    def parse(self, text: str, slate: Slate, /) -> Judgement:
        """The order in the answer; a reply whose reasoning was cut off has none."""
        return read_ranking(split_reply(text).held_to_tags(), len(slate))

    def write(self, judgement: Judgement, /) -> str:
        """A well-formed reply that says what the judgement says, reasoning included."""
        return written(judgement.reasoning, ranking_text(judgement))

    def language(self, slate: Slate, /) -> Language | None:
        """Any reasoning, then every order of the whole slate."""
        return after_reasoning((_orders(len(slate)),)) if len(slate) else None

    def reply_tokens(self, slate: Slate, /) -> int:
        """Room for 2,048 tokens of reasoning (the published budget), and the order."""
        return 2048 + 16 + 8 * len(slate)


def ranking_text(judgement: Judgement) -> str:
    """``[2] > [1] > [3]``, without the passages that the judgement misses."""
    missing = set(judgement.missing)
    return " > ".join(identifier(i) for i in judgement.order if i not in missing)


def _orders(n: int) -> Items:
    return Items("order", tuple(identifier(i) for i in range(n)), " > ", least=n, most=n)
