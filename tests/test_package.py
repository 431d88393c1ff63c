"""The package as a whole: light to import, its public names told, its examples true."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys

import pytest

import shortlist
from shortlist.errors import MissingExtra

HEAVY = (
    "torch",
    "transformers",
    "onnxruntime",
    "sentence_transformers",
    "xllamacpp",
    "vllm",
    "scipy",
    "bm25s",
    "typer",
)
MODULES = sorted(m.name for m in pkgutil.walk_packages(shortlist.__path__, "shortlist."))


def loaded_by(statement):
    code = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_import_pulls_no_heavy_package():
    assert not loaded_by("import shortlist") & set(HEAVY)


def test_the_command_line_pulls_no_heavy_package():
    assert not loaded_by("import shortlist.cli.app") & (set(HEAVY) - {"typer", "bm25s"})


def test_all_is_what_is_public():
    public = {
        name
        for name, value in vars(shortlist).items()
        if (not name.startswith("_") and not inspect.ismodule(value)) or name == "__version__"
    }
    assert set(shortlist.__all__) == public
    assert shortlist.__all__ == sorted(shortlist.__all__)


@pytest.mark.parametrize("name", [name for name in shortlist.__all__ if name != "__version__"])
def test_public_names_are_explained_and_come_from_their_home(name):
    value = getattr(shortlist, name)
    assert inspect.getdoc(value)
    assert value.__module__.startswith("shortlist.")
    assert getattr(importlib.import_module(value.__module__), name) is value


def test_version():
    assert shortlist.__version__.count(".") >= 2


@pytest.mark.parametrize("name", MODULES)
def test_every_module_imports_says_what_it_is_and_its_examples_are_true(name):
    try:
        module = importlib.import_module(name)
    except MissingExtra as absent:
        pytest.skip(str(absent))
    assert module.__doc__
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).failed == 0
