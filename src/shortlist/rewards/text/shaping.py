"""Shaping: pure functions that turn what a group's replies earned into what learning is given.

A group's rewards come one a reply, ``None`` where one could not be scored: it stays ``None`` and counts for nothing. Put
one through all groups of a step with :func:`~shortlist.rewards.text.base.shaped`. Advantages (z-scores, leave-one-out)
are the trainer's; these come before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from shortlist.errors import InvalidInput
from shortlist.metrics.answers import sub_em

Rewards: TypeAlias = Sequence[float | None]
Match: TypeAlias = tuple[int, int]
Compare: TypeAlias = Callable[[Sequence[Match]], Sequence[tuple[float, float]]]
"""Judges many matches at once: the two scores of each, the first reply's first."""


# ------------------------------------------------------------------------------------------------ within the group


def relative(rewards: Rewards) -> list[float | None]:
    """``(reward - mean) / (highest - lowest)`` of the group: in [-1, 1], their sum 0; all 0 where all earned the same.

    The published DynamicRAG code (arXiv 2505.07233) gives 0 to groups whose replies all earned the same; the rest is ours.

    >>> relative([1.0, 0.0, None, 0.5])
    [0.5, -0.5, None, 0.0]
    """
    known = [reward for reward in rewards if reward is not None]
    spread = max(known) - min(known) if known else 0.0
    mean = math.fsum(known) / len(known) if known else 0.0
    return [None if r is None else (r - mean) / spread if spread else 0.0 for r in rewards]


def rank_rewards(rewards: Rewards) -> list[float | None]:
    """``1 - (rank - 1) / (G - 1)`` in the group: 1 for the best, 0 for the worst, equal rewards share their mean rank.

    So differences that are compressed (a judge that gives everything 0.8) count as much as large ones. All equal, or one
    alone: 0.5. ArenaRL, arXiv 2601.06487, makes rewards of the ranks of a tournament in this way.

    >>> rank_rewards([0.80, 0.81, None, 0.81])
    [0.0, 0.75, None, 0.75]
    """
    known = [reward for reward in rewards if reward is not None]
    if len(known) < 2:
        return [None if reward is None else 0.5 for reward in rewards]

    def share(reward: float) -> float:
        better, equal = sum(other > reward for other in known), sum(other == reward for other in known)
        return 1 - (better + (equal - 1) / 2) / (len(known) - 1)

    return [None if reward is None else share(reward) for reward in rewards]


SHAPES: dict[str, Callable[[Rewards], list[float | None]]] = {"relative": relative, "rank": rank_rewards}
"""Those that need nothing but a group's rewards, by the names that recipes know."""


# ------------------------------------------------------------------------------------------------ tournaments


def tournament(players: int, compare: Compare) -> list[float]:
    """Rewards from a seeded single-elimination tournament of a group: 1 for the champion down to 0 for the last.

    Reply 0 is the anchor (put the greedy one there): all others are compared with it, which seeds the bracket so that
    strong replies meet late; then rounds are played, the higher score going on, the better seed at a draw. Who loses in
    one round is ranked by mean score over all matches. It takes ``2 * (players - 1)`` matches where all pairs take
    ``players * (players - 1) / 2``. One player alone has 0.5; players of equal rank and equal mean score share theirs.

    ArenaRL, arXiv 2601.06487; losers ordered as in its code (``Alibaba-NLP/qqr``); byes for the best seeds, and equals
    sharing their rank, are ours.
    """
    if players < 2:
        return [0.5] * players
    points: list[list[float]] = [[] for _ in range(players)]
    _play([(i, 0) for i in range(1, players)], compare, points)
    seeds = sorted(range(players), key=lambda i: (-_mean(points[i]), i))
    seed = {player: place for place, player in enumerate(seeds)}
    rounds = [0] * players
    left: list[int | None] = [seeds[place] if place < players else None for place in _bracket(players)]
    while len(left) > 1:
        pairs = list(zip(left[::2], left[1::2], strict=True))
        matches = [(a, b) for a, b in pairs if a is not None and b is not None]
        won = {
            match: match[0] if x > y or (x == y and seed[match[0]] < seed[match[1]]) else match[1]
            for match, (x, y) in zip(matches, _play(matches, compare, points), strict=True)
        }
        left = [won[a, b] if a is not None and b is not None else b if a is None else a for a, b in pairs]
        for player in left:
            rounds[player or 0] += player is not None
    return _by_place([(float(rounds[i]), _mean(points[i])) for i in range(players)])


def round_robin(players: int, compare: Compare) -> list[float]:
    """Rewards from every pair's match: a win counts 1, a draw a half; ranks become rewards as in :func:`rank_rewards`."""
    pairs = [(i, j) for i in range(players) for j in range(i + 1, players)]
    wins = [0.0] * players
    for (i, j), (x, y) in zip(pairs, _play(pairs, compare, [[] for _ in range(players)]), strict=True):
        wins[i] += 0.5 + (x > y) / 2 - (x < y) / 2
        wins[j] += 0.5 + (y > x) / 2 - (y < x) / 2
    return _by_place([(win, 0.0) for win in wins])


def by_reward(rewards: Sequence[float]) -> Compare:
    """Matches decided by rewards that are known already."""
    return lambda pairs: [(rewards[i], rewards[j]) for i, j in pairs]


def _play(pairs: Sequence[Match], compare: Compare, points: list[list[float]]) -> list[tuple[float, float]]:
    told = list(compare(pairs)) if pairs else []
    if len(told) != len(pairs) or not all(math.isfinite(x) and math.isfinite(y) for x, y in told):
        raise InvalidInput(f"the matches {pairs} came out as {told}; give two finite scores each")
    for (i, j), (x, y) in zip(pairs, told, strict=True):
        points[i].append(x)
        points[j].append(y)
    return told


def _bracket(players: int) -> list[int]:
    """Seeds in bracket order, as many as the next power of two: 0 and 1 can only meet last, byes fall to the best."""
    order = [0]
    while len(order) < players:
        order = [place for i in order for place in (i, 2 * len(order) - 1 - i)]
    return order


def _by_place(keys: Sequence[tuple[float, float]]) -> list[float]:
    ladder = {key: float(place) for place, key in enumerate(sorted(set(keys)))}
    return [share if share is not None else 0.5 for share in rank_rewards([ladder[key] for key in keys])]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


# ------------------------------------------------------------------------------------------------ partial credit


def entity_rates(texts: Sequence[str], entities: Sequence[str]) -> list[float]:
    """The share of the entities that each text mentions: in [0, 1], 0 where there are none.

    An entity is mentioned if its words stand in the text in a row, after the normalisation of answers (the paper asks
    for the exact string; whole words keep "Ada" out of "Canada").
    """
    wanted = [entity for entity in dict.fromkeys(entities) if entity.strip()]
    return [sum(sub_em(text, [entity]) for entity in wanted) / len(wanted) if wanted else 0.0 for text in texts]


def entity_credit(
    rewards: Rewards, rates: Sequence[float], *, failed: Sequence[bool] = (), correct: float = 1.0, alpha: float = 0.3
) -> list[float | None]:
    """Partial credit for near misses: 1 for a correct reply, ``alpha * rate / (highest rate of the group)`` for a wrong one.

    A reply is correct if it earned ``correct`` or more; one that ``failed`` (no form, too long) earns 0. In [0, 1]. So a
    group that is wrong throughout still tells which replies found more of the entities.

    E-GRPO, arXiv 2510.24694, equations 3 and 5; ``alpha`` as its ablation has it.

    >>> entity_credit([1.0, 0.0, 0.0, 0.0], [1.0, 0.5, 0.0, 1.0], failed=[False, False, False, True])
    [1.0, 0.15, 0.0, 0.0]
    """
    fails = failed or [False] * len(rewards)
    if not len(rewards) == len(rates) == len(fails) or not 0 <= alpha <= 1:
        told = f"{len(rewards)} rewards, {len(rates)} rates, {len(fails)} failures, alpha {alpha}"
        raise InvalidInput(f"{told}; give as many of each, and alpha from 0 to 1")
    if not all(0 <= rate <= 1 for rate in rates):
        raise InvalidInput(f"rates {list(rates)}; give shares from 0 to 1")
    top = max(rates, default=0.0)

    def one(reward: float, rate: float, *, fails: bool) -> float:
        if fails:
            return 0.0
        return 1.0 if reward >= correct else alpha * (rate / top) if top else 0.0

    each = zip(rewards, rates, fails, strict=True)
    return [None if reward is None else one(reward, rate, fails=fail) for reward, rate, fail in each]


# ------------------------------------------------------------------------------------------------ curriculum


def difficulty(rewards: Rewards, bounds: tuple[float, float] = (0.0, 1.0)) -> float | None:
    """How hard a lesson is for the policy, from what its replies earned: 0 all the most, 1 all the least; in [0, 1]."""
    low, high = bounds
    known = [reward for reward in rewards if reward is not None]
    if not known or not high > low:
        return None
    return min(1.0, max(0.0, (high - math.fsum(known) / len(known)) / (high - low)))


def curriculum(levels: Sequence[float], progress: float, *, stages: int = 3, rehearsal: float = 0.2) -> list[float]:
    """The weights to draw lessons by at a point of training: easy ones first, then harder ones, stage by stage.

    ``levels`` are difficulties (any scale): the lessons are cut into ``stages`` equal parts from easy to hard, equal
    levels in one part. At ``progress`` (0 to 1 of training) the part whose turn it is weighs 1, parts that had their turn
    weigh ``rehearsal``, later ones 0. If nothing weighs anything (its turn's part is empty), all earlier ones weigh 1.

    DACL-RAG, arXiv 2505.10493, trains in such stages (easy, common, hard); equal parts and rehearsal are ours.

    >>> curriculum([0.1, 0.9, 0.5], progress=0.5)
    [0.2, 0.0, 1.0]
    """
    if not 0 <= progress <= 1 or stages < 1 or not 0 <= rehearsal <= 1:
        told = f"progress {progress}, stages {stages}, rehearsal {rehearsal}"
        raise InvalidInput(f"{told}; give 0 to 1, 1 or more, 0 to 1")
    if any(math.isnan(level) for level in levels):
        raise InvalidInput(f"difficulties {list(levels)}; leave out lessons whose difficulty is not known")
    turn = min(stages - 1, int(progress * stages))
    below = {level: sum(other < level for other in levels) for level in set(levels)}
    stage = [below[level] * stages // len(levels) for level in levels]
    if turn not in stage:
        return [float(each < turn) for each in stage]
    return [1.0 if each == turn else rehearsal if each < turn else 0.0 for each in stage]
