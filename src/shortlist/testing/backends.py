"""The contracts of backends, as checks that anyone's backend can be put through: ours pass them first.

Each check returns nothing, or raises :class:`AssertionError` that says what is broken. None needs a test framework.
Replies are compared between calls, so the backend must be deterministic for what it is asked: temperature 0.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, cast

import numpy as np

from shortlist.backends.base import (
    Ask,
    Completer,
    Completion,
    Embedder,
    Likelihoods,
    Pair,
    PairScore,
    PairScorer,
    Question,
    Scorer,
)
from shortlist.types import Message, Usage

I = TypeVar("I")  # noqa: E741
R = TypeVar("R", Completion, Likelihoods, PairScore)

_SAID = ("Name a colour.", "Name a river of Europe.", "Say a number — ‘sieben’, 七 or 7.")

ASKS = tuple(Ask(messages=(Message("user", said),), max_tokens=16) for said in _SAID)
"""What :func:`check_completer` asks, unless told otherwise."""

QUESTIONS = tuple(
    Question(messages=(Message("system", "Judge."), Message("user", f"{said} Reply yes or no.")), labels=("yes", "no"))
    for said in _SAID
)
"""What :func:`check_scorer` asks, unless told otherwise."""

PAIRS = (
    Pair("where is the Danube", "The Danube flows through ten countries."),
    Pair("where is the Danube", "Bread is baked from flour."),
    Pair("naïve ‘quotes’", "Text beyond ASCII: Größe, 大きさ."),
)
"""What :func:`check_pair_scorer` scores, unless told otherwise."""


def check_completer(completer: Completer, asks: Sequence[Ask] = ASKS, *, bad: Ask | None = None) -> None:
    """Raise if ``completer`` breaks its contract; ``bad`` is an ask that must fail, and alone."""
    _expect(isinstance(completer, Completer), f"{completer!r} lacks complete or identity")
    _check(completer, completer.complete, asks, bad, faulty=_faulty_completion, same=_same_completion)


def check_scorer(
    scorer: Scorer, questions: Sequence[Question] = QUESTIONS, *, bad: Question | None = None, tolerance: float = 1e-4
) -> None:
    """Raise if ``scorer`` breaks its contract. Log-probabilities may differ by ``tolerance`` with the batch."""
    _expect(isinstance(scorer, Scorer), f"{scorer!r} lacks likelihoods or identity")

    def same(one: Likelihoods, other: Likelihoods) -> bool:
        return one.tokens == other.tokens and _close(one.logprobs, other.logprobs, tolerance)

    _check(scorer, scorer.likelihoods, questions, bad, faulty=_faulty_likelihoods, same=same)


def check_pair_scorer(
    scorer: PairScorer, pairs: Sequence[Pair] = PAIRS, *, bad: Pair | None = None, tolerance: float = 1e-3
) -> None:
    """Raise if ``scorer`` breaks its contract. Scores may differ by ``tolerance`` with the batch."""
    _expect(isinstance(scorer, PairScorer), f"{scorer!r} lacks score_pairs or identity")

    def same(one: PairScore, other: PairScore) -> bool:
        return one.truncated == other.truncated and _close((one.score,), (other.score,), tolerance)

    _check(scorer, scorer.score_pairs, pairs, bad, faulty=_faulty_pair_score, same=same)


def check_embedder(embedder: Embedder, texts: Sequence[str] = _SAID, *, tolerance: float = 1e-3) -> None:
    """Raise if ``embedder`` breaks its contract. Components may differ by ``tolerance`` with the batch."""
    _expect(isinstance(embedder, Embedder), f"{embedder!r} lacks embed or identity")
    identity = _identity(embedder)
    roles: tuple[Literal["query", "passage"], ...] = ("query", "passage")
    for role in roles:
        given = list(texts)
        rows = embedder.embed(given, role=role)
        _expect(given == list(texts), "embed changed the list it was given")
        _expect(rows.dtype == np.float32, f"the vectors are {rows.dtype}, not float32")
        _expect(rows.ndim == 2 and len(rows) == len(texts), f"{rows.shape} is not texts × dimensions")
        lengths = np.linalg.norm(rows, axis=1)
        _expect(bool(np.allclose(lengths, 1, atol=1e-3)), f"the vectors have lengths {lengths}, not 1")
        alone = np.concatenate([embedder.embed([text], role=role) for text in texts])
        _expect(
            bool(np.allclose(alone, rows, atol=tolerance)), "a text's vector depends on its neighbours or its place"
        )
        empty = embedder.embed([], role=role)
        _expect(len(empty) == 0 and empty.ndim == 2, f"no texts gave {empty.shape}, not (0, dimensions)")
    _expect(_identity(embedder) == identity, "identity changed with use")


def _check(
    backend: Any,
    call: Callable[[Sequence[I]], list[R]],
    items: Sequence[I],
    bad: I | None,
    *,
    faulty: Callable[[Any, Any], str],
    same: Callable[[R, R], bool],
) -> None:
    """What every kind of result has in common."""
    identity = _identity(backend)
    _expect(call([]) == [], "an empty batch did not give []")
    batch = _called(call, items)
    for item, result in zip(items, batch, strict=True):
        fault = _faulty(result) or faulty(result, item)
        _expect(not fault, f"{fault}: {item!r} gave {result!r}")
    alone = [_called(call, [item])[0] for item in items]
    turned = _called(call, items[::-1])[::-1]
    for item, one, other, third in zip(items, batch, alone, turned, strict=True):
        _expect(same(one, other), f"batched and alone differ: {item!r} gave {one!r} and {other!r}")
        _expect(same(one, third), f"results do not follow the order of what is asked: {item!r} gave {third!r}")
    if bad is not None:
        _check_isolated(call, items, bad, batch, same)
    _expect(_identity(backend) == identity, "identity changed with use")


def _check_isolated(
    call: Callable[[Sequence[I]], list[R]], items: Sequence[I], bad: I, batch: list[R], same: Callable[[R, R], bool]
) -> None:
    first, failed, *rest = _called(call, [items[0], bad, *items[1:]])
    _expect(bool(failed.error), f"{bad!r} should have failed, and gave {failed!r}")
    for item, one, other in zip(items, [first, *rest], batch, strict=True):
        _expect(one.error is None and same(one, other), f"a failed neighbour spoilt {item!r}: {one!r}")


def _called(call: Callable[[Sequence[I]], list[R]], items: Sequence[I]) -> list[R]:
    given = list(items)
    before = copy.deepcopy(given)
    results: Any = call(given)
    _expect(given == before, "the backend changed what it was given")
    _expect(isinstance(results, list), f"the results are a {type(results).__name__}, not a list")
    _expect(len(results) == len(before), f"{len(before)} asked, {len(results)} results")
    return cast("list[R]", results)


def _identity(backend: Any) -> str:
    identity: object = backend.identity
    _expect(isinstance(identity, str) and bool(identity.strip()), f"identity is {identity!r}; name the model")
    _expect(backend.identity == identity, "identity differs from one look to the next")
    return str(identity)


def _faulty(result: Any) -> str:
    """What is wrong with any good item's result; nothing if all is well."""
    if result.error is not None:
        return "an error"
    usage = result.usage
    if not isinstance(usage, Usage) or min(usage.prompt_tokens, usage.completion_tokens, usage.seconds) < 0:
        return "no sound usage"
    return "" if usage.calls + usage.cached_calls >= 1 else "usage counts neither a call nor a cached one"


def _faulty_completion(completion: Any, _: Ask) -> str:
    if not isinstance(completion.text, str) or not isinstance(completion.reasoning, str):
        return "a text that is no str"
    return "" if completion.finish in {"stop", "length"} else f"finish {completion.finish!r} without an error"


def _faulty_likelihoods(told: Likelihoods, question: Question) -> str:
    if not len(told.logprobs) == len(told.tokens) == len(question.labels):
        return f"not one value for each of {len(question.labels)} labels"
    if any(math.isnan(value) or value > 1e-3 for value in told.logprobs):
        return "a value that is no log-probability"
    return "" if min(told.tokens, default=1) >= 1 else "a label without tokens"


def _faulty_pair_score(scored: PairScore, _: Pair) -> str:
    return "" if math.isfinite(scored.score) else "a score that is no number"


def _same_completion(one: Completion, other: Completion) -> bool:
    return (one.text, one.reasoning, one.finish) == (other.text, other.reasoning, other.finish)


def _close(one: Sequence[float], other: Sequence[float], tolerance: float) -> bool:
    pairs = zip(one, other, strict=True)
    return len(one) == len(other) and all(a == b or abs(a - b) <= tolerance for a, b in pairs)


def _expect(condition: bool, otherwise: str) -> None:  # noqa: FBT001
    if not condition:
        raise AssertionError(otherwise[:2000])
