"""Drivers: the same flows under each give the same, lazily, in order, and nothing is left open."""

import random
import threading
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.errors import InvalidInput
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.drivers import Freely, Rounds
from shortlist.rerankers.strategies import Pointwise
from shortlist.testing.rerankers import ScriptedPolicy, scorer
from shortlist.types import Judgement, Query, Ranking, RerankRequest, ScoredJudgement, Slate, Turn

QUERY = Query(text="q")
REQUEST = RerankRequest.of(QUERY, ["a", "b", "c"])
KEEP = Judgement(order=(0, 1, 2))


def judge(slates):
    """Answers with the slate's number, so that a mix-up shows."""
    return [Turn(slate, Judgement(order=(), reasoning=slate.query.text)) for slate in slates]


def numbered(name):
    return Slate(Query(text=name), ())


def flow(name, plan, closed=None):
    """Asks for as many slates a round as the plan says, and checks that the answers are its own."""
    try:
        for step, count in enumerate(plan):
            names = [f"{name}.{step}.{i}" for i in range(count)]
            verdicts = yield [numbered(n) for n in names]
            assert [verdict.reasoning for verdict in verdicts] == names
        return Ranking.of(RerankRequest.of(Query(text=name), ()), ())
    finally:
        if closed is not None:
            closed.append(name)


DRIVERS = [Rounds(), Rounds(open_flows=1, ahead=0), Rounds(open_flows=3, ahead=2), Freely(1), Freely(4, ahead=0)]
PLANS = st.lists(st.lists(st.integers(0, 4), max_size=5), max_size=25)


@pytest.mark.parametrize("driver", DRIVERS, ids=repr)
@settings(max_examples=40, deadline=None)
@given(PLANS)
def test_flows_get_their_own_answers_and_end_in_order(driver, plans):
    finished = list(driver.run(judge, (flow(str(i), plan) for i, plan in enumerate(plans))))
    assert [done.ranking.query.text for done in finished] == [str(i) for i in range(len(plans))]
    for i, (done, plan) in enumerate(zip(finished, plans, strict=True)):
        wanted = [f"{i}.{step}.{j}" for step, count in enumerate(plan) for j in range(count)]
        assert [turn.slate.query.text for turn in done.turns] == wanted


@pytest.mark.parametrize("driver", DRIVERS, ids=repr)
def test_uneven_latency_changes_nothing(driver):
    def slow(slates):
        time.sleep(random.Random(slates[0].query.text).random() / 500)
        return judge(slates)

    plans = [[i % 4, (i * 7) % 3] for i in range(20)]
    finished = list(driver.run(slow, (flow(str(i), plan) for i, plan in enumerate(plans))))
    assert [done.ranking.query.text for done in finished] == [str(i) for i in range(20)]


def test_a_round_is_one_batch():
    batches = []

    def counted(slates):
        batches.append(len(slates))
        return judge(slates)

    list(Rounds().run(counted, (flow(str(i), [3, 2]) for i in range(4))))
    assert batches == [12, 8]


@pytest.mark.parametrize("driver", DRIVERS, ids=repr)
def test_flows_are_read_as_they_are_needed(driver):
    opened = 0

    def endless():
        nonlocal opened
        while True:
            opened += 1
            yield flow(str(opened), [1, 2] if opened > 1 else [1] * 50)  # the first holds up the others

    most = driver.open_flows if isinstance(driver, Rounds) else 2 * driver.concurrency
    running = driver.run(judge, endless())
    assert opened == 0
    next(running)
    assert opened <= most + driver.ahead
    for taken in range(1, 100):
        next(running)
        assert opened <= taken + most + driver.ahead
    running.close()


@pytest.mark.parametrize("driver", DRIVERS, ids=repr)
def test_a_judge_that_raises_is_heard_and_flows_are_closed(driver):
    closed, calls = [], []

    def breaks(slates):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("the model is gone")
        return judge(slates)

    opened = []

    def flows():
        for i in range(1000):
            opened.append(str(i))
            yield flow(str(i), [1, 1, 1], closed)

    with pytest.raises(RuntimeError, match="the model is gone"):
        list(driver.run(breaks, flows()))
    assert sorted(closed) == sorted(opened)
    assert len(opened) < 1000


@pytest.mark.parametrize("driver", DRIVERS, ids=repr)
def test_leaving_early_closes_flows_and_ends_threads(driver):
    closed = []
    running = driver.run(judge, (flow(str(i), [1, 2], closed) for i in range(1000)))
    next(running)
    running.close()
    assert 0 < len(closed) < 1000
    assert not [thread for thread in threading.enumerate() if thread.name == "shortlist"]


@pytest.mark.parametrize("driver", DRIVERS, ids=repr)
def test_a_flow_that_raises_is_heard(driver):
    def broken():
        yield [numbered("x")]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(driver.run(judge, [flow("0", [1]), broken()]))


@pytest.mark.parametrize("driver", DRIVERS, ids=repr)
def test_a_flow_must_return_a_ranking(driver):
    def forgets():
        yield [numbered("x")]

    with pytest.raises(InvalidInput, match="must return a Ranking"):
        list(driver.run(judge, [forgets()]))


@pytest.mark.parametrize("driver", DRIVERS, ids=repr)
@pytest.mark.parametrize("wrong", [lambda slates: [], lambda slates: judge(slates) * 2])
def test_a_policy_must_give_a_turn_a_slate(driver, wrong):
    with pytest.raises(InvalidInput, match="turns for"):
        list(driver.run(wrong, [flow("0", [1])]))


def test_freely_bounds_the_calls_under_way():
    under_way, most, lock = 0, 0, threading.Lock()

    def counted(slates):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.002)
        with lock:
            under_way -= 1
        return judge(slates)

    list(Freely(5).run(counted, (flow(str(i), [4, 1]) for i in range(20))))
    assert most == 5


def test_freely_does_not_wait_for_the_slowest():
    """Round by round every round takes as long as its slowest call; freely the slow flow holds nobody up."""
    order = []

    def slow(slates):
        if slates[0].query.text.startswith("0."):
            time.sleep(0.1)
        order.append(slates[0].query.text)
        return judge(slates)

    list(Freely(2).run(slow, (flow(str(i), [1]) for i in range(10))))
    assert order[-1] == "0.0.0"


def test_memory_stays_flat():
    """Twenty thousand requests pass through in less memory than a thousand of their rankings would take."""
    reranker = Reranker(policy=scorer(lambda c: 0.0), strategy=Pointwise())
    requests = (RerankRequest.of("q", ["a"]) for _ in range(20_000))
    tracemalloc.start()
    try:
        assert sum(len(ranking) for ranking in reranker.rerank(requests)) == 20_000
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1_000_000


@pytest.mark.parametrize("wrong", [lambda: Rounds(open_flows=0), lambda: Rounds(ahead=-1), lambda: Freely(0)])
def test_options_are_checked(wrong):
    with pytest.raises(InvalidInput, match="give at least"):
        wrong()


def test_one_request_at_a_time_equals_many():
    reranker = Reranker(policy=scorer(lambda c: float(ord(c.document.text[0]))), strategy=Pointwise())
    requests = [RerankRequest.of(f"q{i}", [chr(97 + (i * j) % 26) + str(j) for j in range(i % 7)]) for i in range(30)]
    assert list(reranker.rerank(requests)) == [next(reranker.rerank([request])) for request in requests]


def test_scripted_policies_give_turns():
    (turn,) = ScriptedPolicy(lambda slate: ScoredJudgement.of([1.0])).judge([Slate(QUERY, REQUEST.candidates[:1])])
    assert turn.usage.calls == 1
