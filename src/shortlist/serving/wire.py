"""Between bytes and values: JSON that is read strictly and written compactly, refusals in the dialect's shape."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NoReturn

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shortlist.serving.asking import Ranked, Reason, Refused
from shortlist.serving.schemas.base import Dialect
from shortlist.serving.schemas.cohere import COHERE
from shortlist.serving.schemas.infinity import INFINITY
from shortlist.serving.schemas.jina import JINA
from shortlist.serving.schemas.shared import SHARED
from shortlist.serving.schemas.tei import TEI
from shortlist.serving.schemas.vllm import VLLM
from shortlist.serving.schemas.voyage import VOYAGE

STATE = "shortlist"
"""The key of a request's scope under which its handlers leave what the log and the error shapes need."""

_TOLD_ERRORS = 4
_BLANK = {"string_pattern_mismatch", "too_short", "string_too_short"}
_NAME = re.compile(r"[a-z_0-9]{1,60}")
_TYPES = {"str", "int", "float", "bool"}
_TAGS = {"texts", "documents", "items", "text_1", "data_1"}
_MUST_SAY = {"query", "documents", "texts", "queries", "items", "text_1", "text_2", "data_1", "data_2"}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def parse(body: bytes) -> Any:
    """JSON, held to the standard: no NaN, no half of a surrogate pair, no nesting without end.

    Raises:
        json.JSONDecodeError: whatever is wrong with it.
    """
    try:
        text = body.decode("utf-8-sig")  # by itself json would take UTF-16 as well, and halves of pairs with it
        value = json.loads(text, parse_constant=_refuse_constant)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError:
        raise
    except UnicodeDecodeError:
        raise json.JSONDecodeError("it is not UTF-8", "", 0) from None
    except UnicodeEncodeError:
        raise json.JSONDecodeError("half of a surrogate pair stands alone", "", 0) from None
    except (ValueError, RecursionError) as problem:
        raise json.JSONDecodeError(str(problem)[:100] or "nested too deeply", "", 0) from None
    return value


class _Request(Request):
    async def json(self) -> Any:
        """The body, by :func:`parse`."""
        if not hasattr(self, "_parsed"):
            self._parsed = parse(await self.body())
        return self._parsed


class Route(APIRoute):
    """A route whose bodies are read by :func:`parse`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, given a request that parses strictly."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(_Request(request.scope, request.receive))

        return strict


def render(value: Any) -> bytes:
    """Compact JSON in UTF-8; escapes only where a text cannot be written otherwise."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(render(value), status, dict(headers or {}), "application/json")


def ranked_reply(dialect: Dialect, ranked: Ranked) -> Response:
    """A ranking in its dialect; status and warnings in headers too, for dialects with no place for them."""
    headers = {"x-shortlist-status": str(ranked.told["status"])}
    if ranked.warnings:
        headers["x-shortlist-warnings"] = json.dumps(ranked.warnings)[:2000]
    return reply(dialect.reply(ranked), headers=headers)


# ------------------------------------------------------------------------------------------------ refusals

_BY_NAME = {d.name: d for d in (COHERE, JINA, VOYAGE, TEI, VLLM, INFINITY)}
_BY_PATH = {"/v2/rerank": COHERE, "/rerank": TEI, "/info": TEI, "/score": VLLM, "/v1/score": VLLM}


def dialect_of(scope: Mapping[str, Any]) -> Dialect:
    """The dialect that a request's handler found, or that its path tells."""
    found: Dialect | None = scope.get(STATE, {}).get("dialect")
    if found is not None:
        return found
    path: str = scope["path"]
    by_prefix = _BY_NAME.get(path.split("/", 2)[1]) if path.count("/") > 1 else None
    return by_prefix or _BY_PATH.get(path, SHARED)


def refusal(scope: Mapping[str, Any], refused: Refused, headers: Mapping[str, str] | None = None) -> Response:
    """A refusal in the dialect's shape, with what HTTP wants beside it."""
    dialect = dialect_of(scope)
    status = dialect.status(refused)
    told = dict(headers or {})
    if refused.retry_after is not None:
        told["retry-after"] = str(refused.retry_after)
    if status == 401:
        told["www-authenticate"] = "Bearer"
    state = scope.get(STATE, {})
    if isinstance(state, dict):
        state["refused"] = refused.reason
    return reply(dialect.error(refused, status, state.get("id", "")), status, told)


def of_validation(problem: RequestValidationError) -> Refused:
    """What was wrong with a body, without any of its contents."""
    errors = problem.errors()
    if isinstance(problem.body, bytes) and problem.body:
        return Refused("invalid", "the body was not taken for JSON; send content-type: application/json")
    if errors and errors[0]["type"] == "json_invalid":
        return Refused("invalid", f"the body is not JSON: {errors[0]['ctx']['error']}", status=400)
    # of a field that may be of several types, the one that was meant is that whose type is right
    meant = [error for error in errors if not error["type"].endswith("_type")] or errors
    said = dict.fromkeys(f"{_place(error['loc'])}: {_said(error)}" for error in meant)
    names = {str(part) for error in meant for part in error["loc"]}
    blank = all(error["type"] in _BLANK for error in meant) and bool(names & _MUST_SAY)
    reason: Reason = "empty" if blank else "invalid"
    return Refused(reason, "; ".join(list(said)[:_TOLD_ERRORS]), parameter=_place(meant[0]["loc"]) if meant else None)


def _said(error: Mapping[str, Any]) -> str:
    return "is blank; give it some words" if error["type"] == "string_pattern_mismatch" else str(error["msg"])


def _place(location: tuple[Any, ...]) -> str:
    """The way to a field; the names of alternatives, which pydantic puts in between, are left out."""
    parts = list(location[1:])
    if len(parts) > 1 and parts[0] in _TAGS and isinstance(parts[1], str) and parts[1] not in _TYPES:
        del parts[0]
    told = [str(part) for part in parts if isinstance(part, int) or (_NAME.fullmatch(part) and part not in _TYPES)]
    return ".".join(told)[:200] or "body"


def of_http(problem: HTTPException) -> Refused:
    """What the framework refused: an unknown route, a wrong method, a body that is too large."""
    reasons: dict[int, Reason] = {404: "unknown_route", 405: "unknown_route", 413: "too_large"}
    told = {404: "there is no such route", 405: "this route does not take this method"}
    message = told.get(problem.status_code, str(problem.detail))
    return Refused(reasons.get(problem.status_code, "invalid"), message, status=problem.status_code)
