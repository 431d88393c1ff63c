import sys

import numpy as np
import pytest
import tiny

from shortlist.backends.base import Embedder, Pair, PairScorer
from shortlist.backends.models import resolve
from shortlist.backends.sentence_transformers import SentenceTransformersCrossEncoder, SentenceTransformersEmbedder
from shortlist.backends.transformers import TransformersCrossEncoder
from shortlist.errors import InvalidInput, MissingExtra, ModelUnavailable

pytest.importorskip("sentence_transformers")

PAIRS = [Pair("what is", "cat"), Pair("what is", "the dog sat on the mat"), Pair("no", "cat " * 90)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.bert(tmp_path_factory.mktemp("bert"))


def test_the_same_raw_logits_and_cuts_as_plain_transformers(folder):
    ours = SentenceTransformersCrossEncoder(folder, device="cpu", threads=1)
    plain = TransformersCrossEncoder(folder, device="cpu", threads=1)
    assert isinstance(ours, PairScorer)
    found, wanted = ours.score_pairs(PAIRS), plain.score_pairs(PAIRS)
    assert [r.score for r in found] == pytest.approx([r.score for r in wanted], abs=1e-5)
    assert [r.truncated for r in found] == [r.truncated for r in wanted] == [False, False, True]
    assert [r.usage for r in found] == [r.usage for r in wanted]
    assert ours.identity != plain.identity
    assert ours.score_pairs([]) == []


def test_a_long_query_is_cut_before_the_passage_is(folder):
    ours = SentenceTransformersCrossEncoder(folder, device="cpu", threads=1, max_query_tokens=3, max_length=16)
    plain = TransformersCrossEncoder(folder, device="cpu", threads=1, max_query_tokens=3, max_length=16)
    pair = Pair("dog " * 30, "cat mat " * 20)
    assert ours.score_pairs([pair])[0].score == pytest.approx(plain.score_pairs([pair])[0].score, abs=1e-5)
    assert ours.score_pairs([pair])[0].usage.prompt_tokens == 16


def test_pickled_weights_are_not_loaded(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelUnavailable, match=r"no \.safetensors"):
        SentenceTransformersCrossEncoder(tmp_path, device="cpu").load()


def test_wrong_configuration(folder):
    for wrong in ({"max_length": 3}, {"batch_rows": 0}, {"max_query_tokens": 0}):
        with pytest.raises(InvalidInput):
            SentenceTransformersCrossEncoder(folder, **wrong)
    with pytest.raises(InvalidInput, match="role"):
        SentenceTransformersEmbedder(folder).embed(["cat"], role="document")


def test_a_missing_package_names_its_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtra, match=r"shortlist\[encoder\]"):
        SentenceTransformersCrossEncoder(folder, device="cpu").load()


@pytest.fixture(scope="module")
def embedding_folder(folder, tmp_path_factory):
    """The tiny model with a mean-pooling head, as sentence-transformers saves it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    words = Transformer(str(folder))
    built = SentenceTransformer(
        modules=[words, Pooling(words.get_embedding_dimension())], device="cpu", prompts={"query": "the "}
    )
    built.save(str(path := tmp_path_factory.mktemp("embedder") / "model"))
    return path


def test_unit_vectors_and_the_models_own_prompts(embedding_folder):
    embedder = SentenceTransformersEmbedder(embedding_folder, device="cpu", threads=1)
    assert isinstance(embedder, Embedder)
    vectors = embedder.embed(["cat", "dog sat on the mat"], role="passage")
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-6)
    assert embedder.embed([], role="query").shape == (0, vectors.shape[1])
    (query,) = embedder.embed(["cat"], role="query")
    assert query == pytest.approx(embedder.embed(["the cat"], role="passage")[0], abs=1e-5)
    own = SentenceTransformersEmbedder(embedding_folder, device="cpu", threads=1, query_prefix="a ")
    assert own.embed(["cat"], role="query")[0] == pytest.approx(own.embed(["a cat"], role="passage")[0], abs=1e-5)
    assert own.identity != embedder.identity


@pytest.mark.models
def test_the_float_copy_of_the_real_model_loads_as_it_is(model_minilm_torch):
    from sentence_transformers import CrossEncoder

    pair = Pair("what is the boiling point of water", "Water boils at 100 degrees Celsius at sea level.")
    encoder = CrossEncoder(str(model_minilm_torch.path), device="cpu", local_files_only=True)
    plain = TransformersCrossEncoder(model_minilm_torch, device="cpu", threads=1)
    assert float(encoder.predict([tuple(pair)])[0]) == pytest.approx(plain.score_pairs([pair])[0].score, abs=1e-3)


@pytest.mark.models
def test_the_real_trainable_embedder():
    try:
        model = resolve("minilm-l6-embed")
    except ModelUnavailable as error:
        pytest.skip(str(error))
    near, far = SentenceTransformersEmbedder(model, device="cpu", threads=1).embed(
        ["a kitten", "tax law"], role="passage"
    )
    (cat,) = SentenceTransformersEmbedder(model, device="cpu", threads=1).embed(["a cat"], role="query")
    assert cat @ near > 0.7 > 0.4 > cat @ far
