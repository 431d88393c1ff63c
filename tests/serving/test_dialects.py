"""Each dialect's exact shape; absent keys absent; the union; our own extension."""

from __future__ import annotations

import math

import pytest
from serving_doubles import QUERY, TEXTS, broken, listwise, overlap, pointwise, serving

from shortlist.backends.base import Pair
from shortlist.rerankers.compose import Keep
from shortlist.rerankers.cutoffs import LargestGap

SCORES = [overlap(Pair(QUERY, text)) for text in TEXTS]
BEST = sorted(range(3), key=lambda i: -SCORES[i])
UNIT = [1 / (1 + math.exp(-SCORES[i])) for i in BEST]
PLAIN = {"query": QUERY, "documents": TEXTS}


def post(client, path, status=200, **body):
    reply = client.post(path, json=body)
    assert reply.status_code == status, reply.text
    return reply.json()


def test_cohere_v2(client):
    told = post(client, "/v2/rerank", **PLAIN, model="fast", top_n=2)
    assert set(told) == {"id", "results", "meta"}
    assert [set(result) for result in told["results"]] == [{"index", "relevance_score"}] * 2
    assert [result["index"] for result in told["results"]] == BEST[:2]
    assert [result["relevance_score"] for result in told["results"]] == pytest.approx(UNIT[:2])
    assert told["meta"]["api_version"] == {"version": "2"}
    assert "warnings" not in told["meta"]
    assert told["meta"]["rerank"]["status"] == "ok"
    assert told["meta"]["rerank"]["score_kind"] == "logit"


def test_cohere_v1_takes_objects_and_gives_texts_back(client):
    documents = [{"text": text, "author": "me"} for text in TEXTS]
    told = post(client, "/v1/rerank", query=QUERY, documents=documents, return_documents=True, model="fast")
    assert [result["document"] for result in told["results"]] == [{"text": TEXTS[i]} for i in BEST]
    assert told["object"] == "list"
    assert told["model"] == "fast"
    assert set(told) == {"id", "model", "object", "usage", "meta", "results"}


def test_rank_fields_choose_what_is_read(client):
    documents = [{"text": "x", "place": "capital of France"}, {"text": "capital of France", "place": "y"}]
    told = post(client, "/v1/rerank", query=QUERY, documents=documents, rank_fields=["place"])
    assert [result["index"] for result in told["results"]] == [0, 1]


def test_without_return_documents_there_is_no_document_key(client):
    told = post(client, "/v1/rerank", **PLAIN)
    assert all(set(result) == {"index", "relevance_score"} for result in told["results"])


def test_jina(client):
    told = post(client, "/jina/v1/rerank", **PLAIN, top_n=1, return_documents=True)
    assert set(told) == {"model", "object", "usage", "results"}
    assert told["results"][0]["document"] == {"text": TEXTS[BEST[0]]}
    assert set(told["usage"]) == {"prompt_tokens", "total_tokens"}


@pytest.mark.parametrize("path", ["/v1/rerank", "/voyage/v1/rerank"])
def test_voyage(client, path):
    told = post(client, path, **PLAIN, top_k=2, return_documents=True)
    assert set(told) == {"object", "data", "model", "usage"}
    assert [one["document"] for one in told["data"]] == [TEXTS[i] for i in BEST[:2]]
    assert set(told["usage"]) == {"total_tokens"}


def test_tei(client):
    told = post(client, "/rerank", query=QUERY, texts=TEXTS)
    assert [one["index"] for one in told] == BEST
    assert [one["score"] for one in told] == pytest.approx(UNIT)
    assert all(set(one) == {"index", "score"} for one in told)
    raw = post(client, "/rerank", query=QUERY, texts=TEXTS, raw_scores=True, return_text=True)
    assert [one["score"] for one in raw] == pytest.approx([SCORES[i] for i in BEST])
    assert [one["text"] for one in raw] == [TEXTS[i] for i in BEST]


@pytest.mark.parametrize("path", ["/rerank", "/vllm/v1/rerank"])
def test_vllm(client, path):
    told = post(client, path, query=[{"type": "text", "text": QUERY}], documents=TEXTS, top_n=0)
    assert set(told) == {"id", "model", "usage", "results"}
    assert [set(one) for one in told["results"]] == [{"index", "document", "relevance_score"}] * 3
    assert told["id"].startswith("rerank-")


@pytest.mark.parametrize("path", ["/rerank", "/infinity/rerank"])
def test_infinity(client, path):
    told = post(client, path, **PLAIN, raw_scores=False, return_documents=True)
    assert told["object"] == "rerank"
    assert told["results"][0]["document"] == TEXTS[BEST[0]]
    raw = post(client, path, **PLAIN, raw_scores=True)
    assert raw["results"][0]["relevance_score"] == pytest.approx(SCORES[BEST[0]])
    assert "document" not in raw["results"][0]


def test_infinity_and_vllm_differ_in_what_a_document_is(client):
    assert post(client, "/infinity/rerank", **PLAIN, return_documents=True)["results"][0]["document"] == TEXTS[BEST[0]]
    assert "document" not in post(client, "/infinity/rerank", **PLAIN)["results"][0]
    document = {"text": TEXTS[BEST[0]]}
    assert (
        post(client, "/rerank", **PLAIN, return_documents=True)["results"][0]["document"] == document
    )  # LiteLLM's vLLM
    assert "document" not in post(client, "/rerank", **PLAIN, return_documents=False)["results"][0]


@pytest.mark.parametrize(
    "names", [("queries", "documents"), ("queries", "items"), ("text_1", "text_2"), ("data_1", "data_2")]
)
def test_score(client, names):
    one, many = names
    told = post(client, "/score", **{one: QUERY, many: TEXTS})
    assert [row["score"] for row in told["data"]] == pytest.approx([1 / (1 + math.exp(-score)) for score in SCORES])
    assert [row["index"] for row in told["data"]] == [0, 1, 2]
    raw = post(client, "/v1/score", **{one: [QUERY, "x"], many: ["capital of", "y"]}, use_activation=False)
    assert [row["score"] for row in raw["data"]] == pytest.approx(
        [overlap(Pair(QUERY, "capital of")), overlap(Pair("x", "y"))]
    )


def test_score_of_a_model_that_only_orders_is_refused(client):
    told = post(client, "/score", 422, queries=QUERY, documents=TEXTS, model="list")
    assert "no scores for single pairs" in told["error"]["message"]
    told = post(client, "/score", 422, queries=[QUERY] * 2, documents=TEXTS)
    assert "2 queries and 3 passages" in told["error"]["message"]


def test_a_listwise_model_gives_relevance_by_rank(client):
    told = post(client, "/v1/rerank", **PLAIN, model="list", rerank={})
    assert [result["index"] for result in told["results"]] == sorted(range(3), key=lambda i: -len(TEXTS[i]))
    assert [result["relevance_score"] for result in told["results"]] == pytest.approx([1, 2 / 3, 1 / 3])
    assert told["meta"]["rerank"]["score_kind"] == "rank"
    assert "raw_score" not in told["results"][0]["rerank"]


def test_the_extension_shows_raw_scores_beside(client):
    told = post(client, "/v2/rerank", **PLAIN, rerank={})
    assert told["results"][0]["rerank"] == {"raw_score": pytest.approx(SCORES[BEST[0]]), "score_kind": "logit"}


def test_mode_chooses_among_the_models(client):
    assert post(client, "/v1/rerank", **PLAIN, rerank={"mode": "listwise"})["model"] == "list"
    assert post(client, "/v1/rerank", **PLAIN, rerank={"mode": "none"})["model"] == "first-stage"
    told = post(client, "/v1/rerank", 422, **PLAIN, model="fast", rerank={"mode": "listwise"})
    assert "is pointwise, not listwise" in told["message"]
    assert (
        "there are: listwise, pointwise"
        in post(client, "/v1/rerank", 404, **PLAIN, rerank={"mode": "setwise"})["message"]
    )


def test_k_auto_keeps_what_the_reranker_keeps():
    with serving(Keep(pointwise(), LargestGap())) as client:
        told = post(client, "/v1/rerank", **PLAIN, rerank={"k": "auto"})
        assert len(told["results"]) == told["meta"]["rerank"]["cutoff"] == 2
        assert len(post(client, "/v1/rerank", **PLAIN)["results"]) == 3
        assert len(post(client, "/v1/rerank", **PLAIN, rerank={"k": 1})["results"]) == 1


def test_k_auto_without_a_cutoff_warns(client):
    assert any(
        "states no cutoff" in one
        for one in post(client, "/v1/rerank", **PLAIN, rerank={"k": "auto"})["meta"]["warnings"]
    )


def test_unknown_keys_are_warned_of(client):
    reply = client.post("/v2/rerank", json=PLAIN | {"top_k": 1, "rerank": {"mood": 1}})
    assert reply.json()["meta"]["warnings"] == ["unknown key 'top_k' ignored", "unknown key rerank.'mood' ignored"]
    assert "top_k" in reply.headers["x-shortlist-warnings"]
    assert "x-shortlist-warnings" in client.post("/rerank", json={"query": "a", "texts": ["b"], "odd": 1}).headers


def test_explained_results_say_how_far_they_moved(client):
    told = post(client, "/v1/rerank", **PLAIN, rerank={"explain": True})
    assert [one["rerank"]["moved"] for one in told["results"]] == [BEST[rank] - rank for rank in range(3)]


def test_reasoning_on_demand():
    with serving(listwise(lambda _: "<think>because</think>[1] > [2] > [3]")) as client:
        assert post(client, "/v1/rerank", **PLAIN, rerank={"explain": True})["meta"]["rerank"]["reasoning"] == [
            "because"
        ]
        assert "reasoning" not in post(client, "/v1/rerank", **PLAIN, rerank={})["meta"]["rerank"]


def test_max_tokens_per_doc_cuts_and_says_so():
    seen = []
    with serving(pointwise(lambda pair: float(len(seen.append(pair.passage) or "")))) as client:
        told = post(client, "/v2/rerank", query="q", documents=["one two three four", "five"], max_tokens_per_doc=2)
    assert seen == ["one two", "five"]
    assert told["meta"]["rerank"]["truncated"] == 1
    assert "1 passages were cut to 2 tokens" in told["meta"]["warnings"][0]


def test_relevant_spans(client):
    texts = ["Rivers are long. The capital of France is Paris. It rains.", "nothing here"]
    told = post(client, "/v2/rerank", query=QUERY, documents=texts, relevant_spans={"mode": "enabled", "max_spans": 1})
    (span,) = told["results"][0]["relevant_spans"]
    assert texts[0][span["start"] : span["end"]] == "The capital of France is Paris."
    assert 0.1 < span["score"] <= 1
    assert "relevant_spans" not in told["results"][1]
    spans = told["meta"]["rerank"]["spans"]
    assert spans == {"method": "occlusion by sentence", "scorer": "fast", "calls": 6, "tokens": 0}
    off = post(client, "/v2/rerank", query=QUERY, documents=texts, relevant_spans={"mode": "disabled"})
    assert "relevant_spans" not in off["results"][0]


def test_spans_of_a_model_that_only_orders_are_warned_of(client):
    told = post(client, "/v2/rerank", **PLAIN, model="list", relevant_spans={"mode": "enabled"})
    assert told["meta"]["warnings"] == ["no relevant_spans: this model does not score passages by themselves"]


def test_first_stage_scores_are_ranked_by_the_first_stage(client):
    told = post(client, "/v1/rerank", **PLAIN, rerank={"mode": "none", "first_stage_scores": [3.0, 2.0, 1.0]})
    assert [one["relevance_score"] for one in told["results"]] == [1.0, 0.5, 0.0]


def test_a_model_that_fails_is_an_error_unless_asked_to_report(client):
    assert "on fire" in post(client, "/v2/rerank", 502, **PLAIN, model="broken")["message"]
    told = post(client, "/v2/rerank", **PLAIN, model="broken", rerank={"on_error": "report"})
    assert [one["index"] for one in told["results"]] == [0, 1, 2]
    assert told["meta"]["rerank"]["status"] == "failed"
    assert told["meta"]["rerank"]["unjudged"] == 3
    with serving(broken()) as alone:
        told = post(alone, "/rerank", 424, query=QUERY, texts=TEXTS)
        assert told["error_type"] == "Backend"


def test_partly_failed_is_reported_or_raised():
    def half(ask):
        return "?" if "zzz" in ask.messages[-1].content else "[1] > [2]"

    with serving(listwise(half, size=2, stride=1)) as client:
        body = {"query": "q", "documents": ["a", "b", "zzz"]}
        reply = client.post("/v1/rerank", json=body)
        assert reply.json()["meta"]["rerank"]["status"] == "partial"
        assert reply.headers["x-shortlist-status"] == "partial"
        post(client, "/v1/rerank", 502, **body, rerank={"on_error": "raise"})


def test_aliases_and_lists():
    with serving(pointwise(), listwise(), aliases={"rerank-v3.5": "list"}) as client:
        assert post(client, "/v2/rerank", **PLAIN, model="rerank-v3.5")["meta"]["rerank"]["model"] == "list"
        told = client.get("/v1/models").json()
        assert [one["id"] for one in told["data"]] == ["fast", "list", "first-stage", "rerank-v3.5"]
        assert told["models"][0] == {"name": "fast", "endpoints": ["rerank"]}
        info = client.get("/info").json()
        assert info["model_id"] == "fast"
        assert "reranker" in info["model_type"]
        assert info["max_client_batch_size"] == 1000
