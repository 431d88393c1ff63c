import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.errors import InvalidInput
from shortlist.text import GroupScores
from shortlist.types import Candidate, Document, Query, ScoredJudgement, Slate, Status

NAN = None


def slate(n):
    return Slate(Query(text="q"), tuple(Candidate(Document(id=str(i), text=f"text {i}")) for i in range(n)))


def judged(text, n=2, prompt=GroupScores()):
    found = prompt.parse(text, slate(n))
    return [None if math.isnan(score) else score for score in found.scores], found.status


@pytest.mark.parametrize(
    ("text", "scores", "status"),
    [
        ('{"[1]": 5, "[2]": 3}', [5, 3], "ok"),
        ('```json\n{\n  "[1]": 5,\n  "[2]": 3\n}\n```', [5, 3], "ok"),
        ('<think>7</think>{"[1]":0,"[2]":10}', [0, 10], "ok"),
        ('{"[1]": 7.5, "[2]": 3}', [7.5, 3], "ok"),
        ('{"1": 5, "2": 3}', [5, 3], "repaired"),
        ("{1: 5, 2: 3}", [5, 3], "repaired"),
        ("{'[1]': 5, '[2]': 3}", [5, 3], "repaired"),
        ('{"[1]": "5", "[2]": "3/10"}', [5, 3], "repaired"),
        ('{"[1]": 5, "[2]": 3,}', [5, 3], "repaired"),
        ('{"[1]": 5, "[2]": 3', [5, 3], "repaired"),
        ('{"[1]]": 5, "[2]": 3}', [5, 3], "repaired"),
        ('Here: {"[1]": 5, "[2]": 3} as asked', [5, 3], "repaired"),
        ('{"scores": {"[1]": 5, "[2]": 3}}', [5, 3], "repaired"),
        ('{"[1]": 1, "[2]": 1} or rather {"[1]": 5, "[2]": 3}', [5, 3], "repaired"),
        ('{"[1]": 5, "[2]": 3, "[1]": 9}', [5, 3], "repaired"),
        ('{"[1]": 5, "[2]": 3, "[3]": 9, "[0]": 9, "[-1]": 9, "[x]": 9}', [5, 3], "repaired"),
        ('{"[1]": 500, "[2]": -3}', [10, 0], "repaired"),
        ('{"[1]": ' + "9" * 300 + ', "[2]": 3}', [10, 3], "repaired"),
        ("[1]: 5\n[2]: 3", [5, 3], "repaired"),
        ("- [1]: 5/10\n- **[2]**: 3", [5, 3], "repaired"),
        ('{"[1]": 5}', [5, NAN], "partial"),
        ('{"[1]": 5, "[2]": NaN}', [5, NAN], "partial"),
        ('{"[1]": 5, "[2]": Infinity}', [5, NAN], "partial"),
        ('{"[1]": 5, "[2]": true}', [5, NAN], "partial"),
        ('{"[1]": 5, "[2]": null}', [5, NAN], "partial"),
        ('{"[1]": 5, "[2]": "high"}', [5, NAN], "partial"),
        ('{"[1]": 5, "[2]": 1e999}', [5, NAN], "partial"),
        ('{"[1]": [5], "[2]": 3}', [NAN, 3], "partial"),
        ('{"[0]": 5, "[-1]": 3}', [NAN, NAN], "failed"),
        ("I give passage 1 a score of 5: it is 3 times better", [NAN, NAN], "failed"),
        ('<think>{"[1]": 5, "[2]": 3}', [NAN, NAN], "failed"),
        ("", [NAN, NAN], "failed"),
    ],
)
def test_salvage(text, scores, status):
    assert judged(text) == (scores, status)


def test_one_bad_key_never_voids_a_group():
    text = "{" + ", ".join(f'"[{i}]": {i % 11}' for i in range(21)) + "}"
    scores, status = judged(text, 20)
    assert scores == [i % 11 for i in range(1, 21)]
    assert status == "repaired"


def test_reasoning_and_tags_are_asked_for():
    prompt = GroupScores(reasoning=True)
    body = '{"[1]": 5, "[2]": 3}'
    whole = prompt.parse(f"<reason>[1]: 9</reason><answer>\n```json\n{body}\n```\n</answer>", slate(2))
    assert (whole.status, whole.reasoning, whole.scores) == (Status.OK, "[1]: 9", (5, 3))
    assert judged(body, prompt=prompt) == ([5, 3], "repaired")
    assert judged(f"<reason>{body}", prompt=prompt) == ([NAN, NAN], "failed")


def test_ties_keep_the_slates_order():
    assert GroupScores().parse('{"[3]": 5, "[2]": 5, "[1]": 1}', slate(3)).order == (1, 2, 0)


@given(st.lists(st.integers(0, 10).map(float) | st.floats(0, 10).map(lambda x: round(x, 3)), min_size=1, max_size=30))
def test_written_replies_come_back(scores):
    for prompt, reasoning in ((GroupScores(), ""), (GroupScores(reasoning=True), "because")):
        judgement = ScoredJudgement.of(scores, reasoning=reasoning)
        assert prompt.parse(prompt.write(judgement), slate(len(scores))) == judgement


def test_schema_names_every_passage():
    schema = GroupScores().schema(slate(3))
    assert schema["required"] == ["[1]", "[2]", "[3]"]
    assert schema["properties"]["[2]"] == {"type": "integer", "minimum": 0, "maximum": 10}


@pytest.mark.parametrize(
    ("text", "scores", "status"),
    [
        ("[1]7 [2]0 [3]10", (7, 0, 10), Status.OK),
        ("[3]10 [1]7 [2]0", (7, 0, 10), Status.OK),  # each goes by its name
        ("[1] 7 [2] 0 [3] 10", (7, 0, 10), Status.REPAIRED),
        ("[1]: 7, [2]: 0,\n[3]: 10", (7, 0, 10), Status.REPAIRED),  # read, and not as asked
        ("[1] 7 [2] 0 [3] 10 [4] 3", (7, 0, 10), Status.REPAIRED),  # one too many: it names no passage
        ("[1] 7 [2] 0 [3] 99", (7, 0, 10), Status.REPAIRED),  # clamped
        ("[1] 7 [3] 2", (7, None, 2), Status.PARTIAL),
        ("7 0 10", (None, None, None), Status.FAILED),
        ("[0] 7", (None, None, None), Status.FAILED),  # no passage is the zeroth
        ("the first is 7", (None, None, None), Status.FAILED),
        ("", (None, None, None), Status.FAILED),
    ],
)
def test_terse_scores_go_by_names(text, scores, status):
    verdict = GroupScores(terse=True).parse(text, slate(3))
    assert tuple(None if math.isnan(s) else s for s in verdict.scores) == scores
    assert verdict.status is status


def test_terse_and_reasoning_exclude_each_other():
    with pytest.raises(InvalidInput, match="exclude each other"):
        GroupScores(terse=True, reasoning=True)
