"""Which rows a step takes: all of them once an epoch, and what belongs together in one step."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tiny_writers import lessons

from shortlist.rewards.text import CounterfactualNDCG, Reply
from shortlist.text import PointwiseRating
from shortlist.training.text.forms import fitted_lessons, whole
from shortlist.training.text.lesson_order import places, unit_of


def steps_of(units, steps, size, seed=0):
    order = places(units, steps, size, seed)
    assert len(order) == steps * size
    return [[units[place] for place in order[i : i + size]] for i in range(0, len(order), size)]


def pools(sizes):
    return [f"query {i}" for i, size in enumerate(sizes) for _ in range(size)]


@given(st.integers(1, 30), st.integers(1, 8), st.integers(1, 5), st.integers(0, 3))
def test_rows_of_their_own_come_once_an_epoch(count, size, epochs, seed):
    order = places([f"lesson {i}" for i in range(count)], -(-epochs * count // size), size, seed)
    for epoch in range(epochs):
        assert sorted(order[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_a_pool_that_is_short_puts_no_other_out_of_step():
    """Four pools of five a step, one pool of four: its step alone is filled with the beginning of another."""
    units = pools([4] + [5] * 15)
    steps = steps_of(units, 8, 20)
    whole = [{name: step.count(name) for name in step} for step in steps]
    short = [step for step in whole if "query 0" in step]
    assert short
    for step in whole:
        if step not in short:
            assert set(step.values()) == {5}
    for step in short:
        assert step["query 0"] == 4
        assert sum(count >= 5 for count in step.values()) == 3


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 12), st.integers(0, 5))
def test_at_most_one_pool_of_a_step_is_cut(sizes, size, seed):
    units = pools(sizes)
    for step in steps_of(units, 6, size, seed):
        cut = [name for name in set(step) if step.count(name) % min(units.count(name), size)]
        assert len([name for name in cut if units.count(name) <= size]) <= 1


def test_each_list_of_a_query_is_a_pool_of_its_own():
    """A query drawn twice: its lists are not ranked, rewarded or measured as one."""
    prompt, (one,) = PointwiseRating(), lessons(1)
    singles = fitted_lessons(prompt, [one, one])
    assert len(singles) == 6
    assert len({unit_of(single, 0) for single in singles}) == 2
    assert [pool.ids for pool in whole(singles)] == [one.ids, one.ids]
    replies = [Reply(single, "5", prompt.parse("5", single.slate)) for single in singles]
    both, first = CounterfactualNDCG(k=3).score(replies), CounterfactualNDCG(k=3).score(replies[:3])
    assert both == first * 2
