"""Samplers and trainers agree about probabilities; a reply depends on weights, prompt and seed alone."""

from __future__ import annotations

import pytest
import torch
from tiny_writers import lessons

from shortlist.text import GroupScores
from shortlist.training.text import sampling
from shortlist.training.text.models import autocast, evaluating, open_text_model
from shortlist.training.text.packed import packed_logps, target_logps
from shortlist.training.text.recipe import ModelRecipe
from shortlist.training.text.rows import Renderer
from shortlist.training.text.sampling import Drawing, draw, seeds

TOLERANCE = 1e-4  # nats a token, float32: the sampler reads a prompt once and goes on from its cache


@pytest.fixture(scope="module", params=["qwen", "llama"])
def opened(request):
    return open_text_model(request.getfixturevalue(request.param), ModelRecipe())


@pytest.fixture(scope="module")
def prompts(opened):
    renderer = Renderer(GroupScores(passage_tokens=16), opened.tokens)
    asked = [renderer.ask(lesson.slate).ids for lesson in lessons(2)]
    return [asked[0]] * 3 + [asked[1][:-40]] * 2  # of unlike lengths


def how(opened, **more):
    told = {"limit": 9, "ends": opened.ends, "padding": opened.tokens.padding, "temperature": 0.7}
    return Drawing(**{**told, **more})


def drawn(opened, prompts, row_seeds, **more):
    with evaluating(opened.model):
        return draw(opened.model, prompts, row_seeds, how(opened, **more))


def batch(opened, prompts, replies):
    """As the trainer has it: prompts flush right, replies flush left."""
    width, reply, pad = max(map(len, prompts)), max(map(len, replies)), opened.tokens.padding
    ids = [
        [*[pad] * (width - len(p)), *p, *r, *[pad] * (reply - len(r))] for p, r in zip(prompts, replies, strict=True)
    ]
    mask = [
        [*[0] * (width - len(p)), *[1] * (len(p) + len(r)), *[0] * (reply - len(r))]
        for p, r in zip(prompts, replies, strict=True)
    ]
    return torch.tensor(ids), torch.tensor(mask), reply


def plain_logps(opened, prompts, replies, temperature):
    told = []
    for prompt, reply in zip(prompts, replies, strict=True):
        logits = opened.model(input_ids=torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1]
        logps = (logits / temperature).log_softmax(-1)
        told.append(logps.gather(-1, torch.tensor(reply)[:, None])[:, 0])
    return told


@pytest.mark.parametrize("share", [False, True])
def test_sampler_trainer_and_a_plain_forward_pass_agree(opened, prompts, share):
    replies, sampled = drawn(opened, prompts, seeds(0, 1, range(5)), share=share)
    ids, mask, reply = batch(opened, prompts, replies)
    packed, entropy = packed_logps(opened.model, ids, mask, reply, temperature=0.7, share=share)
    for i, plain in enumerate(plain_logps(opened, prompts, replies, 0.7)):
        n = len(replies[i])
        assert sampled[i] == pytest.approx(plain.tolist(), abs=TOLERANCE)
        assert packed[i, :n].tolist() == pytest.approx(plain.tolist(), abs=TOLERANCE)
        assert (packed[i, n:] == 0).all()
        assert (entropy[i, :n] > 0).all()


def test_in_half_precision_sampler_and_trainer_agree_too(request, prompts):
    opened = open_text_model(request.getfixturevalue("llama"), ModelRecipe(autocast="bfloat16"))
    replies, sampled = drawn(opened, prompts, seeds(0, 1, range(5)), precision="bfloat16")
    ids, mask, reply = batch(opened, prompts, replies)
    with autocast("cpu", "bfloat16"):
        packed, _ = packed_logps(opened.model, ids, mask, reply, temperature=0.7)
    exact = plain_logps(opened, prompts, replies, 0.7)
    for i, told in enumerate(sampled):
        assert told == pytest.approx(packed[i, : len(told)].tolist(), abs=0.05)
    assert any(abs(a - b) > TOLERANCE for i, told in enumerate(sampled) for a, b in zip(told, exact[i], strict=True))


@pytest.mark.parametrize("share", [False, True])
def test_packing_has_the_gradient_of_single_rows(opened, prompts, share):
    replies, _ = drawn(opened, prompts, seeds(0, 2, range(5)))
    weights = torch.linspace(-1, 1, 5)

    def gradient(logps):
        opened.model.zero_grad()
        sum(w * row.sum() for w, row in zip(weights, logps, strict=True)).backward()
        return torch.cat([p.grad.flatten() for p in opened.model.parameters() if p.grad is not None])

    ids, mask, reply = batch(opened, prompts, replies)
    packed = gradient(packed_logps(opened.model, ids, mask, reply, temperature=0.7, share=share)[0])
    plain = gradient(plain_logps(opened, prompts, replies, 0.7))
    assert torch.allclose(packed, plain, atol=1e-4 * float(plain.abs().max()))


def test_what_prompts_begin_with_is_read_once(opened, prompts):
    widths = []
    hook = opened.model.model.register_forward_pre_hook(
        lambda _module, _args, told: widths.append(tuple(told["input_ids"].shape)), with_kwargs=True
    )
    ids, mask, reply = batch(opened, prompts, [[5, 6]] * 5)
    try:
        packed_logps(opened.model, ids, mask, reply, share=True)
    finally:
        hook.remove()
    shared = next(i for i, (a, b) in enumerate(zip(prompts[0], prompts[3], strict=False)) if a != b)
    longest = max(map(len, prompts))
    assert widths == [(1, shared), (2, longest - shared + 3 * reply)]


@pytest.mark.parametrize("share", [False, True])
def test_imitation_reads_the_targets_alone_and_as_a_plain_forward_pass_does(opened, prompts, share):
    width = max(map(len, prompts)) + 4
    ids, mask, labels = torch.zeros(5, width, dtype=torch.long), torch.zeros(5, width), torch.full((5, width), -100)
    for i, prompt in enumerate(prompts):  # rows flush left, replies of one to three tokens
        row = torch.tensor([*prompt, *range(5, 6 + i % 3)])
        ids[i, : len(row)], mask[i, : len(row)], labels[i, len(prompt) : len(row)] = row, 1, row[len(prompt) :]
    logps, entropy, best = target_logps(opened.model, ids, mask, labels, share=share)
    plain = opened.model(input_ids=ids, attention_mask=mask).logits[:, :-1].log_softmax(-1)
    known = labels[:, 1:] != -100
    assert len(logps) == int(known.sum()) == 1 + 2 + 3 + 1 + 2
    assert torch.allclose(logps, plain[known].gather(-1, labels[:, 1:][known][:, None])[:, 0], atol=TOLERANCE)
    assert torch.allclose(entropy, -(plain.exp() * plain).sum(-1)[known], atol=TOLERANCE)
    assert best.tolist() == (plain.argmax(-1) == labels[:, 1:])[known].float().tolist()


def test_a_reply_does_not_depend_on_its_batch(opened, prompts):
    row_seeds = seeds(7, 3, range(5))
    together, _ = drawn(opened, prompts, row_seeds)
    alone = [drawn(opened, [prompt], [seed])[0][0] for prompt, seed in zip(prompts, row_seeds, strict=True)]
    assert together == alone
    assert len({tuple(reply) for reply in together}) > 1
    assert drawn(opened, prompts, seeds(7, 4, range(5)))[0] != together


def test_side_by_side_the_same_replies_are_drawn(opened, prompts):
    """Behind one copy of the cache as behind a copy for each, replies that end early and prompts of unlike lengths included."""
    row_seeds, loose = seeds(7, 3, range(5)), {"limit": 40, "temperature": 4.0, "ends": range(20)}
    plain, logps = drawn(opened, prompts, row_seeds, **loose)
    beside, told = drawn(opened, prompts, row_seeds, **loose, share=True)
    assert beside == plain
    assert len({len(reply) for reply in plain}) > 1
    for mine, theirs in zip(told, logps, strict=True):
        assert mine == pytest.approx(theirs, abs=TOLERANCE)


def test_long_replies_have_a_cache_each(opened, prompts, monkeypatch):
    """Side by side every reply is attended to by all others, which is for replies that are short beside their prompt."""
    ways = []
    for name in ("_draw", "_draw_beside"):
        monkeypatch.setattr(sampling, name, lambda *_, name=name: (ways.append(name), ([[0]] * 5, [[0.0]] * 5))[1])
    for limit in (4, 4000):
        drawn(opened, prompts, seeds(0, 1, range(5)), share=True, limit=limit)
    assert ways == ["_draw_beside", "_draw"]


def test_a_reply_ends_with_its_end_or_at_the_limit(opened, prompts):
    replies, logps = drawn(opened, prompts, seeds(0, 5, range(5)), limit=40, temperature=4.0)
    for reply, told in zip(replies, logps, strict=True):
        assert len(reply) == len(told) <= 40
        assert not set(reply[:-1]) & set(opened.ends)
        assert reply[-1] in opened.ends or len(reply) == 40


def test_top_p_draws_from_the_likeliest(opened, prompts):
    greedy, _ = drawn(opened, prompts, seeds(0, 6, range(5)), top_p=1e-9)
    assert greedy[0] == greedy[1] == greedy[2]
