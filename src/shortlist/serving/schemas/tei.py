"""Text Embeddings Inference: ``texts`` in, a bare array out."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from shortlist.serving.asking import Asked, Ranked, Reason, Refused
from shortlist.serving.schemas.base import Asking, Dialect, Extension, Texts, Told, Wire, asked_of, given
from shortlist.serving.schemas.shared import score_of


class TEIRequest(Wire):
    """The body of ``POST /rerank`` with ``texts``."""

    query: Asking
    texts: Texts
    truncate: bool | None = Field(None, description="false: a text that does not fit is an error.")
    truncation_direction: Literal["left", "right", "Left", "Right"] | None = Field(
        None, description="Accepted; texts are cut at their end."
    )
    raw_scores: bool | None = None
    return_text: bool | None = None
    rerank: Extension | None = None

    def asked(self) -> Asked:
        """As ours."""
        return asked_of(
            self,
            self.rerank,
            query=self.query,
            texts=tuple(self.texts),
            cut_forbidden=self.truncate is False,
            return_documents=bool(self.return_text),
            raw_scores=bool(self.raw_scores),
        )


class TEIResult(Told):
    """A result."""

    index: int
    score: float
    text: str | None = None


class TEIFailure(Told):
    """TEI's error."""

    error: str
    error_type: str


_TYPES: dict[Reason, str] = {
    "empty": "Empty",
    "backend": "Backend",
    "deadline": "Backend",
    "overloaded": "Overloaded",
    "closing": "Unhealthy",
    "unavailable": "Unhealthy",
    "internal": "Backend",
    "key": "Unauthorized",
}


def _error(refused: Refused, _status: int, _id: str) -> dict[str, Any]:
    return {"error": refused.message, "error_type": _TYPES.get(refused.reason, "Validation")}


def _reply(ranked: Ranked) -> list[dict[str, Any]]:
    with_text = ranked.asked.return_documents
    return [
        given(index=result.index, score=score_of(ranked, result), text=result.text if with_text else None)
        for result in ranked.results
    ]


TEI = Dialect("tei", _reply, _error, TEIFailure, {"backend": 424, "deadline": 424})
