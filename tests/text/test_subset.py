import pytest

from shortlist.text import Subset
from shortlist.types import Candidate, Document, Judgement, Query, Slate


def slate(n):
    return Slate(Query(text="q"), tuple(Candidate(Document(id=str(i), text=f"text {i}")) for i in range(n)))


@pytest.mark.parametrize(
    ("text", "order", "cutoff", "status"),
    [
        ("[3], [1]", (2, 0, 1, 3), 2, "ok"),
        ("[2]", (1, 0, 2, 3), 1, "ok"),
        ("None", (0, 1, 2, 3), 0, "ok"),
        ("none.", (0, 1, 2, 3), 0, "ok"),
        ("[4], [3], [2], [1]", (3, 2, 1, 0), 4, "ok"),
        ("[3] > [1]", (2, 0, 1, 3), 2, "repaired"),
        ("3, 1", (2, 0, 1, 3), 2, "repaired"),
        ("[3], [3], [9], [0]", (2, 0, 1, 3), 1, "repaired"),
        ("Answer: [3], [1].", (2, 0, 1, 3), 2, "repaired"),
        ("[]", (0, 1, 2, 3), 0, "repaired"),
        ("None of the passages answers the query.", (0, 1, 2, 3), 0, "repaired"),
        ("None of the passages except [3]", (0, 1, 2, 3), None, "failed"),
        ("[0], [-1], [5]", (0, 1, 2, 3), None, "failed"),
        ("<think>None", (0, 1, 2, 3), None, "failed"),
        ("I would take 3 of the 4", (0, 1, 2, 3), None, "failed"),
        ("", (0, 1, 2, 3), None, "failed"),
    ],
)
def test_subset(text, order, cutoff, status):
    found = Subset().parse(text, slate(4))
    assert (found.order, found.cutoff, found.status) == (order, cutoff, status)
    assert found.missing == (order if status == "failed" else ())


@pytest.mark.parametrize("chosen", [(), (2,), (1, 0), (3, 1, 0, 2)])
def test_written_replies_come_back(chosen):
    rest = tuple(i for i in range(4) if i not in chosen)
    judgement = Judgement(order=chosen + rest, cutoff=len(chosen))
    assert Subset().parse(Subset().write(judgement), slate(4)) == judgement


def test_without_passages_none_are_kept():
    assert Subset().parse("None", slate(0)) == Judgement(order=(), cutoff=0)
