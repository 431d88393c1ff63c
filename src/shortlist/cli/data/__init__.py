"""`shortlist data`: training lists from runs and judgements, from teachers and readers, or from a bare corpus."""

from __future__ import annotations

import typer

from shortlist.cli.data import corpus, lists, teachers

app = typer.Typer(
    name="data",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help=(
        "Make training lists: draws, bands, teachers, groups, experts, imitation, queries, snippets; and train a retriever.\n\n"
        "Without any queries: `queries` → `teach` → `groups`. Each output has a manifest beside it."
    ),
)

for name, function in (
    ("draw", lists.draw),
    ("bands", lists.bands),
    ("teach", teachers.teach),
    ("groups", lists.groups),
    ("experts", teachers.experts),
    ("imitate", teachers.imitate),
    ("queries", corpus.queries),
    ("cloze", corpus.cloze),
    ("retriever", corpus.retriever),
):
    app.command(name)(function)
