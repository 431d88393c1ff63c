"""Lists from bare text, to learn the form of a task by: a few words of one snippet are the query (inverse cloze).

What a model of several passages learns first is not relevance but where to look: that the reply's ``[3]`` speaks of the third
passage. With whole passages that takes a small model longer than it is given; with snippets whose relevance can be seen from
their words it takes minutes, and what it has learnt carries over. The task is that of Lee et al. (arXiv 1906.00300), on lists.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shortlist.data.lessons import Lesson, Target
from shortlist.errors import InvalidInput
from shortlist.synthesis.common import Tally, generator, slate_of
from shortlist.synthesis.groups import TOP
from shortlist.text.messages import identifier
from shortlist.types import Candidate, Document, Query


@dataclass(frozen=True, kw_only=True)
class Cloze:
    """How lists are made.

    Args:
        count: lists; ``size``: snippets of each; ``words``: of a snippet; ``query``: words of a query.
        several: the share of lists in which a second snippet holds the query, too; ``none``: in which none does.
        reasoning: targets also reason: they tell each snippet's score, one after another.
    """

    count: int = 2000
    size: int = 5
    words: int = 6
    query: int = 3
    several: float = 0.33
    none: float = 0.05
    reasoning: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or self.size < 2 or not 1 <= self.query <= self.words:
            told = f"count {self.count}, size {self.size}, words {self.words}, query {self.query}"
            raise InvalidInput(f"{told}: give a count from 1, a size from 2, and queries no longer than their snippets")
        if not (0 <= self.several <= 1 and 0 <= self.none <= 1):
            raise InvalidInput(f"several {self.several}, none {self.none}: give shares between 0 and 1")

    def lessons(self, passages: Sequence[Document], tally: Tally) -> Iterator[Lesson]:
        """The lists; passages shorter than a snippet are left out."""
        texts = [words for passage in passages if len(words := passage.text.split()) >= self.words]
        tally["passages shorter than a snippet"] += len(passages) - len(texts)
        if len(texts) <= self.size:
            raise InvalidInput(f"{len(texts)} passages have {self.words} words or more; give more than {self.size}")
        for number in range(self.count):
            tally["kept"] += 1
            yield self._lesson(f"cloze-{number}", texts)

    def _lesson(self, name: str, texts: Sequence[list[str]]) -> Lesson:
        rng = generator(self.seed, name)
        *snippets, stranger = (self._snippet(words, rng) for words in rng.sample(texts, self.size + 1))
        holders = rng.sample(range(self.size), 1 + (rng.random() < self.several))
        if rng.random() < self.none:
            holders = []
        first = snippets[holders[0]] if holders else stranger
        start = rng.randrange(self.words - self.query + 1)
        asked = first[start : start + self.query]
        for place in holders[1:]:
            at = rng.randrange(self.words - self.query + 1)
            snippets[place][at : at + self.query] = asked
        good = [place in holders for place in range(self.size)]
        candidates = [Candidate(Document(id=f"{name}/{i}", text=" ".join(words))) for i, words in enumerate(snippets)]
        best = tuple(sorted(holders))
        return Lesson(
            slate=slate_of(Query(text=" ".join(asked), id=name), candidates),
            grades={f"{name}/{place}": 1.0 for place in best},
            target=Target(
                order=(*best, *(i for i in range(self.size) if not good[i])),
                scores=tuple(float(TOP * held) for held in good),
                subset=best,
                reasoning=" ".join(f"{identifier(i)}{TOP * held}" for i, held in enumerate(good)) * self.reasoning,
            ),
            meta={"id": name, "qid": name, "input_order": "shuffled"},
        )

    def _snippet(self, words: list[str], rng: random.Random) -> list[str]:
        start = rng.randrange(len(words) - self.words + 1)
        return words[start : start + self.words]
