"""Batched generation with transformers: greedy, or sampled with one random generator per row; held to a language or not."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shortlist.backends import torch_trie
from shortlist.backends.base import Ask, Completion
from shortlist.backends.chat_tokens import ChatTokens
from shortlist.backends.torch_constraint import Held, Holder
from shortlist.backends.torch_models import batches, halving, import_torch, import_transformers
from shortlist.types import Usage

_UNSPEAKABLE = (
    "this model's tokenizer cannot spell the form that the reply is held to; leave constrain out, or use another model"
)

_PLAIN = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "min_new_tokens": 0}
"""What a model's folder may ask for and we do not: greedy means the likeliest token.

``min_new_tokens`` overrules ``min_length``; to tell both is warned of with every batch.
"""


@dataclass(frozen=True, slots=True)
class _Row:
    """An ask and its prompt's ids."""

    ask: Ask
    ids: list[int]


def complete(
    model: Any,
    tokens: ChatTokens,
    asks: Sequence[Ask],
    *,
    batch_tokens: int,
    batch_rows: int,
    share: bool = False,
) -> list[Completion]:
    """One completion an ask; those of like length share a batch.

    ``share``: greedy replies to neighbouring prompts are written behind one copy of what the prompts have in common.
    """
    rows = [_Row(ask, tokens.prompt(tokens.render(ask.messages))) for ask in asks]
    limit = int(getattr(model.config, "max_position_embeddings", 0) or 0)
    done: list[Completion | None] = [_too_long(row, limit) for row in rows]
    open_ = [i for i, result in enumerate(done) if result is None]
    behind = {i: share and rows[i].ask.temperature == 0 and rows[i].ask.language is None for i in open_}
    alone, shared = [i for i in open_ if not behind[i]], [i for i in open_ if behind[i]]
    sizes = [len(rows[i].ids) + rows[i].ask.max_tokens for i in alone]
    packs = torch_trie.packed(
        [(rows[i].ids, [()]) for i in shared],
        max_tokens=torch_trie.pack(model, batch_tokens),
        replies=[rows[i].ask.max_tokens for i in shared],
        room=batch_tokens,
    )
    work = [(_generate, [alone[k] for k in p]) for p in batches(sizes, max_tokens=batch_tokens, max_rows=batch_rows)]
    work += [(_write_shared, [shared[k] for k in p]) for p in packs]
    for write, places in work:
        results = halving(functools.partial(write, model, tokens), [rows[i] for i in places], _failed)
        for i, completion in zip(places, results, strict=True):
            done[i] = completion
    return [completion for completion in done if completion is not None]


def _failed(told: str) -> Completion:
    return Completion(finish="error", error=told)


def _too_long(row: _Row, limit: int) -> Completion | None:
    if not limit or len(row.ids) + row.ask.max_tokens <= limit:
        return None
    told = f"{len(row.ids)} tokens of prompt and {row.ask.max_tokens} of reply; the model takes {limit}"
    return _failed(told)


def _generate(model: Any, tokens: ChatTokens, rows: list[_Row]) -> list[Completion]:
    torch, transformers = import_torch(), import_transformers()
    ids_BT, mask_BT = left_padded(torch, [row.ids for row in rows], tokens.padding, model.device)  # noqa: N806
    ends = _end_ids(model, tokens)
    config = transformers.GenerationConfig(
        max_new_tokens=max(row.ask.max_tokens for row in rows),
        do_sample=False,  # sampling is in the processor, so that each row has its own generator
        use_cache=True,  # a model under training is told otherwise in its own settings
        pad_token_id=tokens.padding,
        eos_token_id=ends or None,
        **_PLAIN,
    )
    sampler = [_Sampler(torch, rows, model.device)] if any(row.ask.temperature > 0 for row in rows) else []
    held = [tokens.constraints.held(row.ask.language, row.ask.max_tokens, ends) for row in rows]
    holder = [Holder(torch, held, ids_BT.shape[1])] if any(held) else []
    ender = [_Ender(torch, tokens, rows, held, ids_BT.shape[1])]
    with torch.inference_mode():
        out_BT = model.generate(  # noqa: N806
            input_ids=ids_BT,
            attention_mask=mask_BT,
            generation_config=config,
            logits_processor=transformers.LogitsProcessorList([*holder, *sampler]),
            stopping_criteria=transformers.StoppingCriteriaList(ender),
        )
    replies = out_BT[:, ids_BT.shape[1] :].tolist()
    return [_completion(tokens, row, h, reply, ends) for row, h, reply in zip(rows, held, replies, strict=True)]


def _write_shared(model: Any, tokens: ChatTokens, rows: list[_Row]) -> list[Completion]:
    ends = _end_ids(model, tokens)

    def ended(place: int, reply: Sequence[int]) -> bool:
        row = rows[place]
        return reply[-1] in ends or len(reply) >= row.ask.max_tokens or _stopped(tokens, row, reply)

    replies = torch_trie.greedy(model, [row.ids for row in rows], ended)
    return [_completion(tokens, row, None, reply, ends) for row, reply in zip(rows, replies, strict=True)]


def left_padded(torch: Any, rows: Sequence[Sequence[int]], padding: int, device: Any) -> tuple[Any, Any]:
    """Ids and mask (both B × T, int64), the rows flush right."""
    width = max(len(row) for row in rows)
    ids = [[padding] * (width - len(row)) + list(row) for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _end_ids(model: Any, tokens: ChatTokens) -> list[int]:
    """The tokens that end a reply: the model's, and the tokenizer's."""
    told = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ends = [told] if isinstance(told, int) else list(told or [])
    return list(dict.fromkeys([*ends, *([tokens.tokenizer.eos_token_id] if tokens.tokenizer.eos_token_id else [])]))


def _completion(tokens: ChatTokens, row: _Row, held: Held | None, reply: list[int], ends: list[int]) -> Completion:
    if held is not None and held.stuck:
        return _failed(_UNSPEAKABLE)
    reply = reply[: row.ask.max_tokens]
    while reply and reply[-1] == tokens.padding and reply[-1] not in ends:  # the row ended before its neighbours did
        reply.pop()
    end = next((i for i, token in enumerate(reply) if token in ends), None)
    text = tokens.text(reply if end is None else reply[:end])
    at = min((place for stop in row.ask.stop if (place := text.find(stop)) >= 0), default=None)
    return Completion(
        text=text if at is None else text[:at],
        finish="length" if end is None and at is None and not (held is not None and held.done) else "stop",
        usage=Usage(calls=1, prompt_tokens=len(row.ids), completion_tokens=len(reply) if end is None else end + 1),
    )


class _Sampler:
    """Temperature, top-p and Gumbel noise on the logits of the rows that sample: the greatest is then a fair draw."""

    def __init__(self, torch: Any, rows: list[_Row], device: Any) -> None:
        self._torch = torch
        self._rows = [(i, row.ask) for i, row in enumerate(rows) if row.ask.temperature > 0]
        self._generators = {i: torch.Generator(device).manual_seed(_seed(ask)) for i, ask in self._rows}

    def __call__(self, ids_BT: Any, logits_BV: Any) -> Any:  # noqa: ARG002, N803 - transformers' signature
        logits_BV = logits_BV.float()  # noqa: N806
        for i, ask in self._rows:
            logits_V = top_p(self._torch, logits_BV[i] / ask.temperature, ask.top_p)  # noqa: N806
            exponential = self._torch.empty_like(logits_V).exponential_(generator=self._generators[i])
            logits_BV[i] = logits_V - exponential.clamp_min(1e-30).log()
        return logits_BV


class _Ender:
    """Says which rows have come to their own end: a stop text, their language's, or as many tokens as their ask allows."""

    def __init__(
        self, torch: Any, tokens: ChatTokens, rows: list[_Row], held: Sequence[Held | None], start: int
    ) -> None:
        self._torch, self._tokens, self._rows, self._held, self._start = torch, tokens, rows, held, start

    def __call__(self, ids_BT: Any, scores: Any, **_: Any) -> Any:  # noqa: ARG002, N803 - transformers' signature
        length = ids_BT.shape[1] - self._start
        ended = [
            length >= row.ask.max_tokens or self._stopped(row, ids_BT[i]) or self._whole(i, ids_BT[i])
            for i, row in enumerate(self._rows)
        ]
        return self._torch.tensor(ended, device=ids_BT.device)

    def _whole(self, i: int, ids_T: Any) -> bool:  # noqa: N803
        """Whether the row's language is said to its end: a reply ends there, whatever the model would add."""
        held = self._held[i]
        if held is None:
            return False
        held.follow(ids_T[self._start :].tolist())
        return held.done or held.stuck

    def _stopped(self, row: _Row, ids_T: Any) -> bool:  # noqa: N803
        return bool(row.ask.stop) and _stopped(self._tokens, row, ids_T[self._start :].tolist())


def _stopped(tokens: ChatTokens, row: _Row, reply: Sequence[int]) -> bool:
    """Whether a reply's end has one of its ask's stop texts."""
    if not row.ask.stop:
        return False
    recent = max(map(len, row.ask.stop)) + 8  # a token is at least a character, save for parts of one
    tail = tokens.text(list(reply[-recent:]))
    return any(stop in tail for stop in row.ask.stop)


def _seed(ask: Ask) -> int:
    return ask.seed if ask.seed is not None else secrets.randbits(62)


def top_p(torch: Any, logits_V: Any, share: float) -> Any:  # noqa: N803
    """The logits with all but the likeliest tokens, which together have ``share``, set to minus infinity."""
    if share >= 1:
        return logits_V
    ordered, places = torch.sort(logits_V, descending=True)
    probabilities = ordered.softmax(-1)
    beyond = probabilities.cumsum(-1) - probabilities >= share  # the first one is always kept
    return logits_V.masked_fill(torch.zeros_like(beyond).scatter(0, places, beyond), float("-inf"))
