"""Tiny models with random weights and requests in their words, for the tests of training."""

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))

import tiny

from shortlist.types import Document, Query, RerankRequest

bert, llama = tiny.bert, tiny.llama
_WORDS = [*tiny.COMMON.split(), *tiny.NUMBERS.split()]


def requests(count: int = 3, candidates: int = 5, *, seed: int = 0, longest: int = 20) -> list[RerankRequest]:
    """Random words, of unlike lengths."""
    draw = random.Random(seed)

    def text(most: int) -> str:
        return " ".join(draw.choices(_WORDS, k=draw.randint(1, most)))

    return [
        RerankRequest.of(
            Query(id=f"q{q}", text=text(6)),
            [Document(id=f"{q}-{d}", text=text(longest), title=text(2) if d % 2 else "") for d in range(candidates)],
        )
        for q in range(count)
    ]
