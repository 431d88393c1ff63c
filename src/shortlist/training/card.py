"""Model cards: what a checkpoint is, what it was trained on and how, how well it does, how to use it.

The front matter is what the Hugging Face hub reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from shortlist.text.base import PromptBase


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A number of the card: ``measure`` as elsewhere ("nDCG@10", "F1@3"), ``value`` in [0, 1], ``before`` training.

    ``setting`` tells what it depends on: first stage and depth, the reader.
    """

    dataset: str
    measure: str
    value: float
    before: float | None = None
    setting: str = ""
    queries: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What only the one who trains knows. ``recipe`` is the whole recipe, as text; ``data`` a sentence or two."""

    title: str = "A reranker trained with Shortlist"
    method: str = "rrpo"
    licence: str = ""
    language: tuple[str, ...] = ("en",)
    datasets: tuple[str, ...] = ()
    data: str = ""
    recipe: str = ""
    seeds: tuple[int, ...] = ()
    results: tuple[Result, ...] = ()
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What the checkpoint itself tells."""

    kind: str
    base: str
    options: Mapping[str, Any] = field(default_factory=dict)
    prompt: PromptBase | None = None


def model_card(facts: CardFacts, checkpoint: Checkpoint, *, calibrated: bool = False) -> str:
    """The card, Markdown with a YAML front matter."""
    parts = [
        f"---\n{_front(facts, checkpoint)}---",
        f"# {facts.title}",
        _summary(facts, checkpoint, calibrated=calibrated),
        "## Use",
        _usage(checkpoint),
        "## Training",
        _training(facts),
        "## Results",
        _results(facts.results),
        "## Limits",
        "\n".join(f"- {limit}" for limit in (*facts.limits, *_own_limits(checkpoint))),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front(facts: CardFacts, checkpoint: Checkpoint) -> str:
    paired = checkpoint.kind == "cross-encoder"
    told: dict[str, Any] = {
        "license": facts.licence or None,
        "language": list(facts.language),
        "base_model": checkpoint.base,
        "base_model_relation": "finetune",
        "library_name": "sentence-transformers" if paired else "transformers",
        "pipeline_tag": "text-ranking",
        "tags": ["reranker", checkpoint.kind, facts.method, "shortlist"],
        "datasets": list(facts.datasets) or None,
        "metrics": sorted({result.measure.lower() for result in facts.results}) or None,
        "model-index": _index(facts) or None,
    }
    kept = {name: value for name, value in told.items() if value is not None}
    return str(yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=120))


def _index(facts: CardFacts) -> list[dict[str, Any]]:
    results = [
        {
            "task": {"type": "text-ranking", "name": "Reranking"},
            "dataset": {"type": _slug(result.dataset), "name": result.dataset},
            "metrics": [{"type": result.measure.lower(), "value": round(result.value, 4), "name": _named(result)}],
        }
        for result in facts.results
    ]
    return [{"name": facts.title, "results": results}] if results else []


def _named(result: Result) -> str:
    return f"{result.measure}, {result.setting}" if result.setting else result.measure


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9./-]+", "-", name.lower()).strip("-") or "dataset"


def _summary(facts: CardFacts, checkpoint: Checkpoint, *, calibrated: bool) -> str:
    lines = [f"A reranker of kind `{checkpoint.kind}`, trained by `{facts.method}` from `{checkpoint.base}`."]
    if "max_length" in checkpoint.options:
        lines.append(
            f"Query and passage together take {checkpoint.options['max_length']} tokens; the passage gives way."
        )
    if "keep" in checkpoint.options:
        lines.append(f"It also says how many passages to keep: `{checkpoint.options['keep']}`.")
    if calibrated:
        lines.append("`reranker_config.json` holds a calibration from its scores to probabilities.")
    if checkpoint.prompt is not None:
        lines.append(f"Its prompt is `{checkpoint.prompt.kind}` (sha256 `{checkpoint.prompt.fingerprint[:16]}…`).")
    return " ".join(lines)


def _usage(checkpoint: Checkpoint) -> str:
    ours = (
        "```python\n"
        "from shortlist import RerankRequest, open_reranker\n\n"
        'reranker = open_reranker("path/to/this/folder")\n'
        '(ranking,) = reranker.rerank([RerankRequest.of("a question", ["one passage", "another passage"])])\n'
        "print([candidate.document.text for candidate in ranking.kept])\n"
        "```"
    )
    if checkpoint.kind != "cross-encoder":
        prompt = json.dumps(checkpoint.prompt.to_json(), indent=1) if checkpoint.prompt else "{}"
        return f"{ours}\n\nAn ordinary causal language model for transformers; the prompt's settings:\n\n```json\n{prompt}\n```"
    theirs = (
        "```python\n"
        "from sentence_transformers import CrossEncoder\n\n"
        f'encoder = CrossEncoder("path/to/this/folder", max_length={checkpoint.options.get("max_length", 512)})\n'
        'scores = encoder.predict([("a question", "one passage"), ("a question", "another passage")])  # raw logits\n'
        "```"
    )
    return f"{ours}\n\n{theirs}"


def _training(facts: CardFacts) -> str:
    seeds = f"Seeds: {', '.join(map(str, facts.seeds))}." if facts.seeds else ""
    recipe = f"```yaml\n{facts.recipe.strip()}\n```" if facts.recipe else ""
    return "\n\n".join(part for part in (facts.data, seeds, recipe) if part) or "Not told."


def _results(results: Sequence[Result]) -> str:
    if not results:
        return "None recorded."
    rows = ["| data | setting | measure | queries | before | after |", "|---|---|---|---|---|---|"]
    for result in results:
        before = "" if result.before is None else f"{result.before:.4f}"
        queries = "" if result.queries is None else str(result.queries)
        told = (result.dataset, result.setting, result.measure, queries, before, f"{result.value:.4f}")
        rows.append("| " + " | ".join(cell.replace("|", r"\|").replace("\n", " ") for cell in told) + " |")
    return "\n".join(rows)


def _own_limits(checkpoint: Checkpoint) -> list[str]:
    limits = ["Scores are raw and rank passages of one query; they are no probabilities."]
    if checkpoint.kind == "pointwise":
        limits = ["Scores rank passages of one query; they are no probabilities of relevance."]
    elif checkpoint.kind != "cross-encoder":
        limits = [
            "It was trained to read this very prompt, lists of about the training's length, and this first stage's candidates."
        ]
    if "keep" in checkpoint.options:
        limits.append(
            "How many it keeps was learnt with a given number of candidates and first stage; others shift it."
        )
    return limits
