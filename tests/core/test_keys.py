"""Keys of texts and ids: equal where the texts are, and arrays of them against brute force."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from hardneg.transforms.core.hashing import KeyMap, id_keys, occurrence, pair_keys, set_keys, text_keys


def test_keys_of_texts_and_ids() -> None:
    texts = text_keys(pa.chunked_array([["Two  words", "two words ", None], ["", " \n", "ﬁsh", "fish"]]))
    assert texts[0] == texts[1] != 0
    assert texts[2:5].tolist() == [0, 0, 0]
    assert texts[5] == texts[6]
    ids = id_keys(pa.array(["a", "A", None, "a"]))
    assert ids[0] == ids[3] != ids[1]
    assert ids[2] == 0
    assert text_keys(pa.array([], pa.string())).dtype == np.uint64
    assert text_keys(pa.nulls(2)).tolist() == [0, 0]


def test_pairs_and_sets() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.integers(1 << 63, size=(2, 1000), dtype=np.uint64)
    assert len(np.unique(np.concatenate([pair_keys(first, second), pair_keys(second, first)]))) == 2000
    starts = np.array([0, 2, 2, 4, 6])
    members = np.array([5, 7, 7, 5, 5, 5], dtype=np.uint64)
    one, none, same, twice = set_keys(starts, members).tolist()
    assert one == same != twice
    assert none == 0


def test_occurrence_and_maps_against_brute_force() -> None:
    generator = np.random.default_rng(1)
    for size in (0, 1, 50):
        keys = generator.integers(10, size=size, dtype=np.uint64)
        assert occurrence(keys).tolist() == [
            keys[:place].tolist().count(key) for place, key in enumerate(keys.tolist())
        ]
        values = generator.integers(1, 100, size=size, dtype=np.uint64)
        plain: dict[int, int] = {}
        for key, value in zip(keys.tolist(), values.tolist(), strict=True):
            plain.setdefault(key, value)
        wanted = np.arange(12, dtype=np.uint64)
        found = KeyMap(keys, values)
        assert len(found) == len(plain)
        assert found.get(wanted).tolist() == [plain.get(key, 0) for key in range(12)]
        assert found.get(wanted, wanted).tolist() == [plain.get(key, key) for key in range(12)]
