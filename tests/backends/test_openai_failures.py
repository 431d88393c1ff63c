"""Servers that answer oddly, late, half, or not at all: what spoils one item, and what is raised."""

import re
import time

import pytest
from loopback import SECRET, Say, ask, chat, complete, error, free_port, last_words, serve

from shortlist.backends.http import _retry_after
from shortlist.backends.openai import OpenAIBackend
from shortlist.errors import BackendError


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "SHORTLIST_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_reasoning_and_length():
    half = chat(None, finish="length", reasoning_content="first I", usage=None)
    other = chat("7", reasoning="thought")
    parts = chat([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])
    with serve([half, other, parts, ""]) as server:
        done = complete(server, *[ask()] * 4, concurrency=1)
    assert (done[0].text, done[0].reasoning, done[0].finish, done[0].error) == ("", "first I", "length", None)
    assert (done[0].usage.calls, done[0].usage.tokens) == (1, 0)
    assert (done[1].text, done[1].reasoning) == ("7", "thought")
    assert done[2].text == "ab"
    assert (done[3].text, done[3].error, done[3].finish) == ("", None, "stop")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Say(b"<html>Bad gateway, sorry</html>", headers={"Content-Type": "text/html"}), "is not JSON.*Bad gateway"),
        (Say(b'{"choices": [{"mess'), "is not JSON"),
        (Say(b"\xff\xfe\x00"), "is not JSON"),
        (Say(b""), "is not JSON"),
        (Say(b"[" * 100_000), "is not JSON"),
        ({"choices": []}, "no chat completion"),
        ([1, 2], "no chat completion"),
        ({"choices": ["x"]}, "no chat completion"),
        ({"choices": [{}]}, "no message"),
        ({"error": {"message": "upstream is tired"}}, "upstream is tired"),
        (chat(None, finish="content_filter"), "refused"),
        (chat(None, refusal="I will not"), "I will not"),
        (error("This model's maximum context length is 10 tokens"), "maximum context length"),
        (error("context too long", 413), "413"),
        (error("odd request"), "odd request"),
    ],
)
def test_what_spoils_one_item_alone(said, words):
    with serve(lambda body: said if last_words(body) == "BAD" else "fine") as server:
        one, bad, two = complete(server, ask("a"), ask("BAD"), ask("b"))
    assert (one.text, two.text) == ("fine", "fine")
    assert bad.finish == "error"
    assert re.search(words, bad.error), bad.error


def test_temperamental_servers_are_asked_again():
    busy = Say({"error": "slow down"}, 429, {"Retry-After": "0.3"})
    with serve([busy, Say(b"oops", 500), Say(b"", 503), "fine"]) as server:
        start = time.perf_counter()
        (done,) = complete(server)
        assert time.perf_counter() - start >= 0.3
    assert done.text == "fine"
    assert done.usage.seconds >= 0.3
    assert len(server.seen) == 4


def test_retries_end():
    with serve(lambda body: Say({"detail": "melting"}, 500)) as server:
        (done,) = complete(server, retries=2)
    assert "500" in done.error
    assert "melting" in done.error
    assert len(server.seen) == 3


def test_a_server_that_asks_for_an_hour_is_given_up():
    with serve(lambda body: Say({}, 429, {"Retry-After": "3600"})) as server:
        (done,) = complete(server)
    assert "429" in done.error
    assert len(server.seen) == 1


def test_retry_after_forms():
    class Answer:
        def __init__(self, value):
            self.headers = {"retry-after": value}

    assert _retry_after(Answer("2")) == 2.0
    assert _retry_after(Answer("")) is None
    assert _retry_after(Answer("soon")) is None
    assert _retry_after(Answer("Wed, 21 Oct 2015 07:28:00 GMT")) == 0.0
    assert _retry_after(Answer("Wed, 21 Oct 2099 07:28:00 GMT")) > 1e9


def test_timeouts_and_broken_answers():
    def script(body):
        return {"slow": Say(chat("late"), hang=0.6), "drop": Say(chat("x" * 100), cut=True)}.get(
            last_words(body), "fine"
        )

    with serve(script) as server:
        slow, fine, drop = complete(server, ask("slow"), ask("fine"), ask("drop"), timeout=0.2, retries=1)
    assert "within 0.2 s" in slow.error
    assert "broke off" in drop.error
    assert fine.text == "fine"
    assert len(server.seen) == 5


def test_a_broken_answer_can_mend():
    with serve([Say(chat("x" * 100), cut=True), "whole"]) as server:
        assert complete(server)[0].text == "whole"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (error(f"Incorrect API key provided: {SECRET}", 401), "OPENAI_API_KEY"),
        (error("no access", 403), "may not use"),
        (error("The model `m` does not exist", 404), "base_url"),
        (error("model m not found"), "model's name"),
        (error("you have no money", 429, code="insufficient_quota"), "quota"),
        (Say(b"", 301, {"Location": "http://elsewhere/"}), "moved"),
        (Say({"detail": "Method Not Allowed"}, 405), "Method Not Allowed"),
    ],
)
def test_permanent_failures_are_raised_without_retry(said, words):
    with serve(lambda body: said) as server, pytest.raises(BackendError, match=words) as told:
        complete(server, api_key=SECRET)
    assert len(server.seen) == 1
    assert SECRET not in str(told.value)
    assert str(said.status) in str(told.value)


def test_a_dead_server_fails_fast():
    model = OpenAIBackend("m", f"http://127.0.0.1:{free_port()}", retries=2, backoff=0.05, concurrency=4)
    start = time.perf_counter()
    with pytest.raises(BackendError, match=r"127\.0\.0\.1.*3 tries.*server running"):
        model.complete([ask(str(i)) for i in range(200)])
    assert time.perf_counter() - start < 2
    model.close()


def test_a_permanent_failure_stops_the_batch():
    with serve(lambda body: error("bad key", 401)) as server, pytest.raises(BackendError):
        complete(server, *[ask(str(i)) for i in range(200)], concurrency=2)
    assert len(server.seen) < 50


def test_waiting_threads_wake_when_the_batch_is_given_up():
    def script(body):
        return Say(b"", 429, {"Retry-After": "30"}) if last_words(body) == "wait" else Say(b"{}", 401, hang=0.2)

    with serve(script) as server:
        start = time.perf_counter()
        with pytest.raises(BackendError):
            complete(server, ask("wait"), ask("key"))
        assert time.perf_counter() - start < 5
