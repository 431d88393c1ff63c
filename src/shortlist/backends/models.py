"""Where models come from: a path, a name of the catalog, or an id of the Hugging Face hub.

A catalog model is looked for in the cache first, then in a Python package that carries its files, then on the hub. The
package comes before the hub because its files are the ones our numbers were measured with, and their checksums are
known; it is fetched with the user's own pip configuration, and nothing of it is imported or installed.

The cache is ``$SHORTLIST_HOME/models`` (else ``~/.cache/shortlist/models``). With ``SHORTLIST_OFFLINE=1`` nothing is
fetched.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shortlist.backends.catalog import CATALOG, ModelCard
from shortlist.backends.fetching import Unreachable, fetch_hub_files, fetch_hub_snapshot, fetch_package, locked
from shortlist.errors import ModelUnavailable, UnknownName

Progress = Callable[[str], None]
"""Is told, in a sentence, what is being fetched."""

_LOG = logging.getLogger(__name__)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WEIGHTS = (".onnx", ".safetensors", ".gguf")
_DECISIVE = (*_WEIGHTS, "tokenizer.json", "config.json", "chat_template.jinja", "tokenizer_config.json")
_MANIFEST = "shortlist-model.json"


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model whose files are here. ``path`` is a folder or a single ``.gguf`` file.

    ``card`` is set for models of the catalog; ``revision`` is the hub's commit, where it came from there.
    """

    name: str
    path: Path
    card: ModelCard | None = None
    revision: str | None = None

    @property
    def folder(self) -> Path:
        """The folder that holds the files."""
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def identity(self) -> str:
        """A checksum over the files that decide the output (weights, tokenizer, configuration)."""
        paths = [self.path] if self.path.is_file() else decisive_files(self.path)
        digest = hashlib.sha256()
        for path in paths:
            digest.update(f"{path.name} {file_sha256(path)}\n".encode())
        return f"{self.name}@{digest.hexdigest()[:16]}"

    def file(self, *names: str) -> Path:
        """The first of ``names`` that exists in the folder; :class:`ModelUnavailable` if none does."""
        for name in names:
            if (self.folder / name).is_file():
                return self.folder / name
        raise ModelUnavailable(f"model {self.name!r}: {self.folder} holds no {' and no '.join(names)}")

    def gguf(self) -> Path:
        """The model's GGUF file: itself, or the only one of its folder."""
        if self.path.is_file():
            return self.path
        found = sorted(self.path.glob("*.gguf"))
        if len(found) != 1:
            raise ModelUnavailable(f"{self.path} holds {len(found)} .gguf files; name the one to use")
        return found[0]


def home() -> Path:
    """The cache folder."""
    told = os.environ.get("SHORTLIST_HOME")
    return Path(told).expanduser() if told else Path.home() / ".cache" / "shortlist"


def known_models(task: str | None = None) -> tuple[ModelCard, ...]:
    """The catalog, or those of its models that do ``task`` ("cross-encoder", "embedding", "chat")."""
    return tuple(card for card in CATALOG.values() if task is None or task in card.tasks)


def is_cached(name: str) -> bool:
    """Whether a catalog model can be used without fetching anything."""
    return _complete(_card(name), _cache_folder(_card(name)))


def resolve(
    model: str | Path | LocalModel, *, revision: str | None = None, progress: Progress | None = None
) -> LocalModel:
    """The model's files, fetched if need be.

    ``model`` is a path (a folder, or a ``.gguf`` file), a catalog name, or a hub id (``org/name``; ``revision`` picks a
    commit). A catalog name wins over a folder of that name in the working directory: write ``./name`` for the folder.
    Raises :class:`ModelUnavailable` with everything that was tried, :class:`UnknownName` for names that are none of
    these.
    """
    if isinstance(model, LocalModel):
        return model
    if isinstance(model, str) and model in CATALOG:
        return _from_catalog(CATALOG[model], progress or _LOG.info)
    path = Path(model).expanduser()
    if path.exists():
        return _from_path(path)
    if isinstance(model, Path) or path.suffix == ".gguf" or model.startswith((".", "/", "~")):
        raise ModelUnavailable(f"{path} does not exist; give a model folder, a .gguf file, a catalog name or a hub id")
    if _HUB_ID.fullmatch(model):
        return _from_hub(model, revision, progress or _LOG.info)
    raise UnknownName("model", model, CATALOG)


def _card(name: str) -> ModelCard:
    if name not in CATALOG:
        raise UnknownName("model", name, CATALOG)
    return CATALOG[name]


def _from_path(path: Path) -> LocalModel:
    if path.is_file() and path.suffix != ".gguf":
        raise ModelUnavailable(f"{path} is a file; give the folder it is in, or a .gguf file")
    return LocalModel(name=path.stem if path.is_file() else path.resolve().name, path=path)


def _from_hub(hub_id: str, revision: str | None, progress: Progress) -> LocalModel:
    try:
        if _offline():
            progress(f"offline: looking for {hub_id} in the hub's own cache")
        folder = fetch_hub_snapshot(hub_id, revision, progress, offline=_offline())
    except Unreachable as error:
        raise ModelUnavailable(
            f"model {hub_id!r} could not be had from the hub: {error}. Give a local folder, or one of the catalog's "
            f"models: {', '.join(CATALOG)}"
        ) from error
    return LocalModel(name=hub_id, path=folder, revision=folder.name)


# ------------------------------------------------------------------------------------------------ the catalog's cache


def _from_catalog(card: ModelCard, progress: Progress) -> LocalModel:
    folder = _cache_folder(card)
    if not _complete(card, folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.parent / f"{folder.name}.lock"):
            if not _complete(card, folder):  # another process may have fetched it while we waited
                _fetch(card, folder, progress)
    return LocalModel(name=card.name, path=folder / card.single_file if card.single_file else folder, card=card)


def _cache_folder(card: ModelCard) -> Path:
    return home() / "models" / f"{card.name}-{card.digest[:12]}"


def _complete(card: ModelCard, folder: Path) -> bool:
    """The manifest is written last, so that its presence tells that the folder is whole; sizes are looked at too."""
    try:
        sizes = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))["sizes"]
        return all((folder / file.name).stat().st_size == sizes[file.name] for file in card.files)
    except (OSError, ValueError, KeyError):
        return False


def _fetch(card: ModelCard, folder: Path, progress: Progress) -> None:
    tried: list[str] = [f"cache: not in {folder}"]
    if _offline():
        raise ModelUnavailable(_how_to_get(card, [*tried, "nothing else, because SHORTLIST_OFFLINE is set"]))
    if card.package is not None:
        try:
            fetch_package(card.package, card.files, folder, progress)
            return _write_manifest(card, folder, card.package.requirement)
        except Unreachable as error:
            tried.append(f"package {card.package.requirement}: {error}")
    if card.hub is not None:
        try:
            fetch_hub_files(card.hub, card.files, folder, progress)
            return _write_manifest(card, folder, card.hub.repo)
        except Unreachable as error:
            tried.append(f"hub {card.hub.repo}: {error}")
    raise ModelUnavailable(_how_to_get(card, tried))


def _write_manifest(card: ModelCard, folder: Path, source: str) -> None:
    sizes = {file.name: (folder / file.name).stat().st_size for file in card.files}
    told = {"name": card.name, "source": source, "licence": card.licence, "sizes": sizes}
    partial = folder / f"{_MANIFEST}.{os.getpid()}"
    partial.write_text(json.dumps(told, indent=2), encoding="utf-8")
    partial.replace(folder / _MANIFEST)


def _how_to_get(card: ModelCard, tried: list[str]) -> str:
    ways = "give pip an index it can reach, or pass a local folder instead of the name"
    return f"model {card.name!r} is not here. Tried: {'; '.join(tried)}. To get it: {ways}."


def _offline() -> bool:
    return os.environ.get("SHORTLIST_OFFLINE", "") not in {"", "0"}


# ------------------------------------------------------------------------------------------------ checksums


def decisive_files(folder: Path) -> list[Path]:
    """The files of a folder that decide a model's output, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name.endswith(_DECISIVE))


def file_sha256(path: Path) -> str:
    """The file's SHA-256 in hex, remembered as long as its size and time stay the same."""
    stat = path.stat()
    return _sha256(path.resolve(), stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:  # noqa: ARG001 - they are part of the cache's key
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def trained_length(local: LocalModel) -> int:
    """The longest input in tokens.

    What the catalog, the model's or its tokenizer's configuration says; 512 if they say nothing.
    """
    if local.card is not None:
        return local.card.max_length
    limits = []
    for name, key in (("config.json", "max_position_embeddings"), ("tokenizer_config.json", "model_max_length")):
        path = local.folder / name
        told = json.loads(path.read_text(encoding="utf-8")).get(key) if path.is_file() else None
        if isinstance(told, int) and 0 < told < 1_000_000:  # "no limit" is written as a huge number
            limits.append(told)
    return min(limits, default=512)
