"""A transformers tokenizer as chat models need it: prompts by the chat template, labels as they follow a prompt."""

from __future__ import annotations

import functools
from typing import Any

from shortlist.backends.torch_constraint import Constraints
from shortlist.errors import InvalidInput
from shortlist.text.truncation import approximate_cut
from shortlist.types import Messages

_TAIL = 48  # characters of the prompt's end that can matter for how a label after it is tokenised


class ChatTokens:
    """Turns conversations into token ids and back."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.constraints = Constraints(tokenizer)
        self.label = functools.lru_cache(maxsize=65536)(self._label)

    @property
    def padding(self) -> int:
        """The id that fills rows up; masked, so that any will do."""
        found = self.tokenizer.pad_token_id
        return int(found if found is not None else (self.tokenizer.eos_token_id or 0))

    def render(self, messages: Messages) -> str:
        """The prompt's text, up to where the reply starts.

        Without a chat template: the messages' texts, joined by blank lines.
        """
        if getattr(self.tokenizer, "chat_template", None) is None:
            return "\n\n".join(content for _, content in messages) + "\n"
        told = [{"role": role, "content": content} for role, content in messages]
        return str(self.tokenizer.apply_chat_template(told, tokenize=False, add_generation_prompt=True))

    def prompt(self, text: str) -> list[int]:
        """The ids of a rendered prompt; a template writes its own begin-of-text."""
        templated = getattr(self.tokenizer, "chat_template", None) is not None
        return list(self.tokenizer(text, add_special_tokens=not templated)["input_ids"])

    def label_after(self, prompt: str, label: str) -> tuple[int, ...]:
        """The ids of ``label`` as it follows the prompt."""
        found: tuple[int, ...] = self.label(prompt[-_TAIL:], label)
        return found

    def _label(self, tail: str, label: str) -> tuple[int, ...]:
        before, joint = self._bare(tail), self._bare(tail + label)
        own = joint[len(before) :] if joint[: len(before)] == before else self._bare(label)
        if not own:
            raise InvalidInput(f"label {label!r} has no tokens; give labels of one token or more")
        return tuple(own)

    def _bare(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def text(self, ids: list[int]) -> str:
        """The reply's text, without control tokens."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def cut(self, text: str, max_tokens: int) -> tuple[str, bool]:
        """The text's first ``max_tokens`` tokens, and whether anything was lost."""
        if not self.tokenizer.is_fast:  # it does not tell which characters a token stands for
            return approximate_cut(text, max_tokens)
        offsets = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return (text[: offsets[max_tokens - 1][1]], True) if len(offsets) > max_tokens else (text, False)
