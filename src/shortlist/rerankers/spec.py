"""Names of rerankers: ``KIND:MODEL[?option=value&…]``, and chains of them, ``FIRST >> SECOND``.

The model may hold colons and an ``@URL``; options follow the last question mark. A path to a checkpoint folder is a
name too: the folder knows its kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast
from urllib.parse import parse_qsl, quote, urlencode

from shortlist.backends.open import LLM_ENGINES, LLMOptions
from shortlist.backends.torch_models import PRECISIONS, Precision
from shortlist.errors import InvalidInput, UnknownName

CHAIN = ">>"
_YES, _NO = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
Chosen = TypeVar("Chosen", bound=str)


@dataclass
class Options:
    """The options of a spec, taken one by one; what nobody takes in the end is an error that lists what could be.

    ``idle`` are exempt: a checkpoint's own, for which what it is opened as has no use.
    """

    owner: str
    values: dict[str, str]
    idle: frozenset[str] = frozenset()
    _known: list[str] = field(default_factory=list)

    def text(self, name: str, default: str, choices: Iterable[str] = ()) -> str:
        """A string; one of ``choices``, if there are any."""
        self._known.append(name)
        value = self.values.get(name, default)
        allowed = tuple(choices)
        if allowed and value not in allowed:
            raise UnknownName(f"value for {name} of {self.owner}", value, allowed)
        return value

    def whole(self, name: str, default: int) -> int:
        """A whole number."""
        return int(self._number(name, default, int))

    def number(self, name: str, default: float) -> float:
        """A number."""
        return float(self._number(name, default, float))

    def maybe_whole(self, name: str) -> int | None:
        """A whole number, or ``None`` if it is not given."""
        if name in self.values:
            return self.whole(name, 0)
        self._known.append(name)
        return None

    def maybe_number(self, name: str) -> float | None:
        """A number, or ``None`` if it is not given."""
        if name in self.values:
            return self.number(name, 0.0)
        self._known.append(name)
        return None

    def flag(self, name: str, *, default: bool) -> bool:
        """Yes or no."""
        self._known.append(name)
        value = self.values.get(name)
        if value is None:
            return default
        if value.lower() not in _YES | _NO:
            raise InvalidInput(f"{self.owner}: {name}={value} is neither true nor false")
        return value.lower() in _YES

    def done(self) -> None:
        """Check that every option given was known to somebody."""
        for name in self.values:
            if name not in self._known and name not in self.idle:
                raise UnknownName(f"option of {self.owner}", name, self._known)

    def _number(self, name: str, default: float, kind: type[int | float]) -> float:
        self._known.append(name)
        value = self.values.get(name)
        if value is None:
            return default
        try:
            return kind(value)
        except ValueError:
            wanted = "a whole number" if kind is int else "a number"
            raise InvalidInput(f"{self.owner}: {name}={value} is not {wanted}") from None


@dataclass(frozen=True)
class Spec:
    """A parsed name: the kind, the model (empty if the kind needs none) and the options."""

    kind: str
    model: str
    options: dict[str, str]
    text: str
    idle: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str, kinds: Iterable[str]) -> Spec:
        """From one link of a chain; unknown kinds are errors that list the right ones."""
        text = text.strip()
        body, _, query = text.rpartition("?") if "?" in text else (text, "", "")
        kind, _, model = body.partition(":")
        if kind not in set(kinds):
            raise UnknownName("reranker kind", kind, kinds)
        return cls(kind, model, read_options(query, text), text)


def read_options(query: str, owner: str) -> dict[str, str]:
    """The options of ``name=value&name=value``; ``owner`` is the whole name, for the error's sake."""
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if len(pairs) != len(options) or (query and len(pairs) != query.count("&") + 1):
        raise InvalidInput(f"options of {owner!r} cannot be read; write ?name=value&name=value, each name once")
    return options


def links(chain: str) -> list[str]:
    """The links of a chain, in order."""
    parts = [part.strip() for part in chain.split(CHAIN)]
    if not all(parts):
        raise InvalidInput(f"{chain!r}: a link of the chain is empty; write FIRST {CHAIN} SECOND")
    return parts


def with_options(chain: str, given: Mapping[str, str]) -> str:
    """The name with options of its last link set, or set anew.

    >>> with_options("groupwise:m?size=10&repeat=1", {"repeat": "4"})
    'groupwise:m?size=10&repeat=4'
    """
    *before, last = links(chain)
    body, _, query = last.rpartition("?") if "?" in last else (last, "", "")
    told = urlencode({**read_options(query, last), **given}, quote_via=quote, safe="/:,@~ ")
    return f" {CHAIN} ".join([*before, f"{body}?{told}" if told else body])


def llm_options(take: Options) -> LLMOptions:
    """How to run a language model, from a name's options."""
    defaults = LLMOptions()
    return LLMOptions(
        engine=take.text("engine", defaults.engine, LLM_ENGINES),
        concurrency=take.maybe_whole("concurrency"),
        timeout=take.maybe_number("timeout"),
        context=take.maybe_whole("context"),
        dtype=cast("Precision", take.text("dtype", defaults.dtype, PRECISIONS)),
        reuse_prefix=take.flag("reuse_prefix", default=defaults.reuse_prefix),
    )
