"""Log-probabilities of several replies behind one copy of their prompt.

The sequence is ``[prompt][reply 1][reply 2] …``; a reply sees the prompt and itself, not its neighbours, and its
positions go on from the prompt's end. So the prompt, most of the tokens, is read once a group instead of once a reply.
"""

from __future__ import annotations

from typing import Any

import torch

from shortlist.backends.torch_models import cache_of, going_on
from shortlist.training.text.holding import Allowed, Holding, restricted, told_rows

_WORTH = 16
"""Fewer shared tokens than this are not worth a forward pass of their own."""
_BLOCKED = torch.finfo(torch.bfloat16).min  # representable in every precision in use


def beginning(ids_BT: torch.Tensor, least: torch.Tensor) -> int:
    """How many first tokens all rows share, fewer than ``least`` of each row; 0 for one row alone, or hardly any.

    ``ids_BT``: rows flush left.

    >>> beginning(torch.tensor([[1, 2, 3], [1, 2, 4]]), torch.tensor([3, 3]))
    0
    """
    if len(ids_BT) < 2:
        return 0
    same_T = (ids_BT == ids_BT[:1]).all(dim=0)
    shared = int(same_T.cumprod(0).sum())
    found = min(shared, int(least.min()) - 1)
    return found if found >= _WORTH else 0


def without_beginning(ids_UP: torch.Tensor, seen_UP: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What prompts (flush right) all begin with, and what is left of them and of their mask, flush right too.

    At least one token of each prompt is left; the beginning is empty where it is not worth a forward pass of its own.
    """
    width, length_U = ids_UP.shape[1], seen_UP.sum(dim=-1)
    place_P = torch.arange(width, device=ids_UP.device)
    flush_left_UP = ids_UP.gather(-1, (place_P[None] + (width - length_U)[:, None]).clamp_max(width - 1))
    begun = beginning(flush_left_UP, length_U)
    if not begun:
        return ids_UP.new_empty(0), ids_UP, seen_UP
    left = width - int(length_U.max()) + begun
    seen_UR = (place_P[None, left:] >= (width - length_U + begun)[:, None]).to(seen_UP.dtype)
    return flush_left_UP[0, :begun], ids_UP[:, left:], seen_UR


def begin(model: Any, ids_P: torch.Tensor, rows: int) -> Any:
    """The keys and values of a beginning, once for each row; gradients flow through all of them into the one."""
    cache = cache_of(model(input_ids=ids_P[None], use_cache=True, logits_to_keep=1))
    cache.batch_repeat_interleave(rows)
    return cache


def packed_logps(
    model: Any,
    ids_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    reply: int,
    *,
    temperature: float = 1.0,
    share: bool = False,
    holding: Holding | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each of the last ``reply`` tokens of a row, and the entropy there: both B × ``reply``, float32.

    ``ids_BT``: prompts flush right, then replies flush left; ``mask_BT``: 1 where a token counts. Rows with equal prompts
    that stand together are packed. Where the mask is 0 both are 0. ``share``: what all prompts begin with is read once.
    ``holding``: the probabilities are those among the tokens that may come.
    """
    width = ids_BT.shape[1] - reply
    prompt_BT = torch.where(mask_BT[:, :width] > 0, ids_BT[:, :width], -1)
    _, group_B, counts_U = torch.unique_consecutive(prompt_BT, dim=0, return_inverse=True, return_counts=True)
    slot_B = torch.arange(len(group_B), device=group_B.device) - (counts_U.cumsum(0) - counts_U)[group_B]
    groups, slots = len(counts_U), int(counts_U.max())
    first_U = counts_U.cumsum(0) - counts_U
    replies_UGC = ids_BT.new_zeros(groups, slots, reply)
    told_UGC = mask_BT.new_zeros(groups, slots, reply)
    replies_UGC[group_B, slot_B], told_UGC[group_B, slot_B] = ids_BT[:, width:], mask_BT[:, width:]
    prompt_UP, seen_UP = ids_BT[first_U, :width], mask_BT[first_U, :width]
    begun, more = 0, {"use_cache": False}
    if share:
        first_P, prompt_UP, seen_UP = without_beginning(prompt_UP, seen_UP)
        begun = len(first_P)
    if begun:
        more = {**going_on(begin(model, first_P, groups)), "use_cache": True}
    tree_ULL = _tree(seen_UP, told_UGC, dtype=model.dtype if hasattr(model, "dtype") else torch.float32)
    asked_GD = (told_UGC[:, :, 1:] > 0).any(dim=0)  # the tokens after a reply's first that some reply has
    logits_UKV = model(
        input_ids=torch.cat([prompt_UP, replies_UGC.flatten(1)], dim=1),
        attention_mask=torch.nn.functional.pad(tree_ULL, (begun, 0)),
        position_ids=begun + _places(seen_UP, slots, reply),
        logits_to_keep=_before(prompt_UP.shape[1], reply, asked_GD),
        **more,
    ).logits
    scaled_UKV = logits_UKV.float() / temperature
    if holding is not None:
        allowed = _allowed(holding, (prompt_BT, ids_BT[:, width:], mask_BT[:, width:]), (group_B, slot_B), asked_GD)
        scaled_UKV = restricted(scaled_UKV.flatten(0, 1), allowed).view_as(scaled_UKV)
    logps_UGC, entropy_UGC = _read(scaled_UKV, replies_UGC, asked_GD)
    known_BC = mask_BT[:, width:]
    return logps_UGC[group_B, slot_B] * known_BC, entropy_UGC[group_B, slot_B] * known_BC


def target_logps(
    model: Any, ids_BL: torch.Tensor, mask_BL: torch.Tensor, labels_BL: torch.Tensor, *, share: bool = False
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Log-probability, entropy, and whether it is the likeliest token (0 or 1), of every target: all T, float32.

    ``labels_BL``: the targets, -100 where there is none. The vocabulary is read only at places where some row has a target.
    ``share``: what all rows begin with, short of their targets, is read once.
    """
    targets_BL = labels_BL[:, 1:]
    place_K = (targets_BL != -100).any(dim=0).nonzero().flatten()
    begun = beginning(ids_BL, place_K[:1] + 1) if share else 0
    more: dict[str, Any] = {"use_cache": False}
    if begun:
        more = {**going_on(begin(model, ids_BL[0, :begun], len(ids_BL))), "use_cache": True}
    told = {"attention_mask": mask_BL, "logits_to_keep": place_K - begun}
    logits_BKV = model(input_ids=ids_BL[:, begun:], **told, **more).logits
    known_BK = targets_BL[:, place_K] != -100
    logps_TV, target_T = logits_BKV[known_BK].float().log_softmax(-1), targets_BL[:, place_K][known_BK]
    with torch.no_grad():
        entropy_T = -(logps_TV.exp() * logps_TV).sum(-1)
        best_T = (logps_TV.argmax(-1) == target_T).float()
    return logps_TV.gather(-1, target_T[:, None])[:, 0], entropy_T, best_T


def blocked(open_: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """The additive mask of what may be seen."""
    return torch.zeros(open_.shape, dtype=dtype, device=open_.device).masked_fill(~open_, _BLOCKED)


def _places(seen_UP: torch.Tensor, slots: int, reply: int) -> torch.Tensor:
    """Positions: each reply's go on from the prompt's end."""
    prompt_UP = (seen_UP.cumsum(-1) - 1).clamp_min(0)
    reply_UC = seen_UP.sum(-1, keepdim=True) + torch.arange(reply, device=seen_UP.device)
    return torch.cat([prompt_UP, reply_UC.repeat(1, slots)], dim=1)


def _tree(seen_UP: torch.Tensor, told_UGC: torch.Tensor, *, dtype: torch.dtype) -> torch.Tensor:
    """The additive mask, U × 1 × L × L: to what is earlier, and in the prompt or the same reply."""
    _, slots, reply = told_UGC.shape
    device, width = seen_UP.device, seen_UP.shape[1]
    slot_L = torch.cat(
        [torch.full((width,), -1, device=device), torch.arange(slots, device=device).repeat_interleave(reply)]
    )
    order_L = torch.arange(len(slot_L), device=device)
    tree_LL = (order_L[None, :] <= order_L[:, None]) & ((slot_L[None, :] == -1) | (slot_L[None, :] == slot_L[:, None]))
    known_UL = torch.cat([seen_UP, told_UGC.flatten(1)], dim=1) > 0
    open_ULL = tree_LL[None] & known_UL[:, None, :]
    open_ULL = open_ULL | torch.eye(
        len(slot_L), dtype=torch.bool, device=device
    )  # padding sees itself: no empty softmax
    return blocked(open_ULL, dtype)[:, None]


def _before(width: int, reply: int, asked_GD: torch.Tensor) -> torch.Tensor:
    """Where the logits stand that tell reply tokens: the prompt's last place, then the place before each that is asked for."""
    slot_K, place_K = asked_GD.nonzero(as_tuple=True)
    return torch.cat([slot_K.new_tensor([width - 1]), width + slot_K * reply + place_K])


def _allowed(
    holding: Holding,
    told: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    at: tuple[torch.Tensor, torch.Tensor],
    asked_GD: torch.Tensor,
) -> list[Allowed | None]:
    """What may come at each place of :func:`_before`, prompt by prompt: U · K; ``None`` where a reply has no token.

    ``told``: prompts (−1 where there is none), replies and their mask (B × …); ``at``: each row's prompt and slot.
    """
    prompt_BT, reply_BC, known_BC = told
    prompts, replies = told_rows(prompt_BT, prompt_BT >= 0), told_rows(reply_BC, known_BC)
    places = {place: k for k, place in enumerate(map(tuple, asked_GD.nonzero().tolist()), start=1)}
    groups = int(at[0].max()) + 1
    found: list[list[Allowed | None]] = [[None] * (len(places) + 1) for _ in range(groups)]
    for prompt, reply, group, slot in zip(prompts, replies, at[0].tolist(), at[1].tolist(), strict=True):
        for c, tokens in enumerate(holding.along(prompt, reply)):
            found[group][places[slot, c - 1] if c else 0] = tokens
    return [tokens for row in found for tokens in row]


def _read(
    scaled_UKV: torch.Tensor, replies_UGC: torch.Tensor, asked_GD: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of every reply token its log-probability and the entropy there; 0 where none is asked for."""
    logps_UKV = scaled_UKV.log_softmax(-1)
    with torch.no_grad():
        entropy_UK = -(logps_UKV.exp() * logps_UKV).sum(-1)
    groups, slots, _ = replies_UGC.shape
    rest_UR = logps_UKV[:, 1:].gather(-1, replies_UGC[:, :, 1:][:, asked_GD][..., None])[..., 0]
    first_UG1 = logps_UKV[:, :1].expand(-1, slots, -1).gather(-1, replies_UGC[:, :, :1])
    empty_UGD = logps_UKV.new_zeros(groups, *asked_GD.shape)
    logps_UGD = empty_UGD.masked_scatter(asked_GD, rest_UR)
    entropy_UGD = empty_UGD.masked_scatter(asked_GD, entropy_UK[:, 1:])
    return torch.cat([first_UG1, logps_UGD], dim=-1), torch.cat(
        [entropy_UK[:, :1, None].expand(-1, slots, -1), entropy_UGD], dim=-1
    )
