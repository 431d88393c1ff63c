"""Log-likelihoods and greedy replies with transformers, every distinct beginning computed once.

Prompts that go on from one another (the first one, two, three passages of many shortlists of one query) share most of
their tokens. Laid out as a trie in one row, each token sees its ancestors alone and has its depth for a position, so that
one forward pass is the forward passes of all the prompts, each token of them computed once. Nothing is approximate; the
rounding of a low precision is another than that of separate rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from shortlist.backends.torch_models import cache_of, going_on, import_torch

TESTED: Final = frozenset({"llama", "qwen2", "qwen3"})
"""Model types whose every layer is full attention by absolute depth, and which take a mask of token by token."""
_STRANGERS: Final = 1.6
"""Tokens of a pack for each of the model's width: attention is computed between all of a pack's tokens, strangers too, and
costs the more the narrower the model is. Measured on a CPU: 120 ratings by SmolLM2-135M (width 576) take 20.6 s in packs of
512, 21.6 of 768, 28 to 32 of 1536; with 0.5 B weights (896) 1536 is about the best."""


def pack(model: Any, most: int) -> int:
    """The most tokens of a trie, at most ``most``, beyond which attention costs more than sharing saves."""
    width = getattr(model.config, "hidden_size", None)
    return most if width is None else min(most, round(_STRANGERS * width))


@dataclass
class Trie:
    """Token sequences that share what they can: node ``i`` is a token after the path to its parent; -1 is the root."""

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    _known: dict[tuple[int, int], int] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.tokens)

    def add(self, tokens: Sequence[int]) -> list[int]:
        """The nodes along a sequence, new ones made where nothing went the same way before."""
        node, path = -1, []
        for depth, token in enumerate(tokens):
            parent, node = node, self._known.get((node, token), -1)
            if node < 0:
                node = self._known[parent, token] = len(self.tokens)
                self.tokens.append(token)
                self.parents.append(parent)
                self.depths.append(depth)
            path.append(node)
        return path

    def sees(self) -> npt.NDArray[np.bool_]:
        """Which nodes each node sees (T × T): itself and its ancestors. Parents come before their children."""
        seen = np.eye(len(self), dtype=np.bool_)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                seen[node] |= seen[parent]
        return seen


Asked = tuple[Sequence[int], Sequence[Sequence[int]]]
"""A prompt's token ids, and those of each label as it follows the prompt."""


def packed(
    asked: Sequence[Asked], *, max_tokens: int, replies: Sequence[int] | None = None, room: int = 0
) -> list[list[int]]:
    """Positions, in order, in packs whose tries hold at most ``max_tokens`` (a single larger question: one of its own).

    With ``replies``, tokens to be written behind each question, trie and replies together have ``room``.
    """
    packs: list[list[int]] = []
    trie, written = Trie(), 0
    for place, question in enumerate(asked):
        _paths(trie, question)
        written += replies[place] if replies else 0
        if not packs or len(trie) > max_tokens or (replies and len(trie) + written > room):
            packs.append([])
            trie, written = Trie(), replies[place] if replies else 0
            _paths(trie, question)
        packs[-1].append(place)
    return packs


def log_probs(model: Any, asked: Sequence[Asked]) -> list[list[float]]:
    """Summed log-probability (natural log) of every label of every question, from one forward pass."""
    torch = import_torch()
    trie = Trie()
    paths = [_paths(trie, question) for question in asked]
    starts = sorted({node for of_labels in paths for nodes in of_labels for node in nodes[:-1]})
    row_of = {node: row for row, node in enumerate(starts)}
    with torch.inference_mode():
        logits_RV = _read(model, trie, trie.sees(), starts, use_cache=False).logits[0]  # noqa: N806
        steps = [(row_of[a], trie.tokens[b]) for of_labels in paths for nodes in of_labels for a, b in _steps(nodes)]
        rows = torch.tensor([row for row, _ in steps], device=model.device)
        ids = torch.tensor([token for _, token in steps], device=model.device)
        each = iter((logits_RV[rows, ids].float() - logits_RV.float().logsumexp(-1)[rows]).tolist())
    return [[sum(next(each) for _ in _steps(nodes)) for nodes in of_labels] for of_labels in paths]


def greedy(
    model: Any, prompts: Sequence[Sequence[int]], ended: Callable[[int, Sequence[int]], bool]
) -> list[list[int]]:
    """The likeliest reply to every prompt, token by token, all in one row: one copy of the keys that prompts share.

    ``ended(place, reply)`` says after each token whether a reply is at its end.
    """
    torch = import_torch()
    trie = Trie()
    lasts = [trie.add(prompt)[-1] for prompt in prompts]
    sees_TT = trie.sees()  # noqa: N806
    sees_NK = sees_TT[lasts]  # noqa: N806 - what each prompt's next token sees of the keys so far
    replies: list[list[int]] = [[] for _ in prompts]
    open_ = list(range(len(prompts)))
    with torch.inference_mode():
        out = _read(model, trie, sees_TT, lasts, use_cache=True)
        while True:
            for place, token in zip(open_, out.logits[0].argmax(-1).tolist(), strict=True):
                replies[place].append(token)
            open_ = [place for place in open_ if not ended(place, replies[place])]
            if not open_:
                return replies
            own_NM = np.arange(len(prompts))[:, None] == np.array(open_)[None]  # noqa: N806
            sees_NK = np.concatenate([sees_NK, own_NM], axis=1)  # noqa: N806
            out = model(
                input_ids=torch.tensor([[replies[place][-1] for place in open_]], device=model.device),
                attention_mask=_bias(model, sees_NK[open_]),
                position_ids=torch.tensor(
                    [[len(prompts[place]) + len(replies[place]) - 1 for place in open_]], device=model.device
                ),
                use_cache=True,
                **going_on(cache_of(out)),
            )


def _read(model: Any, trie: Trie, sees_TT: npt.NDArray[np.bool_], wanted: Sequence[int], *, use_cache: bool) -> Any:  # noqa: N803
    """The model's output for a trie, with the logits of the ``wanted`` nodes."""
    torch = import_torch()
    return model(
        input_ids=torch.tensor([trie.tokens], device=model.device),
        attention_mask=_bias(model, sees_TT),
        position_ids=torch.tensor([trie.depths], device=model.device),
        use_cache=use_cache,
        logits_to_keep=torch.tensor(wanted, device=model.device),
    )


def _bias(model: Any, sees_QK: npt.NDArray[np.bool_]) -> Any:  # noqa: N803
    """What is added to attention (1 × 1 × queries × keys): nothing where a query sees a key."""
    torch = import_torch()
    seen_QK = torch.from_numpy(sees_QK).to(model.device)  # noqa: N806
    bias_QK = torch.zeros(seen_QK.shape, dtype=model.dtype, device=model.device)  # noqa: N806
    return bias_QK.masked_fill_(~seen_QK, torch.finfo(model.dtype).min)[None, None]


def _paths(trie: Trie, question: Asked) -> list[list[int]]:
    """For each label, the prompt's last node and the label's nodes."""
    prompt, labels = question
    return [trie.add([*prompt, *label])[len(prompt) - 1 :] for label in labels]


def _steps(nodes: Sequence[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise(nodes))
