"""The short face: a reranker by name, a reader by name, one query at a time."""

from __future__ import annotations

import copy
import dataclasses
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "backends"))

from loopback import chat, free_port, last_words, serve

from shortlist import Document, Query, RerankRequest, Shortlist, Status, ask, open_reader
from shortlist.backends.cache import Store
from shortlist.backends.scripted import ScriptedCompleter, ScriptedPairScorer
from shortlist.errors import BackendError, InvalidInput, InvalidRequest, JudgementFailed, UnknownName
from shortlist.reading.readers import LLMReader
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.compose import FirstStage
from shortlist.rerankers.policies import PairPolicy, TextPolicy
from shortlist.rerankers.strategies import Pointwise, WholeList
from shortlist.text.listwise import Listwise


def by_length():
    scorer = ScriptedPairScorer(lambda pair: float(len(pair.passage)))
    return Reranker(policy=PairPolicy(scorer=scorer), strategy=Pointwise())


def says(reply):
    policy = TextPolicy(prompt=Listwise(), completer=ScriptedCompleter(lambda _: reply))
    return Reranker(policy=policy, strategy=WholeList())


def test_rank_puts_the_best_first_and_drops_nothing():
    ranking = Shortlist(by_length()).rank("q?", ["a", "ccc", "bb"])
    assert ranking.ids == ("1", "2", "0")
    assert ranking.scores == (3.0, 2.0, 1.0)
    assert ranking.cutoff is None


def test_top_k_is_a_cutoff():
    ranking = Shortlist(by_length()).rank("q?", ["a", "ccc", "bb"], top_k=2)
    assert (len(ranking), ranking.cutoff, [c.id for c in ranking.kept]) == (3, 2, ["1", "2"])
    assert Shortlist(by_length()).rank("q?", ["a"], top_k=5).cutoff == 1
    with pytest.raises(InvalidInput, match="k is -1"):
        Shortlist(by_length()).rank("q?", ["a"], top_k=-1)


def test_rank_many_streams_in_order():
    taken = []

    def requests():
        for i in range(5):
            taken.append(i)
            yield RerankRequest.of(Query(id=f"q{i}", text="?"), ["a", "bb"])

    rankings = Shortlist(FirstStage()).rank_many(requests())
    assert next(rankings).query.id == "q0"
    assert taken == [0]
    assert [ranking.query.id for ranking in rankings] == ["q1", "q2", "q3", "q4"]


def test_a_reranker_by_name_over_http():
    with serve(lambda body: "[2] > [1]") as server:
        name = f"listwise:openai:m@{server.url}/v1"
        assert Shortlist(name).rank("q?", ["a", "b"]).order == (1, 0)


def test_the_cache_answers_the_second_time(tmp_path):
    with serve(lambda body: "[2] > [1]") as server:
        ranker = Shortlist(f"listwise:openai:m@{server.url}/v1", cache=tmp_path / "c.sqlite")
        assert ranker.rank("q?", ["a", "b"]).usage.cached_calls == 0
        assert ranker.rank("q?", ["a", "b"]).usage.cached_calls == 1
        assert len(server.seen) == 1


def test_on_error():
    with serve(lambda body: "no list") as server:
        name = f"listwise:openai:m@{server.url}/v1"
        assert Shortlist(name).rank("q?", ["a", "b"]).status is Status.FAILED
        with pytest.raises(JudgementFailed, match="'q'"):
            Shortlist(name, on_error="raise").rank("q?", ["a", "b"])
    with pytest.raises(UnknownName, match="raise, report"):
        Shortlist(name, on_error="ignore")


@pytest.mark.parametrize("query", ["", "  \n", Query])
def test_an_empty_query_is_refused(query):
    with pytest.raises(InvalidRequest, match="has no text"):
        Shortlist(by_length()).rank(query if isinstance(query, str) else query(text="", id="x"), ["a"])


@pytest.mark.parametrize("ranker", [by_length(), says("[1]"), FirstStage()])
def test_no_candidates_and_one(ranker):
    assert len(Shortlist(ranker).rank("q?", [])) == 0
    assert Shortlist(ranker).rank("q?", []).status is Status.OK
    assert Shortlist(ranker).rank("q?", ["only"]).order == (0,)


def test_one_string_is_not_a_list_of_passages():
    with pytest.raises(InvalidRequest, match="give a list"):
        Shortlist(by_length()).rank("q?", "abc")
    with pytest.raises(InvalidRequest, match="give a list"):
        ask(reader("x"), "q?", Document(id="d", text="x"))


def test_passages_of_no_known_kind():
    with pytest.raises(InvalidRequest, match="passage 1 is a int"):
        Shortlist(by_length()).rank("q?", ["a", 5])


def test_duplicate_ids_are_refused():
    with pytest.raises(InvalidRequest, match="come more than once"):
        Shortlist(by_length()).rank("q?", [Document(id="d", text="x"), Document(id="d", text="y")])


def test_a_thousand_candidates_and_a_megabyte():
    passages = [f"{'x' * (i % 7)}" for i in range(999)] + ["y" * 1_000_000]
    ranking = Shortlist(by_length()).rank("q?", passages)
    assert ranking.order[0] == 999
    assert sorted(ranking.order) == list(range(1000))
    partial = Shortlist(says("[1000] > [0] > [1000] > [-3] > [2]")).rank("q?", passages)
    assert partial.order[:3] == (999, 1, 0)
    assert sorted(partial.order) == list(range(1000))
    assert partial.truncated == 1


def test_the_callers_objects_are_left_as_they_are():
    passages = [Document(id="a", text="x" * 9000, metadata={"k": ["v"]}), Document(id="b", text="y")]
    before = copy.deepcopy(passages)
    for ranker in (by_length(), says("[2] > [1]"), says("garbage")):
        ranking = Shortlist(ranker).rank("q?", passages, top_k=1)
        assert passages == before
        assert [c.document for c in ranking.request.candidates] == before  # whole, though the model saw it cut
    with pytest.raises(dataclasses.FrozenInstanceError):
        ranking.cutoff = 0


def test_unknown_names_list_the_right_ones():
    with pytest.raises(UnknownName, match="cross-encoder"):
        Shortlist("crossencoder:minilm-l12")
    with pytest.raises(InvalidInput, match="names no model"):
        Shortlist("listwise")
    with pytest.raises(InvalidInput, match="minilm-l12"):
        Shortlist("cross-encoder:minilm-l13").rank("q?", ["a"])


# ------------------------------------------------------------------------------------------------ readers


def reader(reply, **more):
    return LLMReader(completer=ScriptedCompleter(lambda _: reply), **more)


def test_ask_answers_from_passages():
    answer = ask(reader("Paris"), "capital of France?", ["Paris is the capital."])
    assert (answer.text, answer.status) == ("Paris", Status.OK)
    assert ask(reader("Paris"), "capital of France?", []).text is None


def test_open_reader_takes_its_options():
    with serve(lambda body: "Paris") as server:
        name = f"openai:m@{server.url}/v1?passage_tokens=3&max_tokens=7&abstain=false&closed_book=true&concurrency=2"
        made = open_reader(name)
        assert made.prompt.passage_tokens == 3
        assert made.prompt.allow_abstain is False
        assert made.completer.concurrency == 2
        answer = ask(made, "capital?", ["one two three four five six seven eight"])
        assert answer.truncated == 1
        assert ask(made, "capital?", []).text == "Paris"  # from what the model knows
        assert server.seen[0]["max_tokens"] == 7


def test_open_reader_with_a_cache(tmp_path):
    with serve(lambda body: chat("Paris")) as server:
        made = open_reader(f"openai:m@{server.url}/v1", store=Store(tmp_path / "c.sqlite"))
        assert ask(made, "capital?", ["x"]).usage.cached_calls == 0
        assert ask(made, "capital?", ["x"]).usage.cached_calls == 1
        assert "capital?" in last_words(server.seen[0])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("smollm2-135m?token=3", "passage_tokens"),
        ("smollm2-135m?max_tokens=few", "not a whole number"),
        ("smollm2-135m?abstain=maybe", "neither true nor false"),
        ("smollm2-135m?max_tokens", "max_tokens= is not"),
        ("smollm2-135m?max_tokens=1&max_tokens=2", "each name once"),
        ("?max_tokens=3", "names no model"),
        ("openai:m", "openai:MODEL@URL"),
        ("openai:m@127.0.0.1:80", "openai:MODEL@URL"),
    ],
)
def test_readers_that_cannot_be_opened(name, words):
    with pytest.raises(InvalidInput, match=words):
        open_reader(name)


def test_a_reader_whose_server_is_away(monkeypatch):
    from shortlist.backends.openai import OpenAIBackend

    defaults = {**(OpenAIBackend.__init__.__kwdefaults__ or {}), "retries": 0}
    monkeypatch.setattr(OpenAIBackend.__init__, "__kwdefaults__", defaults)
    with pytest.raises(BackendError, match="no connection"):
        ask(open_reader(f"openai:m@http://127.0.0.1:{free_port()}/v1"), "q?", ["x"])
