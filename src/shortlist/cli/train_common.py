"""What the commands of `shortlist train` share: their options, recipes by name, and what is said of a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from shortlist.backends.torch_models import import_torch
from shortlist.cli.console import note, out, warn
from shortlist.errors import InvalidInput, MissingExtra, UnknownName

if TYPE_CHECKING:
    from shortlist.training.progress import Outcome

Output = Annotated[Path, typer.Option("--output", metavar="RUN", help="The run's folder; new, but for --resume.")]
Changes = Annotated[
    Optional[list[str]], typer.Argument(help="Changes to it: section.field=value, as optimiser.steps=100")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last state of an interrupted run.")]


def need_training() -> None:
    """Torch and what goes with it, or the extra's name."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import_torch()
    except MissingExtra as error:
        raise MissingExtra("torch", "train") from error
    if "torch" in sys.modules and os.environ.get("WORLD_SIZE", "1") != "1":
        import_torch(1)  # several processes share the cores


# ------------------------------------------------------------------------------------------------ recipes


def recipe_path(name: str) -> Path:
    """The file of a recipe: itself, or one that comes along."""
    path = Path(name)
    if path.is_file():
        return path
    known = shipped()
    if name not in known:
        raise UnknownName("recipe (nor is it a file)", name, known)
    return known[name]


def shipped() -> dict[str, Path]:
    """The recipes that come with the package, or lie in the source tree it runs from."""
    import shortlist

    package = Path(shortlist.__file__).parent
    folders = [folder for folder in (package / "recipes", package.parents[1] / "recipes") if folder.is_dir()]
    return {path.stem: path for folder in folders[:1] for path in sorted(folder.glob("*.yaml"))}


# ------------------------------------------------------------------------------------------------ what is said of a run


class Shown:
    """Tells the terminal of each step: alarms, measurements on dev, and the named figures beside the bar."""

    def __init__(self, bar: Any, total: int, names: Sequence[str]) -> None:
        self._bar, self._total, self._names, self._dev = bar, total, names, ""

    def __call__(self, step: int, told: Mapping[str, Any]) -> None:
        """Tell of one step."""
        for alarm in told.get("alarms", ()):
            warn(f"step {step}: {alarm}")
        if "dev" in told:
            self._dev = f" · dev {told['dev']['reward']:.4f}" if "reward" in told["dev"] else ""
            note(f"step {step}: dev " + ", ".join(f"{name} {value:.4f}" for name, value in told["dev"].items()))
        figures = [f" · {name} {told[name]:.3f}" for name in self._names if told.get(name) is not None]
        self._bar.show("".join(["training", *figures, self._dev]), step, self._total)


def say_report(run: Path) -> None:
    """Write the report, as far as there is anything to report on."""
    from shortlist.training.report import write_report

    if not (run / "dev" / "best.json").is_file():
        return
    try:
        note(f"report: {write_report(run)}")
    except (OSError, InvalidInput) as problem:  # it must not hide why the run ended, nor that it ended well
        warn(f"no report: {problem}; shortlist train report {run} makes it from the folder")


def best_of(run: Path) -> Path:
    """Where a run keeps the reranker that it made."""
    return run / "checkpoints" / "best"


def say_outcome(run: Path, outcome: Outcome, *remarks: str, reranker: str = "") -> None:
    """How a run ended, and how to use what it made: as ``reranker``, or by the checkpoint's folder alone."""
    out.print(f"{outcome.steps} steps ({outcome.why}); the best weights are those of step {outcome.best_step}")
    for name, value in outcome.after.items():
        out.print(f"  dev {name:12} {outcome.before.get(name, float('nan')):.4f} → {value:.4f}")
    named = reranker or best_of(run)
    for remark in (*remarks, f"use it: shortlist rerank --reranker {named} …, or shortlist serve --reranker {named}"):
        note(remark)
