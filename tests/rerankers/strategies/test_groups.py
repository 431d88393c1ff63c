"""Designs, mergers, and the two together: does grouping well beat grouping at random?"""

import math
import random
from collections import Counter
from functools import partial
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.errors import InvalidInput
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.designs import DESIGNS, balanced, disjoint, interval, random_repeated
from shortlist.rerankers.mergers import MERGERS, Graded, anchored, bradley_terry, mean, rrf, z_score
from shortlist.rerankers.strategies import Groups
from shortlist.rerankers.strategies.groups import anchor_places
from shortlist.testing.rerankers import ScriptedPolicy
from shortlist.types import RerankRequest, ScoredJudgement, Status

# ------------------------------------------------------------------------------------------------ designs


@pytest.mark.parametrize("name", DESIGNS)
@given(n=st.integers(1, 70), size=st.integers(2, 25), repeats=st.integers(1, 4), seed=st.integers(0, 99))
def test_every_repeat_is_an_even_partition(name, n, size, repeats, seed):
    groups = DESIGNS[name](n, size, repeats, random.Random(seed))
    count = -(-n // size)
    assert len(groups) == repeats * count
    for r in range(repeats):
        part = groups[r * count : (r + 1) * count]
        assert sorted(place for group in part for place in group) == list(range(n))
        assert max(map(len, part)) <= size
        assert max(map(len, part)) - min(map(len, part)) <= 1
    assert groups == DESIGNS[name](n, size, repeats, random.Random(seed))


@pytest.mark.parametrize("name", DESIGNS)
@given(n=st.integers(1, 70), size=st.integers(2, 25), repeats=st.integers(1, 4), seed=st.integers(0, 99))
def test_more_repeats_begin_with_the_groups_of_fewer(name, n, size, repeats, seed):
    """So what was asked of a model for few repeats is in the cache for more."""
    few = Groups(size=size, design=DESIGNS[name], repeats=repeats, seed=seed).groups(n, "q")
    many = Groups(size=size, design=DESIGNS[name], repeats=repeats + 2, seed=seed).groups(n, "q")
    assert many[: len(few)] == few


def test_interval_groups_span_the_list_and_disjoint_ones_are_neighbours():
    rng = random.Random(0)
    assert interval(12, 4, 1, rng) == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]
    assert all(max(group) - min(group) >= 21 for group in interval(40, 4, 3, rng))
    assert [sorted(group) for group in disjoint(9, 3, 1, rng)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert any(group != sorted(group) for group in disjoint(100, 20, 1, rng))


def again(groups, n):
    """How often a pair meets again after its first meeting, counted as pairs of meetings."""
    met = Counter(pair for group in groups for pair in combinations(sorted(group), 2))
    assert all(0 <= a < b < n for a, b in met)
    return sum(times * (times - 1) // 2 for times in met.values())


@pytest.mark.parametrize(("n", "size", "repeats"), [(100, 10, 3), (100, 20, 4), (60, 10, 6)])
def test_balanced_pairs_meet_about_equally_often(n, size, repeats):
    # two partitions into m groups of `size` share at least m² cells of size / m passages
    m = n // size
    low, more = divmod(size, m)
    cell = m * (more * (low + 1) * low // 2 + (m - more) * low * (low - 1) // 2)
    least = cell * repeats * (repeats - 1) // 2
    spare = {d: again(d(n, size, repeats, random.Random(1)), n) - least for d in (balanced, random_repeated)}
    assert 0 <= spare[balanced] < 0.35 * spare[random_repeated]


def test_anchor_places():
    assert anchor_places(101, 3) == (0, 50, 100)
    assert anchor_places(101, 2) == (0, 100)
    assert anchor_places(101, 1) == (50,)


# ------------------------------------------------------------------------------------------------ mergers

TWO = [Graded((0, 1, 2), (9.0, 5.0, 1.0)), Graded((2, 3, 0), (4.0, 0.0, math.nan))]


def test_merged_by_hand():
    assert mean(5, TWO)[:4] == [9.0, 5.0, 2.5, 0.0]
    assert z_score(4, TWO) == pytest.approx([1.5**0.5, 0.0, (1 - 1.5**0.5) / 2, -1.0])
    assert rrf(4, TWO) == pytest.approx([1 / 61, 1 / 62, (1 / 63 + 1 / 61.25) / 2, 1 / 62.75])
    assert rrf(2, [Graded((0, 1), (3.0, 3.0))], k=0) == pytest.approx([1 / 1.5, 1 / 1.5])


@pytest.mark.parametrize("name", MERGERS)
def test_nothing_graded_is_nan_and_infinities_count_as_nothing(name):
    merged = MERGERS[name](5, [*TWO, Graded((0, 4), (8.0, -math.inf))])
    assert math.isnan(merged[4])
    assert all(map(math.isfinite, merged[:4]))
    assert all(map(math.isnan, MERGERS[name](3, [])))
    assert MERGERS[name](0, []) == []
    assert MERGERS[name](2, [Graded((0,), (1.0,)), Graded((1,), (1.0,))])[0] == pytest.approx(
        MERGERS[name](2, [Graded((0,), (1.0,)), Graded((1,), (1.0,))])[1]
    )


@pytest.mark.parametrize("name", MERGERS)
@given(st.permutations(range(8)), st.integers(0, 99))
def test_one_group_keeps_its_order(name, grades, seed):
    merged = MERGERS[name](8, [Graded(tuple(range(8)), tuple(map(float, grades)))])
    assert sorted(range(8), key=lambda i: -merged[i]) == sorted(range(8), key=lambda i: -grades[i])


def test_bradley_terry_agrees_with_the_likelihood_equations():
    """At the maximum the wins expected equal the wins seen (prior included)."""
    rng = random.Random(3)
    groups = [Graded(tuple(rng.sample(range(9), 4)), tuple(rng.random() for _ in range(4))) for _ in range(20)]
    strength = np.exp(bradley_terry(9, groups, rounds=2000, prior=0.5))
    seen, expected = np.full(9, 0.5), 2 * 0.5 * strength / (strength + 1)
    for group in groups:
        for (a, x), (b, y) in combinations(group.known, 2):
            seen[a if x > y else b] += 1
            expected[a] += strength[a] / (strength[a] + strength[b])
            expected[b] += strength[b] / (strength[a] + strength[b])
    assert expected == pytest.approx(seen, abs=2e-2)


def test_bradley_terry_counts_a_tie_as_half():
    assert bradley_terry(2, [Graded((0, 1), (3.0, 3.0))]) == pytest.approx([0.0, 0.0])


def test_anchors_take_offsets_and_scales_away():
    """Without noise and with a true scale in every group, the shared passages give the true order back."""
    truth = [math.sin(i * 1.7) * 3 for i in range(40)]
    groups = []
    for g in range(4):
        places = (0, 20, 39, *range(1 + g, 39, 4))
        places = tuple(dict.fromkeys(places))
        groups.append(Graded(places, tuple(g * 5.0 - 8 + truth[p] for p in places)))
    merged = anchored(40, groups)
    assert np.corrcoef(merged, truth)[0, 1] > 0.999999
    assert np.corrcoef(mean(40, groups), truth)[0, 1] < 0.7
    scaled = [Graded(g.places, tuple(s * (1 + i) for s in g.grades)) for i, g in enumerate(groups)]
    assert np.corrcoef(anchored(40, scaled, pull=0.0, rounds=500), truth)[0, 1] > 0.99


# ------------------------------------------------------------------------------------------------ the strategy


def grading(offset=2.0, noise=0.5, seed=0):
    """A grader whose every call has an offset of its own, as models that grade within a group do."""

    def verdict(slate):
        rng = random.Random(f"{seed}/{[c.id for c in slate.candidates]}")
        shift = rng.gauss(0, offset)
        return ScoredJudgement.of([float(d.text) + shift + rng.gauss(0, noise) for d in slate.documents])

    return ScriptedPolicy(verdict)


def noisy_requests(count, n=100):
    for q in range(count):
        rng = random.Random(q)
        truth = [rng.gauss(0, 1) for _ in range(n)]
        first = sorted(truth, key=lambda t: -(t + rng.gauss(0, 1.5)))
        request = RerankRequest.of("q", map(repr, first))
        yield RerankRequest(type(request.query)(text="q", id=f"q{q}"), request.candidates)


def agreement(strategy, requests=30):
    """Kendall's tau between the ranking and the truth, averaged."""
    taus = []
    for ranking in Reranker(policy=grading(), strategy=strategy).rerank(noisy_requests(requests)):
        truth = np.array([float(c.document.text) for c in ranking])
        later = np.sign(truth[:, None] - truth[None, :])[np.triu_indices(len(truth), 1)]
        taus.append(later.mean())
    return float(np.mean(taus))


def test_anchored_and_balanced_groups_beat_random_ones():
    at_random = agreement(Groups(size=10, design=random_repeated, repeats=3))
    once = agreement(Groups(size=10, design=random_repeated, repeats=1))
    aligned = agreement(Groups(size=10, design=random_repeated, repeats=1, anchors=3, merger=anchored))
    aligned_balanced = agreement(Groups(size=10, design=balanced, repeats=3, merger=anchored))
    compared = agreement(Groups(size=10, design=balanced, repeats=3, merger=bradley_terry))
    assert at_random > once + 0.05  # repeating helps a little
    assert aligned > at_random + 0.05  # anchors help more, with fewer calls
    assert compared > at_random + 0.1
    assert aligned_balanced > at_random + 0.1


def test_groups_depend_on_seed_and_query_alone():
    strategy = Groups(size=5, design=random_repeated, anchors=2)
    assert strategy.groups(40, "a") == Groups(size=5, design=random_repeated, anchors=2).groups(40, "a")
    assert strategy.groups(40, "a") != strategy.groups(40, "b")
    assert strategy.groups(40, "a") != Groups(size=5, design=random_repeated, anchors=2, seed=1).groups(40, "a")


def test_anchors_sit_in_every_group():
    groups = Groups(size=8, anchors=3, merger=anchored).groups(50, "q")
    assert all({0, 24, 49} <= set(group) and len(set(group)) == len(group) <= 8 for group in groups)
    assert {place for group in groups for place in group} == set(range(50))
    assert len({tuple(group.index(a) for a in (0, 24, 49)) for group in groups}) > 1


def test_a_passage_missing_from_one_group_is_not_lost():
    def verdict(slate):
        grades = [float(c.id) for c in slate.candidates]
        return ScoredJudgement.of([None, *grades[1:]], problems=("the first was left out",))

    request = RerankRequest.of("q", map(str, range(20)))
    (ranking,) = Reranker(
        policy=ScriptedPolicy(verdict), strategy=Groups(size=5, design=random_repeated, repeats=6)
    ).rerank([request])
    assert ranking.order == tuple(reversed(range(20)))
    assert (ranking.unjudged, ranking.status) == ((), Status.PARTIAL)


def test_ties_keep_the_first_stage_order_whatever_the_shuffle():
    even = ScriptedPolicy(lambda slate: ScoredJudgement.of([7.0] * len(slate)))
    request = RerankRequest.of("q", map(str, range(23)))
    for design in DESIGNS.values():
        for merger in MERGERS.values():
            strategy = Groups(size=6, design=design, repeats=2, merger=merger, anchors=2)
            (ranking,) = Reranker(policy=even, strategy=strategy).rerank([request])
            assert ranking.order == tuple(range(23)), (design, merger)


def test_repr_names_functions():
    strategy = Groups(size=10, design=balanced, repeats=3, merger=partial(rrf, k=20))
    assert repr(strategy) == "Groups(size=10, design=balanced, repeats=3, anchors=0, merger=rrf(k=20), seed=0)"


@pytest.mark.parametrize(
    "options",
    [
        {"size": 1},
        {"repeats": 0},
        {"size": 4, "anchors": 3},
        {"anchors": -1},
        {"merger": anchored},
        {"merger": anchored, "repeats": 3, "design": disjoint},
    ],
)
def test_groups_that_cannot_work(options):
    with pytest.raises(InvalidInput):
        Groups(**options)
