"""What trained models are used with: early exit by a gate, reasoning handed to the caller, subsets that a reader
follows, expected scores of integers of two tokens."""

import json
import math
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.backends.scripted import ScriptedCompleter, ScriptedPairScorer, ScriptedScorer
from shortlist.cli import run
from shortlist.cli.notes import notes_path
from shortlist.data import read_jsonl
from shortlist.data.jsonl import ranking_from_json, ranking_to_json
from shortlist.errors import InvalidInput
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.catalog import open_reranker
from shortlist.rerankers.compose import Cascade, FirstStage, Gate
from shortlist.rerankers.cutoffs import LargestGap, Threshold
from shortlist.rerankers.policies import LabelPolicy, PairPolicy, TextPolicy
from shortlist.rerankers.strategies import Pointwise, SlidingWindow
from shortlist.text import ListwiseReasoning, PointwiseRating
from shortlist.types import Candidate, Document, Query, RerankRequest, Status

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))

from loopback import last_words, serve

WORDS = ["bread", "paris", "cats", "lyon", "sand"]


def scored(scores, query="q"):
    documents = [Document(id=f"d{i}", text=f"{i} {WORDS[i % 5]}") for i in range(len(scores))]
    return RerankRequest(Query(text=query), tuple(map(Candidate, documents, scores)))


def by_number(*, sign=1.0):
    """Scores by the number in the text; counts what it is shown."""
    shown = []

    def score(pair):
        shown.append(pair.passage)
        return sign * float(pair.passage.split()[0])

    policy = PairPolicy(scorer=ScriptedPairScorer(score))
    return Reranker(policy=policy, strategy=Pointwise(), name="numbers"), shown


# ------------------------------------------------------------------------------------------------ early exit


def test_obvious_negatives_are_not_sent_and_the_ranking_says_which():
    model, shown = by_number()
    request = scored([0.1, 5.0, -3.0, 2.0, 0.0])
    (ranking,) = Cascade(((model, Gate(Threshold(0.1))),)).rerank([request])
    assert ranking.ids == ("d3", "d1", "d0", "d4", "d2")  # judged by number; below, by first-stage score
    assert ranking.skipped == (2, 4)
    assert (ranking.unjudged, ranking.status, ranking.scores) == ((), Status.OK, None)
    assert sorted(shown) == ["0 bread", "1 paris", "3 lyon"]
    assert ranking.usage.calls == 3


def test_the_scores_of_the_link_before_decide_in_a_chain():
    cheap, _ = by_number(sign=-1.0)
    dear, shown = by_number()
    (ranking,) = Cascade(((cheap, None), (dear, Gate(Threshold(-1.5))))).rerank([scored([9.0] * 5)])
    assert ranking.ids == ("d1", "d0", "d2", "d3", "d4")
    assert (ranking.skipped, len(shown)) == ((2, 3, 4), 2)


def test_nothing_or_everything_may_pass():
    for low, skipped in ((99.0, (0, 1, 2)), (-99.0, ())):
        model, shown = by_number()
        (ranking,) = Cascade(((model, Gate(Threshold(low))),)).rerank([scored([3.0, 2.0, 1.0])])
        assert (ranking.skipped, len(shown)) == (skipped, 3 - len(skipped))
        assert ranking.status is Status.OK
        assert (ranking.scores is None) == bool(skipped)


def test_beyond_the_depth_is_not_skipped_but_deeper():
    model, shown = by_number()
    (ranking,) = Cascade(((model, Gate(Threshold(2.0), depth=3)),)).rerank([scored([5.0, 4.0, 1.0, 0.5])])
    assert (ranking.skipped, len(shown)) == ((2,), 2)
    model, shown = by_number()
    (ranking,) = Cascade(((model, Gate(LargestGap(), depth=1)),)).rerank([scored([5.0, 4.0, 1.0])])
    assert (ranking.skipped, len(shown)) == ((), 1)


def test_what_a_later_ranker_judges_is_no_longer_skipped():
    first, _ = by_number()
    second, _ = by_number()
    (ranking,) = Cascade(((first, Gate(Threshold(4.0))), (second, 2))).rerank([scored([5.0, 3.0, 1.0])])
    assert ranking.ids == ("d1", "d0", "d2")
    assert ranking.skipped == (2,)


@given(st.lists(st.floats(-10, 10), min_size=0, max_size=12), st.floats(-10, 10), st.none() | st.integers(1, 12))
@settings(max_examples=150, deadline=None)
def test_a_gate_parts_judged_from_skipped(scores, low, depth):
    model, shown = by_number()
    (ranking,) = Cascade(((model, Gate(Threshold(low), depth)),)).rerank([scored(scores)])
    best = sorted(range(len(scores)), key=lambda i: -scores[i])[:depth]
    assert set(ranking.skipped) == {i for i in best if scores[i] < low}
    assert len(shown) == sum(scores[i] >= low for i in best)
    assert sorted(ranking.order) == list(range(len(scores)))
    assert ranking_from_json(ranking_to_json(ranking)) == ranking


def test_a_gate_needs_scores():
    model, _ = by_number()
    request = RerankRequest.of("q", ["1 a", "2 b"])
    with pytest.raises(InvalidInput, match="needs scores"):
        next(Cascade(((model, Gate(Threshold(0.0))),)).rerank([request]))
    with pytest.raises(InvalidInput, match="depth 0"):
        Gate(Threshold(0.0), 0)
    with pytest.raises(InvalidInput, match="depth 0"):
        Cascade(((FirstStage(), 0),))


# ------------------------------------------------------------------------------------------------ by name, on the CLI


@pytest.fixture
def work(tmp_path):
    requests = tmp_path / "requests.jsonl"
    lines = [
        {
            "query": {"id": f"q{q}", "text": "capital of France?"},
            "candidates": [{"id": f"d{i}", "text": f"{i} {word}", "score": 4.0 - i} for i, word in enumerate(WORDS)],
        }
        for q in range(2)
    ]
    requests.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return requests


def reasoned(body):
    n = last_words(body).count("\n[")
    order = " > ".join(f"[{i}]" for i in range(n, 0, -1))
    return f"<think>weighed {n} passages</think>\n<answer> {order} </answer>"


def test_windows_reason_and_the_caller_reads_it(work, tmp_path, capsys):
    with serve(reasoned) as server:
        spec = f"listwise:openai:m@{server.url}/v1?reasoning=true&window=3&stride=2"
        request = next(iter(ranking_request(work)))
        (ranking,) = open_reranker(spec).rerank([request])
        assert ranking.reasoning == ("weighed 3 passages", "weighed 3 passages")
        passages = tmp_path / "passages"
        passages.write_text("\n".join(WORDS), encoding="utf-8")
        assert run(["rerank", "-q", "capital?", "--reranker", spec, "--lines", str(passages), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["ranking"]["reasoning"] == ["weighed 3 passages"] * 2
        served = ask_the_server(spec)
    assert served["reasoning"] == ["weighed 3 passages"] * 2
    assert served["status"] == "ok"


def ranking_request(path):
    from shortlist.data import read_requests

    return read_requests(path)


def ask_the_server(spec):
    from fastapi.testclient import TestClient

    from shortlist.serving.app import create_app

    with TestClient(create_app([open_reranker(f"{spec}&name=m")])) as client:
        reply = client.post("/v1/rerank", json={"query": "capital?", "documents": WORDS, "rerank": {"explain": True}})
    assert reply.status_code == 200, reply.text
    return reply.json()["meta"]["rerank"]


def test_a_gate_by_name_and_its_notes(work, tmp_path):
    with serve(lambda body: " > ".join(f"[{i}]" for i in range(last_words(body).count("\n["), 0, -1))) as server:
        spec = f"listwise:openai:m@{server.url}/v1?gate=threshold:2.5&name=gated"
        out = tmp_path / "out.trec"
        assert run(["rerank", "--requests", str(work), "--reranker", spec, "--output", str(out)]) == 0
        assert all(last_words(body).count("\n[") == 2 for body in server.seen)
    notes = [note for _, note in read_jsonl(notes_path(out))]
    assert [note["skipped"] for note in notes] == [["d2", "d3", "d4"]] * 2
    assert [note["status"] for note in notes] == ["ok", "ok"]
    with pytest.raises(InvalidInput, match="comes"):
        open_reranker("listwise:openai:m@http://127.0.0.1:1/v1?gate=threshold:x")


# ------------------------------------------------------------------------------------------------ ERank's scores


def test_two_token_tens_by_hand():
    """Pr over (0, …, 10) from a model that spells 10 as "1", "0": P("1" first) = .6, of which .5 goes on to "10"."""
    probabilities = {"0": 0.1, "1": 0.6, "5": 0.3, "10": 0.5}
    scorer = ScriptedScorer(lambda q: [math.log(probabilities.get(label, 1e-12)) for label in q.labels])

    class TwoTokens(ScriptedScorer):
        def likelihoods(self, questions):
            import dataclasses

            told = super().likelihoods(questions)
            return [dataclasses.replace(t, tokens=(1,) * 10 + (2,)) for t in told]

    scorer = TwoTokens(scorer.logprobs)
    request = RerankRequest.of("q", ["a"])
    for scoring, wanted in (("expected", 1 * 0.1 + 5 * 0.3 + 10 * 0.5), ("product", 10 * 0.5)):
        policy = LabelPolicy(prompt=PointwiseRating(scoring=scoring), scorer=scorer)
        (ranking,) = Reranker(policy=policy, strategy=Pointwise()).rerank([request])
        assert ranking.scores[0] == pytest.approx(wanted, abs=1e-6)


def test_reasoning_of_every_window_even_where_one_fails():
    replies = iter(["<think>one</think><answer>[2] > [1]</answer>", "nothing of use"])
    policy = TextPolicy(prompt=ListwiseReasoning(), completer=ScriptedCompleter(lambda ask: next(replies)))
    reranker = Reranker(policy=policy, strategy=SlidingWindow(size=2, stride=1))
    (ranking,) = reranker.rerank([RerankRequest.of("q", ["a", "b", "c"])])
    assert ranking.reasoning == ("one",)
    assert ranking.status is Status.PARTIAL
