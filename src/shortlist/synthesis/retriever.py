"""A retriever of one's own: a bi-encoder trained on lessons by sentence-transformers, and its recall before and after.

The loss is multiple negatives ranking (InfoNCE): a query's passage against its hard negatives and against every other
passage of the batch. What is left out: distillation of margins, mining again with the trained model, several processes.
"""

from __future__ import annotations

import importlib
import itertools
import math
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shortlist.backends.base import Embedder
from shortlist.backends.models import resolve
from shortlist.backends.torch_models import import_torch, import_transformers, no_progress_bars
from shortlist.data.lessons import Lesson
from shortlist.errors import InvalidInput, MissingExtra, ModelUnavailable
from shortlist.metrics.ranking import recall
from shortlist.retrieval.dense import Dense
from shortlist.synthesis.common import Tally, generator, sampled
from shortlist.types import Document, Qrels, Query

Told = Callable[[int, int, float], None]
"""Told of each step: its number, how many there are, and the loss."""


@dataclass(frozen=True, slots=True)
class Example:
    """A query, a passage that answers it, and passages that do not."""

    query: str
    positive: str
    negatives: tuple[str, ...]


def examples(
    lessons: Iterable[Lesson],
    tally: Tally,
    *,
    negatives: int = 1,
    rel: float = 1,
    seed: int = 0,
    without: Collection[str] = (),
) -> Iterator[Example]:
    """One example for each positive of each lesson; those of the queries ``without`` (held out) are passed over.

    Positive is a grade of ``rel`` or more; a lesson with no grades has its teacher's best passage as the positive and
    the lower half of its teacher's order as negatives. Negatives are drawn at random; a lesson with too few is left out.
    """
    for number, lesson in enumerate(lessons):
        query = lesson.slate.query
        if query.id in without:
            tally["lessons of held-out queries"] += 1
            continue
        good, bad = _divided(lesson, rel)
        if not good or len(bad) < negatives:
            tally["lessons without a positive" if not good else "lessons with too few negatives"] += 1
            continue
        for place in good:
            drawn = sampled(bad, negatives, generator(seed, "example", number, place))
            texts = [lesson.slate.candidates[i].document.full_text for i in (place, *drawn)]
            tally["examples"] += 1
            yield Example(query.text, texts[0], tuple(texts[1:]))


def _divided(lesson: Lesson, rel: float) -> tuple[list[int], list[int]]:
    """Places of positives and of negatives; passages of a grade between are neither."""
    if lesson.grades:
        gains = lesson.gains
        return [i for i, g in enumerate(gains) if g >= rel], [i for i, g in enumerate(gains) if g <= 0]
    if not lesson.teacher:
        return [], []
    order = sorted(range(len(lesson)), key=lambda i: -lesson.teacher.get(lesson.ids[i], -math.inf))
    return order[:1], order[max(1, (len(order) + 1) // 2) :]


def pairs(queries: Iterable[Query], qrels: Qrels, corpus: Mapping[str, Document], *, rel: int = 1) -> Iterator[Example]:
    """Examples without hard negatives, straight from judgements."""
    for query in queries:
        for docid, grade in qrels.get(query.id, {}).items():
            if grade >= rel and docid in corpus:
                yield Example(query.text, corpus[docid].full_text, ())


# ------------------------------------------------------------------------------------------------ training


@dataclass(frozen=True, kw_only=True)
class RetrieverTraining:
    """How a bi-encoder is trained.

    Args:
        model: a catalog name with trainable weights (``minilm-l6-embed``), a hub id, or a folder that
            sentence-transformers can load.
        epochs, batch, learning_rate, warmup: passes over the examples, examples a step, the peak of AdamW's rate, and
            the share of steps that it rises for. ``steps`` ends the training sooner.
        max_length: tokens of a query or passage; ``scale``: what cosines are multiplied by (1 / temperature).
    """

    model: str = "minilm-l6-embed"
    epochs: int = 1
    batch: int = 16
    learning_rate: float = 2e-5
    warmup: float = 0.1
    steps: int | None = None
    max_length: int = 128
    scale: float = 20.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.epochs, self.steps or 1) < 1 or self.batch < 2 or self.max_length < 8:
            told = f"epochs {self.epochs}, steps {self.steps}, batch {self.batch}, max_length {self.max_length}"
            raise InvalidInput(f"{told}: give at least 1, 1, 2 and 8")
        if not (self.learning_rate > 0 and self.scale > 0 and 0 <= self.warmup < 1):
            told = f"learning_rate {self.learning_rate}, scale {self.scale}, warmup {self.warmup}"
            raise InvalidInput(f"{told}: give numbers above 0, and a share below 1")

    def train(self, items: Sequence[Example], output: Path, told: Told = lambda *_: None) -> int:
        """Train on the examples and write the model to ``output``, a new folder; gives the number of steps.

        Raises:
            InvalidInput: there are too few examples, they differ in their number of negatives, or ``output`` is taken.
            ModelUnavailable: the model has no weights that can be trained.
            MissingExtra: without the extra ``train``.
        """
        if len(items) < self.batch or len({len(item.negatives) for item in items}) > 1:
            raise InvalidInput(
                f"{len(items)} examples for batches of {self.batch}; give more, with equally many negatives"
            )
        if output.exists() and any(output.iterdir()):
            raise InvalidInput(f"{output} is not empty; give a new folder")
        encoder = self._open()
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".retriever-", dir=output.parent) as scratch:
            steps = self._run(encoder, items, Path(scratch) / "trainer", told)
            staged = Path(scratch) / "model"
            with no_progress_bars(import_transformers()):
                encoder.save_pretrained(str(staged), create_model_card=False)
            if output.exists():
                output.rmdir()
            shutil.move(staged, output)
        return steps

    def _open(self) -> Any:
        """The model, as sentence-transformers holds it."""
        package, local = _sentence_transformers(), resolve(self.model)
        if not any(local.folder.rglob("*.safetensors")):
            raise ModelUnavailable(
                f"{self.model!r} has no .safetensors weights, so it cannot be trained; give minilm-l6-embed, a hub id such "
                "as BAAI/bge-small-en-v1.5, or a folder"
            )
        with no_progress_bars(import_transformers()):
            encoder = package.SentenceTransformer(str(local.folder), local_files_only=True)
        encoder.model_card_data.generate_widget_examples = False  # no card is made of the training texts
        encoder.max_seq_length = min(self.max_length, encoder.max_seq_length or self.max_length)
        return encoder

    def _run(self, encoder: Any, items: Sequence[Example], scratch: Path, told: Told) -> int:
        from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

        package, datasets = _sentence_transformers(), _datasets()
        trainer = package.SentenceTransformerTrainer(
            model=encoder,
            args=self._arguments(encoder, scratch),
            train_dataset=datasets.Dataset.from_dict(_columns(items)),
            loss=MultipleNegativesRankingLoss(encoder, scale=self.scale),
            callbacks=[_callback(told)],
        )
        _quiet(trainer)
        with no_progress_bars(import_transformers()):
            trainer.train()
        return int(trainer.state.global_step)

    def _arguments(self, encoder: Any, scratch: Path) -> Any:
        from sentence_transformers.sentence_transformer.training_args import BatchSamplers

        told = encoder.prompts or {}
        prompts = {"anchor": told.get("query"), "positive": told.get("document")}
        return _sentence_transformers().SentenceTransformerTrainingArguments(
            output_dir=str(scratch),
            num_train_epochs=self.epochs,
            max_steps=self.steps or -1,
            per_device_train_batch_size=self.batch,
            learning_rate=self.learning_rate,
            warmup_steps=self.warmup,
            batch_sampler=BatchSamplers.NO_DUPLICATES,
            prompts={column: prompt for column, prompt in prompts.items() if prompt} or None,
            seed=self.seed,
            save_strategy="no",
            logging_steps=1,
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )


def _columns(items: Sequence[Example]) -> dict[str, list[str]]:
    """The examples as the trainer takes them: a column for the query, the passage, and each negative."""
    columns = {"anchor": [item.query for item in items], "positive": [item.positive for item in items]}
    for i in range(len(items[0].negatives)):
        columns[f"negative_{i + 1}"] = [item.negatives[i] for item in items]
    return columns


def _quiet(trainer: Any) -> None:
    """Without the callbacks that print each step to standard output and fill a model card."""
    for callback in list(trainer.callback_handler.callbacks):
        if type(callback).__name__.startswith(("Printer", "SentenceTransformerModelCard")):
            trainer.remove_callback(callback)


def _callback(told: Told) -> Any:
    """Passes on each step's loss."""

    class Tell(import_transformers().TrainerCallback):  # type: ignore[misc]
        def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                told(state.global_step, state.max_steps, float(logs["loss"]))

    return Tell()


def _sentence_transformers() -> Any:
    import_torch()
    try:
        import sentence_transformers
    except ImportError as error:
        raise MissingExtra("sentence-transformers", "train") from error
    return sentence_transformers


def _datasets() -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError as error:
        raise MissingExtra("datasets", "train") from error


# ------------------------------------------------------------------------------------------------ measuring


def recall_at(
    embedder: Embedder,
    documents: Callable[[], Iterable[Document]],
    queries: Sequence[Query],
    qrels: Qrels,
    ks: Sequence[int] = (1, 5, 10, 20, 100),
    *,
    rel: int = 1,
) -> dict[str, float]:
    """The mean share of each query's relevant passages among the first k that the embedder finds, by ``recall@k``.

    Queries with nothing relevant are passed over; the index is built for this and thrown away.
    """
    judged = [query for query in queries if any(grade >= rel for grade in qrels.get(query.id, {}).values())]
    if not judged:
        raise InvalidInput("none of the queries to measure with has a relevant passage; give others, or judgements")
    sums = dict.fromkeys(ks, 0.0)
    with tempfile.TemporaryDirectory(prefix="shortlist-recall-") as scratch:
        index = Dense.build(documents(), embedder, Path(scratch))
        for hits in index.retrieve(judged, depth=max(ks)):
            grades = qrels[hits.query.id]
            found = [grades.get(docid) for docid in hits.ids]
            for k in ks:
                sums[k] += recall(found, list(grades.values()), k=k, rel=rel)
    return {f"recall@{k}": total / len(judged) for k, total in sums.items()}


def pool(corpus: Mapping[str, Document], qrels: Qrels, size: int | None, seed: int = 0) -> list[str]:
    """The ids of all passages, or of ``size``: every judged one, and others drawn at random to make up the number."""
    ids = list(corpus)
    if size is None or size >= len(ids):
        return ids
    judged = set(itertools.chain.from_iterable(qrels.values()))
    others = [docid for docid in ids if docid not in judged]
    wanted = judged | set(sampled(others, max(0, size - len(judged)), generator(seed, "pool")))
    return [docid for docid in ids if docid in wanted]
