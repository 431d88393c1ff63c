"""LiteLLM, through each of its providers that takes an address of one's own."""

from __future__ import annotations

import asyncio

import pytest
from client_loopback import BEST, CARELESS, KEY, SCORES, imported
from serving_doubles import QUERY, TEXTS

pytestmark = CARELESS

BASES = {  # what a user gives as api_base; vLLM's requests to /rerank look like Infinity's, so that one is named
    "cohere": "",
    "jina_ai": "",
    "infinity": "/infinity",
    "hosted_vllm": "",
    "voyage": "",
    "huggingface": "",
    "huggingface with a path": "/tei",
}


@pytest.fixture(scope="module")
def litellm():
    module = imported("litellm")
    module.suppress_debug_info = True
    return module


@pytest.mark.parametrize("told", BASES)
def test_each_provider(litellm, url, told):
    provider, base = told.split()[0], url + BASES[told]
    reply = litellm.rerank(f"{provider}/fast", query=QUERY, documents=TEXTS, top_n=2, api_base=base, api_key=KEY)
    # Text Embeddings Inference knows no top_n, and LiteLLM leaves its reply as it is
    most = None if provider == "huggingface" else 2
    assert [result["index"] for result in reply.results] == BEST[:most]
    assert [result["relevance_score"] for result in reply.results] == pytest.approx(SCORES[:most])
    texts = [(result.get("document") or {}).get("text") for result in reply.results]
    assert all(text in {None, TEXTS[i]} for text, i in zip(texts, BEST, strict=False))


@pytest.mark.parametrize("provider", ["jina_ai", "infinity", "hosted_vllm"])  # Cohere's v2 never returns texts
def test_texts_come_back_on_request(litellm, url, provider):
    base = url + BASES[provider]
    reply = litellm.rerank(
        f"{provider}/fast", query=QUERY, documents=TEXTS, return_documents=True, api_base=base, api_key=KEY
    )
    assert [result["document"]["text"] for result in reply.results] == [TEXTS[i] for i in BEST]


def test_in_tasks(litellm, url):
    async def ask():
        return await litellm.arerank("cohere/fast", query=QUERY, documents=TEXTS, api_base=url, api_key=KEY)

    assert [result["index"] for result in asyncio.run(ask()).results] == BEST


def test_a_wrong_key_is_told(litellm, url):
    its_words = (litellm.AuthenticationError, litellm.APIConnectionError)  # before 1.100, for every refusal of Cohere's
    with pytest.raises(its_words, match="no valid API key"):
        litellm.rerank("cohere/fast", query=QUERY, documents=TEXTS, api_base=url, api_key="wrong")
