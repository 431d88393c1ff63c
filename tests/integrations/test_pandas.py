"""Frames in and out, with the real pandas."""

from __future__ import annotations

import pytest

pytest.importorskip("pandas", reason="pandas is not installed: pip install 'shortlist[pandas]'")

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from toy_rankers import BEST_FIRST, MINILM, QUERY, SCORES, TEXTS, choosing, failing, half_deaf, saying, scoring

from shortlist.errors import InvalidInput, JudgementFailed
from shortlist.integrations.base import Bridge
from shortlist.integrations.pandas import Columns, requests, rerank, to_frame
from shortlist.types import Ranking

NEW = ["score", "rank", "relevance_score", "retrieval_score", "rerank_status", "kept"]


def frame(*qids, **more):
    qids = qids or ("7",)
    rows = [
        {"qid": qid, "query": QUERY, "docno": f"{qid}-{i}", "text": text, "score": 9.0 - i, "lang": i}
        for qid in qids
        for i, text in enumerate(TEXTS)
    ]
    return pd.DataFrame(rows).assign(**more)


def test_it_gives_a_new_frame():
    old = frame("7", "3")
    before = old.copy(deep=True)
    new = rerank(old, scoring())
    pd.testing.assert_frame_equal(old, before)
    assert list(new["qid"]) == ["7"] * 3 + ["3"] * 3
    assert list(new["docno"]) == [f"7-{i}" for i in BEST_FIRST] + [f"3-{i}" for i in BEST_FIRST]
    assert list(new["rank"]) == [1, 2, 3, 1, 2, 3]
    assert list(new["score"]) == list(new["relevance_score"]) == list(SCORES) * 2
    assert list(new["retrieval_score"]) == [7.0, 8.0, 9.0] * 2
    assert list(new["lang"]) == list(BEST_FIRST) * 2
    assert list(new.index) == list(range(6))
    assert set(new.columns) == {*old.columns, *NEW}


def test_mixed_rows_and_a_rank_column():
    mixed = frame("7", "3", rank=[3, 2, 1] * 2).sample(frac=1.0, random_state=4)
    asked = {r.query.id: r for r in requests(mixed)}
    assert [c.id for c in asked["7"].candidates] == ["7-2", "7-1", "7-0"]
    assert [c.score for c in asked["7"].candidates] == [7.0, 8.0, 9.0]
    by_score = {r.query.id: r for r in requests(mixed.drop(columns="rank"))}
    assert [c.id for c in by_score["3"].candidates] == ["3-0", "3-1", "3-2"]
    new = rerank(mixed, scoring())
    assert list(new["qid"].unique()) == list(mixed["qid"].unique())
    assert list(new[new.qid == "3"]["docno"]) == ["3-2", "3-1", "3-0"]


def test_ties_and_orders_without_scores_still_sort():
    new = rerank(frame(), saying())
    assert list(new["score"]) == [3.0, 2.0, 1.0]
    assert new["relevance_score"].isna().all()
    tied = rerank(frame(), scoring(lambda _pair: 0.5))
    assert list(tied["score"]) == [3.0, 2.0, 1.0]
    assert list(tied["relevance_score"]) == [0.5] * 3


@pytest.mark.parametrize(
    ("ranker", "top_n", "kept"),
    [
        (scoring(), None, [True] * 3),
        (scoring(), 2, [True] * 2),
        (choosing(), "auto", [True]),
        (choosing(), None, [True, False, False]),
    ],
)
def test_how_many(ranker, top_n, kept):
    assert list(rerank(frame(), ranker, top_n=top_n)["kept"]) == kept


def test_other_names_and_fewer_columns():
    old = frame().rename(columns={"text": "body", "query": "question"})[["question", "body"]]
    new = rerank(old, scoring(), columns=Columns(text="body", query="question"))
    assert list(new["body"]) == [TEXTS[i] for i in BEST_FIRST]
    assert new["retrieval_score"].isna().all()


def test_two_in_a_row_keep_the_first_stages_score():
    twice = rerank(rerank(frame(), scoring()), saying("[2] > [1] > [3]"))
    assert list(twice["docno"]) == ["7-1", "7-2", "7-0"]
    assert list(twice["retrieval_score"]) == [8.0, 7.0, 9.0]


def test_an_empty_frame_keeps_its_columns_and_gets_the_new():
    new = rerank(frame().iloc[:0], failing(), on_error="raise")
    assert len(new) == 0
    assert set(new.columns) == {*frame().columns, *NEW}
    assert new.dtypes["rank"] == "int64"
    assert list(to_frame([]).columns)[:5] == ["qid", "query", "docno", "text", "title"]


def test_errors():
    failed = rerank(frame(), failing())
    assert list(failed["docno"]) == ["7-0", "7-1", "7-2"]
    assert set(failed["rerank_status"]) == {"failed"}
    assert rerank(frame(), half_deaf()).set_index("docno")["rerank_status"]["7-1"] == "unjudged"
    with pytest.raises(JudgementFailed, match="query '7'"):
        rerank(frame(), failing(), on_error="raise")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.drop(columns="text"), "no column 'text'"),
        (lambda f: f.assign(text=None), "row 0: the text is"),
        (lambda f: f.assign(query=["a", "b", "c"]), "several texts"),
        (lambda f: f.assign(query=" "), "no text"),
    ],
)
def test_frames_that_cannot_be_read(change, words):
    with pytest.raises(InvalidInput, match=words):
        rerank(change(frame()), scoring())
    with pytest.raises(InvalidInput, match="no column 'docno'"):
        list(requests(frame().drop(columns="docno")))


def test_there_and_back():
    new = to_frame(scoring().rerank(requests(frame("7", "3"))))
    again = rerank(frame("7", "3"), scoring())
    for column in ("qid", "docno", "text", *NEW):
        assert list(new[column]) == list(again[column])


@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=6), st.permutations(range(6)))
def test_the_score_sorts_into_the_rank(scores, order):
    class Given:
        name = "given"

        def rerank(self, requests):
            return (
                Ranking.by_scores(request, [scores[int(c.document.text)] for c in request.candidates])
                for request in requests
            )

    rows = [i for i in order if i < len(scores)]
    new = rerank(pd.DataFrame({"query": "q", "text": [str(i) for i in rows]}), Bridge(Given()))
    assert list(new.sort_values("score", ascending=False)["rank"]) == list(range(1, len(scores) + 1))
    assert new["relevance_score"].is_monotonic_decreasing
    assert sorted(new["text"]) == sorted(str(i) for i in rows)


@pytest.mark.models
@pytest.mark.usefixtures("model_minilm")
def test_with_a_real_model():
    new = rerank(frame(), MINILM, top_n=1)
    assert list(new["docno"]) == ["7-2"]
