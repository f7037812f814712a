"""The upkeep of a store: what is listed, what is found damaged, and what is dropped and what never."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from object_store import FILES
from profiles import examples

from hardneg.transforms.core import storage
from hardneg.transforms.store.shelf import Shelf, embedding_shelf, logit_shelf, value_files_in
from hardneg.transforms.store.upkeep import collect_garbage, list_shelves, verify_shelves
from hardneg.transforms.store.uses import StorePlace, begin_use, end_use, use_name
from hardneg.transforms.store.value_keys import embedding_keys

MODEL = {"model": "toy", "fingerprint": "f" * 64, "dimension": 2}
OTHER = {"model": "other", "fingerprint": "e" * 64, "dimension": 2}
LATER = 10 * 86400.0


@pytest.fixture(params=["disk", "bucket"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    FILES.clear()
    yield str(tmp_path) if request.param == "disk" else "bucket://data/here"
    FILES.clear()


def run(base: str, name: str, numbers: list[int], ended: bool = True, model: dict = MODEL) -> StorePlace:
    """Do as a run that uses some embeddings: those that are not there it computes."""
    output = f"{base}/{name}"
    place = StorePlace(f"{base}/values", use_name(output))
    begin_use(place, output)
    shelf = embedding_shelf(place, model)
    keys, values = what(numbers)
    missing = ~shelf.find(keys).known
    shelf.add(keys[missing], values[missing])
    shelf.use(keys)
    if ended:
        end_use(place)
        storage.write_file(f"{output}/manifest.json", lambda sink: sink.write(b"{}"))
    return place


def what(numbers: list[int]) -> tuple[np.ndarray, np.ndarray]:
    keys = embedding_keys("passage", [str(number) for number in numbers])
    return keys, np.array([[number, 1] for number in numbers], dtype=np.float32).reshape(-1, 2)


def have(shelf: Shelf, numbers: range) -> list[int]:
    keys, values = what(list(numbers))
    hits = shelf.find(keys)
    assert hits.values[hits.known].tolist() == values[hits.known].tolist()
    return [number for number, known in zip(numbers, hits.known, strict=True) if known]


def test_what_is_in_a_store_is_listed_by_model(base: str) -> None:
    run(base, "one", [1, 2, 3])
    place = run(base, "two", [3, 4])
    run(base, "three", [1], model=OTHER)
    found = list_shelves(place.root)
    assert sorted((each.kind, each.model, each.values, each.files) for each in found) == [
        ("embeddings", "other", 1, 1),
        ("embeddings", "toy", 4, 2),
    ]
    assert all(each.bytes > 0 and each.last_used for each in found)
    assert {each.fingerprint for each in found} == {"f" * 64, "e" * 64}
    assert list_shelves(f"{base}/nothing") == []


def test_damage_is_found_and_set_aside(base: str) -> None:
    place = run(base, "one", [1, 2, 3])
    run(base, "two", [4])
    first, second = value_files_in(embedding_shelf(place, MODEL).folder)
    data = storage.read_file(first)
    storage.write_file(first, lambda sink: sink.write(data[:-3] + b"x" + data[-2:]))
    assert dict(verify_shelves(place.root)) == {first: False, second: True}
    assert dict(verify_shelves(place.root)) == {second: True}
    assert not storage.exists(first)


def test_what_no_kept_output_uses_is_dropped(base: str) -> None:
    place = run(base, "old", [1, 2, 3])
    run(base, "new", [3, 4])
    run(base, "other", [1], model=OTHER)
    assert [(each.model, each.before, each.after) for each in collect_garbage(place.root)] == [
        ("other", 1, 1),
        ("toy", 4, 4),
    ]
    assert len(value_files_in(embedding_shelf(place, MODEL).folder)) == 1, "small files are put together"
    for name in ("old", "other"):
        storage.delete_file(f"{base}/{name}/manifest.json")
    assert [(each.model, each.before, each.after) for each in collect_garbage(place.root)] == [
        ("other", 1, 0),
        ("toy", 4, 2),
    ]
    assert have(embedding_shelf(place, MODEL), range(6)) == [3, 4]


def test_damage_does_not_stop_it(base: str) -> None:
    place = run(base, "one", [1, 2])
    (damaged,) = value_files_in(embedding_shelf(place, MODEL).folder)
    run(base, "two", [3])
    storage.write_file(damaged, lambda sink: sink.write(b"nothing"))
    assert [(each.before, each.after) for each in collect_garbage(place.root)] == [(1, 1)]
    assert have(embedding_shelf(place, MODEL), range(4)) == [3]
    assert not storage.exists(damaged), "it is set aside"


def test_a_run_that_is_going_on_loses_nothing(base: str) -> None:
    """Neither what it has used nor what it has stored; one that died days ago counts no more."""
    run(base, "old", [1, 2])
    place = run(base, "now", [2, 3], ended=False)
    storage.delete_file(f"{base}/old/manifest.json")
    list(collect_garbage(place.root))
    assert have(embedding_shelf(place, MODEL), range(4)) in ([2, 3], [1, 2, 3])
    list(collect_garbage(place.root, now=lambda: 4e9 + LATER))
    assert have(embedding_shelf(place, MODEL), range(4)) == []


def test_a_rerun_replaces_its_notes(base: str) -> None:
    run(base, "one", [1, 2])
    place = run(base, "one", [2, 3])
    list(collect_garbage(place.root))
    assert have(embedding_shelf(place, MODEL), range(4)) == [2, 3]


@examples(25)
@given(st.lists(st.tuples(st.sets(st.integers(0, 30), max_size=10), st.booleans()), max_size=6))
def test_whatever_is_kept_finds_all_of_its_own(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[set[int], bool]]
) -> None:
    base = str(tmp_path_factory.mktemp("store"))
    place = StorePlace(f"{base}/values")
    for number, (used, _) in enumerate(runs):
        run(base, str(number), sorted(used))
    for number, (_, kept) in enumerate(runs):
        if not kept:
            storage.delete_file(f"{base}/{number}/manifest.json")
    list(collect_garbage(place.root))
    expected = sorted({number for used, kept in runs if kept for number in used})
    assert have(embedding_shelf(place, MODEL), range(31)) == expected
    assert logit_shelf(place, MODEL).folder.endswith("f" * 32)
