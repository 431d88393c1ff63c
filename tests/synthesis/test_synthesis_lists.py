"""Draws, bands and groups: what is drawn, what is left out, and that a seed decides it all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.backends.scripted import ScriptedPairScorer
from shortlist.data.lessons import Lesson, lesson_to_json
from shortlist.errors import InvalidInput, UnknownName
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.policies import PairPolicy
from shortlist.rerankers.strategies import Pointwise
from shortlist.synthesis.bands import Band, Mining
from shortlist.synthesis.common import Tally, arranged, generator, parse_shares, sampled
from shortlist.synthesis.draws import Draws
from shortlist.synthesis.groups import Grouping, whole_scores
from shortlist.types import Candidate, Document, Query, RerankRequest, Slate


def request(qid: str, count: int) -> RerankRequest:
    candidates = (Candidate(Document(id=f"{qid}-{i}", text=f"text {i}"), float(count - i)) for i in range(count))
    return RerankRequest(Query(text=f"query {qid}", id=qid), tuple(candidates))


def guard(score) -> Reranker:
    scorer = ScriptedPairScorer(lambda pair: score(int(pair.passage.split()[-1])))
    return Reranker(policy=PairPolicy(scorer=scorer), strategy=Pointwise(), name="guard")


REQUESTS = [request("a", 30), request("b", 8), request("c", 5)]
QRELS = {"a": {f"a-{i}": 2 if i % 5 == 0 else 0 for i in range(0, 30, 2)}, "b": {"b-7": 1}, "c": {"c-0": 0}}


# ------------------------------------------------------------------------------------------------ draws


def drawn(**settings):
    tally = Tally()
    return list(Draws(**{"size": 6, "target": 40, **settings}).lessons(REQUESTS, QRELS, tally)), tally


def test_draws_stop_at_the_target_and_count_what_they_leave_out():
    lessons, tally = drawn()
    assert len(lessons) == tally["kept"] == 40
    assert tally["queries with no relevant candidate"] == 1
    assert len({lesson.meta["id"] for lesson in lessons}) == 40


def test_every_draw_has_something_relevant_and_is_new():
    lessons, _ = drawn(floor=0.3)
    assert all(max(lesson.gains) >= 1 and lesson.meta["ndcg"] >= 0.3 for lesson in lessons)
    assert len({lesson.ids for lesson in lessons}) == len(lessons)
    assert all(len(lesson) == 6 and set(lesson.grades) <= set(lesson.ids) for lesson in lessons)


def test_the_seed_decides_and_the_order_of_queries_does_not():
    first, _ = drawn(seed=1)
    again, _ = drawn(seed=1)
    other, _ = drawn(seed=2)
    assert first == again != other
    turned = Draws(size=6, target=40, seed=1).lessons(REQUESTS[::-1], QRELS, Tally())
    assert sorted(str(lesson_to_json(one)) for one in turned) == sorted(str(lesson_to_json(one)) for one in first)


def test_orders_come_as_their_names_say():
    orders = {lesson.meta["input_order"]: lesson for lesson in drawn(target=60)[0]}
    assert set(orders) == {"first-stage", "shuffled", "near-ideal"}
    shown = orders["first-stage"].slate.candidates
    assert [c.score for c in shown] == sorted((c.score for c in shown), reverse=True)
    only, _ = drawn(shares={"near-ideal": 1.0})
    assert min(lesson.meta["ndcg"] for lesson in only) > 0.5


def test_a_query_that_has_nothing_new_to_give_ends_the_drawing():
    tally = Tally()
    recipe = Draws(size=8, target=999, per_query=30, shares={"first-stage": 1.0})
    assert len(list(recipe.lessons([REQUESTS[1]], QRELS, tally))) == 1
    assert tally["drawn before"] == 29


def test_the_judgements_may_be_the_target():
    lessons, _ = drawn(ideal=True)
    for lesson in lessons:
        target, gains = lesson.target, lesson.gains
        assert [gains[place] for place in target.order] == sorted(gains, reverse=True)
        assert target.scores == tuple(10.0 * (gain == max(gains)) for gain in gains)
        assert target.subset == target.order[: sum(gain >= 1 for gain in gains)]
    graded = Draws(size=3, target=1, floor=0, ideal=True).lessons(
        [request("a", 3)], {"a": {"a-0": 1, "a-2": 3}}, Tally()
    )
    assert sorted(next(iter(graded)).target.scores) == [0.0, 3.0, 10.0]
    assert all(lesson.target is None for lesson in drawn()[0])


@pytest.mark.parametrize("wrong", [{"size": 1}, {"floor": 1.5}, {"target": 0}, {"shares": {"sorted": 1.0}}])
def test_wrong_settings(wrong):
    with pytest.raises(InvalidInput):
        Draws(**wrong)


def test_shares_as_text():
    assert parse_shares("first-stage=2, shuffled") == {"first-stage": 2.0, "shuffled": 1.0}
    for wrong in ("sorted=1", "shuffled=x", "shuffled=0", "shuffled=-1", ""):
        with pytest.raises(InvalidInput):
            parse_shares(wrong)


@given(st.integers(0, 12), st.sampled_from(["first-stage", "shuffled", "near-ideal"]), st.integers(0, 99))
def test_an_arrangement_is_a_permutation(count, order, seed):
    candidates = request("a", count).candidates
    grades = {c.id: float(i % 3) for i, c in enumerate(candidates)}
    placed = arranged(candidates, order, grades, generator(seed))
    assert sorted(c.id for c in placed) == sorted(c.id for c in candidates)
    assert sampled(candidates, 4, generator(seed)) == [
        c for c in candidates if c in sampled(candidates, 4, generator(seed))
    ]


# ------------------------------------------------------------------------------------------------ bands

BANDS = (Band("hard", 1, 5, 2), Band("easy", 6, 30, 3))
POSITIVE = {"a": {"a-8": 1, "lost": 2}, "b": {"gone": 1}}


def test_negatives_come_from_their_bands_and_positives_from_the_corpus_if_need_be():
    tally = Tally()
    texts = {"lost": Document(id="lost", text="found again 0")}
    recipe = Mining(bands=BANDS, positives=2)
    (lesson,) = recipe.lessons(REQUESTS[:2], POSITIVE, texts.get, tally)
    by_name = {}
    for docid, name in zip(lesson.ids, lesson.meta["bands"], strict=True):
        by_name.setdefault(name, []).append(docid)
    assert set(by_name["positive"]) == {"a-8", "lost"}
    assert len(by_name["hard"]) == 2
    assert {int(d.split("-")[1]) for d in by_name["hard"]} <= set(range(5))
    assert {int(d.split("-")[1]) for d in by_name["easy"]} <= set(range(5, 30)) - {8}
    assert lesson.grades == {"a-8": 1.0, "lost": 2.0}
    assert +tally == {"kept": 1, "no positive with a text": 1}


def test_the_guard_leaves_out_what_scores_near_the_positive():
    """Scores fall with the number of the passage: of those before the positive, 8, all are false negatives."""
    tally = Tally()
    recipe = Mining(bands=BANDS, guard=guard(lambda i: -i), margin=2.5, spare=20)
    (lesson,) = recipe.lessons(REQUESTS[:1], {"a": {"a-8": 1}}, {}.get, tally)
    negatives = [int(d.split("-")[1]) for d, b in zip(lesson.ids, lesson.meta["bands"], strict=True) if b != "positive"]
    assert len(negatives) == 3
    assert tally["short of hard negatives"] == 2
    assert min(negatives) > 8 + 2.5
    assert tally["false negatives, by the guard"] == 5 + 5  # 0-4, and of the second band 5, 6, 7, 9, 10
    assert lesson.teacher["a-8"] == -8.0


def test_a_list_without_negatives_is_left_out():
    tally = Tally()
    recipe = Mining(bands=BANDS, guard=guard(lambda i: -i), margin=99)
    assert list(recipe.lessons(REQUESTS[:1], {"a": {"a-8": 1}}, {}.get, tally)) == []
    assert tally["no negative left"] == 1


def test_a_guard_must_score():
    class Orders:
        name = "orders"

        def rerank(self, requests):
            from shortlist.types import Ranking

            return (Ranking.of(one, range(len(one))) for one in requests)

    with pytest.raises(InvalidInput, match="only orders"):
        list(Mining(bands=BANDS, guard=Orders()).lessons(REQUESTS[:1], {"a": {"a-8": 1}}, {}.get, Tally()))


def test_bands_as_text():
    assert Band.parse("hard=1-10:7") == Band("hard", 1, 10, 7)
    for wrong in ("hard", "hard=1-10", "hard=10-1:7", "hard=a-b:c", "hard=0-3:1"):
        with pytest.raises(InvalidInput):
            Band.parse(wrong)


# ------------------------------------------------------------------------------------------------ groups


def labelled(count: int) -> Lesson:
    one = request("a", count)
    teacher = {c.id: -float(i) for i, c in enumerate(one.candidates)}
    return Lesson(slate=Slate(one.query, one.candidates), teacher=teacher, grades={"a-0": 1}, meta={"id": "a"})


def test_fifty_passages_in_groups_of_ten_are_every_fifth():
    groups = list(Grouping(sizes=(10,), order="first-stage").lessons([labelled(50)], Tally()))
    assert [lesson.ids for lesson in groups] == [tuple(f"a-{i}" for i in range(j, 50, 5)) for j in range(5)]
    assert groups[0].target.order == tuple(range(10))
    assert groups[0].target.scores == (10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0)
    assert groups[0].grades == {"a-0": 1.0}


def test_groups_that_do_not_divide_the_list_still_reach_its_end():
    first, second = Grouping(sizes=(20,), order="first-stage", scales=1).lessons([labelled(50)], Tally())
    assert (first.ids[0], first.ids[-1], second.ids[0], second.ids[-1]) == ("a-0", "a-48", "a-1", "a-49")
    assert min(second.target.scores) == 0.0
    assert len(first) == len(second) == 20


@given(st.integers(5, 60), st.integers(1, 4), st.integers(0, 50))
def test_groups_are_disjoint_shuffled_and_labelled_by_the_whole_list(count, scales, seed):
    lesson = labelled(count)
    groups = list(Grouping(scales=scales, seed=seed).lessons([lesson], Tally()))
    whole = dict(zip(lesson.ids, whole_scores([lesson.teacher[d] for d in lesson.ids]), strict=True))
    for size in {len(group) for group in groups}:
        ids = [d for group in groups if len(group) == size for d in group.ids]
        assert len(ids) == len(set(ids)) == count // size * size
    for group in groups:
        assert 5 <= len(group) <= min(20, count)
        assert group.target.scores == tuple(whole[d] for d in group.ids)
        assert [group.teacher[group.ids[i]] for i in group.target.order] == sorted(group.teacher.values(), reverse=True)


def test_lists_that_cannot_be_dealt_are_counted():
    tally = Tally()
    bare = Lesson(slate=labelled(9).slate)
    assert list(Grouping(sizes=(5,)).lessons([labelled(4), bare], tally)) == []
    assert tally == {"lists shorter than the smallest group": 1, "lists without teacher labels": 1}
    assert len(list(Grouping(sizes=(5,), labels="grades", per_scale=1).lessons([labelled(20)], tally))) == 1
    with pytest.raises(UnknownName):
        Grouping(labels="gold")


def test_whole_scores():
    assert whole_scores([3.0, 3.0]) == [5, 5]
    assert whole_scores([0.0, 0.5, 1.0]) == [0, 5, 10]
    assert whole_scores([-4.0, 4.0, 0.2]) == [0, 10, 5]
