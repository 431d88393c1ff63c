"""What an attacker, or a client with a defect, can send: it costs the sender's request and nobody else's."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
import tracemalloc

import pytest
from serving_doubles import QUERY, TEXTS, listwise, pointwise, serving

from shortlist.serving.engine import Engine
from shortlist.serving.plans import ranked
from shortlist.serving.ranking import MAX_OCCLUSIONS
from shortlist.types import RerankRequest

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("/v2/rerank", b'{"query":"q","documents":[', b"]}"),
        ("/v1/rerank", b'{"documents":["a"],"query":[', b"]}"),
        ("/v1/rerank", b'{"query":"q","documents":["a"],"rank_fields":[', b"]}"),
        ("/v1/rerank", b'{"query":"q","documents":["a"],"rerank":{"first_stage_scores":["",', b"]}}"),
        ("/rerank", b'{"query":"q","texts":[', b"]}"),
        ("/score", b'{"documents":"a","queries":[', b"]}"),
        ("/score", b'{"text_1":"a","text_2":[', b"]}"),
    ],
)
def test_wrong_types_by_the_hundred_thousand(client, path, before, after):
    """A list is refused at its first wrong item: a report on every one of them took minutes and gigabytes."""
    content = before + b"1," * 300_000 + b"1" + after
    start = time.process_time()
    tracemalloc.start()
    try:
        reply = client.post(path, content=content, headers=JSON)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reply.status_code == 422
    assert peak < 60e6
    assert time.process_time() - start < 5


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_only_utf_8(client, encoding):
    """Another encoding would carry halves of surrogate pairs past the check."""
    text = json.dumps({"query": QUERY, "documents": [{"text": "a", "more": "\ud800"}], "rank_fields": ["more"]})
    reply = client.post("/v1/rerank", content=text.encode(encoding), headers=JSON)
    assert reply.status_code == 400
    assert "UTF-8" in reply.json()["message"]
    raw = b'{"query":"q","documents":[{"text":"a","more":"\xed\xa0\x80"}],"rank_fields":["more"]}'
    assert client.post("/v1/rerank", content=raw, headers=JSON).status_code == 400


def test_a_byte_order_mark_is_passed_over(client):
    body = b"\xef\xbb\xbf" + json.dumps({"query": QUERY, "documents": TEXTS}).encode()
    assert client.post("/v2/rerank", content=body, headers=JSON).status_code == 200


def test_a_body_without_its_type_is_told_what_is_missing(client):
    body = json.dumps({"query": QUERY, "documents": TEXTS}).encode()
    reply = client.post("/v2/rerank", content=body, headers={"content-type": "application/x-www-form-urlencoded"})
    assert reply.status_code == 422
    assert "content-type: application/json" in reply.json()["message"]


def test_spans_have_a_budget(client):
    documents = ["The capital of France is Paris. " + "It rains. " * 60] * 60
    told = client.post("/v2/rerank", json={"query": QUERY, "documents": documents, "relevant_spans": {}}).json()
    assert told["meta"]["rerank"]["spans"]["calls"] <= MAX_OCCLUSIONS
    (warning,) = told["meta"]["warnings"]
    assert "results have no relevant_spans" in warning
    assert "relevant_spans" in told["results"][0]


def test_stops_without_end(client):
    start = time.perf_counter()
    body = {"query": QUERY, "documents": ["." * 200_000 + "x"], "relevant_spans": {"mode": "enabled"}}
    assert client.post("/v2/rerank", json=body).status_code == 200
    assert time.perf_counter() - start < 5


def test_what_was_cancelled_does_not_pile_up():
    """Requests of the last priority that were given up behind others of the first: their passages are let go."""
    gate = threading.Event()
    ranker, engine = pointwise(lambda _: float(gate.wait(10))), Engine()
    request = RerankRequest.of(QUERY, TEXTS)
    busy = [engine.submit(lambda: ranked(engine, ranker, request), model="m") for _ in range(3)]
    for _ in range(500):
        engine.submit(lambda: ranked(engine, ranker, request), model="m", priority=9).cancel()
    lane = engine.of_reranker(ranker)
    assert len(lane._queue) < 150
    assert lane._queued < 450
    gate.set()
    assert all(job.future.result(10).order for job in busy)
    engine.close()


def test_documents_of_fields(client):
    """Cohere v1: with rank_fields an object needs no text."""
    documents = [{"Title": "Lima", "Body": "a river"}, {"Title": "France", "Body": "capital of France"}, "a string"]
    body = {"query": QUERY, "documents": documents, "rank_fields": ["Title", "Body"], "return_documents": True}
    told = client.post("/v1/rerank", json=body).json()
    assert told["results"][0]["index"] == 1
    assert told["results"][0]["document"] == {"text": "Title: France\nBody: capital of France"}
    for fields in ([], ["Author"]):
        reply = client.post("/v1/rerank", json=body | {"rank_fields": fields})
        assert reply.status_code == 422
        assert "document 0 has no text" in reply.json()["message"]
        assert "river" not in reply.text


def test_relevance_always_falls(client):
    """A first stage whose scores do not fall with its order: the reply's do, and say that they are by rank."""
    body = {"query": QUERY, "documents": TEXTS, "model": "first-stage", "rerank": {"first_stage_scores": [1, 3, 2]}}
    told = client.post("/v1/rerank", json=body).json()
    assert [one["index"] for one in told["results"]] == [0, 1, 2]
    assert [one["relevance_score"] for one in told["results"]] == pytest.approx([1, 2 / 3, 1 / 3])
    assert told["meta"]["rerank"]["score_kind"] == "rank"


def test_what_was_not_judged_has_no_raw_score():
    with serving(pointwise(lambda pair: float("nan") if "Peru" in pair.passage else 1.0)) as client:
        told = client.post("/v1/rerank", json={"query": QUERY, "documents": TEXTS, "rerank": {}}).json()
    unjudged = next(one for one in told["results"] if one["index"] == 0)
    assert unjudged["rerank"] == {"score_kind": "logit", "judged": False}


def test_a_failure_that_nobody_waits_for_is_not_logged_with_its_words(caplog):
    """The client hangs up at the moment its request fails: asyncio would log the exception, and what it quotes."""
    from shortlist.serving.desk import _heard

    async def talk():
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(_heard)
        future.set_exception(RuntimeError("secret"))
        await asyncio.sleep(0)
        del future

    with caplog.at_level(logging.DEBUG):
        asyncio.run(talk())
    assert "secret" not in caplog.text


def test_explanations():
    long = "Rivers are long. The capital of France is Paris. It rains."
    with serving(pointwise(), listwise()) as client:
        body = {"query": QUERY, "documents": [*TEXTS, long, "x"], "rerank": {"explain": True}}
        told = client.post("/v1/rerank", json=body).json()
        places = {one["index"]: one for one in told["results"]}
        assert [one["rerank"]["moved"] for one in told["results"]] == [
            one["index"] - rank for rank, one in enumerate(told["results"])
        ]
        (span,) = places[3]["rerank"]["relevant_spans"]
        assert long[span["start"] : span["end"]] == "The capital of France is Paris."
        assert "relevant_spans" not in places[3]  # that key is for who asks for it
        assert "relevant_spans" not in told["results"][4]["rerank"]  # the first few only
        assert told["meta"]["rerank"]["spans"]["scorer"] == "fast"
        plain = client.post("/v1/rerank", json=body | {"relevant_spans": {"mode": "disabled"}}).json()
        assert "spans" not in plain["meta"]["rerank"]
        listed = client.post("/v1/rerank", json=body | {"model": "list"}).json()
        assert "spans" not in listed["meta"]["rerank"]
        assert "moved" in listed["results"][0]["rerank"]
        assert "warnings" not in listed["meta"]
