"""What a review of the running server found wrong, and how it is right."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from serving_doubles import QUERY, TEXTS, by_length, listwise, pointwise, reads_first, serving

from shortlist.backends.scripted import ScriptedCompleter
from shortlist.cli.common import keep_own_key
from shortlist.errors import InvalidInput
from shortlist.reading.readers import LLMReader
from shortlist.serving.config import ServerConfig
from shortlist.serving.engine import Admission, Engine
from shortlist.serving.plans import ranked
from shortlist.types import RerankRequest

JSON = {"content-type": "application/json"}


def eventually(true):
    """Whether it comes true within ten seconds."""
    end = time.monotonic() + 10
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


def test_a_models_server_is_not_sent_the_clients_key(monkeypatch):
    from shortlist.backends.openai import _key_of_environment

    monkeypatch.setenv("SHORTLIST_API_KEY", "what our clients send")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    keep_own_key()
    assert _key_of_environment() is None
    monkeypatch.setenv("OPENAI_API_KEY", "what the model's server wants")
    keep_own_key()
    assert _key_of_environment() == "what the model's server wants"


@pytest.mark.parametrize("command", ["serve", "mcp"])
def test_the_servers_keep_their_keys(command, monkeypatch):
    import importlib
    import inspect

    module = importlib.import_module(f"shortlist.cli.{command}")
    assert "keep_own_key()" in inspect.getsource(getattr(module, command))


def test_a_body_that_turns_out_too_large_is_told_the_limit():
    def pieces():
        yield b'{"query":"q","documents":["'
        yield from [b"x" * 1000] * 20

    with serving(pointwise(), config=ServerConfig(max_body=10_000)) as client:
        reply = client.post("/v2/rerank", content=pieces(), headers=JSON)
    assert reply.status_code == 413
    assert "larger than 10000 bytes" in reply.json()["message"]


def test_vllms_wishes_on_cohere_v2s_route(client):
    """Both have ``/v2/rerank``: 0 is all with vLLM, and its queries may come in parts."""
    body = {"query": [{"type": "text", "text": QUERY}], "documents": TEXTS, "top_n": 0, "max_tokens_per_doc": 0}
    told = client.post("/v2/rerank", json=body | {"instruction": "capitals only"})
    assert told.status_code == 200
    assert len(told.json()["results"]) == len(TEXTS)
    assert "warnings" not in told.json()["meta"]


@pytest.mark.parametrize("body", [{"text_1": " ", "text_2": ["a"]}, {"text_1": "a", "text_2": []}])
def test_a_blank_score_is_as_wrong_by_every_name(client, body):
    assert client.post("/score", json=body).status_code == 400


def test_ready_when_the_reader_is_loaded_too():
    gate = threading.Event()

    def reads(ask):
        gate.wait(10)
        return reads_first(ask)

    reader = LLMReader(completer=ScriptedCompleter(reads))
    with serving(pointwise(), reader=reader, config=ServerConfig(warm=True)) as client:
        assert client.get("/ready").json() == {"status": "loading"}
        gate.set()
        assert eventually(lambda: client.get("/ready").json() == {"status": "ok"})

    def fails(_):
        raise InvalidInput("no such reader file")

    reader = LLMReader(completer=ScriptedCompleter(fails))
    with serving(pointwise(), reader=reader, config=ServerConfig(warm=True)) as client:
        assert eventually(lambda: "no such reader file" in client.get("/ready").json()["status"])


def test_a_networks_reader_is_not_called_to_warm():
    reader = LLMReader(completer=ScriptedCompleter(reads_first, concurrency=2))
    with serving(listwise(by_length, concurrency=2), reader=reader, config=ServerConfig(warm=True)) as client:
        assert eventually(lambda: client.get("/ready").status_code == 200)
    assert not reader.completer.asked


def test_the_first_request_may_load_a_model_and_tells_nothing_of_its_pace():
    """It took long under load, and the next few clients were told of a queue of forty seconds that there was not."""
    loaded = []

    def score(pair):
        if not loaded:
            time.sleep(1.0)
            loaded.append(pair)
        return float(len(pair.passage))

    config = ServerConfig(admission=Admission(max_wait=1.0))
    with serving(pointwise(score), config=config) as client:
        body = {"query": QUERY, "documents": TEXTS}
        with ThreadPoolExecutor(8) as pool:
            assert client.post("/v2/rerank", json=body).status_code == 200
            replies = list(pool.map(lambda _: client.post("/v2/rerank", json=body).status_code, range(16)))
    assert replies == [200] * 16


def test_a_first_batch_is_small():
    """While nobody knows how fast a model is, who comes second does not wait for hundreds of long passages."""
    sizes = []
    engine = Engine(watch=lambda judged: sizes.append(judged.tokens))
    request = RerankRequest.of("q", ["word " * 400] * 100)
    engine.submit(lambda: ranked(engine, pointwise(), request), model="m").future.result(10)
    engine.close()
    assert sizes[0] <= sum(sizes) / 10
    assert sum(sizes) > 40_000


def test_rest_tells_whether_workers_are_done():
    begun, gate = threading.Event(), threading.Event()

    def score(_):
        begun.set()
        return float(gate.wait(10))

    engine, ranker = Engine(), pointwise(score)
    engine.submit(lambda: ranked(engine, ranker, RerankRequest.of(QUERY, TEXTS)), model="m")
    assert begun.wait(10)
    engine.close()
    assert not engine.rest(0.05)
    gate.set()
    assert engine.rest(10)


def test_refusals_are_json_everywhere(client):
    for path in ("/v2/rerank", "/v1/rerank", "/rerank", "/score", "/v1/answer", "/v1/search", "/v1/rerank/stream"):
        for content in (b"", b"[]", b"null", b"1", b'""', b"{}", b"\x00", b"\xff\xfe"):
            reply = client.post(path, content=content, headers=JSON)
            assert 400 <= reply.status_code < 500, (path, content)
            assert isinstance(json.loads(reply.content), dict)
