"""Text Embeddings Inference: no client of its own can rerank, so its documented requests, byte for byte, over a socket."""

from __future__ import annotations

import http.client
import json

import pytest
from client_loopback import BEST, SCORES
from serving_doubles import QUERY, TEXTS


def ask(url, method, path, body=None):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()


def test_its_first_example(open_url):
    status, told = ask(open_url, "POST", "/rerank", {"query": QUERY, "texts": TEXTS})
    assert status == 200
    assert told == [{"index": i, "score": pytest.approx(score)} for i, score in zip(BEST, SCORES, strict=True)]


def test_raw_scores_and_texts(open_url):
    wish = {"query": QUERY, "texts": TEXTS, "raw_scores": True, "return_text": True, "truncate": True}
    _, told = ask(open_url, "POST", "/rerank", wish | {"truncation_direction": "Right"})
    assert [one["text"] for one in told] == [TEXTS[i] for i in BEST]
    assert told[0]["score"] == pytest.approx(3 - len(TEXTS[1]) / 10_000)


def test_errors_have_its_shape(open_url):
    status, told = ask(open_url, "POST", "/rerank", {"query": QUERY, "texts": []})
    assert (status, set(told), told["error_type"]) == (400, {"error", "error_type"}, "Empty")
    status, told = ask(open_url, "POST", "/rerank", {"query": QUERY, "texts": ["a"] * 1001})
    assert (status, told["error_type"]) == (413, "Validation")
    status, told = ask(open_url, "POST", "/rerank", {"query": QUERY, "texts": "a"})
    assert (status, told["error_type"]) == (422, "Validation")


def test_what_its_clients_look_up_first(open_url):
    status, told = ask(open_url, "GET", "/info")
    assert status == 200
    assert "reranker" in told["model_type"]
    assert told["max_client_batch_size"] >= 1
    assert told["max_input_length"] >= 1
    assert ask(open_url, "GET", "/health")[0] == 200
