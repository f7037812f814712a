"""Logits by pair: what was stored is found again, nothing else is, and nothing is scored twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from object_store import FILES
from rerank_server import digest_score

from hardneg.transforms.core import storage
from hardneg.transforms.core.progress import read_progress
from hardneg.transforms.mining import stored_logits as logits_module
from hardneg.transforms.mining.logit_store import LogitStore, pair_keys
from hardneg.transforms.mining.stored_logits import StoredLogits, evict_logits
from hardneg.transforms.models.spec import ModelSpec

FINGERPRINT = "f" * 64
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@pytest.fixture(params=["disk", "bucket"])
def work(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    FILES.clear()
    folder = str(tmp_path / "work [1]*") if request.param == "disk" else "bucket://store/work"
    yield folder
    evict_logits(folder)
    FILES.clear()


def keys_of(numbers: Sequence[int], fingerprint: str = FINGERPRINT) -> np.ndarray:
    return pair_keys(fingerprint, [f"q{number}" for number in numbers], [f"p{number}" for number in numbers])


def files(work: str, folder: str = "") -> list[str]:
    if storage.is_local(work):
        return sorted(str(path) for path in (Path(work) / folder).rglob("*") if path.is_file())
    return sorted(name for name in FILES if f"/{folder}" in name)


def add(store: LogitStore, numbers: Sequence[int], shift: float = 0.0) -> None:
    values = np.array(numbers, dtype=np.float32) + np.float32(shift)
    store.add(keys_of(numbers), values, np.array(numbers) % 3 == 0)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=8), st.sampled_from(["f", "g"]))
def test_keys_are_of_the_pair_and_the_model(pairs: list[tuple[str, str]], fingerprint: str) -> None:
    keys = pair_keys(fingerprint, [query for query, _ in pairs], [passage for _, passage in pairs])
    assert (keys.dtype, keys.shape) == (np.dtype("S16"), (len(pairs),))
    for place, pair in enumerate(pairs):
        for other, another in enumerate(pairs):
            assert (keys[place] == keys[other]) == (pair == another)
        assert pair_keys(fingerprint, [pair[0]], [pair[1]])[0] == keys[place], "whatever it is asked with"
        assert pair_keys(fingerprint + "h", [pair[0]], [pair[1]])[0] != keys[place]


def test_texts_do_not_run_into_each_other() -> None:
    keys = pair_keys("f", ["ab", "a", "", "abc"], ["c", "bc", "abc", ""])
    assert len(set(keys.tolist())) == 4


def test_what_is_stored_is_found_by_another_process(work: str) -> None:
    store = LogitStore(work, FINGERPRINT)
    assert np.isnan(store.find(keys_of([1, 2]))[0]).all()
    add(store, [5, 3, 9])
    add(store, [4])
    for each in (store, LogitStore(work, FINGERPRINT)):
        logits, cut = each.find(keys_of([9, 1, 4, 3, 9, 5]))
        np.testing.assert_array_equal(logits, np.array([9, np.nan, 4, 3, 9, 5], dtype=np.float32))
        assert cut.tolist() == [True, False, False, True, True, False]
        assert (logits.dtype, cut.dtype) == (np.float32, np.bool_)
        assert [len(part) for part in each.find(keys_of([]))] == [0, 0]
    assert np.isnan(LogitStore(work, "e" * 64).find(keys_of([9]))[0]).all(), "another model's"


def test_the_same_pairs_make_the_same_file(work: str) -> None:
    """A bundle that is tried again leaves no second copy."""
    add(LogitStore(work, FINGERPRINT), [5, 3, 9])
    once = files(work)
    add(LogitStore(work, FINGERPRINT), [9, 5, 3])
    assert files(work) == once
    assert len(once) == 1
    add(LogitStore(work, FINGERPRINT), [])
    assert files(work) == once


@pytest.mark.parametrize("damage", [b"", b"no array", None])
def test_a_damaged_file_is_not_read(work: str, damage: bytes | None) -> None:
    add(LogitStore(work, FINGERPRINT), [5, 3, 9])
    (path,) = files(work)
    data = storage.read_file(path)
    changed = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:] if damage is None else damage
    storage.write_file(path, lambda sink: sink.write(changed))
    assert np.isnan(LogitStore(work, FINGERPRINT).find(keys_of([5, 3, 9]))[0]).all()


def test_what_older_versions_left_is_no_matter(work: str) -> None:
    path = storage.join(work, "logits", "0" * 64 + ".npy")
    storage.write_file(path, lambda sink: np.save(sink, np.zeros((2, 3), np.float32)))
    assert np.isnan(LogitStore(work, FINGERPRINT).find(keys_of([1]))[0]).all()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(0, 60), max_size=12), max_size=12), st.data())
def test_it_is_a_dictionary(tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]], data: Any) -> None:
    """Whatever is added in whatever order: what a dictionary would hold, here and in the next process."""
    work = str(tmp_path_factory.mktemp("work"))
    store, expected = LogitStore(work, FINGERPRINT), {}
    for batch in batches:
        new = [number for number in batch if number not in expected]
        add(store, new)
        expected |= {number: number for number in new}
    asked = data.draw(st.lists(st.integers(0, 60), max_size=20))
    wanted = np.array([expected.get(number, np.nan) for number in asked], dtype=np.float32)
    for each in (store, LogitStore(work, FINGERPRINT)):
        np.testing.assert_array_equal(each.find(keys_of(asked))[0], wanted)


class FakeModel:
    """Scores by digest, in parts of three pairs; fails before the pair that it is told."""

    fingerprint = FINGERPRINT

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.fails_at: int | None = None
        self.error: type[BaseException] = RuntimeError
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


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    fake = FakeModel()
    monkeypatch.setattr(logits_module, "cross_encoder", lambda _: fake)
    return fake


SPEC = ModelSpec("cross-encoder", "bundled")
QUERIES = [f"q{number % 10}" for number in range(20)]  # every pair twice
PASSAGES = [f"p{number % 10}" for number in range(20)]
EXPECTED = np.array([digest_score(q, [p])[0] for q, p in zip(QUERIES, PASSAGES, strict=True)], np.float32)


def test_a_pair_is_scored_once(model: FakeModel, work: str) -> None:
    """Within a call, in the next one, and by the next process; cut pairs stay cut."""
    for expected_asked in (10, 10):
        logits, cut = StoredLogits(work, SPEC)(QUERIES, PASSAGES)
        np.testing.assert_array_equal(logits, EXPECTED)
        assert cut.tolist() == [query == "q7" for query in QUERIES]
        assert len(model.asked) == expected_asked
    evict_logits(work)
    np.testing.assert_array_equal(StoredLogits(work, SPEC)(QUERIES[::-1], PASSAGES[::-1])[0], EXPECTED[::-1])
    assert len(model.asked) == 10
    StoredLogits(work, SPEC)(["q1", "new"], ["p1", "p1"])
    assert model.asked[10:] == [("new", "p1")]
    assert [len(each) for each in StoredLogits(work, SPEC)([], [])] == [0, 0]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_was_scored_before_an_error_is_kept(model: FakeModel, work: str, error: type[BaseException]) -> None:
    model.fails_at, model.error = 6, error
    with pytest.raises(error, match="in the middle"):
        StoredLogits(work, SPEC)(QUERIES, PASSAGES)
    assert len(model.asked) == 6
    evict_logits(work)
    model.fails_at = None
    np.testing.assert_array_equal(StoredLogits(work, SPEC)(QUERIES, PASSAGES)[0], EXPECTED)
    assert len(model.asked) == len(set(model.asked)) == 10


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, [0, 1, 2, 3]), (3600.0, [0, 0, 0, 0])])
def test_scores_are_stored_while_others_are_computed(
    model: FakeModel, work: str, monkeypatch: pytest.MonkeyPatch, seconds: float, expected: list[int]
) -> None:
    """So a kill, which runs no handler, loses what was scored in the last seconds alone."""
    monkeypatch.setattr(logits_module, "_STORE_AFTER", seconds)
    stored: list[int] = []
    model.before_each = lambda: stored.append(len(files(work, "logits")))
    StoredLogits(work, SPEC)(QUERIES, PASSAGES)
    assert stored == expected
    assert len(files(work, "logits")) == max(expected) + 1


def test_progress_counts_every_pair_that_was_asked_for(model: FakeModel, tmp_path: Path) -> None:
    work = str(tmp_path / "work")
    StoredLogits(work, SPEC)(QUERIES, PASSAGES)
    stage = read_progress(work)["score"]
    assert (stage.done, stage.expected) == (20, 20)
    StoredLogits(work, SPEC)(QUERIES[:5], PASSAGES[:5])
    stage = read_progress(work)["score"]
    assert (stage.done, stage.expected) == (25, 25)


def test_what_is_asked_for_is_known_before_it_is_scored(model: FakeModel, tmp_path: Path) -> None:
    work = str(tmp_path / "work")
    model.fails_at = 6
    with pytest.raises(RuntimeError, match="in the middle"):
        StoredLogits(work, SPEC)(QUERIES, PASSAGES)
    stage = read_progress(work)["score"]
    assert stage.done < stage.expected == 20


def test_forgetting_is_of_one_work_folder(model: FakeModel, tmp_path: Path) -> None:
    for name in ("one", "two"):
        StoredLogits(str(tmp_path / name), SPEC)(QUERIES, PASSAGES)
    assert len(model.asked) == 20
    for path in tmp_path.rglob("*.npy"):
        path.unlink()
    evict_logits(str(tmp_path / "one"))
    StoredLogits(str(tmp_path / "two"), SPEC)(QUERIES, PASSAGES)
    assert len(model.asked) == 20
    StoredLogits(str(tmp_path / "one"), SPEC)(QUERIES, PASSAGES)
    assert len(model.asked) == 30
