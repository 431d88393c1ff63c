"""A persistent cache around any backend: what was asked once is not asked again, in this run or a later one.

An entry's key is SHA-256 over the backend's identity and everything in the ask, so a changed model, prompt or decoding
never meets an old entry. Failures are not kept. Sampling without a seed (``temperature > 0``, ``seed=None``) is not
kept either, nor shared within a batch: each draw is its own.

A result from the cache costs ``Usage(cached_calls=1)``: no calls, no tokens, no seconds. So sums of usage show what
was really spent. The same goes for the second of two equal asks in a batch, which is asked once.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, cast

import numpy as np

from shortlist.backends.base import (
    Ask,
    Backend,
    Completer,
    Completion,
    Continuer,
    Cuts,
    Embedder,
    Likelihoods,
    Pair,
    PairScore,
    PairScorer,
    Question,
    Scorer,
    Vectors,
)
from shortlist.backends.store import Store, Value
from shortlist.errors import InvalidInput
from shortlist.types import Usage

__all__ = ["CachedCompleter", "CachedEmbedder", "CachedPairScorer", "CachedScorer", "Store", "cached"]

SCHEMA = 1
"""Part of every key: raise it when an entry's meaning changes, and old entries are passed over."""

_HIT = Usage(cached_calls=1)

_YOUNGER = {Ask: "language", Question: "begun"}
"""Fields that are younger than the first entries: without a value they are no part of a key, so that those stay good."""

B = TypeVar("B", bound=Backend)
R = TypeVar("R", Completion, Likelihoods, PairScore)
I = TypeVar("I")  # noqa: E741


def key_of(kind: str, identity: str, asked: object) -> str:
    """SHA-256, in hex, of a kind of call, a backend's identity, and all that was asked."""
    text = json.dumps([SCHEMA, kind, identity, asked], default=_plain, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _repeatable(ask: Ask) -> bool:
    return ask.temperature == 0 or ask.seed is not None


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        told = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        younger = _YOUNGER.get(type(value), "")
        if younger and not told[younger]:
            del told[younger]
        return told
    if isinstance(value, Mapping):
        return dict(value)
    raise InvalidInput(
        f"a {type(value).__name__} in what is asked cannot be part of a cache key; give plain JSON values"
    )


@dataclass(frozen=True)
class _Cached(Generic[B]):
    """The common part: what is not cached passes through to ``inner`` (``cut``, ``concurrency``, ``close`` …)."""

    inner: B
    store: Store

    def __post_init__(self) -> None:
        inner: object = self.inner
        if isinstance(inner, Cuts):  # set on the object itself, where run-time protocol checks look
            object.__setattr__(self, "cut", inner.cut)
        if isinstance(inner, Continuer):
            object.__setattr__(self, "continues", inner.continues)

    @property
    def identity(self) -> str:
        """The inner backend's: a cache changes no output."""
        return self.inner.identity

    def __getattr__(self, name: str) -> Any:
        if name in {"inner", "store"} or name.startswith("__"):  # not set yet: copying or unpickling
            raise AttributeError(name)
        return getattr(self.inner, name)


class CachedCompleter(_Cached[Completer]):
    """A completer that remembers its replies. Sampling without a seed goes straight through."""

    def complete(self, asks: Sequence[Ask], /) -> list[Completion]:
        """One completion an ask."""
        identity = self.identity
        keys = [key_of("complete", identity, ask) if _repeatable(ask) else None for ask in asks]
        return _Batch(self.store, keys, asks, self.inner.complete, _COMPLETION).results()


class CachedScorer(_Cached[Scorer]):
    """A scorer that remembers its log-likelihoods."""

    def likelihoods(self, questions: Sequence[Question], /) -> list[Likelihoods]:
        """One result a question."""
        identity = self.identity
        keys = [key_of("likelihoods", identity, question) for question in questions]
        return _Batch(self.store, keys, questions, self.inner.likelihoods, _LIKELIHOODS).results()


class CachedPairScorer(_Cached[PairScorer]):
    """A cross-encoder that remembers its scores."""

    def score_pairs(self, pairs: Sequence[Pair], /) -> list[PairScore]:
        """One score a pair."""
        identity = self.identity
        keys = [key_of("pair", identity, pair) for pair in pairs]
        return _Batch(self.store, keys, pairs, self.inner.score_pairs, _PAIR_SCORE).results()


class CachedEmbedder(_Cached[Embedder]):
    """An embedder that remembers its vectors, as the float32 bytes they are."""

    def embed(self, texts: Sequence[str], /, *, role: Literal["query", "passage"]) -> Vectors:
        """Unit vectors, one row a text."""
        if not texts:
            return self.inner.embed(texts, role=role)
        identity = self.identity
        keys = [key_of("embed", identity, [role, text]) for text in texts]
        held = self.store.get_many(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in held}
        if missing:
            rows = np.asarray(self.inner.embed(list(missing.values()), role=role), dtype="<f4")
            fresh = {key: row.tobytes() for key, row in zip(missing, rows, strict=True)}
            self.store.put_many(fresh)
            held |= fresh
        return np.stack([np.frombuffer(held[key], dtype="<f4") for key in keys]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Form(Generic[R]):
    """How a result is kept: all its fields but what it cost and whether it failed."""

    kind: Callable[..., R]
    fields: tuple[str, ...]

    def pack(self, result: R) -> list[Any]:
        return [getattr(result, name) for name in self.fields]

    def unpack(self, value: Value) -> R:
        told = {n: tuple(v) if isinstance(v, list) else v for n, v in zip(self.fields, value, strict=True)}
        return self.kind(**told, usage=_HIT)


_COMPLETION = _Form(Completion, ("text", "reasoning", "finish"))
_LIKELIHOODS = _Form(Likelihoods, ("logprobs", "tokens"))
_PAIR_SCORE = _Form(PairScore, ("score", "truncated"))


@dataclass(frozen=True, slots=True)
class _Batch(Generic[I, R]):
    """Items to be answered from the store, or else by ``ask``; ``None`` for the keys of items that are never shared."""

    store: Store
    keys: Sequence[str | None]
    items: Sequence[I]
    ask: Callable[[Sequence[I]], list[R]]
    form: _Form[R]

    def results(self) -> list[R]:
        """One an item, in order.

        What another thread is asking at this moment is waited for, once our own asking is done: so no two threads ever
        wait for each other. If that thread's asking failed, we ask.
        """
        store, first = self.store, self._firsts()
        mine, theirs = store.flights.take(first)
        try:
            held = store.get_many(mine)
            store.flights.land(list(held))
            unasked = [i for i, key in enumerate(self.keys) if key is None]
            asked = self._ask(sorted(unasked + [first[key] for key in mine if key not in held]))
        finally:
            store.flights.land(mine)
        for landing in theirs.values():
            landing.wait()
        held |= store.get_many(theirs)
        asked |= self._ask([first[key] for key in theirs if key not in held])
        for i, key in enumerate(self.keys):
            if key is not None and i not in asked:
                asked[i] = self.form.unpack(held[key]) if key in held else self._shared(asked[first[key]])
        return [asked[i] for i in range(len(self.keys))]

    def _firsts(self) -> dict[str, int]:
        """The place at which each key comes first."""
        first: dict[str, int] = {}
        for i, key in enumerate(self.keys):
            if key is not None:
                first.setdefault(key, i)
        return first

    def _ask(self, places: Sequence[int]) -> dict[int, R]:
        """What the backend says of the items at these places, by place; what is good is stored."""
        if not places:
            return {}
        asked = dict(zip(places, self.ask([self.items[i] for i in places]), strict=True))
        good = {self.keys[i]: self.form.pack(result) for i, result in asked.items() if result.error is None}
        self.store.put_many({key: value for key, value in good.items() if key is not None})
        return asked

    @staticmethod
    def _shared(result: R) -> R:
        """An equal item's result, which cost this one nothing."""
        return dataclasses.replace(result, usage=_HIT if result.error is None else Usage())


_WRAPPERS: tuple[tuple[type, type[_Cached[Any]]], ...] = (
    (Completer, CachedCompleter),
    (Scorer, CachedScorer),
    (PairScorer, CachedPairScorer),
    (Embedder, CachedEmbedder),
)


def cached(backend: B, store: Store) -> B:
    """The backend behind the store, for everything that it can do; what else it has passes through."""
    wrappers = tuple(wrapper for protocol, wrapper in _WRAPPERS if isinstance(backend, protocol))
    if not wrappers:
        raise InvalidInput(f"a {type(backend).__name__} is no backend: it neither completes, scores nor embeds")
    return cast("B", _joined(wrappers)(backend, store))


@functools.cache
def _joined(wrappers: tuple[type[_Cached[Any]], ...]) -> type[_Cached[Any]]:
    """One class that is all of these."""
    return wrappers[0] if len(wrappers) == 1 else type("Cached", wrappers, {})
