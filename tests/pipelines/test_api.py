"""hardneg from Python: live tables and models give the very run that files and folders give."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pairs_run
import pandas as pd
import pyarrow as pa
import pytest
from datasets import Dataset, IterableDataset
from pairs_run import COLUMNS, OPTIONS
from tiny_models import save_tiny

import hardneg
from hardneg.errors import HardnegError
from hardneg.transforms.models.bi_encoder import BiEncoder
from hardneg.transforms.models.cross_encoder import CrossEncoder
from hardneg.transforms.models.loaded import cache_size
from hardneg.transforms.models.spec import ModelSpec

models, run = pairs_run.models, pairs_run.run


def hashes(run: hardneg.Run) -> dict[str, str]:
    return {shard["name"]: shard["sha256"] for shard in run.manifest["shards"]}


def test_live_models_and_a_dataset_give_the_run_of_their_files(models: dict[str, str], run: hardneg.Run) -> None:
    """And are let go at its end."""
    from sentence_transformers import CrossEncoder as LiveCrossEncoder
    from sentence_transformers import SentenceTransformer

    live = hardneg.mine(
        pairs=Dataset.from_dict(COLUMNS),
        bi_encoder={"dense": SentenceTransformer(models["bi_encoder"], device="cpu")},
        cross_encoder=LiveCrossEncoder(models["cross_encoder"], device="cpu"),
        progress=False,
        **OPTIONS,
    )
    gc.collect()
    assert cache_size() == 0
    assert not [each for each in gc.get_objects() if isinstance(each, (BiEncoder, CrossEncoder))]
    assert hashes(live) == hashes(run)
    assert live.manifest["counts"] == run.manifest["counts"]


def rows_of(run: hardneg.Run) -> list[tuple[str, ...]]:
    return sorted(map(tuple, run.triplets().to_pandas().to_numpy()))


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(pa.table(COLUMNS), marks=pytest.mark.slow),
        pytest.param(pd.DataFrame(COLUMNS), marks=pytest.mark.slow),
        pytest.param(pa.table(COLUMNS).to_pylist(), marks=pytest.mark.slow),
        pytest.param(Dataset.from_dict(COLUMNS).to_iterable_dataset(), marks=pytest.mark.slow),
        Dataset.from_dict({name: [*reversed(values), "left out"] for name, values in COLUMNS.items()}).select(
            range(len(COLUMNS["anchor"]))
        ),
    ],
    ids=["arrow", "pandas", "rows", "stream", "dataset"],
)
def test_every_kind_of_table_is_read(table: Any, models: dict[str, str], run: hardneg.Run) -> None:
    given = hardneg.mine(pairs=table, progress=False, **models, **OPTIONS)
    assert rows_of(given) == rows_of(run)


STREAMED = [{"query": f"q{n}", "pos": [f"p{n}"], "neg": [f"n{n}", f"p{n}"] if n == 2 else [f"n{n}"]} for n in range(4)]


def test_rows_that_stream_are_read() -> None:
    """An IterableDataset, or a generator: nobody knows how many rows there are, so none is held."""
    for stream in (IterableDataset.from_generator(lambda: iter(STREAMED)), (row for row in STREAMED)):
        report = hardneg.audit(stream)
        assert (report.rows, report.negatives) == (4, 5)
        assert [(fault.count, fault.examples[0].place) for fault in report.faults] == [(1, "data:3")]


def test_values_of_streamed_rows() -> None:
    rows = ({"query": f"q{n}".encode(), "pos": np.array(["p"]), "neg": ["n"], "score": np.float32(1)} for n in range(2))
    assert hardneg.audit(rows).clean
    with pytest.raises(HardnegError, match=r"^data is no table \(.*\): give paths"):
        hardneg.audit(iter([{"query": "q"}, 7]))


def test_columns_are_read_and_a_run_without_an_output_goes_with_its_object(
    models: dict[str, str], run: hardneg.Run
) -> None:
    given = hardneg.mine(pairs=COLUMNS, progress=False, **models, **OPTIONS)
    folder = Path(given.folder)
    assert len(given.triplets()) == given.manifest["counts"]["triplets"] > 0
    assert rows_of(given) == rows_of(run)
    del given
    gc.collect()
    assert not folder.exists()


def test_a_corpus_of_columns_is_searched_too(models: dict[str, str]) -> None:
    further = ["The heron eats eels in Wales, mostly.", "The otter of Crete eats crabs."]
    run = hardneg.mine(pairs=COLUMNS, corpus={"text": further}, progress=False, **models, **OPTIONS)
    assert set(further) <= set(run.candidates(texts=True)["passage"].to_pylist())


def test_candidates_have_their_texts_and_verdicts(run: hardneg.Run) -> None:
    everything = hardneg.load_candidates(run.folder)
    assert len(everything) == sum(run.manifest["counts"][f"verdict_{each}"] for each in VERDICTS)
    negatives = hardneg.load_candidates(run, verdict="negative", columns=["query_id", "passage_id", "selected"])
    assert len(negatives) == run.manifest["counts"]["verdict_negative"]
    assert negatives.column_names == ["query_id", "passage_id", "selected"]
    both = run.candidates(verdict=["positive", "negative"], texts=True)
    assert set(both["verdict"].to_pylist()) == {"positive", "negative"}
    positives = both.filter(pa.compute.equal(both["verdict"], "positive"))
    expected = dict(zip(COLUMNS["anchor"], COLUMNS["positive"], strict=True))
    assert dict(zip(positives["query"].to_pylist(), positives["passage"].to_pylist(), strict=True)) == expected


VERDICTS = ("negative", "positive", "suspected_positive", "dropped", "unscored")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: run.candidates(verdict="bad"), r"^There is no verdict 'bad': use one of negative, "),
        (lambda run: run.candidates(columns=["logits"]), r"^candidates/ has no column 'logits': it has query_id, "),
        (lambda run: hardneg.load_candidates("nowhere"), r"^nowhere is not a finished run \(it is not there\)"),
        (lambda run: hardneg.mine(pairs=7), r"^pairs is no table \(.*\): give paths, a datasets.Dataset, "),
        (lambda run: hardneg.mine(pairs={"anchor": ["a"], "positive": []}), r"^pairs is no table \("),
        (lambda run: hardneg.mine(pairs=COLUMNS, bi_encoder=7), r"^bi_encoder is a int: give a name, a folder, or a "),
        (lambda run: hardneg.mine(pairs=COLUMNS, negative=3), r"^negative: there is no such option\.$"),
        (lambda run: hardneg.mine(pairs=COLUMNS, negatives=0), r"^negatives: input should be greater"),
        (lambda run: hardneg.mine(pairs=None), r"^No input: give input FOLDER "),
        (lambda run: hardneg.mine(pairs=[]), r"^No input: give input FOLDER "),
        (lambda run: hardneg.mine(pairs={"a": ["x"]}), r"^pairs has no column that is known to be the anchor "),
        (lambda run: hardneg.audit({"a": ["x"]}), r"^data has no column that is known to be the anchor"),
        (lambda run: hardneg.mine(pairs={"anchor": [], "positive": []}), r"^The corpus has no passage"),
        (lambda run: hardneg.audit([]), r"^There is nothing to audit: give a run, "),
        (lambda run: hardneg.audit(None), r"^There is nothing to audit: give a run, "),
        (lambda run: hardneg.audit(COLUMNS, expected=3), r"^expected: there is no such option\.$"),
        (
            lambda run: hardneg.audit(run.folder, holdout_split="x"),
            r"^holdout_split has gone: write holdout FOLDER:SPLIT instead",
        ),
    ],
)
def test_mistakes_are_told_in_a_sentence(call: Callable[[hardneg.Run], Any], message: str, run: hardneg.Run) -> None:
    with pytest.raises(HardnegError, match=message):
        call(run)


def test_an_audit_of_a_run_its_folder_and_its_dataset_is_one(run: hardneg.Run) -> None:
    reports = [hardneg.audit(data) for data in (run, Path(run.folder), run.triplets())]
    assert [report.clean for report in reports] == [True] * 3
    assert len({(report.rows, report.anchors, report.negatives) for report in reports}) == 1
    assert reports[0].rows == run.manifest["counts"]["triplets"]


def test_an_audit_of_a_live_table_finds_what_is_wrong() -> None:
    rows = [{"anchor": "what is it?", "positive": "it is this", "negative": "IT is  this"}]
    report = hardneg.audit(rows)
    assert not report.clean
    assert [fault.count for fault in report.faults] == [1]


def test_a_model_saved_again_at_its_path_is_another_model(tmp_path: Path) -> None:
    """In one process: logits, fingerprints and digests of training pairs are those of the new files."""
    spec = ModelSpec("cross-encoder", str(tmp_path / "cross"), dtype="float32")

    def mined(seed: int) -> tuple[str, list[float]]:
        save_tiny(tmp_path / "bi", head=False, seed=seed)
        save_tiny(tmp_path / "cross", seed=seed)
        run = hardneg.mine(
            pairs=COLUMNS, bi_encoder=str(tmp_path / "bi"), cross_encoder=spec.model, progress=False, **OPTIONS
        )
        scored = CrossEncoder(spec)
        rows = [row for row in run.candidates(texts=True).to_pylist() if row["logit"] is not None]
        logits, _ = scored.score([row["query"] for row in rows], [row["passage"] for row in rows])
        assert [row["logit"] for row in rows] == logits.tolist()
        assert run.manifest["models"]["cross_encoder"]["fingerprint"] == scored.fingerprint
        return scored.fingerprint, logits.tolist()

    first, second = mined(0), mined(1)
    assert first[0] != second[0]
    assert set(first[1]).isdisjoint(second[1])
