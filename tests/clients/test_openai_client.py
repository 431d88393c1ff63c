"""OpenAI's client: the list of models, keys, and the rerank routes that its users call with it by hand."""

from __future__ import annotations

import pytest
from client_loopback import BEST, CARELESS, KEY, SCORES, imported
from serving_doubles import QUERY, TEXTS

pytestmark = CARELESS


@pytest.fixture(scope="module")
def openai():
    return imported("openai")


@pytest.fixture
def client(openai, url):
    return openai.OpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0)


def test_models_are_listed(client):
    told = client.models.list()
    assert [model.id for model in told] == ["fast", "list", "first-stage", "rerank-v3.5"]
    assert {model.object for model in told} == {"model"}


def test_a_model_is_retrieved(openai, client):
    assert client.models.retrieve("rerank-v3.5").id == "rerank-v3.5"
    with pytest.raises(openai.NotFoundError, match="not served here"):
        client.models.retrieve("some/body")


def test_a_wrong_key(openai, url):
    with pytest.raises(openai.AuthenticationError, match="API key"):
        openai.OpenAI(api_key="wrong", base_url=f"{url}/v1", max_retries=0).models.list()


def test_rerank_by_hand(client):
    told = client.post("/rerank", body={"model": "fast", "query": QUERY, "documents": TEXTS}, cast_to=object)
    assert [result["index"] for result in told["results"]] == BEST


def test_score_by_hand(client):
    told = client.post("/score", body={"model": "fast", "text_1": QUERY, "text_2": TEXTS}, cast_to=object)
    assert [told["data"][i]["score"] for i in BEST] == pytest.approx(SCORES)


def test_errors_are_its_own(openai, client):
    with pytest.raises(openai.NotFoundError, match="not served here"):
        client.post("/rerank", body={"model": "nobody", "query": QUERY, "documents": TEXTS}, cast_to=object)
    with pytest.raises(openai.UnprocessableEntityError):
        client.post("/rerank", body={"model": "fast", "query": 1, "documents": TEXTS}, cast_to=object)
