"""Preference pairs from the policy's own replies: the best against the worst by the reward (DynamicRAG's way to DPO)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from shortlist.data.files import read_jsonl, write_jsonl
from shortlist.errors import InvalidInput
from shortlist.training.text.models import TextModel, evaluating
from shortlist.training.text.rows import Renderer
from shortlist.training.text.sampling import Drawing, draw, seeds
from shortlist.training.text.scoring import StepScorer

_EQUAL = 1e-9
_AT_A_TIME = 8


def own_pairs(
    text: TextModel,
    renderer: Renderer,
    scorer: StepScorer,
    how: Drawing,
    *,
    seed: int,
    told: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """DPO rows: for each lesson, ``scorer.samples`` replies are drawn and scored; where all are worth the same, no row."""
    rows: list[dict[str, Any]] = []
    for start in range(0, len(scorer.lessons), _AT_A_TIME):
        places = list(range(start, min(start + _AT_A_TIME, len(scorer.lessons))))
        rows += _pairs(text, renderer, scorer, how, places, seed=seed)
        if told is not None:
            told(places[-1] + 1, len(scorer.lessons))
    if not rows:
        raise InvalidInput("all replies to each lesson are worth the same: there is nothing to prefer")
    return rows


def _pairs(
    text: TextModel, renderer: Renderer, scorer: StepScorer, how: Drawing, places: Sequence[int], *, seed: int
) -> list[dict[str, Any]]:
    group = scorer.samples
    every = [place for place in places for _ in range(group)]
    asked = [renderer.ask(scorer.lessons[place].slate) for place in places]
    prompts = [asked[i // group].ids for i in range(len(every))]
    numbers = [place * group + i % group for i, place in enumerate(every)]
    with evaluating(text.model):
        ids, _ = draw(text.model, prompts, seeds(seed, 0, numbers), how)
    plain = [one[:-1] if one[-1] in how.ends else one for one in ids]
    totals = scorer(every, [text.tokens.text(one) for one in plain], [len(one) for one in ids])
    rows = []
    for i, place in enumerate(places):
        known = [j for j in range(i * group, (i + 1) * group) if totals[j] is not None]
        ranked = sorted(known, key=lambda j: -(totals[j] or 0.0))
        if ranked and (totals[ranked[0]] or 0.0) - (totals[ranked[-1]] or 0.0) > _EQUAL:
            pair = {"chosen_ids": ids[ranked[0]], "rejected_ids": ids[ranked[-1]]}
            rows.append({"prompt_ids": list(asked[i].ids), **pair, "lesson": place})
    return rows


def remembered(path: Path, make: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of a file, made once: a run that goes on learns from the same pairs."""
    if not path.exists():
        write_jsonl(path, make())
    return [row for _, row in read_jsonl(path)]
