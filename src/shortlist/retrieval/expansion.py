"""Query2doc (Wang et al. 2023, arXiv 2303.07678): a language model writes the passage it would expect to find."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from shortlist.backends.base import Ask, Completer
from shortlist.errors import InvalidInput
from shortlist.retrieval.base import Hits, Retriever
from shortlist.text.fence import fence
from shortlist.text.reasoning import split_reply
from shortlist.types import Message, Messages, Query

_LOG = logging.getLogger("shortlist")

_EXAMPLES = (
    (
        "why do leaves turn red in autumn",
        "As days shorten, trees stop making chlorophyll and its green fades: the yellow carotenoids become visible.",
    ),
    (
        "how long can you keep cooked rice in the fridge",
        "Cooked rice keeps three to four days at 4 °C. Cool it within two hours and reheat it until steaming.",
    ),
    (
        "who designed the sydney opera house",
        "The Danish architect Jørn Utzon designed the Sydney Opera House; he won the competition of 1957.",
    ),
    (
        "difference between tcp and udp",
        "TCP sets up a connection, resends lost segments and delivers them in order; UDP sends single datagrams.",
    ),
)


@dataclass(frozen=True)
class Query2doc:
    """Writes one pseudo-passage a query and puts it behind the query.

    ``form="sparse"``: the query ``repeat`` times, then the passage (BM25 would otherwise drown the query); ``"dense"``:
    query, separator, passage. A query whose passage cannot be had keeps its own text, and that is counted in
    ``failures`` and logged.
    """

    completer: Completer
    form: Literal["sparse", "dense"] = "sparse"
    repeat: int = 5
    max_tokens: int = 96
    batch: int = 16
    examples: tuple[tuple[str, str], ...] = _EXAMPLES
    failures: list[str] = dataclasses.field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.repeat < 1 or self.max_tokens < 1 or self.batch < 1:
            raise InvalidInput("repeat, max_tokens and batch must be 1 or more")
        if self.form not in {"sparse", "dense"}:
            raise InvalidInput(f"form is {self.form!r}; give 'sparse' or 'dense'")

    def render(self, query: Query) -> Messages:
        """The conversation: examples first, then the query."""
        task = "Write a short passage, as from an encyclopedia, that answers the query. Only the passage."
        shown = [Message("system", task)]
        for asked, passage in self.examples:
            shown += [Message("user", f"Query: {asked}"), Message("assistant", passage)]
        return (*shown, Message("user", f"Query: {fence(query.text)}"))

    def expand(self, queries: Iterable[Query]) -> Iterator[Query]:
        """Each query with its text expanded, in order."""
        source = iter(queries)
        while chunk := list(itertools.islice(source, self.batch)):
            asks = [Ask(messages=self.render(query), max_tokens=self.max_tokens) for query in chunk]
            for query, completion in zip(chunk, self.completer.complete(asks), strict=True):
                passage = split_reply(completion.text).answer or ""
                yield self._expanded(query, passage.strip(), completion.error)

    def _expanded(self, query: Query, passage: str, error: str | None) -> Query:
        if error is not None or not passage:
            self.failures.append(query.id)
            _LOG.warning("query %r is not expanded: %s", query.id, error or "the model wrote nothing")
            return query
        text = f"{' '.join([query.text] * self.repeat)} {passage}" if self.form == "sparse" else _joined(query, passage)
        return dataclasses.replace(query, text=text)


def _joined(query: Query, passage: str) -> str:
    return f"{query.text} [SEP] {passage}"


@dataclass(frozen=True)
class Expanded:
    """A retriever that searches with expanded queries; its hits carry the queries as they were asked."""

    retriever: Retriever
    expansion: Query2doc

    @property
    def name(self) -> str:
        """The retriever's name with the expansion's."""
        return f"{self.retriever.name}+query2doc"

    def retrieve(self, queries: Iterable[Query], /, *, depth: int = 100) -> Iterator[Hits]:
        """The best ``depth`` documents of each query."""
        asked, searched = itertools.tee(queries)
        hits = self.retriever.retrieve(self.expansion.expand(searched), depth=depth)
        return (dataclasses.replace(found, query=query) for query, found in zip(asked, hits, strict=True))
