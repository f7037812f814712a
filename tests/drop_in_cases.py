"""What the tests of the drop-in share: the function that it stands in for, and a small collection."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import sentence_transformers.util
from datasets import Dataset
from live_models import TableModel

from hardneg import mine_hard_negatives

peer = sentence_transformers.util.mine_hard_negatives


def quietly(function: Any, **arguments: Any) -> Any:
    """Call without progress bars: the peer always draws them."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        return function(**arguments)


def same_rows(ours: Dataset, theirs: Dataset) -> None:
    assert ours.column_names == theirs.column_names
    assert ours.features == theirs.features
    for name in theirs.column_names:
        if name in ("score", "scores"):
            pairs = zip(ours[name], theirs[name], strict=True)
            assert all(np.shape(mine) == np.shape(other) for mine, other in pairs)
            assert np.allclose(np.hstack([0, *ours[name]]), np.hstack([0, *theirs[name]]), rtol=0, atol=1e-5)
        else:
            assert list(ours[name]) == list(theirs[name]), name


DATA = {"anchor": ["q0", "q1", "q1"], "positive": ["d0", "d1", "d2"]}
CORPUS = [f"d{number}" for number in range(20)]


def mine(**given: Any) -> Dataset:
    """Mine 20 documents for two queries."""
    arguments = {"dataset": Dataset.from_dict(DATA), "model": TableModel(5, 20), "corpus": CORPUS, "verbose": False}
    return mine_hard_negatives(**{**arguments, **given})


DEFAULTS = {"dataset": Dataset.from_dict(DATA), "model": TableModel(5, 20), "corpus": CORPUS}
