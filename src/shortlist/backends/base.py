"""What a backend can do: complete prompts, score fixed replies, score pairs, embed texts. It offers one or more.

Every method takes a batch and gives as many results, in the same order. One item that fails, after all retries, comes
back with its ``error`` set and never spoils its neighbours; a failure that would befall every item alike (a bad key, an
unknown model) is raised as :class:`~shortlist.errors.BackendError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from shortlist.text.language import Language
from shortlist.types import Messages, Usage

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One prompt to complete, with everything of the request that decides the reply.

    ``schema`` is a JSON schema that the reply must fit, honoured by backends that can and ignored by the others.
    ``language`` holds the reply to a prompt's well-formed ones, in whatever form the backend can: all of ours do, or
    say so. Where there is a language, ``schema`` is not looked at.
    """

    messages: Messages
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    language: Language | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A reply. ``reasoning`` is what the server returned apart from the text (reasoning models)."""

    text: str = ""
    reasoning: str = ""
    finish: Literal["stop", "length", "error"] = "stop"
    usage: Usage = Usage(calls=1)
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A conversation, and the fixed replies (``labels``) whose log-likelihoods are wanted.

    ``begun``: what stands of the reply already. The labels are then read right behind it, and only they are counted. It is
    for a :class:`Continuer`; other scorers do not look at it.
    """

    messages: Messages
    labels: tuple[str, ...]
    begun: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihoods:
    """Natural-log probabilities of each label, summed over its tokens; ``tokens`` is the length of each label.

    Where the server shows only its likeliest tokens, a label that is not among them has ``-inf``.
    """

    logprobs: tuple[float, ...] = ()
    tokens: tuple[int, ...] = ()
    usage: Usage = Usage(calls=1)
    error: str | None = None


class Pair(NamedTuple):
    """A query and a passage."""

    query: str
    passage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairScore:
    """The raw logit of a pair, float32 (no sigmoid: half-precision and saturated scores tie); higher is better."""

    score: float
    truncated: bool = False
    usage: Usage = Usage(calls=1)
    error: str | None = None


class Backend(Protocol):
    """What all backends share: ``identity`` names everything of the model that decides its output (cache key)."""

    @property
    def identity(self) -> str:
        """Model, revision or checksum, quantisation, precision, chat template: whatever decides the output."""


@runtime_checkable
class Completer(Backend, Protocol):
    """Completes prompts."""

    def complete(self, asks: Sequence[Ask], /) -> list[Completion]:
        """One completion an ask."""


@runtime_checkable
class Scorer(Backend, Protocol):
    """Tells the log-likelihoods of fixed replies.

    One that has ``whole_labels = False`` sees a reply of several tokens only as far as its own reply runs along it.
    """

    def likelihoods(self, questions: Sequence[Question], /) -> list[Likelihoods]:
        """One result a question."""


@runtime_checkable
class Continuer(Completer, Scorer, Protocol):
    """Completes and scores by one model, and reads labels behind a reply that has begun (:attr:`Question.begun`)."""

    @property
    def continues(self) -> Literal[True]:
        """The mark by which it is known; a class variable will do."""


@runtime_checkable
class PairScorer(Backend, Protocol):
    """Scores (query, passage) pairs: a cross-encoder."""

    def score_pairs(self, pairs: Sequence[Pair], /) -> list[PairScore]:
        """One score a pair."""


@runtime_checkable
class Embedder(Backend, Protocol):
    """Embeds texts."""

    def embed(self, texts: Sequence[str], /, *, role: Literal["query", "passage"]) -> Vectors:
        """Unit vectors, one row a text (float32, texts × dimensions)."""


@runtime_checkable
class Cuts(Protocol):
    """A backend that knows its tokenizer, and so can cut a text to a number of tokens exactly."""

    def cut(self, text: str, max_tokens: int, /) -> tuple[str, bool]:
        """The text's first ``max_tokens`` tokens, and whether anything was lost."""
