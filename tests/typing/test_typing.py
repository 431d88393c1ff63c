"""What mypy must accept and what it must reject, in one run."""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ERROR = re.compile(r"^(?P<path>[^:]+):(?P<line>\d+): error: (?P<text>.*)$")


def test_mypy_accepts_and_rejects():
    files = sorted(str(path) for kind in ("accept", "reject") for path in (HERE / kind).glob("*.py"))
    options = ["--strict", "--follow-imports=silent", "--no-error-summary"]
    told = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *files], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.returncode in {0, 1}, told.stdout + told.stderr
    found = [match for match in map(ERROR.match, told.stdout.splitlines()) if match]
    errors = {(Path(match["path"]).resolve(), int(match["line"])): match["text"] for match in found}
    marked = {
        (Path(name), number)
        for name in files
        for number, line in enumerate(Path(name).read_text(encoding="utf-8").splitlines(), 1)
        if line.endswith("# wrong")
    }
    assert marked, "the rejected files mark no line"
    assert {place: text for place, text in errors.items() if place not in marked} == {}
    assert sorted(marked - errors.keys()) == []
