"""Holding generation to a language of replies: which tokens may come next, row by row.

A token may come if the text so far with the token's text behind it is the beginning of some text of the language; so
names of several tokens need no care, and neither do tokens that span two parts. What may come depends on the state of
the language alone, and is remembered by it. Free text ends when no more tokens are left than the rest may need: a sign
is a token at the worst.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shortlist.text.language import Language, State

_MOST_STATES = 20_000  # of one language that are remembered
_ANCHOR = "a"  # a token decodes as itself only behind another: at the very start, some tokenizers drop a blank


class Vocabulary:
    """The text of every token as it follows another; without control tokens, which are no part of a reply."""

    def __init__(self, tokenizer: Any) -> None:
        added = getattr(tokenizer, "added_tokens_decoder", {})  # control tokens without a name among them: ends, too
        control = {*tokenizer.all_special_ids, *(place for place, token in added.items() if token.special)}
        anchor = list(tokenizer(_ANCHOR, add_special_tokens=False)["input_ids"])
        before = str(tokenizer.decode(anchor))
        places = [place for place in range(len(tokenizer)) if place not in control]
        texts = [str(tokenizer.decode([*anchor, place])) for place in places]
        self.texts = {
            place: text[len(before) :]
            for place, text in zip(places, texts, strict=True)
            if text.startswith(before) and len(text) > len(before)
        }
        marked = {place for place, text in self.texts.items() if "<" in text or text.startswith("/")}
        self.harmless = tuple(place for place in self.texts if place not in marked)
        """What free text may hold anywhere."""
        self.marked = self._by_first(marked)
        """What may be the beginning of its end, by first sign."""
        self._among: dict[frozenset[str], dict[str, list[int]]] = {}

    def among(self, signs: frozenset[str]) -> dict[str, list[int]]:
        """The tokens made of these signs alone, by first sign."""
        if signs not in self._among:
            self._among[signs] = self._by_first(place for place, text in self.texts.items() if signs.issuperset(text))
        return self._among[signs]

    def _by_first(self, places: Iterable[int]) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for place in places:
            found.setdefault(self.texts[place][0], []).append(place)
        return found


@dataclass
class Constraint:
    """One language over one vocabulary. ``ends`` are the tokens that end a reply."""

    language: Language
    vocabulary: Vocabulary
    ends: Sequence[int]
    _known: dict[State, tuple[int, ...]] = field(default_factory=dict)

    def allowed(self, state: State, left: int) -> tuple[int, ...]:
        """The tokens that may come next, when ``left`` more may come in all; empty: the vocabulary cannot go on."""
        if self.language.at_free(state) and left <= self.language.left(state) + 1:
            state = self.language.closing(state)
        if state not in self._known:
            if len(self._known) >= _MOST_STATES:
                self._known.clear()
            self._known[state] = self._allowed(state)
        return self._known[state]

    def _allowed(self, state: State) -> tuple[int, ...]:
        language, vocabulary = self.language, self.vocabulary
        ends = tuple(self.ends) if language.ended(state) else ()
        free = language.at_free(state)
        looked_at = vocabulary.marked if free else vocabulary.among(language.signs)
        begun = [places for sign, places in looked_at.items() if language.step(state, sign) is not None]
        texts = vocabulary.texts
        found = [place for places in begun for place in places if language.step(state, texts[place]) is not None]
        return (*ends, *(place for place in (*(vocabulary.harmless if free else ()), *found) if place not in self.ends))


@dataclass
class Held:
    """A row under a constraint: how far its text has come."""

    constraint: Constraint
    budget: int
    state: State | None = None
    said: int = 0
    stuck: bool = False

    def __post_init__(self) -> None:
        self.state = self.constraint.language.start

    @property
    def done(self) -> bool:
        """Whether the language is said to its end, and nothing more may come."""
        return self.state is not None and self.constraint.language.full(self.state)

    def follow(self, reply: Sequence[int]) -> None:
        """Take in what was said since the last time; what stands behind the reply's end is padding."""
        texts = self.constraint.vocabulary.texts
        for place in reply[self.said : self.budget]:
            if self.state is None or self.done:
                break
            text = texts.get(place)
            self.state = None if text is None else self.constraint.language.step(self.state, text)
            self.said += 1

    def allowed(self) -> tuple[int, ...]:
        """What may come next; nothing is said (so anything may) where the reply has ended, or is stuck: that is noted."""
        if self.state is None or self.done or self.said >= self.budget:
            return ()
        found = self.constraint.allowed(self.state, self.budget - self.said)
        self.stuck = self.stuck or not found
        return found


class Holder:
    """The logits processor: all tokens but those that may come are out of the question.

    ``rows`` has one entry a row of the batch, ``None`` for rows that are free; ``start`` is where replies begin.
    """

    def __init__(self, torch: Any, rows: Sequence[Held | None], start: int) -> None:
        self._torch, self._start = torch, start
        self._rows = [(i, row) for i, row in enumerate(rows) if row is not None]

    def __call__(self, ids_BT: Any, logits_BV: Any) -> Any:  # noqa: N803 - transformers' signature
        """The logits (batch × vocabulary) with all that may not come next at minus infinity."""
        held_BV = logits_BV.clone()  # noqa: N806
        for i, row in self._rows:
            row.follow(ids_BT[i, self._start :].tolist())
            allowed = row.allowed()
            if allowed:
                places = self._torch.tensor(allowed, device=logits_BV.device)
                held_BV[i] = float("-inf")
                held_BV[i, places] = logits_BV[i, places]
        return held_BV


@dataclass
class Constraints:
    """The constraints of a model's tokenizer; the vocabulary is read when the first one is wanted."""

    tokenizer: Any
    most: int = 64
    _vocabulary: Vocabulary | None = None
    _known: dict[Language, Constraint] = field(default_factory=dict)

    def held(self, language: Language | None, budget: int, ends: Sequence[int]) -> Held | None:
        """A row held to the language, if there is one."""
        return None if language is None else self.hold(language, budget, ends)

    def hold(self, language: Language, budget: int, ends: Sequence[int]) -> Held:
        """A row held to the language, at its beginning."""
        if self._vocabulary is None:
            self._vocabulary = Vocabulary(self.tokenizer)
        constraint = self._known.get(language)
        if constraint is None:
            if len(self._known) >= self.most:
                self._known.clear()
            constraint = self._known[language] = Constraint(language, self._vocabulary, tuple(ends))
        return Held(constraint, budget)
