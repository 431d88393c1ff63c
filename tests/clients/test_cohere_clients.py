"""Cohere's own client, of its fifth and its seventh generation, and LangChain's component that uses it."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from client_loopback import BEST, CARELESS, KEY, LONG, SCORES, imported, on_loopback, right_list, tagged
from serving_doubles import QUERY, TEXTS, pointwise

pytestmark = CARELESS


@pytest.fixture(scope="module")
def cohere():
    return imported("cohere")


@pytest.fixture
def v2(cohere, url):
    return cohere.ClientV2(api_key=KEY, base_url=url)


def test_v2_gives_the_librarys_order_and_scores(v2):
    told = v2.rerank(model="rerank-v3.5", query=QUERY, documents=TEXTS)
    assert [result.index for result in told.results] == BEST
    assert [result.relevance_score for result in told.results] == pytest.approx(SCORES)
    assert told.id
    assert told.meta.api_version.version == "2"


def test_v2_top_n_and_limits(v2):
    documents = [f"{'filler ' * 30}capital of France", "capital", "a river"]
    whole = v2.rerank(model="fast", query=QUERY, documents=documents, top_n=2)
    assert [result.index for result in whole.results] == [0, 1]
    told = v2.rerank(model="fast", query=QUERY, documents=documents, top_n=2, max_tokens_per_doc=4, priority=1)
    assert told.results[0].index == 1  # all that made the first one right was cut
    assert "cut to 4 tokens" in str(told.meta.warnings)


def test_v2_of_a_listwise_model(v2):
    told = v2.rerank(model="list", query=QUERY, documents=LONG)
    assert [result.index for result in told.results] == right_list()
    scores = [result.relevance_score for result in told.results]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= min(scores) <= max(scores) <= 1


def test_v1_with_objects_and_their_fields(cohere, url):
    client = cohere.Client(api_key=KEY, base_url=url)
    documents = [{"text": text} for text in TEXTS]
    told = client.rerank(model="fast", query=QUERY, documents=documents, return_documents=True)
    assert [result.index for result in told.results] == BEST
    assert [result.document.text for result in told.results] == [TEXTS[i] for i in BEST]
    documents = [{"text": "x", "title": text} for text in TEXTS]
    told = client.rerank(model="fast", query=QUERY, documents=documents, rank_fields=["title"], top_n=1)
    assert [result.index for result in told.results] == BEST[:1]


def test_many_at_once_are_not_crossed(cohere, url):
    async def ask():
        async with cohere.AsyncClientV2(api_key=KEY, base_url=url) as client:

            async def one(number):
                query, texts, right = tagged(number)
                told = await client.rerank(model="fast", query=query, documents=texts)
                return [result.index for result in told.results] == right

            return await asyncio.gather(*(one(number) for number in range(40)))

    assert all(asyncio.run(ask()))


def test_errors_are_its_own(cohere, url, v2):
    with pytest.raises(cohere.UnauthorizedError) as told:
        cohere.ClientV2(api_key="wrong", base_url=url).rerank(model="fast", query=QUERY, documents=TEXTS)
    assert "API key" in told.value.body["message"]
    with pytest.raises(cohere.NotFoundError, match="not served here"):
        v2.rerank(model="nobody", query=QUERY, documents=TEXTS)
    with pytest.raises(cohere.BadRequestError):
        v2.rerank(model="fast", query=QUERY, documents=[])
    with pytest.raises(cohere.UnprocessableEntityError):
        v2.rerank(model="fast", query=QUERY, documents=TEXTS, top_n=-1)


def test_overload_is_waited_out(cohere):
    """429 with Retry-After: the client's error without retries, an answer with them."""
    from shortlist.serving.config import ServerConfig
    from shortlist.serving.engine import Admission

    config = ServerConfig(admission=Admission(open_requests=1))
    with on_loopback(pointwise(seconds=0.15), config=config) as url:
        client = cohere.ClientV2(api_key="any", base_url=url)
        busy = threading.Thread(target=lambda: client.rerank(model="fast", query=QUERY, documents=TEXTS))
        busy.start()
        time.sleep(0.15)
        with pytest.raises(cohere.TooManyRequestsError):
            client.rerank(model="fast", query=QUERY, documents=TEXTS, request_options={"max_retries": 0})
        told = client.rerank(model="fast", query=QUERY, documents=TEXTS, request_options={"max_retries": 3})
        assert [result.index for result in told.results] == BEST
        busy.join(10)


def test_models_are_listed(cohere, url):
    told = cohere.Client(api_key=KEY, base_url=url).models.list()
    assert {"fast", "list", "rerank-v3.5"} <= {model.name for model in told.models}


def test_spans_typed(cohere, v2):
    if not hasattr(cohere, "RerankRelevantSpans"):
        pytest.skip("spans came with cohere 7; scripts/client_tests.sh has it")
    wish = cohere.RerankRelevantSpans(mode="enabled", threshold=0.0, max_spans=1)
    told = v2.rerank(model="fast", query=QUERY, documents=TEXTS, relevant_spans=wish)
    (span,) = told.results[0].relevant_spans
    assert TEXTS[1][span.start : span.end] == TEXTS[1]
    assert 0 <= span.score <= 1


def test_spans_of_an_older_client(v2):
    options = {"additional_body_parameters": {"relevant_spans": {"mode": "enabled"}}}
    told = v2.rerank(model="fast", query=QUERY, documents=TEXTS, request_options=options)
    (span,) = told.results[0].relevant_spans
    span = span if isinstance(span, dict) else vars(span)
    assert TEXTS[1][span["start"] : span["end"]] == TEXTS[1]


# ------------------------------------------------------------------------------------------------ LangChain


@pytest.fixture
def langchain(cohere, url):
    if int(cohere.__version__.split(".")[0]) > 5:
        pytest.skip("langchain-cohere is made for cohere 5")
    return imported("langchain_cohere").CohereRerank(model="fast", cohere_api_key=KEY, base_url=url, top_n=2)


@pytest.fixture
def passages():
    document = imported("langchain_core.documents").Document
    return [document(page_content=text, metadata={"n": i}) for i, text in enumerate(TEXTS)]


def test_langchain_compresses(langchain, passages):
    told = langchain.compress_documents(passages, QUERY)
    assert [document.metadata["n"] for document in told] == BEST[:2]
    assert [document.metadata["relevance_score"] for document in told] == pytest.approx(SCORES[:2])


def test_langchain_compresses_in_tasks(langchain, passages):
    told = asyncio.run(langchain.acompress_documents(passages, QUERY))
    assert [document.metadata["n"] for document in told] == BEST[:2]


def test_langchain_reranks(langchain):
    told = langchain.rerank(TEXTS, QUERY, top_n=3)
    assert [result["index"] for result in told] == BEST
