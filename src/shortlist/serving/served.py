"""What a server has: rerankers by name, a reader, corpora to search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from shortlist.backends.base import Cuts
from shortlist.backends.cache import Store
from shortlist.errors import InvalidInput
from shortlist.reading.base import Reader, Reading
from shortlist.rerankers.base import Ranker
from shortlist.rerankers.calibration import Platt, Scale, read_calibration, scale_of
from shortlist.rerankers.catalog import open_reranker
from shortlist.rerankers.compose import FirstStage
from shortlist.rerankers.parts import Mode, mode_of, rerankers_in
from shortlist.retrieval.base import Retriever
from shortlist.serving.asking import Refused
from shortlist.serving.parts import backend_of, concurrency_of
from shortlist.text.truncation import Cut, approximate_cut
from shortlist.types import Document, Query, RerankRequest

FIRST_STAGE = "first-stage"
"""The model that leaves the order as it is; always there, and never the default."""
DEFAULT = "default"


@dataclass(frozen=True, kw_only=True)
class Served:
    """A reranker under a name. ``calibration`` takes its scores to probabilities."""

    name: str
    ranker: Ranker
    calibration: Platt | None = None

    @classmethod
    def open(cls, spec: str, *, store: Store | None = None) -> Served:
        """By its spec, or as ``NAME=SPEC``; a checkpoint's calibration comes with it."""
        name, spec = _named(spec)
        ranker = open_reranker(spec, store=store)
        return cls(name=name or ranker.name, ranker=ranker, calibration=read_calibration(spec))

    @cached_property
    def mode(self) -> Mode:
        """What is judged together."""
        return mode_of(self.ranker)

    @cached_property
    def scale(self) -> Scale:
        """What its scores are."""
        return scale_of(self.ranker, self.calibration)

    @cached_property
    def cut(self) -> Cut:
        """Cuts a text as its model counts tokens."""
        backends = (backend_of(reranker.policy) for reranker in rerankers_in(self.ranker))
        return next((backend.cut for backend in backends if isinstance(backend, Cuts)), approximate_cut)

    def warm(self) -> None:
        """Load what runs here; models behind a network are not called."""
        for reranker in rerankers_in(self.ranker):
            if concurrency_of(reranker.policy) is None:
                list(reranker.rerank([RerankRequest.of("a question", ["an answer", "another one"])]))


def _named(spec: str) -> tuple[str, str]:
    """The name before an = that stands before any colon, slash or question mark; and the spec."""
    name, equals, rest = spec.partition("=")
    if equals and name.strip() and not set(name) & set(":/?>"):
        return name.strip(), rest.strip()
    return "", spec


@dataclass(frozen=True)
class Models:
    """The rerankers of a server, in order; the first is the default."""

    served: tuple[Served, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [served.name for served in self.served]
        if not names:
            raise InvalidInput("a server needs at least one reranker")
        if len(set(names)) < len(names):
            raise InvalidInput(f"served names {names} are not all different; write NAME=SPEC")
        for alias, name in self.aliases.items():
            if name not in names:
                raise InvalidInput(f"alias {alias!r} stands for {name!r}, which is not served: {', '.join(names)}")

    @classmethod
    def of(cls, rankers: Iterable[Ranker | Served], aliases: Mapping[str, str] | None = None) -> Models:
        """From rankers, under their own names."""
        served = [r if isinstance(r, Served) else Served(name=r.name, ranker=r) for r in rankers]
        return cls(tuple(served), aliases or {})

    @cached_property
    def by_name(self) -> Mapping[str, Served]:
        """Every name, aliases and the first stage among them."""
        known = {FIRST_STAGE: Served(name=FIRST_STAGE, ranker=FirstStage(name=FIRST_STAGE))}
        known |= {served.name: served for served in self.served}
        known |= {alias: known[name] for alias, name in self.aliases.items()}
        return {DEFAULT: self.served[0]} | known

    def choose(self, name: str | None, mode: Mode | None) -> Served:
        """The one of that name, or the first of that mode, or the first."""
        if name and (name != DEFAULT or not mode):
            found = self.by_name.get(name)
            if found is None:
                known = ", ".join(sorted(set(self.by_name) - {DEFAULT}))
                raise Refused(
                    "unknown_model", f"model {name[:200]!r} is not served here; known: {known}", parameter="model"
                )
            if mode and found.mode != mode:
                raise Refused("invalid", f"model {name!r} is {found.mode}, not {mode}", parameter="rerank.mode")
            return found
        if mode == "none":
            return self.by_name[FIRST_STAGE]
        served = next((served for served in self.served if not mode or served.mode == mode), None)
        if served is None:
            modes = ", ".join(sorted({served.mode for served in self.served}))
            raise Refused(
                "unknown_model", f"no {mode} reranker is served here; there are: {modes}", parameter="rerank.mode"
            )
        return served


@dataclass(frozen=True, kw_only=True)
class SearchIndex:
    """A corpus that can be searched."""

    name: str
    retriever: Retriever
    corpus: Mapping[str, Document]

    @classmethod
    def open(cls, index: Path, data: str, *, kind: str | None = None, embedder: str = "bge-small") -> SearchIndex:
        """An index that ``shortlist index`` wrote, and the collection that it was made of."""
        from shortlist.backends.open import open_embedder
        from shortlist.data import open_collection
        from shortlist.retrieval.open import index_kinds, needs_embedder, open_index

        collection = open_collection(data)
        kinds = index_kinds(index)
        chosen = kind or (kinds[-1] if kinds else "bm25")
        model = open_embedder(embedder) if needs_embedder(chosen) else None
        return cls(name=collection.name, retriever=open_index(index, chosen, embedder=model), corpus=collection.corpus)

    def find(self, asked: tuple[str, int]) -> Found:
        """The best of a (query, depth)."""
        query, depth = asked
        (hits,) = self.retriever.retrieve([Query(text=query)], depth=depth)
        return Found(tuple(self.corpus[docid] for docid in hits.ids), hits.scores)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, best first, with the first stage's scores."""

    documents: tuple[Document, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Offer:
    """All that a server has to offer."""

    models: Models
    reader: Reader | None = None
    reader_name: str = "reader"
    corpora: tuple[SearchIndex, ...] = ()

    def warm_reader(self) -> None:
        """Load the reader, if there is one that runs here."""
        completer = getattr(self.reader, "completer", None)
        if self.reader is not None and getattr(completer, "concurrency", None) is None:
            list(self.reader.read([Reading(Query(text="a question"), (Document(id="0", text="a passage"),))]))
