"""A language of replies as a grammar (GBNF: llama.cpp, vLLM, SGLang), or as a JSON schema and back.

No small grammar says "each once": the rules of an order are as many as the sets of names. So an order is exact as far as
``EXACT`` rules go (8 names); beyond, either its first few names are held exactly and the rest is for a later call
(:class:`Stretch`), or repeats are allowed and the prompt's parser tells of them (``loose``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shortlist.text.language import Free, Items, Language, OneOf, Part, Said, State
from shortlist.text.reasoning import safe

EXACT = 1100
"""How many alternatives the rules of an order may have together; an order of 8 has 1,024."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A grammar of what comes next in a text. ``names``: it stops after so many of an order's names and goes on in
    another call (``None``: it goes to the next free text, or to the end).
    """

    grammar: str
    names: int | None = None


def gbnf(language: Language) -> str:
    """The whole language; an order too long for exact rules is loose: of so many names, each any of them."""
    rules = _Rules()
    body = " ".join(rules.part(part) for part in language.parts)
    return rules.text(body)


def exact(language: Language) -> bool:
    """Whether :func:`gbnf` says the whole truth."""
    return all(not isinstance(part, Items) or _depth(part, 0) is None for part in language.parts)


def stretch(language: Language, state: State) -> Stretch:
    """What comes next, exactly. ``state`` stands at a part's start or end, or behind a name of an order."""
    rules, body, (place, inner) = _Rules(), [], state
    part: Any = language.parts[place]
    if part.full(inner) and place + 1 < len(language.parts):
        place, inner = place + 1, None
    for part in language.parts[place:]:
        if isinstance(part, Free):
            break
        if isinstance(part, Items):
            said = inner[0] if inner is not None and part is language.parts[place] else 0
            depth = _depth(part, said)
            body.append(rules.order(part, said, depth))
            if depth is not None:
                return Stretch(rules.text(" ".join(body)), depth)
        else:
            body.append(rules.part(part))
    return Stretch(rules.text(" ".join(body)))


def _depth(part: Items, said: int) -> int | None:
    """How many more names rules can hold exactly; ``None``: all that may come."""
    free, more = len(part.names) - said.bit_count(), part.most - said.bit_count()
    total, depth = 0, 0
    while depth < more:
        total += math.comb(free, depth) * (free - depth)
        if total > EXACT:
            return max(depth, 1)
        depth += 1
    return None


class _Rules:
    """Rules being collected."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}
        self._count = 0

    def text(self, root: str) -> str:
        return "\n".join([f"root ::= {root}", *(f"{name} ::= {body}" for name, body in self._lines.items())])

    def part(self, part: Part) -> str:
        if isinstance(part, Said):
            return quoted(part.text)
        if isinstance(part, OneOf):
            return f"({' | '.join(map(quoted, part.options))})"
        if isinstance(part, Free):
            return f'( [^<] | "<"+ [^/<] )* "<"* {quoted(part.end)}'  # more signs "<" may stand before the end's own
        return self.order(part, 0, None) if _depth(part, 0) is None else self._loose(part)

    def order(self, part: Items, said: int, depth: int | None) -> str:
        """The rules of every set of names that can have been said; returns the name of the first one."""
        self._count += 1
        sets, todo, left = {said}, [said], said.bit_count() + (part.most if depth is None else depth)
        while todo:
            here = todo.pop()
            ways = []
            for place, name in enumerate(part.names):
                if here >> place & 1 or here.bit_count() >= min(left, part.most):
                    continue
                after = here | 1 << place
                ends = after.bit_count() in {left, part.most}
                ways.append(f"{quoted((part.joint if here else '') + name)}{'' if ends else ' ' + self._name(after)}")
                if not ends and after not in sets:
                    sets.add(after)
                    todo.append(after)
            if here == 0 and part.none:
                ways.append(quoted(part.none))
            if here.bit_count() >= part.least:
                ways.append('""')
            self._lines[self._name(here)] = " | ".join(ways)
        return self._name(said)

    def _name(self, said: int) -> str:
        return f"o{self._count}-{said:x}"

    def _loose(self, part: Items) -> str:
        names = f"({' | '.join(map(quoted, part.names))})"
        listed = f"{names} ({quoted(part.joint)} {names}){{{part.least - 1},{part.most - 1}}}"
        return f"({listed} | {quoted(part.none)})" if part.none else listed


def quoted(text: str) -> str:
    """A literal of GBNF."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


# ------------------------------------------------------------------------------------------------ JSON


def json_schema(language: Language) -> dict[str, Any]:
    """An object with the parts that are not fixed, by their names. Of an order it cannot say that names differ."""
    properties = {part.name: _value(part) for part in language.parts if not isinstance(part, Said)}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def schema_is_exact(language: Language) -> bool:
    """Whether :func:`json_schema` says the whole truth."""
    return not any(isinstance(part, Items) for part in language.parts)


def _value(part: Part) -> dict[str, Any]:
    if isinstance(part, Items):
        return {
            "type": "array",
            "items": {"type": "string", "enum": list(part.names)},
            "minItems": 0 if part.none else part.least,
            "maxItems": part.most,
        }
    if isinstance(part, OneOf):
        numbers = [int(option) for option in part.options] if all(map(str.isdecimal, part.options)) else []
        if numbers and numbers == list(range(numbers[0], numbers[-1] + 1)):
            return {"type": "integer", "minimum": numbers[0], "maximum": numbers[-1]}
        return {"type": "string", "enum": list(part.options)}
    return {"type": "string"}


def from_json(language: Language, text: str) -> str:
    """The text of the language that a JSON object of :func:`json_schema` means; any other text as it is."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(told, dict) or any(not isinstance(p, Said) and p.name not in told for p in language.parts):
        return text
    return "".join(part.text if isinstance(part, Said) else _written(part, told) for part in language.parts)


def _written(part: OneOf | Items | Free, told: Mapping[str, Any]) -> str:
    value = told[part.name]
    if isinstance(part, Items) and isinstance(value, list):
        return part.joint.join(map(str, value)) or part.none
    return safe(str(value)).strip() + "\n" + part.end if isinstance(part, Free) else str(value)
