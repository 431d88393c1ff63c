"""Holding llama.cpp's replies to a language, by grammars.

A language with a small exact grammar takes one call. Any other is said stretch by stretch, each a call of its own that
goes on from the text so far (the engine keeps what it has computed): free text within its budget, then the order, a few
names at a time, each time by a grammar of the names that are left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from shortlist.backends.base import Ask, Completion
from shortlist.backends.llamacpp import Engine, told_error
from shortlist.errors import BackendError
from shortlist.text.grammar import exact, gbnf, stretch
from shortlist.text.language import Free, Language, State
from shortlist.types import Usage


def in_one_call(language: Language) -> str | None:
    """The grammar that says the language exactly, if one call can take it."""
    free = any(isinstance(part, Free) for part in language.parts)
    return gbnf(language) if exact(language) and not free else None


def complete_held(engine: Engine, ask: Ask, language: Language, *, reuse: bool) -> Completion:
    """The reply, stretch by stretch."""
    prompt = engine.tokenize(engine.render(ask.messages))
    with engine.slot() as slot:
        walk = _Walk(engine, ask, language, prompt, slot, cached=reuse)
        try:
            finished = walk.whole()
        except _Refused as refused:
            return Completion(finish="error", error=str(refused))
    usage = Usage(calls=1, prompt_tokens=len(prompt), completion_tokens=walk.spent)
    return Completion(text=walk.text, finish="stop" if finished else "length", usage=usage)


class _Refused(Exception):
    """The engine refused a request (too long, say)."""


@dataclass
class _Walk:
    """A reply on its way."""

    engine: Engine
    ask: Ask
    language: Language
    prompt: list[int]
    slot: int
    cached: bool
    text: str = ""
    spent: int = 0
    calls: int = 0
    state: State = field(init=False)

    def __post_init__(self) -> None:
        self.state = self.language.start

    def whole(self) -> bool:
        """Go to the end; false if the tokens did not suffice."""
        while not self.language.full(self.state):
            if self.language.at_free(self.state):
                self._think()
                continue
            held = stretch(self.language, self.state)
            before = self._names()
            if not self._say(held.grammar, self.ask.max_tokens - self.spent):
                return False
            whole = held.names is None or self._names() < before + held.names  # fewer than there was room for: all
            if whole and self.language.ended(self.state):
                return True
            if whole and not self.language.at_free(self.state):
                self._next_part()
        return True

    def _next_part(self) -> None:
        """The part is said, although more of it could come."""
        place, inner = self.state
        part: Any = self.language.parts[place]
        following: Any = self.language.parts[place + 1] if place + 1 < len(self.language.parts) else None
        if following is None or not part.ended(inner):
            raise self._disobeyed(self.text)
        self.state = place + 1, following.start

    def _think(self) -> None:
        """Free text, up to its end, or for as long as there are tokens; then its end is put there."""
        state = self.language.closing(self.state)
        part = self.language.parts[state[0]]
        assert isinstance(part, Free)  # noqa: S101 - at_free says so
        budget = self.ask.max_tokens - self.spent - self.language.left(state)
        if budget > 0:
            self._say(gbnf(Language((part,))), budget)
        if self.language.at_free(self.state) or (self.state[0] == state[0] and not part.ended(self.state[1])):
            place, (at, _) = self.language.closing(self.state) if self.language.at_free(self.state) else self.state
            self._add(self.language.parts[place].end[at:])  # type: ignore[union-attr]

    def _names(self) -> int:
        """How many names of the order stand there, if this is one."""
        inner = self.state[1]
        return inner[0].bit_count() if isinstance(inner, tuple) and isinstance(inner[1], str) and inner[0] > 0 else 0

    def _say(self, grammar: str, budget: int) -> bool:
        """One call; false if it was cut short."""
        if budget < 1:
            return False
        reply = self.engine.completions(self._body(grammar, budget))
        if "error" in reply:
            raise _Refused(told_error(reply))
        choice, used = reply["choices"][0], reply["usage"]
        self.spent += int(used["completion_tokens"])
        self.cached, self.calls = True, self.calls + 1
        self._add(str(choice["text"]))
        return bool(choice["finish_reason"] != "length")

    def _body(self, grammar: str, budget: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "prompt": [*self.prompt, *(self.engine.tokenize(self.text, special=False) if self.text else [])],
            "n_predict": budget,
            "grammar": grammar,
            "temperature": self.ask.temperature,
            "top_p": self.ask.top_p,
            "top_k": 0,
            "min_p": 0.0,
            "id_slot": self.slot,
            "cache_prompt": self.cached,
        }
        return body if self.ask.seed is None else {**body, "seed": self.ask.seed + self.calls}

    def _add(self, text: str) -> None:
        after = self.language.step(self.state, text)
        if after is None:
            raise self._disobeyed(text)
        self.text, self.state = self.text + text, after

    @staticmethod
    def _disobeyed(text: str) -> BackendError:
        return BackendError(
            f"llama.cpp did not follow the grammar ({text[-60:]!r}); update xllamacpp, or leave constrain out"
        )
