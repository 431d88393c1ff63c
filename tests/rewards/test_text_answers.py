"""Rewards of what a reader answers from a reply's choice."""

import dataclasses
import math
import sys
import types

import numpy as np
import pytest
from hypothesis import given
from reward_doubles import Fails, ScriptedReader, knows
from text_doubles import LISTWISE, SETWISE, SUBSET, Embeds, failed, group, lesson, level, orders, quick, replies, says

from shortlist.backends.base import Completion
from shortlist.backends.scripted import ScriptedCompleter, ScriptedContinuer
from shortlist.backends.store import Store
from shortlist.errors import BudgetSpent, InvalidInput, MissingExtra, UnknownName
from shortlist.reading.readers import LLMReader
from shortlist.rewards.text import (
    AnswerHeld,
    AnswerLikelihood,
    AnswerReward,
    BertScore,
    Judge,
    JudgePrompt,
    ListCost,
    ReaderDesk,
    Reply,
    Similarity,
    Tools,
    Words,
    chosen,
    make_weighted,
)
from shortlist.rewards.text.answers import Answered
from shortlist.testing.hostile import HOSTILE, long_replies
from shortlist.testing.text_rewards import check_text_reward
from shortlist.types import Judgement, Status

ASKED = lesson("abc", answers=("gold", "the other"))
UNANSWERABLE = lesson("abc")


def reward(reader, measure=None, **told):
    return AnswerReward(desk=ReaderDesk.of(reader), measure=measure or Words("em"), name="em", **told)


def picks(text, of=ASKED):
    return says(SUBSET, text, of)


# ------------------------------------------------------------------------------------------------ the choice


def test_what_is_chosen():
    def ids(reply, keep=None):
        return "".join(document.id for document in chosen(reply, keep))

    assert ids(picks("[3], [1]")) == "ca"
    assert ids(picks("None")) == ""
    assert ids(picks("[3], [1]"), keep=1) == "ca"  # the reply's own number counts
    assert ids(orders(ASKED, (1, 2, 0)), keep=2) == "bc"
    assert ids(orders(ASKED, (1, 2, 0))) == "bca"
    assert ids(says(SETWISE, "B", ASKED)) == "b"
    assert ids(group(ASKED, 0, 3, 9), keep=2) == "cb"
    assert ids(says(LISTWISE, "[2]", ASKED)) == "b"  # what was left out was not chosen
    with pytest.raises(InvalidInput, match="own prompt"):
        chosen(Reply(ASKED, "", Judgement(order=(0, 1))))


# ------------------------------------------------------------------------------------------------ reading


def test_exact_match_of_what_the_reader_answers():
    reader = knows("c", "a")
    assert reward(reader).score([picks("[3], [1]"), picks("[2]"), picks("None")]) == [1.0, 0.0, 0.0]
    assert [[d.id for d in reading.documents] for reading in reader.read_so_far] == [[], ["b"], ["c", "a"]]


def test_rewards_of_one_desk_share_one_reading():
    reader = knows("a")
    desk = ReaderDesk.of(reader)
    for name in ("em", "f1", "rouge-l"):
        told = AnswerReward(desk=desk, measure=Words(name), name=name).score([picks("[1]"), picks("[1]"), picks("[2]")])
        assert told == [1.0, 1.0, 0.0]
    assert len(reader.read_so_far) == 2
    counters = desk.environment.counters
    assert (counters.requested, counters.made, counters.saved) == (9, 2, 7)


def test_readings_are_kept_between_runs(tmp_path):
    with Store(tmp_path / "kept.sqlite") as store:
        AnswerReward(desk=ReaderDesk.of(knows("a"), store), measure=Words("em"), name="em").score([picks("[1]")])
        again = knows("a")
        told = AnswerReward(desk=ReaderDesk.of(again, store), measure=Words("f1"), name="f1").score([picks("[1]")])
    assert told == [1.0]
    assert again.read_so_far == []


def test_the_budget_is_the_environments():
    desk = ReaderDesk.of(knows("a"), budget=1)
    ours = AnswerReward(desk=desk, measure=Words("em"), name="em")
    assert ours.score([picks("[1]"), picks("[1]")]) == [1.0, 1.0]
    with pytest.raises(BudgetSpent):
        ours.score([picks("[2]")])


def test_a_reply_that_does_not_count_is_worth_nothing_and_is_not_read():
    reader = knows("a")
    assert reward(reader).score([failed(ASKED, "subset"), picks("1")]) == [0.0, 0.0]
    assert reader.read_so_far == []
    assert reward(reader, strict=False).score([failed(ASKED, "subset"), picks("1")]) == [0.0, 1.0]


def test_a_reader_that_does_not_reply_leaves_the_reply_unscored():
    def reply(reading):
        return Fails("gone") if reading.documents[0].id == "a" else "gold"

    assert reward(ScriptedReader(reply)).score([picks("[1]"), picks("[2]")]) == [None, 1.0]


def test_an_illegible_answer_is_a_bad_one():
    assert reward(ScriptedReader(lambda reading: "")).score([picks("[1]"), picks("[1]", UNANSWERABLE)]) == [0.0, 0.0]

    class Garbles(ScriptedReader):
        def read(self, readings, /):
            return (dataclasses.replace(answer, status=Status.FAILED) for answer in super().read(readings))

    assert reward(Garbles(lambda reading: "gold")).score([picks("[1]"), picks("[1]", UNANSWERABLE)]) == [0.0, 0.0]


@pytest.mark.parametrize("measure", [Words("em"), Words("f1"), Words("rouge-l")])
def test_one_rule_about_abstaining(measure):
    silent, sure = ScriptedReader(lambda reading: None), ScriptedReader(lambda reading: "gold")
    assert level(reward(silent, measure), picks("[1]")) == 0.0
    assert level(reward(silent, measure), picks("[1]", UNANSWERABLE)) == 1.0
    assert level(reward(sure, measure), picks("[1]", UNANSWERABLE)) == 0.0
    assert level(reward(sure, measure, unanswerable="mask"), picks("[1]", UNANSWERABLE)) is None
    assert level(reward(sure, measure, unanswerable="mask"), failed(UNANSWERABLE, "subset")) is None


def test_words_by_hand():
    given = [Answered("q", ("the red house", "x"), "red house by the sea"), Answered("q", ("x",), "X.")]
    assert Words("em").measure(given) == [0.0, 1.0]
    assert Words("f1").measure(given) == pytest.approx([2 * 2 / (2 + 4), 1.0])  # articles are dropped
    assert Words("rouge-l").measure(given) == pytest.approx([2 * 2 / (3 + 5), 1.0])  # red house, or the … no: order
    with pytest.raises(UnknownName):
        Words("bleu")


def test_documents_must_be_there_to_be_asked_for():
    desk = ReaderDesk.of(knows("a"))
    with pytest.raises(UnknownName, match="observer"):
        desk.environment.observations(ReaderDesk.of(knows("a").__class__(None, "another")).observer, [])


# ------------------------------------------------------------------------------------------------ meaning


def test_similarity_is_the_best_cosine():
    embedder = Embeds()
    given = [Answered("q", ("gold", "other"), answer) for answer in ("great", "their", "of", "zero", "great")]
    told = Similarity(embedder).measure(given)
    assert told == [pytest.approx(1.0), pytest.approx(0.6, abs=1e-6), pytest.approx(1.0), None, pytest.approx(1.0)]
    assert embedder.calls == [("passage", ["great", "gold", "other", "their", "of", "zero"])]
    only = [Answered("q", ("gold",), answer) for answer in ("their", "of")]
    assert Similarity(embedder, floor=0.5).measure(only) == [pytest.approx(0.2, abs=1e-6), 0.0]
    with pytest.raises(InvalidInput):
        Similarity(embedder, floor=1.0)


@pytest.mark.models
def test_similarity_of_a_real_model(model_bge):
    from shortlist.backends.onnx import OnnxEmbedder

    near, far = (Answered("q", ("the capital of France",), a) for a in ("Paris, France's capital", "boiled rice"))
    a, b = Similarity(OnnxEmbedder(model_bge)).measure([near, far])
    assert a > b + 0.1


def test_bertscore_asks_its_package(monkeypatch):
    made = []

    class Scorer:
        def __init__(self, **options):
            made.append(options)

        def score(self, answers, golds):
            levels = np.array([float(answer in gold) * 1.2 - 0.1 for answer, gold in zip(answers, golds, strict=True)])
            return levels * 0, levels * 0, levels

    monkeypatch.setitem(sys.modules, "bert_score", types.SimpleNamespace(BERTScorer=Scorer))
    ours = reward(ScriptedReader(lambda reading: reading.documents[0].text), BertScore({"lang": "de"}))
    given = lesson("ab", answers=("text of a",))
    assert ours.score([picks("[1]", given), picks("[2]", given)]) == [1.0, 0.0]  # cut to [0, 1]
    ours.score([picks("[1]", given)])
    assert made == [{"lang": "de", "rescale_with_baseline": True}]


def test_bertscore_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "bert_score", None)
    with pytest.raises(MissingExtra, match=r"shortlist\[bertscore\]"):
        BertScore().measure([Answered("q", ("a",), "b")])


# ------------------------------------------------------------------------------------------------ the judge


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("80", 0.8), ("100", 1.0), ("0", 0.0), (" 80. ", 0.8), ("80/100", 0.8), ("Total: 80", 0.8), ("**55**", 0.55),
        ("<think>18 + 20 + …</think>80", 0.8), ("Score: 7 points", 0.07), ("<answer>90</answer>", 0.9),
        ("0.8", None), ("80.5", None), ("101", None), ("-5", None), ("1000", None), ("eighty", None), ("", None),
        ("I give 80", None), ("between 70 and 90", None), ("<think>80", None), ("8/10", None), ("٨٠", None),
    ],
)  # fmt: skip
def test_grades_are_read(text, told):
    assert JudgePrompt().parse(text) == told


def test_the_judge_reads_anything_and_shows_nothing_unfenced():
    prompt = JudgePrompt()
    for text in (*HOSTILE, *long_replies()):
        assert prompt.parse(text) is None or 0 <= prompt.parse(text) <= 1
    hostile = [prompt.render(Answered(text, (text,), text)) for text in HOSTILE if text.strip()]
    plain = prompt.render(Answered("plain", ("plain",), "plain"))
    for messages in hostile:
        assert [m.content.count("\n") for m in messages] == [m.content.count("\n") for m in plain]
        assert not any("<answer" in m.content for m in messages)
    with pytest.raises(InvalidInput):
        JudgePrompt(rubric=" ")
    with pytest.raises(InvalidInput):
        Judge(ScriptedCompleter(lambda ask: "1"), max_tokens=0)


def test_the_judge_grades_each_answer_once():
    def grade(ask):
        said = ask.messages[-1].content
        return (
            Completion(text="60", error="gone")
            if "Answer to grade: lost" in said
            else "60"
            if "to grade: b" in said
            else "?"
        )

    judge = ScriptedCompleter(grade)
    words = {"a": "lost", "b": "b", "c": "c"}
    ours = reward(ScriptedReader(lambda reading: words[reading.documents[0].id]), Judge(judge))
    told = ours.score([picks("[1]"), picks("[2]"), picks("[3]"), picks("[2], [1]")])
    assert told == [None, 0.6, None, 0.6]
    assert len(judge.asked) == 3
    assert "Reference answer: gold\nReference answer: the other" in judge.asked[0].messages[-1].content
    assert judge.asked[0].temperature == 0


# ------------------------------------------------------------------------------------------------ the cost of a choice


def test_the_list_cost_by_hand():
    assert [level(ListCost(), picks(text)) for text in ("None", "[2]", "[1], [3]", "[1], [2], [3]")] == [
        1.0, 1 / 2, 1 / 3, 1 / 4,
    ]  # fmt: skip
    assert level(ListCost(10), picks("[1], [2], [3]")) == pytest.approx(1 / 1.3)
    assert level(ListCost(3, unit="tokens"), picks("[1]")) == pytest.approx(1 / 2)  # "text of a"
    assert level(ListCost(keep=2), orders(ASKED, (0, 1, 2))) == pytest.approx(1 / 3)
    assert level(ListCost(), failed(ASKED, "subset")) == 0.0
    for wrong in (lambda: ListCost(0), lambda: ListCost(unit="pages")):
        with pytest.raises((InvalidInput, UnknownName)):
            wrong()


# ------------------------------------------------------------------------------------------------ in general


@quick
@given(replies())
def test_contract(told):
    reader = ScriptedReader(lambda reading: ("gold", None, "", "wrong")[len(reading.documents) % 4])
    judge = ScriptedCompleter(lambda ask: str(len(ask.messages[-1].content) % 130))
    for ours in (
        reward(reader), reward(reader, Words("rouge-l"), strict=False, keep=2), ListCost(), ListCost(strict=False),
        reward(reader, Judge(judge), strict=False, unanswerable="mask"), ListCost(unit="tokens", keep=1),
    ):  # fmt: skip
        check_text_reward(ours, told)


def test_wrong_configuration():
    for told in ({"keep": 0}, {"unanswerable": "skip"}):
        with pytest.raises((InvalidInput, UnknownName)):
            reward(knows("a"), **told)


# ------------------------------------------------------------------------------------------------ likelihood, words


def likely(**told):
    """A model that finds the gold answer likely where it sees passage c."""

    def levels(question):
        seen = "text of c" in str(question.messages)
        return [-1.0 if seen else -3.0] * len(question.labels)

    model = ScriptedContinuer(lambda _: "gold", logprobs=levels)
    return AnswerLikelihood(desk=ReaderDesk.of(LLMReader(completer=model)), **told)


def test_likelihood_of_the_gold_answer_behind_what_was_chosen():
    told = likely()
    found = told.score([picks("[3], [1]"), picks("[1]"), picks("[1]"), picks("None"), failed(ASKED, "subset")])
    # the best gold has two tokens
    assert found == [pytest.approx(math.exp(-0.5)), *[pytest.approx(math.exp(-1.5))] * 2, 0.0, 0.0]
    check_text_reward(told, [picks("[3]"), picks("[2]")])


def test_a_reader_without_likelihoods_is_an_error():
    with pytest.raises(InvalidInput, match="does not tell likelihoods"):
        AnswerLikelihood(desk=ReaderDesk.of(knows("a")))


def test_whether_a_chosen_passage_holds_the_answer():
    held = AnswerHeld()
    of = lesson("xy", answers=("text of x",))
    assert held.score([picks("[1]", of), picks("[2]", of), picks("None", of), failed(of, "subset")]) == [
        1.0,
        0.0,
        0.0,
        0.0,
    ]
    assert held.score([picks("[1]", UNANSWERABLE), failed(UNANSWERABLE, "subset")]) == [None, None]
    assert AnswerHeld(keep=1).score([orders(of, (1, 0)), orders(of, (0, 1))]) == [0.0, 1.0]


def test_recipes_name_them():
    both = make_weighted({"likelihood": 1.0, "has-answer": {"weight": 0.5, "keep": 3}}, Tools(desk=likely().desk))
    assert both.weights == {"likelihood": 1.0, "has-answer": 0.5}
    with pytest.raises(InvalidInput, match="no desk"):
        make_weighted({"likelihood": 1.0})
