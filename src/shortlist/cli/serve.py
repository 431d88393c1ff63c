"""`shortlist serve`: rerankers behind HTTP. Every flag can also be set by an environment variable, SHORTLIST_…."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from shortlist.cli import options
from shortlist.cli.common import keep_own_key, open_store
from shortlist.cli.console import note, warn
from shortlist.errors import InvalidInput

if TYPE_CHECKING:
    from shortlist.serving.config import ServerConfig
    from shortlist.serving.security import Keys
    from shortlist.serving.served import SearchIndex

_LOCAL = {"127.0.0.1", "localhost", "::1"}


def _option(flag: str, about: str, **more: Any) -> Any:
    name = {"--data": "COLLECTION"}.get(flag, flag.removeprefix("--").upper().replace("-", "_"))
    return typer.Option(flag, envvar=f"SHORTLIST_{name}", help=about, **more)


def serve(
    reranker: Annotated[
        list[str],
        _option(
            "--reranker",
            "[NAME=]KIND:MODEL[?option=value&…], a checkpoint, or a chain; again for more models. The first is "
            "the default. In the variable, blanks stand between models.",
            metavar="SPEC",
        ),
    ],
    alias: Annotated[
        Optional[list[str]],
        _option("--alias", "ALIAS=NAME: another name of a model, for clients that know only one.", metavar="A=NAME"),
    ] = None,
    reader: Annotated[
        Optional[str], _option("--reader", "The model that answers, for /v1/answer.", metavar="MODEL")
    ] = None,
    index: Annotated[
        Optional[Path], _option("--index", "What `shortlist index` wrote, for /v1/search.", metavar="INDEX")
    ] = None,
    data: Annotated[
        Optional[str], _option("--data", "The collection that the index was made of.", metavar="DIR")
    ] = None,
    retriever: Annotated[
        Optional[str], _option("--retriever", "bm25, dense or hybrid; the best that the index has, if not said.")
    ] = None,
    embedder: Annotated[str, _option("--embedder", "The embedding model of the index.")] = "bge-small",
    host: Annotated[str, _option("--host", "Where to listen; 0.0.0.0 is every interface.")] = "127.0.0.1",
    port: Annotated[int, _option("--port", "0 takes a free one.", min=0, max=65535)] = 8000,
    api_key: Annotated[
        Optional[list[str]], _option("--api-key", "A key that clients must send; better from the environment.")
    ] = None,
    api_key_file: Annotated[
        Optional[Path], _option("--api-key-file", "A file of such keys, one a line.", metavar="FILE")
    ] = None,
    deadline: Annotated[
        Optional[float], _option("--deadline", "Seconds after which a request gets the best ranking so far.", min=0.001)
    ] = None,
    max_open: Annotated[int, _option("--max-open", "Requests under way for a model; more are refused.", min=1)] = 256,
    max_wait: Annotated[
        float, _option("--max-wait", "Seconds of queue; a longer one is refused with 429.", min=0.001)
    ] = 60.0,
    batch_tokens: Annotated[int, _option("--batch-tokens", "The most tokens of a batch, about.", min=1)] = 65_536,
    round_seconds: Annotated[
        float, _option("--round-seconds", "How long a batch may take, about, before newcomers are let in.", min=0.001)
    ] = 0.2,
    max_documents: Annotated[int, _option("--max-documents", "The most passages of a request.", min=1)] = 1000,
    max_body: Annotated[int, _option("--max-body", "The largest body, in bytes.", min=1)] = 8 * 2**20,
    cors_origin: Annotated[
        Optional[list[str]], _option("--cors-origin", "An origin whose pages may ask; none otherwise.")
    ] = None,
    drain: Annotated[float, _option("--drain", "Seconds that requests get to end after SIGTERM.", min=0)] = 30.0,
    playground: Annotated[bool, _option("--playground", "Show the playground at /.")] = False,
    report: Annotated[
        Optional[Path], _option("--report", "A training run's folder: its report is shown in the playground.")
    ] = None,
    log_texts: Annotated[
        bool, _option("--log-texts", "Queries and passages in the log; they are left out otherwise.")
    ] = False,
    quiet: Annotated[bool, _option("--quiet", "No line for every request.")] = False,
    warm: Annotated[bool, typer.Option("--warm/--no-warm", help="Load models at the start, not on first use.")] = True,
    cache: options.Cache = None,
) -> None:
    """Serve rerankers: Cohere's, Jina's, TEI's, vLLM's, Voyage's and Infinity's APIs, streams, answers, metrics.

    Example: `shortlist serve --reranker cross-encoder:minilm-l12 --port 8000`
    """
    from shortlist.serving.run import import_uvicorn, leave, run

    import_uvicorn()
    keep_own_key()
    from shortlist.api import open_reader
    from shortlist.serving.app import create_app
    from shortlist.serving.config import ServerConfig
    from shortlist.serving.engine import Admission
    from shortlist.serving.lanes import Batching
    from shortlist.serving.logs import log_to_stderr
    from shortlist.serving.served import Served

    store = open_store(cache)
    config = ServerConfig(
        keys=_keys(api_key or [], api_key_file),
        max_body=max_body,
        max_documents=max_documents,
        deadline=deadline,
        admission=Admission(open_requests=max_open, max_wait=max_wait),
        batching=Batching(tokens=batch_tokens, round_seconds=round_seconds),
        cors_origins=tuple(cors_origin or ()),
        log_texts=log_texts,
        warm=warm,
    )
    log_to_stderr(30 if quiet else 20)
    app = create_app(
        [Served.open(spec, store=store) for spec in reranker],
        aliases=_aliases(alias or []),
        reader=None if reader is None else open_reader(reader, store=store),
        reader_name=reader or "reader",
        corpora=_corpora(index, data, retriever, embedder),
        config=config,
        playground=playground or report is not None,
        report=report,
    )
    _warn_if_open(host, config)
    if not run(app, host=host, port=port, drain=drain, ready=lambda address: note(f"serving at {address}")):
        leave()


def _keys(given: list[str], file: Path | None) -> Keys:
    from shortlist.serving.security import Keys

    keys = Keys.of(given)
    return keys if file is None else keys | Keys.read(file)


def _aliases(pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        alias, equals, name = pair.partition("=")
        if not equals or not alias or not name:
            raise InvalidInput(f"--alias {pair!r}; write ALIAS=NAME, as in rerank-v3.5=minilm")
        found[alias] = name
    return found


def _corpora(index: Path | None, data: str | None, kind: str | None, embedder: str) -> tuple[SearchIndex, ...]:
    from shortlist.serving.served import SearchIndex

    if (index is None) != (data is None):
        raise InvalidInput("--index and --data go together: the index finds, the collection has the texts")
    if index is None or data is None:
        return ()
    return (SearchIndex.open(index, data, kind=kind, embedder=embedder),)


def _warn_if_open(host: str, config: ServerConfig) -> None:
    if host not in _LOCAL and not config.keys.digests:
        warn(f"listening on {host} without an API key: whoever reaches this port may ask; see --api-key-file")
    if config.keys.digests:
        note("API keys are asked for")
