"""One process of several: a short GRPO run. Started by torchrun; see test_text_processes."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tiny_writers import BASE, lessons

from conftest import Signs
from shortlist.rewards.text import registry
from shortlist.training.parallel import leave
from shortlist.training.text.recipe import TextRecipe
from shortlist.training.text.run import TextRun, lessons_of, train_text


def main(model: str, folder: str, method: str) -> None:
    torch.set_num_threads(1)
    registry.REWARDS["signs"] = Signs
    told = {"model": model, "method": method, "reward.parts": "1 signs", "optimiser.lessons": 4, "optimiser.micro": 4}
    recipe = TextRecipe.of({**BASE, **told, "loss.kind": "grpo"})
    dev = lessons(1, first=20)
    train_text(TextRun(recipe=recipe, folder=Path(folder), lessons=lessons_of(recipe, lessons(6), dev)))


if __name__ == "__main__":
    main(*sys.argv[1:])
    leave()
