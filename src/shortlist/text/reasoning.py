"""Telling a reply's answer from its reasoning.

A reply is read tag by tag. Reasoning stands in ``<think>``, ``<thinking>``, ``<reason>``, ``<reasoning>`` or
``<scratchpad>``, and only its own closing tag ends it: tags quoted inside are part of it. A closing tag with no opening
means that the opening stood in the prompt (chat templates do that), so everything before it was reasoning. Reasoning
that is never closed was cut off: such a reply has *no* answer, whatever digits it holds. The answer is what stands in
the last ``<answer>`` outside of reasoning, else all text outside of reasoning.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_TAG = re.compile(r"<(/?)(think|thinking|reason|reasoning|scratchpad|answer)\s{0,4}>", re.IGNORECASE)

CUT_OFF = "the reasoning was cut off before an answer"
NO_TAGS = "no <answer> tags"
NO_REASONING = "no reasoning before the answer"
UNCLOSED = "the <answer> tag is not closed"
AFTERWARDS = "more reasoning after the answer, cut off"
SEVERAL = "several answers; the last was read"


class Reply(NamedTuple):
    """A reply in parts. ``answer`` is ``None`` if the reasoning never ended; ``tagged``: it stood in answer tags;
    ``reasoned``: there was a whole block of reasoning, maybe an empty one; ``start``: where the answer in tags begins, else
    where the text behind the last block of reasoning does.
    """

    answer: str | None
    reasoning: str = ""
    tagged: bool = False
    reasoned: bool = False
    problems: tuple[str, ...] = ()
    start: int = 0

    def held_to_tags(self) -> Reply:
        """The reply with what it lacks of reasoning followed by a tagged answer noted: for prompts that ask so."""
        if self.answer is None:
            return self
        lacks = () if self.reasoned else (NO_REASONING,)
        return self._replace(problems=self.problems + lacks + (() if self.tagged else (NO_TAGS,)))


def split_reply(text: str) -> Reply:
    """The parts of a reply. Total, and linear in the text."""
    if "<" not in text:
        return Reply(text)
    scan = _Scan()
    for tag in _TAG.finditer(text):
        scan.step(tag[2].lower(), tag.start(), tag.end(), closing=bool(tag[1]))
    return scan.reply(text)


Span = tuple[int, int]


class _Scan:
    """Where the scan stands: outside (""), in an answer, or in the reasoning block of a name. Spans, not copies."""

    def __init__(self) -> None:
        self.inside, self.start = "", 0
        self.thoughts: list[Span] = []
        self.answers: list[Span] = []
        self.outside: list[Span] = []

    def step(self, name: str, start: int, end: int, *, closing: bool) -> None:
        if self.inside not in {"", "answer"}:
            if not closing or name != self.inside:
                return
            self.thoughts.append((self.start, start))
            self.inside = ""
        elif name == "answer" and closing:
            if self.inside or not self.answers:  # with no opening: it stood in the prompt
                self.answers.append((self.start, start))
            self.inside = ""
        elif closing:  # its opening stood in the prompt: all so far was reasoning
            self.thoughts, self.answers, self.outside, self.inside = [(0, start)], [], [], ""
        else:
            if not self.inside:
                self.outside.append((self.start, start))
            self.inside = name
        self.start = end

    def reply(self, text: str) -> Reply:
        rest, problems = (self.start, len(text)), []
        reasoned = bool(self.thoughts)
        if self.inside == "":
            self.outside.append(rest)
        elif self.inside == "answer":
            if not self.answers:
                self.answers.append(rest)
                problems.append(UNCLOSED)
        else:
            self.thoughts.append(rest)
            problems.append(CUT_OFF)
        reasoning = "\n".join(text[a:b].strip() for a, b in self.thoughts)
        if len(self.answers) > 1:
            problems.append(SEVERAL)
        if self.answers:
            a, b = self.answers[-1]
            problems = [AFTERWARDS if problem == CUT_OFF else problem for problem in problems]
            return Reply(text[a:b], reasoning, tagged=True, reasoned=reasoned, problems=tuple(problems), start=a)
        if problems:
            return Reply(None, reasoning, reasoned=reasoned, problems=tuple(problems))
        return Reply("".join(text[a:b] for a, b in self.outside), reasoning, reasoned=reasoned, start=self.start)


def written(reasoning: str, answer: str, *, tag: str = "think") -> str:
    """A reply of this shape. Tags in the reasoning lose their ``<``, so that it reads back as one block."""
    return f"<{tag}>\n{safe(reasoning)}\n</{tag}>\n<answer>{answer}</answer>"


def safe(reasoning: str) -> str:
    """The reasoning stripped, with every ``<`` of a tag replaced."""
    return _TAG.sub(lambda found: "‹" + found[0][1:], reasoning).strip()
