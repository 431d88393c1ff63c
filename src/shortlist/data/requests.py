"""Joining a run with texts: the requests that a reranker is given, one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from shortlist.data.collection import Collection, excluded_ids
from shortlist.data.index import OffsetIndex
from shortlist.data.trec import Ties, ranked
from shortlist.errors import InvalidInput
from shortlist.types import Candidate, Document, Query, RerankRequest, Run

OnMissing = Callable[[str, Sequence[str]], None]
"""Told of a query id and of its candidates whose texts are not in the corpus."""


def fail_on_missing(qid: str, docids: Sequence[str]) -> None:
    """A run that names documents that the corpus lacks is an error."""
    raise InvalidInput(
        f"query {qid!r}: {len(docids)} of the run's documents are not in the corpus: {_first(docids)}; "
        "take the corpus that the run was made on, or count and pass over them with on_missing=Missing()"
    )


class Missing:
    """Counts the candidates without text instead, and goes on without them."""

    def __init__(self) -> None:
        self.count = 0
        self.examples: list[tuple[str, str]] = []

    def __call__(self, qid: str, docids: Sequence[str]) -> None:
        """Count them, and remember the first few."""
        self.count += len(docids)
        self.examples += [(qid, docid) for docid in docids[: max(0, 5 - len(self.examples))]]


def requests(
    collection: Collection,
    run: Run,
    *,
    depth: int = 100,
    queries: Iterable[Query] | None = None,
    split: str | None = None,
    drop_self: bool = True,
    ties: Ties = "docid",
    on_missing: OnMissing = fail_on_missing,
) -> Iterator[RerankRequest]:
    """Each query with its ``depth`` best documents of the run, in the order of the queries, as they are needed.

    A query that the run does not know has no candidates, so that it counts. Dropped before the depth is counted are
    the query's excluded ids and, with ``drop_self``, the query itself: a document with the query's id *and* its words
    (ArguAna, Quora). The id alone does not tell: many collections number queries and documents alike.

    Args:
        queries: those to ask instead of the collection's; the run may then have others.
        ties: the order of documents whose scores are equal, see :func:`~shortlist.data.trec.ranked`.
        on_missing: told of candidates whose text the corpus lacks; they leave their places empty.

    Raises:
        InvalidInput: at once, a query of the run that the collection does not have, or a query id that comes twice;
            on the way, what ``on_missing`` raises; at the end, when the run knows none of the queries.
    """
    if depth < 1:
        raise InvalidInput(f"depth is {depth}; give 1 or more")
    if queries is None:
        _check_run(collection, run)
        queries = collection.queries(split)
    join = _Join(run, collection.corpus, depth, drop_self=drop_self, ties=ties, on_missing=on_missing)
    return join.each(queries)


def _check_run(collection: Collection, run: Run) -> None:
    known = OffsetIndex((query.id, place) for place, query in enumerate(collection.queries()))
    for place, again in known.repeated():
        raise InvalidInput(
            f"{collection.name}: queries {place + 1} and {again + 1} have the same id; ids must be unique"
        )
    strange = [qid for qid in run if not known.find(qid)]
    if strange:
        raise InvalidInput(
            f"{len(strange)} of the run's {len(run)} queries are not in {collection.name}: {_first(strange)}; "
            "is it a run of another collection?"
        )


class _Join:
    """A run and a corpus, met query by query."""

    def __init__(
        self,
        run: Run,
        corpus: Mapping[str, Document],
        depth: int,
        *,
        drop_self: bool,
        ties: Ties,
        on_missing: OnMissing,
    ) -> None:
        self._run, self._corpus, self._depth = run, corpus, depth
        self._drop_self, self._ties, self._on_missing = drop_self, ties, on_missing

    def each(self, queries: Iterable[Query]) -> Iterator[RerankRequest]:
        """The requests."""
        asked = met = 0
        for query in queries:
            scores = self._run.get(query.id)
            asked, met = asked + 1, met + (scores is not None)
            yield RerankRequest(query, tuple(self._candidates(query, scores or {})))
        if asked and not met and len(self._run):
            raise InvalidInput(f"none of the {asked} queries is in the run, whose queries are {_first(self._run)}")

    def _candidates(self, query: Query, scores: Mapping[str, float]) -> Iterator[Candidate]:
        excluded, missing, places = excluded_ids(query), [], 0
        for docid, score in ranked(scores, self._ties):
            if docid in excluded:
                continue
            document = self._corpus.get(docid)
            if document is not None and self._drop_self and _is_itself(query, document):
                continue
            places += 1
            if document is None:
                missing.append(docid)
            else:
                yield Candidate(document, score)
            if places == self._depth:
                break
        if missing:
            self._on_missing(query.id, missing)


def _is_itself(query: Query, document: Document) -> bool:
    return query.id == document.id and query.text.split() in (document.text.split(), document.full_text.split())


class CandidatesHash:
    """A fingerprint of a set of requests, for manifests: equal only if queries, candidates, order and texts are.

    SHA-256 of each request, added up, so that it needs no memory and the order of the requests does not matter;
    scores do not count.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def update(self, request: RerankRequest) -> None:
        """Add one request."""
        digest = hashlib.sha256()
        parts = [request.query.id, request.query.text]
        for candidate in request.candidates:
            parts += [candidate.id, candidate.document.full_text]
        for part in parts:
            raw = part.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8, "big") + raw)
        self.count += 1
        self._sum = (self._sum + int.from_bytes(digest.digest(), "big")) % (1 << 256)

    def watch(self, requests: Iterable[RerankRequest]) -> Iterator[RerankRequest]:
        """The same requests, each added as it passes."""
        for request in requests:
            self.update(request)
            yield request

    def hexdigest(self) -> str:
        """64 hexadecimal digits for all that was added so far."""
        return hashlib.sha256(self.count.to_bytes(8, "big") + self._sum.to_bytes(32, "big")).hexdigest()


def candidates_hash(requests: Iterable[RerankRequest]) -> str:
    """The fingerprint of a set of requests, see :class:`CandidatesHash`."""
    whole = CandidatesHash()
    for request in requests:
        whole.update(request)
    return whole.hexdigest()


def _first(names: Iterable[str], count: int = 5) -> str:
    listed = list(names)
    return ", ".join(map(repr, listed[:count])) + (" …" if len(listed) > count else "")
