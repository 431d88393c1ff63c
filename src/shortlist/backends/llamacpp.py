"""llama.cpp's engine in this process: the one place that knows the server object of ``xllamacpp``.

Completions are direct calls. Tokenizing and chat templates go through the port that llama.cpp opens on the loopback
interface; it is closed to others by a key that is drawn anew each time.
"""

from __future__ import annotations

import functools
import queue
import secrets
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from shortlist.backends.threads import cores, told_threads
from shortlist.errors import BackendError, InvalidInput, MissingExtra
from shortlist.types import Messages


def default_threads() -> int:
    """``SHORTLIST_THREADS``, else half of the cores, at most 8.

    llama.cpp's threads wait by spinning, and starve on a machine that has other work.
    """
    return told_threads() or max(1, min(8, cores() // 2))


def import_xllamacpp() -> Any:
    """The binding; :class:`MissingExtra` without it."""
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingExtra("xllamacpp", "gguf") from error
    return xllamacpp


class Engine:
    """A loaded model. ``context`` is what one slot holds, lowered to what the model was trained for."""

    def __init__(self, path: Path, context: int, slots: int, threads: int | None, gpu_layers: int) -> None:
        key = secrets.token_urlsafe(24)
        start = functools.partial(
            _start, path, slots=slots, threads=threads or default_threads(), gpu_layers=gpu_layers, key=key
        )
        self._server, self._http = start(context=context)
        self.context, trained = context, self._trained_context()
        if trained and trained < context:  # only a loaded model tells; the second load is from warm pages
            self.context = trained
            self._http.close()
            self._server, self._http = start(context=trained)
        weakref.finalize(self, self._http.close)
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(slots):
            self._free.put(number)
        self.label_ids = functools.lru_cache(maxsize=65536)(self._label_ids)

    def _trained_context(self) -> int:
        reply = self._http.get("/v1/models").json()
        return int(reply["data"][0].get("meta", {}).get("n_ctx_train", 0))

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        """A chat completion, in the OpenAI shape; a refusal has an ``error``."""
        with self.slot() as slot:
            return _answer(self._server.handle_chat_completions({**body, "id_slot": slot}))

    def completions(self, body: dict[str, Any]) -> dict[str, Any]:
        """A completion of a text or of token ids; a refusal has an ``error``."""
        return _answer(self._server.handle_completions(body))

    @contextmanager
    def slot(self) -> Iterator[int]:
        """A slot of one's own; waits until one is free."""
        number = self._free.get()
        try:
            yield number
        finally:
            self._free.put(number)

    def render(self, messages: Messages) -> str:
        """The prompt as the model's chat template writes it, up to where the reply starts."""
        told = [{"role": role, "content": content} for role, content in messages]
        return str(self._post("/apply-template", messages=told)["prompt"])

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids; with ``special``, as a whole prompt (begin-of-text, control tokens)."""
        found: list[int] = self._post("/tokenize", content=text, add_special=special, parse_special=special)["tokens"]
        return found

    def _label_ids(self, tail: str, label: str) -> tuple[int, ...]:
        """The tokens of ``label`` as it follows a prompt that ends in ``tail``."""
        before, joint = self.tokenize(tail), self.tokenize(tail + label)
        own = joint[len(before) :] if joint[: len(before)] == before else self.tokenize(label, special=False)
        if not own:
            raise InvalidInput(f"label {label!r} has no tokens; give labels of one token or more")
        return tuple(own)

    def cut(self, text: str, max_tokens: int) -> tuple[str, bool]:
        """The text's first ``max_tokens`` tokens, and whether anything was lost."""
        told = self._post("/tokenize", content=text, add_special=False, parse_special=False, with_pieces=True)
        pieces = [_piece_bytes(token["piece"]) for token in told["tokens"]]
        if len(pieces) <= max_tokens:
            return text, False
        whole, kept = b"".join(pieces), b"".join(pieces[:max_tokens])
        invented = 1 if whole.startswith(b" ") and not text.startswith(" ") else 0  # some tokenizers prefix a space
        return text.encode()[: max(0, len(kept) - invented)].decode(errors="ignore"), True

    def _post(self, path: str, **body: Any) -> dict[str, Any]:
        response = self._http.post(path, json=body)
        reply: dict[str, Any] = response.json()
        if response.status_code != httpx2.codes.OK:
            raise BackendError(f"llama.cpp refused {path}: {told_error(reply) if 'error' in reply else reply}")
        return reply


def _start(
    path: Path, *, context: int, slots: int, threads: int, gpu_layers: int, key: str
) -> tuple[Any, httpx2.Client]:
    xllamacpp = import_xllamacpp()
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel = context * slots, slots
    params.n_gpu_layers, params.fit_params = gpu_layers, False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.api_keys, params.ui, params.endpoint_slots, params.verbosity = [key], False, False, 0
    params.cache_ram_mib = 0  # no prompt cache beyond the slots' own
    try:
        server = xllamacpp.Server(params)
    except Exception as error:
        raise BackendError(f"llama.cpp could not load {path}: {error}") from error
    headers = {"Authorization": f"Bearer {key}"}
    # no proxy stands between us and ourselves
    return server, httpx2.Client(base_url=server.listening_address, headers=headers, timeout=120, trust_env=False)


def told_error(reply: dict[str, Any]) -> str:
    """The sentence in a reply that has an ``error``."""
    error = reply["error"]
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)


def _piece_bytes(piece: str | list[int]) -> bytes:
    """A piece that is not valid UTF-8 by itself comes as a list of byte values."""
    return piece.encode() if isinstance(piece, str) else bytes(piece)


def _answer(reply: Any) -> dict[str, Any]:
    if not isinstance(reply, dict):
        raise BackendError(f"llama.cpp answered {type(reply).__name__} instead of an object: {str(reply)[:200]}")
    return reply
