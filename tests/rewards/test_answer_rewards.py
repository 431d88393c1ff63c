import math

import pytest
from reward_doubles import Fails, ScriptedReader, docs, knows, query

from shortlist.backends.scripted import ScriptedCompleter, ScriptedScorer
from shortlist.errors import InvalidInput, UnknownName
from shortlist.reading.base import Reading
from shortlist.reading.readers import LLMReader
from shortlist.rewards.answer import GoldLikelihood, HoldsAnswer, ReaderReward
from shortlist.rewards.base import ObservedReward, WeightedReward
from shortlist.rewards.custom import FunctionReward, Kept
from shortlist.rewards.noise import flipped
from shortlist.testing.rewards import PREFIXES, check_reward
from shortlist.text.answering import AnswerShort
from shortlist.types import Document

ANSWERABLE = Reading(query("a", "the Eiffel Tower", "Tour Eiffel"), docs("xy"))
UNANSWERABLE = Reading(query("u"), docs("xy"))


def reader(said):
    return ScriptedReader(lambda _: said)


@pytest.mark.parametrize(
    ("said", "f1", "em"),
    [
        ("Eiffel Tower", 1.0, 1.0),
        ("Eiffel Tower in Paris", 2 * 2 / 6, 0.0),
        ("London", 0.0, 0.0),
        (None, 0.0, 0.0),  # abstained, though there was an answer
        ("", 0.0, 0.0),  # nothing could be read
    ],
)
def test_answers_by_hand(said, f1, em):
    told = {m: ReaderReward(reader(said), m).score([ANSWERABLE])[0] for m in ("f1", "em", "mean")}
    assert told == pytest.approx({"f1": f1, "em": em, "mean": (f1 + em) / 2})


@pytest.mark.parametrize(("said", "level"), [(None, 1.0), ("London", 0.0), ("", 0.0)])
def test_a_question_without_gold_answers_is_one_to_abstain_from(said, level):
    assert ReaderReward(reader(said)).score([UNANSWERABLE]) == [level]
    assert ReaderReward(reader(said), unanswerable="mask").score([UNANSWERABLE]) == [None]


def test_no_reply_is_no_level():
    reward = ReaderReward(reader(Fails("connection refused")))
    assert reward.score([ANSWERABLE, UNANSWERABLE]) == [None, None]
    assert reward.observer.ledger.error == "connection refused"


def test_what_it_cost_is_booked():
    reward = ReaderReward(reader("x"))
    reward.score([ANSWERABLE, UNANSWERABLE])
    assert (reward.observer.ledger.usage.calls, reward.observer.ledger.usage.prompt_tokens) == (2, 40)


def test_whether_the_answer_is_there():
    asked = query("a", "the Eiffel Tower", "Tour Eiffel")
    holds = Document(id="h", title="A tower", text="La tour, Eiffel!")
    parts = Document(id="p", text="A tower that Eiffel built; the eiffel towers above it.")
    reward = HoldsAnswer()
    told = reward.score([Reading(asked, shown) for shown in [(), (parts,), (holds,), (parts, holds), (holds, parts)]])
    assert told == [0.0, 0.0, 1.0, 1.0, 1.0]
    assert reward.score([Reading(query("u"), (holds,))]) == [None]
    check_reward(reward)


def test_a_reader_that_loses_answers_is_found_out():
    class Loses(ScriptedReader):
        def read(self, readings, /):
            yield from list(super().read(readings))[:1]

    with pytest.raises(InvalidInput, match="1 answers to 2"):
        ReaderReward(Loses(lambda _: "x")).score([ANSWERABLE, UNANSWERABLE])


def test_wrong_configuration():
    with pytest.raises(UnknownName, match="f1"):
        ReaderReward(reader("x"), "f2")
    with pytest.raises(UnknownName, match="mask"):
        ReaderReward(reader("x"), unanswerable="skip")
    with pytest.raises(InvalidInput):
        GoldLikelihood(ScriptedScorer(lambda _: ()), max_golds=0)


# ------------------------------------------------------------------------------------------------ likelihoods


def scorer(table, default=-8.0):
    return ScriptedScorer(lambda question: [table.get(label, default) for label in question.labels])


def test_likelihood_by_hand():
    """Three tokens at -3 and two at -1: the best gold has mean -0.5 a token."""
    reward = GoldLikelihood(scorer({"the Eiffel Tower": -3.0, "Tour Eiffel": -1.0}))
    assert reward.score([ANSWERABLE]) == [pytest.approx(math.exp(-0.5))]


def test_likelihood_without_passages_is_an_abstention_for_sure():
    reward = GoldLikelihood(scorer({}))
    assert reward.score([Reading(ANSWERABLE.query, ()), Reading(UNANSWERABLE.query, ())]) == [0.0, 1.0]
    closed = GoldLikelihood(scorer({"Tour Eiffel": 0.0}), AnswerShort(closed_book=True))
    assert closed.score([Reading(ANSWERABLE.query, ())]) == [1.0]


def test_likelihood_of_an_abstention():
    reward = GoldLikelihood(scorer({"no answer": -2.0}))
    assert reward.score([UNANSWERABLE]) == [pytest.approx(math.exp(-1.0))]
    assert GoldLikelihood(scorer({}), unanswerable="mask").score([UNANSWERABLE]) == [None]
    assert GoldLikelihood(scorer({}), AnswerShort(allow_abstain=False)).score([UNANSWERABLE]) == [None]


def test_what_is_impossible_has_likelihood_nothing():
    assert GoldLikelihood(scorer({}, default=-math.inf)).score([ANSWERABLE]) == [0.0]


def test_only_so_many_golds_are_asked_about():
    asked = []

    def count(question):
        asked.append(question.labels)
        return [-1.0] * len(question.labels)

    many = Reading(query("m", "one", "two", "two", " ", "three"), docs("x"))
    GoldLikelihood(ScriptedScorer(count), max_golds=2).score([many])
    assert asked == [("one", "two")]


def test_the_scorer_is_shown_what_the_reader_is_shown():
    """One prompt: the likelihood belongs to the conversation that the reader answers."""
    completer, seen = ScriptedCompleter(lambda _: "x"), []

    def note(question):
        seen.append(question.messages)
        return [-1.0] * len(question.labels)

    prompt = AnswerShort(passage_tokens=3)
    list(LLMReader(completer=completer, prompt=prompt).read([ANSWERABLE]))
    GoldLikelihood(ScriptedScorer(note), prompt).score([ANSWERABLE])
    assert seen == [completer.asked[0].messages]


# ------------------------------------------------------------------------------------------------ yours, and noise


def test_flips_are_a_fixed_share():
    prefixes = [Reading(query(str(i), "gold"), docs("x")) for i in range(2000)]
    reward = flipped(ReaderReward(reader("gold")), 0.2, seed=1)
    levels = reward.score(prefixes)
    assert set(levels) == {0.0, 1.0}
    assert levels.count(0.0) / len(levels) == pytest.approx(0.2, abs=0.03)
    assert reward.score(prefixes) == levels
    assert flipped(reward, 0.2, seed=2).score(prefixes) != levels
    assert flipped(ReaderReward(reader("gold")), 0.0).score(prefixes) == [1.0] * 2000


def test_the_parts_of_a_noisy_reward_are_wrong_together():
    one, other = (flipped(ReaderReward(reader("gold"), part), 0.5) for part in ("f1", "em"))
    prefixes = [Reading(query(str(i), "gold"), docs("x")) for i in range(50)]
    assert one.score(prefixes) == other.score(prefixes)
    assert set(one.score(prefixes)) == {0.0, 1.0}


def test_a_flipped_level_is_mirrored_within_the_bounds():
    reward = flipped(FunctionReward(lambda _: 1.0, "f", bounds=(-1.0, 4.0)), 1.0)
    assert reward.score(PREFIXES[:1]) == [2.0]
    assert not isinstance(reward, ObservedReward)
    assert flipped(FunctionReward(lambda _: None, "f"), 1.0).score(PREFIXES[:1]) == [None]
    with pytest.raises(InvalidInput):
        flipped(reward, 1.2)


@pytest.mark.parametrize(
    "reward",
    [
        ReaderReward(knows("a", answer="100"), "mean"),
        ReaderReward(reader(None), unanswerable="mask"),
        ReaderReward(reader(Fails("dead"))),
        GoldLikelihood(scorer({"100": -0.3})),
        flipped(ReaderReward(knows("a", answer="100")), 0.5),
        flipped(FunctionReward(lambda prefix: len(prefix.documents) / 9, "f"), 0.5),
        Kept(FunctionReward(lambda prefix: len(prefix.documents) / 9, "f"), "f 1"),
        WeightedReward(((ReaderReward(reader("100")), 1.0), (GoldLikelihood(scorer({})), 0.5))),
    ],
    ids=lambda reward: f"{type(reward).__name__} {reward.name}",
)
def test_contract(reward):
    check_reward(reward)


def test_kept_needs_a_name():
    with pytest.raises(InvalidInput):
        Kept(FunctionReward(lambda _: 0.0, "f"), " ")
