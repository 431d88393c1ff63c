"""`shortlist train sft | grpo | dpo | plan | export-verl`: rerankers that write, from lessons to a checkpoint in use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from shortlist.cli import options
from shortlist.cli.console import note, out, progress, put_json
from shortlist.cli.train_common import (
    Changes,
    Output,
    Resume,
    Shown,
    best_of,
    need_training,
    recipe_path,
    say_outcome,
    say_report,
)

if TYPE_CHECKING:
    from shortlist.training.progress import Outcome
    from shortlist.training.text.lesson_order import Divided
    from shortlist.training.text.recipe import Method, TextRecipe

RecipeName = Annotated[
    str, typer.Argument(help="A recipe: a YAML file, or one that comes along: grouprank-sft-tiny, …")
]
Lessons = Annotated[
    Path, typer.Option("--lessons", metavar="FILE", help="What to learn from (JSONL, shortlist data …).")
]
Dev = Annotated[
    Optional[Path], typer.Option("--dev", metavar="FILE", help="Lessons to choose by; default: a share of the queries.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only read recipe and lessons, and say what would be done.")]


_WORDS: dict[Method, str] = {
    "sft": """Teach a language model to rerank by imitation: lessons' targets, in the words of the prompt that will serve.

    In RUN: metrics.jsonl, dev/, results.json, report.html and checkpoints/best, which is a reranker.

    Example: `shortlist train sft grouprank-sft-tiny --lessons lessons.jsonl --output runs/sft optimiser.steps=100`
    """,
    "grpo": """Have a language model learn from what its own rankings are worth (GRPO): nDCG, an answer's quality, its form …

    Example: `shortlist train grpo grouprank-grpo-tiny --lessons lessons.jsonl --output runs/rl model=runs/sft/checkpoints/best`
    """,
    "dpo": """Have a language model prefer the better of two rankings (DPO): of the lessons' targets, or of its own samples.

    Example: `shortlist train dpo dynamicrag-dpo-tiny --lessons lessons.jsonl --output runs/dpo model=runs/sft/checkpoints/best`
    """,
}


def _training(method: Method) -> Callable[..., None]:
    """The command that trains by a method."""

    def command(
        recipe: RecipeName,
        lessons: Lessons,
        output: Output,
        changes: Changes = None,
        dev: Dev = None,
        resume: Resume = False,
        dry_run: DryRun = False,
        as_json: options.Json = False,
    ) -> None:
        need_training()
        from shortlist.training.text.run import need_trl

        need_trl()
        told = _recipe(recipe, changes).at(method)
        found = _lessons(told, lessons, dev)
        steps = told.steps(len(found.train))
        note(f"{len(found.train)} lessons to learn from, {len(found.dev)} to choose by, {steps} steps")
        if dry_run:
            out.print(told.text(), end="")
            return
        outcome = _train(told, found, lessons.name, output, resume=resume)
        _publish(output, outcome, as_json=as_json)

    return command


def plan(
    recipe: RecipeName,
    changes: Changes = None,
    lessons: Annotated[
        Optional[Path],
        typer.Option("--lessons", metavar="FILE", help="Count their tokens; default: the recipe's words."),
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="So many lessons, without --lessons.")] = 10_000,
    passages: Annotated[int, typer.Option("--passages", min=1, help="Passages of each, without --lessons.")] = 20,
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="Devices.")] = 1,
    memory: Annotated[float, typer.Option("--gpu-memory", min=0.1, help="GiB of each.")] = 80.0,
    tflops: Annotated[
        float, typer.Option("--tflops", min=0.001, help="Peak of each, in the training precision.")
    ] = 990.0,
    utilisation: Annotated[
        float, typer.Option("--utilisation", min=0.01, max=1, help="Of the peak, in training.")
    ] = 0.35,
    as_json: options.Json = False,
) -> None:
    """Say what a recipe needs before it starts: parameters, memory, tokens, steps, rough hours. Downloads nothing.

    Example: `shortlist train plan grouprank-grpo --gpus 64 --gpu-memory 141`
    """
    from shortlist.training.text.plan import Hardware, load_for, make_plan

    told = _recipe(recipe, changes)
    hardware = Hardware(gpus=gpus, memory=memory, tflops=tflops, utilisation=utilisation)
    found = make_plan(told, load_for(told, lessons, count=count, passages=passages), hardware)
    if as_json:
        put_json(found.to_json())
        return
    out.print(found.text())


def export_verl(
    recipe: RecipeName,
    lessons: Lessons,
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="A new folder for the files.")],
    changes: Changes = None,
    dev: Dev = None,
) -> None:
    """Write a GRPO recipe's lessons for verl: train.parquet, dev.parquet and a reward module without dependencies.

    Example: `shortlist train export-verl grouprank-grpo --lessons lessons.jsonl --output for-verl`
    """
    from shortlist.training.text.verl import export

    told = _recipe(recipe, changes)
    note(export(told, _lessons(told, lessons, dev), output))


def register(app: typer.Typer) -> None:
    """Add the commands to those of `shortlist train`."""
    for method, words in _WORDS.items():
        app.command(method, help=words)(_training(method))
    app.command("plan")(plan)
    app.command("export-verl")(export_verl)


# ------------------------------------------------------------------------------------------------ the run


def _train(told: TextRecipe, found: Divided, data: str, folder: Path, *, resume: bool) -> Outcome:
    from shortlist.evaluation.manifest import environment
    from shortlist.training.parallel import leave
    from shortlist.training.text.run import TextRun, train_text

    with progress("preparing") as bar:
        run = TextRun(
            recipe=told,
            folder=folder,
            lessons=found,
            data=data,
            about=environment(),
            note=note,
            on_step=Shown(bar, told.steps(len(found.train)), ("loss", "reward", "format")),
        )
        try:
            return train_text(run, resume=resume)
        finally:
            say_report(folder)
            leave()


def _publish(folder: Path, outcome: Outcome, *, as_json: bool) -> None:
    from shortlist.training.text.run import results

    if as_json:
        put_json({**results(outcome), "checkpoint": str(best_of(folder))})
        return
    say_outcome(folder, outcome)


# ------------------------------------------------------------------------------------------------ what is read


def _recipe(name: str, changes: list[str] | None) -> TextRecipe:
    from shortlist.training.text.recipe import TextRecipe

    return TextRecipe.read(recipe_path(name), changes or [])


def _lessons(told: TextRecipe, path: Path, dev: Path | None) -> Divided:
    from shortlist.data.lessons import read_lessons
    from shortlist.training.text.run import lessons_of

    return lessons_of(told, list(read_lessons(path)), None if dev is None else list(read_lessons(dev)))
