"""The MTEB integration, against the real mteb, on a task made here (nothing is fetched)."""

from __future__ import annotations

import warnings

import pytest

pytest.importorskip("mteb", reason="mteb is not installed: pip install 'shortlist[mteb]'")
pytest.importorskip("datasets", reason="datasets is not installed: pip install 'shortlist[mteb]'")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import datasets
    import mteb
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models import SearchProtocol

from toy_rankers import MINILM, choosing, failing, saying, scoring

from shortlist.errors import InvalidInput, JudgementFailed
from shortlist.integrations.mteb import ShortlistSearch

pytestmark = pytest.mark.filterwarnings("ignore")  # mteb's own

CAPITALS = {"France": "Paris", "Peru": "Lima", "Chad": "N'Djamena"}
CORPUS = [
    row
    for name, capital in CAPITALS.items()
    for row in (
        {"id": f"{name}-river", "title": "", "text": f"The capital river is {name}."},
        {"id": f"{name}-capital", "title": name, "text": f"{capital} is its seat: capital of {name} it is."},
    )
]
QUERIES = [{"id": name, "text": f"capital of {name} it is"} for name in CAPITALS]
TOP = {name: [f"{name}-river", f"{name}-capital"] for name in CAPITALS}


def rows(records):
    return datasets.Dataset.from_list(records)


def search(model, top_ranked=TOP, top_k=10, queries=QUERIES):
    told = {"task_metadata": None, "hf_split": "test", "hf_subset": "default", "encode_kwargs": {}, "num_proc": None}
    model.index(rows(CORPUS), **told)
    return model.search(rows(queries), top_k=top_k, top_ranked=top_ranked, **told)


def test_it_is_a_search_model():
    model = ShortlistSearch(scoring())
    assert isinstance(model, SearchProtocol)
    meta = model.mteb_model_meta
    assert meta.name == "shortlist/words-bm25-100"
    assert len(meta.revision) == 16
    assert ShortlistSearch(scoring(), depth=5).mteb_model_meta.revision != meta.revision


def test_candidates_are_reranked():
    found = search(ShortlistSearch(scoring()))
    assert {name: list(scores) for name, scores in found.items()} == {
        name: [f"{name}-capital", f"{name}-river"] for name in CAPITALS
    }
    assert all(a > b for a, b in (found[name].values() for name in CAPITALS))
    assert all(isinstance(score, float) for scores in found.values() for score in scores.values())


def test_orders_without_scores_and_cutoffs():
    for ranker in (saying("[2] > [1]"), choosing("[2]")):
        assert search(ShortlistSearch(ranker))["Peru"] == {"Peru-capital": 2.0, "Peru-river": 1.0}
    assert list(search(ShortlistSearch(scoring()), top_k=1)["Chad"]) == ["Chad-capital"]


def test_without_candidates_bm25_finds_them():
    found = search(ShortlistSearch(scoring(), depth=3), top_ranked=None)
    assert {name: next(iter(scores)) for name, scores in found.items()} == {
        name: f"{name}-capital" for name in CAPITALS
    }
    assert {len(scores) for scores in found.values()} == {3}


def test_queries_of_other_shapes():
    talk = [
        {"id": "Peru", "text": [{"role": "user", "content": "capital of"}, {"role": "user", "content": "it is Peru"}]}
    ]
    assert next(iter(search(ShortlistSearch(scoring()), queries=talk)["Peru"])) == "Peru-capital"
    assert search(ShortlistSearch(scoring()), top_ranked={"Peru": []})["Peru"] == {}
    assert search(ShortlistSearch(scoring()), top_ranked={})["Peru"] == {}


def test_errors():
    with pytest.raises(InvalidInput, match="index"):
        ShortlistSearch(scoring()).search(rows(QUERIES), top_k=3)
    with pytest.raises(InvalidInput, match="not in the corpus"):
        search(ShortlistSearch(scoring()), top_ranked={"Peru": ["nowhere"]})
    with pytest.raises(InvalidInput, match="depth is 0"):
        ShortlistSearch(scoring(), depth=0)
    assert list(search(ShortlistSearch(failing()))["Peru"]) == TOP["Peru"]
    with pytest.raises(JudgementFailed):
        search(ShortlistSearch(failing(), on_error="raise"))


class Capitals(AbsTaskRetrieval):
    metadata = TaskMetadata(
        name="Capitals",
        description="Which passage tells a capital?",
        dataset={"path": "made/here", "revision": "1"},
        type="Reranking",
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_10",
        reference=None,
        date=None,
        domains=None,
        task_subtypes=None,
        license=None,
        annotations_creators=None,
        dialect=None,
        sample_creation=None,
        bibtex_citation="",
    )
    top_ranked = TOP

    def load_data(self, **_):
        data = RetrievalSplitData(
            corpus=rows(CORPUS),
            queries=rows(QUERIES),
            relevant_docs={name: {f"{name}-capital": 1} for name in CAPITALS},
            top_ranked=self.top_ranked,
        )
        self.dataset = {"default": {"test": data}}
        self.data_loaded = True


class CapitalsSearch(Capitals):
    metadata = Capitals.metadata.model_copy(update={"name": "CapitalsSearch", "type": "Retrieval"})
    top_ranked = None


@pytest.mark.parametrize("task", [Capitals, CapitalsSearch])
@pytest.mark.parametrize(("ranker", "ndcg"), [(scoring(), 1.0), (saying("[1] > [2]"), None)])
def test_a_whole_evaluation(task, ranker, ndcg):
    results = mteb.evaluate(ShortlistSearch(ranker), task(), cache=None, show_progress_bar=False)
    (scores,) = results.task_results[0].scores["test"]
    if ndcg is not None:
        assert scores["ndcg_at_10"] == pytest.approx(ndcg)
    elif task is Capitals:
        assert scores["ndcg_at_10"] == pytest.approx(0.63093)
    assert results.model_name.startswith("shortlist/")


@pytest.mark.models
@pytest.mark.usefixtures("model_minilm")
def test_with_a_real_model():
    results = mteb.evaluate(ShortlistSearch(MINILM), Capitals(), cache=None, show_progress_bar=False)
    assert results.task_results[0].scores["test"][0]["ndcg_at_10"] > 0.7
