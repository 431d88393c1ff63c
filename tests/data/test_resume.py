"""Going on where a stopped job left off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import ResumableWriter, ranking_to_json, read_jsonl, read_run
from shortlist.data.trec import run_block
from shortlist.errors import InvalidFile, InvalidInput
from shortlist.types import Query, Ranking, RerankRequest


def block(qid, n=3):
    return run_block(qid, [f"d{i}" for i in range(n)], None, "t")


def run_of(count):
    return "".join(block(f"q{i}") for i in range(count))


def test_jsonl_is_gone_on_with(tmp_path):
    path = tmp_path / "deep" / "out.jsonl"
    with ResumableWriter.jsonl(path) as out:
        assert out.done == set()
        for name in "ab":
            ranking = Ranking.of(RerankRequest.of(Query(id=name, text="x"), ["p"]), [0])
            out.write_record(name, ranking_to_json(ranking))
    with path.open("a") as torn:
        torn.write('{"query": {"id": "c"')
    with ResumableWriter.jsonl(path) as out:
        assert (out.done, out.dropped) == ({"a", "b"}, 20)
        out.write_record("c", {"query_id": "c"})
        with pytest.raises(InvalidInput, match=r"'a' is in .* already"):
            out.write_record("a", {})
    assert len(list(read_jsonl(path))) == 3


def test_every_write_is_on_its_way_at_once(tmp_path):
    with ResumableWriter.jsonl(tmp_path / "out") as out:
        out.write_record("a", {"id": "a"})
        assert (tmp_path / "out").read_text() == '{"id": "a"}\n'


@given(st.integers(1, 4), st.data())
def test_a_run_cut_anywhere_ends_up_whole(tmp_path_factory, count, data):
    path = tmp_path_factory.mktemp("run") / "run"
    text = run_of(count)
    path.write_text(text[: data.draw(st.integers(0, len(text)))])
    with ResumableWriter.trec(path) as out:
        for i in range(count):
            if f"q{i}" not in out.done:
                out.write(f"q{i}", block(f"q{i}"))
    assert path.read_text() == text


@given(st.integers(1, 4), st.data())
def test_jsonl_cut_anywhere_ends_up_whole(tmp_path_factory, count, data):
    path = tmp_path_factory.mktemp("jsonl") / "out"
    text = "".join(f'{{"id": "q{i}", "x": "é"}}\n' for i in range(count))
    path.write_bytes(text.encode()[: data.draw(st.integers(0, len(text.encode())))])
    with ResumableWriter.jsonl(path) as out:
        for i in range(count):
            if f"q{i}" not in out.done:
                out.write_record(f"q{i}", {"id": f"q{i}", "x": "é"})
    assert path.read_text(encoding="utf-8") == text


def test_only_the_last_query_of_a_run_is_done_again(tmp_path):
    path = tmp_path / "run"
    path.write_text(run_of(3))
    with ResumableWriter.trec(path) as out:
        assert out.done == {"q0", "q1"}
        assert out.dropped == len(block("q2"))
        request = RerankRequest.of(Query(id="q2", text="x"), ["p", "q"])
        out.write_ranking(Ranking.of(request, [1, 0]), tag="t")
    assert read_run(path)["q2"] == {"1": 2.0, "0": 1.0}


def test_a_tail_of_nuls_is_dropped_and_damage_elsewhere_is_not(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b'{"id": "a"}\n\x00\x00\x00\x00\n')
    with ResumableWriter.jsonl(path) as out:
        assert out.done == {"a"}
    path.write_bytes(b'{"id": "a"}\n\x00\x00\n{"id": "b"}\n')
    with pytest.raises(InvalidFile, match="out:2"):
        ResumableWriter.jsonl(path)
    assert path.read_bytes().endswith(b'{"id": "b"}\n')


def test_other_files_are_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text('{"name": 1}\n{"name": 2}\n')
    for open_it in (ResumableWriter.jsonl, ResumableWriter.trec):
        with pytest.raises(InvalidFile):
            open_it(path)
    assert path.read_text() == '{"name": 1}\n{"name": 2}\n'
    with pytest.raises(InvalidInput, match="gzip"):
        ResumableWriter.trec(tmp_path / "run.gz")
    with pytest.raises(InvalidFile, match="is a folder"):
        ResumableWriter.trec(tmp_path)
