"""The playground's page, and a training run's report beside it.

The page and its files hold no secrets and are open; the report holds queries and passages, and is behind the API key as
everything else is: the page fetches it, and shows it in a frame that may run nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from shortlist._version import __version__
from shortlist.errors import InvalidInput
from shortlist.serving.wire import reply

FILES = Path(__file__).parent / "playground"
"""``index.html`` is served at ``/``, all of them under ``/playground/``."""
REPORT = "report.html"


def report_file(run: Path) -> Path:
    """The report of a run's folder, or the file itself.

    Raises:
        InvalidInput: there is none.
    """
    path = run / REPORT if run.is_dir() else run
    if not path.is_file():
        raise InvalidInput(f"{path} is not there; give a report, or the folder of a run that has a {REPORT}")
    return path


def headers_of(*, reported: bool) -> dict[str, str]:
    """What the page may do: load its own files, ask its own server, and nothing else. Reports have styles in line."""
    styles = "'self' 'unsafe-inline'" if reported else "'self'"
    policy = (
        f"default-src 'none'; script-src 'self'; style-src {styles}; connect-src 'self'; img-src 'self' data:; "
        "frame-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "content-security-policy": policy,
        "cache-control": "no-cache",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }


class _Files(StaticFiles):
    """The page's files: asked after every time, so that a new version is seen at once, and taken as what they are."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """A file."""
        made = super().file_response(*args, **kwargs)
        made.headers.update({"cache-control": "no-cache", "x-content-type-options": "nosniff"})
        return made


def add_page(app: FastAPI, report: Path | None = None) -> None:
    """The page at ``/``, its files under ``/playground/``, and the report of a run, where one is given."""
    shown = None if report is None else report_file(report)
    headers = headers_of(reported=shown is not None)

    async def page() -> FileResponse:
        return FileResponse(FILES / "index.html", headers=headers)

    async def about() -> Response:
        return reply({"version": __version__, "report": shown is not None}, headers={"cache-control": "no-cache"})

    app.add_api_route("/", page, methods=["GET"], include_in_schema=False)
    app.add_api_route("/playground/about.json", about, methods=["GET"], include_in_schema=False)
    if shown is not None:

        async def run_report() -> FileResponse:
            policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
            return FileResponse(shown, headers={"content-security-policy": policy, "cache-control": "no-store"})

        app.add_api_route("/report", run_report, methods=["GET"], include_in_schema=False)
    app.mount("/playground", _Files(directory=FILES), name="playground")
