"""Prefixes as keys, and the order in which to ask about many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shortlist.backends.cache import key_of
from shortlist.rewards.base import Prefix
from shortlist.types import Document, FollowUp, Query


def prefix_of(query: Query, documents: Sequence[Document]) -> Prefix:
    """What a reader is shown of a shortlist: of a follow-up its question alone, and first the passages found before."""
    if isinstance(query, FollowUp):
        return Prefix(query.asked, (*query.found, *documents))
    return Prefix(query, tuple(documents))


def digest_of(prefix: Prefix) -> str:
    """SHA-256 over all of a prefix that can matter to what a model says of it."""
    query = prefix.query
    passages = [[document.id, document.title, document.text] for document in prefix.documents]
    return key_of("prefix", "", [query.text, query.instruction, query.answers, passages])


def walk(digests: Sequence[str], shown: Mapping[str, Prefix]) -> list[str]:
    """The prefixes as a trie is walked: by query, in the order they came; then each list before what goes on from it."""
    first: dict[str, int] = {}
    for digest in digests:
        first.setdefault(shown[digest].query.text, len(first))

    def place(digest: str) -> tuple[int, tuple[str, ...]]:
        prefix = shown[digest]
        return first[prefix.query.text], tuple(document.id for document in prefix.documents)

    return sorted(digests, key=place)
