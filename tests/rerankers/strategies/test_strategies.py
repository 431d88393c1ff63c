"""What is particular to each strategy."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.errors import InvalidInput
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.strategies import (
    AllPairs,
    DynamicK,
    Hops,
    PairwiseSort,
    Pointwise,
    SetwiseHeap,
    SlidingWindow,
    Tournament,
    WholeList,
)
from shortlist.rerankers.strategies.sliding_window import windows
from shortlist.testing.rerankers import ScriptedPolicy, chooser, graded_request, orderer, scorer
from shortlist.types import Choice, Judgement, RerankRequest, ScoredJudgement, Status


def rank(strategy, verdict, request):
    policy = verdict if isinstance(verdict, ScriptedPolicy) else ScriptedPolicy(verdict)
    (rollout,) = Reranker(policy=policy, strategy=strategy).rollouts([request])
    return rollout


def letters(n):
    return RerankRequest.of("q", [chr(ord("a") + i) for i in range(n)])


def shown(rollout):
    return ["".join(d.text for d in turn.slate.documents) for turn in rollout.turns]


# ------------------------------------------------------------------------------------------------ hops


def shared_words(slate):
    """Counts the words that query and passage share."""
    (document,) = slate.documents
    return ScoredJudgement.of([float(len(set(slate.query.text.split()) & set(document.text.split())))])


def test_a_second_hop_finds_what_only_the_first_one_names():
    texts = ["alien film posters", "alien was made by scott", "scott was by birth from shields", "posters of a film"]
    request = RerankRequest.of("birthplace of who made alien", texts)
    assert rank(Pointwise(), shared_words, request).ranking.order[-1] == 2
    found = rank(Hops(weight=2.0), shared_words, request)
    assert found.ranking.order[:2] == (1, 2)
    assert len(found.turns) == 2 * 4 - 1
    assert {turn.slate.query.text for turn in found.turns[4:]} == {f"{request.query.text} {texts[1]}"}
    assert found.ranking.scores == tuple(sorted(found.ranking.scores, reverse=True))


def test_the_last_look_alone_says_how_many_follow_what_was_found():
    texts = ["alien film posters", "alien was made by scott", "scott was by birth from shields", "posters of a film"]
    request = RerankRequest.of("birthplace of who made alien", texts)
    seen = []

    def two(ranking):
        seen.append(ranking)
        return 2

    for hops, kept in ((2, 3), (3, 4)):
        assert rank(Hops(hops=hops, enough=two), shared_words, request).ranking.cutoff == kept
        (looked,) = [ranking.scores for ranking in seen[-1:]]
        assert looked == tuple(sorted((float(x) for x in looked), reverse=True))
        assert len(looked) == len(texts) - (hops - 1)
    assert seen[0].query.found == (request.candidates[1].document,)
    assert rank(Hops(), shared_words, request).ranking.cutoff is None


def test_where_nothing_is_good_enough_at_first_sight_nothing_is_kept_and_there_is_no_second_look():
    texts = ["alien film posters", "alien was made by scott", "scott was by birth from shields", "posters of a film"]
    request = RerankRequest.of("birthplace of who made alien", texts)
    best = max(rank(Pointwise(), shared_words, request).ranking.scores)
    kept = rank(Hops(none_below=best), shared_words, request)
    assert (kept.ranking.cutoff, len(kept.turns)) == (None, 7)
    none = rank(Hops(none_below=best + 1e-9, enough=lambda _: 2), shared_words, request)
    assert (none.ranking.cutoff, len(none.turns)) == (0, 4)
    assert none.ranking.order == rank(Pointwise(), shared_words, request).ranking.order


def test_what_could_not_be_judged_is_not_taken_for_irrelevant():
    request = RerankRequest.of("q?", ["a", "b", "c"])
    assert rank(Hops(none_below=5.0), lambda _: ScoredJudgement.of([float("nan")]), request).ranking.cutoff is None


def test_a_hop_of_no_weight_changes_nothing_but_the_scores():
    request, grade = graded_request(12)
    assert rank(Hops(weight=0.0), scorer(grade), request).ranking.order == (
        rank(Pointwise(), scorer(grade), request).ranking.order
    )


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"hops": 1}, "hops is 1"),
        ({"weight": -1.0}, "weight is -1.0"),
        ({"words": -1}, "words is -1"),
        ({"weight": math.nan}, "weight is nan"),
    ],
)
def test_hops_are_told_what_is_wrong(options, named):
    with pytest.raises(InvalidInput, match=named):
        Hops(**options)


# ------------------------------------------------------------------------------------------------ sliding window


@given(st.integers(0, 300), st.integers(2, 40), st.data())
def test_windows(n, size, data):
    stride = data.draw(st.integers(1, size - 1))
    spans = windows(n, size, stride)
    if n < 2:
        assert spans == []
        return
    assert spans[0][1] == n
    assert spans[-1][0] == 0
    assert all(0 < end - start <= size for start, end in spans)
    for (below, _), (start, end) in itertools.pairwise(spans):
        assert start < below
        assert end - below >= size - stride
    if n <= size:
        assert spans == [(0, n)]


@given(st.integers(2, 120), st.integers(2, 12), st.integers(0, 10**6), st.data())
def test_the_best_rise_through_the_windows(n, size, seed, data):
    stride = data.draw(st.integers(1, size - 1))
    request, grade = graded_request(n, seed)
    ranking = rank(SlidingWindow(size=size, stride=stride), orderer(grade), request).ranking
    best = sorted(range(n), key=lambda i: -grade(request.candidates[i]))
    assert list(ranking.order[: size - stride]) == best[: size - stride]


@pytest.mark.parametrize(("n", "calls"), [(0, 0), (1, 0), (2, 1), (19, 1), (20, 1), (21, 2), (30, 2), (100, 9)])
def test_calls_of_a_pass(n, calls):
    request, grade = graded_request(n)
    assert rank(SlidingWindow(), orderer(grade), request).ranking.usage.calls == calls


def test_windows_of_a_batch_are_each_lists_own():
    """Shorter than a window, no multiple of the stride, long: beside one another each is ranked as by itself, to its head."""
    asked = [graded_request(n, seed=n) for n in (7, 100, 1, 23, 20, 38)]
    grades = {request.query.id: grade for request, grade in asked}
    assert len(grades) == len(asked)

    def verdict(slate):
        grade = grades[slate.query.id]
        return Judgement(order=tuple(sorted(range(len(slate)), key=lambda i: -grade(slate.candidates[i]))))

    reranker = Reranker(policy=ScriptedPolicy(verdict), strategy=SlidingWindow())
    rankings = list(reranker.rerank([request for request, _ in asked]))
    assert rankings == [next(reranker.rerank([request])) for request, _ in asked]
    for ranking, (request, grade) in zip(rankings, asked, strict=True):
        best = sorted(range(len(request)), key=lambda i: -grade(request.candidates[i]))
        assert list(ranking.order[:10]) == best[:10]


def test_an_order_is_given_no_scores():
    """Neither those of the first stage, dealt out anew by rank, nor any other."""
    request, grade = graded_request(30)
    assert all(candidate.score is not None for candidate in request.candidates)
    ranking = rank(SlidingWindow(), orderer(grade), request).ranking
    assert ranking.order != tuple(range(30))
    assert ranking.scores is None


def test_a_failed_window_leaves_its_part():
    def verdict(slate):
        order = tuple(reversed(range(len(slate))))
        bottom = slate.documents[-1].text == "f"
        missing = order[::-1]
        return Judgement(order=order) if not bottom else Judgement(order=order, status=Status.FAILED, missing=missing)

    ranking = rank(SlidingWindow(size=4, stride=2), verdict, letters(6)).ranking
    assert [d.document.text for d in ranking] == list("dcbaef")
    assert ranking.status is Status.PARTIAL
    assert ranking.unjudged == (4, 5)


@pytest.mark.parametrize(
    "options", [{"size": 20, "stride": 20}, {"stride": 0}, {"passes": 0}, {"size": 1, "stride": 1}]
)
def test_windows_that_cannot_work(options):
    with pytest.raises(InvalidInput):
        SlidingWindow(**options)


# ------------------------------------------------------------------------------------------------ pairs and sets


def test_both_orders_cancel_a_preference_for_the_first():
    always_first = ScriptedPolicy(lambda slate: Choice(best=0))
    for strategy in (AllPairs(), PairwiseSort()):
        assert rank(strategy, always_first, letters(7)).ranking.order == tuple(range(7))
    scores = rank(AllPairs(), always_first, letters(7)).ranking.scores
    assert scores == (0.5,) * 7
    always_second = ScriptedPolicy(lambda slate: Choice(best=1))
    assert rank(PairwiseSort(), always_second, letters(7)).ranking.order == tuple(range(7))
    assert rank(PairwiseSort(both_orders=False), always_second, letters(4)).ranking.order == (3, 2, 1, 0)


def test_shares_count_instead_of_wins():
    strength = {"a": 0.5, "b": 2.0, "c": 1.0}

    def verdict(slate):
        x, y = (strength[d.text] for d in slate.documents)
        return Choice(best=0, shares=(x / (x + y), y / (x + y)))  # the named best contradicts on purpose

    ranking = rank(AllPairs(), verdict, letters(3)).ranking
    assert ranking.order == (1, 2, 0)
    assert ranking.scores == pytest.approx(((2 / 2.5 + 2 / 3) / 2, (1 / 1.5 + 1 / 3) / 2, (0.5 / 2.5 + 0.5 / 1.5) / 2))
    assert rank(PairwiseSort(), verdict, letters(3)).ranking.order == (1, 2, 0)


def test_a_passage_without_any_comparison_keeps_its_place():
    def verdict(slate):
        texts = [d.text for d in slate.documents]
        return Choice(best=None, status=Status.FAILED) if "c" in texts else Choice(best=texts.index(max(texts)))

    ranking = rank(AllPairs(), verdict, letters(5)).ranking
    assert [c.document.text for c in ranking] == ["e", "d", "c", "b", "a"]
    assert (ranking.unjudged, ranking.status) == ((2,), Status.PARTIAL)


@given(st.integers(2, 60), st.integers(1, 70), st.integers(0, 10**6))
def test_pairwise_sort_ends_whatever_the_comparator_says(n, top, seed):
    rng = random.Random(seed)
    policy = ScriptedPolicy(lambda slate: Choice(best=rng.choice((0, 1))))
    ranking = rank(PairwiseSort(top=top, both_orders=False), policy, letters(n)).ranking
    assert sorted(ranking.order) == list(range(n))
    assert list(ranking.order[top:]) == sorted(ranking.order[top:])
    assert ranking.usage.calls <= n * math.ceil(math.log2(n))


def test_top_saves_comparisons_and_rounds():
    request, grade = graded_request(100)
    batches = []

    class Counted(ScriptedPolicy):
        def judge(self, slates):
            batches.append(len(slates))
            return super().judge(slates)

    policy = Counted(chooser(grade).verdict)
    everything = next(Reranker(policy=policy, strategy=PairwiseSort(both_orders=False)).rerank([request]))
    rounds, calls = len(batches), everything.usage.calls
    batches.clear()
    some = next(Reranker(policy=policy, strategy=PairwiseSort(both_orders=False, top=10)).rerank([request]))
    assert some.usage.calls < calls * 0.6
    assert len(batches) < rounds / 2
    assert batches[0] == 50  # a whole level at once


def test_setwise_heap_builds_level_by_level():
    request, grade = graded_request(40)
    rollout = rank(SetwiseHeap(children=3, top=1), chooser(grade), request)
    assert max(len(turn.slate) for turn in rollout.turns) == 4
    assert rollout.ranking.usage.calls <= 40
    assert list(rollout.ranking.order[1:]) == sorted(rollout.ranking.order[1:])


@given(st.integers(0, 50), st.integers(1, 6), st.integers(1, 60), st.integers(0, 10**6))
def test_setwise_heap_is_right_or_at_least_a_permutation(n, children, top, seed):
    request, grade = graded_request(n, seed)
    best = sorted(range(n), key=lambda i: -grade(request.candidates[i]))
    strategy = SetwiseHeap(children=children, top=top)
    assert list(rank(strategy, chooser(grade), request).ranking.order[:top]) == best[:top]
    rng = random.Random(seed)
    wild = rank(strategy, lambda slate: Choice(best=rng.choice((None, *range(len(slate))))), request).ranking
    assert sorted(wild.order) == list(range(n))


# ------------------------------------------------------------------------------------------------ tournament


@given(st.integers(0, 150), st.integers(2, 12), st.integers(0, 10**6), st.data())
def test_tournament_settles_the_top(n, size, seed, data):
    top = data.draw(st.integers(1, size - 1))
    request, grade = graded_request(n, seed)
    best = sorted(range(n), key=lambda i: -grade(request.candidates[i]))
    rollout = rank(Tournament(size=size, top=top), orderer(grade), request)
    assert list(rollout.ranking.order[:top]) == best[:top]
    assert all(2 <= len(turn.slate) <= size for turn in rollout.turns)


def test_a_good_first_stage_takes_two_rounds():
    request = letters(26)
    batches = []

    class Counted(ScriptedPolicy):
        def judge(self, slates):
            batches.append(len(slates))
            return super().judge(slates)

    policy = Counted(lambda slate: Judgement(order=tuple(range(len(slate)))))
    (ranking,) = Reranker(policy=policy, strategy=Tournament(size=6, top=3)).rerank([request])
    assert ranking.order[:1] == (0,)
    # the pivot is shown before the others, so "as shown" means that none beats it
    assert batches == [1, 4]
    assert ranking.order == tuple(range(26))


def test_a_reversed_list_stays_affordable():
    request = RerankRequest.of("q", [str(i) for i in range(400)])
    rollout = rank(Tournament(), orderer(lambda c: float(c.id)), request)
    assert list(rollout.ranking.order[:10]) == list(range(399, 389, -1))
    assert rollout.ranking.usage.calls < 3 * 400 / 19


# ------------------------------------------------------------------------------------------------ subsets, scores


def keeping(good):
    def verdict(slate):
        kept = tuple(i for i, d in enumerate(slate.documents) if d.text in good)
        rest = tuple(i for i in range(len(slate)) if i not in kept)
        return Judgement(order=kept + rest, cutoff=len(kept))

    return verdict


@pytest.mark.parametrize("strategy", [WholeList(), DynamicK()])
def test_the_model_decides_how_many(strategy):
    ranking = rank(strategy, keeping("bd"), letters(6)).ranking
    assert [c.document.text for c in ranking.kept] == ["b", "d"]
    assert rank(strategy, keeping(""), letters(6)).ranking.cutoff == 0
    assert rank(strategy, keeping(""), letters(1)).ranking.cutoff == 0
    assert rank(strategy, keeping(""), letters(0)).ranking.cutoff is None
    plain = Judgement(order=(1, 0))
    assert rank(strategy, lambda slate: plain, letters(2)).ranking.cutoff is None


def test_what_a_window_keeps_survives():
    rollout = rank(DynamicK(size=4), keeping("bhj"), letters(10))
    assert shown(rollout) == ["ghij", "efhj", "cdhj", "abhj"]
    assert [c.document.text for c in rollout.ranking.kept] == ["b", "h", "j"]
    assert "".join(c.document.text for c in rollout.ranking) == "bhjacdefgi"


def test_at_most_half_a_window_survives():
    rollout = rank(DynamicK(size=4), keeping("ghijab"), letters(10))
    assert shown(rollout) == ["ghij", "efgh", "cdgh", "abgh"]
    assert rollout.ranking.cutoff == 4
    assert rank(DynamicK(size=4), keeping(""), letters(10)).ranking.cutoff == 0


def test_pointwise_fills_in_the_missing():
    policy = scorer(lambda c: math.nan if c.document.text == "a" else float(ord(c.document.text)))
    ranking = rank(Pointwise(), policy, letters(4)).ranking
    assert ranking.order == (0, 3, 2, 1)
    assert (ranking.unjudged, ranking.status) == ((0,), Status.PARTIAL)


def test_ties_keep_the_first_stage_order():
    even = ScriptedPolicy(lambda slate: ScoredJudgement.of([5.0] * len(slate)))
    assert rank(Pointwise(), even, letters(9)).ranking.order == tuple(range(9))


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        (PairwiseSort, {"top": 0}),
        (SetwiseHeap, {"children": 0}),
        (SetwiseHeap, {"top": 0}),
        (Tournament, {"size": 10, "top": 10}),
        (Tournament, {"top": 0}),
        (DynamicK, {"size": 1}),
    ],
)
def test_options_are_checked(strategy, options):
    with pytest.raises(InvalidInput, match=r"give|must"):
        strategy(**options)
