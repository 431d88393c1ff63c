"""Handing a recipe over to verl: its lessons as parquet, its rewards as one module of the standard library.

The prompts are those of the recipe's prompt object, the passages cut as they would be served. The module tells answers
from reasoning by our own code and reads answers with patterns of its own, held to the form asked for: what our parser
would repair counts as not well-formed, as in the strict rewards of training. A test runs it beside ours.

verl 0.9: ``reward.custom_reward_function.path=DIR/reward.py`` and ``data.train_files=DIR/train.parquet``.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shortlist.backends.chat_tokens import ChatTokens
from shortlist.backends.models import resolve
from shortlist.backends.torch_models import load_tokenizer
from shortlist.data.lessons import Lesson
from shortlist.errors import InvalidInput, MissingExtra, ModelUnavailable
from shortlist.text import reasoning
from shortlist.text.truncation import Cut, approximate_cut, cut_slate
from shortlist.training.text import verl_reward
from shortlist.training.text.forms import prompt_of
from shortlist.training.text.lesson_order import Divided
from shortlist.training.text.recipe import TextRecipe
from shortlist.training.text.scoring import read_parts

SOURCE = "shortlist"


def export(recipe: TextRecipe, lessons: Divided, folder: Path) -> str:
    """Write ``train.parquet``, ``dev.parquet``, ``reward.py`` and the recipe; gives what was written, in words.

    Raises:
        InvalidInput: a recipe that is not for GRPO, or whose reward the module cannot compute.
        MissingExtra: no pyarrow.
    """
    if recipe.method != "grpo":
        raise InvalidInput(f"the recipe {recipe.name!r} is for {recipe.method}; verl is handed GRPO recipes")
    if recipe.reward.shaping is not None:
        raise InvalidInput(
            f"reward.shaping is {recipe.reward.shaping!r}, which looks at a group; verl asks reply by reply: set it to null"
        )
    if recipe.prompt.terse:
        raise InvalidInput(
            "prompt.terse replies are not read by the exported module, which knows JSON: set it to false"
        )
    if recipe.sampling.constrain:
        raise InvalidInput("sampling.constrain holds replies to a form, and verl draws freely: set it to false")
    if recipe.loss.credit != "reply":
        raise InvalidInput(f"loss.credit is {recipe.loss.credit}; verl credits whole replies: set it to reply")
    parts = _parts(recipe)
    if folder.exists() and any(folder.iterdir()):
        raise InvalidInput(f"{folder} is not empty; give a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    cut, how = _cut(recipe)
    for name, some in (("train", lessons.train), ("dev", lessons.dev)):
        _write(
            folder / f"{name}.parquet",
            [_row(recipe, lesson, cut, parts, split=name, index=i) for i, lesson in enumerate(some)],
        )
    (folder / "reward.py").write_text(standalone(), encoding="utf-8")
    (folder / "recipe.yaml").write_text(recipe.text(), encoding="utf-8")
    return (
        f"{len(lessons.train)} rows to learn from, {len(lessons.dev)} to choose by, in {folder}; passages cut by {how}"
    )


_IMPORT = "from shortlist.text.reasoning import split_reply\n"
_FUTURE = "from __future__ import annotations\n"


def standalone() -> str:
    """The reward module with what it imports of ours written into it."""
    module, tags = inspect.getsource(verl_reward), inspect.getsource(reasoning)
    assert module.count(_IMPORT) == 1  # noqa: S101 - the module is ours
    return module.replace(_IMPORT, tags.replace(_FUTURE, ""))


def _parts(recipe: TextRecipe) -> list[dict[str, Any]]:
    told = read_parts(recipe.reward.parts)
    for _, name, options in told:
        known = verl_reward.REWARDS
        if name not in known:
            raise InvalidInput(
                f"the reward {name!r} asks more than a module alone can know; it computes {', '.join(known)}"
            )
        odd = set(options) - set(verl_reward.OPTIONS[name])
        if odd:
            raise InvalidInput(f"the option {min(odd)!r} of reward {name!r} is not among those the module knows")
    if prompt_of(recipe.prompt).kind not in verl_reward.READERS:
        raise InvalidInput(f"the module does not read replies to {recipe.prompt.kind!r}")
    return [{"weight": weight, "name": name, "options": options} for weight, name, options in told]


def _cut(recipe: TextRecipe) -> tuple[Cut, str]:
    """The model's own tokenizer where it is at hand, else an approximation, which is told."""
    try:
        return ChatTokens(load_tokenizer(resolve(recipe.model))).cut, "the model's tokenizer"
    except ModelUnavailable:
        return approximate_cut, "an approximate count, as the model's tokenizer is not at hand"


def _row(
    recipe: TextRecipe, lesson: Lesson, cut: Cut, parts: list[dict[str, Any]], *, split: str, index: int
) -> dict[str, Any]:
    prompt: Any = prompt_of(recipe.prompt)
    shown = cut_slate(lesson.slate, prompt.passage_tokens, cut, query_tokens=prompt.query_tokens)
    truth = {
        "prompt": prompt.kind,
        "reasoning": bool(getattr(prompt, "reasoning", "reasoning" in prompt.kind)),
        "gains": list(lesson.gains) if lesson.grades else None,
        "parts": parts,
    }
    return {
        "data_source": SOURCE,
        "prompt": [{"role": role, "content": content} for role, content in prompt.render(shown)],
        "ability": "rerank",
        "reward_model": {"style": "rule", "ground_truth": json.dumps(truth, ensure_ascii=False)},
        "extra_info": {"split": split, "index": index, "query": lesson.slate.query.id, "ids": list(lesson.ids)},
    }


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtra("pyarrow", "train") from error
    if rows:
        pq.write_table(pa.Table.from_pylist(list(rows)), str(path))
