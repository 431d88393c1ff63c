"""Write docs/cli.md from the program's own help: ``python scripts/cli_reference.py`` (``--check`` only compares)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from shortlist.cli.app import app

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"

HEAD = """# Command line

This page is made from the program itself by `python scripts/cli_reference.py`.

The commands, in the order in which one uses them: """

CODES = """## What all commands share

Results go to standard output, notes and progress to standard error. `--json` prints one JSON object for programs.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | another error of ours |
| 2 | wrong usage: an unknown command or option |
| 3 | bad input: a file, a name or a value that cannot be used |
| 4 | something to install or to fetch is missing |
| 5 | a model did not answer, or no reply could be read |
| 6 | the calls that were allowed are spent; what was learnt or answered so far is kept |
| 130 | interrupted; commands that write files go on with `--resume` |

| variable | meaning |
|---|---|
| `SHORTLIST_CACHE` | the file of `--cache` |
| `SHORTLIST_HOME` | where models are kept, instead of `~/.cache/shortlist` |
| `SHORTLIST_OFFLINE` | `1`: fetch nothing |
| `SHORTLIST_TRACEBACK` | `1`: show where an error came from |
| `OPENAI_API_KEY`, `SHORTLIST_API_KEY` | the key for `openai:MODEL@URL`; servers do not send on the latter |
"""


def page() -> str:
    """The whole page as Markdown."""
    commands = dict(_commands(typer.main.get_command(app)))
    listed = ", ".join(f"[`{name}`](#shortlist-{name.replace(' ', '-')})" for name in commands)
    sections = [_section(name, command) for name, command in commands.items()]
    return "\n".join([f"{HEAD}{listed}.\n", CODES, *sections])


def _commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every command by its words, those of groups as well."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def _section(name: str, command: Any) -> str:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    usage = " ".join(["shortlist", name, "[OPTIONS]", *(f"[{a.name.upper()}]..." for a in arguments)])
    rows = [_row(param) for param in command.params if not getattr(param, "hidden", False) and param.name != "help"]
    table = "\n".join(["| option | default | meaning |", "|---|---|---|", *rows])
    return f"## shortlist {name}\n\n{command.help.strip()}\n\n```text\n{usage}\n```\n\n{table}\n"


def _row(param: Any) -> str:
    is_option = param.param_type_name == "option"
    names = ", ".join(f"`{name}`" for name in param.opts) if is_option else f"`{param.name.upper()}`"
    value = "" if _is_flag(param) or not is_option else f" {param.metavar or _kind(param)}"
    meaning = (param.help or "").replace("|", "\\|")
    meaning += f" Variable: `{param.envvar}`." if param.envvar else ""
    meaning += " May be given several times." if is_option and param.multiple else ""
    return f"| {names}{value} | {_default(param)} | {meaning} |"


def _is_flag(param: Any) -> bool:
    return bool(getattr(param, "is_flag", False))


def _kind(param: Any) -> str:
    return "N" if isinstance(param.default, int) or getattr(param, "min", None) is not None else "TEXT"


def _default(param: Any) -> str:
    if param.required:
        return "required"
    if param.default in (None, False, "", []) or callable(param.default):
        return ""
    return f"`{param.default}`"


def main() -> int:
    text = page()
    if "--check" in sys.argv[1:]:
        return int(not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
