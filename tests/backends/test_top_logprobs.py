"""Likelihoods from the tokens that a server shows."""

import gc
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import ask, backend, chat, error, last_words, place, question, serve

from shortlist.backends.openai import OpenAIBackend
from shortlist.backends.top_logprobs import Place, label_logprobs
from shortlist.errors import BackendError
from shortlist.testing.backends import check_scorer


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "SHORTLIST_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def scored(server, *questions, **more):
    model = backend(server, **more)
    try:
        return model.likelihoods(list(questions) or [question()])
    finally:
        model.close()


def yes_no(body):
    if last_words(body) == "BAD":
        return error("prompt exceeds the maximum length")
    return chat("yes", logprobs=[place("yes", {"yes": 0.6, "no": 0.3, " yes": 0.05})])


def test_scorer_contract():
    with serve(yes_no) as server:
        model = backend(server)
        check_scorer(model, bad=question("BAD"))
        model.close()
    assert server.seen[0] | {"messages": 0} == {
        "model": "m",
        "messages": 0,
        "max_tokens": 3,
        "temperature": 0.0,
        "logprobs": True,
        "top_logprobs": 20,
    }


def test_likelihoods_of_single_tokens():
    with serve(yes_no) as server:
        (told,) = scored(server, question(labels=("yes", "no", "Yes", "maybe")))
    assert told.logprobs[:2] == pytest.approx((math.log(0.65), math.log(0.3)))
    assert told.logprobs[2:] == (-math.inf, -math.inf)
    assert told.tokens == (1, 1, 1, 1)
    assert (told.error, told.usage.calls, told.usage.prompt_tokens) == (None, 1, 7)


def test_no_label_seen_is_an_error():
    with serve(lambda body: chat("Hm", logprobs=[place("Hm", {"Hm": 0.9, "yes!": 0.05})])) as server:
        (told,) = scored(server)
    assert told.logprobs == (-math.inf, -math.inf)
    assert "'Hm'" in told.error


@pytest.mark.parametrize("said", ["yes", error("logprobs are not supported by this model"), chat("x", logprobs=None)])
def test_servers_without_logprobs(said):
    with serve(lambda body: said) as server, pytest.raises(BackendError, match="gives no token logprobs"):
        scored(server)


def test_servers_that_show_fewer(caplog):
    def script(body):
        return error("top_logprobs must not exceed 5 tokens") if body["top_logprobs"] > 5 else yes_no(body)

    with serve(script) as server:
        told = scored(server, question("a"), question("b"), concurrency=1)
    assert [t.error for t in told] == [None, None]
    assert [body["top_logprobs"] for body in server.seen] == [20, 5, 5]


def test_garbled_logprobs_spoil_one_item():
    def script(body):
        return chat("yes", logprobs=[{"token": "yes"}]) if last_words(body) == "bad" else yes_no(body)

    with serve(script) as server:
        one, bad = scored(server, question("a"), question("bad"))
    assert one.error is None
    assert "cannot be read" in bad.error
    assert bad.logprobs == (-math.inf, -math.inf)


def places(*steps):
    return [
        Place(token, math.log(shown[token]), tuple((t, math.log(p)) for t, p in shown.items()))
        for token, shown in steps
    ]


def test_labels_of_several_tokens_along_the_reply():
    reply = places(("1", {"1": 0.7, "2": 0.2, "10": 0.05}), ("0", {"0": 0.8, "<end>": 0.1}))
    logprobs, tokens = label_logprobs(reply, ("1", "10", "2", "20"))
    assert [math.exp(value) for value in logprobs] == pytest.approx([0.7, 0.7 * 0.8 + 0.05, 0.2, 0.0])
    assert tokens == (1, 2, 1, 1)


def test_spaces_and_byte_marks():
    reply = places(("Ġ", {"Ġ": 0.5, "▁no": 0.25, "yes": 0.125}), ("yes", {"yes": 0.5, "no": 0.5}))
    logprobs, _ = label_logprobs(reply, ("yes", "no"))
    assert [math.exp(value) for value in logprobs] == pytest.approx([0.125 + 0.25, 0.25 + 0.25])


def test_what_follows_a_label_adds_nothing():
    reply = places(("yes", {"yes": 0.9, "no": 0.1}), ("\n", {"\n": 0.9, " ": 0.05}), ("no", {"no": 1.0}))
    logprobs, _ = label_logprobs(reply, ("yes", "no"))
    assert [math.exp(value) for value in logprobs] == pytest.approx([0.9, 0.1])


SHORT = st.text(alphabet="ab 1", min_size=1, max_size=3)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.dictionaries(SHORT, st.floats(0.01, 1.0), min_size=1, max_size=4), max_size=4),
    st.lists(SHORT.filter(str.strip), min_size=1, max_size=4),
)
def test_values_are_log_probabilities(steps, labels):
    steps = [{t: p / sum(step.values()) for t, p in step.items()} for step in steps]
    logprobs, tokens = label_logprobs(places(*[(max(s, key=s.get), s) for s in steps]), labels)
    assert len(logprobs) == len(tokens) == len(labels)
    assert all(value <= 1e-9 and not math.isnan(value) for value in logprobs)
    assert all(1 <= count <= max(1, len(steps)) for count in tokens)


@pytest.mark.models
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the in-process engine's own socket
def test_a_real_server_agrees_with_the_exact_numbers(model_smollm):
    """llama.cpp behind HTTP, read as a chat server, against the same model scored token by token in this process."""
    xllamacpp = pytest.importorskip("xllamacpp")
    from shortlist.backends.gguf import GgufBackend

    params = xllamacpp.CommonParams()
    params.model.path = str(model_smollm.gguf())
    params.n_ctx, params.n_parallel, params.n_gpu_layers, params.fit_params = 1024, 1, 0, False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.verbosity = 0
    server = xllamacpp.Server(params)
    model = OpenAIBackend("any", server.listening_address, top_logprobs=2000)
    texts = ("Is the sky blue? Reply Yes or No.", "Is snow black? Reply Yes or No.", "Is 2 > 1? Reply Yes or No.")
    questions = [question(text, ("Yes", "No")) for text in texts]
    check_scorer(model, questions)
    exact = GgufBackend(str(model_smollm.gguf())).likelihoods(questions)
    for one, other in zip(model.likelihoods(questions), exact, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=0.01)
    long, fine = model.complete([ask("word " * 3000, max_tokens=4), ask("hi \ud800\x00", max_tokens=4)])
    assert "context" in long.error
    assert fine.text
    model.close()
    gc.collect()
