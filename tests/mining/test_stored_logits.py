"""Logits by pair: nothing is scored twice, whatever becomes of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from object_store import FILES
from rerank_server import digest_score

from hardneg.errors import ModelError
from hardneg.transforms.core.progress import read_progress
from hardneg.transforms.mining.stored_logits import StoredLogits
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.store.shelf import logit_shelf, value_files_in
from hardneg.transforms.store.uses import StorePlace, begin_use, use_name

MODEL = {"model": "toy", "fingerprint": "f" * 64}
SPEC = ModelSpec("cross-encoder", "toy")
QUERIES = [f"q{number % 10}" for number in range(20)]  # every pair twice
PASSAGES = [f"p{number % 10}" for number in range(20)]
EXPECTED = np.array([digest_score(q, [p])[0] for q, p in zip(QUERIES, PASSAGES, strict=True)], np.float32)


class FakeModel:
    """Scores by digest, in parts of three pairs; fails before the pair that it is told."""

    fingerprint = MODEL["fingerprint"]

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.fails_at: int | None = None
        self.error: type[BaseException] = RuntimeError
        self.loaded = 0
        self.before_each: Callable[[], None] = lambda: None

    def parts(self, queries: list[str], passages: list[str]) -> Iterator[Any]:
        for start in range(0, len(queries), 3):
            self.before_each()
            rows = np.arange(start, min(start + 3, len(queries)))
            if self.fails_at is not None and len(self.asked) + len(rows) > self.fails_at:
                raise self.error("in the middle")
            self.asked += [(queries[row], passages[row]) for row in rows]
            logits = np.array([digest_score(queries[row], [passages[row]])[0] for row in rows], np.float32)
            yield rows, logits, np.array([queries[row].endswith("7") for row in rows])

    def load(self, _: Any) -> Any:
        self.loaded += 1
        return self


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture(params=["disk", "bucket"])
def work(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    FILES.clear()
    yield str(tmp_path / "work [1]*") if request.param == "disk" else "bucket://store/work"
    FILES.clear()


def scoring(work: str, model: FakeModel, **more: Any) -> StoredLogits:
    """Return what the next process, or the next block, would make."""
    return StoredLogits(work, StorePlace(f"{work}/store"), SPEC, describe=lambda *_: MODEL, load=model.load, **more)


def test_a_pair_is_scored_once(model: FakeModel, work: str) -> None:
    """Within a call, in the next one, and by the next process; cut pairs stay cut. Nothing new: nothing is loaded."""
    first = scoring(work, model)
    for each in (first, first, scoring(work, model)):
        logits, cut = each(QUERIES, PASSAGES)
        np.testing.assert_array_equal(logits, EXPECTED)
        assert (logits.dtype, cut.dtype) == (np.float32, np.bool_)
        assert cut.tolist() == [query == "q7" for query in QUERIES]
        assert (len(model.asked), model.loaded) == (10, 1)
    assert (first.computed, first.found) == (10, 30)
    np.testing.assert_array_equal(scoring(work, model)(QUERIES[::-1], PASSAGES[::-1])[0], EXPECTED[::-1])
    assert len(model.asked) == 10
    scoring(work, model)(["q1", "new"], ["p1", "p1"])
    assert model.asked[10:] == [("new", "p1")]
    assert [len(each) for each in scoring(work, model)([], [])] == [0, 0]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_was_scored_before_an_error_is_kept(model: FakeModel, work: str, error: type[BaseException]) -> None:
    model.fails_at, model.error = 6, error
    with pytest.raises(error, match="in the middle"):
        scoring(work, model)(QUERIES, PASSAGES)
    assert len(model.asked) == 6
    model.fails_at = None
    np.testing.assert_array_equal(scoring(work, model)(QUERIES, PASSAGES)[0], EXPECTED)
    assert len(model.asked) == len(set(model.asked)) == 10


def test_progress_counts_every_pair_that_was_asked_for(model: FakeModel, tmp_path: Path) -> None:
    work = str(tmp_path / "work")
    scoring(work, model)(QUERIES, PASSAGES)
    stage = read_progress(work)["score"]
    assert (stage.done, stage.expected) == (20, 20)
    scoring(work, model)(QUERIES[:5], PASSAGES[:5])
    stage = read_progress(work)["score"]
    assert (stage.done, stage.expected) == (25, 25)


def test_what_is_asked_for_is_known_before_it_is_scored(model: FakeModel, tmp_path: Path) -> None:
    work = str(tmp_path / "work")
    model.fails_at = 6
    with pytest.raises(RuntimeError, match="in the middle"):
        scoring(work, model)(QUERIES, PASSAGES)
    stage = read_progress(work)["score"]
    assert stage.done < stage.expected == 20


def test_a_run_notes_what_it_used(model: FakeModel, tmp_path: Path) -> None:
    """In a store that outlives it; the notes of a work folder would be read by nobody."""
    root = str(tmp_path / "values")
    place = StorePlace(root, use_name(str(tmp_path / "out")))
    begin_use(place, str(tmp_path / "out"))
    score = StoredLogits(str(tmp_path / "work"), place, SPEC, describe=lambda *_: MODEL, load=model.load)
    score(QUERIES, PASSAGES)
    score(QUERIES[:3], PASSAGES[:3])
    assert score.note_uses() == {"logits_computed": 10, "logits_found": 13, "store_files_damaged": 0}
    notes = list(Path(root, "uses").rglob("*.parquet"))
    assert len(notes) == 1
    assert not Path(tmp_path / "work" / "store").exists()


def test_another_model_than_a_stored_runs_is_refused(model: FakeModel, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="differ from what scored the stored run"):
        scoring(str(tmp_path), model, fingerprint="e" * 64)(QUERIES, PASSAGES)


def test_a_model_that_changed_since_it_was_described_is_refused(model: FakeModel, tmp_path: Path) -> None:
    model.fingerprint = "e" * 64
    with pytest.raises(ModelError, match="changed meanwhile"):
        scoring(str(tmp_path), model)(QUERIES, PASSAGES)
    assert value_files_in(logit_shelf(StorePlace(f"{tmp_path}/store"), MODEL).folder) == []
