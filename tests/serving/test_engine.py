"""The engine: shared batches, fairness, deadlines, cancelling, admission; the ranking is the library's."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_doubles import by_length, listwise, overlap, pointwise

from shortlist.backends.scripted import ScriptedPairScorer
from shortlist.errors import BackendError, InvalidInput, JudgementFailed
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.compose import Cascade, FirstStage, Keep
from shortlist.rerankers.cutoffs import LargestGap
from shortlist.rerankers.fusion import Ensemble, Fused
from shortlist.rerankers.policies import PairPolicy
from shortlist.rerankers.strategies import Pointwise
from shortlist.serving.engine import Admission, Closing, Engine, Overloaded
from shortlist.serving.lanes import Batching
from shortlist.serving.plans import ranked
from shortlist.types import Candidate, Document, Query, RerankRequest, Status

WAIT = 10


def request(texts, query="capital of France", name="q"):
    candidates = tuple(Candidate(Document(id=str(i), text=text), float(-i)) for i, text in enumerate(texts))
    return RerankRequest(Query(id=name, text=query), candidates)


def submitted(engine, ranker, asked, **told):
    return engine.submit(lambda: ranked(engine, ranker, asked), model=ranker.name, **told)


@pytest.fixture
def engine():
    made = Engine()
    yield made
    made.close()


RANKERS = [
    pointwise(),
    listwise(),
    Keep(pointwise(), LargestGap()),
    Fused(pointwise()),
    Cascade(((pointwise(), 6), (listwise(), 3))),
    Cascade(((listwise(), None), (Keep(pointwise(), LargestGap()), 4))),
    Ensemble((pointwise(), listwise())),
    FirstStage(),
]

texts = st.lists(st.text("ab capitl", max_size=12), max_size=9)


@settings(max_examples=40, deadline=None)
@given(ranker=st.sampled_from(RANKERS), asked=st.lists(texts, min_size=1, max_size=5), items=st.integers(1, 5))
def test_served_ranking_is_the_librarys(ranker, asked, items):
    """Whatever the batch it shared: many requests at once, batches of any size."""
    requests = [request(passages, name=f"q{i}") for i, passages in enumerate(asked)]
    engine = Engine(batching=Batching(items=items))
    try:
        jobs = [submitted(engine, ranker, one) for one in requests]
        got = [job.future.result(WAIT) for job in jobs]
    finally:
        engine.close()
    for mine, theirs in zip(got, ranker.rerank(requests), strict=True):
        assert (mine.order, mine.scores, mine.cutoff, mine.status) == (
            theirs.order,
            theirs.scores,
            theirs.cutoff,
            theirs.status,
        )
        assert mine.request == theirs.request
        assert mine.unjudged == theirs.unjudged
        assert mine.usage.calls == theirs.usage.calls


def test_rankers_without_a_flow_run_whole(engine):
    class Hosted:
        name = "hosted"

        def rerank(self, requests):
            return listwise().rerank(requests)

    got = submitted(engine, Hosted(), request(["a", "bb", "ccc"])).future.result(WAIT)
    assert got.order == (2, 1, 0)


def test_requests_share_batches():
    seen = []
    gate = threading.Event()
    gate.waiting = False

    class Policy(PairPolicy):
        def judge(self, slates):
            gate.waiting = True
            gate.wait(WAIT)
            seen.append(sorted({slate.query.id for slate in slates}))
            return super().judge(slates)

    ranker = Reranker(policy=Policy(scorer=ScriptedPairScorer(overlap)), strategy=Pointwise(), name="gated")
    engine = Engine()
    jobs = [submitted(engine, ranker, request(["a", "b"], name="q0"))]
    while not gate.waiting:
        time.sleep(0.001)
    jobs += [submitted(engine, ranker, request(["a", "b"], name=f"q{i}")) for i in range(1, 4)]
    gate.set()
    for job in jobs:
        job.future.result(WAIT)
    engine.close()
    assert seen == [["q0"], ["q1", "q2", "q3"]]  # the first came alone; the others, which came meanwhile, together


def test_a_slow_listwise_request_does_not_hold_back_fast_ones(engine):
    slow, fast = listwise(seconds=1, size=3, stride=1), pointwise()
    waiting = submitted(engine, slow, request(["a"] * 8))
    start = time.perf_counter()
    for _ in range(5):
        submitted(engine, fast, request(["a", "b"])).future.result(WAIT)
    assert time.perf_counter() - start < 2
    assert not waiting.done
    waiting.cancel()


def test_small_requests_pass_large_ones_of_the_same_model():
    ranker = pointwise(seconds=0.002)
    engine = Engine(batching=Batching(round_seconds=0.02, items=8))
    submitted(engine, ranker, request(["warm"] * 20), tokens=20 * 20).future.result(WAIT)  # now it knows its pace
    for _ in range(10):
        submitted(engine, ranker, request(["warm"] * 20), tokens=20 * 20).future.result(WAIT)
    large = submitted(engine, ranker, request(["a"] * 400), tokens=400 * 20)
    small = submitted(engine, ranker, request(["b"] * 2), tokens=2 * 20)
    small.future.result(WAIT)
    assert not large.done
    assert large.future.result(WAIT).status is Status.OK
    engine.close()


def test_priority_goes_first():
    order, gate = [], threading.Event()

    def score(pair):
        gate.wait(WAIT)
        order.append(pair.passage)
        return 0.0

    ranker, engine = pointwise(score), Engine(batching=Batching(items=1))
    jobs = [
        submitted(engine, ranker, request([name]), priority=p) for name, p in (("0", 0), ("9", 9), ("5", 5), ("1", 1))
    ]
    gate.set()
    for job in jobs:
        job.future.result(WAIT)
    engine.close()
    assert order == ["0", "1", "5", "9"]


def test_a_deadline_is_answered_with_the_best_so_far(engine):
    ranker = listwise(seconds=0.15, size=3, stride=1)  # eight passages: six windows
    asked = request(["a" * (i + 1) for i in range(8)])
    job = submitted(engine, ranker, asked, deadline=0.4)
    start = time.perf_counter()
    got = job.result()
    assert 0.35 < time.perf_counter() - start < 0.85
    assert job.expired
    assert got.status is Status.PARTIAL
    assert sorted(got.order) == list(range(8))
    assert got.order.index(7) < 7  # the windows that were judged have brought the longest up
    assert got.unjudged
    assert any("deadline" in problem for problem in got.problems)


def test_a_pointwise_deadline_keeps_what_was_scored():
    engine = Engine(batching=Batching(items=4))
    ranker = pointwise(lambda pair: float(len(pair.passage)), seconds=0.02)
    job = submitted(engine, ranker, request(["a" * (i + 1) for i in range(40)]), deadline=0.3)
    got = job.result()
    engine.close()
    assert got.status is Status.PARTIAL
    assert 0 < len(got.unjudged) < 40
    assert min(got.unjudged) > 0


def test_cancelled_jobs_are_not_judged():
    calls, gate = [], threading.Event()

    def score(pair):
        gate.wait(WAIT)
        calls.append(pair.passage)
        return 0.0

    ranker, engine = pointwise(score), Engine(batching=Batching(items=1))
    first, second, third = (submitted(engine, ranker, request([name, name])) for name in "abc")
    second.cancel()
    gate.set()
    first.future.result(WAIT)
    third.future.result(WAIT)
    engine.close()
    assert "b" not in calls
    assert second.future.cancelled()
    assert engine.open_jobs == 0


def test_one_requests_trouble_is_not_anothers(engine):
    gate = threading.Event()

    def score(pair):
        gate.wait(WAIT)
        if pair.passage == "bomb":
            raise BackendError("it went off, near 'secret'")
        return overlap(pair)

    ranker = pointwise(score)
    jobs = [submitted(engine, ranker, request([text])) for text in ("warm", "fine", "bomb", "good")]
    gate.set()
    assert [job.future.exception(WAIT) is None for job in jobs] == [True, True, False, True]
    assert isinstance(jobs[2].future.exception(), BackendError)


def test_raising_is_raising(engine):
    ranker = listwise(lambda _: "?")
    job = engine.submit(lambda: ranked(engine, ranker, request(["a", "b"]), raising=True), model="m")
    assert isinstance(job.future.exception(WAIT), JudgementFailed)


def test_a_queue_that_is_full_refuses():
    gate = threading.Event()
    ranker = pointwise(lambda _: float(gate.wait(WAIT)))
    engine = Engine(admission=Admission(open_requests=2))
    jobs = [submitted(engine, ranker, request(["a"])) for _ in range(2)]
    with pytest.raises(Overloaded) as told:
        submitted(engine, ranker, request(["a"]))
    assert told.value.retry_after >= 1
    gate.set()
    for job in jobs:
        job.future.result(WAIT)
    submitted(engine, ranker, request(["a"])).future.result(WAIT)
    engine.close()


def test_what_cannot_be_done_in_time_is_refused():
    ranker = pointwise(seconds=0.01)
    engine = Engine()
    for _ in range(4):
        submitted(engine, ranker, request(["a"] * 10), tokens=100).future.result(WAIT)
    waiting = [submitted(engine, ranker, request(["a"] * 10), tokens=100) for _ in range(3)]
    with pytest.raises(Overloaded, match="queue"):
        submitted(engine, ranker, request(["a"] * 10), tokens=100, deadline=0.1)
    submitted(engine, ranker, request(["a"]), tokens=1, deadline=5.0).future.result(WAIT)
    for job in waiting:
        job.future.result(WAIT)
    engine.close()


def test_closing_refuses_and_answers_what_is_under_way():
    engine = Engine()
    job = submitted(engine, listwise(seconds=0.3, size=3, stride=1), request(["a"] * 8))
    time.sleep(0.05)
    engine.close()
    assert job.future.result(1).status is Status.FAILED
    with pytest.raises(Closing):
        submitted(engine, pointwise(), request(["a"]))


def test_hosted_models_take_calls_side_by_side(engine):
    """As many as the backend takes: none of them ends before all have come."""
    together = threading.Barrier(8, timeout=WAIT)

    def reply(ask):
        together.wait()
        return by_length(ask)

    ranker = listwise(reply, concurrency=8)
    jobs = [submitted(engine, ranker, request(["a", "bb"])) for _ in range(16)]
    assert all(job.future.result(WAIT).order == (1, 0) for job in jobs)


def test_a_snapshot_is_the_ranking_if_nothing_more_came(engine):
    more = threading.Semaphore(0)

    def reply(ask):
        more.acquire(timeout=WAIT)
        return by_length(ask)

    seen = threading.Event()
    ranker = listwise(reply, size=3, stride=1)
    asked = request(["a" * (i + 1) for i in range(5)])
    job = engine.submit(lambda: ranked(engine, ranker, asked), model="m", watched=True, on_progress=seen.set)
    assert job.snapshot().order == (0, 1, 2, 3, 4)
    more.release()
    seen.wait(WAIT)
    while not job.judged():
        time.sleep(0.01)
    assert job.snapshot().order == (0, 1, 4, 3, 2)
    assert job.snapshot().status is Status.PARTIAL
    for _ in range(9):
        more.release()
    final = job.future.result(WAIT)
    assert job.snapshot() == final
    assert len(job.judged()) == 3


def test_settings_are_checked():
    for make in (lambda: Batching(items=0), lambda: Batching(round_seconds=0), lambda: Admission(open_requests=0)):
        with pytest.raises(InvalidInput):
            make()
