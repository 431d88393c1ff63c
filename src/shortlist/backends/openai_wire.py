"""The OpenAI chat dialect as data: what a request looks like, how servers vary it, and what a reply says. No I/O."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpx2

from shortlist.backends.base import Ask, Completion
from shortlist.backends.http import CallFailed, Reply
from shortlist.backends.top_logprobs import Place
from shortlist.errors import BackendError, InvalidInput
from shortlist.text.grammar import gbnf, json_schema, schema_is_exact
from shortlist.text.language import Free, Language
from shortlist.types import Usage

NO_LOGPROBS = (
    "This server or model gives no token logprobs, which scoring fixed replies needs: use a server that has them "
    "(vLLM, llama.cpp, SGLang) or a method that reads text."
)

_FEWER_LOGPROBS = 5  # the limit of several hosted services
_OPTIONAL = ("temperature", "top_p", "seed")  # what a request can do without, at a change of decoding that is logged
_GRAMMAR = frozenset({"grammar", "structured_outputs", "ebnf"})
_QUOTED = 300  # characters of a server's words that a message repeats
_UNSUPPORTED = re.compile(r"support|unrecogni[sz]ed|unknown|unexpected|permitted|allowed|extra", re.IGNORECASE)
_LENGTH = re.compile(
    r"context.?(length|window|size)|too (long|large|many tokens)|exceed.{0,60}(context|length|token)|reduce the length",
    re.IGNORECASE,
)
_MODEL = re.compile(
    r"\bmodel\b.{0,200}(not found|not exist|unknown|invalid|not a valid|unavailable)|(unknown|invalid|no such) model",
    re.IGNORECASE | re.DOTALL,
)


def chat_url(base_url: str) -> str:
    """Where chat completions are asked for; ``base_url`` may be the host alone, end in /v1, or be the whole address."""
    try:
        url = httpx2.URL(base_url.strip())
    except (httpx2.InvalidURL, TypeError) as error:
        raise InvalidInput(f"base_url {base_url!r} is not an address: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise InvalidInput(f"base_url {base_url!r} must be an address such as http://localhost:8000/v1")
    if url.userinfo:
        raise InvalidInput(f"base_url for {url.host} holds a user name or password; give the key as api_key instead")
    path = url.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
    return str(url.copy_with(path=f"{path}/chat/completions"))


def body_of(ask: Ask, model: str) -> dict[str, Any]:
    """The request for one ask; parameters that stand at the dialect's own default are not sent."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": speakable(message.content)} for message in ask.messages],
        "max_tokens": ask.max_tokens,
        "temperature": ask.temperature,
    }
    if ask.top_p != 1.0:
        body["top_p"] = ask.top_p
    if ask.seed is not None:
        body["seed"] = ask.seed
    if ask.stop:
        body["stop"] = list(ask.stop)
    if ask.language is not None:
        return body | _held(ask.language)
    return body if ask.schema is None else body | _format(ask.schema)


def _held(language: Language) -> dict[str, Any]:
    """What holds a reply to a language: a JSON schema where that says the whole truth and leaves no text free, as most
    servers take one; else a grammar, under the name that each of llama.cpp, vLLM and SGLang knows, and a schema for
    the servers that refuse it (:class:`Dialect` sends the one or the other).
    """
    schema = _format(json_schema(language))
    if schema_is_exact(language) and not any(isinstance(part, Free) for part in language.parts):
        return schema
    grammar = gbnf(language)
    return {"grammar": grammar, "structured_outputs": {"grammar": grammar}, "ebnf": grammar, **schema}


def _format(schema: Mapping[str, Any]) -> dict[str, Any]:
    form = {"name": "reply", "schema": dict(schema), "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def speakable(text: str) -> str:
    """The text with lone surrogates, which no server's UTF-8 can carry, replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a server wants its requests: what it takes under another name, and what it does not take at all."""

    completion_tokens: bool = False
    dropped: frozenset[str] = frozenset()
    top_logprobs: int | None = None

    def spell(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The request in this dialect."""
        spelt = {name: value for name, value in body.items() if name not in self.dropped}
        if "grammar" in spelt:  # a server takes the one or the other
            spelt.pop("response_format", None)
        if self.completion_tokens and "max_tokens" in spelt:
            spelt["max_completion_tokens"] = spelt.pop("max_tokens")
        if "top_logprobs" in spelt and self.top_logprobs is not None:
            spelt["top_logprobs"] = min(spelt["top_logprobs"], self.top_logprobs)
        return spelt

    def after(self, body: Mapping[str, Any], complaint: str) -> Dialect | None:
        """What to try next, given the server's complaint about the request; ``None`` if nothing is left to try."""
        spelt = self.spell(body)
        if "top_logprobs" in complaint and spelt.get("top_logprobs", 0) > _FEWER_LOGPROBS:
            return dataclasses.replace(self, top_logprobs=_FEWER_LOGPROBS)
        if about_length(complaint):
            return None
        if "max_tokens" in spelt and re.search(r"max_(completion_)?tokens", complaint):
            return dataclasses.replace(self, completion_tokens=True)
        for name in _OPTIONAL:
            if name in spelt and re.search(rf"\b{name}\b", complaint) and _UNSUPPORTED.search(complaint):
                return dataclasses.replace(self, dropped=self.dropped | {name})
        if "grammar" in spelt:
            return dataclasses.replace(self, dropped=self.dropped | _GRAMMAR)
        if "response_format" in spelt:  # servers word this in too many ways to tell: leaving it out will show
            return dataclasses.replace(self, dropped=self.dropped | {"response_format"})
        return None

    def joined(self, other: Dialect) -> Dialect:
        """What both have learnt."""
        return Dialect(
            self.completion_tokens or other.completion_tokens,
            self.dropped | other.dropped,
            self.top_logprobs or other.top_logprobs,
        )

    def news(self, before: Dialect) -> list[str]:
        """What is learnt here and was not before, in words."""
        told = [f"it does not take {name!r}: left out from now on" for name in sorted(self.dropped - before.dropped)]
        if self.completion_tokens and not before.completion_tokens:
            told.append("it takes 'max_completion_tokens' for 'max_tokens'")
        if self.top_logprobs is not None and before.top_logprobs is None:
            told.append(f"it shows at most {self.top_logprobs} tokens a place")
        return told


def about_length(complaint: str) -> bool:
    """Whether the server means that this prompt is too long for it."""
    return _LENGTH.search(complaint) is not None


def about_model(complaint: str) -> bool:
    """Whether the server means that it has no such model."""
    return _MODEL.search(complaint) is not None


def server_message(reply: Reply) -> str:
    """The server's own words: OpenAI's ``error.message``, or what other servers put in its place, else the text."""
    found = reply.body
    for name in ("error", "message", "detail"):
        if isinstance(found, Mapping) and found.get(name):
            found = found[name]
    text = found if isinstance(found, str) else reply.text
    return " ".join(text.split())[:_QUOTED]


def completion_of(reply: Reply) -> Completion:
    """What the server answered. Raises :class:`~shortlist.backends.http.CallFailed` if it is no chat completion."""
    choice = _choice(reply)
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise CallFailed(f"the answer holds no message: {_beginning(reply)}")
    text = _text(message.get("content"))
    reasoning = _text(message.get("reasoning_content")) or _text(message.get("reasoning"))
    finish: Literal["stop", "length"] = "length" if choice.get("finish_reason") == "length" else "stop"
    refusal = _text(message.get("refusal"))
    if not text and (refusal or choice.get("finish_reason") == "content_filter"):
        why = refusal[:_QUOTED] or "its content filter stopped it"
        return Completion(finish="error", usage=usage_of(reply), error=f"the model refused: {why}")
    return Completion(text=text, reasoning=reasoning, finish=finish, usage=usage_of(reply))


def usage_of(reply: Reply) -> Usage:
    """One call; tokens as the server counts them, 0 where it does not say."""
    told = reply.body.get("usage") if isinstance(reply.body, Mapping) else None
    told = told if isinstance(told, Mapping) else {}
    prompt, completion = (told.get(name) for name in ("prompt_tokens", "completion_tokens"))
    return Usage(
        calls=1,
        prompt_tokens=prompt if isinstance(prompt, int) else 0,
        completion_tokens=completion if isinstance(completion, int) else 0,
        seconds=reply.seconds,
    )


def places_of(reply: Reply) -> list[Place]:
    """The tokens of the answer and the likeliest ones beside them."""
    told = _choice(reply).get("logprobs")
    content = told.get("content") if isinstance(told, Mapping) else None
    if not isinstance(content, Sequence) or isinstance(content, str):
        raise BackendError(NO_LOGPROBS)
    try:
        return [Place(*_token(entry), tuple(_token(e) for e in entry.get("top_logprobs") or ())) for entry in content]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CallFailed(f"the answer's logprobs cannot be read ({error!r}): {_beginning(reply)}") from error


def _token(entry: Mapping[str, Any]) -> tuple[str, float]:
    return str(entry["token"]), float(entry["logprob"])


def _choice(reply: Reply) -> Mapping[str, Any]:
    choices = reply.body.get("choices") if isinstance(reply.body, Mapping) else None
    if isinstance(choices, Sequence) and choices and isinstance(choices[0], Mapping):
        return choices[0]
    kind = "is not JSON" if reply.body is None else "is no chat completion"
    raise CallFailed(f"the answer {kind}: {_beginning(reply)}")


def _beginning(reply: Reply) -> str:
    return repr(server_message(reply)[:120])


def _text(content: object) -> str:
    """A message's content: a string, a list of parts, or nothing."""
    if isinstance(content, str):
        return speakable(content)
    if isinstance(content, Sequence):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, Mapping))
    return ""
