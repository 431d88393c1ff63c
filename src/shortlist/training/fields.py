"""Recipes as nested frozen dataclasses: fields with a default, words and bounds, read from YAML by dotted names.

A field that does not exist is an error that lists those that do.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml

from shortlist.errors import InvalidFile, InvalidInput, UnknownName

T = TypeVar("T")

POSITIVE = 1e-9  # the least of numbers that must not be 0


def say(default: Any, doc: str, *, least: float | None = None, most: float = 1e9) -> Any:
    """A field with its default and what it means; numbers with their bounds."""
    metadata = {"doc": doc, "least": least, "most": most}
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecipeFields:
    """What every recipe can do with its fields. Making one checks their bounds."""

    def __post_init__(self) -> None:
        check(self)

    def get(self, path: str) -> Any:
        """A value by its dotted name."""
        value: Any = self
        for part in path.split("."):
            value = getattr(value, part)
        return value

    def flat(self) -> dict[str, Any]:
        """Dotted name → value."""
        return {path: self.get(path) for path, _ in paths(type(self))}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From dotted or nested names."""
        known = dict(paths(cls))
        told = dict(flattened(values))
        for path in told:
            if path not in known:
                raise UnknownName("recipe field", path, known)
        return build(cls, {path: fitted(path, value, known[path]) for path, value in told.items()})

    @classmethod
    def read(cls, path: Path | str, overrides: Iterable[str] = ()) -> Self:
        """A recipe file, changed by ``section.field=value`` words. Raises :class:`InvalidFile`, :class:`InvalidInput`."""
        try:
            told = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        except (yaml.YAMLError, UnicodeDecodeError) as problem:
            raise InvalidFile(path, f"not YAML: {problem}") from problem
        if not isinstance(told, dict):
            raise InvalidFile(path, f"a YAML {type(told).__name__}, not fields and values")
        return cls.of({**dict(flattened(told)), **dict(map(override, overrides))})

    def text(self) -> str:
        """The whole recipe as YAML, each field with its words."""
        return "\n".join(lines(self)) + "\n"


def check(section: Any, prefix: str = "") -> None:
    """That every number is within its field's bounds."""
    for one in dataclasses.fields(section):
        value, least, most = getattr(section, one.name), one.metadata["least"], one.metadata["most"]
        if dataclasses.is_dataclass(value):
            check(value, f"{prefix}{one.name}.")
        elif value is not None and least is not None and not least <= value <= most:
            raise InvalidInput(f"{prefix}{one.name} is {value}; give a number from {least:g} to {most:g}")


def override(word: str) -> tuple[str, Any]:
    """``section.field=value``, the value as YAML reads it."""
    path, equals, value = word.partition("=")
    if not equals or not path:
        raise InvalidInput(f"{word!r} changes nothing; write section.field=value, as sampling.samples=16")
    try:
        return path.strip(), yaml.safe_load(value)
    except yaml.YAMLError as problem:
        raise InvalidInput(f"{word!r}: {value!r} is no YAML value ({problem})") from problem


def paths(kind: type[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and type of every field."""
    hints = typing.get_type_hints(kind)
    for one in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[one.name]):
            yield from paths(hints[one.name], f"{prefix}{one.name}.")
        else:
            yield prefix + one.name, hints[one.name]


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of nested mappings."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def build(kind: type[T], told: Mapping[str, Any], prefix: str = "") -> T:
    """A value from its dotted fields; those not told keep their defaults."""
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for one in dataclasses.fields(typing.cast("type[Any]", kind)):
        path = prefix + one.name
        if dataclasses.is_dataclass(hints[one.name]):
            values[one.name] = build(hints[one.name], told, f"{path}.")
        elif path in told:
            values[one.name] = told[path]
    return kind(**values)


def fitted(path: str, value: Any, hint: Any) -> Any:
    """The value, if it is of its field's type; YAML reads 1e-5 as a word, which a number field takes."""
    if typing.get_origin(hint) is Literal:
        allowed = typing.get_args(hint)
        if value not in allowed:
            raise InvalidInput(f"{path} is {value!r}; give one of {', '.join(map(str, allowed))}")
        return value
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in kinds:
        return None
    if float in kinds and not isinstance(value, bool):
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    if type(value) in kinds:
        return value
    wanted = " or ".join("nothing (null)" if kind is type(None) else kind.__name__ for kind in kinds)
    raise InvalidInput(f"{path} is {value!r}; give {wanted}")


def lines(section: Any, indent: str = "") -> Iterator[str]:
    """The value as YAML, each field with its words."""
    for one in dataclasses.fields(section):
        value = getattr(section, one.name)
        if dataclasses.is_dataclass(value):
            yield f"\n{one.name}:  # {(type(value).__doc__ or '').strip()}"
            yield from lines(value, indent + "  ")
        else:
            told = yaml.safe_dump(value, default_flow_style=True, width=1000, allow_unicode=True)
            yield f"{indent}{one.name}: {told.splitlines()[0]}  # {one.metadata['doc']}"
