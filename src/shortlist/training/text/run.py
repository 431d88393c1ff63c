"""A run of a text policy from recipe and lessons to a checkpoint: what is opened, in which order, and what is written.

``RUN/`` holds recipe.yaml, manifest.json, metrics.jsonl, costs.jsonl, dev/, state/, weights/, report.html, results.json
and checkpoints/{best,last}, which are rerankers.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shortlist.data.files import atomic_writer
from shortlist.data.lessons import Lesson
from shortlist.errors import InvalidInput, MissingExtra
from shortlist.training.card import CardFacts, Result
from shortlist.training.development import NDCG, Measured
from shortlist.training.guards import stopped_by
from shortlist.training.log import Log
from shortlist.training.networks import EMULATED, emulates_half
from shortlist.training.parallel import Processes
from shortlist.training.progress import Outcome
from shortlist.training.text.control import Control, OnStep, known
from shortlist.training.text.development import FORMAT, TextDevelopment
from shortlist.training.text.forms import fitted_lessons, prompt_of, reply_tokens, served
from shortlist.training.text.lesson_order import Divided, divide, some
from shortlist.training.text.models import (
    LiveCompleter,
    Serving,
    TextModel,
    open_text_model,
    save_text_checkpoint,
    shares_beginnings,
)
from shortlist.training.text.recipe import TextRecipe
from shortlist.training.text.rows import Renderer
from shortlist.training.text.tools import Rewarding

RESULTS = "results.json"


@dataclass(frozen=True, kw_only=True)
class TextRun:
    """All that a run is made of. ``about``: facts of the environment, for the manifest; ``told``: what was left out."""

    recipe: TextRecipe
    folder: Path
    lessons: Divided
    data: str = "lessons"
    about: Mapping[str, Any] = field(default_factory=dict)
    note: Callable[[str], None] = lambda _words: None
    on_step: OnStep = lambda _step, _told: None


def lessons_of(recipe: TextRecipe, lessons: Sequence[Lesson], dev: Sequence[Lesson] | None) -> Divided:
    """What is learnt from and what chooses, as the prompt takes them."""
    prompt = prompt_of(recipe.prompt)
    found = divide(lessons, dev, recipe.data.dev_share, recipe.seed)
    train = fitted_lessons(prompt, some(found.train, recipe.data.limit, recipe.seed))
    return Divided(train, [lesson for lesson in found.dev if len(lesson)][: recipe.dev.queries])


def train_text(run: TextRun, *, resume: bool = False) -> Outcome:
    """Train to the end; with ``resume``, from the last state.

    Raises:
        InvalidInput: lessons that nothing can be learnt from, a folder that holds a run already.
        TrainingStopped: NaN, or a full disk; the folder is whole.
        MissingExtra: TRL is not installed.
    """
    need_trl()
    run = _affordable(run)
    processes = Processes(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
    if processes.first:
        _check_folder(run, resume=resume)
    try:
        return _train(run, processes, resume=resume)
    except OSError as problem:
        raise stopped_by(problem) from problem


def need_trl() -> None:
    """TRL and what it needs, or the extra's name; nothing of it phones home."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    try:
        import datasets
        import trl  # noqa: F401
    except ImportError as error:
        raise MissingExtra("trl", "train") from error
    datasets.disable_progress_bars()


def _affordable(run: TextRun) -> TextRun:
    """The run in float32, and so told and recorded, where bfloat16 would only be emulated."""
    if run.recipe.llm.autocast == "none" or not emulates_half():
        return run
    run.note(f"{EMULATED}: llm.autocast=none instead of {run.recipe.llm.autocast}")
    return replace(run, recipe=replace(run.recipe, llm=replace(run.recipe.llm, autocast="none")))


def _train(run: TextRun, processes: Processes, *, resume: bool) -> Outcome:
    from shortlist.training.text.trainers import Learning, make_trainer

    recipe, prompt = run.recipe, prompt_of(run.recipe.prompt)
    kind, options = served(recipe, prompt)
    serving = Serving(kind=kind, options=options, prompt=prompt)
    text = open_text_model(recipe.model, recipe.llm, seed=recipe.seed)
    completer = LiveCompleter(text, share=shares_beginnings(text, prompt) and not text.sharded)
    rewarding = Rewarding(recipe, completer)
    learning = Learning(
        recipe=recipe,
        text=text,
        renderer=Renderer(prompt, text.tokens),
        lessons=run.lessons.train,
        limit=max((reply_tokens(recipe, prompt, lesson.slate) for lesson in run.lessons.train), default=1),
        rewarding=rewarding,
        folder=run.folder,
        note=run.note if processes.first else (lambda _words: None),
        processes=processes,
    )
    rows = learning.laid_out()  # before the first measurement: lessons that cannot be learnt from are told at once
    steps = len(rows) // recipe.optimiser.lessons
    control = Control(
        recipe=recipe,
        run=run.folder,
        steps=steps,
        completer=completer,
        development=_development(run, serving, rewarding),
        publish=lambda name, before, found: _publish(
            run, text, serving, name, before=before, found=found, write=processes.first
        ),
        log=Log(run.folder, write=processes.first),
        on_step=run.on_step if processes.first else (lambda _step, _told: None),
        first=processes.first,
    )
    with control.log:
        if processes.first:
            _describe(run, text, learning)
        first = control.begin(resume=resume)
        if first < steps and not control.now.why:
            make_trainer(learning, control, rows, first=first, steps=steps).train()
        return _finish(run, control, text, serving)


def _development(run: TextRun, serving: Serving, rewarding: Rewarding) -> TextDevelopment | None:
    if not run.lessons.dev:
        run.note("no dev lessons: the last weights are kept, not the best")
        return None
    reward = rewarding.reward if run.recipe.method == "grpo" or run.recipe.loss.own_pairs else None
    measure, graded = run.recipe.dev.measure, any(any(lesson.gains) for lesson in run.lessons.dev)
    if not graded and (measure == NDCG or (measure == "reward" and reward is None)):
        raise InvalidInput(
            f"dev.measure is {measure}, and no dev lesson has a grade above 0; give --dev lessons with grades, or "
            "choose by dev.measure=format, or not at all: data.dev_share=0"
        )
    return TextDevelopment(lessons=run.lessons.dev, serving=serving, reward=reward)


def _finish(run: TextRun, control: Control, text: TextModel, serving: Serving) -> Outcome:
    """The last weights' checkpoint, the numbers as JSON, the report."""
    best = control.now.best[0][1] if control.now.best else control.now.step
    before = dict(control.before.values) if control.before is not None else {}
    after = _best_values(run) if control.now.best else {}
    outcome = Outcome(best, before, after, control.now.step, control.now.why or "all steps taken")
    nothing = Measured({}, [])
    for name in ("last",) if control.now.best else ("last", "best"):
        if control.gathers:
            _publish(run, text, serving, name, before=control.before or nothing, found=nothing, write=control.first)
    if control.first:
        _write_json(run.folder / RESULTS, {"recipe": run.recipe.name, **results(outcome)})
    return outcome


def _best_values(run: TextRun) -> dict[str, float]:
    from shortlist.training.progress import read_measured

    return dict(read_measured(run.folder, "best").values)


def results(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON."""
    told = {"steps": outcome.steps, "best_step": outcome.best_step, "why": outcome.why}
    return {**told, "before": known(outcome.before), "best": known(outcome.after)}


# ------------------------------------------------------------------------------------------------ the folder


def _check_folder(run: TextRun, *, resume: bool) -> None:
    """A new folder, or one whose recipe is this one's, to go on with."""
    path = run.folder / "recipe.yaml"
    if run.folder.exists() and not run.folder.is_dir():
        raise InvalidInput(f"--output {run.folder} is a file; give the name of a folder")
    if path.exists():
        if not resume:
            raise InvalidInput(f"{run.folder} holds a run already; go on with --resume, or give another --output")
        if path.read_text(encoding="utf-8") != run.recipe.text():
            raise InvalidInput(f"{path} is not the recipe given; --resume goes on with the same one")
    elif resume:
        raise InvalidInput(f"{run.folder} holds no run to go on with; leave --resume out")
    run.folder.mkdir(parents=True, exist_ok=True)
    path.write_text(run.recipe.text(), encoding="utf-8")


def _describe(run: TextRun, text: TextModel, learning: Any) -> None:
    """Where the run's numbers come from."""
    told = {**run.about, "data": run.data, "policy": text.local.identity, "method": run.recipe.method}
    told |= {"lessons": len(run.lessons.train), "dev": len(run.lessons.dev)}
    told |= {"trained": sum(value.numel() for value in text.trained.values())}
    told["prompt"] = learning.renderer.prompt.fingerprint
    _write_json(run.folder / "manifest.json", told)


def _write_json(path: Path, told: Any) -> None:
    with atomic_writer(path) as file:
        file.write(json.dumps(told, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace"))


def _publish(
    run: TextRun, text: TextModel, serving: Serving, name: str, *, before: Measured, found: Measured, write: bool
) -> None:
    rows = tuple(
        Result(
            dataset=f"{run.data} (dev)",
            measure=measure,
            value=value,
            before=before.values.get(measure),
            setting=serving.kind,
            queries=len(found.records),
        )
        for measure, value in found.values.items()
        if measure in {"reward", NDCG, FORMAT} and not math.isnan(value)
    )
    told = f"{len(run.lessons.train)} lessons of {run.data}, {len(run.lessons.dev)} to choose by."
    card = CardFacts(
        title=run.recipe.name,
        method=run.recipe.method,
        datasets=(run.data,),
        data=told,
        recipe=run.recipe.text(),
        seeds=(run.recipe.seed,),
        results=rows,
    )
    save_text_checkpoint(text, run.folder / "checkpoints" / name, serving, card, write=write)
