import itertools
import json
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reward_doubles import Fails, ScriptedReader, docs, knows, query

from shortlist.backends.scripted import ScriptedScorer
from shortlist.backends.store import Store
from shortlist.errors import BackendError, BudgetSpent, InvalidInput, UnknownName
from shortlist.reading.base import Reading
from shortlist.rerankers.strategies.hops import follow_up
from shortlist.rewards.answer import GoldLikelihood, ReaderReward
from shortlist.rewards.base import WeightedReward
from shortlist.rewards.cost import PassageCost
from shortlist.rewards.counters import Streak
from shortlist.rewards.custom import FunctionReward, Kept
from shortlist.rewards.environment import ReaderEnvironment
from shortlist.rewards.noise import flipped
from shortlist.rewards.ranking import PrefixNDCG

Q = query("q", "gold")


def environment(reader, *parts, store=None, **told):
    return ReaderEnvironment(WeightedReward(((ReaderReward(reader), 1.0), *parts)), store, **told)


def shown(reader):
    return ["".join(document.id for document in reading.documents) for reading in reader.read_so_far]


def test_levels_of_every_prefix_by_hand():
    reader = knows("a", "b")
    levels = environment(reader, (PassageCost(10), 0.5)).evaluate([(Q, docs("abc")), (Q, docs("ca"))], [0, 1, 2, 3])
    assert levels.lengths == (0, 1, 2, 3)
    np.testing.assert_allclose(levels.parts["f1"], [[0, 0, 1, 1], [0, 0, 0, np.nan]])
    np.testing.assert_allclose(levels.parts["passages"], [[0, -0.1, -0.2, -0.3], [0, -0.1, -0.2, np.nan]])
    np.testing.assert_allclose(levels.totals, levels.parts["f1"] + 0.5 * levels.parts["passages"])


def test_a_follow_up_is_read_as_its_question_behind_what_was_found():
    reader = knows("a", "c")
    ours = environment(reader, (PassageCost(10), 0.5), key="set")
    asked = follow_up(Q, docs("c")[0], words=5)
    levels = ours.evaluate([(asked, docs("ab")), (asked, docs("ba"))], [0, 1, 2])
    assert [reading.query for reading in reader.read_so_far] == [Q] * len(reader.read_so_far)
    assert sorted(shown(reader)) == ["abc", "ac", "bc", "c"]
    np.testing.assert_allclose(levels.parts["passages"][0], [-0.1, -0.2, -0.3])
    np.testing.assert_allclose(levels.parts["f1"], [[0, 1, 1], [0, 0, 1]])
    before = len(reader.read_so_far)
    ours.evaluate([(Q, docs("ca"))], [2])  # the same passages, drawn in one go
    assert len(reader.read_so_far) == before


def test_equal_prefixes_are_asked_about_once_in_a_call_and_after():
    reader = knows("a")
    ours = environment(reader)
    first = ours.evaluate([(Q, docs("abc")), (Q, docs("abd")), (Q, docs("abc"))], [1, 2, 3])
    assert sorted(shown(reader)) == ["a", "ab", "abc", "abd"]
    again = ours.evaluate([(Q, docs("abcx"))], [1, 2, 3, 4])
    assert len(reader.read_so_far) == 5
    np.testing.assert_array_equal(again.totals[0, :3], first.totals[0])
    told = ours.counters
    assert (told.requested, told.made, told.saved, told.failed) == (13, 5, 8, 0)
    assert told.saved_share == pytest.approx(8 / 13)
    assert told.tokens == sum(10 * n + 1 for n in (1, 2, 3, 3, 4))
    assert 0 <= told.utilisation <= 1


def test_the_order_of_asking_is_that_of_a_trie():
    reader = knows("a")
    other = query("p", "gold")
    lists = [(Q, docs("bca")), (other, docs("ab")), (Q, docs("abc")), (Q, docs("bac")), (Q, docs("acb"))]
    environment(reader, batch=2).evaluate(lists, [1, 2, 3])
    assert shown(reader) == ["a", "ab", "abc", "ac", "acb", "b", "ba", "bac", "bc", "bca", "a", "ab"]
    assert [reading.query.id for reading in reader.read_so_far] == ["q"] * 10 + ["p"] * 2


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("pq"), st.permutations("abcd"), st.integers(0, 4)), max_size=8),
    st.integers(1, 5),
    st.integers(1, 3),
)
def test_it_is_worth_what_asking_one_by_one_is_worth(drawn, batch, workers):
    lists = [(query(name, "gold"), docs("".join(order[:n]))) for name, order, n in drawn]
    reward = WeightedReward(((ReaderReward(knows("a", "c")), 1.0), (PrefixNDCG({"q": {"b": 1}}), 0.5)))
    levels = ReaderEnvironment(reward, batch=batch, workers=workers).evaluate(lists, [1, 3])
    for (asked, documents), row in zip(lists, levels.totals, strict=True):
        for length, level in zip([1, 3], row, strict=True):
            alone = reward.score([Reading(asked, documents[:length])])[0] if length <= len(documents) else None
            assert (level == alone) or (np.isnan(level) and alone is None)


def test_rewards_of_one_reader_share_its_answers():
    reader = knows("a")
    both = ((ReaderReward(reader, "em"), 1.0), (flipped(ReaderReward(reader, "mean"), 1.0), 1.0))
    levels = environment(reader, *both).evaluate([(Q, docs("ab"))], [1, 2])
    assert len(reader.read_so_far) == 2
    assert levels.parts["em"].tolist() == [[1.0, 1.0]]
    assert levels.parts["mean"].tolist() == [[0.0, 0.0]]


def test_two_observers_take_turns_batch_by_batch():
    order = []
    reader = ScriptedReader(lambda reading: order.append("read") or "gold")
    scorer = ScriptedScorer(lambda question: order.append("score") or [-1.0] * len(question.labels))
    environment(reader, (GoldLikelihood(scorer), 1.0), batch=1).evaluate([(Q, docs("ab"))], [1, 2])
    assert order == ["read", "score", "read", "score"]


def test_order_matters_unless_it_is_told_not_to():
    for key, asked in (("ordered", ["ab", "ba"]), ("set", ["ab"])):
        reader = knows("a", "b")
        ours = environment(reader, (PrefixNDCG({"q": {"b": 1}}), 1.0), key=key)
        levels = ours.evaluate([(Q, docs("ba")), (Q, docs("ab"))], [2])
        assert shown(reader) == asked
        assert levels.parts["f1"].tolist() == [[1.0], [1.0]]
        assert levels.parts["nDCG@10"][0, 0] > levels.parts["nDCG@10"][1, 0]  # judged as it is ordered


def test_queries_of_the_same_words_share_answers_but_not_judgements():
    reader, twin = knows("a"), query("q", "gold")
    twin = type(twin)(id="twin", text=Q.text, answers=Q.answers)
    ours = environment(reader, (PrefixNDCG({"q": {"a": 1}, "twin": {"b": 1}}), 1.0))
    levels = ours.evaluate([(Q, docs("a")), (twin, docs("a"))], [1])
    assert len(reader.read_so_far) == 1
    assert levels.parts["nDCG@10"].tolist() == [[1.0], [0.0]]


@pytest.mark.parametrize(
    "other",
    [
        (Q, docs("a")[0].__class__(id="a", text="other text")),
        (Q, docs("a")[0].__class__(id="a", text="text of a", title="t")),
        (query("q", "other gold"), docs("a")[0]),
        (type(Q)(id="q", text="other words", answers=("gold",)), docs("a")[0]),
        (type(Q)(id="q", text=Q.text, answers=("gold",), instruction="i"), docs("a")[0]),
    ],
)
def test_what_differs_is_asked_anew(other):
    reader = knows("a")
    environment(reader).evaluate([(Q, docs("a")), (other[0], (other[1],))], [1])
    assert len(reader.read_so_far) == 2


# ------------------------------------------------------------------------------------------------ keeping and resuming


def test_a_store_spares_the_next_run_all_calls(tmp_path):
    with Store(tmp_path / "replay.sqlite") as store:
        first = environment(knows("a"), store=store).evaluate([(Q, docs("ab"))], [1, 2])
        reader = knows("a")
        second = environment(reader, store=store).evaluate([(Q, docs("ab"))], [1, 2])
        assert reader.read_so_far == []
        np.testing.assert_array_equal(first.totals, second.totals)
        stranger = knows("a")
        stranger.identity = "another reader"
        environment(stranger, store=store).evaluate([(Q, docs("ab"))], [1, 2])
        assert len(stranger.read_so_far) == 2


def test_what_was_read_before_a_crash_is_kept(tmp_path):
    count = itertools.count()

    def reply(_):
        if next(count) == 5:
            raise KeyboardInterrupt
        return "gold"

    lists = [(Q, docs(name)) for name in "abcdefgh"]
    with Store(tmp_path / "replay.sqlite") as store:
        with pytest.raises(KeyboardInterrupt):
            environment(ScriptedReader(reply), store=store, batch=2).evaluate(lists, [1])
        reader = ScriptedReader(lambda _: "gold")
        environment(reader, store=store, batch=2).evaluate(lists, [1])
    assert shown(reader) == list("efgh")


def test_slow_rewards_of_yours_are_kept(tmp_path):
    asked = []
    slow = FunctionReward(lambda prefix: asked.append(1) or 0.5, "slow")
    with Store(tmp_path / "s.sqlite") as store:
        for _ in range(2):
            ours = ReaderEnvironment(WeightedReward(((Kept(slow, "slow 1"), 1.0),)), store)
            assert ours.evaluate([(Q, docs("a"))], [1]).totals.tolist() == [[0.5]]
    assert asked == [1]


def test_a_budget_counts_distinct_prefixes_and_survives_a_resume(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        environment(knows("a"), store=store).evaluate([(Q, docs("ab"))], [1, 2])  # another run's
        reader = knows("a")
        ours = environment(reader, store=store, budget=3)
        ours.evaluate([(Q, docs("ab")), (Q, docs("ab"))], [1, 2])
        ours.evaluate([(Q, docs("ab"))], [1, 2])
        assert (ours.spent, len(reader.read_so_far)) == (2, 0)
        resumed = environment(reader, store=store, budget=3)
        resumed.load_state_dict(json.loads(json.dumps(ours.state_dict())))
        assert resumed.counters.requested == 6
        with pytest.raises(BudgetSpent, match="2 of 3 calls are spent and 2 more"):
            resumed.evaluate([(Q, docs("cd"))], [1, 2])
        assert reader.read_so_far == []
        resumed.evaluate([(Q, docs("ab")), (Q, docs("c"))], [1])
        assert resumed.spent == 3


# ------------------------------------------------------------------------------------------------ failures


def test_a_failed_reading_is_masked_and_asked_again():
    said = iter([Fails("timeout"), "gold", "gold"])
    reader = ScriptedReader(lambda _: next(said))
    ours = environment(reader, (PassageCost(), 1.0))
    first = ours.evaluate([(Q, docs("ab"))], [1, 2])
    assert np.isnan(first.totals[0, 0])
    assert np.isnan(first.parts["f1"][0, 0])
    assert first.parts["passages"][0, 0] == -0.1
    assert ours.counters.failed == 1
    assert ours.evaluate([(Q, docs("ab"))], [1, 2]).parts["f1"].tolist() == [[1.0, 1.0]]


def test_a_dead_reader_is_an_error_that_says_why():
    ours = environment(ScriptedReader(lambda _: Fails("connection refused")), batch=2, patience=4)
    with pytest.raises(BackendError, match=r"last 4 calls of 'answer scripted reader' failed.*connection refused"):
        ours.evaluate([(Q, docs(name)) for name in "abcdefgh"], [1])
    assert ours.counters.made == 4


def test_failures_with_successes_between_are_no_death():
    ours = environment(
        ScriptedReader(lambda r: Fails("x") if r.documents[0].id in "ace" else "gold"), batch=1, patience=2
    )
    levels = ours.evaluate([(Q, docs(name)) for name in "abcdef"], [1])
    assert np.isnan(levels.totals[:, 0]).tolist() == [True, False] * 3


def test_failures_after_the_last_answer_count_and_environments_may_count_together():
    streak = Streak()
    assert streak.add(["a", None, None]) == 2
    assert streak.add([]) == 2
    assert streak.add([None]) == 3
    assert streak.add([None, "b"]) == streak.failures == 0
    dead = ScriptedReader(lambda _: Fails("gone"))
    one, other = (environment(dead, batch=2, patience=3, streak=streak) for _ in range(2))
    one.evaluate([(Q, docs("a")), (Q, docs("b"))], [1])
    with pytest.raises(BackendError, match="last 4 calls"):
        other.evaluate([(Q, docs("a")), (Q, docs("b"))], [1])


@pytest.mark.parametrize("lengths", [[], [-1], [1, 1]])
def test_wrong_lengths(lengths):
    with pytest.raises(InvalidInput):
        environment(knows("a")).evaluate([(Q, docs("a"))], lengths)


def test_wrong_configuration():
    for wrong in ({"batch": 0}, {"workers": 0}, {"patience": 0}, {"budget": -1}):
        with pytest.raises(InvalidInput):
            environment(knows("a"), **wrong)
    with pytest.raises(UnknownName):
        environment(knows("a"), key="bag")


# ------------------------------------------------------------------------------------------------ beside training


def test_reading_goes_on_beside_the_caller():
    go = threading.Event()
    reader = ScriptedReader(lambda _: go.wait(5) and "gold")
    with environment(reader) as ours:
        first, second = (ours.submit([(Q, docs(name))], [1]) for name in "ab")
        assert not first.done()
        assert ours.counters.made == 0  # accounts can be looked at meanwhile
        json.dumps(ours.state_dict())
        go.set()
        assert first.result(5).totals.tolist() == second.result(5).totals.tolist() == [[1.0]]
    assert shown(reader) == ["a", "b"]


def test_what_goes_wrong_beside_the_caller_is_told():
    with environment(knows("a"), budget=0) as ours, pytest.raises(BudgetSpent):
        ours.submit([(Q, docs("a"))], [1]).result(5)


def test_closing_drops_what_was_not_begun():
    begun, go = threading.Event(), threading.Event()
    ours = environment(ScriptedReader(lambda _: begun.set() or (go.wait(5) and "gold")))
    first, second = ours.submit([(Q, docs("a"))], [1]), ours.submit([(Q, docs("b"))], [1])
    begun.wait(5)
    threading.Timer(0.05, go.set).start()
    ours.close()
    assert first.done()
    assert second.cancelled()


def test_batches_side_by_side_take_less_time():
    def slow(_):
        time.sleep(0.05)
        return "gold"

    started = time.perf_counter()
    environment(ScriptedReader(slow), batch=1, workers=8).evaluate([(Q, docs(n)) for n in "abcdefgh"], [1])
    assert time.perf_counter() - started < 0.3
