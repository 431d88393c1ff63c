"""Any server that speaks the OpenAI chat dialect: OpenAI itself, vLLM, llama.cpp, Ollama, SGLang, hosted services.

Servers differ in what they take. What one of them refuses (a JSON schema, ``max_tokens`` for
``max_completion_tokens``, a temperature) is left out or renamed once that is seen to help, remembered, and logged.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar

from shortlist.backends.base import Ask, Completion, Likelihoods, Question
from shortlist.backends.http import CallFailed, JsonEndpoint, Reply, together
from shortlist.backends.openai_wire import (
    NO_LOGPROBS,
    Dialect,
    about_length,
    about_model,
    body_of,
    chat_url,
    completion_of,
    places_of,
    server_message,
    usage_of,
)
from shortlist.backends.top_logprobs import label_logprobs, reply_tokens
from shortlist.errors import BackendError, InvalidInput
from shortlist.text.grammar import from_json

_log = logging.getLogger("shortlist")

_ADDRESS = "Check the model's name and base_url (it usually ends in /v1)."
_PERMANENT = {
    401: "Give the right key: api_key, or OPENAI_API_KEY or SHORTLIST_API_KEY in the environment.",
    402: "The account has no credit left.",
    403: "The key may not use this model.",
    404: _ADDRESS,
    405: _ADDRESS,
}


@dataclass(frozen=True)
class OpenAIBackend:
    """A chat model behind an OpenAI-compatible server: completes, and scores fixed replies where logprobs are given.

    ``base_url`` may end in ``/v1`` or name the host alone. ``api_key``, if not given, is OPENAI_API_KEY or else
    SHORTLIST_API_KEY of the environment, read when the first call is made; it shows in no message. ``concurrency``
    bounds the calls under way, over all threads; ``timeout`` is in seconds, a call. Where trying again may help it is
    done up to ``retries`` times, with full jitter from ``backoff`` seconds up; Retry-After is honoured up to a minute.
    ``top_logprobs`` is how many of the likeliest tokens scoring asks to see at each place: 20 is the most that OpenAI
    and vLLM allow by default, llama.cpp shows as many as asked for. ``extra_body`` is merged into every request.
    Thread-safe; nothing is connected before the first call.
    """

    whole_labels: ClassVar[bool] = False

    model: str
    base_url: str = "https://api.openai.com/v1"
    _: KW_ONLY
    api_key: str | None = field(default=None, repr=False)
    concurrency: int = 16
    timeout: float = 120.0
    retries: int = 5
    backoff: float = 0.5
    top_logprobs: int = 20
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    _session: _Session = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise InvalidInput("model is empty; name one that the server has (GET /v1/models lists them)")
        if self.top_logprobs < 1:
            raise InvalidInput(f"top_logprobs is {self.top_logprobs}; give 1 or more")
        try:
            json.dumps(dict(self.extra_body), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"extra_body is not a JSON object: {error}") from error
        self._endpoint(self.api_key)  # checks address, key and numbers now; opens nothing
        object.__setattr__(self, "_session", _Session())

    @property
    def identity(self) -> str:
        """Model, server, how many tokens it is asked to show, and whatever else goes with each request."""
        extra = f" {json.dumps(dict(self.extra_body))}" if self.extra_body else ""
        return f"openai {self.model} at {chat_url(self.base_url)} top {self.top_logprobs}{extra}"

    def complete(self, asks: Sequence[Ask], /) -> list[Completion]:
        """One completion an ask, up to ``concurrency`` at a time.

        Raises :class:`~shortlist.errors.BackendError` for what would befall every call (no connection, a bad key, an
        unknown model), and stops the rest of the batch. All else comes back as the item's ``error``.
        """
        return together(self._complete, asks, concurrency=self.concurrency)

    def likelihoods(self, questions: Sequence[Question], /) -> list[Likelihoods]:
        """One result a question, each from one short greedy reply; ``top_logprobs.py`` says what is exact.

        Raises as :meth:`complete` does, and if the server gives no logprobs. A question none of whose labels was seen
        comes back with an ``error`` that quotes the reply.
        """
        return together(self._likelihoods, questions, concurrency=self.concurrency)

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._session.close()

    def _complete(self, ask: Ask, stop: threading.Event) -> Completion:
        try:
            said = completion_of(self._post(body_of(ask, self.model), stop))
        except CallFailed as failure:
            return Completion(finish="error", error=self._session.hide(str(failure)))
        if ask.language is None or said.error is not None:
            return said
        return dataclasses.replace(said, text=from_json(ask.language, said.text))

    def _likelihoods(self, question: Question, stop: threading.Event) -> Likelihoods:
        labels = question.labels
        ask = Ask(messages=question.messages, max_tokens=reply_tokens(labels))
        try:
            reply = self._post(body_of(ask, self.model) | {"logprobs": True, "top_logprobs": self.top_logprobs}, stop)
            places = places_of(reply)
        except CallFailed as failure:
            return Likelihoods(
                logprobs=(-math.inf,) * len(labels), tokens=(1,) * len(labels), error=self._session.hide(str(failure))
            )
        logprobs, tokens = label_logprobs(places, labels)
        error = None
        if labels and max(logprobs) == -math.inf:
            said = "".join(place.token for place in places)[:80]
            error = f"none of the labels {labels[:5]} is among the likely tokens; the reply begins {said!r}"
        return Likelihoods(logprobs=logprobs, tokens=tokens, usage=usage_of(reply), error=error)

    def _post(self, body: Mapping[str, Any], stop: threading.Event) -> Reply:
        """The server's good answer to a request, which is spelt until the server takes it."""
        wanted = {**body, **self.extra_body}
        endpoint = self._session.endpoint(lambda: self._endpoint(self.api_key or _key_of_environment()))
        dialect = self._session.dialect
        while True:
            reply = endpoint.post(dialect.spell(wanted), stop)
            if reply.status < 300:
                self._session.learn(dialect, self.identity)
                return reply
            changed = dialect.after(wanted, server_message(reply)) if reply.status in {400, 422} else None
            if changed is None:
                raise self._refusal(reply)
            dialect = changed

    def _refusal(self, reply: Reply) -> Exception:
        """What an answer that is no good means: for every call, or for this one."""
        status, message = reply.status, server_message(reply)
        said = self._session.hide(message) or "(no words)"
        told = f"{chat_url(self.base_url)} answered {status} for model {self.model!r}: {said}"
        if status in {400, 422}:
            if about_length(message):
                return CallFailed(told)
            if re.search(r"log_?probs", message):
                return BackendError(f"{told} {NO_LOGPROBS}")
            return BackendError(f"{told} {_ADDRESS}") if about_model(message) else CallFailed(told)
        if status in _PERMANENT:
            return BackendError(f"{told} {_PERMANENT[status]}")
        if status < 400:
            return BackendError(f"{told} The address has moved: correct base_url.")
        if status == 429 and not reply.passing:
            return BackendError(f"{told} The account's quota is used up.")
        return CallFailed(told)

    def _endpoint(self, key: str | None) -> JsonEndpoint:
        return JsonEndpoint(
            url=chat_url(self.base_url),
            key=(key or "").strip() or None,
            concurrency=self.concurrency,
            timeout=self.timeout,
            retries=self.retries,
            backoff=self.backoff,
        )


class _Session:
    """What a backend comes to hold while it works: its endpoint, and what it has learnt of the server's dialect."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._endpoint: JsonEndpoint | None = None
        self.dialect = Dialect()

    def endpoint(self, make: Callable[[], JsonEndpoint]) -> JsonEndpoint:
        with self._lock:
            if self._endpoint is None:
                self._endpoint = make()
            return self._endpoint

    def learn(self, dialect: Dialect, server: str) -> None:
        """Remember a spelling that the server took; each piece of news is logged once."""
        with self._lock:
            known = self.dialect
            self.dialect = known.joined(dialect)
            news = self.dialect.news(known)
        for told in news:
            _log.warning("%s: %s", server, told)

    def hide(self, text: str) -> str:
        """The text of a message without the key, should the server have echoed it."""
        return self._endpoint.hide(text) if self._endpoint is not None else text

    def close(self) -> None:
        with self._lock:
            if self._endpoint is not None:
                self._endpoint.close()


def _key_of_environment() -> str | None:
    return os.environ.get("OPENAI_API_KEY") or os.environ.get("SHORTLIST_API_KEY")
