"""Which rows go together, against plain loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hardneg.transforms.output.pairing import every_pair, first_of_each_text

QUERIES = st.lists(st.integers(0, 4), max_size=12)


@given(QUERIES, QUERIES)
def test_every_pair(positives: list[int], negatives: list[int]) -> None:
    positives = sorted(positives)
    made = every_pair(np.array(positives, dtype=np.int64), np.array(negatives, dtype=np.int64))
    expected = [
        (positive, negative)
        for negative, query in enumerate(negatives)
        for positive, owner in enumerate(positives)
        if owner == query
    ]
    assert list(zip(*(places.tolist() for places in made), strict=True)) == expected


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([b"a", b"b", b"c"])), max_size=12))
def test_first_of_each_text(rows: list[tuple[int, bytes]]) -> None:
    found = first_of_each_text(np.array([query for query, _ in rows], dtype=np.int64), [text for _, text in rows])
    assert found.tolist() == [place for place, row in enumerate(rows) if row not in rows[:place]]
