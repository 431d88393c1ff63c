"""Rewards of replies to a reranker's prompt, from the text alone.

As it is handed over it stands alone, with the standard library: what it imports of shortlist is written into it.

``compute_score(data_source, solution_str, ground_truth, extra_info)`` is what verl calls. ``ground_truth`` is JSON:
``{"prompt": kind, "reasoning": bool, "gains": [grade by place], "parts": [{"weight", "name", "options"}, …]}``.

A reply counts only in the form that its prompt asks for; ties are worth the mean over their orders. Rewards that look at
several replies at once, ask a model, or need a teacher are not among them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from shortlist.text.reasoning import split_reply

TOP = 10
Heights: TypeAlias = Sequence[float] | None
Gains: TypeAlias = Sequence[float]
OPTIONS = {
    "ndcg": ("k",),
    "relative-ndcg": ("k", "failed"),
    "recall": (),
    "exact-label": (),
    "status-format": ("ok", "failed"),
    "rearank-format": ("blocks", "listing"),
    "grouprank-format": ("tags", "scores", "tagged"),
}
"""Reward → the options that are known here."""

_FENCED = re.compile(r"(?:```(?:json)?\s*)?(\{[^{}]*\})(?:\s*```)?", re.IGNORECASE)
_ORDER = re.compile(r"\[[0-9]+\](?:\s*>\s*\[[0-9]+\])*")
_LISTED = re.compile(r"\[[0-9]+\](?:\s*,\s*\[[0-9]+\])*")
_PAIRS = re.compile(r'\{\s*"\[[0-9]+\]"\s*:\s*[0-9]+(?:\s*,\s*"\[[0-9]+\]"\s*:\s*[0-9]+)*\s*\}')
_PAIR = re.compile(r'"\[([0-9]+)\]"\s*:\s*([0-9]+)')
_NUMBER = re.compile(r"\[([0-9]+)\]")


# ------------------------------------------------------------------------------------------------ reading


def answer_of(text: str, reasoning: bool) -> str | None:  # noqa: FBT001
    """The part of a reply that answers; ``None`` if its tags are not as they should be."""
    reply = split_reply(text)
    reply = reply.held_to_tags() if reasoning else reply
    return None if reply.answer is None or reply.problems else reply.answer.strip()


def has_blocks(text: str) -> bool:
    """Whether one whole block of reasoning and one whole tagged answer are there."""
    reply = split_reply(text)
    return reply.tagged and reply.reasoned and not reply.problems


def _places(numbers: Sequence[str], n: int) -> list[int] | None:
    """Places from 0; ``None`` if one is out of range or comes twice."""
    places = [int(number) - 1 for number in numbers]
    return places if len(set(places)) == len(places) and all(0 <= place < n for place in places) else None


def read_order(answer: str, n: int) -> list[float] | None:
    """Heights of a whole order ``[2] > [1]``."""
    if not _ORDER.fullmatch(answer):
        return None
    places = _places(_NUMBER.findall(answer), n)
    if places is None or len(places) != n:
        return None
    return [float(n - places.index(i)) for i in range(n)]


def read_subset(answer: str, n: int) -> list[float] | None:
    """Heights of an ordered subset ``[2], [1]``, or of None: what was not named is tied at the bottom."""
    if answer.lower() == "none":
        return [0.0] * n
    places = _places(_NUMBER.findall(answer), n) if _LISTED.fullmatch(answer) else None
    if not places:
        return None
    return [float(n - places.index(i)) if i in places else 0.0 for i in range(n)]


def read_scores(answer: str, n: int) -> list[float] | None:
    """Scores of every passage of a group, as JSON."""
    found = _FENCED.fullmatch(answer)
    if found is None or not _PAIRS.fullmatch(found[1]):
        return None
    pairs = [(int(name) - 1, int(score)) for name, score in _PAIR.findall(found[1])]
    if sorted(place for place, _ in pairs) != list(range(n)) or any(score > TOP for _, score in pairs):
        return None
    return [float(score) for _, score in sorted(pairs)]


def read_rating(answer: str, n: int) -> list[float] | None:
    """The rating of a single passage."""
    return [float(answer)] if n == 1 and re.fullmatch(r"[0-9]|10", answer) else None


def read_letter(answer: str, n: int) -> list[float] | None:
    """The passage chosen by its letter: above all others, which are tied."""
    found = re.fullmatch(r"\[?([A-Z])\]?", answer)
    place = ord(found[1]) - ord("A") if found else n
    return [float(i == place) for i in range(n)] if place < n else None


READERS: dict[str, Callable[[str, int], list[float] | None]] = {
    "listwise": read_order,
    "listwise-reasoning": read_order,
    "group-scores": read_scores,
    "subset": read_subset,
    "pointwise-rating": read_rating,
    "setwise": read_letter,
    "setwise-reasoning": read_letter,
}


# ------------------------------------------------------------------------------------------------ rewards


def mean_gains(heights: Sequence[float], gains: Sequence[float]) -> list[float]:
    """The gain of each rank, ties at their mean."""
    order = sorted(range(len(gains)), key=lambda i: -heights[i])
    ranked, start = [], 0
    while start < len(order):
        tie = [i for i in order[start:] if heights[i] == heights[order[start]]]
        ranked += [math.fsum(gains[i] for i in tie) / len(tie)] * len(tie)
        start += len(tie)
    return ranked


def _dcg(gains: Sequence[float], k: int) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains[:k], 1))


def _ndcg_at(heights: Sequence[float], gains: Sequence[float], k: int) -> float:
    return _dcg(mean_gains(heights, gains), k) / _dcg(sorted(gains, reverse=True), k)


def ndcg(heights: Heights, gains: Gains, _text: str, _truth: Any, k: int = 10) -> float:
    """In [0, 1]; 0 for a reply that does not count."""
    return 0.0 if heights is None else _ndcg_at(heights, gains, k)


def relative_ndcg(heights: Heights, gains: Gains, _text: str, _truth: Any, k: int = 10, failed: float = -1.0) -> float:
    """What was gained of what could be gained over the order shown, in [-1, 1]."""
    if heights is None:
        return failed
    level, shown = _ndcg_at(heights, gains, k), _ndcg_at(range(len(gains), 0, -1), gains, k)
    if 1 - shown < 1e-6:
        return 1.0 if level >= shown - 1e-6 else level - shown
    return max(-1.0, min(1.0, (level - shown) / (1 - shown)))


def recall(heights: Heights, gains: Gains, _text: str, _truth: Any) -> float | None:
    """Of the relevant passages, among as many as there are."""
    if heights is None:
        return 0.0
    hits = mean_gains(heights, [float(gain >= 1) for gain in gains])
    relevant = sum(gain >= 1 for gain in gains)
    return math.fsum(hits[:relevant]) / relevant if relevant else None


def exact_label(heights: Heights, gains: Gains, _text: str, _truth: Any) -> float | None:
    """Whether the highest is among the best."""
    best = {i for i, gain in enumerate(gains) if gain == max(gains)}
    if heights is None or len(best) == len(gains):
        return 0.0 if len(best) < len(gains) else None
    top = [i for i, height in enumerate(heights) if height == max(heights)]
    return len(best.intersection(top)) / len(top)


def status_format(
    heights: Heights, _gains: Gains, _text: str, _truth: Any, ok: float = 1.0, failed: float = 0.0
) -> float:
    """Well-formed or not."""
    return failed if heights is None else ok


def rearank_format(
    heights: Heights, _gains: Gains, text: str, _truth: Any, blocks: float = 0.1, listing: float = 0.1
) -> float:
    """Blocks of reasoning and answer, and a whole listing in it."""
    return blocks * (has_blocks(text)) + listing * (heights is not None)


def grouprank_format(
    heights: Heights,
    _gains: Gains,
    text: str,
    _truth: Any,
    tags: float = -0.5,
    scores: float = -0.1,
    tagged: bool = True,  # noqa: FBT001, FBT002 - options come by name
) -> float:
    """0 in form; ``scores`` if only they are wrong; ``tags`` otherwise."""
    if heights is not None:
        return 0.0
    return scores if tagged and has_blocks(text) else tags


REWARDS: dict[str, Callable[..., float | None]] = {
    "ndcg": ndcg,
    "relative-ndcg": relative_ndcg,
    "recall": recall,
    "exact-label": exact_label,
    "status-format": status_format,
    "rearank-format": rearank_format,
    "grouprank-format": grouprank_format,
}
_JUDGED = {"ndcg", "relative-ndcg", "recall", "exact-label"}


def compute_score(
    data_source: str,  # noqa: ARG001
    solution_str: str,
    ground_truth: str,
    extra_info: dict[str, Any] | None = None,
) -> dict[str, float]:
    """The score of one reply, and its parts; 0 where the slate has nothing to score by (such rows are best left out)."""
    truth = json.loads(ground_truth)
    gains = [float(gain) for gain in truth["gains"] or ()]
    n = len(gains) or len((extra_info or {}).get("ids", ()))
    answer = answer_of(solution_str, truth["reasoning"])
    heights = None if answer is None else READERS[truth["prompt"]](answer, n)
    told: dict[str, tuple[float | None, float]] = {}
    for part in truth["parts"]:
        judged = part["name"] in _JUDGED
        level = (
            None
            if judged and not any(gains)
            else REWARDS[part["name"]](heights, gains, solution_str, truth, **part["options"])
        )
        told[part["name"]] = (level, part["weight"])
    known = [level * weight for level, weight in told.values() if level is not None]
    total = math.fsum(known) if len(known) == len(told) else 0.0
    return {"score": total, **{name: 0.0 if level is None else level for name, (level, _) in told.items()}}
