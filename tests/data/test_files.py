"""Text files: what is read, what is refused, and what a crash leaves behind."""

import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data.files import (
    atomic_writer,
    json_line,
    line_at,
    lines_of,
    map_file,
    read_json_records,
    read_jsonl,
    read_lines,
    write_jsonl,
)
from shortlist.errors import InvalidFile, InvalidInput


def test_lines_end_at_lf_or_crlf_only_and_a_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\r\n\n  \ntwo\u2028still two\x0b\nthree".encode())
    assert list(read_lines(path)) == [(1, "one"), (4, "two\u2028still two\x0b"), (5, "three")]


def test_gzip_is_told_by_its_bytes_not_by_its_name(tmp_path):
    path = tmp_path / "looks-plain.jsonl"
    path.write_bytes(gzip.compress(b'{"a": 1}\n{"a": 2}\n'))
    assert list(read_jsonl(path)) == [(1, {"a": 1}), (2, {"a": 2})]


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        (b'{"a": 1}\n{"a": \n', 2, "not JSON"),
        (b'{"a": 1}\n[1]\n', 2, "JSON list, not an object"),
        (b'{"a": 1}\n\n{"a": "\xe9"}\n', 3, "not UTF-8"),
        (b'{"a": "\x00"}\n', 1, "not JSON"),
        (b"\x00\x00\x00\n", 1, "not JSON"),
        (b"[" * 100_000, 1, "not JSON"),
    ],
)
def test_a_bad_line_is_named(tmp_path, content, line, says):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(InvalidFile, match=says) as caught:
        list(read_jsonl(path))
    assert caught.value.line == line
    assert f"bad.jsonl:{line}:" in str(caught.value)


def test_missing_files_folders_and_broken_gzip_say_so(tmp_path):
    (tmp_path / "corpus.json").write_text("")
    with pytest.raises(InvalidFile, match=r"no such file \(in its folder: corpus.json\)"):
        list(read_lines(tmp_path / "corpus.jsonl"))
    with pytest.raises(InvalidFile, match="nor its folder"):
        list(read_lines(tmp_path / "no" / "where.txt"))
    with pytest.raises(InvalidFile, match="is a folder"):
        list(read_lines(tmp_path))
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(os.urandom(5000).hex().encode())[:3000])
    with pytest.raises(InvalidFile, match="broken gzip"):
        list(read_lines(cut))
    with pytest.raises(InvalidFile, match="broken gzip"):
        map_file(cut)


def test_a_megabyte_line_and_an_escaped_nul_pass(tmp_path):
    record = {"text": "é\0" + "x" * (1 << 20)}
    write_jsonl(tmp_path / "a.jsonl.gz", [record])
    assert [value for _, value in read_jsonl(tmp_path / "a.jsonl.gz")] == [record]


def test_writing_is_all_or_nothing(tmp_path):
    path = tmp_path / "deep" / "out.jsonl"
    assert write_jsonl(path, [{"a": 1}, {"a": 2}]) == 2
    before = path.read_bytes()

    def failing():
        yield {"a": 3}
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_jsonl(path, failing())
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["out.jsonl"]


def test_the_same_text_gives_the_same_gzip_bytes(tmp_path):
    for name in ("a.gz", "b.gz"):
        write_jsonl(tmp_path / name, [{"a": 1}])
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_a_link_stays_a_link_and_a_device_stays_a_device(tmp_path):
    (tmp_path / "real.jsonl").write_text("old\n")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "real.jsonl")
    write_jsonl(tmp_path / "link.jsonl", [{"a": 1}])
    assert (tmp_path / "link.jsonl").is_symlink()
    assert (tmp_path / "real.jsonl").read_text() == '{"a": 1}\n'
    with atomic_writer(os.devnull) as out:
        out.write(b"gone")
    assert Path(os.devnull).is_char_device()
    with pytest.raises(InvalidInput, match="is a folder"), atomic_writer(tmp_path):
        pass


def test_nan_and_strange_objects_are_refused():
    with pytest.raises(InvalidInput, match="cannot be written as JSON"):
        json_line({"a": float("nan")})
    with pytest.raises(InvalidInput, match="cannot be written as JSON"):
        json_line({"a": object()})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(st.characters(), max_size=9), json_values, max_size=4))
def test_any_object_fits_one_line_and_comes_back(record):
    line = json_line(record)
    assert "\n" not in line
    assert json.loads(line.encode()) == record


def test_half_a_surrogate_pair_is_escaped():
    assert json.loads(json_line({"a": "\ud800é"}).encode()) == {"a": "\ud800é"}


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=200), max_size=5), max_size=20), st.booleans())
def test_an_array_is_read_as_its_lines_are(tmp_path_factory, records, pretty):
    path = tmp_path_factory.mktemp("array") / "a.json"
    path.write_text(json.dumps(records, indent=2 if pretty else None), encoding="utf-8")
    assert [record for _, record in read_json_records(path)] == records


def test_long_records_of_an_array_cross_blocks_and_a_torn_array_says_so(tmp_path):
    path = tmp_path / "a.json"
    records = [{"text": "é" * 300_000}, {"text": "b"}]
    path.write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
    assert [record for _, record in read_json_records(path)] == records
    path.write_text(json.dumps(records)[:-5])
    with pytest.raises(InvalidFile, match="breaks off"):
        list(read_json_records(path))
    path.write_text("[1, 2]")
    with pytest.raises(InvalidFile, match="not objects"):
        list(read_json_records(path))


@given(st.binary(max_size=200))
def test_lines_of_a_map_are_the_file(data):
    found = list(lines_of(data))
    assert b"".join(line for _, line in found) == data
    for number, (offset, line) in enumerate(found, 1):
        assert data[offset:].startswith(line)
        assert line_at(data, offset) == number
