"""Minimal sets by a scripted reader: what is needed, in the order of what it adds, and nothing else."""

from __future__ import annotations

import pytest

from shortlist.errors import BackendError, InvalidInput, UnknownName
from shortlist.reading.base import Answer
from shortlist.rewards.answer import ReaderReward
from shortlist.rewards.base import WeightedReward
from shortlist.rewards.environment import ReaderEnvironment
from shortlist.synthesis.common import Tally
from shortlist.synthesis.experts import Experts
from shortlist.types import Candidate, Document, Query, RerankRequest

WORDS = ("red", "green", "blue", "grey")


class Reader:
    """Says every gold word that its passages hold; ``distracted``: nothing at all where it sees "noise"."""

    identity = "says what it sees"

    def __init__(self, *, distracted=False, dead=()):
        self.distracted, self.dead, self.sizes = distracted, dead, []

    def read(self, readings):
        readings = list(readings)
        self.sizes.append(len(readings))
        for reading in readings:
            seen = " ".join(document.text for document in reading.documents).split()
            said = "" if self.distracted and "noise" in seen else " ".join(w for w in WORDS if w in seen)
            error = "gone" if reading.query.id in self.dead else None
            yield Answer(text=said or None, reading=reading, error=error)


def request(qid: str, *texts: str, answers=("red green blue",)) -> RerankRequest:
    candidates = (Candidate(Document(id=f"{qid}-{i}", text=text)) for i, text in enumerate(texts))
    return RerankRequest(Query(text="which colours?", id=qid, answers=answers), tuple(candidates))


def found(requests, *, reader=None, **settings):
    reader, tally = reader or Reader(), Tally()
    environment = ReaderEnvironment(WeightedReward(((ReaderReward(reader), 1.0),)))
    return list(Experts(**settings).lessons(requests, environment, {"a": {"a-0": 1}}, tally)), tally, environment


def test_what_is_needed_is_kept_in_the_order_of_gain():
    asked = request("a", "mud", "red", "mud", "green blue", "red green", "stone")
    (lesson,), tally, _ = found([asked])
    assert lesson.target.subset == (3, 1)  # "green blue" alone is worth more than "red"; the second "red green" goes
    assert lesson.target.rejected.subset == tuple(range(6))
    assert (lesson.meta["k"], lesson.meta["score"]) == (2, 1.0)
    assert lesson.grades == {"a-0": 1.0}
    assert tally == {"kept": 1}


def test_a_distractor_goes_and_its_going_raises_the_bar():
    (lesson,), _, _ = found([request("a", "red", "noise", "green blue")], reader=Reader(distracted=True))
    assert lesson.target.subset == (2, 0)
    assert (lesson.meta["score_of_all"], lesson.meta["score"]) == (0.0, 1.0)


def test_questions_without_answers_need_nothing_and_are_not_read():
    (lesson,), tally, environment = found([request("a", "red", answers=())])
    assert lesson.target.subset == ()
    assert lesson.target.rejected.subset == (0,)
    assert tally == {"kept, empty": 1}
    assert environment.counters.made == 0


def test_questions_that_cannot_be_answered_from_the_list_are_left_out():
    lessons, tally, _ = found([request("a", "mud", "stone"), request("b"), request("c", "red")])
    assert [lesson.slate.query.id for lesson in lessons] == ["c"]
    assert tally == {"not answered with any passages": 2, "kept": 1}


def test_readings_that_failed_are_told_apart():
    lessons, tally, _ = found([request("a", "red"), request("b", "red")], reader=Reader(dead=("a",)))
    assert [lesson.slate.query.id for lesson in lessons] == ["b"]
    assert tally == {"the reader failed": 1, "kept": 1}
    with pytest.raises(BackendError):
        found([request(f"q{i}", "red") for i in range(40)], reader=Reader(dead={f"q{i}" for i in range(40)}))


def test_many_searches_share_each_round_of_reading():
    reader = Reader()
    asked = [request(f"q{i}", "mud", f"red {i}", "green") for i in range(6)]
    together, _, environment = found(asked, reader=reader, at_once=6)
    assert reader.sizes[0] == 6
    one_by_one, _, other = found(asked, at_once=1)
    assert together == one_by_one
    assert environment.counters.made == other.counters.made


def test_rejected_sets():
    asked = [request("a", "red green blue", "mud", "stone")]
    assert found(asked, rejected="fixed", k=2)[0][0].target.rejected.subset == (0, 1)
    assert found(asked, rejected="none")[0][0].target.rejected is None
    assert found(asked, rejected="fixed", k=1)[0][0].target.rejected is None  # it is the chosen one


def test_tolerance_lets_go_of_what_adds_little():
    asked = [request("a", "red green", "blue")]
    assert found(asked)[0][0].meta["k"] == 2
    assert found(asked, tolerance=0.25)[0][0].meta["k"] == 1  # F1 0.8 without "blue"


def test_size_cuts_the_list_and_wrong_settings_are_errors():
    (lesson,), _, _ = found([request("a", "red", "green", "blue")], size=2)
    assert len(lesson) == 2
    with pytest.raises(UnknownName):
        Experts(rejected="worst")
    with pytest.raises(InvalidInput):
        Experts(size=0)
