"""The PyTerrier integration, against the real python-terrier; no Java is started."""

from __future__ import annotations

import pytest

pytest.importorskip("pyterrier", reason="python-terrier is not installed: pip install 'shortlist[pyterrier]'")

import pandas as pd
import pyterrier as pt
from toy_rankers import MINILM, QUERY, TEXTS, choosing, failing, saying, scoring

from shortlist.errors import InvalidInput, JudgementFailed
from shortlist.integrations.pyterrier import ShortlistReranker

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTerrier's own code


def results(text_field="text"):
    rows = [
        {"qid": qid, "query": QUERY, "docno": f"{qid}-{i}", text_field: text, "score": 9.0 - i, "rank": i}
        for qid in ("q1", "q2")
        for i, text in enumerate(TEXTS)
    ]
    return pd.DataFrame(rows)


def searched(text_field="text"):
    return pt.Transformer.from_df(results(text_field))


TOPICS = pd.DataFrame({"qid": ["q1", "q2"], "query": [QUERY, QUERY]})
BEST = ["q1-2", "q1-1", "q1-0", "q2-2", "q2-1", "q2-0"]


def test_it_is_a_transformer_and_gives_a_new_frame():
    given, before = results(), results()
    new = ShortlistReranker(scoring()).transform(given)
    pd.testing.assert_frame_equal(given, before)
    assert list(new["docno"]) == BEST
    assert list(new["rank"]) == [0, 1, 2] * 2
    assert list(new["retrieval_score"]) == [7.0, 8.0, 9.0] * 2
    again = pt.model.add_ranks(new.copy())
    assert list(again["rank"]) == list(new["rank"])


def test_in_pipelines():
    pipeline = searched("body") >> ShortlistReranker(scoring(), text_field="body")
    assert list(pipeline(TOPICS)["docno"]) == BEST
    assert list((pipeline % 1)(TOPICS)["docno"]) == ["q1-2", "q2-2"]
    twice = searched() >> ShortlistReranker(scoring()) >> ShortlistReranker(saying("[2] > [1] > [3]"))
    assert list(twice(TOPICS)["docno"])[:3] == ["q1-1", "q1-2", "q1-0"]
    assert list(twice(TOPICS)["retrieval_score"])[:3] == [8.0, 7.0, 9.0]


def test_a_rank_cutoff_is_taken_in():
    whole = ShortlistReranker(scoring())
    fused = (searched() >> whole % 2).compile()
    assert "top_n=2" in repr(fused)
    assert list(fused(TOPICS)["docno"]) == ["q1-2", "q1-1", "q2-2", "q2-1"]
    assert whole.top_n is None
    assert ShortlistReranker(scoring(), top_n=2).fuse_rank_cutoff(5).top_n == 2
    assert ShortlistReranker(scoring(), top_n="auto").fuse_rank_cutoff(5) is None


def test_it_can_be_inspected():
    transformer = ShortlistReranker(scoring(), text_field="body")
    assert pt.inspect.transformer_inputs(transformer) == [["qid", "query", "docno", "body"]]
    columns = pt.inspect.transformer_outputs(transformer, ["qid", "query", "docno", "body"])
    assert set(columns) >= {"qid", "query", "docno", "score", "rank", "relevance_score"}
    assert pt.schematic.transformer_schematic(transformer)["label"] == "Shortlist"


def test_wrong_and_empty_frames():
    transformer = ShortlistReranker(failing(), on_error="raise")
    with pytest.raises(pt.validate.InputValidationError):
        transformer(results().drop(columns="text"))
    assert len(transformer(results().iloc[:0])) == 0
    with pytest.raises(InvalidInput, match="top_n is 0"):
        ShortlistReranker(scoring(), top_n=0)


def test_errors():
    told = ShortlistReranker(failing())(results())
    assert list(told["docno"]) == list(results()["docno"])
    assert set(told["rerank_status"]) == {"failed"}
    with pytest.raises(JudgementFailed):
        ShortlistReranker(failing(), on_error="raise")(results())


def test_a_dynamic_k():
    assert list(ShortlistReranker(choosing(), top_n="auto")(results())["docno"]) == ["q1-2", "q2-2"]
    assert len(ShortlistReranker(choosing())(results())) == 6


def test_in_an_experiment():
    pytest.importorskip("ir_measures", reason="ir-measures is not installed")
    qrels = pd.DataFrame({"qid": ["q1", "q2"], "docno": ["q1-2", "q2-2"], "label": [1, 1]})
    table = pt.Experiment(
        [searched(), searched() >> ShortlistReranker(scoring())], TOPICS, qrels, ["recip_rank"], names=["first", "ours"]
    )
    assert list(table["recip_rank"].round(3)) == [0.333, 1.0]


@pytest.mark.models
@pytest.mark.usefixtures("model_minilm")
def test_with_a_real_model():
    assert list((searched() >> ShortlistReranker(MINILM) % 1)(TOPICS)["docno"]) == ["q1-2", "q2-2"]


def test_no_java_was_started():
    assert not pt.java.started()
