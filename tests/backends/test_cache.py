import copy
import dataclasses
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from shortlist.backends.base import (
    Ask,
    Completer,
    Completion,
    Cuts,
    Embedder,
    Likelihoods,
    Pair,
    PairScore,
    PairScorer,
    Question,
    Scorer,
)
from shortlist.backends.cache import (
    CachedCompleter,
    CachedEmbedder,
    CachedPairScorer,
    CachedScorer,
    Store,
    cached,
    key_of,
)
from shortlist.backends.scripted import ScriptedCompleter, ScriptedPairScorer, ScriptedScorer
from shortlist.errors import BackendError, InvalidInput
from shortlist.testing.backends import check_completer, check_embedder, check_pair_scorer, check_scorer
from shortlist.text.language import Language, Said
from shortlist.types import Message, Usage

HIT = Usage(cached_calls=1)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "deep" / "cache.sqlite") as made:
        yield made


def ask(text, **more):
    return Ask(messages=(Message("user", text),), **more)


def words(asked):
    return asked.messages[-1].content


def echo(asked):
    return Completion(finish="error", error="no") if words(asked) == "BAD" else f"you said {words(asked)}"


class Everything:
    """Completes, scores, scores pairs, embeds and cuts; counts what it is asked."""

    identity = "everything"
    concurrency = 7

    def __init__(self):
        self.asked = []

    def complete(self, asks):
        self.asked += asks
        return [Completion(text=words(a), reasoning="r", finish="length") for a in asks]

    def likelihoods(self, questions):
        self.asked += questions
        return [Likelihoods(logprobs=(-0.1, -math.inf), tokens=(1, 2)) for _ in questions]

    def score_pairs(self, pairs):
        self.asked += pairs
        return [PairScore(score=float(np.float32(len(p.passage) / 3)), truncated=True) for p in pairs]

    def embed(self, texts, *, role):
        self.asked += texts
        rows = np.array([[len(text), len(role), 0.1] for text in texts], dtype=np.float32).reshape(-1, 3)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)

    def cut(self, text, max_tokens):
        return text[:max_tokens], len(text) > max_tokens


# ---------------------------------------------------------------------------------------------- backends


def test_contracts_with_a_cold_and_a_warm_cache(store):
    for _ in range(2):
        check_completer(cached(ScriptedCompleter(echo), store), bad=ask("BAD"))
        check_scorer(cached(ScriptedScorer(lambda q: [-1.0, -2.0]), store))
        check_pair_scorer(cached(ScriptedPairScorer(lambda pair: len(pair.passage)), store))
        check_embedder(cached(Everything(), store))


def test_what_was_asked_once_is_not_asked_again(store):
    model = ScriptedCompleter(echo)
    first = cached(model, store).complete([ask("a"), ask("b"), ask("a")])
    assert [words(a) for a in model.asked] == ["a", "b"]
    assert [c.text for c in first] == ["you said a", "you said b", "you said a"]
    assert [c.usage.calls for c in first] == [1, 1, 0]
    assert first[2].usage == HIT
    again = cached(model, Store(store.path)).complete([ask("b"), ask("c"), ask("a")])
    assert [words(a) for a in model.asked] == ["a", "b", "c"]
    assert [c.text for c in again] == ["you said b", "you said c", "you said a"]
    assert [c.usage for c in again][::2] == [HIT, HIT]


def test_every_field_comes_back(store):
    for backend in (cached(Everything(), store), cached(Everything(), store)):
        (done,) = backend.complete([ask("x")])
        (told,) = backend.likelihoods([Question(messages=(Message("user", "q"),), labels=("a", "b"))])
        (scored,) = backend.score_pairs([Pair("q", "four")])
        assert (done.text, done.reasoning, done.finish) == ("x", "r", "length")
        assert (told.logprobs, told.tokens) == ((-0.1, -math.inf), (1, 2))
        assert (scored.score, scored.truncated) == (float(np.float32(4 / 3)), True)
    assert backend.inner.asked == []
    assert (done.usage, told.usage, scored.usage) == (HIT, HIT, HIT)


def test_vectors_come_back_bit_for_bit(store):
    model = Everything()
    plain = model.embed(["a", "bb", "a"], role="query")
    one = cached(model, store).embed(["a", "bb", "a"], role="query")
    other = cached(Everything(), store).embed(["bb", "a"], role="query")
    assert one.dtype == other.dtype == np.float32
    assert np.array_equal(one, plain)
    assert np.array_equal(other, plain[[1, 0]])
    other[0] = 0  # the caller's own
    assert model.asked == ["a", "bb", "a", "a", "bb"]
    assert not np.array_equal(cached(model, store).embed(["a"], role="passage"), plain[:1])
    assert cached(model, store).embed([], role="query").shape == (0, 3)


@pytest.mark.parametrize(
    "other",
    [
        {"max_tokens": 9},
        {"temperature": 0.7, "seed": 1},
        {"top_p": 0.5},
        {"seed": 3},
        {"stop": ("x",)},
        {"schema": {"a": 1, "b": 2}},
        {"schema": {"b": 2, "a": 1}},
        {"language": Language((Said("x"),))},
        {"messages": (Message("system", "same"),)},
        {"messages": (Message("user", "same"), Message("assistant", ""))},
    ],
)
def test_everything_in_an_ask_is_part_of_its_key(store, other):
    model = ScriptedCompleter(lambda a: repr(a))
    cached(model, store).complete([ask("same"), ask("same", schema={})])
    changed = dataclasses.replace(ask("same"), **other)
    assert cached(model, store).complete([changed])[0].text == repr(changed)
    assert len(model.asked) == 3


def test_every_field_of_an_ask_is_tried_above():
    tried = {"max_tokens", "temperature", "top_p", "seed", "stop", "schema", "language", "messages"}
    assert {field.name for field in dataclasses.fields(Ask)} == tried


def test_what_a_reply_begins_with_is_part_of_a_questions_key():
    plain = Question(messages=(Message("user", "q"),), labels=("a", "b"))
    keys = {key_of("likelihoods", "m", dataclasses.replace(plain, begun=begun)) for begun in ("", "so", "so ")}
    assert len(keys) == 3
    before = {"messages": [["user", "q"]], "labels": ["a", "b"]}  # entries made before there was such a field stay good
    assert key_of("likelihoods", "m", plain) == key_of("likelihoods", "m", before)


def test_identities_and_kinds_do_not_mix(store):
    assert cached(ScriptedCompleter(lambda a: "one", identity="1"), store).complete([ask("x")])[0].text == "one"
    assert cached(ScriptedCompleter(lambda a: "two", identity="2"), store).complete([ask("x")])[0].text == "two"
    assert len({key_of(k, i, "x") for k in ("complete", "pair") for i in ("1", "2")}) == 4


def test_failures_are_not_kept(store):
    model = ScriptedCompleter(echo)
    for _ in range(2):
        done = cached(model, store).complete([ask("BAD"), ask("good"), ask("BAD")])
        assert [c.error for c in done] == ["no", None, "no"]
        assert done[2].usage == Usage()
    assert [words(a) for a in model.asked] == ["BAD", "good", "BAD"]
    assert len(store) == 1


def test_a_dead_backend_is_raised_and_leaves_no_trace(store):
    def dead(asked):
        raise BackendError("gone")

    with pytest.raises(BackendError):
        cached(ScriptedCompleter(dead), store).complete([ask("x")])
    assert cached(ScriptedCompleter(echo), store).complete([ask("x")])[0].text == "you said x"


def test_sampling_without_a_seed_is_neither_kept_nor_shared(store):
    draws = iter(range(100))
    model = ScriptedCompleter(lambda a: str(next(draws)))
    free = ask("x", temperature=1.0)
    done = cached(model, store).complete([free, ask("x"), free])
    assert [c.text for c in done] == ["0", "1", "2"]
    assert [c.text for c in cached(model, store).complete([free, ask("x")])] == ["3", "1"]
    seeded = ask("x", temperature=1.0, seed=5)
    assert [c.text for c in cached(model, store).complete([seeded, seeded])] == ["4", "4"]


def test_capabilities_and_attributes_pass_through(store):
    both = cached(Everything(), store)
    assert all(isinstance(both, p) for p in (Completer, Scorer, PairScorer, Embedder, Cuts))
    assert (both.identity, both.concurrency, both.cut("abc", 2)) == ("everything", 7, ("ab", True))
    plain = cached(ScriptedCompleter(echo, concurrency=3), store)
    assert isinstance(plain, CachedCompleter)
    assert plain.concurrency == 3
    assert not any(isinstance(plain, p) for p in (Scorer, PairScorer, Embedder, Cuts))
    assert getattr(plain, "nothing", None) is None
    assert copy.copy(plain).identity == "scripted"
    assert isinstance(CachedScorer(Everything(), store), Cuts)
    assert CachedPairScorer(Everything(), store).score_pairs([]) == []
    assert CachedEmbedder(Everything(), store).identity == "everything"
    with pytest.raises(InvalidInput, match="no backend"):
        cached(object(), store)


def test_equal_asks_of_many_threads_are_asked_once(store):
    model = ScriptedCompleter(echo, latency=lambda a: 0.1)
    slow = cached(model, store)
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda i: slow.complete([ask("x")])[0], range(8)))
    assert len(model.asked) == 1
    assert {c.text for c in done} == {"you said x"}
    assert sum(c.usage.calls for c in done) == 1


def test_threads_that_want_each_others_keys_do_not_wait_for_ever(store):
    slow = cached(ScriptedCompleter(echo, latency=lambda a: 0.02), store)
    names = [str(i) for i in range(6)]
    with ThreadPoolExecutor(6) as pool:
        turned = [names[i:] + names[:i] for i in range(6)]
        done = list(pool.map(lambda order: [c.text for c in slow.complete([ask(n) for n in order])], turned))
    assert done == [[f"you said {n}" for n in order] for order in turned]


def test_if_the_first_thread_fails_the_second_asks(store):
    started, tries = threading.Event(), []

    def reply(asked):
        tries.append(asked)
        started.set()
        time.sleep(0.1)
        if len(tries) == 1:
            raise BackendError("first")
        return "second"

    slow = cached(ScriptedCompleter(reply), store)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(slow.complete, [ask("x")])
        started.wait()
        second = pool.submit(slow.complete, [ask("x")])
        assert second.result()[0].text == "second"
        with pytest.raises(BackendError):
            first.result()


def test_lone_surrogates_have_keys(store):
    model = ScriptedCompleter(lambda a: "\ud800\x00é")
    texts = ["\ud800", "\udc00", "\x00", "é"]
    for _ in range(2):
        assert [c.text for c in cached(model, store).complete([ask(t) for t in texts])] == ["\ud800\x00é"] * 4
    assert len(model.asked) == 4


def test_what_cannot_be_a_key(store):
    with pytest.raises(InvalidInput, match="set"):
        cached(ScriptedCompleter(echo), store).complete([ask("x", schema={"a": {1}})])
