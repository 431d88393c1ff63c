"""LlamaIndex's postprocessors for Cohere, Jina and Text Embeddings Inference, pointed at us."""

from __future__ import annotations

import pytest
from client_loopback import BEST, CARELESS, KEY, SCORES, imported
from serving_doubles import QUERY, TEXTS

pytestmark = CARELESS


def postprocessor(name, kind):
    return getattr(imported(f"llama_index.postprocessor.{name}"), kind)


@pytest.fixture
def nodes():
    schema = imported("llama_index.core.schema")
    return [
        schema.NodeWithScore(node=schema.TextNode(text=text, id_=str(i)), score=0.5) for i, text in enumerate(TEXTS)
    ]


def check(reranker, nodes, top=2):
    told = reranker.postprocess_nodes(nodes, query_str=QUERY)
    assert [int(node.node.node_id) for node in told] == BEST[:top]
    assert [node.score for node in told] == pytest.approx(SCORES[:top])


def test_cohere(url, nodes):
    made = postprocessor("cohere_rerank", "CohereRerank")
    check(made(model="rerank-v3.5", api_key=KEY, base_url=url, top_n=2), nodes)


@pytest.mark.parametrize("base", ["/v1", "/jina/v1"])
def test_jina(url, nodes, base):
    made = postprocessor("jinaai_rerank", "JinaRerank")
    check(made(model="fast", api_key=KEY, base_url=url + base, top_n=2), nodes)


@pytest.mark.parametrize("base", ["", "/tei"])
def test_text_embeddings_inference(url, nodes, base):
    made = postprocessor("tei_rerank", "TextEmbeddingInference")
    check(made(base_url=url + base, auth_token=f"Bearer {KEY}", top_n=2), nodes)
