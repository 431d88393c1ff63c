"""`shortlist models`: what the catalog knows and what is here; `--fetch` gets one."""

from __future__ import annotations

from typing import Annotated, Optional

import typer
from rich.table import Table

from shortlist.backends.models import is_cached, known_models, resolve
from shortlist.cli import options
from shortlist.cli.console import note, out, put_json
from shortlist.rerankers.kinds import describe_kinds


def models(
    fetch: Annotated[
        Optional[str],
        typer.Option("--fetch", metavar="NAME", help="Get this model's files now, and say where they are."),
    ] = None,
    json: options.Json = False,
) -> None:
    """List the models known by name, whether they are here, and the kinds of reranker.

    Any hub id, local folder, .gguf file or openai:MODEL@URL serves as well as these names.

    Example: `shortlist models --fetch minilm-l12`
    """
    if fetch is not None:
        local = resolve(fetch, progress=note)
        put_json({"name": fetch, "path": str(local.path), "identity": local.identity}) if json else out.print(
            local.path
        )
        return
    cards = known_models()
    if json:
        told = [
            {
                "name": card.name,
                "title": card.title,
                "tasks": card.tasks,
                "licence": card.licence,
                "parameters": card.parameters,
                "max_length": card.max_length,
                "here": is_cached(card.name),
                "package": card.package.requirement if card.package else None,
                "hub": card.hub.repo if card.hub else None,
            }
            for card in cards
        ]
        put_json({"models": told, "kinds": describe_kinds()})
        return
    table = Table("name", "what", "for", "weights", "licence", "here", box=None, pad_edge=False)
    for card in cards:
        here = "yes" if is_cached(card.name) else "no"
        millions = f"{card.parameters / 1e6:.0f} M"
        table.add_row(card.name, card.title, ", ".join(card.tasks), millions, card.licence, here)
    out.print(table)
    out.print()
    kinds = Table("kind", "what it does", box=None, pad_edge=False)
    for name, what in describe_kinds().items():
        kinds.add_row(name, what.replace("``", ""))
    out.print(kinds)
