"""The commands and the words that `shortlist --help` says of them."""

from __future__ import annotations

from typing import Annotated

import typer

from shortlist._version import __version__
from shortlist.cli import (
    answer,
    data,
    demo,
    doctor,
    evaluate,
    index,
    mcp,
    models,
    rerank,
    retrieve,
    scaling,
    serve,
    train,
)

app = typer.Typer(
    name="shortlist",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Rerank passages with any model, keep as many as the reader needs, and measure it.\n\n"
        "A first walk: `shortlist demo`. With your own files: `index` → `retrieve` → `rerank` → `answer` → `evaluate`."
    ),
)


def _version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""


for name, function in (
    ("demo", demo.demo),
    ("index", index.index),
    ("retrieve", retrieve.retrieve),
    ("rerank", rerank.rerank),
    ("answer", answer.answer),
    ("evaluate", evaluate.evaluate),
    ("scaling", scaling.scaling),
    ("serve", serve.serve),
    ("mcp", mcp.mcp),
    ("models", models.models),
    ("doctor", doctor.doctor),
):
    app.command(name)(function)
app.add_typer(train.app)
app.add_typer(data.app)
