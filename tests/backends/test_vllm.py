"""Against an engine with vLLM's call signatures; the numbers come from a toy distribution over characters."""

import importlib.util
import math
import threading
import time
from types import SimpleNamespace

import pytest

from shortlist.backends.base import Ask, Completer, Continuer, Question, Scorer
from shortlist.backends.vllm import VLLMBackend
from shortlist.errors import BackendError, InvalidInput, MissingExtra
from shortlist.testing.backends import check_completer, check_scorer
from shortlist.types import Message

P = {"y": 0.5, "n": 0.3, "1": 0.1, "0": 0.05}


def logprob(token):
    return math.log(P.get(chr(token), 0.001))


class Tokenizer:
    """A token a character."""

    def apply_chat_template(self, messages, *, tokenize=True, add_generation_prompt=False, **options):
        assert not tokenize
        assert add_generation_prompt
        return "".join(f"<{m['role']}>{m['content']}" for m in messages) + f"<assistant>{options.get('mark', '')}"

    def encode(self, text, add_special_tokens=True):
        assert not add_special_tokens
        return [ord(c) for c in text]


class Engine:
    """chat, generate and get_tokenizer, as vllm.LLM has them."""

    def __init__(self):
        self.calls = []

    def get_tokenizer(self):
        return Tokenizer()

    def chat(
        self,
        messages,
        sampling_params=None,
        use_tqdm=True,
        lora_request=None,
        chat_template=None,
        chat_template_content_format="auto",
        add_generation_prompt=True,
        continue_final_message=False,
        tools=None,
        chat_template_kwargs=None,
    ):
        assert len(messages) == len(sampling_params)
        self.calls.append(("chat", messages, sampling_params, chat_template_kwargs))
        if any("BAD" in m["content"] for conversation in messages for m in conversation):
            raise ValueError("The decoder prompt is longer than the maximum model length")
        if any("DEAD" in m["content"] for conversation in messages for m in conversation):
            raise RuntimeError("engine died")
        return [self._reply(c, p) for c, p in zip(messages, sampling_params, strict=True)]

    def _reply(self, conversation, params):
        text = f"you said {conversation[-1]['content']}"
        reason = "length" if len(text) > params.max_tokens else "stop"
        text = text[: params.max_tokens]
        output = SimpleNamespace(text=text, token_ids=[*map(ord, text)], finish_reason=reason, logprobs=None)
        return SimpleNamespace(prompt_token_ids=[1, 2, 3], outputs=[output], prompt_logprobs=None)

    def generate(self, prompts, sampling_params=None, *, use_tqdm=True, lora_request=None, priority=None):
        self.calls.append(("generate", prompts, sampling_params, None))
        texts = ["".join(map(chr, prompt["prompt_token_ids"])) for prompt in prompts]
        if any("BAD" in text for text in texts):
            raise ValueError("The decoder prompt is longer than the maximum model length")
        return [self._scored(p["prompt_token_ids"], q) for p, q in zip(prompts, sampling_params, strict=True)]

    def _scored(self, ids, params):
        shown = {ord(c): SimpleNamespace(logprob=math.log(p), rank=1, decoded_token=c) for c, p in P.items()}
        first = [shown] if getattr(params, "logprobs", None) else None
        whole = None
        if getattr(params, "prompt_logprobs", None) is not None:
            whole = [None] + [{i: SimpleNamespace(logprob=logprob(i))} for i in ids[1:]]
        output = SimpleNamespace(text="y", token_ids=[ord("y")], finish_reason="length", logprobs=first)
        return SimpleNamespace(prompt_token_ids=ids, outputs=[output], prompt_logprobs=whole)


def make(**more):
    engine = Engine()
    return VLLMBackend("m", engine=engine, params=SimpleNamespace, **more), engine


def ask(text, **more):
    return Ask(messages=(Message("user", text),), **more)


def question(text, *labels):
    return Question(messages=(Message("user", text),), labels=labels)


def test_contracts():
    backend, _ = make()
    assert isinstance(backend, Completer)
    assert isinstance(backend, Scorer)
    check_completer(backend, bad=ask("BAD"))
    check_scorer(backend, bad=question("BAD", "yes", "n"))


def test_a_batch_is_one_call_with_each_asks_settings():
    backend, engine = make(template_options={"enable_thinking": False})
    schema = {"type": "object"}
    done = backend.complete([ask("a", max_tokens=4, stop=("x",), seed=2, schema=schema), ask("b", temperature=0.5)])
    ((kind, messages, params, options),) = engine.calls
    assert kind == "chat"
    assert messages[0] == [{"role": "user", "content": "a"}]
    assert vars(params[0]) == {
        "max_tokens": 4,
        "temperature": 0.0,
        "top_p": 1.0,
        "seed": 2,
        "stop": ["x"],
        "schema": schema,
    }
    assert (params[1].temperature, params[1].stop, params[1].schema) == (0.5, None, None)
    assert options == {"enable_thinking": False}
    assert [(c.text, c.finish) for c in done] == [("you ", "length"), ("you said b", "stop")]
    assert (done[0].usage.calls, done[0].usage.prompt_tokens, done[0].usage.completion_tokens) == (1, 3, 4)


def test_likelihoods_are_exact():
    backend, engine = make(template_options={"mark": "!"})
    (told,) = backend.likelihoods([question("q", "y", "10", "z", "1", "nn")])
    expected = (math.log(0.5), math.log(0.1) + math.log(0.05), -math.inf, math.log(0.1), 2 * math.log(0.3))
    assert told.logprobs == pytest.approx(expected)
    assert told.tokens == (1, 2, 1, 1, 2)
    assert told.usage.calls == 3
    ((_, prompts, params, _),) = engine.calls
    texts = ["".join(map(chr, prompt["prompt_token_ids"])) for prompt in prompts]
    assert texts == [f"<user>q<assistant>!{label}" for label in ("", "10", "nn")]
    assert [vars(p) for p in params[:2]] == [
        {"max_tokens": 1, "temperature": 0.0, "logprobs": 20},
        {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0},
    ]


def test_likelihoods_behind_a_begun_reply():
    backend, engine = make()
    assert isinstance(backend, Continuer)
    backend.likelihoods([Question(messages=(Message("user", "q"),), labels=("1", "10"), begun="so <answer>")])
    ((_, prompts, _, _),) = engine.calls
    texts = ["".join(map(chr, prompt["prompt_token_ids"])) for prompt in prompts]
    assert texts == [f"<user>q<assistant>so <answer>{label}" for label in ("", "10")]


def test_questions_of_one_batch_share_a_call():
    backend, engine = make()
    told = backend.likelihoods([question("a", "y", "n"), question("b", "10"), question("c", "n")])
    assert [len(t.logprobs) for t in told] == [2, 1, 1]
    assert told[2].logprobs == pytest.approx((math.log(0.3),))
    assert len(engine.calls) == 1


def test_refused_questions():
    backend, _ = make()
    bad, good = backend.likelihoods([question("BAD", "y", "10"), question("b", "y")])
    assert "longer than the maximum" in bad.error
    assert bad.logprobs == (-math.inf, -math.inf)
    assert good.error is None


def test_a_dead_engine_is_raised():
    backend, _ = make()
    with pytest.raises(BackendError, match="RuntimeError: engine died"):
        backend.complete([ask("DEAD"), ask("a")])


def test_threads_take_turns():
    backend, engine = make()
    busy, most = [], []
    plain = engine.chat

    def chat(*arguments, **more):
        busy.append(1)
        most.append(len(busy))
        time.sleep(0.005)
        try:
            return plain(*arguments, **more)
        finally:
            busy.pop()

    engine.chat = chat
    threads = [threading.Thread(target=backend.complete, args=([ask(str(i))],)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1


def test_identity_and_checks():
    identities = {
        VLLMBackend("a").identity,
        VLLMBackend("b").identity,
        VLLMBackend("a", options={"dtype": "x"}).identity,
    }
    assert len(identities) == 3
    assert VLLMBackend("a", options={"x": 1, "y": 2}).identity == VLLMBackend("a", options={"y": 2, "x": 1}).identity
    with pytest.raises(InvalidInput):
        VLLMBackend(" ")


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is installed")
def test_without_vllm():
    assert VLLMBackend("m").complete([]) == []
    with pytest.raises(MissingExtra, match=r"shortlist\[vllm\]"):
        VLLMBackend("m").complete([ask("a")])
    with pytest.raises(MissingExtra, match=r"shortlist\[vllm\]"):
        VLLMBackend("m", engine=Engine()).complete([ask("a")])
