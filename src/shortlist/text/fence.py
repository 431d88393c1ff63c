"""Passages are hostile input: nothing in one may pass for a part of the prompt's frame, or of the reply's.

What a passage says is kept; only what would forge the frame is disarmed: identifiers such as ``[3]`` (they become
``(3)``), the tags of our prompts and of reasoning models, and the control tokens of chat templates (their ``<`` becomes
``‹``). Control characters and lone surrogates, which no server takes, become spaces and ``�``.
"""

from __future__ import annotations

import re

_TAGS = (
    "answer|think|thinking|reason|reasoning|scratchpad|passage|passages|document|documents|query|question|"
    "system|user|assistant|tool|tool_call|s|start_of_turn|end_of_turn|bos|eos|pad|unk|im_start|im_end"
)
_TAG = re.compile(rf"<(?=\s*/?\s*(?:{_TAGS})\b[^<>]{{0,64}}>)", re.IGNORECASE)
_CONTROL_TOKEN = re.compile(r"<(?=\|)|(?<=\|)>|<<(?=/?SYS>>)|<(?=[｜|])")
_IDENTIFIER = re.compile(r"\[\s*((?:/?INST)|[A-Za-z]|\d{1,9})\s*\]")
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u2028\u2029\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SPACE = re.compile(r"\s+")


def clean(text: str) -> str:
    """Without control characters, direction marks and lone surrogates."""
    return _SURROGATE.sub("�", _UNSEEN.sub(" ", text))


def fence(text: str) -> str:
    """The passage on one line, with nothing in it that could be taken for a part of a frame."""
    text = _SPACE.sub(" ", clean(text)).strip()
    if "<" in text or "|" in text:
        text = _CONTROL_TOKEN.sub(lambda found: "›" if found[0] == ">" else "‹" * len(found[0]), text)
        text = _TAG.sub("‹", text)
    return _IDENTIFIER.sub(r"(\1)", text) if "[" in text else text
