"""Evaluations whose numbers were worked out by hand, the rules about what counts, and the memory they take."""

import math
import tracemalloc

import pytest
from toy_systems import QRELS, REQUESTS, Scripted, broken, perfect, request, to_front

from shortlist.errors import InvalidInput, UnknownName
from shortlist.evaluation import evaluate
from shortlist.metrics import Measure, evaluate_run
from shortlist.types import Ranking, Status

SECOND, FOURTH = 1 / math.log2(3), 1 / math.log2(5)


def test_a_hand_made_experiment():
    result = evaluate([perfect(), broken()], REQUESTS, QRELS, ["nDCG@10", "RR@2"], first_stage="bm25")
    first, best, failed = result.systems
    assert [s.name for s in result.systems] == ["bm25", "perfect", "broken"]
    assert first.per_query == {
        "q1": {"nDCG@10": pytest.approx(SECOND), "RR@2": 0.5},
        "q2": {"nDCG@10": 1.0, "RR@2": 1.0},
        "q3": {"nDCG@10": pytest.approx(FOURTH), "RR@2": 0.0},
    }
    assert first.measures["nDCG@10"] == pytest.approx((SECOND + 1 + FOURTH) / 3)
    assert best.measures == {"nDCG@10": 1.0, "RR@2": 1.0}
    assert (best.usage.calls, best.usage.tokens, best.usage.seconds) == (3, 45, 1.5)
    assert first.usage.calls == 0
    assert failed.measures == first.measures  # a failed ranking counts as it is: in first-stage order
    assert (failed.failures, failed.format_failure_rate, failed.statuses) == (3, 1.0, {"failed": 3})
    assert (best.failures, best.format_failure_rate) == (0, 0.0)


def test_agrees_with_the_metrics_of_a_run():
    measures = ["nDCG@10", "AP", "R@2", "P@1"]
    run = {r.query.id: {c.id: c.score for c in r.candidates} for r in REQUESTS}
    assert evaluate([], REQUESTS, QRELS, measures).first.per_query == evaluate_run(measures, run, QRELS)


def test_the_first_stage_keeps_the_order_given_whatever_the_scores():
    one = request("q1", {1})
    swapped = type(one)(one.query, one.candidates[::-1])
    assert evaluate([], [swapped], {"q1": {"d3": 1}}, ["RR"]).first.measures == {"RR": 1.0}


def test_a_judged_query_without_request_counts_zero():
    result = evaluate([perfect()], REQUESTS[:2], QRELS, ["RR"])
    assert result.first.per_query["q3"] == {"RR": 0.0}
    assert result.systems[1].measures == {"RR": pytest.approx(2 / 3)}
    assert result.manifest["queries_without_request"] == 1
    assert result.systems[1].ranked == 2


def test_a_subset_of_queries_is_asked_for():
    result = evaluate([perfect()], REQUESTS, QRELS, ["RR"], query_ids=["q1", "q3"])
    assert result.first.per_query == {"q1": {"RR": 0.5}, "q3": {"RR": 0.25}}
    missing = evaluate([], REQUESTS[:1], QRELS, ["RR"], query_ids=["q1", "q3"])
    assert missing.first.measures == {"RR": 0.25}


def test_a_request_without_judgements_is_left_out_and_told():
    asked = []
    spy = Scripted(lambda one: asked.append(one.query.id) or to_front(one), "spy")
    result = evaluate([spy], [*REQUESTS, request("q9", {0})], QRELS, ["RR"])
    assert asked == ["q1", "q2", "q3"]
    assert (result.manifest["requests_left_out"], list(result.query_ids)) == (1, ["q1", "q2", "q3"])


def test_depth_cuts_what_is_ranked():
    result = evaluate([perfect()], REQUESTS, QRELS, ["RR"], depth=2)
    assert result.systems[1].per_query == {"q1": {"RR": 1.0}, "q2": {"RR": 1.0}, "q3": {"RR": 0.0}}


def test_set_measures_judge_what_is_kept():
    result = evaluate([perfect(cutoff=1)], REQUESTS, QRELS, ["SetP", "P@2"])
    assert result.first.measures == {"SetP": 0.25, "P@2": pytest.approx(1 / 3)}
    assert result.systems[1].measures == {"SetP": 1.0, "P@2": 0.5}
    assert result.systems[1].cutoffs == {1: 3}


def test_a_measure_of_your_own():
    found = Measure("Found", lambda ranked, judged: float(any(ranked)))
    assert evaluate([], REQUESTS, QRELS, [found]).first.measures == {"Found": 1.0}


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"qrels": None}, "need judgements"),
        ({"qrels": None, "measures": []}, "nothing to measure"),
        ({"measures": ["RR", "MRR"]}, "twice"),
        ({"depth": 0}, "depth 0"),
        ({"rankers": [perfect(), perfect()]}, "one name"),
        ({"rankers": [perfect()], "first_stage": "perfect"}, "one name"),
        ({"requests": iter(REQUESTS)}, "read once"),
        ({"requests": [REQUESTS[0], REQUESTS[0]]}, "two requests"),
    ],
)
def test_what_cannot_be_evaluated_says_why(told, why):
    given = {"rankers": [], "requests": REQUESTS, "qrels": QRELS, "measures": ["RR"]} | told
    with pytest.raises(InvalidInput, match=why):
        evaluate(given.pop("rankers"), given.pop("requests"), **given)


def test_an_unknown_focus_lists_the_measures():
    with pytest.raises(UnknownName, match="nDCG@10"):
        evaluate([], REQUESTS, QRELS, focus="F1@3")


class Skips:
    name = "skips"

    def rerank(self, requests, /):
        for place, one in enumerate(requests):
            if place != 1:
                yield Ranking.of(one, range(len(one)))


class Stops(Skips):
    def rerank(self, requests, /):
        one = next(iter(requests))
        yield Ranking.of(one, range(len(one)))


class Shortens(Skips):
    def rerank(self, requests, /):
        for one in requests:
            yield Ranking.of(one.head(2), range(2))


@pytest.mark.parametrize("ranker", [Skips(), Stops(), Shortens()])
def test_a_ranker_that_loses_something_is_found_out(ranker):
    with pytest.raises(InvalidInput, match="skips"):
        evaluate([ranker], REQUESTS, QRELS, ["RR"])


def test_requests_that_change_between_passes_are_found_out():
    passes = iter([REQUESTS, REQUESTS[::-1][:2]])
    with pytest.raises(InvalidInput, match="not those"):
        evaluate([perfect()], lambda: next(passes), QRELS, ["RR"])


def test_statuses_are_counted():
    status = {"q1": Status.REPAIRED, "q2": Status.PARTIAL, "q3": Status.OK}
    mixed = Scripted(lambda one: to_front(one, status=status[one.query.id]))
    system = evaluate([mixed], REQUESTS, QRELS, ["RR"]).systems[1]
    assert (system.failures, system.format_failure_rate) == (1, pytest.approx(2 / 3))


def test_progress_is_told():
    seen = []
    evaluate([perfect()], REQUESTS, QRELS, ["RR"], on_progress=seen.append)
    assert [(p.system, p.done, p.total) for p in seen[2:4]] == [("first-stage", 3, 3), ("perfect", 1, 3)]


def test_examples_are_the_largest_changes():
    worst = Scripted(
        lambda one: Ranking.of(one, reversed(range(len(one))), scores=(4.0, 3.0, math.nan, 1.0)), "reversed"
    )
    system = evaluate([worst], REQUESTS, QRELS, ["RR"], examples=1).systems[1]
    win, loss = system.examples
    assert (win.query_id, win.delta, loss.query_id, loss.delta) == ("q3", 0.75, "q2", -0.75)
    assert [(p.id, p.place, p.grade, p.score) for p in win.after.passages] == [
        ("d3", 4, 1, 4.0),
        ("d2", 3, None, 3.0),
        ("d1", 2, None, None),  # NaN: not scored
        ("d0", 1, None, 1.0),
    ]
    assert [p.score for p in win.before.passages] == [4.0, 3.0, 2.0, 1.0]


def test_twenty_thousand_requests_are_not_held():
    n = 20_000
    ranker = Scripted(lambda one: Ranking.of(one, reversed(range(len(one)))), "reversed")
    qrels = {f"q{i}": {"d1": 1} for i in range(n)}
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        result = evaluate([ranker], lambda: (request(f"q{i}", {1}, n=3) for i in range(n)), qrels, ["RR"])
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert result.systems[1].measures == {"RR": 0.5}
    assert peak < 6_000_000  # the requests alone would take 25 MB
