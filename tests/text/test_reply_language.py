"""The language of a prompt's replies: what it accepts reads back well-formed, and its renderings agree with it."""

import itertools
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.errors import InvalidInput
from shortlist.testing.hostile import plain_slate
from shortlist.testing.prompts import example_verdicts
from shortlist.text import (
    GroupScores,
    Listwise,
    ListwiseReasoning,
    PairwiseChoice,
    PointwiseRating,
    PointwiseYesNo,
    SetwiseChoice,
    Subset,
)
from shortlist.text.grammar import exact, from_json, gbnf, json_schema, quoted, schema_is_exact, stretch
from shortlist.text.language import Free, Items, Language, OneOf, Said
from shortlist.text.setwise import SetwiseReasoning
from shortlist.types import Status

PROMPTS = [
    Listwise(),
    ListwiseReasoning(),
    GroupScores(),
    GroupScores(reasoning=True),
    GroupScores(terse=True),
    Subset(),
    SetwiseChoice(),
    SetwiseReasoning(),
    PairwiseChoice(),
    PointwiseYesNo(),
    PointwiseRating(),
    PointwiseRating(reasoning=True),
]
IDS = [f"{prompt.kind}-{i}" for i, prompt in enumerate(PROMPTS)]


def walk(language, rng, signs="abc <1]\n/"):
    """A random text of the language, sign by sign."""
    text, state = "", language.start
    own = sorted(language.signs)
    while not language.full(state) and (not language.ended(state) or rng.random() < 0.7):
        if language.at_free(state) and (len(text) > 60 or rng.random() < 0.1):
            state = language.closing(state)
        ways = [(s, after) for s in (*own, *signs) if (after := language.step(state, s)) is not None]
        assert ways, f"a dead end after {text!r}"
        sign, state = rng.choice(ways)
        text += sign
    return text


@pytest.mark.parametrize("prompt", PROMPTS, ids=IDS)
@given(n=st.integers(1, 25), seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_every_text_of_the_language_reads_back_as_ok(prompt, n, seed):
    shown = plain_slate(["words"] * (prompt.slate_size or n))
    language = prompt.language(shown)
    text = walk(language, random.Random(seed))
    assert language.accepts(text)
    verdict = prompt.parse(text, shown)
    assert (verdict.status, verdict.problems) == (Status.OK, ())


@pytest.mark.parametrize("prompt", PROMPTS, ids=IDS)
def test_what_prompts_write_is_of_their_language(prompt):
    n = prompt.slate_size or 4
    language = prompt.language(plain_slate(["words"] * n))
    whole = [v for v in example_verdicts(prompt, n, random.Random(3), 40) if not getattr(v, "missing", ())]
    if isinstance(prompt, GroupScores):
        whole = [v for v in whole if all(score == int(score) for score in v.scores)]
    assert whole
    for verdict in whole:
        text = prompt.write(verdict)
        assert language.accepts(text), text
        assert not language.accepts(text + "!")


@pytest.mark.parametrize("prompt", PROMPTS, ids=IDS)
@given(seed=st.integers(0, 2**32), places=st.lists(st.integers(0, 10**6), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_what_is_left_bounds_what_can_still_come(prompt, seed, places):
    language = prompt.language(plain_slate(["words"] * (prompt.slate_size or 6)))
    text = walk(language, random.Random(seed))
    cuts = [place % (len(text) + 1) for place in places]
    free = any(isinstance(part, Free) for part in language.parts)
    for at in cuts:
        state = language.step(language.start, text[:at])
        assert state is not None
        if not free:
            assert len(text) - at <= language.left(state)
        rest, state = 0, language.closing(state)
        bound = language.left(state)
        while not language.full(state):
            ways = [s for s in sorted(language.signs) if language.step(state, s) is not None]
            if not ways:
                break
            state, rest = language.closing(language.step(state, ways[-1])), rest + 1
        assert rest <= bound


def test_an_empty_slate_has_no_language():
    empty = plain_slate([])
    assert [p.language(empty) for p in (Listwise(), ListwiseReasoning(), GroupScores(), Subset(), SetwiseChoice())] == [
        None
    ] * 5


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Items("x", ("a", "ab"), ", ", 1, 2),
        lambda: Items("x", ("a", "a"), ", ", 1, 2),
        lambda: Items("x", ("a", "b"), "", 1, 2),
        lambda: Items("x", ("a", "b"), ",", 2, 1),
        lambda: Items("x", ("a", "b"), ",", 1, 3),
        lambda: OneOf("x", ()),
        lambda: OneOf("x", ("",)),
        lambda: Free("x", "stop"),
        lambda: Language(()),
    ],
)
def test_languages_that_cannot_be_are_refused(wrong):
    with pytest.raises(InvalidInput):
        wrong()


def test_free_text_may_hold_signs_of_its_end_but_not_the_beginning_of_another_tag():
    language = Language((Free("why", "</why>"), Said("!")))
    assert all(map(language.accepts, ["</why>!", "a < b</why>!", "<<</why>!", "<b>bold</why>!"]))
    assert not any(map(language.accepts, ["</b></why>!", "x</why> !", "</why", "</WHY>!"]))


# ------------------------------------------------------------------------------------------------ grammars


def sentences(grammar, most=20_000):
    """All texts of a GBNF grammar without repetition, by expanding it: the meaning of the subset that we write."""
    rules = dict(line.split(" ::= ", 1) for line in grammar.splitlines())

    def texts(body):
        found = []
        for way in split(body, " | "):
            parts = [expand(token) for token in tokens(way)]
            found += ["".join(choice) for choice in itertools.product(*parts)]
        assert len(found) <= most
        return found

    def expand(token):
        if token.startswith('"'):
            return [json.loads(token)]
        return texts(token[1:-1]) if token.startswith("(") else texts(rules[token])

    return texts(rules["root"])


def tokens(way):
    return [token for token in split(way, " ") if token]


def split(text, sign):
    """At a sign outside of quotes and brackets."""
    found, depth, quote, start, i = [], 0, False, 0, 0
    while i < len(text):
        if quote:
            i += text[i] == "\\"
            quote = text[i] != '"' or text[i - 1] == "\\"
        elif text[i] == '"':
            quote = True
        elif text[i] in "()":
            depth += 1 if text[i] == "(" else -1
        elif depth == 0 and text.startswith(sign, i):
            found.append(text[start:i])
            start = i + len(sign)
        i += 1
    return [*found, text[start:]]


@pytest.mark.parametrize(
    ("prompt", "n", "count"),
    [
        (Listwise(), 4, 24),
        (Subset(), 3, 16),
        (SetwiseChoice(), 5, 5),
        (PointwiseRating(), 1, 11),
        (GroupScores(), 2, 121),
    ],
    ids=repr,
)
def test_the_grammar_is_the_language(prompt, n, count):
    language = prompt.language(plain_slate(["words"] * n))
    assert exact(language)
    said = sentences(gbnf(language))
    assert len(said) == len(set(said)) == count
    assert all(map(language.accepts, said))


def test_an_order_of_eight_is_exact_and_one_of_nine_is_loose():
    eight, nine = (Listwise().language(plain_slate(["w"] * n)) for n in (8, 9))
    assert exact(eight)
    assert not exact(nine)
    assert len(gbnf(nine)) < 1000
    assert "{8,8}" in gbnf(nine)


@given(n=st.integers(1, 14), seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_stretches_lead_through_any_order(n, seed):
    """A generator that obeys each stretch ends in a text of the language."""
    language, rng = Listwise().language(plain_slate(["w"] * n)), random.Random(seed)
    state, text = language.start, ""
    while not language.ended(state):
        held = stretch(language, state)
        rules = dict(line.split(" ::= ", 1) for line in held.grammar.splitlines())
        todo = tokens(rules["root"])
        while todo:
            token = todo.pop(0)
            if token.startswith('"'):
                text += json.loads(token)
            else:
                todo = tokens(rng.choice(split(rules[token], " | "))) + todo
        state = language.step(language.start, text)
        assert state is not None
    assert language.accepts(text)


def test_a_stretch_of_a_subset_may_end():
    language = Subset().language(plain_slate(["w"] * 20))
    held = stretch(language, language.start)
    assert held.names == 2
    said = set(sentences(held.grammar))
    assert {"None", "[7]", "[7], [20]"} <= said
    assert not any(text.count("[") > 2 for text in said)


def test_stretches_stop_before_free_text():
    language = ListwiseReasoning().language(plain_slate(["w"] * 3))
    assert sentences(stretch(language, language.start).grammar) == ["<think>\n"]
    behind = language.step(language.start, "<think>\nwell</think>")
    rest = sentences(stretch(language, (behind[0] + 1, 0)).grammar)
    assert len(rest) == 6
    assert all(language.accepts("<think>\nwell</think>" + text) for text in rest)


def test_literals_are_quoted():
    assert quoted('a"b\\c\nd') == '"a\\"b\\\\c\\nd"'


# ------------------------------------------------------------------------------------------------ JSON


def test_the_schema_of_an_order_and_back():
    language = Listwise().language(plain_slate(["w"] * 3))
    told = json_schema(language)
    assert told["properties"]["order"]["items"]["enum"] == ["[1]", "[2]", "[3]"]
    assert (told["properties"]["order"]["minItems"], told["properties"]["order"]["maxItems"]) == (3, 3)
    assert not schema_is_exact(language)
    assert from_json(language, '{"order": ["[2]", "[3]", "[1]"]}') == "[2] > [3] > [1]"


def test_the_schema_of_scores_is_exact_and_comes_back():
    language = GroupScores(reasoning=True).language(plain_slate(["w"] * 2))
    assert schema_is_exact(language)
    text = from_json(language, json.dumps({"reasoning": "so </x> so <answer>", "[1]": 3, "[2]": 10}))
    verdict = GroupScores(reasoning=True).parse(text, plain_slate(["w"] * 2))
    assert (verdict.status, verdict.scores) == (Status.OK, (3.0, 10.0))
    assert verdict.reasoning == "so </x> so ‹answer>"


def test_a_subset_of_nothing_is_none():
    language = Subset().language(plain_slate(["w"] * 2))
    assert json_schema(language)["properties"]["chosen"]["minItems"] == 0
    assert from_json(language, '{"chosen": []}') == "None"


@pytest.mark.parametrize("text", ["", "[2] > [1]", "[1, 2]", '{"other": 1}', "{", "null", "[" * 100_000])
def test_what_is_no_such_object_is_left_as_it_is(text):
    assert from_json(Listwise().language(plain_slate(["w"] * 2)), text) == text


def test_stretches_of_a_subset_before_other_parts_go_on_behind_it():
    names = tuple(f"[{i}]" for i in range(1, 21))
    language = Language((Items("chosen", names, ", ", 1, 20), Said(".")))
    text = "[4], [9]"
    state = language.step(language.start, text)
    assert '"."' not in stretch(language, state).grammar
    assert sentences(stretch(language, (1, 0)).grammar) == ["."]
