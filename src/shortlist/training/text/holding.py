"""Replies held to the prompt's language in training: what may come at each token, in drawing and in learning alike.

What may not come is out of the softmax, so the policy that is drawn from, learnt and served (``constrain=true``) is one: the
model's, renormalised over the tokens that may come. Where only one may, its log-probability is 0 and nothing is learnt of it.
(DPO's own pairs are drawn held; its loss is over the whole softmax.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from shortlist.backends.torch_constraint import Constraints, Held
from shortlist.errors import InvalidInput
from shortlist.text.language import Language

Allowed = Sequence[int]
"""The ids of the tokens that may come."""

_THOUGHT = 16  # tokens: a few words at least
_MANY, _MOST_INDICES = 256, 64  # sets of so many tokens are kept as tensors, so many of them
_INDICES: dict[int, tuple[Allowed, torch.Tensor]] = {}


@dataclass(frozen=True, kw_only=True)
class Holding:
    """The languages of prompts, by their ids, and the most tokens of a reply to each. ``ends``: the tokens that end one."""

    constraints: Constraints
    languages: Mapping[tuple[int, ...], Language]
    limits: Mapping[tuple[int, ...], int]
    ends: Sequence[int]

    def begin(self, prompt: Sequence[int]) -> Held:
        """A reply to this prompt, of which nothing is said yet."""
        ids = tuple(prompt)
        return self.constraints.hold(self.languages[ids], self.limits[ids], self.ends)

    def next(self, held: Held, reply: Sequence[int]) -> Allowed:
        """What may come behind ``reply``; where the language is said to its end, or no room is left, the end alone."""
        held.follow(reply)
        found = tuple(self.ends[:1]) if held.done or held.said >= held.budget else held.allowed()
        if not found:
            raise InvalidInput(
                "the tokenizer has no tokens that go on in the form of this prompt's replies: set sampling.constrain to false"
            )
        return found

    def along(self, prompt: Sequence[int], reply: Sequence[int]) -> list[Allowed]:
        """What could have come in the place of each token of a reply."""
        held = self.begin(prompt)
        return [self.next(held, reply[:place]) for place in range(len(reply))]


def check_room(language: Language, limit: int) -> None:
    """That reasoning has room: it is ended where no more tokens are left than what follows it has signs."""
    need = language.left(language.start)
    if language.reasons and limit <= need + _THOUGHT:
        raise InvalidInput(
            f"replies have {limit} tokens, and all but the reasoning may need {need}: give prompt.reply_tokens of "
            f"{need + 2 * _THOUGHT} or more, or set sampling.constrain to false"
        )


def restricted(logits_NV: torch.Tensor, allowed: Sequence[Allowed | None]) -> torch.Tensor:
    """The logits, out of reach where a token may not come; ``None``: any may. Finite, so that entropies are."""
    open_NV = torch.zeros(logits_NV.shape, dtype=torch.bool, device=logits_NV.device)
    for row, tokens in enumerate(allowed):
        open_NV[row, slice(None) if tokens is None else _indices(tokens, logits_NV.device)] = True
    return logits_NV.masked_fill(~open_NV, torch.finfo(logits_NV.dtype).min)


def _indices(tokens: Allowed, device: torch.device) -> torch.Tensor:
    """Nearly all tokens may come in free text, again and again; a constraint then gives one tuple, known here by itself."""
    if len(tokens) < _MANY:
        return torch.tensor(tokens, device=device)
    known = _INDICES.get(id(tokens))
    if known is None or known[0] is not tokens or known[1].device != device:
        if len(_INDICES) >= _MOST_INDICES:
            _INDICES.clear()
        known = _INDICES[id(tokens)] = (tokens, torch.tensor(tokens, device=device))
    return known[1]


def told_rows(ids: Any, mask: Any) -> list[list[int]]:
    """The ids of each row at which the mask is not 0."""
    return [
        [token for token, known in zip(row, seen, strict=True) if known]
        for row, seen in zip(ids.tolist(), mask.tolist(), strict=True)
    ]
