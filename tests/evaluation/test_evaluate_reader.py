"""Answers by depth, worked out by hand; batches; failures; no judgements."""

import pytest
from toy_systems import QRELS, REQUESTS, Finder, Scripted, perfect, request, to_front

from shortlist.errors import InvalidInput, UnknownName
from shortlist.evaluation import evaluate
from shortlist.reading.base import Answer
from shortlist.types import Status

FIELDS = ("EM@1", "EM@3", "EM@auto")


def test_answers_by_depth():
    result = evaluate([perfect(cutoff=1)], REQUESTS, reader=Finder(), read_at=(1, 3, "auto"))
    first, best = result.systems
    assert {k: first.per_query["q1"][k] for k in FIELDS} == {"EM@1": 0.0, "EM@3": 1.0, "EM@auto": 1.0}
    assert {k: first.per_query["q3"][k] for k in FIELDS} == dict.fromkeys(FIELDS, 0.0)  # the answer is fourth
    assert {k: best.measures[k] for k in FIELDS} == dict.fromkeys(FIELDS, 1.0)
    assert set(best.columns) == {f"{m}@{k}" for m in ("EM", "F1", "sub-EM", "ROUGE-L") for k in (1, 3, "auto")}


def test_the_same_passages_are_read_once():
    reader = Finder()
    result = evaluate([perfect(cutoff=1)], REQUESTS[:1], reader=reader, measures=(), read_at=(1, 3, "auto"))
    assert reader.asked == [("q1", 1), ("q1", 3), ("q1", 1), ("q1", 3)]  # auto: 3 for the first stage, else 1
    totals = result.systems[1].reader
    assert (totals.readings, totals.passages, totals.usage.calls, totals.abstentions) == (2, 4, 2, 0)


def test_auto_without_cutoffs_and_other_depths_reads_all():
    reader = Finder()
    evaluate([], REQUESTS[:1], reader=reader, measures=(), read_at=("auto",))
    assert reader.asked == [("q1", 4)]


def test_nothing_kept_is_read_as_nothing():
    result = evaluate([perfect(cutoff=0)], REQUESTS, reader=Finder(), measures=(), read_at=("auto",))
    assert result.systems[1].measures["EM@auto"] == 0.0
    assert result.systems[1].reader.abstentions == 3


def test_queries_are_read_together():
    reader = Finder()
    requests = [request(f"q{i}", {0}) for i in range(150)]
    evaluate([], requests, reader=reader, measures=(), read_at=(1, 2))
    assert reader.batches == [128, 128, 44]


def test_rankings_and_answers_at_once():
    extra = [*REQUESTS, request("q4", {0})]  # not judged, but it can be read
    result = evaluate([perfect()], extra, QRELS, ["RR"], reader=Finder(), read_at=(1,), answer_measures=("EM",))
    assert result.first.per_query["q4"] == {"EM@1": 1.0}
    assert result.first.measures == {"RR": pytest.approx(1.75 / 3), "EM@1": 0.5}
    assert result.manifest["queries_without_judgement"] == 1


def test_a_query_without_request_is_answered_wrong():
    result = evaluate([perfect()], REQUESTS[:2], QRELS, ["RR"], reader=Finder(), read_at=(1,))
    assert result.systems[1].measures["EM@1"] == pytest.approx(2 / 3)


class Fails(Finder):
    def read(self, readings, /):
        return (Answer(text=None, reading=one, status=Status.FAILED, error="no reply") for one in readings)


def test_a_failed_answer_is_wrong_even_where_there_is_none_to_give():
    unanswerable = [request("q1", set(), answers=())]
    failing = evaluate([], unanswerable, reader=Fails(), measures=(), read_at=(0,)).first
    abstaining = evaluate([], unanswerable, reader=Finder(), measures=(), read_at=(0,)).first
    assert (failing.measures["EM@0"], abstaining.measures["EM@0"]) == (0.0, 1.0)
    assert (failing.reader.failures, failing.reader.abstentions) == (1, 0)
    assert (abstaining.reader.failures, abstaining.reader.abstentions) == (0, 1)


class Forgets(Finder):
    def read(self, readings, /):
        return list(super().read(readings))[1:]


def test_a_reader_that_loses_a_reading_is_found_out():
    with pytest.raises(InvalidInput, match="2 answers to 3"):
        evaluate([], REQUESTS, reader=Forgets(), measures=(), read_at=(1,))


def test_wrong_settings():
    with pytest.raises(UnknownName, match="ROUGE-L"):
        evaluate([], REQUESTS, reader=Finder(), measures=(), answer_measures=("BLEU",))
    with pytest.raises(InvalidInput, match="read_at"):
        evaluate([], REQUESTS, reader=Finder(), measures=(), read_at=(1, 1))


def test_examples_tell_both_answers():
    blind = Scripted(lambda one: to_front(one, cutoff=0), "blind")
    result = evaluate([blind], REQUESTS[1:2], reader=Finder(), measures=(), read_at=(1, "auto"))
    (loss,) = result.systems[1].examples
    assert (result.manifest["focus"], loss.delta) == ("F1@auto", -1.0)
    assert (loss.before.answer, loss.after.answer, loss.after.kept, loss.answers) == ("gold", None, 0, ("gold",))
