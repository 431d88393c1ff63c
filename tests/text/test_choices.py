import math

import pytest

from shortlist.text import PairwiseChoice, SetwiseChoice
from shortlist.text.messages import letter
from shortlist.types import Candidate, Choice, Document, Query, Slate, Status


def slate(n):
    return Slate(Query(text="q"), tuple(Candidate(Document(id=str(i), text=f"text {i}")) for i in range(n)))


@pytest.mark.parametrize(
    ("text", "best", "status"),
    [
        ("B", 1, "ok"),
        ("[C]", 2, "ok"),
        ("<think>A is best</think>B", 1, "ok"),
        ("B.", 1, "repaired"),
        ("b", 1, "repaired"),
        ("**B**", 1, "repaired"),
        ("Passage B", 1, "repaired"),
        ("B. Because A is off topic.", 1, "repaired"),
        ("[B] is the most relevant", 1, "repaired"),
        ("Passage B is the most relevant", 1, "repaired"),
        ("The most relevant passage is [B].", 1, "repaired"),
        ("The answer is B, as A says nothing", 1, "repaired"),
        ("A passage about rivers is what we want", None, "failed"),
        ("The best is A matter of taste", None, "failed"),
        ("The answer is A. No, the answer is B.", None, "failed"),
        ("[A] > [B]", None, "failed"),
        ("Z", None, "failed"),
        ("[1]", None, "failed"),
        ("None", None, "failed"),
        ("<think>B", None, "failed"),
        ("", None, "failed"),
    ],
)
def test_setwise(text, best, status):
    found = SetwiseChoice().parse(text, slate(4))
    assert (found.best, found.status) == (best, status)


def test_letters_go_on_after_z():
    assert [letter(i) for i in (0, 25, 26, 27, 51, 52, 701, 702)] == ["A", "Z", "AA", "AB", "AZ", "BA", "ZZ", "AAA"]
    for i in (0, 25, 26, 99):
        assert SetwiseChoice().parse(letter(i), slate(100)) == Choice(best=i)


def test_likelihoods_give_shares():
    found = SetwiseChoice().read((math.log(0.1), math.log(0.3), -math.inf), slate(3))
    assert found.best == 1
    assert found.shares == pytest.approx((0.25, 0.75, 0))
    unknown = SetwiseChoice().read((-math.inf,) * 3, slate(3))
    assert (unknown.best, unknown.shares, unknown.status) == (None, None, Status.FAILED)


def test_a_pair_is_two():
    prompt = PairwiseChoice()
    assert prompt.parse("B", slate(2)) == Choice(best=1)
    assert prompt.parse("C", slate(2)).best is None
    assert prompt.parse("A", slate(3)).status is Status.FAILED
    assert prompt.read((-1.0, -1.0), slate(2)) == Choice(best=0, shares=(0.5, 0.5))
    assert prompt.read((-1.0, -2.0), slate(3)).status is Status.FAILED
    with pytest.raises(ValueError, match="slates of 2; this one has 3"):
        prompt.render(slate(3))
