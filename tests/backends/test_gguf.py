import math
import sys

import pytest

from shortlist.backends import gguf
from shortlist.backends.base import Ask, Completer, Continuer, Cuts, Question, Scorer
from shortlist.backends.gguf import GgufBackend
from shortlist.errors import BackendError, InvalidInput, MissingExtra, ModelUnavailable
from shortlist.types import Message


def user(text):
    return (Message("user", text),)


class ScriptedEngine:
    """Stands in for llama.cpp: one character a token, log-probability −1 a token, −9 for any first token not likely."""

    def __init__(self, *, likely="yn", obeys=True, error=None):
        self.likely, self.obeys, self.error, self.calls = likely, obeys, error, []

    def render(self, messages):
        return "".join(content for _, content in messages) + ">"

    def tokenize(self, text, special=True):
        return [ord(letter) for letter in text]

    def label_ids(self, tail, label):
        return tuple(self.tokenize(label))

    def slot(self):
        import contextlib

        return contextlib.nullcontext(0)

    def chat(self, body):
        self.calls.append(body)
        if self.error:
            return {"error": {"message": self.error}}
        message = {"content": None, "reasoning_content": "hm"}
        usage = {"prompt_tokens": 7, "completion_tokens": 2}
        return {"choices": [{"message": message, "finish_reason": "length"}], "usage": usage}

    def completions(self, body):
        self.calls.append(body)
        if self.error:
            return {"error": {"message": self.error}}
        if "grammar" not in body:
            top = [{"id": ord(letter), "logprob": -0.5} for letter in self.likely]
            return self.content([{"id": top[0]["id"], "logprob": -0.5, "top_logprobs": top}])
        ids = [int(part.strip("<[]>")) for part in body["grammar"].removeprefix("root ::= ").split()]
        return self.content([{"id": token if self.obeys else 0, "logprob": -1.0} for token in ids])

    @staticmethod
    def content(steps):
        return {"choices": [{"logprobs": {"content": steps}}]}


def backend_on(engine, **told):
    backend = GgufBackend("any.gguf", **told)
    backend.__dict__["_started"] = engine
    return backend


def test_single_tokens_are_read_at_once_and_the_rest_is_forced():
    engine = ScriptedEngine()
    (found,) = backend_on(engine).likelihoods([Question(messages=user("q"), labels=("y", "n", "z", "long"))])
    assert found.logprobs == (-0.5, -0.5, -1.0, -4.0)
    assert found.tokens == (1, 1, 1, 4)
    assert [call.get("grammar") for call in engine.calls] == [
        None,
        f"root ::= <[{ord('z')}]>",
        "root ::= " + " ".join(f"<[{ord(letter)}]>" for letter in "long"),
    ]
    assert [call["cache_prompt"] for call in engine.calls] == [False, True, True]


@pytest.mark.parametrize(("template", "prompt"), [("", "q><think>a</think>"), ("<think>\n", "q><think>\na</think>")])
def test_likelihoods_behind_a_begun_reply(template, prompt):
    """Where the template has opened the reasoning, llama.cpp gives it apart, and it is not opened twice."""

    class Templated(ScriptedEngine):
        def render(self, messages):
            return super().render(messages) + template

    engine = Templated()
    backend_on(engine).likelihoods([Question(messages=user("q"), labels=("y", "n"), begun="<think>a</think>")])
    assert {"".join(map(chr, call["prompt"])) for call in engine.calls} == {prompt}


def test_reused_prefixes_walk_the_trie_and_answer_in_the_order_asked():
    engine = ScriptedEngine()
    engine.chat = lambda body: (
        engine.calls.append(body)
        or {
            "choices": [{"message": {"content": body["messages"][0]["content"]}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        }
    )
    backend = backend_on(engine, reuse_prefix=True)
    asked = ["b", "a c", "a b c", "a", "a b"]
    said = backend.complete([Ask(messages=user(text)) for text in asked])
    assert [completion.text for completion in said] == asked
    assert [call["messages"][0]["content"] for call in engine.calls] == sorted(asked)
    assert {call["cache_prompt"] for call in engine.calls} == {True}
    assert backend.complete([]) == []
    two = backend_on(engine, reuse_prefix=True, slots=2)
    assert [completion.text for completion in two.complete([Ask(messages=user(text)) for text in asked])] == asked


def test_reused_prefixes_serve_likelihoods_too():
    engine = ScriptedEngine()
    questions = [Question(messages=user(text), labels=("y", "long")) for text in ("b", "a")]
    found = backend_on(engine, reuse_prefix=True).likelihoods(questions)
    assert [told.logprobs for told in found] == [(-1.0, -4.0)] * 2
    assert [call["cache_prompt"] for call in engine.calls] == [True] * 4
    assert [chr(call["prompt"][0]) for call in engine.calls] == ["a", "a", "b", "b"]


def test_an_engine_that_does_not_obey_is_not_believed():
    with pytest.raises(BackendError, match="token grammar"):
        backend_on(ScriptedEngine(obeys=False)).likelihoods([Question(messages=user("q"), labels=("long",))])


def test_refusals_are_errors_of_the_item():
    engine = ScriptedEngine(error="too long")
    (scored,) = backend_on(engine).likelihoods([Question(messages=user("q"), labels=("y", "n"))])
    (said,) = backend_on(engine).complete([Ask(messages=user("q"))])
    assert (scored.error, scored.logprobs) == ("too long", ())
    assert (said.error, said.finish) == ("too long", "error")


def test_every_field_of_an_ask_reaches_the_engine():
    engine = ScriptedEngine()
    ask = Ask(
        messages=user("q"), max_tokens=5, temperature=0.5, top_p=0.9, seed=4, stop=("x",), schema={"type": "object"}
    )
    (said,) = backend_on(engine).complete([ask])
    (body,) = engine.calls
    wanted = {"max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "seed": 4, "stop": ["x"], "top_k": 0, "min_p": 0.0}
    assert {name: body[name] for name in wanted} == wanted
    assert body["json_schema"] == {"type": "object"}
    assert (said.text, said.reasoning, said.finish, said.usage.tokens) == ("", "hm", "length", 9)


@pytest.mark.parametrize("wrong", [{"context": 0}, {"slots": 0}, {"threads": 0}, {"gpu_layers": -1}])
def test_wrong_configuration(wrong):
    if wrong == {"threads": 0}:
        wrong = {"threads": -1}
    with pytest.raises(InvalidInput):
        GgufBackend(**wrong)


def test_a_file_that_is_not_there_or_no_model(tmp_path):
    with pytest.raises(ModelUnavailable, match="does not exist"):
        GgufBackend(tmp_path / "no.gguf").load()


def test_a_missing_package_names_its_extra(tmp_path, monkeypatch):
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(MissingExtra, match=r"shortlist\[gguf\]"):
        GgufBackend(tmp_path / "m.gguf").load()


def test_half_of_the_cores_unless_told(monkeypatch):
    from shortlist.backends import llamacpp

    monkeypatch.delenv("SHORTLIST_THREADS", raising=False)
    monkeypatch.setattr(llamacpp, "cores", lambda: 6)
    assert llamacpp.default_threads() == 3
    monkeypatch.setenv("SHORTLIST_THREADS", "5")
    assert llamacpp.default_threads() == 5


# ---------------------------------------------------------------------------------------------- the real model


@pytest.fixture(scope="module")
def backend(model_smollm):
    pytest.importorskip("xllamacpp")
    return GgufBackend(model_smollm, context=1024, threads=1)


LABELS = ("yes", "no", "Yes", "No", "zebra", "The number is quite odd, my friend.")


@pytest.mark.models
def test_it_is_what_it_says(backend):
    assert isinstance(backend, Completer)
    assert isinstance(backend, Scorer)
    assert isinstance(backend, Continuer)
    assert isinstance(backend, Cuts)
    assert "smollm2-135m@" in backend.identity


@pytest.mark.models
def test_greedy_replies_repeat(backend):
    asks = [Ask(messages=user(f"Name {n} colours."), max_tokens=12) for n in ("two", "three", "four")]
    first = backend.complete(asks)
    assert [completion.text for completion in backend.complete(asks)] == [completion.text for completion in first]
    assert all(completion.error is None and completion.usage.completion_tokens <= 12 for completion in first)
    assert [completion.finish for completion in backend.complete([Ask(messages=user("Hi"), max_tokens=1)])] == [
        "length"
    ]


@pytest.mark.models
def test_reused_prefixes_are_computed_once(model_smollm, backend):
    """The first one, two, three passages of one list: only what is new is read, and what is said stays the same."""
    passages = [f"[{i}] The {thing} of Mr {name} is {colour}." * 4 for i, (thing, name, colour) in enumerate(_FACTS)]
    asks = [
        Ask(messages=user("\n".join(passages[:n]) + "\nWhat colour is the boat? One word."), max_tokens=6)
        for n in (1, 2, 3)
    ]
    reusing = GgufBackend(model_smollm, context=1024, threads=1, reuse_prefix=True)
    assert reusing.identity == f"{backend.identity} reuse_prefix"
    computed = []
    engine = reusing.load()
    chat = engine.chat
    engine.chat = lambda body: computed.append(chat(body)) or computed[-1]
    said = reusing.complete(asks)
    plain = backend.complete(asks)
    assert [c.usage.prompt_tokens for c in said] == [c.usage.prompt_tokens for c in plain]
    whole = sum(c.usage.prompt_tokens for c in plain)
    assert sum(reply["timings"]["prompt_n"] for reply in computed) < 0.7 * whole
    assert sum(a.text == b.text for a, b in zip(said, plain, strict=True)) >= 2  # rounding may part near ties


_FACTS = (("house", "Tan", "red"), ("boat", "Lee", "blue"), ("hat", "Roy", "green"))


@pytest.mark.models
def test_slots_side_by_side_give_each_ask_its_own_reply(model_smollm, backend):
    asks = [Ask(messages=user(f"Say the word {word}."), max_tokens=6) for word in ("cat", "river", "seven", "blue")]
    side_by_side = GgufBackend(model_smollm, context=512, slots=2, threads=1).complete(asks)
    one_by_one = backend.complete(asks)
    assert [c.usage.prompt_tokens for c in side_by_side] == [c.usage.prompt_tokens for c in one_by_one]
    # greedy replies may part where two tokens are nearly as likely; most do not
    assert sum(a.text == b.text for a, b in zip(side_by_side, one_by_one, strict=True)) >= 2


@pytest.mark.models
def test_likelihoods_of_any_label_one_by_one_and_together(backend):
    questions = [Question(messages=user(f"Is {n} even? Answer yes or no."), labels=LABELS) for n in (2, 3)]
    together = backend.likelihoods(questions)
    for question, found in zip(questions, together, strict=True):
        assert found.tokens == (1, 1, 1, 1, 2, 9)
        assert all(math.isfinite(value) and value < 0 for value in found.logprobs)
        for label, value in zip(LABELS, found.logprobs, strict=True):
            (alone,) = backend.likelihoods([Question(messages=question.messages, labels=(label,))])
            assert alone.logprobs[0] == pytest.approx(value, abs=0.1)


@pytest.mark.models
def test_first_tokens_share_one_unit_of_probability(backend):
    """The raw distribution: the likeliest tokens together have nearly all of it, and never more."""
    engine = backend.load()
    prompt = engine.tokenize(engine.render(user("Is 2 even? Answer yes or no.")))
    forcing = gguf._Forcing(engine, prompt, 0)
    assert 0.6 < sum(map(math.exp, forcing._likeliest().values())) <= 1.0001


@pytest.mark.models
def test_a_schema_holds_the_reply(backend):
    import json

    schema = {"type": "object", "properties": {"best": {"type": "integer"}}, "required": ["best"]}
    (said,) = backend.complete([Ask(messages=user("Which is best?"), max_tokens=40, schema=schema)])
    assert isinstance(json.loads(said.text)["best"], int)


@pytest.mark.models
def test_too_long_is_an_error_of_that_item_alone(backend):
    long = user("word " * 3000)
    bad, good = backend.complete([Ask(messages=long), Ask(messages=user("hi"), max_tokens=2)])
    assert "exceeds" in bad.error
    assert good.error is None
    (scored,) = backend.likelihoods([Question(messages=long, labels=("yes", "no"))])
    assert "exceeds" in scored.error


@pytest.mark.models
def test_cut_keeps_the_beginning_whole(backend):
    text = "Ünïcode — wörds 日本語テキスト and more " * 3
    for tokens in (1, 5, 12, 20):
        shorter, lost = backend.cut(text, tokens)
        assert lost
        assert text.startswith(shorter)
        assert len(backend.load().tokenize(shorter, special=False)) <= tokens
    assert backend.cut("short", 5) == ("short", False)


@pytest.mark.models
def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"nonsense")
    with pytest.raises(BackendError, match="could not load"):
        GgufBackend(tmp_path / "m.gguf").load()
