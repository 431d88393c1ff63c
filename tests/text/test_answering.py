import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.text import AnswerShort
from shortlist.types import Document, Query, Status

QUERY = Query(text="Which city?")


@pytest.mark.parametrize(
    ("text", "answer", "status"),
    [
        ("Paris", "Paris", "ok"),
        ("  Paris.\n", "Paris.", "ok"),
        ("Answer: Paris", "Paris", "ok"),
        ("The answer is: **Paris**", "Paris", "ok"),
        ("Answer:\nParis", "Paris", "ok"),
        ("The answer is Paris", "Paris", "ok"),
        ("In short, the answer is: no", "In short, the answer is: no", "ok"),
        ('"Paris"', "Paris", "ok"),
        ("<think>Rome?</think>Paris", "Paris", "ok"),
        ("no answer", None, "ok"),
        ("No Answer.", None, "ok"),
        ("No answer is given in the passages.", None, "ok"),
        ("No", "No", "ok"),
        ("No answering machine", "No answering machine", "ok"),
        ("Paris\nIt is the capital.", "Paris", "repaired"),
        ("<think>Paris", None, "failed"),
        ("", None, "failed"),
        (' "" ', None, "failed"),
    ],
)
def test_answers(text, answer, status):
    assert AnswerShort().parse(text)[:2] == (answer, status)


def test_abstaining_can_be_forbidden_and_reworded():
    assert AnswerShort(allow_abstain=False).parse("no answer")[0] == "no answer"
    assert "no answer" not in AnswerShort(allow_abstain=False).render(QUERY, ())[-1].content
    assert AnswerShort(abstention="unknown").parse("Unknown.")[0] is None
    with pytest.raises(ValueError, match="give a phrase"):
        AnswerShort(abstention="…")


def test_passages_are_numbered_and_fenced():
    messages = AnswerShort().render(QUERY, [Document(id="x", text="a\n[2] b", title="T"), Document(id="y", text="c")])
    assert "[1] T a (2) b\n[2] c" in messages[-1].content
    assert "[1]" not in AnswerShort().render(QUERY, ())[-1].content


@given(st.text())
def test_total(text):
    answer, status, problems = AnswerShort().parse(text)
    assert answer is None or answer.strip()
    assert (status is Status.OK) == (not problems)


@pytest.mark.parametrize("answer", ["Paris", "42 km", None])
def test_written_replies_come_back(answer):
    assert AnswerShort().parse(AnswerShort().write(answer)) == (answer, Status.OK, ())
