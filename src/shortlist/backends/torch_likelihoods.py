"""Log-likelihoods of labels with transformers: prompts once, labels after them from the prompts' key-value cache.

Or, where prompts share their beginnings, each distinct beginning once: see :mod:`~shortlist.backends.torch_trie`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shortlist.backends import torch_trie
from shortlist.backends.base import Likelihoods, Question
from shortlist.backends.chat_tokens import ChatTokens
from shortlist.backends.torch_generation import left_padded
from shortlist.backends.torch_models import batches, cache_of, going_on, halving, import_torch
from shortlist.types import Usage


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question as ids: its prompt, and its labels as they follow it."""

    prompt: list[int]
    labels: list[tuple[int, ...]]

    @property
    def longest(self) -> int:
        return max((len(label) for label in self.labels), default=0)

    @property
    def cost(self) -> int:
        """Tokens held at a time: the prompt's cache is copied for each label that is longer than one token."""
        copies = sum(len(label) > 1 for label in self.labels)
        return max(1, copies) * (len(self.prompt) + self.longest)


def likelihoods(
    model: Any,
    tokens: ChatTokens,
    questions: Sequence[Question],
    *,
    batch_tokens: int,
    batch_rows: int,
    share: bool = False,
) -> list[Likelihoods]:
    """One result a question, exact: the labels' tokens are given to the model, none is generated.

    ``share``: compute common beginnings of neighbouring questions once; ``batch_tokens`` then counts distinct tokens.
    """
    asked = [_asked(tokens, question) for question in questions]
    limit = int(getattr(model.config, "max_position_embeddings", 0) or 0)
    done: list[Likelihoods | None] = [_too_long(item, limit) for item in asked]
    open_ = [i for i, result in enumerate(done) if result is None]
    shown = [asked[i] for i in open_]
    if share:
        most = torch_trie.pack(model, batch_tokens)
        packs = torch_trie.packed([(item.prompt, item.labels) for item in shown], max_tokens=most)
    else:
        packs = batches([item.cost for item in shown], max_tokens=batch_tokens, max_rows=batch_rows)
    work = _score_trie if share else _score
    for places in packs:
        batch = [shown[k] for k in places]
        results = halving(lambda b: work(model, tokens.padding, b), batch, lambda told: Likelihoods(error=told))
        for k, result in zip(places, results, strict=True):
            done[open_[k]] = result
    return [result for result in done if result is not None]


def _asked(tokens: ChatTokens, question: Question) -> _Asked:
    text = tokens.render(question.messages) + question.begun
    return _Asked(tokens.prompt(text), [tokens.label_after(text, label) for label in question.labels])


def _too_long(item: _Asked, limit: int) -> Likelihoods | None:
    if not limit or len(item.prompt) + item.longest <= limit:
        return None
    return Likelihoods(
        error=f"{len(item.prompt)} tokens of prompt and {item.longest} of label; the model takes {limit}"
    )


def _score(model: Any, padding: int, batch: list[_Asked]) -> list[Likelihoods]:
    torch = import_torch()
    ids_BT, mask_BT = left_padded(torch, [item.prompt for item in batch], padding, model.device)  # noqa: N806
    more = any(item.longest > 1 for item in batch)
    with torch.inference_mode():
        out = model(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            position_ids=_positions(mask_BT),
            use_cache=more,
            logits_to_keep=1,
        )
        first_BV = out.logits[:, -1].float().log_softmax(-1)  # noqa: N806
        sums = [[float(first_BV[b, label[0]]) for label in item.labels] for b, item in enumerate(batch)]
        if more:
            _add_rest(torch, model, (cache_of(out), mask_BT, padding), batch, sums)
    return [_result(item, told) for item, told in zip(batch, sums, strict=True)]


def _add_rest(
    torch: Any, model: Any, prompts: tuple[Any, Any, int], batch: list[_Asked], sums: list[list[float]]
) -> None:
    """Add the log-probabilities of each long label's second and later tokens, all labels in one forward pass."""
    cache, mask_BT, padding = prompts  # noqa: N806
    rows = [(b, j, label) for b, item in enumerate(batch) for j, label in enumerate(item.labels) if len(label) > 1]
    of_prompt = torch.tensor([b for b, _, _ in rows], device=mask_BT.device)
    cache.batch_select_indices(of_prompt)
    width = max(len(label) for _, _, label in rows) - 1
    given = [[*label[:-1], *[padding] * (width + 1 - len(label))] for _, _, label in rows]
    shown = [[1] * (len(label) - 1) + [0] * (width + 1 - len(label)) for _, _, label in rows]
    ids_RL = torch.tensor(given, device=mask_BT.device)  # noqa: N806
    mask_RT = torch.cat([mask_BT[of_prompt], torch.tensor(shown, device=mask_BT.device)], dim=1)  # noqa: N806
    out = model(
        input_ids=ids_RL,
        attention_mask=mask_RT,
        position_ids=_positions(mask_RT)[:, -width:],
        use_cache=True,
        **going_on(cache),
    )
    for r, (b, j, label) in enumerate(rows):
        n = len(label) - 1
        logprobs_LV = out.logits[r, :n].float().log_softmax(-1)  # noqa: N806
        wanted = torch.tensor(label[1:], device=logprobs_LV.device).unsqueeze(-1)
        sums[b][j] += float(logprobs_LV.gather(-1, wanted).sum())


def _score_trie(model: Any, _: int, batch: list[_Asked]) -> list[Likelihoods]:
    sums = torch_trie.log_probs(model, [(item.prompt, item.labels) for item in batch])
    return [_result(item, told) for item, told in zip(batch, sums, strict=True)]


def _positions(mask_BT: Any) -> Any:  # noqa: N803
    """Each token's place in its row, not counting padding."""
    return (mask_BT.cumsum(-1) - 1).clamp_min(0)


def _result(item: _Asked, sums: list[float]) -> Likelihoods:
    lengths = tuple(map(len, item.labels))
    usage = Usage(calls=1, prompt_tokens=len(item.prompt), completion_tokens=sum(lengths))
    return Likelihoods(logprobs=tuple(sums), tokens=lengths, usage=usage)
