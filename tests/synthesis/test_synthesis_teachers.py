"""Teachers and imitation: fusion by hand, agreement, repeats, failures, and what becomes of a ranking."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.backends.scripted import ScriptedPairScorer
from shortlist.data.lessons import Lesson
from shortlist.errors import InvalidInput, UnknownName
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.policies import PairPolicy
from shortlist.rerankers.strategies import Pointwise, SlidingWindow
from shortlist.synthesis.common import Tally
from shortlist.synthesis.imitate import Imitation
from shortlist.synthesis.teach import Teaching, agreement, fused_score
from shortlist.testing.rerankers import ScriptedPolicy
from shortlist.types import Candidate, Document, Judgement, Query, Ranking, RerankRequest, Slate, Status


def request(qid: str = "a", count: int = 4) -> RerankRequest:
    candidates = (Candidate(Document(id=f"d{i}", text=f"text {i}"), float(-i)) for i in range(count))
    return RerankRequest(Query(text=f"query {qid}", id=qid), tuple(candidates))


class Orders:
    """A listwise teacher that orders by ``key`` of a document's number (and of how often it was asked)."""

    def __init__(self, key, status=Status.OK, cutoff=None):
        self.key, self.status, self.cutoff, self.asked, self.name = key, status, cutoff, [], "orders"

    def rerank(self, requests):
        for one in requests:
            self.asked.append([c.id for c in one.candidates])
            turn = len(self.asked)
            order = sorted(range(len(one)), key=lambda i: self.key(int(one.candidates[i].id[1:]), turn))
            yield Ranking.of(one, order, status=self.status, cutoff=self.cutoff)


def pointwise(score) -> Reranker:
    scorer = ScriptedPairScorer(lambda pair: score(int(pair.passage.split()[-1])))
    return Reranker(policy=PairPolicy(scorer=scorer), strategy=Pointwise(), name="points")


# ------------------------------------------------------------------------------------------------ teach


def test_two_teachers_are_fused_by_the_logarithms_of_their_ranks():
    recipe = Teaching(pointwise=pointwise(lambda i: -i), listwise=Orders(lambda i, _: -i), beta=0.25)
    (lesson,) = recipe.lessons([request()], {"a": {"d1": 3, "x": 1}}, Tally())
    by_hand = {f"d{i}": -0.25 * math.log(i + 1) - 0.75 * math.log(4 - i) for i in range(4)}
    assert lesson.teacher == pytest.approx(by_hand)
    assert lesson.target.order == (3, 2, 1, 0)
    assert lesson.target.scores == pytest.approx([by_hand[f"d{i}"] for i in range(4)])
    assert lesson.grades == {"d1": 3.0}
    assert lesson.meta["ranks"] == {"pointwise": [1, 2, 3, 4], "listwise": [4, 3, 2, 1]}


def test_one_teacher_is_enough_and_none_is_not():
    (lesson,) = Teaching(listwise=Orders(lambda i, _: -i)).lessons([request()], {}, Tally())
    assert lesson.target.order == (3, 2, 1, 0)
    assert lesson.teacher["d3"] == 0.0
    assert lesson.teacher["d0"] == pytest.approx(-math.log(4))
    with pytest.raises(InvalidInput, match="no teacher"):
        Teaching()


def test_the_pool_is_the_head_and_a_draw_from_what_follows():
    recipe = Teaching(listwise=Orders(lambda i, _: i), head=3, tail=4, last=20)
    lessons = list(recipe.lessons([request("a", 40), request("b", 40), request("c", 5)], {}, Tally()))
    for lesson in lessons[:2]:
        places = [int(d[1:]) for d in lesson.ids]
        assert places[:3] == [0, 1, 2]
        assert len(places) == 7
        assert max(places) < 20
        assert places == sorted(places)
    assert lessons[0].ids != lessons[1].ids
    assert len(lessons[2]) == 5


def test_repeats_turn_the_pool_and_ranks_are_their_mean():
    teacher = Orders(lambda i, turn: i if turn % 2 else -i)
    (lesson,) = Teaching(listwise=teacher, repeats=2).lessons([request()], {}, Tally())
    assert sorted(teacher.asked[0]) == sorted(teacher.asked[1])
    assert teacher.asked[0] != teacher.asked[1]
    assert lesson.meta["ranks"]["listwise"] == [2.5] * 4


def test_teachers_that_contradict_each_other_are_left_out():
    tally = Tally()
    two = {"pointwise": pointwise(lambda i: -i), "listwise": Orders(lambda i, _: -i)}
    assert list(Teaching(**two, floor=0.9).lessons([request("a", 30)], {}, tally)) == []
    assert tally == {"agreement below 0.9": 1}
    assert len(list(Teaching(**two, floor=0.0).lessons([request("a", 30)], {}, tally))) == 1


@pytest.mark.parametrize("status", [Status.FAILED, Status.PARTIAL])
def test_a_teacher_that_fails_teaches_nothing(status):
    tally = Tally()
    recipe = Teaching(listwise=Orders(lambda i, _: i, status))
    assert list(recipe.lessons([request("a", 1), request()], {}, tally)) == []
    assert tally == {"a teacher failed": 1, "fewer than two candidates": 1}


@given(st.permutations([str(i) for i in range(15)]), st.permutations([str(i) for i in range(15)]))
def test_agreement_is_symmetric_and_bounded(a, b):
    assert agreement(a, b) == agreement(b, a)
    assert 0 <= agreement(a, b) <= 1
    assert agreement(a, a) == 1


def test_agreement_by_hand():
    """k = 2: gains 2, 1. The other way round: (1 + 2 / log2 3) / (2 + 1 / log2 3)."""
    log3 = math.log2(3)
    assert agreement("ab", "ba", k=2) == pytest.approx((1 + 2 / log3) / (2 + 1 / log3))
    assert agreement("abcd", "dcba", k=2) == 0
    assert agreement([], []) == 1
    assert fused_score([1.0, 1.0], [0.5, 0.5]) == 0


@pytest.mark.parametrize("wrong", [{"beta": 2}, {"floor": -1}, {"head": 0}, {"last": 3}, {"order": "near-ideal"}])
def test_wrong_settings_of_teaching(wrong):
    with pytest.raises(InvalidInput):
        Teaching(listwise=Orders(lambda i, _: i), **wrong)


# ------------------------------------------------------------------------------------------------ imitate


def lesson(count: int = 4) -> Lesson:
    one = request("a", count)
    return Lesson(slate=Slate(one.query, one.candidates), grades={"d1": 1}, meta={"id": "a/0", "draw": 3})


def imitated(ranker, **settings) -> Lesson:
    (made,) = Imitation(ranker=ranker, **settings).lessons([lesson()], Tally())
    return made


def test_a_cross_encoder_gives_order_scores_and_subset_at_once():
    logits = [-3.0, 5.0, 0.5, -9.0]
    made = imitated(pointwise(lambda i: logits[i]))
    assert made.target.order == (1, 2, 0, 3)
    assert made.target.subset == (1, 2)  # those whose sigmoid is above one half
    assert made.target.scores == (4.0, 10.0, 7.0, 0.0)  # (x + 9) / 14 · 10: 4.29, 10, 6.79, 0
    assert made.teacher == {"d0": -3.0, "d1": 5.0, "d2": 0.5, "d3": -9.0}
    assert (made.grades, made.meta["draw"]) == ({"d1": 1}, 3)


def test_the_other_scales():
    ranker = pointwise(lambda i: [-3.0, 5.0, 0.5, -9.0][i])
    assert imitated(ranker, scale="raw").target.scores == (-3.0, 5.0, 0.5, -9.0)
    assert imitated(ranker, scale="absolute").target.scores == (0.0, 10.0, 6.0, 0.0)
    assert imitated(ranker, scale="range", ends=(-4, 4)).target.scores == (1.0, 10.0, 6.0, 0.0)
    assert imitated(ranker, most=1).target.subset == (1,)


def test_a_ranker_that_only_orders_has_its_places_spread_and_its_own_cutoff():
    made = imitated(Orders(lambda i, _: -i, cutoff=0))
    assert made.target.order == (3, 2, 1, 0)
    assert made.target.scores == (0.0, 3.0, 7.0, 10.0)
    assert made.target.subset == ()
    assert imitated(Orders(lambda i, _: -i)).target.subset is None


def test_what_the_teacher_thought_is_imitated_where_one_call_saw_the_whole_list():
    def says(slate):
        order = tuple(reversed(range(len(slate))))
        return Judgement(order=order, reasoning=f"I saw {len(slate)}")

    for window, thought in ((4, "I saw 4"), (2, "")):
        ranker = Reranker(policy=ScriptedPolicy(says), strategy=SlidingWindow(size=window, stride=1))
        assert imitated(ranker).target.reasoning == thought


def test_lists_that_were_not_judged_whole_are_left_out():
    tally = Tally()
    assert list(Imitation(ranker=Orders(lambda i, _: i, Status.PARTIAL)).lessons([lesson()], tally)) == []
    assert tally == {"not judged whole": 1}


def test_an_empty_list_and_wrong_settings():
    empty = Lesson(slate=Slate(Query(text="q"), ()))
    (made,) = Imitation(ranker=Orders(lambda i, _: i)).lessons([empty], Tally())
    assert made.target.scores == ()
    with pytest.raises(UnknownName):
        Imitation(ranker=Orders(lambda i, _: i), scale="ten")
    for wrong in ({"scale": "range"}, {"ends": (0, 1)}, {"scale": "range", "ends": (1, 0)}):
        with pytest.raises(InvalidInput):
            Imitation(ranker=Orders(lambda i, _: i), **wrong)
