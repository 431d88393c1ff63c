import dataclasses

import numpy as np
import pytest

from shortlist.backends.base import Ask, Completion, Likelihoods, Pair, PairScore, Question
from shortlist.backends.scripted import ScriptedCompleter, ScriptedPairScorer, ScriptedScorer
from shortlist.testing.backends import (
    ASKS,
    QUESTIONS,
    check_completer,
    check_embedder,
    check_pair_scorer,
    check_scorer,
)
from shortlist.types import Message, Usage

BAD = Ask(messages=(Message("user", "BAD"),))


def reply(ask):
    words = ask.messages[-1].content
    return Completion(finish="error", error="no") if words == "BAD" else f"you said {words}"


def test_ours_pass():
    check_completer(ScriptedCompleter(reply), bad=BAD)
    check_scorer(ScriptedScorer(lambda q: [-float(len(q.messages[-1].content) + i) for i in range(len(q.labels))]))
    check_pair_scorer(ScriptedPairScorer(lambda pair: len(pair.passage) / 10))


class Base:
    identity = "mine"

    def complete(self, asks):
        return [Completion(text=ask.messages[-1].content) for ask in asks]

    def likelihoods(self, questions):
        return [Likelihoods(logprobs=(-1.0,) * len(q.labels), tokens=(1,) * len(q.labels)) for q in questions]

    def score_pairs(self, pairs):
        return [PairScore(score=1.0) for _ in pairs]

    def embed(self, texts, *, role):
        rows = np.array([[len(text), 1.0] for text in texts], dtype=np.float32).reshape(-1, 2)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def test_a_plain_class_passes():
    check_completer(Base())
    check_scorer(Base())
    check_pair_scorer(Base())
    check_embedder(Base())


class Nameless(Base):
    identity = " "


class Restless(Base):
    @property
    def identity(self):
        self.count = getattr(self, "count", 0) + 1
        return f"call {self.count}"


class Reversed(Base):
    def complete(self, asks):
        return super().complete(asks)[::-1]


class ByPlace(Base):
    def complete(self, asks):
        return [Completion(text=str(i)) for i in range(len(asks))]


class Lossy(Base):
    def complete(self, asks):
        return super().complete(asks)[:2]


class Lazy(Base):
    def complete(self, asks):
        return map(str, asks)


class Greedy(Base):
    def complete(self, asks):
        done = super().complete(asks)
        asks.clear()
        return done


class Free(Base):
    def complete(self, asks):
        return [dataclasses.replace(done, usage=Usage()) for done in super().complete(asks)]


class Contagious(Base):
    def complete(self, asks):
        spoilt = any(ask == BAD for ask in asks)
        return [Completion(error="no", finish="error") if spoilt else done for done in super().complete(asks)]


class Careless(Base):
    """Never fails, not even where it must."""


class Failing(Base):
    def complete(self, asks):
        return [Completion(error="no", finish="error") for _ in asks]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (Nameless, "identity is"),
        (Restless, "identity differs"),
        (Reversed, "batched and alone differ"),
        (ByPlace, "do not follow the order"),
        (Lossy, "3 asked, 2 results"),
        (Lazy, r"empty batch|not a list"),
        (Greedy, "changed what it was given"),
        (Free, "neither a call nor a cached one"),
        (Contagious, "spoilt"),
        (Careless, "should have failed"),
        (Failing, "an error"),
    ],
)
def test_broken_completers_are_caught(broken, words):
    with pytest.raises(AssertionError, match=words):
        check_completer(broken(), bad=BAD)


def test_broken_scorers_are_caught():
    def told(logprobs, tokens=(1, 1)):
        broken = Base()
        broken.likelihoods = lambda questions: [Likelihoods(logprobs=logprobs, tokens=tokens) for _ in questions]
        return broken

    check_scorer(told((-1.0, float("-inf"))))
    for logprobs, tokens in (
        ((-1.0,), (1,)),
        ((0.5, -1.0), (1, 1)),
        ((float("nan"), -1.0), (1, 1)),
        ((-1, -1), (0, 1)),
    ):
        with pytest.raises(AssertionError):
            check_scorer(told(logprobs, tokens))
    broken = Base()
    broken.score_pairs = lambda pairs: [PairScore(score=float("nan")) for _ in pairs]
    with pytest.raises(AssertionError, match="no number"):
        check_pair_scorer(broken)
    drifting = Base()
    drifting.score_pairs = lambda pairs: [PairScore(score=float(len(pairs))) for _ in pairs]
    with pytest.raises(AssertionError, match="batched and alone"):
        check_pair_scorer(drifting)


@pytest.mark.parametrize(
    ("embed", "words"),
    [
        (lambda texts, role: np.ones((len(texts), 2), dtype=np.float32), "lengths"),
        (lambda texts, role: Base().embed(texts, role=role).astype(np.float64), "float64"),
        (lambda texts, role: Base().embed(texts, role=role)[:1], "texts × dimensions"),
        (lambda texts, role: Base().embed(texts[::-1], role=role), "place"),
    ],
)
def test_broken_embedders_are_caught(embed, words):
    broken = Base()
    broken.embed = embed
    with pytest.raises(AssertionError, match=words):
        check_embedder(broken)


def test_not_a_backend():
    for check in (check_completer, check_scorer, check_pair_scorer, check_embedder):
        with pytest.raises(AssertionError, match="lacks"):
            check(object())


def test_what_is_asked_by_default_has_no_duplicates():
    assert len({str(ask) for ask in ASKS}) == len(ASKS)
    assert len({str(question) for question in QUESTIONS}) == len(QUESTIONS)
    assert isinstance(QUESTIONS[0], Question)
    assert Pair("q", "p").passage == "p"
