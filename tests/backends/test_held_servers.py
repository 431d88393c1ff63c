"""A language of replies reaches llama.cpp as grammars, servers as grammars or schemas, vLLM as its own parameters."""

import json
import logging
import math
from types import SimpleNamespace

import pytest
from loopback import error, serve

from shortlist.backends.base import Ask
from shortlist.backends.cache import cached, key_of
from shortlist.backends.gguf import GgufBackend
from shortlist.backends.openai import OpenAIBackend
from shortlist.backends.scripted import ScriptedCompleter
from shortlist.backends.store import Store
from shortlist.backends.vllm import VLLMBackend
from shortlist.errors import BackendError, InvalidInput
from shortlist.rerankers.catalog import open_reranker
from shortlist.rerankers.policies import TextPolicy
from shortlist.testing.hostile import plain_slate
from shortlist.text import GroupScores, Listwise, ListwiseReasoning, SetwiseChoice, Subset
from shortlist.text.grammar import gbnf
from shortlist.text.language import Items, Language, Said
from shortlist.types import Message, RerankRequest, Status

GRAMMARS = {"grammar", "structured_outputs", "ebnf"}


def language_of(prompt, n):
    return prompt.language(plain_slate(["w"] * n))


def ask(language, **more):
    return Ask(messages=(Message("user", "words"),), language=language, **more)


# ------------------------------------------------------------------------------------------------ OpenAI's dialect


def complete(script, *languages):
    with serve(script) as server:
        model = OpenAIBackend("m", f"{server.url}/v1", api_key="k", retries=0, concurrency=1)
        done = model.complete([ask(language) for language in languages])
        model.close()
    return done, server.seen


def test_an_order_goes_out_as_a_grammar_under_every_name():
    language = language_of(Listwise(), 3)
    (done,), (body,) = complete(lambda body: "[2] > [3] > [1]", language)
    assert body["grammar"] == body["ebnf"] == body["structured_outputs"]["grammar"] == gbnf(language)
    assert "response_format" not in body
    assert done.text == "[2] > [3] > [1]"


def test_scores_go_out_as_a_schema_and_come_back_in_the_form_asked_for():
    language = language_of(GroupScores(), 2)
    (done,), (body,) = complete(lambda body: '{\n  "[1]":3,\n  "[2]":10}', language)
    assert not GRAMMARS & set(body)
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["[1]", "[2]"]
    assert done.text == '{"[1]": 3, "[2]": 10}'


def test_a_server_that_refuses_grammars_is_given_a_schema(caplog):
    def script(body):
        if GRAMMARS & set(body):
            return error("Unrecognized request argument supplied: grammar")
        assert body["response_format"]["type"] == "json_schema"
        return json.dumps({"order": ["[3]", "[1]", "[2]"]})

    with caplog.at_level(logging.WARNING, "shortlist"):
        done, seen = complete(script, *[language_of(Listwise(), 3)] * 2)
    assert [d.text for d in done] == ["[3] > [1] > [2]"] * 2
    assert [bool(GRAMMARS & set(body)) for body in seen] == [True, False, False]
    assert "grammar" in caplog.text


def test_a_server_that_refuses_both_is_asked_without_and_says_so(caplog):
    def script(body):
        return error("what is this") if {"response_format", *GRAMMARS} & set(body) else "no form"

    with caplog.at_level(logging.WARNING, "shortlist"):
        done, _ = complete(script, language_of(Subset(), 3))
    assert done[0].text == "no form"
    assert "response_format" in caplog.text


def test_reasoning_goes_into_the_schema_too():
    def script(body):
        if "grammar" in body:
            return error("unknown field grammar")
        names = body["response_format"]["json_schema"]["schema"]["required"]
        assert names == ["reasoning", "order"]
        return json.dumps({"reasoning": "the second", "order": ["[2]", "[1]"]})

    prompt = ListwiseReasoning()
    (done,), _ = complete(script, language_of(prompt, 2))
    verdict = prompt.parse(done.text, plain_slate(["w"] * 2))
    assert (verdict.status, verdict.order, verdict.reasoning) == (Status.OK, (1, 0), "the second")


# ------------------------------------------------------------------------------------------------ vLLM, cache, policy


def test_vllm_is_given_the_grammar():
    calls = []

    class Engine:
        def chat(self, messages, params, **told):
            calls.extend(params)
            reply = SimpleNamespace(text="[1]", finish_reason="stop", token_ids=[1])
            return [SimpleNamespace(outputs=[reply], prompt_token_ids=[1])] * len(messages)

    backend = VLLMBackend("m", engine=Engine(), params=SimpleNamespace)
    language = language_of(Listwise(), 2)
    backend.complete([ask(language), ask(None)])
    assert calls[0].grammar == gbnf(language)
    assert not hasattr(calls[1], "grammar")


def test_a_language_is_part_of_the_key_and_its_absence_is_not(tmp_path):
    with Store(tmp_path / "cache.sqlite") as store:
        model = ScriptedCompleter(lambda a: str(len(model.asked)))
        languages = [None, language_of(Listwise(), 2), language_of(Listwise(), 3), language_of(Subset(), 2)]
        said = [cached(model, store).complete([ask(language)])[0].text for language in languages * 2]
        assert said == ["1", "2", "3", "4"] * 2
    before = {  # the fields of an ask before there were languages: entries of that time are found again
        "messages": (Message("user", "words"),),
        "max_tokens": 256,
        "temperature": 0.0,
        "top_p": 1.0,
        "seed": None,
        "stop": (),
        "schema": None,
    }
    assert key_of("complete", "m", ask(None)) == key_of("complete", "m", before)


def test_the_policy_sends_the_language_and_a_prompt_without_one_is_refused():
    model = ScriptedCompleter(lambda a: "[1] > [2]")
    slate = plain_slate(["w"] * 2)
    TextPolicy(prompt=Listwise(), completer=model, constrain=True).judge([slate])
    TextPolicy(prompt=Listwise(), completer=model).judge([slate])
    assert [a.language for a in model.asked] == [Listwise().language(slate), None]

    class Dumb:
        passage_tokens = 10

        def render(self, slate):
            return (Message("user", "?"),)

    with pytest.raises(InvalidInput, match="no language"):
        TextPolicy(prompt=Dumb(), completer=model, constrain=True)


# ------------------------------------------------------------------------------------------------ llama.cpp


class Stretches:
    """Stands in for llama.cpp: a character a token; says what ``script`` makes of the grammar and the text so far."""

    def __init__(self, script):
        self.script, self.calls = script, []

    def render(self, messages):
        return ">"

    def tokenize(self, text, special=True):
        return [ord(letter) for letter in text]

    def slot(self):
        import contextlib

        return contextlib.nullcontext(0)

    def completions(self, body):
        self.calls.append(body)
        said = self.script(body["grammar"], "".join(map(chr, body["prompt"][1:])))
        if said is None:
            return {"error": {"message": "too long"}}
        cut = said[: body["n_predict"]]
        finish = "stop" if len(cut) == len(said) else "length"
        return {"choices": [{"text": cut, "finish_reason": finish}], "usage": {"completion_tokens": len(cut)}}


def held(script, language, **more):
    backend = GgufBackend("any.gguf")
    backend.__dict__["_started"] = Stretches(script)
    (done,) = backend.complete([ask(language, **more)])
    return done, backend.__dict__["_started"].calls


def test_long_orders_are_said_a_few_names_at_a_time():
    def lowest(grammar, said):
        left = [f"[{i}]" for i in range(1, 13) if f"[{i}]" not in said]
        rules = dict(line.split(" ::= ", 1) for line in grammar.splitlines())
        ways = [rules[rules["root"]].split(" | ")]
        assert len(ways[0]) == len(left)
        while len(step := ways[-1][0].rsplit(" ", 1)) > 1 and step[1] in rules:
            ways.append(rules[step[1]].split(" | "))
        return "".join(json.loads(way[0].rsplit(" o", 1)[0]) for way in ways)

    done, calls = held(lowest, language_of(Listwise(), 12), max_tokens=200, seed=5)
    assert done.text == " > ".join(f"[{i}]" for i in range(1, 13))
    assert (done.finish, done.usage.calls, done.usage.completion_tokens) == ("stop", 1, len(done.text))
    assert len(calls) == 3
    assert [call["cache_prompt"] for call in calls] == [False, True, True]
    assert len({call["seed"] for call in calls}) == 3


def test_reasoning_has_its_budget_and_ends_in_time():
    def script(grammar, said):
        if grammar.endswith('"</think>"'):
            return "hm < " * 40
        return "\n<answer>[2] > [1]</answer>" if said else "<think>\n"

    prompt = ListwiseReasoning()
    done, calls = held(script, language_of(prompt, 2), max_tokens=120)
    verdict = prompt.parse(done.text, plain_slate(["w"] * 2))
    assert (verdict.status, verdict.order) == (Status.OK, (1, 0))
    assert verdict.reasoning.startswith("hm <")
    assert done.usage.completion_tokens <= 120
    assert len(calls) == 3


def test_reasoning_that_ends_by_itself():
    answers = iter(["<think>\n", "short</think>", "\n<answer>[1] > [2]</answer>"])
    done, _ = held(lambda grammar, said: next(answers), language_of(ListwiseReasoning(), 2), max_tokens=300)
    assert done.text == "<think>\nshort</think>\n<answer>[1] > [2]</answer>"


def test_a_list_that_ends_early_is_whole():
    done, calls = held(lambda grammar, said: "[7]", language_of(Subset(), 20), max_tokens=100)
    assert (done.text, done.finish, len(calls)) == ("[7]", "stop", 1)
    names = tuple(f"[{i}]" for i in range(1, 21))
    language = Language((Items("chosen", names, ", ", 1, 20), Said(".")))
    answers = iter(["[7]", "."])
    assert held(lambda grammar, said: next(answers), language)[0].text == "[7]."


def test_too_few_tokens_a_refusal_and_disobedience():
    done, _ = held(lambda grammar, said: "[1] > [2] > [3]", language_of(Listwise(), 12), max_tokens=5)
    assert (done.text, done.finish) == ("[1] >", "length")
    done, _ = held(lambda grammar, said: None, language_of(Listwise(), 12))
    assert (done.error, done.finish) == ("too long", "error")
    with pytest.raises(BackendError, match="did not follow"):
        held(lambda grammar, said: "I think", language_of(Listwise(), 12))


@pytest.mark.models
@pytest.mark.parametrize(
    ("spec", "n"),
    [
        ("listwise:smollm2-135m?constrain=true", 5),
        ("listwise:smollm2-135m?constrain=true&window=12", 12),
        ("listwise:smollm2-135m?constrain=true&reasoning=true&max_tokens=130", 3),
        ("groupwise:smollm2-135m?constrain=true", 3),
        ("dynamic:smollm2-135m?constrain=true", 4),
        ("setwise:smollm2-135m?constrain=true&read=text&top=1", 4),
    ],
)
def test_a_real_small_model_held_is_always_ok(model_smollm, spec, n):
    texts = ["Bread is baked.", "Paris is the capital of France.", "Cats sleep.", "Lyon is a city."] * 3
    request = RerankRequest.of("What is the capital of France?", texts[:n])
    (ranking,) = open_reranker(spec).rerank([request])
    assert (ranking.status, ranking.problems) == (Status.OK, ())
    assert math.isfinite(ranking.usage.seconds)
    if "reasoning" in spec:
        assert ranking.reasoning
    if not spec.startswith(("dynamic", "setwise")):
        (free,) = open_reranker(spec.replace("constrain=true", "constrain=false")).rerank([request])
        assert free.status is Status.FAILED


def test_the_choice_of_a_letter_is_a_schema():
    (done,), (body,) = complete(lambda body: '{"best": "B"}', language_of(SetwiseChoice(), 3))
    assert body["response_format"]["json_schema"]["schema"]["properties"]["best"]["enum"] == ["A", "B", "C"]
    assert done.text == "B"
