"""The notation, the order of a run, and runs over queries."""

import contextlib
import math
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.errors import InvalidInput, UnknownName
from shortlist.metrics import Measure, evaluate_run, mean, parse_measure, rank_run, score_ranking
from shortlist.metrics.measures import FORMULAS


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("nDCG@10", "nDCG@10"),
        ("nDCG", "nDCG"),
        ("NDCG@10", "nDCG@10"),
        ("nDCG(dcg='exp-log2')@10", "nDCG(dcg='exp-log2')@10"),
        ('nDCG( dcg = "exp-log2" ) @ 10', "nDCG(dcg='exp-log2')@10"),
        ("nDCG(dcg='log2')@10", "nDCG@10"),
        ("AP(rel=2)@100", "AP(rel=2)@100"),
        ("AP(rel=1)", "AP"),
        ("MAP", "AP"),
        ("MRR@10", "RR@10"),
        ("Recall(rel=2)@100", "R(rel=2)@100"),
        ("Compat(p=0.9)", "Compat(p=0.9)"),
        ("RBO(p=.9)", "Compat(p=0.9)"),
        ("Compat()", "Compat"),
    ],
)
def test_notation(text, name):
    measure = parse_measure(text)
    assert str(measure) == name
    assert parse_measure(name) == measure
    assert pickle.loads(pickle.dumps(measure)) == measure


def test_an_unknown_measure_lists_the_known_ones():
    with pytest.raises(UnknownName, match=r"unknown measure 'nDGC'.*nDCG") as caught:
        parse_measure("nDGC@10")
    assert set(caught.value.known) == set(FORMULAS)


def test_an_unknown_parameter_lists_the_known_ones():
    with pytest.raises(UnknownName, match=r"unknown parameter of AP 'level'.*rel"):
        parse_measure("AP(level=2)")
    with pytest.raises(UnknownName, match="log2"):
        parse_measure("nDCG(dcg='log10')@10")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a measure"),
        ("nDCG@", "not a measure"),
        ("nDCG@ten", "not a measure"),
        ("nDCG@-1", "not a measure"),
        ("nDCG 10", "not a measure"),
        ("nDCG@0", "from 1; got 0"),
        ("P@0", "from 1; got 0"),
        ("P", "needs a cutoff, such as P@10"),
        ("Compat@10", "takes no cutoff"),
        ("Compat(p=2.0)", "persistence"),
        ("AP(rel='2')", "of the kind of 1"),
        ("AP(rel=True)", "of the kind of 1"),
        ("AP(rel=)", "not a number"),
        ("AP(rel=two)", "not a number"),
        ("AP(rel)", "not a number"),
        ("R(k=10)", "unknown parameter"),
    ],
)
def test_what_is_not_in_the_notation_is_refused(text, why):
    with pytest.raises(InvalidInput, match=why):
        parse_measure(text)


@given(st.text(max_size=20) | st.from_regex(r"(nDCG|AP|P|RR)(\((rel|dcg|p)=.{0,5}\))?(@\d{1,3})?", fullmatch=True))
def test_parsing_gives_a_measure_or_a_reason(text):
    with contextlib.suppress(InvalidInput):
        assert parse_measure(str(parse_measure(text))) == parse_measure(text)


def test_a_measure_of_your_own():
    found = Measure("Found", lambda ranked, judged: float(any(ranked)))
    assert score_ranking(found, ["x", "a"], {"a": 1}) == 1.0
    assert evaluate_run([found, "P@1"], {}, {"q": {"a": 1}}) == {"q": {"Found": 0.0, "P@1": 0.0}}


def test_a_document_ranked_twice_is_refused():
    with pytest.raises(InvalidInput, match="once"):
        score_ranking("nDCG@10", ["a", "a"], {"a": 1})


@pytest.mark.parametrize(
    ("scores", "order"),
    [
        ({"a": 1.0, "b": 2.0}, ["b", "a"]),
        ({"a": 1.0, "c": 1.0, "b": 1.0}, ["c", "b", "a"]),
        ({"d9": 0.0, "d10": -0.0}, ["d9", "d10"]),  # by characters, not by number
        ({"a": 1 + 1e-9, "b": 1.0}, ["b", "a"]),  # equal as 32-bit floats
        ({"a": math.inf, "b": 1e40, "c": -math.inf}, ["b", "a", "c"]),
        ({}, []),
    ],
)
def test_order_of_a_run(scores, order):
    assert rank_run(scores) == order


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(InvalidInput, match="NaN"):
        rank_run({"a": math.nan})


QRELS = {"q1": {"a": 1}, "q2": {"b": 1}, "q3": {"c": 0}, "q4": {}}


def test_every_judged_query_counts():
    result = evaluate_run(["RR", "MRR@10"], {"q1": {"x": 2.0, "a": 1.0}, "q2": {}, "unjudged": {"a": 1.0}}, QRELS)
    assert result == {
        "q1": {"RR": 0.5, "RR@10": 0.5},
        "q2": {"RR": 0.0, "RR@10": 0.0},
        "q3": {"RR": 0.0, "RR@10": 0.0},
        "q4": {"RR": 0.0, "RR@10": 0.0},
    }
    assert mean(result) == {"RR": 0.125, "RR@10": 0.125}


def test_measures_may_be_any_iterable():
    assert set(evaluate_run(iter(["RR"]), {}, QRELS)) == set(QRELS)


def test_the_mean_of_no_query_is_refused():
    with pytest.raises(InvalidInput, match="qrels empty"):
        mean({})


def test_importing_the_metrics_loads_nothing_heavy():
    code = "import sys, shortlist.metrics.measures; print({'pandas', 'torch', 'ir_measures'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
