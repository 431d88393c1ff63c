"""The language of a prompt's well-formed replies, described once: the parts that a reply is made of, in their order.

Whoever holds a model to it reads the description in the form at hand: sign by sign (:meth:`Language.step`, for a logits
processor), as a grammar (:mod:`~shortlist.text.grammar`), or as a JSON schema for servers that know nothing else. Every
text of the language reads back with status ok, and nothing here knows of tokens: those are the backend's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from shortlist.errors import InvalidInput

State: TypeAlias = tuple[int, Any]
"""How far a text has come: the place of the part, and the part's own state. Hashable."""


@dataclass(frozen=True, slots=True)
class Said:
    """These very signs. State: how many of them stand there."""

    text: str

    @property
    def start(self) -> int:
        """Nothing said yet."""
        return 0

    def step(self, state: int, sign: str) -> int | None:
        """After one more sign; ``None`` if it may not stand here."""
        return state + 1 if state < len(self.text) and self.text[state] == sign else None

    def ended(self, state: int) -> bool:
        """Whether the part may end here."""
        return state == len(self.text)

    full = ended

    def left(self, state: int) -> int:
        """How many signs may still come, at most."""
        return len(self.text) - state


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of some words. State: what stands there of it."""

    name: str
    options: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.options or "" in self.options:
            raise InvalidInput(f"{self.name!r} has the options {self.options}; give one or more, none of them empty")

    @property
    def start(self) -> str:
        """Nothing said yet."""
        return ""

    def step(self, state: str, sign: str) -> str | None:
        """After one more sign; ``None`` if it may not stand here."""
        after = state + sign
        return after if any(option.startswith(after) for option in self.options) else None

    def ended(self, state: str) -> bool:
        """Whether the part may end here."""
        return state in self.options

    def full(self, state: str) -> bool:
        """Whether it must."""
        return state in self.options and self.left(state) == 0

    def left(self, state: str) -> int:
        """How many signs may still come, at most."""
        return max((len(o) - len(state) for o in self.options if o.startswith(state)), default=0)


@dataclass(frozen=True, slots=True)
class Items:
    """Distinct ``names`` in any order, ``least`` to ``most`` of them, joined; or, where ``none`` is given, that word.

    State: the set of names said, as bits (−1: the word for none), and what stands there since the last of them.
    """

    name: str
    names: tuple[str, ...]
    joint: str
    least: int
    most: int
    none: str = ""

    def __post_init__(self) -> None:
        if not self.joint or not 1 <= self.least <= self.most <= len(self.names):
            told = f"{self.least} to {self.most} of {len(self.names)} names, joined by {self.joint!r}"
            raise InvalidInput(f"{self.name!r} asks for {told}; give 1 ≤ least ≤ most ≤ names, and a joint")
        words = (*self.names, *([self.none] if self.none else []))
        if any(a != b and b.startswith(a) for a in words for b in words) or len(set(words)) < len(words):
            raise InvalidInput(f"{self.name!r}: one of {words[:5]} … begins another; end each by a sign of its own")

    @property
    def start(self) -> tuple[int, str]:
        """Nothing said yet."""
        return 0, ""

    def step(self, state: tuple[int, str], sign: str) -> tuple[int, str] | None:
        """After one more sign; ``None`` if it may not stand here."""
        said, text = state
        text += sign
        if said == 0 and self.none and self.none.startswith(text):
            return (-1, "") if text == self.none else (0, text)
        if said < 0 or said.bit_count() >= self.most:
            return None
        ahead = self.joint if said else ""
        if ahead.startswith(text):  # within the joint, or just at its end
            return said, text
        word = text[len(ahead) :] if text.startswith(ahead) else None
        if word is None:
            return None
        for place, name in enumerate(self.names):
            if not said >> place & 1 and name.startswith(word):
                return (said | 1 << place, "") if name == word else (said, text)
        return None

    def ended(self, state: tuple[int, str]) -> bool:
        """Whether the part may end here."""
        said, text = state
        return not text and (said < 0 or said.bit_count() >= self.least)

    def full(self, state: tuple[int, str]) -> bool:
        """Whether it must."""
        said, text = state
        return not text and (said < 0 or said.bit_count() == self.most)

    def left(self, state: tuple[int, str]) -> int:
        """How many signs may still come, at most."""
        said, text = state
        if said < 0:
            return 0
        sizes = sorted((len(name) for i, name in enumerate(self.names) if not said >> i & 1), reverse=True)
        words = sum(size + len(self.joint) for size in sizes[: self.most - said.bit_count()])
        return max(words, len(self.none) if not said else 0) - len(text)


@dataclass(frozen=True, slots=True)
class Free:
    """Any text without ``</``, up to and with its ``end``, which is a closing tag.

    State: how many signs of the end stand there, and whether nothing else may come any more. An end without any text
    before it is enough; how much text there may be is for whoever counts tokens to say.
    """

    name: str
    end: str

    def __post_init__(self) -> None:
        if not self.end.startswith("</") or not self.end.endswith(">"):
            raise InvalidInput(f"{self.name!r} ends in {self.end!r}; give a closing tag, as </think>")

    @property
    def start(self) -> tuple[int, bool]:
        """Nothing said yet."""
        return 0, False

    def step(self, state: tuple[int, bool], sign: str) -> tuple[int, bool] | None:
        """After one more sign; ``None`` if it may not stand here."""
        at, closing = state
        if at < len(self.end) and sign == self.end[at]:
            return at + 1, closing
        if closing or at > 1:  # after "</", only the end
            return None
        return (1 if sign == "<" else 0), False

    def ended(self, state: tuple[int, bool]) -> bool:
        """Whether the part may end here."""
        return state[0] == len(self.end)

    full = ended

    def left(self, state: tuple[int, bool]) -> int:
        """How many signs the end still needs."""
        return len(self.end) - state[0]


Part: TypeAlias = Said | OneOf | Items | Free


@dataclass(frozen=True, slots=True)
class Language:
    """Parts that follow one another. A part goes on as long as it can; where it may end, the next one may begin."""

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise InvalidInput("a language needs at least one part")

    @property
    def start(self) -> State:
        """Before the first sign."""
        return 0, self.parts[0].start

    def step(self, state: State, text: str) -> State | None:
        """The state after ``text``; ``None`` if no text of the language goes on that way."""
        place, inner = state
        for sign in text:
            part: Any = self.parts[place]
            after = part.step(inner, sign)
            if after is None:
                if not part.ended(inner) or place + 1 == len(self.parts):
                    return None
                place += 1
                part = self.parts[place]
                after = part.step(part.start, sign)
                if after is None:
                    return None
            inner = after
        return place, inner

    def ended(self, state: State) -> bool:
        """Whether the text so far is a whole one."""
        part: Any = self.parts[state[0]]
        return state[0] + 1 == len(self.parts) and part.ended(state[1])

    def full(self, state: State) -> bool:
        """Whether nothing more may come."""
        part: Any = self.parts[state[0]]
        return state[0] + 1 == len(self.parts) and part.full(state[1])

    def accepts(self, text: str) -> bool:
        """Whether ``text`` is of the language."""
        state = self.step(self.start, text)
        return state is not None and self.ended(state)

    def left(self, state: State) -> int:
        """How many signs may still come at most, free text not counted: what a reply needs to come to its end."""
        part: Any = self.parts[state[0]]
        later: list[Any] = list(self.parts[state[0] + 1 :])
        return int(part.left(state[1]) + sum(each.left(each.start) for each in later))

    @property
    def reasons(self) -> bool:
        """Whether a part of it is free text."""
        return any(isinstance(part, Free) for part in self.parts)

    def at_free(self, state: State) -> bool:
        """Whether any text may stand here."""
        part, inner = self.parts[state[0]], state[1]
        if isinstance(part, Free):
            return not inner[1] and inner[0] < 2
        following = self.parts[state[0] + 1 : state[0] + 2]
        whole: Any = part
        return bool(whole.ended(inner)) and bool(following) and isinstance(following[0], Free)

    def closing(self, state: State) -> State:
        """The state from which free text may only end."""
        if not self.at_free(state):
            return state
        place = state[0] if isinstance(self.parts[state[0]], Free) else state[0] + 1
        at = state[1][0] if place == state[0] else 0
        return place, (at, True)

    @property
    def signs(self) -> frozenset[str]:
        """All signs of a text but its free parts'."""
        return frozenset(sign for part in self.parts for word in _words(part) for sign in word)


def _words(part: Part) -> tuple[str, ...]:
    if isinstance(part, Said):
        return (part.text,)
    if isinstance(part, Free):
        return (part.end,)
    return part.options if isinstance(part, OneOf) else (*part.names, part.joint, part.none)


def after_reasoning(answer: tuple[Part, ...], *, tag: str = "think", before: str = "", after: str = "") -> Language:
    """Free reasoning inside its tag, then the answer inside ``<answer>``: the shape that
    :func:`~shortlist.text.reasoning.written` writes.
    """
    opened, closed = Said(f"<{tag}>\n"), Free("reasoning", f"</{tag}>")
    return Language((opened, closed, Said(f"\n<answer>{before}"), *answer, Said(f"{after}</answer>")))
