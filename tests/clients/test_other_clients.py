"""Voyage's client, Infinity's client, and the rerankers package's client for hosted APIs."""

from __future__ import annotations

import asyncio

import pytest
from client_loopback import BEST, CARELESS, KEY, SCORES, imported
from serving_doubles import QUERY, TEXTS

pytestmark = CARELESS


# ------------------------------------------------------------------------------------------------ Voyage


@pytest.fixture(scope="module")
def voyageai():
    return imported("voyageai")


@pytest.mark.parametrize("base", ["/v1", "/voyage/v1"])
def test_voyage(voyageai, url, base):
    told = voyageai.Client(api_key=KEY, base_url=url + base).rerank(QUERY, TEXTS, model="fast", top_k=2)
    assert [result.index for result in told.results] == BEST[:2]
    assert [result.document for result in told.results] == [TEXTS[i] for i in BEST[:2]]
    assert [result.relevance_score for result in told.results] == pytest.approx(SCORES[:2])
    assert told.total_tokens >= 0


def test_voyage_under_its_own_name_without_top_k(voyageai, url):
    """``/v1/rerank`` tells Voyage by ``top_k``; a client that sends none is told by its path."""
    told = voyageai.Client(api_key=KEY, base_url=f"{url}/voyage/v1").rerank(QUERY, TEXTS, model="fast")
    assert [result.index for result in told.results] == BEST


def test_voyage_in_tasks(voyageai, url):
    async def ask():
        client = voyageai.AsyncClient(api_key=KEY, base_url=f"{url}/v1")
        return await client.rerank(QUERY, TEXTS, model="fast", top_k=3)

    assert [result.index for result in asyncio.run(ask()).results] == BEST


def test_voyage_errors_are_its_own(voyageai, url):
    with pytest.raises(voyageai.error.AuthenticationError):
        voyageai.Client(api_key="wrong", base_url=f"{url}/v1").rerank(QUERY, TEXTS, model="fast", top_k=2)


# ------------------------------------------------------------------------------------------------ Infinity


@pytest.fixture(scope="module")
def infinity():
    imported("infinity_client")
    import infinity_client.api.default.health
    import infinity_client.api.default.models
    import infinity_client.api.default.rerank
    import infinity_client.models

    return infinity_client


@pytest.fixture
def infinity_connection(infinity, url):
    return infinity.AuthenticatedClient(base_url=url, token=KEY)


def test_infinity(infinity, infinity_connection):
    wish = infinity.models.RerankInput(query=QUERY, documents=TEXTS, model="fast", top_n=2, return_documents=True)
    told = infinity.api.default.rerank.sync(client=infinity_connection, body=wish)
    assert [result.index for result in told.results] == BEST[:2]
    assert [result.document for result in told.results] == [TEXTS[i] for i in BEST[:2]]
    assert [result.relevance_score for result in told.results] == pytest.approx(SCORES[:2])


def test_infinity_names_no_model(infinity, infinity_connection):
    """Its client says ``default/not-specified`` then."""
    wish = infinity.models.RerankInput(query=QUERY, documents=TEXTS, raw_scores=True)
    told = infinity.api.default.rerank.sync(client=infinity_connection, body=wish)
    assert [result.index for result in told.results] == BEST
    assert told.results[0].relevance_score > 1


def test_infinity_in_tasks(infinity, infinity_connection):
    wish = infinity.models.RerankInput(query=QUERY, documents=TEXTS, model="fast")
    told = asyncio.run(infinity.api.default.rerank.asyncio(client=infinity_connection, body=wish))
    assert [result.index for result in told.results] == BEST


# ------------------------------------------------------------------------------------------------ rerankers


@pytest.mark.parametrize(
    ("provider", "path"),
    [
        ("cohere", "/v1/rerank"),
        ("jina", "/v1/rerank"),
        ("voyage", "/v1/rerank"),
        ("text-embeddings-inference", "/rerank"),
    ],
)
def test_rerankers(url, provider, path):
    rerankers = imported("rerankers.models.api_rankers")
    ranker = rerankers.APIRanker("fast", KEY, provider, verbose=0, url=url + path)
    told = ranker.rank(QUERY, TEXTS, doc_ids=["a", "b", "c"])
    assert [result.document.doc_id for result in told.results] == ["abc"[i] for i in BEST]
    assert [result.score for result in told.results] == pytest.approx(SCORES)
