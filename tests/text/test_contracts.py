"""Our prompts pass the public contract first, and the contract notices prompts that break it."""

import dataclasses
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shortlist.text
from shortlist.errors import InvalidInput, UnknownName
from shortlist.testing.hostile import plain_slate, random_reply, spoil
from shortlist.testing.prompts import check_answer_prompt, check_json, check_prompt, example_verdicts
from shortlist.testing.verdicts import check_verdict
from shortlist.text import (
    AnswerShort,
    GroupScores,
    Listwise,
    ListwiseReasoning,
    PairwiseChoice,
    PointwiseRating,
    PointwiseYesNo,
    PromptBase,
    QueryLikelihood,
    SetwiseChoice,
    SetwiseReasoning,
    Subset,
)
from shortlist.types import Choice, Judgement, Message, ScoredJudgement, Status

PARSED = [
    PointwiseYesNo(),
    PointwiseRating(),
    PointwiseRating(reasoning=True, scoring="product"),
    PairwiseChoice(),
    SetwiseChoice(),
    SetwiseReasoning(),
    Listwise(),
    Listwise(first_stage_scores=True, passage_tokens=77),
    ListwiseReasoning(),
    GroupScores(),
    GroupScores(reasoning=True),
    GroupScores(terse=True),
    GroupScores(terse=True, query_each=True),
    Listwise(query_each=True),
    Listwise(query_each=True, first_stage_scores=True),
    ListwiseReasoning(query_each=True, first_stage_scores=True),
    Subset(query_each=True, first_stage_scores=True),
    PointwiseRating(query_last=True),
    Subset(),
]
NAMES = [f"{prompt.kind}-{i}" for i, prompt in enumerate(PARSED)]


@pytest.mark.parametrize("prompt", [*PARSED, QueryLikelihood()], ids=[*NAMES, "query-likelihood"])
def test_our_prompts_pass(prompt):
    check_prompt(prompt, tries=600)


@pytest.mark.parametrize("prompt", [AnswerShort(), AnswerShort(allow_abstain=False, closed_book=True)], ids=repr)
def test_our_reader_prompts_pass(prompt):
    check_answer_prompt(prompt, tries=600)


def test_every_kind_is_tried_and_every_fingerprint_differs():
    prompts = [*PARSED, QueryLikelihood(), AnswerShort(), AnswerShort(closed_book=True)]
    ours = {name for name, kind in PromptBase.registry.items() if kind.__module__.startswith("shortlist.text.")}
    assert {prompt.kind for prompt in prompts} == ours
    assert len({prompt.fingerprint for prompt in prompts}) == len(prompts)


def test_one_hundred_thousand_replies():
    rng = random.Random(20250)
    slate = plain_slate(["words"] * 3)
    sized = {prompt.slate_size: plain_slate(["words"] * prompt.slate_size) for prompt in PARSED if prompt.slate_size}
    whole = []
    for prompt in PARSED:
        n = prompt.slate_size or 3
        whole += [prompt.write(verdict) for verdict in example_verdicts(prompt, n, rng)]
    statuses = dict.fromkeys(Status, 0)
    for count in range(100_000):
        text = random_reply(rng) if count % 2 else spoil(rng.choice(whole), rng)
        for prompt in PARSED:
            shown = sized.get(prompt.slate_size, slate)
            verdict = prompt.parse(text, shown)
            check_verdict(verdict, len(shown))
            statuses[verdict.status] += 1
    assert min(statuses.values()) > 1000, statuses  # every outcome is met, many times


@given(st.text(), st.sampled_from([0, 1, 2, 20]))
@settings(max_examples=200)
def test_any_text_gives_a_valid_verdict(text, n):
    for prompt in PARSED:
        check_verdict(prompt.parse(text, plain_slate(["words"] * n)), n)


@given(st.data())
@settings(max_examples=300)
def test_spoilt_replies_give_valid_verdicts(data):
    prompt = data.draw(st.sampled_from(PARSED))
    n = prompt.slate_size or data.draw(st.sampled_from([1, 2, 7]))
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    text = spoil(prompt.write(example_verdicts(prompt, n, rng, 1)[0]), rng)
    check_verdict(prompt.parse(text, plain_slate(["words"] * n)), n)


# ------------------------------------------------------------------------------------------------ it notices


class Unfenced(Listwise):
    def render(self, slate, /):
        texts = "\n".join(f"[{i + 1}] {c.document.full_text}" for i, c in enumerate(slate.candidates))
        return (Message("user", f"{slate.query.text}\n{texts}"),)


class Silent(Listwise):
    def render(self, slate, /):
        return super().render(dataclasses.replace(slate, candidates=slate.candidates[:1]))


class Greedy(Listwise):
    """Reads every digit, the id 0 included: the field's favourite bug."""

    def parse(self, text, slate, /):
        found = list(dict.fromkeys(int(sign) - 1 for sign in text if sign in "0123456789"))
        return Judgement(order=tuple(range(len(slate)))[: len(found)])


class Raising(GroupScores):
    def parse(self, text, slate, /):
        return super().parse(text, slate) if "NaN" not in text else 1 / 0


class Hopeful(PointwiseYesNo):
    def read(self, logprobs, slate, /):
        return ScoredJudgement.of([0.5] * len(slate))


class Illegible(Subset):
    def write(self, judgement, /):
        return "as I said"


class Forgetful(Listwise):
    def to_json(self):
        return {"kind": "listwise"}


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        (Unfenced(), "changes the frame"),
        (Silent(), "is not shown"),
        (Greedy(), "reply"),
        (Raising(), "ZeroDivisionError"),
        (Hopeful(), "from no likelihoods"),
        (Illegible(), "what the prompt itself wrote"),
        (Forgetful(passage_tokens=9), "from JSON comes another prompt"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_contract_notices(prompt, problem):
    with pytest.raises(AssertionError, match=problem):
        check_prompt(prompt, tries=600)


@pytest.mark.parametrize(
    "verdict",
    [
        Judgement(order=(0, 0)),
        Judgement(order=(0,)),
        Judgement(order=(0, 1), cutoff=3),
        Judgement(order=(0, 1), missing=(1,)),
        Judgement(order=(1, 0), missing=(1,), status=Status.PARTIAL, problems=("x",)),
        Judgement(order=(0, 1), status=Status.FAILED, problems=("x",)),
        Judgement(order=(0, 1), problems=("x",)),
        Judgement(order=(0, 1), status=Status.REPAIRED),
        Choice(best=2),
        Choice(best=None),
        Choice(best=0, shares=(0.5, 0.6)),
        ScoredJudgement(order=(0, 1), scores=(1.0, 2.0)),
        ScoredJudgement(order=(0, 1), scores=(1.0, math.nan)),
    ],
    ids=repr,
)
def test_verdicts_that_contradict_themselves(verdict):
    with pytest.raises(AssertionError):
        check_verdict(verdict, 2)


# ------------------------------------------------------------------------------------------------ JSON


def test_json_round_trip_and_its_errors():
    check_json(AnswerShort(closed_book=True, abstention="unknown"))
    assert PromptBase.from_json({"kind": "group-scores", "reasoning": True}) == GroupScores(reasoning=True)
    with pytest.raises(UnknownName, match=r"prompt kind 'lisdwise'.*Did you mean 'listwise'"):
        PromptBase.from_json({"kind": "lisdwise"})
    with pytest.raises(UnknownName, match="field of prompt 'listwise' 'window'"):
        PromptBase.from_json({"kind": "listwise", "window": 3})
    with pytest.raises(InvalidInput, match="is not a Subset"):
        Subset.from_json({"kind": "listwise"})


def test_fingerprints_follow_the_configuration():
    assert Listwise().fingerprint == Listwise().fingerprint
    assert Listwise().fingerprint != Listwise(passage_tokens=99).fingerprint


def test_exports():
    assert sorted(shortlist.text.__all__) == shortlist.text.__all__
    assert all(hasattr(shortlist.text, name) for name in shortlist.text.__all__)
