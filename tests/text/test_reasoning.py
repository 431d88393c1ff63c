import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.text.reasoning import AFTERWARDS, CUT_OFF, NO_REASONING, NO_TAGS, SEVERAL, UNCLOSED, split_reply, written


@pytest.mark.parametrize(
    ("text", "answer", "reasoning", "problems"),
    [
        ("plain", "plain", "", ()),
        ("a < b", "a < b", "", ()),
        ("<think>why</think>yes", "yes", "why", ()),
        ("<think>why</think><answer>yes</answer>", "yes", "why", ()),
        ("<reason>why</reason>\n<answer>yes</answer> bye", "yes", "why", ()),
        ("<THINK >why</Think><Answer>yes</ANSWER>", "yes", "why", ()),
        ("why</think>yes", "yes", "why", ()),  # the opening tag stood in the prompt
        ("I will write <answer> here</think><answer>yes</answer>", "yes", "I will write <answer> here", ()),
        ("<think>say <answer>no</answer>?</think><answer>yes</answer>", "yes", "say <answer>no</answer>?", ()),
        ("<think>a <reason>b</reason> c</think>yes", "yes", "a <reason>b</reason> c", ()),
        ("<think>[2] > [1]", None, "[2] > [1]", (CUT_OFF,)),
        ("<think>say <answer>[2] > [1]</answer> or so", None, "say <answer>[2] > [1]</answer> or so", (CUT_OFF,)),
        ("<think>one</think><think>two", None, "one\ntwo", (CUT_OFF,)),
        ("<think>one</think>x<think>two</think>y", "xy", "one\ntwo", ()),
        ("<think>why</think><answer>yes", "yes", "why", (UNCLOSED,)),
        ("yes</answer>", "yes", "", ()),
        ("<answer>no</answer><answer>yes</answer>", "yes", "", (SEVERAL,)),
        ("<answer>yes</answer><think>hm", "yes", "hm", (AFTERWARDS,)),
        ("<answer>yes</answer></answer>", "yes", "", ()),
        ("<answer><answer>yes</answer>", "yes", "", ()),
        ("<think></think>", "", "", ()),
        ("", "", "", ()),
    ],
)
def test_split(text, answer, reasoning, problems):
    reply = split_reply(text)
    assert (reply.answer, reply.reasoning, reply.problems) == (answer, reasoning, problems)


def test_what_is_lacking_is_told_only_where_tags_are_asked_for():
    assert split_reply("[1]").held_to_tags().problems == (NO_REASONING, NO_TAGS)
    assert split_reply("<think></think>[1]").held_to_tags().problems == (NO_TAGS,)
    assert split_reply("<think></think><answer>[1]</answer>").held_to_tags().problems == ()
    assert split_reply("<think>…").held_to_tags().problems == (CUT_OFF,)


@given(st.text(), st.text(alphabet="[]123> "))
def test_what_is_written_is_read(reasoning, answer):
    reply = split_reply(written(reasoning, answer))
    assert (reply.answer, reply.problems, reply.tagged, reply.reasoned) == (answer, (), True, True)
    assert reply.reasoning.replace("‹", "<") == reasoning.strip().replace("‹", "<")


@given(st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "<reason>", "</reason>", "x"])))
def test_total(pieces):
    reply = split_reply("".join(pieces))
    assert reply.answer is not None or reply.problems == (CUT_OFF,)
    assert reply.answer is None or "<think>" not in reply.answer or "<answer>" in pieces
