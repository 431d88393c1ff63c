import math
import sys

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.backends.base import Cuts, Embedder, Pair, PairScorer
from shortlist.backends.onnx import OnnxCrossEncoder, OnnxEmbedder
from shortlist.backends.pairs import PairTokenizer
from shortlist.errors import BackendError, InvalidInput, MissingExtra, ModelUnavailable

IDS = {word: i for i, word in enumerate(dict.fromkeys(tiny.WORDS))}


def expected(passage: list[str]) -> float:
    """What the toy model makes of a passage: the sum of its ids, and of the [SEP] after it."""
    return float(sum(IDS[word] for word in passage) + IDS["[SEP]"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.onnx_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def encoder(folder):
    return OnnxCrossEncoder(folder, threads=2)


def test_it_is_what_it_says(encoder):
    assert isinstance(encoder, PairScorer)
    assert isinstance(encoder, Cuts)
    assert isinstance(OnnxEmbedder(), Embedder)


def test_raw_logits_in_order(encoder):
    passages = ["cat", "cat dog sat on the mat", "yes", "a a a", ""]
    found = encoder.score_pairs([Pair("what is the cat", passage) for passage in passages])
    assert [result.score for result in found] == [expected(passage.split()) for passage in passages]
    assert [result.usage.prompt_tokens for result in found] == [4 + 3 + len(p.split()) for p in passages]
    assert not any(result.truncated or result.error for result in found)
    assert encoder.score_pairs([]) == []


@given(st.lists(st.lists(st.sampled_from(["cat", "dog", "mat", "one"]), max_size=70), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None)
def test_the_passage_alone_is_cut_and_that_is_told(encoder, passages):
    room = encoder.tokens - 3 - 2
    found = encoder.score_pairs([Pair("what is", " ".join(passage)) for passage in passages])
    for result, passage in zip(found, passages, strict=True):
        assert result.score == expected(passage[:room])
        assert result.truncated == (len(passage) > room)
        assert result.usage.prompt_tokens <= encoder.tokens


def test_a_long_query_is_cut_to_its_cap_and_told(folder):
    encoder = OnnxCrossEncoder(folder, max_query_tokens=4, threads=1)
    (found,) = encoder.score_pairs([Pair("cat " * 50, "dog")])
    assert found.truncated
    assert found.usage.prompt_tokens == 4 + 1 + 3
    assert found.score == expected(["dog"])


def test_text_that_no_tokenizer_takes_does_not_spoil_the_batch(encoder):
    found = encoder.score_pairs([Pair("cat \udc80", "dog \udfff"), Pair("cat", "dog"), Pair("cat", "dog " * 100_000)])
    assert found[1].score == expected(["dog"])
    assert found[2].truncated
    assert all(math.isfinite(result.score) for result in found)


def test_two_labels_score_by_their_difference(tmp_path):
    (found,) = OnnxCrossEncoder(tiny.onnx_pairs(tmp_path, labels=2), threads=1).score_pairs([Pair("what", "cat")])
    assert found.score == expected(["cat"])  # 2 × sum − 1 × sum


def test_three_labels_are_no_cross_encoder(tmp_path):
    with pytest.raises(BackendError, match="3 numbers"):
        OnnxCrossEncoder(tiny.onnx_pairs(tmp_path, labels=3), threads=1).score_pairs([Pair("what", "cat")])


def test_one_failing_pair_leaves_the_others(encoder, monkeypatch):
    loaded = encoder.load()

    class Session:
        def run(self, _, feed):
            if feed["input_ids"].shape[1] > 8:
                raise RuntimeError("no room")
            return [np.ones((1, 1), np.float32)]

    monkeypatch.setattr(loaded, "_session", Session())
    good, bad = encoder.score_pairs([Pair("cat", "dog"), Pair("cat", "dog " * 20)])
    assert (good.score, good.error) == (1.0, None)
    assert math.isnan(bad.score)
    assert "no room" in bad.error


def test_cut(encoder):
    assert encoder.cut("cat dog sat", 2) == ("cat dog", True)
    assert encoder.cut("cat dog sat", 3) == ("cat dog sat", False)


@given(st.text(max_size=60), st.integers(1, 10))
def test_cut_is_a_beginning(text, tokens):
    tokenizer = PairTokenizer(tiny.word_tokenizer(pairs=True).to_str(), max_length=64)
    shorter, lost = tokenizer.cut(text, tokens)
    assert lost or shorter == text
    assert len(shorter.split()) <= tokens or not lost


def test_identity_follows_file_and_lengths(folder, tmp_path):
    base = OnnxCrossEncoder(folder).identity
    assert OnnxCrossEncoder(str(folder)).identity == base
    assert OnnxCrossEncoder(folder, max_length=32).identity != base
    assert OnnxCrossEncoder(folder, max_query_tokens=9).identity != base
    assert OnnxCrossEncoder(tiny.onnx_pairs(tmp_path / folder.name, labels=2)).identity != base


@pytest.mark.parametrize("wrong", [{"max_length": 2}, {"threads": 0}, {"max_query_tokens": 0}])
def test_wrong_configuration(wrong):
    with pytest.raises(InvalidInput):
        OnnxCrossEncoder(**wrong)


def test_a_file_that_is_no_model(tmp_path):
    tiny.onnx_pairs(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(ModelUnavailable, match="cannot load"):
        OnnxCrossEncoder(tmp_path).load()


def test_a_missing_package_names_its_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"shortlist\[onnx\]"):
        OnnxCrossEncoder(folder).load()


def test_threads_can_be_told_by_the_environment(folder, monkeypatch):
    monkeypatch.setenv("SHORTLIST_THREADS", "3")
    assert OnnxCrossEncoder(folder).load()._pool._max_workers == 3
    monkeypatch.setenv("SHORTLIST_THREADS", "many")
    with pytest.raises(InvalidInput, match="SHORTLIST_THREADS"):
        OnnxCrossEncoder(folder).load()


# ---------------------------------------------------------------------------------------------- embeddings


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_pooling_and_unit_length(tmp_path, pooling):
    embedder = OnnxEmbedder(tiny.onnx_states(tmp_path), pooling=pooling, query_prefix="the ", threads=2)
    passages = embedder.embed(["cat", "cat dog mat"], role="passage")
    assert passages.shape == (2, 6)
    assert passages.dtype == np.float32
    assert np.linalg.norm(passages, axis=1) == pytest.approx([1, 1], abs=1e-6)
    assert np.allclose(passages[0], passages[1]) == (pooling == "cls")  # every text starts with the same [CLS]
    queries = embedder.embed(["cat"], role="query")
    assert queries[0] == pytest.approx(embedder.embed(["the cat"], role="passage")[0])
    assert embedder.embed([], role="query").shape == (0, 6)


def test_embedder_refuses_unknown_roles_and_poolings(tmp_path):
    with pytest.raises(InvalidInput, match="pooling"):
        OnnxEmbedder(tmp_path, pooling="max")
    with pytest.raises(InvalidInput, match="role"):
        OnnxEmbedder(tiny.onnx_states(tmp_path)).embed(["cat"], role="document")


# ---------------------------------------------------------------------------------------------- real models


PASSAGES = (
    "Water boils at 100 degrees Celsius at sea level.",
    "The Danube flows through ten countries. " * 9,
    "A kettle brings water to its boiling point.",
)


@pytest.mark.models
def test_the_real_cross_encoder(model_minilm):
    encoder = OnnxCrossEncoder(model_minilm, threads=1)
    pairs = [Pair("what is the boiling point of water", passage) for passage in PASSAGES]
    scores = [result.score for result in encoder.score_pairs(pairs)]
    assert scores[0] > scores[2] > scores[1]
    assert scores[0] > 2  # a logit, not a probability
    assert scores[1] < -5
    # not a digit depends on the neighbours, although the activations are quantised on the fly
    assert [encoder.score_pairs([pair])[0].score for pair in pairs] == scores
    assert [result.score for result in OnnxCrossEncoder(model_minilm, threads=2).score_pairs(pairs)] == scores


@pytest.mark.models
def test_the_real_embedder(model_bge):
    embedder = OnnxEmbedder(model_bge, threads=1)
    passages = embedder.embed(PASSAGES, role="passage")
    (query,) = embedder.embed(["what is the boiling point of water"], role="query")
    similarities = passages @ query
    assert similarities.argmin() == 1
    assert similarities[[0, 2]].min() > similarities[1] + 0.1
    assert "cls" in embedder.identity
    assert "Represent this sentence" in embedder.identity
