"""`shortlist mcp`: the tools `rerank` and `answer` for agents that speak the Model Context Protocol."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated, Optional

import typer

from shortlist.cli import options
from shortlist.cli.common import keep_own_key, open_store
from shortlist.cli.console import note, warn
from shortlist.errors import InvalidInput

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def mcp(
    reranker: options.Spec = "cross-encoder:minilm-l12",
    reader: Annotated[
        str, typer.Option("--reader", metavar="MODEL", help="Who answers; none: no `answer` tool.")
    ] = "smollm2-135m",
    http: Annotated[bool, typer.Option("--http", help="Serve over HTTP, at /mcp, instead of standard input.")] = False,
    host: Annotated[str, typer.Option("--host", help="With --http: the address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="With --http: the port.")] = 8765,
    api_key: Annotated[
        Optional[str],
        typer.Option(
            "--api-key", envvar="SHORTLIST_API_KEY", show_envvar=True, help="With --http: the key that clients bear."
        ),
    ] = None,
    max_documents: Annotated[int, typer.Option("--max-documents", min=1, help="Longer lists are refused.")] = 1000,
    cache: options.Cache = None,
    on_error: options.OnError = "report",
) -> None:
    """Serve the tools `rerank` and `answer` to an agent, by the Model Context Protocol.

    Example: `shortlist mcp --reranker cross-encoder:minilm-l12`, or in an agent's configuration
    `{"command": "shortlist", "args": ["mcp", "--reranker", "cross-encoder:minilm-l12"]}`
    """
    from shortlist.integrations.base import Bridge
    from shortlist.serving.mcp import Tools, serve_http, serve_stdio

    if on_error not in {"report", "raise"}:
        raise InvalidInput(f"--on-error {on_error}: give report or raise")
    with contextlib.redirect_stdout(sys.stderr):  # standard output is the client's
        bridge = Bridge(reranker, on_error="raise" if on_error == "raise" else "report", cache=cache)
    named = None if reader == "none" else reader
    tools = Tools(bridge=bridge, reader=named, store=open_store(cache), max_documents=max_documents)
    if not http:
        serve_stdio(tools)
        return
    if host not in _LOOPBACK and not api_key:
        warn(f"anybody who reaches {host}:{port} may use this server; give --api-key")
    keep_own_key()
    note(f"http://{host}:{port}/mcp")
    serve_http(tools, host=host, port=port, api_key=api_key or None)
