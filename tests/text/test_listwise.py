import random

import pytest

from shortlist.text import Listwise, ListwiseReasoning
from shortlist.types import Candidate, Document, Judgement, Query, Slate, Status


def slate(n, score=None):
    return Slate(Query(text="q"), tuple(Candidate(Document(id=str(i), text=f"text {i}"), score) for i in range(n)))


def judged(text, n=3, prompt=Listwise()):
    found = prompt.parse(text, slate(n))
    return found.order, found.missing, found.status


@pytest.mark.parametrize(
    ("text", "order", "missing", "status"),
    [
        ("[3] > [1] > [2]", (2, 0, 1), (), "ok"),
        ("<think>[1] > [2]</think>[3] > [1] > [2]", (2, 0, 1), (), "ok"),
        ("3 > 1 > 2", (2, 0, 1), (), "repaired"),
        ("[3] > [3] > [1] > [2]", (2, 0, 1), (), "repaired"),
        ("[3] > [0] > [1] > [2]", (2, 0, 1), (), "repaired"),
        ("[3] > [9] > [1]", (2, 0, 1), (1,), "partial"),
        ("[2]", (1, 0, 2), (0, 2), "partial"),
        ("[0] > [-1] > [4]", (0, 1, 2), (0, 1, 2), "failed"),
        ("", (0, 1, 2), (0, 1, 2), "failed"),
        ("ERROR::timeout 3", (0, 1, 2), (0, 1, 2), "failed"),
    ],
)
def test_listwise(text, order, missing, status):
    assert judged(text) == (order, missing, status)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("<think>2 and 3 tie</think><answer>[2] > [1] > [3]</answer>", "ok"),
        ("<think>\n</think>\n<answer> [2] > [1] > [3] </answer>", "ok"),
        ("<answer>[2] > [1] > [3]</answer>", "repaired"),
        ("<think>…</think>[2] > [1] > [3]", "repaired"),
        ("[2] > [1] > [3]", "repaired"),
        ("<think>…</think><answer>[2] > [1]</answer>", "partial"),
        ("<think>1 is good, [3] > [1] > [2] perhaps", "failed"),
        ("Passage 1 is good. Passages 3 and 2 are not", "failed"),
    ],
)
def test_reasoning(text, status):
    order, _, found = judged(text, prompt=ListwiseReasoning())
    assert found == status
    assert order == ((0, 1, 2) if status == "failed" else (1, 0, 2))


def test_digits_of_reasoning_are_never_a_ranking():
    trace = "<think>" + " ".join(f"Passage [{i}] gets {i} points." for i in range(20, 0, -1)) + " So [7] > [3] > [1]"
    for prompt in (Listwise(), ListwiseReasoning()):
        assert judged(trace, 20, prompt) == (tuple(range(20)), tuple(range(20)), "failed")


@pytest.mark.parametrize("n", [1, 2, 7, 20, 100])
def test_written_replies_come_back(n):
    rng = random.Random(n)
    for prompt, reasoning in ((Listwise(), ""), (ListwiseReasoning(), "[1] is\nbest; a<b")):
        judgement = Judgement(order=tuple(rng.sample(range(n), n)), reasoning=reasoning)
        assert prompt.parse(prompt.write(judgement), slate(n)) == judgement


def test_missing_passages_are_told():
    found = Listwise().parse("[2] > [2]", slate(3))
    assert found.problems == ("[2] repeated", "2 of 3 passages missing")
    assert found.status is Status.PARTIAL
    assert Listwise().write(found) == "[2]"


def test_first_stage_scores_are_shown_where_known():
    shown = Listwise(first_stage_scores=True).render(slate(1, 12.34567))[-1].content
    assert "[1] (first-stage score 12.35) text 0" in shown
    assert "(first-stage" not in Listwise(first_stage_scores=True).render(slate(1))[-1].content
    assert "(first-stage" not in Listwise().render(slate(1, 1.0))[-1].content
