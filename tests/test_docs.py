"""The documentation says what the program does: pages made from it are current, and its examples run."""

from __future__ import annotations

import importlib.util
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from shortlist.rerankers import catalog, kinds
from shortlist.rerankers.spec import Options
from shortlist.text.base import PromptBase

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NEED_A_MODEL = {"rerank.py", "local_llm.py"}
NEED_A_SERVER = {"server.py"}
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def _blocks(name: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", _page(name), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def clean_registries() -> Iterator[None]:
    """Kinds and prompts that an example registers are forgotten again."""
    known, prompts = dict(kinds.KINDS), dict(PromptBase.registry)
    yield
    for registry, before in ((kinds.KINDS, known), (PromptBase.registry, prompts)):
        registry.clear()
        registry.update(before)  # type: ignore[arg-type]


def test_the_command_line_page_is_current():
    made = _script("cli_reference").page()
    assert made == _page("cli.md"), "docs/cli.md is out of date: run python scripts/cli_reference.py"


def test_the_command_line_page_knows_every_command():
    assert set(re.findall(r"^## shortlist (\w+)$", _page("cli.md"), flags=re.MULTILINE)) >= {"rerank", "evaluate"}


def test_the_table_of_costs_is_current():
    _, table, _ = re.split(r"<!-- call costs -->\n|\n<!-- end -->", _page("rerankers.md"))
    assert table == _script("call_costs").table(), "run python scripts/call_costs.py and paste its table"


@pytest.mark.parametrize("number", range(len(_blocks("extending.md"))))
@pytest.mark.usefixtures("clean_registries")
def test_the_examples_of_extending_run(number, tmp_path):
    block = tmp_path / f"block_{number}.py"
    block.write_text(_blocks("extending.md")[number], encoding="utf-8")
    runpy.run_path(str(block), run_name="__main__")


@pytest.mark.parametrize("page", ["index.md", "files.md", "rerankers.md"])
def test_imports_of_other_pages_exist(page):
    for block in _blocks(page):
        imports = "\n".join(re.findall(r"^from shortlist.*$", block, flags=re.MULTILINE))
        assert imports
        exec(imports, {})


_NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def test_the_tests_that_pin_traps_exist():
    section = _page("papers.md").partition("## Traps of the published code")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if re.match(r"\| (\d|\|)", line)]
    numbers = {line.split("|")[1].strip() for line in rows} - {""}
    assert numbers == {*map(str, range(1, 16)), "14b"}
    assert all(_NAMED.search(line) for line in rows)
    for file, name in _NAMED.findall(section):
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert re.search(rf"^ *def {name}\(", text, flags=re.MULTILINE), f"{file} has no {name}"


# ------------------------------------------------------------------------------------------------ options


def _options_of(section: str) -> set[str]:
    """The names in the first column of a section's tables of options."""
    body = re.split(rf"^#+ {re.escape(section)}$", _page("rerankers.md"), flags=re.MULTILINE)[1]
    body = re.split(r"^#", body, maxsplit=1, flags=re.MULTILINE)[0]
    tables = re.findall(r"^\| option .*\n\|---.*\n((?:\|.*\n)*)", body, flags=re.MULTILINE)
    return {name for table in tables for name in re.findall(r"^\| `(\w+)`", table, flags=re.MULTILINE)}


def _known(kind: str, **given: str) -> set[str]:
    options = Options(kind, dict(given))
    model = "minilm-l12" if kind in {"cross-encoder", "hops"} else "openai:m@http://127.0.0.1:9/v1"
    kinds.KINDS[kind](kinds.Order(model, options))
    return set(options._known)


@pytest.mark.parametrize("kind", sorted(kinds.KINDS))
def test_every_option_of_a_kind_is_documented(kind):
    common = {"cross-encoder": set(), "hops": set()}.get(kind, _options_of("Options of language models"))
    known = _known(kind)
    if "read" in known:
        common = common | _options_of("Likelihoods or replies")
        known |= _known(kind, read="text")
    if "max_tokens" in known:
        common = common | _options_of("Replies")
    assert _options_of(kind) | common == known


def test_options_of_every_kind_are_documented():
    ranker_options = _options_of("Options of every kind")
    with pytest.raises(catalog.UnknownName) as refused:
        catalog.open_reranker("likelihood:openai:m@http://127.0.0.1:9/v1?no=1")
    assert ranker_options | _options_of("Options of language models") == set(refused.value.known)


# ------------------------------------------------------------------------------------------------ examples


def test_there_are_examples():
    assert {path.name for path in EXAMPLES} > NEED_A_MODEL | NEED_A_SERVER


@pytest.mark.parametrize(
    "path", [p for p in EXAMPLES if p.name not in NEED_A_MODEL | NEED_A_SERVER], ids=lambda p: p.name
)
@pytest.mark.usefixtures("clean_registries")
def test_examples_run_without_a_model(path, capsys):
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out


@pytest.mark.models
@pytest.mark.parametrize("name", sorted(NEED_A_MODEL))
@pytest.mark.usefixtures("model_minilm", "model_smollm")
def test_examples_run_with_a_model(name, capsys):
    runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
    assert capsys.readouterr().out


@pytest.mark.parametrize("path", [p for p in EXAMPLES if p.name in NEED_A_SERVER], ids=lambda p: p.name)
def test_the_other_examples_compile(path):
    compile(path.read_text(encoding="utf-8"), str(path), "exec")
