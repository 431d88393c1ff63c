"""Our measures against ir_measures, query by query, on runs with everything that goes wrong in runs.

Ties, scores that differ beyond 32 bits, missing and empty queries, unjudged documents, negative grades, queries without
a relevant document. Two things about the reference:

- ir_measures computes ``RR@k`` and ``Judged`` with providers that break ties by id *ascending*, unlike trec_eval and
  unlike its own ``RR``. Those are compared on runs without ties, and ``RR@k`` with ties against trec_eval's RR.
- pytrec_eval hangs or crashes on a query whose every grade is negative (seen with pytrec-eval-terrier 0.5.11), so each
  query here has a grade of 0 or more; ``test_ranking`` holds our value for the others, which is 0.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.metrics import evaluate_run, mean, parse_measure, rank_run

ir_measures = pytest.importorskip("ir_measures", reason="needs ir-measures: pip install 'shortlist[eval]'")
pytest.importorskip("pytrec_eval", reason="needs pytrec-eval-terrier: pip install 'shortlist[eval]'")

TREC = [
    *("nDCG", "nDCG@1", "nDCG@3", "nDCG@10", "RR", "RR(rel=2)", "AP", "AP@1", "AP@3", "AP(rel=2)", "AP(rel=2)@100"),
    *("P@1", "P@3", "P@10", "P(rel=2)@3", "R@1", "R@3", "R@10", "R(rel=2)@3", "Success@1", "Success@3"),
    *("Success(rel=2)@3", "SetP", "SetR", "SetF", "SetP(rel=2)", "SetR(rel=2)"),
]
OTHERS = ["RR@1", "RR@3", "RR(rel=2)@3", "Judged", "Judged@1", "Judged@3", "Judged@10"]
COMPAT = ["Compat", "Compat(p=0.9)", "Compat(p=0.5)"]

DOCS = st.sampled_from(["a", "b", "c", "d", "e", "f", "d9", "d10", "Z", "é", "\uffee", "\U0001f600"])
QUERIES = st.sampled_from(["1", "2", "3"])
JUDGED = st.builds(
    lambda judged, doc, grade: judged | {doc: grade}, st.dictionaries(DOCS, st.integers(-2, 4)), DOCS, st.integers(0, 4)
)
QRELS = st.dictionaries(QUERIES, JUDGED, min_size=1)
TIED = st.sampled_from([0.0, -0.0, 1.0, 1 + 1e-9, 1 + 1e-7, 0.1, 0.1 + 1e-9, -3.5, 1e39, 1e40, -1e39])
SCORES = TIED | st.floats(allow_nan=False)
RUNS = st.dictionaries(QUERIES, st.dictionaries(DOCS, SCORES))
UNTIED_RUNS = st.dictionaries(
    QUERIES, st.lists(DOCS, min_size=1, unique=True).map(lambda docs: {d: 100.0 - i for i, d in enumerate(docs)})
)


def theirs(measures, run, qrels, provider=ir_measures):
    values = {qid: {} for qid in qrels}
    for metric in provider.iter_calc([ir_measures.parse_measure(m) for m in measures], qrels, run):
        values[metric.query_id][str(metric.measure)] = metric.value
    return values


def assert_equal(ours, others, tolerance=1e-9):
    assert ours.keys() == others.keys()
    for qid, values in ours.items():
        assert values == pytest.approx(others[qid], abs=tolerance), qid


@settings(max_examples=300, deadline=None)
@given(RUNS, QRELS)
def test_agrees_with_trec_eval(run, qrels):
    assert_equal(evaluate_run(TREC, run, qrels), theirs(TREC, run, qrels, ir_measures.pytrec_eval))


@settings(deadline=None)
@given(RUNS, QRELS)
def test_means_agree(run, qrels):
    measures = [ir_measures.parse_measure(m) for m in TREC]
    expected = ir_measures.pytrec_eval.calc_aggregate(measures, qrels, run)
    assert mean(evaluate_run(TREC, run, qrels)) == pytest.approx({str(m): v for m, v in expected.items()}, abs=1e-9)


@settings(deadline=None)
@given(RUNS, QRELS, st.integers(1, 8))
def test_cut_reciprocal_rank_follows_from_trec_evals(run, qrels, k):
    uncut = theirs(["RR"], run, qrels, ir_measures.pytrec_eval)
    expected = {qid: {f"RR@{k}": v["RR"] if v["RR"] >= 1 / k - 1e-9 else 0.0} for qid, v in uncut.items()}
    assert_equal(evaluate_run([f"RR@{k}"], run, qrels), expected)


@settings(deadline=None)
@given(UNTIED_RUNS, QRELS)
def test_agrees_with_the_other_providers_where_nothing_ties(run, qrels):
    assert_equal(evaluate_run(OTHERS, run, qrels), theirs(OTHERS, run, qrels))


@settings(deadline=None)
@given(UNTIED_RUNS, QRELS)
def test_compatibility_agrees_with_its_authors(run, qrels):
    assert_equal(evaluate_run(COMPAT, run, qrels), theirs(COMPAT, run, qrels))


@settings(max_examples=10, deadline=None)
@given(RUNS, QRELS)
def test_exponential_gain_agrees_with_gdeval(run, qrels):
    """gdeval prints five digits; it compares scores as 64-bit floats, so it is given the places of our order."""
    if not any(grade > 0 for judged in qrels.values() for grade in judged.values()):
        return
    if not ir_measures.gdeval.is_available():
        pytest.skip("gdeval needs perl")
    places = {qid: {d: 100.0 - i for i, d in enumerate(rank_run(scores))} for qid, scores in run.items()}
    measures = ["nDCG(dcg='exp-log2')@1", "nDCG(dcg='exp-log2')@5"]
    assert_equal(
        evaluate_run(measures, run, qrels), theirs(measures, places, qrels, ir_measures.gdeval), tolerance=6e-6
    )


@given(st.dictionaries(DOCS, SCORES, min_size=2))
def test_order_agrees_with_trec_evals_document_by_document(scores):
    """With one relevant document, trec_eval's RR tells its rank: ask for each document's."""
    qrels, run = {doc: {doc: 1} for doc in scores}, dict.fromkeys(scores, scores)
    ranks = {qid: round(1 / v["RR"]) for qid, v in theirs(["RR"], run, qrels, ir_measures.pytrec_eval).items()}
    assert rank_run(scores) == sorted(ranks, key=ranks.get)


@pytest.mark.parametrize(
    "text",
    [*TREC, *OTHERS, *COMPAT, "nDCG(dcg='exp-log2')@10", "MRR@10", "MAP", "NDCG@5", "Recall@5", "Precision@5"],
)
def test_names_are_those_of_ir_measures(text):
    assert str(parse_measure(text)) == str(ir_measures.parse_measure(text))
