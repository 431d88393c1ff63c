"""The command line: a shell over library calls. Exit codes: 0 done, 2 wrong usage, 3 bad input, 4 something to install
or fetch is missing, 5 a model did not answer, 1 any other error of ours, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import Any, cast


def main() -> None:
    """Run the command line and exit with its code."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads slow down every other one on small machines
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code."""
    import typer

    from shortlist.cli.app import app
    from shortlist.cli.console import err
    from shortlist.errors import ShortlistError

    # ClickException, by way of one of its kind: typer uses click's, or brings a click of its own, as its version may be
    wrong_usage = cast("type[Any]", typer.BadParameter.__mro__[2])
    try:
        code = app(arguments, prog_name="shortlist", standalone_mode=False)
    except wrong_usage as error:
        error.show()
        return 2
    except ShortlistError as error:
        if os.environ.get("SHORTLIST_TRACEBACK"):
            raise
        err.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = 130  # typer gives this code too, or raises, as its version may be
    except BrokenPipeError:
        return 0
    except OSError as error:
        err.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    if code == 130:
        err.print("interrupted; jobs that write files go on with --resume", style="yellow")
    return code if isinstance(code, int) else 0
