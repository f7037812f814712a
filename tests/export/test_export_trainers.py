"""Exports of a mined run, each read by the trainer that it is for.

PyLate's and FlagEmbedding's own loading code is run where it is installed (``pip install --no-deps pylate
FlagEmbedding peft ir-datasets``: their pins don't fit ours, their loading code does); else the forms are checked alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest
from export_cases import FIXED, FORMATS, PARQUET, SMALLER, bytes_of, options, rows_of
from finished_run import candidate, write_run
from mined_runs import Mine, Run
from tiny_models import save_tiny

from hardneg.pipelines.commands.audit import audit
from hardneg.pipelines.commands.export import export
from hardneg.pipelines.commands.publish import make_further
from hardneg.pipelines.options.finished import AuditOptions


# Whatever the cross-encoder thinks of the passages: every sigmoid is below 1, so no query is short.
@pytest.fixture(scope="module")
def run(animals: Path, mined: Mine) -> Run:
    return mined(
        input=str(animals), k=12, negatives=3, min_relevance=2, max_sigmoid=1.0, output_shards=2,
        cross_encoder_max_length=64, format=["n-tuple", "flagembedding"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def exported(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that exports the mined run, once for each form."""
    folder = tmp_path_factory.mktemp("exported")

    def get(form: str, scores: bool = False) -> Path:
        out = folder / f"{form}-{scores}"
        if not out.exists():
            short = {"short": "drop"} if form in FIXED else {}
            export(str(run.folder), options(form, out, scores=scores, **short))
        return out

    return get


@pytest.fixture(scope="module")
def load(exported: Callable[..., Path]) -> Callable[..., Any]:
    datasets = pytest.importorskip("datasets")

    def get(form: str, scores: bool = False, name: str | None = None) -> Any:
        out = exported(form, scores)
        return datasets.load_dataset(str(out), name, split="train", cache_dir=str(out.parent / "cache"))

    return get


def test_triplets_are_those_of_the_run_byte_for_byte(run: Run, exported: Callable[..., Path]) -> None:
    for path in sorted((run.folder / "triplets").iterdir()):
        assert (exported("triplet") / "triplet" / path.name).read_bytes() == path.read_bytes()


def test_a_format_asked_for_at_mining_time_is_the_export(run: Run, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(run.folder), split="train", streaming=True)
    assert sorted(next(iter(loaded))) == ["anchor", "negative", "positive"], "the run itself still loads"
    for form in ("n-tuple", "flagembedding"):
        export(str(run.folder), options(form, tmp_path / form, **SMALLER.get(form, {})))
        assert bytes_of(tmp_path / form) == bytes_of(run.folder / form)
    assert {shard["name"].split("/")[0] for shard in run.manifest["shards"]} == {
        "triplets", "candidates", "suspect_pairs", "passages", "queries",
    } & {path.name for path in run.folder.iterdir()}  # fmt: skip


def test_an_export_that_fails_after_mining_leaves_the_run(tmp_path: Path) -> None:
    rows = [candidate("a", "p1", "positive"), candidate("a", "p2", "negative", selected=1)]
    run = write_run(tmp_path / "run", {"a": "a"}, {"p1": "one", "p2": "two"}, rows, negatives=1)
    failed = make_further(str(run), ["triplet", "pylate", "n-tuple"])
    assert "is finished, but was not exported as pylate: 2 of the 2 pairs" in failed[0]
    assert (run / "manifest.json").exists()
    assert (run / "triplet" / "manifest.json").exists()
    assert not (run / "pylate").exists()


@pytest.mark.parametrize("form", FORMATS)
def test_exports_stream(form: str, exported: Callable[..., Path], load: Callable[..., Any]) -> None:
    datasets = pytest.importorskip("datasets")
    out = exported(form)
    whole = load(form)
    table = "scores" if form == "pylate" else form
    assert list(datasets.load_dataset(str(out), split="train", streaming=True)) == whole.to_list()
    assert whole.to_list() == rows_of(out, table), "in the order of the files"
    if form in PARQUET:
        arrow = pyarrow.dataset.dataset(out / table, format="parquet")
        assert arrow.count_rows() == len(whole)
    if form == "pylate":
        assert load(form, name="train").to_list() == whole.to_list()
        assert load(form, name="queries").column_names == ["query_id", "text"]
        assert load(form, name="documents").column_names == ["document_id", "text"]
    else:
        labels = {"label", "labels", "score", "scores"}
        assert not labels & set(whole.column_names) or form.startswith("labeled")


@pytest.mark.parametrize("form", ["triplet", "n-tuple", "flagembedding"])
def test_the_audit_finds_nothing_wrong(form: str, exported: Callable[..., Path]) -> None:
    report = audit([str(exported(form, scores=True) / form)], AuditOptions.model_validate({}))
    assert report.clean
    assert report.negatives > 20


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("tiny")
    return {
        "bi-encoder": str(save_tiny(folder / "bi", head=False)),
        "cross-encoder": str(save_tiny(folder / "cross")),
    }


def two_steps(trainer_type: Any, arguments_type: Any, model: Any, loss: Any, dataset: Any, folder: Path) -> None:
    """Train two real steps, in the order of the rows, and see that the loss is a number and the weights move."""
    torch = pytest.importorskip("torch")
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    arguments = arguments_type(
        output_dir=str(folder), max_steps=2, per_device_train_batch_size=8, learning_rate=0.01, use_cpu=True,
        save_strategy="no", report_to="none", logging_steps=1, disable_tqdm=True,
    )  # fmt: skip
    trainer = trainer_type(model=model, args=arguments, train_dataset=dataset, loss=loss)
    result = trainer.train()
    assert result.global_step == 2
    assert math.isfinite(result.training_loss)
    assert any(not torch.equal(before[name], weight) for name, weight in model.named_parameters())


@pytest.mark.parametrize(
    ("loss", "form", "scores"),
    [
        ("MultipleNegativesRankingLoss", "triplet", False),
        ("MultipleNegativesRankingLoss", "n-tuple", False),
        ("CachedMultipleNegativesRankingLoss", "n-tuple", False),
        ("TripletLoss", "triplet", False),
        ("MarginMSELoss", "triplet", True),
        ("MarginMSELoss", "n-tuple", True),
        ("DistillKLDivLoss", "triplet", True),
        ("DistillKLDivLoss", "n-tuple", True),
    ],
)
def test_sentence_transformers_trains(
    loss: str, form: str, scores: bool, load: Callable[..., Any], tiny: dict[str, str], tmp_path: Path
) -> None:
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer import losses

    model = SentenceTransformer(tiny["bi-encoder"], device="cpu")
    made = getattr(losses, loss)(model)
    two_steps(
        SentenceTransformerTrainer, SentenceTransformerTrainingArguments, model, made, load(form, scores), tmp_path
    )


@pytest.mark.parametrize(
    ("loss", "form", "scores"),
    [
        ("BinaryCrossEntropyLoss", "labeled-pair", False),
        ("MSELoss", "labeled-pair", True),
        ("LambdaLoss", "labeled-list", False),
        ("ListNetLoss", "labeled-list", True),
    ],
)
def test_cross_encoders_train(
    loss: str, form: str, scores: bool, load: Callable[..., Any], tiny: dict[str, str], tmp_path: Path
) -> None:
    from sentence_transformers.cross_encoder import (
        CrossEncoder,
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
        losses,
    )

    model = CrossEncoder(tiny["cross-encoder"], device="cpu")
    made = getattr(losses, loss)(model)
    two_steps(CrossEncoderTrainer, CrossEncoderTrainingArguments, model, made, load(form, scores), tmp_path)


def test_margins_are_those_of_the_logits(run: Run, load: Callable[..., Any]) -> None:
    """What MarginMSELoss and DistillKLDivLoss take: [positive, negative_1, ...], the raw logits, as float32."""
    texts = {row["passage_id"]: row["text"] for row in run.rows("passages")}
    queries = {row["query_id"]: row["text"] for row in run.rows("queries")}
    scored = [row for row in run.rows("candidates") if row["logit"] is not None]  # a passage has twins, unscored
    logits = {(queries[row["query_id"]], texts[row["passage_id"]]): row["logit"] for row in scored}
    for row in load("n-tuple", True):
        passages = [row["positive"], *(row[f"negative_{place}"] for place in (1, 2, 3))]
        assert row["scores"] == [logits[row["anchor"], text] for text in passages]


@pytest.mark.parametrize("scores", [False, True])
def test_flagembedding_rows_have_its_form(scores: bool, exported: Callable[..., Path]) -> None:
    keys = ["query", "pos", "neg", *(["pos_scores", "neg_scores"] if scores else [])]
    rows = rows_of(exported("flagembedding", scores), "flagembedding")
    assert len(rows) > 10
    for row in rows:
        assert list(row) == keys
        assert row["pos"]
        assert row["neg"], "an empty list crashes the trainer"
        if scores:
            assert [len(row["pos_scores"]), len(row["neg_scores"])] == [len(row["pos"]), len(row["neg"])]
            assert all(isinstance(score, float) for score in (*row["pos_scores"], *row["neg_scores"]))


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("kind", ["embedder", "reranker"])
def test_flagembedding_loads(
    kind: str, scores: bool, exported: Callable[..., Path], tiny: dict[str, str], tmp_path: Path
) -> None:
    finetune = pytest.importorskip(f"FlagEmbedding.abc.finetune.{kind}", exc_type=ImportError)
    from transformers import AutoTokenizer

    name = f"Abs{kind.title()}"
    arguments = getattr(finetune, f"{name}DataArguments")(
        train_data=[str(exported("flagembedding", scores) / "flagembedding")], train_group_size=4,
        knowledge_distillation=scores, cache_path=str(tmp_path),
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(tiny["bi-encoder"])
    dataset = getattr(finetune, f"{name}TrainDataset")(arguments, tokenizer)
    assert len(dataset) == len(rows_of(exported("flagembedding", scores), "flagembedding"))
    batch = getattr(finetune, f"{name}Collator")(tokenizer)([dataset[row] for row in range(4)])
    teacher = batch["teacher_scores"]
    assert (teacher is None) if not scores else len(teacher) == 16


def test_pylate_tables_belong_together(load: Callable[..., Any]) -> None:
    """What its ``KDProcessing`` asks for: every id has its text, and every row as many scores as documents."""
    scores, queries, documents = (load("pylate", name=name) for name in ("scores", "queries", "documents"))
    assert [scores.column_names, queries.column_names, documents.column_names] == [
        ["query_id", "document_ids", "scores"], ["query_id", "text"], ["document_id", "text"],
    ]  # fmt: skip
    assert {row["query_id"] for row in scores} == set(queries["query_id"])
    assert {each for row in scores for each in row["document_ids"]} <= set(documents["document_id"])
    assert {(len(row["document_ids"]), len(row["scores"])) for row in scores} == {(4, 4)}


def test_pylate_loads(load: Callable[..., Any]) -> None:
    utils = pytest.importorskip("pylate.utils", exc_type=ImportError)
    torch = pytest.importorskip("torch")
    train, queries, documents = (load("pylate", name=name) for name in ("train", "queries", "documents"))
    texts = dict(zip(documents["document_id"], documents["text"], strict=True))
    ids = train["document_ids"][:]
    train.set_transform(utils.KDProcessing(queries=queries, documents=documents, n_ways=4).transform)
    rows = [train[row] for row in range(len(train))]
    assert [row["documents"] for row in rows] == [[texts[each] for each in row] for row in ids]
    collator = utils.ColBERTCollator(tokenize_fn=_tokenize)
    batch = collator([{name: row[name] for name in ("query", "documents", "scores")} for row in rows[:4]])
    assert batch["label"].shape == (4, 4)
    assert batch["label"].dtype == torch.float32


def _tokenize(texts: list[str], **_: Any) -> dict[str, Any]:
    import torch

    return {name: torch.zeros((len(texts), 2), dtype=torch.long) for name in ("input_ids", "attention_mask")}
