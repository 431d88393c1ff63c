"""Passages are hostile input: nothing in one may pass for a part of the prompt's frame, or of the reply's.

What a passage says is kept; only what would forge the frame is disarmed: identifiers such as ``[3]`` or ``[B]`` (they
become ``(3)``, ``(B)``), the tags of our prompts and of reasoning models, and the control tokens of chat templates
(their ``<`` becomes ``‹``). Line breaks become spaces, so that no passage can begin a line of the frame. Control
characters, direction marks and lone surrogates, which no server takes or no reader sees, become spaces and ``�``;
invisible joiners go where they stand beside ASCII (they have no use there, and would hide ``<ans…wer>``).
Every step takes time linear in the text.
"""

from __future__ import annotations

import re

_TAGS = (
    "answer|think|thinking|reason|reasoning|scratchpad|passages?|documents?|query|question|instructions?|"
    "system|user|assistant|human|model|tool_?calls?|tool_response|tools?|function|start_of_turn|end_of_turn|"
    "bos|eos|pad|unk|mask|im_start|im_end|endoftext|unused[0-9]+|extra_id_[0-9]+"
)
_TAG = re.compile(rf"<(?= ?/? ?(?:{_TAGS})\b)|<(?= ?/? ?s ?>)", re.IGNORECASE)
_CONTROL_TOKEN = re.compile(r"<(?=[|｜])|(?<=[|｜])>|<<(?=/?SYS>>)")
_NAMES = "/?INST|/?SYSTEM_PROMPT|/?AVAILABLE_TOOLS|/?TOOL_CALLS|/?TOOL_RESULTS|/?TOOL_CONTENT"
_IDENTIFIER = re.compile(rf"[\[［【] ?({_NAMES}|[A-Za-z]{{1,2}}|[-+]?\d+) ?[\]］】]", re.IGNORECASE)
_WIDE = str.maketrans({"＜": "‹", "＞": "›"})
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\U000e0000-\U000e007f]"
)
_JOINERS = re.compile(r"[\u00ad\u034f\u115f\u1160\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef]+")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SPACE = re.compile(r"\s+")


def clean(text: str) -> str:
    """Without control characters, direction marks, lone surrogates, and joiners beside ASCII."""
    if text.isascii() and text.isprintable():
        return text
    text = _SURROGATE.sub("�", _UNSEEN.sub(" ", text))
    return _JOINERS.sub(_joiners, text)


def _joiners(found: re.Match[str]) -> str:
    before = found.string[found.start() - 1 : found.start()]
    after = found.string[found.end() : found.end() + 1]
    return "" if before.isascii() or after.isascii() else found[0]  # the empty string, at an end, is ASCII


def fence(text: str) -> str:
    """The passage on one line, with nothing in it that could be taken for a part of a frame."""
    text = _SPACE.sub(" ", clean(text)).strip().translate(_WIDE)
    if "<" in text or "|" in text or "｜" in text:
        text = _CONTROL_TOKEN.sub(lambda found: "›" if found[0] == ">" else "‹" * len(found[0]), text)
        text = _TAG.sub("‹", text)
    return _IDENTIFIER.sub(r"(\1)", text)
