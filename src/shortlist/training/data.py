"""What a policy is trained and chosen on, and the discipline about it: the test split stays shut.

Train and dev come from the collection's own splits where it has them, or from files of queries. A collection with no
train split is divided at random by a seed; then there is nothing left to report on but another collection. No id, and
no question word for word, is in two of train, dev and test.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

from shortlist.data import Collection as TestCollection
from shortlist.data import RunFile, excluded_ids, open_collection, read_queries, requests
from shortlist.data.requests import OnMissing, candidates_hash, fail_on_missing
from shortlist.errors import InvalidInput, UnknownName
from shortlist.rerankers.strategies.hops import follow_up
from shortlist.training.solvable import Solvable, solvable
from shortlist.types import Qrels, Query, RerankRequest, Run

__all__ = ["Needs", "Solvable", "TrainingData", "following", "load_training", "solvable"]

Needs: TypeAlias = Literal["answers", "judgements", "nothing"]
_NEEDS: Final = ("answers", "judgements", "nothing")
_DEV: Final = ("dev", "validation", "valid", "val")


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Requests to train on and to choose by. ``qrels`` are of these queries only; ``notes`` say how they came about."""

    name: str
    train: tuple[RerankRequest, ...]
    dev: tuple[RerankRequest, ...]
    qrels: Qrels
    notes: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """A hash of all queries and candidates, for manifests."""
        return hashlib.sha256(f"{candidates_hash(self.train)} {candidates_hash(self.dev)}".encode()).hexdigest()

    @property
    def supervision(self) -> str:
        """A hash of what the fingerprint leaves out: the order of the queries, gold answers, judgements."""
        asked = [[(request.query.id, request.query.answers) for request in part] for part in (self.train, self.dev)]
        judged = sorted((qid, sorted(graded.items())) for qid, graded in self.qrels.items())
        return hashlib.sha256(json.dumps([asked, judged]).encode()).hexdigest()


def load_training(
    data: str | Path,
    *,
    run: str | Path | None = None,
    depth: int = 20,
    train: str | Path = "train",
    dev: str | Path = "dev",
    dev_share: float = 0.2,
    seed: int = 0,
    limit: int | None = None,
    dev_limit: int | None = None,
    needs: Needs = "answers",
    on_missing: OnMissing = fail_on_missing,
) -> TrainingData:
    """The training and dev requests of a collection, with ``depth`` candidates a query from a run, or else from BM25.

    ``train`` and ``dev`` name splits, or are JSONL files of queries. Where there is no dev part, ``dev_share`` of train
    is set apart. ``limit`` and ``dev_limit`` take the first so many queries of each. ``needs`` says what the reward is
    made of: with ``"judgements"`` queries with nothing relevant are left out, with ``"answers"`` those without gold
    answers stay (they are unanswerable), but some must have them.

    Raises:
        InvalidInput: the test split is asked for, parts overlap, or what the reward needs is not there.
    """
    _check(train, dev, depth, dev_share, needs)
    collection = open_collection(data)
    parts = _divided(collection, train, dev, dev_share, seed)
    chosen, notes = _kept(parts, collection, needs)
    chosen = _Parts(chosen.train[:limit], chosen.dev[:dev_limit], chosen.sealed, chosen.notes)
    if not chosen.train or not chosen.dev:
        raise InvalidInput(
            f"{collection.name}: {len(chosen.train)} queries to train on and {len(chosen.dev)} to choose by are left "
            f"({'; '.join((*parts.notes, *notes))}); both need some"
        )
    found = RunFile(run) if run is not None else _bm25(collection, [*chosen.train, *chosen.dev], depth)
    notes.append(f"candidates: {f'the run {run}' if run is not None else f'BM25 over the corpus, top {depth}'}")
    joined = [
        tuple(requests(collection, found, depth=depth, queries=queries, on_missing=on_missing))
        for queries in (chosen.train, chosen.dev)
    ]
    ready = tuple(request for request in joined[0] if request.candidates)
    if len(ready) < len(joined[0]):
        notes.append(f"{len(joined[0]) - len(ready)} training queries have no candidates and were left out")
    asked = {query.id for query in (*chosen.train, *chosen.dev)}
    qrels = {qid: graded for qid, graded in collection.qrels().items() if qid in asked}
    return TrainingData(collection.name, ready, joined[1], qrels, (*parts.notes, *notes))


def following(data: TrainingData, found: int, *, words: int) -> TrainingData:
    """The same questions one or more hops on: the first ``found`` candidates join the question, the rest is to be ranked.

    Training requests that have no candidates left are left out.

    Raises:
        InvalidInput: no training query has any left.
    """
    train, dev = (tuple(_followed(request, found, words) for request in part) for part in (data.train, data.dev))
    left = tuple(request for request in train if request.candidates)
    if not left:
        raise InvalidInput(
            f"data.found is {found}, and no training query has more candidates; give fewer, or data.depth"
        )
    return replace(data, train=left, dev=dev)


def _followed(request: RerankRequest, found: int, words: int) -> RerankRequest:
    query: Query = request.query
    for candidate in request.candidates[:found]:
        query = follow_up(query, candidate.document, words=words)
    return replace(request, query=query, candidates=request.candidates[found:])


# ------------------------------------------------------------------------------------------------ splits


@dataclass(frozen=True, slots=True)
class _Parts:
    """Queries to train on, to choose by, and those that are neither."""

    train: list[Query]
    dev: list[Query]
    sealed: list[Query]
    notes: tuple[str, ...]


def _is_test(split: str) -> bool:
    return split.lower().startswith("test")


def _check(train: str | Path, dev: str | Path, depth: int, dev_share: float, needs: str) -> None:
    for what, name in (("training", train), ("choosing", dev)):
        if isinstance(name, str) and _is_test(name) and not Path(name).is_file():
            raise InvalidInput(f"the split {name!r} is for reporting, once, at the end; give another one for {what}")
    if depth < 1 or not 0 < dev_share < 1:
        raise InvalidInput(f"depth {depth}, dev_share {dev_share}: give 1 or more, and a share between 0 and 1")
    if needs not in _NEEDS:
        raise UnknownName("need", needs, _NEEDS)


def _divided(collection: TestCollection, train: str | Path, dev: str | Path, dev_share: float, seed: int) -> _Parts:
    """Train, dev and sealed queries, by name, by file, or at random."""
    shut = [split for split in collection.splits if _is_test(split)]
    others = [split for split in collection.splits if not _is_test(split)]
    sealed = list(_of_splits(collection, shut))
    if not others and len({query.id for query in sealed}) == sum(1 for _ in collection.queries()):
        sealed = []  # all the queries there are: nothing could be learnt from, were they shut
    pool, how = _pool(collection, train, others, sealed)
    chosen = _dev_part(collection, dev, others)
    if chosen is None:
        kept, apart = _at_random(pool, dev_share, seed)
        return _Parts(kept, apart, sealed, (how, f"dev: {len(apart)} of these set apart by seed {seed}"))
    if not Path(train).is_file() and str(train) not in others:  # the pool is all that is not test
        taken = {query.id for query in chosen}
        pool = [query for query in pool if query.id not in taken]
    return _Parts(pool, chosen, sealed, (how, f"dev: {len(chosen)} queries of its own"))


def _pool(
    collection: TestCollection, train: str | Path, others: Collection[str], sealed: Iterable[Query]
) -> tuple[list[Query], str]:
    """What there is to train on, with what may yet become dev, and how it was found."""
    if Path(train).is_file():
        return list(read_queries(Path(train))), f"train: the file {Path(train).name}"
    if str(train) in others:
        return list(collection.queries(str(train))), f"train: the split {train}"
    if str(train) != "train":
        raise UnknownName(f"split to train on of {collection.name}", str(train), others)
    shut = {query.id for query in sealed}
    pool = [query for query in collection.queries() if query.id not in shut]
    told = "that are not test" if others or shut else "(also those judged for a test: report on another collection)"
    return pool, f"no train split: all {len(pool)} queries {told}"


def _dev_part(collection: TestCollection, dev: str | Path, others: Collection[str]) -> list[Query] | None:
    """The dev queries that there are; ``None``: some of train are to be set apart."""
    if Path(dev).is_file():
        return list(read_queries(Path(dev)))
    names = (str(dev),) if str(dev) != "dev" else _DEV
    found = next((name for name in names if name in others), None)
    if found is None and str(dev) != "dev":
        raise UnknownName(f"split to choose by of {collection.name}", str(dev), others)
    return None if found is None else list(collection.queries(found))


def _of_splits(collection: TestCollection, splits: Iterable[str]) -> Iterator[Query]:
    return (query for split in splits for query in collection.queries(split))


def _at_random(queries: Sequence[Query], share: float, seed: int) -> tuple[list[Query], list[Query]]:
    """All but a share, and the share: each in its order. Who goes where depends on the ids, not on their order."""
    drawn = sorted(queries, key=lambda query: hashlib.sha256(f"{seed} {query.id}".encode()).digest())
    apart = {query.id for query in drawn[: max(1, round(share * len(drawn)))]}
    return [q for q in queries if q.id not in apart], [q for q in queries if q.id in apart]


def _kept(parts: _Parts, collection: TestCollection, needs: Needs) -> tuple[_Parts, list[str]]:
    """The parts, checked to have nothing in common and to have what the reward needs."""
    _check_disjoint(parts)
    dev, twice_dev = _unseen(parts.dev, parts.sealed)
    train, twice_train = _unseen(parts.train, [*dev, *parts.sealed])
    notes = []
    if twice_train or twice_dev:
        notes.append(
            f"left out for being asked elsewhere too, word for word: {twice_train} of train, {twice_dev} of dev"
        )
    if needs == "judgements":
        relevant = {qid for qid, graded in collection.qrels().items() if any(grade > 0 for grade in graded.values())}
        judged = [[query for query in part if query.id in relevant] for part in (train, dev)]
        lost = len(train) + len(dev) - len(judged[0]) - len(judged[1])
        notes += [f"{lost} queries with nothing judged relevant were left out"] if lost else []
        train, dev = judged
    if needs == "answers" and not any(query.answers for query in train):
        raise InvalidInput(f"no training query of {collection.name} has gold answers; a reader's answers need them")
    return _Parts(train, dev, parts.sealed, parts.notes), notes


def _check_disjoint(parts: _Parts) -> None:
    ids = {name: [query.id for query in getattr(parts, name)] for name in ("train", "dev", "sealed")}
    for one, other in (("train", "dev"), ("train", "sealed"), ("dev", "sealed")):
        shared = sorted(set(ids[one]) & set(ids[other]))
        if shared:
            names = f"{one} and {'test' if other == 'sealed' else other}"
            raise InvalidInput(f"{len(shared)} queries are in both {names}, as {shared[:3]}; each may be in one only")


def _unseen(queries: Sequence[Query], others: Sequence[Query]) -> tuple[list[Query], int]:
    """Those that no other asks in the same words, and how many were dropped."""
    asked = {" ".join(query.text.lower().split()) for query in others}
    kept = [query for query in queries if " ".join(query.text.lower().split()) not in asked]
    return kept, len(queries) - len(kept)


def _bm25(collection: TestCollection, queries: Sequence[Query], depth: int) -> Run:
    from shortlist.retrieval.bm25 import BM25

    index = BM25.build(collection.corpus.values())
    spare = 1 + max((len(excluded_ids(query)) for query in queries), default=0)  # what is dropped leaves a place
    hits = index.retrieve(queries, depth=depth + spare)
    return {hit.query.id: dict(zip(hit.ids, hit.scores, strict=True)) for hit in hits}
