"""Scripted rankers and a scripted reader on requests whose right answers can be worked out by hand."""

from dataclasses import dataclass

from shortlist.reading.base import Answer
from shortlist.types import Candidate, Document, Query, Ranking, RerankRequest, Status, Usage


def request(query_id, golds, n=4, answers=("gold",)):
    """Passages d0 … whose text tells whether they hold the answer; the candidate's score falls by one."""
    documents = [Document(id=f"d{i}", text="here is gold" if i in golds else f"nothing {i}") for i in range(n)]
    candidates = tuple(Candidate(document, float(n - i)) for i, document in enumerate(documents))
    return RerankRequest(Query(text=f"where in {query_id}?", id=query_id, answers=answers), candidates)


REQUESTS = (request("q1", {1}), request("q2", {0}), request("q3", {3}))
QRELS = {"q1": {"d1": 1}, "q2": {"d0": 1}, "q3": {"d3": 1}}


@dataclass(frozen=True)
class Scripted:
    """Ranks by a function of the request that gives a ranking's fields."""

    rank: object
    name: str = "scripted"
    identity: str = "scripted/1"

    def rerank(self, requests, /):
        for one in requests:
            yield self.rank(one)


def to_front(one, **told):
    """The passage with the answer first, the others in their order."""
    gold = [i for i, c in enumerate(one.candidates) if "gold" in c.document.text]
    return Ranking.of(
        one, [*gold, *(i for i in range(len(one)) if i not in gold)], usage=Usage(1, 10, 5, 0, 0.5), **told
    )


def perfect(**told):
    return Scripted(lambda one: to_front(one, **told), "perfect")


def broken():
    return Scripted(lambda one: Ranking.of(one, range(len(one)), status=Status.FAILED, usage=Usage(1)), "broken")


class Finder:
    """Answers "gold" if a passage holds it, abstains on no passage at all, else says something wrong."""

    identity = "finder"

    def __init__(self):
        self.batches, self.asked = [], []

    def read(self, readings, /):
        readings = list(readings)
        self.batches.append(len(readings))
        for one in readings:
            self.asked.append((one.query.id, len(one.documents)))
            found = any("gold" in document.text for document in one.documents)
            text = "gold" if found else "wrong" if one.documents else None
            yield Answer(text=text, reading=one, usage=Usage(1, 100, 2, 0, 0.1))
