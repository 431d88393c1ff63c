"""Measuring a text policy on dev lessons by the very path that serves: the catalog's strategy, policy, prompt and driver."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shortlist.data.lessons import Lesson
from shortlist.metrics.ranking import ndcg_ties
from shortlist.rerankers.base import Reranker
from shortlist.rewards.text.base import Reply, WeightedTextReward
from shortlist.training.development import NDCG, Measured
from shortlist.training.text.forms import live_reranker, whole
from shortlist.training.text.models import LiveCompleter, Serving
from shortlist.types import Rollout, Status, Turn

FORMAT = "format"
"""The share of replies that are in the form asked for (status ok)."""


@dataclass(frozen=True, kw_only=True)
class TextDevelopment:
    """The dev lessons. Lessons of one passage are ranked by query.

    Values: ``ndcg@10`` over lessons with a grade above 0, ``format``, ``kept`` (passages above the cutoff), ``length``
    (tokens a reply), ``reward`` (the recipe's, of the replies; nDCG@10 where the recipe has none) and its parts.
    """

    lessons: Sequence[Lesson]
    serving: Serving
    reward: Callable[[], WeightedTextReward] | None = None

    def measure(self, completer: LiveCompleter, told: Callable[[int, int], None] | None = None) -> Measured:
        """The policy as it is now; greedy, unless it serves otherwise."""
        reranker = live_reranker(completer, self.serving.kind, self.serving.options, self.serving.prompt)
        lessons = whole(self.lessons)
        records, replies = [], []
        names = _names(lessons)
        for place, rollout in enumerate(self._rollouts(reranker, lessons)):
            lesson = lessons[place]
            records.append({"id": names[place], **_record(lesson, rollout)})
            replies.append([_reply(lesson, turn) for turn in rollout.turns])
            if told is not None:
                told(place + 1, len(lessons))
        return Measured(self._values(records, self._rewarded(records, replies)), records)

    def _rollouts(self, reranker: Reranker[Any], lessons: Sequence[Lesson]) -> Any:
        return reranker.rollouts(lesson.request for lesson in lessons)

    def _rewarded(self, records: list[dict[str, Any]], replies: list[list[Reply]]) -> list[str]:
        """Write each record's ``reward`` and ``parts``: the mean over its replies; the names of the parts."""
        if self.reward is None:
            for record in records:
                record["reward"] = record.get(NDCG, math.nan)
            return []
        scored = iter(self.reward().score_parts([reply for some in replies for reply in some]))
        names: dict[str, None] = {}
        for record, some in zip(records, replies, strict=True):
            mine = [next(scored) for _ in some]
            names.update(dict.fromkeys(name for one in mine for name in one.parts))
            record["reward"] = mean(one.total for one in mine)
            record["parts"] = {name: mean(one.parts[name] for one in mine) for name in names}
        return list(names)

    def _values(self, records: Sequence[Mapping[str, Any]], parts: Sequence[str]) -> dict[str, float]:
        told = {"reward": mean(record["reward"] for record in records)}
        told |= {name: mean(record[name] for record in records if name in record) for name in (NDCG, FORMAT)}
        told |= {"kept": mean(len(record["kept"]) for record in records)}
        told |= {"length": mean(record["length"] for record in records)}
        return told | {
            name: mean(record["parts"].get(name) for record in records) for name in parts if name not in told
        }


def mean(values: Any) -> float:
    """Over what is known; NaN where nothing is."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _reply(lesson: Lesson, turn: Turn[Any]) -> Reply:
    """A reply to what one call showed of the lesson."""
    place = {docid: i for i, docid in enumerate(lesson.ids)}
    shown = [place[candidate.id] for candidate in turn.slate.candidates]
    same = shown == list(range(len(lesson)))
    return Reply(lesson if same else lesson.part(shown), turn.text, turn.verdict, turn.usage.completion_tokens)


def _names(lessons: Sequence[Lesson]) -> list[str]:
    """A name of its own for each lesson: its id, its query's, with a number where several have the same."""
    names = [str(lesson.meta.get("id") or lesson.slate.query.id) for lesson in lessons]
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return unique


def _record(lesson: Lesson, rollout: Rollout) -> dict[str, Any]:
    ranking, turns, query = rollout.ranking, rollout.turns, lesson.slate.query
    record: dict[str, Any] = {
        "query": query.text,
        "golds": list(query.answers),
        "kept": [{"id": c.id, "title": c.document.title, "text": c.document.text} for c in ranking.kept],
        "text": "\n\n".join(turn.text if turn.error is None else f"({turn.error})" for turn in turns),
        "prompt": "\n\n".join(message.content for message in turns[0].messages) if turns else "",
        "status": str(ranking.status),
        FORMAT: mean(float(turn.verdict.status is Status.OK) for turn in turns),
        "length": mean(float(turn.usage.completion_tokens) for turn in turns),
    }
    grades = [lesson.grades.get(docid, 0.0) for docid in ranking.ids]
    if any(grade > 0 for grade in grades):
        record[NDCG] = ndcg_ties([-float(rank) for rank in range(len(grades))], grades, 10)
    return record
