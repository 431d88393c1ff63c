"""The command in a process of its own: it serves, drains on SIGTERM, and keeps its cache through SIGKILL."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx
import pytest

SCRIPT = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shortlist.backends.cache import cached
from shortlist.backends.scripted import ScriptedPairScorer
from shortlist.cli import run
from shortlist.rerankers.kinds import KINDS, Made, Order, kind
from shortlist.rerankers.policies import PairPolicy
from shortlist.rerankers.strategies import Pointwise

@kind("scripted")
def scripted(order):
    "Takes as long as its model says, in a thread that the interpreter would wait for; notes every pair."
    pool = ThreadPoolExecutor(1)
    def score(pair):
        pool.submit(time.sleep, float(order.model)).result()
        with Path("asked").open("a") as file:
            file.write(pair.passage + "\\n")
        return float(len(pair.passage))
    scorer = ScriptedPairScorer(score)
    scorer = scorer if order.store is None else cached(scorer, order.store)
    return Made.of(PairPolicy(scorer=scorer), Pointwise(), scorer)

sys.exit(run(sys.argv[1:]))
"""
BODY = {"query": "q", "documents": ["a", "bb", "ccc"]}


@contextmanager
def server(folder: Path, *arguments: str, **environment: str):
    """The process and its address."""
    told = {**os.environ, "COLUMNS": "200", "SHORTLIST_PORT": "0", **environment}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "serve", *arguments], cwd=folder, env=told, stderr=subprocess.PIPE, text=True
    )
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stderr))
    try:
        reader.start()
        deadline = time.monotonic() + 30
        while not (found := re.search(r"serving at (http://\S+)", "".join(lines))):
            assert process.poll() is None, lines
            assert time.monotonic() < deadline, lines
            time.sleep(0.02)
        yield process, found[1], lines
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stderr.close()


def test_sigterm_drains(tmp_path):
    with server(tmp_path, "--reranker", "slow=scripted:0.2", "--no-warm") as (process, url, lines):
        replies = []
        asking = threading.Thread(target=lambda: replies.append(httpx.post(f"{url}/v2/rerank", json=BODY, timeout=20)))
        asking.start()
        while "shortlist_open_requests 1.0" not in httpx.get(f"{url}/metrics").text:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        asking.join()
        assert process.wait(10) == 0
    assert replies[0].status_code == 200
    assert [one["index"] for one in replies[0].json()["results"]] == [2, 1, 0]
    assert replies[0].json()["meta"]["rerank"]["status"] == "ok"
    assert any('"event": "request"' in line and '"model": "slow"' in line for line in lines)


def test_what_does_not_end_in_time_gets_the_best_so_far(tmp_path):
    with server(tmp_path, "--reranker", "scripted:0.4", "--no-warm", "--drain", "1.5") as (process, url, _):
        replies = []
        body = {"query": "q", "documents": [str(i) for i in range(20)]}
        asking = threading.Thread(target=lambda: replies.append(httpx.post(f"{url}/v2/rerank", json=body, timeout=20)))
        asking.start()
        while "shortlist_open_requests 1.0" not in httpx.get(f"{url}/metrics").text:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        asking.join()
        process.wait(10)
    assert replies[0].status_code == 200
    assert replies[0].json()["meta"]["rerank"]["deadline_passed"] is True


def test_a_model_that_is_still_busy_does_not_hold_up_the_end(tmp_path):
    with server(tmp_path, "--reranker", "scripted:60", "--no-warm", "--drain", "0.6") as (process, url, lines):
        asking = threading.Thread(target=lambda: httpx.post(f"{url}/v2/rerank", json=BODY, timeout=20))
        asking.start()
        while "shortlist_open_requests 1.0" not in httpx.get(f"{url}/metrics").text:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        asking.join()
        assert process.wait(15) == 0
    assert any('"status": 200' in line for line in lines if '"/v2/rerank"' in line)


def test_the_cache_outlives_a_kill(tmp_path):
    arguments = ("--reranker", "scripted:0", "--cache", "cache.sqlite", "--no-warm", "--quiet")
    with server(tmp_path, *arguments, SHORTLIST_API_KEY="open-sesame") as (process, url, _):
        assert httpx.post(f"{url}/v2/rerank", json=BODY).status_code == 401
        headers = {"authorization": "Bearer open-sesame"}
        first = httpx.post(f"{url}/v2/rerank", json=BODY, headers=headers).json()
        process.send_signal(signal.SIGKILL)
        process.wait()
    with server(tmp_path, *arguments) as (_, url, _):
        again = httpx.post(f"{url}/v2/rerank", json=BODY).json()
    assert again["results"] == first["results"]
    assert again["meta"]["rerank"]["cached"] == 3
    assert (tmp_path / "asked").read_text().split() == ["a", "bb", "ccc"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--reranker", "nothing:x"), "unknown reranker kind"),
        (("--reranker", "scripted:0", "--index", "here"), "--index and --data go together"),
        (("--reranker", "scripted:0", "--alias", "x"), "ALIAS=NAME"),
        (("--reranker", "scripted:0", "--reranker", "scripted:0"), "not all different"),
        (("--reranker", "scripted:0", "--api-key", "a b"), "API key"),
    ],
)
def test_wrong_settings_are_told(tmp_path, arguments, told):
    command = [sys.executable, "-c", SCRIPT, "serve", *arguments]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, env={**os.environ, "COLUMNS": "200"}
    )
    assert done.returncode == 3
    assert told in done.stderr
