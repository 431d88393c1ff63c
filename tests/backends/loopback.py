"""A real HTTP server on the loopback interface that plays an OpenAI-compatible one, as well or as badly as told."""

from __future__ import annotations

import contextlib
import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from shortlist.backends.base import Ask, Question
from shortlist.backends.openai import OpenAIBackend
from shortlist.types import Message


@dataclass
class Say:
    """One answer: a JSON value or raw bytes; ``cut`` sends only half of it, ``hang`` waits first."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    hang: float = 0.0


def chat(text, *, finish="stop", usage=(7, 3), logprobs=None, **message):
    """A chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    if logprobs is not None:
        choice["logprobs"] = {"content": logprobs}
    body = {"object": "chat.completion", "choices": [choice]}
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return body


def place(token, shown):
    """A token with the likeliest ones, from probabilities."""
    top = [{"token": t, "logprob": math.log(p)} for t, p in shown.items()]
    own = math.log(shown[token])
    return {"token": token, "logprob": own, "top_logprobs": top}


def error(message, status=400, **more):
    return Say({"error": {"message": message, "type": "invalid_request_error", **more}}, status)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, script: Callable[[dict], Any]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = script
        self.lock = threading.Lock()
        self.seen: list[dict] = []
        self.paths: list[str] = []
        self.headers: list[dict] = []
        self.open = 0
        self.most_open = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """Clients that went away are part of the play."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.seen.append(body)
            server.paths.append(self.path)
            server.headers.append(dict(self.headers))
            server.open += 1
            server.most_open = max(server.most_open, server.open)
        try:
            said = server.script(body)
            said = said if isinstance(said, Say) else Say(chat(said) if isinstance(said, str) else said)
            time.sleep(said.hang)
        finally:
            with server.lock:
                server.open -= 1
        self.answer(said)

    def answer(self, said):
        content = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
        self.send_response(said.status)
        for name, value in {"Content-Type": "application/json", **said.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if said.cut else content)
        self.close_connection = self.close_connection or said.cut

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serve(script) -> Iterator[Server]:
    """The server, while it plays ``script``: a function of the request, or a list of answers to be given in turn."""
    if isinstance(script, list):
        turns = iter(script)
        lock = threading.Lock()

        def script(body):
            with lock:
                return next(turns)

    server = Server(script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def last_words(body):
    return body["messages"][-1]["content"]


SECRET = "sk-very-secret-1234"


def ask(text="hello", **more):
    return Ask(messages=(Message("user", text),), **more)


def question(text="hello", labels=("yes", "no")):
    return Question(messages=(Message("user", text),), labels=labels)


def backend(server, **more):
    more = {"backoff": 0.01, "retries": 3, "timeout": 5.0, **more}
    return OpenAIBackend("m", server.url, **more)


def complete(server, *asks, **more):
    model = backend(server, **more)
    try:
        return model.complete(list(asks) or [ask()])
    finally:
        model.close()


def echo(body):
    words = last_words(body)
    return error("the prompt is longer than the context length of 8 tokens") if words == "BAD" else f"you said {words}"


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
