"""The client against a real server on the loopback interface: requests, dialects, threads, keys, text."""

import gc
import logging
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from loopback import SECRET, Say, ask, backend, chat, complete, echo, error, free_port, last_words, serve

from shortlist.backends.base import Completer, Scorer
from shortlist.backends.http import JsonEndpoint
from shortlist.backends.openai import OpenAIBackend
from shortlist.backends.openai_wire import chat_url
from shortlist.errors import InvalidInput
from shortlist.testing.backends import check_completer


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "SHORTLIST_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_contract():
    with serve(echo) as server:
        model = backend(server)
        assert isinstance(model, Completer)
        assert isinstance(model, Scorer)
        check_completer(model, bad=ask("BAD"))
        model.close()


def test_request_on_the_wire():
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    with serve(echo) as server:
        full = ask("héllo", max_tokens=9, temperature=0.5, top_p=0.9, seed=4, stop=("x",), schema=schema)
        (done,) = complete(
            server, full, api_key=SECRET, extra_body={"chat_template_kwargs": {"enable_thinking": False}}
        )
        complete(server, ask())
    assert server.paths == ["/v1/chat/completions"] * 2
    assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert "Authorization" not in server.headers[1]
    form = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema, "strict": True}}
    assert server.seen[0] == {
        "model": "m",
        "messages": [{"role": "user", "content": "héllo"}],
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 4,
        "stop": ["x"],
        "response_format": form,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    assert set(server.seen[1]) == {"model", "messages", "max_tokens", "temperature"}
    assert (done.text, done.finish, done.error) == ("you said héllo", "stop", None)
    assert (done.usage.calls, done.usage.prompt_tokens, done.usage.completion_tokens) == (1, 7, 3)
    assert done.usage.seconds > 0


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://h:1", "http://h:1/v1/chat/completions"),
        ("http://h:1/", "http://h:1/v1/chat/completions"),
        ("http://h:1/v1", "http://h:1/v1/chat/completions"),
        ("http://h:1/v1/", "http://h:1/v1/chat/completions"),
        ("https://h/api/v3", "https://h/api/v3/chat/completions"),
        ("https://h/v1/chat/completions", "https://h/v1/chat/completions"),
        ("https://h/v1?version=2", "https://h/v1/chat/completions?version=2"),
    ],
)
def test_addresses(base, url):
    assert chat_url(base) == url


@pytest.mark.parametrize("base", ["localhost:8000", "", "ftp://h", "http://", "http://user:pw@h/v1"])
def test_bad_addresses(base):
    with pytest.raises(InvalidInput) as told:
        OpenAIBackend("m", base)
    assert "pw" not in str(told.value)


@pytest.mark.parametrize(
    "bad",
    [
        {"concurrency": 0},
        {"top_logprobs": 0},
        {"retries": -1},
        {"timeout": 0},
        {"backoff": -1.0},
        {"extra_body": {"x": {1}}},
        {"extra_body": {"x": math.nan}},
        {"api_key": "a\nb"},
    ],
)
def test_bad_values(bad):
    with pytest.raises(InvalidInput):
        OpenAIBackend("m", **bad)
    with pytest.raises(InvalidInput):
        OpenAIBackend(" ")


def test_schema_refused_is_remembered_and_told_once(caplog):
    def script(body):
        return error("guided decoding is not enabled here") if "response_format" in body else "fine"

    with serve(script) as server, caplog.at_level(logging.WARNING, "shortlist"):
        model = backend(server, concurrency=1)
        done = model.complete([ask(str(i), schema={"type": "object"}) for i in range(3)])
        model.close()
    assert [d.text for d in done] == ["fine"] * 3
    assert ["response_format" in body for body in server.seen] == [True, False, False, False]
    assert len(caplog.records) == 1
    assert "response_format" in caplog.text


def test_a_prompt_too_long_does_not_lose_the_schema():
    with serve(echo) as server:
        model = backend(server, concurrency=1)
        bad, good = model.complete([ask("BAD", schema={}), ask("good", schema={})])
        odd = model.complete([ask("x", schema={})])
        model.close()
    assert bad.error
    assert good.text
    assert odd[0].text
    assert all("response_format" in body for body in server.seen)


def test_leaving_out_is_not_remembered_unless_it_helps():
    def script(body):
        return error("odd request") if last_words(body) == "odd" else "fine"

    with serve(script) as server:
        model = backend(server, concurrency=1)
        bad, _ = model.complete([ask("odd", schema={}), ask("good", schema={})])
        model.close()
    assert "odd request" in bad.error
    assert ["response_format" in body for body in server.seen] == [True, False, True]


def test_max_completion_tokens_and_temperature(caplog):
    def script(body):
        if "max_tokens" in body:
            return error("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if "temperature" in body:
            return error("Unsupported value: 'temperature' does not support 0.0 with this model.")
        return "fine"

    with serve(script) as server, caplog.at_level(logging.WARNING, "shortlist"):
        model = backend(server, concurrency=1)
        assert [d.text for d in model.complete([ask("a", max_tokens=11), ask("b", max_tokens=12)])] == ["fine"] * 2
        model.close()
    assert len(server.seen) == 4
    assert server.seen[-1]["max_completion_tokens"] == 12
    assert "temperature" not in server.seen[-1]
    assert len(caplog.records) == 2


def test_concurrency_holds_within_a_batch_and_across_threads():
    with serve(lambda body: Say(chat(last_words(body)), hang=0.03)) as server:
        model = backend(server, concurrency=3)
        assert [d.text for d in model.complete([ask(str(i)) for i in range(12)])] == [str(i) for i in range(12)]
        assert server.most_open == 3
        with ThreadPoolExecutor(12) as pool:
            done = list(pool.map(lambda i: model.complete([ask(str(i))])[0].text, range(12)))
        assert done == [str(i) for i in range(12)]
        assert server.most_open == 3
        model.close()


def test_key_comes_from_the_environment_and_shows_nowhere(monkeypatch, caplog):
    monkeypatch.setenv("SHORTLIST_API_KEY", SECRET)
    with serve(lambda body: Say(f"<b>{SECRET}</b>".encode())) as server, caplog.at_level(logging.DEBUG):
        model = backend(server)
        (done,) = model.complete([ask()])
        model.close()
    assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert SECRET not in f"{done} {model!r} {model} {model.identity} {caplog.text}"
    assert SECRET not in repr(OpenAIBackend("m", api_key=SECRET))
    assert SECRET not in repr(JsonEndpoint(url="http://h", key=SECRET))


def test_a_placeholder_key_does_not_eat_replies():
    with serve(echo) as server:
        assert complete(server, ask("EMPTY said you"), api_key="EMPTY")[0].text == "you said EMPTY said you"


def test_identity_tells_models_servers_and_extras_apart():
    backends = [
        OpenAIBackend("a"),
        OpenAIBackend("b"),
        OpenAIBackend("a", "http://h"),
        OpenAIBackend("a", "http://h", extra_body={"x": 1}),
        OpenAIBackend("a", "http://h", top_logprobs=100),
    ]
    assert len({one.identity for one in backends}) == 5
    assert OpenAIBackend("a", "http://h").identity == OpenAIBackend("a", "http://h/v1/", retries=1).identity


def test_nothing_is_connected_at_construction():
    before = threading.active_count()
    model = OpenAIBackend("m", f"http://127.0.0.1:{free_port()}")
    assert model.complete([]) == []
    assert threading.active_count() == before


def test_connections_close_with_the_backend():
    with serve(echo) as server:
        model = backend(server)
        model.complete([ask()])
        del model
        gc.collect()  # an open socket would warn, and warnings are errors here


def test_strange_text_goes_through():
    texts = ["\x00null", "lone \ud800 surrogate", "pair \ud83d\ude00", "大きさ é", "\u2028", "a" * 100_000]
    with serve(lambda body: chat(last_words(body))) as server:
        done = complete(server, *map(ask, texts))
    assert [d.text for d in done] == [
        "\x00null",
        "lone \ufffd surrogate",
        "pair 😀",
        "大きさ é",
        "\u2028",
        "a" * 100_000,
    ]
    raw = b'{"choices": [{"message": {"content": "half \\ud83d"}}]}'
    with serve([Say(raw)]) as server:
        assert complete(server)[0].text == "half \ufffd"
