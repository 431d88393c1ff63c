"""Pointwise prompts: one passage at a time, a score for it comes back, comparable across passages.

:class:`PointwiseYesNo` reads the share of "yes" (monoT5's idea, arXiv 2003.06713); :class:`PointwiseRating` an integer
from 0 to 10 or its expectation (ERank, arXiv 2509.00520); :class:`QueryLikelihood` how likely the passage makes the
query (UPR, arXiv 2204.07496).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from shortlist.errors import InvalidInput
from shortlist.text.base import PromptBase
from shortlist.text.fence import clean
from shortlist.text.language import Language, OneOf, after_reasoning
from shortlist.text.likelihood import shares_of
from shortlist.text.messages import asked, conversation, shown
from shortlist.text.parsing import NOT_ASKED, unwrap
from shortlist.text.reasoning import Reply, split_reply, written
from shortlist.types import Messages, ScoredJudgement, Slate, Status

TOP = 10
"""Ratings run from 0 to this."""
RATINGS = tuple(str(rating) for rating in range(TOP + 1))

_JUDGE = "You judge whether a passage is relevant to a query."
_YES_NO = re.compile(r"(yes|no)(\s*[.,;:!\n—–-].*|(?<=yes)\b.*)?", re.IGNORECASE | re.DOTALL)
_RATING = re.compile(r"(?:(?:rating|score)\s?[:=]?\s?)?(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)(?:\s?/\s?10)?", re.IGNORECASE)
_NO_READING = "no {} in the reply"


def _passage(slate: Slate) -> str:
    return f"Passage: {shown(slate.candidates[0].document)}"


def _judgement(score: float | None, slate: Slate, reply: Reply, problem: str = "") -> ScoredJudgement:
    """The judgement of a slate of one; any other slate cannot be judged, and so is failed."""
    if len(slate) != 1:
        score, problem = None, f"a slate of {len(slate)} passages; this prompt reads one"
    problems = (*reply.problems, problem) if problem else reply.problems
    status = Status.FAILED if score is None else Status.REPAIRED if problems else Status.OK
    scores = [score] if len(slate) == 1 else [None] * len(slate)
    return ScoredJudgement.of(scores, status=status, reasoning=reply.reasoning, problems=problems)


@dataclass(frozen=True, kw_only=True)
class PointwiseYesNo(PromptBase):
    """Asks whether the passage is relevant. The score is P(yes) / (P(yes) + P(no)), in [0, 1].

    A reply in text scores 1 for yes and 0 for no. Where neither answer's likelihood is known, there is no score.
    """

    kind: ClassVar[str] = "pointwise-yes-no"
    slate_size: ClassVar[int | None] = 1
    passage_tokens: int = 512

    def render(self, slate: Slate, /) -> Messages:
        """The query, the passage, the question."""
        self._check(slate)
        question = "Is the passage relevant to the query? Answer yes or no."
        return conversation(_JUDGE, asked(slate.query), _passage(slate), question)

    def labels(self, slate: Slate, /) -> tuple[str, ...]:  # noqa: ARG002
        """Yes and no."""
        return ("yes", "no")

    def read(self, logprobs: Sequence[float], slate: Slate, /) -> ScoredJudgement:
        """The share of yes."""
        shares = shares_of(logprobs)
        if shares is None or len(shares) != 2:
            return _judgement(None, slate, Reply(None), "the likelihoods of yes and no are not known")
        return _judgement(shares[0], slate, Reply(""))

    def parse(self, text: str, slate: Slate, /) -> ScoredJudgement:
        """1 for yes, 0 for no."""
        reply = split_reply(text)
        plain = "" if reply.answer is None else unwrap(reply.answer)
        found = _YES_NO.fullmatch(plain)
        if found is None:
            return _judgement(None, slate, reply, _NO_READING.format("yes or no"))
        return _judgement(float(found[1].lower() == "yes"), slate, reply, NOT_ASKED if found[2] else "")

    def write(self, judgement: ScoredJudgement, /) -> str:
        """Yes from a half upwards, else no."""
        return "yes" if judgement.scores[0] >= 0.5 else "no"

    def language(self, slate: Slate, /) -> Language:
        """Yes or no."""
        return Language((OneOf("answer", self.labels(slate)),))

    def reply_tokens(self, slate: Slate, /) -> int:  # noqa: ARG002
        """A word."""
        return 8


@dataclass(frozen=True, kw_only=True)
class PointwiseRating(PromptBase):
    """Asks for an integer from 0 to 10; with ``reasoning``, in ``<answer>`` after ``<think>``.

    From likelihoods, normalised over the eleven integers, the score is their expectation, Σ v · Pr(v), or with
    ``scoring="product"`` the likeliest integer s times its probability, s · Pr(s), as ERank has it: that one is not
    monotone in belief (a sure 0 equals an unsure one). Both lie in [0, 10], as does an integer read from text. With
    ``reasoning`` the likelihoods are those behind a reply's :meth:`opening`.

    ``query_last`` gives scale and form first, then the passage, then the query. A causal model so reads the query with the
    passage in mind: how well the words of the query were to be expected tells of relevance before anything was learnt, and
    small models learn far faster from it. All prompts begin alike, which training and ``reuse_prefix`` read once.
    """

    kind: ClassVar[str] = "pointwise-rating"
    slate_size: ClassVar[int | None] = 1
    passage_tokens: int = 512
    scoring: Literal["expected", "product"] = "expected"
    reasoning: bool = False
    query_last: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scoring not in {"expected", "product"}:
            raise InvalidInput(f"scoring is {self.scoring!r}; give 'expected' or 'product'")

    def render(self, slate: Slate, /) -> Messages:
        """The query, the passage, the scale and the form of the reply; or scale and form, passage, query."""
        self._check(slate)
        scale = "Rate how relevant the passage is to the query, from 0 (not at all) to 10 (it answers the query fully)."
        form = (
            "First reason inside <think> </think>, then give the integer inside <answer> </answer>, in this form:\n"
            "<think> your reasoning </think>\n<answer> integer </answer>"
            if self.reasoning
            else "Reply with the integer only."
        )
        if self.query_last:
            return conversation(_JUDGE, scale, form, _passage(slate), asked(slate.query))
        return conversation(_JUDGE, asked(slate.query), _passage(slate), scale, form)

    def labels(self, slate: Slate, /) -> tuple[str, ...]:  # noqa: ARG002
        """The eleven integers."""
        return RATINGS

    def read(self, logprobs: Sequence[float], slate: Slate, /) -> ScoredJudgement:
        """The expected integer, or the likeliest times its probability."""
        shares = shares_of(logprobs)
        if shares is None or len(shares) != len(RATINGS):
            return _judgement(None, slate, Reply(None), "the likelihoods of the integers are not known")
        products = [rating * share for rating, share in enumerate(shares)]
        score = math.fsum(products) if self.scoring == "expected" else products[shares.index(max(shares))]
        return _judgement(score, slate, Reply(""))

    def parse(self, text: str, slate: Slate, /) -> ScoredJudgement:
        """The integer in the reply; decimals are read, and what lies outside 0 to 10 is clamped: both repairs."""
        reply = split_reply(text)
        reply = reply.held_to_tags() if self.reasoning else reply
        plain = "" if reply.answer is None else unwrap(reply.answer)
        found = _RATING.fullmatch(plain)
        if found is None:
            return _judgement(None, slate, reply, _NO_READING.format("rating"))
        score = min(max(float(found[1]), 0.0), float(TOP))
        return _judgement(score, slate, reply, "" if plain in RATINGS else NOT_ASKED)

    def opening(self, text: str, /) -> str | None:
        """The reply up to its integer; up to its answer, which is opened if need be, where none stands there.

        ``None`` where the reasoning never ended, and where there is neither reasoning, an answer in tags nor an integer.
        """
        reply = split_reply(text)
        if reply.answer is None:
            return None
        found = _RATING.fullmatch(unwrap(reply.answer))
        place = -1 if found is None else text.find(found[1], reply.start)
        if place >= 0:
            return text[:place]
        if reply.tagged:
            return text[: reply.start]
        return f"{text[: reply.start].rstrip()}\n<answer>" if reply.reasoned else None

    def write(self, judgement: ScoredJudgement, /) -> str:
        """The score, rounded; with the reasoning where the prompt asks for it."""
        rating = str(round(judgement.scores[0]))
        return written(judgement.reasoning, rating) if self.reasoning else rating

    def language(self, slate: Slate, /) -> Language:
        """One of the eleven integers, with ``reasoning`` after any reasoning."""
        rating = OneOf("rating", self.labels(slate))
        return after_reasoning((rating,)) if self.reasoning else Language((rating,))

    def reply_tokens(self, slate: Slate, /) -> int:  # noqa: ARG002
        """A number, and 1,024 tokens of reasoning (the published budget)."""
        return 1024 + 32 if self.reasoning else 8


@dataclass(frozen=True, kw_only=True)
class QueryLikelihood(PromptBase):
    """Shows the passage and asks for a query that it answers; the score is the log-likelihood of the query at hand.

    Summed over the query's tokens: passages can be compared for one query, not across queries.
    """

    kind: ClassVar[str] = "query-likelihood"
    slate_size: ClassVar[int | None] = 1
    passage_tokens: int = 256

    def render(self, slate: Slate, /) -> Messages:
        """The passage, and the request for a query."""
        self._check(slate)
        request = "Write one search query that this passage answers. Reply with the query only."
        return conversation("You write search queries.", _passage(slate), request)

    def labels(self, slate: Slate, /) -> tuple[str, ...]:
        """The query."""
        return (clean(slate.query.text).strip(),)

    def read(self, logprobs: Sequence[float], slate: Slate, /) -> ScoredJudgement:
        """The query's log-likelihood, at most 0."""
        if len(logprobs) != 1 or not math.isfinite(logprobs[0]):
            return _judgement(None, slate, Reply(None), "the likelihood of the query is not known")
        return _judgement(float(logprobs[0]), slate, Reply(""))
