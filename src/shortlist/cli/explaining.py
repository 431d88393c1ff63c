"""What `shortlist rerank --explain` prints below the ranking of one query."""

from __future__ import annotations

from typing import Any

from shortlist.cli.console import note, out
from shortlist.rerankers.explain import Explanation, Span, Why

_QUOTE = 160  # characters of a sentence


def show(explanation: Explanation) -> None:
    """The reasoning, then of each passage how far it moved and which sentences carry its match."""
    for text in explanation.reasoning:
        out.print(f"\nreasoning: {text.strip()}")
    for why in explanation.passages:
        if why.spans or why.moved:
            out.print(f"\n{why.rank}. {why.candidate.id} ({_moved(why)})")
        for span, quote in zip(why.spans, why.quotes, strict=True):
            words = " ".join(quote.split())
            out.print(f"   {span.score:4.0%}  {words[:_QUOTE]}{'…' if len(words) > _QUOTE else ''}")
    if explanation.method is None:
        note("no sentences: this reranker does not score passages by themselves")
    else:
        note(f"sentences: {explanation.method}, scored by {explanation.scorer}, {explanation.usage.calls} calls")


def _moved(why: Why) -> str:
    if not why.judged:
        return f"was {why.first_rank}, not judged"
    if not why.moved:
        return "where the first stage had it"
    return f"was {why.first_rank}, {abs(why.moved)} {'up' if why.moved > 0 else 'down'}"


def to_json(explanation: Explanation) -> dict[str, Any]:
    """As it stands in the output of ``--json``; the places of spans count code points."""
    return {
        "reasoning": list(explanation.reasoning),
        "method": explanation.method,
        "scorer": explanation.scorer,
        "calls": explanation.usage.calls,
        "tokens": explanation.usage.tokens,
        "passages": [_passage(why) for why in explanation.passages],
    }


def _passage(why: Why) -> dict[str, Any]:
    return {
        "id": why.candidate.id,
        "rank": why.rank,
        "first_rank": why.first_rank,
        "moved": why.moved,
        "judged": why.judged,
        "kept": why.kept,
        "spans": [_span(span) for span in why.spans],
    }


def _span(span: Span) -> dict[str, Any]:
    return {"start": span.start, "end": span.end, "score": round(span.score, 6)}
