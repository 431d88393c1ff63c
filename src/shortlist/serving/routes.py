"""The routes, dialect by dialect. Each is served under the path that its clients know, and under its dialect's name."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, Discriminator, Tag
from starlette.responses import Response, StreamingResponse

from shortlist.serving import about
from shortlist.serving.answering import AnswerReply, AnswerRequest, SearchReply, SearchRequest
from shortlist.serving.desk import Desk
from shortlist.serving.examples import ANSWER, RERANK, SCORE, SEARCH, TEXTS
from shortlist.serving.metrics import CONTENT_TYPE
from shortlist.serving.schemas.base import Dialect
from shortlist.serving.schemas.cohere import COHERE, CohereV2Reply, CohereV2Request
from shortlist.serving.schemas.infinity import INFINITY, InfinityReply
from shortlist.serving.schemas.jina import JINA, JinaReply
from shortlist.serving.schemas.shared import SHARED, RerankRequest, SharedReply, VoyageReply
from shortlist.serving.schemas.tei import TEI, TEIFailure, TEIRequest, TEIResult
from shortlist.serving.schemas.vllm import VLLM, ScoreReply, ScoreRequest, VLLMReply, VLLMRequest, pairs_of, score_reply
from shortlist.serving.schemas.voyage import VOYAGE
from shortlist.serving.stream import begun
from shortlist.serving.wire import STATE, Route, ranked_reply, reply

ERRORS = (400, 401, 404, 405, 413, 422, 424, 429, 499, 500, 502, 503, 504)


Responses: TypeAlias = dict[int | str, dict[str, Any]]


def failures(*models: type[BaseModel]) -> Responses:
    """The error replies of a route, for the OpenAPI document."""
    model: Any = models[0]
    for another in models[1:]:
        model |= another
    return {status: {"model": model, "description": "An error, in the dialect's shape."} for status in ERRORS}


def _which(body: Any) -> str:
    texts = isinstance(body, TEIRequest) or (isinstance(body, dict) and "texts" in body)
    return "texts" if texts else "documents"


_EVENT = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": ["judged", "ranking", "done", "error"]},
        "data": {"type": "string", "description": "JSON."},
    },
}
EitherRequest: TypeAlias = Annotated[
    Annotated[TEIRequest, Tag("texts")] | Annotated[VLLMRequest, Tag("documents")], Discriminator(_which)
]


async def _ranked(desk: Desk, body: Any, dialect: Dialect, request: Request) -> Response:
    request.scope[STATE]["dialect"] = dialect
    return ranked_reply(dialect, await desk.rank(body.asked(), request))


def rerank_router(desk: Desk) -> APIRouter:
    """Everything that reranks."""
    router = APIRouter(route_class=Route, tags=["rerank"])

    async def cohere_v2(request: Request, body: Annotated[CohereV2Request, Body(openapi_examples=RERANK)]) -> Response:
        """Cohere's v2 rerank."""
        return await _ranked(desk, body, COHERE, request)

    async def shared(request: Request, body: Annotated[RerankRequest, Body(openapi_examples=RERANK)]) -> Response:
        """Cohere v1, Jina, vLLM, LiteLLM; with ``top_k``, Voyage."""
        return await _ranked(desk, body, VOYAGE if body.top_k is not None else SHARED, request)

    async def jina(request: Request, body: Annotated[RerankRequest, Body(openapi_examples=RERANK)]) -> Response:
        """Jina's rerank."""
        return await _ranked(desk, body, JINA, request)

    async def voyage(request: Request, body: Annotated[RerankRequest, Body(openapi_examples=RERANK)]) -> Response:
        """Voyage's rerank."""
        return await _ranked(desk, body, VOYAGE, request)

    async def tei(request: Request, body: Annotated[TEIRequest, Body(openapi_examples=TEXTS)]) -> Response:
        """Text Embeddings Inference."""
        return await _ranked(desk, body, TEI, request)

    async def vllm(request: Request, body: Annotated[VLLMRequest, Body(openapi_examples=RERANK)]) -> Response:
        """vLLM's rerank."""
        return await _ranked(desk, body, VLLM, request)

    async def infinity(request: Request, body: Annotated[VLLMRequest, Body(openapi_examples=RERANK)]) -> Response:
        """Infinity's rerank."""
        return await _ranked(desk, body.infinite(), INFINITY, request)

    async def either(
        request: Request, body: Annotated[EitherRequest, Body(openapi_examples=TEXTS | RERANK)]
    ) -> Response:
        """TEI with ``texts``; with ``documents`` vLLM, or Infinity where ``raw_scores`` is set."""
        if isinstance(body, TEIRequest):
            return await _ranked(desk, body, TEI, request)
        return await _ranked(desk, body, INFINITY if body.is_infinity else VLLM, request)

    for paths, function, model, dialects in (
        (("/v2/rerank", "/cohere/v2/rerank"), cohere_v2, CohereV2Reply, (COHERE,)),
        (("/v1/rerank", "/cohere/v1/rerank"), shared, SharedReply | VoyageReply, (SHARED, COHERE, VOYAGE)),
        (("/rerank",), either, list[TEIResult] | VLLMReply | InfinityReply, (TEI, VLLM)),
        (("/jina/v1/rerank", "/jina/rerank"), jina, JinaReply, (JINA,)),
        (("/voyage/v1/rerank", "/voyage/rerank"), voyage, VoyageReply, (VOYAGE,)),
        (("/tei/rerank",), tei, list[TEIResult], (TEI,)),
        (("/vllm/rerank", "/vllm/v1/rerank", "/vllm/v2/rerank"), vllm, VLLMReply, (VLLM,)),
        (("/infinity/rerank", "/infinity/v1/rerank"), infinity, InfinityReply, (INFINITY,)),
    ):
        _post(router, paths, function, model, *(dialect.failure for dialect in dialects))
    return router


def _post(router: APIRouter, paths: tuple[str, ...], function: Any, model: Any, *errors: type[BaseModel]) -> None:
    """One function under several paths."""
    for path in paths:
        name = path.strip("/").replace("/", "_")
        responses: Responses = {200: {"model": model}, **failures(*errors)}
        router.add_api_route(
            path, function, methods=["POST"], operation_id=name, name=name, responses=responses, response_class=Response
        )


def more_router(desk: Desk) -> APIRouter:
    """Scores of pairs, streams, answers, searches."""
    router = APIRouter(route_class=Route, tags=["more"])

    async def score(request: Request, body: Annotated[ScoreRequest, Body(openapi_examples=SCORE)]) -> Response:
        """vLLM's score: one query with each passage, or pairs one to one."""
        request.scope[STATE]["dialect"] = VLLM
        pairs = pairs_of(body)
        served = desk.offer.models.choose(body.model, None)
        raw = await desk.score(pairs, body.model, body.priority or 0, request)
        told = raw if body.use_activation is False else served.scale.relevance(raw)
        tokens = sum((len(query) + len(passage)) // 4 for query, passage in pairs)
        return reply(score_reply(request.scope[STATE]["id"], served.name, told, tokens))

    async def stream(request: Request, body: Annotated[RerankRequest, Body(openapi_examples=RERANK)]) -> Response:
        """The ranking as it becomes clear: events ``judged``, ``ranking``, and at last ``done`` or ``error``."""
        request.scope[STATE]["dialect"] = SHARED
        events = await begun(desk, body.asked(), request)
        return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-store"})

    async def answer(request: Request, body: Annotated[AnswerRequest, Body(openapi_examples=ANSWER)]) -> Response:
        """Rerank, keep, read, cite."""
        return reply(await desk.answer(body, request))

    async def search(request: Request, body: Annotated[SearchRequest, Body(openapi_examples=SEARCH)]) -> Response:
        """The first stage over an indexed corpus."""
        return reply(await desk.search(body, request))

    shared = SHARED.failure
    _post(router, ("/score", "/v1/score", "/vllm/score"), score, ScoreReply, VLLM.failure)
    _post(router, ("/v1/answer",), answer, AnswerReply, shared)
    _post(router, ("/v1/search",), search, SearchReply, shared)
    events: Responses = {200: {"description": "Events.", "content": {"text/event-stream": {"schema": _EVENT}}}}
    router.add_api_route(
        "/v1/rerank/stream", stream, methods=["POST"], responses={**events, **failures(shared)}, response_class=Response
    )
    return router


def about_router(desk: Desk) -> APIRouter:
    """How the server is, and what it has."""
    router = APIRouter(tags=["about"])
    shared = failures(SHARED.failure)

    async def health() -> Response:
        """The process lives."""
        return reply({"status": "ok"})

    async def ready() -> Response:
        """Models are loaded and requests are taken; 503 otherwise."""
        state = "closing" if desk.engine.closing else desk.trouble or ("ok" if desk.warm else "loading")
        return reply({"status": state}, 200 if desk.ready else 503)

    async def models() -> Response:
        """What is served, as OpenAI and as Cohere list it."""
        return reply(about.model_list(desk.offer))

    async def model(name: str) -> Response:
        """One of them, as OpenAI has it."""
        return reply(about.one_model(desk.offer, name))

    async def info() -> Response:
        """TEI's facts, and ours."""
        return reply(about.info(desk.offer, desk.config))

    async def metrics() -> Response:
        """For Prometheus."""
        return Response(desk.metrics.text(), media_type=CONTENT_TYPE)

    not_ready: Responses = {503: {"model": about.Health, "description": "Not ready."}}
    for path, function, body, errors in (
        ("/health", health, about.Health, {}),
        ("/healthz", health, about.Health, {}),
        ("/ready", ready, about.Health, not_ready),
        ("/v1/models", models, about.ModelList, shared),
        ("/models", models, about.ModelList, shared),
        ("/v1/models/{name:path}", model, about.ModelCard, shared),
        ("/info", info, about.Info, failures(TEIFailure)),
        ("/metrics", metrics, None, shared),
    ):
        good: dict[str, Any] = {"model": body} if body else {"content": {"text/plain": {"schema": {"type": "string"}}}}
        router.add_api_route(
            path,
            function,
            methods=["GET"],
            operation_id=path.strip("/").replace("/", "_").replace("{name:path}", "name"),
            responses={200: good, **errors},
            response_class=Response,
        )
    return router
