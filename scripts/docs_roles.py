"""For the docs build: Sphinx's roles in docstrings become Markdown code, and examples become blocks of code."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`(~?)([^`]+)`")


_EXAMPLE = re.compile(r"(?:^>>> .*\n?(?:^(?!>>>)\S.*\n?)*)+", re.MULTILINE)


def plain(text: str) -> str:
    """The text as Markdown: roles by their last name as code, runs of ``>>>`` fenced."""
    text = _EXAMPLE.sub(lambda found: f"```pycon\n{found[0].replace('  # doctest: +SKIP', '').rstrip()}\n```\n", text)
    return _ROLE.sub(lambda found: f"`{found[2].rpartition('.')[2] if found[1] else found[2]}`", text)


class PlainRoles(Extension):
    """Rewrites each docstring as it is read."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """One object of the package."""
        if obj.docstring is not None:
            obj.docstring.value = plain(obj.docstring.value)
