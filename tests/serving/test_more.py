"""Streams, answers, searches, deadlines, clients that hang up, warming; keys, calibration and sentences by themselves."""

from __future__ import annotations

import asyncio
import json
import math
import time

import pytest
from serving_doubles import QUERY, TEXTS, broken, listwise, pointwise, serving

from shortlist.backends.base import Completion
from shortlist.backends.scripted import ScriptedPairScorer
from shortlist.errors import InvalidFile, InvalidInput
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.calibration import Platt, Scale, read_calibration, scale_of
from shortlist.rerankers.catalog import CONFIG
from shortlist.rerankers.compose import Cascade, FirstStage, Keep
from shortlist.rerankers.cutoffs import TopK
from shortlist.rerankers.fusion import Fused
from shortlist.rerankers.policies import PairPolicy
from shortlist.rerankers.strategies import AllPairs, Groups, Pointwise
from shortlist.retrieval.bm25 import BM25
from shortlist.serving.answering import cited
from shortlist.serving.app import create_app
from shortlist.serving.config import ServerConfig
from shortlist.serving.lanes import Batching
from shortlist.serving.security import Keys
from shortlist.serving.served import Models, SearchIndex, Served
from shortlist.types import Document


def events(text):
    """Name and data of each event."""
    parts = [part for part in text.split("\n\n") if part.startswith("event: ")]
    return [(p.split("\n")[0][7:], json.loads(p.split("\n")[1][6:])) for p in parts]


def test_a_stream_tells_windows_as_they_finish():
    texts = ["a" * (i + 1) for i in range(8)]
    with serving(listwise(seconds=0.05)) as client:
        reply = client.post("/v1/rerank/stream", json={"query": "q", "documents": texts, "rerank": {}})
        whole = client.post("/v1/rerank", json={"query": "q", "documents": texts}).json()
    assert reply.headers["content-type"].startswith("text/event-stream")
    told = events(reply.text)
    judged = [slate["documents"] for name, data in told if name == "judged" for slate in data["slates"]]
    assert judged == [[4, 5, 6, 7], [2, 3, 7, 6], [0, 1, 7, 6]]
    partial = [data for name, data in told if name == "ranking"]
    assert len(partial) >= 2
    assert [one["index"] for one in partial[0]["results"]][4:6] == [7, 6]
    assert partial[0]["meta"]["rerank"]["status"] == "partial"
    assert partial[0]["meta"]["rerank"]["unjudged"] == 4
    assert [name for name, _ in told][-1] == "done"
    assert told[-1][1]["results"][0]["index"] == 7
    assert [one["index"] for one in told[-1][1]["results"]] == [one["index"] for one in whole["results"]]


def test_a_pointwise_stream_tells_batches():
    config = ServerConfig(batching=Batching(items=2))
    with serving(pointwise(seconds=0.01), config=config) as client:
        body = {"query": QUERY, "documents": TEXTS * 2, "relevant_spans": {"mode": "enabled"}}
        told = events(client.post("/v1/rerank/stream", json=body).text)
    judged = [slate["documents"] for name, data in told if name == "judged" for slate in data["slates"]]
    assert judged == [[0], [1], [2], [3], [4], [5]]  # the variants without a sentence are not shown
    assert "relevant_spans" in told[-1][1]["results"][0]


def test_a_stream_that_fails_says_so(client):
    told = events(client.post("/v1/rerank/stream", json={"query": "q", "documents": TEXTS, "model": "broken"}).text)
    assert told[-1][0] == "error"
    assert "on fire" in told[-1][1]["message"]


def test_a_streams_deadline():
    with serving(listwise(seconds=0.2, size=2, stride=1)) as client:
        body = {"query": "q", "documents": ["a"] * 9, "rerank": {"deadline_ms": 300}}
        start = time.perf_counter()
        told = events(client.post("/v1/rerank/stream", json=body).text)
        assert time.perf_counter() - start < 1.4
    assert told[-1][0] == "done"
    assert told[-1][1]["meta"]["rerank"]["deadline_passed"] is True


@pytest.mark.parametrize("config", [ServerConfig(), ServerConfig(deadline=0.3)])
def test_a_deadline_gets_the_best_so_far(config):
    with serving(listwise(seconds=0.2, size=2, stride=1), config=config) as client:  # 3.8 s if it were let
        start = time.perf_counter()
        body = {"query": "q", "documents": ["a" * i for i in range(1, 21)]}
        reply = client.post("/v1/rerank", json=body | ({} if config.deadline else {"rerank": {"deadline_ms": 300}}))
        assert 0.25 < time.perf_counter() - start < 3
        told = reply.json()["meta"]["rerank"]
    assert told["status"] == "partial"
    assert told["deadline_passed"] is True
    assert [one["index"] for one in reply.json()["results"]][-2:] == [19, 18]


def test_a_deadline_with_raise_is_a_504():
    with serving(listwise(seconds=0.3)) as client:
        body = {"query": "q", "documents": ["a", "b"], "rerank": {"deadline_ms": 50, "on_error": "raise"}}
        assert client.post("/v1/rerank", json=body).status_code == 504


def test_a_client_that_hangs_up_cancels_the_work():
    ranker = listwise(seconds=0.1, size=2, stride=1)
    app = create_app([ranker])
    body = json.dumps({"query": "q", "documents": ["a"] * 30}).encode()
    sent = []

    async def talk():
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            if messages:
                return messages.pop()
            await asyncio.sleep(0.25)
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/rerank", "raw_path": b"/v1/rerank", "query_string": b""}
        scope |= {"headers": [(b"content-type", b"application/json")], "http_version": "1.1", "scheme": "http"}
        scope |= {"server": ("test", 80), "client": ("test", 1), "root_path": "", "asgi": {"version": "3.0"}}
        await app(scope, receive, send)

    asyncio.run(talk())
    time.sleep(0.3)
    assert sent[0]["status"] == 499
    assert len(ranker.policy.completer.asked) <= 4  # of twenty-nine
    assert app.state.desk.engine.open_jobs == 0
    app.state.desk.engine.close()


def test_an_answer_is_read_from_what_is_kept_and_cited(client):
    body = {"query": QUERY, "documents": TEXTS, "k": 1, "compare": True, "model": "fast"}
    told = client.post("/v1/answer", json=body).json()
    assert told["answer"] == "Paris"
    assert told["reader"] == "scripted"
    assert told["before"] == {"answer": "Peru", "answer_status": "ok"}
    assert [one["index"] for one in told["results"]] == [1]
    (citation,) = told["citations"]
    assert TEXTS[citation["index"]][citation["start"] : citation["end"]] == "Paris"
    assert told["usage"]["prompt_tokens"] > 0


def test_an_answer_from_nothing_is_none(client):
    told = client.post("/v1/answer", json={"query": QUERY, "documents": TEXTS, "k": 0}).json()
    assert told["answer"] is None
    assert told["results"] == told["citations"] == []


def test_a_server_without_a_reader_says_so():
    with serving() as client:
        reply = client.post("/v1/answer", json={"query": QUERY, "documents": TEXTS})
        assert reply.status_code == 404
        assert "--reader" in reply.json()["message"]


def test_search_and_answer_from_a_corpus(client):
    documents = {str(i): Document(id=str(i), text=text, title="T" if i else "") for i, text in enumerate(TEXTS)}
    index = SearchIndex(name="small", retriever=BM25.build(documents.values()), corpus=documents)
    reader = client.app.state.desk.offer.reader
    with serving(pointwise(), corpora=[index], reader=reader) as searching:
        told = searching.post("/v1/search", json={"query": QUERY}).json()
        assert {one["id"] for one in told["results"]} == {"1", "2"}
        assert told["results"][0]["title"] == "T"
        assert told["corpus"] == "small"
        assert searching.post("/v1/answer", json={"query": QUERY, "k": 1}).json()["answer"] == "Paris"
        assert searching.post("/v1/search", json={"query": QUERY, "corpus": "x"}).status_code == 404
        assert searching.get("/info").json()["corpora"] == ["small"]
    assert client.post("/v1/search", json={"query": QUERY}).status_code == 404


def test_ready_when_the_models_are_loaded():
    with serving(pointwise(seconds=1), config=ServerConfig(warm=True)) as client:
        assert client.get("/ready").status_code == 503
        assert client.get("/ready").json() == {"status": "loading"}
        for _ in range(100):
            time.sleep(0.1)
            if client.get("/ready").status_code == 200:
                break
        assert client.get("/ready").json() == {"status": "ok"}

    def fails(_):
        raise InvalidInput("no such file")

    with serving(pointwise(fails), config=ServerConfig(warm=True)) as client:
        time.sleep(0.2)
        assert "no such file" in client.get("/ready").json()["status"]


def test_metrics_count(client):
    client.post("/v2/rerank", json={"query": QUERY, "documents": TEXTS})
    client.post(
        "/v2/rerank", json={"query": QUERY, "documents": TEXTS, "model": "broken", "rerank": {"on_error": "report"}}
    )
    text = client.get("/metrics").text
    assert 'shortlist_rankings_total{model="fast",status="ok"} 1.0' in text
    assert 'shortlist_rankings_total{model="broken",status="failed"} 1.0' in text
    assert 'shortlist_documents_total{model="fast"} 3.0' in text
    assert 'shortlist_requests_total{route="/v2/rerank",status="200"} 2.0' in text
    assert "shortlist_open_requests 0.0" in text
    assert 'shortlist_batch_items_count{lane="fast"} 1.0' in text


# ------------------------------------------------------------------------------------------------ parts by themselves


def test_keys(tmp_path):
    path = tmp_path / "keys"
    path.write_text("# ours\n\none\n two \n")
    keys = Keys.read(path) | Keys.of(["three"])
    assert [keys.admit(key) for key in ("one", "two", "three", "four", "", None)] == [True] * 3 + [False] * 3
    assert Keys().admit(None)
    for wrong in (["a b"], [""], ["é"]):
        with pytest.raises(InvalidInput):
            Keys.of(wrong)
    path.write_text("#\n")
    with pytest.raises(InvalidFile):
        Keys.read(path)


def test_citations():
    assert cited("new york", 3, "In New-York, not newyork; NEW YORK.") == [
        {"index": 3, "start": 3, "end": 11, "text": "New-York"},
        {"index": 3, "start": 26, "end": 34, "text": "NEW YORK"},
    ]
    assert cited(None, 0, "x") == cited("?", 0, "x") == []


def test_scales():
    encoder = pointwise()
    assert scale_of(encoder).relevance([0.0, math.inf, -1000.0, math.nan]) == [0.5, 1.0, 0.0, 0.0]
    assert scale_of(Keep(encoder, TopK(1))).kind == "logit"
    assert scale_of(Fused(encoder)).kind == "fused"
    assert scale_of(Cascade(((encoder, None), (listwise(), 2)))).kind == "rank"
    assert scale_of(FirstStage()).kind == "first-stage"
    assert scale_of(encoder, Platt(2.0, -1.0)).relevance([0.5]) == [0.5]
    policy = encoder.policy
    assert scale_of(Reranker(policy=policy, strategy=AllPairs())).kind == "win-share"
    assert scale_of(Reranker(policy=policy, strategy=Groups())).relevance([5.0]) == [0.5]
    assert Scale("fused").relevance([3.0, 2.0, 1.0]) == [1.0, 0.5, 0.0]
    assert Scale("fused").relevance([3.0]) == [0.5]


def test_a_checkpoints_calibration(tmp_path):
    assert read_calibration("cross-encoder:x") is None
    (tmp_path / CONFIG).write_text('{"calibration": {"method": "platt", "a": 2, "b": 1}}')
    assert read_calibration(f"cross-encoder:x >> {tmp_path}?depth=3") == Platt(2.0, 1.0)
    (tmp_path / CONFIG).write_text('{"calibration": {"method": "magic"}}')
    with pytest.raises(InvalidFile, match="magic"):
        read_calibration(str(tmp_path))


def test_a_calibrated_model_is_served():
    scorer = PairPolicy(scorer=ScriptedPairScorer(lambda _: 3.0))
    served = Served(name="m", ranker=Reranker(policy=scorer, strategy=Pointwise()), calibration=Platt(1.0, -3.0))
    with serving(served) as client:
        told = client.post("/v2/rerank", json={"query": "q", "documents": ["a"], "rerank": {}}).json()
    assert told["results"][0] == {
        "index": 0,
        "relevance_score": 0.5,
        "rerank": {"raw_score": 3.0, "score_kind": "logit"},
    }


def test_models_are_checked():
    with pytest.raises(InvalidInput, match="at least one"):
        Models.of([])
    with pytest.raises(InvalidInput, match="not all different"):
        Models.of([pointwise(), pointwise()])
    with pytest.raises(InvalidInput, match="not served"):
        Models.of([broken()], {"a": "b"})


def test_config_is_checked():
    for wrong in ({"max_body": 0}, {"deadline": 0.0}, {"max_documents": -1}):
        with pytest.raises(InvalidInput):
            ServerConfig(**wrong)


@pytest.mark.parametrize("on_error", ["raise", "report"])
@pytest.mark.parametrize("route", ["/v2/rerank", "/v1/rerank/stream"])
def test_where_a_models_server_is_stays_inside(route, on_error):
    lost = "no answer from http://10.0.0.7:8000/v1/chat/completions within 5 s, tried 2 times"
    with serving(listwise(lambda _: Completion(error=lost))) as client:
        body = {"query": "q", "documents": ["a", "b"], "rerank": {"on_error": on_error}}
        said = client.post(route, json=body).text
    assert "10.0.0.7" not in said
    assert "no answer from the model's server within 5 s" in said
