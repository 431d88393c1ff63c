"""The cache's file: what goes in comes out, between threads, between processes, and after a crash."""

import errno
import os
import sqlite3
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.backends.cache import key_of
from shortlist.backends.store import Store
from shortlist.errors import InvalidFile


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "deep" / "cache.sqlite") as made:
        yield made


KEY = key_of("kind", "identity", "x")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=40)
@given(st.lists(JSON | st.binary(), max_size=4))
def test_what_goes_in_comes_out(tmp_path_factory, values):
    with Store(tmp_path_factory.mktemp("store") / "s") as store:
        given_ = {key_of("k", "i", i): value for i, value in enumerate(values)}
        store.put_many(given_)
        assert store.get_many([*given_, KEY]) == given_
        assert len(store) == len(given_)


def test_many_keys_and_the_first_value_stays(store):
    keys = [key_of("k", "i", i) for i in range(2000)]
    store.put_many(dict.fromkeys(keys, 1))
    store.put_many({keys[0]: 2})
    assert store.get_many(keys + keys) == dict.fromkeys(keys, 1)
    assert bool(store)
    store.close()
    assert len(store) == 2000


def test_nothing_happens_at_construction(tmp_path):
    Store(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [b"this is no database, believe me" * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_file_that_is_no_database(tmp_path, damage):
    path = tmp_path / "broken.sqlite"
    path.write_bytes(damage)
    store = Store(path)
    for use in (lambda: store.get_many([KEY]), lambda: store.put_many({KEY: 1}), lambda: len(store)):
        with pytest.raises(InvalidFile, match=r"broken\.sqlite.*Delete the file or give another path"):
            use()
    assert path.read_bytes() == damage


def test_a_damaged_page_and_a_damaged_entry(tmp_path):
    path = tmp_path / "c.sqlite"
    with Store(path) as store:
        store.put_many({key_of("k", "i", i): "x" * 500 for i in range(200)})
    raw = bytearray(path.read_bytes())
    raw[4096:] = b"\xaa" * (len(raw) - 4096)
    (tmp_path / "d.sqlite").write_bytes(raw)
    with Store(tmp_path / "d.sqlite") as store, pytest.raises(InvalidFile, match=r"d\.sqlite"):
        store.get_many([key_of("k", "i", i) for i in range(200)])
    with Store(path) as store:
        key = key_of("k", "i", 0)
        other = sqlite3.connect(path)
        other.execute("UPDATE entries SET value = '{half' WHERE key = ?", [bytes.fromhex(key)])
        other.commit()
        other.close()
        with pytest.raises(InvalidFile, match="no JSON"):
            store.get_many([key])


def test_other_databases_are_left_alone(tmp_path):
    for name, statement, why in (
        ("a", "CREATE TABLE mine (x)", "something else"),
        ("b", "PRAGMA user_version=9", "format 9"),
    ):
        other = sqlite3.connect(tmp_path / name)
        other.execute(statement)
        other.commit()
        other.close()
        with pytest.raises(InvalidFile, match=why):
            len(Store(tmp_path / name))


def test_a_folder_in_the_files_place(tmp_path):
    with pytest.raises(InvalidFile, match="unable to open"):
        len(Store(tmp_path))
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidFile, match="folder cannot be made"):
        len(Store(tmp_path / "file" / "cache"))


def run(code, *arguments, **more):
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)], **more)


WRITER = """
    import sys
    from shortlist.backends.store import Store
    from shortlist.backends.cache import key_of
    path, who, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    store = Store(path)
    for i in range(count):
        store.put_many({key_of("k", who, [i, j]): "v" * 200 for j in range(10)})
        print(i, flush=True)
"""


def test_processes_share_a_file(tmp_path):
    path = tmp_path / "shared.sqlite"
    writers = [run(WRITER, path, who, 30, stdout=subprocess.DEVNULL) for who in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    with Store(path) as store:
        assert len(store) == 3 * 30 * 10


def test_killed_in_the_midst_of_writing(tmp_path):
    path = tmp_path / "killed.sqlite"
    writer = run(WRITER, path, "w", 10**9, stdout=subprocess.PIPE, text=True)
    told = [int(writer.stdout.readline()) for _ in range(40)][-1]
    writer.kill()
    rest = writer.stdout.read().split()
    writer.wait()
    writer.stdout.close()
    done = int(rest[-1]) if rest and rest[-1].isdigit() else told
    with Store(path) as store:
        kept = store.get_many([key_of("k", "w", [i, j]) for i in range(done) for j in range(10)])
        assert len(kept) == done * 10  # all that was told of as done, but maybe the last, half-written number
        assert len(store) % 10 == 0  # a batch is in whole or not at all
        store.put_many({KEY: "writable"})
        assert store.get_many([KEY]) == {KEY: "writable"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_opens_its_own(tmp_path):
    code = """
        import os, sys
        from shortlist.backends.store import Store
        store = Store(sys.argv[1])
        store.put_many({"aa": 1})
        child = os.fork()
        assert child or store._idle.take() is None
        store.put_many({"bb" if child else "cc": 2})
        if child:
            assert os.waitpid(child, 0)[1] == 0
            assert len(store) == 3
        store.close()
    """
    assert run(code, tmp_path / "f").wait(30) == 0


def test_a_full_disk_is_no_reason_to_delete_what_was_kept(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        store.put_many({"aa" * 32: 1})
        with store._connection() as connection:
            connection.execute("PRAGMA max_page_count=4")
        with pytest.raises(OSError, match=r"No space left.*s\.sqlite") as told:
            store.put_many({"bb" * 32: "x" * 100_000})
        assert told.value.errno == errno.ENOSPC
        assert store.get_many(["aa" * 32]) == {"aa" * 32: 1}
