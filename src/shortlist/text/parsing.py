"""Reading answers: total functions from any string to what it plainly says, strict about prose.

A number is an identifier only where the text has the shape of a list of identifiers; digits in prose are never read.
What counts as a list (``n`` is an identifier):

* ``[2] > [1] > [3]``: bracketed or bare identifiers, each pair joined by ``>``, ``,``, ``;``, ``and`` or a line break
  (bracketed ones by a blank, too); the word *passage* or *document* may stand before each;
* ``[2, 1, 3]`` and ``["2", "1"]``: one list of them;
* lines ``1. [2]``, ``2. [1]`` numbered from 1 (the first number is the rank), or ``- [2]``; other lines are passed
  over;
* a line such as ``The ranking is: [2] > [1]``: bracketed identifiers joined by ``>`` or ``,`` that end a line which
  opens with them or leads up to them by a colon, ``is`` or ``are``; the last such line counts.

Code fences, emphasis and quotes around the whole are taken off. All functions take time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from shortlist.text.reasoning import Reply
from shortlist.types import Judgement, Status

Problems = tuple[str, ...]

NOT_ASKED = "not in the form asked for"
UNREADABLE = "no list of identifiers in the reply"

_BARE = r"-?[0-9]++(?!\.?\w)"
_ITEM = re.compile(rf"(?:(?i:passage|document|doc)\s{{1,3}}+)?+(?:[\[(]\s{{0,3}}+(-?[0-9]++)\s{{0,3}}+[\])]|({_BARE}))")
_JOIN = re.compile(r"(\s*+)(>++|[≻→;]|,(?:\s{1,3}+and\b)?+|and\b)?+(\s*+)")
_RANK = re.compile(
    r"\s{0,8}+([0-9]{1,6}+)[.):]\s{1,8}+(?:(?i:passage|document)\s{1,3}+)?+\[?([0-9]++)\]?\s{0,8}+[.,;]?\s*+"
)
_BULLET = re.compile(r"\s{0,8}+[-*•]\s{1,8}+\[([0-9]++)\]\s*+[.,;]?\s*+")
_LEADS = re.compile(r"(?:^|[:=]|\bis|\bare)[\s*`\"]*$", re.IGNORECASE)
_RUN = re.compile(r"([^\[\]0-9>]{0,100}+)(\[-?[0-9]++\](?:\s{0,8}+[>,]\s{0,8}+\[-?[0-9]++\])*+)[\s.*`\"]*+")
_FENCE_OPENS = re.compile(r"```+[A-Za-z]{0,16}+(?=\s)")
_ID = re.compile(r"-?[0-9]++")
_STARTS = "*`\"'“” \t\r\n"
_ENDS = _STARTS + "."
_MAX_DIGITS = 9


# ------------------------------------------------------------------------------------------------ identifiers


def position(number: int, n: int) -> int | None:
    """The position from 0 that an identifier (from 1) names among ``n`` passages; ``None``: no passage.

    The one place where bounds are checked, on both sides: 0 and negative numbers never wrap round to the last passage.
    """
    return number - 1 if 1 <= number <= n else None


def integer(digits: str) -> int:
    """The integer a run of ASCII digits spells; 0, which names nothing, if it is longer than any identifier."""
    return int(digits) if len(digits) <= _MAX_DIGITS else 0


class Named(NamedTuple):
    """Distinct positions in the order they were named, and what was wrong with the rest."""

    positions: tuple[int, ...]
    problems: Problems


def named(identifiers: Iterable[str], n: int) -> Named:
    """The positions that identifiers name: strangers are rejected, repeats dropped (the first stays), both counted."""
    found: dict[int, None] = {}
    strangers: list[str] = []
    repeats: list[str] = []
    for digits in identifiers:
        place = position(integer(digits), n)
        if place is None:
            strangers.append(digits)
        elif place in found:
            repeats.append(digits)
        else:
            found[place] = None
    problems = (*counted(strangers, "names no passage", "name no passage"), *counted(repeats, "repeated", "repeated"))
    return Named(tuple(found), problems)


def counted(items: Sequence[str], one: str, many: str) -> Problems:
    """A problem that tells how many, and shows the first: nothing for nothing."""
    if not items:
        return ()
    first = items[0] if len(items[0]) <= 20 else f"{items[0][:20]}…"
    return (f"[{first}] {one}",) if len(items) == 1 else (f"{len(items)} identifiers {many}, first [{first}]",)


# ------------------------------------------------------------------------------------------------ lists


class Listed(NamedTuple):
    """Identifiers as they stand in an answer; ``asked``: exactly in the form ``[2] > [1]`` with the sign asked for."""

    identifiers: list[str]
    asked: bool


def read_list(answer: str, sign: str) -> Listed | None:
    """The list in an answer, ``None`` if there is none; ``sign`` is the joint that the prompt asked for."""
    plain = answer.strip()
    bare = unwrap(plain)
    listed = _walk(bare, sign)
    if listed is not None:
        return listed._replace(asked=listed.asked and bare == plain)
    for read in (_bracketed, _numbered, _led_up_to):
        found = read(bare)
        if found is not None:
            return Listed(found, asked=False)
    return None


def unwrap(text: str) -> str:
    """Without a code fence, emphasis, quotes or full stops around the whole."""
    text = text.strip()
    opening = _FENCE_OPENS.match(text)
    if opening is not None:
        text = text[opening.end() :].strip("`")
    return text.rstrip(_ENDS).lstrip(_STARTS)


def _walk(text: str, sign: str) -> Listed | None:
    """All of the text as items and joints; ``None`` as soon as anything else stands there."""
    identifiers: list[str] = []
    asked, at, blank, bare_before = True, 0, False, False
    while True:
        item = _ITEM.match(text, at)
        if item is None:
            return None
        bare = item[2] is not None
        if blank and (bare or bare_before):
            return None
        identifiers.append(item[2] if bare else item[1])
        asked = asked and not bare and text[item.start()] == "["
        at = item.end()
        if at == len(text):
            return Listed(identifiers, asked)
        joint = _JOIN.match(text, at)
        if joint is None or joint.end() == at or joint.end() == len(text):
            return Listed(identifiers, asked=False) if joint is not None and joint.end() == len(text) else None
        asked = asked and joint[2] == sign
        blank = joint[2] is None and "\n" not in joint[0]
        bare_before, at = bare, joint.end()


def _bracketed(text: str) -> list[str] | None:
    """One list of all: ``[2, 1]``."""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    inner = text[1:-1].replace('"', "").replace("'", "").strip()
    listed = _walk(inner, ",") if inner else Listed([], asked=False)
    return None if listed is None else listed.identifiers


def _numbered(text: str) -> list[str] | None:
    found: list[str] = []
    for line in text.split("\n"):
        rank = _RANK.fullmatch(line)
        if rank is not None and int(rank[1]) == len(found) + 1:
            found.append(rank[2])
        elif (bullet := _BULLET.fullmatch(line)) is not None:
            found.append(bullet[1])
    return found or None


def _led_up_to(text: str) -> list[str] | None:
    """The list that ends the last line which leads up to one."""
    for line in reversed(text.split("\n")):
        found = _RUN.fullmatch(line)
        if found is not None and _LEADS.search(found[1]):
            identifiers = _ID.findall(found[2])
            if len(identifiers) > 1 or ":" in found[1]:
                return identifiers
    return None


# ------------------------------------------------------------------------------------------------ orders


def order_of(positions: tuple[int, ...], n: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The named positions followed by the rest in the slate's order; and that rest."""
    seen = set(positions)
    rest = tuple(i for i in range(n) if i not in seen)
    return positions + rest, rest


def read_ranking(reply: Reply, n: int) -> Judgement:
    """The judgement that a reply of the shape ``[2] > [1]`` makes of ``n`` passages."""
    if n == 0:
        return Judgement(order=(), reasoning=reply.reasoning)
    listed = None if reply.answer is None else read_list(reply.answer, ">")
    if listed is None:
        return failed(n, reply, UNREADABLE)
    positions, problems = named(listed.identifiers, n)
    problems = (*reply.problems, *(() if listed.asked else (NOT_ASKED,)), *problems)
    if not positions:
        return failed(n, reply._replace(problems=problems))
    order, missing = order_of(positions, n)
    return Judgement(
        order=order,
        missing=missing,
        status=status_of(problems, missing),
        reasoning=reply.reasoning,
        problems=problems + missed(missing, n),
    )


def failed(n: int, reply: Reply, *problems: str) -> Judgement:
    """Nothing could be read: the slate's order, every passage missing."""
    order = tuple(range(n))
    told = reply.problems if reply.answer is None else reply.problems + problems
    return Judgement(order=order, missing=order, status=Status.FAILED, reasoning=reply.reasoning, problems=told)


def status_of(problems: Problems, missing: Sequence[int]) -> Status:
    """Partial if passages are missing, repaired if anything was wrong, else ok."""
    return Status.PARTIAL if missing else Status.REPAIRED if problems else Status.OK


def missed(missing: Sequence[int], n: int) -> Problems:
    """The problem that passages are missing."""
    return (f"{len(missing)} of {n} passages missing",) if missing else ()
