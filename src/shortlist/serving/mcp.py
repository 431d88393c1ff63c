"""Tools for agents, by the Model Context Protocol: ``rerank`` and ``answer``, on standard input and output or HTTP.

Needs the ``mcp`` package, 2 or later (``pip install 'shortlist[mcp]'``).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NotRequired

from shortlist._version import __version__
from shortlist.api import open_reader
from shortlist.backends.cache import Store
from shortlist.errors import InvalidInput, ShortlistError
from shortlist.integrations.base import Bridge, Passage, Place, framework, places
from shortlist.reading.base import Answer, Reader, Reading
from shortlist.serving.security import Keys, presented_key
from shortlist.types import Document, Query, Ranking

with framework("mcp", "mcp"):
    from mcp.server.mcpserver import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
    from mcp.types import ToolAnnotations
    from pydantic import BaseModel, Field
    from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

_INSTRUCTIONS = (
    "Reranks passages by relevance to a query with a dedicated model, and answers questions from the passages that "
    "matter. Give the passages themselves; nothing is searched or stored."
)
_HINTS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)


class GivenDocument(BaseModel):
    """A passage with an id, a title, or the score by which it was found."""

    text: str
    id: str | None = None
    title: str = ""
    score: float | None = None


Documents = Annotated[
    list[str | GivenDocument],
    Field(
        description="The passages, best first if they come from a search.", fail_fast=True
    ),  # not on through millions
]


class Ranked(TypedDict):
    """A passage in its new place; ``index`` is its position in the list given, from 0."""

    index: int
    id: NotRequired[str]
    relevance_score: NotRequired[float]
    retrieval_score: NotRequired[float]
    status: str
    text: NotRequired[str]


class Reranked(TypedDict):
    """The ``rerank`` tool's reply. ``keep`` is how many the reranker would keep."""

    results: list[Ranked]
    keep: int
    status: str
    problems: NotRequired[list[str]]
    reasoning: NotRequired[list[str]]
    usage: dict[str, int]


class Citation(TypedDict):
    """Where a passage says the answer: ``start`` and ``end`` count codepoints of its text, half open."""

    index: int
    id: NotRequired[str]
    start: int
    end: int


class Answered(TypedDict):
    """The ``answer`` tool's reply. ``answer`` is null when the passages hold none; ``read`` are the indices read."""

    answer: str | None
    read: list[int]
    citations: list[Citation]
    status: str
    ranking_status: str
    problems: NotRequired[list[str]]
    usage: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The tools as plain methods. A ``reader`` given by name is opened when it is first needed.

    Raises :class:`~mcp.server.mcpserver.exceptions.ToolError`, whose words the agent reads, for whatever of ours goes
    wrong. Lists of more than ``max_documents``, or of more than ``max_characters`` in all, are refused.
    """

    bridge: Bridge
    reader: str | Reader | None = None
    store: Store | None = None
    max_documents: int = 1000
    max_characters: int = 4_000_000
    _opened: dict[str, Reader] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def rerank(
        self,
        query: Annotated[str, Field(description="What is asked.")],
        documents: Documents,
        top_n: Annotated[int | None, Field(ge=1, description="How many to give back; all if it is not given.")] = None,
        return_documents: Annotated[bool, Field(description="Whether to repeat the passages' texts.")] = False,  # noqa: FBT002
        explain: Annotated[bool, Field(description="Whether to give the model's reasoning, if it has any.")] = False,  # noqa: FBT002
    ) -> Reranked:
        """Order passages by relevance to a query, most relevant first, with scores and how many are worth keeping."""
        with _told():
            given = self._given(documents)
            ranking = self._ranking(query, given)
        results = [_ranked(place, given[place.index], with_text=return_documents) for place in places(ranking, top_n)]
        reply: Reranked = {
            "results": results,
            "keep": len(ranking) if ranking.cutoff is None else ranking.cutoff,
            "status": ranking.status.value,
            "usage": _usage(ranking),
        }
        if ranking.problems:
            reply["problems"] = list(ranking.problems)
        if explain and ranking.reasoning:
            reply["reasoning"] = list(ranking.reasoning)
        return reply

    def answer(
        self,
        question: Annotated[str, Field(description="The question.")],
        documents: Documents,
        k: Annotated[
            Annotated[int, Field(ge=1)] | Literal["auto"],
            Field(description="How many of the best passages to read; auto: as many as the reranker keeps."),
        ] = 3,
    ) -> Answered:
        """Answer a question in a few words from the passages given: they are reranked, and the best are read."""
        with _told():
            given = self._given(documents)
            ranking = self._ranking(question, given)
            best = places(ranking, k)
            texts = [Document(id=str(p.index), text=given[p.index].text, title=given[p.index].title) for p in best]
            (found,) = self._reader().read([Reading(Query(text=question), tuple(texts))])
        return _answered(found, ranking, best, given)

    def _ranking(self, query: str, given: list[GivenDocument]) -> Ranking:
        return self.bridge.rank(query, [Passage(document.text, document.score, document.title) for document in given])

    def _given(self, documents: list[str | GivenDocument]) -> list[GivenDocument]:
        if len(documents) > self.max_documents:
            raise InvalidInput(f"{len(documents)} documents; give at most {self.max_documents}")
        given = [GivenDocument(text=document) if isinstance(document, str) else document for document in documents]
        size = sum(len(document.text) for document in given)
        if size > self.max_characters:
            raise InvalidInput(f"the documents have {size:,} characters in all; give at most {self.max_characters:,}")
        return given

    def _reader(self) -> Reader:
        if self.reader is None:
            raise InvalidInput("there is no reader; start the server with one")
        if not isinstance(self.reader, str):
            return self.reader
        with self._lock:
            if self.reader not in self._opened:
                self._opened[self.reader] = open_reader(self.reader, store=self.store)
            return self._opened[self.reader]


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Errors of ours in words for the agent; any other is a defect, which the server logs and does not show."""
    try:
        yield
    except ShortlistError as error:
        raise ToolError(str(error)) from error


def _ranked(place: Place, document: GivenDocument, *, with_text: bool) -> Ranked:
    result: Ranked = {"index": place.index, "status": place.status}
    if document.id is not None:
        result["id"] = document.id
    if place.score is not None:
        result["relevance_score"] = place.score
    if place.first is not None:
        result["retrieval_score"] = place.first
    if with_text:
        result["text"] = document.text
    return result


def _answered(found: Answer, ranking: Ranking, best: list[Place], given: list[GivenDocument]) -> Answered:
    spans = [span for place in best if (span := _citation(found.text, place.index, given[place.index])) is not None]
    reply: Answered = {
        "answer": found.text,
        "read": [place.index for place in best],
        "citations": spans,
        "status": found.status.value,
        "ranking_status": ranking.status.value,
        "usage": _usage(ranking, found),
    }
    problems = [*ranking.problems, *found.problems, *([found.error] if found.error else [])]
    if problems:
        reply["problems"] = problems
    return reply


def _citation(answer: str | None, index: int, document: GivenDocument) -> Citation | None:
    """Where a passage has the answer's words, whatever their case; ``None`` if it does not."""
    text = document.text
    start = -1 if not answer else text.find(answer)
    if start < 0 and answer and len(text.lower()) == len(text):  # lower case that keeps the places
        start = text.lower().find(answer.lower())
    if answer is None or start < 0:
        return None
    span: Citation = {"index": index, "start": start, "end": start + len(answer)}
    return span if document.id is None else {**span, "id": document.id}


def _usage(*told: Ranking | Answer) -> dict[str, int]:
    usages = [each.usage for each in told]
    return {
        "calls": sum(usage.calls for usage in usages),
        "tokens": sum(usage.tokens for usage in usages),
        "cached_calls": sum(usage.cached_calls for usage in usages),
    }


# ------------------------------------------------------------------------------------------------ the server


def build_server(tools: Tools) -> MCPServer:
    """The MCP server with ``rerank``, and with ``answer`` if there is a reader."""
    server = MCPServer(
        "shortlist",
        title="Shortlist",
        instructions=_INSTRUCTIONS,
        version=__version__,
        log_level="WARNING",
    )
    server.add_tool(tools.rerank, title="Rerank passages", annotations=_HINTS)
    if tools.reader is not None:
        server.add_tool(tools.answer, title="Answer from passages", annotations=_HINTS)
    return server


def serve_stdio(tools: Tools) -> None:
    """Serve one client on standard input and output, until it closes them."""
    build_server(tools).run("stdio")


def http_app(tools: Tools, *, host: str = "127.0.0.1", api_key: str | None = None) -> Any:
    """The ASGI application: MCP's streamable HTTP at ``/mcp``, stateless, behind the key if there is one."""
    app = build_server(tools).streamable_http_app(host=host, stateless_http=True, json_response=True)
    return app if api_key is None else _Locked(app, Keys.of([api_key]))


def serve_http(tools: Tools, *, host: str = "127.0.0.1", port: int = 8765, api_key: str | None = None) -> None:
    """Serve over HTTP until SIGTERM or SIGINT; requests under way get ten seconds to end."""
    import uvicorn

    app = http_app(tools, host=host, api_key=api_key)
    uvicorn.run(app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=10)


@dataclass(frozen=True, slots=True)
class _Locked:
    """Lets requests through that bear the key."""

    app: Any
    keys: Keys

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or self.keys.admit(presented_key(dict(scope["headers"]))):
            await self.app(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"error": "missing or wrong API key"}'})
