"""`shortlist data`: every command on a toy, its manifest, going on after a stop, and a bare corpus to lessons."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from loopback import last_words, serve

sys.path.insert(0, str(Path(__file__).parents[1] / "synthesis"))

import tiny_encoder

from shortlist.cli import run
from shortlist.data import open_collection
from shortlist.data.lessons import read_lessons

NAMES = ("France", "Peru", "Chad", "Laos", "Cuba", "Oman")


def data(*words, fails=0):
    code = run(["data", *map(str, words)])
    assert code == fails, words


def manifest(path):
    return json.loads(path.with_name(f"{path.name}.manifest.json").read_text())


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.jsonl"


def test_draw(collection, first_run, out, capsys):
    job = ("draw", "--data", collection, "--run", first_run, "--size", 3, "--target", 12, "--output", out)
    data(*job, "--orders", "first-stage=1,shuffled=3", "--json")
    told = json.loads(capsys.readouterr().out)
    lessons = list(read_lessons(out))
    assert told["lessons"] == len(lessons) == 12
    assert all(max(lesson.gains) == 1 for lesson in lessons)
    made = manifest(out)
    assert made["command"] == "data draw"
    assert made["settings"]["shares"] == {"first-stage": 1.0, "shuffled": 3.0}
    assert len(made["inputs"]["run"]["sha256"]) == len(made["made"]["sha256"]) == 64
    assert made["made"]["counts"]["kept"] == 12
    before = out.read_bytes()
    data(*job, "--orders", "first-stage=1,shuffled=3")
    assert out.read_bytes() == before


def test_the_test_split_stays_shut(collection, first_run, out, capsys):
    job = ("draw", "--data", collection, "--run", first_run, "--size", 3, "--target", 5, "--output", out)
    data(*job, "--split", "test", fails=3)
    assert "'test' is for reporting" in capsys.readouterr().err
    data(*job, fails=3)  # every query of the toy is in the test split, and dev is another split
    data(*job, "--split", "dev")
    assert {lesson.slate.query.id for lesson in read_lessons(out)} <= {"q0", "q1"}


@pytest.fixture
def collection(collection):
    """All queries judged under another name than test, so that they may be learnt from."""
    (collection / "qrels" / "train.tsv").write_text((collection / "qrels" / "test.tsv").read_text())
    return collection


@pytest.fixture(autouse=True)
def _only_in_the_split_test(request, collection):
    if request.function is not test_the_test_split_stays_shut:
        (collection / "qrels" / "test.tsv").unlink()
    else:
        (collection / "qrels" / "train.tsv").unlink()


def test_bands(collection, first_run, out, kinds):
    bands = ("--band", "hard=1-2:1", "--band", "easy=3-5:2")
    data("bands", "--data", collection, "--run", first_run, *bands, "--output", out)
    lessons = list(read_lessons(out))
    assert len(lessons) == 6
    assert sorted(lessons[0].meta["bands"]) == ["easy", "easy", "hard", "positive"]
    data("bands", "--data", collection, *bands, "--guard", "scripted-pairs:any", "--margin", 1, "--output", out)
    assert manifest(out)["source"]["first_stage"] == "bm25"
    data("bands", "--data", collection, "--band", "hard", "--output", out, fails=3)


def test_cloze(collection, out):
    job = ("cloze", collection, "--size", 2, "--words", 2, "--query-words", 1, "--count", 4, "--output", out)
    data(*job)
    lessons = list(read_lessons(out))
    assert len(lessons) == manifest(out)["made"]["lessons"] == 4
    for lesson in lessons:
        (query,) = lesson.slate.query.text.split()
        assert all(query in lesson.slate.candidates[place].document.text for place in lesson.target.subset)
    data("cloze", collection, "--words", 500, "--output", out, fails=3)


def test_teach_then_groups(collection, first_run, out, kinds, tmp_path):
    pools = ("--head", 3, "--tail", 2, "--last", 5)
    teachers = ("--pointwise", "scripted-pairs:any", "--listwise", "scripted-list:[5] > [1] > [2] > [3] > [4]")
    data("teach", "--data", collection, "--run", first_run, *teachers, *pools, "--output", out)
    lessons = list(read_lessons(out))
    assert len(lessons) == 6
    assert all(lesson.target.order[0] == 4 for lesson in lessons)
    assert all("capital" in lesson.slate.candidates[4].document.text for lesson in lessons)
    assert manifest(out)["settings"]["pointwise"] == "scripted-pairs:any"
    groups = tmp_path / "groups.jsonl.gz"
    data("groups", out, "--sizes", "2", "--scales", 1, "--output", groups)
    assert {len(group) for group in read_lessons(groups)} == {2}
    assert manifest(groups)["made"]["lessons"] == 12
    data("groups", out, "--sizes", "5-", "--output", groups, fails=3)
    data("teach", "--data", collection, "--run", first_run, "--output", out, fails=3)


def test_a_teacher_that_does_not_answer(collection, first_run, out, kinds, capsys):
    data(
        "teach", "--data", collection, "--run", first_run, "--listwise", "scripted-list:error", "--output", out, fails=5
    )
    assert "a teacher failed: 6" in capsys.readouterr().err
    assert not out.exists()


def test_teaching_goes_on_after_a_stop(collection, first_run, out, kinds, bomb, capsys):
    job = ("teach", "--data", collection, "--run", first_run, "--pointwise", "scripted-pairs:any", "--output", out)
    bomb.left = 40
    data(*job, "--limit", 3, fails=0)
    whole = out.read_bytes()
    out.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    bomb.asked.clear()
    data(*job, "--limit", 3, "--resume")
    assert out.read_bytes() == whole
    assert set(bomb.asked) == {"capital of Chad?"}
    data(*job, "--limit", 3, "--resume", "--beta", 0.1, fails=3)
    assert "begun with beta" in capsys.readouterr().err


def test_imitate_a_run_and_lessons(collection, first_run, out, kinds, tmp_path):
    spec = ("--reranker", "scripted-pairs:any?keep=top:2")
    data("imitate", "--data", collection, "--run", first_run, *spec, "--size", 4, "--output", out)
    made = list(read_lessons(out))
    assert len(made) == 6
    assert all(len(lesson) == 4 and len(lesson.target.subset) == 2 for lesson in made)
    again = tmp_path / "again.jsonl"
    data("imitate", "--lessons", out, "--reranker", "scripted-list:[2] > [1]", "--output", again, fails=5)
    data("imitate", "--lessons", out, "--reranker", "scripted-list:[2] > [1] > [3] > [4]", "--output", again)
    assert [lesson.target.order for lesson in read_lessons(again)] == [(1, 0, 2, 3)] * 6
    data("imitate", *spec, "--output", again, fails=3)
    data("imitate", "--lessons", out, *spec, "--scale", "range", "--ends", "1", "--output", again, fails=3)


def test_experts(collection, first_run, out, capsys):
    def capital(body):
        words = last_words(body)
        return words.split("is ")[1].split(".")[0] if "The capital of" in words else "no answer"

    with serve(capital) as server:
        reader = f"openai:m@{server.url}/v1"
        job = ("experts", "--data", collection, "--run", first_run, "--reader", reader, "--output", out)
        data(*job, "--json")
        asked = len(server.seen)
        data(*job)  # all readings are kept beside the output
        assert len(server.seen) == asked
    told = json.loads(capsys.readouterr().out)
    assert told["counts"]["kept"] == 6
    lessons = list(read_lessons(out))
    assert [lesson.target.subset for lesson in lessons] == [(4,)] * 6
    assert all(lesson.target.rejected.subset == (0, 1, 2, 3, 4) for lesson in lessons)


def test_from_a_bare_corpus_to_lessons(tmp_path, kinds, out, capsys):
    """Text files, a writer behind HTTP, BM25 and a judge; then the collection is labelled by a teacher."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in NAMES:
        (docs / f"{name}.md").write_text(f"The capital of {name} is a fine town, {'with a river and a bridge ' * 5}.")

    def question(body):
        return f"which town is the capital of {next(name for name in NAMES if name in last_words(body))}?"

    made = tmp_path / "made"
    with serve(question) as server:
        job = ("queries", docs, "--writer", f"openai:m@{server.url}/v1", "--judge", "none", "--output", made)
        data(*job, "--splits", "train=2,dev=1", "--json")
        told, asked = json.loads(capsys.readouterr().out), len(server.seen)
        data(*job, fails=3)
        data(*job, "--splits", "train=2,dev=1", "--resume")
        assert len(server.seen) == asked == len(NAMES)
    assert told["splits"] == {"train": 4, "dev": 2}
    written = open_collection(made)
    assert written.splits == ("dev", "train")
    assert [set(g.values()) for g in written.qrels().values()] == [{1}] * 6
    teacher = ("--pointwise", "scripted-pairs:any")
    data("teach", "--data", made, "--run", made / "run.trec", *teacher, "--output", out)
    lessons = list(read_lessons(out))
    assert len(lessons) == 4  # the split train, without being asked
    assert all(lesson.grades for lesson in lessons)


def test_queries_say_what_is_wrong(tmp_path, capsys):
    data("queries", tmp_path / "lost", "--output", tmp_path / "out", fails=3)
    (tmp_path / "docs").mkdir()
    data("queries", tmp_path / "docs", "--splits", "train", "--output", tmp_path / "out", fails=3)
    assert "write train=0.8" in capsys.readouterr().err


@pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning", "default::UserWarning")
def test_a_retriever_from_lessons_and_from_judgements(collection, first_run, out, tmp_path, capsys):
    (collection / "splits.json").write_text(json.dumps({"train": ["q0", "q1", "q2", "q3"], "dev": ["q4", "q5"]}))
    model = tiny_encoder.encoder(tmp_path / "tiny")
    data("bands", "--data", collection, "--run", first_run, "--band", "hard=1-4:2", "--output", out)
    job = ("retriever", "--data", collection, "--model", model, "--batch", 2, "--max-length", 16, "--passages", 8)
    capsys.readouterr()
    data(*job, "--lessons", out, "--output", tmp_path / "one", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["steps"] == 2
    assert told["counts"] == {"examples": 4}
    assert set(told["before"]) == set(told["after"]) == {f"recall@{k}" for k in (1, 5, 10, 20, 100)}
    assert told["after"]["recall@100"] == 1.0
    assert manifest(tmp_path / "one")["source"] == {
        "collection": "capitals",
        "measured_on": "dev",
        "queries": 2,
        "passages": 8,
    }
    data(*job, "--steps", 1, "--output", tmp_path / "two")
    assert "recall@1" in capsys.readouterr().out
    data(*job, "--output", tmp_path / "two", fails=3)
