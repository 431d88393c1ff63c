"""vLLM inside this process: completes chats, and scores fixed replies by their tokens."""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, Literal

from shortlist.backends.base import Ask, Completion, Likelihoods, Question
from shortlist.errors import BackendError, InvalidInput, MissingExtra
from shortlist.text.grammar import gbnf
from shortlist.types import Messages, Usage

TOP_LOGPROBS = 20
"""How many of the likeliest tokens vLLM shows at a place, unless the engine is started with another max_logprobs."""


def sampling_params(*, schema: Mapping[str, Any] | None = None, grammar: str | None = None, **settings: Any) -> Any:
    """vLLM's own sampling parameters; ``schema`` holds the reply to a JSON schema, ``grammar`` to a grammar (GBNF)."""
    try:
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams
    except ImportError as error:
        raise MissingExtra("vllm", "vllm") from error
    if grammar is not None:
        settings["structured_outputs"] = StructuredOutputsParams(grammar=grammar)
    elif schema is not None:
        settings["structured_outputs"] = StructuredOutputsParams(json=dict(schema))
    return SamplingParams(**settings)


@dataclass(frozen=True)
class VLLMBackend:
    """A chat model run by vLLM in this process.

    ``options`` go to ``vllm.LLM`` (``dtype``, ``revision``, ``tensor_parallel_size`` …), ``template_options`` to the
    chat template (``{"enable_thinking": False}``). The engine starts at the first call, unless ``engine`` is given: an
    object with ``vllm.LLM``'s ``chat``, ``generate`` and ``get_tokenizer``. ``params`` makes sampling parameters.
    Calls from several threads take turns: the engine batches within a call.
    """

    continues: ClassVar[Literal[True]] = True

    model: str
    _: KW_ONLY
    options: Mapping[str, Any] = field(default_factory=dict)
    template_options: Mapping[str, Any] = field(default_factory=dict)
    engine: Any | None = field(default=None, repr=False, compare=False)
    params: Callable[..., Any] = field(default=sampling_params, repr=False, compare=False)
    _started: _Started = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise InvalidInput("model is empty; give a folder or the name of a model on the hub")
        object.__setattr__(self, "_started", _Started(self.engine))

    @property
    def identity(self) -> str:
        """Model, engine options and template options."""
        options = json.dumps([dict(self.options), dict(self.template_options)], sort_keys=True, default=str)
        return f"vllm {self.model} {options}"

    def complete(self, asks: Sequence[Ask], /) -> list[Completion]:
        """One completion an ask; a prompt that vLLM refuses (too long, say) comes back with its ``error``."""
        if not asks:
            return []
        with self._started.lock:
            outputs = self._isolated(self._chat, asks)
        return [_completion(output) for output in outputs]

    def likelihoods(self, questions: Sequence[Question], /) -> list[Likelihoods]:
        """One result a question, over the raw distribution (not renormalised over the labels).

        Labels of one token are read, all at once, from the 20 likeliest first tokens: exact, or ``-inf`` if not among
        them. A label of several tokens takes a pass of its own over prompt and label, and is exact. Nothing is
        constrained here: under structured output or ``allowed_token_ids`` vLLM's values would mean something else.
        """
        if not questions:
            return []
        with self._started.lock:
            asked = [_Asked.of(self._tokenizer(), question, self.template_options) for question in questions]
            prompts = [prompt for one in asked for prompt in one.prompts()]
            outputs = iter(self._isolated(self._score, prompts))
        return [one.read([next(outputs) for _ in one.prompts()]) for one in asked]

    def _isolated(self, call: Callable[[Sequence[Any]], list[Any]], items: Sequence[Any]) -> list[Any]:
        """The call's outputs, one an item; where vLLM refuses an item, its ``ValueError`` stands in the place.

        vLLM refuses the whole batch for one bad prompt, so a refused batch is asked again one by one.
        """
        try:
            return call(items)
        except ValueError as error:
            if len(items) == 1:
                return [error]
            return [output for item in items for output in self._isolated(call, [item])]
        except Exception as error:
            if isinstance(error, MissingExtra | BackendError):
                raise
            raise BackendError(f"vLLM failed with {type(error).__name__}: {error}") from error

    def _chat(self, asks: Sequence[Ask]) -> list[Any]:
        conversations = [[message._asdict() for message in ask.messages] for ask in asks]
        params = [
            self.params(
                max_tokens=ask.max_tokens,
                temperature=ask.temperature,
                top_p=ask.top_p,
                seed=ask.seed,
                stop=list(ask.stop) or None,
                schema=ask.schema,
                **({} if ask.language is None else {"grammar": gbnf(ask.language)}),
            )
            for ask in asks
        ]
        options = {"chat_template_kwargs": dict(self.template_options)} if self.template_options else {}
        return list(self._engine().chat(conversations, params, use_tqdm=False, **options))

    def _score(self, prompts: Sequence[_ToScore]) -> list[Any]:
        first = {"logprobs": TOP_LOGPROBS}
        whole = {"prompt_logprobs": 0}
        params = [self.params(max_tokens=1, temperature=0.0, **(whole if p.label else first)) for p in prompts]
        tokens = [{"prompt_token_ids": [*p.prompt, *p.label]} for p in prompts]
        return list(self._engine().generate(tokens, params, use_tqdm=False))

    def _engine(self) -> Any:
        if self._started.engine is None:
            self._started.engine = _start(self.model, self.options)
        return self._started.engine

    def _tokenizer(self) -> Any:
        return self._engine().get_tokenizer()


class _Started:
    """The engine, once there is one, and the lock of those who use it."""

    def __init__(self, engine: Any | None) -> None:
        self.lock = threading.RLock()
        self.engine = engine


def _start(model: str, options: Mapping[str, Any]) -> Any:
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # it reports home otherwise
    try:
        from vllm import LLM
    except ImportError as error:
        raise MissingExtra("vllm", "vllm") from error
    try:
        return LLM(model=model, **options)
    except Exception as error:
        raise BackendError(f"vLLM could not start {model!r}: {error}") from error


def _completion(output: Any) -> Completion:
    if isinstance(output, ValueError):
        return Completion(finish="error", error=f"vLLM refused the prompt: {output}")
    reply = output.outputs[0]
    finish: Literal["stop", "length"] = "length" if reply.finish_reason == "length" else "stop"
    return Completion(text=reply.text, finish=finish, usage=_usage(output))


def _usage(output: Any) -> Usage:
    written = len(output.outputs[0].token_ids) if output.outputs else 0
    return Usage(calls=1, prompt_tokens=len(output.prompt_token_ids or ()), completion_tokens=written)


@dataclass(frozen=True, slots=True)
class _ToScore:
    """Token ids of a prompt; with a label after it, or alone, to see how a reply begins."""

    prompt: Sequence[int]
    label: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question in tokens."""

    prompt: Sequence[int]
    labels: tuple[Sequence[int], ...]

    @classmethod
    def of(cls, tokenizer: Any, question: Question, template_options: Mapping[str, Any]) -> _Asked:
        text = _rendered(tokenizer, question.messages, template_options) + question.begun
        labels = tuple(tuple(tokenizer.encode(label, add_special_tokens=False)) for label in question.labels)
        return cls(tokenizer.encode(text, add_special_tokens=False), labels)

    def prompts(self) -> list[_ToScore]:
        """What has to be run: the prompt alone for all labels of one token, and each longer label behind it."""
        alone = [_ToScore(self.prompt)] if any(len(label) == 1 for label in self.labels) else []
        return alone + [_ToScore(self.prompt, label) for label in self.labels if len(label) > 1]

    def read(self, outputs: Sequence[Any]) -> Likelihoods:
        tokens = tuple(map(len, self.labels))
        refused = [output for output in outputs if isinstance(output, ValueError)]
        if refused:
            why = f"vLLM refused the prompt: {refused[0]}"
            return Likelihoods(logprobs=(-math.inf,) * len(tokens), tokens=tokens, error=why)
        rest = iter(outputs)
        shown = next(rest).outputs[0].logprobs[0] if 1 in tokens else {}
        logprobs = tuple(_single(shown, ids) if len(ids) == 1 else _several(next(rest), ids) for ids in self.labels)
        usage = Usage.total(map(_usage, outputs))
        return Likelihoods(logprobs=logprobs, tokens=tokens, usage=usage)


def _rendered(tokenizer: Any, messages: Messages, options: Mapping[str, Any]) -> str:
    chat = [message._asdict() for message in messages]
    return str(tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True, **options))


def _single(shown: Mapping[int, Any], label: Sequence[int]) -> float:
    return float(shown[label[0]].logprob) if label[0] in shown else -math.inf


def _several(output: Any, label: Sequence[int]) -> float:
    """Summed over the label's tokens, which are the last of the prompt; an empty label is certain."""
    if not label:
        return 0.0
    places = list(output.prompt_logprobs)[-len(label) :]
    return sum(float(place[token].logprob) for place, token in zip(places, label, strict=True))
