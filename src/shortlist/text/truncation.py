"""Cutting passages to a token budget: the passage alone, never the prompt's frame, and never in silence."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

from shortlist.types import Candidate, Document, Query, Slate

Cut = Callable[[str, int], tuple[str, bool]]
"""Takes a text and a number of tokens; gives the text's beginning that fits, and whether anything was lost."""

_PIECE = re.compile(r"[^\W\u2e80-\U0010ffff]{1,6}|\S")  # from U+2E80 on (Chinese, Japanese, Korean): a sign each
_LONE = re.compile(r"[\ud800-\udfff]")  # half a surrogate pair: no tokenizer takes it
_CHARACTERS_A_TOKEN = 16  # no tokenizer in use spends fewer tokens than one per 16 characters of running text


def approximate_cut(text: str, max_tokens: int) -> tuple[str, bool]:
    """Cut by counting pieces of at most six word characters, or single signs: about what tokenizers count.

    For backends that do not show their tokenizer.
    """
    if len(text) <= max_tokens:
        return text, False
    end = 0
    for count, piece in enumerate(_PIECE.finditer(text), 1):
        if count > max_tokens:
            return text[:end].rstrip(), True
        end = piece.end()
    return text, False


def approximate_count(text: str) -> int:
    """How many tokens a text has, by the count of :func:`approximate_cut`."""
    return sum(1 for _ in _PIECE.finditer(text))


def cut_slate(slate: Slate, max_tokens: int, cut: Cut = approximate_cut, *, query_tokens: int = 512) -> Slate:
    """The slate with every passage (title and text together) within ``max_tokens``, the query within ``query_tokens``.

    What was cut is noted in the slate. The text gives way before the title. The caller's documents are left as they are.
    """
    candidates = list(slate.candidates)
    truncated = set(slate.truncated)
    for place, candidate in enumerate(candidates):
        shorter, lost = _cut_document(candidate.document, max_tokens, cut)
        if lost:
            candidates[place] = Candidate(shorter, candidate.score)
            truncated.add(place)
    query, lost = _cut_query(slate.query, query_tokens, cut)
    if not lost and len(truncated) == len(slate.truncated):
        return slate
    return Slate(query, tuple(candidates), tuple(sorted(truncated)), lost or slate.query_truncated)


def _cut_document(document: Document, max_tokens: int, cut: Cut) -> tuple[Document, bool]:
    whole = document.full_text
    if len(whole) <= max_tokens:  # a token is at least one character
        return document, False
    ample = max_tokens * _CHARACTERS_A_TOKEN  # a megabyte need not be tokenised to be cut to 256 tokens
    text, lost = cut(_LONE.sub("�", whole[:ample]), max_tokens)
    if not lost and len(whole) <= ample:
        return document, False
    title = document.title[: len(text)]
    return dataclasses.replace(document, title=title, text=text[len(title) :].lstrip() if title else text), True


def _cut_query(query: Query, max_tokens: int, cut: Cut) -> tuple[Query, bool]:
    """The query within ``max_tokens``, and whether it was cut; a query of blanks only is never made."""
    if len(query.text) <= max_tokens:
        return query, False
    ample = query.text[: max_tokens * _CHARACTERS_A_TOKEN]
    text, lost = cut(_LONE.sub("�", ample), max_tokens)
    if (not lost and len(ample) == len(query.text)) or not text.strip():
        return query, False
    return dataclasses.replace(query, text=text), True
