"""TREC runs and judgements."""

import random
from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import RunFile, iter_run, read_qrels, read_run, write_qrels, write_run
from shortlist.data.trec import ranked, run_block
from shortlist.errors import InvalidFile, InvalidInput
from shortlist.types import Ranking, RerankRequest

ids = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1, max_size=6).filter(
    lambda s: s.split() == [s]
)
scores = st.floats(allow_nan=False, allow_infinity=False, width=32)
runs = st.dictionaries(ids, st.dictionaries(ids, scores, min_size=1, max_size=8), max_size=6)


def lines(*rows):
    return "".join(f"{qid} Q0 {docid} 1 {score} t\n" for qid, docid, score in rows)


@given(runs)
def test_a_written_run_keeps_every_order_for_every_reader(tmp_path_factory, run):
    path = tmp_path_factory.mktemp("run") / "run.trec"
    assert write_run(path, run) == len(run)
    back = read_run(path)
    assert list(back) == list(run)
    for qid, best in back.items():
        assert list(best) == [docid for docid, _ in ranked(run[qid])]
        single = list(array("f", best.values()))
        assert all(a > b for a, b in pairwise(single))


def test_scores_that_fall_are_written_as_they_are_and_others_as_places():
    assert run_block("q", ["a", "b"], [0.5, 0.25], "t") == "q Q0 a 1 0.5 t\nq Q0 b 2 0.25 t\n"
    for tied in ([1.0, 1.0], [1.0, 1.0 - 1e-12], [1.0, 2.0], [float("nan"), 1.0], [1e300, 1.0], None):
        assert run_block("q", ["a", "b"], tied, "t") == "q Q0 a 1 2 t\nq Q0 b 2 1 t\n"
    assert run_block("q", [], [], "t") == ""


@pytest.mark.parametrize("bad", ["a b", "", " a", "a\n", "a\u00a0b", "a\u2028b"])
def test_ids_with_blanks_cannot_be_written(tmp_path, bad):
    for args in ((bad, ["d"], None, "t"), ("q", [bad], None, "t"), ("q", ["d"], None, bad)):
        with pytest.raises(InvalidInput, match="blanks"):
            run_block(*args)
    with pytest.raises(InvalidInput, match="blanks"):
        write_run(tmp_path / "r", {"q": {bad: 1.0}})
    assert not (tmp_path / "r").exists()


def test_equal_scores_stand_as_trec_eval_has_them_or_as_in_the_file():
    scored = {"a": 1.0, "c": 2.0, "b": 1.0 + 1e-9}
    assert [d for d, _ in ranked(scored)] == ["c", "b", "a"]
    assert [d for d, _ in ranked({"a": 1.0, "b": 1.0})] == ["b", "a"]
    assert [d for d, _ in ranked({"a": 1.0, "b": 1.0}, ties="file")] == ["a", "b"]


def test_a_scattered_query_is_put_together(tmp_path):
    path = tmp_path / "run"
    path.write_text(lines(("1", "a", 3), ("2", "x", 1), ("1", "b", 9), ("3", "y", 1), ("2", "z", 2), ("1", "c", 1)))
    assert [(qid, [d for d, _ in best]) for qid, best in iter_run(path)] == [
        ("1", ["b", "a", "c"]),
        ("2", ["z", "x"]),
        ("3", ["y"]),
    ]
    run = RunFile(path)
    assert len(run) == 3
    assert "2" in run
    assert "4" not in run


@given(runs, st.randoms(use_true_random=False))
def test_the_order_of_lines_does_not_matter(tmp_path_factory, run, rng):
    rows = [(qid, docid, score) for qid, best in run.items() for docid, score in best.items()]
    rng.shuffle(rows)
    path = tmp_path_factory.mktemp("run") / "run"
    path.write_text(lines(*rows), encoding="utf-8")
    assert dict(RunFile(path)) == run


def test_a_run_sorted_by_rank_is_read_in_good_time(tmp_path):
    rows = [(str(q), f"d{q}-{rank}", -rank) for rank in range(300) for q in range(50)]
    (tmp_path / "run").write_text(lines(*rows))
    run = read_run(tmp_path / "run")
    assert len(run) == 50
    assert all(len(best) == 300 for best in run.values())


def test_crlf_tabs_blank_lines_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "run"
    path.write_bytes(b"\xef\xbb\xbf1\tQ0\ta\t1\t2\tt\r\n\r\n1 Q0   b 2 1 t\r\n2 Q0 a\xc2\xa0b 1 1 t")
    assert read_run(path) == {"1": {"a": 2.0, "b": 1.0}, "2": {"a\u00a0b": 1.0}}
    (tmp_path / "empty").write_text("")
    assert read_run(tmp_path / "empty") == {}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("1 Q0 a 1 2 t\n1 Q0 b c 1 2 t\n", 2, "7 columns"),
        ("1 Q0 a 1 high t\n", 1, "'high' is not a number"),
        ("1 Q0 a 1 nan t\n", 1, "not a number"),
        ("1 Q0 a 1 2 t\n2 Q0 a 1 2 t\n1 Q0 a 2 1 t\n", 3, "second time"),
    ],
)
def test_bad_lines_of_a_run_are_named(tmp_path, text, line, says):
    (tmp_path / "run").write_text(text)
    with pytest.raises(InvalidFile, match=says) as caught:
        read_run(tmp_path / "run")
    assert caught.value.line == line


def test_rankings_are_written_whole_in_their_order(tmp_path):
    request = RerankRequest.of("what", ["x", "y", "z"])
    write_run(tmp_path / "run.gz", [Ranking.of(request, [2, 0, 1], scores=(0.5, 0.5, 0.1), cutoff=1)], tag="mine")
    assert read_run(tmp_path / "run.gz") == {"q": {"2": 3.0, "0": 2.0, "1": 1.0}}


@pytest.mark.parametrize(
    "text",
    [
        "q1 0 a 1\nq1 0 b -1\nq2 0 a 0\n",
        "query-id\tcorpus-id\tscore\nq1\ta\t1\nq1\tb\t-1\r\nq2\ta\t0\n",
        "q1\ta\t1\nq1\tb\t-1\nq2\ta\t0.0\n",
        "q1\t0\ta\t1\nq1\t0\tb\t-1\nq2\t0\ta\t0\n",
        "".join(
            f'{{"q_id": "{qid}", "p_id": "{docid}", "score": {grade}}}\n'
            for qid, docid, grade in (("q1", "a", 1), ("q1", "b", -1), ("q2", "a", 0))
        ),
    ],
)
def test_judgements_of_every_form(tmp_path, text):
    (tmp_path / "qrels").write_text(text)
    assert read_qrels(tmp_path / "qrels") == {"q1": {"a": 1, "b": -1}, "q2": {"a": 0}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("q1 0 a 1\nq1 0 b c 1\n", "5 columns"),
        ("q1 0 a high\n", "'high' is not a whole number"),
        ("q1 0 a 0.5\n", "not a whole number"),
        ("q1 0 a 1\nq1 0 a 2\n", "graded 1 before, now 2"),
        ('{"id": 1}\n', "no judgement"),
    ],
)
def test_bad_judgements_are_named(tmp_path, text, says):
    (tmp_path / "qrels").write_text(text)
    with pytest.raises(InvalidFile, match=says):
        read_qrels(tmp_path / "qrels")


@given(st.dictionaries(ids, st.dictionaries(ids, st.integers(-2, 9), min_size=1, max_size=5), max_size=5))
def test_judgements_come_back_from_both_forms(tmp_path_factory, qrels):
    folder = tmp_path_factory.mktemp("qrels")
    for name in ("qrels.txt", "test.tsv", "test.tsv.gz"):
        assert write_qrels(folder / name, qrels) == sum(map(len, qrels.values()))
        assert read_qrels(folder / name) == qrels


def test_ids_with_blanks_fit_a_table_but_not_columns(tmp_path):
    qrels = {"q 1": {"a b": 1}}
    write_qrels(tmp_path / "test.tsv", qrels)
    assert read_qrels(tmp_path / "test.tsv") == qrels
    with pytest.raises(InvalidInput, match="blanks"):
        write_qrels(tmp_path / "qrels.txt", qrels)


def test_shuffled_places_agree_with_trec_eval(tmp_path):
    pytrec_eval = pytest.importorskip("pytrec_eval")
    rng = random.Random(3)
    run = {"q": {f"d{i}": float(rng.randrange(4)) for i in range(30)}}
    qrels = {"q": {f"d{i}": rng.randrange(3) for i in range(30)}}
    write_run(tmp_path / "run", run)
    score = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut_10"}).evaluate
    assert score(read_run(tmp_path / "run")) == score(run)
