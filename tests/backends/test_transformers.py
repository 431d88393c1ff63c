import dataclasses
import json
import logging
import math
import shutil
import sys

import numpy as np
import pytest
import tiny

from shortlist.backends import torch_generation
from shortlist.backends.base import Ask, Completer, Continuer, Cuts, Pair, PairScorer, Question, Scorer
from shortlist.backends.dequantise import dequantise_minilm
from shortlist.backends.torch_models import batches, halving
from shortlist.backends.torch_trie import Trie, packed
from shortlist.backends.transformers import TransformersBackend, TransformersCrossEncoder
from shortlist.errors import InvalidInput, MissingExtra, ModelUnavailable
from shortlist.types import Message

torch = pytest.importorskip("torch")


def user(text):
    return (Message("user", text),)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def backend(folder):
    return TransformersBackend(folder, device="cpu", threads=1)


ASKS = [
    Ask(messages=user("what is the cat"), max_tokens=9),
    Ask(messages=user("the dog sat on the mat . the cat sat on the dog . what is blue ?"), max_tokens=5),
    Ask(messages=(Message("system", "one two"), Message("user", "yes ?")), max_tokens=12),
]


def test_it_is_what_it_says(backend, folder):
    assert isinstance(backend, Completer)
    assert isinstance(backend, Scorer)
    assert isinstance(backend, Cuts)
    assert isinstance(TransformersCrossEncoder(folder), PairScorer)


def test_batched_replies_are_those_of_one_by_one(backend):
    together = backend.complete(ASKS)
    assert together == [backend.complete([ask])[0] for ask in ASKS]
    assert [len(completion.text.split()) <= ask.max_tokens for completion, ask in zip(together, ASKS, strict=True)]
    assert {completion.finish for completion in together} <= {"stop", "length"}
    assert together[0].usage.prompt_tokens == 10
    assert backend.complete([]) == []


def test_greedy_replies_are_what_the_model_finds_likeliest(backend):
    """Against a plain loop over the model, no batching, no cache."""
    model, tokens = backend.load()
    (reply,) = backend.complete(ASKS[:1])
    ids = tokens.prompt(tokens.render(ASKS[0].messages))
    said = []
    for _ in range(ASKS[0].max_tokens):
        said.append(int(model(torch.tensor([ids + said])).logits[0, -1].argmax()))
        if said[-1] == tokens.tokenizer.eos_token_id:
            said.pop()
            break
    assert reply.text == tokens.text(said)


def test_sampling_follows_its_seed_whatever_the_batch(backend):
    asks = [Ask(messages=user("what is"), max_tokens=8, temperature=1.5, seed=seed) for seed in range(6)]
    together = backend.complete([*ASKS, *asks])[3:]
    assert together == [backend.complete([ask])[0] for ask in asks]
    assert len({completion.text for completion in together}) > 1
    assert backend.complete(ASKS + asks)[:3] == backend.complete(ASKS)


def test_sampling_draws_what_the_probabilities_say(backend):
    question = Question(
        messages=user("what is"), labels=tuple(w for w in dict.fromkeys(tiny.WORDS) if w[0] not in "[<")
    )
    (likely,) = backend.likelihoods([question])
    best = question.labels[max(range(len(question.labels)), key=lambda i: likely.logprobs[i])]
    share = math.exp(max(likely.logprobs))
    draws = backend.complete([Ask(messages=user("what is"), max_tokens=1, temperature=1, seed=s) for s in range(400)])
    assert sum(draw.text.strip() == best for draw in draws) / 400 == pytest.approx(share, abs=0.09)


def test_top_p_leaves_only_the_likeliest(backend):
    asks = [Ask(messages=user("what is"), max_tokens=6, temperature=3, top_p=1e-6, seed=seed) for seed in range(3)]
    (greedy,) = backend.complete([Ask(messages=user("what is"), max_tokens=6)])
    assert {completion.text for completion in backend.complete(asks)} == {greedy.text}


def test_stops_cut_the_reply(backend):
    (whole,) = backend.complete(ASKS[:1])
    words = whole.text.split()
    assert len(words) > 2
    (short,) = backend.complete([Ask(messages=ASKS[0].messages, max_tokens=9, stop=(words[2],))])
    assert words[2] not in short.text
    assert whole.text.startswith(short.text.strip())
    assert short.finish == "stop"
    stopped = Ask(messages=ASKS[0].messages, max_tokens=9, stop=(words[2],))
    assert backend.complete([*ASKS, stopped]) == [*backend.complete(ASKS), short]


QUESTIONS = [
    Question(messages=user("what is the cat"), labels=("yes", "no", "the cat is blue", "a dog")),
    Question(messages=user("dog " * 20), labels=("one", "two three")),
    Question(messages=user("?"), labels=("no",)),
]


def test_likelihoods_against_a_plain_forward_pass(backend):
    model, tokens = backend.load()
    for question, found in zip(QUESTIONS, backend.likelihoods(QUESTIONS), strict=True):
        prompt = tokens.prompt(tokens.render(question.messages))
        for label, logprob, count in zip(question.labels, found.logprobs, found.tokens, strict=True):
            ids = tokens.tokenizer(label, add_special_tokens=False)["input_ids"]
            with torch.inference_mode():
                logprobs = model(torch.tensor([prompt + ids])).logits[0].log_softmax(-1)
            wanted = sum(float(logprobs[len(prompt) - 1 + i, token]) for i, token in enumerate(ids))
            assert logprob == pytest.approx(wanted, abs=1e-4)
            assert count == len(ids) == len(label.split())


@pytest.mark.parametrize("reuse_prefix", [False, True])
def test_likelihoods_behind_a_begun_reply_are_what_it_adds(folder, reuse_prefix):
    backend = TransformersBackend(folder, device="cpu", threads=1, reuse_prefix=reuse_prefix)
    assert isinstance(backend, Continuer)
    asked = user("what is the cat")
    (whole,) = backend.likelihoods([Question(messages=asked, labels=("the", "the cat is", "the cat is blue"))])
    behind = [
        Question(messages=asked, labels=("is", "is blue"), begun="the cat "),
        Question(messages=asked, labels=("cat is blue",), begun="the "),
    ]
    two, one = backend.likelihoods(behind)
    the, is_, blue = whole.logprobs
    assert two.logprobs[1] - two.logprobs[0] == pytest.approx(blue - is_, abs=1e-4)
    assert one.logprobs == pytest.approx((blue - the,), abs=1e-4)
    assert (two.tokens, one.usage.prompt_tokens) == ((1, 2), 11)


def test_batched_likelihoods_are_those_of_one_by_one(backend):
    together = backend.likelihoods(QUESTIONS)
    for question, found in zip(QUESTIONS, together, strict=True):
        (alone,) = backend.likelihoods([question])
        assert found.logprobs == pytest.approx(alone.logprobs, abs=1e-4)
        one_each = [
            backend.likelihoods([Question(messages=question.messages, labels=(x,))])[0] for x in question.labels
        ]
        assert found.logprobs == pytest.approx([result.logprobs[0] for result in one_each], abs=1e-4)


SHARING = [
    Question(messages=user(f"what is {words}"), labels=("yes", "yes the cat", "a dog sat"))
    for words in ("the cat", "the cat the dog", "the cat the dog blue", "the dog", "the dog the cat", "the cat")
]


@pytest.mark.parametrize("batch_tokens", [12, 30, 8192])
def test_beginnings_computed_once_give_the_numbers_of_separate_prompts(backend, batch_tokens):
    once = dataclasses.replace(backend, reuse_prefix=True, batch_tokens=batch_tokens)
    assert once.identity != backend.identity
    for wanted, found in zip(
        backend.likelihoods([*SHARING, *QUESTIONS]), once.likelihoods([*SHARING, *QUESTIONS]), strict=True
    ):
        assert found.logprobs == pytest.approx(wanted.logprobs, abs=1e-4)
        assert (found.tokens, found.usage.prompt_tokens) == (wanted.tokens, wanted.usage.prompt_tokens)


@pytest.mark.parametrize("batch_tokens", [12, 30, 8192])
def test_replies_behind_shared_beginnings_are_those_of_separate_prompts(backend, batch_tokens, monkeypatch):
    alone, generate = [], torch_generation._generate
    once = dataclasses.replace(backend, reuse_prefix=True, batch_tokens=batch_tokens)
    asks = [Ask(messages=question.messages, max_tokens=3 + i) for i, question in enumerate(SHARING)]
    word = backend.complete(asks[-1:])[0].text.split()[2]
    asks += [dataclasses.replace(asks[-1], stop=(word,)), *ASKS]
    drawn = dataclasses.replace(asks[0], temperature=1.0, seed=7)
    with monkeypatch.context() as patch:
        patch.setattr(torch_generation, "_generate", lambda *told: alone.append(told[2]) or generate(*told))
        found = once.complete([*asks, drawn])
    assert [row.ask for rows in alone for row in rows] == [drawn]
    assert found == backend.complete([*asks, drawn])


def test_greedy_is_greedy_whatever_the_model_s_folder_wants(folder, tmp_path):
    plain, told = tmp_path / "plain", tmp_path / "told"
    for copy in (plain, told):
        shutil.copytree(folder, copy)
    (told / "generation_config.json").write_text(
        json.dumps({"repetition_penalty": 9.0, "no_repeat_ngram_size": 1, "min_length": 400})
    )
    replies = [
        [reply.text for reply in TransformersBackend(copy, device="cpu", reuse_prefix=share).complete(ASKS)]
        for copy in (plain, told)
        for share in (False, True)
    ]
    assert replies == [replies[0]] * 4


def test_a_trie_holds_each_beginning_once():
    trie = Trie()
    assert trie.add([5, 6, 7]) == [0, 1, 2]
    assert trie.add([5, 6, 8]) == [0, 1, 3]
    assert trie.add([6]) == [4]
    assert (trie.parents, trie.depths) == ([-1, 0, 1, 1, -1], [0, 1, 2, 2, 0])
    assert trie.sees().tolist()[3] == [True, True, False, True, False]


def test_packs_keep_the_order_and_the_budget():
    asked = [([1, 2, 3], [[4]]), ([1, 2, 3], [[5]]), ([9, 9, 9], [[1]]), ([7] * 20, [[1]])]
    assert packed(asked, max_tokens=5) == [[0, 1], [2], [3]]
    assert packed(asked, max_tokens=100) == [[0, 1, 2, 3]]
    assert packed(asked, max_tokens=100, replies=[10, 10, 10, 10], room=26) == [[0, 1], [2], [3]]


def test_beginnings_are_shared_only_where_that_is_tested(backend):
    once = dataclasses.replace(backend, reuse_prefix=True)
    model, _ = once.load()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.config, "model_type", "mamba")
        with pytest.raises(InvalidInput, match="not for mamba"):
            once.likelihoods(QUESTIONS)


def test_labels_share_one_unit_of_probability(backend):
    labels = tuple(word for word in dict.fromkeys(tiny.WORDS))
    (found,) = backend.likelihoods([Question(messages=user("what"), labels=labels)])
    assert sum(map(math.exp, found.logprobs)) == pytest.approx(1, abs=1e-4)


def test_an_empty_label_is_refused(backend):
    with pytest.raises(InvalidInput, match="no tokens"):
        backend.likelihoods([Question(messages=user("what"), labels=("",))])


def test_too_long_is_an_error_of_that_item_alone(backend):
    long = user("cat " * 200)
    good, bad = backend.complete([ASKS[0], Ask(messages=long, max_tokens=4)])
    assert good.error is None
    assert bad.finish == "error"
    assert "the model takes 96" in bad.error
    good, bad = backend.likelihoods([QUESTIONS[0], Question(messages=long, labels=("yes",))])
    assert good.error is None
    assert "the model takes 96" in bad.error


def test_without_a_chat_template_the_texts_are_joined(tmp_path):
    plain = TransformersBackend(tiny.llama(tmp_path, chat_template=None), device="cpu", threads=1)
    _, tokens = plain.load()
    assert tokens.render((Message("system", "one"), Message("user", "two"))) == "one\n\ntwo\n"
    assert plain.complete([Ask(messages=user("what is"), max_tokens=3)])[0].error is None


def test_cut(backend):
    assert backend.cut("cat dog  sat", 2) == ("cat dog", True)
    assert backend.cut("cat dog  sat", 3) == ("cat dog  sat", False)


def test_identity_follows_weights_and_precision(folder, backend, tmp_path):
    assert TransformersBackend(folder, device="cpu").identity == backend.identity
    assert TransformersBackend(folder, device="cpu", dtype="bfloat16").identity != backend.identity
    other = tiny.llama(tmp_path / folder.name, chat_template=None)
    assert TransformersBackend(other, device="cpu").identity != backend.identity


def test_pickled_weights_are_not_loaded(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelUnavailable, match=r"no \.safetensors"):
        TransformersBackend(tmp_path).load()


def test_an_adapter_must_be_safetensors(folder, tmp_path):
    with pytest.raises(ModelUnavailable, match=r"adapter_model\.safetensors"):
        TransformersBackend(folder, device="cpu", adapter=tmp_path).load()


@pytest.mark.parametrize("wrong", [{"dtype": "int3"}, {"batch_tokens": 0}, {"batch_rows": 0}, {"threads": -1}])
def test_wrong_configuration(folder, wrong):
    with pytest.raises(InvalidInput):
        TransformersBackend(folder, **wrong)


def test_a_missing_package_names_its_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"shortlist\[local\]"):
        TransformersBackend(folder, device="cpu").load()


# ---------------------------------------------------------------------------------------------- batches and memory


def test_batches_hold_everything_once_within_their_budget():
    lengths = [5, 90, 7, 7, 300, 6, 50, 1]
    made = batches(lengths, max_tokens=100, max_rows=3)
    assert sorted(place for batch in made for place in batch) == list(range(len(lengths)))
    for batch in made:
        longest = max(lengths[i] for i in batch)
        assert len(batch) <= 3
        assert len(batch) == 1 or len(batch) * longest <= 100
    assert batches([], max_tokens=1, max_rows=1) == []


def test_memory_that_runs_out_halves_the_batch_and_says_so(caplog):
    def work(items):
        if len(items) > 2 or 13 in items:
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        return [item * 10 for item in items]

    with caplog.at_level(logging.WARNING):
        found = halving(work, [1, 2, 13, 4, 5], lambda told: told)
    assert [found[i] for i in (0, 1, 3, 4)] == [10, 20, 40, 50]
    assert "out of memory" in found[2]
    assert "batch of 5" in caplog.text


def test_other_errors_are_not_taken_for_memory():
    def work(_):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        halving(work, [1, 2], str)


# ---------------------------------------------------------------------------------------------- cross-encoders


PAIRS = [Pair("what is", "cat"), Pair("what is", "the dog sat on the mat"), Pair("yes", ""), Pair("no", "cat " * 90)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return TransformersCrossEncoder(tiny.bert(tmp_path_factory.mktemp("bert")), device="cpu", threads=1)


def test_pairs_against_a_plain_forward_pass(encoder):
    model, *_ = encoder.load()
    tokenizer = tiny.fast_tokenizer(pairs=True)
    assert ("token_type_ids" in tokenizer.model_input_names) == encoder.__dict__["_typed"]
    found = encoder.score_pairs(PAIRS)
    for pair, result in zip(PAIRS, found, strict=True):
        fed = tokenizer([pair.query], [pair.passage], return_tensors="pt", truncation="only_second", max_length=64)
        with torch.inference_mode():
            assert result.score == pytest.approx(float(model(**fed).logits), abs=1e-5)
    assert [result.truncated for result in found] == [False, False, False, True]
    assert [encoder.score_pairs([pair])[0].score for pair in PAIRS] == pytest.approx([r.score for r in found], abs=1e-5)
    assert encoder.score_pairs([]) == []


def test_a_pair_that_finds_no_memory_fails_alone(encoder, monkeypatch):
    real = type(encoder)._logits

    def logits(self, encodings):
        if any(len(encoding) > 40 for encoding in encodings):
            raise RuntimeError("out of memory")
        return real(self, encodings)

    monkeypatch.setattr(type(encoder), "_logits", logits)
    found = encoder.score_pairs(PAIRS)
    assert [result.error is None for result in found] == [True, True, True, False]
    assert math.isnan(found[3].score)


@pytest.mark.models
def test_the_float_copy_agrees_with_the_onnx_model(model_minilm, model_minilm_torch):
    from shortlist.backends.onnx import OnnxCrossEncoder

    query = "how does the with statement call context managers"
    pairs = [Pair(query, text) for text in real_passages(40)]
    ours = [r.score for r in TransformersCrossEncoder(model_minilm_torch, device="cpu", threads=1).score_pairs(pairs)]
    onnx = [r.score for r in OnnxCrossEncoder(model_minilm, threads=1).score_pairs(pairs)]
    # int8 sums are rounded as the processor has it: .1 apart with VNNI, .19 on AVX2 alone, where they saturate
    assert sum(abs(a - b) for a, b in zip(ours, onnx, strict=True)) / len(pairs) < 0.3
    ranks = [np.argsort(np.argsort(scores)) for scores in (ours, onnx)]
    assert np.corrcoef(*ranks)[0, 1] > 0.95
    assert np.argmax(ours) == np.argmax(onnx)


@pytest.mark.models
def test_the_copy_is_written_once_and_never_over_other_files(model_minilm, model_minilm_torch, tmp_path):
    assert dequantise_minilm(model_minilm, model_minilm_torch.path) == model_minilm_torch.path
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InvalidInput, match="not empty"):
        dequantise_minilm(model_minilm, tmp_path)


@pytest.mark.models
def test_a_real_gguf_model_dequantised_agrees_with_llama_cpp(model_smollm):
    from shortlist.backends.gguf import GgufBackend

    ours, theirs = TransformersBackend(model_smollm, device="cpu"), GgufBackend(model_smollm, threads=1)
    ask = Ask(messages=user("Name three colours."), max_tokens=8)
    assert ours.complete([ask])[0].text == theirs.complete([ask])[0].text
    question = Question(messages=user("Is 4 even? Answer yes or no."), labels=("Yes", "No", "It certainly is."))
    (a,), (b,) = ours.likelihoods([question]), theirs.likelihoods([question])
    assert a.tokens == b.tokens
    for x, y, n in zip(a.logprobs, b.logprobs, a.tokens, strict=True):
        assert x == pytest.approx(y, abs=0.25 * n)  # llama.cpp rounds the activations to 8 bits


def real_passages(count):
    import pydoc_data.topics

    parts = [" ".join(p.split()) for _, t in sorted(pydoc_data.topics.topics.items()) for p in t.split("\n\n")]
    return [part for part in parts if len(part.split()) > 8][:: max(1, 900 // count)][:count]
