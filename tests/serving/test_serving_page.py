"""docs/serving.md: its requests are sent as they stand there, and its routes are those that there are."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from serving_doubles import listwise, pointwise, reads_first

from shortlist.backends.scripted import ScriptedCompleter
from shortlist.reading.readers import LLMReader
from shortlist.serving.app import create_app

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
REQUESTS = [block for block in BLOCKS if "curl" in block and "shortlist" not in block]


@pytest.fixture(scope="module")
def app():
    reader = LLMReader(completer=ScriptedCompleter(reads_first))
    return create_app([pointwise(name="minilm"), listwise()], reader=reader, reader_name="scripted")


@pytest.fixture(scope="module")
def address(app):
    uvicorn = pytest.importorskip("uvicorn")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


def test_its_requests_are_answered(address):
    bash, curl = shutil.which("bash"), shutil.which("curl")
    if not bash or not curl:
        pytest.skip("needs bash and curl")
    script = "set -eu\n" + "\necho\n".join(REQUESTS).replace("localhost:8000", address).replace(
        "curl -s", "curl --fail -sS"
    )
    script = re.sub(r" +# [^\n]*$", "; echo", script, flags=re.MULTILINE)
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    replies = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("{", "["))]
    assert len(replies) == "".join(REQUESTS).count("curl -s ")
    assert "event: done" in done.stdout
    shapes = [sorted(reply) if isinstance(reply, dict) else "list" for reply in replies]
    assert "list" in shapes  # TEI's
    assert any("data" in shape and "object" in shape for shape in shapes)  # Voyage's, and the scores
    assert any("answer" in shape for shape in shapes)


def test_its_routes_are_those_that_there_are(app):
    there = set(app.openapi()["paths"])
    named = set(re.findall(r"(?:`|GET |POST )(/[a-z0-9_/]+)`", PAGE))
    assert named - there <= {"/healthz", "/openapi.json"}
    for path in there:
        dialect = path.split("/")[1]
        by_name = dialect in {"cohere", "jina", "voyage", "tei", "vllm", "infinity"}
        assert by_name or path in named or path in {"/healthz", "/models", "/v1/models/{name}", "/v1/models"}, path


def test_its_status_codes_are_ours():
    from shortlist.serving.asking import STATUS

    (line,) = re.findall(r"^Statuses: (.*?)\n\n", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert {int(code) for code in re.findall(r"\b\d{3}\b", line)} >= set(STATUS.values()) - {500}
