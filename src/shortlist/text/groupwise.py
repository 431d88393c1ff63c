"""The groupwise prompt: a group is shown, a score for each passage comes back (GroupRank, arXiv 2511.11653)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from shortlist.errors import InvalidInput
from shortlist.text.base import PromptBase
from shortlist.text.grammar import json_schema
from shortlist.text.language import Language, OneOf, Part, Said, after_reasoning
from shortlist.text.messages import asked, conversation, each_asked, identifier, listed
from shortlist.text.parsing import NOT_ASKED, counted, integer, missed, position, status_of
from shortlist.text.reasoning import Reply, split_reply, written
from shortlist.types import Messages, ScoredJudgement, Slate, Status

TOP = 10
"""Scores run from 0 to this."""
INTEGERS = tuple(str(score) for score in range(TOP + 1))

_ROLE = "You grade passages by how well they serve a query; usefulness comes first, relevance second."
_TERSE_ROLE = "You grade passages."
_RUBRIC = """Score each passage from 0 to 10 by how useful it is for answering the query:
9-10: answers it fully; 7-8: answers most of it; 5-6: gives a part of the answer; 3-4: same subject, little help; \
1-2: barely related; 0: no use."""

_NUMBER = r"-?[0-9]++(?:\.[0-9]++)?+"
_PAIR = re.compile(
    r"(?<![\w.\-])(-?[0-9]++)\s{0,4}+\]{0,2}+\s{0,4}+[\"']?+\s{0,4}+:\s{0,4}+(\"[^\"\n]{0,64}+\"|[^\s,}\"]{1,400}+)"
)
_ASKED = re.compile(rf"(?:\s*+\"\[[0-9]++\]\"\s*+:\s*+{_NUMBER}\s*+(?:,(?=\s*+\")|$))++")
_LINE = re.compile(rf"[ \t*•-]{{0,8}}+\[(-?[0-9]++)\][ \t*]{{0,8}}+[:=][ \t*]{{0,8}}+({_NUMBER}(?:/10)?+)[ \t*.,;]*+")
_VALUE = re.compile(rf"({_NUMBER})(?: ?/ ?10)?+")
_TERSE = re.compile(r"\[([0-9]{1,9}+)\]\s{0,4}+[:=]?+\s{0,4}+([0-9]{1,9}+)[\s,;]*+")
_ROUND = re.compile(r"(?:```+(?:json)?)?+|```+", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class GroupScores(PromptBase):
    """Asks for a score from 0 to 10 for every passage of a group, as JSON: ``{"[1]": 5, "[2]": 3}``.

    With ``reasoning``, the model reasons in ``<reason>`` first and answers in ``<answer>``.

    ``terse``, for models that learn from it: no rubric, and a reply without quotes and commas, ``[1]7 [2]0 [3]10``: a score
    is told from the same token as the passage's name in the prompt, which small models take to.
    ``query_each`` says what is wanted first, then each passage with the query and its number behind it, as in
    :func:`~shortlist.text.messages.each_asked`.
    """

    kind: ClassVar[str] = "group-scores"
    passage_tokens: int = 512
    reasoning: bool = False
    terse: bool = False
    query_each: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.terse and self.reasoning:
            raise InvalidInput("terse and reasoning exclude each other: a terse reply is the scores alone")

    def render(self, slate: Slate, /) -> Messages:
        """The query, the passages, the rubric, and the form of the reply."""
        role, form = (_TERSE_ROLE, _terse_form(len(slate))) if self.terse else (_ROLE, self._form())
        if self.query_each:
            return conversation(role, form, each_asked(slate))
        if self.terse:
            return conversation(role, form, asked(slate.query), listed(slate), asked(slate.query))
        here = f"Here are {len(slate)} passages, each with its number in brackets."
        return conversation(role, asked(slate.query), here, listed(slate), asked(slate.query), form)

    def _form(self) -> str:
        return f"{_RUBRIC}\n\n{_FORM_REASONED if self.reasoning else _FORM}"

    def parse(self, text: str, slate: Slate, /) -> ScoredJudgement:
        """Scores from 0 to 10; every pair that can be read counts, whatever its neighbours are."""
        reply = split_reply(text)
        if self.terse:
            return _read_terse(reply, len(slate))
        return read_scores(reply.held_to_tags() if self.reasoning else reply, len(slate))

    def write(self, judgement: ScoredJudgement, /) -> str:
        """A well-formed reply with the judgement's scores, the missing ones left out."""
        if self.terse:
            told = (f"{identifier(i)}{_plain(s)}" for i, s in enumerate(judgement.scores) if not math.isnan(s))
            return " ".join(told)
        pairs = (f'"{identifier(i)}": {_plain(s)}' for i, s in enumerate(judgement.scores) if not math.isnan(s))
        scores = f"{{{', '.join(pairs)}}}"
        if not self.reasoning:
            return scores
        return written(judgement.reasoning, f"\n```json\n{scores}\n```\n", tag="reason")

    def grades(self, slate: Slate, /) -> tuple[str, ...]:  # noqa: ARG002
        """The eleven integers that a score is."""
        return INTEGERS

    def openings(self, text: str, slate: Slate, /) -> dict[int, str]:
        """By place, the reply up to where that passage's score stands: the one that :meth:`parse` reads.

        Places that have no score in the form asked for are not there. Total, as ``parse`` is.
        """
        reply = split_reply(text)
        start = -1 if reply.answer is None else text.find(reply.answer, reply.start)
        if reply.answer is None or start < 0:
            return {}
        found = (
            _TERSE.finditer(reply.answer) if self.terse else _PAIR.finditer(reply.answer, *_braces(reply.answer)[:2])
        )
        told: dict[int, str] = {}
        for pair in found:
            place = position(integer(pair[1]), len(slate))
            if place is not None and place not in told and _value(pair[2]) is not None:
                told[place] = text[: start + pair.start(2) + (pair[2][0] == '"')]
        return told

    def schema(self, slate: Slate, /) -> dict[str, Any]:
        """The JSON schema of the scores alone; a reply that is held to it carries no reasoning (and so counts
        as repaired where reasoning is asked for).
        """
        return json_schema(Language(_integers(len(slate)) or (Said("{}"),)))

    def language(self, slate: Slate, /) -> Language | None:
        """An integer from 0 to 10 for every passage, in their order; with ``reasoning`` after any reasoning."""
        scores = _terse(len(slate)) if self.terse else _integers(len(slate))
        if not scores:
            return None
        asked = {"tag": "reason", "before": "\n```json\n", "after": "\n```\n"}
        return after_reasoning(scores, **asked) if self.reasoning else Language(scores)

    def reply_tokens(self, slate: Slate, /) -> int:
        """Up to twelve tokens a passage, and 4,096 for reasoning."""
        return (4096 if self.reasoning else 0) + 32 + 12 * len(slate)


def _terse_form(n: int) -> str:
    return f"Score {n} passages from 0 to {TOP}. Reply with each one's number and its score: [number]score"


_FORM = 'Reply with JSON only: the score, an integer, of every passage, in this form: {"[1]": …, "[2]": …}'
_FORM_REASONED = """First reason inside <reason> </reason>, then give the score, an integer, of every passage as JSON \
inside <answer> </answer>, in this form:
<reason> your reasoning </reason>
<answer>
```json
{"[1]": …, "[2]": …}
```
</answer>"""


def _integers(n: int) -> tuple[Part, ...]:
    """``{"[1]": 5, "[2]": 3}`` with any integers; nothing for nothing."""
    parts: list[Part] = []
    for i in range(n):
        parts += [Said(f'{", " if i else "{"}"{identifier(i)}": '), OneOf(identifier(i), INTEGERS)]
    return (*parts, Said("}")) if parts else ()


def _terse(n: int) -> tuple[Part, ...]:
    """``[1]7 [2]0`` with any integers; nothing for nothing."""
    parts: list[Part] = []
    for i in range(n):
        parts += [Said(f"{' ' if i else ''}{identifier(i)}"), OneOf(identifier(i), INTEGERS)]
    return tuple(parts)


def _plain(score: float) -> str:
    return str(int(score)) if score == int(score) else repr(score)


# ------------------------------------------------------------------------------------------------ reading


def read_scores(reply: Reply, n: int) -> ScoredJudgement:
    """The scores in a reply. A repeated passage keeps its first score; what lies outside 0 to 10 is clamped."""
    return _judged(reply, n, *(([], ()) if reply.answer is None else _pairs(reply.answer)))


def _read_terse(reply: Reply, n: int) -> ScoredJudgement:
    """The scores of a reply such as ``[1]7 [2]0``; spaces, colons, commas and lines between them will do."""
    answer = reply.answer or ""
    pairs = _TERSE.findall(answer)
    asked = answer == " ".join(f"[{digits}]{value}" for digits, value in pairs)
    return _judged(reply, n, pairs, () if asked else (NOT_ASKED,))


def _judged(reply: Reply, n: int, pairs: list[tuple[str, str]], problems: tuple[str, ...]) -> ScoredJudgement:
    """What (identifier, value) pairs say of ``n`` passages."""
    if n == 0:
        return ScoredJudgement.of((), status=Status.OK, reasoning=reply.reasoning)
    scores, wrong = _scores(pairs, n)
    problems = (*reply.problems, *problems, *wrong)
    missing = [i for i, score in enumerate(scores) if score is None]
    if len(missing) == n:
        told = problems if pairs or reply.answer is None else (*problems, "no scores in the reply")
        return ScoredJudgement.of(scores, status=Status.FAILED, reasoning=reply.reasoning, problems=told)
    status = status_of(problems, missing)
    return ScoredJudgement.of(scores, status=status, reasoning=reply.reasoning, problems=problems + missed(missing, n))


def _pairs(answer: str) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """(identifier, value) pairs of the last braces that hold any, else of lines ``[1]: 5``; with what was wrong."""
    start, stop, asked_for = _braces(answer)
    if stop:
        return _PAIR.findall(answer, start, stop), () if asked_for else (NOT_ASKED,)
    lines = (_LINE.fullmatch(line.strip()) for line in answer.split("\n"))
    return [(found[1], found[2]) for found in lines if found is not None], (NOT_ASKED,)


def _braces(answer: str) -> tuple[int, int, bool]:
    """Where the pairs of the last braces that hold any begin and end, and whether they stand there as asked for."""
    end = len(answer)
    while (start := answer.rfind("{", 0, end)) >= 0:
        close = answer.find("}", start, end)
        stop = end if close < 0 else close
        if _PAIR.search(answer, start + 1, stop):
            return start + 1, stop, close >= 0 and _as_asked(answer, start, close)
        end = start
    return 0, 0, False


def _as_asked(answer: str, start: int, close: int) -> bool:
    before, after = answer[:start].strip(), answer[close + 1 :].strip()
    return (
        _ROUND.fullmatch(before) is not None
        and _ROUND.fullmatch(after) is not None
        and _ASKED.fullmatch(answer, start + 1, close) is not None
    )


def _scores(pairs: Iterable[tuple[str, str]], n: int) -> tuple[list[float | None], tuple[str, ...]]:
    scores: list[float | None] = [None] * n
    strangers, repeats, unread, clamped = [], [], [], []
    for digits, raw in pairs:
        place, value = position(integer(digits), n), _value(raw)
        if place is None:
            strangers.append(digits)
        elif value is None:
            unread.append(digits)
        elif scores[place] is not None:
            repeats.append(digits)
        else:
            scores[place] = min(max(value, 0.0), float(TOP))
            if scores[place] != value:
                clamped.append(digits)
    return scores, (
        *counted(strangers, "names no passage", "name no passage"),
        *counted(repeats, "repeated", "repeated"),
        *counted(unread, "has no number for a score", "have no number for a score"),
        *counted(clamped, "has a score outside 0 to 10, clamped", "have a score outside 0 to 10, clamped"),
    )


def _value(raw: str) -> float | None:
    """A finite number, or ``None`` for anything else: true, null, NaN, words."""
    found = _VALUE.fullmatch(raw.strip("\"' *"))
    value = float(found[1]) if found else math.nan
    return value if math.isfinite(value) else None
