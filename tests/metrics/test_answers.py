"""Answer metrics by hand, the traps of the field's scripts, and agreement with a second implementation."""

import re
import string
from collections import Counter
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.metrics import exact_match, normalize_answer, rouge_l, sub_em, token_f1

METRICS = [exact_match, token_f1, sub_em, rouge_l]
TEXTS = st.text(alphabet="aA the.,-'éB1 ", max_size=20)


def squad_normalize(text):
    """Return what SQuAD's evaluate-v1.1.py makes of a text, written as it is there."""
    kept = "".join(ch for ch in text.lower() if ch not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split())


def squad_f1(prediction, gold):
    """Return what SQuAD's evaluate-v1.1.py computes, written as it is there."""
    predicted, wanted = squad_normalize(prediction).split(), squad_normalize(gold).split()
    same = sum((Counter(predicted) & Counter(wanted)).values())
    if same == 0:
        return 0
    precision, recall = same / len(predicted), same / len(wanted)
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Cat!", "cat"),
        ("An apple a day", "apple day"),
        ("theatre", "theatre"),
        ("twenty-one", "twentyone"),
        ("a.b", "ab"),  # punctuation goes before articles do
        ("“quoted”", "“quoted”"),  # only ASCII punctuation goes
        ("the a an", ""),
    ],
)
def test_normalisation_by_hand(text, normal):
    assert normalize_answer(text) == normal


@given(TEXTS | st.text())
def test_normalisation_is_squads(text):
    assert normalize_answer(text) == squad_normalize(text)


@given(TEXTS, TEXTS)
def test_f1_is_squads_where_tokens_are_left(prediction, gold):
    if squad_normalize(prediction) and squad_normalize(gold):
        assert token_f1(prediction, [gold]) == pytest.approx(squad_f1(prediction, gold))


@pytest.mark.parametrize(
    ("metric", "prediction", "gold", "value"),
    [
        (exact_match, "The Eiffel Tower.", "eiffel tower", 1.0),
        (exact_match, "Eiffel Tower in Paris", "Eiffel Tower", 0.0),  # holding the gold is not matching it
        (exact_match, "Eiffel", "Eiffel Tower", 0.0),
        (token_f1, "the Eiffel Tower in Paris", "Eiffel Tower", 2 / 3),
        (token_f1, "b b c", "b c c", 2 / 3),  # bags: one b and one c are shared
        (token_f1, "abc", "cba", 0.0),  # tokens, not characters
        (sub_em, "It is the Eiffel Tower, in Paris", "Eiffel Tower", 1.0),
        (sub_em, "Eiffel", "Eiffel Tower", 0.0),  # the gold is sought in the prediction, never the reverse
        (sub_em, "Tower Eiffel", "Eiffel Tower", 0.0),
        (sub_em, "Eiffel's great Tower", "Eiffel Tower", 0.0),
        (sub_em, "banana", "ana", 0.0),  # whole tokens
        (sub_em, "banana", "a", 0.0),  # the gold "a" is an article: nothing is left to find
        (sub_em, "in 1990", "199", 0.0),
        (rouge_l, "police kill the gunman", "police killed the gunman", 3 / 4),
        (rouge_l, "the gunman kill police", "police killed the gunman", 2 / 4),
        (rouge_l, "Twenty-one", "twenty one", 1.0),
        (rouge_l, "a b c d", "a c", 2 * 1 * 0.5 / 1.5),
        (rouge_l, "été", "hiver", 0.0),
    ],
)
def test_value_by_hand(metric, prediction, gold, value):
    assert metric(prediction, [gold]) == pytest.approx(value)


@pytest.mark.parametrize("metric", METRICS)
class TestEveryMetric:
    def test_takes_the_best_gold(self, metric):
        assert metric("Paris", ["London", "Paris", "Rome"]) == 1.0

    @pytest.mark.parametrize("nothing", [None, "", "  \n"])
    def test_an_abstention_scores_zero_where_there_is_an_answer(self, metric, nothing):
        assert metric(nothing, ["Paris"]) == 0.0
        assert metric(nothing, ["A"]) == 0.0  # also where normalisation empties the gold

    @pytest.mark.parametrize("nothing", [None, "", " ", "the", "..."])
    def test_an_abstention_is_right_where_there_is_none(self, metric, nothing):
        assert metric(nothing, []) == 1.0

    def test_an_answer_is_wrong_where_there_is_none(self, metric):
        assert metric("Paris", []) == 0.0

    @pytest.mark.parametrize("golds", ["Paris", "", b"Paris"])
    def test_a_bare_string_of_golds_is_refused(self, metric, golds):
        with pytest.raises(TypeError, match=r"pass \["):
            metric("Paris", golds)

    def test_golds_may_be_a_tuple(self, metric):
        assert metric("Paris", ("Paris",)) == 1.0


@pytest.mark.parametrize("metric", [exact_match, token_f1, sub_em])
def test_an_answer_that_is_only_an_article_can_be_right(metric):
    assert metric("A", ["a"]) == 1.0
    assert metric("B", ["a"]) == 0.0


@given(TEXTS, st.lists(TEXTS, max_size=3))
def test_metrics_lie_in_the_unit_interval_and_in_order(prediction, golds):
    for metric in METRICS:
        assert 0.0 <= metric(prediction, golds) <= 1.0
    assert exact_match(prediction, golds) <= min(token_f1(prediction, golds), sub_em(prediction, golds))


@given(st.lists(st.sampled_from("bcd"), max_size=9), st.lists(st.sampled_from("bcd"), max_size=9))
def test_rouge_l_agrees_with_the_textbook_table(left, right):
    @cache
    def lcs(i, j):
        if i == len(left) or j == len(right):
            return 0
        return 1 + lcs(i + 1, j + 1) if left[i] == right[j] else max(lcs(i + 1, j), lcs(i, j + 1))

    total = len(left) + len(right)
    expected = 2 * lcs(0, 0) / total if total else 0.0
    assert rouge_l(" ".join(left), [" ".join(right)]) == pytest.approx(expected)
