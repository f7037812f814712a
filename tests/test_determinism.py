"""The same inputs and options give the same bytes, however the work is cut and shared out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TWO_WORKERS, Run

OPTIONS: dict[str, Any] = {"k": 12, "negatives": 3, "max_sigmoid": 0.4, "min_relevance": 2, "output_shards": 3}
KINDS = ("triplets", "candidates", "passages", "queries")


@pytest.fixture(scope="module")
def reference(animals: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    from hardneg.pipelines import driver
    from hardneg.pipelines.config import MineConfig

    output = tmp_path_factory.mktemp("reference") / "out"
    manifest = driver.mine(MineConfig(input=str(animals), output=str(output), **OPTIONS), [])
    return Run(output, manifest)


@pytest.mark.parametrize(
    "options",
    [
        {"segments": 4},
        {"block_size": 5, "segments": 2},
        {"hydrate": "shuffle", "block_size": 3, "segments": 3},
        {"bm25_engine": "rank-bm25"},
    ],
    ids=lambda options: " ".join(f"{name}={value}" for name, value in options.items()),
)
def test_cut(animals: Path, reference: Run, mine: Callable[..., Run], options: dict[str, Any]) -> None:
    run = mine(input=str(animals), **OPTIONS, **options)
    for kind in KINDS:
        if options == {"bm25_engine": "rank-bm25"} and kind == "candidates":
            continue  # the library sums in another order: its last bits differ
        assert run.hashes(kind) == reference.hashes(kind), kind


def test_two_workers(animals: Path, reference: Run, mine: Callable[..., Run]) -> None:
    run = mine(input=str(animals), **OPTIONS, beam_args=TWO_WORKERS, segments=3, block_size=4)
    for kind in KINDS:
        assert run.hashes(kind) == reference.hashes(kind), kind


def test_lazy_triplets_are_those_of_full_scoring(animals: Path, reference: Run, mine: Callable[..., Run]) -> None:
    run = mine(input=str(animals), **OPTIONS, score="all", segments=2)
    assert run.hashes("triplets") == reference.hashes("triplets")
    assert run.manifest["counts"]["pairs_scored"] > reference.manifest["counts"]["pairs_scored"]
    assert run.manifest["counts"]["verdict_unscored"] == 0


def test_other_shards_same_rows(animals: Path, reference: Run, mine: Callable[..., Run]) -> None:
    run = mine(input=str(animals), **{**OPTIONS, "output_shards": 1})
    for kind in KINDS:
        order = [(name, "ascending") for name in run.table(kind).column_names if name != "sources"]
        assert run.table(kind).sort_by(order).equals(reference.table(kind).sort_by(order)), kind


def test_a_killed_run_goes_on_from_what_it_stored(
    animals: Path, reference: Run, mine: Callable[..., Run], tmp_path: Path
) -> None:
    """Embeddings and logits of an interrupted run are used again, and change nothing."""
    kept = tmp_path / "kept"
    first = mine("first", input=str(animals), **OPTIONS, work=str(kept), max_queries=4)
    assert not kept.exists()  # a finished run leaves nothing
    (kept / "progress").mkdir(parents=True)
    (kept / "progress" / "1.jsonl").write_text('{"stage": "score", "done": 7, "expected": 0, "seconds": 99}\n')
    (kept / "result" / "triplets").mkdir(parents=True)
    (kept / "result" / "triplets" / "part-00007-of-00008.parquet").write_bytes(b"half")
    run = mine("second", input=str(animals), **OPTIONS, work=str(kept))
    assert run.hashes("triplets") == reference.hashes("triplets")
    assert not list(run.folder.glob("triplets/part-00007*"))
    assert run.manifest["seconds"]["score"] < 99
    assert first.manifest["counts"]["queries"] == 4
