"""What a user may give by mistake: each has a clear message, its exit code, and harms nothing that was there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from shortlist.cli import run
from shortlist.data import read_jsonl, read_rankings, read_run

SPEC = "scripted-pairs:any"


def rerank(*more):
    return run(["rerank", "--reranker", SPEC, *map(str, more)])


def requests(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def request(qid, *candidates, text="capital?"):
    return {"query": {"id": qid, "text": text}, "candidates": [{"id": i, "text": t} for i, t in candidates]}


@pytest.fixture
def earlier(tmp_path):
    """The output of an earlier job, which a mistake must not cost."""
    out = tmp_path / "out.jsonl"
    out.write_text('{"id": "kept"}\n')
    return out


def refused(capsys, earlier, code, *words):
    assert code == 3
    message = capsys.readouterr().err
    for word in words:
        assert word in message
    assert "Traceback" not in message
    assert earlier.read_text() == '{"id": "kept"}\n'


def test_malformed_jsonl_names_file_and_line(kinds, earlier, tmp_path, capsys):
    source = tmp_path / "in.jsonl"
    source.write_text('{"query": {"id": "q", \n')
    refused(capsys, earlier, rerank("--requests", source, "--output", earlier), "in.jsonl:1", "not JSON")


def test_malformed_jsonl_further_on_keeps_what_was_done(kinds, tmp_path, capsys):
    source = requests(tmp_path / "in.jsonl", *(request(f"q{i}", ("a", "x")) for i in range(600)))
    source.write_text(source.read_text() + "{oops\n")
    out = tmp_path / "out.jsonl"
    assert rerank("--requests", source, "--output", out) == 3
    assert "in.jsonl:601" in capsys.readouterr().err
    done = list(read_jsonl(out))
    requests(source, *(request(f"q{i}", ("a", "x")) for i in range(610)))
    assert rerank("--requests", source, "--output", out, "--resume") == 0
    assert [ranking.query.id for ranking in read_rankings(out)] == [f"q{i}" for i in range(610)]
    assert done


BAD_RECORDS = {
    "empty query": (request("q1", ("a", "x"), text=" "), "'q1' has no text"),
    "duplicate ids": (request("q1", ("a", "x"), ("b", "y"), ("a", "z")), "['a'] come more than once"),
    "a text that is no text": (request("q1", ("a", 7)), "'text' is 7, not a string"),
    "no known form": ({"hello": 1}, "rankgpt"),
}


@pytest.mark.parametrize(("record", "words"), BAD_RECORDS.values(), ids=BAD_RECORDS)
def test_bad_records_name_file_and_line(kinds, earlier, tmp_path, capsys, record, words):
    source = requests(tmp_path / "in.jsonl", record)
    refused(capsys, earlier, rerank("--requests", source, "--output", earlier), "in.jsonl:1", words)


def test_a_file_that_is_not_utf8(kinds, earlier, tmp_path, capsys):
    source = tmp_path / "in.jsonl"
    source.write_bytes(json.dumps(request("q", ("a", "Köln")), ensure_ascii=False).encode("latin-1") + b"\n")
    refused(capsys, earlier, rerank("--requests", source, "--output", earlier), "in.jsonl:1", "not UTF-8")


def test_a_file_that_is_missing(kinds, earlier, tmp_path, capsys):
    code = rerank("--requests", tmp_path / "nothing.jsonl", "--output", earlier)
    refused(capsys, earlier, code, "nothing.jsonl", "no such file")


def test_a_collection_that_is_missing_or_none(kinds, collection, earlier, tmp_path, capsys):
    run_ = collection / "run.first.trec"
    code = rerank("--data", tmp_path / "nothing", "--run", run_, "--output", earlier)
    refused(capsys, earlier, code, "nothing", "does not exist")
    (tmp_path / "empty").mkdir()
    code = rerank("--data", tmp_path / "empty", "--run", run_, "--output", earlier)
    refused(capsys, earlier, code, "corpus.jsonl")


def test_a_run_of_another_collection(kinds, collection, earlier, tmp_path, capsys):
    (tmp_path / "other.trec").write_text("x1 Q0 d 1 1.0 t\n")
    code = rerank("--data", collection, "--run", tmp_path / "other.trec", "--output", earlier)
    refused(capsys, earlier, code, "'x1'", "another collection")


def test_a_run_with_a_broken_line(kinds, collection, first_run, earlier, capsys):
    first_run.write_text(first_run.read_text().replace("d0-0 1 5.0", "d0-0 1 five"))
    code = rerank("--data", collection, "--run", first_run, "--output", earlier)
    refused(capsys, earlier, code, "run.first.trec:1", "'five' is not a number")


def test_unknown_split_lists_the_splits(kinds, collection, first_run, earlier, capsys):
    code = rerank("--data", collection, "--run", first_run, "--split", "tset", "--output", earlier)
    refused(capsys, earlier, code, "unknown split 'tset'", "Did you mean 'test'?", "dev, test")


def test_unknown_measure_lists_the_measures(collection, first_run, capsys):
    assert run(["evaluate", "--data", str(collection), "--run", str(first_run), "--measures", "nDGC@10"]) == 3
    message = capsys.readouterr().err
    assert "nDGC" in message
    assert "nDCG" in message
    assert "RBO" not in message or "RR" in message


def test_unknown_format_and_kind_and_reader(kinds, collection, first_run, earlier, tmp_path, capsys):
    source = requests(tmp_path / "in.jsonl", request("q", ("a", "x")))
    code = rerank("--requests", source, "--output", earlier, "--output-format", "xml")
    refused(capsys, earlier, code, "unknown output format 'xml'", "rank_llm")
    job = ["--data", str(collection), "--run", str(first_run), "--output", str(earlier)]
    refused(capsys, earlier, run(["rerank", *job, "--reranker", "crossencoder:x"]), "'cross-encoder'", "groupwise")
    refused(capsys, earlier, run(["answer", *job, "--reader", "openai:m"]), "openai:MODEL@URL")
    refused(capsys, earlier, run(["answer", *job, "--reader", "openai:m@http://h/v1?tokens=3"]), "passage_tokens")
    refused(capsys, earlier, run(["answer", *job, "--reader", "openai:m@http://h/v1?max_tokens"]), "max_tokens= is not")
    refused(capsys, earlier, run(["answer", *job, "--k", "few"]), "--k few", "auto")


@pytest.mark.parametrize("more", [["--split", "dev"], ["--queries", "x.jsonl"]])
def test_requests_have_their_own_queries(kinds, earlier, tmp_path, capsys, more):
    source = requests(tmp_path / "in.jsonl", request("q", ("a", "x")))
    refused(capsys, earlier, rerank("--requests", source, "--output", earlier, *more), "--requests has its own")


def test_inputs_are_not_written_over(kinds, collection, first_run, tmp_path, capsys):
    before = first_run.read_text()
    job = ["--data", str(collection), "--run", str(first_run), "--output", str(first_run)]
    for command in (["rerank", *job, "--reranker", SPEC], ["answer", *job]):
        assert run(command) == 3
        assert "read and written" in capsys.readouterr().err
    assert first_run.read_text() == before


def test_output_and_input_must_be_given(kinds, collection, tmp_path, capsys):
    assert rerank("--data", collection, "--run", collection / "run.first.trec") == 3
    assert "--output FILE" in capsys.readouterr().err
    assert rerank("--output", tmp_path / "x") == 3
    assert "--requests FILE" in capsys.readouterr().err


def test_an_output_that_cannot_be_written(kinds, collection, first_run, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert rerank("--data", collection, "--run", first_run, "--output", tmp_path / "file" / "out.trec") == 1
    assert "error: " in capsys.readouterr().err
    assert rerank("--data", collection, "--run", first_run, "--output", tmp_path) == 3


def test_devices_and_pipes_are_no_outputs(kinds, collection, first_run, tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for output in (pipe, Path(os.devnull)):
        assert rerank("--data", collection, "--run", first_run, "--output", output) == 3
        assert "is no plain file" in capsys.readouterr().err
        assert output.exists()


def test_evaluate_with_nothing_to_measure(collection, first_run, capsys):
    for path in (collection / "qrels").iterdir():
        path.unlink()
    assert run(["evaluate", "--data", str(collection), "--run", str(first_run)]) == 3
    assert "no judgements" in capsys.readouterr().err


def test_ids_with_blanks_are_for_jsonl(kinds, tmp_path, capsys):
    source = requests(tmp_path / "in.jsonl", request("q", ("a b", "x"), ("c", "capital")))
    assert rerank("--requests", source, "--output", tmp_path / "out.trec") == 3
    message = capsys.readouterr().err
    assert "'a b'" in message
    assert "write JSONL" in message
    assert rerank("--requests", source, "--output", tmp_path / "out.jsonl") == 0
    assert [r.ids for r in read_rankings(tmp_path / "out.jsonl")] == [("c", "a b")]


def test_queries_without_candidates_and_with_one(kinds, tmp_path):
    source = requests(tmp_path / "in.jsonl", request("none"), request("one", ("a", "x")))
    assert rerank("--requests", source, "--output", tmp_path / "out.jsonl") == 0
    assert [(r.ids, r.status) for r in read_rankings(tmp_path / "out.jsonl")] == [((), "ok"), (("a",), "ok")]
    assert rerank("--requests", source, "--output", tmp_path / "out.trec") == 0
    assert read_run(tmp_path / "out.trec") == {"one": {"a": 0.0}}
    notes = [note["id"] for _, note in read_jsonl(tmp_path / "out.trec.notes.jsonl")]
    assert notes == ["none", "one"]
    assert rerank("--requests", source, "--output", tmp_path / "out.trec", "--resume") == 0
    assert [note["id"] for _, note in read_jsonl(tmp_path / "out.trec.notes.jsonl")] == notes


def test_queries_without_candidates_count_nought(kinds, collection, first_run, tmp_path):
    first_run.write_text("".join(line for line in first_run.read_text().splitlines(True) if not line.startswith("q5")))
    out = tmp_path / "results.json"
    job = ["evaluate", "--data", str(collection), "--run", str(first_run), "--reranker", SPEC, "--json", str(out)]
    assert run([*job, "--measures", "RR@10"]) == 0
    assert json.loads(out.read_text())["systems"][1]["measures"]["RR@10"] == pytest.approx(5 / 6)


def test_a_thousand_candidates_and_a_megabyte(kinds, tmp_path):
    many = [(str(i), "capital" if i == 997 else f"river {i}") for i in range(999)] + [("long", "x" * 1_000_000)]
    source = requests(tmp_path / "in.jsonl", request("q", *many))
    assert rerank("--requests", source, "--output", tmp_path / "out.trec", "--depth", 1000) == 0
    order = list(read_run(tmp_path / "out.trec")["q"])
    assert order[0] == "997"
    assert sorted(order) == sorted(i for i, _ in many)


def test_a_query_that_comes_twice(kinds, tmp_path, capsys):
    source = requests(tmp_path / "in.jsonl", request("q", ("a", "x")), request("q", ("b", "x")))
    assert rerank("--requests", source, "--output", tmp_path / "out.jsonl") == 3
    assert "'q'" in capsys.readouterr().err
