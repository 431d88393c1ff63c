import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.text.parsing import named, position, read_list, unwrap


def test_bounds_hold_on_both_sides():
    assert [position(i, 3) for i in (-3, -1, 0, 1, 3, 4, 10**9)] == [None, None, None, 0, 2, None, None]
    assert position(1, 0) is None


def test_strangers_and_repeats_are_counted():
    positions, problems = named(["3", "0", "-1", "3", "99", "9" * 5000, "1"], 3)
    assert positions == (2, 0)
    assert problems == ("4 identifiers name no passage, first [0]", "[3] repeated")


@pytest.mark.parametrize(
    ("answer", "identifiers", "asked"),
    [
        ("[2] > [1] > [3]", "213", True),
        ("  [2]>[1]\n", "21", True),
        ("[2]", "2", True),
        ("[10] > [-1] > [0]", ["10", "-1", "0"], True),
        ("2 > 1 > 3", "213", False),
        ("[2], [1], and [3]", "213", False),
        ("2, 1, 3", "213", False),
        ("[2] [1] [3]", "213", False),
        ("(2) > (1)", "21", False),
        ("[2]\n[1]\n[3]", "213", False),
        ("2\n1\n3\n", "213", False),
        ("[2, 1, 3]", "213", False),
        ('["2", "1"]', "21", False),
        ('["[2]", "[1]"]', "21", False),
        ("[]", "", False),
        ("**[2] > [1]**.", "21", False),
        ("```\n[2] > [1]\n```", "21", False),
        ("```json\n[2, 1]\n```", "21", False),
        ("Passage [2] > Passage [1]", "21", False),
        ("[2] > [1] >", "21", False),
        ("1. [3]\n2. [1]\n3. [2]", "312", False),
        ("1) 3\n2) 1", "31", False),
        ("1. Passage 3\n2. Passage 1", "31", False),
        ("- [3]\n- [1]", "31", False),
        ("Here you are.\n\n1. [3]\n2. [1]\n\nI hope this helps in 2024.", "31", False),
        ("The ranking is: [2] > [1] > [3]", "213", False),
        ("After thought,\n**Ranking:** [2] > [1].\nBest of 5 wishes", "21", False),
        ("The passages needed are [2], [1].", "21", False),
        ("Answer: [3]", "3", False),
    ],
)
def test_lists(answer, identifiers, asked):
    listed = read_list(answer, ">")
    assert listed is not None
    assert listed.identifiers == list(identifiers)
    assert listed.asked is asked


@pytest.mark.parametrize(
    "answer",
    [
        "",
        " ",
        "I compared all 20 passages; 3 and 7 are best.",
        "Passage 2 mentions 1 mole at 100 degrees, passage 3 does not.",
        "[1] is about water, while [2] is about rivers.",
        "[1] Water boils at 100 degrees.\n[2] The Danube flows.",
        "[1]\nabout water\n[2]\nabout rivers",
        "1. Water boils at 100 degrees.\n2. The Danube flows.",
        "I would say [2] > [1], but look at 3",
        "Of these [2] > [1]",
        "2 1 3",
        "1.5 > 2.5",
        "10:30",
        "[2] > [a]",
        "١ > ٢",
        "> >",
        "ERROR::500",
    ],
)
def test_prose_is_no_list(answer):
    assert read_list(answer, ">") is None


def test_unwrap():
    assert unwrap('```text\n"yes"\n```') == "yes"
    assert unwrap(".5") == ".5"


@given(st.text(alphabet="[]()123-0>,; .\n\"'*`abnd", max_size=40))
def test_reading_lists_is_total(text):
    listed = read_list(text, ">")
    assert listed is None or all(set(one) <= set("-0123456789") for one in listed.identifiers)
