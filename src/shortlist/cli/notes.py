"""The notes beside a TREC run: what its six columns cannot hold (cutoff, status, problems, cost), a JSON line a query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shortlist.data import read_jsonl
from shortlist.errors import InvalidFile
from shortlist.types import Ranking


def notes_path(run: Path) -> Path:
    """Where the notes of a run are: ``out.trec`` has ``out.trec.notes.jsonl``."""
    return run.with_name(f"{run.name}.notes.jsonl")


def note_of(ranking: Ranking) -> dict[str, Any]:
    """What is noted of a ranking."""
    usage = ranking.usage
    return {
        "id": ranking.query.id,
        "cutoff": ranking.cutoff,
        "status": ranking.status.value,
        "unjudged": [ranking.request.candidates[i].id for i in ranking.unjudged],
        "skipped": [ranking.request.candidates[i].id for i in ranking.skipped],
        "problems": list(ranking.problems),
        "truncated": ranking.truncated,
        "calls": usage.calls,
        "cached_calls": usage.cached_calls,
        "tokens": usage.tokens,
        "seconds": round(usage.seconds, 4),
    }


def read_cutoffs(run: Path) -> dict[str, int]:
    """Query id → how many passages the reranker kept, from a run's notes."""
    path = notes_path(run)
    if not path.is_file():
        raise InvalidFile(path, "k=auto needs the cutoffs of a reranker, which stand beside the run that it wrote")
    cutoffs = {str(note["id"]): note.get("cutoff") for _, note in read_jsonl(path)}
    if not any(cutoff is not None for cutoff in cutoffs.values()):
        raise InvalidFile(
            path, "no ranking has a cutoff; rerank with a dynamic kind, or with ?keep=gap or another rule"
        )
    return {query: cutoff for query, cutoff in cutoffs.items() if cutoff is not None}
