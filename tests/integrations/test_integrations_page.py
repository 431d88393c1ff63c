"""The examples of docs/integrations.md run, and print what the page says they print."""

from __future__ import annotations

import re
import runpy
import warnings
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "integrations.md").read_text(encoding="utf-8")
SECTIONS = {
    title: block
    for title, body in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
    for block in re.findall(r"^```python\n(.*?)^```", body, flags=re.MULTILINE | re.DOTALL)
}
INTEGRATIONS = Path(__file__).parents[2] / "src" / "shortlist" / "integrations"


def test_every_integration_has_an_example():
    named = set(re.findall(r"from shortlist\.integrations\.(\w+) import", "\n".join(SECTIONS.values())))
    assert named >= {path.stem for path in INTEGRATIONS.glob("*.py")} - {"__init__"}
    assert all(re.search(r"^print\(.*\)  # .+$", block, flags=re.MULTILINE) for block in SECTIONS.values())


@pytest.mark.models
@pytest.mark.usefixtures("model_minilm")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the frameworks
@pytest.mark.parametrize("title", SECTIONS)
def test_the_examples_run(title, tmp_path, capsys):
    block = SECTIONS[title]
    named = set(re.findall(r"^(?:from|import) (\w+)", block, flags=re.MULTILINE)) - {"shortlist"}
    for package in named | ({"mteb"} & {title.lower()}):  # the one whose example imports ours alone
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pytest.importorskip(package, reason=f"{package} is not installed")
    path = tmp_path / "example.py"
    path.write_text(block, encoding="utf-8")
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.splitlines() == re.findall(r"^print\(.*\)  # (.+)$", block, flags=re.MULTILINE)
