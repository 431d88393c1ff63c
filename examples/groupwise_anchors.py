"""Why groups need anchors: a judge that grades generously in one group and strictly in the next.

A scripted model grades each passage by its true worth plus an offset of its group's own. Pooled as they are, the grades
mix up the list; anchors, shared by all groups, and the merger that aligns groups by them put it right.
"""

import json
import re

from shortlist import Reranker, RerankRequest
from shortlist.backends.base import Ask
from shortlist.backends.scripted import ScriptedCompleter
from shortlist.rerankers.mergers import anchored, mean
from shortlist.rerankers.policies import TextPolicy
from shortlist.rerankers.strategies import Groups
from shortlist.text import GroupScores

N = 30
passages = [f"worth {worth}" for worth in sorted(range(N), key=lambda worth: worth * 7 % N)]


def moody(ask: Ask) -> str:
    """Grades from 0 to 10, shifted by up to three either way, group by group."""
    worths = [int(found) for found in re.findall(r"worth (\d+)", ask.messages[-1].content)]
    offset = sum(worths) % 7 - 3
    return json.dumps(
        {f"[{place}]": min(10, max(0, worth / 7.5 + 3 + offset)) for place, worth in enumerate(worths, 1)}
    )


def inversions(order: tuple[int, ...]) -> int:
    """How many pairs stand in the wrong order."""
    worth = [int(passages[place].split()[1]) for place in order]
    return sum(worth[i] < worth[j] for i in range(N) for j in range(i + 1, N))


policy = TextPolicy(prompt=GroupScores(), completer=ScriptedCompleter(moody))
for strategy in (Groups(size=10, merger=mean), Groups(size=10, anchors=3, merger=anchored)):
    (ranking,) = Reranker(policy=policy, strategy=strategy).rerank([RerankRequest.of("the most worth", passages)])
    wrong = inversions(ranking.order)
    print(f"anchors {strategy.anchors}: {wrong} of {N * (N - 1) // 2} pairs wrong, {ranking.usage.calls} calls")
