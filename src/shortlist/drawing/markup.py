"""HTML and SVG from Python calls. Every string is escaped unless it is :class:`Markup`: text cannot become markup."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

VOID: Final = frozenset({"br", "meta", "link", "hr", "img", "input"})
SVG_LEAVES: Final = frozenset({"rect", "circle", "line", "path", "polyline", "polygon"})


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Content: TypeAlias = "str | int | float | Sequence[Content] | None"


def escaped(content: Content) -> Markup:
    """Content as markup: strings escaped, lists joined, ``None`` nothing; lone surrogates and controls replaced."""
    if content is None:
        return Markup()
    if isinstance(content, Markup):
        return content
    if isinstance(content, str | int | float):
        return Markup(html.escape(_printable(str(content)), quote=True))
    return Markup("".join(map(escaped, content)))


def tag(name: str, /, *content: Content, **attributes: Content) -> Markup:
    """One element: ``tag("td", "a<b", class_="x")``; ``_`` in a name stands for ``-``, ``None`` leaves it out."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Markup(f"<{name}{told}>")
    if name in SVG_LEAVES and not content:
        return Markup(f"<{name}{told}/>")
    return Markup(f"<{name}{told}>{escaped(list(content))}</{name}>")


def _printable(text: str) -> str:
    """Characters that an HTML page may hold."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c >= " " or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


STYLE: Final = Path(__file__).with_name("report.css")


def page(title: str, *body: Content) -> str:
    """A whole page with the reports' style inside."""
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(STYLE.read_text(encoding="utf-8"))),
    ]
    return "<!doctype html>\n" + tag("html", tag("head", head), "\n", tag("body", *body), lang="en") + "\n"
