"""A shelf of a store: what was stored is found again, nothing else is, and damage is never taken for values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from object_store import FILES
from profiles import examples

from hardneg.transforms.core import storage
from hardneg.transforms.store.filling import STORE_AFTER, Filling
from hardneg.transforms.store.shelf import LOGIT_ROW, Shelf, embedding_shelf, logit_shelf, value_files_in
from hardneg.transforms.store.uses import StorePlace
from hardneg.transforms.store.value_files import packed
from hardneg.transforms.store.value_keys import embedding_keys, key_ranges, logit_keys

MODEL = {"model": "toy", "fingerprint": "f" * 64, "dimension": 3}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@pytest.fixture(params=["disk", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorePlace]:
    FILES.clear()
    yield StorePlace(str(tmp_path / "store [1]*") if request.param == "disk" else "bucket://store/values")
    FILES.clear()


def keys_of(numbers: Sequence[int]) -> np.ndarray:
    return logit_keys([f"q{number}" for number in numbers], [f"p{number}" for number in numbers])


def rows_of(numbers: Sequence[int]) -> np.ndarray:
    rows = np.zeros(len(numbers), dtype=LOGIT_ROW)
    rows["logit"], rows["cut"] = numbers, np.array(numbers, dtype=np.int64) % 3 == 0
    return rows


def add(shelf: Shelf, numbers: Sequence[int]) -> None:
    shelf.add(keys_of(numbers), rows_of(numbers))


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=8))
def test_a_logits_key_is_of_its_pair(pairs: list[tuple[str, str]]) -> None:
    keys = logit_keys([query for query, _ in pairs], [passage for _, passage in pairs])
    assert (keys.dtype, keys.shape) == (np.dtype("S24"), (len(pairs),))
    for place, pair in enumerate(pairs):
        assert [keys[place] == other for other in keys] == [pair == another for another in pairs]
        assert logit_keys([pair[0]], [pair[1]])[0] == keys[place], "whatever it is asked with"


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=8))
def test_an_embeddings_key_is_of_its_text_and_role(texts: list[str]) -> None:
    keys = embedding_keys("passage", texts)
    for place, text in enumerate(texts):
        assert [keys[place] == other for other in keys] == [text == another for another in texts]
    assert not np.isin(keys, embedding_keys("query", texts)).any()


def test_keys_do_not_change() -> None:
    """Literal: other keys forget what every store has."""
    assert embedding_keys("passage", ["a 文"])[0].hex() == "d591c57bf9fd7d7f85106244296a50cf"
    assert logit_keys(["a"], ["文"])[0].hex() == "27c35e6e9373877fdfa098a926e6b628b24acae90ab9d6d7"
    assert len(set(logit_keys(["ab", "a", "", "abc"], ["c", "bc", "abc", ""]).tolist())) == 4


def test_pairs_of_one_query_lie_together() -> None:
    """Whatever the case and the spaces of its text, as in a block."""
    keys = logit_keys(["What is rain?", "what is  RAIN?", "other"], ["a", "b", "c"])
    assert keys[0][:8] == keys[1][:8] != keys[2][:8]


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**6), unique=True, max_size=50), st.integers(1, 9))
def test_ranges_part_the_keys(numbers: list[int], parts: int) -> None:
    keys = keys_of(numbers)
    found = list(key_ranges(keys, parts))
    assert sorted(place for _, places in found for place in places.tolist()) == list(range(len(numbers)))
    assert [number for number, _ in found] == sorted({number for number, _ in found})
    together = np.concatenate([keys[:0], *(keys[places] for _, places in found)])
    assert (np.sort(together) == together).all()
    assert all(0 <= number < parts for number, _ in found)


def test_what_is_stored_is_found_by_another_process(place: StorePlace) -> None:
    shelf = logit_shelf(place, MODEL)
    assert not shelf.find(keys_of([1, 2])).known.any()
    add(shelf, [5, 3, 9])
    add(shelf, [4])
    for each in (shelf, logit_shelf(place, MODEL)):
        hits = each.find(keys_of([9, 1, 4, 3, 9, 5]))
        assert hits.known.tolist() == [True, False, True, True, True, True]
        assert hits.values[hits.known].tolist() == [(9, True), (4, False), (3, True), (9, True), (5, False)]
        assert len(each.find(keys_of([])).values) == 0
    assert not logit_shelf(place, {**MODEL, "fingerprint": "e" * 64}).find(keys_of([9])).known.any(), "another model's"


def test_embeddings_come_back_bit_for_bit(place: StorePlace) -> None:
    texts = [f"passage {number}" for number in range(3000)]  # several row groups
    values = np.random.default_rng(0).normal(size=(3000, 3)).astype(np.float32)
    keys = embedding_keys("passage", texts)
    embedding_shelf(place, MODEL).add(keys, values)
    turned = embedding_shelf(place, MODEL).find(keys[::-1])
    assert turned.known.all()
    assert turned.values.tobytes() == values[::-1].tobytes()


def test_the_same_values_make_the_same_file(place: StorePlace) -> None:
    """A bundle that is tried again leaves no second copy."""
    shelf = logit_shelf(place, MODEL)
    add(shelf, [5, 3, 9])
    once = value_files_in(shelf.folder)
    add(logit_shelf(place, MODEL), [9, 5, 3])
    add(shelf, [])
    assert value_files_in(shelf.folder) == once
    assert len(once) == 1


@examples(40)
@given(st.lists(st.lists(st.integers(0, 60), max_size=12), max_size=12), st.data())
def test_it_is_a_dictionary(tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]], data: Any) -> None:
    """Whatever is added in whatever order: what a dictionary would hold, here and in the next process."""
    place = StorePlace(str(tmp_path_factory.mktemp("store")))
    shelf = logit_shelf(place, MODEL)
    for batch in batches:
        add(shelf, batch)
    asked = data.draw(st.lists(st.integers(0, 60), max_size=20))
    have = {number for batch in batches for number in batch}
    for each in (shelf, logit_shelf(place, MODEL)):
        hits = each.find(keys_of(asked))
        assert hits.known.tolist() == [number in have for number in asked]
        assert hits.values[hits.known].tolist() == rows_of([n for n in asked if n in have]).tolist()


@examples(100)
@given(st.data())
def test_damage_is_never_taken_for_values(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """A file that is cut off or has one bit turned gives the values that were written, or none and is set aside."""
    place = StorePlace(str(tmp_path_factory.mktemp("store")))
    numbers = list(range(3000))
    add(logit_shelf(place, MODEL), numbers)
    (path,) = value_files_in(logit_shelf(place, MODEL).folder)
    good = Path(path).read_bytes()
    spot = data.draw(st.integers(0, len(good) - 1))
    cut = data.draw(st.booleans())
    turned = good[:spot] + bytes([good[spot] ^ (1 << data.draw(st.integers(0, 7)))]) + good[spot + 1 :]
    Path(path).write_bytes(good[:spot] if cut else turned)
    shelf = logit_shelf(place, MODEL)
    hits = shelf.find(keys_of(numbers))
    assert hits.values[hits.known].tolist() == rows_of([n for n in numbers if hits.known[n]]).tolist()
    if shelf.damaged:
        assert not Path(path).exists()
        assert (Path(shelf.folder) / "damaged" / Path(path).name).exists()
        assert not logit_shelf(place, MODEL).find(keys_of(numbers)).known.any()
        add(logit_shelf(place, MODEL), numbers)
    assert logit_shelf(place, MODEL).find(keys_of(numbers)).known.all()


def test_files_that_are_none_of_ours_are_left_alone(place: StorePlace) -> None:
    shelf = logit_shelf(place, MODEL)
    add(shelf, [1])
    storage.write_file(storage.join(shelf.folder, "notes.txt"), lambda sink: sink.write(b"mine"))
    storage.write_file(storage.join(shelf.folder, "a-b-c-d.parquet"), lambda sink: sink.write(b"mine"))
    again = logit_shelf(place, MODEL)
    assert again.find(keys_of([1])).known.all()
    assert again.damaged == 0


def test_a_file_that_vanishes_is_looked_for_again(place: StorePlace) -> None:
    """As when another process puts small files together, while this one has its list of them."""
    first = logit_shelf(place, MODEL)
    for number in range(4):
        add(first, [number])
    reader = logit_shelf(place, MODEL)
    old = value_files_in(first.folder)
    name, data = packed(np.sort(keys_of(range(4))), rows_of(range(4))[np.argsort(keys_of(range(4)))])
    storage.write_file(storage.join(first.folder, name), lambda sink: sink.write(data))
    for path in old:
        storage.delete_file(path)
    hits = reader.find(keys_of(range(4)))
    assert hits.values["logit"].tolist() == [0, 1, 2, 3]
    assert reader.damaged == 0


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, None])
def test_what_was_computed_before_an_error_is_stored(place: StorePlace, error: type[BaseException] | None) -> None:
    shelf = logit_shelf(place, MODEL)
    try:
        with Filling(shelf) as filling:
            filling.put(keys_of([1, 2]), rows_of([1, 2]))
            filling.put(keys_of([3]), rows_of([3]))
            assert not value_files_in(shelf.folder), f"not before {STORE_AFTER} seconds"
            if error:
                raise error
    except (RuntimeError, KeyboardInterrupt):
        pass
    assert filling.computed == 3
    assert logit_shelf(place, MODEL).find(keys_of([1, 2, 3])).known.all()
    assert len(value_files_in(shelf.folder)) == 1


def test_values_are_stored_while_others_are_computed(place: StorePlace) -> None:
    shelf = logit_shelf(place, MODEL)
    with Filling(shelf, seconds=0.0) as filling:
        for number in range(3):
            filling.put(keys_of([number]), rows_of([number]))
            assert len(value_files_in(shelf.folder)) == number + 1
