"""Models in GGUF files, run in this process by llama.cpp (through ``xllamacpp``): completions and label likelihoods.

Likelihoods are exact: every label is tokenised as it would follow the prompt, the model is held to exactly these tokens
by a token grammar, and the log-probabilities are read from the raw logits (before the grammar, temperature or top-p).
So labels of any length and probability can be scored, a whole query as well as "yes". Repeated calls give the same
numbers: each question starts from an empty cache, and only its own labels share the prompt's.

With ``reuse_prefix`` a prompt starts from what the slot still holds of its beginning, computed for the prompt before it
(llama.cpp's ``cache_prompt``). Asks are taken in the order of their texts, as a trie is walked, so that those with a
common beginning (the first one, two, three passages of one list) follow each other. How a prompt was divided then decides
the rounding: nearly equal tokens may swap places, and a reply may depend on its neighbours. So it is off by default, and
part of the identity.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from shortlist.backends.base import Ask, Completion, Likelihoods, Question
from shortlist.backends.gguf_held import complete_held, in_one_call
from shortlist.backends.llamacpp import Engine, import_xllamacpp, told_error
from shortlist.backends.models import LocalModel, resolve
from shortlist.errors import BackendError, InvalidInput
from shortlist.types import Usage

_T = TypeVar("_T")
_Asked = TypeVar("_Asked", Ask, Question)
_R = TypeVar("_R")
_SHOWN = 64  # how many of the likeliest tokens are read at once, when several labels are one token long
_TAIL = 48  # characters of the prompt's end that can matter for how a label after it is tokenised


@dataclass(frozen=True)
class GgufBackend:
    """A :class:`Continuer` and :class:`Cuts` over a GGUF file.

    ``model``: a catalog name or a path. ``context``: tokens of prompt and reply together, per slot; never more than the
    model was trained for. ``slots``: prompts decoded side by side (worth it for many replies at once; with more than
    one, float rounding may depend on what else is decoded). ``threads``: see
    :func:`~shortlist.backends.llamacpp.default_threads`. ``gpu_layers``: how many layers go to a GPU, if the installed
    build has one. ``reuse_prefix``: compute the common beginning of prompts once (see the module). The model is loaded
    on first use.
    """

    continues: ClassVar[Literal[True]] = True

    model: str | Path | LocalModel = "smollm2-135m"
    _: KW_ONLY
    context: int = 8192
    slots: int = 1
    threads: int | None = None
    gpu_layers: int = 0
    reuse_prefix: bool = False

    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if min(self.context, self.slots, self.threads or 1) < 1 or self.gpu_layers < 0:
            told = f"context {self.context}, slots {self.slots}, threads {self.threads}, gpu_layers {self.gpu_layers}"
            raise InvalidInput(f"{told}: give 1 or more (0 or more gpu_layers)")

    @property
    def identity(self) -> str:
        """The file's checksum, the context, the engine's version, and whether prefixes are reused."""
        reuse = " reuse_prefix" if self.reuse_prefix else ""
        return f"gguf {self.local.identity} ctx={self.context} llama.cpp={import_xllamacpp().__version__}{reuse}"

    @functools.cached_property
    def local(self) -> LocalModel:
        """The model's files."""
        return resolve(self.model)

    def load(self) -> Engine:
        """The running engine; starts it on the first call."""
        with self._lock:
            started: Engine | None = self.__dict__.get("_started")
            if started is None:
                started = Engine(self.local.gguf(), self.context, self.slots, self.threads, self.gpu_layers)
                self.__dict__["_started"] = started
            return started

    def complete(self, asks: Sequence[Ask], /) -> list[Completion]:
        """One completion an ask; an ask that does not fit the context has its error set."""
        return self._each(lambda ask: _complete(self.load(), ask, reuse=self.reuse_prefix), asks)

    def likelihoods(self, questions: Sequence[Question], /) -> list[Likelihoods]:
        """One result a question, exact for labels of any length."""
        return self._each(lambda asked: _likelihoods(self.load(), asked, reuse=self.reuse_prefix), questions)

    def cut(self, text: str, max_tokens: int, /) -> tuple[str, bool]:
        """The text's first ``max_tokens`` tokens, and whether anything was lost."""
        return self.load().cut(text, max_tokens)

    def _each(self, work: Callable[[_Asked], _R], items: Sequence[_Asked]) -> list[_R]:
        """The work done on every item; if prefixes are reused, in the order of their texts, a stretch of it a slot."""
        if not self.reuse_prefix:
            return _side_by_side(work, items, self.slots)
        walk = sorted(range(len(items)), key=lambda i: items[i].messages)
        size = max(1, -(-len(walk) // self.slots))
        stretches = [walk[start : start + size] for start in range(0, len(walk), size)]
        done = _side_by_side(lambda places: [(i, work(items[i])) for i in places], stretches, self.slots)
        by_place = dict(itertools.chain.from_iterable(done))
        return [by_place[i] for i in range(len(items))]


def _side_by_side(work: Callable[[_T], _R], items: Sequence[_T], threads: int) -> list[_R]:
    if threads == 1 or len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads, thread_name_prefix="shortlist-gguf") as pool:
        return list(pool.map(work, items))


# ------------------------------------------------------------------------------------------------ completions


def _complete(engine: Engine, ask: Ask, *, reuse: bool) -> Completion:
    grammar = None if ask.language is None else in_one_call(ask.language)
    if ask.language is not None and grammar is None:
        return complete_held(engine, ask, ask.language, reuse=reuse)
    body: dict[str, Any] = {
        "messages": [{"role": role, "content": content} for role, content in ask.messages],
        "max_tokens": ask.max_tokens,
        "temperature": ask.temperature,
        "top_p": ask.top_p,
        "top_k": 0,  # llama.cpp's own defaults (40, .05) would narrow the distribution that was asked for
        "min_p": 0.0,
        "stop": list(ask.stop),
        "cache_prompt": reuse,
    }
    if ask.seed is not None:
        body["seed"] = ask.seed
    if grammar is not None:
        body["grammar"] = grammar
    elif ask.schema is not None:
        body["json_schema"] = dict(ask.schema)
    reply = engine.chat(body)
    if "error" in reply:
        return Completion(finish="error", error=told_error(reply))
    choice, used = reply["choices"][0], reply["usage"]
    return Completion(
        text=choice["message"].get("content") or "",
        reasoning=choice["message"].get("reasoning_content") or "",
        finish="length" if choice["finish_reason"] == "length" else "stop",
        usage=Usage(calls=1, prompt_tokens=used["prompt_tokens"], completion_tokens=used["completion_tokens"]),
    )


# ------------------------------------------------------------------------------------------------ likelihoods


def _likelihoods(engine: Engine, question: Question, *, reuse: bool) -> Likelihoods:
    """All labels of a question in one slot, so that they share the cached prompt; without ``reuse`` it starts afresh."""
    prompt = _begun(engine.render(question.messages), question.begun)
    ids = engine.tokenize(prompt)
    labels = [engine.label_ids(prompt[-_TAIL:], label) for label in question.labels]
    with engine.slot() as slot:
        try:
            logprobs = _Forcing(engine, ids, slot, fresh=not reuse).all(labels)
        except _Refused as refused:
            return Likelihoods(error=str(refused))
    usage = Usage(calls=1, prompt_tokens=len(ids), completion_tokens=sum(map(len, labels)))
    return Likelihoods(logprobs=tuple(logprobs), tokens=tuple(map(len, labels)), usage=usage)


def _begun(prompt: str, reply: str) -> str:
    """The prompt and the reply behind it. A template may have opened the reasoning, which llama.cpp then gives apart."""
    opened = "<think>" if prompt.rstrip().endswith("<think>") else ""
    return prompt + reply.removeprefix(opened)


class _Refused(Exception):
    """The engine refused one request (too long, say); its neighbours may be fine."""


@dataclass(slots=True)
class _Forcing:
    """Reads the log-probabilities of given continuations of one prompt."""

    engine: Engine
    prompt: list[int]
    slot: int
    fresh: bool = True

    def all(self, labels: Sequence[tuple[int, ...]]) -> list[float]:
        short = {label[0] for label in labels if len(label) == 1}
        seen = self._likeliest() if len(short) > 1 else {}
        return [
            seen[label[0]] if len(label) == 1 and label[0] in seen else sum(self._forced(label)) for label in labels
        ]

    def _likeliest(self) -> dict[int, float]:
        (step,) = self._call(n_predict=1, n_probs=_SHOWN)
        return {token["id"]: token["logprob"] for token in step["top_logprobs"]}

    def _forced(self, label: tuple[int, ...]) -> list[float]:
        grammar = "root ::= " + " ".join(f"<[{token}]>" for token in label)
        steps = self._call(n_predict=len(label), n_probs=1, grammar=grammar)
        if tuple(step["id"] for step in steps) != label:
            raise BackendError(
                f"llama.cpp did not follow the token grammar ({[step['id'] for step in steps]} for {list(label)}); "
                "update xllamacpp, or use the transformers backend"
            )
        return [float(step["logprob"]) for step in steps]

    def _call(self, **told: Any) -> list[dict[str, Any]]:
        cached, self.fresh = not self.fresh, False
        body = {"prompt": self.prompt, "temperature": 0, "id_slot": self.slot, "cache_prompt": cached, **told}
        reply = self.engine.completions(body)
        if "error" in reply:
            raise _Refused(told_error(reply))
        content: list[dict[str, Any]] = reply["choices"][0]["logprobs"]["content"]
        return content
