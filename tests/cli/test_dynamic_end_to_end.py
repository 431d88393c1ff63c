"""Subsets chosen by a model, kept by the run's notes, and read by `answer --k auto`."""

from __future__ import annotations

import re

from loopback import last_words, serve

from shortlist.cli import run
from shortlist.cli.notes import notes_path, read_cutoffs
from shortlist.data import read_jsonl


def script(body):
    """Chooses the passages that speak of a capital, none for Peru; as a reader, gives the capital it is shown."""
    said = last_words(body)
    if "that together suffice" in said:
        found = re.findall(r"^\[(\d+)\] (.*)$", said, re.MULTILINE)
        right = [f"[{i}]" for i, text in found if "The capital of" in text and "Peru" not in text]
        return ", ".join(right) or "None"
    capital = re.search(r"The capital of \w+ is ([\w']+)", said)
    return capital[1] if capital else "I do not know"


def test_rerank_dynamic_then_answer_with_k_auto(collection, tmp_path):
    out, answers = tmp_path / "out.trec", tmp_path / "answers.jsonl"
    with serve(script) as server:
        model = f"openai:m@{server.url}/v1"
        job = ["--data", str(collection), "--run", str(collection / "run.first.trec"), "--output", str(out)]
        assert run(["rerank", *job, "--reranker", f"dynamic:{model}?window=3&constrain=true"]) == 0
        assert read_cutoffs(out) == {f"q{q}": int(q != 1) for q in range(6)}
        assert all("grammar" in body for body in server.seen)
        read = ["--data", str(collection), "--run", str(out), "--reader", model, "--k", "auto"]
        assert run(["answer", *read, "--output", str(answers)]) == 0
    told = {record["id"]: record for _, record in read_jsonl(answers)}
    assert [len(told[f"q{q}"]["passages"]) for q in range(6)] == [1, 0, 1, 1, 1, 1]
    assert [told[f"q{q}"]["em"] for q in range(6)] == [1, 0, 1, 1, 1, 1]
    assert {note["status"] for _, note in read_jsonl(notes_path(out))} == {"ok"}
