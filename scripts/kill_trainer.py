"""Kill a trainer at random moments, resume it, and see that nothing is lost: ``python scripts/kill_trainer.py --kills 20``.

The run is the toy of the tests (a tiny random cross-encoder, a reader that is a function). Each attempt is a forked
process that is killed with SIGKILL after a random time; the one that gets to the end must have written the metrics and
the checkpoints of a run that nobody killed, byte for byte. No reading is made twice but the batch that a kill cut off.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "training"))

import torch
import toy_run
from transformers import AutoModelForSequenceClassification, BertForSequenceClassification  # noqa: F401 - once, for all forks

from shortlist.reading.base import Answer, Reading

BATCH = 32  # reward.batch: what is read at a time, and stored
RESULTS = ("metrics.jsonl", "dev/best.json", "checkpoints/best/model.safetensors", "checkpoints/last/model.safetensors")


def forked(work: Callable[[], object], *, kill_after: float | None = None) -> tuple[bool, float]:
    """Run ``work`` in a process of its own; whether it came to its end, and in how many seconds."""
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        try:
            work()
        except BaseException as problem:  # noqa: BLE001 - the fork must not go on as its parent
            print(f"failed: {type(problem).__name__}: {problem}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    while kill_after is None or time.monotonic() - started < kill_after:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if status:
                sys.exit(f"the trainer ended with status {status}")
            return True, time.monotonic() - started
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False, time.monotonic() - started


@dataclass
class Counted(toy_run.Colourist):
    """Leaves a mark in a file for each reading, in whatever process."""

    marks: Path = Path()

    def _answer(self, reading: Reading) -> Answer:
        with self.marks.open("ab") as file:
            file.write(b".")
        return super()._answer(reading)


def readings(run: Path) -> int:
    return run.with_suffix(".read").stat().st_size


def train(run: Path, data: Path, model: Path, overrides: list[str]) -> None:
    toy_run.train(
        run,
        toy_run.recipe(model, *overrides),
        data,
        resume=run.exists() and (run / "recipe.yaml").exists(),
        reader=Counted(seconds=0.001, marks=run.with_suffix(".read")),
    )


def check(run: Path, whole: Path) -> None:
    for name in RESULTS:
        if (run / name).read_bytes() != (whole / name).read_bytes():
            sys.exit(f"{run / name} is not what an uninterrupted run writes ({whole / name})")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--folder", type=Path, help="keep the runs here")
    options.add_argument("overrides", nargs="*", help="of the recipe, as credit.form=marginal")
    told = options.parse_args()
    draw = random.Random(told.seed)
    with tempfile.TemporaryDirectory() as scratch:
        root = told.folder or Path(scratch)
        data, model, whole = root / "data", root / "bert", root / "whole"
        forked(lambda: (toy_run.collection(data), toy_run.bert(model)))
        _, seconds = forked(lambda: train(whole, data, model, told.overrides))
        killed = runs = again = 0
        while killed < told.kills:
            run, finished = root / f"run-{runs}", False
            runs += 1
            while not finished:
                limit = draw.uniform(0, 0.7 * seconds) if killed < told.kills else None
                finished, _ = forked(lambda run=run: train(run, data, model, told.overrides), kill_after=limit)
                killed += not finished
            check(run, whole)
            again += readings(run) - readings(whole)
        if again > killed * BATCH:
            sys.exit(f"{again} readings were made again after {killed} kills; a kill costs {BATCH} at most")
        print(f"{killed} kills in {runs} runs of {seconds:.1f} s: metrics and checkpoints are byte for byte the same;")
        print(f"{readings(whole)} readings a run, {again} in all made again")


if __name__ == "__main__":
    main()
