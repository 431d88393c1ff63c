"""Drawing replies: each prompt is read once for all of its replies, and every reply has a random generator of its own.

So a reply depends on weights, prompt and seed alone: not on its batch, nor on how many processes there are.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from shortlist.backends.torch_generation import left_padded, top_p
from shortlist.backends.torch_models import cache_of, going_on
from shortlist.errors import InvalidInput
from shortlist.training.text.holding import Holding, restricted
from shortlist.training.text.models import autocast
from shortlist.training.text.packed import begin, blocked, packed_logps, without_beginning

_MOST_ROWS = 128
"""Replies drawn at a time; prompts of a group are never read twice for fewer."""


_BESIDE = 4
"""Replies stand side by side where together they are at most so many times as long as their prompt: each step's attention is
over all of them, which for long replies costs more than a copy of the cache for each."""
_MOST_TOLD = 256
"""Replies told at a time, where all are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """How to draw. ``ends``: the tokens that end a reply; ``limit``: the most tokens of one.

    ``precision``: ``"bfloat16"`` draws in the arithmetic that the replies are then learnt from. ``share``: what prompts
    all begin with is read once. ``holding``: what replies are held to; none: nothing.
    """

    limit: int
    ends: Sequence[int]
    padding: int
    temperature: float = 1.0
    top_p: float = 1.0
    precision: str = "none"
    share: bool = False
    holding: Holding | None = None


def seeds(seed: int, step: int, rows: Sequence[int]) -> list[int]:
    """A generator's seed for each row of a step."""
    told = (hashlib.sha256(f"{seed}/{step}/{row}".encode()).digest() for row in rows)
    return [int.from_bytes(digest[:8], "big") >> 1 for digest in told]


def draw(
    model: Any, prompts: Sequence[Sequence[int]], row_seeds: Sequence[int], how: Drawing
) -> tuple[list[list[int]], list[list[float]]]:
    """One reply a row (ids, with the ending token if it came to it) and each token's log-probability.

    Equal prompts that stand together are read once. The log-probabilities are those of the whole softmax at the
    temperature (held replies: of the tokens that may come), as the trainer has them; ``top_p`` below 1 draws from fewer
    tokens than they speak of.
    """
    runs = [list(run) for _, run in itertools.groupby(range(len(prompts)), key=lambda i: tuple(prompts[i]))]
    replies: list[list[int]] = []
    logps: list[list[float]] = []
    for batch in _batches(runs):
        ids = [list(prompts[run[0]]) for run in batch]
        beside = how.share and max(map(len, batch)) * how.limit <= _BESIDE * max(map(len, ids))
        write = _draw_beside if beside else _draw
        with torch.no_grad(), autocast(model.device, how.precision):
            drawn = write(model, ids, [len(run) for run in batch], [row_seeds[i] for run in batch for i in run], how)
        replies += drawn[0]
        logps += drawn[1]
    return replies, logps


def every(
    model: Any, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]], how: Drawing
) -> tuple[list[list[int]], list[list[float]]]:
    """All of a prompt's replies in place of draws: the ids a row and each token's log-probability, as of :func:`draw`.

    ``prompts``: each as often in a row as there are ``replies``.
    """
    count, width = len(replies), max(map(len, replies))
    if len(prompts) % count or any(prompts[i] != prompts[i - i % count] for i in range(len(prompts))):
        raise InvalidInput(
            f"{len(prompts)} rows are no whole groups of {count} replies; set sampling.samples to {count}"
        )
    told_BC, known_BC = right_padded(replies, how.padding, model.device)
    logps: list[list[float]] = []
    most = max(1, _MOST_TOLD // count) * count
    for start in range(0, len(prompts), most):
        ids_BP, seen_BP = left_padded(torch, prompts[start : start + most], how.padding, model.device)
        times = len(ids_BP) // count
        ids_BT = torch.cat([ids_BP, told_BC.repeat(times, 1)], dim=1)
        mask_BT = torch.cat([seen_BP, known_BC.repeat(times, 1)], dim=1)
        with torch.no_grad(), autocast(model.device, how.precision):
            logps_BC, _ = packed_logps(model, ids_BT, mask_BT, width, temperature=how.temperature, share=how.share)
        logps += [row[: len(replies[i % count])] for i, row in enumerate(logps_BC.tolist())]
    return [list(replies[i % count]) for i in range(len(prompts))], logps


def right_padded(rows: Sequence[Sequence[int]], padding: int, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask (both B × T, int64), the rows flush left."""
    width = max(len(row) for row in rows)
    ids = [[*row, *[padding] * (width - len(row))] for row in rows]
    mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _batches(runs: list[list[int]]) -> list[list[list[int]]]:
    batches: list[list[list[int]]] = []
    for run in runs:
        if batches and sum(map(len, batches[-1])) + len(run) <= _MOST_ROWS:
            batches[-1].append(run)
        else:
            batches.append([run])
    return batches


def _read_prompts(model: Any, prompts: list[list[int]], how: Drawing) -> tuple[Any, torch.Tensor]:
    """What the model makes of each prompt (logits of the next token, and its cache), and where tokens stand: U × T."""
    device = model.device
    ids_UT, mask_UT = left_padded(torch, prompts, how.padding, device)
    first_P = ids_UT.new_empty(0)
    if how.share:
        first_P, ids_UT, mask_UT = without_beginning(ids_UT, mask_UT)
    begun = begin(model, first_P, len(prompts)) if len(first_P) else None
    mask_UT = torch.nn.functional.pad(mask_UT, (len(first_P), 0), value=1)
    places_UT = (mask_UT.cumsum(-1) - 1).clamp_min(0)[:, len(first_P) :]
    told = {"attention_mask": mask_UT, "position_ids": places_UT, **going_on(begun)}
    return model(input_ids=ids_UT, use_cache=True, logits_to_keep=1, **told), mask_UT


def _draw_beside(
    model: Any, prompts: list[list[int]], counts: list[int], row_seeds: Sequence[int], how: Drawing
) -> tuple[list[list[int]], list[list[float]]]:
    """As :func:`_draw`, the replies to a prompt side by side behind the one copy of its keys and values.

    A step gives each prompt's row as many tokens as it has replies; each sees the prompt and its own reply. Without a copy of
    the cache for every reply, which is most of what writing short replies to long prompts costs.
    """
    device, (out, mask_UT) = model.device, _read_prompts(model, prompts, how)
    cache, slots = cache_of(out), max(counts)
    prompt_B = torch.repeat_interleave(torch.arange(len(prompts), device=device), torch.tensor(counts, device=device))
    slot_B = torch.cat([torch.arange(count, device=device) for count in counts])
    before_UGT = blocked(mask_UT > 0)[:, None, :].expand(-1, slots, -1)
    own_UGG = blocked(torch.eye(slots, device=device) > 0).expand(len(prompts), -1, -1)
    logits_BV = out.logits[prompt_B, -1]
    chooser = _Chooser([prompts[i] for i in prompt_B.tolist()], row_seeds, how, device)
    replies: list[list[int]] = [[] for _ in row_seeds]
    logps: list[list[float]] = [[] for _ in row_seeds]
    open_ = list(range(len(row_seeds)))
    for length in range(1, how.limit + 1):
        tokens_B, logps_B = chooser(logits_BV[open_], open_, replies)
        for row, token, logp in zip(open_, tokens_B.tolist(), logps_B.tolist(), strict=True):
            replies[row].append(token)
            logps[row].append(logp)
        open_ = [row for row in open_ if replies[row][-1] not in how.ends]
        if length == how.limit or not open_:
            break
        tokens_UG = torch.full((len(prompts), slots), how.padding, device=device)
        tokens_UG[prompt_B, slot_B] = torch.tensor([reply[-1] for reply in replies], device=device)
        told = {
            "attention_mask": torch.cat([before_UGT, *[own_UGG] * length], dim=-1)[:, None],
            "position_ids": (mask_UT.sum(-1) + length - 1)[:, None].expand(-1, slots),
            **going_on(cache),
        }
        logits_BV = model(input_ids=tokens_UG, use_cache=True, **told).logits[prompt_B, slot_B]
    return replies, logps


def _draw(
    model: Any, prompts: list[list[int]], counts: list[int], row_seeds: Sequence[int], how: Drawing
) -> tuple[list[list[int]], list[list[float]]]:
    device, (out, mask_UT) = model.device, _read_prompts(model, prompts, how)
    source_B = torch.repeat_interleave(torch.arange(len(prompts), device=device), torch.tensor(counts, device=device))
    cache = cache_of(out)
    cache.batch_select_indices(source_B)
    logits_BV, mask_BT = out.logits[source_B, -1], mask_UT[source_B]
    next_B = mask_UT.sum(-1)[source_B]  # the position of the next token
    chooser = _Chooser([prompts[i] for i in source_B.tolist()], row_seeds, how, device)
    open_B = torch.arange(len(row_seeds), device=device)  # the rows that are not at their end, by number
    replies: list[list[int]] = [[] for _ in row_seeds]
    logps: list[list[float]] = [[] for _ in row_seeds]
    for length in range(1, how.limit + 1):
        tokens_B, logps_B = chooser(logits_BV, open_B.tolist(), replies)
        for row, token, logp in zip(open_B.tolist(), tokens_B.tolist(), logps_B.tolist(), strict=True):
            replies[row].append(token)
            logps[row].append(logp)
        left = torch.tensor([token not in how.ends for token in tokens_B.tolist()], device=device)
        if length == how.limit or not left.any():
            break
        if not left.all():
            keep = left.nonzero().flatten()
            cache.batch_select_indices(keep)
            open_B, tokens_B, mask_BT, next_B = open_B[keep], tokens_B[keep], mask_BT[keep], next_B[keep]
        mask_BT = torch.cat([mask_BT, mask_BT.new_ones(len(mask_BT), 1)], dim=1)
        told = {"attention_mask": mask_BT, "position_ids": next_B[:, None], **going_on(cache)}
        logits_BV = model(input_ids=tokens_B[:, None], use_cache=True, **told).logits[:, -1]
        next_B = next_B + 1
    return replies, logps


class _Chooser:
    """Draws a token a row by Gumbel noise from the row's own generator, of those that may come where replies are held."""

    def __init__(self, prompts: Sequence[Sequence[int]], row_seeds: Sequence[int], how: Drawing, device: Any) -> None:
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in row_seeds]
        self._how = how
        self._held = [] if how.holding is None else [how.holding.begin(prompt) for prompt in prompts]

    def __call__(
        self, logits_BV: torch.Tensor, rows: Sequence[int], replies: Sequence[Sequence[int]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The tokens of these ``rows`` and their log-probabilities; ``replies``: what all rows have said so far."""
        scaled_BV = logits_BV.float() / self._how.temperature
        if self._how.holding is not None:
            allowed = [self._how.holding.next(self._held[row], replies[row]) for row in rows]
            scaled_BV = restricted(scaled_BV, allowed)
        logps_BV = scaled_BV.log_softmax(-1)
        noisy = []
        for row, logps_V in zip(rows, logps_BV, strict=True):
            exponential = torch.empty_like(logps_V).exponential_(generator=self._generators[row])
            noisy.append(top_p(torch, logps_V, self._how.top_p) - exponential.clamp_min(1e-30).log())
        tokens_B = torch.stack(noisy).argmax(-1)
        return tokens_B, logps_BV.gather(-1, tokens_B[:, None])[:, 0]
