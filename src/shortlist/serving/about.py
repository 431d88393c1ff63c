"""What a server tells of itself: TEI's ``/info``, OpenAI's and Cohere's ``/v1/models``."""

from __future__ import annotations

from typing import Any

from shortlist._version import __version__
from shortlist.rerankers.parts import rerankers_in
from shortlist.serving.asking import Refused
from shortlist.serving.config import ServerConfig
from shortlist.serving.parts import backend_of, passage_tokens
from shortlist.serving.schemas.base import Told
from shortlist.serving.served import FIRST_STAGE, Offer, Served


class Health(Told):
    """A state."""

    status: str


class ModelCard(Told):
    """A served reranker."""

    id: str
    object: str
    owned_by: str
    mode: str
    score_kind: str
    calibrated: bool


class ModelList(Told):
    """OpenAI's list (``data``) and Cohere's (``models``)."""

    object: str
    data: list[ModelCard]
    models: list[dict[str, Any]]


class Info(Told):
    """TEI's facts, and ours."""

    model_id: str
    model_type: dict[str, Any]
    max_input_length: int
    max_client_batch_size: int
    version: str
    models: list[ModelCard]


def card(served: Served) -> dict[str, Any]:
    """One reranker."""
    return {
        "id": served.name,
        "object": "model",
        "created": 0,
        "owned_by": "shortlist",
        "mode": served.mode,
        "score_kind": served.scale.kind,
        "calibrated": served.calibration is not None,
    }


def cards(offer: Offer) -> list[dict[str, Any]]:
    """All rerankers, the first stage last."""
    return [card(served) for served in (*offer.models.served, offer.models.by_name[FIRST_STAGE])]


def model_list(offer: Offer) -> dict[str, Any]:
    """``GET /v1/models``."""
    told = cards(offer)
    more = [
        {"id": alias, **{k: v for k, v in card(offer.models.by_name[alias]).items() if k != "id"}}
        for alias in offer.models.aliases
    ]
    told += more
    return {"object": "list", "data": told, "models": [{"name": one["id"], "endpoints": ["rerank"]} for one in told]}


def one_model(offer: Offer, name: str) -> dict[str, Any]:
    """``GET /v1/models/NAME``: as OpenAI's client retrieves a model."""
    found: dict[str, Any] | None = next((one for one in model_list(offer)["data"] if one["id"] == name), None)
    if found is None:
        raise Refused("unknown_model", f"model {name[:200]!r} is not served here", parameter="model")
    return found


def input_length(served: Served) -> int:
    """The longest passage its model sees, in tokens, as far as that is known."""
    for reranker in rerankers_in(served.ranker):
        tokens = getattr(backend_of(reranker.policy), "tokens", None)
        return tokens if isinstance(tokens, int) else passage_tokens(reranker.policy)
    return 512


def info(offer: Offer, config: ServerConfig) -> dict[str, Any]:
    """``GET /info``."""
    first = offer.models.served[0]
    return {
        "model_id": first.name,
        "model_sha": None,
        "model_dtype": "unknown",
        "model_type": {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
        "max_concurrent_requests": config.admission.open_requests,
        "max_input_length": input_length(first),
        "max_batch_tokens": config.batching.tokens,
        "max_batch_requests": config.batching.items,
        "max_client_batch_size": config.max_documents,
        "auto_truncate": True,
        "tokenization_workers": 1,
        "version": __version__,
        "engine": "shortlist",
        "models": cards(offer),
        "corpora": [index.name for index in offer.corpora],
        "reader": offer.reader_name if offer.reader is not None else None,
        "limits": {
            "documents": config.max_documents,
            "body_bytes": config.max_body,
            "query_characters": config.max_query,
        },
        "deadline_seconds": config.deadline,
    }
