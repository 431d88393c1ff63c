"""Which lessons are learnt from, which choose, and which lessons a step takes."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shortlist.data.lessons import Lesson
from shortlist.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Divided:
    """Lessons to learn from and lessons to choose by; no query is in both."""

    train: list[Lesson]
    dev: list[Lesson]


def divide(lessons: Sequence[Lesson], dev: Sequence[Lesson] | None, share: float, seed: int) -> Divided:
    """With ``dev`` given, as it is (queries in both are an error); else a ``share`` of the queries, by the seed."""
    if dev is not None:
        both = {query_of(lesson) for lesson in lessons} & {query_of(lesson) for lesson in dev}
        if both:
            raise InvalidInput(
                f"{len(both)} queries are in --lessons and in --dev ({', '.join(sorted(both)[:3])} …); "
                "choosing by what is learnt from says nothing: take them out of one"
            )
        return Divided(list(lessons), list(dev))
    queries = sorted({query_of(lesson) for lesson in lessons}, key=lambda name: _rank(name, seed))
    chosen = set(queries[: round(share * len(queries))])
    if share and queries and not chosen and len(queries) > 1:
        chosen = {queries[0]}
    train = [lesson for lesson in lessons if query_of(lesson) not in chosen]
    return Divided(train, [lesson for lesson in lessons if query_of(lesson) in chosen])


def query_of(lesson: Lesson) -> str:
    """The query a lesson is about: the one that it was drawn from, where that is told."""
    return str(lesson.meta.get("qid") or lesson.slate.query.id)


def some(lessons: Sequence[Lesson], limit: int | None, seed: int) -> list[Lesson]:
    """At most ``limit`` of them, by the seed, in the order they came."""
    if limit is None or limit >= len(lessons):
        return list(lessons)
    places = sorted(np.random.default_rng([seed, 7]).permutation(len(lessons))[:limit].tolist())
    return [lessons[place] for place in places]


def unit_of(lesson: Lesson, place: int) -> str:
    """What stays together: the single passages of a query's pool, so that rewards which look at a whole pool see it."""
    return f"pool {query_of(lesson)} {lesson.meta.get('pool', '')}" if len(lesson) == 1 else f"lesson {place}"


def places(units: Sequence[str], steps: int, size: int, seed: int) -> list[int]:
    """The rows of all steps, one after the other, ``size`` each; each epoch shuffled.

    ``units`` names each row's unit; rows of one unit stay beside each other and in one step, as rewards that look at a
    whole query need them. Where what is left of a step has room for no whole unit, the beginning of one fills it, and the
    rest of that unit waits for the next epoch. Otherwise every row comes once an epoch.

    >>> sorted(places(["a", "b", "a"], 1, 3, 0))
    [0, 1, 2]
    """
    if not units:
        raise InvalidInput("there is nothing to learn from")
    pools: dict[str, list[int]] = {}
    for place, name in enumerate(units):
        pools.setdefault(name, []).append(place)
    whole = [pool[i : i + size] for pool in pools.values() for i in range(0, len(pool), size)]
    order, epoch = list[int](), 0
    while len(order) < steps * size:
        waiting = deque(whole[unit] for unit in np.random.default_rng([seed, epoch]).permutation(len(whole)))
        while waiting:
            room = size - len(order) % size
            fits = next((i for i, unit in enumerate(waiting) if len(unit) <= room), 0)
            order += waiting[fits][:room]
            del waiting[fits]
        epoch += 1
    return order[: steps * size]


def _rank(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()
