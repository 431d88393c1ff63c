"""Scripted rerankers, and an app that serves them: fast and pointwise, slow and listwise, one that fails."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager

from starlette.testclient import TestClient

from shortlist.backends.base import Completion
from shortlist.backends.scripted import ScriptedCompleter, ScriptedPairScorer
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.policies import PairPolicy, TextPolicy
from shortlist.rerankers.strategies import Pointwise, SlidingWindow
from shortlist.serving.app import create_app
from shortlist.serving.config import ServerConfig
from shortlist.text.listwise import Listwise


def overlap(pair):
    """How many of the query's words are in the passage, less than one a word for its length."""
    words = set(re.findall(r"\w+", pair.passage.lower()))
    return float(sum(word in words for word in re.findall(r"\w+", pair.query.lower()))) - len(pair.passage) / 10_000


def pointwise(score=overlap, name="fast", seconds=0.0):
    def slowly(pair):
        if seconds:
            time.sleep(seconds)
        return score(pair)

    return Reranker(policy=PairPolicy(scorer=ScriptedPairScorer(slowly)), strategy=Pointwise(), name=name)


def by_length(ask):
    """Orders a listwise prompt's passages by length, longest first."""
    found = re.findall(r"^\[(\d+)\] (.*)$", ask.messages[-1].content, re.MULTILINE)
    return " > ".join(f"[{i}]" for i, _ in sorted(found, key=lambda one: -len(one[1])))


def listwise(reply=by_length, name="list", seconds=0.0, concurrency=None, size=4, stride=2):
    completer = ScriptedCompleter(reply, latency=lambda _: seconds, concurrency=concurrency)
    policy = TextPolicy(prompt=Listwise(), completer=completer)
    return Reranker(policy=policy, strategy=SlidingWindow(size=size, stride=stride), name=name)


def broken(name="broken"):
    return listwise(lambda _: Completion(error="the server is on fire"), name=name)


def reads_first(ask):
    """Answers with the last word of the first passage."""
    found = re.search(r"^\[1\].*?(\w+)\W*$", ask.messages[-1].content, re.MULTILINE)
    return found[1] if found else "no answer"


@contextmanager
def serving(*rankers, config=ServerConfig(), **more):
    """A client of an app that serves these rankers."""
    with TestClient(create_app(rankers or [pointwise(), listwise(), broken()], config=config, **more)) as client:
        yield client


TEXTS = ["a river in Peru", "the capital of France is Paris", "France has a capital"]
QUERY = "capital of France"
