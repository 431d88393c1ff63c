"""What a lane must know of a policy: its backend, how many calls that takes at a time, how large a slate is."""

from __future__ import annotations

from typing import Any

from shortlist.rerankers.base import Policy
from shortlist.rerankers.policies import LabelPolicy, PairPolicy, TextPolicy
from shortlist.types import Slate


def backend_of(policy: Policy[Any]) -> object:
    """The backend behind a policy of ours; the policy itself if it is someone else's."""
    if isinstance(policy, TextPolicy):
        return policy.completer
    return policy.scorer if isinstance(policy, LabelPolicy | PairPolicy) else policy


def concurrency_of(policy: Policy[Any]) -> int | None:
    """How many calls its backend takes at a time; ``None``: it runs here, and takes batches."""
    told = getattr(backend_of(policy), "concurrency", None)
    return told if isinstance(told, int) else None


def passage_tokens(policy: Policy[Any]) -> int:
    """About how many tokens of a passage the model sees at most."""
    prompt = getattr(policy, "prompt", None)
    return int(getattr(prompt, "passage_tokens", 512))


def slate_tokens(slate: Slate, each: int) -> int:
    """About how many tokens a slate is: passages of at most ``each``, their query, and a frame."""
    passages = sum(min(len(c.document.text) + len(c.document.title), 4 * each) for c in slate.candidates)
    return 16 + (passages + len(slate.query.text[:2048])) // 4
