"""The commands of many queries: what they write, and that an interrupted job goes on to the same end."""

from __future__ import annotations

import json

import pytest
from loopback import chat, last_words, serve

from shortlist.cli import run
from shortlist.cli.notes import notes_path
from shortlist.data import read_jsonl, read_rankings, read_run

PAIRS = "scripted-pairs:any?keep=top:1"


def rerank(collection, output, *more, spec=PAIRS):
    base = ["rerank", "--data", str(collection), "--run", str(collection / "run.first.trec"), "--reranker", spec]
    return run([*base, "--output", str(output), *map(str, more)])


def lines(path):
    """What a file holds, less the seconds, which differ from run to run."""
    told = [record for _, record in read_jsonl(path)]
    for record in told:
        record.pop("seconds", None)
        record.get("ranking", {}).get("usage", {}).pop("seconds", None)
    return told


# ------------------------------------------------------------------------------------------------ rerank


def test_rerank_writes_a_run_and_its_notes(collection, kinds, tmp_path, capsys):
    out = tmp_path / "out.trec"
    assert rerank(collection, out, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rankings"] == 6
    assert told["statuses"] == {"ok": 6}
    assert told["kept_on_average"] == 1.0
    assert next(iter(read_run(out)["q3"])) == "d3-4"
    notes = lines(notes_path(out))
    assert [note["id"] for note in notes] == [f"q{i}" for i in range(6)]
    assert {"cutoff": 1, "status": "ok", "calls": 5, "problems": []}.items() <= notes[0].items()


def test_rerank_takes_requests_with_their_texts_and_writes_whole_rankings(kinds, tmp_path):
    record = {"query": {"id": "a b", "text": "where?"}, "candidates": [{"id": "x y", "text": "no"}]}
    record["candidates"].append({"id": "z", "text": "the capital"})
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps(record) + "\n" + json.dumps({**record, "query": {"id": "c", "text": "?"}}) + "\n")
    out = tmp_path / "out.jsonl"
    job = ["rerank", "--requests", str(source), "--reranker", "scripted-pairs:any", "--output", str(out)]
    assert run([*job, "--limit", "1"]) == 0
    (ranking,) = read_rankings(out)
    assert (ranking.query.id, ranking.ids) == ("a b", ("z", "x y"))
    assert run([*job, "--output-format", "rankgpt"]) == 0
    assert [hit["docid"] for hit in lines(out)[0]["hits"]] == ["z", "x y"]


def test_split_queries_and_limit_choose(collection, kinds, tmp_path):
    assert rerank(collection, tmp_path / "dev.trec", "--split", "dev") == 0
    assert set(read_run(tmp_path / "dev.trec")) == {"q0", "q1"}
    some = tmp_path / "some.jsonl"
    some.write_text('{"_id": "q4", "text": "capital of Cuba?"}\n')
    assert rerank(collection, tmp_path / "some.trec", "--queries", some) == 0
    assert set(read_run(tmp_path / "some.trec")) == {"q4"}
    assert rerank(collection, tmp_path / "three.trec", "--limit", 3, "--depth", 2) == 0
    assert {qid: len(docs) for qid, docs in read_run(tmp_path / "three.trec").items()} == {"q0": 2, "q1": 2, "q2": 2}


def test_texts_that_the_corpus_lacks_are_counted(collection, kinds, first_run, tmp_path, capsys):
    first_run.write_text(first_run.read_text() + "q5 Q0 strange 6 0.5 first\n")
    assert rerank(collection, tmp_path / "out.trec", "--json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["missing_texts"] == 1
    assert "strange" in told.err


@pytest.mark.parametrize("name", ["out.trec", "out.jsonl"])
@pytest.mark.parametrize("after", [12, 15, 29])
def test_rerank_goes_on_after_a_stop(collection, kinds, bomb, tmp_path, name, after, capsys, monkeypatch):
    from shortlist.rerankers import catalog
    from shortlist.rerankers.drivers import Rounds

    monkeypatch.setattr(catalog, "_driver", lambda _: Rounds(open_flows=1, ahead=0))
    whole, out = tmp_path / f"whole-{name}", tmp_path / name
    assert rerank(collection, whole) == 0
    bomb.asked.clear()
    bomb.left = after
    assert rerank(collection, out) == 130
    assert "--resume" in capsys.readouterr().err
    bomb.left = None
    bomb.asked.clear()
    assert rerank(collection, out, "--resume") == 0
    assert len(bomb.asked) < 30  # it went on, and did not begin again
    if name.endswith("trec"):
        assert out.read_bytes() == whole.read_bytes()
        assert lines(notes_path(out)) == lines(notes_path(whole))
    else:
        assert lines(out) == lines(whole)


def test_rerank_goes_on_after_a_torn_line(collection, kinds, tmp_path):
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    assert rerank(collection, whole) == 0
    out.write_bytes(whole.read_bytes()[:1500])
    assert rerank(collection, out, "--resume") == 0
    assert lines(out) == lines(whole)


def test_without_resume_the_output_is_made_anew(collection, kinds, tmp_path):
    out = tmp_path / "out.trec"
    assert rerank(collection, out) == rerank(collection, out, "--limit", 2) == 0
    assert len(read_run(out)) == len(lines(notes_path(out))) == 2


# ------------------------------------------------------------------------------------------------ retrieve, index


def test_index_and_retrieve(collection, tmp_path, capsys):
    index, out = tmp_path / "index", tmp_path / "run.trec"
    assert run(["index", "--data", str(collection), "--output", str(index), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passages"] == 30
    job = ["retrieve", "--data", str(collection), "--index", str(index), "--output", str(out), "--depth", "3"]
    assert run([*job, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["queries"] == 6
    assert next(iter(read_run(out)["q2"])) == "d2-4"
    whole = out.read_bytes()
    out.write_bytes(whole[: len(whole) // 2])
    assert run([*job, "--resume"]) == 0
    assert out.read_bytes() == whole


def test_retrieve_builds_an_index_for_now_if_there_is_none(collection, tmp_path):
    out = tmp_path / "run.trec"
    assert run(["retrieve", "--data", str(collection), "--output", str(out), "--split", "dev"]) == 0
    assert set(read_run(out)) == {"q0", "q1"}


@pytest.mark.parametrize("command", ["index", "retrieve"])
def test_unknown_retriever_lists_the_known_ones_before_anything_is_loaded(collection, tmp_path, command, capsys):
    job = [command, "--data", str(collection), "--output", str(tmp_path / "out"), "--retriever", "bm52"]
    assert run(job) == 3
    assert "bm25, dense, hybrid" in capsys.readouterr().err


def test_query_expansion_asks_the_model(collection, tmp_path):
    out = tmp_path / "run.trec"
    with serve(lambda body: "Havana is a big town of big rivers") as server:
        expand = f"query2doc:openai:m@{server.url}/v1"
        job = ["retrieve", "--data", str(collection), "--output", str(out), "--expand", expand]
        assert run(job) == 0
        assert len(server.seen) == 6
    assert len(read_run(out)) == 6


# ------------------------------------------------------------------------------------------------ answer


def reader_script(body):
    words = last_words(body)
    return next((f"{c}" for c in ("Paris", "Lima", "Vientiane", "Havana", "Muscat") if c in words), "no answer")


@pytest.fixture
def reranked(collection, kinds, tmp_path):
    out = tmp_path / "reranked.trec"
    assert rerank(collection, out) == 0
    return out


def answer(collection, reranked, output, url, *more):
    job = ["answer", "--data", str(collection), "--run", str(reranked), "--output", str(output)]
    return run([*job, "--reader", f"openai:m@{url}/v1?concurrency=1", *map(str, more)])


def test_answer_reads_as_many_as_the_notes_say(collection, reranked, tmp_path, capsys):
    out = tmp_path / "answers.jsonl"
    with serve(reader_script) as server:
        assert answer(collection, reranked, out, server.url, "--k", "auto", "--json") == 0
    told = json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""]))
    assert told["answers"] == 6
    assert told["em"] == pytest.approx(5 / 6)
    first, third = lines(out)[0], lines(out)[2]
    assert {"id": "q0", "answer": "Paris", "passages": ["d0-4"], "status": "ok", "em": 1.0}.items() <= first.items()
    assert third["answer"] is None  # the reader abstained


def test_auto_without_notes_says_where_cutoffs_come_from(collection, first_run, reranked, tmp_path, capsys):
    assert answer(collection, first_run, tmp_path / "a.jsonl", "http://127.0.0.1:9", "--k", "auto") == 3
    assert "k=auto needs the cutoffs" in capsys.readouterr().err
    assert rerank(collection, reranked, spec="scripted-pairs:any") == 0
    assert answer(collection, reranked, tmp_path / "a.jsonl", "http://127.0.0.1:9", "--k", "auto") == 3
    assert "no ranking has a cutoff" in capsys.readouterr().err


def test_answer_goes_on_after_a_stop_and_measures_all(collection, reranked, tmp_path, capsys):
    whole, out = tmp_path / "whole.jsonl", tmp_path / "answers.jsonl"
    with serve(reader_script) as server:
        assert answer(collection, reranked, whole, server.url, "--k", "2", "--json") == 0
        told = json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""]))
        out.write_bytes(b"".join(whole.read_bytes().splitlines(keepends=True)[:3]) + b'{"id": "q3", "qu')
        server.seen.clear()
        assert answer(collection, reranked, out, server.url, "--k", "2", "--json", "--resume") == 0
        assert len(server.seen) == 3
    again = json.loads(capsys.readouterr().out)
    assert lines(out) == lines(whole)
    assert {k: again[k] for k in ("answers", "failed", "em", "f1")} == {
        k: told[k] for k in ("answers", "failed", "em", "f1")
    }


def test_answer_does_not_go_on_with_a_file_of_another_kind(collection, reranked, tmp_path, capsys):
    out = tmp_path / "answers.jsonl"
    out.write_text('{"id": "q0", "cutoff": 1}\n')
    assert answer(collection, reranked, out, "http://127.0.0.1:9", "--resume") == 3
    assert f"{out}:1: no answer among the fields id, cutoff" in capsys.readouterr().err.replace("\n", "")
    assert out.read_text() == '{"id": "q0", "cutoff": 1}\n'


def test_answers_of_the_cache_are_not_asked_again(collection, reranked, tmp_path):
    cache = ["--cache", tmp_path / "cache.sqlite"]
    with serve(reader_script) as server:
        assert answer(collection, reranked, tmp_path / "a.jsonl", server.url, *cache) == 0
        assert len(server.seen) == 6
        assert answer(collection, reranked, tmp_path / "b.jsonl", server.url, *cache) == 0
        assert len(server.seen) == 6
    assert lines(tmp_path / "a.jsonl") == lines(tmp_path / "b.jsonl")


def test_failed_answers_count_as_wrong(collection, reranked, tmp_path, capsys):
    with serve(lambda body: chat("") if "Peru" in last_words(body) else chat("Paris")) as server:
        assert answer(collection, reranked, tmp_path / "a.jsonl", server.url, "--k", "1", "--json") == 0
    told = capsys.readouterr()
    assert '"failed": 1' in told.out
    assert "1 readings failed and count as wrong" in told.err
    with serve(lambda body: "") as server:
        assert answer(collection, reranked, tmp_path / "a.jsonl", server.url) == 5


# ------------------------------------------------------------------------------------------------ evaluate


def evaluate(collection, *more):
    return run(
        ["evaluate", "--data", str(collection), "--run", str(collection / "run.first.trec"), *map(str, more)],
    )


def test_evaluate_tells_first_stage_and_rerankers(collection, kinds, tmp_path, capsys):
    out, page = tmp_path / "results.json", tmp_path / "report.html"
    job = ["--reranker", "scripted-pairs:any", "--measures", "nDCG@10 RR@10", "--json", out, "--html", page]
    assert evaluate(collection, *job) == 0
    assert "scripted-pairs:any" in capsys.readouterr().out
    first, second = json.loads(out.read_text())["systems"]
    assert first["measures"]["RR@10"] == pytest.approx(1 / 5)
    assert second["measures"] == {"nDCG@10": 1.0, "RR@10": 1.0}
    assert "scripted-pairs:any" in page.read_text()


def test_evaluate_with_a_reader(collection, kinds, tmp_path):
    out = tmp_path / "results.json"
    with serve(reader_script) as server:
        reader = ["--reader", f"openai:m@{server.url}/v1", "--k", "1,auto"]
        assert evaluate(collection, "--reranker", PAIRS, *reader, "--json", out, "--split", "dev") == 0
    first, second = json.loads(out.read_text())["systems"]
    assert first["measures"]["EM@1"] == 0.0
    assert second["measures"]["EM@1"] == second["measures"]["EM@auto"] == 1.0


def test_evaluate_counts_texts_that_the_corpus_lacks_once(collection, kinds, first_run, capsys):
    first_run.write_text(first_run.read_text() + "q5 Q0 strange 6 0.5 first\n")
    assert evaluate(collection, "--reranker", "scripted-pairs:any") == 0
    assert "warning: 1 candidates have no text in the corpus and were left out" in capsys.readouterr().err


def test_evaluate_goes_on_after_a_stop(collection, kinds, bomb, tmp_path, monkeypatch):
    from shortlist.rerankers import catalog
    from shortlist.rerankers.drivers import Rounds

    monkeypatch.setattr(catalog, "_driver", lambda _: Rounds(open_flows=1, ahead=0))
    whole, out = tmp_path / "whole.json", tmp_path / "results.json"
    assert evaluate(collection, "--reranker", "scripted-pairs:any", "--json", whole) == 0
    bomb.left = 17
    job = ["--reranker", "scripted-pairs:any", "--save", tmp_path / "kept", "--json", out]
    assert evaluate(collection, *job) == 130
    bomb.left = None
    bomb.asked.clear()
    assert evaluate(collection, *job) == 3  # results are there: say --resume, or take another folder
    assert evaluate(collection, *job, "--resume") == 0
    assert 0 < len(bomb.asked) < 30
    left, right = (json.loads(path.read_text())["systems"][1] for path in (out, whole))
    assert left["measures"] == right["measures"]
    assert left["ranked"] == right["ranked"] == 6


def test_evaluate_resume_needs_a_folder(collection, capsys):
    assert evaluate(collection, "--resume") == 3
    assert "--save" in capsys.readouterr().err


def test_another_jobs_output_is_not_gone_on_with(collection, kinds, tmp_path):
    run_file, out = collection / "run.first.trec", tmp_path / "out.trec"
    ask = ["rerank", "--data", str(collection), "--run", str(run_file), "--output", str(out), "--depth", "2"]
    assert run([*ask, "--reranker", "scripted-list:[2] > [1]"]) == 0
    before = out.read_bytes()
    assert run([*ask, "--reranker", "scripted-list:error", "--resume"]) == 3
    assert out.read_bytes() == before
