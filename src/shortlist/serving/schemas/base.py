"""What the dialects share: strict models that tolerate unknown keys, our own extension, and what a dialect is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from shortlist.rerankers.explain import Span, SpanRequest
from shortlist.serving.asking import STATUS, Asked, Ranked, Reason, Refused, Result

MANY = 2**31 - 1
_TOLD_KEYS = 12


class Wire(BaseModel):
    """A body: types are held to strictly, keys that nobody knows are let through and warned of."""

    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())


Asking: TypeAlias = Annotated[str, Field(pattern=r"\S", description="What is asked. Not blank.")]
Many: TypeAlias = Annotated[int, Field(ge=1, le=MANY)]
ManyOrAll: TypeAlias = Annotated[int, Field(ge=0, le=MANY, description="0 is all.")]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Finite: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]


class TextDocument(Wire):
    """A passage as an object; other keys are fields of it."""

    text: str


class FieldsDocument(Wire):
    """A passage as an object whose ``rank_fields`` count; without these, its text."""

    text: str | None = None


class TextPart(Wire):
    """A part of a query; only texts are read."""

    type: Literal["text"] = "text"
    text: str


def many(**told: Any) -> Any:
    """The field of a list: it is read to its first error, not on through millions of them."""
    return Field(fail_fast=True, **told)


Documents: TypeAlias = Annotated[list[str | TextDocument], many(min_length=1, description="In first-stage order.")]
Parts: TypeAlias = Annotated[list[TextPart], many(min_length=1)]
Texts: TypeAlias = Annotated[list[str], many(min_length=1)]


class Extension(Wire):
    """Shortlist's own wishes, under the one key ``rerank``; a reply to it says more of every result."""

    mode: Literal["pointwise", "listwise", "groupwise", "dynamic", "pairwise", "setwise", "none"] | None = Field(
        None, description="Which kind of reranker to use, of those served."
    )
    k: Literal["auto"] | Annotated[int, Field(ge=0, le=MANY)] | None = Field(
        None, description="How many results: a number, or auto: as many as the reranker would keep."
    )
    explain: bool = Field(
        False,  # noqa: FBT003
        description="Add the model's reasoning, how far each passage moved up, and what carries the first matches.",
    )
    deadline_ms: Annotated[int, Field(ge=1, le=3_600_000)] | None = Field(
        None, description="Reply by then, with the best ranking so far."
    )
    on_error: Literal["report", "raise"] | None = Field(
        None,
        description="report: reply whatever failed, and say so; raise: any failure is an error. "
        "Neither: an error if nothing at all could be judged.",
    )
    instruction: str | None = Field(None, description="What counts as relevant.")
    first_stage_scores: Annotated[list[Finite], many()] | None = Field(
        None, description="One a document: fusion needs them."
    )


class SpanWishes(Wire):
    """Cohere's wish for spans."""

    mode: Literal["enabled", "disabled"] = "enabled"
    threshold: Fraction | None = None
    max_spans: Many | None = None


def span_wishes(told: SpanWishes | None) -> dict[str, Any]:
    """What of our request they decide."""
    if told is None:
        return {}
    if told.mode == "disabled":
        return {"spans_refused": True}
    return {"spans": SpanRequest(**given(threshold=told.threshold, max_spans=told.max_spans))}


def asked_of(body: Wire, extension: Extension | None, **told: Any) -> Asked:
    """Our request: what the dialect told, with what the extension wishes on top, and warnings of unknown keys."""
    warnings = _unknown(body, "") + (() if extension is None else _unknown(extension, "rerank."))
    if extension is None:
        return Asked(**told, warnings=warnings)
    if isinstance(extension.k, int):
        told["top_n"] = extension.k
    scores = extension.first_stage_scores
    return Asked(
        **told
        | {
            "mode": extension.mode,
            "keep_auto": extension.k == "auto",
            "explain": extension.explain,
            "extended": True,
            "deadline": None if extension.deadline_ms is None else extension.deadline_ms / 1000,
            "on_error": extension.on_error,
            "instruction": extension.instruction or told.get("instruction", ""),
            "first_stage_scores": None if scores is None else tuple(scores),
            "warnings": warnings,
        }
    )


def _unknown(body: Wire, prefix: str) -> tuple[str, ...]:
    names = sorted(body.model_extra or ())
    more = [f"and {len(names) - _TOLD_KEYS} more unknown keys"] if len(names) > _TOLD_KEYS else []
    return (*(f"unknown key {prefix}{name[:64]!r} ignored" for name in names[:_TOLD_KEYS]), *more)


def text_of(document: str | TextDocument) -> str:
    """A passage's text."""
    return document if isinstance(document, str) else document.text


def fields_of(document: str | FieldsDocument, place: int, fields: Sequence[str]) -> str:
    """A passage's text; of an object with ``fields``, these, one a line. An object with neither is refused."""
    if isinstance(document, str):
        return document
    told = {"text": document.text} | (document.model_extra or {})
    chosen = [(name, told[name]) for name in fields if isinstance(told.get(name), str | int | float)]
    if document.text is not None and [name for name, _ in chosen] in ([], ["text"]):
        return document.text
    if not chosen:
        told_fields = f" nor any of {list(fields)[:8]}" if fields else ""
        raise Refused("invalid", f"document {place} has no text{told_fields}", parameter=f"documents.{place}.text")
    return "\n".join(f"{name}: {value}" for name, value in chosen)


def query_of(query: str | list[TextPart]) -> str:
    """A query's text."""
    return query if isinstance(query, str) else "\n".join(part.text for part in query)


def given(**told: Any) -> dict[str, Any]:
    """Without the absent: a key that has nothing to say is left out, never null."""
    return {name: value for name, value in told.items() if value is not None}


def more_of(ranked: Ranked, result: Result) -> dict[str, Any] | None:
    """What we say of a result beyond the dialect, if the request had our key."""
    if not ranked.asked.extended:
        return None
    told = given(raw_score=result.raw if result.judged else None, score_kind=ranked.score_kind)
    if result.why is not None:
        told |= {"moved": result.why.moved} | given(relevant_spans=_spans(result.why.spans))
    return told | ({} if result.judged else {"judged": False})


def spans_of(result: Result) -> list[dict[str, Any]] | None:
    """Cohere's shape of spans; absent when there are none."""
    return _spans(result.spans)


def _spans(spans: Sequence[Span]) -> list[dict[str, Any]] | None:
    return [{"start": s.start, "end": s.end, "score": s.score} for s in spans] or None


# ------------------------------------------------------------------------------------------------ replies


class Told(BaseModel):
    """The base of replies, for the OpenAPI document."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class SpanReply(Told):
    """Half-open, in Unicode code points."""

    start: int
    end: int
    score: Fraction


class Text(Told):
    """A passage's text."""

    text: str


@dataclass(frozen=True)
class Dialect:
    """A dialect's replies. ``statuses`` are those that differ from ours; ``failure`` is the model of its errors."""

    name: str
    reply: Callable[[Ranked], Any]
    error: Callable[[Refused, int, str], dict[str, Any]]
    failure: type[Told]
    statuses: Mapping[Reason, int] = field(default_factory=dict)

    def status(self, refused: Refused) -> int:
        """The HTTP status of a refusal."""
        return refused.status or self.statuses.get(refused.reason, STATUS[refused.reason])


_KINDS = {400: "BadRequestError", 401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError"}


def openai_error(refused: Refused, status: int, _: str) -> dict[str, Any]:
    """OpenAI's shape, which vLLM and Infinity have."""
    kind = _KINDS.get(status, "BadRequestError" if status < 500 else "InternalServerError")
    return {"error": {"message": refused.message, "type": kind, "param": refused.parameter, "code": status}}


class OpenAIErrorBody(Told):
    """The inside of OpenAI's error."""

    message: str
    type: str
    param: str | None
    code: int


class OpenAIFailure(Told):
    """OpenAI's error."""

    error: OpenAIErrorBody


class DetailFailure(Told):
    """FastAPI's, Jina's and Voyage's error."""

    detail: str


def detail_error(refused: Refused, _status: int, _id: str) -> dict[str, Any]:
    """Jina's and Voyage's shape."""
    return {"detail": refused.message}
