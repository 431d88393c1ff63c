"""A whole job against a server that plays OpenAI's, as well or as badly as a real one may."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
from loopback import Say, chat, error, free_port, last_words, serve

from shortlist.backends import openai
from shortlist.cli import run
from shortlist.cli.notes import notes_path
from shortlist.data import read_jsonl, read_rankings, read_run


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Servers that fail are asked again at once."""
    monkeypatch.setattr(openai.OpenAIBackend.__init__, "__kwdefaults__", _sooner(openai.OpenAIBackend))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-1234")


def _sooner(cls):
    return {**(cls.__init__.__kwdefaults__ or {}), "backoff": 0.001, "timeout": 0.5, "retries": 1}


def rerank(collection, output, spec, *more):
    job = ["rerank", "--data", str(collection), "--run", str(collection / "run.first.trec"), "--reranker", spec]
    return run([*job, "--output", str(output), *more])


def listed(body):
    """The passage that speaks of a capital first: the identifiers of a listwise prompt are [1], [2], …."""
    found = re.findall(r"^\[(\d+)\] (.*)$", last_words(body), re.MULTILINE)
    right = [i for i, text in found if "The capital of" in text]
    return " > ".join(f"[{i}]" for i in right + [i for i, _ in found if i not in right])


def grouped(body):
    found = re.findall(r"^\[(\d+)\] (.*)$", last_words(body), re.MULTILINE)
    return json.dumps({f"[{i}]": 9 if "The capital of" in text else 1 for i, text in found})


@pytest.mark.parametrize(("kind", "script"), [("listwise", listed), ("groupwise", grouped)])
def test_rerank_end_to_end(collection, tmp_path, kind, script):
    with serve(script) as server:
        assert rerank(collection, tmp_path / "out.trec", f"{kind}:openai:m@{server.url}/v1?concurrency=3") == 0
        assert len(server.seen) == 6
        assert server.most_open <= 3
    run_ = read_run(tmp_path / "out.trec")
    assert [next(iter(run_[f"q{q}"])) for q in range(6)] == [f"d{q}-4" for q in range(6)]
    assert {note["status"] for _, note in read_jsonl(notes_path(tmp_path / "out.trec"))} == {"ok"}


def test_the_cache_saves_every_call_of_a_second_run(collection, tmp_path):
    with serve(listed) as server:
        spec, cache = f"listwise:openai:m@{server.url}/v1", ["--cache", str(tmp_path / "cache.sqlite")]
        assert rerank(collection, tmp_path / "a.trec", spec, *cache) == 0
        assert rerank(collection, tmp_path / "b.trec", spec, *cache) == 0
        assert len(server.seen) == 6
    assert (tmp_path / "a.trec").read_bytes() == (tmp_path / "b.trec").read_bytes()


def test_a_server_that_is_not_there(collection, tmp_path, capsys):
    spec = f"listwise:openai:m@http://127.0.0.1:{free_port()}/v1"
    assert rerank(collection, tmp_path / "out.trec", spec) == 5
    message = capsys.readouterr().err
    assert "no connection to http://127.0.0.1" in message
    assert "Is the server running" in message


def test_a_key_that_is_refused(collection, tmp_path, capsys):
    with serve(lambda body: error("incorrect API key", 401)) as server:
        assert rerank(collection, tmp_path / "out.trec", f"listwise:openai:m@{server.url}/v1") == 5
    message = capsys.readouterr().err
    assert "401" in message
    assert "OPENAI_API_KEY" in message
    assert "sk-very-secret" not in message


HALF_A_THOUGHT = "<think>The first passage speaks of rivers, while the second"
BAD = {
    "garbage": "%% lorem ipsum %%",
    "empty": "",
    "half a reasoning trace": HALF_A_THOUGHT,
    "only id 0": "[0]",
    "only ids out of range": "[99] > [77]",
    "a negative id": "[-1]",
    "no JSON at all": Say(b"<html>busy</html>"),
    "half an answer": Say(chat("[1] > [2]"), cut=True),
    "slow": Say(chat("[1]"), hang=0.8),
}


@pytest.mark.parametrize("said", BAD.values(), ids=BAD)
def test_replies_that_say_nothing_lose_nothing(collection, tmp_path, said, capsys):
    out = tmp_path / "out.jsonl"
    with serve(lambda body: said) as server:
        assert rerank(collection, out, f"listwise:openai:m@{server.url}/v1", "--limit", "2") == 5
    assert "error: " in capsys.readouterr().err
    for ranking in read_rankings(out):
        assert ranking.ids == tuple(f"{ranking.query.id.replace('q', 'd')}-{i}" for i in range(5))
        assert ranking.status == "failed"
        assert ranking.problems


MENDED = {
    "repeated ids": ("[3] > [3] > [1]", (2, 0, 1, 3, 4)),
    "id 0 among others": ("[0] > [4]", (3, 0, 1, 2, 4)),
    "out of range among others": ("[17] > [2] > [1]", (1, 0, 2, 3, 4)),
    "a whole trace": ("<think>[1] may be it, no</think>[5] > [4] > [3] > [2] > [1]", (4, 3, 2, 1, 0)),
}


@pytest.mark.parametrize(("said", "order"), MENDED.values(), ids=MENDED)
def test_replies_that_can_be_read_in_part_are(collection, tmp_path, said, order):
    out = tmp_path / "out.jsonl"
    with serve(lambda body: said) as server:
        assert rerank(collection, out, f"listwise:openai:m@{server.url}/v1", "--limit", "1") == 0
    (ranking,) = read_rankings(out)
    assert ranking.order == order


def test_one_failing_query_spoils_no_other(collection, tmp_path, capsys):
    def script(body):
        return error("the prompt is cursed", 400) if "Peru" in last_words(body) else listed(body)

    out = tmp_path / "out.trec"
    with serve(script) as server:
        assert rerank(collection, out, f"listwise:openai:m@{server.url}/v1") == 0
    notes = {note["id"]: note for _, note in read_jsonl(notes_path(out))}
    assert Counter(note["status"] for note in notes.values()) == {"ok": 5, "failed": 1}
    assert "cursed" in notes["q1"]["problems"][0]
    assert list(read_run(out)["q1"]) == [f"d1-{i}" for i in range(5)]
    assert "cursed" in capsys.readouterr().err
