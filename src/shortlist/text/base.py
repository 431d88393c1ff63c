"""What a prompt is: one object that asks and reads, and travels with the checkpoint."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

from shortlist.errors import InvalidInput, UnknownName
from shortlist.text.language import Language
from shortlist.types import Candidate, Document, J_co, Messages, Query, ScoredJudgement, Slate


class Prompt(Protocol[J_co]):
    """Asks about a slate and reads the reply. ``parse`` is total: any string gives a verdict, never an exception."""

    @property
    def passage_tokens(self) -> int:
        """The token budget of each passage; longer ones are cut before rendering, and the cut is reported."""

    def render(self, slate: Slate, /) -> Messages:
        """The conversation that asks about the slate; it ends with a user's message."""

    def parse(self, text: str, slate: Slate, /) -> J_co:
        """What the reply says of the slate."""

    def reply_tokens(self, slate: Slate, /) -> int:
        """How many tokens a reply may take."""


class Constrainable(Prompt[J_co], Protocol[J_co]):
    """A prompt that can say which replies are well-formed, so that a model can be held to them."""

    def language(self, slate: Slate, /) -> Language | None:
        """The replies that :meth:`parse` reads with status ok, or some of them; ``None``: there is nothing to ask."""


class LabelPrompt(Protocol[J_co]):
    """Asks about a slate and reads the log-likelihoods of fixed replies instead of a text."""

    @property
    def passage_tokens(self) -> int:
        """The token budget of each passage; longer ones are cut before rendering, and the cut is reported."""

    def render(self, slate: Slate, /) -> Messages:
        """The conversation that asks about the slate; it ends with a user's message."""

    def labels(self, slate: Slate, /) -> tuple[str, ...]:
        """The replies whose log-likelihoods are wanted."""

    def read(self, logprobs: Sequence[float], slate: Slate, /) -> J_co:
        """What the log-likelihoods (one a label, natural log, summed over the label's tokens) say of the slate."""


class EitherPrompt(Prompt[J_co], LabelPrompt[J_co], Protocol[J_co]):
    """Asks about a slate, and reads the reply or the likelihoods of fixed ones, whichever is at hand."""


class ReasonedPrompt(EitherPrompt[J_co], Protocol[J_co]):
    """A prompt whose reply reasons first and ends in one of the labels, so that these can be read behind the reasoning."""

    def opening(self, text: str, /) -> str | None:
        """The reply up to where its label stands; ``None`` if it never comes to one. Total, as ``parse`` is."""


class GradedPrompt(Prompt[ScoredJudgement], Protocol):
    """A prompt whose reply gives each passage a grade, a whole number whose likelihood can be read where it stands."""

    def grades(self, slate: Slate, /) -> tuple[str, ...]:
        """The whole numbers that there are, as they are written."""

    def openings(self, text: str, slate: Slate, /) -> Mapping[int, str]:
        """By place, the reply up to where that passage's score stands. Total, as ``parse`` is."""


class Writable(Prompt[J_co], Protocol[J_co]):
    """A prompt that also writes: what it writes, it reads back as the same judgement, with status ok.

    Imitation learns from what is written. A :class:`~shortlist.data.lessons.Target` becomes the judgement by
    ``target.judgement(len(slate))``.
    """

    def write(self, judgement: Any, /) -> str:
        """The well-formed reply that says what the judgement says."""


@dataclass(frozen=True, kw_only=True)
class PromptBase:
    """The common part of our prompts: a token budget, and saving to and loading from JSON.

    A subclass is a frozen dataclass with a unique ``kind``; its fields are its configuration.
    """

    kind: ClassVar[str]
    slate_size: ClassVar[int | None] = None
    """How many passages a slate must have; ``None``: any number."""
    registry: ClassVar[dict[str, type[PromptBase]]] = {}

    passage_tokens: int = 256
    query_tokens: int = 512

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "kind" in cls.__dict__:
            PromptBase.registry[cls.kind] = cls

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            value = getattr(self, spec.name)
            if isinstance(spec.default, bool | int | str) and type(value) is not type(spec.default):
                wanted = type(spec.default).__name__
                raise InvalidInput(f"{spec.name} of prompt {self.kind!r} is {value!r}; give a value of type {wanted}")
        if min(self.passage_tokens, self.query_tokens) < 1:
            told = f"passage_tokens {self.passage_tokens}, query_tokens {self.query_tokens}"
            raise InvalidInput(f"{told}: give 1 or more")

    def to_json(self) -> dict[str, Any]:
        """The prompt as a JSON object."""
        return {"kind": self.kind, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The prompt that :meth:`to_json` wrote; unknown kinds and fields are errors."""
        fields = dict(value)
        kind = str(fields.pop("kind", ""))
        found = PromptBase.registry.get(kind)
        if found is None:
            raise UnknownName("prompt kind", kind, PromptBase.registry)
        known = {spec.name for spec in dataclasses.fields(found)}
        for name in fields:
            if name not in known:
                raise UnknownName(f"field of prompt {kind!r}", name, known)
        prompt = found(**fields)
        if not isinstance(prompt, cls):
            raise InvalidInput(f"prompt kind {kind!r} is not a {cls.__name__}")
        return prompt

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the configuration and over what is shown for a fixed slate: equal only if both are equal."""
        text = json.dumps([self.to_json(), self._shown()], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def _shown(self) -> list[Any]:
        """The messages, and the labels if it has any, for the golden slate."""
        slate = Slate(GOLDEN.query, GOLDEN.candidates[: self.slate_size])
        parts = [getattr(self, name, None) for name in ("render", "labels")]
        return [list(part(slate)) for part in parts if part is not None]

    def _fits(self, slate: Slate) -> bool:
        return self.slate_size is None or len(slate) == self.slate_size

    def _check(self, slate: Slate) -> None:
        """Rendering a slate of the wrong size is a programmer's error, told at once."""
        if not self._fits(slate):
            raise InvalidInput(f"prompt {self.kind!r} takes slates of {self.slate_size}; this one has {len(slate)}")


GOLDEN = Slate(
    Query(id="golden", text="what is the boiling point of water"),
    (
        Candidate(Document(id="a", text="Water boils at 100 degrees Celsius at sea level."), 2.0),
        Candidate(Document(id="b", text="The Danube flows through ten countries.", title="Danube"), 1.0),
    ),
)
"""The slate that fingerprints are taken on."""
