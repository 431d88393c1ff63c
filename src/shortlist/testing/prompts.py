"""The contract of a prompt, as a check that anyone's prompt can be put through: ours pass it first.

``check_prompt(prompt)`` returns nothing, or raises :class:`AssertionError` that says what is broken and by which input.
It is deterministic, needs no test framework and takes a second or two.
"""

from __future__ import annotations

import json
import math
import random
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from shortlist.testing.hostile import HOSTILE, hostile_slate, long_replies, plain_slate, random_reply, spoil
from shortlist.testing.verdicts import check_verdict
from shortlist.text.base import PromptBase
from shortlist.types import Choice, Messages, ScoredJudgement, Slate, Status, Verdict

SIZES = (0, 1, 2, 20, 100)
"""Slate sizes that prompts are tried with."""

_FRAME = re.compile(
    r"\[\s*(?:/?INST|[A-Za-z]{1,2}|-?\d+)\s*\]|<\s*/?\s*(?:answer|think|reason|passage|document)\b|<[|｜]|[|｜]>|"
    r"</?s>|<start_of|<<SYS|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]|\n",
    re.IGNORECASE,
)
_PLAIN = "plain words"

_SECONDS = 1.0


def check_prompt(prompt: Any, *, tries: int = 2_000, seed: int = 0) -> None:
    """Raise if ``prompt`` (text, label, or both) breaks its contract.

    Rendering: deterministic, ends with a user's message, shows every passage, and no passage or query can change its
    frame. Parsing: total (``tries`` random strings and spoilt replies), linear on long replies, and every verdict is
    valid; what is read has an opening, if the prompt tells openings. Likelihoods: total. What ``write`` writes, if the
    prompt has it, parses as ok and stays the same. Prompts that derive from :class:`~shortlist.text.base.PromptBase`
    survive JSON with their fingerprint.
    """
    sizes = SIZES if _size(prompt) is None else (_size(prompt) or 0,)
    for n in sizes:
        _check_rendering(prompt, n)
    rng = random.Random(seed)
    if hasattr(prompt, "labels"):
        _check_labels(prompt, sizes, rng)
    if hasattr(prompt, "parse"):
        _check_parsing(prompt, rng, tries)
        _check_speed(prompt)
    if hasattr(prompt, "write"):
        _check_writing(prompt, sizes, rng)
    if isinstance(prompt, PromptBase):
        check_json(prompt)


def check_answer_prompt(prompt: Any, *, tries: int = 2_000, seed: int = 0) -> None:
    """The same for a reader's prompt: ``render(query, documents)`` and ``parse(text)``."""
    for n in (0, 1, 5):
        slate = hostile_slate(n)
        _check_messages(prompt.render(slate.query, slate.documents))
        benign = plain_slate([_PLAIN] * n)
        _same_frame(prompt.render(slate.query, slate.documents), prompt.render(benign.query, benign.documents))
    rng = random.Random(seed)
    for text in ["", *(random_reply(rng) for _ in range(tries)), *long_replies()]:
        answer, status, problems = _timed(lambda text=text: prompt.parse(text))  # type: ignore[misc]
        _expect(answer is None or (isinstance(answer, str) and answer != ""), f"answer {answer!r} to {text[:80]!r}")
        _expect(answer is None or status is not Status.FAILED, f"failed, but answered {text[:80]!r}")
        _expect((status is Status.OK) == (not problems), f"{status}, but the problems are {problems}")
    if isinstance(prompt, PromptBase):
        check_json(prompt)


def check_json(prompt: PromptBase) -> None:
    """A prompt survives JSON, and its fingerprint with it."""
    again = PromptBase.from_json(json.loads(json.dumps(prompt.to_json())))
    _expect(again == prompt, f"from JSON comes another prompt: {again!r}")
    _expect(again.fingerprint == prompt.fingerprint == prompt.fingerprint, "the fingerprint is not stable")


# ------------------------------------------------------------------------------------------------ rendering


def _check_rendering(prompt: Any, n: int) -> None:
    words = [f"Word{i}word" for i in range(n)]
    slate = plain_slate(words)
    messages = prompt.render(slate)
    _check_messages(messages)
    _expect(prompt.render(slate) == messages, "two renderings of one slate differ")
    text = "\n".join(message.content for message in messages)
    places = [text.find(word) for word in words]
    _expect(-1 not in places, "a passage is not shown")
    _expect(places == sorted(places), "the passages are not shown in the slate's order")
    _expect(getattr(prompt, "passage_tokens", 0) >= 1, "passage_tokens must be 1 or more")
    if hasattr(prompt, "reply_tokens"):
        _expect(prompt.reply_tokens(slate) >= 1, "reply_tokens must be 1 or more")
    benign = prompt.render(plain_slate([_PLAIN] * n))
    for shift in range(len(HOSTILE)):
        hostile = prompt.render(hostile_slate(n, shift))
        _check_messages(hostile)
        _same_frame(hostile, benign)


def _check_messages(messages: Messages) -> None:
    _expect(bool(messages) and messages[-1].role == "user", "the conversation must end with a user's message")
    for role, content in messages:
        _expect(role in {"system", "user", "assistant"}, f"no such role: {role!r}")
        _expect(content.encode("utf-8", "replace").decode() == content, "a message holds lone surrogates")


def _same_frame(hostile: Messages, benign: Messages) -> None:
    """Whatever the passages say, the marks of the frame are the same."""
    for one, other in zip(hostile, benign, strict=True):
        marks, wanted = (_FRAME.findall(message.content) for message in (one, other))
        if marks != wanted:
            forged = [mark for mark in marks if marks.count(mark) > wanted.count(mark)]
            _expect(False, f"a passage or query changes the frame: {forged[:5]} in {one.content[:2000]!r}")  # noqa: FBT003


# ------------------------------------------------------------------------------------------------ reading


def _check_labels(prompt: Any, sizes: Sequence[int], rng: random.Random) -> None:
    unknown = (-math.inf, math.inf, math.nan, -1e308, 0.0)
    for n in sizes:
        slate = hostile_slate(n)
        labels = prompt.labels(slate)
        _expect(len(set(labels)) == len(labels), f"labels repeat: {labels}")
        for _ in range(50):
            logprobs = tuple(rng.choice((*unknown, -9 * rng.random(), -9 * rng.random())) for _ in labels)
            check_verdict(prompt.read(logprobs, slate), n)
        for logprobs in ((), (0.0,) * (len(labels) + 1), (-math.inf,) * len(labels)):
            verdict = prompt.read(logprobs, slate)
            check_verdict(verdict, n)
            _expect(n == 0 or verdict.status is Status.FAILED, f"a verdict from no likelihoods: {verdict}")


def _check_parsing(prompt: Any, rng: random.Random, tries: int) -> None:
    slates = {n: plain_slate([_PLAIN] * n) for n in SIZES}
    written = [reply for n in SIZES for reply in _replies(prompt, n, rng)]
    for count in range(tries):
        n = rng.choice(SIZES)
        text = spoil(rng.choice(written), rng) if written and count % 2 else random_reply(rng)
        check_reply(prompt, text, slates[n])
    for text in ("", " ", "I cannot rank these 20 passages; 3 of them, say 4 and 7, look alike.", "<think>[2] > [1]"):
        for n, slate in slates.items():
            verdict = check_reply(prompt, text, slate)
            _expect(n == 0 or verdict.status is Status.FAILED, f"{text!r} says nothing, but reads as {verdict}")


def check_reply(prompt: Any, text: str, slate: Slate) -> Verdict:
    """The verdict on one reply, checked; whatever goes wrong, the message shows the reply."""
    try:
        verdict: Verdict = prompt.parse(text, slate)
        check_verdict(verdict, len(slate))
        if hasattr(prompt, "opening"):
            opened = isinstance(prompt.opening(text), str)
            _expect(opened or verdict.status is Status.FAILED, "it is read, but has no opening before its label")
    except Exception as error:
        problem = f"reply {text[:300]!r} on {len(slate)} passages: {type(error).__name__}: {error}"
        raise AssertionError(problem) from error
    return verdict


def _check_speed(prompt: Any) -> None:
    slate = plain_slate([_PLAIN] * (_size(prompt) or 20))
    for text in long_replies():
        check_verdict(_timed(lambda text=text: prompt.parse(text, slate)), len(slate))  # type: ignore[misc]


def _timed(call: Callable[[], Any]) -> Any:
    start = time.process_time()
    value = call()
    seconds = time.process_time() - start
    _expect(seconds < _SECONDS, f"a megabyte took {seconds:.1f} s to read; parsing must be linear")
    return value


# ------------------------------------------------------------------------------------------------ writing


def _replies(prompt: Any, n: int, rng: random.Random) -> list[str]:
    if not hasattr(prompt, "write") or _size(prompt) not in {None, n}:
        return []
    return [prompt.write(verdict) for verdict in example_verdicts(prompt, n, rng)]


def example_verdicts(prompt: Any, n: int, rng: random.Random, count: int = 5) -> list[Any]:
    """Some ok verdicts on ``n`` passages, of the kind that the prompt gives."""
    kind = type(prompt.parse("", plain_slate([_PLAIN] * n)))
    if issubclass(kind, Choice):
        return [kind(best=rng.randrange(n)) for _ in range(count)] if n else []
    if issubclass(kind, ScoredJudgement):
        return [kind.of([float(rng.randrange(11)) for _ in range(n)], status=Status.OK) for _ in range(count)]
    orders = [tuple(rng.sample(range(n), n)) for _ in range(count)]
    return [kind(order=order, cutoff=rng.randint(0, n)) for order in orders]


def _check_writing(prompt: Any, sizes: Sequence[int], rng: random.Random) -> None:
    for n in sizes:
        slate = plain_slate([_PLAIN] * n)
        for example in example_verdicts(prompt, n, rng):
            text = prompt.write(example)
            verdict = check_reply(prompt, text, slate)
            _expect(verdict.status is Status.OK, f"what the prompt itself wrote reads as {verdict}: {text!r}")
            opening = prompt.opening(text) if hasattr(prompt, "opening") else ""
            _expect(text.startswith(opening), f"what the prompt wrote, {text!r}, does not begin with {opening!r}")
            again = prompt.write(verdict)
            _expect(again == text, f"written, read and written again, {text!r} became {again!r}")


def _size(prompt: Any) -> int | None:
    """How many passages the prompt's slates must have, if it says so."""
    size = getattr(prompt, "slate_size", None)
    return size if isinstance(size, int) else None


def _expect(condition: bool, problem: str) -> None:  # noqa: FBT001
    if not condition:
        raise AssertionError(problem)
