"""What the recipes share: generators by seed and name, shares, slates from requests, counts of what was left out."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from shortlist.errors import InvalidInput, UnknownName
from shortlist.types import Candidate, Query, Slate

T = TypeVar("T")
Tally: TypeAlias = Counter[str]
"""How many were kept, and how many left out for which reason; a recipe adds to the one it is given."""

ORDERS = ("first-stage", "shuffled", "near-ideal")
"""The orders that a slate may be shown in."""


def generator(seed: int, *names: object) -> random.Random:
    """A generator of its own for each name, the same on every machine."""
    return random.Random("\x1f".join(map(str, (seed, *names))))


def check_shares(shares: Mapping[str, float]) -> None:
    """That these are shares of input orders, :class:`~shortlist.errors.InvalidInput` if not."""
    for name, share in shares.items():
        if name not in ORDERS:
            raise UnknownName("input order", name, ORDERS)
        if not math.isfinite(share) or share < 0:
            raise InvalidInput(f"the share of {name!r} is {share}; give 0 or more")
    if not math.fsum(shares.values()) > 0:
        raise InvalidInput(f"the shares {dict(shares)} come to nothing; give one of {', '.join(ORDERS)} a share")


def parse_shares(text: str) -> dict[str, float]:
    """``first-stage=1,shuffled=2`` as a mapping; a name alone has the share 1."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, equals, share = part.strip().partition("=")
        try:
            shares[name] = float(share) if equals else 1.0
        except ValueError:
            raise InvalidInput(f"the share in {part!r} is no number; write it as in first-stage=1,shuffled=2") from None
    check_shares(shares)
    return shares


def arranged(
    candidates: Sequence[Candidate], order: str, grades: Mapping[str, float], rng: random.Random
) -> tuple[Candidate, ...]:
    """Candidates, given in first-stage order, in one of :data:`ORDERS`.

    ``near-ideal`` is best grade first (equal grades as the first stage has them), then a few neighbours change places:
    one for every four passages, so that "almost leave it alone" is to be learnt as well.
    """
    placed = list(candidates)
    if order == "shuffled":
        rng.shuffle(placed)
    elif order == "near-ideal":
        placed.sort(key=lambda candidate: -grades.get(candidate.id, 0.0))
        for _ in range(len(placed) // 4):
            i = rng.randrange(len(placed) - 1)
            placed[i], placed[i + 1] = placed[i + 1], placed[i]
    elif order != "first-stage":
        raise UnknownName("input order", order, ORDERS)
    return tuple(placed)


def slate_of(query: Query, candidates: Iterable[Candidate]) -> Slate:
    """A slate of candidates in this order."""
    return Slate(query, tuple(candidates))


def sampled(items: Sequence[T], count: int, rng: random.Random) -> list[T]:
    """``count`` of the items (all, if there are fewer), in their own order."""
    places = sorted(rng.sample(range(len(items)), min(count, len(items))))
    return [items[place] for place in places]
