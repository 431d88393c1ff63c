import math

import pytest

from shortlist.text import PointwiseRating, PointwiseYesNo, QueryLikelihood
from shortlist.types import Candidate, Document, Query, ScoredJudgement, Slate, Status

ONE = Slate(Query(text="what boils?"), (Candidate(Document(id="a", text="Water boils.")),))
TWO = Slate(ONE.query, ONE.candidates * 2)
INF = math.inf


def judged(prompt, text):
    found = prompt.parse(text, ONE)
    return (None if math.isnan(found.scores[0]) else found.scores[0]), found.status


@pytest.mark.parametrize(
    ("text", "score", "status"),
    [
        ("yes", 1, "ok"),
        ("No.", 0, "ok"),
        ("<think>no</think>\nYes", 1, "ok"),
        ("Yes, the passage says so.", 1, "repaired"),
        ("yes it does", 1, "repaired"),
        ("No: nothing of it", 0, "repaired"),
        ("No doubt it is relevant", None, "failed"),
        ("yesterday", None, "failed"),
        ("nothing", None, "failed"),
        ("<think>yes", None, "failed"),
        ("", None, "failed"),
    ],
)
def test_yes_no(text, score, status):
    assert judged(PointwiseYesNo(), text) == (score, status)


def test_yes_no_from_likelihoods():
    prompt = PointwiseYesNo()
    assert prompt.read((math.log(0.6), math.log(0.2)), ONE).scores == pytest.approx((0.75,))
    assert prompt.read((-INF, -2.0), ONE).scores == (0.0,)
    for unknown in ((-INF, -INF), (math.nan, -INF), (), (0.0,)):
        found = prompt.read(unknown, ONE)
        assert math.isnan(found.scores[0])  # not a half: nothing is known
        assert (found.missing, found.status) == ((0,), Status.FAILED)


@pytest.mark.parametrize(
    ("text", "score", "status"),
    [
        ("7", 7, "ok"),
        ("10.", 10, "ok"),
        (" 0\n", 0, "ok"),
        ("7.5", 7.5, "repaired"),
        (".5", None, "failed"),
        ("8/10", 8, "repaired"),
        ("Rating: 8", 8, "repaired"),
        ("11", 10, "repaired"),
        ("-4", 0, "repaired"),
        ("9" * 5000, None, "failed"),
        ("of 20 passages this is the 3rd", None, "failed"),
        ("<think>7", None, "failed"),
        ("", None, "failed"),
    ],
)
def test_rating(text, score, status):
    assert judged(PointwiseRating(), text) == (score, status)


def test_rating_with_reasoning():
    prompt = PointwiseRating(reasoning=True)
    assert judged(prompt, "<think>about 3</think><answer> 8 </answer>") == (8, "ok")
    assert judged(prompt, "8") == (8, "repaired")
    assert judged(prompt, "<think>about 3") == (None, "failed")
    judgement = ScoredJudgement.of([8.0], reasoning="about 3")
    assert prompt.parse(prompt.write(judgement), ONE) == judgement


def test_rating_from_likelihoods():
    logprobs = [-INF] * 11
    logprobs[2], logprobs[10] = math.log(0.3), math.log(0.1)
    assert PointwiseRating().read(logprobs, ONE).scores == pytest.approx((0.75 * 2 + 0.25 * 10,))
    assert PointwiseRating(scoring="product").read(logprobs, ONE).scores == pytest.approx((0.75 * 2,))
    assert PointwiseRating().read([-INF] * 11, ONE).status is Status.FAILED


def test_query_likelihood():
    prompt = QueryLikelihood()
    assert prompt.labels(ONE) == ("what boils?",)
    assert prompt.read((-12.5,), ONE).scores == (-12.5,)
    assert prompt.read((-INF,), ONE).status is Status.FAILED
    assert "what boils" not in "".join(message.content for message in prompt.render(ONE))


def test_slates_of_one():
    for prompt in (PointwiseYesNo(), PointwiseRating(), QueryLikelihood()):
        with pytest.raises(ValueError, match="slates of 1; this one has 2"):
            prompt.render(TWO)
    assert PointwiseYesNo().parse("yes", TWO).status is Status.FAILED
    assert PointwiseYesNo().read((-1.0, -2.0), TWO).missing == (0, 1)


def test_configuration_is_checked():
    with pytest.raises(ValueError, match="give 'expected' or 'product'"):
        PointwiseRating(scoring="mean")
    with pytest.raises(ValueError, match="reasoning of prompt 'pointwise-rating' is 'yes'; give a value of type bool"):
        PointwiseRating(reasoning="yes")
    with pytest.raises(ValueError, match="passage_tokens 0"):
        PointwiseYesNo(passage_tokens=0)
