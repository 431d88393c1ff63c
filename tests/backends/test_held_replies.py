"""Generation held to a language: whatever a model of random weights would say, what it says is well-formed."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import llama

from shortlist.backends.base import Ask
from shortlist.backends.torch_constraint import Constraint, Vocabulary
from shortlist.backends.transformers import TransformersBackend
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.policies import TextPolicy
from shortlist.rerankers.reasoned import ReasonedLabelPolicy
from shortlist.rerankers.strategies import DynamicK, Groups, SlidingWindow
from shortlist.testing.hostile import plain_slate
from shortlist.text import (
    GroupScores,
    Listwise,
    ListwiseReasoning,
    PairwiseChoice,
    PointwiseRating,
    SetwiseChoice,
    Subset,
)
from shortlist.text.language import Free, Language, OneOf, Said
from shortlist.text.setwise import SetwiseReasoning
from shortlist.types import Message, RerankRequest, Status

PIECES = [
    "[1",
    "1]",
    "] > [",
    "0]",
    ", ",
    '": ',
    "</",
    "think",
    ">\n",
    "<answer>",
    "12",
    " [",
    "<think>",
    "answer",
    "ing",
]
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
    PointwiseRating(),
    PointwiseRating(reasoning=True),
]
IDS = [f"{prompt.kind}-{i}" for i, prompt in enumerate(PROMPTS)]


def byte_tokenizer():
    """All bytes as tokens, and pieces that span what our forms are made of: names of one token, of two, of five."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    signs = sorted(pre_tokenizers.ByteLevel.alphabet())
    spelt = {chr(n): s for n, s in ((ord(" "), "Ġ"), (ord("\n"), "Ċ"))}
    pieces = ["".join(spelt.get(sign, sign) for sign in piece) for piece in PIECES]
    merges, vocabulary = [], {sign: i for i, sign in enumerate(signs)}
    for piece in pieces:
        for i in range(2, len(piece) + 1):
            if piece[:i] not in vocabulary:
                vocabulary[piece[:i]] = len(vocabulary)
                merges.append((piece[: i - 1], piece[i - 1]))
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    fast.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    return fast


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    where, tokenizer = tmp_path_factory.mktemp("bytes"), byte_tokenizer()
    torch.manual_seed(11)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16384,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.7,
    )
    LlamaForCausalLM(config).save_pretrained(where)
    tokenizer.save_pretrained(where)
    return where


@pytest.fixture(scope="module")
def backend(folder):
    return TransformersBackend(folder, threads=1, batch_tokens=65536)


def policy(prompt, backend, **more):
    return TextPolicy(prompt=prompt, completer=backend, constrain=True, force_answer=False, **more)


@pytest.mark.parametrize("prompt", PROMPTS, ids=IDS)
@given(n=st.integers(1, 10), seed=st.integers(0, 2**31))
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_random_model_is_always_well_formed(backend, prompt, n, seed):
    """Greedy and sampled rows of different sizes in one batch; reasoning is given few tokens, and ends in time."""
    sizes = (prompt.slate_size,) * 2 if prompt.slate_size else (n, n % 5 + 1)
    slates = [plain_slate([f"word {i}" for i in range(size)]) for size in sizes]
    thinks = any(isinstance(part, Free) for part in prompt.language(slates[0]).parts)
    longest = 180 if thinks else None
    for more in ({}, {"temperature": 1.5, "seed": seed}):
        turns = policy(prompt, backend, max_tokens=longest, **more).judge(slates)
        for slate, turn in zip(slates, turns, strict=True):
            assert prompt.language(slate).accepts(turn.text), turn.text
            assert (turn.verdict.status, turn.error) == (Status.OK, None)
    free = TextPolicy(prompt=prompt, completer=backend, force_answer=False, max_tokens=24).judge(slates)
    assert any(turn.verdict.status is not Status.OK for turn in free)


def test_likelihoods_behind_reasoning_are_those_of_a_plain_forward_pass(backend):
    """The reply is held to its form; then the eleven integers, "10" of two tokens, are weighed where its own stands."""
    import torch

    model, tokens = backend.load()
    prompt = PointwiseRating(reasoning=True)
    slates = [plain_slate(["one"]), plain_slate(["two words"])]
    turns = ReasonedLabelPolicy(prompt=prompt, completer=backend, constrain=True, max_tokens=90).judge(slates)
    for turn in turns:
        assert turn.text.startswith("<think>\n")
        ids = tokens.prompt(tokens.render(turn.messages) + turn.text[: turn.text.rindex("<answer>") + len("<answer>")])
        digits = [tokens.tokenizer(str(digit), add_special_tokens=False)["input_ids"][0] for digit in range(10)]
        with torch.inference_mode():
            first = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1).exp()
            second = model(torch.tensor([[*ids, digits[1]]])).logits[0, -1].log_softmax(-1).exp()
        shares = [float(first[digit]) for digit in digits]
        ten = shares[1] * float(second[digits[0]])
        shares = [*shares[:1], shares[1] - ten, *shares[2:], ten]
        wanted = sum(v * share for v, share in enumerate(shares)) / sum(shares)
        assert turn.verdict.scores == (pytest.approx(wanted, rel=1e-3),)
        assert (turn.verdict.status, bool(turn.verdict.reasoning), turn.usage.calls) == (Status.OK, True, 2)


def test_many_passages(backend):
    (turn,) = policy(Listwise(), backend).judge([plain_slate(["w"] * 40)])
    assert turn.verdict.status is Status.OK
    assert sorted(turn.verdict.order) == list(range(40))


@pytest.mark.parametrize(
    ("prompt", "strategy"),
    [(Listwise(), SlidingWindow(size=4, stride=2)), (GroupScores(), Groups(size=4)), (Subset(), DynamicK(size=5))],
    ids=["listwise", "groupwise", "dynamic"],
)
def test_whole_rankings_are_ok(backend, prompt, strategy):
    request = RerankRequest.of("which word", [f"word {i}" for i in range(9)])
    (held,) = Reranker(policy=policy(prompt, backend), strategy=strategy).rerank([request])
    assert (held.status, held.problems, held.unjudged) == (Status.OK, (), ())
    free = TextPolicy(prompt=prompt, completer=backend, force_answer=False, max_tokens=24)
    (loose,) = Reranker(policy=free, strategy=strategy).rerank([request])
    assert loose.status is Status.FAILED


def ask(language, **more):
    return Ask(messages=(Message("user", "words"),), language=language, **more)


def test_rows_that_are_free_are_not_touched(backend):
    """A batch of a held row and two free ones gives the free ones what they get alone."""
    held, free = ask(Listwise().language(plain_slate(["w"] * 3)), max_tokens=40), ask(None, max_tokens=9)
    alone = backend.complete([free])[0].text
    first, second, third = backend.complete([free, held, free])
    assert (first.text, third.text) == (alone, alone)
    assert Listwise().parse(second.text, plain_slate(["w"] * 3)).status is Status.OK
    assert second.finish == "stop"


def test_the_likeliest_of_what_may_come_is_said(backend):
    """The held reply is the better the likelier the model finds it: each step takes the best allowed token."""
    import torch

    language = Language((OneOf("best", ("A", "B", "C", "D")),))
    (said,) = backend.complete([ask(language, max_tokens=4)])
    model, tokens = backend.load()
    ids = tokens.prompt("words")
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0, -1]
    places = [tokens.tokenizer(letter)["input_ids"][0] for letter in "ABCD"]
    assert said.text == "ABCD"[int(logits[places].argmax())]
    assert said.usage.completion_tokens == 1


def test_a_budget_too_small_is_told(backend):
    (said,) = backend.complete([ask(Listwise().language(plain_slate(["w"] * 9)), max_tokens=5)])
    assert said.finish == "length"
    assert Listwise().parse(said.text, plain_slate(["w"] * 9)).status is not Status.OK


def test_reasoning_ends_in_time_and_not_before(backend):
    prompt, shown = PointwiseRating(reasoning=True), plain_slate(["w"])
    for budget in (60, 120):
        (turn,) = policy(prompt, backend, max_tokens=budget, temperature=1.0, seed=2).judge([shown])
        assert turn.verdict.status is Status.OK
        assert turn.usage.completion_tokens <= budget


def test_a_form_that_cannot_be_spelt_is_an_error_of_its_item(tmp_path):
    backend = TransformersBackend(llama(tmp_path), threads=1)  # whole words only: no brackets
    bad, good = backend.complete([ask(Language((Said("[1]"),)), max_tokens=5), ask(None, max_tokens=5)])
    assert "cannot spell" in bad.error
    assert bad.finish == "error"
    assert good.error is None


def test_tokens_may_span_names_and_joints():
    vocabulary = Vocabulary(byte_tokenizer())
    language = Listwise().language(plain_slate(["w"] * 12))
    constraint = Constraint(language, vocabulary, ends=[0])
    by_text = {text: place for place, text in vocabulary.texts.items()}
    start = constraint.allowed(language.start, 100)
    assert {by_text["["], by_text["[1"]} == set(start)
    after = constraint.allowed(language.step(language.start, "[1"), 100)
    assert {vocabulary.texts[place] for place in after} == {
        "0",
        "1",
        "2",
        "]",
        "1]",
        "0]",
        "] ",
        "] >",
        "] > ",
        "] > [",
    }
    used = constraint.allowed(language.step(language.start, "[11] > [1"), 100)
    assert by_text["1"] not in used
    assert by_text["1]"] not in used
    assert by_text["0]"] in used
    assert not set(vocabulary.texts) & set(byte_tokenizer().all_special_ids)
